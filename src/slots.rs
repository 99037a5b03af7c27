//! Slots with generations: the storage behind every id.
//!
//! Insert, remove and look up are O(1). A slot that was emptied is used again under the next
//! generation, so a stale [`Key`] finds nothing; a slot whose generations are used up is retired
//! for good. Which slot is taken next follows from the calls made so far and nothing else, so
//! that two runs of one seed give the same ids.

use core::fmt;

/// The place of one entry, and which of the place's successive entries is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index of the place.
    pub slot: u32,
    /// Counts the entries that the place has held.
    pub generation: u32,
}

impl Key {
    /// The least of all.
    pub(crate) const FIRST: Self = Self {
        slot: 0,
        generation: 0,
    };

    /// The greatest of all.
    pub(crate) const LAST: Self = Self {
        slot: u32::MAX,
        generation: u32::MAX,
    };
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<Entry<T>>,
    /// The vacant slot that is taken next, or [`NO_SLOT`].
    free: u32,
    len: u32,
}

/// No slot at all.
const NO_SLOT: u32 = u32::MAX;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Occupied(T),
    Vacant { next: u32 },
    Retired,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NO_SLOT,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// How many slots there are, in use or not.
    pub(crate) const fn places(&self) -> usize {
        self.entries.len()
    }

    /// Stores `value`. `None`, and nothing stored, when 2^32 - 1 slots are in use or retired.
    pub(crate) fn insert(&mut self, value: T) -> Option<Key> {
        let key = if self.free != NO_SLOT {
            let slot = self.free;
            let entry = &mut self.entries[slot as usize];
            let Content::Vacant { next } = entry.content else {
                unreachable!("slot {slot} is on the free list and not vacant")
            };
            self.free = next;
            entry.content = Content::Occupied(value);
            Key {
                slot,
                generation: entry.generation,
            }
        } else {
            let slot = u32::try_from(self.entries.len()).ok();
            let slot = slot.filter(|&slot| slot != NO_SLOT)?;
            if slot == 0 {
                // Many hold one entry, ever: it shall not take the room of four.
                self.entries.reserve_exact(1);
            }
            self.entries.push(Entry {
                generation: 0,
                content: Content::Occupied(value),
            });
            Key {
                slot,
                generation: 0,
            }
        };
        self.len += 1;
        Some(key)
    }

    /// Takes the entry out. `None` if `key` is stale.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        if entry.generation != key.generation || !matches!(entry.content, Content::Occupied(_)) {
            return None;
        }
        let content = match entry.generation.checked_add(1) {
            Some(generation) => {
                entry.generation = generation;
                let next = core::mem::replace(&mut self.free, key.slot);
                core::mem::replace(&mut entry.content, Content::Vacant { next })
            }
            None => core::mem::replace(&mut entry.content, Content::Retired),
        };
        self.len -= 1;
        match content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } | Content::Retired => None,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.slot as usize)? {
            Entry {
                generation,
                content: Content::Occupied(value),
            } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.slot as usize)? {
            Entry {
                generation,
                content: Content::Occupied(value),
            } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The key of what `slot` holds now.
    pub(crate) fn key_at(&self, slot: u32) -> Option<Key> {
        let entry = self.entries.get(slot as usize)?;
        matches!(entry.content, Content::Occupied(_)).then_some(Key {
            slot,
            generation: entry.generation,
        })
    }

    /// The first entry at or after `slot`.
    pub(crate) fn next_from(&self, slot: u32) -> Option<Key> {
        let end = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        (slot..end).find_map(|slot| self.key_at(slot))
    }

    /// All entries, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0u32..)
            .zip(&self.entries)
            .filter_map(|(slot, entry)| match &entry.content {
                Content::Occupied(value) => Some((
                    Key {
                        slot,
                        generation: entry.generation,
                    },
                    value,
                )),
                Content::Vacant { .. } | Content::Retired => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slot_whose_generations_are_used_up_is_never_used_again() {
        let mut slots = Slots::new();
        slots.entries.push(Entry {
            generation: u32::MAX,
            content: Content::Occupied('a'),
        });
        slots.len = 1;
        let last = Key {
            slot: 0,
            generation: u32::MAX,
        };
        assert_eq!(slots.remove(last), Some('a'));
        assert_eq!(
            slots.insert('b'),
            Some(Key {
                slot: 1,
                generation: 0
            })
        );
        assert_eq!(slots.get(last), None);
        assert_eq!(slots.remove(last), None);
    }

    proptest! {
        /// Law 4: a key finds what was stored under it until that is removed, and nothing after.
        #[test]
        fn law_4_a_stale_key_finds_nothing(script in prop::collection::vec((any::<bool>(), any::<u16>()), 0..200)) {
            let mut slots = Slots::new();
            let mut live: Vec<(Key, u16)> = Vec::new();
            let mut stale: Vec<Key> = Vec::new();
            for (insert, value) in script {
                if insert || live.is_empty() {
                    let key = slots.insert(value).unwrap();
                    prop_assert!(!stale.contains(&key));
                    live.push((key, value));
                } else {
                    let (key, stored) = live.swap_remove(usize::from(value) % live.len());
                    prop_assert_eq!(slots.remove(key), Some(stored));
                    stale.push(key);
                }
                prop_assert_eq!(slots.len(), live.len());
                for (key, stored) in &live {
                    prop_assert_eq!(slots.get(*key), Some(stored));
                }
                for key in &stale {
                    prop_assert_eq!(slots.get(*key), None);
                    prop_assert_eq!(slots.remove(*key), None);
                }
            }
        }
    }
}
