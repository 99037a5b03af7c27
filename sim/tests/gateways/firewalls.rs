//! Firewalls, at gateways and at nodes: what passes, and what its sender is told if it does not.

use stillpoint::NetworkError;
use stillpoint_sim::{
    Denial, DropCause, Firewall, FirewallAction, FirewallRule, Nat, NodeId, World, self_check,
};

use super::lab::{Call, Lab, address, ms, secs, spawn};

const INSIDE: &str = "10.0.0.1:5000";
const OUTSIDE: &str = "10.0.0.2:7000";

/// A phone behind a router with this firewall, and one outside.
fn office(firewall: Firewall) -> (World<Call>, NodeId, NodeId) {
    let mut world = World::new(1);
    let router = world.gateway("router").firewall(firewall).build();
    let inside = world
        .node("inside", [10, 0, 0, 1])
        .behind(router)
        .spawner(spawn);
    let outside = world.node("outside", [10, 0, 0, 2]).spawner(spawn);
    world.start(inside, "0.0.0.0:5000");
    world.start(outside, "0.0.0.0:7000");
    world.start(outside, "0.0.0.0:7001");
    (world, inside, outside)
}

#[test]
fn those_inside_may_begin_and_those_outside_may_answer_for_a_while() {
    let (mut world, inside, outside) = office(Firewall::stateful().udp_timeout(secs(30)));
    world.say(outside, address(INSIDE), 1);
    assert_eq!(world.dropped(DropCause::Filtered), 1);
    world.say(inside, address(OUTSIDE), 2);
    world.say(outside, address(INSIDE), 3);
    world.say_from(outside, 7001, address(INSIDE), 4);
    assert_eq!(world.numbers(inside), [3], "another port is another flow");
    // Here answers prolong a flow, too.
    for number in 5..8 {
        world.run_for(secs(29)).unwrap();
        world.say(outside, address(INSIDE), number);
    }
    assert_eq!(world.numbers(inside), [3, 5, 6, 7]);
    world.run_for(secs(30)).unwrap();
    world.say(outside, address(INSIDE), 8);
    assert_eq!(world.numbers(inside), [3, 5, 6, 7]);
    assert_eq!(world.dropped(DropCause::Filtered), 3);
}

#[test]
fn the_first_rule_that_fits_decides() {
    let firewall = Firewall::stateful()
        .rule(FirewallRule::drop().inbound().from([10, 0, 0, 3], 32))
        .rule(
            FirewallRule::allow()
                .inbound()
                .udp()
                .from([10, 0, 0, 0], 29)
                .ports(5_000..=5_001),
        )
        .rule(
            FirewallRule::reject()
                .outbound()
                .to([10, 0, 0, 2], 32)
                .port(7_001),
        )
        .rule(FirewallRule::allow().inbound().source_ports(9..=9));
    let (mut world, inside, outside) = office(firewall);
    world.start(inside, "0.0.0.0:5001");
    world.start(inside, "0.0.0.0:5002");
    let mut guest = |last: u8, bind: &str| {
        let node = world
            .node(format!("guest {last}"), [10, 0, 0, last])
            .spawner(spawn);
        world.start(node, bind);
        node
    };
    let (three, four) = (guest(3, "0.0.0.0:7000"), guest(4, "0.0.0.0:7000"));
    let (nine, nine_else) = (guest(9, "0.0.0.0:7000"), guest(10, "0.0.0.0:9"));
    for (from, to, number) in [
        (three, "10.0.0.1:5000", 1),
        (four, "10.0.0.1:5000", 2),
        (four, "10.0.0.1:5001", 3),
        (four, "10.0.0.1:5002", 4),
        (nine, "10.0.0.1:5000", 5),
        (nine_else, "10.0.0.1:5000", 6),
        (outside, "10.0.0.1:5000", 7),
    ] {
        world.say(from, address(to), number);
    }
    let mut heard = world.numbers(inside);
    heard.sort_unstable();
    assert_eq!(heard, [2, 3, 6, 7]);
    let before = world.now();
    world.say(inside, address("10.0.0.2:7001"), 8);
    let told = (
        before.after(ms(2)),
        address("10.0.0.2:7001"),
        NetworkError::ConnectionRefused,
    );
    assert_eq!(world.first(inside).errors, [told]);
    world.say(inside, address(OUTSIDE), 9);
    assert_eq!(world.numbers(outside), [9]);
}

#[test]
fn a_denial_is_silent_or_told() {
    for (denial, error) in [
        (Denial::Drop, None),
        (Denial::Reject, Some(NetworkError::ConnectionRefused)),
        (Denial::Prohibit, Some(NetworkError::HostUnreachable)),
    ] {
        let firewall = Firewall::stateful().inbound(FirewallAction::Deny(denial));
        let (mut world, inside, outside) = office(firewall);
        world.say(outside, address(INSIDE), 1);
        assert_eq!(world.numbers(inside), []);
        assert_eq!(world.dropped(DropCause::Filtered), 1);
        let told = world
            .first(outside)
            .errors
            .iter()
            .map(|&(_, _, error)| error);
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(error));
    }
}

