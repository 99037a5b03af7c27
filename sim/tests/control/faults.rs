//! Workers that stand still, and workers that fail.

use super::puppet::{
    self, Act, Heard, Puppet, Role, Show, heard, heard_at, ms, node, numbers, puppet, puppet_as, us,
};
use super::{World, events};
use stillpoint::{
    CommandTarget, ControlError, ControllerEvent, NoRoom, Placement, RequestError, SpawnError,
    SpawnState, TaskId, WhenWorkerFails, WorkerFailure, WorkerSummary,
};
use stillpoint_sim::{BusLink, NodeId};

fn send(to: TaskId, count: u64) -> Act {
    let no_room = NoRoom::Wait;
    Act::Send { to, count, no_room }
}

/// Three workers with a puppet each, and what is done when one of them fails.
fn three(world: &mut World<Show>, policy: WhenWorkerFails) -> (NodeId, [TaskId; 3]) {
    let node = world.node("node", [10, 0, 0, 1]).workers(3);
    let bus = BusLink::default().queue_max(8);
    let node = node
        .bus(bus)
        .when_worker_fails(policy)
        .spawner(puppet::spawn);
    let puppets = [0, 1, 2].map(|worker| puppet(world, node, worker));
    world.controller(node);
    (node, puppets)
}

/// What the controller was told of workers that have stopped.
fn stopped(events: &[ControllerEvent<Show>]) -> Vec<&WorkerSummary> {
    let stopped = events.iter().filter_map(|event| match event {
        ControllerEvent::WorkerStopped(summary) => Some(&**summary),
        _ => None,
    });
    stopped.collect()
}

