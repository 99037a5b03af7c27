//! A small application for the tests: servers that echo, clients that count what comes back, and
//! tasks that misbehave.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, SocketId, Spawned,
    Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Failure, Link, NodeId, World};

/// The application.
#[derive(Debug)]
pub struct Echo;

impl App for Echo {
    type Channel = ();
    type Message = ();
    type Command = Command;
    type Report = Report;
    type Spawn = Spawn;
}

#[derive(Debug)]
pub enum Command {
    /// Sends `Client::request` number this, from the first socket of a client.
    Send(u64),
    /// Sends a run of this many requests of 8 bytes.
    SendRun(u64),
    Panic,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    Opened(SocketAddr),
    OpenFailed(NetworkError),
    Refused(SocketAddr),
    SendFailed(NetworkError),
    /// Requests as they came, one entry a run.
    Heard(Vec<u64>),
    ShutDown,
}

#[derive(Debug, Clone)]
pub enum Spawn {
    Server(UdpOpen),
    Client(Requests),
    Refused,
    PanicWhenMade,
    PanicWhenDropped,
}

/// What a client does: sends numbered requests.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    pub bind: SocketAddr,
    /// To which the socket is connected.
    pub peer: Option<SocketAddr>,
    pub server: SocketAddr,
    pub count: u64,
    pub every: Duration,
}

impl Requests {
    fn open(&self) -> UdpOpen {
        let open = UdpOpen::new(Token(1), self.bind);
        self.peer.map_or(open, |peer| open.connected(peer))
    }
}

pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Echo>) -> Spawned {
    match spawn {
        Spawn::Server(open) => spawner.insert(Server {
            open,
            heard: Vec::new(),
            outbox: Outbox::new(),
        }),
        Spawn::Client(requests) => spawner.insert(Client::new(requests)),
        Spawn::Refused => spawner.refuse("no such thing"),
        Spawn::PanicWhenMade => panic!("never made"),
        Spawn::PanicWhenDropped => spawner.insert(Fragile {
            outbox: Outbox::new(),
        }),
    }
}

/// Echoes, and keeps what it has heard, and when.
pub struct Server {
    open: UdpOpen,
    pub heard: Vec<(Timestamp, u64)>,
    outbox: Outbox<Echo>,
}

impl Task for Server {
    type App = Echo;

    fn handle_input(&mut self, now: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(self.open),
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                let numbers: Vec<u64> = run.iter().map(number).collect();
                self.heard
                    .extend(numbers.iter().map(|&number| (now, number)));
                if numbers.len() > 1 {
                    self.outbox.report(Report::Heard(numbers));
                }
                self.outbox.reply(socket, run);
            }
            input => common(&mut self.outbox, input),
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Echo>> {
        self.outbox.pop()
    }
}

/// Sends numbered requests at a steady pace, each written into lent memory.
pub struct Client {
    requests: Requests,
    socket: Option<SocketId>,
    next_at: Option<Timestamp>,
    to_write: u64,
    pub sent: u64,
    /// When each reply came, and its number.
    pub replies: Vec<(Timestamp, u64)>,
    outbox: Outbox<Echo>,
}

impl Client {
    pub const fn new(requests: Requests) -> Self {
        Self {
            requests,
            socket: None,
            next_at: None,
            to_write: 0,
            sent: 0,
            replies: Vec::new(),
            outbox: Outbox::new(),
        }
    }

    fn send(&mut self, now: Timestamp) {
        self.to_write += 1;
        let left = self
            .requests
            .count
            .saturating_sub(self.sent + self.to_write);
        self.next_at = (left > 0).then(|| now.after(self.requests.every));
    }
}

impl Task for Client {
    type App = Echo;

    fn handle_input(&mut self, now: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(_) => {
                self.outbox.open_udp(self.requests.open());
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                if self.requests.count > 0 {
                    self.send(now);
                }
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                self.replies
                    .extend(run.iter().map(|reply| (now, number(reply))));
            }
            Input::Timeout => self.send(now),
            Input::Command(Command::Send(count)) => self.to_write += count,
            Input::Command(Command::SendRun(count)) => {
                let bytes: Vec<u8> = (0..count).flat_map(u64::to_le_bytes).collect();
                let socket = self.socket.expect("open");
                let run = Transmit::new(socket, self.requests.server, Buffer::copy_from(&bytes));
                self.outbox.transmit(run.with_segment_size(8));
                self.sent += count;
            }
            input => common(&mut self.outbox, input),
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Echo>> {
        if self.to_write > 0
            && let Some(socket) = self.socket
        {
            let payload = transmit.write(&self.sent.to_le_bytes()).expect("room");
            self.to_write -= 1;
            self.sent += 1;
            return Some(Output::Transmit(Transmit::new(
                socket,
                self.requests.server,
                payload,
            )));
        }
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at?, "next request"))
    }
}

