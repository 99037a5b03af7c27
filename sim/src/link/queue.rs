//! What waits in front of a link that has a bandwidth.

use core::time::Duration;

/// The queue in front of a link with a [bandwidth](crate::Link::bandwidth).
///
/// What is being sent does not wait any more and takes no room. Bytes count with their headers
/// of IP, UDP and TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Room for what waits, in bytes. What finds too little is dropped and counted.
    pub bytes_max: u64,
    /// Whether the queue watches how long datagrams wait, and with what aims.
    pub codel: Option<CoDel>,
}

/// What CoDel aims at (RFC 8289).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoDel {
    /// A wait that is good enough.
    pub target: Duration,
    /// How long waits may all be longer than that until something is dropped: about the longest
    /// round trip.
    pub interval: Duration,
}

impl Queue {
    /// A queue that drops what finds it full, and nothing else.
    #[must_use]
    pub const fn tail_drop(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            codel: None,
        }
    }

    /// A queue by CoDel (RFC 8289). Once datagrams have waited for longer than `target` for a whole
    /// `interval`, it drops one at the head when it is about to be sent, the next after `interval`,
    /// then after `interval / sqrt(2)`, `interval / sqrt(3)` and so on, until one has waited for
    /// less. A datagram that takes part in congestion notification (ECN) is marked and sent on
    /// instead. There is room for 10,000 datagrams of 1,500 bytes.
    #[must_use]
    pub const fn codel(target: Duration, interval: Duration) -> Self {
        Self {
            bytes_max: 15_000_000,
            codel: Some(CoDel { target, interval }),
        }
    }

    /// The same, with room for so many bytes.
    #[must_use]
    pub const fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }
}

impl Default for Queue {
    /// Tail drop behind a thousand frames of 1,514 bytes, which is what an Ethernet device of Linux
    /// has room for (`txqueuelen`).
    fn default() -> Self {
        Self::tail_drop(super::QUEUE_BYTES)
    }
}
