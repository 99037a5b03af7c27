//! How a scenario can fail.

use core::fmt;
use core::time::Duration;

use stillpoint::{TaskId, Timestamp};

/// Why a scenario failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing is left to happen, and what was waited for does not hold.
    #[error(
        "deadlock at {at}: nothing is left to happen and what was waited for does not hold; \
        {} wait without a deadline. Something that was lost is never sent again, or never was \
        asked for",
        Listed(waiting)
    )]
    Deadlock {
        /// When.
        at: Timestamp,
        /// The workers with tasks that wait.
        waiting: Vec<Waiting>,
    },
    /// Virtual time ran out.
    #[error(
        "timed out at {at}: not done within {limit:?}. Give it more time, or find out what it \
        waits for: see the last events"
    )]
    TimedOut {
        /// When.
        at: Timestamp,
        /// The time there was.
        limit: Duration,
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
    #[error("`{name}` does not hold at {at}, after the last of the events")]
    Invariant {
        /// When.
        at: Timestamp,
        /// The name given to `World::always`.
        name: String,
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
}

/// A worker whose tasks wait, and for no deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Name of the node.
    pub node: String,
    /// Index of the worker.
    pub worker: u16,
    /// How many tasks it holds.
    pub tasks: usize,
}

struct Listed<'a>(&'a [Waiting]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 8;
        if self.0.is_empty() {
            f.write_str("there are no tasks at all, so none")?;
        }
        for (index, waiting) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let Waiting {
                node,
                worker,
                tasks,
            } = waiting;
            write!(f, "{comma}{tasks} task(s) on `{node}` worker {worker}")?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and those on {more} more workers"),
        }
    }
}

struct Named<'a>(&'a Option<TaskId>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |task| write!(f, ", {task}"))
    }
}
