//! The application's handle on all workers.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased};

use super::clock::SystemClock;
use super::config::RuntimeConfig;
use super::runner::{Stop, StopSignal};
use super::thread::Thread;
use crate::backend::{BackendError, Waker};
use crate::control::{ControlError, ControllerEvent, WorkerSummary};
use crate::id::TaskId;
use crate::task::App;
use crate::time::{Clock, Timestamp};
use crate::worker::{Spawned, Spawner, WorkerInput};

/// What came of a shutdown.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShutdownSummary<A: App> {
    /// What each worker did, by index. Those that are stuck are missing.
    pub workers: Vec<WorkerSummary>,
    /// Workers that did not come back, because a task of theirs does not return. Their threads
    /// are left to themselves.
    pub stuck: Vec<u16>,
    /// What had not been waited for.
    pub events: Vec<ControllerEvent<A>>,
}

/// Why a runtime did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No worker was asked for.
    #[error("a runtime needs at least one worker; 0 were asked for")]
    NoWorkers,
    /// A backend could not be set up.
    #[error("worker {worker}: {error}")]
    Backend {
        /// Whose.
        worker: u16,
        /// Why.
        error: BackendError,
    },
    /// The system gave no thread.
    #[error("worker {worker}: no thread: {message}")]
    Thread {
        /// Whose.
        worker: u16,
        /// What the system said.
        message: String,
    },
}

/// The application's handle on all workers.
///
/// # Example
///
/// ```no_run
/// use core::time::Duration;
/// use stillpoint::backend::BackendKind;
/// use stillpoint::runtime::{Controller, RuntimeConfig};
/// # use stillpoint::*;
/// # #[derive(Debug)] struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
///
/// let config = RuntimeConfig::new("poll".parse::<BackendKind>()?).workers(2);
/// let mut controller = Controller::<Demo>::start(config, |(), spawner| {
///     spawner.refuse("nothing to make yet")
/// })?;
/// controller.spawn(0, ())?;
/// while let Some(event) = controller.wait(Some(Duration::from_secs(1))) {
///     println!("{event:?}");
/// }
/// let summary = controller.shutdown(Duration::from_secs(5));
/// assert!(summary.stuck.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Controller<A: App> {
    workers: Vec<Handle<A>>,
    events: Receiver<ControllerEvent<A>>,
    event_sender: Sender<ControllerEvent<A>>,
    stopped: Receiver<WorkerSummary>,
    stop: Arc<StopSignal>,
    inputs_max: usize,
    clock: SystemClock,
}

struct Handle<A: App> {
    inputs: Sender<WorkerInput<A>>,
    waker: Waker,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
}

impl<A: App> Controller<A> {
    /// Starts the workers. Each makes its tasks with a clone of `spawn`, on its own thread; so
    /// tasks need not be `Send`.
    ///
    /// # Errors
    ///
    /// [`StartError`]; workers that had started are stopped again.
    pub fn start<F>(config: RuntimeConfig, spawn: F) -> Result<Self, StartError>
    where
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
    {
        if config.workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let (event_sender, events) = bounded(config.events_max);
        let (stopped_sender, stopped) = bounded(usize::from(config.workers));
        let mut controller = Self {
            workers: Vec::new(),
            events,
            event_sender,
            stopped,
            stop: Arc::default(),
            inputs_max: config.inputs_max,
            clock: SystemClock::new(),
        };
        for index in 0..config.workers {
            let (inputs, receiver) = bounded(config.inputs_max);
            let (ready_sender, ready) = bounded(1);
            let thread = Thread {
                index,
                config: config.clone(),
                inputs: receiver,
                events: controller.event_sender.clone(),
                stop: Arc::clone(&controller.stop),
                stopped: stopped_sender.clone(),
                ready: ready_sender,
                clock: controller.clock,
            };
            let spawn = spawn.clone();
            let thread = Builder::new()
                .name(format!("stillpoint-{index}"))
                .spawn(move || thread.run(spawn))
                .map_err(|error| StartError::Thread {
                    worker: index,
                    message: error.to_string(),
                })?;
            let waker = match ready.recv() {
                Ok(Ok(waker)) => waker,
                Ok(Err(error)) => {
                    return Err(StartError::Backend {
                        worker: index,
                        error,
                    });
                }
                Err(_) => {
                    let message = "ended before it was ready".to_owned();
                    return Err(StartError::Thread {
                        worker: index,
                        message,
                    });
                }
            };
            controller.workers.push(Handle {
                inputs,
                waker,
                thread: Some(thread),
            });
        }
        Ok(controller)
    }

