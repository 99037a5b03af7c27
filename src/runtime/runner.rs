//! The loop that gives a worker its inputs.
//!
//! Everything with a decision in it is in the worker or in the backend; this is short so that it
//! can be read whole. A wake-up hands the worker what the network has, then what the controller
//! has (a bounded batch), then what is due, and flushes what all of it caused. The time is the one
//! sampled after the wait.

use core::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::backend::{Backend, BackendError, Port};
use crate::control::ControllerEvent;
use crate::task::App;
use crate::time::{Clock, Timestamp};
use crate::transmit::TransmitBuffer;
use crate::worker::{Worker, WorkerInput, WorkerOutput, WorkerOutputs};

/// Inputs taken from the controller at one wake-up.
const CONTROL_BATCH_MAX: usize = 256;

/// What connects a worker's thread to its controller.
#[derive(Debug)]
pub(super) struct Line<'a, A: App> {
    pub(super) inputs: &'a Receiver<WorkerInput<A>>,
    pub(super) events: &'a Sender<ControllerEvent<A>>,
    pub(super) stop: &'a StopSignal,
}

/// Runs `worker` over `backend` until it is stopped. Returns how many events the controller had no
/// room for.
///
/// # Errors
///
/// [`BackendError`] if the backend can do nothing more; the worker is then as it was.
pub(super) fn run<A: App, B: Backend>(
    worker: &mut Worker<A>,
    backend: &mut B,
    clock: &impl Clock,
    line: &Line<'_, A>,
    events_dropped: &mut u64,
) -> Result<(), BackendError> {
    let mut stopping = Stop::No;
    while !worker.is_stopped() {
        // Inputs that the last batch left are not announced again.
        let until = match worker.poll_timeout() {
            _ if !line.inputs.is_empty() => Some(Timestamp::EPOCH),
            deadline => deadline.map(|deadline| deadline.at),
        };
        let now = backend.wait(until, clock, &mut |now, event, port| {
            let outputs = &mut Outputs {
                port,
                events: line.events,
                dropped: events_dropped,
            };
            worker.handle_input(now, WorkerInput::Network(event), outputs);
        })?;
        let port = backend.port();
        let outputs = &mut Outputs {
            port,
            events: line.events,
            dropped: events_dropped,
        };
        for input in line.inputs.try_iter().take(CONTROL_BATCH_MAX) {
            worker.handle_input(now, input, outputs);
        }
        let asked = line.stop.load();
        if asked != stopping {
            stopping = asked;
            let input = if asked == Stop::Abort {
                WorkerInput::Abort
            } else {
                WorkerInput::Shutdown
            };
            worker.handle_input(now, input, outputs);
        }
        if worker
            .poll_timeout()
            .is_some_and(|deadline| deadline.at <= now)
        {
            worker.handle_input(now, WorkerInput::Timeout, outputs);
        }
        backend.flush()?;
    }
    Ok(())
}

/// Sends what concerns the network to the backend, and the rest to the controller.
struct Outputs<'a, A: App, P> {
    port: &'a mut P,
    events: &'a Sender<ControllerEvent<A>>,
    dropped: &'a mut u64,
}

impl<A: App, P: Port> WorkerOutputs<A> for Outputs<'_, A, P> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        let event = match output {
            WorkerOutput::Network(command) => return self.port.submit(command),
            WorkerOutput::Report { task, report } => ControllerEvent::Report { task, report },
            WorkerOutput::Started { task, parent } => ControllerEvent::Started {
                task,
                parent,
                spawn: None,
            },
            WorkerOutput::SpawnFailed { parent, error } => ControllerEvent::SpawnFailed {
                parent,
                spawn: None,
                error,
            },
            WorkerOutput::Ended { task, end } => ControllerEvent::Ended {
                task,
                end,
                spawn: None,
            },
            WorkerOutput::Control(_) => return,
            WorkerOutput::Stale(stale) => ControllerEvent::Stale(stale),
            WorkerOutput::Untold { task, event } => ControllerEvent::Untold { task, event },
        };
        match self.events.try_send(event) {
            Ok(()) => {}
            // A worker never waits for its controller. Nobody listens when it is being dropped.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => *self.dropped += 1,
        }
    }
}

/// Whether workers are to stop, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    Shutdown,
    Abort,
}

/// Says so to all threads. Beside the queue of inputs, so that a full queue cannot hold it up.
#[derive(Debug, Default)]
pub(super) struct StopSignal(AtomicU8);

impl StopSignal {
    /// Asks for it. Never goes back.
    pub(super) fn ask(&self, stop: Stop) {
        self.0.fetch_max(stop as u8, Ordering::SeqCst);
    }

    fn load(&self) -> Stop {
        match self.0.load(Ordering::SeqCst) {
            0 => Stop::No,
            1 => Stop::Shutdown,
            _ => Stop::Abort,
        }
    }
}
