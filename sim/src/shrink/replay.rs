//! A run that is written down in code.

use stillpoint::{App, Entity, Timestamp};

use crate::choice::{Choice, ChoiceLog, Driver, Rest};
use crate::drive::{Run, Scenario, Watch};
use crate::failure::Failure;
use crate::fault::{Fault, FaultScript};
use crate::node::NodeId;
use crate::story::Story;
use crate::world::World;

/// A run of a scenario that is written down in code: what [`Shrunk::to_test`](super::Shrunk::to_test)
/// writes. What it does not say is quiet.
///
/// # Example
///
/// ```
/// # use stillpoint::*;
/// # use stillpoint_sim::*;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// fn throws_six(world: &mut World<Game>) -> Result<(), Failure> {
///     match world.draw("die", 1..=6) {
///         6 => Err(Failure::new("a six")),
///         _ => Ok(()),
///     }
/// }
/// let replay = Replay::of("throws_six", throws_six).choose("scenario", "die", 0, (6, 5));
/// assert_eq!(replay.run().failure, Some(Failure::new("a six")));
/// // A one.
/// Replay::of("throws_six", throws_six).passes();
/// ```
#[derive(Debug)]
pub struct Replay {
    scenario: Scenario,
    seed: u64,
    choices: Vec<Choice>,
    omitted: Vec<u64>,
    faults: Option<FaultScript>,
}

/// Who draws: the name of what draws, or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawer(Entity);

impl From<&str> for Drawer {
    fn from(name: &str) -> Self {
        Self(Entity::named(name))
    }
}

impl From<u64> for Drawer {
    fn from(number: u64) -> Self {
        Self(Entity::new(number))
    }
}

impl Replay {
    /// A quiet run of this scenario.
    #[must_use]
    pub fn of<A: App>(
        name: impl Into<String>,
        scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            scenario: Scenario::new(name, scenario),
            seed: 0,
            choices: Vec::new(),
            omitted: Vec::new(),
            faults: None,
        }
    }

    /// The same; what is no choice among alternatives, ids and the like, is what this seed gives.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same, with one more choice: where it is made, by whom, how many the same had made there
    /// before; and how many alternatives there are, and which of them is chosen, counted from 0.
    ///
    /// # Panics
    ///
    /// If there is no such alternative.
    #[must_use]
    pub fn choose(
        mut self,
        site: &str,
        who: impl Into<Drawer>,
        count: u64,
        (options, chosen): (u64, u64),
    ) -> Self {
        let Drawer(entity) = who.into();
        let choice = Choice::new(site, entity, count, (options, chosen));
        self.choices.push(choice);
        self
    }

    /// The same, but faults with these numbers do not happen: see [`ChoiceLog::omitting`].
    #[must_use]
    pub fn without_faults(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.omitted.extend(numbers);
        self
    }

    /// The same, with these faults in place of those that the scenario schedules. What is given finds
    /// nodes by their names.
    #[must_use]
    pub fn faults<F: IntoIterator<Item = (Timestamp, Fault)>>(
        mut self,
        faults: impl Fn(&dyn Fn(&str) -> NodeId) -> F + 'static,
    ) -> Self {
        self.faults = Some(FaultScript::new(faults));
        self
    }

    /// Runs it, [watched](Watch::Trace).
    #[must_use]
    pub fn run(&self) -> Run {
        let log = ChoiceLog::new(self.seed, Rest::Quiet)
            .with_choices(self.choices.clone())
            .omitting(self.omitted.iter().copied());
        let log = &log;
        let driver = match &self.faults {
            Some(faults) => Driver::Scripted { log, faults },
            None => Driver::Log(log),
        };
        self.scenario.run(driver, Watch::Trace)
    }

    /// Runs it, and demands that it does not fail.
    ///
    /// # Panics
    ///
    /// If it fails, with its story.
    pub fn passes(&self) {
        let run = self.run();
        if run.failure.is_some() {
            panic!("{}", Story::of(self.scenario.name(), &run));
        }
    }
}
