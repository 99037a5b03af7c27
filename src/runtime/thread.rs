//! One worker on its thread, from setting up its backend to what it leaves behind.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::board::Board;
use super::clock::SystemClock;
use super::config::RuntimeConfig;
use super::doorbell::Doorbell;
use super::lines::{Lines, Stopped};
use super::meter::Meter;
use super::record::{Hosted, Records};
use super::runner;
use crate::backend::{Backend, BackendConfig, BackendError, pin_to_core};
use crate::buffer::BufferPool;
use crate::control::{WorkerFailure, WorkerSummary};
use crate::group::panic_message;
use crate::status::WorkerStatus;
use crate::task::App;
use crate::time::{Clock, Timestamp};
use crate::transmit::TransmitBuffer;
use crate::worker::{Spawned, Spawner, Worker, WorkerInput, WorkerOutput, WorkerOutputs};

/// One worker's thread, before it runs.
pub(super) struct Thread<A: App> {
    pub(super) index: u16,
    pub(super) config: Arc<RuntimeConfig>,
    pub(super) lines: Lines<A>,
    pub(super) board: Arc<Board>,
    pub(super) stopped: Sender<Stopped<A>>,
    pub(super) controller_bell: Arc<Doorbell>,
    pub(super) ready: Sender<Result<(), NotReady>>,
    pub(super) clock: SystemClock,
}

/// Why a thread could not begin.
#[derive(Debug, Clone)]
pub(super) enum NotReady {
    Backend(BackendError),
    Core {
        core: usize,
        error: String,
    },
    Recorder(String),
    /// It ended without saying why.
    Gone,
}

impl<A: App> Thread<A> {
    /// Runs a worker that makes its tasks with `spawn`, over what `make` gives.
    pub(super) fn run<F, B, M>(self, spawn: F, make: M, records: Option<Records<A>>)
    where
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + 'static,
        B: Backend,
        M: FnOnce(u16, &BackendConfig) -> Result<B, BackendError>,
    {
        if let Some(core) = self.config.core(self.index)
            && let Err(error) = pin_to_core(core)
        {
            let error = error.to_network_error().to_string();
            return drop(self.ready.send(Err(NotReady::Core { core, error })));
        }
        let buffers = BufferPool::new();
        let config = self.config.worker(self.index, buffers.clone());
        let hosted = |config| Worker::new(config, spawn);
        let worker = match Hosted::new(config, records.as_ref(), &self.lines.bell, hosted) {
            Ok(worker) => worker,
            Err(error) => return drop(self.ready.send(Err(NotReady::Recorder(error)))),
        };
        match make(self.index, &self.config.backend(buffers)) {
            Ok(backend) => self.over(worker, backend),
            Err(error) => drop(self.ready.send(Err(NotReady::Backend(error)))),
        }
    }

    fn over<B: Backend>(self, mut worker: Hosted<A>, mut backend: B) {
        let Self {
            mut lines, clock, ..
        } = self;
        lines.bell.install(backend.waker());
        drop(self.ready.send(Ok(())));
        let mut meter = Meter::new(self.board, clock.now(), self.config.spin_max);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            runner::run(&mut worker, &mut backend, &clock, &mut lines, &mut meter)
        }));
        let mut summary = WorkerSummary::new(self.index);
        summary.failure = match ran {
            Ok(Ok(())) => None,
            Ok(Err(BackendError { operation, error })) => {
                Some(WorkerFailure::Backend { operation, error })
            }
            Err(panic) => Some(WorkerFailure::Panicked {
                message: panic_message(panic.as_ref()),
            }),
        };
        summary.counters = backend.counters();
        summary.tasks_lost = worker.tasks();
        let (mut worker, recorded) = worker.end(summary.failure.is_some());
        if let Some((stats, failure)) = recorded {
            summary.recorder = Some(stats);
            summary.recorder_failure = failure;
        }
        if summary.failure.is_some() {
            abort(&mut worker);
        }
        let mut status = WorkerStatus::default();
        worker.write_status(&mut status);
        // Sockets are closed and tasks dropped before anybody hears that the worker has stopped.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((worker, backend))));
        if let (Err(panic), None) = (dropped, &summary.failure) {
            let message = panic_message(panic.as_ref());
            summary.failure = Some(WorkerFailure::Panicked { message });
        }
        meter.lost += lines.peers.end();
        summary.bus = status.bus;
        summary.bus.lost += meter.lost;
        lines.events.send_held();
        let last_words = lines.events.end();
        summary.events_dropped = lines.events.dropped;
        while lines.control.pop().is_some() {
            summary.inputs_lost += 1;
        }
        summary.inputs_lost += lines.remote.try_iter().count() as u64;
        drop(lines);
        drop(self.stopped.send(Stopped {
            summary,
            last_words,
        }));
        self.controller_bell.ring();
    }
}

/// Removes the tasks of a worker that has failed, one by one, so that one that panics when it is
/// dropped does not take the thread with it. What waits in the worker is counted as lost.
fn abort<A: App>(worker: &mut Worker<A>) {
    let aborted = catch_unwind(AssertUnwindSafe(|| {
        worker.handle_input(Timestamp::EPOCH, WorkerInput::Abort, &mut Nobody);
    }));
    // After a fault of its own it may not be able to do even that. Its end is reported as such.
    drop(aborted);
}

/// Takes what a worker that has failed gives out.
struct Nobody;

impl<A: App> WorkerOutputs<A> for Nobody {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        drop(output);
    }
}