/// Panics when it is dropped.
pub struct Fragile {
    outbox: Outbox<Echo>,
}

impl Task for Fragile {
    type App = Echo;

    fn handle_input(&mut self, _: Timestamp, input: Input<Echo>) {
        common(&mut self.outbox, input);
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Echo>> {
        self.outbox.pop()
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("broke when dropped");
    }
}

fn common(outbox: &mut Outbox<Echo>, input: Input<Echo>) {
    match input {
        Input::Command(Command::Panic) => panic!("told to panic"),
        Input::Shutdown => {
            outbox.report(Report::ShutDown);
            outbox.finish();
        }
        Input::Network(NetworkEvent::UdpOpened { local, .. }) => {
            outbox.report(Report::Opened(local))
        }
        Input::Network(NetworkEvent::UdpOpenFailed { error, .. }) => {
            outbox.report(Report::OpenFailed(error));
        }
        Input::Network(NetworkEvent::SendFailed { error, .. }) => {
            outbox.report(Report::SendFailed(error));
        }
        Input::Network(NetworkEvent::SocketError {
            peer: Some(peer),
            error: NetworkError::ConnectionRefused,
            ..
        }) => outbox.report(Report::Refused(peer)),
        _ => {}
    }
}

fn number(datagram: &[u8]) -> u64 {
    datagram.try_into().map_or(u64::MAX, u64::from_le_bytes)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn server(bind: &str) -> Spawn {
    Spawn::Server(UdpOpen::new(Token(0), address(bind)))
}

pub fn client(server: &str, count: u64, every: Duration) -> Spawn {
    let bind = if server.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    Spawn::Client(Requests {
        bind: address(bind),
        peer: None,
        server: address(server),
        count,
        every,
    })
}

/// A client on 10.0.0.1 and a server on 10.0.0.2:7, with the server up and this link between.
pub fn pair(world: &mut World<Echo>, link: &Link) -> (NodeId, NodeId) {
    let client = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let server_node = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.link(client, server_node, link);
    world.spawn(server_node, 0, server("10.0.0.2:7"));
    world.run_for(ms(1)).unwrap();
    assert_eq!(
        world.take_reports()[0].report,
        Report::Opened(address("10.0.0.2:7"))
    );
    (client, server_node)
}

/// The numbers that the only server of a node has heard, in order.
pub fn heard(world: &World<Echo>, node: NodeId) -> Vec<u64> {
    let (_, server) = world.tasks::<Server>(node).next().expect("a server");
    server.heard.iter().map(|&(_, number)| number).collect()
}

/// The only client of a node.
pub fn the_client(world: &World<Echo>, node: NodeId) -> &Client {
    world.tasks::<Client>(node).next().expect("a client").1
}

/// What was reported since it was last asked.
pub fn reported(world: &mut World<Echo>) -> Vec<Report> {
    world
        .take_reports()
        .into_iter()
        .map(|reported| reported.report)
        .collect()
}

/// Four clients and two workers of a server, over links that do everything: of all the scenarios,
/// the one whose hash has been written down the longest.
pub fn golden(world: &mut World<Echo>) -> Result<(), Failure> {
    let answering = world
        .node("server", [10, 0, 0, 100])
        .workers(2)
        .spawner(spawn);
    world.default_link(
        &Link::new(ms(1)..=ms(9))
            .loss(0.1)
            .duplicate(0.1)
            .reorder(0.1, ms(5)),
    );
    world.spawn(answering, 0, server("0.0.0.0:7"));
    world.spawn(answering, 1, server("0.0.0.0:8"));
    world.run_for(ms(1))?;
    for number in 0..4 {
        let node = world
            .node(format!("client {number}"), [10, 0, 0, number])
            .spawner(spawn);
        world.spawn(node, 0, client("10.0.0.100:7", 20, ms(3)));
        world.spawn(node, 0, client("10.0.0.100:8", 20, ms(5)));
        world.spawn(node, 0, client("10.0.0.100:9", 2, ms(5)));
    }
    world.run_until_idle(ms(1_000))?;
    world.shutdown(answering);
    world.run_until_idle(ms(1_000))
}
