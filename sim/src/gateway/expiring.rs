//! Keys that are forgotten when they have not been used for a while.

use core::hash::Hash;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::Timestamp;

/// Keys, and until when each is known. Those whose time has passed are removed now and then, so
/// that no timer is needed for any.
#[derive(Debug, Clone)]
pub(crate) struct Expiring<K> {
    until: IndexMap<K, Timestamp, FxBuildHasher>,
    /// The length at which they are looked through next.
    sweep_at: usize,
    /// No time passes before.
    earliest: Timestamp,
}

impl<K: Hash + Eq> Expiring<K> {
    pub(crate) fn new() -> Self {
        Self {
            until: IndexMap::default(),
            sweep_at: SWEEP_LEN_MIN,
            earliest: Timestamp::MAX,
        }
    }

    pub(crate) fn knows(&self, key: &K, now: Timestamp) -> bool {
        self.until.get(key).is_some_and(|&until| now < until)
    }

    /// Has a key be known until then. `false` if there are `len_max` others.
    pub(crate) fn note(
        &mut self,
        key: K,
        now: Timestamp,
        until: Timestamp,
        len_max: usize,
    ) -> bool {
        if let Some(known) = self.until.get_mut(&key) {
            *known = until;
            return true;
        }
        if self.until.len() >= self.sweep_at.min(len_max) && self.earliest <= now {
            self.until.retain(|_, until| now < *until);
            self.sweep_at = (2 * self.until.len()).max(SWEEP_LEN_MIN);
            let left = self.until.values().copied().min();
            self.earliest = left.unwrap_or(Timestamp::MAX);
        }
        if self.until.len() >= len_max {
            return false;
        }
        self.earliest = self.earliest.min(until);
        self.until.insert(key, until);
        true
    }
}

const SWEEP_LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_forgotten_and_takes_no_room() {
        let at = Timestamp::from_nanos;
        let mut keys = Expiring::new();
        for now in 0..100_000 {
            assert!(keys.note(now, at(now), at(now + 10), 1_000));
        }
        assert!(keys.until.len() <= SWEEP_LEN_MIN);
        assert!(keys.knows(&99_999, at(100_008)) && !keys.knows(&99_999, at(100_009)));
    }

    #[test]
    fn only_those_whose_time_has_passed_make_room() {
        let at = Timestamp::from_nanos;
        let mut keys = Expiring::new();
        assert!(keys.note(1, at(0), at(10), 2) && keys.note(2, at(0), at(20), 2));
        assert!(!keys.note(3, at(9), at(30), 2));
        assert!(keys.note(2, at(9), at(30), 2));
        assert!(keys.note(3, at(10), at(30), 2));
        assert!(!keys.knows(&1, at(10)) && keys.knows(&2, at(29)) && keys.knows(&3, at(29)));
    }
}
