//! The controller of a node: placing tasks, commands, messages, shutdown in phases, status.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "control/faults.rs"]
mod faults;
#[path = "control/network.rs"]
mod network;
#[path = "control/property.rs"]
mod property;
#[path = "common/puppet.rs"]
mod puppet;
#[path = "control/workers.rs"]
mod workers;

use core::time::Duration;
use std::collections::BTreeMap;

use puppet::{Act, Heard, Puppet, Role, Said, Show, all, heard, ms, node, numbers, puppet, us};
use stillpoint::{
    CommandError, CommandTarget, ControlError, ControllerEvent, Destination, End, Placement,
    SpawnError, SpawnState, TaskId,
};
use stillpoint_sim::{BusLink, NodeId, World};

/// All events that are there.
fn events(world: &mut World<Show>, node: NodeId) -> Vec<ControllerEvent<Show>> {
    let mut controller = world.controller(node);
    core::iter::from_fn(|| controller.poll()).collect()
}

/// On which worker each of these spawns has ended up.
fn placed(world: &mut World<Show>, node: NodeId, placements: &[Placement]) -> Vec<u16> {
    let mut controller = world.controller(node);
    let spawns: Vec<_> = placements
        .iter()
        .map(|&placement| controller.spawn(placement, Role::default()).unwrap())
        .collect();
    world.run_until_idle(ms(1)).unwrap();
    let states = spawns
        .iter()
        .map(|&spawn| world.controller(node).spawn_state(spawn))
        .collect::<Vec<_>>();
    let workers = states.into_iter().map(|state| match state {
        SpawnState::Started(task) => task.worker(),
        other => panic!("{other:?}"),
    });
    workers.collect()
}

#[test]
fn tasks_are_placed_in_turn_where_there_are_fewest_or_where_they_are_wanted() {
    let mut world = World::new(1);
    let node = node(&mut world, 4, BusLink::default());
    let in_turn = placed(&mut world, node, &[Placement::RoundRobin; 6]);
    assert_eq!(in_turn, [0, 1, 2, 3, 0, 1]);
    // Two of four have one more: the next ones even it out, even before any of them has started.
    let least = placed(&mut world, node, &[Placement::LeastLoaded; 6]);
    assert_eq!(least, [2, 3, 0, 1, 2, 3]);
    let pinned = placed(&mut world, node, &[Placement::Pinned(2); 3]);
    assert_eq!(pinned, [2, 2, 2]);
    let mut controller = world.controller(node);
    let nowhere = controller.spawn(Placement::Pinned(4), Role::default());
    let error = ControlError::NoSuchWorker {
        worker: 4,
        workers: 4,
    };
    assert_eq!(nowhere, Err(error));
}

#[test]
fn tasks_that_others_have_spawned_count_for_placement() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    for _ in 0..4 {
        puppet(&mut world, node, 0);
    }
    let least = placed(&mut world, node, &[Placement::LeastLoaded; 4]);
    assert_eq!(least, [1, 1, 1, 1]);
    // A worker that stands still is as busy as can be.
    world.stall_worker(node, 1, ms(1));
    let least = placed(&mut world, node, &[Placement::LeastLoaded; 1]);
    assert_eq!(least, [0]);
}

#[test]
fn a_key_stays_where_it_is_when_other_workers_come_and_go() {
    let mut world = World::new(1);
    let node = node(&mut world, 4, BusLink::default());
    let keys: Vec<Placement> = (0..200).map(Placement::Key).collect();
    let before = placed(&mut world, node, &keys);
    for worker in 0..4 {
        let share = before.iter().filter(|&&at| at == worker).count();
        assert!((25..=75).contains(&share), "{share} of 200");
    }
    let mut controller = world.controller(node);
    controller.remove_worker(2).unwrap();
    let after = placed(&mut world, node, &keys);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || *before == 2);
        assert_ne!(*after, 2);
    }
}

