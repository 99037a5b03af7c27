//! Strategies: in which order, and how late, what is to happen happens.

use core::ops::RangeInclusive;
use core::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entity, Entropy, Site, Timestamp};

/// How a world chooses among the ways in which workers and messages can interleave. See
/// [`World::set_schedule`](crate::World::set_schedule).
///
/// Whatever the strategy, nothing overtakes on its way that could not without it, each choice is a
/// draw of the seed, and a run replays.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// What comes at one instant comes in any order, and nothing is late on purpose. Costs nothing.
    Uniform,
    /// Workers have drawn priorities. Each but the first stands still for a drawn while before it
    /// takes something, as long as there is something else to do; the lower, the longer. At so many
    /// drawn places of the run the worker whose turn it is becomes the last. That finds what takes
    /// one worker to stop at one particular place, and the others to go on for long.
    ///
    /// After S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte: A randomized scheduler with
    /// probabilistic guarantees of finding bugs (ASPLOS 2010).
    Pct {
        /// How many such places.
        preemptions: u32,
        /// How long a worker may stand still at a time.
        delay_max: Duration,
    },
    /// A few of the things that are on their way (datagrams, segments, packets, items of the bus,
    /// commands, spawns) take much longer, and so do a few timers. What comes behind on the same way
    /// waits.
    DelayHeavy {
        /// How few: the chance of each, from 0 to 1.
        chance: f64,
        /// How much longer.
        delay: RangeInclusive<Duration>,
    },
}

impl Schedule {
    /// [`Schedule::Pct`] with stalls of up to ten milliseconds.
    #[must_use]
    pub const fn pct(preemptions: u32) -> Self {
        Self::Pct {
            preemptions,
            delay_max: Duration::from_millis(10),
        }
    }

    /// [`Schedule::DelayHeavy`] that delays one in a hundred, by up to `longest`.
    #[must_use]
    pub fn delay_heavy(longest: Duration) -> Self {
        Self::DelayHeavy {
            chance: 0.01,
            delay: Duration::ZERO..=longest,
        }
    }
}

/// Long delays, of a few things.
pub(crate) struct Delays {
    chance: f64,
    delay: RangeInclusive<Duration>,
    hit: Site,
    length: Site,
    /// Of timers, which are known by when they are due.
    timer_hit: Site,
    timer_length: Site,
    channels: IndexMap<Entity, Channel, FxBuildHasher>,
}

/// One way on which things come one behind the other.
#[derive(Default)]
struct Channel {
    count: u64,
    /// Nothing comes before.
    until: Timestamp,
}

impl Delays {
    pub(crate) fn new(entropy: &Entropy, chance: f64, delay: RangeInclusive<Duration>) -> Self {
        Self {
            chance,
            delay,
            hit: entropy.site("long delay"),
            length: entropy.site("length of a long delay"),
            timer_hit: entropy.site("late timer of a schedule"),
            timer_length: entropy.site("lateness of a schedule's timer"),
            channels: IndexMap::default(),
        }
    }

    /// When something that would come at `at` comes.
    pub(crate) fn delay(&mut self, at: Timestamp, channel: Entity) -> Timestamp {
        let known = self.channels.entry(channel).or_default();
        let count = known.count;
        known.count += 1;
        if self.hit.chance(channel, count, self.chance) {
            let delay = self.length.duration(channel, count, &self.delay);
            known.until = known.until.max(at.after(delay));
        }
        at.max(known.until)
    }

    /// The same of a timer for `wanted`.
    pub(crate) fn delay_timer(&self, at: Timestamp, owner: Entity, wanted: Timestamp) -> Timestamp {
        let key = wanted.as_nanos();
        if self.timer_hit.chance(owner, key, self.chance) {
            at.after(self.timer_length.duration(owner, key, &self.delay))
        } else {
            at
        }
    }
}

/// Priorities of workers, and where they change.
pub(crate) struct Priorities {
    delay_max: Duration,
    /// The places that are to come, the next one last: numbers of turns.
    places: Vec<u64>,
    turns: u64,
    /// By number of the worker; the highest goes first.
    priorities: Vec<i64>,
    /// What the next one gets that becomes the last.
    last: i64,
    /// By number of the worker: how many go before. Empty if that is to be found out.
    ranks: Vec<u64>,
    /// By number of the worker: how often it was to stand still.
    stalls: Vec<u64>,
    /// By number of the worker: whether it has, and is to go on now.
    rested: Vec<bool>,
    first: Site,
    length: Site,
}

