//! The bus: how messages travel, and what it owes to those who send and receive them.

use core::sync::atomic::Ordering;

use stillpoint::{Destination, End, NoRoom, WorkerInput};

use super::cluster::{Cluster, Move};
use super::puppet::{Act, Birth, Heard, Whom};

/// Sends so many messages.
pub(crate) fn sends(whom: Whom, count: usize, no_room: NoRoom) -> Vec<Act> {
    vec![Act::Send(whom, no_room, vec![]); count]
}

pub(crate) fn send(whom: Whom) -> Act {
    Act::Send(whom, NoRoom::Wait, vec![])
}

#[test]
fn law_1_a_message_is_an_input_of_its_own_after_the_sender_is_drained() {
    let mut cluster = Cluster::new(1, 8);
    let (writer, reader) = (cluster.spawn(0, vec![]), cluster.spawn(0, vec![]));
    cluster.tell(
        writer,
        vec![send(Whom::Task(reader)), send(Whom::Me), Act::Report(7)],
    );
    // The puppets themselves demand that none is told anything while another is undrained.
    assert_eq!(
        (cluster.notes(reader), cluster.notes(writer)),
        (vec![], vec![])
    );
    cluster.tick(0);
    assert_eq!(
        (cluster.notes(reader), cluster.notes(writer)),
        (vec![0], vec![1])
    );
    let to = Destination::Task(reader);
    let heard = Heard::Message {
        from: Some(writer),
        to,
        number: 0,
    };
    assert!(cluster.has_heard(reader, &heard));
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
}

#[test]
fn law_1_a_message_from_another_worker_is_dealt_with_when_its_input_returns() {
    let mut cluster = Cluster::new(2, 8);
    let reader = cluster.spawn(1, vec![]);
    let answer = vec![Act::Send(Whom::Back, NoRoom::Wait, vec![])];
    let writer = cluster.spawn(0, vec![Act::Send(Whom::Task(reader), NoRoom::Wait, answer)]);
    cluster.step(Move::Carry(0, 1));
    assert_eq!(cluster.notes(reader), [0]);
    assert_eq!(cluster.workers[&1].poll_timeout(), None);
    cluster.step(Move::Carry(1, 0));
    assert_eq!(cluster.notes(writer), [1]);
}

#[test]
fn messages_of_one_sender_arrive_in_the_order_in_which_they_were_sent() {
    let mut cluster = Cluster::with(2, 3, |config| config.batch_max = 2);
    let near = cluster.spawn(0, vec![Act::Subscribe(1)]);
    let far = cluster.spawn(1, vec![Act::Subscribe(1)]);
    cluster.run();
    let writer = cluster.spawn(0, vec![]);
    for _ in 0..5 {
        let (near, far) = (send(Whom::Task(near)), send(Whom::Task(far)));
        cluster.tell(writer, vec![near, send(Whom::Channel(1)), far]);
    }
    cluster.run();
    let (mut near, mut far) = (cluster.notes(near), cluster.notes(far));
    assert_eq!((near.len(), far.len()), (10, 10));
    // Everything that is published comes in order, and so does everything that is sent; what
    // came back waits for one queue, and may be overtaken by what goes through another.
    for (notes, direct) in [(&mut near, 0), (&mut far, 2)] {
        for kind in [1, direct] {
            let of_kind = notes.iter().filter(|&&number| number % 3 == kind);
            assert!(of_kind.is_sorted(), "{notes:?}");
        }
    }
}

#[test]
fn what_a_driver_hands_in_too_early_keeps_its_order() {
    let mut cluster = Cluster::with(2, 8, |config| config.batch_max = 1);
    let readers = [(); 3].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    cluster.spawn(
        1,
        vec![send(Whom::Channel(1)), send(Whom::Task(readers[2]))],
    );
    let items = cluster.wires.queues.get_mut(&(1, 0)).map(core::mem::take);
    for item in items.unwrap() {
        cluster.give(0, WorkerInput::Bus { from: 1, item });
    }
    cluster.run();
    assert_eq!(cluster.notes(readers[2]), [0, 1]);
}

#[test]
fn what_is_published_goes_to_each_subscriber_once_wherever_it_is() {
    let mut cluster = Cluster::new(3, 8);
    let mut subscribers = Vec::new();
    for worker in [0, 0, 0, 1, 1, 2] {
        subscribers.push(cluster.spawn(worker, vec![Act::Subscribe(1), Act::Subscribe(1)]));
    }
    let stranger = cluster.spawn(1, vec![Act::Subscribe(2)]);
    cluster.run();
    cluster.tell(subscribers[0], vec![send(Whom::Channel(1))]);
    cluster.run();
    for subscriber in subscribers {
        assert_eq!(cluster.notes(subscriber), [0]);
    }
    assert_eq!(cluster.notes(stranger), []);
    let sum = cluster.all_counters();
    assert_eq!((sum.sent, sum.received, sum.delivered), (3, 3, 6));
}

