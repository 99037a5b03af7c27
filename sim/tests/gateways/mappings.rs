//! The mappings of a NAT: how long they last, which ports they have, and how many there may be.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use stillpoint_sim::{
    DropCause, Hairpin, Link, Nat, NodeId, PortChoice, Protocol, TraceKind, World, self_check,
};

use super::lab::{Call, Lab, address, ms, secs, spawn};

const SERVER: &str = "198.51.100.1:7000";

/// A home with a phone, and a server outside.
fn street(seed: u64, nat: Nat) -> (World<Call>, NodeId, NodeId, NodeId) {
    let mut world = World::new(seed);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(nat)
        .build();
    let alice = world
        .node("alice", [192, 168, 1, 10])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(alice, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    (world, home, alice, server)
}

/// The port that alice is seen with.
fn seen(world: &mut World<Call>, alice: NodeId, server: NodeId) -> SocketAddr {
    world.say(alice, address(SERVER), 0);
    world.caller(server)
}

#[test]
fn a_mapping_ends_some_time_after_something_has_left() {
    let nat = Nat::full_cone().udp_timeout(secs(120));
    let (mut world, home, alice, server) = street(1, nat);
    let seen = seen(&mut world, alice, server);
    // What comes in does not prolong it.
    let mut number = 0;
    while world.mappings(home).len() == 1 {
        number += 1;
        world.say(server, seen, number);
        world.run_for(secs(10)).unwrap();
    }
    assert_eq!(number, 12);
    world.say(server, seen, 99);
    assert_eq!(world.numbers(alice), (1..=12).collect::<Vec<_>>());
    assert_eq!(world.dropped(DropCause::NoMapping), 1);
    // What leaves does.
    for number in 0..12 {
        world.say(alice, address(SERVER), number);
        world.run_for(secs(100)).unwrap();
    }
    world.say(server, seen, 100);
    assert_eq!(world.numbers(alice).last(), Some(&100));
}

#[test]
fn a_mapping_lasts_five_minutes_unless_told_otherwise() {
    let (mut world, home, alice, server) = street(1, Nat::port_restricted());
    world.link(home, server, &Link::fixed(secs(0)));
    world.link(home, alice, &Link::fixed(secs(0)));
    seen(&mut world, alice, server);
    world.run_for(secs(299)).unwrap();
    assert_eq!(world.mappings(home).len(), 1);
    world.run_for(secs(1)).unwrap();
    assert_eq!(world.mappings(home), []);
}

#[test]
fn a_filter_closes_for_those_to_whom_nothing_more_is_sent() {
    let nat = Nat::restricted().udp_timeout(secs(120));
    let (mut world, _, alice, server) = street(1, nat);
    let other = world.node("other", [198, 51, 100, 2]).spawner(spawn);
    world.start(other, "0.0.0.0:7000");
    let seen = seen(&mut world, alice, server);
    for _ in 0..3 {
        world.run_for(secs(50)).unwrap();
        world.say(alice, address("198.51.100.2:7000"), 0);
    }
    world.say(server, seen, 1);
    world.say(other, seen, 2);
    assert_eq!(world.numbers(alice), [2]);
    assert_eq!(world.dropped(DropCause::Filtered), 1);
}

#[test]
fn a_server_sees_another_port_after_a_rebinding() {
    for ports in [PortChoice::Preserving, PortChoice::Random] {
        for seed in 0..20 {
            let (mut world, home, alice, server) = street(seed, Nat::full_cone().ports(ports));
            let old = seen(&mut world, alice, server);
            world.rebind(home);
            assert_eq!(world.mappings(home), []);
            world.say(server, old, 1);
            let new = seen(&mut world, alice, server);
            assert_eq!(new.ip(), old.ip());
            assert_ne!(new.port(), old.port());
            world.say(server, old, 2);
            world.say(server, new, 3);
            assert_eq!(world.numbers(alice), [3]);
            assert_eq!(world.dropped(DropCause::NoMapping), 2);
        }
    }
}

#[test]
fn a_home_with_a_new_address_is_seen_with_it() {
    let (mut world, home, alice, server) = street(1, Nat::full_cone());
    let old = seen(&mut world, alice, server);
    world.set_gateway_address(home, [203, 0, 113, 99]);
    assert_eq!(world.address(home), address("203.0.113.99:0").ip());
    assert_eq!(world.mappings(home), []);
    let new = seen(&mut world, alice, server);
    assert_eq!(new.ip(), address("203.0.113.99:0").ip());
    world.say(server, old, 1);
    world.say(server, new, 2);
    assert_eq!(world.numbers(alice), [2]);
    assert_eq!(world.dropped(DropCause::NoRoute), 1);
}

#[test]
fn a_home_that_was_without_power_has_forgotten_its_mappings() {
    let (mut world, home, alice, server) = street(1, Nat::full_cone());
    let old = seen(&mut world, alice, server);
    world.crash(home);
    world.say(alice, address(SERVER), 1);
    world.say(server, old, 2);
    assert_eq!(world.dropped(DropCause::NodeDown), 2);
    assert_eq!(world.first(alice).errors, [], "nobody is there to tell");
    world.restart(home);
    world.say(server, old, 3);
    assert_eq!(world.dropped(DropCause::NoMapping), 1);
    let new = seen(&mut world, alice, server);
    assert_ne!(new, old);
    world.say(server, new, 4);
    assert_eq!(world.numbers(alice), [4]);
}

#[test]
fn ports_are_kept_or_drawn() {
    let port = |seed, ports| {
        let (mut world, _, alice, server) = street(seed, Nat::full_cone().ports(ports));
        seen(&mut world, alice, server).port()
    };
    let seeds = || 0..20;
    assert!(seeds().all(|seed| port(seed, PortChoice::Preserving) == 5_000));
    let drawn: BTreeSet<u16> = seeds().map(|seed| port(seed, PortChoice::Random)).collect();
    assert!(
        drawn.len() >= 19 && drawn.iter().all(|&port| port >= 1_024),
        "{drawn:?}"
    );
    assert!(
        seeds().all(|seed| { port(seed, PortChoice::Random) == port(seed, PortChoice::Random) })
    );
}

#[test]
fn the_second_with_one_port_gets_another() {
    let (mut world, home, alice, server) = street(1, Nat::full_cone());
    let bob = world
        .node("bob", [192, 168, 1, 11])
        .behind(home)
        .spawner(spawn);
    world.start(bob, "0.0.0.0:5000");
    assert_eq!(seen(&mut world, alice, server), address("203.0.113.7:5000"));
    let other = seen(&mut world, bob, server);
    assert_ne!(other.port(), 5_000);
    world.say(server, other, 1);
    assert_eq!(
        (world.numbers(alice), world.numbers(bob)),
        (vec![], vec![1])
    );
}

#[test]
fn one_more_behind_a_nat_shifts_no_port_of_the_others() {
    let ports = |more: bool| {
        let (mut world, home, alice, server) = street(7, Nat::symmetric());
        if more {
            let bob = world
                .node("bob", [192, 168, 1, 11])
                .behind(home)
                .spawner(spawn);
            world.start(bob, "0.0.0.0:5000");
            let before = world.now();
            world.say(bob, address(SERVER), 0);
            // Alice is not to begin later for it: ports are drawn for a moment.
            world.run_until_idle(secs(1)).unwrap();
            world
                .run_for(secs(1).saturating_sub(world.now().since(before)))
                .unwrap();
        } else {
            world
                .run_for(core::time::Duration::from_nanos(1) + secs(1))
                .unwrap();
        }
        let at = world.now();
        (at, seen(&mut world, alice, server))
    };
    assert_eq!(ports(true), ports(false));
}

#[test]
fn a_nat_without_a_port_left_drops_what_would_need_one() {
    let nat = Nat::symmetric().mappings_max(2).udp_timeout(secs(60));
    let (mut world, home, alice, server) = street(1, nat);
    for port in 7_000..7_005 {
        let to = SocketAddr::new(address(SERVER).ip(), port);
        world.say(alice, to, port.into());
    }
    assert_eq!(world.mappings(home).len(), 2);
    assert_eq!(world.dropped(DropCause::MappingsFull), 3);
    world.say(alice, address(SERVER), 1);
    assert_eq!(
        world.numbers(server),
        [7_000, 1],
        "those that are there go on"
    );
    world.run_for(secs(60)).unwrap();
    world.say(alice, address("198.51.100.1:7004"), 1);
    assert_eq!(world.dropped(DropCause::MappingsFull), 3);
}

#[test]
fn a_forwarded_port_is_open_to_all_and_outlives_a_rebinding() {
    let inner = address("192.168.1.10:5000");
    let nat = Nat::symmetric().forward(Protocol::Udp, 80, inner);
    let (mut world, home, alice, server) = street(1, nat);
    let outer = address("203.0.113.7:80");
    world.say(server, outer, 1);
    assert_eq!(
        seen(&mut world, alice, server),
        outer,
        "answers come from there"
    );
    world.rebind(home);
    world.run_for(secs(100_000)).unwrap();
    world.say(server, outer, 2);
    assert_eq!(world.numbers(alice), [1, 2]);
    world.say(alice, outer, 3);
    assert_eq!(world.numbers(alice), [1, 2, 3], "over a hairpin");
    assert_eq!(world.mappings(home).len(), 1);
}

#[test]
fn a_nat_of_one_family_has_no_way_for_the_other() {
    let mut world = World::new(1);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone())
        .build();
    let alice = world
        .node("alice", [192, 168, 1, 10])
        .address([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    let alice = alice.behind(home).spawner(spawn);
    let server = world
        .node("server", [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])
        .spawner(spawn);
    world.start(alice, "[::]:5000");
    world.start(server, "[::]:7000");
    let target = address("[2001:db8::1]:7000");
    world.say(alice, target, 1);
    assert_eq!(world.dropped(DropCause::NoRoute), 1);
    world.set_gateway_address(home, [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]);
    world.say(alice, target, 2);
    assert_eq!(world.numbers(server), [2]);
    assert_eq!(world.caller(server), address("[2001:db8::7]:5000"));
}

#[test]
fn a_trace_tells_of_both_addresses() {
    let (mut world, home, alice, server) = street(1, Nat::full_cone());
    world.record_trace();
    seen(&mut world, alice, server);
    let trace = world.take_trace();
    let forwarded = trace
        .iter()
        .find(|event| event.kind == TraceKind::Forwarded);
    let forwarded = forwarded.expect("the NAT has sent it on");
    assert_eq!(forwarded.node, home);
    let text = world.describe(forwarded);
    assert!(
        text.contains("from 203.0.113.7:5000 to 198.51.100.1:7000"),
        "{text}"
    );
}

#[test]
fn hairpins_and_rebindings_replay() {
    for seed in 0..10 {
        let scenario = |world: &mut World<Call>| {
            world.default_link(&Link::new(ms(1)..=ms(40)).loss(0.1).reorder(0.2, ms(9)));
            let nat = Nat::symmetric().hairpin(Hairpin::On).mappings_max(8);
            let home = world
                .gateway("home")
                .address([203, 0, 113, 7])
                .nat(nat)
                .build();
            let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
            world.start(server, "0.0.0.0:7000");
            for last in 1..=4 {
                let name = format!("phone {last}");
                let phone = world
                    .node(name, [192, 168, 1, last])
                    .behind(home)
                    .spawner(spawn);
                world.start(phone, "0.0.0.0:5000");
                world.say(phone, address(SERVER), 1);
                world.rebind(home);
                world.say(phone, address(SERVER), 2);
            }
            Ok(())
        };
        self_check(seed, scenario).unwrap();
    }
}
