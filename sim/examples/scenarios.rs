//! A program that has scenarios: lists, runs, sweeps and replays them.
//!
//! ```text
//! cargo run -p stillpoint-sim --release --features cli --example scenarios -- sweep --seeds 0..20000
//! ```
//!
//! The protocol is a counter: a client asks a server to add one, again and again until it hears that it
//! was done, and the server must add once for each request, however often that arrives. It is there
//! twice, and the careless one has a bug, which the sweep finds.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tasks look at the inputs that they know"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::process::ExitCode;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Failure, FaultKind, FaultPlan, Link, Scenarios, World};

fn main() -> ExitCode {
    Scenarios::new()
        .add("counter", counter)
        .add("careless-counter", careless_counter)
        .main()
}

fn counter(world: &mut World<Counting>) -> Result<(), Failure> {
    count(world, Memory::Highest)
}

fn careless_counter(world: &mut World<Counting>) -> Result<(), Failure> {
    count(world, Memory::Last)
}

/// Ten requests over a bad link, with some faults; each is to be counted once.
fn count(world: &mut World<Counting>, memory: Memory) -> Result<(), Failure> {
    let [server, client] = world.nodes(["server", "client"], spawn);
    let link = Link::new(ms(1)..=ms(20)).loss(0.05).duplicate(0.05);
    world.link_all(&[server, client], &link.reorder(0.05, ms(60)));
    world.expect_states("client", ["opening", "asking", "done"]);
    world.watch_states("client", Client::state);
    world.sometimes("a request was lost", |world| {
        world.counters().dropped.total() > 0
    });
    world.always_each("no request counts twice", |world, _, server: &Server| {
        let sent = world
            .all_tasks::<Client>()
            .map(|(_, _, client)| client.request);
        let sent = sent.max().unwrap_or_default();
        if server.sum <= sent {
            Ok(())
        } else {
            Err(format!("{} for {sent} requests", server.sum))
        }
    });
    world.spawn(server, 0, Spawn::Server(memory));
    world.run_for(ms(1))?;
    world.spawn(
        client,
        0,
        Spawn::Client(server_address(world.address(server))),
    );
    let plan = FaultPlan::new()
        .with(FaultKind::Cut, 1..=2, ms(10)..=ms(100))
        .with(FaultKind::Stall, 1..=2, ms(10)..=ms(100));
    world.plan(&plan, ms(500));
    world.run_for(ms(500))?;
    world.heal();
    world.run_until(ms(5_000), |world| {
        world.only_task::<Client>(client).is_done()
    })
}

#[derive(Debug)]
struct Counting;

impl App for Counting {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Spawn;
}

#[derive(Debug, Clone, Copy)]
enum Spawn {
    Server(Memory),
    Client(SocketAddr),
}

/// By what a server knows a request that it has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Its number is not above the highest.
    Highest,
    /// Its number is that of the last: which forgets that an older one may come late.
    Last,
}

fn spawn(spawn: Spawn, spawner: Spawner<'_, Counting>) -> Spawned {
    let outbox = Outbox::new();
    match spawn {
        Spawn::Server(memory) => spawner.insert(Server {
            memory,
            known: 0,
            sum: 0,
            outbox,
        }),
        Spawn::Client(server) => spawner.insert(Client {
            server,
            request: 0,
            socket: None,
            again_at: None,
            outbox,
        }),
    }
}

struct Server {
    memory: Memory,
    known: u64,
    sum: u64,
    outbox: Outbox<Counting>,
}

impl Task for Server {
    type App = Counting;

    fn handle_input(&mut self, _: Timestamp, input: Input<Counting>) {
        match input {
            Input::Started(_) => {
                let bind = server_address([0, 0, 0, 0].into());
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                for request in run.iter().filter_map(number) {
                    let is_new = match self.memory {
                        Memory::Highest => request > self.known,
                        Memory::Last => request != self.known,
                    };
                    if is_new {
                        (self.known, self.sum) = (request, self.sum + 1);
                    }
                }
                self.outbox.reply(socket, run);
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Counting>> {
        self.outbox.pop()
    }
}

struct Client {
    server: SocketAddr,
    /// The request that is under way, from 1 on.
    request: u64,
    socket: Option<SocketId>,
    again_at: Option<Timestamp>,
    outbox: Outbox<Counting>,
}

impl Client {
    fn is_done(&self) -> bool {
        self.request == REQUESTS && self.again_at.is_none()
    }

    fn state(&self) -> &'static str {
        match self.socket {
            None => "opening",
            Some(_) if self.is_done() => "done",
            Some(_) => "asking",
        }
    }

    fn ask(&mut self, now: Timestamp) {
        if let Some(socket) = self.socket {
            let request = Buffer::copy_from(&self.request.to_be_bytes());
            self.outbox.send(socket, self.server, request);
            self.again_at = Some(now.after(ms(50)));
        }
    }
}

impl Task for Client {
    type App = Counting;

    fn handle_input(&mut self, now: Timestamp, input: Input<Counting>) {
        match input {
            Input::Started(_) => {
                let bind = SocketAddr::from(([0, 0, 0, 0], 0));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                (self.socket, self.request) = (Some(socket), 1);
                self.ask(now);
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                let is_answered = run.iter().filter_map(number).any(|it| it == self.request);
                if is_answered && self.request == REQUESTS {
                    self.again_at = None;
                } else if is_answered {
                    self.request += 1;
                    self.ask(now);
                }
            }
            Input::Timeout => self.ask(now),
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Counting>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.again_at.map(|at| Deadline::new(at, "ask again"))
    }
}

fn number(request: &[u8]) -> Option<u64> {
    request.try_into().ok().map(u64::from_be_bytes)
}

fn server_address(ip: core::net::IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 7)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const REQUESTS: u64 = 10;
