//! What probes are told to do, and what they and their driver write down.

use core::cell::RefCell;
use std::rc::Rc;

use stillpoint::{App, End, ResourceId, SocketId, SpawnError, TaskId};

#[derive(Debug)]
pub(crate) struct Lab;

impl App for Lab {
    type Channel = ();
    type Message = ();
    type Command = Vec<Act>;
    type Report = u64;
    type Spawn = Birth;
}

/// One thing that a task does about an input. Sockets are meant by their number, modulo how many
/// there were so far: they may be closed, or somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Give this as a report.
    Report(u64),
    /// Want a timeout this many nanoseconds from now on.
    After(i64),
    /// Want no timeout.
    Rest,
    Panic(Place),
    Finish,
    /// Give reports for ever.
    RunAway,
    Spawn(Box<Birth>),
    Open,
    Close(usize),
    /// Send a buffer.
    Send(usize),
    /// Send something written in place, of this many bytes.
    Write(usize, u8),
    /// Send more than a datagram takes.
    SendTooLong(usize),
    /// Report a draw.
    Draw,
}

/// Where a task panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    HandleInput,
    PollOutput,
    PollTimeout,
    Drop,
}

impl Place {
    pub(crate) const ALL: [Self; 4] = [
        Self::HandleInput,
        Self::PollOutput,
        Self::PollTimeout,
        Self::Drop,
    ];

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::HandleInput => "in handle_input",
            Self::PollOutput => "in poll_output",
            Self::PollTimeout => "in poll_timeout",
            Self::Drop => "in drop",
        }
    }
}

/// What a task is made from: what it does at its start, at each timeout, and so on.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Birth {
    pub(crate) kind: Kind,
    pub(crate) start: Vec<Act>,
    pub(crate) timeouts: Vec<Vec<Act>>,
    pub(crate) datagram: Vec<Act>,
    pub(crate) shutdown: Vec<Act>,
}

/// The task's type, or how the making of it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    First,
    Second,
    Third,
    Refused,
    /// The function that makes tasks panics before it has made one.
    Panicking,
    /// It panics after it has put a `First` in.
    PanickingLate,
}

/// A line of the book.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// The task was given an input.
    Given { task: usize, now: u64, input: Heard },
    /// The task was asked for output and answered.
    Polled { task: usize, output: Option<Said> },
    /// The task was asked for its deadline and answered.
    Asked { task: usize, wants: Option<u64> },
    /// The task was dropped.
    Dropped { task: usize },
    /// The driver was given an output of the worker.
    Pushed(Pushed),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Started,
    Timeout,
    Command,
    Shutdown,
    Opened(usize),
    /// `None` if the id was stale from the start.
    OpenFailed(Option<usize>),
    Datagram(usize),
    Stale(usize, u32),
    TooLong(usize, u32),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Report(u64),
    Finished,
    Spawn,
    Open,
    Close(usize),
    Transmit(usize),
    Panic,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pushed {
    Open(usize),
    Transmit(usize, Vec<u8>),
    Close(usize),
    Report(usize, u64),
    Started {
        task: usize,
        parent: Option<usize>,
    },
    SpawnFailed {
        parent: Option<usize>,
        error: SpawnError,
    },
    Ended(usize, End),
    Stale(usize),
    Untold(usize),
}

/// What all tasks and the driver of one test write into.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) sockets: Vec<SocketId>,
    /// The test is over: nothing counts any more, and nobody panics.
    pub(crate) closed: bool,
}

impl Book {
    pub(crate) fn task(&self, id: TaskId) -> usize {
        self.tasks
            .iter()
            .position(|&task| task == id)
            .expect("a task that has started")
    }

    pub(crate) fn socket(&self, id: impl Into<ResourceId>) -> usize {
        self.known(id).expect("a socket that was opened")
    }

    pub(crate) fn known(&self, id: impl Into<ResourceId>) -> Option<usize> {
        let id = id.into();
        self.sockets
            .iter()
            .position(|&socket| ResourceId::from(socket) == id)
    }

    pub(crate) fn write(&mut self, entry: Entry) {
        if !self.closed {
            self.entries.push(entry);
        }
    }
}

pub(crate) type SharedBook = Rc<RefCell<Book>>;
