//! Finds scenarios that do not follow from their seed: runs them twice.

use core::iter;
use std::collections::BTreeMap;
use std::rc::Rc;

use stillpoint::{App, Choices, Draw, Entity};

use crate::check::{RunSummary, guard, run};
use crate::draws::{CountDraws, DrawHasher, DrawnDraw, DrawsCompared, Recorder};
use crate::failure::Failure;
use crate::trace::{LedBy, TraceLog};
use crate::world::World;

/// Runs a seed twice, to see that it does the same both times: the same events, and the same draws.
///
/// # Errors
///
/// [`Diverged`], with the first event that differs and the first draw that does. Whether the scenario
/// itself fails is another matter, and not asked here.
pub fn self_check<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Result<RunSummary, Box<Diverged>> {
    let once = || {
        let hasher = Rc::new(DrawHasher::default());
        let mut world = World::observed(seed, Rc::clone(&hasher) as Rc<dyn Choices>);
        drop(run(&mut world, &scenario));
        let summary = RunSummary::of(&world);
        // Tasks may panic when they are dropped, which is not asked about here either.
        drop(guard(|| drop(world)));
        (summary, hasher.digest())
    };
    let ((first, first_draws), (second, second_draws)) = (once(), once());
    if first == second && first_draws == second_draws {
        return Ok(first);
    }
    // It may diverge elsewhere this time, but then that is what is to be found.
    let (one, other) = (record_seed(seed, &scenario), record_seed(seed, &scenario));
    let events = one.log.len().max(other.log.len());
    let diverged = one.difference(&other);
    Err(Box::new(
        diverged.unwrap_or_else(|| one.compare(&other, events)),
    ))
}

/// Runs a seed and keeps all that happened and all that was drawn, as data and as text: to be
/// compared with another run of it, on another thread or in another process.
pub fn record_seed<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure>,
) -> Recording {
    let recorder = Rc::new(Recorder::default());
    let mut world = World::observed(seed, Rc::clone(&recorder) as Rc<dyn Choices>);
    world.mark_draws(Rc::clone(&recorder) as Rc<dyn CountDraws>);
    world.record_trace();
    // Its own failure is not asked about here.
    drop(run(&mut world, &scenario));
    let log = world.take_log();
    let recording = Recording {
        seed,
        lines: log.lines(),
        log,
        draws: recorder.take(),
        marks: world.take_marks(),
        names: world.entity_names(),
    };
    drop(guard(|| drop(world)));
    recording
}

/// All that happened in a run. Made by [`record_seed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    seed: u64,
    log: TraceLog,
    lines: Vec<String>,
    draws: Vec<(Draw, u64)>,
    /// How many draws had been made at each event.
    marks: Vec<usize>,
    names: BTreeMap<Entity, String>,
}

impl Recording {
    /// The first event or draw that differs from what happened in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Diverged> {
        match self.log.first_difference(&other.log) {
            Some(index) => Some(self.compare(other, index)),
            None => (self.draws != other.draws).then(|| self.compare(other, self.log.len())),
        }
    }

    /// What happened, with what has led to what.
    #[must_use]
    pub const fn log(&self) -> &TraceLog {
        &self.log
    }

    /// What happened, a line each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Tells of an event that differs, if it does, and of the draws up to there.
    fn compare(&self, other: &Self, index: usize) -> Diverged {
        let (mut first, mut second) = (self.line(index), other.line(index));
        if first == second {
            (first, second) = (self.whole_line(index), other.whole_line(index));
        }
        Diverged {
            seed: self.seed,
            index,
            first,
            second,
            led_by: self.log.led_by(index).unwrap_or_default(),
            draws: self.compare_draws(other, index),
        }
    }

    /// Compares what was drawn up to an event.
    fn compare_draws(&self, other: &Self, event: usize) -> DrawsCompared {
        let mark = |run: &Self| run.marks.get(event).copied().unwrap_or(run.draws.len());
        let until = mark(self).max(mark(other));
        let mut all = 0..until;
        match all.find(|&index| self.draws.get(index) != other.draws.get(index)) {
            Some(index) => DrawsCompared::Differ {
                index,
                first: self.draw(index),
                second: other.draw(index),
            },
            None => DrawsCompared::Same {
                last: until.checked_sub(1).and_then(|last| self.draw(last)),
            },
        }
    }

    fn draw(&self, index: usize) -> Option<DrawnDraw> {
        let &(draw, drawn) = self.draws.get(index)?;
        let who = self.names.get(&draw.entity).map_or_else(
            || format!("entity {:#018x}", draw.entity.number()),
            Clone::clone,
        );
        Some(DrawnDraw { draw, drawn, who })
    }

    fn line(&self, index: usize) -> String {
        let line = self.lines.get(index);
        line.map_or_else(|| "(none)".to_owned(), Clone::clone)
    }

    /// With what the text leaves out, for events that would read alike.
    fn whole_line(&self, index: usize) -> String {
        let words = self.log.event(index).map(|logged| logged.event.words);
        let words = words.map(|words| format!(" {words:x?}"));
        iter::once(self.line(index)).chain(words).collect()
    }
}

/// Two runs of one seed that were not the same: something asked the outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two runs of seed {seed:#x} differ from event {index} on:\n  first:  {first}\n  second: {second}\n\
    {}{draws}\n\
    A task or the scenario asks something that no seed decides: a clock, the system's randomness, \
    an address in memory, the order of a `HashMap`, or a `static`",
    LedBy(led_by)
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
    /// What has led to the first of the two: the last few of the chain, as lines.
    pub led_by: Vec<String>,
    /// What was drawn differently, or last.
    pub draws: DrawsCompared,
}
