//! A queue in which each entry stands once.

use std::collections::BTreeMap;

/// First in, first out; what is in it already keeps its place. All operations are O(log n).
#[derive(Debug)]
pub(super) struct FifoSet<T> {
    queue: BTreeMap<u64, T>,
    places: BTreeMap<T, u64>,
    pushed: u64,
}

impl<T: Ord + Copy> FifoSet<T> {
    pub(super) const fn new() -> Self {
        Self {
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
            pushed: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn contains(&self, entry: &T) -> bool {
        self.places.contains_key(entry)
    }

    pub(super) fn push(&mut self, entry: T) {
        if self.places.contains_key(&entry) {
            return;
        }
        self.queue.insert(self.pushed, entry);
        self.places.insert(entry, self.pushed);
        self.pushed += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let (_, entry) = self.queue.pop_first()?;
        self.places.remove(&entry);
        Some(entry)
    }

    pub(super) fn remove(&mut self, entry: &T) {
        if let Some(place) = self.places.remove(entry) {
            self.queue.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It is a `Vec` that is asked before each push whether the entry is there.
        #[test]
        fn a_fifo_set_is_a_list_without_repetitions(
            script in prop::collection::vec((0..3u8, 0..6u32), 0..200),
        ) {
            let (mut set, mut model) = (FifoSet::new(), Vec::new());
            for (act, entry) in script {
                match act {
                    0 => {
                        set.push(entry);
                        if !model.contains(&entry) {
                            model.push(entry);
                        }
                    }
                    1 => {
                        let first = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(set.pop(), first);
                    }
                    _ => {
                        set.remove(&entry);
                        model.retain(|&kept| kept != entry);
                    }
                }
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert_eq!(set.contains(&entry), model.contains(&entry));
            }
        }
    }
}
