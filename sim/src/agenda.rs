//! What is to happen, and in which order.
//!
//! [`Agenda`] is a calendar of small entries; what they are about lies apart in a slab. Entries come
//! out by time. Among entries of the same instant the seed chooses, as follows.
//!
//! Each entry comes through a *channel*: one link, the deadlines of one worker or of one end of a
//! connection, or the controls of one worker. A channel never overtakes itself. Where entries of several channels meet at one
//! instant, each channel draws a number (site "schedule", the channel's entity, the instant), and
//! the lower goes first. So the order depends on the channels alone: one more of them shifts
//! nothing between the others. Nothing is drawn where nothing meets.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entity, Entropy, Site, Timestamp};

use crate::calendar::{Calendar, Entry};
use crate::room::make_room;
use crate::schedule::Delays;
use crate::trace::{Cause, Causes};

pub(crate) struct Agenda<E> {
    /// What is to come, but for what has been moved to `ready`.
    calendar: Calendar,
    /// What is left of the instant `ready_at`, if several entries met there.
    /// The last is the first to come out. Empty only if `joined` is.
    ready: Vec<Ready>,
    /// What has joined that instant since.
    joined: BinaryHeap<Reverse<Ready>>,
    ready_at: Timestamp,
    /// What each channel has drawn for `ready_at`.
    ties: IndexMap<Entity, u64, FxBuildHasher>,
    /// The last of them that was looked at: often several of one channel meet.
    last_tie: Option<(Entity, u64)>,
    events: Vec<Waiting<E>>,
    /// Places among the events that are free.
    free: Vec<u32>,
    /// The channels of the workers' deadlines.
    workers: Vec<Entity>,
    /// The channels of the deadlines of connections' ends, by slot.
    ends: Vec<Entity>,
    site: Site,
    sequence: u64,
    /// What is seen to at each push, if anything is.
    care: Option<Box<Care>>,
}

/// What is seen to when something is pushed, and is not otherwise.
#[derive(Default)]
struct Care {
    /// What is late on purpose.
    delays: Option<Box<Delays>>,
    /// What has led to what.
    causes: Option<Causes>,
}

struct Waiting<E> {
    channel: Entity,
    sequence: u64,
    /// `None` in a place that is free.
    event: Option<E>,
}

/// What is next to happen.
pub(crate) enum Due<E> {
    /// The deadline of a worker.
    Deadline { worker: u32 },
    /// The deadline of an end of a connection.
    End { slot: u32 },
    /// An event.
    Event(E),
}

/// A tie of 32 bits, a sequence and a slot, in one number: compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ready(u128);

impl Ready {
    #[inline]
    fn new(tie: u64, sequence: u64, slot: u32) -> Self {
        Self(u128::from(tie) << 96 | u128::from(sequence) << 32 | u128::from(slot))
    }

    #[inline]
    const fn slot(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the last 32 bits")]
        let slot = self.0 as u32;
        slot
    }
}

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Worker(u32),
    End(u32),
}

impl Whose {
    const fn of(slot: u32) -> Self {
        let number = slot & !(DEADLINE | END);
        if slot & END == 0 {
            Self::Worker(number)
        } else {
            Self::End(number)
        }
    }
}

/// The slot of an entry is a place in the slab, or a worker's number with this, or the slot of an
/// end with this and [`END`].
const DEADLINE: u32 = 1 << 31;
const END: u32 = 1 << 30;

