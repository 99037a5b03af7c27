//! Workers that die, as stories.

use core::time::Duration;

use stillpoint::{
    BusEvent, CommandError, CommandTarget, ControlError, ControllerEvent, End, NoRoom, Placement,
    SpawnError, SpawnState, TaskId, WhenWorkerFails,
};

use super::lab::{Kind, Lab};
use super::messages::{become_agent, send};
use super::puppet::{Act, News, Role};

pub(crate) fn a_worker_that_dies_is_reported_with_its_tasks(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let tasks: Vec<TaskId> = (0..3).map(|_| lab.puppet(1)).collect();
    lab.act(tasks[0], |hands| hands.outbox.spawn(Role::First));
    lab.status(1, |status| status.tasks() == 4);
    lab.stage.kill(1);
    let summary = lab.stopped(1);
    assert!(summary.failure.is_some());
    assert_eq!(summary.tasks_lost, 4);
    // Those that the controller asked for have come to an end for it.
    for task in tasks {
        assert_eq!(lab.end(task), End::Removed);
    }
}

pub(crate) fn the_others_go_on(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let (first, dead, last) = (lab.puppet(0), lab.puppet(1), lab.puppet(2));
    for puppet in [first, dead, last] {
        lab.subscribe(puppet, 1);
        become_agent(&mut lab, puppet);
    }
    lab.stage.kill(1);
    lab.stopped(1);
    lab.act(first, |hands| {
        hands.outbox.publish(1, 1, NoRoom::Wait);
        hands.outbox.broadcast(2, NoRoom::Wait);
    });
    lab.stage.publish(1, 3).unwrap();
    let mut heard = lab.messages(last, 3);
    heard.sort_unstable();
    assert_eq!(heard, [1, 2, 3]);
    // A new subscription waits for those only who are there.
    lab.subscribe(last, 2);
    let expected = ControlError::Stopped { worker: 1 };
    assert_eq!(lab.stage.command(dead.into(), Act::say(0)), Err(expected));
    lab.puppet(Placement::RoundRobin);
}

pub(crate) fn a_subscription_under_way_does_not_wait_for_a_dead_worker(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let subscriber = lab.puppet(0);
    lab.stage.stall(1);
    lab.act(subscriber, |hands| hands.outbox.subscribe(1));
    lab.act(subscriber, |_| {});
    assert!(lab.unasked(subscriber).is_empty(), "one does not know");
    lab.stage.kill(1);
    lab.stage.release(1);
    lab.bus(subscriber, |event| {
        (*event == BusEvent::Subscribed(1)).then_some(())
    });
}

pub(crate) fn another_takes_the_place_of_the_dead_one(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| {
        limits.when_worker_fails = WhenWorkerFails::Restart { restarts_max: 5 };
    });
    let steady = lab.puppet(0);
    lab.subscribe(steady, 1);
    let mut present = 1;
    for new in 2..5 {
        lab.stage.kill(present);
        assert!(lab.stopped(present).failure.is_some());
        let started = lab.event(|event| match event {
            ControllerEvent::WorkerStarted { worker, instead_of } => Some((*worker, *instead_of)),
            _ => None,
        });
        assert_eq!(started, (new, Some(present)));
        let task = lab.puppet(new);
        lab.act(steady, send(task, 5..6));
        assert_eq!(lab.message(task), 5);
        // So it has heard of the subscription, which comes first.
        lab.act(task, |hands| hands.outbox.publish(1, 6, NoRoom::Wait));
        assert_eq!(lab.message(steady), 6);
        present = new;
    }
}

pub(crate) fn a_worker_is_replaced_only_so_often(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| {
        limits.when_worker_fails = WhenWorkerFails::Restart { restarts_max: 2 };
    });
    for worker in 1..=3 {
        lab.stage.kill(worker);
        lab.stopped(worker);
    }
    let left: Vec<u16> = lab.stage.status().iter().map(|one| one.worker).collect();
    assert_eq!(left, [0], "the third time the others go on without");
    let started = lab
        .events()
        .filter(|event| matches!(event, ControllerEvent::WorkerStarted { .. }));
    assert_eq!(started.count(), 2);
    lab.puppet(0);
}

