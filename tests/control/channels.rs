//! Publishing and subscribing, as stories.

use stillpoint::{BusEvent, Destination, End, NoRoom, TaskId};

use super::lab::{Kind, Lab};

const WAIT: NoRoom = NoRoom::Wait;

fn publish(lab: &mut Lab, publisher: TaskId, channel: u8, message: u64) {
    lab.act(publisher, move |hands| {
        hands.outbox.publish(channel, message, WAIT);
    });
}

pub(crate) fn what_is_published_reaches_each_subscriber_on_every_worker_once(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let publisher = lab.puppet(0);
    let subscribers: Vec<TaskId> = (0..9).map(|number| lab.puppet(number % 3)).collect();
    for &subscriber in &subscribers {
        lab.subscribe(subscriber, 1);
    }
    publish(&mut lab, publisher, 1, 10);
    for &subscriber in &subscribers {
        let expected = BusEvent::Message {
            from: Some(publisher),
            to: Destination::Channel(1),
            message: 10,
        };
        lab.bus(subscriber, |event| (*event == expected).then_some(()));
        // What one task sends to another arrives in order: so this comes behind.
        lab.act(publisher, move |hands| {
            hands.outbox.send_to(subscriber, 99, WAIT);
        });
        assert!(lab.messages_until(subscriber, 99).is_empty());
    }
    assert!(lab.unasked(publisher).is_empty(), "it has not subscribed");
}

pub(crate) fn once_subscribed_nothing_that_anybody_publishes_is_missed(kind: Kind) {
    let mut lab = Lab::new(kind, 4);
    let publishers: Vec<TaskId> = (0..4).map(|worker| lab.puppet(worker)).collect();
    for round in 0..10 {
        let channel = u8::try_from(round).unwrap();
        let subscriber = lab.puppet(channel as u16 % 4);
        lab.subscribe(subscriber, channel);
        for &publisher in &publishers {
            publish(&mut lab, publisher, channel, round);
        }
        assert_eq!(lab.messages(subscriber, 4), [round; 4]);
    }
}

pub(crate) fn who_has_unsubscribed_hears_no_more(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let publisher = lab.puppet(0);
    for worker in 0..2 {
        let (subscriber, other) = (lab.puppet(worker), lab.puppet(worker));
        lab.subscribe(subscriber, 1);
        lab.subscribe(other, 1);
        publish(&mut lab, publisher, 1, 1);
        assert_eq!(lab.message(subscriber), 1);
        lab.act(subscriber, |hands| hands.outbox.unsubscribe(1));
        publish(&mut lab, publisher, 1, 2);
        lab.act(publisher, move |hands| {
            hands.outbox.send_to(subscriber, 3, WAIT);
        });
        assert!(lab.messages_until(subscriber, 3).is_empty());
        assert_eq!(lab.messages(other, 2), [1, 2]);
    }
}

pub(crate) fn a_subscription_ends_with_its_task(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (publisher, near, far) = (lab.puppet(0), lab.puppet(0), lab.puppet(1));
    for subscriber in [near, far] {
        lab.subscribe(subscriber, 1);
        lab.status(subscriber.worker(), |status| status.subscriptions == 1);
        lab.tell(subscriber, |hands| hands.outbox.finish());
        assert_eq!(lab.end(subscriber), End::Finished);
        lab.status(subscriber.worker(), |status| status.subscriptions == 0);
    }
    publish(&mut lab, publisher, 1, 1);
    lab.until("a count", |lab| lab.bus_counters().unheard == 1);
}

pub(crate) fn a_publisher_that_has_subscribed_hears_itself(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let puppet = lab.puppet(0);
    lab.subscribe(puppet, 1);
    publish(&mut lab, puppet, 1, 1);
    assert_eq!(lab.message(puppet), 1);
}

pub(crate) fn channels_are_told_apart(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (publisher, one, both) = (lab.puppet(0), lab.puppet(1), lab.puppet(1));
    lab.subscribe(one, 1);
    lab.subscribe(both, 1);
    lab.subscribe(both, 2);
    lab.act(publisher, |hands| {
        hands.outbox.publish(2, 20, WAIT);
        hands.outbox.publish(1, 10, WAIT);
    });
    assert_eq!(lab.message(one), 10);
    assert_eq!(lab.messages(both, 2), [20, 10]);
}

pub(crate) fn to_subscribe_twice_is_to_subscribe_once(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (publisher, subscriber) = (lab.puppet(0), lab.puppet(1));
    lab.subscribe(subscriber, 1);
    lab.subscribe(subscriber, 1);
    lab.act(publisher, |hands| {
        hands.outbox.publish(1, 1, WAIT);
        hands.outbox.publish(1, 2, WAIT);
    });
    assert_eq!(lab.messages(subscriber, 2), [1, 2]);
    lab.act(subscriber, |hands| hands.outbox.unsubscribe(1));
    publish(&mut lab, publisher, 1, 3);
    lab.act(publisher, move |hands| {
        hands.outbox.send_to(subscriber, 4, WAIT);
    });
    assert!(lab.messages_until(subscriber, 4).is_empty());
}

pub(crate) fn what_nobody_has_subscribed_to_is_counted(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let publisher = lab.puppet(0);
    publish(&mut lab, publisher, 9, 1);
    lab.status(0, |status| (status.bus.unheard, status.bus.sent) == (1, 0));
}

pub(crate) fn messages_to_a_task_and_to_its_channels_keep_their_order(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let publisher = lab.puppet(0);
    for worker in 0..2 {
        let subscriber = lab.puppet(worker);
        lab.subscribe(subscriber, 1);
        lab.subscribe(subscriber, 2);
        lab.act(publisher, move |hands| {
            for number in 0..300 {
                match number % 3 {
                    0 => hands.outbox.send_to(subscriber, number, WAIT),
                    1 => hands.outbox.publish(1, number, WAIT),
                    _ => hands.outbox.publish(2, number, WAIT),
                }
            }
        });
        assert_eq!(lab.messages(subscriber, 300), (0..300).collect::<Vec<_>>());
        lab.tell(subscriber, |hands| hands.outbox.finish());
        lab.end(subscriber);
    }
}

pub(crate) fn what_the_controller_publishes_reaches_subscribers_on_all_workers(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let subscribers: Vec<TaskId> = (0..6).map(|number| lab.puppet(number % 3)).collect();
    for &subscriber in &subscribers {
        lab.subscribe(subscriber, 4);
    }
    for message in 0..50 {
        lab.stage.publish(4, message).unwrap();
    }
    for &subscriber in &subscribers {
        let first = lab.bus(subscriber, |event| match event {
            BusEvent::Message { from, message, .. } => Some((*from, *message)),
            _ => None,
        });
        assert_eq!(first, (None, 0));
        let rest = lab.messages(subscriber, 49);
        assert_eq!(rest, (1..50).collect::<Vec<_>>());
    }
}
