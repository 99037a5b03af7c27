//! CoDel: which datagrams a queue drops because all have been waiting for too long.
//!
//! Source: RFC 8289, section 5. All times are nanoseconds.

use std::collections::VecDeque;

/// Something that waits in a queue.
pub(crate) trait Waits {
    /// Since when.
    fn since(&self) -> u64;

    fn bytes(&self) -> u64;

    /// Marks it as having met congestion. `false` if it takes no part in that.
    fn mark(&mut self) -> bool;
}

/// Where the control law stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Controller {
    /// When waits will have been too long for a whole interval; 0 if the last was not.
    first_above_at: u64,
    dropping: bool,
    /// When the next is dropped, while it drops; else when that would have been.
    drop_next_at: u64,
    /// Drops since it began to.
    count: u64,
    /// What that was when it last began to.
    last_count: u64,
}

/// What it aims at, and the longest datagram: a queue of one is never too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aims {
    pub(crate) target: u64,
    pub(crate) interval: u64,
    pub(crate) bytes_max: u64,
}

/// A queue and what is in it.
#[derive(Debug)]
pub(crate) struct Fifo<P> {
    waiting: VecDeque<P>,
    bytes: u64,
}

impl<P> Default for Fifo<P> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<P: Waits> Fifo<P> {
    pub(crate) fn push(&mut self, new: P) {
        self.bytes += new.bytes();
        self.waiting.push_back(new);
    }

