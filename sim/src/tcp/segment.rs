//! Segments: what the two ends of a connection send each other.

use core::net::SocketAddr;

use stillpoint::Buffer;

use super::Name;
use crate::network::{Entrance, HOP_LIMIT};
use crate::trace::SegmentWord;

/// One segment on its way.
///
/// Positions count bytes of one direction from 0; the end of a direction (FIN) takes one more. Where
/// TCP draws initial sequence numbers, so that segments of an old connection are told from those of a
/// new one, a segment here names its connection.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// The end that it is for.
    pub(crate) to: Name,
    /// Where it comes from, and the node that has the address it is for, if any. On a way of
    /// several links: the ends of the one that it is on.
    pub(crate) from_node: u32,
    pub(crate) to_node: Option<u32>,
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
    pub(crate) kind: Kind,
    /// Position of the first byte.
    pub(crate) position: u64,
    /// What the sender of the segment expects next.
    pub(crate) expected: u64,
    /// The position up to which its sender takes bytes in.
    pub(crate) edge: u64,
    pub(crate) payload: Buffer,
    /// How many gateways it may pass.
    pub(crate) hop_limit: u8,
    /// From which side it comes to the next, if that is one.
    pub(crate) entrance: Entrance,
}

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// SYN.
    Call,
    /// SYN and ACK.
    Answer,
    /// ACK, with bytes or without.
    Bytes,
    /// The same and FIN, behind the bytes.
    Last,
    /// ACK, and another is wanted in return: asks for the window, or for a sign of life.
    Probe,
    /// RST.
    Reset,
    /// ICMP: one from the other end's address could not go on.
    Unreachable,
    /// ICMP: one was too long for a link on the way. Its position is what fits.
    TooBig,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Call,
        Self::Answer,
        Self::Bytes,
        Self::Last,
        Self::Probe,
        Self::Reset,
        Self::Unreachable,
        Self::TooBig,
    ];

    /// Whether it is never answered.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Reset | Self::Unreachable | Self::TooBig)
    }
}

impl Segment {
    /// What answers it if there is no such connection.
    pub(crate) fn rejection(&self) -> Self {
        Self {
            to: self.to.other(),
            from_node: self.to_node.unwrap_or(self.from_node),
            to_node: Some(self.from_node),
            source: self.target,
            target: self.source,
            kind: Kind::Reset,
            position: 0,
            expected: 0,
            edge: 0,
            payload: Buffer::empty(),
            hop_limit: HOP_LIMIT,
            entrance: Entrance::Outside,
        }
    }

    /// Its kind, length and position, for the trace.
    pub(crate) fn word(&self) -> SegmentWord {
        SegmentWord::new(self.kind, self.payload.len(), self.position)
    }
}

/// Bytes in a segment (RFC 9293, 3.7.1): what Ethernet carries less the headers of IP and TCP.
pub(crate) const fn segment_bytes_max(peer: &SocketAddr) -> usize {
    if peer.is_ipv4() { 1_460 } else { 1_440 }
}
