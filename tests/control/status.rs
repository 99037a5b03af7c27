//! What can be seen of workers, as stories.

use core::time::Duration;

use stillpoint::{End, NoRoom, TaskId};

use super::lab::{Kind, Lab};
use super::messages::send;
use super::puppet::{Act, News, Role};

pub(crate) fn tasks_are_counted_by_group(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    for role in [Role::First, Role::First, Role::Second, Role::Weak] {
        lab.puppet_as(1, role);
    }
    let status = lab.status(1, |status| status.counters().panicked == 1);
    assert_eq!(status.tasks(), 3);
    let groups: Vec<(&str, usize, u64)> = status
        .groups
        .iter()
        .map(|group| (group.short_name(), group.tasks, group.counters.started))
        .collect();
    assert_eq!(groups, [("Puppet", 2, 2), ("Puppet", 1, 1), ("Weak", 0, 1)]);
    assert_eq!(lab.status(0, |_| true).tasks(), 0);
}

pub(crate) fn how_tasks_ended_is_counted(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let [finished, panicked, runaway] = [lab.puppet(0), lab.puppet(0), lab.puppet(0)];
    lab.tell(finished, |hands| hands.outbox.finish());
    lab.tell(panicked, |hands| panic!("at {}", hands.now));
    lab.tell(runaway, |hands| {
        (0..20_000).for_each(|_| hands.outbox.unsubscribe(0));
    });
    assert_eq!(lab.end(finished), End::Finished);
    assert!(matches!(lab.end(panicked), End::Panicked { .. }));
    assert!(matches!(lab.end(runaway), End::Runaway { .. }));
    let is_over =
        |status: &stillpoint::WorkerStatus| (status.tasks(), status.counters().started) == (0, 3);
    let counters = lab.status(0, is_over).counters();
    let ends = (counters.finished, counters.panicked, counters.runaway);
    assert_eq!((counters.started, ends), (3, (1, 1, 1)));
}

pub(crate) fn messages_are_counted_where_they_go_in_and_come_out(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (sender, near, far) = (lab.puppet(0), lab.puppet(0), lab.puppet(1));
    lab.subscribe(near, 1);
    lab.subscribe(far, 1);
    lab.act(sender, send(near, 0..10));
    lab.act(sender, send(far, 0..10));
    lab.act(sender, |hands| hands.outbox.publish(1, 10, NoRoom::Wait));
    lab.stage.publish(1, 11).unwrap();
    // Ten to each, one published on each, and one of the controller's at each.
    let here = lab.status(0, |status| status.bus.delivered == 12).bus;
    assert_eq!((here.sent, here.received), (23, 12));
    let there = lab.status(1, |status| status.bus.delivered == 12).bus;
    assert_eq!((there.sent, there.received), (1, 12));
}

pub(crate) fn subscriptions_and_requests_are_counted(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (asker, asked) = (lab.puppet(0), lab.puppet(1));
    for channel in 0..5 {
        lab.subscribe(asked, channel);
    }
    lab.act(asker, move |hands| {
        (0..3).for_each(|number| hands.ask(asked, number));
    });
    lab.status(1, |status| {
        (status.subscriptions, status.requests) == (5, 3)
    });
    lab.status(0, |status| (status.requests, status.bus.requests) == (3, 3));
    lab.tell(asked, |hands| hands.outbox.finish());
    lab.status(0, |status| {
        (status.requests, status.bus.requests_failed) == (0, 3)
    });
    lab.status(1, |status| {
        (status.subscriptions, status.requests) == (0, 0)
    });
}

pub(crate) fn the_most_that_has_waited_is_remembered(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (sender, receiver) = (lab.puppet(0), lab.puppet(1));
    lab.act(sender, |hands| {
        let me = hands.me.unwrap();
        (0..30).for_each(|number| hands.outbox.send_to(me, number, NoRoom::Wait));
    });
    lab.status(0, |status| {
        status.queues.bus_most >= 30 && status.queues.bus == 0
    });
    lab.stage.stall(1);
    lab.act(sender, send(receiver, 0..50));
    for number in 0..40 {
        lab.stage
            .command(receiver.into(), Act::say(number))
            .unwrap();
    }
    lab.stage.release(1);
    assert_eq!(lab.messages(receiver, 50).len(), 50);
    let queues = lab.status(1, |status| status.bus.received == 50).queues;
    assert!(queues.bus_in_most >= 50, "{queues:?}");
    assert!(queues.control_most >= 40, "{queues:?}");
    let queues = lab.status(1, |status| status.queues.control == 0).queues;
    assert_eq!((queues.bus_in, queues.bus), (0, 0));
}

