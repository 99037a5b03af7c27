//! An application without rest: a house that echoes, and a gate that sends a visitor to it again and
//! again. A visitor uses whatever a task can have, and leaves nothing.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, BusEvent, Deadline, Input, NetworkEvent, NoRoom, Outbox, Output, SocketId,
    Spawned, Spawner, StreamId, Task, TaskId, TcpConnect, TcpListen, Timestamp, Token, Transmit,
    TransmitBuffer, UdpOpen,
};

#[derive(Debug)]
pub(crate) struct Visits;

impl App for Visits {
    /// The news of a visit.
    type Channel = ();
    type Message = u64;
    type Command = ();
    type Report = ();
    type Spawn = Role;
}

#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Echoes datagrams and streams at this address.
    House(SocketAddr),
    /// Sends a visitor to this house every so often.
    Gate(SocketAddr, Duration),
    /// Comes from this gate.
    Visitor(SocketAddr, TaskId),
}

pub(crate) fn spawn(role: Role, spawner: Spawner<'_, Visits>) -> Spawned {
    match role {
        Role::House(bind) => spawner.insert(House {
            bind,
            outbox: Outbox::new(),
        }),
        Role::Gate(house, every) => spawner.insert(Gate {
            house,
            every,
            me: None,
            next: None,
            sent: 0,
            told: 0,
            outbox: Outbox::new(),
        }),
        Role::Visitor(house, gate) => spawner.insert(Visitor {
            house,
            gate,
            until: None,
            socket: None,
            answers: 0,
            heard: 0,
            outbox: Outbox::new(),
        }),
    }
}

pub(crate) struct House {
    bind: SocketAddr,
    outbox: Outbox<Visits>,
}

impl Task for House {
    type App = Visits;

    fn handle_input(&mut self, _: Timestamp, input: Input<Visits>) {
        match input {
            Input::Started(_) => {
                self.outbox.open_udp(UdpOpen::new(Token(0), self.bind));
                self.outbox.listen(TcpListen::new(Token(0), self.bind));
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.transmit(Transmit::reply(socket, run));
            }
            Input::Network(NetworkEvent::Received { stream, data }) => {
                self.outbox.write(stream, data);
            }
            Input::Network(NetworkEvent::ReadEnded { stream }) => self.outbox.close(stream),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Visits>> {
        self.outbox.pop()
    }
}

/// Counts the visitors that it has sent, and the news of their visits.
pub(crate) struct Gate {
    house: SocketAddr,
    every: Duration,
    me: Option<TaskId>,
    next: Option<Timestamp>,
    pub(crate) sent: u64,
    pub(crate) told: u64,
    outbox: Outbox<Visits>,
}

impl Task for Gate {
    type App = Visits;

    fn handle_input(&mut self, now: Timestamp, input: Input<Visits>) {
        match input {
            Input::Started(context) => {
                self.me = Some(context.task);
                self.next = Some(now.after(self.every));
                self.outbox.subscribe(());
            }
            Input::Timeout => {
                if let Some(me) = self.me {
                    self.sent += 1;
                    self.outbox.spawn(Role::Visitor(self.house, me));
                }
                self.next = Some(now.after(self.every));
            }
            Input::Bus(BusEvent::Message { .. }) => self.told += 1,
            Input::Bus(BusEvent::Request {
                request, message, ..
            }) => self.outbox.answer(request, message),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Visits>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next.map(|at| Deadline::new(at, "the next visitor"))
    }
}

/// Sends some datagrams, has a connection, asks its gate, and tells everybody.
struct Visitor {
    house: SocketAddr,
    gate: TaskId,
    /// When it has waited long enough for what may be lost.
    until: Option<Timestamp>,
    socket: Option<SocketId>,
    answers: usize,
    heard: usize,
    outbox: Outbox<Visits>,
}

const DATAGRAMS: usize = 5;

/// What it says by a stream.
const SAID: usize = 5_000;

/// How long it waits for answers, and for the other end of its stream.
const PATIENCE: Duration = Duration::from_secs(20);

impl Visitor {
    fn connect(&mut self, now: Timestamp) {
        if let Some(socket) = self.socket.take() {
            self.outbox.close(socket);
            self.until = Some(now.after(PATIENCE));
            self.outbox.connect(TcpConnect::new(Token(0), self.house));
        }
    }

    fn ask(&mut self, now: Timestamp) {
        let until = now.after(PATIENCE);
        self.outbox
            .request(self.gate, Token(0), self.heard as u64, until);
        self.until = None;
    }

    fn give_up(&mut self) {
        self.outbox.finish();
        self.until = None;
    }

    fn network(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::UdpOpened { socket, .. } => {
                self.socket = Some(socket);
                for number in 0..DATAGRAMS {
                    let payload = Buffer::copy_from(&[7; 100][..100 - number]);
                    self.outbox.send(socket, self.house, payload);
                }
                self.until = Some(now.after(Duration::from_millis(500)));
            }
            NetworkEvent::Datagrams { run, .. } => {
                self.answers += run.iter().count();
                if self.answers >= DATAGRAMS {
                    self.connect(now);
                }
            }
            NetworkEvent::Connected { stream, .. } => {
                self.outbox.write(stream, Buffer::copy_from(&[7; SAID]));
                self.outbox.end_write(stream);
            }
            NetworkEvent::Received { data, .. } => self.heard += data.len(),
            NetworkEvent::ReadEnded { stream } => self.leave(now, stream),
            NetworkEvent::ConnectFailed { .. }
            | NetworkEvent::StreamClosed { .. }
            | NetworkEvent::UdpOpenFailed { .. } => self.give_up(),
            _ => {}
        }
    }

    fn leave(&mut self, now: Timestamp, stream: StreamId) {
        assert_eq!(self.heard, SAID, "what ends well was echoed whole");
        self.outbox.close(stream);
        self.ask(now);
    }
}

impl Task for Visitor {
    type App = Visits;

    fn handle_input(&mut self, now: Timestamp, input: Input<Visits>) {
        match input {
            Input::Started(_) => {
                let mut any = self.house;
                any.set_ip(core::net::Ipv4Addr::UNSPECIFIED.into());
                any.set_port(0);
                self.outbox.open_udp(UdpOpen::new(Token(0), any));
            }
            Input::Network(event) => self.network(now, event),
            Input::Timeout if self.socket.is_some() => self.connect(now),
            Input::Timeout | Input::Shutdown => self.give_up(),
            Input::Bus(BusEvent::Reply { message, .. }) => {
                self.outbox.publish((), message, NoRoom::Drop);
                self.outbox.finish();
            }
            Input::Bus(_) => self.give_up(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Visits>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.until.map(|at| Deadline::new(at, "patience"))
    }
}
