//! TCP through gateways: out, not in, and what becomes of connections whose way changes.

use stillpoint::{Keepalive, NetworkError, TcpConnect, TcpListen, TcpOptions, Timestamp, Token};
use stillpoint_sim::{
    Denial, DropCause, Firewall, FirewallRule, Link, Nat, NodeId, Protocol, World, self_check,
};

use super::talker::{
    Script, Spawn, Talk, Talker, act, address, ear, listen, ms, only, secs, spawn,
};

/// A phone at 192.168.1.10 behind a NAT at 10.0.0.7, and a server at 10.0.0.2.
fn street(world: &mut World<Talk>, nat: Nat) -> (NodeId, NodeId, NodeId) {
    let home = world
        .gateway("home")
        .address([10, 0, 0, 7])
        .nat(nat)
        .build();
    let phone = world
        .node("phone", [192, 168, 1, 10])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    (home, phone, server)
}

fn call(target: &str, script: Script) -> Spawn {
    Spawn::Connect(TcpConnect::new(Token(0), address(target)), script)
}

fn listener(bind: &str, script: Script) -> Spawn {
    Spawn::Listen(TcpListen::new(Token(0), address(bind)), script)
}

/// The phone calls the server; both stay silent. Gives the link's latency of 1 ms to each hop.
fn connected(world: &mut World<Talk>, nat: Nat) -> (NodeId, NodeId, NodeId) {
    let (home, phone, server) = street(world, nat);
    world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
    world.run_for(ms(1)).unwrap();
    world.spawn(phone, 0, call("10.0.0.2:7", Script::default()));
    world.run_for(ms(20)).unwrap();
    assert_eq!(ear(world, server).peer.ip(), address("10.0.0.7:0").ip());
    (home, phone, server)
}

fn failed(world: &World<Talk>, node: NodeId) -> Option<(Timestamp, NetworkError)> {
    world
        .tasks::<Talker>(node)
        .find_map(|(_, task)| task.failed)
}

#[test]
fn calls_go_out_through_a_nat_and_bytes_both_ways() {
    for seed in 0..10 {
        let scenario = |world: &mut World<Talk>| {
            let link = Link::new(ms(1)..=ms(9))
                .loss(0.05)
                .duplicate(0.05)
                .reorder(0.1, ms(20));
            world.default_link(&link);
            let (home, phone, server) = street(world, Nat::symmetric());
            let (one, other) = (
                Script::say(100_000),
                Script {
                    voice: 7,
                    ..Script::say(70_000)
                },
            );
            world.spawn(server, 0, Spawn::Listen(listen(), one.clone()));
            world.run_for(ms(1))?;
            world.spawn(phone, 0, call("10.0.0.2:7", other.clone()));
            world.run_until(secs(100), |world| {
                let mut all = [phone, server].into_iter();
                all.all(|node| {
                    let mut tasks = world.tasks::<Talker>(node);
                    tasks.any(|(_, task)| task.ears.iter().any(|ear| ear.closed.is_some()))
                })
            })?;
            assert_eq!(ear(world, phone).heard, one.text());
            assert_eq!(ear(world, server).heard, other.text());
            let [mapping] = world.mappings(home)[..] else {
                panic!("one connection, one mapping");
            };
            assert_eq!(mapping.protocol, Protocol::Tcp);
            assert_eq!(mapping.inner, ear(world, phone).local);
            assert_eq!(mapping.outer, ear(world, server).peer);
            assert_eq!(ear(world, phone).peer, address("10.0.0.2:7"));
            Ok(())
        };
        let summary = self_check(seed, scenario).unwrap();
        let (again, ran) = stillpoint_sim::run_seed(seed, scenario);
        assert_eq!((summary, ran), (again, Ok(())));
    }
}

#[test]
fn nobody_calls_in_unless_a_port_is_forwarded() {
    let dropping = Nat::port_restricted();
    let rejecting = dropping.clone().unsolicited(Denial::Reject);
    let prohibiting = dropping.clone().unsolicited(Denial::Prohibit);
    for (nat, error) in [
        (dropping, NetworkError::TimedOut),
        (rejecting, NetworkError::ConnectionRefused),
        (prohibiting, NetworkError::HostUnreachable),
    ] {
        let mut world = World::new(1);
        let nat = nat.forward(Protocol::Tcp, 80, address("192.168.1.10:8080"));
        let (_, phone, server) = street(&mut world, nat);
        world.spawn(phone, 0, listener("0.0.0.0:8080", Script::default()));
        world.run_for(ms(1)).unwrap();
        let before = world.now();
        world.spawn(server, 0, call("10.0.0.7:8080", Script::default()));
        world
            .run_until(secs(200), |world| failed(world, server).is_some())
            .unwrap();
        let (at, why) = failed(&world, server).unwrap();
        assert_eq!(why, error);
        assert_eq!(at.since(before) == ms(2), error != NetworkError::TimedOut);
        assert!(only(&world, phone).ears.is_empty());
        assert!(world.counters().segments.dropped.total() > 0);

        let caller = world.node("caller", [10, 0, 0, 3]).spawner(spawn);
        world.spawn(caller, 0, call("10.0.0.7:80", Script::say(5_000)));
        world.run_for(secs(1)).unwrap();
        assert_eq!(ear(&world, phone).heard, Script::say(5_000).text());
        assert_eq!(ear(&world, phone).local, address("192.168.1.10:8080"));
        assert_eq!(ear(&world, caller).peer, address("10.0.0.7:80"));
    }
}

