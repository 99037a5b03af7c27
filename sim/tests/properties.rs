//! What must hold always, at last, or for some seed: found out when it does not, and not before.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

mod common;

use core::cell::Cell;
use std::process::Command as Process;
use std::rc::Rc;

use common::{Client, Echo, Server, client, ms, pair, server, spawn, the_client};
use stillpoint::Timestamp;
use stillpoint_sim::{Failure, Link, NodeId, World, check, find_failure, self_check, sweep};

#[test]
fn an_invariant_says_what_it_saw_and_after_what() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::fixed(ms(1)));
    world.always("no more than two replies", move |world: &World<Echo>| {
        let replies = world.only_or_none(asking);
        if replies <= 2 {
            Ok(())
        } else {
            Err(format!("{replies} replies"))
        }
    });
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    let told = world.run_for(ms(1_000)).unwrap_err().to_string();
    let wanted = "`no more than two replies` does not hold at 0.023000000s (it saw: 3 replies)";
    assert!(told.contains(wanted), "{told}");
    assert!(
        told.contains("after 0.023000000s client/0 Datagrams"),
        "{told}"
    );
}

#[test]
fn an_invariant_of_each_task_is_asked_where_something_happened() {
    let asked = Rc::new(Cell::new(0_u64));
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::fixed(ms(1)));
    for number in 1..=100 {
        let node = world.node(format!("idle {number}"), [10, 0, 1, number]);
        let node = node.spawner(spawn);
        world.spawn(node, 0, server("0.0.0.0:7"));
    }
    world.run_for(ms(1)).unwrap();
    let counted = Rc::clone(&asked);
    world.always_each(
        "a server hears three at most",
        move |_, _, server: &Server| {
            counted.set(counted.get() + 1);
            let heard = server.heard.len();
            if heard <= 3 {
                Ok(())
            } else {
                Err(format!("{heard} heard"))
            }
        },
    );
    let before = world.events();
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    let told = world.run_for(ms(1_000)).unwrap_err().to_string();
    assert!(told.contains("task 0/0"), "{told}");
    assert!(told.contains("on `server`: 4 heard"), "{told}");
    assert!(told.contains("at 0.033000000s"), "{told}");
    let events = world.events() - before;
    assert!(
        (4..=events).contains(&asked.get()),
        "{} for {events} events",
        asked.get()
    );
}

#[test]
fn what_comes_in_time_is_enough_and_check_runs_on_until_it_has() {
    check("in time", 0..20, |world: &mut World<Echo>| {
        let (asking, _) = pair(world, &Link::new(ms(1)..=ms(20)));
        world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(10)));
        world.eventually("five replies", ms(100), five_replies(asking));
        Ok(()) // Nothing has happened yet.
    });
}

#[test]
fn what_does_not_come_in_time_fails_when_it_is_overdue() {
    let found = find_failure("overdue", [1], |world: &mut World<Echo>| {
        let (asking, _) = pair(world, &Link::fixed(ms(1)));
        world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(30)));
        world.eventually("five replies", ms(100), five_replies(asking));
        Ok(())
    });
    let Failure::Eventually {
        name,
        at,
        since,
        saw,
        waiting,
    } = found.unwrap().failure
    else {
        panic!("another failure")
    };
    assert_eq!((name.as_str(), saw.as_str()), ("five replies", "4 replies"));
    assert_eq!((since, at), (after_ms(1), after_ms(101)));
    assert_eq!(waiting.len(), 2, "client and server");
}

#[test]
fn time_does_not_pass_a_deadline_unseen_though_nothing_happens() {
    let mut world = World::<Echo>::new(1);
    world.eventually("never", ms(100), |_| false);
    world.run_for(ms(100)).unwrap();
    let end = world.run_for(ms(1));
    assert!(
        matches!(end, Err(Failure::Eventually { at, .. }) if at == after_ms(100)),
        "{end:?}"
    );
}

