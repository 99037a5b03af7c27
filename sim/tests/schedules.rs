//! Strategies: what each finds that another does not, and that all of them keep what is promised.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks of tests look for some variants"
)]

mod common;
#[path = "common/hand.rs"]
mod hand;

use core::time::Duration;

use common::{Client, Echo, client, heard};
use hand::{Hand, Hands, Manner, act, hand, ms, node, order, us};
use stillpoint::TaskId;
use stillpoint_sim::{Failure, Link, NodeId, Schedule, World, check, find_failure, self_check};

/// Seeds that are tried for each strategy.
const SEEDS: u64 = 1_000;

/// Prepares a world, sets the schedule, and runs.
type Scenario = fn(&mut World<Hands>, &Schedule) -> Result<(), Failure>;

/// Of the seeds, those for which the scenario fails under a schedule.
fn found(schedule: &Schedule, scenario: Scenario) -> usize {
    let fails = |seed: &u64| {
        let found = find_failure("planted", [*seed], |world| scenario(world, schedule));
        found.is_some_and(|found| {
            let planted = found.failure.to_string().contains("planted");
            assert!(planted, "{found}");
            true
        })
    };
    (0..SEEDS).filter(fails).count()
}

/// What a hand that has a lock says of it; numbers above are rounds of others.
const LOCKED: u64 = 8;
const UNLOCKED: u64 = 9;
const CHECK: u64 = 1_000;

/// The first hand takes a lock after seven quick rounds with the second, and gives it back after one
/// more. Two others are busy for some sixty rounds, and then look: if the lock is taken then, they
/// break. So the second has to stop at one place of nine, for as long as all that takes.
fn lock(world: &mut World<Hands>, schedule: &Schedule) -> Result<(), Failure> {
    let here = node(world, "here", 1, 4);
    let all = [0, 1, 2, 3].map(|worker| (here, hand(world, here, worker, Manner::default())));
    let [owner, keeper, busy, busier] = all;
    let partners = [keeper.1, owner.1, busier.1, busy.1];
    for (&who, partner) in all.iter().zip(partners) {
        act(world, who, move |hand| hand.partner = Some(partner));
    }
    act(world, owner, |hand| {
        hand.on_message = Some(|hand, number| match (number, hand.numbers.iter()) {
            (CHECK, mut heard) => {
                let done = heard.any(|&number| number == UNLOCKED);
                if hand.numbers.contains(&LOCKED) && !done {
                    hand.outbox.report("planted: the lock is taken".to_owned());
                }
            }
            (number, _) if number < UNLOCKED => hand.tell_partner(number),
            _ => {}
        });
    });
    act(world, keeper, |hand| {
        hand.on_message = Some(|hand, number| hand.tell_partner(number + 1));
    });
    let look_at = owner.1;
    act(world, busy, move |hand| {
        hand.other = Some(look_at);
        hand.on_message = Some(|hand, number| match number {
            60 => hand.tell(hand.other.unwrap(), CHECK),
            number => hand.tell_partner(number + 1),
        });
    });
    act(world, busier, |hand| {
        hand.on_message = Some(|hand, number| hand.tell_partner(number));
    });
    world.set_schedule(schedule.clone());
    order(world, owner, |hand| hand.tell_partner(0));
    order(world, busy, |hand| hand.tell_partner(0));
    world.run_until_idle(ms(10_000))?;
    match world.take_reports().pop() {
        Some(reported) => Err(Failure::new(reported.report)),
        None => Ok(()),
    }
}

#[test]
fn what_takes_one_worker_to_stop_at_one_place_while_others_go_on_is_found_by_pct() {
    let [uniform, pct] = [Schedule::Uniform, Schedule::pct(3)].map(|how| found(&how, lock));
    println!("of {SEEDS} seeds: {uniform} uniform, {pct} pct");
    assert_eq!(uniform, 0);
    assert!(pct >= 5, "{pct}");
}

