//! Law 6 on the bus: panics of tasks that hear messages, and of the driver that carries them.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use stillpoint::{NoRoom, WorkerInput};

use super::bus::{send, sends};
use super::cluster::Cluster;
use super::puppet::{Act, Birth, Heard, Whom};

#[test]
fn law_6_who_panics_over_a_message_ends_alone_and_the_message_goes_on_round() {
    for act in [Act::Panic, Act::RunAway, Act::Finish] {
        let mut cluster = Cluster::with(1, 8, |config| config.outputs_max = 20);
        let readers = [(); 3].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
        cluster.run();
        // The first reader to hear it tells the second to fail, before that one hears it.
        cluster.tell(readers[1], vec![]);
        let writer = cluster.spawn(0, vec![]);
        let then = vec![Act::Report(1), act.clone()];
        cluster.tell(
            writer,
            vec![Act::Send(Whom::Task(readers[1]), NoRoom::Wait, then)],
        );
        cluster.tell(writer, vec![send(Whom::Channel(1)); 2]);
        cluster.run();
        assert!(cluster.end_of(readers[1]).is_some());
        assert_eq!(cluster.notes(readers[0]), [1, 2]);
        assert_eq!(cluster.notes(readers[2]), [1, 2]);
        // All of them fail over what is published.
        let panics = vec![Act::Send(Whom::Channel(1), NoRoom::Wait, vec![act.clone()])];
        cluster.tell(writer, panics);
        cluster.run();
        for reader in [readers[0], readers[2]] {
            assert!(cluster.end_of(reader).is_some(), "{act:?}");
        }
        assert_eq!(cluster.status(0).subscriptions, 0);
        assert_eq!(cluster.end_of(writer), None);
    }
}

#[test]
fn law_6_a_panic_of_the_driver_in_the_middle_of_the_bus_leaves_the_worker_usable() {
    let mut panics = 0;
    for (panics_at, capacity) in (0..60).flat_map(|at| [(at, 8), (at, 1)]) {
        let mut cluster = Cluster::new(3, capacity);
        let reader = cluster.spawn(1, vec![Act::Subscribe(1), Act::Subscribe(2)]);
        let friend = cluster.spawn(2, vec![Act::Subscribe(1)]);
        cluster.run();
        let writer = cluster.spawn(0, vec![]);
        cluster.wires.panics_at = Some(panics_at);
        let acts = vec![
            Act::Subscribe(3),
            send(Whom::Channel(1)),
            send(Whom::Task(reader)),
            Act::Request(
                Whom::Task(reader),
                NoRoom::Wait,
                100,
                vec![Act::Reply(NoRoom::Wait)],
            ),
            Act::Unsubscribe(3),
            Act::Subscribe(4),
        ];
        let driven = catch_unwind(AssertUnwindSafe(|| {
            cluster.tell(writer, acts);
            cluster.run();
            cluster.join(3);
            cluster.tell(reader, vec![Act::Finish]);
            cluster.tell(writer, vec![Act::Finish]);
            cluster.run();
        }));
        panics += usize::from(driven.is_err());
        cluster.wires.panics_at = None;
        // What was broken off goes on, and everything else as if nothing had been.
        for worker in 0..3 {
            cluster.give(worker, WorkerInput::Timeout);
        }
        if !cluster.workers.contains_key(&3) {
            cluster.join(3);
        }
        cluster.run();
        assert_eq!(cluster.log.borrow().returned, 0, "{panics_at}");
        cluster.tell(writer, vec![Act::Finish]);
        cluster.tell(reader, vec![Act::Finish]);
        cluster.run();
        let reader = cluster.spawn(1, vec![Act::Subscribe(4)]);
        cluster.run();
        assert!(
            cluster.has_heard(reader, &Heard::Subscribed(4)),
            "{panics_at}"
        );
        cluster.tell(friend, vec![send(Whom::Channel(4)), send(Whom::Channel(2))]);
        cluster.run();
        assert_eq!(cluster.notes(reader).len(), 1, "{panics_at}");
        assert_eq!(cluster.counters(2).unheard, 1, "{panics_at}");
        for worker in 0..3 {
            let subscriptions = cluster.status(worker).subscriptions;
            assert_eq!(subscriptions, [0, 1, 1][usize::from(worker)], "{panics_at}");
        }
    }
    assert!(
        (20..120).contains(&panics),
        "the script says something: {panics}"
    );
}

#[test]
fn law_6_room_is_told_after_a_panic_of_the_driver_that_broke_off_what_came_back() {
    let mut cluster = Cluster::new(2, 1);
    let reader = cluster.spawn(1, vec![]);
    cluster.bear(
        0,
        Birth {
            start: sends(Whom::Task(reader), 3, NoRoom::Wait),
            no_room: vec![Act::Report(1)],
            ..Birth::default()
        },
    );
    for _ in 0..2 {
        cluster.wires.panics_at = Some(0);
        let driven = catch_unwind(AssertUnwindSafe(|| cluster.tick(0)));
        assert!(driven.is_err());
    }
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1, 2]);
}
