//! What has led to what, while a trace is recorded.
//!
//! There is one mechanism. While something happens, [`Now`] holds two events: the one that all that is
//! recorded follows from (the input that a worker is being given, mostly), and the last one that was
//! recorded. Whatever is put off (into the agenda, a queue, a backlog) takes a [`Cause`] along: the
//! last event at that moment. When its time comes, that is what the next events follow from.

use core::cell::Cell;
use std::rc::Rc;

use stillpoint::Timestamp;

/// The number of an event that has led to something, if one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause(u32);

impl Cause {
    /// No event has: the scenario itself, or nobody records.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }
}

/// Two events that tell where a run stands.
#[derive(Debug)]
pub(crate) struct Now {
    /// What is recorded follows from it.
    pub(crate) cause: Cell<Cause>,
    /// What workers are given follows from it: two inputs of one moment do not follow from each
    /// other.
    pub(crate) root: Cell<Cause>,
    /// What is put off follows from it.
    pub(crate) last: Cell<Cause>,
    /// Whether that is a task's doing or something that has arrived: what an end of a connection
    /// has its deadline for.
    pub(crate) stirs: Cell<bool>,
}

impl Default for Now {
    fn default() -> Self {
        Self {
            cause: Cell::new(Cause::NONE),
            root: Cell::new(Cause::NONE),
            last: Cell::new(Cause::NONE),
            stirs: Cell::new(false),
        }
    }
}

impl Now {
    /// What comes next follows from this.
    pub(crate) fn follow(&self, cause: Cause) {
        self.cause.set(cause);
        self.root.set(cause);
        self.last.set(cause);
        self.stirs.set(true);
    }

    /// Where the run stands.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            cause: self.cause.get(),
            root: self.root.get(),
            last: self.last.get(),
        }
    }

    /// Goes back to where the run stood.
    pub(crate) fn go_back(&self, scope: Scope) {
        self.cause.set(scope.cause);
        self.root.set(scope.root);
        self.last.set(scope.last);
    }
}

/// Where a run stands, to be gone back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    cause: Cause,
    root: Cause,
    last: Cause,
}

impl Scope {
    pub(super) const NONE: Self = Self {
        cause: Cause::NONE,
        root: Cause::NONE,
        last: Cause::NONE,
    };
}

/// What has led to all that is in the agenda.
pub(crate) struct Causes {
    now: Rc<Now>,
    /// By place.
    places: Vec<Cause>,
    /// The deadlines of workers, by number.
    workers: Vec<Wanted>,
    /// The deadlines of connections' ends, by slot.
    ends: Vec<Cause>,
}

/// A deadline, and what has led to it.
#[derive(Clone, Copy)]
struct Wanted {
    at: Timestamp,
    cause: Cause,
}

impl Wanted {
    const NONE: Self = Self {
        at: Timestamp::MAX,
        cause: Cause::NONE,
    };
}

impl Causes {
    pub(crate) const fn new(now: Rc<Now>) -> Self {
        Self {
            now,
            places: Vec::new(),
            workers: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Something was put into this place.
    pub(crate) fn note(&mut self, place: u32) {
        *entry(&mut self.places, place, Cause::NONE) = self.now.last.get();
    }

    pub(crate) fn of(&self, place: u32) -> Cause {
        let cause = self.places.get(place as usize);
        cause.copied().unwrap_or(Cause::NONE)
    }

    /// A worker wants a timeout then. If it did before, what has led to it is what had; and so if
    /// nothing has, as when it has stood still.
    pub(crate) fn note_worker(&mut self, worker: u32, wanted: Timestamp) {
        let known = entry(&mut self.workers, worker, Wanted::NONE);
        if known.at != wanted {
            let cause = self.now.cause.get();
            known.at = wanted;
            known.cause = if cause.is_none() { known.cause } else { cause };
        }
    }

    /// A worker is given its timeout.
    pub(crate) fn take_worker(&mut self, worker: u32) -> Cause {
        let known = entry(&mut self.workers, worker, Wanted::NONE);
        known.at = Timestamp::MAX;
        known.cause
    }

    /// An end wants to be looked at. That it is to say what was said to its task is no reason.
    pub(crate) fn note_end(&mut self, slot: u32) {
        let known = entry(&mut self.ends, slot, Cause::NONE);
        let last = self.now.last.get();
        if self.now.stirs.get() && !last.is_none() || known.is_none() {
            *known = last;
        }
    }

    pub(crate) fn of_end(&self, slot: u32) -> Cause {
        let cause = self.ends.get(slot as usize);
        cause.copied().unwrap_or(Cause::NONE)
    }
}

fn entry<T: Clone>(list: &mut Vec<T>, number: u32, none: T) -> &mut T {
    let index = number as usize;
    if index >= list.len() {
        list.resize(index + 1, none);
    }
    &mut list[index]
}
