//! One run of a scenario, whatever decides in it; and scenarios by name.

use core::fmt;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use stillpoint::{App, Entity};

use crate::check::{RunSummary, Tried, guard, run, try_seed};
use crate::choice::{Choice, ChoiceLog, Director, Drift, Driver};
use crate::coverage::Footprint;
use crate::draws::CountDraws;
use crate::failure::{Failure, FailureClass};
use crate::fault::NumberedFault;
use crate::trace::{LogEvent, TraceDetail, TraceLog};
use crate::world::World;

/// How closely a run is looked at. What happens in it is the same, however closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Watch {
    /// What it comes to, its choices and its faults.
    #[default]
    Outcome,
    /// All its events as well, and the names of those who draw.
    Trace,
}

/// What came of one run. Made by [`drive`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// How far it came.
    pub summary: RunSummary,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// All that was decided.
    pub choices: ChoiceLog,
    /// How that compares with the log that decided. None if another did.
    pub drift: Drift,
    /// The faults that were scheduled or injected.
    pub faults: Vec<NumberedFault>,
    /// The nodes that there were, in the order in which they were made.
    pub nodes: Vec<NodeInShort>,
    /// What it has reached: the labels of [`World::sometimes`], and more.
    pub footprint: Footprint,
    /// All events, with what has led to them, what tasks have shown of themselves, and the first
    /// 16 MiB of payloads. None unless [watched](Watch::Trace).
    pub trace: Option<TraceLog>,
    /// How many choices had been made at each event. Empty unless [watched](Watch::Trace).
    pub marks: Vec<usize>,
    /// The names of those who draw, as far as they have some. Empty unless [watched](Watch::Trace).
    pub names: BTreeMap<Entity, String>,
}

/// A node of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInShort {
    /// Its name.
    pub name: String,
    /// How many inputs its workers were given. 0 if it took no part.
    pub inputs: u64,
}

impl Run {
    /// The class of its failure.
    #[must_use]
    pub fn class(&self) -> Option<FailureClass> {
        self.failure.as_ref().map(Failure::class)
    }

    /// The events of its trace. None unless [watched](Watch::Trace).
    pub(crate) fn events(&self) -> impl Iterator<Item = LogEvent<'_>> {
        self.trace.iter().flat_map(TraceLog::events)
    }

    /// How many those are.
    pub(crate) fn events_len(&self) -> usize {
        self.trace.as_ref().map_or(0, TraceLog::len)
    }

    /// Who has made a choice.
    pub(crate) fn name_of(&self, choice: &Choice) -> String {
        let known = self.names.get(&choice.entity).cloned();
        known.unwrap_or_else(|| format!("entity {:#x}", choice.entity.number()))
    }
}