impl Priorities {
    pub(crate) fn new(
        entropy: &Entropy,
        round: u64,
        preemptions: u32,
        delay_max: Duration,
    ) -> Self {
        let site = entropy.site("preemption");
        let scale = entropy.site("preemptions within");
        let schedule = Entity::named("schedule").part(round);
        // Nobody knows how long the run is going to be: any order of magnitude is as likely.
        let within = 1 << (SCALE_MIN + scale.below(schedule, 0, SCALES));
        let places = 0..u64::from(preemptions);
        let mut places: Vec<u64> = places
            .map(|place| site.below(schedule, place, within))
            .collect();
        places.sort_unstable_by(|one, other| other.cmp(one));
        Self {
            delay_max,
            places,
            turns: 0,
            priorities: Vec::new(),
            last: 0,
            ranks: Vec::new(),
            stalls: Vec::new(),
            rested: Vec::new(),
            first: entropy.site("priority"),
            length: entropy.site("stall of a low priority"),
        }
    }

    /// How many workers have a priority: those with the lowest numbers.
    pub(crate) const fn known(&self) -> usize {
        self.priorities.len()
    }

    /// Gives the next worker its priority.
    pub(crate) fn add(&mut self, entity: Entity) {
        let drawn = self.first.below(entity, 0, 1 << 32);
        self.priorities
            .push(i64::try_from(drawn).unwrap_or(i64::MAX) + 1);
        self.stalls.push(0);
        self.rested.push(false);
        self.ranks.clear();
    }

    /// The worker whose turn it is does not stand still, since there is nobody to wait for.
    pub(crate) fn go_on(&mut self, worker: u32) {
        self.rested[worker as usize] = false;
    }

    /// It is a worker's turn. How long it is to stand still before, if it is.
    pub(crate) fn turn(&mut self, worker: u32, entity: Entity) -> Option<Duration> {
        let number = worker as usize;
        let turn = self.turns;
        self.turns += 1;
        while self.places.last() == Some(&turn) {
            self.places.pop();
            self.last -= 1;
            self.priorities[number] = self.last;
            self.ranks.clear();
        }
        if self.ranks.is_empty() {
            let mut order: Vec<usize> = (0..self.priorities.len()).collect();
            order.sort_by_key(|&at| (core::cmp::Reverse(self.priorities[at]), at));
            self.ranks = vec![0; order.len()];
            for (rank, at) in (0..).zip(order) {
                self.ranks[at] = rank;
            }
        }
        let rank = self.ranks[number];
        if rank == 0 || core::mem::take(&mut self.rested[number]) {
            return None;
        }
        self.rested[number] = true;
        let count = self.stalls[number];
        self.stalls[number] += 1;
        let lower = self.ranks.len() as u64 - 1;
        let longest = self.delay_max.as_nanos() * u128::from(rank) / u128::from(lower);
        let longest = u64::try_from(longest).unwrap_or(u64::MAX);
        // Any order of magnitude is as likely.
        let shorter = self.length.below(entity, count, MAGNITUDES);
        Some(Duration::from_nanos(longest >> shorter))
    }
}

/// Preemptions are within the first 16 turns, 32, and so on up to 65,536: as powers of two.
const SCALE_MIN: u64 = 4;
const SCALES: u64 = 13;

/// A stall is the longest there may be, or half of that, or a quarter, and so on.
const MAGNITUDES: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of all turns at which the worker that goes first stands still, and who goes first
    /// then.
    fn first_stall(seed: u64, preemptions: u32) -> Option<(u64, usize)> {
        let entropy = Entropy::from_seed(seed);
        let longest = Duration::from_millis(10);
        let mut priorities = Priorities::new(&entropy, 1, preemptions, longest);
        for worker in 0..3 {
            priorities.add(Entity::new(worker));
        }
        let first = (0..3).max_by_key(|&worker| priorities.priorities[worker])?;
        let worker = u32::try_from(first).ok()?;
        let mut turns = 0..1 << 17;
        let at = turns.find(|_| priorities.turn(worker, Entity::new(7)).is_some())?;
        let next = (0..3).max_by_key(|&worker| priorities.priorities[worker])?;
        assert_ne!(next, first, "it has become the last");
        Some((at, next))
    }

    #[test]
    fn who_goes_first_never_stands_still_but_for_preemptions() {
        for seed in 0..100 {
            assert_eq!(first_stall(seed, 0), None);
            assert_eq!(first_stall(seed, 3), first_stall(seed, 3));
        }
        let stalls: Vec<u64> = (0..100)
            .map(|seed| first_stall(seed, 3).expect("within 65,536 turns").0)
            .collect();
        let early = stalls.iter().filter(|&&at| at < 16).count();
        let late = stalls.iter().filter(|&&at| at >= 4_096).count();
        assert!(early > 5 && late > 5, "any order of magnitude: {stalls:?}");
    }
}
