//! Planted: a sleeper that looks at its queues before it marks itself asleep. What comes in
//! between wakes nobody.

use super::{queue, sync, thread};

mod doorbell {
    use super::super::doorbell::Doorbell as Sound;
    use super::sync::Waker;

    #[derive(Debug)]
    pub(super) struct Doorbell(Sound);

    impl Doorbell {
        pub(super) fn new() -> Self {
            Self(Sound::new())
        }

        pub(super) fn install(&self, waker: Waker) {
            self.0.install(waker);
        }

        pub(super) fn sleep(&self, nothing_waits: impl FnOnce() -> bool) -> bool {
            nothing_waits() && self.0.sleep(|| true)
        }

        pub(super) fn awake(&self) {
            self.0.awake();
        }

        pub(super) fn ring(&self) {
            self.0.ring();
        }
    }
}

#[path = "../../../src/runtime/ring.rs"]
mod ring;
#[path = "stories.rs"]
pub(crate) mod stories;
