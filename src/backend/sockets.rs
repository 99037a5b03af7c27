//! The socket backends: what they share, whichever way they wait.
//!
//! A wait gathers which sockets are ready, then takes a bounded batch off each, beginning with
//! another one each time. One datagram that is answered costs three system calls: wait, receive,
//! send.

use core::fmt;

use super::device::PacketReader;
#[cfg(feature = "mio")]
use super::mio::MioSet;
use super::poll::PollSet;
#[cfg(feature = "polling")]
use super::polling::PollingSet;
pub use super::port::SocketPort;
use super::readiness::{Readiness, Ready};
use super::sys::{Batching, Timeout, WakeKind};
use super::tcp::Reader;
use super::udp::Receiver;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
use super::uring::UringSet;
use super::{Backend, BackendConfig, BackendError, BackendKind, Waker};
use crate::capabilities::Capabilities;
use crate::counters::NetworkCounters;
use crate::id::ResourceId;
use crate::net::NetworkEvent;
use crate::time::{Clock, Timestamp};

/// The system's sockets.
pub struct SocketBackend {
    /// What the current wait found; kept for its memory.
    ready: Vec<(ResourceId, Ready)>,
    /// Counts the wake-ups, to begin with another socket each time.
    turn: usize,
    receiver: Receiver,
    reader: Reader,
    packet_reader: PacketReader,
    port: SocketPort,
    capabilities: Capabilities,
    kind: BackendKind,
}

impl SocketBackend {
    /// A backend without sockets that waits in the way that `kind` names.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the system has no descriptor left for it.
    pub fn new(kind: BackendKind, config: &BackendConfig) -> Result<Self, BackendError> {
        Ok(match kind {
            #[cfg(feature = "mio")]
            BackendKind::Mio => Self::over(kind, MioSet::new()?, config, Batching::BEST),
            #[cfg(feature = "polling")]
            BackendKind::Polling => Self::over(kind, PollingSet::new()?, config, Batching::BEST),
            BackendKind::Poll => {
                Self::over(kind, PollSet::new(WakeKind::BEST)?, config, Batching::BEST)
            }
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            BackendKind::IoUring => Self::over(
                kind,
                UringSet::new(&config.io_uring, &config.buffers)?,
                config,
                Batching::BEST,
            ),
        })
    }

    /// A backend that waits as `best` says, or as the first of `fallbacks` that this system has.
    ///
    /// # Errors
    ///
    /// [`BackendError`] of the best, if it has none.
    pub fn first_of(
        best: BackendKind,
        fallbacks: &[BackendKind],
        config: &BackendConfig,
    ) -> Result<Self, BackendError> {
        Self::new(best, config).or_else(|error| {
            let mut tried = fallbacks.iter().map(|&kind| Self::new(kind, config));
            tried.find_map(Result::ok).ok_or(error)
        })
    }

    /// Buffers that it has lent to the kernel to receive into. They count as in use.
    #[must_use]
    pub fn buffers_lent(&self) -> usize {
        self.port.readiness.buffers_lent()
    }

    /// Which backend it is.
    #[must_use]
    pub const fn kind(&self) -> BackendKind {
        self.kind
    }

    pub(super) fn over(
        kind: BackendKind,
        readiness: impl Readiness + 'static,
        config: &BackendConfig,
        batching: Batching,
    ) -> Self {
        let (port, capabilities) = SocketPort::new(Box::new(readiness), config, batching);
        Self {
            ready: Vec::new(),
            turn: 0,
            receiver: Receiver::new(config),
            reader: Reader::new(config),
            packet_reader: PacketReader::new(config),
            port,
            capabilities,
            kind,
        }
    }

    fn timeout(&self, until: Option<Timestamp>, clock: &impl Clock) -> Timeout {
        let own = self.port.timers.next();
        match until.into_iter().chain(own).min() {
            _ if self.port.events() > 0 => Timeout::After(core::time::Duration::ZERO),
            // Who looks again and again asks for the time once a look.
            Some(Timestamp::EPOCH) => Timeout::After(core::time::Duration::ZERO),
            Some(until) => Timeout::After(until.since(clock.now())),
            None => Timeout::Forever,
        }
    }
}

impl Backend for SocketBackend {
    type Port = SocketPort;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn port(&mut self) -> &mut SocketPort {
        &mut self.port
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        self.port.flush();
        Ok(())
    }

    fn flush_before_wait(&mut self) -> Result<(), BackendError> {
        self.port.flush_before_wait();
        Ok(())
    }

    fn wait(
        &mut self,
        until: Option<Timestamp>,
        clock: &impl Clock,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) -> Result<Timestamp, BackendError> {
        self.port.send_with_wait(); // What nobody flushed must not wait as long as we do.
        let timers = &mut self.port.timers;
        if timers.are_to_begin() {
            timers.begin(clock.now());
        }
        let timeout = self.timeout(until, clock);
        self.ready.clear();
        let waited = self.port.readiness.wait(timeout, &mut self.ready);
        self.port.settle();
        waited?;
        let now = clock.now();
        self.port.handle_timers(now);
        // What these cause waits for the next time, so that this ends.
        for _ in 0..self.port.events() {
            let Some(event) = self.port.poll_event() else {
                break;
            };
            on_event(now, event, &mut self.port);
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % self.ready.len().max(1);
        let (before, after) = self.ready.split_at(first);
        for &(id, ready) in after.iter().chain(before) {
            match id {
                ResourceId::Socket(id) => {
                    self.receiver
                        .handle_ready(now, id, ready, &mut self.port, on_event);
                }
                ResourceId::Stream(id) => {
                    self.reader
                        .handle_ready(now, id, ready, &mut self.port, on_event);
                }
                ResourceId::Listener(id) => self.port.accept_ready(now, id, on_event),
                ResourceId::Device(id) => {
                    self.packet_reader
                        .handle_ready(now, id, ready, &mut self.port, on_event);
                }
            }
        }
        Ok(now)
    }

    fn waker(&self) -> Waker {
        self.port.readiness.waker()
    }

    fn counters(&self) -> NetworkCounters {
        self.port.counters()
    }
}

impl fmt::Debug for SocketBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketBackend")
            .field("kind", &self.kind)
            .field("port", &self.port)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
