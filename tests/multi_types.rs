//! The job system of the example, on the workers of a simulated machine.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../examples/common/multi_types/mod.rs"]
mod multi_types;

use core::time::Duration;

use multi_types::boss::{Ask, Boss, Plan, sum};
use multi_types::job::Job;
use multi_types::{Jobs, spawn};
use stillpoint::CommandTarget;
use stillpoint_sim::{BusLink, Failure, NodeId, World, check, self_check};

fn machine(world: &mut World<Jobs>, workers: u16, bus: BusLink) -> (NodeId, Boss) {
    let node = world.node("machine", [10, 0, 0, 1]);
    let node = node.workers(workers).bus(bus).spawner(spawn);
    let (jobs, seed) = (12, world.seed());
    let plan = Plan {
        workers,
        jobs,
        seed,
    };
    (node, Boss::new(plan))
}

/// Does what the boss asks for, lets a little time pass, and tells what has happened.
fn look(world: &mut World<Jobs>, node: NodeId, boss: &mut Boss) -> Result<(), Failure> {
    let mut controller = world.controller(node);
    while let Some(ask) = boss.poll_ask() {
        match ask {
            Ask::Spawn(worker, spawn) => drop(controller.spawn(worker, spawn).unwrap()),
            Ask::Command(worker, order) => {
                controller
                    .command(CommandTarget::Worker(worker), order)
                    .unwrap();
            }
        }
    }
    world.run_for(Duration::from_millis(1))?;
    while let Some(event) = world.controller(node).poll() {
        boss.handle_event(event);
    }
    assert!(boss.faults.is_empty(), "{:?}", boss.faults);
    Ok(())
}

/// Until all is done, and then until nothing goes on any more. What the outcomes have to be, the
/// boss knows.
fn finish(world: &mut World<Jobs>, node: NodeId, boss: &mut Boss) -> Result<(), Failure> {
    for _ in 0..10_000 {
        if boss.is_done() {
            break;
        }
        look(world, node, boss)?;
    }
    assert!(boss.is_done(), "{} jobs are done", boss.outcomes().count());
    world.run_until_idle(Duration::from_secs(2))?;
    let workers = usize::from(world.workers(node));
    assert_eq!(
        world.task_count(node),
        workers + 1,
        "dispatchers, and the watcher"
    );
    let statuses = world.controller(node).status();
    let subscriptions: usize = statuses.iter().map(|status| status.subscriptions).sum();
    let requests: usize = statuses.iter().map(|status| status.requests).sum();
    assert_eq!((subscriptions, requests), (1, 0));
    Ok(())
}

#[test]
fn all_jobs_are_done_and_right_by_however_many_workers() {
    check("jobs", 0..20, |world: &mut World<Jobs>| {
        let workers = u16::try_from(world.draw("workers", 1..=5)).unwrap();
        let (node, mut boss) = machine(world, workers, BusLink::default());
        finish(world, node, &mut boss)?;
        let (groups, bus) = sum(&world.controller(node).status());
        let started = |name| {
            let group = groups.iter().find(|group| group.name == name);
            group.map_or(0, |group| group.counters.started)
        };
        let spawned = boss.totals().spawned;
        assert_eq!((started("Job"), started("Crunch")), (12, spawned));
        assert_eq!(started("Dispatcher"), u64::from(workers));
        assert!(boss.totals().parts <= bus.replies, "each part was answered");
        Ok(())
    });
}

#[test]
fn late_crunches_cost_time_and_nothing_else() {
    let mut retries = 0;
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (node, mut boss) = machine(&mut world, 2, BusLink::default());
        finish(&mut world, node, &mut boss).unwrap();
        retries += boss.totals().retries;
    }
    assert!(retries > 10, "only {retries} parts were asked for again");
}

#[test]
fn a_bus_with_hardly_any_room_is_enough() {
    check("narrow bus", 0..10, |world: &mut World<Jobs>| {
        let us = Duration::from_micros;
        let bus = BusLink::new(us(10)..=us(900)).queue_max(2);
        let (node, mut boss) = machine(world, 4, bus);
        finish(world, node, &mut boss)?;
        let bus = world.counters().bus;
        assert!(bus.dropped + bus.refused > 0, "there was room: {bus:?}");
        Ok(())
    });
}

#[test]
fn jobs_of_a_worker_that_fails_are_done_by_others() {
    check("killed", 0..20, |world: &mut World<Jobs>| {
        let (node, mut boss) = machine(world, 3, BusLink::default());
        for _ in 0..world.draw("killed after", 3..=100) {
            look(world, node, &mut boss)?;
        }
        world.kill_worker(node, 1);
        finish(world, node, &mut boss)
    });
}

#[test]
fn a_worker_that_stands_still_is_waited_for_or_not_needed() {
    check("stalled", 0..10, |world: &mut World<Jobs>| {
        let (node, mut boss) = machine(world, 3, BusLink::default());
        for _ in 0..world.draw("stalled after", 3..=50) {
            look(world, node, &mut boss)?;
        }
        world.stall_worker(node, 2, Duration::from_millis(500));
        finish(world, node, &mut boss)
    });
}

#[test]
fn a_shutdown_in_the_middle_ends_all_in_their_order() {
    check("shutdown", 0..10, |world: &mut World<Jobs>| {
        let (node, mut boss) = machine(world, 3, BusLink::default());
        for _ in 0..20 {
            look(world, node, &mut boss)?;
        }
        assert!(world.tasks::<Job>(node).count() > 0, "nothing to do");
        let before = world.ended().len();
        world.controller(node).shutdown(Duration::from_secs(1));
        world.run_for(Duration::from_millis(10))?;
        assert_eq!(world.task_count(node), 0);
        // The watcher is the first task of the first worker, and the last to go.
        let ended = &world.ended()[before..];
        let last = ended.last().unwrap();
        assert_eq!((last.task.worker(), last.task.group()), (0, 0), "{ended:?}");
        Ok(())
    });
}

#[test]
fn a_seed_has_one_trace() {
    let run = |world: &mut World<Jobs>| {
        let (node, mut boss) = machine(world, 3, BusLink::default());
        finish(world, node, &mut boss)
    };
    let first = self_check(1, run).unwrap();
    let other = self_check(2, run).unwrap();
    assert_ne!(first.trace_hash, other.trace_hash);
}
