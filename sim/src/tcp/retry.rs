//! When what was not acknowledged is sent again (RFC 6298), and when that is given up.

use core::time::Duration;

use stillpoint::Timestamp;

/// The retransmission timer of one direction. The time between two attempts follows from the
/// measured round trips and doubles with each.
#[derive(Debug)]
pub(super) struct Retry {
    /// Smoothed round trip and its variation in nanoseconds, once one was measured.
    measured: Option<(u64, u64)>,
    /// The position that is timed, and since when (only what was sent once: Karn's algorithm).
    timed: Option<(u64, Timestamp)>,
    attempts: u32,
    at: Option<Timestamp>,
}

impl Retry {
    pub(super) const fn new() -> Self {
        Self {
            measured: None,
            timed: None,
            attempts: 0,
            at: None,
        }
    }

    /// When it is time.
    pub(super) const fn at(&self) -> Option<Timestamp> {
        self.at
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Begins to wait, unless it does already.
    pub(super) fn start(&mut self, now: Timestamp) {
        if self.at.is_none() {
            self.at = Some(now.after(self.pause()));
        }
    }

    /// Times the round trip of what ends at `position`, unless another is being timed.
    pub(super) fn time(&mut self, position: u64, now: Timestamp) {
        self.timed.get_or_insert((position, now));
    }

    /// One more attempt is made now. What is timed would measure nothing any more.
    pub(super) fn again(&mut self, now: Timestamp) {
        self.attempts += 1;
        self.timed = None;
        self.at = Some(now.after(self.pause()));
    }

    /// What is sent again out of turn is not timed.
    pub(super) const fn forget_timed(&mut self) {
        self.timed = None;
    }

    /// All before `position` has arrived.
    pub(super) fn progress(&mut self, position: u64, now: Timestamp) {
        if let Some((timed, since)) = self.timed
            && timed <= position
        {
            self.timed = None;
            self.measure(now.since(since));
        }
        self.attempts = 0;
        self.at = None;
    }

    /// The peer lives, though nothing has moved on: attempts count from the start, but do not come
    /// faster again.
    pub(super) fn alive(&mut self) {
        self.attempts = self.attempts.min(ALIVE_ATTEMPTS);
    }

    /// Nothing is waited for.
    pub(super) const fn stop(&mut self) {
        self.at = None;
    }

    fn measure(&mut self, round_trip: Duration) {
        let sample = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX / 8);
        let sample = sample.min(u64::MAX / 8);
        self.measured = Some(match self.measured {
            None => (sample, sample / 2),
            Some((smooth, variation)) => {
                let off = smooth.abs_diff(sample);
                ((7 * smooth + sample) / 8, (3 * variation + off) / 4)
            }
        });
    }

    fn pause(&self) -> Duration {
        let base = self.measured.map_or(PAUSE_FIRST, |(smooth, variation)| {
            let nanos = smooth.saturating_add(variation.saturating_mul(4));
            Duration::from_nanos(nanos).clamp(PAUSE_MIN, PAUSE_MAX)
        });
        base.saturating_mul(1 << self.attempts.min(16))
            .min(PAUSE_MAX)
    }
}

/// Before a round trip was measured.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// Attempts that a living peer leaves: the pause stays long, and many more may follow.
const ALIVE_ATTEMPTS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs into the timer until so many attempts were made; says how long that took.
    fn unanswered(retry: &mut Retry, attempts: u32) -> Duration {
        let start = Timestamp::EPOCH;
        let mut now = start;
        retry.start(now);
        while let Some(at) = retry.at()
            && retry.attempts() < attempts
        {
            now = at;
            retry.again(now);
        }
        retry.at().unwrap().since(start)
    }

    #[test]
    fn pauses_double_up_to_two_minutes() {
        let mut retry = Retry::new();
        assert_eq!(unanswered(&mut retry, 0), Duration::from_secs(1));
        assert_eq!(
            unanswered(&mut retry, 3),
            Duration::from_secs(1 + 2 + 4 + 8)
        );
        let mut retry = Retry::new();
        retry.progress(0, Timestamp::EPOCH);
        retry.time(1, Timestamp::EPOCH);
        retry.progress(1, Timestamp::from_nanos(1_000_000));
        let short = Duration::from_millis(200);
        let all = short * ((1 << 10) - 1) + Duration::from_secs(120) * 6;
        assert_eq!(unanswered(&mut retry, 15), all, "924.6 seconds");
    }

    #[test]
    fn what_was_sent_twice_is_not_measured() {
        let mut retry = Retry::new();
        retry.time(10, Timestamp::EPOCH);
        retry.start(Timestamp::EPOCH);
        retry.again(Timestamp::from_nanos(1_000_000_000));
        retry.progress(10, Timestamp::from_nanos(9_000_000_000));
        retry.start(Timestamp::EPOCH);
        assert_eq!(retry.at(), Some(Timestamp::EPOCH.after(PAUSE_FIRST)));
    }
}
