//! Deadlines of connections that are being made or closed, of listeners that wait for descriptors,
//! and of devices that are being opened.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::ResourceId;
use crate::time::Timestamp;

/// What a deadline is for. Each resource has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// It has taken too long.
    Limit,
    /// It is to be looked at again.
    Look,
}

type Name = (ResourceId, Purpose);

/// Deadlines by time. Those that were set since the last wait have only a duration: they begin
/// with the next.
pub(super) struct Timers {
    by_time: BTreeSet<(Timestamp, Name)>,
    by_name: BTreeMap<Name, When>,
    /// Those that have only a duration, and some that are no more.
    begin: Vec<Name>,
}

#[derive(Debug, Clone, Copy)]
enum When {
    At(Timestamp),
    After(Duration),
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_name: BTreeMap::new(),
            begin: Vec::new(),
        }
    }

    /// Sets a deadline so long after the next wait has begun, in place of the one before.
    pub(super) fn set(&mut self, id: impl Into<ResourceId>, purpose: Purpose, after: Duration) {
        let name = (id.into(), purpose);
        self.clear_one(name);
        self.by_name.insert(name, When::After(after));
        self.begin.push(name);
    }

    /// Nothing is to come for `id` any more.
    pub(super) fn clear(&mut self, id: impl Into<ResourceId>) {
        let id = id.into();
        self.clear_one((id, Purpose::Limit));
        self.clear_one((id, Purpose::Look));
    }

    fn clear_one(&mut self, name: Name) {
        if let Some(When::At(at)) = self.by_name.remove(&name) {
            self.by_time.remove(&(at, name));
        }
    }

    /// Whether any have still to begin.
    pub(super) const fn are_to_begin(&self) -> bool {
        !self.begin.is_empty()
    }

    /// Begins those that were set since the last wait.
    pub(super) fn begin(&mut self, now: Timestamp) {
        for name in self.begin.drain(..) {
            if let Some(when) = self.by_name.get_mut(&name)
                && let When::After(after) = *when
            {
                let at = now.after(after);
                *when = When::At(at);
                self.by_time.insert((at, name));
            }
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// One that has passed, which is no more then.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Name> {
        let &(at, name) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_name.remove(&name);
        Some(name)
    }
}
