//! Tries candidates, and keeps the smallest run that fails in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stillpoint::Entity;
use xxhash_rust::xxh3::Xxh3;

use super::Budget;
use super::size::Size;
use crate::choice::{Choice, ChoiceLog, Driver, Rest};
use crate::drive::{Run, Scenario, Watch};
use crate::failure::FailureClass;

/// A draw by its name.
pub(super) type Key = (Arc<str>, Entity, u64);

pub(super) fn key(choice: &Choice) -> Key {
    (Arc::clone(&choice.site), choice.entity, choice.count)
}

/// A search for a smaller run.
pub(super) struct Search<'a> {
    scenario: &'a Scenario,
    /// What a run must fail with.
    class: FailureClass,
    budget: Budget,
    rest: Rest,
    /// The smallest run so far, and what made it: choices that a quiet rest gives as well are not in
    /// the log.
    best: Run,
    log: ChoiceLog,
    size: Size,
    /// Who draws, by the last look.
    names: BTreeMap<Entity, String>,
    /// Candidates that were tried, by their hashes.
    tried: BTreeSet<u128>,
    runs: u64,
    is_over: bool,
}

impl<'a> Search<'a> {
    /// `None` if the log makes no run that fails.
    pub(super) fn new(scenario: &'a Scenario, log: &ChoiceLog, budget: Budget) -> Option<Self> {
        let run = scenario.run(Driver::Log(log), Watch::Outcome);
        let class = run.class()?;
        let size = Size::of(&run);
        let mut search = Self {
            scenario,
            class,
            budget,
            rest: log.rest(),
            log: run.choices.clone(),
            best: run,
            size,
            names: BTreeMap::new(),
            tried: BTreeSet::new(),
            runs: 1,
            is_over: false,
        };
        // Most logs have all choices, and then there is no rest.
        if search.rest == Rest::Seed {
            search.let_rest_be_quiet();
        }
        search.forget_ids();
        Some(search)
    }

    /// What is not in the log is quiet from now on, if it fails like that too.
    pub(super) fn let_rest_be_quiet(&mut self) -> bool {
        if self.rest == Rest::Quiet {
            return false;
        }
        let quiet = self.best.choices.clone().with_rest(Rest::Quiet);
        let before = core::mem::replace(&mut self.rest, Rest::Quiet);
        let found = self.attempt(quiet, Keep::Equals);
        if !found {
            self.rest = before;
        }
        found
    }

    /// Lets the seed give what has no order, if it gives the same, or what does as well.
    fn forget_ids(&mut self) {
        if self.log.choices().iter().all(Choice::has_order) {
            return;
        }
        let choices = self.log.choices().iter();
        let ordered: Vec<Choice> = choices.filter(|it| it.has_order()).cloned().collect();
        self.attempt(self.log.clone().with_choices(ordered), Keep::Equals);
    }

    pub(super) const fn best(&self) -> &Run {
        &self.best
    }

    /// What makes the smallest run.
    pub(super) const fn log(&self) -> &ChoiceLog {
        &self.log
    }

    pub(super) const fn class(&self) -> &FailureClass {
        &self.class
    }

