//! The doorbell and the ring between real threads, and what they promise of one thread alone.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::doorbell::Doorbell;
use super::ring::{RingReceiver, RingSender, ring};
use crate::backend::{Wake, Waker};

#[test]
fn a_million_messages_arrive_once_and_in_order() {
    for capacity in [1, 7, 1 << 10] {
        let messages = if capacity == 1 { 10_000 } else { 1_000_000 };
        let (producer, consumer) = (Sleeper::new(), Sleeper::new());
        let (mut sender, mut receiver) = ring(capacity, producer.bell(), consumer.bell());
        thread::scope(|scope| {
            scope.spawn(|| {
                for message in 0..messages {
                    producer.send(&mut sender, message);
                    if message % 5 == 0 {
                        sender.flush();
                    }
                }
                assert_eq!(sender.end(), 0);
            });
            scope.spawn(|| {
                for expected in 0..messages {
                    assert_eq!(consumer.take(&mut receiver), Some(expected));
                }
                assert_eq!(consumer.take(&mut receiver), None);
                assert_eq!(receiver.end(drop), 0);
            });
        });
    }
}

#[test]
fn what_a_consumer_leaves_is_counted() {
    for taken_max in 0..200 {
        let (producer, consumer) = (Sleeper::new(), Sleeper::new());
        let (mut sender, mut receiver) = ring(8, producer.bell(), consumer.bell());
        let ((sent, lost), (taken, left)) = thread::scope(|scope| {
            let producing = scope.spawn(|| {
                let sent = (0..100).take_while(|&message| producer.send(&mut sender, message));
                (sent.count(), sender.end())
            });
            let consuming = scope.spawn(|| {
                let messages = core::iter::from_fn(|| consumer.take(&mut receiver));
                (messages.take(taken_max).count(), receiver.end(drop))
            });
            (producing.join().unwrap(), consuming.join().unwrap())
        });
        assert_eq!(sent, taken + lost + left);
        assert!(lost == 0 || left == 0, "one of them counts");
    }
}

#[test]
fn a_full_ring_gives_the_message_back() {
    let (mut sender, mut receiver) = ring(2, awake(), awake());
    assert_eq!(sender.room(), 2);
    assert_eq!((sender.push('a'), sender.push('b')), (Ok(()), Ok(())));
    assert_eq!(sender.push('c'), Err('c'));
    assert_eq!((sender.room(), receiver.len()), (0, 2));
    assert_eq!((receiver.pop(), receiver.pop()), (Some('a'), Some('b')));
    assert_eq!(receiver.pop(), None);
    assert!(receiver.is_empty());
}

#[test]
fn room_is_offered_once_half_of_the_places_are_free() {
    let producer = Sleeper::new();
    let (mut sender, mut receiver) = ring(4, producer.bell(), awake());
    (0..4).for_each(|message| sender.push(message).unwrap());
    assert!(!sender.wait_for_room());
    assert!(producer.bell.sleep(|| sender.may_sleep()));
    receiver.pop();
    receiver.flush();
    assert!(!sender.room_came() && sender.may_sleep() && !producer.is_woken());
    receiver.pop();
    assert!(!producer.is_woken(), "not before the flush");
    receiver.flush();
    assert!(producer.is_woken() && !sender.may_sleep());
    assert!(sender.room_came());
    assert!(!sender.room_came(), "told once");
    assert!(sender.wait_for_room(), "half is free already");
    assert!(sender.may_sleep());
}

#[test]
fn a_flush_without_news_wakes_nobody() {
    let consumer = Sleeper::new();
    let (mut sender, receiver) = ring(4, awake(), consumer.bell());
    assert!(consumer.bell.sleep(|| receiver.is_empty()));
    sender.flush();
    assert!(!consumer.is_woken());
    sender.push(1).unwrap();
    assert!(!consumer.is_woken());
    sender.flush();
    assert!(consumer.is_woken());
}

#[test]
fn nobody_wakes_who_stayed_awake() {
    let consumer = Sleeper::new();
    let (mut sender, receiver) = ring(4, awake(), consumer.bell());
    sender.push(1).unwrap();
    assert!(!consumer.bell.sleep(|| receiver.is_empty()));
    sender.flush();
    assert!(!consumer.is_woken());
}

#[test]
fn what_was_pushed_is_flushed_at_the_end() {
    let consumer = Sleeper::new();
    let (mut sender, mut receiver) = ring(4, awake(), consumer.bell());
    assert!(consumer.bell.sleep(|| receiver.is_empty()));
    sender.push(1).unwrap();
    drop(sender);
    assert!(consumer.is_woken() && receiver.is_abandoned());
    assert_eq!(receiver.pop(), Some(1));
}

#[test]
fn what_is_left_is_dropped_with_the_ring() {
    let message = Arc::new(());
    let (mut sender, receiver) = ring(4, awake(), awake());
    sender.push(Arc::clone(&message)).unwrap();
    assert_eq!(receiver.end(drop), 0, "the producer counts");
    assert_eq!(sender.lost(), 1);
    sender.push(Arc::clone(&message)).unwrap();
    assert_eq!(Arc::strong_count(&message), 3);
    assert_eq!(sender.end(), 2);
    assert_eq!(Arc::strong_count(&message), 1);
}

#[test]
#[should_panic(expected = "asleep without a waker")]
fn nobody_sleeps_without_a_waker() {
    let _may_block = Doorbell::new().sleep(|| true);
}

/// A thread with a bell, which waits as a backend does: a wake is kept until the next wait.
struct Sleeper {
    bell: Arc<Doorbell>,
    signal: Arc<Signal>,
}

impl Sleeper {
    fn new() -> Self {
        let signal = Arc::new(Signal::default());
        let bell = awake();
        bell.install(Waker::new(Arc::clone(&signal) as Arc<dyn Wake>));
        Self { bell, signal }
    }

    fn bell(&self) -> Arc<Doorbell> {
        Arc::clone(&self.bell)
    }

    fn is_woken(&self) -> bool {
        *self.signal.woken.lock().unwrap()
    }

    /// Sends it, or finds that the consumer is gone.
    fn send(&self, sender: &mut RingSender<usize>, message: usize) -> bool {
        while sender.push(message).is_err() {
            if sender.is_abandoned() {
                return false;
            }
            if !sender.wait_for_room() {
                while !sender.room_came() {
                    self.rest(|| sender.may_sleep());
                }
            }
        }
        true
    }

    /// The next one; `None` once the producer is gone and all is taken.
    fn take(&self, receiver: &mut RingReceiver<usize>) -> Option<usize> {
        loop {
            let ended = receiver.is_abandoned();
            if let Some(message) = receiver.pop() {
                return Some(message);
            }
            receiver.flush();
            if ended {
                return None;
            }
            self.rest(|| receiver.is_empty() && !receiver.is_abandoned());
        }
    }

    fn rest(&self, nothing_waits: impl FnOnce() -> bool) {
        if self.bell.sleep(nothing_waits) {
            let mut woken = self.signal.woken.lock().unwrap();
            while !*woken {
                woken = self.signal.condition.wait(woken).unwrap();
            }
            *woken = false;
        }
        self.bell.awake();
    }
}

#[derive(Debug, Default)]
struct Signal {
    woken: Mutex<bool>,
    condition: Condvar,
}

impl Wake for Signal {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.condition.notify_one();
    }
}

/// The bell of a thread that does not sleep.
fn awake() -> Arc<Doorbell> {
    Arc::new(Doorbell::new())
}
