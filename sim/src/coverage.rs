//! What the seeds of a scenario have reached, and what they never did.
//!
//! A [`Footprint`] is what one run has come to; [`Coverage`] counts the seeds that have come to it.
//! A run pays for it with one look at what its world knows anyhow.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;

use stillpoint::App;

use crate::counters::DropCause;
use crate::trace::TraceKind;
use crate::world::World;

/// A kind of behaviour that is counted. See [`Coverage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Behaviour {
    /// Labels of [`World::sometimes`] and its like. One that is never reached is a mistake.
    Label,
    /// Faults that have happened, by their kind, of those that were scheduled or planned.
    Fault,
    /// Labels of [`Context::buggify`](stillpoint::Context::buggify) that were hit, of those that
    /// tasks have asked for.
    Buggify,
    /// States of [`World::visit`] and its like: `machine: state`.
    State,
    /// Transitions between them: `machine: state -> state`.
    Transition,
    /// Causes for which datagrams were dropped.
    Drop,
    /// Kinds of events.
    Event,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Label,
        Self::Fault,
        Self::Buggify,
        Self::State,
        Self::Transition,
        Self::Drop,
        Self::Event,
    ];

    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "labels",
            Self::Fault => "faults",
            Self::Buggify => "buggify",
            Self::State => "states",
            Self::Transition => "transitions",
            Self::Drop => "drops",
            Self::Event => "events",
        }
    }
}

/// What one run has reached. Made by [`World::footprint`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footprint {
    labels: Vec<(String, bool)>,
    named: Vec<(Behaviour, Cow<'static, str>, bool)>,
    /// A bit for each cause, in the order of [`DropCause::ALL`].
    drops: u64,
    /// A bit for each kind: see [`TraceKind`].
    events: u64,
}

impl Footprint {
    /// The labels of [`World::sometimes`] and its like, and whether they were reached.
    pub fn labels(&self) -> impl Iterator<Item = (&str, bool)> {
        let labels = self.labels.iter();
        labels.map(|(label, reached)| (label.as_str(), *reached))
    }
}

impl<A: App> World<A> {
    /// What this run has reached so far.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let labels = self.labels();
        let labels = labels.map(|(label, reached)| (label.to_owned(), reached));
        let mut named: Vec<_> = self.reached_faults().collect();
        for label in self.buggified() {
            named.push((Behaviour::Buggify, label.label.into(), label.hits > 0));
        }
        self.note_visits(&mut named);
        let dropped = &self.counters().dropped;
        let drops = DropCause::ALL
            .iter()
            .filter(|&&cause| dropped.by(cause) > 0);
        Footprint {
            labels: labels.collect(),
            named,
            drops: drops.fold(0, |bits, &cause| bits | 1 << cause as u64),
            events: self.event_kinds(),
        }
    }
}

/// How many seeds have reached what. Prints what was never reached, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Coverage {
    /// Seeds that were run.
    pub seeds: u64,
    /// By label of [`World::sometimes`] and its like: seeds that have reached it.
    pub reached: BTreeMap<String, u64>,
    named: BTreeMap<Behaviour, BTreeMap<String, u64>>,
    drops: Counts,
    events: Counts,
}

impl Coverage {
    /// Counts one more seed.
    pub fn note(&mut self, run: &Footprint) {
        self.seeds += 1;
        for (label, reached) in run.labels() {
            count(&mut self.reached, label, u64::from(reached));
        }
        for (behaviour, name, reached) in &run.named {
            let named = self.named.entry(*behaviour).or_default();
            count(named, name, u64::from(*reached));
        }
        self.drops.note(run.drops);
        self.events.note(run.events);
    }

