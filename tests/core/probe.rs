//! Tasks that do what their input says, and write down every call they get.
//!
//! Tasks and sockets appear in the book under numbers, in the order in which they came to be, so
//! that two runs, or a run and its model, can be compared without knowing ids.

use std::collections::VecDeque;

use stillpoint::{
    Buffer, Context, DatagramRun, Deadline, Input, NetworkEvent, Output, SocketId, Task, Timestamp,
    Token, Transmit, TransmitBuffer, UdpOpen,
};

#[path = "book.rs"]
mod book;

pub(crate) use book::{Act, Birth, Book, Entry, Heard, Kind, Lab, Place, Pushed, Said, SharedBook};

/// Tasks with another `KIND` are of another type, so they live in another group.
#[derive(Debug)]
pub(crate) struct Probe<const KIND: u8> {
    book: SharedBook,
    birth: Birth,
    number: Option<usize>,
    context: Option<Context>,
    steps: VecDeque<Act>,
    timeouts: usize,
    wants: Option<Timestamp>,
    panics: Option<Place>,
}

impl<const KIND: u8> Probe<KIND> {
    pub(crate) fn new(birth: Birth, book: SharedBook) -> Self {
        Self {
            book,
            birth,
            number: None,
            context: None,
            steps: VecDeque::new(),
            timeouts: 0,
            wants: None,
            panics: None,
        }
    }

    fn number(&self) -> usize {
        self.number.expect("the first input is `Started`")
    }

    fn write(&self, entry: Entry) {
        self.book.borrow_mut().write(entry);
    }

    /// What this input is, and what to do about it.
    fn hear(&mut self, input: Input<Lab>) -> (Heard, Vec<Act>) {
        let book = self.book.borrow();
        match input {
            Input::Started(context) => {
                assert!(self.number.is_none(), "started twice");
                self.number = Some(book.task(context.task));
                self.context = Some(context);
                (Heard::Started, self.birth.start.clone())
            }
            Input::Timeout => {
                self.wants = None;
                let acts = self.birth.timeouts.get(self.timeouts).cloned();
                self.timeouts += 1;
                (Heard::Timeout, acts.unwrap_or_default())
            }
            Input::Command(acts) => (Heard::Command, acts),
            Input::Shutdown => (Heard::Shutdown, self.birth.shutdown.clone()),
            Input::Network(NetworkEvent::Datagrams { socket, .. }) => (
                Heard::Datagram(book.socket(socket)),
                self.birth.datagram.clone(),
            ),
            Input::Network(event) => (heard(&book, &event), Vec::new()),
            other => panic!("a probe does not know {other:?}"),
        }
    }

    /// The socket that an act means by `number`.
    fn socket(&self, number: usize) -> Option<(usize, SocketId)> {
        let sockets = &self.book.borrow().sockets;
        let number = number.checked_rem(sockets.len())?;
        Some((number, sockets[number]))
    }

