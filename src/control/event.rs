//! What a controller is told.

use core::time::Duration;

use super::{CommandError, CommandId, SpawnId};
use crate::bus::BusCounters;
use crate::counters::NetworkCounters;
use crate::group::StaleTask;
use crate::id::TaskId;
use crate::net::{NetworkError, NetworkEvent};
use crate::recorder::RecorderStats;
use crate::task::{App, End};
use crate::worker::SpawnError;

/// What a controller is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControllerEvent<A: App> {
    /// A task says something.
    Report {
        /// The task.
        task: TaskId,
        /// What it says.
        report: A::Report,
    },
    /// A task has started.
    Started {
        /// Its id.
        task: TaskId,
        /// The task that asked for it, if a task did.
        parent: Option<TaskId>,
        /// Which spawn of the controller's it was, if it was one.
        spawn: Option<SpawnId>,
    },
    /// A task could not be made.
    SpawnFailed {
        /// The task that asked for it, if a task did.
        parent: Option<TaskId>,
        /// Which spawn of the controller's it was, if it was one.
        spawn: Option<SpawnId>,
        /// Why.
        error: SpawnError,
    },
    /// A task is no more.
    Ended {
        /// Its id.
        task: TaskId,
        /// Why.
        end: End,
        /// Which spawn of the controller's it was, if it was one.
        spawn: Option<SpawnId>,
    },
    /// A command whose delivery was to be told was given to a task, or why not.
    Commanded {
        /// Which command it was.
        id: CommandId,
        /// The task.
        given: Result<TaskId, CommandError>,
    },
    /// A command was for a task that is no more.
    Stale(StaleTask),
    /// A task made so many mistakes that it could not be told of this one.
    Untold {
        /// The task.
        task: TaskId,
        /// What it was to be told.
        event: NetworkEvent,
    },
    /// A worker has been added.
    WorkerStarted {
        /// Its index.
        worker: u16,
        /// The one that failed and in whose place it is, if there is one.
        instead_of: Option<u16>,
    },
    /// A worker has stopped: it was removed, its backend failed, or it has a fault.
    WorkerStopped(Box<WorkerSummary>),
    /// A worker that failed was to be replaced, and that did not succeed.
    RestartFailed {
        /// The one that failed.
        worker: u16,
        /// Why there is none in its place.
        message: String,
    },
    /// Somebody ended the wait.
    Interrupted,
}

/// What one worker did until it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerSummary {
    /// Its index.
    pub worker: u16,
    /// What passed through its sockets.
    pub counters: NetworkCounters,
    /// Tasks that still lived when it failed.
    pub tasks_lost: usize,
    /// Inputs from the controller that it had not taken.
    pub inputs_lost: u64,
    /// What became of messages on the bus.
    pub bus: BusCounters,
    /// Reports and other events that the controller had no room for.
    pub events_dropped: u64,
    /// What its flight recorder did, if it had one.
    pub recorder: Option<RecorderStats>,
    /// Why its recorder gave up, if it did: what the system said.
    pub recorder_failure: Option<String>,
    /// Why it stopped, if it was not asked to.
    pub failure: Option<WorkerFailure>,
}

impl WorkerSummary {
    /// A worker that did nothing and was asked to stop.
    #[must_use]
    pub fn new(worker: u16) -> Self {
        Self {
            worker,
            counters: NetworkCounters::default(),
            tasks_lost: 0,
            inputs_lost: 0,
            bus: BusCounters::default(),
            events_dropped: 0,
            recorder: None,
            recorder_failure: None,
            failure: None,
        }
    }
}

/// Why a worker stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerFailure {
    /// Its backend can do nothing more.
    #[error("backend failed: {operation}: {error}")]
    Backend {
        /// What it was doing, as the system calls it.
        operation: &'static str,
        /// What the system said.
        error: NetworkError,
    },
    /// The worker itself panicked: a fault of this library.
    #[error("worker panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A fault that a simulation planned.
    #[error("killed by the simulation")]
    Killed,
}

/// What is done when a worker fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "all there is to do")]
pub enum WhenWorkerFails {
    /// The others go on.
    #[default]
    GoOn,
    /// A new worker takes its place, under an index of its own; its tasks are not made anew.
    Restart {
        /// How many times within [`WhenWorkerFails::WINDOW`] at the most. One more failure, and the
        /// others go on without.
        restarts_max: u32,
    },
    /// All others are told to finish.
    Stop,
}

impl WhenWorkerFails {
    /// Over which time restarts are counted.
    pub const WINDOW: Duration = Duration::from_secs(60);
}

/// Where a task is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all there is to choose by")]
pub enum Placement {
    /// On this worker.
    Pinned(u16),
    /// On one worker after the other.
    RoundRobin,
    /// On the worker that is likely to be least busy with one more task, going by how busy it was of
    /// late with those it had; among idle ones on the one with the fewest, those on their way
    /// included.
    LeastLoaded,
    /// On the worker that the key decides: the same as long as that worker is there. When workers
    /// come and go, only keys that have to move do (rendezvous hashing: Thaler and Ravishankar, 1998).
    Key(u64),
}

impl From<u16> for Placement {
    fn from(worker: u16) -> Self {
        Self::Pinned(worker)
    }
}

/// Why a controller did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no worker with this index.
    #[error("no worker {worker}; this runtime has {workers}")]
    NoSuchWorker {
        /// The index.
        worker: u16,
        /// How many there are.
        workers: usize,
    },
    /// Its queue is full. Try again once it has worked on.
    #[error("worker {worker}: queue full, {inputs_max} inputs wait")]
    Full {
        /// Whose.
        worker: u16,
        /// How many may wait.
        inputs_max: usize,
    },
    /// It has stopped, or is about to.
    #[error("worker {worker} has stopped")]
    Stopped {
        /// Which.
        worker: u16,
    },
    /// No worker is there to place a task on.
    #[error("no worker is running")]
    NoWorkers,
    /// Too many spawns and commands wait for their answers: look at the controller's events.
    #[error("{unanswered_max} spawns and commands wait for their answers: take the events")]
    Unanswered {
        /// How many may wait.
        unanswered_max: usize,
    },
    /// The runtime was told to stop.
    #[error("the runtime is stopping")]
    Stopping,
    /// Every index has been given to a worker; an index is not given twice.
    #[error("no index is left for another worker")]
    NoIndex,
}

/// How a spawn stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnState {
    /// The worker has not taken it yet.
    Underway,
    /// The task lives.
    Started(TaskId),
    /// There is no such task any more, or there never was: an event has said so.
    Over,
}
