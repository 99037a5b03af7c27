//! Nodes whose addresses change, and nodes that move.

use stillpoint::{NetworkError, Token, UdpOpen};
use stillpoint_sim::{DropCause, Link, Nat, NodeId, TraceKind, World, self_check};

use super::lab::{Call, Lab, Say, address, ms, spawn};

/// A phone at 10.0.0.1:5000, bound to all addresses, and a server at 10.0.0.2:7000.
fn pair(world: &mut World<Call>) -> (NodeId, NodeId) {
    let phone = world.node("phone", [10, 0, 0, 1]).spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.start(phone, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    (phone, server)
}

#[test]
fn a_wildcard_socket_sends_from_the_address_that_its_node_has_now() {
    let mut world = World::new(1);
    let (phone, server) = pair(&mut world);
    let target = address("10.0.0.2:7000");
    world.say(phone, target, 1);
    assert_eq!(world.caller(server), address("10.0.0.1:5000"));
    world.add_address(phone, [10, 0, 7, 1]);
    world.say(phone, target, 2);
    assert_eq!(world.caller(server), address("10.0.7.1:5000"));
    // It still has the old one, and hears what comes there.
    world.say(server, address("10.0.0.1:5000"), 3);
    world.say(server, address("10.0.7.1:5000"), 4);
    let to = world
        .first(phone)
        .heard
        .iter()
        .map(|heard| heard.to.to_string());
    assert_eq!(to.collect::<Vec<_>>(), ["10.0.0.1", "10.0.7.1"]);
    assert_eq!(world.addresses(phone).len(), 2);
    world.remove_address(phone, [10, 0, 7, 1]);
    world.say(phone, target, 5);
    assert_eq!(world.caller(server), address("10.0.0.1:5000"));
    assert_eq!(world.address(phone).to_string(), "10.0.0.1");
}

#[test]
fn what_is_on_its_way_to_an_address_that_goes_is_lost() {
    let mut world = World::new(1);
    let (phone, server) = pair(&mut world);
    let (to, from, count) = (address("10.0.0.1:5000"), 0, 3);
    world.tell(server, Say::Numbers { to, from, count });
    world.run_for(ms(1) / 2).unwrap();
    assert_eq!(world.counters().in_flight, 3);
    world.move_behind(phone, None, [10, 0, 7, 1]);
    world.settle();
    assert_eq!(world.numbers(phone), []);
    assert_eq!(world.dropped(DropCause::NoRoute), 3);
    assert_eq!(world.first(server).errors, []);
    world.say(server, to, 4);
    assert_eq!(world.dropped(DropCause::NoRoute), 4);
    world.say(server, address("10.0.7.1:5000"), 5);
    assert_eq!(world.numbers(phone), [5]);
}

#[test]
fn a_socket_bound_to_an_address_that_is_gone_cannot_send() {
    let mut world = World::new(1);
    let phone = world.node("phone", [10, 0, 0, 1]).spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    world.start(phone, "10.0.0.1:5000");
    let connected = UdpOpen::new(Token(0), address("0.0.0.0:5001"));
    world.start_with(phone, connected.connected(address("10.0.0.2:7000")));
    world.add_address(phone, [10, 0, 7, 1]);
    let target = address("10.0.0.2:7000");
    world.say(phone, target, 1);
    assert_eq!(world.caller(server), address("10.0.0.1:5000"));
    world.remove_address(phone, [10, 0, 0, 1]);
    world.say(phone, target, 2);
    assert_eq!(
        world.first(phone).unsent,
        [NetworkError::AddressNotAvailable]
    );
    let second = |world: &World<Call>| {
        let (_, phone) = world.tasks::<super::lab::Phone>(phone).nth(1).unwrap();
        (phone.local.unwrap().port(), phone.unsent.clone())
    };
    let port = second(&world).0;
    world.say_from(phone, port, target, 3);
    assert_eq!(second(&world).1, [NetworkError::AddressNotAvailable]);
    assert_eq!(world.numbers(server), [1]);
    // Should the address come back, it goes on.
    world.add_address(phone, [10, 0, 0, 1]);
    world.say(phone, target, 4);
    assert_eq!(world.numbers(server), [1, 4]);
}

#[test]
fn a_node_without_address_reaches_nobody_but_itself() {
    let mut world = World::new(1);
    let (phone, server) = pair(&mut world);
    world.remove_address(phone, [10, 0, 0, 1]);
    world.say(phone, address("10.0.0.2:7000"), 1);
    assert_eq!(
        world.first(phone).unsent,
        [NetworkError::NetworkUnreachable]
    );
    world.say(phone, address("127.0.0.1:5000"), 2);
    assert_eq!(
        (world.numbers(server), world.numbers(phone)),
        (vec![], vec![2])
    );
    assert_eq!(world.addresses(phone), Vec::<core::net::IpAddr>::new());
}

#[test]
fn a_phone_leaves_its_home_and_is_seen_where_it_is() {
    let mut world = World::new(1);
    let nat = Nat::port_restricted();
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(nat.clone())
        .build();
    let carrier = world
        .gateway("carrier")
        .address([203, 0, 113, 99])
        .nat(nat)
        .build();
    let phone = world
        .node("phone", [192, 168, 1, 10])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(phone, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    let target = address("198.51.100.1:7000");
    let mut seen = |behind, ip: [u8; 4], number| {
        world.move_behind(phone, behind, ip);
        world.say(phone, target, number);
        let caller = world.caller(server);
        world.say(server, caller, number);
        assert_eq!(world.numbers(phone).last(), Some(&number));
        caller.to_string()
    };
    assert_eq!(seen(Some(carrier), [100, 64, 0, 2], 1), "203.0.113.99:5000");
    assert_eq!(seen(None, [203, 0, 113, 1], 2), "203.0.113.1:5000");
    assert_eq!(seen(Some(home), [192, 168, 1, 20], 3), "203.0.113.7:5000");
}

#[test]
fn what_left_before_a_move_still_arrives() {
    let mut world = World::new(1);
    let home = world
        .gateway("home")
        .address([10, 0, 0, 7])
        .nat(Nat::full_cone())
        .build();
    let phone = world
        .node("phone", [192, 168, 1, 10])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.start(phone, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    world.link(phone, home, &Link::fixed(ms(10)));
    let (to, from, count) = (address("10.0.0.2:7000"), 1, 1);
    world.tell(phone, Say::Numbers { to, from, count });
    world.run_for(ms(5)).unwrap();
    world.move_behind(phone, None, [10, 0, 0, 9]);
    world.settle();
    assert_eq!(world.numbers(server), [1]);
    assert_eq!(world.caller(server), address("10.0.0.7:5000"));
}

#[test]
fn a_home_moves_with_all_that_is_in_it() {
    let mut world = World::new(1);
    let carrier = world
        .gateway("carrier")
        .address([203, 0, 113, 99])
        .nat(Nat::full_cone())
        .build();
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone())
        .build();
    let phone = world
        .node("phone", [192, 168, 1, 10])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(phone, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    let target = address("198.51.100.1:7000");
    world.say(phone, target, 1);
    assert_eq!(world.caller(server).ip().to_string(), "203.0.113.7");
    world.move_behind(home, Some(carrier), [100, 64, 0, 2]);
    assert_eq!(world.mappings(home), []);
    world.say(phone, target, 2);
    assert_eq!(world.caller(server).ip().to_string(), "203.0.113.99");
}

#[test]
fn moves_are_in_the_trace_and_replay() {
    let scenario = |world: &mut World<Call>| {
        world.default_link(&Link::new(ms(1)..=ms(30)));
        let (phone, server) = pair(world);
        for last in 10..20 {
            world.say(phone, address("10.0.0.2:7000"), 1);
            world.move_behind(phone, None, [10, 0, 0, last]);
            let old = world.caller(server);
            world.say(server, old, 2);
        }
        Ok(())
    };
    for seed in 0..5 {
        self_check(seed, scenario).unwrap();
    }
    let mut world = World::new(1);
    let (phone, _) = pair(&mut world);
    world.record_trace();
    world.add_address(phone, [10, 0, 7, 1]);
    let trace = world.take_trace();
    assert_eq!((trace[0].kind, trace[0].node), (TraceKind::Moved, phone));
    assert!(world.describe(&trace[0]).contains("10.0.7.1"));
}
