//! Messages from task to task, as stories.

use stillpoint::{BusEvent, Destination, End, NoRoom, TaskId};

use super::lab::{Kind, Lab};
use super::puppet::Hands;

const WAIT: NoRoom = NoRoom::Wait;

/// Sends these numbers, in order.
pub(crate) fn send(
    to: TaskId,
    numbers: core::ops::Range<u64>,
) -> impl FnOnce(&mut Hands) + Send + 'static {
    move |hands| numbers.for_each(|number| hands.outbox.send_to(to, number, WAIT))
}

/// How many messages to `to` did not arrive, once it is that many.
pub(crate) fn undelivered(lab: &mut Lab, sender: TaskId, to: TaskId, count: u32) {
    let mut told = 0;
    while told < count {
        told += lab.bus(sender, |event| match event {
            BusEvent::Undelivered { to: gone, messages } => (*gone == to).then_some(*messages),
            _ => None,
        });
    }
    assert_eq!(told, count);
}

pub(crate) fn a_message_reaches_its_task_on_the_same_worker(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    reaches(&mut lab, 0, 0);
}

pub(crate) fn a_message_reaches_its_task_on_another_worker(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    reaches(&mut lab, 0, 1);
    reaches(&mut lab, 1, 0);
}

fn reaches(lab: &mut Lab, from: u16, to: u16) {
    let (sender, receiver) = (lab.puppet(from), lab.puppet(to));
    lab.act(sender, send(receiver, 7..8));
    let expected = BusEvent::Message {
        from: Some(sender),
        to: Destination::Task(receiver),
        message: 7,
    };
    lab.bus(receiver, |event| (*event == expected).then_some(()));
}

pub(crate) fn messages_of_one_task_to_another_arrive_in_order(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let sender = lab.puppet(0);
    for worker in 0..2 {
        let receiver = lab.puppet(worker);
        for from in [0, 300, 600] {
            lab.act(sender, send(receiver, from..from + 300));
        }
        assert_eq!(lab.messages(receiver, 900), (0..900).collect::<Vec<_>>());
    }
}

pub(crate) fn a_task_may_send_to_itself(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    lab.act(puppet, |hands| {
        let me = hands.me.unwrap();
        hands.outbox.send_to(me, 1, WAIT);
        hands.outbox.send_to(me, 2, WAIT);
    });
    assert_eq!(lab.messages(puppet, 2), [1, 2]);
}

pub(crate) fn everybody_hears_everybody(kind: Kind) {
    const WORKERS: u16 = 4;
    const EACH: u64 = 40;
    let mut lab = Lab::new(kind, WORKERS);
    let puppets: Vec<TaskId> = (0..WORKERS * 2)
        .map(|number| lab.puppet(number % WORKERS))
        .collect();
    for &puppet in &puppets {
        let all = puppets.clone();
        lab.tell(puppet, move |hands| {
            for number in 0..EACH {
                for &to in &all {
                    hands.outbox.send_to(to, number, WAIT);
                }
            }
        });
    }
    for &puppet in &puppets {
        let mut next = vec![0; puppets.len()];
        for _ in 0..EACH * puppets.len() as u64 {
            let (from, number) = lab.bus(puppet, |event| match event {
                BusEvent::Message { from, message, .. } => Some((*from, *message)),
                _ => None,
            });
            let from = puppets.iter().position(|&at| Some(at) == from).unwrap();
            assert_eq!(number, next[from], "from {from} to {puppet}");
            next[from] += 1;
        }
    }
    let total = EACH * 64;
    lab.until("balance", |lab| {
        let bus = lab.bus_counters();
        (bus.sent, bus.received, bus.delivered) == (total, total, total)
    });
}

pub(crate) fn what_a_task_sent_before_it_finished_arrives(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (sender, near, far) = (lab.puppet(0), lab.puppet(0), lab.puppet(1));
    lab.tell(sender, move |hands| {
        hands.outbox.send_to(near, 1, WAIT);
        hands.outbox.send_to(far, 2, WAIT);
        hands.outbox.finish();
    });
    assert_eq!(lab.end(sender), End::Finished);
    assert_eq!(lab.message(near), 1);
    assert_eq!(lab.message(far), 2);
}

