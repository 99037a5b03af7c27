//! A small world is short to write.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks of tests look for some variants"
)]

mod common;

use common::{Client, Echo, client, ms, server, spawn};
use stillpoint_sim::{Link, World, check};

#[test]
fn three_nodes_a_lossy_link_and_an_invariant() {
    check("short", 0..50, |world: &mut World<Echo>| {
        let [home, ada, bob] = world.nodes(["home", "ada", "bob"], spawn);
        world.link(home, ada, &Link::new(ms(1)..=ms(20)).loss(0.1));
        world.always_each("no reply unasked", |_, _, client: &Client| {
            client.replies.len() as u64 <= client.sent
        });
        world.sometimes("a request is lost", |world| {
            world.counters().dropped.total() > 0
        });
        world.spawn(home, 0, server("0.0.0.0:7"));
        world.run_for(ms(1))?;
        for node in [ada, bob] {
            world.spawn(node, 0, client("10.0.0.1:7", 20, ms(5)));
        }
        world.run_until_idle(ms(1_000))
    });
}

#[test]
fn that_was_fewer_than_20_lines() {
    let source = include_str!("short.rs");
    let from = source.find("fn three_nodes").unwrap();
    let len = source[from..].find("\n}\n").unwrap();
    let lines = source[from..from + len + 2].lines().count();
    assert!((10..20).contains(&lines), "{lines}");
}

#[test]
fn nodes_get_addresses_that_are_free() {
    let mut world = World::<Echo>::new(1);
    let taken = world.node("taken", [10, 0, 0, 2]).spawner(spawn);
    let names: Vec<String> = (0..300).map(|number| format!("node {number}")).collect();
    for name in &names {
        world.nodes([name.as_str()], spawn);
    }
    let of = |name: &str| world.address(world.find(name).unwrap()).to_string();
    assert_eq!(world.address(taken).to_string(), "10.0.0.2");
    assert_eq!([of("node 0"), of("node 1")], ["10.0.0.1", "10.0.0.3"]);
    assert_eq!([of("node 252"), of("node 253")], ["10.0.0.254", "10.0.1.1"]);
    assert_eq!(world.all_nodes().count(), 301);
}

#[test]
fn all_links_of_some_nodes_are_set_at_once() {
    let mut world = World::new(1);
    let nodes = world.nodes(["a", "b", "c"], spawn);
    world.link_all(&nodes, &Link::fixed(ms(7)));
    for node in nodes {
        world.spawn(node, 0, server("0.0.0.0:7"));
    }
    world.run_for(ms(1)).unwrap();
    for (number, node) in (1..).zip(nodes) {
        let peer = format!("10.0.0.{}:7", number % 3 + 1);
        world.spawn(node, 0, client(&peer, 1, ms(1)));
    }
    let began = world.now();
    world.run_until_idle(ms(100)).unwrap();
    for (_, _, client) in world.all_tasks::<Client>() {
        assert_eq!(client.replies[0].0.since(began), ms(14));
    }
}
