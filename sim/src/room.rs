//! Memory that is taken only when it is needed: a world may have very many nodes.

use core::cell::OnceCell;
use core::ops::{Deref, DerefMut};

/// Makes room for one more. As much again, as a [`Vec`] does by itself, would be a waste among many
/// nodes; an eighth, or a sixteenth of many, is moved seldom enough.
pub(crate) fn make_room<T>(vec: &mut Vec<T>) {
    if vec.len() == vec.capacity() {
        let share = if vec.len() < 4_096 { 8 } else { 16 };
        vec.reserve_exact((vec.len() / share).max(2));
    }
}

/// Something that most of its owners never look at, made when they do.
pub(crate) struct Lazy<T>(OnceCell<Box<T>>);

impl<T> Lazy<T> {
    /// It, if anybody has looked at it.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get().map(|made| &**made)
    }
}

impl<T: Default> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get_or_init(Box::default)
    }
}

impl<T: Default> DerefMut for Lazy<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_init(Box::default);
        self.0.get_mut().expect("just made")
    }
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}
