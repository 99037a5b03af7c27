//! How fast the simulator is, on one core, and how much memory it takes.
//!
//! Tasks send each datagram of 200 B on when it arrives, over links of 1 to 2 ms; the trace is
//! hashed, nothing else is switched on.
//!
//! - *Mesh*: to a random node, one datagram in flight for each node.
//! - *Pairs*: back to where it came from.
//! - *Whole simulations*: a world of two nodes is made, carries 100 datagrams, and is dropped.
//! - *Idle*: a datagram a second between two nodes; virtual time per real time.
//! - *Memory*: what the process grows by for each node with a task and an open socket; the task,
//!   some 400 B, included.
//! - *Recorded*: the mesh of 100 hosts while the full trace is taken down, with payloads or without.
//! - *Growth*: the memory of the process after a hundred times as many datagrams, measured once.
//!
//! `cargo bench --bench sim` prints the least, the median and the most of several interleaved
//! rounds; words behind `--` choose the rows that hold one of them.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a host hears of little")]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use stillpoint::{
    App, Buffer, Context, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned,
    Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, TraceDetail, World};

const ROUNDS: usize = 7;
const DATAGRAMS: u64 = 1_000_000;
const PAYLOAD_BYTES: usize = 200;
const PORT: u16 = 7;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(MEMORY) {
        let nodes = arguments.next().and_then(|nodes| nodes.parse().ok());
        println!("{}", memory::per_node(nodes.expect("a number of nodes")));
        return;
    }
    // `cargo test --benches` does not pass this flag; one short round shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let (rounds, size) = if full {
        (ROUNDS, DATAGRAMS)
    } else {
        (1, 10_000)
    };
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted =
        |row: &Row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()));
    let rows: Vec<_> = rows().into_iter().filter(wanted).collect();
    println!("{PAYLOAD_BYTES} B, {rounds} interleaved rounds of {size} datagrams");
    println!(
        "{:<22} {:<22} {:>9} {:>9} {:>9}",
        "", "", "min", "median", "max"
    );
    let mut measured = vec![Vec::new(); rows.len()];
    for round in 0..rounds {
        for (row, measured) in rows.iter().zip(&mut measured) {
            if round < row.rounds_max {
                measured.push((row.measure)(size));
            }
        }
    }
    for (Row { name, unit, .. }, measured) in rows.iter().zip(&mut measured) {
        measured.sort_by(f64::total_cmp);
        let last = measured.len() - 1;
        let [min, median, max] = [0, measured.len() / 2, last].map(|index| measured[index]);
        println!("{name:<22} {unit:<22} {min:>9.2} {median:>9.2} {max:>9.2}");
    }
}

/// One line of the table.
struct Row {
    name: &'static str,
    unit: &'static str,
    /// Measures once, with about so many datagrams.
    measure: fn(u64) -> f64,
    rounds_max: usize,
}

fn rows() -> Vec<Row> {
    let row = |name, unit, measure| Row {
        name,
        unit,
        measure,
        rounds_max: ROUNDS,
    };
    let rate = "million datagrams/s";
    vec![
        row("2 hosts, window 1", rate, |size| {
            Case::new(2, 1, Way::Pairs).millions_a_second(size)
        }),
        row("2 hosts, window 32", rate, |size| {
            Case::new(2, 32, Way::Pairs).millions_a_second(size)
        }),
        row("100 hosts, mesh", rate, |size| {
            Case::new(100, 1, Way::Mesh).millions_a_second(size)
        }),
        row("100 hosts, echo pairs", rate, |size| {
            Case::new(100, 1, Way::Pairs).millions_a_second(size)
        }),
        row("1,000 hosts, mesh", rate, |size| {
            Case::new(1_000, 1, Way::Mesh).millions_a_second(size)
        }),
        row("10,000 hosts, mesh", rate, |size| {
            Case::new(10_000, 1, Way::Mesh).millions_a_second(size)
        }),
        row("100,000 hosts, mesh", rate, |size| {
            Case::new(100_000, 1, Way::Mesh).millions_a_second(size)
        }),
        row("100 hosts, recorded", rate, |size| {
            recorded(size / 4, TraceDetail::new())
        }),
        row("100 hosts, payloads", rate, |size| {
            recorded(size / 4, TraceDetail::new().payloads(1 << 30))
        }),
        row("whole simulations", "thousand/s", |size| {
            whole_simulations(size / 100) / 1e3
        }),
        row("idle, 2 hosts", "million times real time", idle),
        row("memory, 10,000 nodes", "bytes/node", |_| in_child(10_000)),
        row("memory, 100,000 nodes", "bytes/node", |_| in_child(100_000)),
        Row {
            rounds_max: 1,
            ..row("growth, 100 hosts", "times", memory::growth)
        },
    ]
}

