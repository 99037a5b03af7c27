//! Binding, finding the right socket, and being refused.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

mod common;

use common::{
    Client, Command, Echo, Report, Requests, Server, Spawn, address, client, heard, ms, pair,
    reported, server, spawn, the_client,
};
use stillpoint::{NetworkError, Token, UdpOpen};
use stillpoint_sim::{DropCause, Link, NodeId, World};

#[test]
fn a_port_is_in_use_while_its_socket_is_open() {
    let (mut world, node) = one_node();
    open(
        &mut world,
        node,
        &[
            "10.0.0.1:7",
            "10.0.0.1:7",
            "0.0.0.0:7",
            "[::]:7",
            "10.0.0.1:8",
        ],
    );
    assert_eq!(
        opened_or_not(&mut world),
        [
            Ok(address("10.0.0.1:7")),
            Err(NetworkError::AddressInUse),
            Err(NetworkError::AddressInUse),
            // It would take IPv4 as well.
            Err(NetworkError::AddressInUse),
            Ok(address("10.0.0.1:8")),
        ]
    );
    world.shutdown(node);
    world.run_until_idle(ms(1)).unwrap();
    assert!(world.is_stopped(node));
}

#[test]
fn only_the_nodes_own_addresses_can_be_bound() {
    let (mut world, node) = one_node();
    open(
        &mut world,
        node,
        &["10.0.0.2:7", "10.0.0.1:7", "127.0.0.1:8"],
    );
    assert_eq!(
        opened_or_not(&mut world),
        [
            Err(NetworkError::AddressNotAvailable),
            Ok(address("10.0.0.1:7")),
            Ok(address("127.0.0.1:8")),
        ]
    );
}

#[test]
fn port_0_is_a_free_port_that_the_seed_chooses() {
    let chosen = |seed| {
        let mut world = World::new(seed);
        let node = world.node("node", [10, 0, 0, 1]).spawner(spawn);
        open(&mut world, node, &["0.0.0.0:0"; 100]);
        let mut ports: Vec<u16> = opened_or_not(&mut world)
            .into_iter()
            .map(|local| local.unwrap().port())
            .collect();
        let first = ports[0];
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
        assert!(ports[0] >= 49_152);
        first
    };
    assert_eq!(chosen(1), chosen(1));
    assert_ne!(chosen(1), chosen(2));
}

#[test]
fn a_wildcard_socket_hears_all_addresses_and_answers_from_the_one_it_was_asked_at() {
    let mut world = World::new(1);
    let many = world
        .node("many", [10, 0, 0, 1])
        .address([10, 0, 0, 2])
        .address([0xfd00, 0, 0, 0, 0, 0, 0, 2])
        .spawner(spawn);
    let asking = world
        .node("asking", [10, 0, 0, 3])
        .address([0xfd00, 0, 0, 0, 0, 0, 0, 3])
        .spawner(spawn);
    open(&mut world, many, &["[::]:7", "10.0.0.2:8", "0.0.0.0:9"]);
    for target in ["10.0.0.1:7", "10.0.0.2:7", "[fd00::2]:7", "10.0.0.2:8"] {
        world.spawn(asking, 0, client(target, 1, ms(1)));
    }
    world.run_until_idle(ms(100)).unwrap();
    assert!(
        world
            .tasks::<Client>(asking)
            .all(|(_, client)| client.replies.len() == 1)
    );
    let heard: Vec<_> = world
        .tasks::<Server>(many)
        .map(|(_, server)| server.heard.len())
        .collect();
    assert_eq!(heard, [3, 1, 0]);
}

#[test]
fn a_node_reaches_itself_over_loopback() {
    let (mut world, node) = one_node();
    open(&mut world, node, &["0.0.0.0:7"]);
    world.spawn(node, 0, client("127.0.0.1:7", 1, ms(1)));
    world.spawn(node, 0, client("10.0.0.1:7", 1, ms(1)));
    let before = world.now();
    world.run_until_idle(ms(1)).unwrap();
    assert!(
        world
            .tasks::<Client>(node)
            .all(|(_, client)| client.replies.len() == 1)
    );
    assert_eq!(
        world.now().as_nanos() - before.as_nanos(),
        2,
        "a nanosecond there and back"
    );
}

