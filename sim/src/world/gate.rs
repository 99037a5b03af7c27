//! What stands in front of a link: a cut, where everything ends, or a clog, where everything waits.

use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Timestamp};

use super::cargo::Cargo;
use super::outside::{Event, Outside};
use crate::counters::DropCause;
use crate::link::Gate;
use crate::trace::{Cause, TraceKind};

/// What waits in front of links that are clogged, by link.
pub(super) type Held = IndexMap<(u32, u32), VecDeque<(Cause, Cargo)>, FxBuildHasher>;

impl<A: App> Outside<A> {
    /// Gives cargo back that gets onto its link. The rest is dropped, or waits.
    pub(super) fn pass_gate(&mut self, (from, to): (u32, u32), cargo: Cargo) -> Option<Cargo> {
        let gate = self.network.links.gate(from, to, self.now);
        let waiting = self.held.get(&(from, to)).map_or(0, VecDeque::len);
        if gate == Gate::Cut {
            self.drop_cargo(cargo, DropCause::Partition);
        } else if gate == Gate::Open && waiting == 0 {
            self.network.links.unbar_if_open(from, to, self.now);
            return Some(cargo);
        } else if waiting == HELD_MAX {
            self.drop_cargo(cargo, DropCause::LinkQueueFull);
        } else {
            // What waits goes first, also at the instant at which the clog ends.
            if waiting == 0
                && let Some(until) = self.network.links.clogged_until(from, to)
            {
                self.wait_for_release(from, to, until);
            }
            self.trace_cargo(TraceKind::Held, &cargo, 0);
            let held = (self.trace.latest(), cargo);
            self.held.entry((from, to)).or_default().push_back(held);
        }
        None
    }

    /// Clogs the way between two nodes.
    pub(super) fn clog(&mut self, from: u32, to: u32, until: Timestamp) {
        self.network.links.clog(from, to, until);
        // Without anything that waits, the end of a clog needs no event.
        if self
            .held
            .get(&(from, to))
            .is_some_and(|held| !held.is_empty())
        {
            self.wait_for_release(from, to, until);
        }
    }

    /// A clog may be over.
    pub(super) fn release_due(&mut self, from: u32, to: u32) {
        if self.network.links.gate(from, to, self.now) != Gate::Clogged {
            self.release(from, to);
        }
    }

    /// Puts what waits onto its link, or drops it if there is a cut.
    pub(super) fn release(&mut self, from: u32, to: u32) {
        let held = self.held.swap_remove(&(from, to)).unwrap_or_default();
        let gate = self.network.links.gate(from, to, self.now);
        self.network.links.unbar_if_open(from, to, self.now);
        let scope = self.trace.scope();
        for (cause, cargo) in held {
            self.trace.follow(cause);
            let cargo = cargo.sent_at(self.now);
            if gate == Gate::Cut {
                self.drop_cargo(cargo, DropCause::Partition);
            } else {
                self.transit(cargo);
            }
        }
        self.trace.go_back(scope);
    }

    fn wait_for_release(&mut self, from: u32, to: u32, until: Timestamp) {
        let channel = self.network.link_entity(from, to).part(GATE);
        self.agenda
            .push_in_time(until, channel, Event::Release { from, to });
    }
}

/// How much may wait in front of a clogged link.
const HELD_MAX: usize = 1 << 16;

/// The part of a link that clogs end at.
const GATE: u64 = 3;
