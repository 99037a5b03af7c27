//! A stand-in for rtrb over the model's atomics: as much of it as the ring uses, with the orderings
//! that it has.
//!
//! What is in a place is no part of the model, and so is behind a lock that nothing ever waits
//! for. A place that is taken twice, or before it is filled, is a panic.

use std::sync::Mutex;

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
        let producer = Producer {
            buffer: Arc::clone(&buffer),
            tail: 0,
        };
        (producer, Consumer { buffer, head: 0 })
    }

    fn place(&self, position: usize) -> &Mutex<Option<T>> {
        &self.places[position % self.places.len()]
    }
}

#[derive(Debug)]
pub(crate) enum PushError<T> {
    Full(T),
}

#[derive(Debug)]
pub(crate) struct Empty;

#[derive(Debug)]
pub(crate) struct Producer<T> {
    buffer: Arc<RingBuffer<T>>,
    tail: usize,
}

impl<T> Producer<T> {
    pub(crate) fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.slots() == 0 {
            return Err(PushError::Full(value));
        }
        let before = self.buffer.place(self.tail).lock().unwrap().replace(value);
        assert!(before.is_none(), "a place was filled twice");
        self.tail += 1;
        self.buffer.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    pub(crate) fn slots(&self) -> usize {
        let head = self.buffer.head.load(Ordering::Acquire);
        self.buffer.places.len() - (self.tail - head)
    }
}

#[derive(Debug)]
pub(crate) struct Consumer<T> {
    buffer: Arc<RingBuffer<T>>,
    head: usize,
}

impl<T> Consumer<T> {
    pub(crate) fn pop(&mut self) -> Result<T, Empty> {
        let value = self.take()?;
        self.publish();
        Ok(value)
    }

    pub(crate) fn take(&mut self) -> Result<T, Empty> {
        if self.is_empty() {
            return Err(Empty);
        }
        let value = self.buffer.place(self.head).lock().unwrap().take();
        self.head += 1;
        Ok(value.expect("a place was taken twice, or before it was filled"))
    }

    /// Lets the producer have the places that were taken.
    pub(crate) fn publish(&self) {
        self.buffer.head.store(self.head, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots() == 0
    }

    pub(crate) fn slots(&self) -> usize {
        self.buffer.tail.load(Ordering::Acquire) - self.head
    }
}