    fn step(
        &mut self,
        step: &Act,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<(Said, Output<Lab>)> {
        let open = UdpOpen::new(Token(7), peer());
        let sent = |(number, output)| (Said::Transmit(number), Output::Transmit(output));
        Some(match step {
            Act::Report(tag) => (Said::Report(*tag), Output::Report(*tag)),
            Act::RunAway => {
                self.steps.push_front(Act::RunAway);
                (Said::Report(0), Output::Report(0))
            }
            Act::Draw => {
                let drawn = self.context.as_mut().expect("it has started").random.u64();
                (Said::Report(drawn), Output::Report(drawn))
            }
            Act::Finish => (Said::Finished, Output::Finished),
            Act::Spawn(birth) => (Said::Spawn, Output::Spawn((**birth).clone())),
            Act::Open => (Said::Open, Output::OpenUdp(Box::new(open))),
            Act::Close(number) => {
                let (number, socket) = self.socket(*number)?;
                (Said::Close(number), Output::Close(socket.into()))
            }
            Act::Send(number) => sent({
                let (number, socket) = self.socket(*number)?;
                (
                    number,
                    Transmit::new(socket, peer(), Buffer::copy_from(b"buffer")),
                )
            }),
            Act::Write(number, len) => sent({
                let (number, socket) = self.socket(*number)?;
                let payload = transmit
                    .write(&vec![*len; usize::from(*len)])
                    .expect("it fits");
                (number, Transmit::new(socket, peer(), payload))
            }),
            Act::SendTooLong(number) => sent({
                let (number, socket) = self.socket(*number)?;
                (
                    number,
                    Transmit::new(socket, peer(), Buffer::copy_from(&[0; 70_000])),
                )
            }),
            Act::After(_) | Act::Rest | Act::Panic(_) => return None,
        })
    }
}

impl<const KIND: u8> Task for Probe<KIND> {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        let (input, acts) = self.hear(input);
        let task = self.number();
        self.write(Entry::Given {
            task,
            now: now.as_nanos(),
            input,
        });
        for act in acts {
            match act {
                Act::After(wait) => {
                    let at = now.as_nanos().saturating_add_signed(wait);
                    self.wants = Some(Timestamp::from_nanos(at));
                }
                Act::Rest => self.wants = None,
                Act::Panic(Place::HandleInput) => fail(Place::HandleInput),
                Act::Panic(place @ (Place::PollTimeout | Place::Drop)) => self.panics = Some(place),
                step => self.steps.push_back(step),
            }
        }
    }

    fn poll_output(&mut self, _: Timestamp, lent: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        let task = self.number();
        loop {
            let Some(step) = self.steps.pop_front() else {
                self.write(Entry::Polled { task, output: None });
                return None;
            };
            if step == Act::Panic(Place::PollOutput) {
                self.write(Entry::Polled {
                    task,
                    output: Some(Said::Panic),
                });
                fail(Place::PollOutput);
            }
            // Without a socket to mean there is nothing to do.
            if let Some((said, output)) = self.step(&step, lent) {
                self.write(Entry::Polled {
                    task,
                    output: Some(said),
                });
                return Some(output);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let wants = self.wants.map(Timestamp::as_nanos);
        self.write(Entry::Asked {
            task: self.number(),
            wants,
        });
        if self.panics == Some(Place::PollTimeout) {
            fail(Place::PollTimeout);
        }
        self.wants.map(|at| Deadline::new(at, "probe"))
    }
}

impl<const KIND: u8> Drop for Probe<KIND> {
    fn drop(&mut self) {
        if let Some(task) = self.number {
            self.write(Entry::Dropped { task });
        }
        if self.panics == Some(Place::Drop) && !self.book.borrow().closed {
            fail(Place::Drop);
        }
    }
}

pub(crate) fn peer() -> core::net::SocketAddr {
    core::net::SocketAddr::from(([192, 0, 2, 1], 9))
}

pub(crate) fn datagram() -> DatagramRun {
    DatagramRun::new(peer(), Buffer::copy_from(b"ping"), 0)
}

/// Unwinds as a panic does, and spares the panic hook: no noise for what is meant to happen, and a
/// fuzzer's hook sees only panics that nobody planned.
fn fail(place: Place) -> ! {
    std::panic::resume_unwind(Box::new(place.message()))
}

fn heard(book: &Book, event: &NetworkEvent) -> Heard {
    let socket = book.known(event.resource());
    let number = socket.unwrap_or(usize::MAX);
    match event {
        NetworkEvent::UdpOpened { .. } => Heard::Opened(number),
        NetworkEvent::UdpOpenFailed { .. } => Heard::OpenFailed(socket),
        NetworkEvent::Stale { outputs, .. } => Heard::Stale(number, *outputs),
        NetworkEvent::SendFailed { datagrams, .. } => Heard::TooLong(number, *datagrams),
        other => panic!("a probe does not know {other:?}"),
    }
}
