//! What all events of one kind have in common.

use super::{Encoded, TraceEvent, TraceKind};
use stillpoint::Timestamp;

/// What an event is to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A worker is given something.
    Input,
    /// A worker gives something out.
    Output,
    /// Something begins to travel: a datagram, a segment, a packet, or an item of the bus.
    Travel,
    /// Something is lost, or reaches nobody.
    Loss,
    /// What the network does to something on its way.
    Verdict,
    /// A fault, or a worker that comes, goes, or stands still.
    Fault,
}

impl TraceKind {
    /// All kinds, in the order of their numbers.
    pub const fn all() -> &'static [Self] {
        &Self::ALL
    }

    /// What events of this kind are to their run.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Timeout
            | Self::Datagrams
            | Self::Network
            | Self::Spawn
            | Self::Command
            | Self::Shutdown
            | Self::Abort
            | Self::Packet
            | Self::Received
            | Self::Bus
            | Self::BusRoom
            | Self::PeerJoined
            | Self::PeerLeft
            | Self::Control => Role::Input,
            Self::Open
            | Self::Close
            | Self::Report
            | Self::Started
            | Self::SpawnFailed
            | Self::Ended
            | Self::Stale
            | Self::Untold
            | Self::OpenDevice
            | Self::Group
            | Self::Write
            | Self::Stream
            | Self::Answer => Role::Output,
            Self::Carried
            | Self::Duplicated
            | Self::PacketCarried
            | Self::PacketCopied
            | Self::Segment
            | Self::BusCarried => Role::Travel,
            Self::Dropped | Self::PacketDropped | Self::SegmentLost | Self::BusLost => Role::Loss,
            Self::PacketTaken
            | Self::Held
            | Self::Corrupted
            | Self::Truncated
            | Self::Marked
            | Self::Queued
            | Self::Forwarded
            | Self::SegmentForwarded => Role::Verdict,
            Self::WorkerStarted
            | Self::WorkerStopped
            | Self::Stalled
            | Self::Fault
            | Self::Moved => Role::Fault,
        }
    }

    /// Whether the first word is the hash of a text.
    pub(crate) const fn has_text(self) -> bool {
        matches!(
            self,
            Self::Network
                | Self::Spawn
                | Self::Command
                | Self::Open
                | Self::Report
                | Self::SpawnFailed
                | Self::Ended
                | Self::Untold
                | Self::OpenDevice
                | Self::Group
                | Self::Stream
                | Self::BusCarried
                | Self::BusLost
                | Self::Bus
                | Self::Control
                | Self::Answer
                | Self::Fault
                | Self::Moved
        )
    }

    /// Whether what is recorded after it, until something else happens, follows from it.
    pub(super) const fn leads(self) -> bool {
        matches!(self.role(), Role::Input)
            || matches!(self, Self::Fault | Self::Forwarded | Self::SegmentForwarded)
    }

    /// Whether it is about what travels next.
    pub(super) const fn is_damage(self) -> bool {
        matches!(self, Self::Corrupted | Self::Truncated | Self::Marked)
    }

    /// Whether an end of a connection may have its deadline for it.
    pub(super) const fn stirs(self) -> bool {
        matches!(
            self,
            Self::Write
                | Self::Stream
                | Self::Open
                | Self::Close
                | Self::Segment
                | Self::SegmentLost
                | Self::SegmentForwarded
        )
    }

    /// Whether its id is that of a task.
    pub(super) const fn is_of_task(self) -> bool {
        matches!(
            self,
            Self::Command | Self::Report | Self::Started | Self::Ended | Self::Stale | Self::Untold
        )
    }

    /// Whether its id is that of something that a task owns.
    pub(super) const fn is_of_resource(self) -> bool {
        matches!(
            self,
            Self::Datagrams
                | Self::Network
                | Self::Open
                | Self::Close
                | Self::Carried
                | Self::Duplicated
                | Self::Dropped
                | Self::OpenDevice
                | Self::Packet
                | Self::PacketCarried
                | Self::PacketCopied
                | Self::PacketDropped
                | Self::Group
                | Self::Received
                | Self::Write
                | Self::Stream
                | Self::Segment
                | Self::SegmentLost
                | Self::Held
                | Self::Corrupted
                | Self::Truncated
                | Self::Marked
                | Self::Queued
        )
    }

    /// Whether it is about what has arrived, and that is what its cause was about.
    pub(super) const fn is_arrival(self) -> bool {
        matches!(
            self,
            Self::Datagrams
                | Self::Packet
                | Self::PacketTaken
                | Self::Dropped
                | Self::PacketDropped
                | Self::SegmentLost
        )
    }

    /// The kind of this number.
    pub(super) fn of_number(number: u8) -> Option<Self> {
        let index = usize::from(number).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

impl TraceEvent {
    /// When what travels arrives.
    #[must_use]
    pub fn arrival(&self) -> Option<Timestamp> {
        let travels = self.kind.role() == Role::Travel;
        travels.then_some(Timestamp::from_nanos(self.words[2]))
    }
}

/// A bit for each kind. They are asked for here, and not as each event comes, so that it costs a
/// run as little as can be.
pub(super) fn bits(events: &[Encoded]) -> u64 {
    // Kinds count from 1, and stand in the lowest byte of the second word.
    let bits = events.iter().map(|event| 1 << (event[1][0] - 1));
    bits.fold(0, |bits, bit: u64| bits | bit)
}
