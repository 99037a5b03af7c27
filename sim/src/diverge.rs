//! Finds scenarios that do not follow from their seed: runs them twice.

use std::rc::Rc;

use stillpoint::{App, Choices};

use crate::check::{RunSummary, guard, run};
use crate::draws::{DrawHasher, Drawn, DrawsCompared, Recorder, compare};
use crate::failure::Failure;
use crate::trace::TraceEvent;
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
    let (one, other) = (Recorded::of(seed, &scenario), Recorded::of(seed, &scenario));
    let len = one.trace.len().max(other.trace.len());
    let differs = (0..len).find(|&index| one.trace.get(index) != other.trace.get(index));
    let index = differs.unwrap_or(len);
    let (mut first, mut second) = (one.describe(index), other.describe(index));
    if first == second {
        (first, second) = (one.describe_all(index), other.describe_all(index));
    }
    Err(Box::new(Diverged {
        seed,
        index,
        first,
        second,
        draws: compare(
            [&one.world, &other.world],
            [&one.drawn, &other.drawn],
            index,
        ),
    }))
}

/// A run of which everything was written down.
struct Recorded<A: App> {
    world: World<A>,
    trace: Vec<TraceEvent>,
    drawn: Drawn,
}

impl<A: App> Recorded<A> {
    fn of(seed: u64, scenario: &impl Fn(&mut World<A>) -> Result<(), Failure>) -> Self {
        let recorder = Rc::new(Recorder::default());
        let mut world = World::observed(seed, Rc::clone(&recorder) as Rc<dyn Choices>);
        world.mark_draws(Rc::clone(&recorder));
        world.record_trace();
        // Its own failure is not asked about here.
        drop(run(&mut world, scenario));
        let (trace, marks) = (world.take_trace(), world.take_marks());
        let list = recorder.take();
        Self {
            world,
            trace,
            drawn: Drawn { list, marks },
        }
    }

    fn describe(&self, index: usize) -> String {
        let event = self.trace.get(index);
        event.map_or_else(|| "(none)".to_owned(), |event| self.world.describe(event))
    }

    /// The same, if that would read alike in both runs: with what the text leaves out.
    fn describe_all(&self, index: usize) -> String {
        let text = self.describe(index);
        match self.trace.get(index) {
            Some(event) => format!("{text} {:x?}", event.words),
            None => text,
        }
    }
}

/// Two runs of one seed that were not the same: something asked the outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two runs of seed {seed:#x} differ from event {index} on:\n  first:  {first}\n  second: {second}\n\
    {draws}\n\
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
    /// What was drawn differently, or last.
    pub draws: DrawsCompared,
}
