//! How long a worker looks again and again before it sleeps.
//!
//! A thread that sleeps takes 20 to 50 µs to wake up; one that looks again at once sees what comes
//! within one. [`Spin`] decides between the two from what the last waits were like: it pays to look
//! on as long as whatever comes next would have come within [`RuntimeConfig::spin_max`]. The limit
//! grows to twice what a wait took that was so short, and is halved by each that was longer, down
//! to nothing. So a worker that has nothing to do looks on, after its last input, for at most twice
//! `spin_max` in all.
//!
//! It asks no clock: a turn of the loop has one time, and that serves here, too.
//!
//! [`RuntimeConfig::spin_max`]: super::RuntimeConfig::spin_max

use core::time::Duration;

use crate::time::Timestamp;

/// Decides whether a worker that has nothing to do looks again or sleeps.
#[derive(Debug)]
pub(super) struct Spin {
    max: Duration,
    /// For how long it looks again at present.
    limit: Duration,
    state: State,
    /// How often something came while it looked.
    pub(super) paid: u64,
    /// How often nothing did, and it went to sleep.
    pub(super) failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The last turn has found something.
    Working,
    /// It is about to look again for the first time.
    Beginning,
    /// It has found nothing since then.
    Looking(Timestamp),
    /// It has slept since then; before, it has looked for so long.
    Asleep(Timestamp, Duration),
}

impl Spin {
    /// Looks on for at most `max`, which may be nothing.
    pub(super) const fn new(max: Duration) -> Self {
        Self {
            max,
            limit: Duration::ZERO,
            state: State::Working,
            paid: 0,
            failed: 0,
        }
    }

    /// Whether the turn that began at `now`, and is over, is followed by another look without
    /// sleep.
    #[inline]
    pub(super) fn looks_again(&mut self, now: Timestamp) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        match self.state {
            State::Working | State::Asleep(..) => {
                self.state = State::Beginning;
                true
            }
            // Nothing was to be seen right after the last turn.
            State::Beginning => {
                self.state = State::Looking(now);
                true
            }
            State::Looking(since) => now.since(since) < self.limit,
        }
    }

    /// Whether the last turns were looks that have found nothing.
    pub(super) const fn is_looking(&self) -> bool {
        matches!(self.state, State::Looking(_))
    }

    /// A turn has found something.
    #[inline]
    pub(super) fn found(&mut self) {
        if self.is_looking() {
            self.paid += 1;
        }
        self.state = State::Working;
    }

    /// It is about to sleep.
    pub(super) fn sleeps(&mut self, now: Timestamp) {
        let looked = match self.state {
            State::Looking(since) => {
                self.failed += 1;
                now.since(since)
            }
            State::Working | State::Beginning | State::Asleep(..) => Duration::ZERO,
        };
        self.state = State::Asleep(now, looked);
    }

    /// Its sleep is over.
    pub(super) fn woke(&mut self, now: Timestamp) {
        let State::Asleep(since, looked) = self.state else {
            return;
        };
        self.state = State::Working;
        if self.max.is_zero() {
            return;
        }
        let wait = looked + now.since(since);
        // What it takes to wake up is part of a wait. Who has not looked yet does not know how much.
        let short = if looked.is_zero() {
            self.max.saturating_mul(2)
        } else {
            self.max
        };
        if wait <= short {
            let twice = wait.saturating_mul(2).max(LIMIT_MIN);
            self.limit = self.limit.max(twice).min(self.max);
        } else {
            self.limit /= 2;
            if self.limit < LIMIT_MIN {
                self.limit = Duration::ZERO;
            }
        }
    }
}

/// A look takes about a microsecond, so less is not worth beginning.
const LIMIT_MIN: Duration = Duration::from_micros(2);

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    /// A worker to which things come, a microsecond a look.
    struct Worker {
        spin: Spin,
        now: Timestamp,
        looked: Duration,
        slept: u32,
    }

    impl Worker {
        fn new(max: Duration) -> Self {
            Self {
                spin: Spin::new(max),
                now: Timestamp::EPOCH,
                looked: us(0),
                slept: 0,
            }
        }

        /// Something comes after `gap`; a sleeper takes `late` longer to see it.
        fn wait(&mut self, gap: Duration, late: Duration) {
            let comes = self.now.after(gap);
            self.spin.found();
            while self.spin.looks_again(self.now) {
                if self.now >= comes {
                    return;
                }
                self.now = self.now.after(us(1));
                self.looked += us(1);
            }
            self.spin.sleeps(self.now);
            self.slept += 1;
            self.now = comes.max(self.now).after(late);
            self.spin.woke(self.now);
        }
    }

    #[test]
    fn short_waits_are_not_slept_through_any_more() {
        let mut worker = Worker::new(us(100));
        for _ in 0..1_000 {
            worker.wait(us(20), us(30));
        }
        assert_eq!((worker.slept, worker.spin.failed), (1, 0));
        // The last one is not known to have paid before the next turn.
        assert_eq!(worker.spin.paid, 998);
    }

    #[test]
    fn what_comes_at_once_is_no_look_that_paid() {
        let mut worker = Worker::new(us(100));
        for _ in 0..1_000 {
            worker.wait(us(0), us(0));
        }
        assert_eq!(worker.spin.paid, 0);
    }

    #[test]
    fn who_has_nothing_to_do_looks_for_twice_the_most_at_the_end() {
        for gap in [us(300), Duration::from_millis(20), Duration::from_secs(60)] {
            let mut worker = Worker::new(us(100));
            for _ in 0..10 {
                worker.wait(us(60), us(30));
            }
            assert!(worker.spin.paid > 0);
            worker.looked = us(0);
            for _ in 0..1_000 {
                worker.wait(gap, us(30));
            }
            let looked = worker.looked;
            assert!(looked >= us(100) && looked <= us(220), "{looked:?}");
        }
    }

    #[test]
    fn without_leave_nobody_looks_again() {
        let mut worker = Worker::new(us(0));
        for _ in 0..100 {
            worker.wait(us(0), us(0));
            worker.wait(us(1), us(30));
        }
        assert_eq!(worker.looked, us(0));
        assert_eq!((worker.spin.paid, worker.spin.failed), (0, 0));
    }

    #[test]
    fn before_each_sleep_it_looks_no_longer_than_the_most() {
        let mut worker = Worker::new(us(50));
        let mut number = 1_u64;
        for _ in 0..10_000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let before = worker.looked;
            worker.wait(us(number >> 57), us(30));
            assert!(worker.looked - before <= us(52));
        }
        assert!(worker.spin.paid > 1_000 && worker.spin.failed > 100);
    }

    #[test]
    fn a_turn_of_work_is_not_taken_for_a_look() {
        let mut spin = Spin::new(us(100));
        spin.sleeps(Timestamp::EPOCH);
        spin.woke(Timestamp::EPOCH.after(us(40)));
        let now = Timestamp::EPOCH.after(us(50));
        // The turn that began at 50 took until 500; the look after it is the first.
        assert!(spin.looks_again(now));
        assert!(!spin.is_looking());
        assert!(spin.looks_again(now.after(us(450))));
        assert!(spin.looks_again(now.after(us(529))));
        assert!(!spin.looks_again(now.after(us(530))));
    }
}