pub(crate) fn a_message_to_a_task_that_is_no_more_is_told_to_its_sender(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let sender = lab.puppet(0);
    for worker in 0..2 {
        let gone = lab.puppet(worker);
        lab.tell(gone, |hands| hands.outbox.finish());
        assert_eq!(lab.end(gone), End::Finished);
        lab.act(sender, send(gone, 0..3));
        undelivered(&mut lab, sender, gone, 3);
        lab.status(worker, |status| status.bus.stale == 3);
    }
}

pub(crate) fn a_new_task_in_the_place_of_an_old_one_gets_nothing_of_it(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (sender, old) = (lab.puppet(0), lab.puppet(1));
    lab.tell(old, |hands| hands.outbox.finish());
    lab.end(old);
    let new = lab.puppet(1);
    lab.act(sender, send(old, 0..1));
    lab.act(sender, send(new, 1..2));
    assert_eq!(lab.message(new), 1);
    undelivered(&mut lab, sender, old, 1);
}

pub(crate) fn a_message_to_a_worker_that_was_removed_is_told(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (sender, gone) = (lab.puppet(0), lab.puppet(1));
    lab.stage.remove_worker(1).unwrap();
    lab.stopped(1);
    // The other worker may learn of it a little later; what it sends until then is counted.
    lab.until("word of the end", |lab| {
        lab.act(sender, send(gone, 0..1));
        let bus = lab.bus_counters();
        assert!(bus.stale + bus.lost <= bus.sent + bus.stale);
        bus.stale > 0
    });
    undelivered(&mut lab, sender, gone, 1);
    lab.until("balance", |lab| {
        let bus = lab.bus_counters();
        bus.sent == bus.lost + bus.received
    });
}

pub(crate) fn what_a_worker_sent_before_it_was_removed_arrives(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (receiver, sender) = (lab.puppet(0), lab.puppet(1));
    lab.stage.stall(0);
    // More than is taken from one worker at a time.
    lab.act(sender, send(receiver, 0..900));
    lab.stage.remove_worker(1).unwrap();
    lab.stopped(1);
    lab.stage.release(0);
    assert_eq!(lab.messages(receiver, 900), (0..900).collect::<Vec<_>>());
    assert_eq!(lab.bus_counters().lost, 0);
}

pub(crate) fn a_worker_that_is_added_later_takes_part(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (first, second) = (lab.puppet(0), lab.puppet(1));
    lab.subscribe(first, 3);
    let third = lab.stage.add_worker().unwrap();
    assert_eq!(third, 2);
    let third = lab.puppet(third);
    lab.act(first, send(third, 1..2));
    assert_eq!(lab.message(third), 1);
    lab.act(third, send(second, 2..3));
    assert_eq!(lab.message(second), 2);
    // It knows who had subscribed before it came.
    lab.act(third, |hands| hands.outbox.publish(3, 3, WAIT));
    assert_eq!(lab.message(first), 3);
    lab.subscribe(third, 3);
    lab.act(second, |hands| hands.outbox.publish(3, 4, WAIT));
    assert_eq!(lab.message(first), 4);
    assert_eq!(lab.message(third), 4);
}

pub(crate) fn a_broadcast_reaches_the_agents_of_all_workers_once(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let agents: Vec<TaskId> = (0..3).map(|worker| lab.puppet(worker)).collect();
    for &agent in &agents {
        become_agent(&mut lab, agent);
    }
    let bystander = lab.puppet(1);
    lab.act(agents[0], |hands| {
        hands.outbox.broadcast(1, WAIT);
        hands.outbox.broadcast(2, WAIT);
    });
    for &agent in &agents {
        assert_eq!(lab.messages(agent, 2), [1, 2]);
    }
    assert_eq!(lab.unasked(bystander).len(), 0);
}

pub(crate) fn become_agent(lab: &mut Lab, agent: TaskId) {
    lab.act(agent, |hands| hands.outbox.become_agent());
    lab.bus(agent, |event| {
        (*event == BusEvent::Agent(agent)).then_some(())
    });
}

pub(crate) fn a_worker_has_one_agent_and_another_once_that_is_gone(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let (first, second) = (lab.puppet(0), lab.puppet(0));
    become_agent(&mut lab, first);
    lab.act(second, |hands| hands.outbox.become_agent());
    lab.bus(second, |event| {
        (*event == BusEvent::Agent(first)).then_some(())
    });
    lab.tell(first, |hands| hands.outbox.finish());
    lab.end(first);
    become_agent(&mut lab, second);
    lab.stage.broadcast(5).unwrap();
    assert_eq!(lab.message(second), 5);
}
