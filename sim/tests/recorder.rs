//! The flight recorder, over simulated workers: whatever happened to one, happens to it again.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "recorder/wild.rs"]
mod wild;

use core::net::IpAddr;
use core::time::Duration;

use stillpoint::{Ending, Recording, ReplayError, Worker};
use stillpoint_sim::{BusLink, Link, NodeId, World, self_check};
use wild::{Born, Wild, spawn};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two nodes of three workers each, in whose tasks everything goes on that there is.
fn build(world: &mut World<Wild>) -> [NodeId; 2] {
    world.tolerate_task_failures();
    world.set_buggify(0.5, 0.5);
    let link = Link::new(ms(0)..=ms(3)).loss(0.1).duplicate(0.1);
    world.default_link(&link);
    let peers: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
    let nodes = [0, 1].map(|number| {
        world
            .node(format!("node {number}"), peers[number])
            .workers(3)
            .bus(BusLink::new(Duration::ZERO..=ms(1)).queue_max(2))
            .limits(|limits| limits.messages_max = 8)
            .spawner(spawn)
    });
    for node in nodes {
        for worker in 0..3 {
            for _ in 0..3 {
                let (depth, peers) = (0, peers.clone());
                world.spawn(node, worker, Born { depth, peers });
            }
        }
    }
    nodes
}

fn run(world: &mut World<Wild>, nodes: [NodeId; 2]) {
    for round in 0..8 {
        world.run_for(ms(5)).unwrap();
        for node in nodes {
            let mut controller = world.controller(node);
            controller.publish(1, vec![round]).unwrap();
            controller.broadcast(vec![round]).unwrap();
            let peers = vec![[192, 0, 2, 1].into()];
            controller.spawn(1, Born { depth: 2, peers }).unwrap();
        }
    }
    for node in nodes {
        world.controller(node).shutdown(ms(50));
    }
    world.run_for(ms(200)).unwrap();
}

fn recordings(world: &mut World<Wild>, nodes: [NodeId; 2]) -> Vec<Recording> {
    let all = nodes
        .iter()
        .flat_map(|&node| (0..3).map(move |worker| (node, worker)));
    let recording = |(node, worker)| world.worker_recording(node, worker).unwrap();
    all.map(recording).collect()
}

#[test]
fn whatever_happened_to_a_worker_happens_to_it_again() {
    let (mut inputs, mut outputs) = (0, 0);
    let mut lines = String::new();
    for seed in 0..4 {
        let mut world = World::new(seed);
        world.record_workers(usize::MAX);
        let nodes = build(&mut world);
        run(&mut world, nodes);
        for recording in recordings(&mut world, nodes) {
            assert_eq!((recording.missing(), recording.ending()), (0, Ending::Open));
            let replayed = recording.replay(|config| Worker::new(config, spawn));
            let replayed = replayed.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(replayed.inputs, recording.inputs());
            assert_eq!(replayed.worker.tasks(), 0);
            inputs += replayed.inputs;
            outputs += replayed.outputs;
            lines.extend(recording.lines());
        }
    }
    assert!(inputs > 10_000 && outputs > 10_000, "{inputs}, {outputs}");
    // The tasks were as wild as they are said to be.
    for part in [
        "Panicked",
        "Finished",
        "transmit",
        "write",
        "wants room",
        "room for",
        "item of",
        "odd: true",
        "Connected",
        "Incoming",
        "Listen",
        "timeout",
        "spawn",
        "SpawnFailed",
        "decided",
        "StreamClosed",
        "from the controller",
        "from the bus",
        "in segments of 400 B",
    ] {
        assert!(lines.contains(part), "nothing of `{part}`");
    }
}

#[test]
fn recording_changes_nothing_of_what_happens() {
    for seed in 0..2 {
        let hashes = [false, true].map(|recorded| {
            let mut world = World::new(seed);
            if recorded {
                world.record_workers(4_096);
            }
            let nodes = build(&mut world);
            run(&mut world, nodes);
            world.trace_hash()
        });
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
    let checked = self_check(3, |world| {
        world.record_workers(usize::MAX);
        let nodes = build(world);
        run(world, nodes);
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_ring_that_lost_its_beginning_can_be_read_and_says_why_it_is_not_replayed() {
    let mut world = World::new(1);
    world.record_workers(8_192);
    let nodes = build(&mut world);
    run(&mut world, nodes);
    let recording = world.worker_recording(nodes[0], 0).unwrap();
    assert!(recording.missing() > 0 && recording.inputs() > 10);
    let missing = recording.missing();
    let first = recording.lines().next().unwrap();
    assert_eq!(first, format!("{missing} inputs are missing"));
    let replayed = recording.replay(|config| Worker::new(config, spawn));
    let error = replayed.map(drop).unwrap_err();
    assert_eq!(error, ReplayError::Missing { inputs: 0, missing });
}

#[test]
fn only_workers_that_are_made_while_there_is_a_recorder_have_one() {
    let mut world = World::new(1);
    let nodes = build(&mut world);
    world.record_workers(usize::MAX);
    run(&mut world, nodes);
    assert!(world.worker_recording(nodes[0], 0).is_none());
    let late = world.node("late", [192, 0, 2, 3]).spawner(spawn);
    assert_eq!(world.worker_recording(late, 0).unwrap().inputs(), 0);
}
