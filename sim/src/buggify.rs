//! Where tasks do what is allowed and rare, as the seed has it.
//!
//! [`Buggify`] answers [`Context::buggify`](stillpoint::Context::buggify) for all tasks of a world.
//! Whether a label is on is drawn once for each seed; whether a call hits, for each call, keyed by the
//! label, the task, and how often the task has asked.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Decide, Entity, Entropy, Mischief};

use crate::draws::LazySite;

/// What became of one label of [`Context::buggify`](stillpoint::Context::buggify). See
/// [`World::buggified`](crate::World::buggified).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuggifyLabel {
    /// Its name.
    pub label: &'static str,
    /// Whether the seed has chosen it.
    pub is_on: bool,
    /// How often tasks have asked.
    pub asked: u64,
    /// How often the answer was yes.
    pub hits: u64,
}

/// Answers for all tasks of a world.
pub(crate) struct Buggify(Rc<Answers>);

struct Answers {
    /// For which share of the labels, and then of the calls.
    chances: Cell<(f64, f64)>,
    labels: RefCell<IndexMap<&'static str, Label, FxBuildHasher>>,
    label: LazySite,
    call: LazySite,
}

#[derive(Default)]
struct Label {
    asked: u64,
    hits: u64,
    /// How often each task has asked while labels could be on.
    calls: IndexMap<Entity, u64, FxBuildHasher>,
}

impl Buggify {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        Self(Rc::new(Answers {
            chances: Cell::new((0.0, 0.0)),
            labels: RefCell::default(),
            label: LazySite::new(entropy, "buggify label"),
            call: LazySite::new(entropy, "buggify"),
        }))
    }

    /// The answers as a worker has them.
    pub(crate) fn shared(&self) -> Mischief {
        Mischief::new(Rc::clone(&self.0) as Rc<dyn Decide>)
    }

    pub(crate) fn set(&self, labels: f64, calls: f64) {
        let fits = |chance: f64| (0.0..=1.0).contains(&chance);
        assert!(
            fits(labels) && fits(calls),
            "buggify for {labels} of the labels and {calls} of the calls: give shares from 0 to 1"
        );
        self.0.chances.set((labels, calls));
    }

    /// All labels that tasks have asked for, by name.
    pub(crate) fn labels(&self) -> Vec<BuggifyLabel> {
        let known = self.0.labels.borrow();
        let labels = known.iter().map(|(&label, seen)| BuggifyLabel {
            label,
            is_on: self.0.is_on(label),
            asked: seen.asked,
            hits: seen.hits,
        });
        let mut labels: Vec<_> = labels.collect();
        labels.sort_by_key(|label| label.label);
        labels
    }
}

impl Answers {
    fn is_on(&self, label: &'static str) -> bool {
        let (labels, _) = self.chances.get();
        labels > 0.0 && self.label.chance(Entity::named(label), 0, labels)
    }
}

impl Decide for Answers {
    fn decide(&self, label: &'static str, task: Entity) -> bool {
        let mut labels = self.labels.borrow_mut();
        let seen = labels.entry(label).or_default();
        seen.asked += 1;
        if !self.is_on(label) {
            return false;
        }
        let count = seen.calls.entry(task).or_default();
        *count += 1;
        let entity = Entity::named(label).part(task.number());
        let hit = self.call.chance(entity, *count - 1, self.chances.get().1);
        seen.hits += u64::from(hit);
        hit
    }
}
