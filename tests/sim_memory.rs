//! What simulations take of memory, counted by the allocator.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not counted does not matter"
)]

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::Ordering;
use core::time::Duration;

use stillpoint::{
    App, Buffer, Input, NetworkEvent, Output, SocketId, Spawner, Task, Timestamp, Token, Transmit,
    TransmitBuffer, UdpOpen,
};
use stillpoint_sim::World;

#[path = "support/allocator.rs"]
mod allocator;

const PORT: u16 = 7;

#[derive(Debug)]
struct Memory;

impl App for Memory {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Option<Ipv4Addr>;
}

/// Opens a socket; sends to somebody if it is told to, and back what it gets. It has no queue: what
/// it is to give is its state, so that all that is counted is the simulator's.
struct Host {
    first: Option<Ipv4Addr>,
    next: Next,
}

enum Next {
    Nothing,
    Open,
    First(SocketId),
    Back(Transmit),
}

impl Task for Host {
    type App = Memory;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Memory>) {
        self.next = match input {
            Input::Started(_) => Next::Open,
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => Next::First(socket),
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                Next::Back(Transmit::reply(socket, run))
            }
            other => panic!("a host hears of nothing else: {other:?}"),
        };
    }

    fn poll_output(
        &mut self,
        _now: Timestamp,
        _transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Memory>> {
        match core::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => None,
            Next::Open => {
                let bind = (Ipv4Addr::UNSPECIFIED, PORT).into();
                Some(Output::OpenUdp(Box::new(UdpOpen::new(Token(0), bind))))
            }
            Next::First(socket) => {
                let peer = SocketAddr::from((self.first?, PORT));
                let payload = Buffer::copy_from(&[7; 200]);
                Some(Output::Transmit(Transmit::new(socket, peer, payload)))
            }
            Next::Back(transmit) => Some(Output::Transmit(transmit)),
        }
    }
}

/// A world of so many nodes, each with a task and an open socket. The last of them sends to
/// somebody if that is wanted.
fn world(nodes: u32, first: Option<Ipv4Addr>) -> World<Memory> {
    let mut world = World::new(1);
    for number in 0..nodes {
        let node = world.node(format!("{number}"), address(number)).spawner(
            |first, spawner: Spawner<'_, Memory>| {
                let next = Next::Nothing;
                spawner.insert(Host { first, next })
            },
        );
        world.spawn(node, 0, first.filter(|_| number == nodes - 1));
        // The spawns themselves are gone before there are more of them.
        world
            .run_for(Duration::from_nanos(1))
            .expect("nobody fails");
    }
    world
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + number)
}

fn live() -> usize {
    allocator::LIVE_BYTES.load(Ordering::Relaxed)
}

/// All in one, since what other tests of the program allocate would count too.
#[test]
fn a_node_takes_little_and_traffic_takes_nothing() {
    an_idle_node_takes_less_than_it_may();
    a_hundred_thousand_nodes_run();
    memory_stays_as_it_is_however_long_a_world_runs();
}

fn an_idle_node_takes_less_than_it_may() {
    const NODES: u32 = 10_000;
    let before = live();
    let world = world(NODES, None);
    let per_node = (live() - before) / NODES as usize - size_of::<Host>();
    assert!(per_node < NODE_BYTES_MAX, "{per_node} B for each node");
    drop(world);
    assert_eq!(live(), before, "a world leaves nothing behind");
}

fn a_hundred_thousand_nodes_run() {
    const NODES: u32 = 100_000;
    let mut world = world(NODES, Some(address(0)));
    world
        .run_for(Duration::from_millis(100))
        .expect("nobody fails");
    assert_eq!(world.counters().delivered, 100, "one each millisecond");
    assert_eq!(world.counters().dropped.total(), 0);
}

fn memory_stays_as_it_is_however_long_a_world_runs() {
    const DATAGRAMS: u64 = 400_000;
    let mut world = world(2, Some(address(0)));
    let mut run_on = |datagrams: u64| {
        let end = world.counters().delivered + datagrams;
        let done = |world: &World<Memory>| world.counters().delivered >= end;
        world.run_until(Duration::MAX, done).expect("nobody fails");
        live()
    };
    let early = run_on(DATAGRAMS / 100);
    let late = run_on(DATAGRAMS);
    assert_eq!(late, early, "bytes in use, {DATAGRAMS} datagrams later");
}

/// What a node with a worker, a task and an open socket may take in bytes, its task apart.
const NODE_BYTES_MAX: usize = 1_024;
