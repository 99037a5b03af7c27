//! Makes a run that fails as small as it can, and keeps the way in which it fails.
//!
//! Shrinking works on the [choices](ChoiceLog) of a run and knows nothing of what they mean, so
//! every scenario shrinks as it is. That is how Hypothesis does it (D. MacIver, A. Donaldson:
//! Test-case reduction via test-case generation, ECOOP 2020); here choices have names, so those of
//! one site or one entity can be made quiet together wherever they stand, and those that are not
//! asked for any more are nobody's loss.

use core::fmt;

use crate::choice::{Choice, ChoiceLog};
use crate::drive::{Run, Scenario};
use crate::failure::FailureClass;
use crate::story::Story;

mod anew;
mod exchange;
mod faults;
mod nodes;
mod passes;
mod replay;
mod search;
mod size;
mod written;

use passes::{SCENARIO, delete, lower, quiet_by, reorder, site, site_and_entity};
pub use replay::{Drawer, Replay};
use search::{Search, key};
pub use size::Extent;

/// How much a search may cost.
pub struct Budget {
    runs_max: u64,
    stop: Option<Box<dyn FnMut() -> bool>>,
}

impl Budget {
    /// So many runs of the scenario. With that alone the same log always comes to the same end.
    #[must_use]
    pub fn runs(runs_max: u64) -> Self {
        Self {
            runs_max,
            stop: None,
        }
    }

    /// The same, and no run is begun once `stop` says so: when it is late, say. It is asked before
    /// each.
    #[must_use]
    pub fn stop_when(mut self, stop: impl FnMut() -> bool + 'static) -> Self {
        self.stop = Some(Box::new(stop));
        self
    }

    pub(crate) const fn runs_max(&self) -> u64 {
        self.runs_max
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.stop.as_mut().is_some_and(|stop| stop())
    }
}

impl Default for Budget {
    /// 20,000 runs.
    fn default() -> Self {
        Self::runs(20_000)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Budget");
        shown.field("runs_max", &self.runs_max);
        shown.finish_non_exhaustive()
    }
}

/// A run that fails, as small as it could be made. Prints what that has come to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shrunk {
    /// The name of the scenario.
    pub scenario: String,
    /// What it takes to name its function in code, if that is [known](Scenario::at).
    pub path: Option<String>,
    /// What makes the small run: the choices that are not quiet, and which faults are left out.
    pub log: ChoiceLog,
    /// The small run, [watched](crate::Watch::Trace).
    pub run: Run,
    /// What it fails with, as the whole run did.
    pub class: FailureClass,
    /// How often the scenario was run.
    pub runs: u64,
    /// Whether it cannot be made smaller in any way that was tried, or the budget was spent before.
    pub is_smallest: bool,
    /// How much there was.
    pub before: Extent,
    /// How much is left.
    pub after: Extent,
}

impl Shrunk {
    /// What happens in the small run.
    #[must_use]
    pub fn story(&self) -> Story {
        Story::of(&self.scenario, &self.run)
    }

    /// The small run as a test, which fails as it is until the bug is mended. `scenario` must be the
    /// one that was shrunk: it is run once or twice, to see in which form the test fails as it
    /// should.
    ///
    /// Faults are written as a script, if they can be, and else as the choices of their plan and the
    /// numbers of those that are left out.
    #[must_use]
    pub fn to_test(&self, scenario: &Scenario) -> String {
        written::test(self, scenario)
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scenario, class, runs) = (&self.scenario, &self.class, self.runs);
        writeln!(f, "`{scenario}`, which fails with {class}, in {runs} runs")?;
        writeln!(f, "             whole run   smallest")?;
        let rows = [
            ("nodes", self.before.nodes as u64, self.after.nodes as u64),
            (
                "faults",
                self.before.faults as u64,
                self.after.faults as u64,
            ),
            ("events", self.before.events, self.after.events),
            (
                "choices",
                self.before.choices as u64,
                self.after.choices as u64,
            ),
        ];
        for (name, before, after) in rows {
            writeln!(f, "  {name:<9} {before:>10} {after:>10}")?;
        }
        f.write_str(if self.is_smallest {
            "nothing that was tried makes it smaller"
        } else {
            "the budget was spent: more runs may make it smaller"
        })
    }
}

