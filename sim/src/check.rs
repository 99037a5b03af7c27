//! Scenarios run for many seeds, and what is said of those that fail.

use core::any::Any;
use core::fmt;
use core::panic::{AssertUnwindSafe, Location};
use std::panic::catch_unwind;
use std::path::Path;

use stillpoint::{App, Timestamp};

use crate::choice::Driver;
use crate::coverage::{Coverage, Footprint};
use crate::drive::{Watch, drive};
use crate::failure::{Failure, FailureFile, Outcome, ReplayFrom};
use crate::folder::{self, Keepsakes, Kept};
use crate::replay::{
    BUDGET_VARIABLE, REPLAY_VARIABLE, SEED_VARIABLE, replay_line, seed_from_environment, variable,
};
use crate::trace::TraceHash;
use crate::wall::Stopwatch;

mod bounded;

use crate::world::World;
pub use bounded::Check;

/// Runs a scenario for each seed, until one fails. The short form of [`Check`]: all seeds are run,
/// however long it takes.
///
/// A scenario that returns `Ok` is run on until everything that it demands by a deadline
/// ([`World::eventually`]) has come or is overdue.
///
/// Seeds that are kept are run first, every time: each line of the file beside the test's source,
/// `tests/calls.seeds` for `tests/calls.rs`, has the name of the scenario and a seed, or the path of
/// a `failure.json` from there.
///
/// If the environment has `STILLPOINT_SEED` (decimal, or hexadecimal after `0x`), that one seed is
/// run instead; if it has `STILLPOINT_REPLAY`, the failure in that folder.
///
/// # Panics
///
/// If a seed fails, with all there is to say of it and a line that replays it; it is written to a
/// folder under `target/stillpoint`, too, or under the folder that `STILLPOINT_FOLDER` names. If no
/// seed fails and some label of [`World::sometimes`] was reached by none of them, unless one run was
/// chosen. If what was chosen, or is kept, cannot be read, or there are no seeds at all.
#[track_caller]
pub fn check<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) {
    let watch = Stopwatch::start(None);
    run_all(name, seeds, watch, Location::caller(), &scenario);
}

fn run_all<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    watch: Stopwatch,
    test: &Location<'_>,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) {
    if let Some(path) = variable(REPLAY_VARIABLE) {
        return replay(name, Path::new(&path), scenario);
    }
    if let Some(seed) = seed_from_environment() {
        say(&format!(
            "{name}: runs seed {seed:#x} only, as {SEED_VARIABLE} says"
        ));
        if let Some(found) = find_failure(name, [seed], scenario) {
            panic!("{}", written(&found, None, scenario));
        }
        return;
    }
    let keepsakes = Keepsakes::of(name, test);
    for kept in &keepsakes.kept {
        match kept {
            Kept::File(file) => replay_file(name, file, scenario),
            Kept::Seed(seed) => {
                if let Some(found) = find_failure(name, [*seed], scenario) {
                    panic!("{}", written(&found, None, scenario));
                }
            }
        }
    }
    let (swept, end) = sweep_within(name, seeds, watch, scenario);
    if let Some(found) = swept.failure {
        panic!("{}", written(&found, keepsakes.path.as_deref(), scenario));
    }
    judge(name, &swept.coverage, end, watch);
}

/// Says what is to be said of seeds of which none has failed.
fn judge(name: &str, coverage: &Coverage, end: End, watch: Stopwatch) {
    let seeds = coverage.seeds;
    assert!(seeds > 0, "{name}: no seeds to run, so nothing was checked");
    let unreached: Vec<&str> = coverage.unreached().collect();
    let labels = unreached.join("`, `");
    if end == End::Budget {
        let budget = watch.budget().unwrap_or_default();
        let mut told = format!(
            "{name}: {seeds} seeds, and then its budget of {budget:?} was used up \
            ({BUDGET_VARIABLE}=60s gives it more)"
        );
        if !unreached.is_empty() {
            told += &format!(
                ". None of them has reached `{labels}`, which says little, as more were to come"
            );
        }
        return say(&told);
    }
    assert!(
        unreached.is_empty(),
        "{name}: reached by none of {seeds} seeds: `{labels}`. The scenario does not try what it is \
        meant to, or needs more seeds. All labels, {coverage}"
    );
}

#[expect(
    clippy::print_stderr,
    reason = "says what is not run, and what is not sure"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

