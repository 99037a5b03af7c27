//! How runs end, well or not, and what is said of it.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

mod common;

use core::cell::Cell;

use common::{Client, Command, Echo, Report, Spawn, client, ms, pair, reported, server, spawn};
use stillpoint::{End, SpawnError, Timestamp};
use stillpoint_sim::{Failure, Link, WaitFor, World, check, find_failure, run_seed};

#[test]
fn waiting_for_what_never_comes_is_a_deadlock() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default().loss(1.0));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    let end = world.run_until(ms(1_000), |world| replies(world) > 0);
    let Err(Failure::Deadlock { at, waiting }) = end else {
        panic!("{end:?}")
    };
    assert_eq!(
        at,
        Timestamp::EPOCH.after(ms(1)),
        "virtual time does not run out for nothing"
    );
    let who: Vec<_> = waiting
        .iter()
        .map(|wait| (wait.who.name.as_str(), wait.who.worker, wait.kind.as_str()))
        .collect();
    assert_eq!(who, [("client", 0, "Client"), ("server", 0, "Server")]);
}

#[test]
fn a_deadlock_says_who_waits() {
    let mut world = World::new(1);
    pair(&mut world, &Link::default());
    let told = world.run_until(ms(1), |_| false).unwrap_err().to_string();
    let waits = "on `server` (Server, since 0.000000000s) waits for a message or a command";
    assert!(told.contains(waits), "{told}");
}

#[test]
fn time_runs_out_at_the_limit() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(10)));
    let end = world.run_until(ms(99), |world| replies(world) > 100);
    let at = Timestamp::EPOCH.after(ms(100));
    let Err(Failure::TimedOut {
        at: ended,
        limit,
        waiting,
    }) = end
    else {
        panic!("{end:?}")
    };
    assert_eq!((ended, limit), (at, ms(99)));
    let deadline = WaitFor::Deadline {
        at: Timestamp::EPOCH.after(ms(101)),
        reason: "next request",
    };
    assert_eq!(waiting[0].reasons, [deadline]);
    assert_eq!(world.now(), at);
    assert!(matches!(
        world.run_until_idle(ms(50)),
        Err(Failure::TimedOut { .. })
    ));
    world
        .run_until(ms(1_000), |world| replies(world) > 100)
        .unwrap();
}

#[test]
fn a_budget_ends_what_goes_round_in_circles() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    world.set_events_max(500);
    world.spawn(asking, 0, client("10.0.0.2:7", u64::MAX, ms(10)));
    let end = world.run_for(ms(1_000_000));
    assert!(
        matches!(
            end,
            Err(Failure::Budget {
                events_max: 500,
                ..
            })
        ),
        "{end:?}"
    );
    assert_eq!(world.events(), 500);
    assert_eq!(world.run_for(ms(1)), end, "and it stays so");
}

#[test]
fn a_panic_in_a_task_fails_the_scenario_with_its_message() {
    let found = find_failure("panics", 3..9, |world: &mut World<Echo>| {
        let (_, server) = pair(world, &Link::default());
        let (task, _) = world.tasks::<common::Server>(server).next().unwrap();
        world.command(server, task, Command::Panic);
        // Even if the scenario does not look.
        drop(world.run_for(ms(1)));
        Ok(())
    });
    let found = found.unwrap();
    assert_eq!(found.summary.seed, 3);
    let Failure::TaskFailed {
        node,
        worker: 0,
        task: Some(_),
        reason,
        ..
    } = &found.failure
    else {
        panic!("{found}");
    };
    assert_eq!(
        (node.as_str(), reason.as_str()),
        ("server", "panicked: told to panic")
    );
    let told = found.to_string();
    let line = "STILLPOINT_SEED=0x3 cargo test -p stillpoint-sim --test ends";
    assert!(told.contains(line), "{told}");
    let name = "a_panic_in_a_task_fails_the_scenario_with_its_message -- --exact";
    assert!(told.ends_with(name), "{told}");
    assert!(
        told.contains("server/0 Command task 0/0/0.0: Panic"),
        "{told}"
    );
    assert!(
        told.contains(&found.summary.trace_hash.to_string()),
        "{told}"
    );
}

