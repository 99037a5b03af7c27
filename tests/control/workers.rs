//! What a controller asks of workers, as stories.

use stillpoint::{BusEvent, CommandError, CommandTarget, ControlError, ControllerEvent, End};

use super::lab::{Kind, Lab};
use super::messages::become_agent;
use super::puppet::{Act, Role};

pub(crate) fn an_agent_takes_the_commands_of_its_worker(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    for worker in 0..2 {
        let (agent, other) = (lab.puppet(worker), lab.puppet(worker));
        become_agent(&mut lab, agent);
        for number in 0..10 {
            let to = CommandTarget::Worker(worker);
            lab.stage.command(to, Act::say(number)).unwrap();
        }
        for number in 0..10 {
            assert_eq!(lab.said(agent), number);
        }
        assert!(lab.unasked(other).is_empty());
    }
}

pub(crate) fn a_worker_without_an_agent_is_named(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let to = CommandTarget::Worker(1);
    let command = lab.stage.command_tracked(to, Act::say(0)).unwrap();
    let given = lab.event(|event| match event {
        ControllerEvent::Commanded { id, given } => (*id == command).then_some(*given),
        _ => None,
    });
    assert_eq!(given, Err(CommandError::NoAgent { worker: 1 }));
    let said = given.unwrap_err().to_string();
    assert!(said.starts_with("worker 1 has no agent"), "{said}");
}

pub(crate) fn the_controllers_broadcast_reaches_all_agents(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    // The second worker has none, which disturbs nobody.
    let agents = [lab.puppet(0), lab.puppet(2)];
    for agent in agents {
        become_agent(&mut lab, agent);
    }
    for number in 0..10 {
        lab.stage.broadcast(number).unwrap();
    }
    for agent in agents {
        assert_eq!(lab.messages(agent, 10), (0..10).collect::<Vec<_>>());
    }
    lab.status(1, |status| status.bus.unheard == 10);
}

pub(crate) fn a_worker_that_never_was_is_named(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let expected = ControlError::NoSuchWorker {
        worker: 7,
        workers: 2,
    };
    let told = lab.stage.spawn(7.into(), Role::First).unwrap_err();
    assert_eq!(told, expected);
    let to = CommandTarget::Worker(7);
    assert_eq!(lab.stage.command(to, Act::say(0)), Err(expected));
    let tracked = lab.stage.command_tracked(to, Act::say(0));
    assert_eq!(tracked.unwrap_err(), expected);
    assert_eq!(lab.stage.remove_worker(7), Err(expected));
}

pub(crate) fn a_worker_that_was_removed_is_named_as_such(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let task = lab.puppet(1);
    lab.stage.remove_worker(1).unwrap();
    let expected = ControlError::Stopped { worker: 1 };
    assert_eq!(lab.stage.remove_worker(1), Err(expected), "once is enough");
    let summary = lab.stopped(1);
    assert_eq!((summary.failure, summary.tasks_lost), (None, 0));
    assert_eq!(lab.end(task), End::Finished);
    let told = lab.stage.spawn(1.into(), Role::First).unwrap_err();
    assert_eq!(told, expected);
    assert_eq!(lab.stage.command(task.into(), Act::say(0)), Err(expected));
    assert_eq!(lab.stage.remove_worker(1), Err(expected));
    // The other one is as it was.
    let other = lab.puppet(0);
    lab.tell(other, |hands| hands.tell(super::puppet::News::Said(1)));
    assert_eq!(lab.said(other), 1);
}

pub(crate) fn a_worker_that_is_being_removed_gets_no_new_tasks(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (other, stubborn) = (lab.puppet(0), lab.puppet_as(1, Role::Stubborn));
    lab.react(stubborn, |event, hands| match event {
        BusEvent::Message { message: 0, .. } => hands.outbox.spawn(Role::First),
        _ => hands.outbox.finish(),
    });
    lab.stage.remove_worker(1).unwrap();
    let told = lab.stage.spawn(1.into(), Role::First).unwrap_err();
    assert_eq!(told, ControlError::Stopped { worker: 1 });
    for _ in 0..4 {
        let task = lab.puppet(stillpoint::Placement::RoundRobin);
        assert_eq!(task.worker(), 0);
    }
    // What its tasks ask for is refused, too.
    lab.act(other, super::messages::send(stubborn, 0..1));
    let parent = lab.event(|event| match event {
        ControllerEvent::SpawnFailed { parent, .. } => Some(*parent),
        _ => None,
    });
    assert_eq!(parent, Some(stubborn));
    lab.act(other, super::messages::send(stubborn, 1..2));
    assert_eq!(lab.stopped(1).tasks_lost, 0);
}

