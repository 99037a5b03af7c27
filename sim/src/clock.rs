//! Clocks of nodes: how their time relates to that of the world.
//!
//! A [`NodeClock`] is what a scenario asks for; [`Running`] is one that runs. It turns the world's time
//! into the node's and a deadline in the node's time into the world's, in whole numbers: the node's
//! time is rounded down and the world's up, so that a deadline has passed when its timeout is given.

use core::time::Duration;

use stillpoint::Timestamp;

/// How the clock of a node runs. See [`World::set_clock`](crate::World::set_clock).
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::NodeClock;
///
/// // Three seconds ahead, and a second more each day.
/// let clock = NodeClock::new().offset(Duration::from_secs(3)).drift(12);
/// assert_ne!(clock, NodeClock::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeClock {
    offset: Duration,
    drift_ppm: i32,
    since_boot: bool,
}

impl NodeClock {
    /// A clock that shows the world's time.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            offset: Duration::ZERO,
            drift_ppm: 0,
            since_boot: false,
        }
    }

    /// The same, so much ahead from the start: its node has been up for longer.
    #[must_use]
    pub const fn offset(mut self, offset: Duration) -> Self {
        self.offset = offset;
        self
    }

    /// The same, fast by `ppm` parts in a million, or slow if that is negative. Quartz is within
    /// ±100 or so.
    ///
    /// # Panics
    ///
    /// If `ppm` is not within ±500,000: half as fast again, or half as fast.
    #[must_use]
    pub const fn drift(mut self, ppm: i32) -> Self {
        assert!(
            -DRIFT_MAX <= ppm && ppm <= DRIFT_MAX,
            "a clock that drifts by more than 500,000 ppm: make it half as fast at the least, and \
            half as fast again at the most"
        );
        self.drift_ppm = ppm;
        self
    }

    /// The same, beginning anew whenever its node is [restarted](crate::World::restart), as the time
    /// of a runtime does that begins anew. Without this the time of a node goes on while it is down.
    #[must_use]
    pub const fn since_boot(mut self) -> Self {
        self.since_boot = true;
        self
    }

    pub(crate) const fn is_since_boot(&self) -> bool {
        self.since_boot
    }
}

/// A clock that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// When it was last set, in the world's time and in its own.
    set_at: u64,
    reading: i128,
    /// It shows no less: it has shown that much already.
    shown: u64,
    drift_ppm: i32,
}

impl Running {
    /// A clock as if it had run since the world began.
    pub(crate) fn new(clock: &NodeClock) -> Self {
        Self::started(clock, Timestamp::EPOCH)
    }

    /// A clock that is started at `now`.
    pub(crate) fn started(clock: &NodeClock, now: Timestamp) -> Self {
        Self {
            set_at: now.as_nanos(),
            reading: signed(clock.offset),
            shown: 0,
            drift_ppm: clock.drift_ppm,
        }
    }

    /// The same, never behind what `before` shows at `now`.
    pub(crate) fn not_before(mut self, before: &Self, now: Timestamp) -> Self {
        self.shown = before.local(now).as_nanos();
        self
    }

    /// Whether it shows the world's time, now and later.
    pub(crate) fn is_true(&self, now: Timestamp) -> bool {
        self.drift_ppm == 0
            && self.reading == i128::from(self.set_at)
            && self.shown <= now.as_nanos()
    }

    /// Has it be so much later at once.
    pub(crate) fn jump(&mut self, now: Timestamp, by: Duration) {
        let reading = self.reads(now);
        self.shown = self.local(now).as_nanos();
        (self.set_at, self.reading) = (now.as_nanos(), reading + signed(by));
    }

    /// Sets it back. It stands still until it has caught up with what it has shown.
    pub(crate) fn set_back(&mut self, now: Timestamp, by: Duration) {
        let reading = self.reads(now);
        self.shown = self.local(now).as_nanos();
        (self.set_at, self.reading) = (now.as_nanos(), reading - signed(by));
    }

