//! Deadlines of the tasks in one group.
//!
//! [`TimerQueue`] answers two questions: which slot is due first, and when. It does not know
//! what time it is; callers compare the answer with the `now` they were given.
//!
//! Slots due at the same timestamp come out in the order of their numbers, so that two runs of
//! one seed agree. Arming, disarming and taking the first are O(log n) in the number of armed
//! slots; a slot that is not armed costs four bytes.

use crate::time::Timestamp;

/// A heap of four children to a node that knows where each slot stands in it.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    heap: Vec<Armed>,
    /// By slot: its index in `heap`, or `UNARMED`.
    position: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Armed {
    at: Timestamp,
    slot: u32,
}

/// Such a queue, made with the first deadline: many groups never have one.
#[derive(Debug)]
pub(super) struct LazyTimers(Option<Box<TimerQueue>>);

impl LazyTimers {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// The same as of [`TimerQueue`].
    #[inline]
    pub(super) fn first(&self) -> Option<(Timestamp, u32)> {
        self.0.as_ref()?.first()
    }

    /// The same as of [`TimerQueue`].
    pub(super) fn at(&self, slot: u32) -> Option<Timestamp> {
        self.0.as_ref()?.at(slot)
    }

    /// The same as of [`TimerQueue`].
    #[inline]
    pub(super) fn set(&mut self, slot: u32, at: Option<Timestamp>) {
        if self.0.is_some() || at.is_some() {
            self.0.get_or_insert_default().set(slot, at);
        }
    }
}

const UNARMED: u32 = u32::MAX;
const CHILDREN: usize = 4;

impl TimerQueue {
    pub(crate) const fn new() -> Self {
        Self {
            heap: Vec::new(),
            position: Vec::new(),
        }
    }

    /// The slot that is due first, and when.
    pub(crate) fn first(&self) -> Option<(Timestamp, u32)> {
        self.heap.first().map(|armed| (armed.at, armed.slot))
    }

    /// When `slot` is due, if it is armed.
    pub(crate) fn at(&self, slot: u32) -> Option<Timestamp> {
        let index = self.position_of(slot)?;
        Some(self.heap[index].at)
    }

    /// Arms `slot` for `at`, or disarms it.
    pub(crate) fn set(&mut self, slot: u32, at: Option<Timestamp>) {
        match (self.position_of(slot), at) {
            (None, None) => {}
            (None, Some(at)) => {
                let index = slot as usize;
                if index >= self.position.len() {
                    self.position.resize(index + 1, UNARMED);
                }
                self.heap.push(Armed { at, slot });
                self.rise(self.heap.len() - 1);
            }
            (Some(index), Some(at)) => {
                let before = self.heap[index].at;
                self.heap[index].at = at;
                match at.cmp(&before) {
                    core::cmp::Ordering::Less => self.rise(index),
                    core::cmp::Ordering::Equal => {}
                    core::cmp::Ordering::Greater => self.sink(index),
                }
            }
            (Some(index), None) => {
                self.position[slot as usize] = UNARMED;
                let last = self.heap.len() - 1;
                self.heap.swap_remove(index);
                if index < last {
                    self.sink(index);
                    self.rise(index);
                }
            }
        }
    }

    fn position_of(&self, slot: u32) -> Option<usize> {
        let position = *self.position.get(slot as usize)?;
        (position != UNARMED).then_some(position as usize)
    }

    fn rise(&mut self, mut index: usize) {
        let moving = self.heap[index];
        while index > 0 {
            let parent = (index - 1) / CHILDREN;
            if self.heap[parent] <= moving {
                break;
            }
            self.place(index, self.heap[parent]);
            index = parent;
        }
        self.place(index, moving);
    }

    fn sink(&mut self, mut index: usize) {
        let moving = self.heap[index];
        loop {
            let first = index * CHILDREN + 1;
            let children = first..self.heap.len().min(first + CHILDREN);
            let Some(least) = children.min_by_key(|&child| self.heap[child]) else {
                break;
            };
            if moving <= self.heap[least] {
                break;
            }
            self.place(index, self.heap[least]);
            index = least;
        }
        self.place(index, moving);
    }

    fn place(&mut self, index: usize, armed: Armed) {
        self.heap[index] = armed;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "one entry a slot, slots are u32"
        )]
        let position = index as u32;
        self.position[armed.slot as usize] = position;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The first of the queue is the first of a sorted list, whatever was armed and disarmed.
        #[test]
        fn a_timer_queue_is_a_sorted_list(
            script in prop::collection::vec((0..40u32, prop::option::of(0..20u64)), 0..300),
        ) {
            let mut queue = TimerQueue::new();
            let mut model = std::collections::BTreeMap::new();
            for (slot, at) in script {
                let at = at.map(Timestamp::from_nanos);
                queue.set(slot, at);
                match at {
                    Some(at) => model.insert(slot, at),
                    None => model.remove(&slot),
                };
                let first = model.iter().map(|(&slot, &at)| (at, slot)).min();
                prop_assert_eq!(queue.first(), first);
            }
            // Taken one by one, they come in order.
            let mut left: Vec<_> = model.iter().map(|(&slot, &at)| (at, slot)).collect();
            left.sort_unstable();
            for expected in left {
                prop_assert_eq!(queue.first(), Some(expected));
                queue.set(expected.1, None);
            }
            prop_assert_eq!(queue.first(), None);
        }
    }
}
