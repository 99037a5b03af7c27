//! What the doorbell and the ring promise, as stories of two or three threads.
//!
//! loom tries every order and everything that weak memory permits; shuttle tries random orders.
//! The planted faults are told the same stories.

use core::mem::ManuallyDrop;

use super::doorbell::Doorbell;
use super::ring::{RingReceiver, RingSender, ring};
use super::sync::{Arc, Waker};
use super::thread;

/// A producer sends one burst after the other to a consumer that sleeps whenever nothing waits.
pub(crate) fn no_wake_up_is_lost() {
    let sleeper = Sleeper::new();
    let (sender, mut receiver) = kept_ring(2, awake(), sleeper.bell());
    let producer = thread::spawn(move || send_each(sender, 2));
    sleeper.install();
    let taken = sleeper.take([&mut receiver], 2);
    assert_eq!(taken, [0, 1]);
    assert!(receiver.is_empty());
    end(receiver);
    producer.join().unwrap();
}

/// Two producers, each with a ring of its own, and one that sleeps.
pub(crate) fn several_ringers_wake_one_sleeper() {
    let sleeper = Sleeper::new();
    let (first, mut of_first) = kept_ring(1, awake(), sleeper.bell());
    let (second, mut of_second) = kept_ring(1, awake(), sleeper.bell());
    let producers = [first, second].map(|sender| thread::spawn(move || send_each(sender, 1)));
    sleeper.install();
    let taken = sleeper.take([&mut of_first, &mut of_second], 2);
    assert_eq!(taken, [0, 0]);
    end(of_first);
    end(of_second);
    for producer in producers {
        producer.join().unwrap();
    }
}

/// The producer was there first: it rings a bell that nobody answers yet, while its owner starts.
pub(crate) fn a_ring_before_the_waker_is_installed_is_not_lost() {
    let sleeper = Sleeper::new();
    let (mut sender, mut receiver) = kept_ring(2, awake(), sleeper.bell());
    sender.push(0).unwrap();
    sender.flush();
    let producer = thread::spawn(move || {
        sender.push(1).unwrap();
        end(sender); // Flushes, too.
    });
    sleeper.install();
    assert_eq!(sleeper.take([&mut receiver], 2), [0, 1]);
    end(receiver);
    producer.join().unwrap();
}

/// An owner ends while others still ring, even one that never says that it is awake again.
pub(crate) fn rings_after_the_end_of_the_owner_harm_nobody() {
    let sleeper = Sleeper::new();
    let bell = sleeper.bell();
    let (mut sender, mut receiver) = ring(2, awake(), sleeper.bell());
    let owner = thread::spawn(move || {
        sleeper.install();
        let _may_block = sleeper.bell.sleep(|| receiver.is_empty());
        let taken = usize::from(receiver.pop().is_some());
        taken + receiver.end(drop)
    });
    for message in 0..2 {
        sender.push(message).unwrap();
        sender.flush();
    }
    let taken = owner.join().unwrap();
    assert!(sender.is_abandoned());
    assert_eq!(taken + sender.lost(), 2);
    bell.ring();
}

/// Whoever rings a sleeper, and however many: it is woken once.
pub(crate) fn a_burst_is_one_wake() {
    let sleeper = Sleeper::new();
    sleeper.install();
    let (mut sender, receiver) = ring(3, awake(), sleeper.bell());
    assert!(sleeper.bell.sleep(|| receiver.is_empty()));
    let other = Arc::clone(&sleeper.bell);
    let other = thread::spawn(move || other.ring());
    sender.push(0).unwrap();
    sender.push(1).unwrap();
    sender.flush();
    sender.push(2).unwrap();
    sender.flush();
    sender.flush(); // Nothing new: not even a fence.
    other.join().unwrap();
    assert_eq!(sleeper.waker.wakes(), 1, "a burst is one wake");
    assert_eq!(receiver.len(), 3);
    sleeper.bell.awake();
    sleeper.bell.ring();
    assert_eq!(sleeper.waker.wakes(), 1, "nobody wakes who is awake");
}

/// A producer has more to send than there is room for, and sleeps until there is.
pub(crate) fn a_producer_that_waits_for_room_is_woken() {
    let (producer, consumer) = (Sleeper::new(), Sleeper::new());
    let (mut sender, mut receiver) = kept_ring(1, producer.bell(), consumer.bell());
    let producer = thread::spawn(move || {
        producer.install();
        assert_eq!(producer.send(&mut sender, 2), 2);
        end(sender);
    });
    consumer.install();
    assert_eq!(consumer.take([&mut receiver], 2), [0, 1]);
    producer.join().unwrap();
    assert!(receiver.is_abandoned());
    end(receiver);
}

