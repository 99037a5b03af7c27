//! One worker on its thread, from setting up its backend to what it leaves behind.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::clock::SystemClock;
use super::config::RuntimeConfig;
use super::runner::{self, Line, StopSignal};
use crate::backend::sockets::SocketBackend;
use crate::backend::{Backend, BackendError, Waker};
use crate::buffer::BufferPool;
use crate::control::{ControllerEvent, WorkerFailure, WorkerSummary};
use crate::group::panic_message;
use crate::task::App;
use crate::worker::{Spawned, Spawner, Worker, WorkerInput};

/// One worker's thread, before it runs.
pub(super) struct Thread<A: App> {
    pub(super) index: u16,
    pub(super) config: RuntimeConfig,
    pub(super) inputs: Receiver<WorkerInput<A>>,
    pub(super) events: Sender<ControllerEvent<A>>,
    pub(super) stop: Arc<StopSignal>,
    pub(super) stopped: Sender<WorkerSummary>,
    pub(super) ready: Sender<Result<Waker, BackendError>>,
    pub(super) clock: SystemClock,
}

impl<A: App> Thread<A> {
    pub(super) fn run<F>(self, spawn: F)
    where
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + 'static,
    {
        let buffers = BufferPool::new();
        let worker = Worker::new(self.config.worker(self.index, buffers.clone()), spawn);
        let config = self.config.backend(buffers);
        let backend = SocketBackend::new(self.config.backend, &config);
        self.over(worker, backend);
    }

    fn over<B: Backend>(self, mut worker: Worker<A>, backend: Result<B, BackendError>) {
        let mut backend = match backend {
            Ok(backend) => backend,
            Err(error) => return drop(self.ready.send(Err(error))),
        };
        drop(self.ready.send(Ok(backend.waker())));
        let mut events_dropped = 0;
        let line = Line {
            inputs: &self.inputs,
            events: &self.events,
            stop: &self.stop,
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            runner::run(
                &mut worker,
                &mut backend,
                &self.clock,
                &line,
                &mut events_dropped,
            )
        }));
        let failure = match ran {
            Ok(Ok(())) => None,
            Ok(Err(BackendError { operation, error })) => {
                Some(WorkerFailure::Backend { operation, error })
            }
            Err(panic) => Some(WorkerFailure::Panicked {
                message: panic_message(panic.as_ref()),
            }),
        };
        let mut summary = WorkerSummary::new(self.index);
        summary.counters = backend.counters();
        summary.tasks_lost = worker.tasks();
        summary.events_dropped = events_dropped;
        summary.failure = failure;
        // Sockets are closed and tasks dropped before anybody hears that the worker has stopped.
        drop((worker, backend));
        drop(self.stopped.send(summary));
    }
}