pub(crate) fn a_worker_that_is_being_removed_takes_commands_to_its_tasks(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let stubborn = lab.puppet_as(1, Role::Stubborn);
    lab.stage.remove_worker(1).unwrap();
    lab.tell(stubborn, |hands| hands.tell(super::puppet::News::Said(1)));
    assert_eq!(lab.said(stubborn), 1);
    let finish = Act::new(|hands| hands.outbox.finish());
    let finish = lab.stage.command_tracked(stubborn.into(), finish).unwrap();
    let given = lab.event(|event| match event {
        ControllerEvent::Commanded { id, given } if *id == finish => Some(*given),
        _ => None,
    });
    assert_eq!(given, Ok(stubborn));
    assert_eq!(lab.stopped(1).tasks_lost, 0);
}

pub(crate) fn an_index_is_never_given_twice(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    for index in 1..6 {
        assert_eq!(lab.stage.add_worker(), Ok(index));
        lab.event(|event| match event {
            ControllerEvent::WorkerStarted { worker, instead_of } => {
                (*worker == index && instead_of.is_none()).then_some(())
            }
            _ => None,
        });
        let task = lab.puppet(index);
        assert_eq!(task.worker(), index);
        lab.stage.remove_worker(index).unwrap();
        lab.stopped(index);
    }
    assert_eq!(lab.stage.status().len(), 1);
}

pub(crate) fn workers_come_and_go_while_messages_flow(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let steady = [lab.puppet(0), lab.puppet(1)];
    lab.subscribe(steady[1], 1);
    let mut published = 0;
    for _ in 0..4 {
        let worker = lab.stage.add_worker().unwrap();
        let visitor = lab.puppet(worker);
        lab.subscribe(visitor, 1);
        for publisher in [steady[0], visitor] {
            lab.act(publisher, move |hands| {
                for number in published..published + 20 {
                    hands.outbox.publish(1, number, stillpoint::NoRoom::Wait);
                }
            });
            let expected: Vec<u64> = (published..published + 20).collect();
            for subscriber in [steady[1], visitor] {
                assert_eq!(lab.messages(subscriber, 20), expected);
            }
            published += 20;
        }
        lab.stage.remove_worker(worker).unwrap();
        assert_eq!(lab.stopped(worker).tasks_lost, 0);
    }
    lab.until("balance", |lab| {
        let bus = lab.bus_counters();
        bus.dropped == 0 && bus.refused == 0 && bus.stale == 0
    });
}

pub(crate) fn a_full_queue_of_inputs_is_told_and_nothing_happens(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| limits.inputs_max = 4);
    let (near, far) = (lab.puppet(0), lab.puppet(1));
    lab.subscribe(near, 1);
    lab.subscribe(far, 1);
    lab.stage.stall(1);
    let mut accepted = 0;
    let full = loop {
        match lab.stage.command(far.into(), Act::say(accepted)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100);
    };
    let expected = ControlError::Full {
        worker: 1,
        inputs_max: 4,
    };
    assert_eq!(full, expected);
    let told = lab.stage.spawn(1.into(), Role::First).unwrap_err();
    assert_eq!(told, expected);
    // What is for all workers is then for none.
    assert_eq!(lab.stage.publish(1, 1), Err(expected));
    assert_eq!(lab.stage.broadcast(1), Err(expected));
    lab.stage.release(1);
    for number in 0..accepted {
        assert_eq!(lab.said(far), number);
    }
    lab.stage.publish(1, 2).unwrap();
    for puppet in [near, far] {
        assert_eq!(lab.message(puppet), 2);
    }
}

pub(crate) fn a_worker_that_waits_for_nothing_can_be_removed(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    lab.stage.remove_worker(0).unwrap();
    lab.stage.remove_worker(1).unwrap();
    lab.stopped(0);
    lab.stopped(1);
    let none = lab
        .stage
        .spawn(stillpoint::Placement::RoundRobin, Role::First);
    assert_eq!(none.unwrap_err(), ControlError::NoWorkers);
    assert_eq!(lab.stage.publish(1, 1), Err(ControlError::NoWorkers));
    // Others may come in their place.
    assert_eq!(lab.stage.add_worker(), Ok(2));
    let task = lab.puppet(stillpoint::Placement::LeastLoaded);
    assert_eq!(task.worker(), 2);
    lab.act(task, |hands| {
        let me = hands.me.unwrap();
        hands.outbox.send_to(me, 3, stillpoint::NoRoom::Wait);
    });
    lab.bus(task, |event| {
        matches!(event, BusEvent::Message { message: 3, .. }).then_some(())
    });
}