#[test]
fn a_fault_has_it_owed_again() {
    // One reply was heard after the last fault. A stalled server answers late, a dead one never.
    let run = |seed, fault: fn(&mut World<Echo>, NodeId)| {
        find_failure("after a fault", [seed], move |world: &mut World<Echo>| {
            let (asking, answering) = pair(world, &Link::fixed(ms(5)));
            world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(10)));
            world.eventually("a reply", ms(50), move |world: &World<Echo>| {
                let clients = world.tasks::<Client>(asking);
                let mut replies = clients.flat_map(|(_, client)| &client.replies);
                replies.any(|&(at, _)| at > world.last_disturbance())
            });
            world.run_for(ms(200))?;
            fault(world, answering);
            Ok(())
        })
    };
    let stalled = run(1, |world, server| world.stall_worker(server, 0, ms(300)));
    assert_eq!(stalled, None);
    let killed = run(1, |world, server| world.kill_worker(server, 0)).unwrap();
    let Failure::Eventually { at, since, .. } = killed.failure else {
        panic!("{killed}")
    };
    assert_eq!((since, at), (after_ms(201), after_ms(251)));
}

#[test]
fn nothing_is_owed_while_a_way_is_cut_and_all_from_its_mending_on() {
    let run = |mended: bool| {
        find_failure("cut", [1], move |world: &mut World<Echo>| {
            let (asking, answering) = pair(world, &Link::fixed(ms(5)));
            world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(10)));
            world.eventually("a fresh reply", ms(50), move |world: &World<Echo>| {
                let clients = world.tasks::<Client>(asking);
                let mut replies = clients.flat_map(|(_, client)| &client.replies);
                replies.any(|&(at, _)| world.now().since(at) < ms(30))
            });
            world.run_for(ms(100))?;
            world.cut(asking, answering);
            world.run_for(ms(500))?;
            if mended {
                world.mend(asking, answering);
            }
            Ok(())
        })
    };
    assert_eq!(run(true), None);
    // What is never mended counts as there to stay, and then it is owed all the same.
    let Failure::Eventually { at, since, .. } = run(false).unwrap().failure else {
        panic!("another failure")
    };
    assert_eq!((since, at), (after_ms(601), after_ms(651)));
}

#[test]
fn what_settles_holds_from_then_on() {
    // Between two requests there is a moment without one under way, but it never stays so.
    let run = |settles: bool| {
        find_failure("settles", [1], move |world: &mut World<Echo>| {
            let (asking, _) = pair(world, &Link::fixed(ms(5)));
            world.spawn(asking, 0, client("10.0.0.2:7", 100, ms(20)));
            world.run_for(ms(1))?;
            let quiet = move |world: &World<Echo>| world.counters().in_flight == 0;
            if settles {
                world.settles("quiet", ms(100), quiet);
            } else {
                world.eventually("quiet", ms(100), quiet);
            }
            world.run_for(ms(500))
        })
    };
    assert_eq!(run(false), None);
    let Failure::Eventually { name, at, .. } = run(true).unwrap().failure else {
        panic!("another failure")
    };
    assert_eq!(name, "quiet");
    assert!(at > after_ms(100) && at < after_ms(123), "{at}");
}

#[test]
fn one_thing_leads_to_another_each_time_or_the_first_that_does_not_is_named() {
    let run = |link: Link| {
        find_failure("leads to", 0..20, move |world: &mut World<Echo>| {
            let (asking, _) = pair(world, &link);
            world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(50)));
            let open = move |world: &World<Echo>| {
                let mut clients = world.tasks::<Client>(asking);
                clients.any(|(_, client)| client.sent > client.replies.len() as u64)
            };
            let answered = move |world: &World<Echo>| !open(world);
            world.leads_to("each is answered", ms(40), open, answered);
            world.run_until_idle(ms(2_000))
        })
    };
    assert_eq!(run(Link::fixed(ms(5))), None);
    let lost = run(Link::fixed(ms(5)).loss(0.1)).unwrap();
    let Failure::Eventually { at, since, .. } = lost.failure else {
        panic!("{lost}")
    };
    assert_eq!(at.since(since), ms(40));
    assert_eq!(
        (since.as_nanos() - 1_000_000) % 50_000_000,
        0,
        "when one was sent"
    );
}