/// One hand takes two steps, ten microseconds apart, and then another takes two within a tenth of a
/// millisecond. The planted bug: that both steps of the other never come between those of the one.
/// Whoever has the lower priority stands still for longer than the other needs to begin, before each
/// step, so the one must go first at its first step and last at its second.
fn between(world: &mut World<Hands>, schedule: &Schedule) -> Result<(), Failure> {
    let here = node(world, "here", 1, 2);
    let [one, other] = [0, 1].map(|worker| (here, hand(world, here, worker, Manner::default())));
    act(world, one, |hand| {
        hand.on_timeout = Some(|hand| step(hand, "one", us(10)))
    });
    act(world, other, |hand| {
        hand.on_timeout = Some(|hand| step(hand, "other", us(30)))
    });
    world.set_schedule(schedule.clone());
    for _ in 0..20 {
        order(world, other, |hand| hand.wait(us(150), "first step"));
        world.run_for(us(5))?;
        order(world, one, |hand| hand.wait(us(95), "first step"));
        world.run_for(ms(40))?;
        let steps = world.take_reports();
        let steps: Vec<&str> = steps.iter().map(|step| step.report.as_str()).collect();
        assert_eq!(steps.len(), 4, "{steps:?}");
        if steps == ["one", "other", "other", "one"] {
            return Err(Failure::new("planted: between the steps"));
        }
    }
    Ok(())
}

/// Takes a step, and waits for the second if it is the first.
fn step(hand: &mut Hand, name: &str, pause: Duration) {
    hand.outbox.report(name.to_owned());
    if hand.numbers.pop().is_none() {
        hand.numbers.push(0);
        hand.wait(pause, "second step");
    }
}

#[test]
fn what_takes_exactly_one_preemption_is_found_with_one_and_not_without() {
    let schedules = [Schedule::Uniform, Schedule::pct(0), Schedule::pct(1)];
    let [uniform, none, one] = schedules.map(|how| found(&how, between));
    println!("of {SEEDS} seeds: {uniform} uniform, {none} without preemptions, {one} with one");
    assert_eq!((uniform, none), (0, 0));
    assert!(one >= 10, "{one}");
}

/// One hand tells another something, and a third, who passes it on ten times. The planted bug: that
/// what was told first comes first.
fn relay(world: &mut World<Hands>, schedule: &Schedule) -> Result<(), Failure> {
    let here = node(world, "here", 1, 3);
    let all = [0, 1, 2].map(|worker| (here, hand(world, here, worker, Manner::default())));
    let [teller, hearer, relay] = all;
    act(world, relay, move |hand| {
        hand.partner = Some(teller.1);
        hand.other = Some(hearer.1);
        hand.on_message = Some(|hand, number| match number {
            10 => hand.tell(hand.other.unwrap(), 2),
            number => hand.tell_partner(number + 1),
        });
    });
    act(world, teller, move |hand| {
        hand.partner = Some(relay.1);
        hand.on_message = Some(|hand, number| hand.tell_partner(number));
    });
    world.set_schedule(schedule.clone());
    order(world, teller, move |hand| {
        hand.tell(hearer.1, 1);
        hand.tell_partner(0);
    });
    world.run_until_idle(ms(10_000))?;
    let heard = &world
        .task::<Hand>(here, hearer.1)
        .expect("it lives")
        .numbers;
    match heard[..] {
        [1, 2] => Ok(()),
        _ => Err(Failure::new("planted: told out of order")),
    }
}

#[test]
fn what_takes_one_message_to_be_very_late_is_found_by_long_delays() {
    let heavy = Schedule::DelayHeavy {
        chance: 0.05,
        delay: Duration::ZERO..=ms(5),
    };
    let [uniform, heavy] = [Schedule::Uniform, heavy].map(|how| found(&how, relay));
    println!("of {SEEDS} seeds: {uniform} uniform, {heavy} with long delays");
    assert_eq!(uniform, 0);
    assert!(heavy >= 5, "{heavy}");
}

