//! Which of two runs that fail is the smaller one.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::Entity;

use crate::choice::ChoiceLog;
use crate::drive::Run;

/// How much a run is to read. The fields stand in the order in which they are compared: a reader
/// first wants to know who takes part, then what went wrong on the way, and only then how long it
/// took. Last come the choices, which nobody has to read: there, simple ones are found again by
/// whoever looks for others like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    /// Nodes that were given something.
    nodes: usize,
    /// Faults that were scheduled or injected.
    faults: usize,
    /// Chances that hit: what is lost, doubled, held back. To be sure, some of them are none: two
    /// alternatives of one kind look the same from here.
    hits: usize,
    events: u64,
    /// Choices that are not the quiet one.
    choices: usize,
    /// Their sum.
    chosen: u128,
    /// How late among all who draw their entities come.
    strangeness: u128,
    /// How late among the draws of their entities they are.
    lateness: u128,
    /// Neighbours of one entity and site of which the later one is smaller.
    disorder: usize,
}

impl Size {
    pub(super) fn of(run: &Run) -> Self {
        let log = &run.choices;
        let loud = || {
            let choices = log.choices().iter();
            choices.filter(|choice| choice.has_order() && choice.chosen != 0)
        };
        Self {
            nodes: run.nodes.iter().filter(|node| node.inputs > 0).count(),
            faults: run.faults.len(),
            hits: loud().filter(|choice| choice.options == 2).count(),
            events: run.summary.events,
            choices: loud().count(),
            chosen: loud().map(|choice| u128::from(choice.chosen)).sum(),
            strangeness: strangeness(log),
            lateness: loud().map(|choice| u128::from(choice.count)).sum(),
            disorder: disorder(log),
        }
    }

    /// Whether it has fewer events and no more nodes, whatever went wrong.
    pub(super) const fn is_shorter(&self, other: &Self) -> bool {
        self.nodes <= other.nodes && self.events < other.events
    }

    pub(super) const fn events(&self) -> u64 {
        self.events
    }
}

/// The sum of how many others have drawn before the entity of each choice that is not quiet.
fn strangeness(log: &ChoiceLog) -> u128 {
    let mut known: IndexMap<Entity, (), FxBuildHasher> = IndexMap::default();
    let mut sum = 0;
    for choice in log.choices().iter().filter(|choice| choice.has_order()) {
        let (index, _) = known.insert_full(choice.entity, ());
        if choice.chosen != 0 {
            sum += index as u128;
        }
    }
    sum
}

/// Draws that fall behind the one before them.
fn disorder(log: &ChoiceLog) -> usize {
    let mut draws: Vec<(&str, Entity, u64, u64)> = log
        .choices()
        .iter()
        .filter(|choice| choice.has_order())
        .map(|choice| (&*choice.site, choice.entity, choice.count, choice.chosen))
        .collect();
    draws.sort_unstable();
    let falls = |pair: &&[(&str, Entity, u64, u64)]| {
        let (one, other) = (pair[0], pair[1]);
        (one.0, one.1) == (other.0, other.1) && one.3 > other.3
    };
    draws.windows(2).filter(falls).count()
}

/// How much there is of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Nodes that were given something.
    pub nodes: usize,
    /// Faults that were scheduled or injected.
    pub faults: usize,
    /// Events.
    pub events: u64,
    /// Choices that are not the quiet one, ids and the like aside.
    pub choices: usize,
}

impl Extent {
    pub(super) fn of(run: &Run) -> Self {
        let Size {
            nodes,
            faults,
            events,
            choices,
            ..
        } = Size::of(run);
        Self {
            nodes,
            faults,
            events,
            choices,
        }
    }
}
