//! Time as a value.
//!
//! A [`Timestamp`] counts nanoseconds since the epoch of one runner: the start of a thread
//! runtime, or of a simulated world. It is not wall-clock time, and timestamps of two runners
//! cannot be compared. Nothing here knows what time it is: the runner does, and passes it in.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// Nanoseconds since the runner's epoch, monotonic.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint::Timestamp;
///
/// let sent = Timestamp::EPOCH.after(Duration::from_millis(3));
/// let received = sent.after(Duration::from_micros(250));
/// assert_eq!(received.since(sent), Duration::from_micros(250));
/// assert_eq!(sent.since(received), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment at which the runner started.
    pub const EPOCH: Self = Self(0);

    /// The latest moment there is, some 584 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or [`Timestamp::MAX`] if that is out of range.
    #[must_use]
    #[inline]
    pub const fn after(self, duration: Duration) -> Self {
        let nanos = duration.as_nanos();
        if nanos > u64::MAX as u128 {
            return Self::MAX;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "compared with u64::MAX above"
        )]
        Self(self.0.saturating_add(nanos as u64))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{seconds}.{nanos:09}s")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The [`Instant`] that the runner's epoch is for guests: protocol crates that want time as std has
/// it, as str0m and quinn-proto do.
///
/// Whoever starts the program asks for that instant, once; from then on time is what tasks are told.
/// In a trace an epoch says nothing: instants differ from run to run.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use std::time::Instant;
/// use stillpoint::{Epoch, Timestamp};
///
/// # #[expect(clippy::disallowed_methods, reason = "whoever starts the program may ask")]
/// let epoch = Epoch::new(Instant::now());
/// let due = epoch.instant(Timestamp::EPOCH) + Duration::from_millis(5);
/// assert_eq!(epoch.timestamp(due), Timestamp::from_nanos(5_000_000));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Epoch(Instant);

impl Epoch {
    /// The runner's epoch is at `instant`.
    #[must_use]
    pub const fn new(instant: Instant) -> Self {
        Self(instant)
    }

    /// The instant of a timestamp.
    ///
    /// # Panics
    ///
    /// If the platform has no such instant, hundreds of years ahead.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.0 + Duration::from_nanos(at.as_nanos())
    }

    /// The timestamp of an instant; [`Timestamp::EPOCH`] for those before the epoch.
    #[must_use]
    pub fn timestamp(&self, at: Instant) -> Timestamp {
        Timestamp::EPOCH.after(at.saturating_duration_since(self.0))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epoch")
    }
}

/// When a task wants [`Input::Timeout`](crate::Input::Timeout), and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The first moment at which the timeout may be given.
    pub at: Timestamp,
    /// What the task waits for, for people who read traces: `"retransmit"`, `"idle"`.
    pub reason: &'static str,
}

impl Deadline {
    /// A deadline at `at` because of `reason`.
    #[must_use]
    #[inline]
    pub const fn new(at: Timestamp, reason: &'static str) -> Self {
        Self { at, reason }
    }
}

/// Who knows what time it is. The thread runtime has the only one that asks the system; tests
/// bring their own.
pub trait Clock {
    /// The time now. Never earlier than an earlier answer of the same clock.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_past_the_end_of_time_stays_at_its_end() {
        assert_eq!(
            Timestamp::from_nanos(5).after(Duration::MAX),
            Timestamp::MAX
        );
        assert_eq!(
            Timestamp::MAX.after(Duration::from_nanos(1)),
            Timestamp::MAX
        );
    }

    #[test]
    fn a_timestamp_prints_seconds_with_all_nanoseconds() {
        let at = Timestamp::from_nanos(12_000_000_034);
        assert_eq!(at.to_string(), "12.000000034s");
    }
}