#[test]
fn a_spawn_is_under_way_then_started_then_over() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    let mut controller = world.controller(node);
    let spawn = controller
        .spawn(Placement::Pinned(1), Role::default())
        .unwrap();
    assert_eq!(controller.spawn_state(spawn), SpawnState::Underway);
    world.run_until_idle(ms(1)).unwrap();
    let task = all(&world, node)[0];
    let controller = world.controller(node);
    assert_eq!(controller.spawn_state(spawn), SpawnState::Started(task));
    world.command(node, task, Act::Finish);
    world.run_until_idle(ms(1)).unwrap();
    let controller = world.controller(node);
    assert_eq!(controller.spawn_state(spawn), SpawnState::Over);
    let events = events(&mut world, node);
    let [
        ControllerEvent::Started {
            task: started,
            parent: None,
            spawn: Some(first),
        },
        ControllerEvent::Ended {
            task: ended,
            end: End::Finished,
            spawn: Some(second),
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!([*started, *ended], [task; 2]);
    assert_eq!([*first, *second], [spawn; 2]);
}

#[test]
fn a_spawn_that_fails_says_why() {
    let mut world = World::new(1);
    world.tolerate_task_failures();
    let node = node(&mut world, 1, BusLink::default());
    let role = Role {
        refused: true,
        ..Role::default()
    };
    let mut controller = world.controller(node);
    let spawn = controller.spawn(Placement::RoundRobin, role).unwrap();
    world.run_until_idle(ms(1)).unwrap();
    let controller = world.controller(node);
    assert_eq!(controller.spawn_state(spawn), SpawnState::Over);
    let events = events(&mut world, node);
    let [
        ControllerEvent::SpawnFailed {
            spawn: Some(failed),
            error,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*failed, spawn);
    assert!(matches!(error, SpawnError::Refused { .. }));
    assert_eq!(world.spawn_failures().len(), 1);
}

#[test]
fn a_command_is_delivered_or_it_is_said_why_not() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    let [one, agent] = [0, 1].map(|worker| puppet(&mut world, node, worker));
    world.command(node, agent, Act::BecomeAgent);
    world.run_until_idle(ms(1)).unwrap();
    let mut controller = world.controller(node);
    let targets = [
        CommandTarget::Task(one),
        CommandTarget::Worker(1),
        CommandTarget::Worker(0),
    ];
    let ids = targets.map(|to| controller.command_tracked(to, Act::Note(1)).unwrap());
    world.run_until_idle(ms(1)).unwrap();
    world.command(node, one, Act::Finish);
    world.run_until_idle(ms(1)).unwrap();
    let mut controller = world.controller(node);
    let late = CommandTarget::Task(one);
    let late = controller.command_tracked(late, Act::Note(2)).unwrap();
    world.run_until_idle(ms(1)).unwrap();
    let given: BTreeMap<_, _> = events(&mut world, node)
        .into_iter()
        .filter_map(|event| match event {
            ControllerEvent::Commanded { id, given } => Some((id, given)),
            _ => None,
        })
        .collect();
    let expected = [
        (ids[0], Ok(one)),
        (ids[1], Ok(agent)),
        (ids[2], Err(CommandError::NoAgent { worker: 0 })),
        (late, Err(CommandError::Stale { task: one })),
    ];
    assert_eq!(given, BTreeMap::from(expected));
    assert_eq!(
        heard(&world, node, agent),
        [Heard::Agent(agent), Heard::Noted(1)]
    );
}

#[test]
fn a_command_that_nobody_tracks_is_an_event_only_if_its_task_is_no_more() {
    let mut world = World::new(1);
    let node = node(&mut world, 1, BusLink::default());
    let task = puppet(&mut world, node, 0);
    let mut controller = world.controller(node);
    let to = CommandTarget::Task(task);
    controller.command(to, Act::Note(1)).unwrap();
    controller.command(to, Act::Finish).unwrap();
    controller.command(to, Act::Note(2)).unwrap();
    world.run_until_idle(ms(1)).unwrap();
    let events = events(&mut world, node);
    let [
        ControllerEvent::Report {
            report: Said::Noted(1),
            ..
        },
        ControllerEvent::Ended { .. },
        ControllerEvent::Stale(stale),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(stale.task, task);
}

#[test]
fn a_report_is_taken_once_from_the_controller_or_from_the_world() {
    let mut world = World::new(1);
    let node = node(&mut world, 1, BusLink::default());
    let task = puppet(&mut world, node, 0);
    let to = CommandTarget::Task(task);
    let say = |world: &mut World<Show>, numbers: core::ops::Range<u64>| {
        for number in numbers {
            let mut controller = world.controller(node);
            controller.command(to, Act::Note(number)).unwrap();
        }
        world.run_until_idle(ms(1)).unwrap();
    };
    say(&mut world, 0..3);
    assert!(matches!(
        world.controller(node).poll(),
        Some(ControllerEvent::Report {
            report: Said::Noted(0),
            ..
        })
    ));
    let taken: Vec<_> = world
        .take_reports()
        .into_iter()
        .map(|said| said.report)
        .collect();
    assert_eq!(taken, [Said::Noted(1), Said::Noted(2)]);
    say(&mut world, 3..4);
    assert_eq!(world.reports().len(), 1);
    let events = events(&mut world, node);
    let [
        ControllerEvent::Report {
            report: Said::Noted(3),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(world.reports().is_empty());
}

#[test]
fn the_controller_publishes_to_subscribers_and_broadcasts_to_agents_on_all_workers() {
    let mut world = World::new(1);
    let node = node(&mut world, 3, BusLink::default());
    let puppets = [0, 1, 2].map(|worker| puppet(&mut world, node, worker));
    for puppet in puppets {
        world.command(node, puppet, Act::Subscribe(9));
    }
    world.command(node, puppets[2], Act::BecomeAgent);
    world.run_until_idle(ms(1)).unwrap();
    let mut controller = world.controller(node);
    controller.publish(9, 1).unwrap();
    controller.publish(8, 2).unwrap();
    controller.broadcast(3).unwrap();
    controller.publish(9, 4).unwrap();
    world.run_until_idle(ms(1)).unwrap();
    assert_eq!(numbers(&world, node, puppets[0]), [1, 4]);
    assert_eq!(numbers(&world, node, puppets[1]), [1, 4]);
    assert_eq!(numbers(&world, node, puppets[2]), [1, 3, 4]);
    let broadcast = Heard::Message {
        from: None,
        to: Destination::Workers,
        number: 3,
    };
    assert!(heard(&world, node, puppets[2]).contains(&broadcast));
    let bus = world.counters().bus;
    assert_eq!((bus.sent, bus.received, bus.delivered), (12, 12, 7));
    assert_eq!(bus.unheard, 3 + 2);
}

#[test]
fn a_full_queue_is_an_error_and_nothing_happens_then() {
    let mut world = World::new(1);
    let node = world.node("node", [10, 0, 0, 1]).workers(2).inputs_max(3);
    let node = node.spawner(puppet::spawn);
    let tasks = [0, 1].map(|worker| puppet(&mut world, node, worker));
    world.stall_worker(node, 1, ms(5));
    let to = CommandTarget::Task(tasks[1]);
    let mut controller = world.controller(node);
    for number in 0..3 {
        controller.command(to, Act::Note(number)).unwrap();
    }
    let full = ControlError::Full {
        worker: 1,
        inputs_max: 3,
    };
    assert_eq!(controller.command(to, Act::Note(3)), Err(full));
    assert_eq!(controller.publish(1, 1), Err(full));
    assert_eq!(
        controller.spawn(Placement::Pinned(1), Role::default()),
        Err(full)
    );
    assert_eq!(controller.status()[1].queues.control, 3);
    world.run_until_idle(ms(10)).unwrap();
    let noted = [0, 1, 2].map(Heard::Noted);
    assert_eq!(heard(&world, node, tasks[1]), noted);
    assert_eq!(heard(&world, node, tasks[0]), []);
    let status = world.controller(node).status();
    assert_eq!(
        (status[1].queues.control, status[1].queues.control_most),
        (0, 3)
    );
}

/// Who said that a shutdown came, and when.
fn told(world: &World<Show>) -> Vec<(TaskId, Duration)> {
    let shut = world
        .reports()
        .iter()
        .filter(|said| said.report == Said::ShutDown);
    let told = shut.map(|said| (said.task, said.at.since(stillpoint::Timestamp::EPOCH)));
    told.collect()
}

#[test]
fn a_shutdown_goes_phase_by_phase_across_all_workers() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let node = node(&mut world, 3, BusLink::default());
        let phases = [(0, 2), (1, 0), (2, 1), (0, 0), (1, 1), (2, 2), (0, 1)];
        for (worker, phase) in phases {
            let role = Role {
                phase,
                ..Role::default()
            };
            puppet::puppet_as(&mut world, node, worker, role);
        }
        let phase_of: BTreeMap<TaskId, u8> = [0, 1, 2]
            .into_iter()
            .zip([
                world
                    .tasks::<Puppet<0>>(node)
                    .map(|(task, _)| task)
                    .collect(),
                world
                    .tasks::<Puppet<1>>(node)
                    .map(|(task, _)| task)
                    .collect(),
                world
                    .tasks::<Puppet<2>>(node)
                    .map(|(task, _)| task)
                    .collect::<Vec<_>>(),
            ])
            .flat_map(|(phase, tasks)| tasks.into_iter().map(move |task| (task, phase)))
            .collect();
        world.controller(node).shutdown(ms(100));
        assert_eq!(
            world.controller(node).add_worker(),
            Err(ControlError::Stopping)
        );
        world.run_until_idle(ms(1)).unwrap();
        let phases: Vec<u8> = told(&world)
            .iter()
            .map(|(task, _)| phase_of[task])
            .collect();
        assert_eq!(phases, [0, 0, 1, 1, 1, 2, 2][..phases.len()]);
        assert_eq!(phases.len(), 7);
        assert!(world.is_stopped(node));
        assert_eq!(world.workers(node), 0);
        let stopped = events(&mut world, node).into_iter();
        let stopped = stopped.filter_map(|event| match event {
            ControllerEvent::WorkerStopped(summary) => Some(summary),
            _ => None,
        });
        let clean = |lost: (usize, u64)| assert_eq!(lost, (0, 0));
        let workers = stopped.map(|summary| {
            assert_eq!(summary.failure, None);
            clean((summary.tasks_lost, summary.inputs_lost));
            summary.worker
        });
        assert_eq!(workers.count(), 3);
    }
}

#[test]
fn a_shutdown_is_forced_at_its_deadline() {
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
    let stubborn = puppet::puppet_as(&mut world, node, 0, stubborn);
    let waiting = puppet::puppet_as(&mut world, node, 1, last);
    let began = world.now();
    world.controller(node).shutdown(ms(50));
    world.run_for(ms(49)).unwrap();
    assert_eq!(
        all(&world, node),
        [stubborn, waiting],
        "its phase has not come"
    );
    world.run_until_idle(ms(10)).unwrap();
    assert!(world.is_stopped(node));
    assert_eq!(world.ended().len(), 2);
    for ended in world.ended() {
        assert_eq!((ended.at, &ended.end), (began.after(ms(50)), &End::Removed));
    }
    assert_eq!(told(&world).len(), 1);
}

#[test]
fn a_shutdown_that_is_done_leaves_nothing_to_wait_for() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    puppet(&mut world, node, 0);
    let began = world.now();
    world.controller(node).shutdown(Duration::from_secs(3_600));
    world
        .run_until(ms(1), |world| world.is_stopped(node))
        .unwrap();
    world.run_until_idle(ms(1)).unwrap();
    assert!(
        world.now() < began.after(us(1)),
        "the time that was left is not waited for"
    );
    assert!(matches!(
        world
            .controller(node)
            .spawn(Placement::RoundRobin, Role::default()),
        Err(ControlError::Stopping)
    ));
    assert_eq!(
        world.controller(node).publish(1, 1),
        Err(ControlError::NoWorkers)
    );
}

#[test]
fn status_tells_what_there_is() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
    world.command(node, one, Act::Subscribe(1));
    world.run_until_idle(ms(1)).unwrap();
    world.stall_worker(node, 1, ms(5));
    let no_room = stillpoint::NoRoom::Wait;
    let act = Act::Send {
        to: two,
        count: 10,
        no_room,
    };
    world.command(node, one, act);
    world.run_for(ms(1)).unwrap();
    let status = world.controller(node).status();
    assert_eq!([status[0].worker, status[1].worker], [0, 1]);
    assert_eq!([status[0].tasks(), status[1].tasks()], [1, 1]);
    assert_eq!([status[0].subscriptions, status[1].subscriptions], [1, 0]);
    assert_eq!([status[0].queues.bus_in, status[1].queues.bus_in], [0, 10]);
    assert_eq!(status[0].bus.sent, 10);
    assert!(status[0].runner.loops > 3);
    let utilization = status.iter().map(|status| status.runner.utilization);
    assert!(utilization.eq([0.0, 1.0]));
    assert_eq!(status[0].at, world.now());
}
