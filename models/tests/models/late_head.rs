//! Planted: a consumer that says what it took only when it is gone, to write less often. Whoever
//! counts what it left counts what it took as well.

use super::{doorbell, sync, thread};

mod queue {
    use super::super::queue::{Consumer as Sound, RingBuffer as SoundBuffer};
    pub(crate) use super::super::queue::{Empty, Producer, PushError};

    pub(crate) struct RingBuffer;

    impl RingBuffer {
        #[expect(clippy::new_ret_no_self, reason = "rtrb's has two halves as well")]
        pub(crate) fn new<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
            let (producer, consumer) = SoundBuffer::new(capacity);
            (producer, Consumer(consumer))
        }
    }

    #[derive(Debug)]
    pub(crate) struct Consumer<T>(Sound<T>);

    impl<T> Consumer<T> {
        pub(crate) fn pop(&mut self) -> Result<T, Empty> {
            self.0.take()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub(crate) fn slots(&self) -> usize {
            self.0.slots()
        }
    }

    impl<T> Drop for Consumer<T> {
        fn drop(&mut self) {
            self.0.publish();
        }
    }
}

#[path = "../../../src/runtime/ring.rs"]
mod ring;
#[path = "stories.rs"]
pub(crate) mod stories;