#[test]
fn nobody_listening_behind_a_forwarded_port_is_a_refusal() {
    let mut world = World::new(1);
    let nat = Nat::port_restricted().forward(Protocol::Tcp, 80, address("192.168.1.10:8080"));
    let (_, _, server) = street(&mut world, nat);
    let before = world.now();
    world.spawn(server, 0, call("10.0.0.7:80", Script::default()));
    world.run_for(secs(1)).unwrap();
    let refused = NetworkError::ConnectionRefused;
    assert_eq!(failed(&world, server), Some((before.after(ms(4)), refused)));
}

#[test]
fn a_connection_does_not_outlive_a_rebinding_that_its_server_sees() {
    let mut world = World::new(1);
    let (home, phone, server) = connected(&mut world, Nat::port_restricted());
    world.rebind(home);
    act(&mut world, phone, |talker| talker.write(100));
    world.run_for(secs(1)).unwrap();
    // The server has never seen the port that it comes from now.
    let (_, error) = ear(&world, phone).closed.expect("reset");
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert!(ear(&world, server).heard.is_empty() && ear(&world, server).closed.is_none());
    // And what the server sends to the old one reaches nobody.
    act(&mut world, server, |talker| talker.write(100));
    world
        .run_until(secs(2_000), |world| ear(world, server).closed.is_some())
        .unwrap();
    let (_, error) = ear(&world, server).closed.unwrap();
    assert_eq!(error, Some(NetworkError::TimedOut));
}

#[test]
fn a_silent_connection_is_forgotten_by_its_nat_and_one_with_keepalive_is_not() {
    for (keepalive, lives) in [
        (None, false),
        (Some(Keepalive::new(secs(60), secs(10), 3)), true),
    ] {
        let mut world = World::new(1);
        let nat = Nat::port_restricted()
            .tcp_timeout(secs(100))
            .udp_timeout(secs(1));
        let (_, phone, server) = street(&mut world, nat);
        world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
        world.run_for(ms(1)).unwrap();
        let mut options = TcpOptions::default();
        options.keepalive = keepalive;
        let connect = TcpConnect::new(Token(0), address("10.0.0.2:7")).with_options(options);
        world.spawn(phone, 0, Spawn::Connect(connect, Script::default()));
        world.run_for(secs(90)).unwrap();
        act(&mut world, server, |talker| talker.write(10));
        world.run_for(secs(1)).unwrap();
        assert_eq!(
            ear(&world, phone).heard.len(),
            10,
            "its own timeout, and not that of UDP"
        );
        world.run_for(secs(1_000)).unwrap();
        act(&mut world, server, |talker| talker.write(10));
        world.run_for(secs(1)).unwrap();
        assert_eq!(ear(&world, phone).heard.len() == 20, lives);
    }
}

#[test]
fn a_firewall_refuses_calls_in_silence_or_with_an_answer() {
    for (rule, error) in [
        (FirewallRule::drop(), NetworkError::TimedOut),
        (FirewallRule::reject(), NetworkError::ConnectionRefused),
        (FirewallRule::prohibit(), NetworkError::HostUnreachable),
    ] {
        let mut world = World::new(1);
        let (home, phone, server) = street(&mut world, Nat::port_restricted());
        world.set_firewall(home, Firewall::stateful().rule(rule.clone().tcp().port(7)));
        world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
        world.spawn(phone, 0, call("10.0.0.2:7", Script::default()));
        world
            .run_until(secs(200), |world| failed(world, phone).is_some())
            .unwrap();
        assert_eq!(failed(&world, phone).unwrap().1, error);
        assert_eq!(world.mappings(home), [], "it stands on the inner side");

        // The same at the server itself.
        let mut world = World::new(1);
        let (_, phone, server) = street(&mut world, Nat::port_restricted());
        world.set_firewall(server, Firewall::open().rule(rule.inbound().tcp().port(7)));
        world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
        world.spawn(phone, 0, call("10.0.0.2:7", Script::default()));
        world
            .run_until(secs(200), |world| failed(world, phone).is_some())
            .unwrap();
        assert_eq!(failed(&world, phone).unwrap().1, error);
        assert!(only(&world, server).ears.is_empty());
    }
}

