//! Queues that are full, as stories.

use std::collections::VecDeque;

use stillpoint::{BusEvent, NoRoom, TaskId};

use super::lab::{Kind, Lab};
use super::puppet::Role;

const QUEUE: usize = 4;

fn lab(kind: Kind, workers: u16) -> Lab {
    Lab::with(kind, workers, |limits| limits.bus_queue_max = QUEUE)
}

/// From now on a puppet sends again what came back, once there is room, in order.
pub(crate) fn insists(lab: &mut Lab, puppet: TaskId) {
    let mut back = VecDeque::new();
    lab.react(puppet, move |event, hands| match event {
        BusEvent::NoRoom { command, .. } => back.push_back(command.clone()),
        BusEvent::Room { .. } => back.drain(..).for_each(|command| hands.outbox.bus(command)),
        _ => {}
    });
    lab.act(puppet, |hands| hands.is_patient = true);
}

pub(crate) fn without_room_a_message_is_dropped_and_counted_if_its_sender_says_so(kind: Kind) {
    let mut lab = lab(kind, 2);
    let (sender, receiver) = (lab.puppet(0), lab.puppet(1));
    lab.stage.stall(1);
    lab.act(sender, move |hands| {
        for number in 0..20 {
            hands.outbox.send_to(receiver, number, NoRoom::Drop);
        }
    });
    let status = lab.status(0, |status| status.bus.sent > 0);
    let (sent, dropped) = (status.bus.sent, status.bus.dropped);
    assert_eq!(sent + dropped, 20);
    assert!(dropped > 0, "there is room for {QUEUE}");
    lab.stage.release(1);
    let kept = lab.messages(receiver, usize::try_from(sent).unwrap());
    assert_eq!(kept, (0..sent).collect::<Vec<_>>(), "the first ones");
    assert!(lab.unasked(sender).is_empty(), "it wanted to hear nothing");
}

pub(crate) fn without_room_a_message_comes_back_and_later_goes_in_order(kind: Kind) {
    let mut lab = lab(kind, 2);
    let (sender, receiver) = (lab.puppet(0), lab.puppet(1));
    insists(&mut lab, sender);
    lab.act(sender, |hands| hands.is_patient = false);
    lab.stage.stall(1);
    lab.act(sender, move |hands| {
        for number in 0..100 {
            hands.outbox.send_to(receiver, number, NoRoom::Wait);
        }
    });
    lab.bus(sender, |event| match event {
        BusEvent::NoRoom { worker, .. } => (*worker == 1).then_some(()),
        _ => None,
    });
    lab.stage.release(1);
    assert_eq!(lab.messages(receiver, 100), (0..100).collect::<Vec<_>>());
    lab.bus(sender, |event| {
        (*event == BusEvent::Room { worker: 1 }).then_some(())
    });
    lab.status(0, |status| {
        (status.bus.dropped, status.bus.sent) == (0, 100) && status.bus.refused >= 90
    });
}

pub(crate) fn a_full_queue_to_one_worker_holds_up_no_other(kind: Kind) {
    let mut lab = lab(kind, 3);
    let (sender, stuck, other, near) = (lab.puppet(0), lab.puppet(1), lab.puppet(2), lab.puppet(0));
    lab.stage.stall(1);
    lab.act(sender, move |hands| {
        for number in 0..20 {
            hands.outbox.send_to(stuck, number, NoRoom::Wait);
        }
        hands.outbox.send_to(other, 1, NoRoom::Wait);
        hands.outbox.send_to(near, 2, NoRoom::Wait);
    });
    assert_eq!(lab.message(other), 1);
    assert_eq!(lab.message(near), 2);
}

