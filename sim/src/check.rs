//! Scenarios run for many seeds, and what is said of those that fail.

use core::any::Any;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use stillpoint::{App, Timestamp};

use crate::failure::Failure;
use crate::replay::{SEED_VARIABLE, replay_line, seed_from_environment};
use crate::trace::{TraceEvent, TraceHash};
use crate::world::World;

/// Runs a scenario for each seed, until one fails.
///
/// If the environment has `STILLPOINT_SEED` (decimal, or hexadecimal after `0x`), that one seed is
/// run instead.
///
/// # Panics
///
/// If a seed fails, with all there is to say of it and a line that replays it. If
/// `STILLPOINT_SEED` is no seed, or there are no seeds at all.
pub fn check<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) {
    let found = match seed_from_environment() {
        Some(seed) => {
            #[expect(clippy::print_stderr, reason = "says that not all seeds are run")]
            {
                eprintln!("{name}: runs seed {seed:#x} only, as {SEED_VARIABLE} says");
            }
            find_failure(name, [seed], scenario)
        }
        None => {
            let mut seeds = seeds.into_iter().peekable();
            assert!(
                seeds.peek().is_some(),
                "{name}: no seeds to run, so nothing was checked"
            );
            find_failure(name, seeds, scenario)
        }
    };
    if let Some(found) = found {
        panic!("{found}");
    }
}

/// Runs a scenario for each seed, until one fails. What [`check`] is made of; it does not ask the
/// environment.
pub fn find_failure<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Option<FoundFailure> {
    seeds.into_iter().find_map(|seed| {
        let mut world = World::new(seed);
        let failure = run(&mut world, &scenario).err();
        let last_events: Vec<String> = if failure.is_some() {
            describe_last(&world)
        } else {
            Vec::new()
        };
        let summary = RunSummary::of(&world);
        // Tasks may panic when they are dropped, too.
        let dropped = guard(|| drop(world)).err();
        let failure = failure.or(dropped)?;
        Some(FoundFailure {
            scenario: name.to_owned(),
            summary,
            failure,
            last_events,
            replay: replay_line(seed, name),
        })
    })
}

/// Runs a scenario for one seed. A panic of the scenario is a [`Failure::Panicked`].
pub fn run_seed<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> (RunSummary, Result<(), Failure>) {
    let mut world = World::new(seed);
    let ran = run(&mut world, &scenario);
    let summary = RunSummary::of(&world);
    let dropped = guard(|| drop(world));
    (summary, ran.and(dropped))
}

/// Runs a seed twice, to see that it does the same both times.
///
/// # Errors
///
/// [`Diverged`], with the first event that differs. Whether the scenario itself fails is another
/// matter, and not asked here.
pub fn self_check<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Result<RunSummary, Box<Diverged>> {
    let (first, _) = run_seed(seed, &scenario);
    let (second, _) = run_seed(seed, &scenario);
    if first == second {
        return Ok(first);
    }
    // It may diverge elsewhere this time, but then that is what is to be found.
    let record = || {
        let mut world = World::new(seed);
        world.record_trace();
        // Its own failure is not asked about here.
        drop(run(&mut world, &scenario));
        let trace = world.take_trace();
        (world, trace)
    };
    let ((world, one), (other_world, other)) = (record(), record());
    let index = first_difference(&one, &other).unwrap_or(one.len());
    let describe = |world: &World<A>, event: Option<&TraceEvent>| {
        event.map_or_else(|| "(none)".to_owned(), |event| world.describe(event))
    };
    Err(Box::new(Diverged {
        seed,
        index,
        first: describe(&world, one.get(index)),
        second: describe(&other_world, other.get(index)),
    }))
}

/// Runs a seed and keeps all that happened, as data and as text: to be compared with another run of
/// it, on another thread or in another process.
pub fn record_seed<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Recording {
    let mut world = World::new(seed);
    world.record_trace();
    // Its own failure is not asked about here.
    drop(run(&mut world, &scenario));
    let events = world.take_trace();
    let lines = events.iter().map(|event| world.describe(event)).collect();
    Recording {
        seed,
        events,
        lines,
    }
}

