//! Tasks that do what is rare, where the seed has it.

use std::collections::BTreeSet;

use stillpoint::{
    App, Context, Deadline, Input, Outbox, Output, Spawned, Spawner, Task, Timestamp,
    TransmitBuffer,
};
use stillpoint_sim::{BuggifyLabel, Fault, NodeId, World, self_check};

use super::common::ms;

#[derive(Debug)]
struct Odd;

impl App for Odd {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = (&'static str, bool);
    type Spawn = ();
}

/// Asks for each label every millisecond, and reports the answers.
struct Asker {
    context: Option<Context>,
    next_at: Timestamp,
    outbox: Outbox<Odd>,
}

const LABELS: [&str; 8] = [
    "short write",
    "early",
    "late",
    "no cache",
    "full",
    "again",
    "empty",
    "split",
];

impl Task for Asker {
    type App = Odd;

    fn handle_input(&mut self, now: Timestamp, input: Input<Odd>) {
        match input {
            Input::Started(context) => self.context = Some(context),
            Input::Timeout => {
                let context = self.context.as_ref().unwrap();
                for label in LABELS {
                    self.outbox.report((label, context.buggify(label)));
                }
            }
            _ => {}
        }
        self.next_at = now.after(ms(1));
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Odd>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at, "asks"))
    }
}

fn spawn((): (), spawner: Spawner<'_, Odd>) -> Spawned {
    spawner.insert(Asker {
        context: None,
        next_at: Timestamp::EPOCH,
        outbox: Outbox::new(),
    })
}

fn node(world: &mut World<Odd>, name: &str, number: u8) -> NodeId {
    let node = world.node(name, [10, 0, 0, number]).spawner(spawn);
    world.spawn(node, 0, ());
    node
}

/// What a node's task was told within 100 ms.
fn answers(world: &mut World<Odd>, node: NodeId) -> Vec<(&'static str, bool)> {
    world.run_for(ms(100)).unwrap();
    let reports = world.take_reports().into_iter();
    let own = reports.filter(|reported| reported.node == node);
    own.map(|reported| reported.report).collect()
}

fn hits(answers: &[(&'static str, bool)]) -> BTreeSet<&'static str> {
    let hits = answers.iter().filter(|(_, hit)| *hit);
    hits.map(|(label, _)| *label).collect()
}

#[test]
fn it_is_off_unless_asked_for() {
    let mut world = World::new(1);
    let node = node(&mut world, "node", 1);
    assert_eq!(hits(&answers(&mut world, node)), BTreeSet::new());
    let seen = world.buggified();
    assert_eq!(seen.len(), LABELS.len());
    assert!(
        seen.iter()
            .all(|seen| !seen.is_on && seen.asked > 90 && seen.hits == 0)
    );
}

#[test]
fn a_seed_chooses_labels_and_then_calls() {
    let (mut on, mut asked, mut hit) = (0, 0, 0);
    let mut choices = BTreeSet::new();
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.set_buggify(0.25, 0.25);
        let node = node(&mut world, "node", 1);
        let hits = hits(&answers(&mut world, node));
        let seen = world.buggified();
        let chosen: BTreeSet<_> = seen
            .iter()
            .filter(|seen| seen.is_on)
            .map(|seen| seen.label)
            .collect();
        assert_eq!(
            hits, chosen,
            "100 calls hit each label that is on, and no other"
        );
        on += chosen.len();
        for BuggifyLabel {
            is_on,
            asked: calls,
            hits,
            ..
        } in seen
        {
            if is_on {
                (asked, hit) = (asked + calls, hit + hits);
            }
        }
        choices.insert(chosen);
    }
    assert!((150..=250).contains(&on), "a quarter of 800: {on}");
    let share = hit as f64 / asked as f64;
    assert!((0.24..=0.26).contains(&share), "{share}");
    assert!(choices.len() > 30);
}

#[test]
fn what_one_task_asks_changes_nothing_for_others() {
    let told = |others: u8| {
        let mut world = World::new(7);
        world.set_buggify(0.5, 0.5);
        let node = node(&mut world, "node", 1);
        for other in 0..others {
            self::node(&mut world, &format!("other {other}"), 10 + other);
        }
        answers(&mut world, node)
    };
    let alone = told(0);
    assert!(!hits(&alone).is_empty());
    assert_eq!(alone, told(5));
}

#[test]
fn it_ends_as_a_fault_does() {
    let mut world = World::new(1);
    let node = node(&mut world, "node", 1);
    world.inject(Fault::Buggify {
        labels: 1.0,
        calls: 0.5,
    });
    assert_eq!(hits(&answers(&mut world, node)).len(), LABELS.len());
    world.heal();
    assert_eq!(hits(&answers(&mut world, node)), BTreeSet::new());
    // What the scenario itself has asked for stays.
    world.set_buggify(1.0, 0.5);
    world.inject(Fault::Buggify {
        labels: 0.0,
        calls: 0.0,
    });
    assert_eq!(hits(&answers(&mut world, node)), BTreeSet::new());
    world.heal();
    assert_eq!(hits(&answers(&mut world, node)).len(), LABELS.len());
}

#[test]
fn it_repeats() {
    self_check(3, |world: &mut World<Odd>| {
        world.set_buggify(0.5, 0.1);
        node(world, "node", 1);
        node(world, "other", 2);
        world.run_for(ms(500))
    })
    .unwrap();
}