/// All strategies, strong.
fn strategies() -> [Schedule; 3] {
    [
        Schedule::Uniform,
        Schedule::pct(5),
        Schedule::DelayHeavy {
            chance: 0.3,
            delay: us(1)..=ms(30),
        },
    ]
}

#[test]
fn nothing_overtakes_on_its_way_and_nothing_is_lost() {
    for schedule in strategies() {
        check("in order", 0..20, |world: &mut World<Echo>| {
            world.set_schedule(schedule.clone());
            let (asking, answering) = pair_later(world, &Link::new(ms(1)..=ms(20)));
            world.spawn(asking, 0, client("10.0.0.2:7", 200, ms(1)));
            world.run_until_idle(ms(20_000))?;
            assert_eq!(heard(world, answering), (0..200).collect::<Vec<_>>());
            assert_eq!(world.only_task::<Client>(asking).replies.len(), 200);
            world.finish(ms(20_000))
        });
        check("the bus in order", 0..20, |world: &mut World<Hands>| {
            world.set_schedule(schedule.clone());
            let here = node(world, "here", 1, 3);
            for worker in [0, 1, 2] {
                world.spawn(here, worker, Manner::default());
            }
            world.run_until_idle(ms(1_000))?;
            let all: Vec<TaskId> = world.tasks::<Hand>(here).map(|(task, _)| task).collect();
            for (number, &task) in all.iter().enumerate() {
                let to = all[(number + 1) % 3];
                for first in [0, 100, 200] {
                    order(world, (here, task), move |hand| {
                        (first..first + 100).for_each(|number| hand.tell(to, number));
                    });
                }
            }
            world.run_until_idle(ms(20_000))?;
            for &task in &all {
                let numbers = &world.task::<Hand>(here, task).expect("it lives").numbers;
                assert_eq!(*numbers, (0..300).collect::<Vec<_>>());
            }
            world.finish(ms(20_000))
        });
    }
}

#[test]
fn streams_and_requests_come_to_their_end_under_each_strategy() {
    for schedule in strategies() {
        let scenario = |world: &mut World<Hands>| {
            world.set_schedule(schedule.clone());
            world.default_link(&Link::new(ms(1)..=ms(5)).loss(0.05));
            let (ada, bob) = (node(world, "ada", 1, 2), node(world, "bob", 2, 2));
            let answers = Manner {
                answers: true,
                ..Manner::default()
            };
            for (node, worker) in [(ada, 0), (ada, 1), (bob, 0)] {
                world.spawn(node, worker, answers);
            }
            world.run_until_idle(ms(1_000))?;
            let of = |world: &World<Hands>, node| {
                let tasks = world.tasks::<Hand>(node).map(|(task, _)| (node, task));
                tasks.collect::<Vec<(NodeId, TaskId)>>()
            };
            let (adas, bobs) = (of(world, ada), of(world, bob));
            order(world, bobs[0], |hand| hand.listen("0.0.0.0:80"));
            world.run_until_idle(ms(1_000))?;
            let to = adas[1].1;
            order(world, adas[0], move |hand| {
                hand.connect("10.0.0.2:80");
                (0..50).for_each(|number| hand.ask(to, number));
            });
            let first = adas[0];
            let connected = move |world: &World<Hands>| {
                let hand = world.task::<Hand>(first.0, first.1);
                hand.is_some_and(|hand| hand.streams.len() == 1)
            };
            world.run_until(ms(200_000), connected)?;
            order(world, first, |hand| hand.write(&[7; 50_000]));
            world.run_until_idle(ms(200_000))?;
            let hand = world.task::<Hand>(first.0, first.1).expect("it lives");
            assert_eq!(hand.numbers, (1..=50).collect::<Vec<_>>());
            assert_eq!(world.only_task::<Hand>(bob).bytes, [7; 50_000]);
            world.finish(ms(200_000))
        };
        check("strategies", 0..10, scenario);
        self_check(3, scenario).unwrap();
    }
}

