//! From when on a run was likely to fail: which event turned it.
//!
//! A run is run again up to one of its events and goes on with another seed from there, many times.
//! How many of these fail tells how likely the failure was at that event. Where that jumps, something
//! was decided.

use core::fmt;

use stillpoint::{Entity, Entropy, Source};

use crate::choice::{Choice, ChoiceLog, Driver};
use crate::drive::{Run, Scenario, Watch};
use crate::failure::FailureClass;
use crate::shrink::{Budget, NothingFails};

/// How closely [`blame`] looks.
#[derive(Debug)]
pub struct BlameConfig {
    points_max: usize,
    samples: u64,
    budget: Budget,
}

impl Default for BlameConfig {
    /// 64 points, 32 samples of each, and as many again where it turns; 10,000 runs.
    fn default() -> Self {
        Self {
            points_max: 64,
            samples: 32,
            budget: Budget::runs(10_000),
        }
    }
}

impl BlameConfig {
    /// The same, with so many points of the run at most.
    ///
    /// # Panics
    ///
    /// If there are fewer than 2.
    #[must_use]
    pub fn points_max(mut self, points_max: usize) -> Self {
        assert!(
            points_max >= 2,
            "a curve of {points_max} points: give 2 at least"
        );
        self.points_max = points_max;
        self
    }

    /// The same, with so many seeds from each point.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn samples(mut self, samples: u64) -> Self {
        assert!(samples > 0, "a share of no samples: give 1 at least");
        self.samples = samples;
        self
    }

    /// The same, for so much.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }
}

/// How likely the failure was at one event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlamePoint {
    /// How many events had happened.
    pub events: usize,
    /// How many choices had been made.
    pub choices: usize,
    /// How many runs went on from here.
    pub runs: u64,
    /// How many of them failed in the same way.
    pub failed: u64,
}

impl BlamePoint {
    /// Which share of them has failed.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.runs == 0 {
            return 0.0;
        }
        self.failed as f64 / self.runs as f64
    }

    /// Where the true share is, with 95 % confidence: the interval of E. B. Wilson (Journal of the
    /// American Statistical Association 22, 1927).
    #[must_use]
    pub fn interval(&self) -> (f64, f64) {
        if self.runs == 0 {
            return (0.0, 1.0);
        }
        let (runs, share) = (self.runs as f64, self.share());
        let square = Z * Z;
        let middle = share + square / (2.0 * runs);
        let spread = Z * libm::sqrt(share * (1.0 - share) / runs + square / (4.0 * runs * runs));
        let scale = 1.0 + square / runs;
        let (low, high) = ((middle - spread) / scale, (middle + spread) / scale);
        (low.max(0.0), high.min(1.0))
    }
}

/// When a run turned towards its failure. Prints the curve and the event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Blame {
    /// The name of the scenario.
    pub scenario: String,
    /// What fails.
    pub class: FailureClass,
    /// How likely it was, event by event.
    pub curve: Vec<BlamePoint>,
    /// Where it became likely.
    pub turn: Turn,
    /// How often the scenario was run.
    pub runs: u64,
}

/// Where the curve rises most.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// Just before.
    pub before: BlamePoint,
    /// Just after.
    pub after: BlamePoint,
    /// The events between the two: one, unless the budget was spent before.
    pub events: Vec<String>,
    /// The choices that were made in them.
    pub choices: Vec<Choice>,
    /// Who has made these, as far as they have names.
    pub who: Vec<String>,
}

impl Turn {
    /// Whether the rise is beyond doubt: the two intervals do not overlap.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.before.interval().1 < self.after.interval().0
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| libm::round(share * 100.0);
        let (scenario, class) = (&self.scenario, &self.class);
        writeln!(f, "`{scenario}`: {class}, in {} runs", self.runs)?;
        let bars: String = self.curve.iter().map(|point| bar(point.share())).collect();
        let last = self.curve.last().map_or(0, |point| point.events);
        writeln!(f, "how likely, from event 0 to event {last}:\n  {bars}")?;
        let Turn { before, after, .. } = &self.turn;
        for (when, point) in [("before", before), ("after", after)] {
            let (low, high) = point.interval();
            writeln!(
                f,
                "{when} event {}: {} % of {} runs fail (95 % confidence: {} % to {} %)",
                self.turn.after.events.saturating_sub(1),
                percent(point.share()),
                point.runs,
                percent(low),
                percent(high)
            )?;
        }
        let sure = if self.turn.is_sure() {
            "turns"
        } else {
            "may turn"
        };
        write!(f, "what {sure} it:")?;
        for event in self.turn.events.iter().rev().take(SHOWN_MAX).rev() {
            let shown: String = event.chars().take(LINE_MAX).collect();
            write!(f, "\n  {shown}")?;
        }
        for (choice, who) in self.turn.choices.iter().zip(&self.turn.who).take(SHOWN_MAX) {
            let Choice {
                site,
                count,
                options,
                chosen,
                ..
            } = choice;
            write!(
                f,
                "\n    `{site}` of {who}, draw {count}: {chosen} of {options}"
            )?;
        }
        Ok(())
    }
}

