//! Hands: tasks that do whatever a test has them do, by a function that is given to them.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, BufferPool, BusEvent, Deadline, DeviceId, Input, ListenerId, NetworkEvent, NoRoom,
    Outbox, Output, RequestId, SocketId, Spawned, Spawner, StreamId, StreamWriter, Task, TaskId,
    TcpConnect, TcpListen, Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{NodeId, World};

/// The application. Messages are numbers.
#[derive(Debug)]
pub struct Hands;

impl App for Hands {
    type Channel = u8;
    type Message = u64;
    type Command = Act;
    type Report = String;
    type Spawn = Manner;
}

/// What a hand is to do now.
pub struct Act(Box<dyn FnOnce(&mut Hand) + Send>);

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

/// What a hand does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Does not finish when it is told to.
    pub stubborn: bool,
    /// Answers requests, with one more than was asked.
    pub answers: bool,
}

/// A task that does what it is told, and keeps what it hears.
pub struct Hand {
    manner: Manner,
    pub now: Timestamp,
    pub id: Option<TaskId>,
    pub outbox: Outbox<Hands>,
    pub sockets: Vec<SocketId>,
    pub listeners: Vec<ListenerId>,
    pub streams: Vec<(StreamId, StreamWriter)>,
    pub devices: Vec<DeviceId>,
    pub asked: Vec<RequestId>,
    pub deadline: Option<Deadline>,
    /// Wants a timeout so often.
    pub every: Option<Duration>,
    /// Messages and answers.
    pub numbers: Vec<u64>,
    /// Datagrams and bytes of streams.
    pub bytes: Vec<u8>,
    pool: Option<BufferPool>,
    /// Whom it tells something, when it is told to.
    pub partner: Option<TaskId>,
    pub other: Option<TaskId>,
    /// What a timeout has it do.
    pub on_timeout: Option<fn(&mut Self)>,
    /// What a message has it do.
    pub on_message: Option<fn(&mut Self, u64)>,
}

impl Hand {
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            now: Timestamp::EPOCH,
            id: None,
            outbox: Outbox::new(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            devices: Vec::new(),
            asked: Vec::new(),
            deadline: None,
            every: None,
            numbers: Vec::new(),
            bytes: Vec::new(),
            pool: None,
            partner: None,
            other: None,
            on_timeout: None,
            on_message: None,
        }
    }

    pub fn open(&mut self, bind: &str) {
        let bind = bind.parse().unwrap();
        self.outbox.open_udp(UdpOpen::new(Token(0), bind));
    }

    pub fn listen(&mut self, bind: &str) {
        let bind = bind.parse().unwrap();
        self.outbox.listen(TcpListen::new(Token(0), bind));
    }

    pub fn connect(&mut self, peer: &str) {
        let peer = peer.parse().unwrap();
        self.outbox.connect(TcpConnect::new(Token(0), peer));
    }

    /// Sends a datagram from its first socket.
    pub fn send(&mut self, to: &str, bytes: &[u8]) {
        let to: SocketAddr = to.parse().unwrap();
        let socket = self.sockets[0];
        self.outbox.send(socket, to, Buffer::copy_from(bytes));
    }

    /// Writes to its first stream.
    pub fn write(&mut self, bytes: &[u8]) {
        let Self {
            streams, outbox, ..
        } = self;
        streams[0].1.write(Buffer::copy_from(bytes), outbox);
    }

    /// Asks another, for ten seconds.
    pub fn ask(&mut self, to: TaskId, number: u64) {
        let until = self.now.after(Duration::from_secs(10));
        self.outbox.request(to, Token(0), number, until);
    }

    pub fn tell(&mut self, to: TaskId, number: u64) {
        self.outbox.send_to(to, number, NoRoom::Wait);
    }

    pub fn tell_partner(&mut self, number: u64) {
        let partner = self.partner.expect("a partner");
        self.tell(partner, number);
    }

    pub fn wait(&mut self, duration: Duration, reason: &'static str) {
        self.deadline = Some(Deadline::new(self.now.after(duration), reason));
    }

    /// Where its memory comes from.
    pub fn pool(&self) -> &BufferPool {
        self.pool.as_ref().expect("started")
    }

    fn network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::UdpOpened { socket, .. } => self.sockets.push(socket),
            NetworkEvent::Datagrams { run, .. } => self.bytes.extend_from_slice(&run.payload),
            NetworkEvent::Listening { listener, .. } => self.listeners.push(listener),
            NetworkEvent::Accepted { stream, room, .. }
            | NetworkEvent::Connected { stream, room, .. } => {
                self.streams.push((stream, StreamWriter::new(stream, room)));
            }
            NetworkEvent::Received { data, .. } => self.bytes.extend_from_slice(&data),
            NetworkEvent::DeviceOpened { device, .. } => self.devices.push(device),
            NetworkEvent::Writable { stream, room, .. } => {
                let Self {
                    streams, outbox, ..
                } = self;
                for (known, writer) in streams {
                    if *known == stream {
                        writer.handle_writable(room, outbox);
                    }
                }
            }
            NetworkEvent::StreamClosed { stream, .. } => {
                self.streams.retain(|&(known, _)| known != stream);
            }
            NetworkEvent::Packet { .. } => {}
            other => self.outbox.report(format!("{other:?}")),
        }
    }

    fn bus(&mut self, event: BusEvent<u8, u64>) {
        match event {
            BusEvent::Message { message, .. } => {
                self.numbers.push(message);
                if let Some(act) = self.on_message {
                    act(self, message);
                }
            }
            BusEvent::Reply { message, .. } => self.numbers.push(message),
            BusEvent::Request {
                request, message, ..
            } => {
                if self.manner.answers {
                    self.outbox.answer(request, message + 1);
                } else {
                    self.asked.push(request);
                }
            }
            _ => {}
        }
    }
}

