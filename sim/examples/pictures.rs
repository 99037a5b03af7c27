//! Pictures of a run that fails: a timeline to look at, a packet capture, a trace for Perfetto.
//!
//! Clients have a server count. What is not answered they ask again, over a link that loses some; the
//! server does not see that it was asked before, and counts it twice. That takes a lost answer.
//!
//! ```text
//! cargo run -p stillpoint-sim --example pictures -- target/pictures
//! cargo run -p stillpoint-sim --example pictures -- target/pictures 100000
//! ```
//!
//! The first argument is the folder that the pictures go into. With a number of events behind it, the
//! clients are right not to be trusted: the run goes on for as long.
#![expect(clippy::print_stdout, reason = "an example prints")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tasks hear of little")]

use core::error::Error;
use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Failure, Fault, Link, TraceDetail, TraceLog, World};

#[derive(Debug)]
struct Counting;

impl App for Counting {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = u64;
    type Spawn = Role;
}

#[derive(Debug)]
enum Role {
    Server,
    Client { server: SocketAddr, wanted: u64 },
}

/// Counts what it is asked to.
#[derive(Debug, Default)]
struct Server {
    counted: u64,
    outbox: Outbox<Counting>,
}

impl Task for Server {
    type App = Counting;

    fn handle_input(&mut self, _: Timestamp, input: Input<Counting>) {
        match input {
            Input::Started(_) => {
                let open = UdpOpen::new(Token(0), SocketAddr::from(([10, 0, 0, 1], PORT)));
                self.outbox.open_udp(open);
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.counted += run.count() as u64;
                if self.counted.is_multiple_of(10) {
                    self.outbox.report(self.counted);
                }
                self.outbox.reply(socket, run);
            }
            Input::Shutdown => self.outbox.finish(),
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

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.counted)
    }
}

/// Asks for one number after the other.
#[derive(Debug)]
struct Client {
    server: SocketAddr,
    wanted: u64,
    socket: Option<SocketId>,
    answered: u64,
    asked_at: Option<Timestamp>,
    outbox: Outbox<Counting>,
}

impl Client {
    fn ask(&mut self, now: Timestamp) {
        let Some(socket) = self.socket.filter(|_| self.answered < self.wanted) else {
            self.asked_at = None;
            return;
        };
        let number = Buffer::copy_from(&self.answered.to_be_bytes());
        self.outbox.send(socket, self.server, number);
        self.asked_at = Some(now);
    }
}

impl Task for Client {
    type App = Counting;

    fn handle_input(&mut self, now: Timestamp, input: Input<Counting>) {
        match input {
            Input::Started(_) => {
                let any = SocketAddr::from(([0, 0, 0, 0], 0));
                self.outbox.open_udp(UdpOpen::new(Token(0), any));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                self.ask(now);
            }
            Input::Network(NetworkEvent::Datagrams { run, .. })
                if run.payload.as_ref() == self.answered.to_be_bytes() =>
            {
                self.answered += 1;
                self.ask(now);
            }
            Input::Timeout => self.ask(now),
            Input::Shutdown => self.outbox.finish(),
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
        Some(Deadline::new(self.asked_at?.after(PATIENCE), "no answer"))
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.answered)
    }
}

fn spawn(role: Role, spawner: Spawner<'_, Counting>) -> Spawned {
    match role {
        Role::Server => spawner.insert(Server::default()),
        Role::Client { server, wanted } => spawner.insert(Client {
            server,
            wanted,
            socket: None,
            answered: 0,
            asked_at: None,
            outbox: Outbox::new(),
        }),
    }
}

/// Nothing is counted that no client has asked for: its number, and all before.
fn check(world: &World<Counting>) -> Result<(), String> {
    let counted: u64 = world
        .all_tasks::<Server>()
        .map(|(.., task)| task.counted)
        .sum();
    let asked: u64 = world
        .all_tasks::<Client>()
        .map(|(.., task)| task.answered + 1)
        .sum();
    if counted <= asked {
        return Ok(());
    }
    Err(format!(
        "{counted} were counted, and at most {asked} were asked for"
    ))
}

fn scenario(world: &mut World<Counting>, events: Option<usize>) -> Result<(), Failure> {
    let server = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    world.default_link(&Link::new(ms(1)..=ms(4)).loss(0.02));
    world.spawn(server, 0, Role::Server);
    world.run_for(ms(1))?;
    if events.is_none() {
        world.always("<nothing> is counted twice", check);
    }
    let wanted = events.map_or(20, |events| events as u64);
    for number in 2..=4 {
        let client = world
            .node(format!("client {number}"), [10, 0, 0, number])
            .spawner(spawn);
        let server = SocketAddr::from(([10, 0, 0, 1], PORT));
        world.spawn(client, 0, Role::Client { server, wanted });
    }
    world.schedule(Timestamp::EPOCH.after(ms(12)), Fault::Pause(server));
    world.schedule(Timestamp::EPOCH.after(ms(20)), Fault::Resume(server));
    match events {
        None => world.run_until_idle(Duration::from_secs(10)),
        // A request and its answer are four events or so.
        Some(events) => world.run_until(Duration::from_secs(100_000), |world| {
            world.events() >= events as u64 / 2
        }),
    }
}

/// The log of the first seed that fails.
fn run(events: Option<usize>) -> TraceLog {
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        world.record_log(TraceDetail::new().payloads(64 << 20).states());
        let ran = scenario(&mut world, events);
        let mut log = world.take_log().named("counting");
        if let Err(failure) = ran {
            log.note_failure(&failure);
            return log;
        }
        if events.is_some() {
            return log;
        }
    }
    panic!("a thousand seeds, and no answer was lost: is the loss still there?");
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .unwrap_or_else(|| "target/pictures".to_owned());
    let events = arguments.next().map(|events| events.parse()).transpose()?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let log = run(events);
    let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    log.write_html(create("timeline.html")?)?;
    log.write_pcapng(create("capture.pcapng")?)?;
    log.write_chrome(create("perfetto.json")?)?;
    create("trace.bin")?.write_all(&log.to_bytes())?;
    println!(
        "{} events, seed {:#x}, in {}",
        log.len(),
        log.seed(),
        folder.display()
    );
    if let Some((failure, index)) = log.failure() {
        println!("failed after event {index}: {failure}");
        for line in log.story(index) {
            println!("  {line}");
        }
    }
    Ok(())
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Where the server listens.
const PORT: u16 = 7_000;

/// After how long a client asks again.
const PATIENCE: Duration = ms(25);