pub(crate) fn what_waits_for_room_is_published_to_all_or_to_nobody(kind: Kind) {
    let mut lab = lab(kind, 3);
    let publisher = lab.puppet(0);
    let subscribers: Vec<TaskId> = (0..3).map(|worker| lab.puppet(worker)).collect();
    for &subscriber in &subscribers {
        lab.subscribe(subscriber, 1);
    }
    insists(&mut lab, publisher);
    lab.stage.stall(1);
    lab.act(publisher, |hands| {
        for number in 0..20 {
            hands.outbox.publish(1, number, NoRoom::Wait);
        }
    });
    // Nobody has it while one has no room.
    let near = lab.status(0, |status| status.bus.refused > 0);
    assert_eq!(near.bus.sent % 3, 0);
    assert!(near.bus.sent < 60);
    lab.stage.release(1);
    for &subscriber in &subscribers {
        assert_eq!(lab.messages(subscriber, 20), (0..20).collect::<Vec<_>>());
    }
}

pub(crate) fn what_may_be_dropped_is_published_where_there_is_room(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| limits.bus_queue_max = 64);
    let (publisher, stuck, free) = (lab.puppet(0), lab.puppet(1), lab.puppet(2));
    lab.subscribe(stuck, 1);
    lab.subscribe(free, 1);
    lab.stage.stall(1);
    // A few at a time, so that only one of the two queues fills up.
    for round in 0..20 {
        lab.act(publisher, move |hands| {
            for number in round * 10..round * 10 + 10 {
                hands.outbox.publish(1, number, NoRoom::Drop);
            }
        });
        let expected: Vec<u64> = (round * 10..round * 10 + 10).collect();
        assert_eq!(lab.messages(free, 10), expected);
    }
    lab.stage.release(1);
    let status = lab.status(0, |status| status.bus.sent + status.bus.dropped == 400);
    assert!(status.bus.dropped > 0, "there is room for 64");
    let kept = usize::try_from(status.bus.sent - 200).unwrap();
    let kept = lab.messages(stuck, kept);
    assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
}

pub(crate) fn the_smallest_queue_carries_everything_both_ways(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| limits.bus_queue_max = 1);
    let puppets = [lab.puppet(0), lab.puppet(1)];
    for puppet in puppets {
        insists(&mut lab, puppet);
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let to = puppets[to];
        lab.tell(puppets[from], move |hands| {
            for number in 0..300 {
                hands.outbox.send_to(to, number, NoRoom::Wait);
            }
        });
    }
    for puppet in puppets {
        assert_eq!(lab.messages(puppet, 300), (0..300).collect::<Vec<_>>());
    }
}

pub(crate) fn subscriptions_are_known_everywhere_however_small_the_queues(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| limits.bus_queue_max = 1);
    let subscriber = lab.puppet(1);
    lab.act(subscriber, |hands| {
        (0..50).for_each(|channel| hands.outbox.subscribe(channel));
    });
    for channel in 0..50 {
        lab.bus(subscriber, |event| {
            (*event == BusEvent::Subscribed(channel)).then_some(())
        });
    }
    let publishers = [lab.puppet(0), lab.puppet(2)];
    for publisher in publishers {
        insists(&mut lab, publisher);
        lab.act(publisher, |hands| {
            for channel in 0..50 {
                hands
                    .outbox
                    .publish(channel, u64::from(channel), NoRoom::Wait);
            }
        });
    }
    let mut heard = lab.messages(subscriber, 100);
    heard.sort_unstable();
    let twice: Vec<u64> = (0..50).flat_map(|number| [number, number]).collect();
    assert_eq!(heard, twice);
}

pub(crate) fn who_waits_for_room_at_a_worker_that_dies_learns_of_it(kind: Kind) {
    let mut lab = lab(kind, 2);
    let (sender, receiver) = (lab.puppet(0), lab.puppet_as(1, Role::Stubborn));
    insists(&mut lab, sender);
    lab.stage.stall(1);
    lab.act(sender, move |hands| {
        for number in 0..20 {
            hands.outbox.send_to(receiver, number, NoRoom::Wait);
        }
    });
    lab.stage.kill(1);
    lab.stage.release(1);
    lab.stopped(1);
    lab.bus(sender, |event| {
        (*event == BusEvent::Room { worker: 1 }).then_some(())
    });
    lab.bus(sender, |event| {
        matches!(event, BusEvent::Undelivered { to, .. } if *to == receiver).then_some(())
    });
}
