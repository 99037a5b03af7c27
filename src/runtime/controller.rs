//! The application's handle on all workers.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::board::{Board, Boards, StatusReader};
use super::clock::SystemClock;
use super::config::RuntimeConfig;
use super::doorbell::Doorbell;
use super::launch::{Launch, launcher};
use super::lines::{Event, Mailbox, StopSignal, Stopped, Told};
use super::record::Rings;
use super::remote::{Directory, Remote};
use super::ring::{RingReceiver, RingSender};
use crate::backend::{
    Backend, BackendConfig, BackendError, PollFd, Timeout, Wake, WakeKind, WakeSignal, Waker,
    poll_fds,
};
use crate::control::{
    CommandId, CommandTarget, ControlError, ControlInput, ControlPlane, ControllerEvent, Load,
    Placement, SpawnId, SpawnState,
};
use crate::net::NetworkError;
use crate::status::WorkerStatus;
use crate::task::App;
use crate::time::{Clock, Epoch, Timestamp};
use crate::worker::{Spawned, Spawner};

mod events;
mod lifecycle;
mod records;

pub use events::Fallen;
pub use lifecycle::ShutdownSummary;

/// Why a runtime, or one more worker, did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No worker was asked for.
    #[error("a runtime needs at least one worker; 0 were asked for")]
    NoWorkers,
    /// The controller got no descriptor to wait with.
    #[error("controller: eventfd: {0}")]
    Controller(NetworkError),
    /// A backend could not be set up.
    #[error("worker {worker}: {error}")]
    Backend {
        /// Whose.
        worker: u16,
        /// Why.
        error: BackendError,
    },
    /// The worker cannot be kept on its core.
    #[error("worker {worker}: core {core}: {message}")]
    Core {
        /// Which worker.
        worker: u16,
        /// Which core.
        core: usize,
        /// What the system said.
        message: String,
    },
    /// The worker cannot be recorded.
    #[error("worker {worker}: {message}")]
    Recorder {
        /// Which.
        worker: u16,
        /// What the system said.
        message: String,
    },
    /// The system gave no thread.
    #[error("worker {worker}: no thread: {message}")]
    Thread {
        /// Whose.
        worker: u16,
        /// What the system said.
        message: String,
    },
    /// No worker can be added any more.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// The application's handle on all workers.
///
/// It belongs to one thread; others have a [`Remote`]. What it is asked to do is done by the
/// workers when they come to it, and what comes of that is an event: see [`Controller::wait`] and
/// [`Controller::poll`]. It acts while it is called and at no other time: a worker that failed is
/// replaced when its event is taken.
///
/// # Example
///
/// ```no_run
/// use core::time::Duration;
/// use stillpoint::backend::BackendKind;
/// use stillpoint::runtime::{Controller, Placement, RuntimeConfig};
/// # use stillpoint::*;
/// # #[derive(Debug)] struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
///
/// let config = RuntimeConfig::new("poll".parse::<BackendKind>()?).workers(2);
/// let mut controller = Controller::<Demo>::start(config, |(), spawner| {
///     spawner.refuse("nothing to make yet")
/// })?;
/// controller.spawn(Placement::LeastLoaded, ())?;
/// while let Some(event) = controller.wait(Some(Duration::from_secs(1))) {
///     println!("{event:?}");
/// }
/// let summary = controller.shutdown(Duration::from_secs(5));
/// assert!(summary.stuck.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Controller<A: App> {
    plane: ControlPlane<A>,
    /// By index.
    workers: Vec<Handle<A>>,
    /// Whose events are taken next, and how many more before it is another's turn.
    turn: usize,
    turn_left: usize,
    /// Events that were met while waiting for others.
    stash: VecDeque<ControllerEvent<A>>,
    bell: Arc<Doorbell>,
    signal: Arc<WakeSignal>,
    /// Set while whoever rings makes the descriptor readable.
    armed: bool,
    interrupted: Arc<AtomicBool>,
    /// How many events come before an interrupt that was met.
    interrupt_after: Option<usize>,
    stopped: Receiver<Stopped<A>>,
    stopped_sender: Sender<Stopped<A>>,
    launch: Launch<A>,
    rings: Arc<Rings>,
    boards: Arc<Boards>,
    directory: Arc<Directory<A>>,
    config: Arc<RuntimeConfig>,
    clock: SystemClock,
}