#[test]
fn without_state_each_direction_needs_its_rule() {
    let (mut world, inside, outside) = office(Firewall::stateful().stateless());
    world.say(inside, address(OUTSIDE), 1);
    world.say(outside, address(INSIDE), 2);
    assert_eq!(
        (world.numbers(outside), world.numbers(inside)),
        (vec![1], vec![])
    );
}

#[test]
fn a_firewall_that_knows_all_flows_it_may_lets_no_other_begin() {
    let (mut world, inside, outside) = office(Firewall::open().flows_max(1));
    world.say(inside, address("10.0.0.2:7001"), 1);
    world.say(inside, address(OUTSIDE), 2);
    world.say_from(outside, 7001, address(INSIDE), 3);
    assert_eq!(
        (world.numbers(outside), world.numbers(inside)),
        (vec![1], vec![3])
    );
}

#[test]
fn a_node_has_a_firewall_of_its_own() {
    let mut world = World::new(1);
    let firewall = Firewall::stateful().rule(FirewallRule::drop().outbound().port(7_001));
    let node = world
        .node("node", [10, 0, 0, 1])
        .firewall(firewall)
        .spawner(spawn);
    let other = world.node("other", [10, 0, 0, 2]).spawner(spawn);
    world.start(node, "0.0.0.0:5000");
    world.start(other, "0.0.0.0:7000");
    world.say(other, address(INSIDE), 1);
    assert_eq!(world.dropped(DropCause::Filtered), 1);
    world.say(node, address(OUTSIDE), 2);
    world.say(other, address(INSIDE), 3);
    assert_eq!(
        (world.numbers(other), world.numbers(node)),
        (vec![2], vec![3])
    );
    // What its own task may not send, the task is told.
    world.say(node, address("10.0.0.2:7001"), 4);
    assert_eq!(world.first(node).unsent, [NetworkError::PermissionDenied]);
    assert_eq!(world.dropped(DropCause::Unsendable), 1);
    // It is not between a node and itself.
    world.say(node, address("127.0.0.1:5000"), 5);
    assert_eq!(world.numbers(node), [3, 5]);
    world.remove_firewall(node);
    world.run_for(secs(1_000)).unwrap();
    world.say(other, address(INSIDE), 6);
    assert_eq!(world.numbers(node), [3, 5, 6]);
}

#[test]
fn a_firewall_at_a_nat_sees_inner_addresses_in_both_directions() {
    let firewall = Firewall::stateful()
        .rule(
            FirewallRule::prohibit()
                .outbound()
                .from([192, 168, 1, 11], 32),
        )
        .rule(
            FirewallRule::allow()
                .inbound()
                .to([192, 168, 1, 12], 32)
                .port(5_000),
        );
    let mut world = World::new(1);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone());
    let home = home.firewall(firewall).build();
    let [first, second, third] = [10, 11, 12].map(|last| {
        let node = world.node(format!("phone {last}"), [192, 168, 1, last]);
        let node = node.behind(home).spawner(spawn);
        world.start(node, "0.0.0.0:5000");
        node
    });
    let servers = [1, 2].map(|last| {
        let node = world
            .node(format!("server {last}"), [198, 51, 100, last])
            .spawner(spawn);
        world.start(node, "0.0.0.0:7000");
        node
    });
    let mut seen = Vec::new();
    for (phone, number) in [(first, 1), (second, 2), (third, 3)] {
        world.say(phone, address("198.51.100.1:7000"), number);
        seen.push(world.caller(servers[0]));
    }
    assert_eq!(world.numbers(servers[0]), [1, 3]);
    assert_eq!(
        world.first(second).errors[0].2,
        NetworkError::HostUnreachable
    );
    // The NAT lets everybody in, and the firewall only to the third.
    world.say(servers[1], seen[0], 4);
    world.say(servers[1], seen[2], 5);
    world.say(servers[0], seen[0], 6);
    assert_eq!(
        (world.numbers(first), world.numbers(third)),
        (vec![6], vec![5])
    );
}

#[test]
fn a_firewall_can_close_while_the_world_runs() {
    let (mut world, inside, outside) = office(Firewall::open());
    world.say(outside, address(INSIDE), 1);
    let router = world.find("router").unwrap();
    world.set_firewall(router, Firewall::stateful());
    world.say(outside, address(INSIDE), 2);
    assert_eq!(world.numbers(inside), [1]);
}

#[test]
fn firewalls_replay() {
    for seed in 0..5 {
        let scenario = |world: &mut World<Call>| {
            let router = world
                .gateway("router")
                .firewall(Firewall::stateful())
                .build();
            let inside = world
                .node("inside", [10, 0, 0, 1])
                .behind(router)
                .spawner(spawn);
            let outside = world.node("outside", [10, 0, 0, 2]).spawner(spawn);
            world.start(inside, "0.0.0.0:5000");
            world.start(outside, "0.0.0.0:7000");
            for number in 0..10 {
                world.say(outside, address(INSIDE), number);
                world.say(inside, address(OUTSIDE), number);
            }
            Ok(())
        };
        self_check(seed, scenario).unwrap();
    }
}
