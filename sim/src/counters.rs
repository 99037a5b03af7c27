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
    /// The node refused to send it; the task was told why, by `SendFailed` or `PacketsFailed`.
    Unsendable,
    /// A packet whose headers contradict themselves.
    Malformed,
    /// A packet that is longer than the receiving device's MTU.
    TooLong,
    /// The receiving host has taken in as many packets as it keeps.
    QueueFull,
    /// It was sent to a group that has no member in the network.
    NoMember,
    /// It arrived at the same instant as more than the socket's receive buffer holds.
    ReceiveBufferFull,
}

impl DropCause {
    /// All causes.
    pub const ALL: [Self; 10] = [
        Self::Loss,
        Self::NoRoute,
        Self::NoSocket,
        Self::Closed,
        Self::Unsendable,
        Self::Malformed,
        Self::TooLong,
        Self::QueueFull,
        Self::NoMember,
        Self::ReceiveBufferFull,
    ];
}

/// What became of the datagrams of a world. Always
/// `sent + duplicated + copied == delivered + dropped + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that tasks have sent.
    pub sent: u64,
    /// Copies that links have made of them.
    pub duplicated: u64,
    /// Copies made of what goes to a group or a broadcast address: one for each receiver but the
    /// first.
    pub copied: u64,
    /// Datagrams given to tasks.
    pub delivered: u64,
    /// Datagrams dropped.
    pub dropped: Dropped,
    /// Datagrams on their way.
    pub in_flight: u64,
    /// What became of the packets of devices.
    pub packets: PacketCounters,
}

/// What became of the packets and frames of all devices. Always
/// `given + injected + copied == delivered + taken + dropped + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PacketCounters {
    /// Packets that tasks have given to their devices.
    pub given: u64,
    /// Packets that the scenario has sent out of devices.
    pub injected: u64,
    /// How many there are more because packets were cut, copied by links, or sent to several.
    pub copied: u64,
    /// Packets given to tasks.
    pub delivered: u64,
    /// Packets that hosts have taken in.
    pub taken: u64,
    /// Packets dropped.
    pub dropped: Dropped,
    /// Packets on their way.
    pub in_flight: u64,
}

impl Counters {
    /// Panics unless every datagram is accounted for.
    pub(crate) fn assert_conserved(&self) {
        assert_eq!(
            self.sent + self.duplicated + self.copied,
            self.delivered + self.dropped.total() + self.in_flight,
            "a datagram is not accounted for, which is a fault of the simulator: {self:?}"
        );
        let packets = &self.packets;
        assert_eq!(
            packets.given + packets.injected + packets.copied,
            packets.delivered + packets.taken + packets.dropped.total() + packets.in_flight,
            "a packet is not accounted for, which is a fault of the simulator: {packets:?}"
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
