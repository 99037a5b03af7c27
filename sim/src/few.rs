//! Rows that mostly have one element, which is kept in place.

use core::ops::{Deref, DerefMut};

/// A row of elements, of which most have one, or none: then it takes no memory elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(
        #[expect(
            clippy::box_collection,
            reason = "one word here, where there mostly is something else"
        )]
        Box<Vec<T>>,
    ),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, new: T) {
        self.insert(self.len(), new);
    }

    /// Puts an element in before the one at `place`, or last.
    pub(crate) fn insert(&mut self, place: usize, new: T) {
        *self = match core::mem::replace(self, Self::None) {
            Self::None => Self::One(new),
            Self::One(only) => {
                let mut many = vec![only];
                many.insert(place, new);
                Self::Many(Box::new(many))
            }
            Self::Many(mut many) => {
                many.insert(place, new);
                Self::Many(many)
            }
        };
    }

    /// Takes the element at `place` out.
    pub(crate) fn remove(&mut self, place: usize) -> T {
        match core::mem::replace(self, Self::None) {
            Self::One(only) if place == 0 => only,
            Self::None | Self::One(_) => panic!("no element at {place}"),
            Self::Many(mut many) => {
                let removed = many.remove(place);
                *self = Self::Many(many);
                removed
            }
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(only) => core::slice::from_ref(only),
            Self::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(only) => core::slice::from_mut(only),
            Self::Many(many) => many,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut few = Self::None;
        for one in all {
            few.push(one);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a row like any other, whatever is put in and taken out.
        #[test]
        fn few_are_a_vec(steps in prop::collection::vec((any::<bool>(), 0..4_usize), 0..40)) {
            let (mut few, mut model) = (Few::default(), Vec::new());
            for (number, (puts, place)) in (0..).zip(steps) {
                let place = place.min(model.len());
                if puts {
                    few.insert(place, number);
                    model.insert(place, number);
                } else if place < model.len() {
                    prop_assert_eq!(few.remove(place), model.remove(place));
                }
                prop_assert_eq!(&few[..], &model[..]);
                prop_assert_eq!(&mut few[..], &mut model[..]);
            }
        }
    }
}
