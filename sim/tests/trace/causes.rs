//! What has led to what, as stories.

use stillpoint::NoRoom;
use stillpoint_sim::{Boot, Fault, Link, Queue, TraceDetail, TraceKind, World};

use super::{chain, last};
use crate::common::{self, Echo, client, pair, server};
use crate::hand::{Hands, Manner, act, hand, ms, node, order};

#[test]
fn an_answer_comes_of_the_request_and_that_of_the_spawn() {
    let mut world = World::<Echo>::new(1);
    let (asking, _) = pair(&mut world, &Link::new(ms(5)..=ms(5)));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    let log = world.take_log();
    let answer = last(&log, TraceKind::Datagrams);
    assert_eq!(
        chain(&log, answer),
        [
            TraceKind::Spawn,
            TraceKind::Open,
            TraceKind::Network,
            TraceKind::Carried,
            TraceKind::Datagrams,
            TraceKind::Carried,
            TraceKind::Datagrams,
        ]
    );
}

#[test]
fn a_timeout_comes_of_the_input_that_its_task_wanted_it_after_and_says_why() {
    let mut world = World::<Hands>::new(1);
    let one = node(&mut world, "one", 1, 1);
    let (calm, hasty) = (Manner::default(), Manner::default());
    let (calm, hasty) = (
        hand(&mut world, one, 0, calm),
        hand(&mut world, one, 0, hasty),
    );
    world.record_trace();
    act(&mut world, (one, hasty), |hand| hand.wait(ms(10), "tea"));
    act(&mut world, (one, calm), |hand| hand.numbers.push(1));
    world.run_for(ms(20)).unwrap();
    let log = world.take_log();
    let timeout = log.event(last(&log, TraceKind::Timeout)).unwrap();
    assert_eq!((timeout.text, timeout.task), (Some("tea"), Some(hasty)));
    let cause = log.event(timeout.cause.unwrap()).unwrap();
    assert_eq!(
        (cause.event.kind, cause.task),
        (TraceKind::Command, Some(hasty))
    );
    assert_eq!(cause.cause, None, "the scenario has said so");
    let line = log.line(timeout.index);
    assert!(
        line.contains("one/0 Timeout of Hand task 0/0/1.0: tea"),
        "{line}"
    );
}

#[test]
fn a_message_comes_of_the_item_that_carried_it() {
    let mut world = World::<Hands>::new(1);
    let both = node(&mut world, "both", 1, 2);
    let from = hand(&mut world, both, 0, Manner::default());
    let to = hand(&mut world, both, 1, Manner::default());
    world.run_for(ms(1)).unwrap();
    world.record_trace();
    act(&mut world, (both, from), move |hand| {
        hand.outbox.send_to(to, 7, NoRoom::Wait);
    });
    world.run_for(ms(1)).unwrap();
    let log = world.take_log();
    let bus = last(&log, TraceKind::Bus);
    let kinds = chain(&log, bus);
    assert_eq!(
        kinds[kinds.len() - 2..],
        [TraceKind::BusCarried, TraceKind::Bus]
    );
    assert_eq!(kinds[0], TraceKind::Command);
    let carried = log.event(log.event(bus).unwrap().cause.unwrap()).unwrap();
    assert_eq!(
        (carried.event.worker, log.event(bus).unwrap().event.worker),
        (0, 1)
    );
}

#[test]
fn received_bytes_come_of_the_segment_and_that_of_the_write() {
    let mut world = World::<Hands>::new(3);
    let (one, two) = (node(&mut world, "one", 1, 1), node(&mut world, "two", 2, 1));
    let client = hand(&mut world, one, 0, Manner::default());
    let server = hand(&mut world, two, 0, Manner::default());
    act(&mut world, (two, server), |hand| hand.listen("10.0.0.2:80"));
    act(&mut world, (one, client), |hand| {
        hand.connect("10.0.0.2:80")
    });
    world.run_for(ms(100)).unwrap();
    world.record_log(TraceDetail::new().payloads(1_000));
    act(&mut world, (one, client), |hand| hand.write(b"hello"));
    world.run_for(ms(100)).unwrap();
    let log = world.take_log();
    let received = last(&log, TraceKind::Received);
    assert_eq!(
        chain(&log, received),
        [
            TraceKind::Command,
            TraceKind::Write,
            TraceKind::Segment,
            TraceKind::Received
        ]
    );
    assert_eq!(log.event(received).unwrap().task, Some(server));
    let segment = log
        .event(log.event(received).unwrap().cause.unwrap())
        .unwrap();
    let carried = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Segment && event.event.node == one);
    let carried: Vec<u8> = carried
        .flat_map(|event| event.payload.unwrap().to_vec())
        .collect();
    assert_eq!(carried, b"hello", "in however many pieces");
    assert_eq!(segment.task, Some(client));
    // The acknowledgement comes of the segment, too.
    let answer = log.event(last(&log, TraceKind::Segment)).unwrap();
    assert_eq!(answer.event.node, two);
    assert_eq!(answer.cause, Some(segment.index));
}