#[test]
fn a_stall_delays_and_loses_nothing() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (node, [one, two, three]) = three(&mut world, WhenWorkerFails::GoOn);
        world.command(node, two, Act::Tick(ms(1)));
        world.run_for(us(500)).unwrap();
        let over = world.now().after(ms(10));
        world.stall_worker(node, 1, ms(10));
        // More than the queues hold, from both sides and from the controller.
        world.command(node, one, send(two, 30));
        world.command(node, three, send(two, 30));
        for number in 0..5 {
            world.command(node, two, Act::Note(number));
            let to = CommandTarget::Task(two);
            let mut controller = world.controller(node);
            controller.command(to, Act::Note(100 + number)).unwrap();
        }
        world.command(node, two, send(one, 30));
        world.run_for(ms(9)).unwrap();
        assert_eq!(heard(&world, node, two), []);
        assert!(heard(&world, node, one).contains(&Heard::NoRoom(1)));
        world.run_for(ms(20)).unwrap();
        let told = heard_at(&world, node, two);
        assert!(told.iter().all(|(at, _)| *at >= over));
        let from = |sender: TaskId| {
            let messages = puppet::messages(&world, node, two).into_iter();
            let messages = messages.filter(move |&(from, _)| from == Some(sender));
            messages.map(|(_, number)| number).collect::<Vec<_>>()
        };
        assert_eq!(from(one), (0..30).collect::<Vec<_>>());
        assert_eq!(from(three), (0..30).collect::<Vec<_>>());
        let noted = told.iter().filter_map(|(_, heard)| match heard {
            Heard::Noted(number) => Some(*number),
            _ => None,
        });
        let (ours, controllers): (Vec<_>, Vec<_>) = noted.partition(|&number| number < 100);
        assert_eq!(ours, [0, 1, 2, 3, 4]);
        assert_eq!(controllers, [100, 101, 102, 103, 104]);
        let ticks = told.iter().filter(|(_, heard)| *heard == Heard::Tick);
        assert_eq!(
            ticks.count(),
            20,
            "the first one comes late, and others behind it"
        );
        assert_eq!(numbers(&world, node, one), (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn a_stall_within_a_stall_lasts_until_the_later_end() {
    let mut world = World::new(1);
    let (node, [one, ..]) = three(&mut world, WhenWorkerFails::GoOn);
    let began = world.now();
    world.stall_worker(node, 0, ms(10));
    world.command(node, one, Act::Note(1));
    world.run_for(ms(5)).unwrap();
    world.stall_worker(node, 0, ms(1));
    world.run_for(ms(4)).unwrap();
    world.stall_worker(node, 0, ms(10));
    world.run_until_idle(ms(20)).unwrap();
    assert_eq!(
        heard_at(&world, node, one),
        [(began.after(ms(19)), Heard::Noted(1))]
    );
}

#[test]
fn a_worker_that_is_killed_is_reported_with_all_that_is_lost() {
    let mut world = World::new(1);
    let (node, [one, two, _]) = three(&mut world, WhenWorkerFails::GoOn);
    puppet(&mut world, node, 1);
    world.always("only those who live are seen", move |world| {
        world.tasks::<Puppet<0>>(node).count() == world.task_count(node)
    });
    world.stall_worker(node, 1, ms(10));
    world.command(node, one, send(two, 6));
    let mut controller = world.controller(node);
    let spawn = controller
        .spawn(Placement::Pinned(1), Role::default())
        .unwrap();
    let to = CommandTarget::Task(two);
    let command = controller.command_tracked(to, Act::Note(1)).unwrap();
    world.run_for(ms(1)).unwrap();
    world.kill_worker(node, 1);
    world.kill_worker(node, 1);
    assert_eq!((world.workers(node), world.task_count(node)), (2, 2));
    assert!(world.task::<Puppet<0>>(node, two).is_none());
    world.run_until_idle(ms(20)).unwrap();
    assert_eq!(world.ended(), []);

    let controller = world.controller(node);
    assert_eq!(controller.spawn_state(spawn), SpawnState::Over);
    let events = events(&mut world, node);
    let [summary] = stopped(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!(summary.worker, 1);
    assert_eq!(summary.failure, Some(WorkerFailure::Killed));
    assert_eq!((summary.tasks_lost, summary.inputs_lost), (2, 2));
    assert_eq!(summary.bus.lost, 6);
    assert_eq!(world.counters().bus.lost, 6);
    let gone = events.iter().filter(|event| match event {
        ControllerEvent::SpawnFailed {
            spawn: failed,
            error,
            ..
        } => *failed == Some(spawn) && *error == SpawnError::WorkerGone { worker: 1 },
        ControllerEvent::Commanded { id, given } => *id == command && given.is_err(),
        _ => false,
    });
    assert_eq!(gone.count(), 2);
    let gone = ControlError::Stopped { worker: 1 };
    let mut controller = world.controller(node);
    assert_eq!(controller.command(to, Act::Note(2)), Err(gone));
    // To spawn there without the controller is no mistake, and comes to nothing.
    world.spawn(node, 1, Role::default());
    world.command(node, two, Act::Note(3));
    world.run_until_idle(ms(1)).unwrap();
    assert_eq!(
        world.spawn_failures()[0].error,
        SpawnError::WorkerGone { worker: 1 }
    );
}

#[test]
fn the_others_hear_of_a_kill_behind_all_that_was_sent() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let bus = BusLink::new(ms(0)..=ms(3));
        let node = node(&mut world, 2, bus);
        let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
        let ask = Act::Ask {
            to: two,
            number: 1,
            within: ms(100),
        };
        world.command(node, two, send(one, 20));
        world.run_for(us(1)).unwrap();
        world.stall_worker(node, 1, ms(200));
        world.command(node, one, ask);
        world.run_for(us(1)).unwrap();
        world.kill_worker(node, 1);
        world.run_until_idle(ms(10)).unwrap();
        let told = heard(&world, node, one);
        assert_eq!(numbers(&world, node, one), (0..20).collect::<Vec<_>>());
        assert_eq!(
            told.last(),
            Some(&Heard::Failed(RequestError::WorkerGone)),
            "seed {seed}"
        );
    }
}

#[test]
fn whoever_waits_for_room_is_told_when_the_worker_is_killed() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (node, [one, two, three]) = three(&mut world, WhenWorkerFails::GoOn);
        world.stall_worker(node, 1, ms(50));
        world.command(node, one, send(two, 30));
        world.run_for(ms(1)).unwrap();
        assert!(heard(&world, node, one).contains(&Heard::NoRoom(1)));
        world.kill_worker(node, 1);
        world.run_until_idle(ms(10)).unwrap();
        let told = heard(&world, node, one);
        assert!(told.contains(&Heard::Room(1)), "{told:?}");
        assert_eq!(
            told.last(),
            Some(&Heard::Undelivered(22)),
            "8 were in the queue"
        );
        assert_eq!(world.counters().bus.lost, 8);
        world.command(node, one, send(three, 3));
        world.run_until_idle(ms(10)).unwrap();
        assert_eq!(numbers(&world, node, three).len(), 3);
    }
}

