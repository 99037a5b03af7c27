//! A worker of probes and its driver, which writes what it gets into the same book.

use core::cell::RefCell;
use std::rc::Rc;

use stillpoint::{
    Entropy, NetworkCommand, NetworkError, NetworkEvent, SocketId, Spawned, Spawner, TaskId,
    Timestamp, Token, TransmitBuffer, UdpBuffers, UdpOpen, Worker, WorkerConfig, WorkerInput,
    WorkerOutput, WorkerOutputs, WorkerState,
};

use super::check::check_drain;
use super::probe::{Act, Birth, Book, Entry, Kind, Lab, Probe, Pushed, SharedBook, datagram, peer};

/// One input for the worker. Tasks and sockets are meant by their number, modulo how many there
/// were so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Say {
    Timeout,
    Spawn(Birth),
    Command(usize, Vec<Act>),
    Opened(usize),
    OpenFailed(usize),
    Datagram(usize),
    Shutdown,
    Abort,
}

pub(crate) struct Bench {
    pub(crate) worker: Worker<Lab>,
    pub(crate) driver: Driver,
    pub(crate) book: SharedBook,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A worker with these limits.
    pub(crate) fn with(limits: impl FnOnce(&mut WorkerConfig)) -> Self {
        let mut config = WorkerConfig::new(3, Entropy::from_seed(1));
        limits(&mut config);
        let book: SharedBook = Rc::new(RefCell::new(Book::default()));
        let written = Rc::clone(&book);
        let worker = Worker::new(config, move |birth, spawner| make(birth, spawner, &written));
        let driver = Driver {
            book: Rc::clone(&book),
            lent: [0; 256],
            panics_at: None,
        };
        Self {
            worker,
            driver,
            book,
        }
    }

    /// The ids of a task and a socket of another worker, which look like those of this one's
    /// first; they become number 0.
    pub(crate) fn with_foreigners(self) -> Self {
        let mut other = Self::with(|config| config.index = 4);
        let socket = other.socket_owner(vec![]);
        let ids = other.book.borrow();
        self.book.borrow_mut().tasks.push(ids.tasks[0]);
        self.book.borrow_mut().sockets.push(ids.sockets[socket]);
        drop(ids);
        self
    }

    /// Gives the worker one input, and demands the drain law of all that follows. What was written
    /// into the book meanwhile.
    pub(crate) fn say(&mut self, now: u64, say: &Say) -> Vec<Entry> {
        let Some(input) = self.input(say) else {
            return Vec::new();
        };
        self.worker
            .handle_input(Timestamp::from_nanos(now), input, &mut self.driver);
        assert_eq!(self.worker.state(), WorkerState::Waiting);
        let written = core::mem::take(&mut self.book.borrow_mut().entries);
        check_drain(&written);
        written
    }

    /// The same, but only what the driver was given.
    pub(crate) fn pushed(&mut self, now: u64, say: &Say) -> Vec<Pushed> {
        pushed(self.say(now, say))
    }

    /// Spawns a task that does this at its start. Its number.
    pub(crate) fn task(&mut self, start: Vec<Act>) -> usize {
        self.spawn(Birth {
            start,
            ..Birth::default()
        })
    }

    pub(crate) fn spawn(&mut self, birth: Birth) -> usize {
        self.say(0, &Say::Spawn(birth));
        self.book.borrow().tasks.len() - 1
    }

    /// Spawns a task that opens a socket and does this for each datagram. The socket's number.
    pub(crate) fn socket_owner(&mut self, datagram: Vec<Act>) -> usize {
        self.spawn(Birth {
            start: vec![Act::Open],
            datagram,
            ..Birth::default()
        });
        self.book.borrow().sockets.len() - 1
    }

    pub(crate) fn task_id(&self, number: usize) -> TaskId {
        self.book.borrow().tasks[number]
    }

    pub(crate) fn socket_id(&self, number: usize) -> SocketId {
        self.book.borrow().sockets[number]
    }

    pub(crate) fn wants(&self) -> Option<u64> {
        self.worker
            .poll_timeout()
            .map(|deadline| deadline.at.as_nanos())
    }

