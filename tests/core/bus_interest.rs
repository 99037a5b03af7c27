//! Which worker is interested in what: known everywhere before it is said to be, and for as long as
//! it is so.

use stillpoint::NoRoom;

use super::bus::{send, sends};
use super::cluster::{Cluster, Move};
use super::puppet::{Act, Heard, Whom};

const SUBSCRIBED: Heard = Heard::Subscribed(1);

#[test]
fn a_subscription_is_confirmed_once_every_worker_knows_of_it() {
    let mut cluster = Cluster::new(3, 1);
    let reader = cluster.spawn(0, vec![Act::Subscribe(1)]);
    for step in [Move::Carry(0, 1), Move::Carry(1, 0), Move::Carry(0, 2)] {
        cluster.step(step);
        assert_eq!(cluster.workers[&0].poll_timeout(), None);
        assert!(!cluster.has_heard(reader, &SUBSCRIBED));
    }
    cluster.step(Move::Carry(2, 0));
    cluster.tick(0);
    assert!(cluster.has_heard(reader, &SUBSCRIBED));
    // From now on what anybody publishes arrives.
    for worker in 1..3 {
        cluster.spawn(worker, vec![send(Whom::Channel(1))]);
    }
    cluster.run();
    assert_eq!(cluster.notes(reader), [0, 1]);
}

#[test]
fn a_subscription_alone_on_its_worker_or_beside_others_is_confirmed_too() {
    let mut cluster = Cluster::new(1, 1);
    let alone = cluster.spawn(0, vec![Act::Subscribe(1)]);
    cluster.tick(0);
    assert!(cluster.has_heard(alone, &SUBSCRIBED));
    cluster.join(1);
    cluster.run();
    // The others know of the channel, so there is nothing to wait for.
    let beside = cluster.spawn(0, vec![Act::Subscribe(1)]);
    cluster.tick(0);
    assert!(cluster.has_heard(beside, &SUBSCRIBED));
    // Two that subscribe before all know are told together.
    let both = [(); 2].map(|()| cluster.spawn(1, vec![Act::Subscribe(2)]));
    cluster.tick(1);
    for task in both {
        assert!(!cluster.has_heard(task, &Heard::Subscribed(2)));
    }
    cluster.run();
    for task in both {
        assert_eq!(cluster.times_heard(task, &Heard::Subscribed(2)), 1);
    }
}

#[test]
fn a_subscription_is_confirmed_through_queues_that_are_full() {
    let mut cluster = Cluster::new(2, 1);
    let writers = [0, 1].map(|worker| cluster.spawn(worker, vec![]));
    // Both queues are full, and those who wrote wait for more room.
    cluster.tell(writers[0], sends(Whom::Task(writers[1]), 3, NoRoom::Wait));
    cluster.tell(writers[1], sends(Whom::Task(writers[0]), 3, NoRoom::Wait));
    let reader = cluster.spawn(0, (1..6).map(Act::Subscribe).collect());
    cluster.run();
    for channel in 1..6 {
        assert_eq!(cluster.times_heard(reader, &Heard::Subscribed(channel)), 1);
    }
    assert_eq!(
        (
            cluster.notes(writers[0]).len(),
            cluster.notes(writers[1]).len()
        ),
        (3, 3)
    );
}

#[test]
fn a_worker_that_leaves_need_not_know_any_more() {
    let mut cluster = Cluster::new(3, 1);
    let reader = cluster.spawn(0, vec![Act::Subscribe(1)]);
    cluster.step(Move::Carry(0, 1));
    cluster.step(Move::Carry(1, 0));
    cluster.leave(2);
    assert!(!cluster.has_heard(reader, &SUBSCRIBED));
    cluster.run();
    assert_eq!(cluster.times_heard(reader, &SUBSCRIBED), 1);
}

#[test]
fn a_worker_that_joins_learns_of_all_interests_before_anything_else() {
    for capacity in [1, 8] {
        let mut cluster = Cluster::new(1, capacity);
        let readers = [1, 2, 3].map(|channel| cluster.spawn(0, vec![Act::Subscribe(channel)]));
        cluster.run();
        cluster.join(5);
        let greeter = cluster.spawn(5, vec![]);
        // What it is told by a task makes it publish at once: that reaches everybody.
        let then = (1..=3)
            .map(|channel| send(Whom::Channel(channel)))
            .collect();
        cluster.tell(
            readers[0],
            vec![Act::Send(Whom::Task(greeter), NoRoom::Wait, then)],
        );
        cluster.run();
        for reader in readers {
            assert_eq!(cluster.notes(reader).len(), 1, "capacity {capacity}");
        }
        assert_eq!(cluster.counters(5).unheard, 0);
    }
}

#[test]
fn no_message_overtakes_what_a_worker_has_to_learn() {
    let mut cluster = Cluster::new(1, 1);
    let readers = [1, 2, 3].map(|channel| cluster.spawn(0, vec![Act::Subscribe(channel)]));
    cluster.run();
    cluster.join(5);
    let greeter = cluster.spawn(5, vec![]);
    cluster.step(Move::Carry(0, 5));
    // There is room for one, and nobody has said so yet.
    let then = vec![send(Whom::Channel(3))];
    let greeting = Act::Send(Whom::Task(greeter), NoRoom::Wait, then);
    cluster.tell(readers[0], vec![greeting]);
    assert_eq!(cluster.counters(0).refused, 1);
    cluster.run();
    assert_eq!(cluster.notes(readers[2]).len(), 1);
}