impl Task for Hand {
    type App = Hands;

    fn handle_input(&mut self, now: Timestamp, input: Input<Hands>) {
        self.now = now;
        match input {
            Input::Started(context) => {
                self.id = Some(context.task);
                self.pool = Some(context.buffers.clone());
            }
            Input::Timeout => {
                let again = self
                    .every
                    .map(|every| Deadline::new(now.after(every), "again"));
                self.deadline = again;
                if let Some(act) = self.on_timeout {
                    act(self);
                }
            }
            Input::Network(event) => self.network(event),
            Input::Bus(event) => self.bus(event),
            Input::Command(Act(act)) => act(self),
            Input::Shutdown if !self.manner.stubborn => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Hands>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline
    }
}

pub fn spawn(manner: Manner, spawner: Spawner<'_, Hands>) -> Spawned {
    spawner.insert(Hand::new(manner))
}

/// A node with this many workers.
pub fn node(world: &mut World<Hands>, name: &str, number: u8, workers: u16) -> NodeId {
    let node = world.node(name, [10, 0, 0, number]).workers(workers);
    node.spawner(spawn)
}

/// One more hand on a worker.
pub fn hand(world: &mut World<Hands>, node: NodeId, worker: u16, manner: Manner) -> TaskId {
    let before: Vec<TaskId> = world.tasks::<Hand>(node).map(|(task, _)| task).collect();
    world.spawn(node, worker, manner);
    world.run_for(Duration::from_nanos(1)).unwrap();
    let mut new = world.tasks::<Hand>(node).map(|(task, _)| task);
    new.find(|task| !before.contains(task)).expect("a new hand")
}

/// Has a hand do something, and lets that happen.
pub fn act(
    world: &mut World<Hands>,
    (node, task): (NodeId, TaskId),
    act: impl FnOnce(&mut Hand) + Send + 'static,
) {
    world.command(node, task, Act(Box::new(act)));
    world.run_for(Duration::from_nanos(1)).unwrap();
}

/// Has a hand do something later.
pub fn order(
    world: &mut World<Hands>,
    (node, task): (NodeId, TaskId),
    act: impl FnOnce(&mut Hand) + Send + 'static,
) {
    world.command(node, task, Act(Box::new(act)));
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
