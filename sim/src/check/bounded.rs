//! Checks that are bounded by time as well as by their seeds.

use core::fmt;
use core::panic::Location;
use core::time::Duration;

use stillpoint::App;

use super::run_all;
use crate::failure::Failure;
use crate::replay::{BUDGET_VARIABLE, variable};
use crate::wall::{Stopwatch, parse_budget};
use crate::world::World;

/// A [`check`](crate::check()) that is bounded by time, too, so that `cargo test` stays quick while a night's run has
/// all the time it wants.
///
/// Unless told otherwise it runs seeds from 0 on, for [`Check::BUDGET`]. The environment may say for
/// how long instead: `STILLPOINT_BUDGET=60s`, or `5m`; `0` or `none` for as long as there are seeds.
/// At least one seed is run, and all that are kept.
///
/// With a budget, how many seeds are run depends on the machine; what happens in each does not. A
/// test whose seeds are all to be run on every machine is for [`check`](crate::check()), which has no budget and does
/// not ask the environment for one, or for [`Check::unbounded`].
///
/// # Example
///
/// ```
/// # use stillpoint::*;
/// # use stillpoint_sim::*;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// use core::time::Duration;
///
/// Check::new("dice").seeds(0..100).budget(Duration::from_secs(2)).run(|world: &mut World<Game>| {
///     let thrown = world.draw("die", 1..=6);
///     world.sometimes("a six", move |_| thrown == 6);
///     if thrown <= 6 { Ok(()) } else { Err(Failure::new("what a die")) }
/// });
/// ```
#[must_use = "it runs nothing until `Check::run`"]
pub struct Check {
    name: String,
    /// `None`: from 0 on.
    seeds: Option<Box<dyn Iterator<Item = u64>>>,
    budget: Option<Duration>,
}

impl Check {
    /// How long seeds are run unless told otherwise.
    pub const BUDGET: Duration = Duration::from_secs(5);

    /// A check of the scenario of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            seeds: None,
            budget: Some(Self::BUDGET),
        }
    }

    /// The seeds, if there is time for all.
    pub fn seeds<I>(mut self, seeds: I) -> Self
    where
        I: IntoIterator<Item = u64>,
        I::IntoIter: 'static,
    {
        self.seeds = Some(Box::new(seeds.into_iter()));
        self
    }

    /// How long seeds are run, unless the environment says otherwise.
    pub const fn budget(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }

    /// All seeds are run, however long it takes.
    pub const fn unbounded(mut self) -> Self {
        self.budget = None;
        self
    }

    /// Runs it. If the budget is used up before the seeds are, it says so on the standard error; labels
    /// of [`World::sometimes`] that were not reached by then are told, too, and are no failure.
    ///
    /// # Panics
    ///
    /// As [`check`](crate::check()). If there is neither an end to the seeds nor a budget. If `STILLPOINT_BUDGET` has
    /// something else than a duration.
    #[track_caller]
    pub fn run<A: App>(self, scenario: impl Fn(&mut World<A>) -> Result<(), Failure>) {
        let Self {
            name,
            seeds,
            budget,
        } = self;
        let asked = budget.and_then(|_| variable(BUDGET_VARIABLE));
        let budget = asked.map_or(budget, |text| {
            parse_budget(&text).unwrap_or_else(|error| panic!("{BUDGET_VARIABLE}={text}: {error}"))
        });
        assert!(
            seeds.is_some() || budget.is_some(),
            "{name}: neither an end to its seeds nor a budget: give `Check::seeds`, or a time"
        );
        let seeds = seeds.unwrap_or_else(|| Box::new(0..=u64::MAX));
        let watch = Stopwatch::start(budget);
        run_all(&name, seeds, watch, Location::caller(), &scenario);
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