#[test]
fn properties_change_nothing_of_what_happens() {
    let run = |world: &mut World<Echo>, with: bool| {
        let (asking, _) = pair(world, &Link::new(ms(1)..=ms(20)).loss(0.2));
        if with {
            world.always("always", |_| true);
            world.always_each("each", |_, _, _: &Client| true);
            world.eventually("eventually", ms(10), |_| true);
            world.sometimes("sometimes", |_| false);
            world.watch_sockets();
        }
        world.spawn(asking, 0, client("10.0.0.2:7", 50, ms(3)));
        world.run_until_idle(ms(1_000))
    };
    for seed in 0..10 {
        let without = self_check(seed, |world| run(world, false)).unwrap();
        let with = self_check(seed, |world| run(world, true)).unwrap();
        assert_eq!(without, with);
    }
}

#[test]
fn a_sweep_counts_who_has_reached_what() {
    let swept = sweep("labels", 0..40, lossy);
    assert_eq!(swept.failure, None);
    let coverage = &swept.coverage;
    assert_eq!(coverage.seeds, 40);
    let reached = |label: &str| coverage.reached[label];
    assert!(
        (1..40).contains(&reached("a request was lost")),
        "{coverage}"
    );
    assert_eq!(reached("it came to its end"), 40);
    assert_eq!(reached("a reply before its request"), 0);
    let unreached: Vec<&str> = coverage.unreached().collect();
    assert_eq!(unreached, ["a reply before its request"]);
}

#[test]
#[should_panic(expected = "by none of 40 seeds: `a reply before its request`")]
fn check_fails_if_no_seed_has_reached_a_label() {
    check("labels", 0..40, lossy);
}

#[test]
fn one_seed_that_is_replayed_need_not_reach_every_label() {
    let other = Process::new(std::env::current_exe().unwrap())
        .args(["check_fails_if_no_seed_has_reached_a_label", "--exact"])
        .env("STILLPOINT_SEED", "3")
        .output()
        .unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    assert!(told.contains("did not panic as expected"), "{told}");
}

fn lossy(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, _) = pair(world, &Link::fixed(ms(5)).loss(0.02));
    world.sometimes("a request was lost", |world| {
        world.counters().dropped.total() > 0
    });
    world.sometimes("a reply before its request", |world| {
        let mut clients = world.all_tasks::<Client>();
        clients.any(|(_, _, client)| client.replies.len() as u64 > client.sent)
    });
    world.expect_reached("it came to its end");
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(10)));
    world.run_until_idle(ms(1_000))?;
    world.reached("it came to its end");
    Ok(())
}

#[test]
#[should_panic(expected = "`only_task` of node `server`, which has no tasks of the type")]
fn asking_for_the_only_task_where_there_is_none_is_a_mistake() {
    let mut world = World::new(1);
    let (_, server) = pair(&mut world, &Link::default());
    let _: &Client = world.only_task(server);
}

fn five_replies(asking: NodeId) -> impl Fn(&World<Echo>) -> Result<(), String> {
    move |world| match world.only_or_none(asking) {
        5 => Ok(()),
        replies => Err(format!("{replies} replies")),
    }
}

trait Replies {
    /// How many replies the only client of a node has had, if there is one.
    fn only_or_none(&self, node: NodeId) -> usize;
}

impl Replies for World<Echo> {
    fn only_or_none(&self, node: NodeId) -> usize {
        match self.task_count(node) {
            0 => 0,
            _ => {
                assert_eq!(
                    self.only_task::<Client>(node).replies,
                    the_client(self, node).replies
                );
                self.only_task::<Client>(node).replies.len()
            }
        }
    }
}

const fn after_ms(millis: u64) -> Timestamp {
    Timestamp::EPOCH.after(ms(millis))
}