    /// `None` if nobody is there to be meant.
    pub(crate) fn input(&self, say: &Say) -> Option<WorkerInput<Lab>> {
        let book = self.book.borrow();
        let socket = |number: usize| {
            let number = number.checked_rem(book.sockets.len())?;
            Some(book.sockets[number])
        };
        let (token, bind) = (Token(7), peer());
        Some(match say {
            Say::Timeout => WorkerInput::Timeout,
            Say::Spawn(birth) => WorkerInput::Spawn(birth.clone()),
            Say::Command(number, acts) => WorkerInput::Command {
                task: book.tasks[number.checked_rem(book.tasks.len())?],
                command: acts.clone(),
            },
            Say::Opened(number) => {
                let socket = socket(*number)?;
                WorkerInput::Network(NetworkEvent::UdpOpened {
                    socket,
                    token,
                    local: bind,
                    buffers: UdpBuffers::new(0, 0),
                })
            }
            Say::OpenFailed(number) => {
                let (socket, error) = (socket(*number)?, NetworkError::AddressInUse);
                WorkerInput::Network(NetworkEvent::UdpOpenFailed {
                    socket,
                    token,
                    bind,
                    error,
                })
            }
            Say::Datagram(number) => {
                let socket = socket(*number)?;
                WorkerInput::Network(NetworkEvent::Datagrams {
                    socket,
                    run: datagram(),
                })
            }
            Say::Shutdown => WorkerInput::Shutdown,
            Say::Abort => WorkerInput::Abort,
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.book.borrow_mut().closed = true;
    }
}

/// Writes down what the worker gives out.
pub(crate) struct Driver {
    book: SharedBook,
    lent: [u8; 256],
    /// It panics at this push, counted from 0 on, after it has taken the output.
    pub(crate) panics_at: Option<usize>,
}

impl WorkerOutputs<Lab> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.lent = [0xEE; 256];
        TransmitBuffer::new(&mut self.lent)
    }

    fn push(&mut self, output: WorkerOutput<Lab>) {
        let book = &mut *self.book.borrow_mut();
        let pushed = match output {
            WorkerOutput::Started { task, parent } => {
                assert!(!book.tasks.contains(&task), "{task} is used again");
                book.tasks.push(task);
                let parent = parent.map(|parent| book.task(parent));
                Pushed::Started {
                    task: book.tasks.len() - 1,
                    parent,
                }
            }
            WorkerOutput::Network(NetworkCommand::OpenUdp { socket, open }) => {
                assert_eq!(*open, UdpOpen::new(Token(7), peer()));
                assert!(!book.sockets.contains(&socket), "{socket} is used again");
                book.sockets.push(socket);
                Pushed::Open(book.sockets.len() - 1)
            }
            WorkerOutput::Network(NetworkCommand::Transmit(sent)) => {
                let number = book.socket(sent.socket);
                let payload = sent.payload.into_buffer();
                let bytes =
                    payload.map_or_else(|len| self.lent[..len].to_vec(), |own| own.to_vec());
                Pushed::Transmit(number, bytes)
            }
            WorkerOutput::Network(NetworkCommand::Close(socket)) => {
                Pushed::Close(book.socket(socket))
            }
            WorkerOutput::Report { task, report } => Pushed::Report(book.task(task), report),
            WorkerOutput::SpawnFailed { parent, error } => {
                let parent = parent.map(|parent| book.task(parent));
                Pushed::SpawnFailed { parent, error }
            }
            WorkerOutput::Ended { task, end } => Pushed::Ended(book.task(task), end),
            WorkerOutput::Stale(stale) => Pushed::Stale(book.task(stale.task)),
            WorkerOutput::Untold { task, .. } => Pushed::Untold(book.task(task)),
            other => panic!("the driver does not know {other:?}"),
        };
        book.entries.push(Entry::Pushed(pushed));
        if let Some(left) = &mut self.panics_at {
            if *left == 0 {
                self.panics_at = None;
                std::panic::resume_unwind(Box::new("the driver's own"));
            }
            *left -= 1;
        }
    }
}

pub(crate) fn pushed(entries: Vec<Entry>) -> Vec<Pushed> {
    let pushed = |entry| match entry {
        Entry::Pushed(pushed) => Some(pushed),
        Entry::Given { .. }
        | Entry::Polled { .. }
        | Entry::Asked { .. }
        | Entry::Dropped { .. } => None,
    };
    entries.into_iter().filter_map(pushed).collect()
}

fn make(birth: Birth, spawner: Spawner<'_, Lab>, book: &SharedBook) -> Spawned {
    let book = Rc::clone(book);
    match birth.kind {
        Kind::First => spawner.insert(Probe::<0>::new(birth, book)),
        Kind::Second => spawner.insert(Probe::<1>::new(birth, book)),
        Kind::Third => spawner.insert(Probe::<2>::new(birth, book)),
        Kind::Refused => spawner.refuse("not this one"),
        Kind::Panicking => std::panic::resume_unwind(Box::new("in spawn")),
        Kind::PanickingLate => {
            let _made = spawner.insert(Probe::<0>::new(birth, book));
            std::panic::resume_unwind(Box::new("after insert"))
        }
    }
}