#[test]
fn a_stateful_firewall_lets_answers_in_and_no_calls() {
    let mut world = World::new(1);
    let router = world
        .gateway("router")
        .firewall(Firewall::stateful())
        .build();
    let inside = world
        .node("inside", [10, 0, 0, 1])
        .behind(router)
        .spawner(spawn);
    let outside = world.node("outside", [10, 0, 0, 2]).spawner(spawn);
    world.spawn(inside, 0, listener("10.0.0.1:7", Script::say(3_000)));
    world.spawn(outside, 0, listener("10.0.0.2:7", Script::say(3_000)));
    world.run_for(ms(1)).unwrap();
    world.spawn(inside, 0, call("10.0.0.2:7", Script::say(5_000)));
    world.spawn(outside, 0, call("10.0.0.1:7", Script::say(5_000)));
    world.run_for(secs(200)).unwrap();
    let failures = |node| {
        world
            .tasks::<Talker>(node)
            .filter(|(_, task)| task.failed.is_some())
            .count()
    };
    assert_eq!([failures(inside), failures(outside)], [0, 1]);
    let heard = |node| -> usize {
        let ears = world.tasks::<Talker>(node).flat_map(|(_, task)| &task.ears);
        ears.map(|ear| ear.heard.len()).sum()
    };
    assert_eq!([heard(inside), heard(outside)], [3_000, 5_000]);
}

#[test]
fn a_connection_of_a_node_that_has_moved_hears_nothing_and_times_out() {
    let mut world = World::new(1);
    let (_, phone, server) = connected(&mut world, Nat::port_restricted());
    let arrived = world.counters().segments.arrived;
    world.move_behind(phone, None, [10, 0, 0, 9]);
    act(&mut world, phone, |talker| talker.write(100));
    act(&mut world, server, |talker| talker.write(100));
    world.run_for(secs(2_000)).unwrap();
    for node in [phone, server] {
        let (_, error) = ear(&world, node).closed.expect("given up");
        assert_eq!(error, Some(NetworkError::TimedOut));
        assert!(ear(&world, node).heard.is_empty());
    }
    assert_eq!(world.counters().segments.arrived, arrived);
    assert!(world.counters().segments.unroutable > 0);
    // It can call again from where it is.
    let caller = world.node("caller", [10, 0, 0, 8]).spawner(spawn);
    world.spawn(caller, 0, call("10.0.0.2:7", Script::default()));
    world.run_for(secs(1)).unwrap();
    assert_eq!(ear(&world, caller).peer, address("10.0.0.2:7"));
}

#[test]
fn two_behind_one_nat_call_each_other_over_a_hairpin() {
    let mut world = World::new(1);
    let inner = address("192.168.1.10:8080");
    let nat = Nat::symmetric().forward(Protocol::Tcp, 80, inner);
    let (home, phone, _) = street(&mut world, nat);
    let other = world
        .node("other", [192, 168, 1, 11])
        .behind(home)
        .spawner(spawn);
    world.spawn(phone, 0, listener("0.0.0.0:8080", Script::say(2_000)));
    world.run_for(ms(1)).unwrap();
    world.spawn(other, 0, call("10.0.0.7:80", Script::say(3_000)));
    world.run_for(secs(1)).unwrap();
    assert_eq!(ear(&world, phone).heard.len(), 3_000);
    assert_eq!(ear(&world, other).heard.len(), 2_000);
    assert_eq!(ear(&world, phone).peer.ip(), address("10.0.0.7:0").ip());
}

#[test]
fn segments_fit_the_narrowest_link_on_their_way() {
    let mut world = World::new(1);
    let (home, phone, server) = street(&mut world, Nat::symmetric());
    world.link(home, server, &Link::fixed(ms(5)).mtu(600));
    world.spawn(server, 0, Spawn::Listen(listen(), Script::say(50_000)));
    world.run_for(ms(1)).unwrap();
    world.spawn(phone, 0, call("10.0.0.2:7", Script::say(50_000)));
    world.run_for(secs(10)).unwrap();
    assert_eq!(ear(&world, server).heard.len(), 50_000);
    assert_eq!(ear(&world, phone).heard.len(), 50_000);
    assert!(world.counters().segments.dropped.by(DropCause::TooLong) > 0);
}

#[test]
fn a_connection_waits_for_a_router_that_is_down_and_goes_on_behind_it() {
    let mut world = World::new(1);
    let router = world.gateway("router").build();
    let phone = world.node("phone", [10, 0, 0, 1]).behind(router);
    let phone = phone.spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.spawn(server, 0, Spawn::Listen(listen(), Script::default()));
    world.run_for(ms(1)).unwrap();
    world.spawn(phone, 0, call("10.0.0.2:7", Script::default()));
    world.run_for(ms(20)).unwrap();
    world.crash(router);
    act(&mut world, phone, |talker| talker.write(1_000));
    world.run_for(secs(5)).unwrap();
    assert!(ear(&world, server).heard.is_empty());
    assert!(world.counters().segments.dropped.by(DropCause::NodeDown) > 2);
    world.restart(router);
    world.run_for(secs(10)).unwrap();
    assert_eq!(ear(&world, server).heard.len(), 1_000);
}