/// One worker, as its controller sees it.
struct Handle<A: App> {
    index: u16,
    control: RingSender<Told<A>>,
    events: RingReceiver<Event<A>>,
    bell: Arc<Doorbell>,
    mailbox: Arc<Mailbox<A>>,
    stop: Arc<StopSignal>,
    thread: JoinHandle<()>,
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
        let make = config.make_backend();
        Self::start_over(config, spawn, make)
    }

    /// The same over backends of the application's own. Each worker calls a clone of `make` with
    /// its index, on its own thread; `config.backend` is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Controller::start`].
    pub fn start_over<F, B, M>(config: RuntimeConfig, spawn: F, make: M) -> Result<Self, StartError>
    where
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
        B: Backend,
        M: FnMut(u16, &BackendConfig) -> Result<B, BackendError> + Clone + Send + 'static,
    {
        Self::start_with(config, launcher(spawn, make, None), Arc::default())
    }

    fn start_with(
        config: RuntimeConfig,
        launch: Launch<A>,
        rings: Arc<Rings>,
    ) -> Result<Self, StartError> {
        if config.workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let signal = WakeSignal::new(WakeKind::BEST)
            .map_err(|error| StartError::Controller(error.to_network_error()))?;
        let signal = Arc::new(signal);
        let bell = Arc::new(Doorbell::new());
        let wake: Arc<dyn Wake> = Arc::clone(&signal) as _;
        bell.install(Waker::new(wake));
        let (stopped_sender, stopped) = unbounded();
        let workers = config.workers;
        let mut controller = Self {
            plane: ControlPlane::new(config.when_worker_fails),
            workers: Vec::new(),
            turn: 0,
            turn_left: 0,
            stash: VecDeque::new(),
            bell,
            signal,
            armed: false,
            interrupted: Arc::default(),
            interrupt_after: None,
            stopped,
            stopped_sender,
            launch,
            rings,
            boards: Arc::new(RwLock::new(Vec::new())),
            directory: Arc::default(),
            config: Arc::new(config),
            clock: SystemClock::new(),
        };
        for _ in 0..workers {
            controller.launch_worker()?;
        }
        Ok(controller)
    }

    /// How many workers are there.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Their indexes, in order. An index is never given twice.
    pub fn worker_indexes(&self) -> impl Iterator<Item = u16> {
        self.workers.iter().map(|worker| worker.index)
    }

    /// The time that tasks are given, now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the epoch of all workers is for guests that want time as std has it.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.clock.epoch()
    }

    /// Makes a task on the worker that `placement` says; a number is that worker. What comes of it
    /// is an event, and [`Controller::spawn_state`] knows of it once the event was taken.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn spawn(
        &mut self,
        placement: impl Into<Placement>,
        spawn: A::Spawn,
    ) -> Result<SpawnId, ControlError> {
        let placement = placement.into();
        if placement == Placement::LeastLoaded {
            self.weigh();
        }
        self.check_unanswered()?;
        let worker = self.place(placement)?;
        self.check_room(worker)?;
        let (id, input) = self.plane.spawn(worker, spawn);
        self.tell(worker, Told::Other(Box::new(input)))?;
        Ok(id)
    }

    /// How a spawn stands, as of the events that were taken.
    #[must_use]
    pub fn spawn_state(&self, spawn: SpawnId) -> SpawnState {
        self.plane.spawn_state(spawn)
    }

    /// Gives a task, or the agent of a worker, a command. If there is no such task, that is an
    /// event.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    #[inline]
    pub fn command(
        &mut self,
        to: impl Into<CommandTarget>,
        command: A::Command,
    ) -> Result<(), ControlError> {
        match to.into() {
            CommandTarget::Task(task) => {
                let told = Told::Command { task, command };
                self.tell(task.worker(), told)
            }
            to @ CommandTarget::Worker(_) => self.command_tracked(to, command).map(drop),
        }
    }

    /// The same; [`ControllerEvent::Commanded`] says whether it was delivered.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn command_tracked(
        &mut self,
        to: impl Into<CommandTarget>,
        command: A::Command,
    ) -> Result<CommandId, ControlError> {
        let to = to.into();
        self.check_unanswered()?;
        self.plane.check(to.worker())?;
        self.check_room(to.worker())?;
        let (id, input) = self.plane.command(to, command);
        self.tell(to.worker(), Told::Other(Box::new(input)))?;
        Ok(id)
    }

    /// Publishes a message to the subscribers of a channel, on all workers.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then, on any worker.
    pub fn publish(
        &mut self,
        channel: A::Channel,
        message: A::Message,
    ) -> Result<(), ControlError> {
        self.tell_all(message, |message| ControlInput::Publish {
            channel,
            message,
        })
    }

    /// Gives the agent of each worker a message.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then, on any worker.
    pub fn broadcast(&mut self, message: A::Message) -> Result<(), ControlError> {
        self.tell_all(message, ControlInput::Broadcast)
    }

    /// A handle for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote<A> {
        Remote::new(Arc::clone(&self.directory))
    }

    /// What can be seen of each worker that is there, by index. Stops nobody.
    #[must_use]
    pub fn status(&self) -> Vec<WorkerStatus> {
        self.status_reader().read()
    }

    /// The same for other threads, and for tasks that show it to others.
    #[must_use]
    pub fn status_reader(&self) -> StatusReader {
        StatusReader {
            boards: Arc::clone(&self.boards),
            clock: self.clock,
        }
    }

    /// Something that ends a wait from another thread, or from a signal handler's thread.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter {
            interrupted: Arc::clone(&self.interrupted),
            bell: Arc::clone(&self.bell),
        }
    }

    /// Looks how loaded each worker is.
    fn weigh(&mut self) {
        for status in self.status() {
            let load = Load {
                utilization: status.runner.utilization,
                tasks: status.tasks(),
            };
            self.plane.set_load(status.worker, load);
        }
    }

    /// Chooses a worker that is there, also if no event has said yet that another is not.
    fn place(&mut self, placement: Placement) -> Result<u16, ControlError> {
        loop {
            let worker = self.plane.place(placement)?;
            let is_pinned = matches!(placement, Placement::Pinned(_));
            if is_pinned || !self.handle(worker)?.control.is_abandoned() {
                return Ok(worker);
            }
            // It takes nothing any more, so it need not be told.
            drop(self.plane.remove_worker(worker)?);
        }
    }

    fn check_unanswered(&self) -> Result<(), ControlError> {
        let unanswered_max = self.config.unanswered_max;
        if self.plane.unanswered() >= unanswered_max {
            return Err(ControlError::Unanswered { unanswered_max });
        }
        Ok(())
    }

    fn check_room(&self, worker: u16) -> Result<(), ControlError> {
        let handle = self.handle(worker)?;
        if handle.control.is_abandoned() {
            return Err(ControlError::Stopped { worker });
        }
        self.check_full(worker)
    }

    fn check_full(&self, worker: u16) -> Result<(), ControlError> {
        if self.handle(worker)?.control.room() == 0 {
            let inputs_max = self.config.inputs_max;
            return Err(ControlError::Full { worker, inputs_max });
        }
        Ok(())
    }

    fn handle(&self, worker: u16) -> Result<&Handle<A>, ControlError> {
        Ok(&self.workers[self.place_of(worker)?])
    }

    /// Where the worker's handle is.
    fn place_of(&self, worker: u16) -> Result<usize, ControlError> {
        let place = self
            .workers
            .binary_search_by_key(&worker, |handle| handle.index);
        place.map_err(|_| {
            let unknown = self.plane.check(worker).err();
            unknown.unwrap_or(ControlError::Stopped { worker })
        })
    }

    fn tell(&mut self, worker: u16, told: Told<A>) -> Result<(), ControlError> {
        let place = self.place_of(worker)?;
        let handle = &mut self.workers[place];
        if handle.control.is_abandoned() {
            return Err(ControlError::Stopped { worker });
        }
        if handle.control.push(told).is_err() {
            let inputs_max = self.config.inputs_max;
            return Err(ControlError::Full { worker, inputs_max });
        }
        handle.control.flush();
        Ok(())
    }

    fn tell_all(
        &mut self,
        message: A::Message,
        input: impl Fn(A::Message) -> ControlInput<A>,
    ) -> Result<(), ControlError> {
        // Who has stopped without an event having said so needs nothing any more.
        let here = |handle: &&Handle<A>| !handle.control.is_abandoned();
        let here = self.workers.iter().filter(here);
        let workers: Vec<u16> = here.map(|handle| handle.index).collect();
        for &worker in &workers {
            self.check_full(worker)?;
        }
        let Some((&last, others)) = workers.split_last() else {
            return Err(ControlError::NoWorkers);
        };
        for &worker in others {
            self.tell_if_there(worker, input(message.clone()));
        }
        self.tell_if_there(last, input(message));
        Ok(())
    }

    /// Tells a worker something, unless it has just stopped.
    fn tell_if_there(&mut self, worker: u16, input: ControlInput<A>) {
        let told = self.tell(worker, Told::Other(Box::new(input)));
        debug_assert!(
            matches!(told, Ok(()) | Err(ControlError::Stopped { .. })),
            "there was room a moment ago"
        );
    }
}

/// Readable when an event has come since [`Controller::poll`] gave `None`, and until it is called
/// again. For event loops of the application's own.
impl<A: App> AsFd for Controller<A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.fd()
    }
}

impl<A: App> fmt::Debug for Controller<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("workers", &self.workers.len())
            .field("unanswered", &self.plane.unanswered())
            .finish_non_exhaustive()
    }
}

/// Ends a [`Controller::wait`] from elsewhere.
#[derive(Clone, Debug)]
pub struct Interrupter {
    interrupted: Arc<AtomicBool>,
    bell: Arc<Doorbell>,
}

impl Interrupter {
    /// Makes a wait give [`ControllerEvent::Interrupted`], after the events that are there
    /// already. Several before it is taken are one.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.bell.ring();
    }
}