#[test]
fn a_message_is_cloned_for_each_receiver_but_the_last() {
    // By worker: how many subscribers. The writer is on the first.
    for (subscribers, clones) in [
        (vec![0], 0),
        (vec![1], 0),
        (vec![5], 4),
        (vec![0, 1], 0),
        (vec![1, 1], 1),
        (vec![0, 3], 2),
        (vec![2, 3, 4], 2 + (1 + 2 + 3)),
    ] {
        let count = u16::try_from(subscribers.len()).unwrap();
        let mut cluster = Cluster::new(count, 8);
        for (worker, &many) in (0..).zip(&subscribers) {
            for _ in 0..many {
                cluster.spawn(worker, vec![Act::Subscribe(1)]);
            }
        }
        cluster.run();
        cluster.spawn(0, vec![send(Whom::Channel(1))]);
        cluster.run();
        let written = &cluster.log.borrow().written[0];
        let cloned = written.clones.load(Ordering::Relaxed);
        assert_eq!(cloned, clones, "{subscribers:?}");
    }
}

#[test]
fn who_has_unsubscribed_or_ended_hears_no_more() {
    let mut cluster = Cluster::new(2, 8);
    let mut readers = Vec::new();
    for worker in [0, 0, 0, 1, 1, 1] {
        readers.push(cluster.spawn(worker, vec![Act::Subscribe(1)]));
    }
    cluster.run();
    cluster.spawn(0, vec![send(Whom::Channel(1))]);
    // It is under way, and counts no more for who has had enough.
    for worker in 0..2 {
        cluster.tell(readers[worker * 3], vec![Act::Unsubscribe(1)]);
        cluster.tell(readers[worker * 3 + 1], vec![Act::Finish]);
    }
    cluster.run();
    let notes = readers.iter().map(|&reader| cluster.notes(reader).len());
    assert_eq!(notes.collect::<Vec<_>>(), [0, 0, 1, 0, 0, 1]);
    assert_eq!(cluster.all_counters().stale, 0);
}

#[test]
fn who_unsubscribes_while_a_message_goes_round_does_not_get_it() {
    let mut cluster = Cluster::with(1, 8, |config| config.batch_max = 1);
    let readers = [(); 4].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    cluster.spawn(0, vec![send(Whom::Channel(1))]);
    cluster.tick(0);
    assert_eq!(cluster.notes(readers[0]), [0]);
    cluster.tell(readers[1], vec![Act::Unsubscribe(1)]);
    cluster.tell(readers[3], vec![Act::Finish]);
    let late = cluster.spawn(0, vec![Act::Subscribe(1)]);
    cluster.run();
    let notes = readers.map(|reader| cluster.notes(reader).len());
    assert_eq!(notes, [1, 0, 1, 0]);
    assert!(cluster.notes(late).len() <= 1);
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
}

#[test]
fn what_nobody_is_to_have_is_counted_as_unheard() {
    let mut cluster = Cluster::new(2, 8);
    let reader = cluster.spawn(1, vec![Act::Subscribe(1)]);
    cluster.run();
    cluster.spawn(0, vec![send(Whom::Channel(2)), send(Whom::Channel(1))]);
    cluster.tell(reader, vec![Act::Finish]);
    cluster.run();
    assert_eq!(
        (cluster.counters(0).unheard, cluster.counters(0).sent),
        (1, 1)
    );
    assert_eq!(
        (cluster.counters(1).unheard, cluster.counters(1).received),
        (1, 1)
    );
}

#[test]
fn a_broadcast_goes_to_the_agent_of_each_worker_that_has_one() {
    let mut cluster = Cluster::new(3, 8);
    let here = cluster.spawn(0, vec![Act::BecomeAgent]);
    let there = cluster.spawn(1, vec![Act::BecomeAgent]);
    let nobody = cluster.spawn(2, vec![]);
    cluster.run();
    cluster.tell(here, vec![send(Whom::Workers)]);
    cluster.run();
    assert_eq!(
        (cluster.notes(here), cluster.notes(there)),
        (vec![0], vec![0])
    );
    assert_eq!(cluster.notes(nobody), []);
    let sum = cluster.all_counters();
    assert_eq!((sum.sent, sum.delivered, sum.unheard), (3, 2, 1));
    // A worker on its own without an agent has nobody to send to.
    let mut alone = Cluster::new(1, 8);
    alone.spawn(0, vec![send(Whom::Workers)]);
    assert_eq!((alone.counters(0).sent, alone.counters(0).unheard), (0, 1));
}

#[test]
fn law_5_a_row_of_messages_to_a_task_that_is_no_more_is_told_once() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 8);
        let gone = cluster.spawn(workers - 1, vec![Act::Finish]);
        let writer = cluster.spawn(0, sends(Whom::Task(gone), 3, NoRoom::Wait));
        let far = workers - 1;
        cluster.carry_all(0, far);
        cluster.carry_all(far, 0);
        cluster.run();
        let told = Heard::Undelivered(gone, 3);
        assert_eq!(
            cluster.heard(writer),
            [Heard::Started, told],
            "{workers} workers"
        );
        let sum = cluster.all_counters();
        assert_eq!((sum.sent, sum.received), (3, 3));
        assert_eq!((sum.delivered, sum.stale), (0, 3), "{workers} workers");
    }
}