/// Runs a scenario. A panic of the scenario is a [`Failure::Panicked`].
///
/// Who decides makes no difference but for what is decided: the seed, the [log](Run::choices) of its
/// run, and the [bytes](ChoiceLog::to_bytes) of the log give the same trace.
///
/// # Example
///
/// See [`ChoiceLog`].
pub fn drive<A: App>(
    driver: Driver<'_>,
    watch: Watch,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Run {
    drive_within(driver, watch, u64::MAX, scenario)
}

/// The same with so many events at most, whatever the scenario says.
fn drive_within<A: App>(
    driver: Driver<'_>,
    watch: Watch,
    events_limit: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Run {
    let director = Rc::new(Director::new(driver));
    let mut world = World::directed(Rc::clone(&director));
    world.limit_events(events_limit);
    if watch >= Watch::Trace {
        world.record_log(TraceDetail::new().states().payloads(PAYLOAD_BYTES_MAX));
        world.mark_draws(Rc::clone(&director) as Rc<dyn CountDraws>);
    }
    let failure = run(&mut world, &scenario).err();
    let (mut trace, mut marks, mut names) = (None, Vec::new(), BTreeMap::new());
    if watch >= Watch::Trace {
        marks = world.take_marks();
        names = world.entity_names();
        let mut log = world.take_log();
        if let Some(failure) = &failure {
            log.note_failure(failure);
        }
        trace = Some(log);
    }
    let footprint = world.footprint();
    let (summary, faults) = (RunSummary::of(&world), world.faults().to_vec());
    let nodes = world.nodes_in_short();
    // Tasks may panic when they are dropped, too.
    let dropped = guard(|| drop(world)).err();
    let (choices, drift) = director.finish();
    Run {
        summary,
        failure: failure.or(dropped),
        choices,
        drift,
        faults,
        nodes,
        footprint,
        trace,
        marks,
        names,
    }
}

/// Payloads that are kept of a run that is watched.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

type TrySeed = dyn Fn(u64) -> Tried + Send + Sync;
type Drive = dyn Fn(Driver<'_>, Watch, u64) -> Run + Send + Sync;

/// A scenario with a name, whatever its application.
pub struct Scenario {
    name: String,
    /// What it takes to name its function in code.
    path: Option<String>,
    drive: Box<Drive>,
    try_seed: Box<TrySeed>,
}

impl Scenario {
    /// A scenario of this name.
    #[must_use]
    pub fn new<A: App>(
        name: impl Into<String>,
        scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let (name, scenario) = (name.into(), Arc::new(scenario));
        let again = Arc::clone(&scenario);
        Self {
            name,
            path: None,
            drive: Box::new(move |driver, watch, limit| {
                drive_within(driver, watch, limit, &*again)
            }),
            try_seed: Box::new(move |seed| try_seed(seed, &*scenario)),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, with what it takes to name its function in code: a path to it, or an expression
    /// that gives it. [`scenario!`](crate::scenario) does this by itself.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// What it takes to name its function in code, if that was said.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Runs it: see [`drive`].
    #[must_use]
    pub fn run(&self, driver: Driver<'_>, watch: Watch) -> Run {
        (self.drive)(driver, watch, u64::MAX)
    }

    /// The same with so many events at most, whatever the scenario says: one more is a
    /// [`Failure::Budget`].
    #[must_use]
    pub fn run_within(&self, driver: Driver<'_>, watch: Watch, events_max: u64) -> Run {
        (self.drive)(driver, watch, events_max)
    }

    /// Runs it for one seed, as fast as that goes: nobody takes down what is decided.
    pub fn run_seed(&self, seed: u64) -> (RunSummary, Result<(), Failure>) {
        let tried = (self.try_seed)(seed);
        (tried.summary, tried.failure.map_or(Ok(()), Err))
    }

    /// The same, with all that is known of it.
    #[cfg(feature = "cli")]
    pub(crate) fn try_seed(&self, seed: u64) -> Tried {
        (self.try_seed)(seed)
    }
}

/// A [`Scenario`] of a function, or of an expression that gives one, with that as its name and
/// [path](Scenario::at).
#[macro_export]
macro_rules! scenario {
    ($function:expr) => {
        $crate::Scenario::new(stringify!($function), $function).at(stringify!($function))
    };
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}

/// Scenarios by name.
///
/// # Example
///
/// ```
/// # use stillpoint::*;
/// # use stillpoint_sim::*;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// let scenarios = Scenarios::new()
///     .add("calm", |world: &mut World<Game>| world.run_for(core::time::Duration::from_secs(1)))
///     .add("die", |world: &mut World<Game>| {
///         let thrown = world.draw("die", 1..=6);
///         if thrown == 6 { Err(Failure::new("a six")) } else { Ok(()) }
///     });
/// let die = scenarios.get("die").unwrap();
/// assert!((0..100).any(|seed| die.run(Driver::Seed(seed), Watch::Outcome).failure.is_some()));
/// let error = scenarios.get("dice").unwrap_err().to_string();
/// assert_eq!(error, "there is no scenario `dice`. There are: `calm`, `die`");
/// ```
#[derive(Debug, Default)]
pub struct Scenarios {
    by_name: BTreeMap<String, Scenario>,
    canaries: Vec<Canary>,
}

/// A scenario with a rare bug that is known, and in how many seeds it is to be found.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) scenario: Scenario,
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "for sweeps"))]
    pub(crate) within: u64,
}

impl Scenarios {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with one more.
    ///
    /// # Panics
    ///
    /// If there is one of this name.
    #[must_use]
    pub fn add<A: App>(
        self,
        name: impl Into<String>,
        scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        self.with(Scenario::new(name, scenario))
    }

    /// The same, with this one: of [`scenario!`](crate::scenario), which knows how to name its
    /// function in the tests that are written of small runs.
    ///
    /// # Panics
    ///
    /// If there is one of this name.
    #[must_use]
    pub fn with(mut self, scenario: Scenario) -> Self {
        self.assert_new(&scenario.name);
        self.by_name.insert(scenario.name.clone(), scenario);
        self
    }

    /// The same, with a canary: a scenario that has a rare bug, which is known, and which any sweep
    /// must find `within` so many seeds. If one does not, the sweep itself is reported broken: what
    /// else it has not found says nothing then.
    ///
    /// Every sweep has one that is built in. Have one of your own for what can go wrong in what your
    /// scenarios are built of: harnesses that look the other way, say, or invariants that are not
    /// asked.
    ///
    /// # Panics
    ///
    /// If there is one of this name, or `within` is 0.
    #[must_use]
    pub fn canary<A: App>(
        mut self,
        name: impl Into<String>,
        within: u64,
        scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let scenario = Scenario::new(name, scenario);
        self.assert_new(&scenario.name);
        let name = &scenario.name;
        assert!(within > 0, "canary `{name}` within no seeds: give it some");
        self.canaries.push(Canary { scenario, within });
        self
    }

    fn assert_new(&self, name: &str) {
        assert!(
            self.find(name).is_none(),
            "two scenarios of the name `{name}`: give each its own"
        );
    }

    fn find(&self, name: &str) -> Option<&Scenario> {
        let canaries = self.canaries.iter().map(|canary| &canary.scenario);
        let canary = || canaries.clone().find(|scenario| scenario.name == name);
        self.by_name.get(name).or_else(canary)
    }

    #[cfg(feature = "cli")]
    pub(crate) fn canaries(&self) -> &[Canary] {
        &self.canaries
    }

    /// The scenario of this name.
    ///
    /// # Errors
    ///
    /// [`UnknownScenario`], which says what there is.
    pub fn get(&self, name: &str) -> Result<&Scenario, UnknownScenario> {
        self.find(name).ok_or_else(|| UnknownScenario {
            name: name.to_owned(),
            known: self.by_name.keys().cloned().collect(),
        })
    }

    /// All of them but for canaries, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Scenario> {
        self.by_name.values()
    }
}

/// There is no scenario of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{name}`. There are: `{}`", known.join("`, `"))]
pub struct UnknownScenario {
    /// The name that was given.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}
