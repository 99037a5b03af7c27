//! The one place that asks the system what time it is.

use std::time::Instant;

use crate::time::{Clock, Epoch, Timestamp};

/// The system's monotonic clock, counted from when this value was made. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    epoch: Instant,
}

impl SystemClock {
    /// A clock that stands at [`Timestamp::EPOCH`] now.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "every one made is another epoch"
    )]
    pub fn new() -> Self {
        Self { epoch: instant() }
    }

    /// What its epoch is for guests that want time as std has it.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.after(instant().saturating_duration_since(self.epoch))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where time enters")]
fn instant() -> Instant {
    Instant::now()
}