/// The word that has this program measure memory, in a process of its own.
const MEMORY: &str = "memory-of-nodes";

/// Bytes that each of so many nodes takes, in a fresh process.
fn in_child(nodes: u32) -> f64 {
    let own = std::env::current_exe().expect("this program knows where it is");
    let ran = std::process::Command::new(own)
        .args([MEMORY, &nodes.to_string()])
        .output()
        .expect("it runs once more");
    let said = String::from_utf8_lossy(&ran.stdout);
    said.trim().parse().expect("it says a number")
}

/// Worlds a second that are made, carry 100 datagrams, and are dropped.
fn whole_simulations(worlds: u64) -> f64 {
    let case = Case::new(2, 1, Way::Pairs);
    let start = Instant::now();
    for seed in 0..worlds {
        let mut world = case.world(seed);
        deliver(&mut world, 100);
    }
    worlds as f64 / start.elapsed().as_secs_f64()
}

/// Millions of datagrams a second while the full trace is taken down, which is 64 bytes and more for
/// each event.
fn recorded(datagrams: u64, detail: TraceDetail) -> f64 {
    let mut world = Case::new(100, 1, Way::Mesh).world(1);
    world
        .run_for(Duration::from_millis(10))
        .expect("nobody fails");
    world.record_log(detail);
    let before = world.counters().delivered;
    let start = Instant::now();
    deliver(&mut world, before + datagrams);
    let seconds = start.elapsed().as_secs_f64();
    assert!(world.take_log().len() as u64 >= 2 * datagrams);
    datagrams as f64 / seconds / 1e6
}

/// Millions of seconds that pass in one.
fn idle(size: u64) -> f64 {
    let mut world = Case::new(2, 1, Way::Idle).world(1);
    let start = Instant::now();
    world
        .run_for(Duration::from_secs(size))
        .expect("nobody fails");
    assert!(world.counters().delivered + 2 >= size);
    size as f64 / start.elapsed().as_secs_f64() / 1e6
}

struct Case {
    hosts: u32,
    window: u32,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Mesh,
    Pairs,
    /// The first host sends one a second.
    Idle,
}

impl Case {
    const fn new(hosts: u32, window: u32, way: Way) -> Self {
        Self { hosts, window, way }
    }

    /// A world of these hosts, in which nothing has happened yet.
    fn world(&self, seed: u64) -> World<Bench> {
        let mut world = World::new(seed);
        let ms = Duration::from_millis;
        world.default_link(&Link::new(ms(1)..=ms(2)));
        for host in 0..self.hosts {
            let node = world
                .node(format!("host {host}"), address(host))
                .spawner(spawn);
            let starts = matches!(self.way, Way::Mesh) || host % 2 == 0;
            let spawn = Spawn {
                hosts: self.hosts,
                window: if starts { self.window } else { 0 },
                first: address(host ^ 1),
                way: self.way,
            };
            world.spawn(node, 0, spawn);
        }
        world
    }