pub(crate) fn all_stop_if_that_is_wanted(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| {
        limits.when_worker_fails = WhenWorkerFails::Stop;
    });
    let (early, late) = (lab.puppet(0), lab.puppet_as(2, Role::Second));
    lab.stage.kill(1);
    assert!(lab.stopped(1).failure.is_some());
    for (task, worker) in [(early, 0), (late, 2)] {
        assert_eq!(lab.end(task), End::Finished);
        assert_eq!(lab.stopped(worker).failure, None);
    }
    let order: Vec<TaskId> = [early, late]
        .into_iter()
        .filter(|&task| lab.unasked(task).contains(&&News::Shutdown))
        .collect();
    assert_eq!(order, [early, late]);
}

pub(crate) fn what_was_asked_of_a_worker_that_dies_is_answered(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let task = lab.puppet(1);
    lab.stage.stall(1);
    let spawn = lab.stage.spawn(1.into(), Role::First).unwrap();
    let command = lab.stage.command_tracked(task.into(), Act::say(0)).unwrap();
    let to_agent = lab
        .stage
        .command_tracked(CommandTarget::Worker(1), Act::say(1))
        .unwrap();
    lab.stage.kill(1);
    lab.stage.release(1);
    let summary = lab.stopped(1);
    // It may have come to them or not, but each is answered once.
    let started = lab.event(|event| match event {
        ControllerEvent::Started { spawn: of, .. } => (*of == Some(spawn)).then_some(true),
        ControllerEvent::SpawnFailed {
            spawn: of, error, ..
        } => {
            (*of == Some(spawn) && *error == SpawnError::WorkerGone { worker: 1 }).then_some(false)
        }
        _ => None,
    });
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Over);
    for command in [command, to_agent] {
        let given = lab.event(|event| match event {
            ControllerEvent::Commanded { id, given } => (*id == command).then_some(*given),
            _ => None,
        });
        let gone = Err(CommandError::WorkerGone { worker: 1 });
        assert!(started || given == gone, "{given:?}");
    }
    assert_eq!(summary.inputs_lost > 0, !started);
}

pub(crate) fn what_a_worker_sent_before_it_died_arrives(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (receiver, sender) = (lab.puppet(0), lab.puppet(1));
    lab.stage.stall(0);
    lab.act(sender, send(receiver, 0..900));
    lab.stage.kill(1);
    lab.stopped(1);
    lab.stage.release(0);
    assert_eq!(lab.messages(receiver, 900), (0..900).collect::<Vec<_>>());
    // Its end comes behind all of that.
    lab.until("word of the end", |lab| {
        lab.act(receiver, send(sender, 0..1));
        lab.bus_counters().stale > 0
    });
}

pub(crate) fn messages_to_and_from_a_worker_that_dies_are_counted(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| limits.bus_queue_max = 64);
    let (sender, dead, other) = (lab.puppet(0), lab.puppet(1), lab.puppet(2));
    lab.act(dead, send(other, 0..10));
    // What it has for itself goes with it, too.
    lab.react(dead, |_, hands| {
        let me = hands.me.unwrap();
        hands.outbox.send_to(me, 0, NoRoom::Drop);
    });
    lab.act(dead, |hands| {
        let me = hands.me.unwrap();
        hands.is_silent = true;
        (0..20).for_each(|number| hands.outbox.send_to(me, number, NoRoom::Drop));
    });
    lab.stage.stall(1);
    lab.act(sender, send(dead, 0..40));
    lab.act(other, send(dead, 0..40));
    lab.stage.kill(1);
    lab.stage.release(1);
    lab.stopped(1);
    assert_eq!(lab.messages(other, 10), (0..10).collect::<Vec<_>>());
    lab.until("balance", |lab| {
        let bus = lab.bus_counters();
        bus.sent == bus.received + bus.lost
    });
}

pub(crate) fn a_task_is_placed_where_somebody_is(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    lab.stage.kill(1);
    // Nobody takes the event that says so, and the worker is gone some time from now.
    lab.stage.pass(Duration::from_millis(200));
    for placement in [Placement::RoundRobin, Placement::LeastLoaded] {
        for _ in 0..6 {
            let spawn = lab.stage.spawn(placement, Role::First).unwrap();
            assert_ne!(lab.started(spawn).worker(), 1);
        }
    }
    for key in 0..20 {
        let spawn = lab.stage.spawn(Placement::Key(key), Role::First).unwrap();
        assert_ne!(lab.started(spawn).worker(), 1);
    }
    lab.stopped(1);
}
