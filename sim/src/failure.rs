//! How a scenario can fail.

use core::fmt;
use core::time::Duration;

use stillpoint::{TaskId, Timestamp};

use crate::leak::{Leak, Left};
use crate::wait::{Listed, Wait};

mod class;
mod file;

pub use class::FailureClass;
pub(crate) use file::FILE;
pub use file::{FailureFile, FailureFileError, Outcome, ReplayFrom, Replayed};

/// Why a scenario failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing is left to happen, and what was waited for does not hold.
    #[error(
        "deadlock at {at}: nothing is left to happen and what was waited for does not hold. \
        Something that was lost is never sent again, or never was asked for. Who waits:{}",
        Listed(waiting)
    )]
    Deadlock {
        /// When.
        at: Timestamp,
        /// Who waits for whom.
        waiting: Vec<Wait>,
    },
    /// Virtual time ran out.
    #[error(
        "timed out at {at}: not done within {limit:?}. Give it more time, or see who waits:{}",
        Listed(waiting)
    )]
    TimedOut {
        /// When.
        at: Timestamp,
        /// The time there was.
        limit: Duration,
        /// Who waits for whom.
        waiting: Vec<Wait>,
    },
    /// More happened than may.
    #[error(
        "more than {events_max} events by {at}: something goes round in circles, or \
        `World::set_events_max` is to allow more"
    )]
    Budget {
        /// When.
        at: Timestamp,
        /// How many events there may be.
        events_max: u64,
    },
    /// A task panicked or never stopped giving output, or could not be made.
    #[error(
        "a task failed at {at} on node `{node}`, worker {worker}{}: {reason}. If the scenario \
        wants this, it calls `World::tolerate_task_failures`",
        Named(task)
    )]
    TaskFailed {
        /// When.
        at: Timestamp,
        /// Name of the node.
        node: String,
        /// Index of the worker.
        worker: u16,
        /// Which task, if it came to be.
        task: Option<TaskId>,
        /// Why, with the panic's message.
        reason: String,
    },
    /// What must always hold does not.
    #[error("`{name}` does not hold at {at}{}, after {after}", Saw(saw))]
    Invariant {
        /// When.
        at: Timestamp,
        /// The name given to `World::always`.
        name: String,
        /// What the invariant saw instead, if it says so.
        saw: String,
        /// The last event before it was asked.
        after: String,
    },
    /// What must hold at last has not come in time.
    #[error(
        "`{name}` does not hold by {at}{}; it was owed since {since}. Who waits:{}",
        Saw(saw),
        Listed(waiting)
    )]
    Eventually {
        /// The name given to `World::eventually`, or to another of its kind.
        name: String,
        /// When it was overdue.
        at: Timestamp,
        /// From when on it was owed: since it was declared, or the last fault.
        since: Timestamp,
        /// What the property saw instead, if it says so.
        saw: String,
        /// Who waits for whom.
        waiting: Vec<Wait>,
    },
    /// The core of [`World::converge`](crate::World::converge) does not come to what it owes.
    #[error(
        "stuck at {at}: the core of {} does not converge{}. Who waits:{}",
        Names(core),
        Saw(saw),
        Listed(waiting)
    )]
    Stuck {
        /// When.
        at: Timestamp,
        /// The names of the nodes in the core.
        core: Vec<String>,
        /// What was seen instead, if that was said.
        saw: String,
        /// Who in the core waits for whom.
        waiting: Vec<Wait>,
    },
    /// Something is left of a world that was to be empty.
    #[error("{} left at {at} that should be gone:{}", leaks.len(), Left(leaks))]
    Leaked {
        /// When.
        at: Timestamp,
        /// What.
        leaks: Vec<Leak>,
    },
    /// The scenario itself panicked: a failed assertion, say.
    #[error("the scenario panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A reason of the scenario's own. See [`Failure::new`].
    #[error("{reason}")]
    Scenario {
        /// Which.
        reason: String,
    },
}

impl Failure {
    /// A failure for a reason of the scenario's own.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Scenario { reason }
    }

    /// Who waits for whom, if the failure says so.
    #[must_use]
    pub fn waiting(&self) -> Option<&[Wait]> {
        match self {
            Self::Deadlock { waiting, .. }
            | Self::TimedOut { waiting, .. }
            | Self::Eventually { waiting, .. }
            | Self::Stuck { waiting, .. } => Some(waiting),
            Self::Budget { .. }
            | Self::TaskFailed { .. }
            | Self::Invariant { .. }
            | Self::Leaked { .. }
            | Self::Panicked { .. }
            | Self::Scenario { .. } => None,
        }
    }

    /// Whether it is the same, but for who waits for whom.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let bare = |failure: &Self| {
            let mut failure = failure.clone();
            if let Self::Deadlock { waiting, .. }
            | Self::TimedOut { waiting, .. }
            | Self::Eventually { waiting, .. }
            | Self::Stuck { waiting, .. } = &mut failure
            {
                waiting.clear();
            }
            failure
        };
        bare(self) == bare(other)
    }
}

struct Saw<'a>(&'a str);

impl fmt::Display for Saw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            saw => write!(f, " (it saw: {saw})"),
        }
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 16;
        for (number, name) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}`")?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

struct Named<'a>(&'a Option<TaskId>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |task| write!(f, ", {task}"))
    }
}
