//! A planted bug that takes three choices of the schedule, to see how much faster coverage finds it
//! than seeds do: the one target that is to fail.
//!
//! Thirty-two hosts send a datagram each that all arrive at one instant, three times over. Only if
//! the first to arrive is one certain host each time, something breaks: one schedule in 32,768.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    App, Buffer, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task, Timestamp,
    Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Driver, Failure, Link, Watch, World, drive};

const SENDERS: u8 = 32;
const ROUNDS: usize = 3;
/// Who must be first in each round.
const FIRST: [u8; ROUNDS] = [5, 23, 14];
const PORT: u16 = 7;

#[derive(Debug)]
struct Race;

impl App for Race {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    /// The number of a sender.
    type Spawn = Option<u8>;
}

/// Sends one datagram a round, or takes them.
struct Runner {
    sender: Option<u8>,
    socket: Option<SocketId>,
    outbox: Outbox<Race>,
    heard: usize,
    /// Rounds that went the one certain way.
    passed: usize,
}

fn spawn(sender: Option<u8>, spawner: Spawner<'_, Race>) -> Spawned {
    spawner.insert(Runner {
        sender,
        socket: None,
        outbox: Outbox::new(),
        heard: 0,
        passed: 0,
    })
}

impl Task for Runner {
    type App = Race;

    fn handle_input(&mut self, _: Timestamp, input: Input<Race>) {
        match input {
            Input::Started(_) => {
                let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => self.socket = Some(socket),
            Input::Network(NetworkEvent::Datagrams { run, .. }) if self.sender.is_none() => {
                let (round, nth) = (self.heard / usize::from(SENDERS), self.heard % 32);
                self.heard += 1;
                if nth == 0 && self.passed == round {
                    self.first(round, run.payload[0]);
                }
            }
            Input::Command(()) => {
                let to = SocketAddr::from(([10, 0, 0, 1], PORT));
                if let (Some(socket), Some(sender)) = (self.socket, self.sender) {
                    self.outbox.send(socket, to, Buffer::copy_from(&[sender]));
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Race>> {
        self.outbox.pop()
    }
}

impl Runner {
    /// Somebody is the first of a round. Each step is code of its own, as it would be in a protocol.
    fn first(&mut self, round: usize, who: u8) {
        match round {
            0 if who == FIRST[0] => self.passed = 1,
            1 if who == FIRST[1] => self.passed = 2,
            2 if who == FIRST[2] => panic!("planted: {FIRST:?} came first"),
            _ => {}
        }
    }
}

fn scenario(world: &mut World<Race>) -> Result<(), Failure> {
    let ms = Duration::from_millis;
    world.default_link(&Link::fixed(ms(1)));
    let taker = world.node("taker", [10, 0, 0, 1]).spawner(spawn);
    world.spawn(taker, 0, None);
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let node = world.node(format!("sender {number}"), [10, 0, 1, number]);
            let node = node.spawner(spawn);
            world.spawn(node, 0, Some(number));
            node
        })
        .collect();
    world.run_for(ms(1))?;
    for _ in 0..ROUNDS {
        for &node in &senders {
            let task = world.tasks::<Runner>(node).next().map(|(id, _)| id);
            world.command(node, task.expect("it was spawned"), ());
        }
        world.run_for(ms(5))?;
    }
    Ok(())
}

/// Runs the race. Panics if the bug shows.
pub fn run_bytes(bytes: &[u8]) {
    fails(Driver::Bytes(bytes));
}

/// How many seeds it takes.
#[must_use]
pub fn seeds_until_found(seeds_max: u64) -> Option<u64> {
    (0..seeds_max).find(|&seed| fails(Driver::Seed(seed)))
}

/// The bytes of a seed's run: a start for a corpus.
#[must_use]
pub fn bytes_of_seed(seed: u64) -> Option<Vec<u8>> {
    drive(Driver::Seed(seed), Watch::Outcome, scenario)
        .choices
        .to_bytes()
}

fn fails(driver: Driver<'_>) -> bool {
    drive(driver, Watch::Outcome, scenario).failure.is_some()
}