    /// What it shows.
    pub(crate) fn local(&self, now: Timestamp) -> Timestamp {
        let reads = self.reads(now).clamp(0, i128::from(u64::MAX));
        let reads = u64::try_from(reads).unwrap_or(u64::MAX);
        Timestamp::from_nanos(reads.max(self.shown))
    }

    /// The first moment of the world, from when it was last set on, at which it shows `local` or
    /// later.
    pub(crate) fn global(&self, local: Timestamp) -> Timestamp {
        let nanos = local.as_nanos();
        if nanos <= self.shown {
            return Timestamp::from_nanos(self.set_at);
        }
        let missing = u128::try_from(i128::from(nanos) - self.reading).unwrap_or(0);
        let elapsed = (missing * MILLION).div_ceil(self.speed());
        let at = u128::from(self.set_at) + elapsed;
        Timestamp::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }

    /// What it would show, had it shown nothing before.
    fn reads(&self, now: Timestamp) -> i128 {
        let elapsed = u128::from(now.as_nanos().saturating_sub(self.set_at));
        let own = elapsed * self.speed() / MILLION;
        self.reading + i128::try_from(own).unwrap_or(i128::MAX >> 1)
    }

    /// Its own nanoseconds in a million of the world's.
    fn speed(&self) -> u128 {
        let speed = i128::try_from(MILLION).unwrap_or(0) + i128::from(self.drift_ppm);
        u128::try_from(speed).unwrap_or(1)
    }
}

fn signed(duration: Duration) -> i128 {
    // A century or two more or less makes no difference to a clock of 584 years.
    i128::from(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

const DRIFT_MAX: i32 = 500_000;

const MILLION: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_deadline_has_passed_at_its_moment_and_not_a_nanosecond_before() {
        for drift in [-500_000, -100, -7, -1, 0, 1, 3, 99, 500_000] {
            for offset in [0, 1, 12_345] {
                let clock = NodeClock::new().offset(Duration::from_nanos(offset));
                let mut running = Running::new(&clock.drift(drift));
                running.jump(at(1_000), Duration::from_nanos(17));
                for local in (2_000..5_000).chain([u64::MAX / 4]) {
                    let local = at(local + offset);
                    let global = running.global(local);
                    assert!(running.local(global) >= local);
                    if global > at(1_000) {
                        assert!(running.local(at(global.as_nanos() - 1)) < local);
                    }
                }
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_stands_still_until_it_has_caught_up() {
        let mut running = Running::new(&NodeClock::new());
        running.set_back(at(100), Duration::from_nanos(300));
        assert_eq!(running.local(at(100)), at(100));
        assert_eq!(running.local(at(400)), at(100));
        assert_eq!(running.local(at(401)), at(101));
        assert_eq!(running.global(at(101)), at(401));
        assert_eq!(running.global(at(100)), at(100), "that has passed");
        // Twice is twice as long.
        running.set_back(at(150), Duration::from_nanos(100));
        assert_eq!(running.local(at(500)), at(100));
        assert_eq!(running.local(at(501)), at(101));
    }

    #[test]
    fn a_fast_clock_is_ahead_by_its_parts_in_a_million() {
        let day = Timestamp::from_nanos(86_400_000_000_000);
        let fast = Running::new(&NodeClock::new().drift(12)).local(day);
        assert_eq!(fast.since(day), Duration::from_nanos(1_036_800_000));
        let slow = Running::new(&NodeClock::new().drift(-12)).local(day);
        assert_eq!(day.since(slow), Duration::from_nanos(1_036_800_000));
        assert!(Running::new(&NodeClock::new()).is_true(day));
        assert!(!Running::new(&NodeClock::new().drift(1)).is_true(day));
    }

    #[test]
    fn time_never_ends() {
        let mut running = Running::new(&NodeClock::new().drift(500_000));
        running.jump(at(5), Duration::MAX);
        running.jump(at(6), Duration::MAX);
        assert_eq!(running.local(Timestamp::MAX), Timestamp::MAX);
        assert_eq!(running.local(at(7)), Timestamp::MAX);
        running.set_back(at(8), Duration::MAX);
        assert_eq!(running.global(Timestamp::MAX), at(8));
    }
}