#[test]
fn shared_sockets_divide_the_flows_and_each_flow_stays() {
    let mut world = World::new(1);
    let sharing = world
        .node("sharing", [10, 0, 0, 2])
        .workers(4)
        .spawner(spawn);
    let asking = world.node("asking", [10, 0, 0, 1]).spawner(spawn);
    for worker in 0..4 {
        let open = UdpOpen::new(Token(0), address("0.0.0.0:7")).shared();
        world.spawn(sharing, worker, Spawn::Server(open));
    }
    world.run_for(ms(1)).unwrap();
    open(&mut world, sharing, &["0.0.0.0:7"]);
    let alone = opened_or_not(&mut world).pop().unwrap();
    assert_eq!(
        alone,
        Err(NetworkError::AddressInUse),
        "who wants it alone does not get it"
    );

    for _ in 0..100 {
        world.spawn(asking, 0, client("10.0.0.2:7", 3, ms(10)));
    }
    world.run_until_idle(ms(1_000)).unwrap();
    let heard = world
        .tasks::<Server>(sharing)
        .map(|(_, server)| server.heard.len());
    let heard: Vec<usize> = heard.filter(|&count| count > 0).collect();
    assert_eq!(heard.len(), 4);
    assert!(
        heard.iter().all(|&count| count > 30 && count % 3 == 0),
        "{heard:?}"
    );
    assert_eq!(world.counters().delivered, 600);
}

#[test]
fn nobody_listening_is_told_to_the_sender_and_a_lost_datagram_is_not() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::fixed(ms(3)));
    let before = world.now();
    world.spawn(asking, 0, client("10.0.0.2:8", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        reported(&mut world),
        [Report::Refused(address("10.0.0.2:8"))]
    );
    assert_eq!(world.now().since(before), ms(6));
    assert_eq!(world.counters().dropped.by(DropCause::NoSocket), 1);

    world.link(asking, server, &Link::default().loss(1.0));
    world.spawn(asking, 0, client("10.0.0.2:8", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(reported(&mut world), []);
    assert_eq!(world.counters().dropped.by(DropCause::Loss), 1);
}

#[test]
fn an_address_that_no_node_has_swallows_what_is_sent_there() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    world.spawn(asking, 0, client("10.9.9.9:7", 3, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(world.counters().dropped.by(DropCause::NoRoute), 3);
    assert_eq!(reported(&mut world), []);
}

#[test]
fn a_peer_of_the_other_family_is_a_send_that_failed() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    world.spawn(
        asking,
        0,
        Spawn::Client(requests("0.0.0.0:0", "[fd00::1]:7")),
    );
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        reported(&mut world),
        [Report::SendFailed(NetworkError::AddressFamily)]
    );
    assert_eq!(world.counters().dropped.by(DropCause::Unsendable), 1);
}

#[test]
fn a_connected_socket_hears_its_peer_before_all_others_and_nobody_else() {
    let mut world = World::new(1);
    let (node, one, other) = (
        world.node("node", [10, 0, 0, 1]).spawner(spawn),
        world.node("one", [10, 0, 0, 2]).spawner(spawn),
        world.node("other", [10, 0, 0, 3]).spawner(spawn),
    );
    let open = UdpOpen::new(Token(0), address("0.0.0.0:7")).shared();
    for open in [open, open.connected(address("10.0.0.2:9"))] {
        world.spawn(node, 0, Spawn::Server(open));
        world.run_for(ms(1)).unwrap();
    }
    assert_eq!(
        opened_or_not(&mut world),
        [Ok(address("0.0.0.0:7")), Ok(address("10.0.0.1:7"))]
    );
    for (from, bind, count) in [
        (one, "0.0.0.0:9", 3),
        (one, "0.0.0.0:8", 5),
        (other, "0.0.0.0:9", 7),
    ] {
        let mut requests = requests(bind, "10.0.0.1:7");
        requests.count = count;
        world.spawn(from, 0, Spawn::Client(requests));
    }
    world.run_until_idle(ms(100)).unwrap();
    let heard: Vec<_> = world
        .tasks::<Server>(node)
        .map(|(_, server)| server.heard.len())
        .collect();
    assert_eq!(heard, [12, 3]);
}

#[test]
fn a_connected_socket_sends_to_its_peer_alone() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    for (bind, peer, local) in [
        ("0.0.0.0:8", "10.0.0.2:7", Ok("10.0.0.1:8")),
        ("0.0.0.0:10", "127.0.0.1:7", Ok("127.0.0.1:10")),
        ("0.0.0.0:8", "10.0.0.1:7", Err(NetworkError::AddressInUse)),
        ("0.0.0.0:9", "10.0.0.1:7", Ok("10.0.0.1:9")),
        ("0.0.0.0:0", "[fd00::1]:7", Err(NetworkError::AddressFamily)),
        (
            "[::]:0",
            "[fd00::1]:7",
            Err(NetworkError::NetworkUnreachable),
        ),
    ] {
        let open = UdpOpen::new(Token(0), address(bind)).connected(address(peer));
        world.spawn(asking, 0, Spawn::Server(open));
        world.run_for(ms(1)).unwrap();
        assert_eq!(
            opened_or_not(&mut world),
            [local.map(address)],
            "{bind} to {peer}"
        );
    }
    let mut requests = requests("0.0.0.0:0", "10.0.0.2:7");
    requests.peer = Some(address("10.0.0.2:8"));
    world.spawn(asking, 0, Spawn::Client(requests));
    world.run_until_idle(ms(100)).unwrap();
    assert!(reported(&mut world).contains(&Report::SendFailed(NetworkError::OtherPeer)));
    assert_eq!(world.counters().dropped.by(DropCause::Unsendable), 1);
}