#[test]
fn what_waits_for_a_worker_that_stands_still_keeps_its_cause() {
    let mut world = World::<Echo>::new(1);
    let (asking, answering) = pair(&mut world, &Link::new(ms(5)..=ms(5)));
    world.record_trace();
    world.stall_worker(answering, 0, ms(50));
    world.spawn(asking, 0, client("10.0.0.2:7", 3, ms(1)));
    world.run_until_idle(ms(200)).unwrap();
    let log = world.take_log();
    let heard = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Datagrams && event.event.node == answering);
    let carried: Vec<usize> = heard
        .map(|event| {
            let cause = log.event(event.cause.unwrap()).unwrap();
            assert_eq!(cause.event.kind, TraceKind::Carried);
            assert!(
                event.event.at > cause.event.arrival().unwrap(),
                "it has waited"
            );
            cause.index
        })
        .collect();
    assert_eq!(carried.len(), 3);
    assert!(
        carried.is_sorted_by(|one, next| one < next),
        "each has its own"
    );
}

#[test]
fn what_waits_for_its_link_keeps_its_cause() {
    let mut world = World::<Echo>::new(1);
    let slow = Link::new(ms(5)..=ms(5))
        .bandwidth(8_000)
        .queue(Queue::codel(ms(500), ms(500)));
    let (asking, _) = pair(&mut world, &slow);
    world.record_log(TraceDetail::new().payloads(1_000));
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
    world.run_until_idle(ms(2_000)).unwrap();
    let log = world.take_log();
    let mut queued = Vec::new();
    for event in log
        .events()
        .filter(|event| event.event.kind == TraceKind::Carried)
    {
        let cause = log.event(event.cause.unwrap()).unwrap();
        if cause.event.kind == TraceKind::Queued {
            assert_eq!(cause.event.words[..2], event.event.words[..2]);
            assert_eq!(cause.payload, event.payload);
            queued.push(cause.index);
        }
    }
    assert!(queued.len() >= 3, "{queued:?}");
    assert!(
        queued.is_sorted_by(|one, next| one < next),
        "each has its own"
    );
}

#[test]
fn what_a_restarted_node_starts_with_comes_of_the_fault() {
    let mut world = World::<Echo>::new(1);
    let boot = |boot: &mut Boot<'_, Echo>| boot.spawn(0, server("10.0.0.2:7"));
    let builder = world.node("server", [10, 0, 0, 2]).boot(boot);
    let node = builder.spawner(common::spawn);
    world.run_for(ms(1)).unwrap();
    world.record_trace();
    world.inject(Fault::Crash(node));
    world.inject(Fault::Restart(node));
    world.spawn(node, 1, server("10.0.0.2:8"));
    world.run_for(ms(1)).unwrap();
    let log = world.take_log();
    let spawns = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Spawn);
    let mut causes: Vec<_> = spawns.map(|event| event.cause).collect();
    causes.sort_unstable(); // Who is first at one instant is drawn.
    let restart = log.line(causes[1].unwrap());
    assert!(restart.contains("Fault: Restart"), "{restart}");
    assert_eq!(causes[0], None, "the scenario has spawned it");
}

#[test]
fn a_worker_that_is_told_to_go_on_by_the_scenario_comes_of_nothing() {
    let mut world = World::<Hands>::new(1);
    let one = node(&mut world, "one", 1, 1);
    let task = hand(&mut world, one, 0, Manner::default());
    world.record_trace();
    for _ in 0..3 {
        order(&mut world, (one, task), |hand| hand.open("10.0.0.1:0"));
        world.run_for(ms(1)).unwrap();
    }
    let log = world.take_log();
    let commands = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Command);
    assert!(
        commands
            .map(|event| event.cause)
            .all(|cause| cause.is_none())
    );
}

#[test]
fn what_travels_damaged_comes_of_the_damage_and_what_is_behind_it_does_not() {
    let mut world = World::<Echo>::new(1);
    let (asking, _) = pair(&mut world, &Link::new(ms(5)..=ms(5)).corrupt(0.4));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", 40, ms(1)));
    world.run_until_idle(ms(2_000)).unwrap();
    let log = world.take_log();
    let mut damaged = [0, 0];
    for event in log.events() {
        if event.event.kind != TraceKind::Carried {
            continue;
        }
        let before = log.event(event.index - 1).unwrap();
        let cause = log.event(event.cause.unwrap()).unwrap();
        let is_damaged = before.event.kind == TraceKind::Corrupted;
        assert_eq!(cause.event.kind == TraceKind::Corrupted, is_damaged);
        if is_damaged {
            assert_eq!(cause.index, before.index);
        }
        damaged[usize::from(is_damaged)] += 1;
    }
    assert!(damaged.iter().all(|&count| count > 10), "{damaged:?}");
}

#[test]
fn a_timeout_that_follows_a_timeout_comes_of_it() {
    let mut world = World::<Hands>::new(1);
    let one = node(&mut world, "one", 1, 1);
    let task = hand(&mut world, one, 0, Manner::default());
    world.record_trace();
    act(&mut world, (one, task), |hand| {
        hand.every = Some(ms(10));
        hand.wait(ms(10), "first");
    });
    world.run_for(ms(55)).unwrap();
    let log = world.take_log();
    let timeouts = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Timeout);
    let timeouts: Vec<_> = timeouts.map(|event| (event.index, event.cause)).collect();
    assert_eq!(timeouts.len(), 5);
    for pair in timeouts.windows(2) {
        assert_eq!(pair[1].1, Some(pair[0].0));
    }
}