/// All that happened in a run. Made by [`record_seed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    seed: u64,
    events: Vec<TraceEvent>,
    lines: Vec<String>,
}

impl Recording {
    /// The first event that differs from what happened in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Diverged> {
        let index = first_difference(&self.events, &other.events)?;
        let describe = |recording: &Self| {
            let line = recording.lines.get(index);
            line.map_or_else(|| "(none)".to_owned(), Clone::clone)
        };
        Some(Diverged {
            seed: self.seed,
            index,
            first: describe(self),
            second: describe(other),
        })
    }

    /// What happened, a line each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// The seed that all of it follows from.
    pub seed: u64,
    /// How much happened.
    pub events: u64,
    /// The virtual time at its end.
    pub at: Timestamp,
    /// The hash of all that happened.
    pub trace_hash: TraceHash,
}

impl RunSummary {
    fn of<A: App>(world: &World<A>) -> Self {
        Self {
            seed: world.seed(),
            events: world.events(),
            at: world.now(),
            trace_hash: world.trace_hash(),
        }
    }
}

/// A seed for which a scenario failed. Prints all there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundFailure {
    /// The name of the scenario.
    pub scenario: String,
    /// The seed, and how far the run came.
    pub summary: RunSummary,
    /// Why it failed.
    pub failure: Failure,
    /// The last events before it failed, as text.
    pub last_events: Vec<String>,
    /// The line that replays it.
    pub replay: String,
}

impl fmt::Display for FoundFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunSummary {
            seed,
            events,
            at,
            trace_hash,
        } = self.summary;
        writeln!(f, "scenario `{}` failed for seed {seed:#x}", self.scenario)?;
        writeln!(f, "  {}", self.failure)?;
        writeln!(f, "  at {at}, after {events} events, trace {trace_hash}")?;
        writeln!(f, "last events:")?;
        for event in &self.last_events {
            writeln!(f, "  {event}")?;
        }
        write!(f, "replay it with:\n  {}", self.replay)
    }
}

/// Two runs of one seed that were not the same: something asked the outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two runs of seed {seed:#x} differ from event {index} on:\n  first:  {first}\n  second: {second}\n\
    A task or the scenario asks something that no seed decides: a clock, the system's randomness, \
    an address in memory, the order of a `HashMap`, or a `static`"
)]
#[non_exhaustive]
pub struct Diverged {
    /// The seed.
    pub seed: u64,
    /// How many events were the same.
    pub index: usize,
    /// The first event that differs, in one run.
    pub first: String,
    /// And in the other.
    pub second: String,
}

/// Runs the scenario, and then looks for failures that it did not look at.
fn run<A: App>(
    world: &mut World<A>,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ran = guard(|| scenario(world)).and_then(|ran| ran);
    match world.failure() {
        // What failed for good came first, even if the scenario then tripped over it.
        Some(failure) => Err(failure.clone()),
        None => ran,
    }
}

fn first_difference(one: &[TraceEvent], other: &[TraceEvent]) -> Option<usize> {
    (0..one.len().max(other.len())).find(|&index| one.get(index) != other.get(index))
}

fn guard<R>(call: impl FnOnce() -> R) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| Failure::Panicked {
        message: message(payload.as_ref()),
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|&message| message.to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(a payload that is no text)".to_owned())
}

/// The last events before a failure, as text.
fn describe_last<A: App>(world: &World<A>) -> Vec<String> {
    let mut shown: Vec<String> = world
        .last_events()
        .map(|event| world.describe(&event))
        .collect();
    shown.drain(..shown.len().saturating_sub(SHOWN_MAX));
    shown
}

/// Events shown with a failure.
const SHOWN_MAX: usize = 24;
