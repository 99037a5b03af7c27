//! What is open, in the slots that the worker gave it.

use crate::slots::Key;

/// Things by their keys. A stale key finds nothing.
pub(super) struct Table<T> {
    slots: Vec<Option<(Key, T)>>,
    len: usize,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// # Panics
    ///
    /// If the slot is taken: a worker closes a thing before it uses its slot again.
    pub(super) fn insert(&mut self, key: Key, thing: T) {
        let slot = key.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let taken = self.slots[slot].replace((key, thing));
        assert!(taken.is_none(), "{key:?} opened in a slot that is taken");
        self.len += 1;
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        let (_, removed) = slot.take_if(|(held, _)| *held == key)?;
        self.len -= 1;
        Some(removed)
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (held, thing) = self.slots.get(key.slot as usize)?.as_ref()?;
        (*held == key).then_some(thing)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (held, thing) = self.slots.get_mut(key.slot as usize)?.as_mut()?;
        (*held == key).then_some(thing)
    }
}