/// A failure with the folder that it is written to, and how to keep its seed.
fn written<A: App>(
    found: &FoundFailure,
    seeds: Option<&Path>,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> String {
    let (name, seed) = (&found.scenario, found.summary.seed);
    let run = drive(Driver::Seed(seed), Watch::Trace, scenario);
    let mut text = match FailureFile::of(name, &run).map(|file| folder::write(&file, &run)) {
        Some(Ok(folder)) => format!("{found}\nall of it is in\n  {}", folder.display()),
        Some(Err(error)) => format!("{found}\n(it could not be written to a folder: {error})"),
        None => format!("{found}\nBut run once more, it does not fail: see `self_check`"),
    };
    if let Some(seeds) = seeds {
        text += "\nto run it first every time, put this line into ";
        text += &format!("{}:\n  {name} {seed:#x}", seeds.display());
    }
    text
}

/// Runs the failure that the environment asks for, if it is of this scenario.
fn replay<A: App>(
    name: &str,
    path: &Path,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) {
    let file = FailureFile::read(path).unwrap_or_else(|error| panic!("{error}"));
    if file.scenario == name {
        say(&format!(
            "{name}: runs {} only, as {REPLAY_VARIABLE} says",
            path.display()
        ));
        replay_file(name, &file, scenario);
    } else {
        let of = &file.scenario;
        say(&format!(
            "{name}: not run, as {REPLAY_VARIABLE} has a failure of `{of}`"
        ));
    }
}

fn replay_file<A: App>(
    name: &str,
    file: &FailureFile,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) {
    let replayed = file.replay_by(ReplayFrom::Choices, |driver| {
        drive(driver, Watch::Trace, scenario)
    });
    let seed = file.summary.seed;
    let report = format!("{name}, failure of seed {seed:#x}: {}", replayed.report());
    assert!(replayed.run.failure.is_none(), "{report}");
    if replayed.outcome == Outcome::Drifted {
        say(&report);
    }
}

/// Runs a scenario for each seed, until one fails. What [`check`] is made of; it does not ask the
/// environment, nor for labels.
pub fn find_failure<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Option<FoundFailure> {
    sweep(name, seeds, scenario).failure
}

/// The same, and tells what the seeds have come to.
pub fn sweep<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Sweep {
    sweep_within(name, seeds, Stopwatch::start(None), &scenario).0
}

/// Why no more seeds were run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There were no more, or one has failed.
    Seeds,
    /// The budget was used up before.
    Budget,
}

fn sweep_within<A: App>(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    watch: Stopwatch,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> (Sweep, End) {
    let mut coverage = Coverage::default();
    let (mut failure, mut end) = (None, End::Seeds);
    for seed in seeds {
        if coverage.seeds > 0 && watch.is_over() {
            end = End::Budget;
            break;
        }
        let tried = try_seed(seed, scenario);
        coverage.note(&tried.footprint);
        if let Some(found) = tried.failure {
            failure = Some(FoundFailure {
                scenario: name.to_owned(),
                failure: look_closer(&tried.summary, found, scenario),
                summary: tried.summary,
                last_events: tried.last_events,
                replay: replay_line(seed, name),
            });
            break;
        }
    }
    (Sweep { failure, coverage }, end)
}

/// What became of one seed.
pub(crate) struct Tried {
    pub(crate) summary: RunSummary,
    pub(crate) failure: Option<Failure>,
    pub(crate) footprint: Footprint,
    /// As text, if it has failed.
    pub(crate) last_events: Vec<String>,
}

/// Runs a scenario for one seed, the fast way: nobody takes down what is decided.
pub(crate) fn try_seed<A: App>(
    seed: u64,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Tried {
    let mut world = World::new(seed);
    let failure = run(&mut world, scenario).err();
    let footprint = world.footprint();
    let last_events = match failure {
        Some(_) => describe_last(&world),
        None => Vec::new(),
    };
    let summary = RunSummary::of(&world);
    // Tasks may panic when they are dropped, too.
    let dropped = guard(|| drop(world)).err();
    Tried {
        summary,
        failure: failure.or(dropped),
        footprint,
        last_events,
    }
}

/// Runs a seed that has failed once more, to see what its sockets have heard last. What it is told
/// counts only if the run is the same.
fn look_closer<A: App>(
    summary: &RunSummary,
    failure: Failure,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Failure {
    if failure.waiting().is_none() {
        return failure;
    }
    let mut world = World::new(summary.seed);
    world.watch_sockets();
    let closer = run(&mut world, scenario).err();
    let same = RunSummary::of(&world) == *summary;
    let dropped = guard(|| drop(world));
    match closer {
        Some(closer) if same && dropped.is_ok() && closer.is_like(&failure) => closer,
        Some(_) | None => failure,
    }
}

/// What became of many seeds of a scenario. See [`sweep`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// The first seed that failed; those behind it were not run.
    pub failure: Option<FoundFailure>,
    /// What the seeds have reached.
    pub coverage: Coverage,
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
    pub(crate) fn of<A: App>(world: &World<A>) -> Self {
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

/// Runs the scenario until nothing is owed, and then looks for failures that it did not look at.
pub(crate) fn run<A: App>(
    world: &mut World<A>,
    scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ran = guard(|| {
        scenario(world)?;
        world.decide()
    });
    let ran = ran.and_then(|ran| ran);
    match world.failure() {
        // What failed for good came first, even if the scenario then tripped over it.
        Some(failure) => Err(failure.clone()),
        None => ran,
    }
}

pub(crate) fn guard<R>(call: impl FnOnce() -> R) -> Result<R, Failure> {
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
