//! Planted: a look and a write where there must be one swap. Two ends that end at once both take
//! the other for the one that counts; two ringers both wake.

use super::{queue, thread};

mod sync {
    pub(crate) use super::super::sync::{Arc, OnceLock, Ordering, Waker, fence};

    #[derive(Debug)]
    pub(crate) struct AtomicBool(super::super::sync::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(super::super::sync::AtomicBool::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> bool {
            self.0.load(order)
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.0.store(value, order);
        }

        pub(crate) fn swap(&self, value: bool, _: Ordering) -> bool {
            let before = self.0.load(Ordering::Acquire);
            self.0.store(value, Ordering::Release);
            before
        }

        pub(crate) fn compare_exchange(
            &self,
            current: bool,
            new: bool,
            _: Ordering,
            _: Ordering,
        ) -> Result<bool, bool> {
            let before = self.0.load(Ordering::Acquire);
            if before != current {
                return Err(before);
            }
            self.0.store(new, Ordering::Release);
            Ok(before)
        }
    }
}

#[path = "../../../src/runtime/doorbell.rs"]
mod doorbell;
#[path = "../../../src/runtime/ring.rs"]
mod ring;
#[path = "stories.rs"]
pub(crate) mod stories;
