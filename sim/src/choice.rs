//! The choices of a run as data.
//!
//! Every random decision of a world is one draw, named by site, entity and count
//! ([`Draw`](stillpoint::Draw)), and what came of it is a [`Choice`]. A [`ChoiceLog`] has all choices of one run, in the
//! order in which they were made. Since each has a name of its own, a log outlives changes of the
//! code: choices that are still asked for are found, and those that are new fall back to the seed.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

use stillpoint::Entity;

mod bytes;
mod director;
mod json;

pub(crate) use director::Director;
pub use director::Driver;

/// One random decision, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The place in the code.
    pub site: Arc<str>,
    /// Who has drawn.
    pub entity: Entity,
    /// How many draws the entity had made at this site before.
    pub count: u64,
    /// How many alternatives there were; 0 stands for all 2^64, of which none is simpler than
    /// another: an id, say.
    pub options: u64,
    /// Which it was, from 0 on. Where that means anything, 0 is the quiet one: the shortest delay,
    /// no loss, no fault.
    pub chosen: u64,
}

impl Choice {
    /// A choice that was made, or is to be made.
    ///
    /// # Panics
    ///
    /// If it is none of the options.
    #[must_use]
    pub fn new(
        site: impl Into<Arc<str>>,
        entity: Entity,
        count: u64,
        (options, chosen): (u64, u64),
    ) -> Self {
        let site = site.into();
        assert!(
            options == 0 || chosen < options,
            "choice {chosen} at `{site}`: there are {options} alternatives, counted from 0"
        );
        Self {
            site,
            entity,
            count,
            options,
            chosen,
        }
    }

    /// Whether it is a choice among numbered alternatives, which may be made simpler, and not just
    /// any bits.
    #[must_use]
    pub const fn has_order(&self) -> bool {
        self.options != 0
    }

    /// Whether both are the same decision, however decided.
    #[must_use]
    pub fn is_same_draw(&self, other: &Self) -> bool {
        (&self.site, self.entity, self.count) == (&other.site, other.entity, other.count)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            site,
            entity,
            count,
            options,
            chosen,
        } = self;
        let entity = entity.number();
        write!(
            f,
            "`{site}` of entity {entity:#018x}, draw {count}: {chosen}"
        )?;
        match options {
            0 => Ok(()),
            options => write!(f, " of {options}"),
        }
    }
}

/// What a choice is that no log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Rest {
    /// What the seed gives.
    #[default]
    Seed,
    /// The quiet one, 0; what the seed gives where any bits are asked for.
    Quiet,
}

impl Rest {
    /// A choice that is in no log.
    const fn choose(self, options: u64, drawn: u64) -> u64 {
        match self {
            Self::Quiet if options != 0 => 0,
            Self::Quiet | Self::Seed => drawn,
        }
    }
}

/// All choices of a run, in the order in which they were made, and what was left out of it.
///
/// # Example
///
/// ```
/// # use stillpoint::*;
/// # use stillpoint_sim::*;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// let throws_six = |world: &mut World<Game>| match world.draw("die", 1..=6) {
///     6 => Err(Failure::new("a six")),
///     _ => Ok(()),
/// };
/// let found = (0..).map(|seed| drive(Driver::Seed(seed), Watch::Outcome, throws_six));
/// let failed = found.into_iter().find(|run| run.failure.is_some()).expect("a six, some time");
/// assert_eq!(failed.choices.choices()[0].chosen, 5);
/// // The log brings the run back, and so do the bytes that it comes to.
/// for driver in [Driver::Log(&failed.choices), Driver::Bytes(&failed.choices.to_bytes().unwrap())] {
///     let again = drive(driver, Watch::Outcome, throws_six);
///     assert_eq!(again.summary.trace_hash, failed.summary.trace_hash);
///     assert_eq!(again.failure, failed.failure);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChoiceLog {
    seed: u64,
    rest: Rest,
    choices: Vec<Choice>,
    omitted: BTreeSet<u64>,
    /// Whether all choices of its run are here.
    is_whole: bool,
}

impl ChoiceLog {
    /// A log without choices: what is not in it is up to `rest`.
    #[must_use]
    pub const fn new(seed: u64, rest: Rest) -> Self {
        Self {
            seed,
            rest,
            choices: Vec::new(),
            omitted: BTreeSet::new(),
            is_whole: true,
        }
    }

    /// The same with these choices in place of its own.
    #[must_use]
    pub fn with_choices(mut self, choices: impl Into<Vec<Choice>>) -> Self {
        self.choices = choices.into();
        self
    }

    /// The same; choices that it has not are what `rest` says.
    #[must_use]
    pub const fn with_rest(mut self, rest: Rest) -> Self {
        self.rest = rest;
        self
    }

    /// The same, but faults with these numbers do not happen. See
    /// [`World::planned`](crate::World::planned): faults are numbered in the order in which they
    /// were scheduled or injected.
    #[must_use]
    pub fn omitting(mut self, faults: impl IntoIterator<Item = u64>) -> Self {
        self.omitted = faults.into_iter().collect();
        self
    }

    /// The seed of the run.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// What choices are that it does not have.
    #[must_use]
    pub const fn rest(&self) -> Rest {
        self.rest
    }

    /// The choices, in the order in which they were made.
    #[must_use]
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// Numbers of the faults that are left out.
    #[must_use]
    pub const fn omitted(&self) -> &BTreeSet<u64> {
        &self.omitted
    }

    /// Whether it has all choices of its run. A run makes more than are kept if there are more than
    /// [`ChoiceLog::CHOICES_MAX`]; its seed brings it back all the same.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Choices that are kept of one run.
    pub const CHOICES_MAX: usize = 1 << 22;
}

/// How the choices of a run compare with the log that it was to follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drift {
    /// Choices of the log that were asked for.
    pub matched: u64,
    /// Draws that the log does not know.
    pub fresh: u64,
    /// Choices of the log that nobody has asked for.
    pub unused: u64,
    /// The first draw that the log does not know, with how many choices were made before.
    pub first_fresh: Option<(u64, Choice)>,
    /// The first choice of the log that nobody has asked for.
    pub first_unused: Option<Choice>,
}

impl Drift {
    /// Whether the run has made all the choices of its log, and no others.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.fresh == 0 && self.unused == 0
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = self.matched + self.unused;
        if self.is_none() {
            return write!(f, "all {recorded} recorded choices were made again");
        }
        write!(
            f,
            "of {recorded} recorded choices {} were made again",
            self.matched
        )?;
        if let Some((after, first)) = &self.first_fresh {
            let fresh = self.fresh;
            write!(
                f,
                "; {fresh} draws are new, the first after {after} choices: {first}"
            )?;
        }
        if let Some(first) = &self.first_unused {
            write!(f, "; the first that nobody has asked for: {first}")?;
        }
        Ok(())
    }
}
