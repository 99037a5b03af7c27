//! What a scenario is told that says something impossible of its network.

use stillpoint_sim::{Nat, Protocol, World};

use super::lab::{Call, address, spawn};

fn world() -> World<Call> {
    World::new(1)
}

#[test]
#[should_panic(expected = "node `alice` is no gateway: only what `World::gateway` has made")]
fn nobody_is_behind_what_is_no_gateway() {
    let mut world = world();
    let alice = world.node("alice", [10, 0, 0, 1]).spawner(spawn);
    drop(world.node("bob", [10, 0, 0, 2]).behind(alice));
}

#[test]
#[should_panic(expected = "of a world with 1 nodes: use ids of the world that made them")]
fn a_gateway_is_of_the_same_world() {
    let mut other = world();
    other.gateway("one").build();
    let gateway = other.gateway("home").build();
    let mut world = world();
    world.node("alice", [10, 0, 0, 1]).spawner(spawn);
    drop(world.node("bob", [10, 0, 0, 2]).behind(gateway));
}

#[test]
#[should_panic(expected = "`alice` and `bob` both have 192.168.1.1 behind gateway `home`")]
fn addresses_are_unique_behind_a_nat() {
    let mut world = world();
    let home = world
        .gateway("home")
        .address([10, 0, 0, 1])
        .nat(Nat::symmetric())
        .build();
    world
        .node("alice", [192, 168, 1, 1])
        .behind(home)
        .spawner(spawn);
    world
        .node("bob", [192, 168, 1, 1])
        .behind(home)
        .spawner(spawn);
}

#[test]
#[should_panic(expected = "`alice` and `bob` both have 10.0.0.1: give each its own")]
fn addresses_are_unique_across_a_router() {
    let mut world = world();
    let router = world.gateway("router").build();
    world
        .node("alice", [10, 0, 0, 1])
        .behind(router)
        .spawner(spawn);
    world.node("bob", [10, 0, 0, 1]).spawner(spawn);
}

#[test]
#[should_panic(expected = "node `outer` behind `inner`, which is behind `outer`: no way leads out")]
fn gateways_are_in_no_circle() {
    let mut world = world();
    let outer = world.gateway("outer").build();
    let inner = world.gateway("inner").behind(outer).build();
    world.move_behind(outer, Some(inner), [10, 0, 0, 1]);
}

#[test]
#[should_panic(expected = "node `home` behind `home`, which is behind `home`: no way leads out")]
fn nobody_is_behind_himself() {
    let mut world = world();
    let home = world
        .gateway("home")
        .address([10, 0, 0, 1])
        .nat(Nat::full_cone())
        .build();
    world.move_behind(home, Some(home), [10, 0, 0, 2]);
}

#[test]
#[should_panic(expected = "gateway `router` without NAT: those behind it have addresses of the")]
fn a_router_does_not_move_with_others_behind_it() {
    let mut world = world();
    let router = world.gateway("router").build();
    world
        .node("alice", [10, 0, 0, 1])
        .behind(router)
        .spawner(spawn);
    world.move_behind(router, None, [10, 0, 0, 2]);
}

#[test]
#[should_panic(expected = "NAT `home` without an address: give it one")]
fn a_nat_has_an_address() {
    world().gateway("home").nat(Nat::full_cone()).build();
}

#[test]
#[should_panic(expected = "gateway `router` is no NAT: see `GatewayBuilder::nat`")]
fn only_a_nat_is_rebound() {
    let mut world = world();
    let router = world.gateway("router").build();
    world.rebind(router);
}

#[test]
#[should_panic(
    expected = "node `alice` without 10.0.0.2: only an address that it has can be taken"
)]
fn only_an_address_that_is_there_is_removed() {
    let mut world = world();
    let alice = world.node("alice", [10, 0, 0, 1]).spawner(spawn);
    world.remove_address(alice, [10, 0, 0, 2]);
}

#[test]
#[should_panic(expected = "node `alice` has no address: ask `World::addresses` if that may be")]
fn a_node_without_address_has_none_to_give() {
    let mut world = world();
    let alice = world.node("alice", [10, 0, 0, 1]).spawner(spawn);
    world.remove_address(alice, [10, 0, 0, 1]);
    let _ = world.address(alice);
}

#[test]
#[should_panic(expected = "gateway `home` runs no tasks: it only forwards")]
fn a_gateway_runs_nothing() {
    let mut world = world();
    let home = world.gateway("home").build();
    let open = stillpoint::UdpOpen::new(stillpoint::Token(0), address("0.0.0.0:1"));
    world.spawn(home, 0, open);
}

#[test]
#[should_panic(expected = "Udp port 80 forwarded to 10.0.0.1:80 and to 10.0.0.2:80")]
fn a_port_is_forwarded_to_one() {
    let nat = Nat::full_cone().forward(Protocol::Udp, 80, address("10.0.0.1:80"));
    drop(nat.forward(Protocol::Udp, 80, address("10.0.0.2:80")));
}
