//! Planted: a producer that makes room by itself, by dropping the oldest message. Two threads move
//! the head then, and one of them may move it back: the consumer is handed a message again.

use super::{doorbell, sync, thread};

mod queue {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    pub(crate) use super::super::queue::{Empty, PushError};
    use super::sync::{Arc, AtomicUsize, Ordering};

    #[derive(Debug)]
    pub(crate) struct RingBuffer<T> {
        head: AtomicUsize,
        tail: AtomicUsize,
        places: Vec<Mutex<Option<T>>>,
    }

    impl<T> RingBuffer<T> {
        #[expect(clippy::new_ret_no_self, reason = "rtrb's has two halves as well")]
        pub(crate) fn new(capacity: usize) -> (Producer<T>, Consumer<T>) {
            let buffer = Arc::new(Self {
                head: AtomicUsize::new(0),
                tail: AtomicUsize::new(0),
                places: (0..capacity).map(|_| Mutex::new(None)).collect(),
            });
            let taken = BTreeSet::new();
            (Producer(Arc::clone(&buffer)), Consumer { buffer, taken })
        }

        fn len(&self) -> usize {
            let head = self.head.load(Ordering::Acquire);
            self.tail.load(Ordering::Acquire).saturating_sub(head)
        }

        /// Takes what is at the head, and moves the head on: a look and a write.
        fn advance(&self) -> (usize, Option<T>) {
            let head = self.head.load(Ordering::Acquire);
            let place = &self.places[head % self.places.len()];
            let value = place.lock().unwrap().take();
            self.head.store(head + 1, Ordering::Release);
            (head, value)
        }
    }

    #[derive(Debug)]
    pub(crate) struct Producer<T>(Arc<RingBuffer<T>>);

    impl<T> Producer<T> {
        #[expect(clippy::needless_pass_by_ref_mut, reason = "as rtrb has it")]
        pub(crate) fn push(&mut self, value: T) -> Result<(), PushError<T>> {
            if self.slots() == 0 {
                self.0.advance();
            }
            let tail = self.0.tail.load(Ordering::Relaxed);
            let place = &self.0.places[tail % self.0.places.len()];
            *place.lock().unwrap() = Some(value);
            self.0.tail.store(tail + 1, Ordering::Release);
            Ok(())
        }

        pub(crate) fn slots(&self) -> usize {
            self.0.places.len().saturating_sub(self.0.len())
        }
    }

    #[derive(Debug)]
    pub(crate) struct Consumer<T> {
        buffer: Arc<RingBuffer<T>>,
        /// The positions of all messages that were delivered.
        taken: BTreeSet<usize>,
    }

    impl<T> Consumer<T> {
        pub(crate) fn pop(&mut self) -> Result<T, Empty> {
            if self.is_empty() {
                return Err(Empty);
            }
            let (position, value) = self.buffer.advance();
            let again = !self.taken.insert(position);
            assert!(!again, "message {position} was delivered twice");
            value.ok_or(Empty)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.slots() == 0
        }

        pub(crate) fn slots(&self) -> usize {
            self.buffer.len()
        }
    }
}

#[path = "../../../src/runtime/ring.rs"]
mod ring;
#[path = "stories.rs"]
pub(crate) mod stories;
