//! What became of every datagram.

use core::fmt;

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// The link lost it.
    Loss,
    /// No node has the address it was sent to.
    NoRoute,
    /// Nothing listens at the port it was sent to.
    NoSocket,
    /// The socket it was sent from is not open.
    Closed,
    /// The node refused to send it; the task was told why by `SendFailed`.
    Unsendable,
}

impl DropCause {
    /// All causes.
    pub const ALL: [Self; 5] = [
        Self::Loss,
        Self::NoRoute,
        Self::NoSocket,
        Self::Closed,
        Self::Unsendable,
    ];
}

/// What became of the datagrams of a world. Always
/// `sent + duplicated == delivered + dropped + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that tasks have sent.
    pub sent: u64,
    /// Copies that links have made of them.
    pub duplicated: u64,
    /// Datagrams given to tasks.
    pub delivered: u64,
    /// Datagrams dropped.
    pub dropped: Dropped,
    /// Datagrams on their way.
    pub in_flight: u64,
}

impl Counters {
    /// Panics unless every datagram is accounted for.
    pub(crate) fn assert_conserved(&self) {
        assert_eq!(
            self.sent + self.duplicated,
            self.delivered + self.dropped.total() + self.in_flight,
            "a datagram is not accounted for, which is a fault of the simulator: {self:?}"
        );
    }
}

/// Datagrams dropped, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped([u64; DropCause::ALL.len()]);

impl Dropped {
    /// How many for this cause.
    #[must_use]
    pub const fn by(&self, cause: DropCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn add(&mut self, cause: DropCause, datagrams: u64) {
        self.0[cause as usize] += datagrams;
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = DropCause::ALL.map(|cause| (cause, self.by(cause)));
        f.debug_map().entries(causes).finish()
    }
}