/// A share as a bar.
fn bar(share: f64) -> char {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let eighths = libm::ceil(share * 8.0).clamp(0.0, 8.0);
    BARS.into_iter()
        .zip(0_u8..)
        .find(|&(_, number)| f64::from(number) >= eighths)
        .map_or('█', |(bar, _)| bar)
}

/// Finds out which event of a run that fails made the failure likely.
///
/// From each point the run goes on with the same seeds, so that what differs between two points is
/// what happened between them. Points are added where the curve jumps, until there is one event
/// between the two; then both are looked at more closely.
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
/// # use core::time::Duration;
/// # #[derive(Debug)] struct Game;
/// # impl App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// // Whoever throws a six in the tenth round loses, whatever else happens.
/// let dice = Scenario::new("dice", |world: &mut World<Game>| {
///     let (mut lost, mut points) = (false, 0);
///     for round in 1..=20 {
///         let thrown = world.draw("die", 1..=6);
///         lost |= round == 10 && thrown == 6;
///         points += thrown;
///         world.heal(); // An event to tell rounds apart.
///     }
///     if lost { Err(Failure::new(format!("lost with {points} points"))) } else { Ok(()) }
/// });
/// let mut runs = (0..).map(|seed| dice.run(Driver::Seed(seed), Watch::Outcome));
/// let failed = runs.find(|run| run.failure.is_some()).expect("a six, some time");
/// let blame = blame(&dice, &failed.choices, BlameConfig::default()).expect("it fails");
/// assert_eq!(blame.turn.choices[0].count, 9);
/// assert!(blame.turn.is_sure(), "{blame}");
/// ```
pub fn blame(
    scenario: &Scenario,
    log: &ChoiceLog,
    config: BlameConfig,
) -> Result<Blame, NothingFails> {
    let run = scenario.run(Driver::Log(log), Watch::Trace);
    let Some(class) = run.class() else {
        return Err(NothingFails {
            scenario: scenario.name().to_owned(),
        });
    };
    let mut sampler = Sampler {
        scenario,
        class,
        // The run goes on with seeds of its own: twice the same run would say nothing.
        site: Entropy::from_seed(!run.summary.seed).site("blame"),
        places: places(&run),
        run,
        points: Vec::new(),
        samples: config.samples,
        budget: config.budget,
        runs: 1,
    };
    sampler.look(config.points_max);
    Ok(sampler.finish())
}

/// Where a run may go on with another seed: the points behind events that have decided something.
/// Between these the curve is level.
fn places(run: &Run) -> Vec<BlamePoint> {
    let point = |events, choices| BlamePoint {
        events,
        choices,
        runs: 0,
        failed: 0,
    };
    let mut places = vec![point(0, 0)];
    for (events, &choices) in (1..).zip(&run.marks) {
        if places.last().is_some_and(|last| last.choices < choices) {
            places.push(point(events, choices));
        }
    }
    let all = run.choices.choices().len();
    if places.last().is_some_and(|last| last.choices < all) {
        places.push(point(run.events_len(), all));
    }
    places
}

struct Sampler<'a> {
    scenario: &'a Scenario,
    class: FailureClass,
    site: stillpoint::Site,
    run: Run,
    places: Vec<BlamePoint>,
    /// Indices of the places that were looked at, in order.
    points: Vec<usize>,
    samples: u64,
    budget: Budget,
    runs: u64,
}

