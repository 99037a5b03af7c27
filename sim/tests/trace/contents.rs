//! Payloads, states, tasks, and the failure.

use core::fmt::Debug;

use stillpoint::{App, Input, Outbox, Output, Spawned, Spawner, Task, Timestamp, TransmitBuffer};
use stillpoint_sim::{Failure, Link, Role, TraceDetail, TraceFilter, TraceKind, TraceLog, World};

use super::last;
use crate::common::{Client, Echo, client, pair};
use crate::hand::ms;

fn echoes(detail: TraceDetail, count: u64) -> TraceLog {
    let mut world = World::<Echo>::new(1);
    let (asking, _) = pair(&mut world, &Link::new(ms(1)..=ms(5)).loss(0.2));
    world.record_log(detail);
    world.spawn(asking, 0, client("10.0.0.2:7", count, ms(1)));
    world.run_until_idle(ms(10_000)).unwrap();
    world.take_log()
}

#[test]
fn payloads_are_kept_if_they_are_asked_for() {
    let log = echoes(TraceDetail::new().payloads(1 << 20), 50);
    let carried = TraceFilter::new().node("client").kind(TraceKind::Carried);
    let lost = TraceFilter::new().node("client").kind(TraceKind::Dropped);
    let mut numbers: Vec<u64> = log
        .filter(&carried)
        .chain(log.filter(&lost))
        .map(|event| u64::from_le_bytes(event.payload.unwrap().try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!(log.left_out().payloads, 0);
    let without = echoes(TraceDetail::new(), 50);
    assert!(without.events().all(|event| event.payload.is_none()));
    assert_eq!(without.hash(), log.hash());
}

#[test]
fn payloads_that_there_is_no_room_for_are_counted() {
    let log = echoes(TraceDetail::new().payloads(80), 50);
    let kept = log
        .events()
        .filter(|event| event.event.kind.role() != Role::Input && event.payload.is_some());
    assert_eq!(kept.count(), 10);
    let sent = log
        .events()
        .filter(|event| matches!(event.event.kind, TraceKind::Carried | TraceKind::Dropped));
    let left_out = log.left_out();
    assert_eq!(left_out.payloads, sent.count() as u64 - 10);
    assert_eq!(left_out.payload_bytes, 8 * left_out.payloads);
}

#[test]
fn events_concern_the_task_whose_socket_it_is() {
    let mut world = World::<Echo>::new(1);
    let (asking, answering) = pair(&mut world, &Link::new(ms(1)..=ms(5)));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
    world.run_until_idle(ms(1_000)).unwrap();
    let log = world.take_log();
    let mut seen = 0;
    for (task, _) in world.tasks::<Client>(asking) {
        let heard = TraceFilter::new()
            .task(asking, task)
            .kind(TraceKind::Datagrams);
        assert_eq!(log.filter(&heard).count(), 5);
        seen += 1;
    }
    assert_eq!(seen, 2);
    let of_server = TraceFilter::new().task_type("Server").role(Role::Input);
    assert_eq!(
        log.filter(&of_server).count(),
        10,
        "its socket was open before"
    );
    assert!(
        log.filter(&of_server)
            .all(|event| event.event.node == answering)
    );
    let half = TraceFilter::new().from(Timestamp::from_nanos(3_000_000));
    let other = TraceFilter::new().until(Timestamp::from_nanos(2_999_999));
    let counts = (log.filter(&half).count(), log.filter(&other).count());
    assert_eq!(counts.0 + counts.1, log.len());
    assert!(counts.0 > 0 && counts.1 > 0);
}

#[derive(Debug)]
struct Counting;

impl App for Counting {
    type Channel = ();
    type Message = ();
    type Command = u64;
    type Report = ();
    type Spawn = ();
}

/// Adds up what it is told.
#[derive(Debug)]
struct Sum {
    total: u64,
    outbox: Outbox<Counting>,
}

impl Task for Sum {
    type App = Counting;

    fn handle_input(&mut self, _: Timestamp, input: Input<Counting>) {
        if let Input::Command(number) = input {
            self.total += number;
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Counting>> {
        self.outbox.pop()
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.total)
    }
}

fn sum((): (), spawner: Spawner<'_, Counting>) -> Spawned {
    let outbox = Outbox::new();
    spawner.insert(Sum { total: 0, outbox })
}

#[test]
fn the_state_of_a_task_is_known_at_each_event() {
    let mut world = World::<Counting>::new(1);
    let node = world.node("sums", [10, 0, 0, 1]).spawner(sum);
    world.record_log(TraceDetail::new().states());
    world.spawn(node, 0, ());
    world.run_for(ms(1)).unwrap();
    let (task, _) = world.tasks::<Sum>(node).next().unwrap();
    for number in [5, 0, 7] {
        world.command(node, task, number);
        world.run_for(ms(1)).unwrap();
    }
    let log = world.take_log();
    let commands = TraceFilter::new().kind(TraceKind::Command);
    let states: Vec<_> = log
        .filter(&commands)
        .map(|event| log.state(node, task, event.index).unwrap())
        .collect();
    assert_eq!(states, ["5", "5", "12"]);
    assert_eq!(log.state(node, task, 0), Some("0"), "after its spawn");
    let end: Vec<_> = log.states_at(log.len()).collect();
    assert_eq!(end, [(node, task, "Sum", "12")]);
}

#[test]
fn a_log_says_why_the_run_has_failed_and_after_what() {
    let mut world = World::<Echo>::new(1);
    let (asking, _) = pair(&mut world, &Link::new(ms(1)..=ms(5)));
    world.record_trace();
    world.always("nobody hears a third answer", move |world| {
        world
            .tasks::<Client>(asking)
            .all(|(_, client)| client.replies.len() < 3)
    });
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
    let failed = world.run_until_idle(ms(1_000)).unwrap_err();
    world.heal(); // Whatever the scenario does then has nothing to do with it.
    let log = world.take_log();
    let (text, index) = log.failure().unwrap();
    assert_eq!(text, failed.to_string());
    assert_eq!(index, last(&log, TraceKind::Datagrams));
}

#[test]
fn a_failure_that_the_world_does_not_know_of_can_be_noted() {
    let mut log = echoes(TraceDetail::new(), 1);
    assert_eq!(log.failure(), None);
    log.note_failure(&Failure::new("it was too slow"));
    assert_eq!(log.failure(), Some(("it was too slow", log.len() - 1)));
}
