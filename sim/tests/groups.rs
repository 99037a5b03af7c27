//! Groups, broadcast and interfaces: who hears what is sent to several, and what is counted.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for some variants"
)]

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    App, Buffer, Input, Interface, InterfaceIndex, Membership, NetworkEvent, Outbox, Output,
    SocketId, Spawned, Spawner, Task, TaskId, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{DropCause, Link, NodeId, World};

const GROUP: [u8; 4] = [239, 0, 0, 7];

#[derive(Debug)]
struct Radio;

impl App for Radio {
    type Channel = ();
    type Message = ();
    type Command = (SocketAddr, &'static [u8]);
    type Report = Heard;
    type Spawn = (UdpOpen, Vec<(IpAddr, Interface)>);
}

/// What a task has heard: from whom, to which of its addresses, at which interface, what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    peer: SocketAddr,
    local: Option<IpAddr>,
    interface: Option<u32>,
    bytes: Vec<u8>,
}

/// A task with one socket, which sends what it is told and reports what it hears.
struct Ear {
    open: UdpOpen,
    groups: Vec<(IpAddr, Interface)>,
    socket: Option<SocketId>,
    outbox: Outbox<Radio>,
}

impl Task for Ear {
    type App = Radio;

    fn handle_input(&mut self, _: Timestamp, input: Input<Radio>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(self.open),
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                for &(group, interface) in &self.groups {
                    let membership = Membership::new(socket, group).at(interface);
                    self.outbox.join_group(membership);
                }
            }
            Input::Network(NetworkEvent::GroupJoined(_)) => {}
            Input::Network(NetworkEvent::Datagrams { run, .. }) => self.outbox.report(Heard {
                peer: run.peer,
                local: run.local,
                interface: run.interface.map(InterfaceIndex::number),
                bytes: run.payload.to_vec(),
            }),
            Input::Command((to, bytes)) => {
                let socket = self.socket.expect("an open socket");
                let transmit = Transmit::new(socket, to, Buffer::copy_from(bytes));
                self.outbox.transmit(transmit);
            }
            other => panic!("nobody expected {other:?}"),
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Radio>> {
        self.outbox.pop()
    }
}

fn spawn(
    (open, groups): (UdpOpen, Vec<(IpAddr, Interface)>),
    spawner: Spawner<'_, Radio>,
) -> Spawned {
    spawner.insert(Ear {
        open,
        groups,
        socket: None,
        outbox: Outbox::new(),
    })
}

fn bound(address: &str) -> UdpOpen {
    UdpOpen::new(Token(0), address.parse().unwrap())
}

fn node(world: &mut World<Radio>, name: &str, last: u8) -> NodeId {
    world.node(name, [10, 0, 0, last]).spawner(spawn)
}

/// A task with this socket, that is a member of the group at this interface.
fn member(world: &mut World<Radio>, node: NodeId, open: UdpOpen, interface: Interface) -> TaskId {
    task(world, node, open, vec![(GROUP.into(), interface)])
}

fn task(
    world: &mut World<Radio>,
    node: NodeId,
    open: UdpOpen,
    groups: Vec<(IpAddr, Interface)>,
) -> TaskId {
    let before: Vec<TaskId> = world.tasks::<Ear>(node).map(|(task, _)| task).collect();
    world.spawn(node, 0, (open, groups));
    world.run_until_idle(Duration::from_millis(1)).unwrap();
    let mut all = world.tasks::<Ear>(node).map(|(task, _)| task);
    all.find(|task| !before.contains(task)).expect("a new task")
}

/// What is heard, and where, of what a task sends.
fn heard_of(
    world: &mut World<Radio>,
    (node, task): (NodeId, TaskId),
    to: &str,
    bytes: &'static [u8],
) -> Vec<(NodeId, Heard)> {
    world.command(node, task, (to.parse().unwrap(), bytes));
    world.run_until_idle(Duration::from_secs(1)).unwrap();
    let reports = world.take_reports().into_iter();
    reports.map(|told| (told.node, told.report)).collect()
}