#[test]
fn a_worker_that_fails_is_replaced_so_often_and_no_more() {
    let mut world = World::new(1);
    let policy = WhenWorkerFails::Restart { restarts_max: 2 };
    let (node, [one, ..]) = three(&mut world, policy);
    for (failed, new) in [(1, 3), (3, 4)] {
        world.kill_worker(node, failed);
        world.run_until_idle(ms(1)).unwrap();
        let replaced = puppet(&mut world, node, new);
        world.command(node, one, send(replaced, 3));
        world.run_until_idle(ms(1)).unwrap();
        assert_eq!(numbers(&world, node, replaced).len(), 3);
        let events = events(&mut world, node);
        assert_eq!(stopped(&events).len(), 1);
        assert!(events.iter().any(|event| matches!(
            event,
            ControllerEvent::WorkerStarted { worker, instead_of }
                if (*worker, *instead_of) == (new, Some(failed))
        )));
    }
    world.kill_worker(node, 4);
    world.run_until_idle(ms(1)).unwrap();
    assert_eq!(world.workers(node), 2);
    // A minute later it is forgiven.
    world.run_for(WhenWorkerFails::WINDOW).unwrap();
    world.kill_worker(node, 2);
    assert_eq!(world.workers(node), 2);
}

#[test]
fn all_others_finish_if_the_policy_says_so() {
    let mut world = World::new(1);
    let (node, _) = three(&mut world, WhenWorkerFails::Stop);
    world.kill_worker(node, 2);
    assert_eq!(world.workers(node), 2);
    world.run_until_idle(ms(1)).unwrap();
    assert_eq!(world.workers(node), 0);
    assert_eq!(world.ended().len(), 2);
    let events = events(&mut world, node);
    let failures: Vec<_> = stopped(&events)
        .iter()
        .map(|summary| &summary.failure)
        .collect();
    assert_eq!(failures, [&Some(WorkerFailure::Killed), &None, &None]);
}

#[test]
fn a_shutdown_goes_on_when_a_worker_fails_in_the_middle_of_it() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    let stubborn = Role {
        stubborn: true,
        ..Role::default()
    };
    let last = Role {
        phase: 1,
        ..Role::default()
    };
    puppet_as(&mut world, node, 0, stubborn);
    puppet_as(&mut world, node, 1, last);
    world.controller(node).shutdown(ms(1_000));
    world.run_for(ms(10)).unwrap();
    assert_eq!(world.task_count(node), 2);
    world.kill_worker(node, 0);
    world.run_until_idle(ms(1)).unwrap();
    assert!(world.is_stopped(node) && world.workers(node) == 0);
    assert_eq!(world.ended().len(), 1);
}

#[test]
fn the_last_worker_of_a_node_can_fail() {
    let mut world = World::new(1);
    let node = node(&mut world, 1, BusLink::default());
    puppet(&mut world, node, 0);
    world.controller(node);
    world.kill_worker(node, 0);
    world.run_until_idle(ms(1)).unwrap();
    let mut controller = world.controller(node);
    let nobody = controller.spawn(Placement::RoundRobin, Role::default());
    assert_eq!(nobody, Err(ControlError::NoWorkers));
    assert_eq!(controller.add_worker(), Ok(1));
    puppet(&mut world, node, 1);
    assert_eq!(world.task_count(node), 1);
}