#[test]
fn timers_and_commands_are_late_under_long_delays_too() {
    let late = |seed| {
        let mut world = World::<Hands>::new(seed);
        let here = node(&mut world, "here", 1, 1);
        let ada = (here, hand(&mut world, here, 0, Manner::default()));
        world.set_schedule(Schedule::DelayHeavy {
            chance: 0.5,
            delay: ms(10)..=ms(10),
        });
        order(&mut world, ada, |hand| {
            let commanded = hand.now;
            hand.outbox.report(format!("command {commanded}"));
            hand.wait(ms(100), "tea");
            hand.on_timeout = Some(|hand| {
                let ticked = hand.now;
                hand.outbox.report(format!("timeout {ticked}"));
            });
        });
        world.run_until_idle(ms(1_000)).unwrap();
        let reports = world.take_reports().into_iter();
        reports.map(|made| made.report).collect::<Vec<_>>()
    };
    let all: Vec<Vec<String>> = (0..40).map(late).collect();
    for command in ["command 0.000000001s", "command 0.010000001s"] {
        assert!(all.iter().any(|reports| reports[0] == command), "{all:?}");
    }
    for timeout in [
        "timeout 0.100000001s",
        "timeout 0.110000001s",
        "timeout 0.120000001s",
    ] {
        assert!(all.iter().any(|reports| reports[1] == timeout), "{all:?}");
    }
}

#[test]
fn uniform_is_what_there_is_without_a_schedule() {
    let run = |schedule: Option<Schedule>| {
        self_check(1, |world: &mut World<Echo>| {
            if let Some(schedule) = &schedule {
                world.set_schedule(Schedule::pct(3));
                world.set_schedule(schedule.clone());
            }
            common::golden(world)
        })
    };
    let (without, uniform) = (run(None).unwrap(), run(Some(Schedule::Uniform)).unwrap());
    assert_eq!(without, uniform);
    for schedule in &strategies()[1..] {
        let other = run(Some(schedule.clone())).unwrap();
        assert_ne!(other.trace_hash, without.trace_hash);
    }
}

#[test]
fn one_more_node_does_not_change_what_is_late_for_the_others() {
    let run = |more: bool| {
        let mut world = World::<Echo>::new(1);
        world.record_trace();
        world.set_schedule(Schedule::delay_heavy(ms(50)));
        let (asking, answering) = pair_later(&mut world, &Link::new(ms(1)..=ms(20)));
        if more {
            let third = world.node("third", [10, 0, 0, 3]).spawner(common::spawn);
            world.spawn(third, 0, client("10.0.0.9:7", 100, ms(1)));
        }
        world.spawn(asking, 0, client("10.0.0.2:7", 100, ms(1)));
        world.run_until_idle(ms(10_000)).unwrap();
        let trace = world.take_trace();
        let own = trace
            .iter()
            .filter(|event| [asking, answering].contains(&event.node));
        own.map(|event| world.describe(event)).collect::<Vec<_>>()
    };
    assert_eq!(run(false), run(true));
}

#[test]
#[should_panic(expected = "a schedule that delays with a chance of 1.5")]
fn a_chance_beyond_one_is_a_mistake() {
    let mut world = World::<Echo>::new(1);
    world.set_schedule(Schedule::DelayHeavy {
        chance: 1.5,
        delay: Duration::ZERO..=ms(1),
    });
}

/// A client and a server, though the server may take a while to be there.
fn pair_later(world: &mut World<Echo>, link: &Link) -> (NodeId, NodeId) {
    let asking = world.node("client", [10, 0, 0, 1]).spawner(common::spawn);
    let answering = world.node("server", [10, 0, 0, 2]).spawner(common::spawn);
    world.link(asking, answering, link);
    world.spawn(answering, 0, common::server("10.0.0.2:7"));
    world.run_until_idle(ms(1_000)).unwrap();
    (asking, answering)
}