#[test]
fn a_group_is_heard_in_the_network_it_is_sent_to_at_the_interface_it_was_joined_at() {
    let mut world = World::new(1);
    let center = world
        .node("center", [10, 0, 0, 1])
        .interface()
        .address([10, 0, 1, 1])
        .spawner(spawn);
    let left = node(&mut world, "left", 2);
    let right = world.node("right", [10, 0, 1, 2]).spawner(spawn);
    let at = |number| Interface::Index(InterfaceIndex::new(number).unwrap());
    for node in [left, right] {
        member(&mut world, node, bound("0.0.0.0:7"), Interface::ByRoute);
    }
    for (address, heard_by) in [([10, 0, 0, 1], left), ([10, 0, 1, 1], right)] {
        let open = bound("0.0.0.0:0").with_multicast_interface(Interface::Address(address.into()));
        let speaker = task(&mut world, center, open, Vec::new());
        let heard = heard_of(&mut world, (center, speaker), "239.0.0.7:7", b"x");
        let [(node, heard)] = &heard[..] else {
            panic!("one hears it: {heard:?}");
        };
        assert_eq!((*node, heard.peer.ip()), (heard_by, address.into()));
        assert_eq!(
            (heard.local, heard.interface),
            (Some(GROUP.into()), Some(2))
        );
    }
    // The other way round: the center listens at its second interface alone.
    member(&mut world, center, bound("0.0.0.0:8"), at(3));
    for (node, times) in [(left, 0), (right, 1)] {
        let speaker = task(&mut world, node, bound("0.0.0.0:0"), Vec::new());
        let heard = heard_of(&mut world, (node, speaker), "239.0.0.7:8", b"x");
        assert_eq!(heard.len(), times);
        assert!(heard.iter().all(|(_, heard)| heard.interface == Some(3)));
    }
}

#[test]
fn loop_and_hop_limit_say_whether_a_group_is_heard_at_home_and_away() {
    for (open, home, away) in [
        (bound("0.0.0.0:7"), true, true),
        (bound("0.0.0.0:7").without_multicast_loop(), false, true),
        (bound("0.0.0.0:7").with_multicast_hop_limit(0), true, false),
        (
            bound("0.0.0.0:7")
                .with_multicast_hop_limit(0)
                .without_multicast_loop(),
            false,
            false,
        ),
    ] {
        let mut world = World::new(1);
        let (here, there) = (node(&mut world, "here", 1), node(&mut world, "there", 2));
        let speaker = member(&mut world, here, open, Interface::ByRoute);
        member(&mut world, there, bound("0.0.0.0:7"), Interface::ByRoute);
        let heard = heard_of(&mut world, (here, speaker), "239.0.0.7:7", b"x");
        let at = |wanted| heard.iter().any(|(node, _)| *node == wanted);
        assert_eq!((at(here), at(there)), (home, away), "{open:?}");
    }
}

#[test]
fn what_is_sent_to_several_is_accounted_for() {
    let mut world = World::new(1);
    let nodes = [1, 2, 3, 4].map(|last| node(&mut world, &format!("node {last}"), last));
    let open = bound("0.0.0.0:7").shared().with_broadcast();
    let speaker = task(&mut world, nodes[0], open, Vec::new());
    assert!(heard_of(&mut world, (nodes[0], speaker), "239.0.0.7:7", b"x").is_empty());
    assert_eq!(world.counters().dropped.by(DropCause::NoMember), 1);
    // Two members on one node, one on another.
    for node in [nodes[1], nodes[1], nodes[2]] {
        member(&mut world, node, open, Interface::ByRoute);
    }
    assert_eq!(
        heard_of(&mut world, (nodes[0], speaker), "239.0.0.7:7", b"x").len(),
        3
    );
    assert_eq!(
        (world.counters().copied, world.counters().delivered),
        (2, 3)
    );
    // A broadcast comes to the speaker too, and to a node where nobody listens.
    for to in ["10.0.0.255:7", "255.255.255.255:7"] {
        let heard = heard_of(&mut world, (nodes[0], speaker), to, b"x");
        assert_eq!(heard.len(), 4);
        for (node, heard) in heard {
            let own = nodes.iter().position(|known| *known == node).unwrap();
            let own = u8::try_from(own + 1).unwrap();
            assert_eq!(heard.local, Some([10, 0, 0, own].into()), "sent to {to}");
        }
    }
    assert_eq!(world.counters().dropped.by(DropCause::NoSocket), 2);
}