#[test]
fn a_task_that_cannot_be_made_fails_the_scenario() {
    for (wanted, reason) in [
        (
            Spawn::PanicWhenMade,
            "could not be made: panicked: never made",
        ),
        (Spawn::Refused, "could not be made: refused: no such thing"),
    ] {
        let (_, end) = run_seed(1, |world: &mut World<Echo>| {
            let node = world.node("node", [10, 0, 0, 1]).spawner(spawn);
            world.spawn(node, 0, wanted.clone());
            world.run_for(ms(1))
        });
        let Err(Failure::TaskFailed {
            task: None,
            reason: told,
            ..
        }) = end
        else {
            panic!("{end:?}")
        };
        assert_eq!(told, reason);
    }
}

#[test]
fn a_panic_in_drop_fails_the_scenario_during_the_run_and_after_it() {
    for stop in [true, false] {
        let (_, end) = run_seed(1, |world: &mut World<Echo>| {
            let node = world.node("node", [10, 0, 0, 1]).spawner(spawn);
            world.spawn(node, 0, Spawn::PanicWhenDropped);
            world.run_for(ms(1))?;
            if stop {
                world.shutdown(node);
            }
            world.run_for(ms(1))
        });
        let told = end.unwrap_err().to_string();
        assert!(told.contains("broke when dropped"), "{told}");
    }
}

#[test]
fn failures_that_are_tolerated_are_collected() {
    let mut world = World::new(1);
    let (_, server) = pair(&mut world, &Link::default());
    world.tolerate_task_failures();
    let (task, _) = world.tasks::<common::Server>(server).next().unwrap();
    world.command(server, task, Command::Panic);
    world.spawn(server, 0, Spawn::Refused);
    world.run_until_idle(ms(1)).unwrap();
    let message = "told to panic".to_owned();
    assert_eq!(world.ended()[0].end, End::Panicked { message });
    assert_eq!(
        (world.ended()[0].node, world.ended()[0].task),
        (server, task)
    );
    let reason = "no such thing".to_owned();
    assert_eq!(
        world.spawn_failures()[0].error,
        SpawnError::Refused { reason }
    );
}

#[test]
fn an_invariant_is_checked_after_every_event() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::fixed(ms(1)));
    world.always("fewer than three replies", |world| replies(world) < 3);
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    let end = world.run_for(ms(1_000));
    // Requests leave at 1, 11 and 21 ms and are back 2 ms later.
    let (at, name) = (
        Timestamp::EPOCH.after(ms(23)),
        "fewer than three replies".to_owned(),
    );
    let Err(Failure::Invariant {
        at: broke_at,
        name: broken,
        saw,
        after,
    }) = end
    else {
        panic!("{end:?}")
    };
    assert_eq!((broke_at, broken), (at, name));
    assert_eq!(saw, "", "a `bool` says no more");
    assert!(after.contains("client/0 Datagrams"), "{after}");
}

#[test]
fn shutdown_reaches_every_task_and_stops_the_workers() {
    check("shutdown", 0..20, |world: &mut World<Echo>| {
        let node = world.node("node", [10, 0, 0, 1]).workers(3).spawner(spawn);
        for port in 1..=30 {
            world.spawn(node, port % 3, server(&format!("0.0.0.0:{port}")));
        }
        world.run_for(ms(1))?;
        assert_eq!(world.task_count(node), 30);
        world.take_reports();
        world.shutdown(node);
        world.run_until_idle(ms(1))?;
        assert_eq!(reported(world), [const { Report::ShutDown }; 30]);
        assert!(world.is_stopped(node));
        assert!(world.ended().iter().all(|ended| ended.end == End::Finished));
        Ok(())
    });
}

#[test]
fn check_runs_every_seed_and_catches_panics_of_the_scenario() {
    let seeds_run = Cell::new(0);
    let found = find_failure("third", [5, 6, 7, 8], |_: &mut World<Echo>| {
        seeds_run.set(seeds_run.get() + 1);
        assert_ne!(seeds_run.get(), 3, "not a third time");
        Ok(())
    });
    let found = found.unwrap();
    assert_eq!((seeds_run.get(), found.summary.seed), (3, 7));
    assert!(found.to_string().contains("not a third time"), "{found}");
}

#[test]
#[should_panic(expected = "scenario `wrong` failed for seed 0x0")]
fn check_panics_with_what_was_found() {
    check("wrong", 0..3, |_: &mut World<Echo>| {
        Err(Failure::new("it is wrong"))
    });
}

#[test]
#[should_panic(expected = "no seeds to run")]
fn check_without_seeds_is_a_mistake() {
    check("none", 0..0, |_: &mut World<Echo>| Ok(()));
}

fn replies(world: &World<Echo>) -> usize {
    let client = world.find("client").expect("there");
    world
        .tasks::<Client>(client)
        .map(|(_, client)| client.replies.len())
        .sum()
}
