//! The control plane, as data: what a controller asks of workers, and what they answer.

mod event;
mod plane;

pub use event::{
    ControlError, ControllerEvent, Placement, SpawnState, WhenWorkerFails, WorkerFailure,
    WorkerSummary,
};
pub use plane::{ControlPlane, Load, Reaction};

use crate::id::TaskId;
use crate::task::App;
use crate::worker::SpawnError;

/// One spawn that a controller has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpawnId(pub(crate) u64);

/// One command whose delivery a controller wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(crate) u64);

#[cfg(feature = "poll")]
impl CommandId {
    /// One whose answer nobody waits for.
    pub(crate) const UNTRACKED: Self = Self(u64::MAX);
}

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum CommandTarget {
    /// A task.
    Task(TaskId),
    /// The agent of a worker. See [`BusCommand::BecomeAgent`](crate::BusCommand::BecomeAgent).
    Worker(u16),
}

impl CommandTarget {
    /// The worker that it goes to.
    #[must_use]
    pub const fn worker(self) -> u16 {
        match self {
            Self::Task(task) => task.worker(),
            Self::Worker(worker) => worker,
        }
    }
}

impl From<TaskId> for CommandTarget {
    fn from(task: TaskId) -> Self {
        Self::Task(task)
    }
}

/// What a controller asks of one worker.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlInput<A: App> {
    /// Make a task. Answered by [`ControlOutput::Spawned`].
    Spawn {
        /// Comes back with the answer.
        id: SpawnId,
        /// What it is made from.
        spawn: A::Spawn,
    },
    /// Give a command. Answered by [`ControlOutput::Commanded`].
    Command {
        /// Comes back with the answer.
        id: CommandId,
        /// Whom it is for.
        to: CommandTarget,
        /// Which.
        command: A::Command,
    },
    /// Publish a message to the worker's subscribers of a channel.
    Publish {
        /// Which.
        channel: A::Channel,
        /// What.
        message: A::Message,
    },
    /// Give the worker's agent a message.
    Broadcast(A::Message),
    /// Tell the tasks of this shutdown phase, and of those before it, to finish. Answered by
    /// [`ControlOutput::PhaseEnded`].
    Shutdown {
        /// Which: see [`Task::SHUTDOWN_PHASE`](crate::Task::SHUTDOWN_PHASE).
        phase: u8,
    },
}

/// What a worker answers its controller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlOutput {
    /// A task was made, or why not. If it was, [`WorkerOutput::Started`](crate::WorkerOutput)
    /// comes next.
    Spawned {
        /// Which spawn it was.
        id: SpawnId,
        /// The task.
        made: Result<TaskId, SpawnError>,
    },
    /// A command was given to a task, or why not.
    Commanded {
        /// Which command it was.
        id: CommandId,
        /// The task.
        given: Result<TaskId, CommandError>,
    },
    /// No task of a shutdown phase, or of those before it, lives any more; others do.
    PhaseEnded {
        /// Which phase.
        phase: u8,
        /// The next phase that has tasks here.
        next: u8,
    },
}

/// Why a command was given to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The task is no more.
    #[error("{task} is no more")]
    Stale {
        /// Which.
        task: TaskId,
    },
    /// The worker has no agent.
    #[error("worker {worker} has no agent: no task of it said `BecomeAgent`")]
    NoAgent {
        /// Which.
        worker: u16,
    },
    /// The worker stopped before it took the command.
    #[error("worker {worker} has stopped")]
    WorkerGone {
        /// Which.
        worker: u16,
    },
}
