//! Cuts and clogs: what stands in the way apart from how links behave.

use super::common::{Echo, Report, client, heard, ms, pair, reported, server, spawn, the_client};
use super::talker::{self, Script, Spawn, connect, listen};
use super::wire;
use stillpoint_sim::{DropCause, Link, World, self_check};

#[test]
fn a_cut_drops_what_is_sent_one_way_and_only_that() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    world.cut(answering, asking);
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(heard(&world, answering), (0..10).collect::<Vec<_>>());
    assert_eq!(the_client(&world, asking).replies, []);
    assert_eq!(world.counters().dropped.by(DropCause::Partition), 10);
}

#[test]
fn what_is_on_its_way_when_the_cut_comes_still_arrives() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(50)));
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    world.run_for(ms(45)).unwrap();
    world.cut(asking, answering);
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(heard(&world, answering), (0..5).collect::<Vec<_>>());
}

#[test]
fn a_partition_holds_between_its_sides_and_not_within_them() {
    let mut world = World::<Echo>::new(1);
    let nodes: Vec<_> = (1..=4)
        .map(|number| {
            let name = format!("node {number}");
            let node = world.node(name, [10, 0, 0, number]).spawner(spawn);
            world.spawn(node, 0, server(&format!("10.0.0.{number}:7")));
            node
        })
        .collect();
    world.run_for(ms(1)).unwrap();
    world.partition(&nodes[..2], &nodes[2..]);
    for (asking, asked) in [(0, 1), (2, 3), (0, 2), (3, 1)] {
        world.spawn(
            nodes[asking],
            0,
            client(&format!("10.0.0.{}:7", asked + 1), 1, ms(1)),
        );
    }
    world.run_until_idle(ms(100)).unwrap();
    let heard: Vec<_> = nodes
        .iter()
        .map(|&node| heard(&world, node).len())
        .collect();
    assert_eq!(heard, [0, 1, 0, 1], "each side goes on by itself");

    world.heal_links();
    world.spawn(nodes[0], 0, client("10.0.0.3:7", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(super::common::heard(&world, nodes[2]), [0]);
}

#[test]
fn a_cut_outlives_a_new_link_and_ends_when_it_is_mended() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    world.cut(asking, answering);
    world.link(asking, answering, &Link::fixed(ms(2)));
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(10)));
    world.run_for(ms(95)).unwrap();
    assert_eq!(heard(&world, answering), []);
    world.mend(asking, answering);
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(heard(&world, answering), (10..20).collect::<Vec<_>>());
}

#[test]
fn nobody_is_told_through_a_cut_that_nobody_listens() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    world.cut(answering, asking);
    world.spawn(asking, 0, client("10.0.0.2:9", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(reported(&mut world), []);
    world.mend(answering, asking);
    world.spawn(asking, 0, client("10.0.0.2:9", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    let refused = Report::Refused("10.0.0.2:9".parse().unwrap());
    assert_eq!(reported(&mut world), [refused]);
}

#[test]
fn a_clog_holds_everything_back_and_then_lets_it_go_in_order() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (asking, answering) = pair(&mut world, &Link::new(ms(1)..=ms(4)));
        world.clog(asking, answering, ms(200));
        world.spawn(asking, 0, client("10.0.0.2:7", 30, ms(10)));
        world.run_for(ms(199)).unwrap();
        assert_eq!(heard(&world, answering), []);
        assert_eq!(world.counters().in_flight, 20);
        world.run_for(ms(6)).unwrap();
        assert!(heard(&world, answering).len() >= 20);
        world.run_until_idle(ms(1_000)).unwrap();
        assert_eq!(heard(&world, answering), (0..30).collect::<Vec<_>>());
        assert_eq!(world.counters().dropped.total(), 0);
    }
}

#[test]
fn a_clog_that_is_mended_lets_everything_go_at_once_and_one_that_is_cut_too_drops_it() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::default());
    world.clog(asking, answering, ms(500));
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(1)));
    world.run_for(ms(20)).unwrap();
    world.heal_links();
    world.run_for(ms(5)).unwrap();
    assert_eq!(heard(&world, answering), (0..10).collect::<Vec<_>>());

    world.clog(asking, answering, ms(100));
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(1)));
    world.run_for(ms(50)).unwrap();
    world.cut(asking, answering);
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(heard(&world, answering).len(), 10);
    assert_eq!(world.counters().dropped.by(DropCause::Partition), 10);
}

#[test]
fn streams_wait_behind_cuts_and_clogs_and_go_on() {
    let heard = |world: &World<talker::Talk>, node| {
        let tasks = world.tasks::<talker::Talker>(node);
        let ears = tasks.flat_map(|(_, task)| &task.ears);
        ears.map(|ear| ear.heard.len()).sum::<usize>()
    };
    for clogged in [false, true] {
        let mut world = World::new(1);
        let link = Link::fixed(ms(20));
        let (client, server) = talker::pair(&mut world, &link, listen(), Script::default());
        let says = Script::say(1_000_000);
        world.spawn(client, 0, Spawn::Connect(connect(), says));
        world.run_for(ms(100)).unwrap();
        if clogged {
            world.clog(client, server, ms(5_000));
        } else {
            world.cut(client, server);
        }
        world.run_for(ms(100)).unwrap();
        let before = heard(&world, server);
        assert!((1..1_000_000).contains(&before));
        world.run_for(ms(4_000)).unwrap();
        assert_eq!(heard(&world, server), before);
        let dropped = world.counters().segments.dropped.by(DropCause::Partition);
        assert_eq!(dropped > 0, !clogged);
        world.heal_links();
        let done = |world: &World<_>| heard(world, server) == 1_000_000;
        world.run_until(ms(60_000), done).unwrap();
    }
}

#[test]
fn packets_of_devices_are_cut_off_and_held_back_too() {
    let mut world = World::new(1);
    let a = wire::opened(&mut world, 1, wire::tun("10.0.1.1"));
    let b = wire::opened(&mut world, 2, wire::tun("10.0.2.1"));
    let packet = |port| wire::ipv4("10.0.1.1", "10.0.2.9", port, b"x");
    world.clog(a, b, ms(50));
    wire::give(&mut world, a, (0..10).map(packet));
    world.run_for(ms(40)).unwrap();
    assert_eq!(world.take_reports().len(), 0);
    world.run_for(ms(20)).unwrap();
    let ports: Vec<_> = world.take_reports().iter().map(wire::port).collect();
    assert_eq!(ports, (0..10).collect::<Vec<_>>());

    world.partition(&[a], &[b]);
    wire::give(&mut world, a, [packet(1)]);
    assert_eq!(wire::reports(&mut world), []);
    let dropped = world.counters().packets.dropped;
    assert_eq!(dropped.by(DropCause::Partition), 1);
}

#[test]
fn partitions_and_clogs_replay() {
    let scenario = |world: &mut World<Echo>| {
        let (asking, answering) = pair(world, &Link::new(ms(1)..=ms(9)).loss(0.1));
        world.spawn(asking, 0, client("10.0.0.2:7", 50, ms(5)));
        world.run_for(ms(50))?;
        world.partition(&[asking], &[answering]);
        world.run_for(ms(50))?;
        world.heal_links();
        world.clog(answering, asking, ms(50));
        world.run_until_idle(ms(1_000))
    };
    for seed in 0..5 {
        self_check(seed, scenario).unwrap();
    }
}