#[test]
fn what_is_under_way_to_a_socket_that_closes_is_dropped_and_counted() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::fixed(ms(10)));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_for(ms(5)).unwrap();
    assert_eq!(world.counters().in_flight, 1);
    world.abort(server);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(world.counters().dropped.by(DropCause::NoSocket), 1);
    assert_eq!(the_client(&world, asking).replies, []);
}

#[test]
fn a_burst_of_one_instant_arrives_at_one_instant_in_order() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (asking, server) = pair(&mut world, &Link::new(ms(1)..=ms(9)));
        world.spawn(asking, 0, client("10.0.0.2:7", 0, ms(1)));
        world.run_for(ms(1)).unwrap();
        let (task, _) = world.tasks::<Client>(asking).next().unwrap();
        world.command(asking, task, Command::Send(50));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(heard(&world, server), (0..50).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic(expected = "nodes `a` and `b` both have 10.0.0.1: give each its own")]
fn two_nodes_cannot_have_one_address() {
    let mut world = World::<Echo>::new(1);
    world.node("a", [10, 0, 0, 1]).spawner(spawn);
    world.node("b", [10, 0, 0, 1]).spawner(spawn);
}

#[test]
#[should_panic(expected = "two nodes named `a`")]
fn two_nodes_cannot_have_one_name() {
    let mut world = World::<Echo>::new(1);
    world.node("a", [10, 0, 0, 1]).spawner(spawn);
    world.node("a", [10, 0, 0, 2]).spawner(spawn);
}

#[test]
#[should_panic(expected = "worker 2 of node `a`, which has 2, counted from 0")]
fn a_worker_must_be_there() {
    let mut world = World::<Echo>::new(1);
    let node = world.node("a", [10, 0, 0, 1]).workers(2).spawner(spawn);
    world.spawn(node, 2, server("0.0.0.0:7"));
}

/// One request.
fn requests(bind: &str, server: &str) -> Requests {
    Requests {
        bind: address(bind),
        peer: None,
        server: address(server),
        count: 1,
        every: ms(1),
    }
}

fn one_node() -> (World<Echo>, NodeId) {
    let mut world = World::new(1);
    let node = world.node("node", [10, 0, 0, 1]).spawner(spawn);
    (world, node)
}

/// Opens these one after the other.
fn open(world: &mut World<Echo>, node: NodeId, binds: &[&str]) {
    for bind in binds {
        world.spawn(node, 0, server(bind));
        world.run_for(ms(1)).unwrap();
    }
}

fn opened_or_not(world: &mut World<Echo>) -> Vec<Result<core::net::SocketAddr, NetworkError>> {
    let reports = reported(world).into_iter();
    reports
        .filter_map(|report| match report {
            Report::Opened(local) => Some(Ok(local)),
            Report::OpenFailed(error) => Some(Err(error)),
            _ => None,
        })
        .collect()
}
