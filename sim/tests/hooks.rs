//! What is told before each input of a worker.
#![allow(clippy::unwrap_used, reason = "a test may")]

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use stillpoint::{
    App, Deadline, Input, Outbox, Output, Spawned, Spawner, Task, Timestamp, TransmitBuffer,
};
use stillpoint_sim::{Failure, NodeId, UpcomingInput, World, self_check};

#[test]
fn each_input_is_told_of_with_its_worker_and_its_time() {
    let (told, _) = told(&["dice"]);
    let numbers: Vec<u64> = told.iter().map(|upcoming| upcoming.number).collect();
    assert_eq!(numbers, [0, 1, 2, 3], "the spawn, and three timeouts");
    let times: Vec<Timestamp> = told.iter().map(|upcoming| upcoming.now).collect();
    let seconds = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
    assert_eq!(times, [seconds(0), seconds(1), seconds(2), seconds(3)]);
    assert!(told.iter().all(|upcoming| upcoming.worker == 0));
}

#[test]
fn who_draws_is_the_same_when_others_come() {
    let turns = |names| {
        let (told, nodes) = told(names);
        let own = told
            .iter()
            .filter(|upcoming| upcoming.node == nodes[nodes.len() - 1]);
        let own: Vec<_> = own.map(UpcomingInput::turn).collect();
        let all: BTreeSet<_> = told.iter().map(UpcomingInput::turn).collect();
        assert_eq!(all.len(), told.len(), "two turns draw the same");
        own
    };
    assert_eq!(turns(&["dice"]), turns(&["some", "others", "dice"]));
}

#[test]
fn a_generator_of_the_thread_follows_the_seed_once_it_is_seeded_for_each_input() {
    let seeded = |world: &mut World<Dice>| {
        let site = world.entropy().site("seeds of fastrand");
        world.before_each_input(move |upcoming| {
            fastrand::seed(site.source(upcoming.turn()).u64());
        });
        roll(world)
    };
    self_check(1, seeded).unwrap();
    let diverged = self_check(1, roll).unwrap_err();
    assert!(
        diverged.first.to_lowercase().contains("report"),
        "{diverged}"
    );
}

#[test]
fn hooks_are_called_in_the_order_in_which_they_were_set() {
    let mut world: World<Dice> = World::new(1);
    let order = Rc::new(RefCell::new(Vec::new()));
    for hook in ["first", "second"] {
        let order = Rc::clone(&order);
        world.before_each_input(move |_| order.borrow_mut().push(hook));
    }
    let node = world.node("dice", [10, 0, 0, 1]).spawner(spawn);
    world.spawn(node, 0, ());
    world.run_for(Duration::ZERO).unwrap();
    assert_eq!(*order.borrow(), ["first", "second"]);
}

/// What is told of nodes of these names, and their ids.
fn told(names: &[&str]) -> (Vec<UpcomingInput>, Vec<NodeId>) {
    let mut world: World<Dice> = World::new(1);
    let told = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&told);
    world.before_each_input(move |upcoming| log.borrow_mut().push(upcoming));
    let mut ids = Vec::new();
    for (number, name) in (1..).zip(names) {
        let node = world.node(*name, [10, 0, 0, number]).spawner(spawn);
        world.spawn(node, 0, ());
        ids.push(node);
    }
    world.run_for(Duration::from_secs(3)).unwrap();
    let told = told.borrow().clone();
    (told, ids)
}

fn roll(world: &mut World<Dice>) -> Result<(), Failure> {
    let node = world.node("dice", [10, 0, 0, 1]).spawner(spawn);
    world.spawn(node, 0, ());
    world.run_for(Duration::from_secs(10))
}

#[derive(Debug)]
struct Dice;

impl App for Dice {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = u64;
    type Spawn = ();
}

/// Rolls once a second, with a generator that is a variable of the thread.
struct Roller {
    next: Timestamp,
    outbox: Outbox<Dice>,
}

fn spawn((): (), spawner: Spawner<'_, Dice>) -> Spawned {
    spawner.insert(Roller {
        next: Timestamp::EPOCH,
        outbox: Outbox::new(),
    })
}

impl Task for Roller {
    type App = Dice;

    fn handle_input(&mut self, now: Timestamp, input: Input<Dice>) {
        if matches!(input, Input::Timeout) {
            self.outbox.report(fastrand::u64(..));
        }
        self.next = now.after(Duration::from_secs(1));
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Dice>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next, "next roll"))
    }
}
