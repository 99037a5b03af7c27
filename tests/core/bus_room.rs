//! Queues that are full: who waits, who is told, and what is dropped.

use stillpoint::NoRoom;

use super::bus::{send, sends};
use super::cluster::{Cluster, Move};
use super::puppet::{Act, Birth, Heard, Whom};

#[test]
fn law_5_what_has_no_room_comes_back_whole_and_room_is_told_once_there_is() {
    let mut cluster = Cluster::new(2, 1);
    let reader = cluster.spawn(1, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 2, NoRoom::Wait));
    cluster.tick(0);
    assert_eq!(cluster.heard(writer), [Heard::Started, Heard::NoRoom(1, 1)]);
    assert_eq!(
        cluster.moves(),
        [Move::Carry(0, 1)],
        "nobody spins meanwhile"
    );
    cluster.run();
    assert_eq!(cluster.times_heard(writer, &Heard::Room(1)), 1);
    assert_eq!(cluster.notes(reader), [0, 1]);
    let counters = cluster.counters(0);
    assert_eq!(
        (counters.sent, counters.refused, counters.dropped),
        (2, 1, 0)
    );
}

#[test]
fn law_5_a_request_and_an_answer_without_room_come_back_too() {
    let mut cluster = Cluster::new(2, 1);
    let replier = cluster.spawn(1, vec![]);
    let wait = NoRoom::Wait;
    let asker = cluster.spawn(0, vec![]);
    // The answer finds the queue full of what its sender has just sent.
    let then = vec![send(Whom::Back), Act::Reply(wait)];
    let ask = |then: &Vec<Act>| Act::Request(Whom::Task(replier), wait, 100, then.clone());
    cluster.tell(asker, vec![ask(&then), ask(&then)]);
    cluster.run();
    let replies = cluster.heard(asker);
    let replies = replies
        .iter()
        .filter(|heard| matches!(heard, Heard::Reply { .. }));
    assert_eq!(replies.count(), 2);
    assert!(cluster.counters(0).refused >= 1 && cluster.counters(1).refused >= 1);
    let sum = cluster.all_counters();
    assert_eq!((sum.requests, sum.replies, sum.requests_failed), (2, 2, 0));
}

#[test]
fn law_7_what_comes_back_to_one_task_leaves_room_for_what_others_are_told() {
    let mut cluster = Cluster::with(2, 1, |config| {
        config.pending_max = 16;
    });
    let reader = cluster.spawn(1, vec![]);
    cluster.spawn(0, sends(Whom::Task(reader), 20, NoRoom::Wait));
    let counters = cluster.counters(0);
    assert_eq!(
        (counters.sent, counters.refused, counters.untold),
        (1, 19, 15)
    );
}

#[test]
fn nothing_overtakes_what_came_back() {
    let mut cluster = Cluster::new(2, 1);
    let reader = cluster.spawn(1, vec![]);
    let to = Whom::Task(reader);
    let writer = cluster.spawn(0, sends(to, 2, NoRoom::Wait));
    cluster.tick(0);
    // There is room, and nobody was told of it.
    cluster.step(Move::Carry(0, 1));
    cluster.tell(writer, vec![send(to)]);
    assert_eq!(cluster.counters(0).refused, 2);
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1, 2]);
}

#[test]
fn room_is_told_only_after_all_that_came_back() {
    // What comes back waits behind other inputs of the worker's own, and room comes before.
    for (workers, batch_max) in [(1, 1), (1, 3), (2, 1), (2, 2)] {
        let mut cluster = Cluster::with(workers, 1, move |config| {
            config.batch_max = batch_max;
            config.messages_max = 1;
        });
        let reader = cluster.spawn(workers - 1, vec![]);
        let writer = cluster.spawn(0, sends(Whom::Task(reader), 9, NoRoom::Wait));
        cluster.run();
        assert_eq!(cluster.notes(reader), (0..9).collect::<Vec<_>>());
        assert_eq!(cluster.log.borrow().returned, 0);
        let heard = cluster.heard(writer);
        let first_room = heard
            .iter()
            .position(|heard| matches!(heard, Heard::Room(_)));
        let back = |heard: &&Heard| matches!(heard, Heard::NoRoom(..));
        let before = heard.iter().take(first_room.unwrap()).filter(back).count();
        assert_eq!(before, 8, "{workers} workers, batches of {batch_max}");
    }
}