impl Sampler<'_> {
    fn look(&mut self, points_max: usize) {
        let last = self.places.len() - 1;
        let coarse = points_max.min(COARSE);
        for number in 0..coarse {
            self.sample(last * number / (coarse - 1).max(1), self.samples);
        }
        // Half of them to find the turn, the others to look at both sides of it.
        while self.points.len() < points_max {
            let Some(middle) = self.steepest().and_then(|(low, high)| between(low, high)) else {
                break;
            };
            if !self.sample(middle, self.samples) {
                return;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let Some((low, high)) = self.steepest() else {
                return;
            };
            let more = [low, high].map(|place| self.sample(place, 2 * self.samples));
            // What looked steep may have been chance, and another place may be steeper now.
            if more == [false; 2] || self.steepest() == Some((low, high)) {
                break;
            }
            if let Some(middle) = self.steepest().and_then(|(low, high)| between(low, high))
                && !self.sample(middle, self.samples)
            {
                return;
            }
        }
    }

    /// Goes on from a place with so many more seeds. `false` if the budget is spent.
    fn sample(&mut self, place: usize, samples: u64) -> bool {
        if let Err(at) = self.points.binary_search(&place) {
            self.points.insert(at, place);
        }
        // Longer runs than this are another story.
        let events_max = self
            .run
            .summary
            .events
            .saturating_mul(4)
            .saturating_add(10_000);
        for _ in 0..samples {
            if self.runs >= self.budget.runs_max() || self.budget.is_over() {
                return false;
            }
            let point = self.places[place];
            let driver = Driver::Fork {
                log: &self.run.choices,
                choices: point.choices,
                seed: self.seed(point.runs),
            };
            let forked = self.scenario.run_within(driver, Watch::Outcome, events_max);
            self.runs += 1;
            let point = &mut self.places[place];
            point.runs += 1;
            point.failed += u64::from(forked.class().as_ref() == Some(&self.class));
        }
        true
    }

    fn seed(&self, number: u64) -> u64 {
        let mut source: Source = self.site.source(Entity::new(number));
        source.u64()
    }

    /// The neighbours between which the curve rises most; of those that are alike the later ones,
    /// which are nearer to the failure.
    fn steepest(&self) -> Option<(usize, usize)> {
        let pairs = self.points.windows(2).map(|pair| (pair[0], pair[1]));
        let rise =
            |&(low, high): &(usize, usize)| self.places[high].share() - self.places[low].share();
        pairs.max_by(|one, other| rise(one).total_cmp(&rise(other)))
    }

    fn finish(self) -> Blame {
        let (low, high) = self.steepest().unwrap_or((0, 0));
        let (before, after) = (self.places[low], self.places[high]);
        let choices = self.run.choices.choices();
        let choices = choices[before.choices..after.choices].to_vec();
        let who = choices.iter().map(|choice| self.run.name_of(choice));
        let who = who.collect();
        // Of events that have decided nothing there may be any number between two neighbours.
        let from = if high - low == 1 {
            after.events.saturating_sub(1)
        } else {
            before.events
        };
        let until = after.events.min(self.run.events_len());
        let lines = self.run.trace.iter().flat_map(|log| {
            let events = from..until;
            events.map(|index| log.line(index))
        });
        let events = lines.collect();
        Blame {
            scenario: self.scenario.name().to_owned(),
            class: self.class,
            curve: self.points.iter().map(|&it| self.places[it]).collect(),
            turn: Turn {
                before,
                after,
                events,
                choices,
                who,
            },
            runs: self.runs,
        }
    }
}

/// The place in the middle of two others.
fn between(low: usize, high: usize) -> Option<usize> {
    (high - low > 1).then(|| low + (high - low) / 2)
}

/// Points before it is looked where the curve rises.
const COARSE: usize = 9;

/// How often the place of the turn may change when it is looked at more closely.
const ROUNDS_MAX: usize = 16;

/// Of the normal distribution: 95 % are within so many standard deviations.
const Z: f64 = 1.959_963_984_540_054;

/// Events and choices that are shown.
const SHOWN_MAX: usize = 8;

/// Characters of an event that are shown.
const LINE_MAX: usize = 140;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(runs: u64, failed: u64) -> BlamePoint {
        BlamePoint {
            events: 0,
            choices: 0,
            runs,
            failed,
        }
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // Computed by hand from the formula: 8 of 10.
        let (low, high) = point(10, 8).interval();
        assert!(
            (low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4,
            "{low} {high}"
        );
        let (low, high) = point(20, 0).interval();
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4, "{low} {high}");
        assert_eq!(point(0, 0).interval(), (0.0, 1.0));
    }

    #[test]
    fn a_bar_is_as_high_as_its_share() {
        let bars: String = [0.0, 0.01, 0.5, 0.99, 1.0].map(bar).iter().collect();
        assert_eq!(bars, " ▁▄██");
    }
}