#[test]
fn a_socket_that_is_closed_is_no_member() {
    let mut world = World::new(1);
    let nodes = [1, 2].map(|last| node(&mut world, &format!("node {last}"), last));
    let speaker = task(&mut world, nodes[0], bound("0.0.0.0:0"), Vec::new());
    member(&mut world, nodes[1], bound("0.0.0.0:7"), Interface::ByRoute);
    world.abort(nodes[1]);
    world.run_until_idle(Duration::from_millis(1)).unwrap();
    assert!(heard_of(&mut world, (nodes[0], speaker), "239.0.0.7:7", b"x").is_empty());
    let dropped = world.counters().dropped;
    assert_eq!(dropped.by(DropCause::NoMember), 1);
    assert_eq!(dropped.total(), 1);
}

#[test]
fn each_member_has_a_link_of_its_own() {
    let mut world = World::new(1);
    let nodes = [1, 2, 3].map(|last| node(&mut world, &format!("node {last}"), last));
    let speaker = task(&mut world, nodes[0], bound("0.0.0.0:0"), Vec::new());
    for node in &nodes[1..] {
        member(&mut world, *node, bound("0.0.0.0:7"), Interface::ByRoute);
    }
    world.link(nodes[0], nodes[1], &Link::default().loss(1.0));
    let heard = heard_of(&mut world, (nodes[0], speaker), "239.0.0.7:7", b"x");
    assert!(matches!(heard[..], [(node, _)] if node == nodes[2]));
    assert_eq!(world.counters().dropped.by(DropCause::Loss), 1);
}

#[test]
fn a_link_local_peer_has_the_scope_of_whoever_hears_it() {
    let mut world = World::new(1);
    let one = world
        .node("one", [0xfe80, 0, 0, 0, 0, 0, 0, 1])
        .spawner(spawn);
    let two = world
        .node("two", [10, 0, 0, 2])
        .interface()
        .address([0xfe80, 0, 0, 0, 0, 0, 0, 2])
        .spawner(spawn);
    let speaker = task(&mut world, one, bound("[fe80::1%2]:7"), Vec::new());
    let answering = task(&mut world, two, bound("[::]:7"), Vec::new());
    let [(_, heard)] = &heard_of(&mut world, (one, speaker), "[fe80::2%2]:7", b"x")[..] else {
        panic!("one hears it");
    };
    assert_eq!(heard.peer, "[fe80::1%3]:7".parse().unwrap());
    assert_eq!(heard.interface, Some(3));
    let [(_, heard)] = &heard_of(&mut world, (two, answering), "[fe80::1%3]:7", b"x")[..] else {
        panic!("one hears it");
    };
    assert_eq!(heard.peer, "[fe80::2%2]:7".parse().unwrap());
}

#[test]
fn the_same_seed_spreads_the_same() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.default_link(
            &Link::new(Duration::from_millis(1)..=Duration::from_millis(9)).loss(0.3),
        );
        let nodes: Vec<NodeId> = (1..=9)
            .map(|last| node(&mut world, &format!("node {last}"), last))
            .collect();
        for &node in &nodes {
            member(&mut world, node, bound("0.0.0.0:7"), Interface::ByRoute);
        }
        let (speaker, _) = world.tasks::<Ear>(nodes[0]).next().expect("a task");
        let mut heard = 0;
        for _ in 0..10 {
            heard += heard_of(&mut world, (nodes[0], speaker), "239.0.0.7:7", b"x").len();
        }
        (heard, world.trace_hash())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
