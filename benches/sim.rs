//! How many datagrams the simulator delivers in a second of real time, on one core.
//!
//! Tasks send each datagram of 200 B on when it arrives, over links of 1 to 2 ms; the trace is
//! hashed, nothing else is switched on. *Mesh*: to a random node, one datagram in flight for each
//! node. *Pairs*: back to where it came from.
//!
//! `cargo bench --bench sim` prints the least, the median and the most of several interleaved
//! rounds; a word behind `--` chooses the rows that hold it.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a host hears of little")]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use stillpoint::{
    App, Buffer, Context, Input, NetworkEvent, Outbox, Output, Spawned, Spawner, Task, Timestamp,
    Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, World};

const ROUNDS: usize = 7;
const DATAGRAMS: u64 = 1_000_000;
const PAYLOAD_BYTES: usize = 200;
const PORT: u16 = 7;

fn main() {
    // `cargo test --benches` does not pass this flag; one short round shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let (rounds, datagrams) = if full {
        (ROUNDS, DATAGRAMS)
    } else {
        (1, 10_000)
    };
    let filter = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    let cases = [
        ("2 hosts, window 1", Case::new(2, 1, Way::Pairs)),
        ("2 hosts, window 32", Case::new(2, 32, Way::Pairs)),
        ("100 hosts, mesh", Case::new(100, 1, Way::Mesh)),
        ("100 hosts, echo pairs", Case::new(100, 1, Way::Pairs)),
        ("1,000 hosts, mesh", Case::new(1_000, 1, Way::Mesh)),
        ("10,000 hosts, mesh", Case::new(10_000, 1, Way::Mesh)),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .filter(|(name, _)| name.contains(&filter))
        .collect();
    println!("{PAYLOAD_BYTES} B, {rounds} interleaved rounds of {datagrams} datagrams");
    println!("million datagrams delivered a second:");
    println!("{:<24} {:>7} {:>7} {:>7}", "", "min", "median", "max");
    let mut measured = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for ((_, case), measured) in cases.iter().zip(&mut measured) {
            measured.push(case.millions_a_second(datagrams));
        }
    }
    for ((name, _), measured) in cases.iter().zip(&mut measured) {
        measured.sort_by(f64::total_cmp);
        let [min, median, max] = [0, rounds / 2, rounds - 1].map(|index| measured[index]);
        println!("{name:<24} {min:>7.2} {median:>7.2} {max:>7.2}");
    }
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
}

impl Case {
    const fn new(hosts: u32, window: u32, way: Way) -> Self {
        Self { hosts, window, way }
    }

    fn millions_a_second(&self, datagrams: u64) -> f64 {
        let mut world = World::<Bench>::new(1);
        let ms = Duration::from_millis;
        world.default_link(&Link::new(ms(1)..=ms(2)));
        for host in 0..self.hosts {
            let node = world
                .node(format!("host {host}"), address(host))
                .spawner(spawn);
            let starts = matches!(self.way, Way::Mesh) || host % 2 == 0;
            world.spawn(
                node,
                0,
                Spawn {
                    hosts: self.hosts,
                    window: if starts { self.window } else { 0 },
                    first: address(host ^ 1),
                    way: self.way,
                },
            );
        }
        // Everybody is there before the clock starts.
        world.run_for(ms(10)).expect("nobody fails");
        let end = world.counters().delivered + datagrams;
        let start = Instant::now();
        let done = |world: &World<Bench>| world.counters().delivered >= end;
        world.run_until(Duration::MAX, done).expect("nobody fails");
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(world.counters().dropped.total(), 0);
        (world.counters().delivered - (end - datagrams)) as f64 / seconds / 1e6
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
        outbox: Outbox::new(),
    })
}

/// Sends on what it gets.
struct Host {
    spawn: Spawn,
    context: Option<Context>,
    outbox: Outbox<Bench>,
}

impl Task for Host {
    type App = Bench;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Bench>) {
        match input {
            Input::Network(NetworkEvent::Datagrams { socket, run }) => match self.spawn.way {
                Way::Pairs => self.outbox.reply(socket, run),
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
                for _ in 0..self.spawn.window {
                    let payload = Buffer::copy_from(&[7; PAYLOAD_BYTES]);
                    self.outbox
                        .send(socket, (self.spawn.first, PORT).into(), payload);
                }
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
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + host)
}
