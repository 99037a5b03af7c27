//! A bounded queue from one thread to another that wakes either when it has to.
//!
//! Pushing and popping wake nobody. After a burst, its side says [`RingSender::flush`] or
//! [`RingReceiver::flush`], which costs one fence, and a system call only if the other thread
//! sleeps. So a message costs what the queue costs.
//!
//! A producer that finds no room asks to be woken for it ([`RingSender::wait_for_room`]). It is
//! once half of the places are free, so that it is not woken for each of them. That mark and what
//! it is about are written and looked at as in [`Doorbell`], and for the same reason.
//!
//! What is pushed is taken, or counted as lost: the side that ends last counts what is left
//! ([`RingSender::end`], [`RingReceiver::end`]). Which one that is, is settled by one swap. What is
//! left stays in memory until then.

use core::mem;

use super::doorbell::Doorbell;
use super::queue::{Consumer, Producer, PushError, RingBuffer};
use super::sync::{Arc, AtomicBool, Ordering, fence};

/// A ring with `capacity` places, and the bells of the threads at its two ends.
///
/// # Panics
///
/// If `capacity` is 0.
pub(super) fn ring<T>(
    capacity: usize,
    producer_bell: Arc<Doorbell>,
    consumer_bell: Arc<Doorbell>,
) -> (RingSender<T>, RingReceiver<T>) {
    assert!(capacity > 0, "a ring has places");
    let (producer, consumer) = RingBuffer::new(capacity);
    let ends = Arc::new(Ends {
        wants_room: AtomicBool::new(false),
        one_ended: AtomicBool::new(false),
    });
    let sender = RingSender {
        queue: producer,
        capacity,
        ends: Arc::clone(&ends),
        consumer_bell,
        pushed: false,
        waits: false,
        ended: false,
    };
    let receiver = RingReceiver {
        queue: consumer,
        capacity,
        ends,
        producer_bell,
        popped: false,
        ended: false,
    };
    (sender, receiver)
}

/// The end of a ring that messages go in at.
#[derive(Debug)]
pub(super) struct RingSender<T> {
    queue: Producer<T>,
    capacity: usize,
    ends: Arc<Ends>,
    consumer_bell: Arc<Doorbell>,
    /// Something was pushed since the last flush.
    pushed: bool,
    /// We have asked for room, and have not heard yet that it came.
    waits: bool,
    ended: bool,
}

impl<T> RingSender<T> {
    /// Queues `message`. The consumer is not woken before [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// `message`, if there is no room.
    #[inline]
    pub(super) fn push(&mut self, message: T) -> Result<(), T> {
        match self.queue.push(message) {
            Ok(()) => {
                self.pushed = true;
                Ok(())
            }
            Err(PushError::Full(message)) => Err(message),
        }
    }

    /// How many messages it takes at least.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.queue.slots()
    }

    /// Wakes the consumer if it sleeps and something was pushed since the last time.
    #[inline]
    pub(super) fn flush(&mut self) {
        if mem::take(&mut self.pushed) {
            self.consumer_bell.ring();
        }
    }

    /// Asks to be woken once half of the places are free, or the consumer is gone. Flushes: room
    /// is made by a consumer that is awake.
    ///
    /// Returns `true`, and asks for nothing, if that is so already. Otherwise
    /// [`room_came`](Self::room_came) says when it is.
    #[must_use]
    pub(super) fn wait_for_room(&mut self) -> bool {
        self.flush();
        self.ends.wants_room.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let need_not_wait = self.room() >= self.capacity.div_ceil(2) || self.is_abandoned();
        if need_not_wait {
            self.ends.wants_room.store(false, Ordering::Relaxed);
        }
        self.waits = !need_not_wait;
        need_not_wait
    }

    /// Whether the wait that [`wait_for_room`](Self::wait_for_room) began is over; true once. The
    /// consumer may be gone then, and there may be less room than half: who still finds none asks
    /// again.
    #[must_use]
    pub(super) fn room_came(&mut self) -> bool {
        let came = !self.may_sleep();
        self.waits &= !came;
        came
    }

    /// Whether [`room_came`](Self::room_came) has nothing to say: what a producer asks of all its
    /// senders before it blocks.
    #[inline]
    pub(super) fn may_sleep(&self) -> bool {
        // The consumer takes the mark. Acquire, so that the room it made is seen, too.
        !self.waits || self.ends.wants_room.load(Ordering::Acquire)
    }

    /// Whether the consumer is gone. Nobody takes what is pushed then.
    #[inline]
    pub(super) fn is_abandoned(&self) -> bool {
        self.ends.one_ended.load(Ordering::Acquire)
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "what tests ask"))]
    /// How many messages are in the ring and will not be taken: none while there is a consumer.
    pub(super) fn lost(&self) -> usize {
        if self.is_abandoned() {
            self.capacity - self.room()
        } else {
            0
        }
    }

    /// Ends it. Returns how many messages nobody will take: none if there is a consumer, which
    /// may take them still, and otherwise counts them.
    pub(super) fn end(mut self) -> usize {
        self.finish()
    }

    fn finish(&mut self) -> usize {
        if mem::replace(&mut self.ended, true) {
            return 0;
        }
        match self.ends.end_one() {
            Ended::First => {
                self.consumer_bell.ring(); // For what was not flushed, and for the end itself.
                0
            }
            Ended::Last => self.capacity - self.room(),
        }
    }
}

