//! What is left of a world that should be empty.

use core::fmt;

use stillpoint::{TaskId, Timestamp};

/// Something that is still there. See [`World::leaks`](crate::World::leaks).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak {
    /// What kind of thing.
    pub kind: LeakKind,
    /// The name of the node that has it, if one does.
    pub node: String,
    /// Index of the worker that has it, if one does.
    pub worker: Option<u16>,
    /// The task that has it, or that it is.
    pub owner: Option<TaskId>,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// More of it, for people.
    pub what: String,
}

/// What can be left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// A task that lives.
    Task,
    /// A deadline of a task.
    Timer,
    /// A UDP socket.
    Socket,
    /// A TCP listener.
    Listener,
    /// A stream, or what is left of one that its task has closed.
    Stream,
    /// A TUN or TAP device.
    Device,
    /// A subscription to a channel of the bus.
    Subscription,
    /// A request that was neither answered nor failed.
    Request,
    /// Messages in a queue of the bus.
    Message,
    /// Inputs that wait at a worker.
    Input,
    /// Datagrams, packets or segments on their way.
    Flight,
    /// Packets that a host has taken in, and that nobody has taken from there.
    Packet,
    /// Memory of a [`Buffer`](stillpoint::Buffer).
    Buffer,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(owner) = self.owner
            && self.kind != LeakKind::Task
        {
            write!(f, " of {owner}")?;
        }
        match (self.node.is_empty(), self.worker) {
            (true, _) => {}
            (false, Some(worker)) => write!(f, " on `{}` worker {worker}", self.node)?,
            (false, None) => write!(f, " on `{}`", self.node)?,
        }
        match self.since {
            Some(since) => write!(f, ", since {since}"),
            None => Ok(()),
        }
    }
}

/// All that is left, as a list.
pub(crate) struct Left<'a>(pub(crate) &'a [Leak]);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for leak in self.0.iter().take(LEAKS_SHOWN_MAX) {
            write!(f, "\n  {leak}")?;
        }
        match self.0.len().saturating_sub(LEAKS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Leaks that are shown.
const LEAKS_SHOWN_MAX: usize = 24;