    fn millions_a_second(&self, datagrams: u64) -> f64 {
        let mut world = self.world(1);
        // Everybody is there before the clock starts.
        world
            .run_for(Duration::from_millis(10))
            .expect("nobody fails");
        let end = world.counters().delivered + datagrams;
        let start = Instant::now();
        deliver(&mut world, end);
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(world.counters().dropped.total(), 0);
        (world.counters().delivered - (end - datagrams)) as f64 / seconds / 1e6
    }
}

/// Runs until so many datagrams have been delivered in all.
fn deliver(world: &mut World<Bench>, datagrams: u64) {
    let done = |world: &World<Bench>| world.counters().delivered >= datagrams;
    world.run_until(Duration::MAX, done).expect("nobody fails");
}

mod memory {
    use super::{Case, Duration, Way, deliver};

    /// How many times as much memory the process has after 100 times `size` datagrams as after
    /// `size`.
    pub(super) fn growth(size: u64) -> f64 {
        let mut world = Case::new(100, 1, Way::Mesh).world(1);
        world.set_events_max(u64::MAX);
        deliver(&mut world, size);
        let before = resident();
        deliver(&mut world, 100 * size);
        resident() / before
    }

    /// Bytes that the process has grown by for each of so many nodes.
    pub(super) fn per_node(nodes: u32) -> f64 {
        let before = resident();
        let mut world = Case::new(nodes, 0, Way::Pairs).world(1);
        world
            .run_for(Duration::from_millis(10))
            .expect("nobody fails");
        (resident() - before) / f64::from(nodes)
    }

    /// Bytes of memory that the process has in use, as Linux counts them.
    fn resident() -> f64 {
        const PAGE_BYTES: f64 = 4_096.0;
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        pages.unwrap_or(0.0) * PAGE_BYTES
    }
}

#[derive(Debug)]
struct Bench;

impl App for Bench {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Spawn;
}

#[derive(Debug)]
struct Spawn {
    hosts: u32,
    window: u32,
    first: Ipv4Addr,
    way: Way,
}

fn spawn(spawn: Spawn, spawner: Spawner<'_, Bench>) -> Spawned {
    spawner.insert(Host {
        spawn,
        context: None,
        socket: None,
        due: None,
        outbox: Outbox::new(),
    })
}

/// Sends on what it gets.
struct Host {
    spawn: Spawn,
    context: Option<Context>,
    socket: Option<SocketId>,
    due: Option<Timestamp>,
    outbox: Outbox<Bench>,
}

impl Host {
    fn send(&mut self) {
        if let Some(socket) = self.socket {
            let payload = Buffer::copy_from(&[7; PAYLOAD_BYTES]);
            self.outbox
                .send(socket, (self.spawn.first, PORT).into(), payload);
        }
    }
}

impl Task for Host {
    type App = Bench;

    fn handle_input(&mut self, now: Timestamp, input: Input<Bench>) {
        match input {
            Input::Network(NetworkEvent::Datagrams { socket, run }) => match self.spawn.way {
                Way::Pairs => self.outbox.reply(socket, run),
                Way::Idle => {}
                Way::Mesh => {
                    let context = self.context.as_mut().expect("started");
                    let host = context.random.below(u64::from(self.spawn.hosts));
                    let peer = address(u32::try_from(host).expect("one of the hosts"));
                    let peer = SocketAddr::from((peer, PORT));
                    self.outbox
                        .transmit(Transmit::new(socket, peer, run.payload));
                }
            },
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                if let (Way::Idle, 1) = (self.spawn.way, self.spawn.window) {
                    self.due = Some(now.after(Duration::from_secs(1)));
                } else {
                    (0..self.spawn.window).for_each(|_| self.send());
                }
            }
            Input::Timeout => {
                self.due = Some(now.after(Duration::from_secs(1)));
                self.send();
            }
            Input::Started(context) => {
                self.context = Some(context);
                let bind = (Ipv4Addr::UNSPECIFIED, PORT).into();
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _now: Timestamp,
        _transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Bench>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.due.map(|at| Deadline::new(at, "the next second"))
    }
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + host)
}