/// There is nothing to shrink: the log makes no run that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{scenario}` does not fail with these choices: the code is another, or the log is")]
pub struct NothingFails {
    /// The name of the scenario.
    pub scenario: String,
}

/// Looks for the smallest run that fails as the log's run does: with the same [`FailureClass`].
///
/// Of two runs the smaller one has fewer nodes that take part; then fewer faults, and fewer chances
/// that hit (a loss is one); then fewer events; then fewer choices that are not quiet, smaller ones,
/// earlier ones. The result depends on nothing but the scenario, the log, and how many runs there
/// may be.
///
/// A scenario that panics prints so each time. Whoever does not want to read that sets a panic hook.
///
/// # Errors
///
/// [`NothingFails`].
///
/// # Example
///
/// ```
/// # use stillpoint::*;
/// # use stillpoint_sim::*;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// let dice = Scenario::new("dice", |world: &mut World<Game>| {
///     let thrown: Vec<u64> = (0..20).map(|_| world.draw("die", 1..=6)).collect();
///     match thrown.iter().filter(|&&points| points == 6).count() {
///         sixes @ 4.. => Err(Failure::new(format!("{sixes} sixes"))),
///         _ => Ok(()),
///     }
/// });
/// let mut runs = (0..).map(|seed| dice.run(Driver::Seed(seed), Watch::Outcome));
/// let failed = runs.find(|run| run.failure.is_some()).expect("so many, some time");
/// let shrunk = shrink(&dice, &failed.choices, Budget::runs(1_000)).expect("it fails");
/// // Four sixes, then ones.
/// assert_eq!(shrunk.run.failure, Some(Failure::new("4 sixes")));
/// let counts: Vec<u64> = shrunk.log.choices().iter().map(|choice| choice.count).collect();
/// assert_eq!(counts, [0, 1, 2, 3]);
/// ```
pub fn shrink(
    scenario: &Scenario,
    log: &ChoiceLog,
    budget: Budget,
) -> Result<Shrunk, NothingFails> {
    let nothing = || NothingFails {
        scenario: scenario.name().to_owned(),
    };
    let mut search = Search::new(scenario, log, budget).ok_or_else(nothing)?;
    let before = Extent::of(search.best());
    coarse(&mut search);
    for attempt in 0..ATTEMPTS_MAX {
        let kept = search.keep();
        let found = anew::draw(&mut search, attempt);
        if !found && attempt > 0 {
            break;
        }
        go_round(&mut search);
        search.come_back(kept);
    }
    Ok(Shrunk {
        scenario: scenario.name().to_owned(),
        path: scenario.path().map(str::to_owned),
        log: search.log().clone(),
        run: search.watch(),
        class: search.class().clone(),
        runs: search.runs(),
        is_smallest: !search.is_over(),
        before,
        after: Extent::of(search.best()),
    })
}

/// Until nothing changes.
fn go_round(search: &mut Search<'_>) {
    loop {
        let size = search.size();
        round(search);
        if search.is_over() || search.size() == size {
            break;
        }
    }
}

/// Tries what takes much away with one run.
fn coarse(search: &mut Search<'_>) {
    let scenarios_own = |choice: &Choice| &*choice.site == SCENARIO;
    faults::omit(search);
    faults::begin_earlier(search);
    // How many nodes there are, say.
    quiet_by(search, |choice| scenarios_own(choice).then(|| key(choice)));
    lower(search, |choice| scenarios_own(choice) && choice.count == 0);
    nodes::delete_nodes(search);
    quiet_by(search, site);
    quiet_by(search, |choice| choice.entity);
    quiet_by(search, site_and_entity);
}

/// Tries all there is to try, once.
fn round(search: &mut Search<'_>) {
    coarse(search);
    quiet_by(search, key);
    lower(search, |_| true);
    delete(search, |choice| choice.entity);
    delete(search, site_and_entity);
    delete(search, site);
    reorder(search);
    exchange::nodes(search);
    search.let_rest_be_quiet();
}

/// How often it is begun anew, if that helps.
const ATTEMPTS_MAX: u64 = 4;