#[test]
fn law_7_room_is_told_in_turn() {
    for workers in [1, 3] {
        let mut cluster = Cluster::with(workers, 1, |config| config.messages_max = 1);
        let reader = cluster.spawn(workers - 1, vec![]);
        let to = Whom::Task(reader);
        let writers = [(); 4].map(|()| cluster.spawn(0, vec![]));
        for writer in writers {
            cluster.tell(writer, sends(to, 5, NoRoom::Wait));
        }
        cluster.run();
        // The first one found a free place; from then on they take turns.
        let written = cluster.log.borrow().written.clone();
        let order = cluster.notes(reader);
        assert_eq!(order.len(), 20);
        let by = order.iter().map(|&number| written[number as usize].from);
        let by: Vec<_> = by.collect();
        for round in by[1..].chunks(4) {
            let all = writers.iter().all(|writer| round.contains(writer));
            assert!(all || round.len() < 4, "{workers} workers: {by:?}");
        }
    }
}

#[test]
fn law_7_room_that_others_wait_for_is_theirs_to_take_first() {
    for workers in [1, 2] {
        for greed in [NoRoom::Wait, NoRoom::Drop] {
            let mut cluster = Cluster::with(workers, 1, |config| config.messages_max = 1);
            let reader = cluster.spawn(workers - 1, vec![]);
            let to = Whom::Task(reader);
            // It fills the queue at each of its timeouts, which come before anything else.
            let greedy = cluster.bear(
                0,
                Birth {
                    start: vec![send(to), Act::After(1)],
                    timeout: vec![Act::Send(to, greed, vec![]), Act::After(1)],
                    ..Birth::default()
                },
            );
            let patient = cluster.spawn(0, vec![send(to)]);
            for now in 1..10 {
                cluster.now = now;
                cluster.tick(0);
                cluster.carry_all(0, workers - 1);
                for step in cluster.moves() {
                    if matches!(step, Move::Room(..)) {
                        cluster.step(step);
                    }
                }
            }
            let number = cluster
                .log
                .borrow()
                .written
                .iter()
                .position(|at| at.from == patient);
            let number = number.unwrap() as u64;
            assert!(
                cluster.notes(reader).contains(&number),
                "{workers} {greed:?}"
            );
            assert_eq!(cluster.end_of(greedy), None);
        }
    }
}

#[test]
fn law_7_the_messages_of_one_task_leave_room_for_those_of_others() {
    let mut cluster = Cluster::with(1, 1, |config| {
        config.messages_max = 10;
        config.messages_per_task_max = 4;
    });
    let reader = cluster.spawn(0, vec![]);
    let to = Whom::Task(reader);
    let greedy = cluster.spawn(0, sends(to, 9, NoRoom::Wait));
    let modest = cluster.spawn(0, sends(to, 4, NoRoom::Drop));
    let counters = cluster.counters(0);
    assert_eq!(
        (counters.sent, counters.refused, counters.dropped),
        (8, 5, 0)
    );
    cluster.tell(modest, sends(to, 1, NoRoom::Drop));
    assert_eq!(cluster.counters(0).dropped, 1, "its share is taken");
    let third = cluster.spawn(0, sends(to, 4, NoRoom::Drop));
    assert_eq!(cluster.counters(0).dropped, 1 + 2, "the lane is full");
    cluster.run();
    assert_eq!(cluster.notes(reader).len(), 9 + 4 + 2);
    assert_eq!(cluster.counters(0).sent, cluster.counters(0).received);
    // Shares are given back: all may send as much again.
    for writer in [greedy, modest] {
        let dropped = cluster.counters(0).dropped;
        cluster.tell(writer, sends(to, 4, NoRoom::Drop));
        assert_eq!(cluster.counters(0).dropped, dropped);
    }
    cluster.tell(third, vec![Act::Finish]);
}

#[test]
fn who_waits_for_its_own_share_is_told_when_half_of_it_is_free() {
    let mut cluster = Cluster::with(1, 1, |config| {
        config.messages_per_task_max = 4;
        config.batch_max = 1;
    });
    let reader = cluster.spawn(0, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 5, NoRoom::Wait));
    for received in 1..=2 {
        assert!(!cluster.has_heard(writer, &Heard::Room(0)));
        cluster.tick(0);
        assert_eq!(cluster.notes(reader).len(), received);
    }
    assert!(cluster.has_heard(writer, &Heard::Room(0)));
    cluster.run();
    assert_eq!(cluster.notes(reader).len(), 5);
}

#[test]
fn law_4_who_takes_the_slot_of_a_task_waits_for_what_that_one_has_sent() {
    let mut cluster = Cluster::with(1, 1, |config| {
        config.messages_per_task_max = 2;
        config.batch_max = 1;
    });
    let reader = cluster.spawn(0, vec![]);
    let to = Whom::Task(reader);
    let first = cluster.spawn(0, sends(to, 3, NoRoom::Wait));
    cluster.tell(first, vec![Act::Finish]);
    let second = cluster.spawn(0, sends(to, 2, NoRoom::Wait));
    assert_eq!(first.key().slot, second.key().slot);
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1, 3, 4]);
    assert_eq!(cluster.status(0).queues.bus, 0);
}