/// The consumer ends while the producer sleeps for room that nobody will make.
pub(crate) fn a_producer_that_waits_for_room_is_told_of_the_end() {
    let producer = Sleeper::new();
    let (mut sender, mut receiver) = kept_ring(1, producer.bell(), awake());
    let consumer = thread::spawn(move || {
        let taken = usize::from(receiver.pop().is_some());
        end(receiver);
        taken
    });
    producer.install();
    let sent = producer.send(&mut sender, 3);
    let taken = consumer.join().unwrap();
    assert!(sent < 3 && sender.is_abandoned());
    assert_eq!(taken + sender.lost(), sent);
    end(sender);
}

/// Both end at once, and something is left between them.
pub(crate) fn what_is_sent_is_taken_or_counted_as_lost() {
    let (mut sender, mut receiver) = ring(2, awake(), awake());
    let producer = thread::spawn(move || {
        sender.push(0).unwrap();
        sender.push(1).unwrap();
        let seen = sender.is_abandoned().then(|| sender.lost());
        let lost = sender.end();
        assert!(seen.is_none_or(|seen| seen == lost), "counted too early");
        lost
    });
    let taken = usize::from(receiver.pop().is_some());
    let lost = receiver.end(drop) + producer.join().unwrap();
    assert!(taken + lost >= 2, "neither taken nor counted");
    assert!(taken + lost <= 2, "taken and counted, or counted twice");
}

/// A producer sends more than there is room for while the consumer takes what comes.
pub(crate) fn a_message_is_delivered_once() {
    let (mut sender, mut receiver) = ring(2, awake(), awake());
    for message in 0..2 {
        sender.push(message).unwrap();
    }
    let consumer = thread::spawn(move || {
        let taken: Vec<usize> = (0..2).filter_map(|_| receiver.pop()).collect();
        (taken, receiver)
    });
    // Whether this finds room is another story's affair.
    let sent = 2 + usize::from(sender.push(2).is_ok());
    let (mut taken, mut receiver) = consumer.join().unwrap();
    taken.extend(core::iter::from_fn(|| receiver.pop()));
    taken.sort_unstable();
    let twice = taken.windows(2).any(|pair| pair[0] == pair[1]);
    assert!(!twice, "delivered twice: {taken:?}");
    assert!(taken.iter().all(|&message| message < sent), "never sent");
}

/// A thread with a bell, which waits with a waker.
struct Sleeper {
    bell: Arc<Doorbell>,
    waker: Waker,
}

impl Sleeper {
    fn new() -> Self {
        Self {
            bell: awake(),
            waker: Waker::new(),
        }
    }

    fn bell(&self) -> Arc<Doorbell> {
        Arc::clone(&self.bell)
    }

    fn install(&self) {
        self.bell.install(self.waker.clone());
    }

    /// As a worker does: takes what is there, sleeps when nothing is, until it has `count`.
    fn take<const RINGS: usize>(
        &self,
        mut receivers: [&mut Kept<RingReceiver<usize>>; RINGS],
        count: usize,
    ) -> Vec<usize> {
        let mut taken = Vec::new();
        loop {
            for receiver in &mut receivers {
                while let Some(message) = receiver.pop() {
                    taken.push(message);
                }
                receiver.flush();
            }
            if taken.len() == count {
                return taken;
            }
            self.rest(|| receivers.iter().all(|receiver| receiver.is_empty()));
        }
    }

    /// Sends `count` messages, unless the consumer goes away. Returns how many it could.
    fn send(&self, sender: &mut Kept<RingSender<usize>>, count: usize) -> usize {
        let mut sent = 0;
        while sent < count {
            if sender.push(sent).is_ok() {
                sent += 1;
                continue;
            }
            if sender.is_abandoned() {
                break;
            }
            if !sender.wait_for_room() {
                while !sender.room_came() {
                    self.rest(|| sender.may_sleep());
                }
                assert!(sender.room() > 0 || sender.is_abandoned(), "no room came");
            }
        }
        sender.flush();
        sent
    }

    fn rest(&self, nothing_waits: impl FnOnce() -> bool) {
        if self.bell.sleep(nothing_waits) {
            self.waker.wait();
        }
        self.bell.awake();
    }
}

/// The bell of a thread that does not sleep.
fn awake() -> Arc<Doorbell> {
    Arc::new(Doorbell::new())
}

/// Sends `count` messages, each a burst of its own.
fn send_each(mut sender: Kept<RingSender<usize>>, count: usize) {
    for message in 0..count {
        assert!(sender.room() > 0);
        sender.push(message).unwrap();
        sender.flush();
    }
    end(sender);
}

/// What ends when the story says so, and not while a thread unwinds: where all threads sleep for
/// ever, the model is no more when loom says so.
type Kept<T> = ManuallyDrop<T>;

fn kept_ring(
    capacity: usize,
    producer_bell: Arc<Doorbell>,
    consumer_bell: Arc<Doorbell>,
) -> (Kept<RingSender<usize>>, Kept<RingReceiver<usize>>) {
    let (sender, receiver) = ring(capacity, producer_bell, consumer_bell);
    (Kept::new(sender), Kept::new(receiver))
}

fn end<T>(kept: Kept<T>) {
    drop(Kept::into_inner(kept));
}