impl<E> Agenda<E> {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        Self {
            calendar: Calendar::new(),
            ready: Vec::new(),
            joined: BinaryHeap::new(),
            ready_at: Timestamp::EPOCH,
            ties: IndexMap::default(),
            last_tie: None,
            events: Vec::new(),
            free: Vec::new(),
            workers: Vec::new(),
            ends: Vec::new(),
            site: entropy.site("schedule"),
            sequence: 0,
            care: None,
        }
    }

    /// Has a few of the things that are pushed from now on be late.
    pub(crate) fn set_delays(&mut self, delays: Option<Box<Delays>>) {
        if delays.is_some() || self.care.is_some() {
            self.care.get_or_insert_default().delays = delays;
        }
    }

    /// Notes what has led to what is pushed from now on.
    pub(crate) fn note_causes(&mut self, causes: Causes) {
        self.care.get_or_insert_default().causes = Some(causes);
    }

    /// Notes no more of that.
    pub(crate) fn forget_causes(&mut self) {
        if let Some(care) = &mut self.care {
            care.causes = None;
        }
    }

    /// What has led to what was popped last.
    pub(crate) fn cause_of<T>(&mut self, popped: &Due<T>) -> Cause {
        let causes = self.care.as_mut().and_then(|care| care.causes.as_mut());
        causes.map_or(Cause::NONE, |causes| match *popped {
            Due::Deadline { worker } => causes.take_worker(worker),
            Due::End { slot } => causes.of_end(slot),
            // The place of what was popped last is the free one that is taken next.
            Due::Event(_) => self
                .free
                .last()
                .map_or(Cause::NONE, |&slot| causes.of(slot)),
        })
    }

    /// An end of a connection, whose deadline may have changed.
    pub(crate) fn note_end(&mut self, slot: u32) {
        if let Some(care) = &mut self.care
            && let Some(causes) = &mut care.causes
        {
            causes.note_end(slot);
        }
    }

    /// Makes room for one more worker, whose deadlines are a channel of `entity`.
    pub(crate) fn add_worker(&mut self, entity: Entity) {
        make_room(&mut self.workers);
        self.workers.push(entity);
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, at: Timestamp, channel: Entity, event: E) {
        if self.care.is_none() {
            self.insert(at, channel, event);
        } else {
            self.push_with_care(at, channel, event);
        }
    }

    #[cold]
    fn push_with_care(&mut self, at: Timestamp, channel: Entity, event: E) {
        let delays = self.care.as_mut().and_then(|care| care.delays.as_mut());
        let at = delays.map_or(at, |delays| delays.delay(at, channel));
        self.push_in_time(at, channel, event);
    }

    /// The same for what is never late: the answers of a host to its own tasks.
    pub(crate) fn push_in_time(&mut self, at: Timestamp, channel: Entity, event: E) {
        let slot = self.insert(at, channel, event);
        if let Some(care) = &mut self.care
            && let Some(causes) = &mut care.causes
        {
            causes.note(slot);
        }
    }

    #[inline(always)]
    fn insert(&mut self, at: Timestamp, channel: Entity, event: E) -> u32 {
        let sequence = self.sequence;
        self.sequence += 1;
        let slot = self.free.pop().unwrap_or_else(|| self.add_place());
        // Written field by field, as this is the hot path.
        let place = &mut self.events[slot as usize];
        place.channel = channel;
        place.sequence = sequence;
        place.event = Some(event);
        self.calendar.push(Entry { at, slot });
        slot
    }

    #[cold]
    fn add_place(&mut self) -> u32 {
        let slot = u32::try_from(self.events.len()).ok();
        let slot = slot.filter(|&slot| slot < DEADLINE);
        self.events.push(Waiting {
            channel: Entity::new(0),
            sequence: 0,
            event: None,
        });
        slot.expect("fewer than 2^31 events wait")
    }

    /// When a worker is to be given the timeout for its deadline `wanted`, which is due at `at`.
    #[inline(always)]
    pub(crate) fn timeout_at(
        &mut self,
        at: Timestamp,
        worker: u32,
        wanted: Timestamp,
    ) -> Timestamp {
        if self.care.is_none() {
            at
        } else {
            self.timeout_with_care(at, worker, wanted)
        }
    }

    #[cold]
    fn timeout_with_care(&mut self, at: Timestamp, worker: u32, wanted: Timestamp) -> Timestamp {
        let Some(care) = &mut self.care else {
            return at;
        };
        if let Some(causes) = &mut care.causes {
            causes.note_worker(worker, wanted);
        }
        let channel = self.workers[worker as usize];
        let delays = care.delays.as_ref();
        delays.map_or(at, |delays| delays.delay_timer(at, channel, wanted))
    }

    /// Notes a worker's deadline.
    pub(crate) fn push_deadline(&mut self, at: Timestamp, worker: u32) {
        let slot = worker | DEADLINE;
        self.calendar.push(Entry { at, slot });
    }

    /// Notes the deadline of an end of a connection, which has this channel as long as it is in its
    /// slot.
    pub(crate) fn push_end(&mut self, at: Timestamp, slot: u32, channel: Entity) {
        assert!(slot < END, "fewer than 2^30 ends of connections");
        let index = slot as usize;
        if index >= self.ends.len() {
            self.ends.resize(index + 1, channel);
        }
        self.ends[index] = channel;
        let slot = slot | DEADLINE | END;
        self.calendar.push(Entry { at, slot });
    }

    /// When the next entry is due, and whose deadline it is, if it is one and the seed needs not
    /// choose yet.
    #[inline(always)]
    pub(crate) fn first(&mut self) -> Option<(Timestamp, Option<Whose>)> {
        if !self.ready.is_empty() {
            return Some((self.ready_at, None));
        }
        let first = self.calendar.peek()?;
        let deadline = first.slot & DEADLINE != 0;
        Some((first.at, deadline.then(|| Whose::of(first.slot))))
    }

    /// When the next entry is due.
    pub(crate) fn next_at(&mut self) -> Option<Timestamp> {
        self.first().map(|(at, _)| at)
    }

    /// Takes the deadline that [`Agenda::first`] named away.
    pub(crate) fn discard_first(&mut self) {
        self.calendar.take_first();
    }

    /// Takes out what is first, after [`Agenda::first`] has found that there is something.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Due<E>> {
        let slot = if self.ready.is_empty() {
            let first = self.calendar.take_first()?;
            if self.calendar.meets(first) {
                self.meet(first);
                self.choose()?
            } else {
                first.slot
            }
        } else {
            self.choose()?
        };
        Some(self.resolve(slot))
    }

    /// Others come at the instant of the first: they are put in line.
    #[inline(never)]
    fn meet(&mut self, first: Entry) {
        if self.ready_at != first.at {
            self.ready_at = first.at;
            self.ties.clear();
            self.last_tie = None;
        }
        let first = self.ready(first);
        self.ready.push(first);
        while let Some(next) = self.calendar.peek_at(self.ready_at) {
            self.calendar.take_first();
            let next = self.ready(next);
            self.ready.push(next);
        }
        self.ready.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// Takes out one of those that meet.
    #[inline(never)]
    fn choose(&mut self) -> Option<u32> {
        while let Some(next) = self.calendar.peek_at(self.ready_at) {
            self.calendar.take_first();
            let next = self.ready(next);
            self.joined.push(Reverse(next));
        }
        if self.joined.is_empty() {
            return self.ready.pop().map(Ready::slot);
        }
        self.choose_joined()
    }

    /// The same where some have joined that were not in line.
    #[inline(never)]
    fn choose_joined(&mut self) -> Option<u32> {
        let joined = self.joined.peek().map(|&Reverse(joined)| joined);
        let chosen = match (self.ready.last(), joined) {
            (Some(&ready), Some(joined)) if joined > ready => self.ready.pop(),
            (_, Some(_)) => self.joined.pop().map(|Reverse(joined)| joined),
            (_, None) => self.ready.pop(),
        };
        if self.ready.is_empty() {
            // From the last to the first.
            self.ready
                .extend(self.joined.drain().map(|Reverse(joined)| joined));
            self.ready.sort_unstable_by(|one, other| other.cmp(one));
        }
        chosen.map(Ready::slot)
    }

    #[inline]
    fn ready(&mut self, entry: Entry) -> Ready {
        let (channel, sequence) = if entry.slot & DEADLINE == 0 {
            let waiting = &self.events[entry.slot as usize];
            (waiting.channel, waiting.sequence)
        } else {
            match Whose::of(entry.slot) {
                Whose::Worker(number) => (self.workers[number as usize], 0),
                Whose::End(slot) => (self.ends[slot as usize], 0),
            }
        };
        let tie = match self.last_tie {
            Some((last, tie)) if last == channel => tie,
            Some(_) | None => self.draw_tie(channel),
        };
        Ready::new(tie, sequence, entry.slot)
    }

    /// What a channel has drawn for the instant, or draws now.
    fn draw_tie(&mut self, channel: Entity) -> u64 {
        let (site, at) = (&self.site, self.ready_at);
        let tie = self.ties.entry(channel);
        let tie = *tie.or_insert_with(|| site.below(channel, at.as_nanos(), 1 << 32));
        self.last_tie = Some((channel, tie));
        tie
    }

    #[inline(always)]
    fn resolve(&mut self, slot: u32) -> Due<E> {
        if slot & DEADLINE == 0 {
            self.free.push(slot);
            let event = self.events[slot as usize].event.take();
            Due::Event(event.expect("an entry of the calendar is about an event"))
        } else {
            match Whose::of(slot) {
                Whose::Worker(worker) => Due::Deadline { worker },
                Whose::End(slot) => Due::End { slot },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop<E>(agenda: &mut Agenda<E>) -> Option<Due<E>> {
        agenda.first()?;
        agenda.pop()
    }

    fn order(seed: u64, channels: &[u64]) -> Vec<u64> {
        let mut agenda = Agenda::new(&Entropy::from_seed(seed));
        for &channel in channels {
            for _ in 0..2 {
                agenda.push(Timestamp::from_nanos(5), Entity::new(channel), channel);
            }
        }
        core::iter::from_fn(|| match pop(&mut agenda)? {
            Due::Event(event) => Some(event),
            Due::Deadline { .. } | Due::End { .. } => None,
        })
        .collect()
    }

    #[test]
    fn an_entry_takes_16_bytes() {
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn one_more_channel_does_not_shift_the_order_of_the_others() {
        for seed in 0..50 {
            let mut more = order(seed, &[1, 2, 3, 9]);
            more.retain(|&channel| channel != 9);
            assert_eq!(more, order(seed, &[1, 2, 3]));
        }
    }

    #[test]
    fn seeds_choose_different_orders_at_one_instant() {
        let mut orders: Vec<_> = (0..50).map(|seed| order(seed, &[1, 2, 3])).collect();
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 6, "three channels have six orders");
    }

    #[test]
    fn what_joins_an_instant_is_put_in_line() {
        let at = Timestamp::from_nanos(5);
        let mut agenda = Agenda::new(&Entropy::from_seed(1));
        for channel in 0..4 {
            agenda.push(at, Entity::new(channel), channel);
        }
        assert!(pop(&mut agenda).is_some());
        agenda.push(at, Entity::new(7), 7);
        agenda.push(Timestamp::from_nanos(6), Entity::new(8), 8);
        let mut left = Vec::new();
        while let Some(Due::Event(event)) = pop(&mut agenda) {
            left.push(event);
        }
        assert_eq!(left.len(), 5);
        assert_eq!(left[4], 8, "time comes before everything");
    }

    #[test]
    fn several_that_join_an_instant_come_as_if_they_had_been_there() {
        let at = Timestamp::from_nanos(5);
        let channels: Vec<u64> = (0..9).collect();
        for seed in 0..50 {
            let mut expected = order(seed, &channels);
            expected.dedup();
            let mut agenda = Agenda::new(&Entropy::from_seed(seed));
            let mut come = Vec::new();
            for group in channels.chunks(3) {
                for &channel in group {
                    agenda.push(at, Entity::new(channel), channel);
                }
                let Some(Due::Event(first)) = pop(&mut agenda) else {
                    panic!("an event is next");
                };
                let waiting = |&&channel: &&u64| channel <= group[2] && !come.contains(&channel);
                assert_eq!(Some(&first), expected.iter().find(waiting));
                come.push(first);
            }
            expected.retain(|channel| !come.contains(channel));
            let left: Vec<u64> = core::iter::from_fn(|| match pop(&mut agenda)? {
                Due::Event(event) => Some(event),
                Due::Deadline { .. } | Due::End { .. } => None,
            })
            .collect();
            assert_eq!(left, expected);
        }
    }
}