#[test]
fn law_5_what_is_dropped_for_want_of_room_is_counted_queue_by_queue() {
    let mut cluster = Cluster::with(3, 2, |config| config.messages_max = 3);
    for worker in 0..3 {
        cluster.spawn(worker, vec![Act::Subscribe(1), Act::BecomeAgent]);
    }
    cluster.run();
    let before = cluster.counters(0);
    let acts = sends(Whom::Channel(1), 5, NoRoom::Drop);
    let writer = cluster.spawn(0, [acts, sends(Whom::Workers, 1, NoRoom::Drop)].concat());
    let counters = cluster.counters(0);
    assert_eq!(counters.sent - before.sent, 2 + 2 + 3);
    assert_eq!(counters.dropped - before.dropped, (3 + 3 + 2) + 3);
    assert_eq!(counters.refused, 0);
    cluster.run();
    assert_eq!(
        cluster.heard(writer),
        [Heard::Started],
        "nobody is told, as it wished"
    );
    let sum = cluster.all_counters();
    assert_eq!((sum.sent, sum.received, sum.delivered), (7, 7, 7));
}

#[test]
fn law_5_what_is_published_patiently_goes_to_all_or_comes_back() {
    let mut cluster = Cluster::new(3, 2);
    let readers = [0, 1, 2].map(|worker| cluster.spawn(worker, vec![Act::Subscribe(1)]));
    cluster.run();
    let writer = cluster.spawn(0, sends(Whom::Task(readers[2]), 2, NoRoom::Wait));
    let before = cluster.counters(0).sent;
    cluster.tell(writer, vec![send(Whom::Channel(1))]);
    assert_eq!(cluster.counters(0).sent, before, "none got it");
    assert_eq!(cluster.counters(0).refused, 1);
    cluster.run();
    assert!(cluster.has_heard(writer, &Heard::NoRoom(2, 2)));
    assert_eq!(cluster.notes(readers[0]), [2]);
    assert_eq!(cluster.notes(readers[1]), [2]);
    assert_eq!(cluster.notes(readers[2]), [0, 1, 2]);
}

#[test]
fn law_5_a_command_that_cannot_be_given_back_is_counted_as_untold() {
    // A quarter of these.
    let mut cluster = Cluster::with(2, 1, |config| config.pending_max = 8);
    let reader = cluster.spawn(1, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 6, NoRoom::Wait));
    let counters = cluster.counters(0);
    assert_eq!(
        (counters.sent, counters.refused, counters.untold),
        (1, 5, 3)
    );
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1, 2]);
    // It may go on: nobody remembers what it could not be told.
    cluster.tell(writer, vec![send(Whom::Task(reader))]);
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1, 2, 6]);
}

#[test]
fn who_waits_for_room_at_a_worker_that_leaves_is_told_and_learns_the_rest() {
    let mut cluster = Cluster::new(2, 1);
    let reader = cluster.spawn(1, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 3, NoRoom::Wait));
    cluster.tick(0);
    cluster.leave(1);
    cluster.run();
    let heard = cluster.heard(writer);
    assert_eq!(heard[3..], [Heard::Room(1), Heard::Undelivered(reader, 2)]);
    assert_eq!((cluster.wires.lost, cluster.counters(0).stale), (1, 2));
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
}

#[test]
fn law_7_whoever_hears_a_message_does_not_take_the_place_that_it_has_left_before_those_who_wait() {
    let mut cluster = Cluster::with(1, 1, |config| {
        config.messages_max = 1;
        config.batch_max = 1;
    });
    let reader = cluster.spawn(0, vec![]);
    // At each message it sends itself another, into the place that has just become free.
    let mut again = vec![];
    for _ in 0..50 {
        again = vec![Act::Send(Whom::Me, NoRoom::Wait, again)];
    }
    cluster.spawn(0, again);
    cluster.spawn(0, vec![send(Whom::Task(reader))]);
    for _ in 0..4 {
        cluster.tick(0);
    }
    assert_eq!(cluster.notes(reader).len(), 1);
}

#[test]
fn room_that_one_has_no_use_for_goes_to_the_next() {
    let mut cluster = Cluster::with(1, 1, |config| {
        config.messages_max = 1;
        config.batch_max = 1;
        config.pending_max = 1;
    });
    let reader = cluster.spawn(0, vec![]);
    let to = Whom::Task(reader);
    let child = Birth {
        start: vec![send(to)],
        ..Birth::default()
    };
    cluster.spawn(0, vec![send(to), Act::Spawn(child)]);
    // It is told of room, and not of what has none: the worker's own queue is full.
    let idle = cluster.spawn(0, vec![send(to)]);
    assert_eq!(cluster.counters(0).untold, 1);
    cluster.run();
    assert_eq!(cluster.heard(idle), [Heard::Started, Heard::Room(0)]);
    assert_eq!(cluster.notes(reader), [0, 2]);
}