#[test]
fn interest_ends_everywhere_with_the_last_subscriber() {
    let mut cluster = Cluster::new(2, 2);
    let readers = [(); 2].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    let writer = cluster.spawn(1, vec![]);
    for (reader, unheard) in [(readers[0], 0), (readers[1], 1)] {
        cluster.tell(reader, vec![Act::Unsubscribe(1)]);
        cluster.run();
        cluster.tell(writer, vec![send(Whom::Channel(1))]);
        assert_eq!(cluster.counters(1).unheard, unheard);
        cluster.run();
    }
    assert_eq!(cluster.status(0).subscriptions, 0);
    // And begins anew with the next.
    cluster.tell(readers[0], vec![Act::Subscribe(1)]);
    cluster.run();
    cluster.tell(writer, vec![send(Whom::Channel(1))]);
    cluster.run();
    assert_eq!(cluster.notes(readers[0]), [2]);
}

#[test]
fn an_acknowledgement_of_an_earlier_interest_confirms_nothing() {
    let mut cluster = Cluster::new(2, 8);
    let reader = cluster.spawn(0, vec![Act::Subscribe(1)]);
    cluster.step(Move::Carry(0, 1));
    // It is acknowledged; meanwhile the interest ended and began again.
    cluster.tell(reader, vec![Act::Unsubscribe(1), Act::Subscribe(1)]);
    cluster.step(Move::Carry(1, 0));
    cluster.step(Move::Carry(0, 1)); // It ended.
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
    assert!(!cluster.has_heard(reader, &SUBSCRIBED));
    cluster.run();
    assert_eq!(cluster.times_heard(reader, &SUBSCRIBED), 1);
    cluster.spawn(1, vec![send(Whom::Channel(1))]);
    cluster.run();
    assert_eq!(cluster.notes(reader), [0]);
}

#[test]
fn who_unsubscribes_meanwhile_is_told_nothing_of_it() {
    let mut cluster = Cluster::new(2, 8);
    let fickle = cluster.spawn(0, vec![Act::Subscribe(1), Act::Unsubscribe(1)]);
    let other = cluster.spawn(0, vec![Act::Subscribe(1)]);
    let second = cluster.spawn(0, vec![Act::Subscribe(1), Act::Unsubscribe(1)]);
    cluster.run();
    // Confirmed, but not told yet.
    let third = cluster.spawn(0, vec![Act::Subscribe(1), Act::Unsubscribe(1)]);
    cluster.run();
    assert_eq!(cluster.times_heard(other, &SUBSCRIBED), 1);
    for task in [fickle, second, third] {
        assert!(!cluster.has_heard(task, &SUBSCRIBED));
    }
}

#[test]
fn law_5_subscriptions_have_a_limit_which_is_said() {
    let mut cluster = Cluster::with(1, 1, |config| config.subscriptions_max = 2);
    let reader = cluster.spawn(0, vec![Act::Subscribe(1), Act::Subscribe(2)]);
    let other = cluster.spawn(0, vec![Act::Subscribe(2)]);
    cluster.tell(reader, vec![Act::Subscribe(1)]);
    cluster.run();
    assert_eq!(cluster.heard(other)[1..], [Heard::TooManySubscriptions(2)]);
    assert_eq!(cluster.status(0).subscriptions, 2);
    cluster.tell(
        reader,
        vec![
            Act::Unsubscribe(1),
            Act::Unsubscribe(1),
            Act::Unsubscribe(7),
        ],
    );
    cluster.tell(other, vec![Act::Subscribe(2)]);
    cluster.run();
    assert!(cluster.has_heard(other, &Heard::Subscribed(2)));
}

#[test]
fn a_worker_that_has_left_is_told_nothing_of_what_it_still_says() {
    // The driver that carries this one's items takes its time: they lie in the lane when it leaves.
    let mut cluster = Cluster::with(2, 8, |config| config.batch_max = 1);
    for _ in 0..3 {
        cluster.spawn(0, vec![Act::Subscribe(1)]);
    }
    cluster.run();
    cluster.spawn(
        1,
        vec![send(Whom::Channel(1)), Act::Subscribe(2), Act::Subscribe(3)],
    );
    let items = cluster
        .wires
        .queues
        .get_mut(&(1, 0))
        .map(core::mem::take)
        .unwrap();
    for item in items {
        cluster.give(0, stillpoint::WorkerInput::Bus { from: 1, item });
    }
    cluster.leave(1);
    cluster.run();
    assert_eq!(cluster.counters(0).delivered, 3);
    let writer = cluster.spawn(0, vec![send(Whom::Channel(2))]);
    cluster.run();
    assert_eq!(cluster.counters(0).unheard, 1);
    assert_eq!(cluster.end_of(writer), None);
}

#[test]
fn a_hundred_thousand_idle_subscribers_cost_no_work() {
    let mut cluster = Cluster::new(1, 1);
    let reader = |channel| vec![Act::Subscribe(channel)];
    for number in 0..100_000u32 {
        cluster.spawn(0, reader((number % 200) as u8));
    }
    cluster.run();
    let status = cluster.status(0);
    assert_eq!((status.tasks(), status.subscriptions), (100_000, 100_000));
    let inputs = status.counters().inputs;
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
    for _ in 0..10 {
        cluster.tick(0);
    }
    assert_eq!(cluster.status(0).counters().inputs, inputs);
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
}