    pub(crate) fn pop(&mut self) -> Option<P> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.bytes();
        Some(first)
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Controller {
    /// Takes out what is to be sent now. What is to be dropped before that goes to `dropped`.
    pub(crate) fn dequeue<P: Waits>(
        &mut self,
        aims: Aims,
        now: u64,
        fifo: &mut Fifo<P>,
        dropped: &mut Vec<P>,
    ) -> Option<P> {
        let (mut first, mut late) = self.take(aims, now, fifo)?;
        if !self.dropping {
            if !late {
                return Some(first);
            }
            self.begin(aims, now);
            if first.mark() {
                return Some(first);
            }
            dropped.push(first);
            let (next, _) = self.take(aims, now, fifo)?;
            return Some(next);
        }
        self.dropping = late;
        while self.dropping && now >= self.drop_next_at {
            self.count += 1;
            let next_at = next_after(self.drop_next_at, aims, self.count);
            if first.mark() {
                self.drop_next_at = next_at;
                return Some(first);
            }
            dropped.push(first);
            (first, late) = self.take(aims, now, fifo)?;
            self.dropping = late;
            if late {
                self.drop_next_at = next_at;
            }
        }
        Some(first)
    }

    /// Takes the first out. Says whether waits have been too long for long enough.
    fn take<P: Waits>(&mut self, aims: Aims, now: u64, fifo: &mut Fifo<P>) -> Option<(P, bool)> {
        let Some(first) = fifo.pop() else {
            self.first_above_at = 0;
            self.dropping = false;
            return None;
        };
        let waited = now.saturating_sub(first.since());
        let late = if waited < aims.target || fifo.bytes() <= aims.bytes_max {
            self.first_above_at = 0;
            false
        } else if self.first_above_at == 0 {
            self.first_above_at = now + aims.interval;
            false
        } else {
            now >= self.first_above_at
        };
        Some((first, late))
    }

    /// Begins to drop: where it left off, if that was a short while ago.
    fn begin(&mut self, aims: Aims, now: u64) {
        self.dropping = true;
        let more = self.count.saturating_sub(self.last_count);
        let recent = now.saturating_sub(self.drop_next_at) < 16 * aims.interval;
        self.count = if more > 1 && recent { more } else { 1 };
        self.drop_next_at = next_after(now, aims, self.count);
        self.last_count = self.count;
    }
}

/// The control law: the more have been dropped, the sooner the next is.
fn next_after(at: u64, aims: Aims, count: u64) -> u64 {
    let pause = aims.interval as f64 / libm::sqrt(count as f64);
    // At most an interval, which is at most a day.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the part behind the point is to go"
    )]
    let pause = pause as u64;
    at + pause
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const AIMS: Aims = Aims {
        target: 5 * MS,
        interval: 100 * MS,
        bytes_max: 1_500,
    };

    #[derive(Debug)]
    struct Parcel {
        since: u64,
        capable: bool,
        marked: bool,
    }

    impl Waits for Parcel {
        fn since(&self) -> u64 {
            self.since
        }

        fn bytes(&self) -> u64 {
            1_000
        }

        fn mark(&mut self) -> bool {
            self.marked |= self.capable;
            self.capable
        }
    }

    /// A queue that is never empty, and sends one each millisecond. All in it have waited for
    /// `waited`. Says when something was dropped or marked.
    fn run(
        controller: &mut Controller,
        millis: core::ops::Range<u64>,
        waited: u64,
        capable: bool,
    ) -> Vec<u64> {
        let mut times = Vec::new();
        for now in millis.map(|millis| millis * MS) {
            let (mut fifo, mut dropped) = (Fifo::default(), Vec::new());
            for _ in 0..10 {
                fifo.push(Parcel {
                    since: now - waited,
                    capable,
                    marked: false,
                });
            }
            let sent = controller.dequeue(AIMS, now, &mut fifo, &mut dropped);
            let marked = sent.is_some_and(|sent| sent.marked);
            times.extend(dropped.iter().map(|_| now));
            times.extend(marked.then_some(now));
        }
        times
    }

    #[test]
    fn drops_come_by_the_control_law_until_waits_are_short() {
        for capable in [false, true] {
            let mut controller = Controller::default();
            let times = run(&mut controller, 1_000..2_000, 6 * MS, capable);
            assert_eq!(times[0], 1_100 * MS, "after an interval");
            let mut at = 1_100.0;
            for (count, time) in (1..).zip(&times[1..]) {
                at += 100.0 / f64::from(count).sqrt();
                let expected = at.ceil() * 1e6;
                assert!(
                    (*time as f64 - expected).abs() <= 1e6,
                    "drop {count} at {time}"
                );
            }
            assert!(times.len() > 20, "{}", times.len());
            assert_eq!(
                run(&mut controller, 2_000..2_300, 4 * MS, capable),
                [0_u64; 0]
            );
        }
    }

    #[test]
    fn a_queue_that_is_long_again_soon_is_dropped_from_as_it_last_was() {
        let mut controller = Controller::default();
        let first = run(&mut controller, 1_000..2_000, 6 * MS, false);
        run(&mut controller, 2_000..2_010, MS, false);
        let again = run(&mut controller, 2_010..3_010, 6 * MS, false);
        assert!(again.len() > first.len() + 10, "{again:?}");
        run(&mut controller, 3_010..3_020, MS, false);
        let late = run(&mut controller, 6_000..7_000, 6 * MS, false);
        assert_eq!(late.len(), first.len(), "after a long rest it begins anew");
    }

    #[test]
    fn short_waits_and_short_queues_are_left_alone() {
        let mut controller = Controller::default();
        assert_eq!(
            run(&mut controller, 1_000..2_000, 5 * MS - 1, false),
            [0_u64; 0]
        );
        let (mut fifo, mut dropped) = (Fifo::default(), Vec::new());
        for now in (1_000..2_000).map(|millis| millis * MS) {
            for _ in 0..2 {
                fifo.push(Parcel {
                    since: 0,
                    capable: false,
                    marked: false,
                });
            }
            while controller
                .dequeue(AIMS, now, &mut fifo, &mut dropped)
                .is_some()
            {}
            assert_eq!(fifo.bytes(), 0);
        }
        assert!(dropped.is_empty(), "one of 1,000 bytes is no queue");
    }
}
