//! Law 7 on the bus: whatever some tasks do, others have their turn.

use stillpoint::NoRoom;

use super::bus::{send, sends};
use super::cluster::{Cluster, Move};
use super::puppet::{Act, Birth, Heard, Whom};

/// A message that has its reader send it again, for ever and a day.
fn again(whom: Whom, copies: usize, no_room: NoRoom, times: usize) -> Act {
    let then = match times {
        0 => vec![],
        _ => vec![again(whom, copies, no_room, times - 1); copies],
    };
    Act::Send(whom, no_room, then)
}

#[test]
fn law_7_a_message_to_ten_thousand_subscribers_goes_round_in_batches() {
    let mut cluster = Cluster::with(2, 4, |config| config.batch_max = 100);
    let readers: Vec<_> = (0..10_000)
        .map(|_| cluster.spawn(0, vec![Act::Subscribe(1)]))
        .collect();
    let near = cluster.spawn(0, vec![]);
    cluster.run();
    let far = cluster.spawn(1, vec![send(Whom::Channel(1)), send(Whom::Task(near))]);
    cluster.carry_all(1, 0);
    assert!(
        !cluster.workers[&0].takes_bus(1),
        "the next one waits outside"
    );
    let mut inputs = cluster.status(0).counters().inputs;
    let mut wake_ups = 0;
    while !cluster.workers[&0].takes_bus(1) {
        // Others send and are served meanwhile.
        cluster.tell(near, vec![send(Whom::Me)]);
        cluster.tick(0);
        wake_ups += 1;
        let now = cluster.status(0).counters().inputs;
        assert!(
            now - inputs <= 102,
            "{} inputs for one wake-up",
            now - inputs
        );
        inputs = now;
        assert_eq!(cluster.notes(near).len(), wake_ups);
    }
    assert!((100..=102).contains(&wake_ups), "{wake_ups}");
    for reader in readers {
        assert_eq!(cluster.notes(reader), [0]);
    }
    cluster.run();
    assert_eq!(cluster.notes(near).len(), wake_ups + 1);
    assert_eq!(cluster.end_of(far), None);
}

#[test]
fn law_7_no_subscriber_is_always_the_first_to_hear() {
    let mut cluster = Cluster::new(1, 4);
    let readers = [(); 4].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    let writer = cluster.spawn(0, vec![]);
    for _ in 0..8 {
        cluster.log.borrow_mut().entries.clear();
        cluster.tell(writer, vec![send(Whom::Channel(1))]);
        cluster.run();
        let log = cluster.log.borrow();
        let heard = log
            .entries
            .iter()
            .filter(|(_, task, _)| readers.contains(task));
        let order: Vec<_> = heard.map(|&(_, task, _)| task).collect();
        let number = log.written.len() - 1;
        assert_eq!((order.len(), order[0]), (4, readers[number % 4]));
    }
}

#[test]
fn law_7_tasks_that_talk_for_ever_starve_nobody() {
    let forever = 60;
    for (name, acts) in [
        ("to itself", vec![again(Whom::Me, 1, NoRoom::Wait, forever)]),
        (
            "on its channel",
            vec![
                Act::Subscribe(9),
                again(Whom::Channel(9), 1, NoRoom::Wait, forever),
            ],
        ),
        (
            "twice as much each time",
            vec![again(Whom::Me, 2, NoRoom::Drop, 12)],
        ),
        (
            "and would rather wait",
            vec![again(Whom::Me, 2, NoRoom::Wait, 12)],
        ),
    ] {
        let mut cluster = Cluster::with(2, 2, |config| {
            config.batch_max = 2;
            config.messages_max = 40;
            config.messages_per_task_max = 20;
        });
        let talker = cluster.spawn(0, acts);
        let timeout = vec![Act::After(1)];
        let clock = cluster.bear(
            0,
            Birth {
                start: timeout.clone(),
                timeout,
                ..Birth::default()
            },
        );
        let neighbours = [(); 2].map(|()| cluster.spawn(0, vec![]));
        let far = cluster.spawn(1, vec![]);
        for now in 1..20 {
            cluster.now = now;
            cluster.tell(neighbours[0], vec![send(Whom::Task(neighbours[1]))]);
            cluster.tell(far, vec![send(Whom::Task(neighbours[1]))]);
            cluster.tick(0);
            cluster.carry_all(1, 0);
        }
        assert_eq!(cluster.times_heard(clock, &Heard::Timeout), 19, "{name}");
        let heard = cluster.notes(neighbours[1]).len();
        assert!(
            heard >= 19 + 5,
            "{heard} heard beside one that talks {name}"
        );
        cluster.give(0, stillpoint::WorkerInput::Shutdown);
        for _ in 0..10 {
            cluster.tick(0);
        }
        for task in [talker, clock, neighbours[0], neighbours[1]] {
            assert!(
                cluster.end_of(task).is_some(),
                "beside one that talks {name}"
            );
        }
        cluster.run();
        assert!(cluster.workers[&0].is_stopped());
    }
}

#[test]
fn law_7_every_source_has_its_batch_and_none_is_always_the_first() {
    let mut cluster = Cluster::with(3, 50, |config| config.batch_max = 1);
    let readers = [(); 3].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    for worker in 0..3 {
        cluster.spawn(worker, sends(Whom::Channel(1), 10, NoRoom::Wait));
    }
    let mut firsts = Vec::new();
    for _ in 0..12 {
        cluster.log.borrow_mut().entries.clear();
        for from in [1, 2] {
            cluster.step(Move::Carry(from, 0));
        }
        let before = cluster.log.borrow().entries.len();
        cluster.tick(0);
        let log = cluster.log.borrow();
        let heard = log.entries[before..].iter();
        let from = heard.filter_map(|(_, _, heard)| match heard {
            Heard::Message { from, .. } => from.map(|from| from.worker()),
            _ => None,
        });
        let from: Vec<u16> = from.collect();
        assert_eq!(from.len(), 3, "one from each: {from:?}");
        assert!([0, 1, 2].iter().all(|worker| from.contains(worker)));
        firsts.push(from[0]);
    }
    for worker in 0..3 {
        let count = firsts.iter().filter(|&&first| first == worker).count();
        assert!(count >= 3, "{firsts:?}");
    }
    for reader in readers {
        assert_eq!(cluster.end_of(reader), None);
    }
}

#[test]
fn law_7_subscriptions_and_failures_are_told_in_batches() {
    let mut cluster = Cluster::with(1, 1, |config| config.batch_max = 3);
    let reader = cluster.spawn(0, (0..10).map(Act::Subscribe).collect());
    let ask = Act::Request(Whom::Me, NoRoom::Drop, 5, vec![]);
    let asker = cluster.spawn(0, vec![ask; 10]);
    cluster.tick(0);
    assert_eq!(cluster.heard(reader).len(), 1 + 3);
    cluster.run();
    assert_eq!(cluster.heard(reader).len(), 1 + 10);
    cluster.now = 5;
    let failed = |cluster: &Cluster| {
        let heard = cluster.heard(asker).into_iter();
        heard
            .filter(|heard| matches!(heard, Heard::Failed { .. }))
            .count()
    };
    for count in [3, 6, 9, 10] {
        cluster.tick(0);
        assert_eq!(failed(&cluster), count);
    }
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
}
