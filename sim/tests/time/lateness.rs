//! Timers that are late.

use core::time::Duration;

use super::puppet::{Act, Heard, Show, heard_at, ms, puppet, spawn};
use stillpoint::{TaskId, Timestamp};
use stillpoint_sim::{Fault, NodeId, Who, World, self_check};

fn ticking(world: &mut World<Show>, name: &str, number: u8) -> (NodeId, TaskId) {
    let node = world.node(name, [10, 0, 0, number]).spawner(spawn);
    let task = puppet(world, node, 0);
    world.command(node, task, Act::Tick(ms(10)));
    (node, task)
}

/// Gaps between ticks, beyond what was asked for.
fn late(world: &World<Show>, (node, task): (NodeId, TaskId)) -> Vec<Duration> {
    let heard = heard_at(world, node, task).into_iter();
    let ticks = heard.filter(|(_, heard)| *heard == Heard::Tick);
    let ticks: Vec<Timestamp> = ticks.map(|(at, _)| at).collect();
    let gaps = ticks.windows(2).map(|two| two[1].since(two[0]));
    gaps.map(|gap| gap - ms(10)).collect()
}

#[test]
fn timers_are_late_by_what_was_asked_for_and_differ() {
    let mut all = Vec::new();
    for seed in 0..5 {
        let mut world = World::new(seed);
        world.set_timer_lateness(Who::All, ms(1)..=ms(3));
        let ticking = ticking(&mut world, "node", 1);
        world.run_for(ms(2_000)).unwrap();
        let late = late(&world, ticking);
        assert!(late.len() > 150);
        assert!(late.iter().all(|late| (ms(1)..=ms(3)).contains(late)));
        all.extend(late);
        let status = world.controller(ticking.0).status();
        let lateness = &status[0].lateness;
        assert!(lateness.count() > 150, "it is in the status, too");
    }
    let mean = all.iter().sum::<Duration>() / u32::try_from(all.len()).unwrap();
    assert!((ms(19)..=ms(21)).contains(&(mean * 10)), "{mean:?}");
}

#[test]
fn an_input_that_comes_has_the_worker_look_at_its_deadlines() {
    let mut world = World::new(1);
    world.set_timer_lateness(Who::All, ms(5)..=ms(5));
    let (node, task) = ticking(&mut world, "node", 1);
    let began = world.now();
    world.run_for(ms(12)).unwrap();
    assert_eq!(heard_at(&world, node, task), []);
    world.command(node, task, Act::Note(1));
    world.run_for(ms(1)).unwrap();
    let heard = heard_at(&world, node, task);
    let at = began.after(ms(12));
    assert_eq!(heard, [(at, Heard::Noted(1)), (at, Heard::Tick)]);
}

#[test]
fn what_is_set_for_one_worker_is_its_own_and_what_is_drawn_for_it_too() {
    let ticks = |others: bool| {
        let mut world = World::new(3);
        let one = ticking(&mut world, "one", 1);
        let other = ticking(&mut world, "other", 2);
        world.set_timer_lateness((one.0, 0), ms(0)..=ms(5));
        if others {
            let more = ticking(&mut world, "more", 3);
            world.set_timer_lateness(more.0, ms(1)..=ms(2));
        }
        world.run_for(ms(500)).unwrap();
        assert!(late(&world, other).iter().all(Duration::is_zero));
        let mut late = late(&world, one);
        late.truncate(30);
        late
    };
    let alone = ticks(false);
    assert!(alone.iter().any(|late| *late > ms(1)));
    assert_eq!(alone, ticks(true));
}

#[test]
fn a_fault_makes_timers_late_for_a_while() {
    let mut world = World::new(1);
    let ticking = ticking(&mut world, "node", 1);
    world.set_timer_lateness(Who::All, ms(1)..=ms(1));
    world.run_for(ms(500)).unwrap();
    let before = late(&world, ticking).len();
    let fault = |lateness| Fault::LateTimers {
        who: Who::All,
        lateness,
    };
    world.inject(fault(Some(ms(20)..=ms(30))));
    world.run_for(ms(500)).unwrap();
    world.inject(fault(None));
    let during = late(&world, ticking).len();
    world.run_for(ms(500)).unwrap();
    let late = late(&world, ticking);
    assert!(late[..before].iter().all(|late| *late == ms(1)));
    assert!(late[before + 1..during].iter().all(|late| *late >= ms(20)));
    assert!(late[during + 1..].iter().all(|late| *late == ms(1)));
}

#[test]
fn late_timers_repeat() {
    self_check(5, |world: &mut World<Show>| {
        world.set_timer_lateness(Who::All, ms(0)..=ms(30));
        ticking(world, "node", 1);
        world.run_for(ms(1_000))
    })
    .unwrap();
}
