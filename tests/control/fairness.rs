//! Who has much to say keeps nobody else waiting, as stories.

use core::time::Duration;

use stillpoint::{BusEvent, Destination, End, NoRoom, TaskId};

use super::lab::{Kind, Lab, Step};
use super::messages::become_agent;
use super::puppet::{Act, News, Role};

const LOUD: u8 = 200;

/// How often a puppet publishes what it hears of itself.
#[derive(Clone, Copy)]
enum Echo {
    Once,
    /// So there is twice as much of it each time.
    Twice,
}

/// A puppet that hears what it publishes, and publishes it again for ever.
fn self_publisher(lab: &mut Lab, worker: u16, echo: Echo, role: Role) -> TaskId {
    let puppet = lab.puppet_as(worker, role);
    lab.react(puppet, move |event, hands| {
        if let BusEvent::Message {
            to: Destination::Channel(LOUD),
            message,
            ..
        } = event
        {
            hands.outbox.publish(LOUD, *message, NoRoom::Drop);
            if matches!(echo, Echo::Twice) {
                hands.outbox.publish(LOUD, *message, NoRoom::Drop);
            }
        }
    });
    // Silent before it hears anything: another may be loud already, and more reports than the
    // controller takes are dropped, that it has acted among them.
    lab.act(puppet, |hands| {
        hands.is_silent = true;
        hands.outbox.subscribe(LOUD);
        hands.outbox.publish(LOUD, 0, NoRoom::Drop);
    });
    puppet
}

fn echoes(both: impl Fn(Echo)) {
    both(Echo::Once);
    both(Echo::Twice);
}

pub(crate) fn a_self_publisher_keeps_no_neighbour_waiting(kind: Kind) {
    echoes(|echo| {
        let mut lab = Lab::new(kind, 2);
        let (near, far) = (lab.puppet(0), lab.puppet(1));
        self_publisher(&mut lab, 0, echo, Role::First);
        for number in 0..10 {
            for sender in [near, far] {
                lab.act(sender, move |hands| {
                    hands.outbox.send_to(near, number, NoRoom::Wait);
                });
                assert_eq!(lab.message(near), number);
            }
        }
    });
}

pub(crate) fn a_self_publisher_stops_no_clock(kind: Kind) {
    echoes(|echo| {
        let mut lab = Lab::new(kind, 1);
        let sleeper = lab.puppet(0);
        self_publisher(&mut lab, 0, echo, Role::First);
        for _ in 0..5 {
            let wanted = lab.now().after(kind.while_busy(Duration::from_millis(5)));
            lab.act(sleeper, move |hands| hands.deadline = Some(wanted));
            let at = lab.next_at(sleeper, |at, news| (*news == News::Timeout).then_some(at));
            assert!(at >= wanted);
        }
    });
}

pub(crate) fn a_self_publisher_keeps_no_controller_waiting(kind: Kind) {
    echoes(|echo| {
        let mut lab = Lab::new(kind, 1);
        let agent = lab.puppet(0);
        lab.subscribe(agent, 1);
        become_agent(&mut lab, agent);
        self_publisher(&mut lab, 0, echo, Role::First);
        for number in 0..5 {
            lab.stage
                .command(agent.into(), Act::say(number))
                .expect("room for it");
            assert_eq!(lab.said(agent), number);
            lab.stage.publish(1, number).unwrap();
            lab.stage.broadcast(number).unwrap();
            assert_eq!(lab.messages(agent, 2), [number, number]);
            let new = lab.puppet(0);
            lab.tell(new, |hands| hands.outbox.finish());
            assert_eq!(lab.end(new), End::Finished);
        }
    });
}

pub(crate) fn a_self_publisher_does_not_delay_a_shutdown(kind: Kind) {
    echoes(|echo| {
        let mut lab = Lab::new(kind, 2);
        let near = lab.puppet_as(0, Role::Second);
        let loud = self_publisher(&mut lab, 0, echo, Role::First);
        let stubborn = self_publisher(&mut lab, 1, echo, Role::Stubborn);
        let ended = lab.shutdown(kind.while_busy(Duration::from_secs(1)));
        assert!(ended.stuck.is_empty());
        ended.place(&Step::Ended(loud, End::Finished));
        ended.place(&Step::Ended(stubborn, End::Removed));
        // The second phase never began, as one of the first did not end.
        ended.place(&Step::Ended(near, End::Removed));
        let bus = ended.bus();
        assert_eq!(bus.sent, bus.received + bus.lost, "{bus:?}");
    });
}

pub(crate) fn a_flood_from_one_worker_keeps_no_other_waiting(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let (flooder, victim, other) = (lab.puppet(0), lab.puppet(1), lab.puppet(2));
    // Each message that arrives is answered by two, as far as there is room.
    for (puppet, peer) in [(flooder, victim), (victim, flooder)] {
        lab.react(puppet, move |event, hands| {
            if let BusEvent::Message { from, .. } = event
                && *from == Some(peer)
            {
                hands.outbox.send_to(peer, 0, NoRoom::Drop);
                hands.outbox.send_to(peer, 0, NoRoom::Drop);
            }
        });
        lab.act(puppet, |hands| hands.is_silent = true);
    }
    lab.act(flooder, move |hands| {
        hands.outbox.send_to(victim, 0, NoRoom::Drop);
    });
    lab.status(0, |status| status.bus.sent > 2_000);
    let quiet = lab.puppet(1);
    for number in 0..10 {
        lab.act(other, move |hands| {
            hands.outbox.send_to(quiet, number, NoRoom::Wait);
        });
        assert_eq!(lab.message(quiet), number);
    }
}

/// A puppet that says more, and more often, than anybody can listen to.
fn never_silent(lab: &mut Lab, worker: u16) -> TaskId {
    let puppet = lab.puppet_as(worker, Role::Stubborn);
    let much = if lab.kind.is_simulated() { 1 } else { 5_000 };
    lab.react(puppet, move |event, hands| {
        if matches!(event, BusEvent::Message { .. }) {
            let me = hands.me.unwrap();
            hands.outbox.send_to(me, 0, NoRoom::Drop);
            (0..much).for_each(|number| hands.tell(News::Said(number)));
        }
    });
    lab.act(puppet, |hands| {
        let me = hands.me.unwrap();
        hands.is_silent = true;
        hands.outbox.send_to(me, 0, NoRoom::Drop);
    });
    puppet
}

pub(crate) fn who_reports_without_end_hides_no_worker_that_dies(kind: Kind) {
    let mut lab = Lab::with(kind, 4, |limits| limits.events_max = 1 << 14);
    for worker in 0..3 {
        never_silent(&mut lab, worker);
    }
    lab.stage.kill(3);
    assert!(lab.stopped(3).failure.is_some());
}

pub(crate) fn who_reports_without_end_does_not_delay_a_shutdown(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| limits.events_max = 1 << 14);
    let loud: Vec<TaskId> = (0..3)
        .map(|worker| never_silent(&mut lab, worker))
        .collect();
    let ended = lab.shutdown(kind.while_busy(Duration::from_millis(50)));
    assert!(ended.stuck.is_empty());
    for task in loud {
        ended.place(&Step::Ended(task, End::Removed));
    }
}