    /// Counts what others have come to.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        for behaviour in Behaviour::ALL {
            for (name, seeds) in other.of(behaviour) {
                self.count(behaviour, name, seeds);
            }
        }
    }

    /// Counts seeds that have reached something. `false` if there is nothing of this name.
    pub(crate) fn count(&mut self, behaviour: Behaviour, name: &str, seeds: u64) -> bool {
        match behaviour {
            Behaviour::Label => count(&mut self.reached, name, seeds),
            Behaviour::Drop => return self.drops.count(drop_names(), name, seeds),
            Behaviour::Event => return self.events.count(event_names(), name, seeds),
            Behaviour::Fault | Behaviour::Buggify | Behaviour::State | Behaviour::Transition => {
                count(self.named.entry(behaviour).or_default(), name, seeds);
            }
        }
        true
    }

    /// What there is of one kind, and how many seeds have reached it. Those that none has reached
    /// are among them, as far as they are known.
    #[must_use]
    pub fn of(&self, behaviour: Behaviour) -> Vec<(&str, u64)> {
        match behaviour {
            Behaviour::Label => shown(&self.reached),
            Behaviour::Drop => self.drops.list(drop_names()),
            Behaviour::Event => self.events.list(event_names()),
            Behaviour::Fault | Behaviour::Buggify | Behaviour::State | Behaviour::Transition => {
                self.named.get(&behaviour).map(shown).unwrap_or_default()
            }
        }
    }

    /// What there is of one kind that no seed has reached.
    #[must_use]
    pub fn never(&self, behaviour: Behaviour) -> Vec<&str> {
        let all = self.of(behaviour).into_iter();
        all.filter(|&(_, seeds)| seeds == 0)
            .map(|(name, _)| name)
            .collect()
    }

    /// The labels that were declared and that no seed has reached.
    pub fn unreached(&self) -> impl Iterator<Item = &str> {
        let unreached = self.reached.iter().filter(|&(_, &seeds)| seeds == 0);
        unreached.map(|(label, _)| label.as_str())
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} seeds", self.seeds)?;
        for (label, seeds) in &self.reached {
            write!(f, "\n  {seeds} reached `{label}`")?;
        }
        Ok(())
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str, seeds: u64) {
    match counts.get_mut(name) {
        Some(known) => *known += seeds,
        None => {
            counts.insert(name.to_owned(), seeds);
        }
    }
}

fn shown(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let counts = counts.iter();
    counts
        .map(|(name, seeds)| (name.as_str(), *seeds))
        .collect()
}

/// Seeds by the number of what they have reached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts([u64; 64]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Counts {
    fn note(&mut self, mut bits: u64) {
        while bits != 0 {
            self.0[bits.trailing_zeros() as usize] += 1;
            bits &= bits - 1;
        }
    }

    fn count(&mut self, names: &[&str], name: &str, seeds: u64) -> bool {
        let number = names.iter().position(|&known| known == name);
        if let Some(number) = number {
            self.0[number] += seeds;
        }
        number.is_some()
    }

    fn list(&self, names: &'static [&'static str]) -> Vec<(&str, u64)> {
        names.iter().copied().zip(self.0).collect()
    }
}

/// Names by the numbers of causes.
fn drop_names() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| DropCause::ALL.iter().map(|cause| leak(cause)).collect())
}

/// Names by the numbers of kinds, which count from 1.
fn event_names() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| TraceKind::ALL.iter().map(|kind| leak(kind)).collect())
}

/// The name of a variant, for as long as the program runs: there are a hundred.
fn leak(variant: &impl fmt::Debug) -> &'static str {
    format!("{variant:?}").leak()
}

const _: () = assert!(DropCause::ALL.len() <= 64 && TraceKind::ALL.len() <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(reached: bool) -> Footprint {
        Footprint {
            labels: vec![("a label".to_owned(), reached)],
            named: vec![(Behaviour::Fault, "Crash".into(), reached)],
            drops: 1,
            events: u64::from(reached),
        }
    }

    #[test]
    fn what_no_seed_has_reached_is_known() {
        let mut coverage = Coverage::default();
        coverage.note(&footprint(false));
        assert_eq!(coverage.never(Behaviour::Fault), ["Crash"]);
        assert!(coverage.never(Behaviour::Event).contains(&"Timeout"));
        coverage.note(&footprint(true));
        assert_eq!(coverage.of(Behaviour::Fault), [("Crash", 1)]);
        assert_eq!(coverage.of(Behaviour::Drop)[0], ("Loss", 2));
        assert_eq!(coverage.of(Behaviour::Event)[0], ("Timeout", 1));
        assert_eq!(coverage.unreached().count(), 0);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let mut whole = Coverage::default();
        let mut parts = [Coverage::default(), Coverage::default()];
        for number in 0..10 {
            let run = footprint(number % 3 == 0);
            whole.note(&run);
            parts[number % 2].note(&run);
        }
        let mut sum = Coverage::default();
        parts.iter().for_each(|part| sum.add(part));
        assert_eq!(sum, whole);
    }
}