    /// How many workers were started.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The time that tasks are given, now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes a task on a worker. What comes of it is an event.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn spawn(&self, worker: u16, spawn: A::Spawn) -> Result<(), ControlError> {
        self.send(worker, WorkerInput::Spawn(spawn))
    }

    /// Gives a task a command. If the task is no more, that is an event.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn command(&self, task: TaskId, command: A::Command) -> Result<(), ControlError> {
        self.send(task.worker(), WorkerInput::Command { task, command })
    }

    /// Waits for the next event: for ever, or at most for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Option<ControllerEvent<A>> {
        let timeout = match timeout {
            Some(timeout) => crossbeam_channel::after(timeout),
            None => crossbeam_channel::never(),
        };
        select_biased! {
            // We hold a sender of events ourselves, so neither can be disconnected before the
            // last worker has stopped.
            recv(self.events) -> event => event.ok(),
            recv(self.stopped) -> summary => summary.ok().map(ControllerEvent::WorkerStopped),
            recv(timeout) -> _ => None,
        }
    }

    /// Something that ends a wait from another thread, or from a signal handler's thread.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter<A> {
        Interrupter(self.event_sender.clone())
    }

    /// Tells every task to finish, and waits for them at most for `timeout`. Tasks that live on
    /// are removed then. Every thread that comes back is joined.
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownSummary<A> {
        let mut summary = ShutdownSummary {
            workers: Vec::new(),
            stuck: Vec::new(),
            events: Vec::new(),
        };
        self.ask_to_stop(Stop::Shutdown);
        self.gather(timeout, &mut summary);
        self.ask_to_stop(Stop::Abort);
        self.gather(ABORT_GRACE, &mut summary);
        for (index, worker) in (0u16..).zip(&mut self.workers) {
            if summary
                .workers
                .iter()
                .all(|stopped| stopped.worker != index)
            {
                // It is in a task that does not return. Waiting for it would be for ever.
                summary.stuck.push(index);
                worker.thread = None;
            }
        }
        summary.workers.sort_by_key(|stopped| stopped.worker);
        summary.events.extend(self.events.try_iter());
        summary
    }

    /// Waits until all workers have stopped, or for `timeout`.
    fn gather(&self, timeout: Duration, summary: &mut ShutdownSummary<A>) {
        let until = crossbeam_channel::after(timeout);
        while summary.workers.len() < self.workers.len() {
            select_biased! {
                recv(self.events) -> event => summary.events.extend(event.ok()),
                recv(self.stopped) -> stopped => summary.workers.extend(stopped.ok()),
                recv(until) -> _ => return,
            }
        }
    }

    fn ask_to_stop(&self, stop: Stop) {
        self.stop.ask(stop);
        for worker in &self.workers {
            worker.waker.wake();
        }
    }

    fn send(&self, worker: u16, input: WorkerInput<A>) -> Result<(), ControlError> {
        let workers = self.workers.len();
        let handle = self.workers.get(usize::from(worker));
        let handle = handle.ok_or(ControlError::NoSuchWorker { worker, workers })?;
        handle.inputs.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => ControlError::Full {
                worker,
                inputs_max: self.inputs_max,
            },
            TrySendError::Disconnected(_) => ControlError::Stopped { worker },
        })?;
        handle.waker.wake();
        Ok(())
    }
}

impl<A: App> Drop for Controller<A> {
    fn drop(&mut self) {
        self.ask_to_stop(Stop::Abort);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // The thread catches its own panics, so there is nothing to hear here.
                drop(thread.join());
            }
        }
    }
}

impl<A: App> fmt::Debug for Controller<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Controller({} workers, {} events wait)",
            self.workers.len(),
            self.events.len()
        )
    }
}

/// Ends a [`Controller::wait`] from elsewhere.
#[derive(Clone)]
pub struct Interrupter<A: App>(Sender<ControllerEvent<A>>);

impl<A: App> Interrupter<A> {
    /// Makes a wait give [`ControllerEvent::Interrupted`], after the events that are there
    /// already. If there is no room for one more event, those end the wait anyway.
    pub fn interrupt(&self) {
        drop(self.0.try_send(ControllerEvent::Interrupted));
    }
}

impl<A: App> fmt::Debug for Interrupter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interrupter")
    }
}

/// How long removed tasks may take to be dropped.
const ABORT_GRACE: Duration = Duration::from_secs(1);
