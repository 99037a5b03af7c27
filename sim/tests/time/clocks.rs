//! Clocks of nodes: ahead, fast or slow, and moved.

use core::time::Duration;

use super::puppet::{Act, Heard, Show, heard_at, ms, puppet, spawn};
use stillpoint::{TaskId, Timestamp};
use stillpoint_sim::{NodeClock, NodeId, World, self_check};

/// A node with this clock, and a puppet on it.
fn node(world: &mut World<Show>, name: &str, number: u8, clock: NodeClock) -> (NodeId, TaskId) {
    let node = world.node(name, [10, 0, 0, number]).clock(clock);
    let node = node.spawner(spawn);
    (node, puppet(world, node, 0))
}

/// When it has heard ticks, in its own time.
fn ticks(world: &World<Show>, node: NodeId, task: TaskId) -> Vec<Timestamp> {
    let heard = heard_at(world, node, task).into_iter();
    let ticks = heard.filter(|(_, heard)| *heard == Heard::Tick);
    ticks.map(|(at, _)| at).collect()
}

fn at(duration: Duration) -> Timestamp {
    Timestamp::EPOCH.after(duration)
}

#[test]
fn a_fast_clock_gives_more_timeouts_and_a_slow_one_fewer() {
    let mut world = World::new(1);
    let fast = node(&mut world, "fast", 1, NodeClock::new().drift(100_000));
    let slow = node(&mut world, "slow", 2, NodeClock::new().drift(-100_000));
    let usual = node(&mut world, "usual", 3, NodeClock::new());
    for (node, task) in [fast, slow, usual] {
        world.command(node, task, Act::Tick(ms(1)));
    }
    // A little longer, as each tick may be late by less than a nanosecond.
    world.run_for(ms(1_000) + Duration::from_micros(2)).unwrap();
    let count = |(node, task)| ticks(&world, node, task).len();
    assert_eq!([fast, slow, usual].map(count), [1_100, 900, 1_000]);
    // To its own clock, each is punctual.
    for (node, task) in [fast, slow, usual] {
        let ticks = ticks(&world, node, task);
        let mut gaps = ticks.windows(2).map(|two| two[1].since(two[0]));
        let slack = Duration::from_nanos(1);
        assert!(gaps.all(|gap| gap >= ms(1) && gap <= ms(1) + slack));
    }
}

#[test]
fn a_task_knows_the_time_of_its_node_and_a_scenario_that_of_the_world() {
    let mut world = World::new(1);
    let clock = NodeClock::new().offset(ms(5_000));
    let (node, task) = node(&mut world, "ahead", 1, clock);
    world.run_for(ms(3)).unwrap();
    world.command(node, task, Act::Note(1));
    world.run_for(ms(1)).unwrap();
    let noted = heard_at(&world, node, task)[0].0;
    let reported = world.take_reports()[0].at;
    assert_eq!(noted.since(reported), ms(5_000));
    assert_eq!(world.local_time(node).since(world.now()), ms(5_000));
}

#[test]
fn what_a_jump_passes_over_is_due_at_once_and_once() {
    let mut world = World::new(1);
    let (node, task) = node(&mut world, "laptop", 1, NodeClock::new());
    let (other, idle) = self::node(&mut world, "other", 2, NodeClock::new());
    for (node, task) in [(node, task), (other, idle)] {
        world.command(node, task, Act::Tick(ms(10_000)));
    }
    world.run_for(ms(100)).unwrap();
    world.jump_clock(node, ms(60_000));
    world.run_for(ms(1)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 1);
    assert!(ticks(&world, node, task)[0] >= at(ms(60_100)));
    assert_eq!(ticks(&world, other, idle), []);
    world.run_for(ms(9_998)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 1, "then all is as before");
    world.run_for(ms(2)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 2);
}