#[test]
fn law_5_what_is_sent_to_a_worker_that_never_was_or_has_left_is_told_at_once() {
    let mut cluster = Cluster::new(3, 8);
    let gone = cluster.spawn(2, vec![]);
    cluster.leave(2);
    cluster.run();
    let mut others = Cluster::new(8, 8);
    let foreign = others.spawn(7, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(gone), 2, NoRoom::Wait));
    cluster.tell(writer, sends(Whom::Task(foreign), 1, NoRoom::Drop));
    cluster.run();
    let told = [Heard::Undelivered(gone, 2), Heard::Undelivered(foreign, 1)];
    assert_eq!(cluster.heard(writer).split_off(2), told);
    assert_eq!(
        (cluster.counters(0).sent, cluster.counters(0).stale),
        (0, 3)
    );
}

#[test]
fn law_5_nobody_is_told_that_what_was_told_did_not_arrive() {
    let mut cluster = Cluster::new(2, 8);
    let gone = cluster.spawn(1, vec![Act::Finish]);
    cluster.spawn(0, vec![send(Whom::Task(gone)), Act::Finish]);
    cluster.run();
    let sum = cluster.all_counters();
    assert_eq!((sum.sent, sum.received, sum.stale), (1, 1, 1));
    assert_eq!(sum.delivered, 0);
}

#[test]
fn law_4_a_message_never_reaches_who_has_taken_the_place_of_its_receiver() {
    let mut cluster = Cluster::new(2, 8);
    let first = cluster.spawn(1, vec![]);
    cluster.spawn(0, vec![send(Whom::Task(first))]);
    cluster.tell(first, vec![Act::Finish]);
    let second = cluster.spawn(1, vec![]);
    assert_eq!(
        (first.group(), first.key().slot),
        (second.group(), second.key().slot)
    );
    cluster.run();
    assert_eq!(cluster.notes(second), []);
    assert_eq!(cluster.counters(1).stale, 1);
}

#[test]
fn what_the_controller_publishes_and_broadcasts_is_from_nobody() {
    use super::puppet::Note;
    use stillpoint::ControlInput;
    let mut cluster = Cluster::with(1, 8, |config| config.batch_max = 2);
    let acts = vec![Act::Subscribe(1), Act::BecomeAgent];
    let readers = [(); 5].map(|()| cluster.spawn(0, acts.clone()));
    cluster.run();
    let (channel, message) = (1, Note::foreign(5));
    cluster.control(0, ControlInput::Publish { channel, message });
    assert!(!cluster.workers[&0].takes_control());
    cluster.run();
    cluster.control(0, ControlInput::Broadcast(Note::foreign(6)));
    cluster.run();
    for reader in readers {
        let (from, to) = (None, Destination::Channel(1));
        let number = 5;
        assert!(cluster.has_heard(reader, &Heard::Message { from, to, number }));
    }
    assert_eq!(cluster.notes(readers[0]), [5, 6]);
    let counters = cluster.counters(0);
    assert_eq!(
        (counters.sent, counters.received, counters.delivered),
        (2, 2, 6)
    );
}

#[test]
fn an_ended_task_frees_its_part_of_the_bus() {
    let mut cluster = Cluster::with(2, 1, |config| config.messages_per_task_max = 1);
    let far = cluster.spawn(1, vec![]);
    let acts = [
        vec![Act::Subscribe(1), Act::Subscribe(2), Act::BecomeAgent],
        vec![Act::Request(Whom::Task(far), NoRoom::Wait, 50, vec![])],
        sends(Whom::Task(far), 2, NoRoom::Wait),
        sends(Whom::Me, 2, NoRoom::Wait),
    ];
    for (end, name) in [(Act::Finish, "finishes"), (Act::Panic, "panics")] {
        let task = cluster.bear(
            0,
            Birth {
                start: acts.concat(),
                ..Birth::default()
            },
        );
        assert_eq!(cluster.status(0).subscriptions, 2);
        cluster.tell(task, vec![Act::Report(0), end]);
        let status = cluster.status(0);
        assert_eq!((status.subscriptions, status.requests), (0, 0), "{name}");
        cluster.run();
        assert_eq!(cluster.workers[&0].poll_timeout(), None);
        // Somebody else may be the agent now.
        let other = cluster.spawn(0, vec![Act::BecomeAgent]);
        cluster.run();
        assert!(cluster.has_heard(other, &Heard::Agent(other)));
        cluster.tell(other, vec![Act::Finish]);
        let ends = [cluster.end_of(task), cluster.end_of(other)];
        assert!(ends.iter().all(Option::is_some) && ends[1] == Some(End::Finished));
        cluster.run();
    }
}