    pub(super) const fn runs(&self) -> u64 {
        self.runs
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Whether there is nothing left to spend.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The choices of the smallest run that are not quiet, in the order in which they were made.
    pub(super) fn loud(&self) -> impl Iterator<Item = &Choice> {
        let choices = self.log.choices().iter();
        choices.filter(|choice| choice.has_order() && choice.chosen != 0)
    }

    /// Tries the smallest run with other choices.
    /// What is no choice among alternatives stays as it is.
    pub(super) fn attempt_choices(
        &mut self,
        mut change: impl FnMut(&Choice) -> Option<Choice>,
    ) -> bool {
        let change = |choice: &Choice| {
            if choice.has_order() {
                change(choice)
            } else {
                Some(choice.clone())
            }
        };
        let choices: Vec<Choice> = self.log.choices().iter().filter_map(change).collect();
        self.attempt(self.log.clone().with_choices(choices), Keep::Smaller)
    }

    /// Tries the smallest run without these faults either.
    pub(super) fn attempt_without(&mut self, faults: impl IntoIterator<Item = u64>) -> bool {
        let omitted = self.log.omitted().iter().copied().chain(faults);
        let omitted: BTreeSet<u64> = omitted.collect();
        self.attempt(self.log.clone().omitting(omitted), Keep::Smaller)
    }

    /// Tries another run.
    pub(super) fn attempt_log(&mut self, candidate: ChoiceLog) -> bool {
        self.attempt(candidate, Keep::Smaller)
    }

    /// Looks at another run, whether it fails or not. `None` if there is nothing left to spend.
    pub(super) fn probe(&mut self, candidate: &ChoiceLog) -> Option<Run> {
        if !self.may_run() {
            return None;
        }
        self.runs += 1;
        let driver = Driver::Log(candidate);
        let events_max = self.events_max();
        Some(self.scenario.run_within(driver, Watch::Outcome, events_max))
    }

    /// The names of those who draw in the smallest run, and maybe of some more.
    pub(super) const fn names(&self) -> &BTreeMap<Entity, String> {
        &self.names
    }

    /// Finds out who draws in the smallest run.
    pub(super) fn look_at_names(&mut self) {
        self.names = self.watch().names;
    }

    fn attempt(&mut self, candidate: ChoiceLog, keep: Keep) -> bool {
        if !self.tried.insert(hash(&candidate)) || !self.may_run() {
            return false;
        }
        self.runs += 1;
        let driver = Driver::Log(&candidate);
        let run = self
            .scenario
            .run_within(driver, Watch::Outcome, self.events_max());
        if run.class().as_ref() != Some(&self.class) {
            return false;
        }
        let size = Size::of(&run);
        let kept = match keep {
            Keep::Smaller => size < self.size,
            Keep::Equals => size <= self.size,
        };
        if kept {
            self.take(&candidate, run, size);
        }
        kept
    }

    /// Tries another run, which is taken if it has fewer events and no more nodes.
    pub(super) fn attempt_shorter(&mut self, candidate: &ChoiceLog) -> bool {
        if self.size.events() == 0 || !self.may_run() {
            return false;
        }
        self.runs += 1;
        let (driver, shorter) = (Driver::Log(candidate), self.size.events() - 1);
        let run = self.scenario.run_within(driver, Watch::Outcome, shorter);
        let size = Size::of(&run);
        let found = run.class().as_ref() == Some(&self.class) && size.is_shorter(&self.size);
        if found {
            self.take(candidate, run, size);
        }
        found
    }

    /// What there is of the search, to come back to.
    pub(super) fn keep(&self) -> Kept {
        Kept {
            best: self.best.clone(),
            log: self.log.clone(),
            size: self.size,
        }
    }

    /// Comes back to what was kept, if nothing smaller was found since.
    pub(super) fn come_back(&mut self, kept: Kept) {
        if kept.size < self.size {
            (self.best, self.log, self.size) = (kept.best, kept.log, kept.size);
        }
    }

    fn may_run(&mut self) -> bool {
        self.is_over = self.is_over || self.runs >= self.budget.runs_max || self.budget.is_over();
        !self.is_over
    }

    /// A run that comes to many more events is none that is looked for. It may come to some more: if
    /// it has fewer nodes or faults, that is a gain.
    fn events_max(&self) -> u64 {
        if self.class.kind == "too many events" {
            return u64::MAX;
        }
        self.size.events().saturating_mul(2).saturating_add(64)
    }

    fn take(&mut self, candidate: &ChoiceLog, run: Run, size: Size) {
        let keeps_ids = candidate.choices().iter().any(|choice| !choice.has_order());
        let choices = run.choices.choices().iter();
        let kept = choices.filter(|choice| match self.rest {
            _ if !choice.has_order() => keeps_ids,
            Rest::Seed => true,
            Rest::Quiet => choice.chosen != 0,
        });
        let kept: Vec<Choice> = kept.cloned().collect();
        self.log = run.choices.clone().with_choices(kept).with_rest(self.rest);
        self.best = run;
        self.size = size;
    }

    /// The smallest run once more, looked at closely.
    pub(super) fn watch(&self) -> Run {
        self.scenario.run(Driver::Log(&self.log), Watch::Trace)
    }
}

/// The smallest run at some time.
pub(super) struct Kept {
    best: Run,
    log: ChoiceLog,
    size: Size,
}

/// Which candidates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Those that are smaller.
    Smaller,
    /// Those of the same size as well.
    Equals,
}

fn hash(log: &ChoiceLog) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&[u8::from(log.rest() == Rest::Quiet)]);
    for choice in log.choices() {
        if choice.has_order() && choice.chosen == 0 && log.rest() == Rest::Quiet {
            continue;
        }
        hasher.update(choice.site.as_bytes());
        let words = [choice.entity.number(), choice.count, choice.chosen];
        hasher.update(words.map(u64::to_le_bytes).as_flattened());
    }
    for fault in log.omitted() {
        hasher.update(b"omitted");
        hasher.update(&fault.to_le_bytes());
    }
    hasher.digest128()
}