#[test]
fn a_clock_that_is_set_back_stands_still_and_time_never_runs_backwards() {
    let mut world = World::new(1);
    let (node, task) = node(&mut world, "node", 1, NodeClock::new());
    world.command(node, task, Act::Tick(ms(10)));
    world.run_for(ms(105)).unwrap();
    world.set_back_clock(node, ms(500));
    world.command(node, task, Act::Note(1));
    world.run_for(ms(1)).unwrap();
    world.command(node, task, Act::Note(2));
    // It has caught up 500 ms after it was set back, and the next tick was 5 ms away.
    world.run_for(ms(503)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 10);
    world.run_for(ms(2)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 11);
    let heard = heard_at(&world, node, task);
    assert!(heard.is_sorted_by_key(|(at, _)| *at));
    let noted: Vec<_> = heard
        .iter()
        .filter(|(_, heard)| matches!(heard, Heard::Noted(_)))
        .collect();
    assert_eq!(noted[0].0, noted[1].0, "meanwhile no time passes");
}

#[test]
fn a_clock_can_be_set_during_the_run() {
    let mut world = World::new(1);
    let (node, task) = node(&mut world, "node", 1, NodeClock::new().offset(ms(1_000)));
    world.command(node, task, Act::Tick(ms(10)));
    world.run_for(ms(95)).unwrap();
    // That is behind what it has shown: it goes on once it is not.
    let before = world.local_time(node);
    world.set_clock(node, NodeClock::new().offset(ms(800)));
    assert_eq!(world.local_time(node), before);
    world.run_for(ms(204)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 9);
    world.run_for(ms(2)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 10);
    world.set_clock(node, NodeClock::new().offset(ms(900_000)));
    world.run_for(ms(1)).unwrap();
    assert_eq!(ticks(&world, node, task).len(), 11);
}

#[test]
fn time_goes_on_while_a_node_is_down_unless_its_clock_begins_anew() {
    for (clock, begins) in [
        (NodeClock::new(), at(ms(700))),
        (NodeClock::new().since_boot(), at(ms(0))),
        (NodeClock::new().offset(ms(50)).since_boot(), at(ms(50))),
    ] {
        let mut world = World::<Show>::new(1);
        let node = world.node("node", [10, 0, 0, 1]).clock(clock);
        let node = node.spawner(spawn);
        world.run_for(ms(500)).unwrap();
        world.crash(node);
        world.run_for(ms(200)).unwrap();
        world.restart(node);
        assert_eq!(world.local_time(node), begins);
        let worker = world.worker_indexes(node)[0];
        let task = puppet(&mut world, node, worker);
        world.command(node, task, Act::Tick(ms(10)));
        world.run_for(ms(100)).unwrap();
        let first = ticks(&world, node, task)[0];
        assert!(first.since(begins) <= ms(11), "{first} {begins}");
        assert!(ticks(&world, node, task).len() >= 9);
    }
}

#[test]
fn deadlines_are_never_early_and_time_passes_whatever_is_done_to_the_clock() {
    for seed in 0..20 {
        let scenario = |world: &mut World<Show>| {
            let drift = i32::try_from(world.draw("drift", 0..=1_000_000)).unwrap() - 500_000;
            let (node, task) = node(world, "node", 1, NodeClock::new().drift(drift));
            world.command(node, task, Act::Tick(ms(7)));
            for _ in 0..20 {
                let wait = world.draw("wait", 0..=50_000_000);
                world.run_for(Duration::from_nanos(wait))?;
                let by = Duration::from_nanos(world.draw("by", 0..=100_000_000));
                let before = world.local_time(node);
                match world.draw("which", 0..=2) {
                    0 => world.jump_clock(node, by),
                    1 => world.set_back_clock(node, by),
                    _ => world.set_clock(node, NodeClock::new().offset(by).drift(drift)),
                }
                assert!(world.local_time(node) >= before, "time runs backwards");
            }
            world.run_for(ms(10_000))?;
            let ticks = ticks(world, node, task);
            assert!(ticks.len() > 300, "{}", ticks.len());
            let mut gaps = ticks.windows(2).map(|two| two[1].since(two[0]));
            assert!(gaps.all(|gap| gap >= ms(7)), "a tick that was early");
            assert!(world.events() < 10_000, "spins: {}", world.events());
            Ok(())
        };
        self_check(seed, scenario).unwrap();
        let mut world = World::new(seed);
        scenario(&mut world).unwrap();
    }
}