pub(crate) fn a_worker_without_work_is_idle(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    lab.puppet(0);
    let before = lab.status(0, |_| true);
    lab.stage.pass(Duration::from_millis(1_000));
    let after = lab.status(0, |_| true);
    // Others may keep its thread from falling asleep, but not for ever.
    let status = lab.status(0, |status| status.runner.utilization < 0.1);
    assert!(status.runner.busy <= status.runner.wall);
    assert!(after.runner.loops - before.runner.loops < 20, "it sleeps");
    assert!(after.runner.wall >= before.runner.wall + Duration::from_millis(900));
}

pub(crate) fn wake_ups_are_counted(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    let before = lab.status(0, |_| true).runner.wake_ups;
    for _ in 0..5 {
        let wanted = lab.now().after(Duration::from_millis(10));
        lab.act(puppet, move |hands| hands.deadline = Some(wanted));
        lab.next(puppet, |news| (*news == News::Timeout).then_some(()));
    }
    let after = lab.status(0, |status| status.runner.wake_ups > before);
    assert!(after.runner.loops >= after.runner.wake_ups);
    assert!(after.runner.loop_latency.count() > 0);
}

pub(crate) fn lateness_of_timeouts_is_measured(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    let wanted = lab.now().after(Duration::from_millis(20));
    lab.act(puppet, move |hands| hands.deadline = Some(wanted));
    lab.stage.stall(0);
    lab.stage.pass(Duration::from_millis(200));
    lab.stage.release(0);
    lab.next(puppet, |news| (*news == News::Timeout).then_some(()));
    let status = lab.status(0, |status| status.lateness.count() == 1);
    let lateness = status.lateness.quantile(1.0).unwrap();
    assert!(lateness >= Duration::from_millis(50), "{lateness:?}");
}

pub(crate) fn a_worker_that_stands_still_can_be_looked_at(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let tasks: Vec<TaskId> = (0..3).map(|_| lab.puppet(1)).collect();
    lab.status(1, |status| status.tasks() >= 3);
    lab.stage.stall(1);
    lab.stage.command(tasks[0].into(), Act::say(0)).unwrap();
    let status = lab.status(1, |status| status.runner.utilization > 0.9);
    assert!(status.tasks() >= 3);
    let later = lab.status(1, |later| later.at > status.at);
    assert!(later.runner.busy > status.runner.busy);
    lab.stage.release(1);
    assert_eq!(lab.said(tasks[0]), 0);
}

pub(crate) fn a_worker_that_is_gone_has_no_status(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    lab.stage.remove_worker(1).unwrap();
    lab.stopped(1);
    lab.stage.kill(0);
    lab.stopped(0);
    let left: Vec<u16> = lab.stage.status().iter().map(|one| one.worker).collect();
    assert_eq!(left, [2]);
    lab.stage.add_worker().unwrap();
    let left: Vec<u16> = lab.stage.status().iter().map(|one| one.worker).collect();
    assert_eq!(left, [2, 3]);
}

pub(crate) fn what_was_dropped_for_want_of_a_listener_is_counted(kind: Kind) {
    if kind.is_simulated() {
        return; // Its controller has room for everything.
    }
    let mut lab = Lab::with(kind, 1, |limits| limits.events_max = 8);
    let puppet = lab.puppet(0);
    lab.tell(puppet, |hands| {
        (0..100).for_each(|number| hands.tell(News::Said(number)));
    });
    // Nobody listens meanwhile.
    let mut dropped = 0;
    while dropped == 0 {
        lab.stage.pass(Duration::from_millis(5));
        dropped = lab.stage.status()[0].runner.events_dropped;
    }
    assert_eq!(dropped, 92);
    assert_eq!(lab.said(puppet), 0, "the first ones are there");
}

pub(crate) fn buffers_in_use_are_counted(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let puppet = lab.puppet(0);
    let before = lab.status(0, |_| true).buffers_live;
    lab.act(puppet, |hands| {
        let buffers = hands.buffers.clone().unwrap();
        hands.kept.extend((0..10).map(|_| buffers.take(100)));
    });
    lab.status(0, |status| status.buffers_live == before + 10);
    lab.act(puppet, |hands| hands.kept.clear());
    lab.status(0, |status| {
        status.buffers_live == before && status.buffers_free >= 10
    });
}
