//! What stands in the way from one node to another, apart from how its link behaves.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::Timestamp;

use super::Links;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Barrier {
    cut: bool,
    clogged_until: Option<Timestamp>,
    /// Whether something still waits from before the link was set anew.
    line: bool,
}

/// By way.
pub(super) type Barriers = IndexMap<(u32, u32), Barrier, FxBuildHasher>;

/// Whether what is sent gets onto its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Cut,
    Clogged,
}

impl Links {
    pub(crate) fn cut(&mut self, from: u32, to: u32) {
        self.barriers.entry((from, to)).or_default().cut = true;
    }

    /// Clogs the way until then, if it is not clogged for longer.
    pub(crate) fn clog(&mut self, from: u32, to: u32, until: Timestamp) {
        let barrier = self.barriers.entry((from, to)).or_default();
        barrier.clogged_until = barrier.clogged_until.max(Some(until));
    }

    /// Ends a cut and a clog.
    pub(crate) fn unbar(&mut self, ends: (u32, u32)) {
        if let Some(barrier) = self.barriers.get_mut(&ends) {
            barrier.cut = false;
            barrier.clogged_until = None;
            self.forget(ends);
        }
    }

    /// Forgets a way that nothing stands in any more.
    pub(crate) fn unbar_if_open(&mut self, from: u32, to: u32, now: Timestamp) {
        if self.gate(from, to, now) == Gate::Open {
            self.forget((from, to));
        }
    }

    fn forget(&mut self, ends: (u32, u32)) {
        if self
            .barriers
            .get(&ends)
            .is_some_and(|barrier| !barrier.line)
        {
            self.barriers.swap_remove(&ends);
        }
    }

    /// Something waits in front of a link, and must not be overtaken, whatever the link becomes.
    pub(crate) fn begin_line(&mut self, ends: (u32, u32)) {
        self.barriers.entry(ends).or_default().line = true;
    }

    /// Nothing waits there any more.
    pub(crate) fn end_line(&mut self, ends: (u32, u32), now: Timestamp) {
        if let Some(barrier) = self.barriers.get_mut(&ends) {
            barrier.line = false;
            self.unbar_if_open(ends.0, ends.1, now);
        }
    }

    /// How many ways are cut.
    pub(crate) fn cuts(&self) -> usize {
        let barriers = self.barriers.values();
        barriers.filter(|barrier| barrier.cut).count()
    }

    /// All ways that are cut or clogged.
    pub(crate) fn barred(&self) -> Vec<(u32, u32)> {
        self.barriers.keys().copied().collect()
    }

    /// Until when the way is clogged.
    pub(crate) fn clogged_until(&self, from: u32, to: u32) -> Option<Timestamp> {
        self.barriers.get(&(from, to))?.clogged_until
    }

    /// What stands in the way.
    pub(crate) fn gate(&mut self, from: u32, to: u32, now: Timestamp) -> Gate {
        let Some(barrier) = self.barriers.get_mut(&(from, to)) else {
            return Gate::Open;
        };
        barrier.clogged_until = barrier.clogged_until.filter(|&until| until > now);
        if barrier.cut {
            Gate::Cut
        } else if barrier.clogged_until.is_some() {
            Gate::Clogged
        } else {
            Gate::Open
        }
    }
}
