//! A planted bug that takes three choices of the schedule, to see how much faster coverage finds it
//! than seeds do: the one target that is to fail.
//!
//! Twenty hosts send a datagram each, three times over, and each is very late with a chance of
//! one in two hundred. Something breaks if one certain datagram of the first round is late, then one of
//! the second, and then one of the third: in one run of eight million.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    App, Buffer, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task, TaskId,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Driver, Failure, Link, NodeId, Schedule, Watch, World, drive};

const SENDERS: u8 = 20;
/// Whose datagram must be late in each round.
const LATE: [u8; 3] = [5, 17, 11];
const PORT: u16 = 7;

#[derive(Debug)]
struct Race;

impl App for Race {
    type Channel = ();
    type Message = ();
    /// Send, or look who is late.
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
    round: u8,
    /// By sender: its last round that was heard, counted from 1.
    heard: [u8; SENDERS as usize],
    /// Rounds in which the certain one was late.
    passed: u8,
}

fn spawn(sender: Option<u8>, spawner: Spawner<'_, Race>) -> Spawned {
    spawner.insert(Runner {
        sender,
        socket: None,
        outbox: Outbox::new(),
        round: 0,
        heard: [0; SENDERS as usize],
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
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                if let [sender, round] = run.payload[..] {
                    self.heard[usize::from(sender)] = round;
                }
            }
            Input::Command(()) => {
                self.round += 1;
                let to = SocketAddr::from(([10, 0, 0, 1], PORT));
                match (self.sender, self.socket) {
                    (Some(sender), Some(socket)) => {
                        let content = Buffer::copy_from(&[sender, self.round]);
                        self.outbox.send(socket, to, content);
                    }
                    _ => self.look(),
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
    /// A round is over. Each step is code of its own, as it would be in a protocol.
    fn look(&mut self) {
        let is_late = |who: u8| self.heard[usize::from(who)] < self.round;
        match self.round {
            1 if is_late(LATE[0]) => self.passed = 1,
            2 if self.passed == 1 && is_late(LATE[1]) => self.passed = 2,
            3 if self.passed == 2 && is_late(LATE[2]) => panic!("planted: {LATE:?} were late"),
            _ => {}
        }
    }
}

fn scenario(world: &mut World<Race>) -> Result<(), Failure> {
    let ms = Duration::from_millis;
    world.default_link(&Link::fixed(ms(1)));
    let place = |world: &mut World<Race>, name: String, address, sender| {
        let node = world.node(name, address).spawner(spawn);
        world.spawn(node, 0, sender);
        node
    };
    let taker = place(world, "taker".to_owned(), [10, 0, 0, 1], None);
    let senders: Vec<NodeId> = (0..SENDERS)
        .map(|number| {
            let name = format!("sender {number}");
            place(world, name, [10, 0, 1, number], Some(number))
        })
        .collect();
    world.run_for(ms(1))?;
    let task = |world: &World<Race>, node| -> TaskId {
        let (id, _) = world.tasks::<Runner>(node).next().expect("it was spawned");
        id
    };
    for _ in LATE {
        // What is late is later than all there is to be done.
        world.set_schedule(Schedule::DelayHeavy {
            chance: 0.005,
            delay: ms(500)..=ms(500),
        });
        for &node in &senders {
            let id = task(world, node);
            world.command(node, id, ());
            world.run_for(Duration::from_micros(10))?;
        }
        world.set_schedule(Schedule::Uniform);
        world.run_for(ms(2))?;
        let id = task(world, taker);
        world.command(taker, id, ());
        world.run_for(ms(1))?;
    }
    Ok(())
}

/// Runs the race. Panics if the bug shows.
pub fn run_bytes(bytes: &[u8]) {
    if let Some(failure) = drive(Driver::Bytes(bytes), Watch::Outcome, scenario).failure {
        panic!("{failure}");
    }
}

/// How many seeds it takes, if no more than that.
#[must_use]
pub fn seeds_until_found(seeds_max: u64) -> Option<u64> {
    let mut seeds = 0..seeds_max;
    seeds.find(|&seed| {
        let run = drive(Driver::Seed(seed), Watch::Outcome, scenario);
        run.failure.is_some()
    })
}

/// The bytes of a seed's run: a start for a corpus.
#[must_use]
pub fn bytes_of_seed(seed: u64) -> Option<Vec<u8>> {
    let run = drive(Driver::Seed(seed), Watch::Outcome, scenario);
    run.choices.to_bytes()
}
