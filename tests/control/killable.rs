//! A backend that fails when it is told to.
#![allow(dead_code, reason = "several test programs use it, each some of it")]

use std::sync::{Arc, Mutex, PoisonError};

use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendError, BackendKind, Waker};
use stillpoint::{Capabilities, Clock, NetworkCounters, NetworkError, NetworkEvent, Timestamp};

/// Ends the backends of workers.
#[derive(Clone, Default)]
pub(crate) struct Killer(Arc<Mutex<Vec<Life>>>);

struct Life {
    worker: u16,
    waker: Waker,
    is_over: bool,
}

impl Killer {
    /// Has the backend of a worker fail at its next wait.
    pub(crate) fn kill(&self, worker: u16) {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lives = lives.iter_mut();
        let life = lives.find(|life| life.worker == worker).unwrap();
        life.is_over = true;
        life.waker.wake();
    }

    fn is_over(&self, worker: u16) -> bool {
        let lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lives = lives.iter();
        lives.any(|life| life.worker == worker && life.is_over)
    }
}

pub(crate) struct Killable {
    inner: SocketBackend,
    worker: u16,
    killer: Killer,
}

impl Killable {
    pub(crate) fn new(
        kind: BackendKind,
        worker: u16,
        config: &BackendConfig,
        killer: &Killer,
    ) -> Result<Self, BackendError> {
        let inner = SocketBackend::new(kind, config)?;
        let killer = killer.clone();
        let mut lives = killer.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.push(Life {
            worker,
            waker: inner.waker(),
            is_over: false,
        });
        drop(lives);
        Ok(Self {
            inner,
            worker,
            killer,
        })
    }
}

impl Drop for Killable {
    /// What it is woken by goes with it.
    fn drop(&mut self) {
        let mut lives = self.killer.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.retain(|life| life.worker != self.worker);
    }
}

impl Backend for Killable {
    type Port = SocketPort;

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn port(&mut self) -> &mut SocketPort {
        self.inner.port()
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        self.inner.flush()
    }

    fn wait(
        &mut self,
        until: Option<Timestamp>,
        clock: &impl Clock,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) -> Result<Timestamp, BackendError> {
        let now = self.inner.wait(until, clock, on_event)?;
        if self.killer.is_over(self.worker) {
            return Err(BackendError {
                operation: "wait",
                error: NetworkError::ConnectionReset,
            });
        }
        Ok(now)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn counters(&self) -> NetworkCounters {
        self.inner.counters()
    }
}
