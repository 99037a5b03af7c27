//! Disks: what outlives the crash of a node.
//!
//! What is written can be read at once, and lies on the disk for good only after a while: until then
//! the system has it in memory, and a crash takes it away. Writes reach the disk in their order, so a
//! crash loses the last ones. What reads see and what is safe are kept apart for that.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stillpoint::Timestamp;

/// What a node has written down: names, and bytes under each. See
/// [`NodeBuilder::persist`](crate::NodeBuilder::persist).
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// What reads see.
    seen: BTreeMap<String, Vec<u8>>,
    /// What a crash leaves, but for what is under way.
    safe: BTreeMap<String, Vec<u8>>,
    underway: VecDeque<Write>,
    /// The last of these, of which nobody has said yet how long they take.
    fresh: usize,
    writes: u64,
}

#[derive(Debug, Clone)]
struct Write {
    /// When it is safe.
    at: Timestamp,
    name: String,
    /// None removes the name.
    bytes: Option<Vec<u8>>,
}

impl Disk {
    pub(crate) const fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            safe: BTreeMap::new(),
            underway: VecDeque::new(),
            fresh: 0,
            writes: 0,
        }
    }

    /// What was written last under a name.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<&[u8]> {
        self.seen.get(name).map(Vec::as_slice)
    }

    /// Writes `bytes` under a name, in place of what was there.
    pub fn write(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.change(name.into(), Some(bytes.into()));
    }

    /// Removes a name and what is under it.
    pub fn remove(&mut self, name: &str) {
        self.change(name.to_owned(), None);
    }

    /// All names that something is under, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.seen.keys().map(String::as_str)
    }

    /// What was just written is safe after `delay`, which is given the number of the write among all
    /// of this disk.
    pub(crate) fn settle(&mut self, now: Timestamp, mut delay: impl FnMut(u64) -> Duration) {
        let first = self.underway.len() - self.fresh;
        let mut last = match first.checked_sub(1) {
            Some(last) => self.underway[last].at,
            None => now,
        };
        for write in self.underway.range_mut(first..) {
            last = last.max(now.after(delay(self.writes)));
            write.at = last;
            self.writes += 1;
        }
        self.fresh = 0;
        self.advance(now);
    }

    /// Its node has crashed. Says how many writes are lost.
    pub(crate) fn crash(&mut self, now: Timestamp) -> usize {
        self.advance(now);
        let lost = self.underway.len();
        if lost > 0 {
            self.underway.clear();
            self.seen.clone_from(&self.safe);
        }
        lost
    }

    fn advance(&mut self, now: Timestamp) {
        while let Some(first) = self.underway.front()
            && first.at <= now
        {
            if let Some(first) = self.underway.pop_front() {
                put(&mut self.safe, first.name, first.bytes);
            }
        }
    }

    fn change(&mut self, name: String, bytes: Option<Vec<u8>>) {
        put(&mut self.seen, name.clone(), bytes.clone());
        self.fresh += 1;
        let at = Timestamp::MAX;
        self.underway.push_back(Write { at, name, bytes });
    }
}

fn put(map: &mut BTreeMap<String, Vec<u8>>, name: String, bytes: Option<Vec<u8>>) {
    match bytes {
        Some(bytes) => {
            map.insert(name, bytes);
        }
        None => {
            map.remove(&name);
        }
    }
}

/// The disk of a node that has never written anything.
pub(crate) static EMPTY: Disk = Disk::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_what_was_not_safe_and_nothing_before() {
        let at = Timestamp::from_nanos;
        let mut disk = Disk::new();
        disk.write("a", [1]);
        disk.write("b", [1]);
        disk.settle(at(10), |number| Duration::from_nanos(5 + number));
        disk.write("a", [2]);
        disk.remove("b");
        // It takes no time, and yet waits for what was written before.
        disk.settle(at(12), |_| Duration::ZERO);
        assert_eq!((disk.read("a"), disk.read("b")), (Some(&[2][..]), None));
        let mut other = disk.clone();
        assert_eq!(disk.crash(at(15)), 3, "the first write was safe");
        assert_eq!((disk.read("a"), disk.read("b")), (Some(&[1][..]), None));
        assert_eq!(other.crash(at(16)), 0);
        assert_eq!(other.names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(other.read("a"), Some(&[2][..]));
    }
}