impl<T> Drop for RingSender<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The end of a ring that messages come out of.
#[derive(Debug)]
pub(super) struct RingReceiver<T> {
    queue: Consumer<T>,
    capacity: usize,
    ends: Arc<Ends>,
    producer_bell: Arc<Doorbell>,
    /// Something was popped since the last flush.
    popped: bool,
    ended: bool,
}

impl<T> RingReceiver<T> {
    /// Takes the next message. A producer that waits for room is not woken before
    /// [`flush`](Self::flush).
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        let message = self.queue.pop().ok()?;
        self.popped = true;
        Some(message)
    }

    /// Whether nothing waits: what a consumer asks of all its receivers before it blocks.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many messages wait at least.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queue.slots()
    }

    /// Tells a producer that waits for room if half of the places are free, and something was
    /// popped since the last time.
    #[inline]
    pub(super) fn flush(&mut self) {
        if !mem::take(&mut self.popped) {
            return;
        }
        fence(Ordering::SeqCst);
        if self.ends.wants_room.load(Ordering::Relaxed) {
            self.offer_room();
        }
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "what tests ask"))]
    /// Whether the producer is gone: nothing comes after what waits.
    #[inline]
    pub(super) fn is_abandoned(&self) -> bool {
        self.ends.one_ended.load(Ordering::Acquire)
    }

    /// Ends it, and hands over what is left if there is no producer any more. Returns how many
    /// messages that was: none if there is a producer, which counts them then.
    pub(super) fn end(mut self, mut take: impl FnMut(T)) -> usize {
        let left = self.finish();
        for _ in 0..left {
            if let Ok(message) = self.queue.pop() {
                take(message);
            }
        }
        left
    }

    #[cold]
    fn offer_room(&self) {
        // Pushed since may be more than we see, never less than what the producer saw when it
        // asked. If this is too little room, there is something left to pop, and another flush.
        if self.capacity - self.len() >= self.capacity.div_ceil(2) {
            self.answer();
        }
    }

    /// Takes the producer's mark. If that has taken it back and made another meanwhile, it is told
    /// of room without cause, and asks again.
    fn answer(&self) {
        self.ends.wants_room.store(false, Ordering::Release);
        self.producer_bell.ring();
    }

    fn finish(&mut self) -> usize {
        if mem::replace(&mut self.ended, true) {
            return 0;
        }
        match self.ends.end_one() {
            Ended::First => {
                fence(Ordering::SeqCst);
                self.answer(); // Nobody will make room that the producer may wait for.
                0
            }
            Ended::Last => self.len(),
        }
    }
}

impl<T> Drop for RingReceiver<T> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What both ends know of each other, beside the queue.
#[derive(Debug)]
struct Ends {
    /// The producer waits for room. It makes the mark, the consumer takes it.
    wants_room: AtomicBool,
    /// One of them is gone.
    one_ended: AtomicBool,
}

impl Ends {
    /// One swap, so that of two that end at once one is the last. It sees all that the other did.
    fn end_one(&self) -> Ended {
        if self.one_ended.swap(true, Ordering::AcqRel) {
            Ended::Last
        } else {
            Ended::First
        }
    }
}

/// Which of two ends has ended.
enum Ended {
    First,
    Last,
}
