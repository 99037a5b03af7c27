//! How often somebody may do something.

use core::time::Duration;

use stillpoint::Timestamp;

/// A bucket of tokens that fills at an even rate, kept as the moment at which it will be full.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    full_at: Timestamp,
    /// Whether the last thing was one too many.
    excess: Excess,
}

/// What there is to say of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// It is one too many, and the first in a row.
    FirstTooMany,
    /// It is one more too many.
    TooMany,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    No,
    Yes,
}

impl Allowance {
    /// Tokens that a full bucket holds.
    pub const BURST: u32 = 10;
    /// How long a token takes to come.
    pub const INTERVAL: Duration = Duration::from_millis(200);

    /// A full bucket.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            full_at: now,
            excess: Excess::No,
        }
    }

    /// Takes a token out, if there is one.
    pub fn take(&mut self, now: Timestamp) -> Verdict {
        if self.full_at.since(now) > Self::INTERVAL * (Self::BURST - 1) {
            return match core::mem::replace(&mut self.excess, Excess::Yes) {
                Excess::No => Verdict::FirstTooMany,
                Excess::Yes => Verdict::TooMany,
            };
        }
        self.full_at = self.full_at.max(now).after(Self::INTERVAL);
        self.excess = Excess::No;
        Verdict::Allowed
    }
}
