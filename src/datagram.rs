//! Datagrams, and runs of them.
//!
//! A *run* is a row of datagrams of one peer and one size that travel together: what the kernel
//! hands over in one go (GRO) or takes in one go (GSO). A single datagram is a run of one. All
//! datagrams of a run have the *segment size*, but for the last, which may be shorter.
//!
//! Sources: RFC 768 (UDP), `udp(7)` for `UDP_SEGMENT` and `UDP_GRO`.

use core::net::{IpAddr, SocketAddr};

use crate::buffer::Buffer;
use crate::id::SocketId;
use crate::traffic::{Dscp, Ecn};
use crate::transmit::Payload;
use crate::udp::InterfaceIndex;

/// The longest payload of a datagram over IPv4, in bytes; what every backend carries whole.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Datagrams that arrived from one peer in one go.
///
/// # Example
///
/// ```
/// use stillpoint::{Buffer, DatagramRun};
///
/// let peer = "192.0.2.1:9".parse().expect("an address");
/// let run = DatagramRun::new(peer, Buffer::copy_from(b"abcabcab"), 3);
/// let datagrams: Vec<&[u8]> = run.iter().collect();
/// assert_eq!(datagrams, [b"abc", b"abc", &b"ab"[..]]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramRun {
    /// Who sent them.
    pub peer: SocketAddr,
    /// The address that they were sent to, where the backend can tell: one of ours, or that of a
    /// group. For what was sent to a broadcast address, the address of ours in that network.
    pub local: Option<IpAddr>,
    /// The interface that they arrived at, where the backend can tell. What a machine sends to
    /// itself arrives at the loopback interface, or at the one that has the address.
    pub interface: Option<InterfaceIndex>,
    /// How the IP headers said routers were to treat them.
    pub dscp: Dscp,
    /// What the IP headers said of congestion.
    pub ecn: Ecn,
    /// The datagrams, end to end. Several may be where the kernel has put them, in 64 KiB that are
    /// kept as long as any part of them is ([`Buffer::memory`]): who keeps one for long copies it.
    pub payload: Buffer,
    /// Length in bytes of each datagram but the last.
    pub segment_size: usize,
}

impl DatagramRun {
    /// A run from `peer` with datagrams of `segment_size` bytes. A size of 0 or beyond the
    /// payload makes it a single datagram.
    #[must_use]
    #[inline]
    pub const fn new(peer: SocketAddr, payload: Buffer, segment_size: usize) -> Self {
        Self {
            peer,
            local: None,
            interface: None,
            dscp: Dscp::CS0,
            ecn: Ecn::NotCapable,
            payload,
            segment_size,
        }
    }

    /// Takes the datagrams out, and leaves one that is empty.
    #[must_use]
    #[inline(always)]
    pub fn take(&mut self) -> Self {
        // Field by field, as drivers fill it in: what is read at once in other pieces than it was
        // written in is read late.
        Self {
            peer: self.peer,
            local: self.local,
            interface: self.interface,
            dscp: self.dscp,
            ecn: self.ecn,
            payload: core::mem::take(&mut self.payload),
            segment_size: self.segment_size,
        }
    }

    /// How many datagrams there are: at least one, which may be empty.
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        segment_count(self.payload.len(), self.segment_size)
    }

    /// The datagrams, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        segments(&self.payload, self.segment_size)
    }

    /// The datagrams, each as a buffer of its own that shares the memory.
    pub fn buffers(&self) -> impl Iterator<Item = Buffer> {
        let step = segment_step(self.payload.len(), self.segment_size);
        (0..self.count()).filter_map(move |index| {
            let start = index * step;
            self.payload
                .slice(start..self.payload.len().min(start + step))
        })
    }
}

/// The datagrams inside `payload`, of `segment_size` bytes each but the last. An empty payload is
/// one empty datagram.
pub fn segments(payload: &[u8], segment_size: usize) -> impl Iterator<Item = &[u8]> {
    let step = segment_step(payload.len(), segment_size);
    let count = segment_count(payload.len(), segment_size);
    (0..count).map(move |index| {
        let start = index * step;
        &payload[start..payload.len().min(start + step)]
    })
}

/// How many datagrams `len` bytes make. At least one.
#[must_use]
#[inline]
pub fn segment_count(len: usize, segment_size: usize) -> usize {
    // A single datagram is by far the most common run: spare it the division.
    if segment_size == 0 || segment_size >= len {
        1
    } else {
        len.div_ceil(segment_size)
    }
}

#[inline]
fn segment_step(len: usize, segment_size: usize) -> usize {
    if segment_size == 0 {
        len.max(1)
    } else {
        segment_size
    }
}

/// Datagrams to be sent to one peer in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The socket to send from.
    pub socket: SocketId,
    /// Who is to get them.
    pub peer: SocketAddr,
    /// The address of ours to send from, where the socket has several. That of a group stands for
    /// none: the system chooses.
    pub source: Option<IpAddr>,
    /// How routers are to treat them, if not as the socket says.
    pub dscp: Option<Dscp>,
    /// What the IP headers are to say of congestion.
    pub ecn: Ecn,
    /// The datagrams, end to end.
    pub payload: Payload,
    /// Length in bytes of each datagram but the last; 0 for a single datagram.
    pub segment_size: usize,
}

impl Transmit {
    /// One datagram.
    #[must_use]
    #[inline(always)]
    pub fn new(socket: SocketId, peer: SocketAddr, payload: impl Into<Payload>) -> Self {
        Self {
            socket: socket.by_parts(),
            peer,
            source: None,
            dscp: None,
            ecn: Ecn::NotCapable,
            payload: payload.into(),
            segment_size: 0,
        }
    }

    /// Takes the datagrams out, and leaves one that is empty.
    #[must_use]
    #[inline]
    pub fn take(&mut self) -> Self {
        Self {
            payload: core::mem::take(&mut self.payload),
            ..*self
        }
    }

    /// The same, as a run of datagrams of this many bytes each but the last.
    #[must_use]
    #[inline]
    pub const fn with_segment_size(mut self, segment_size: usize) -> Self {
        self.segment_size = segment_size;
        self
    }

    /// The same, with these congestion bits.
    #[must_use]
    #[inline]
    pub const fn with_ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = ecn;
        self
    }

    /// The same, with this code point in place of the socket's.
    #[must_use]
    #[inline]
    pub const fn with_dscp(mut self, dscp: Dscp) -> Self {
        self.dscp = Some(dscp);
        self
    }

    /// The same, from this address of ours.
    #[must_use]
    #[inline]
    pub const fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// `run`, sent back to where it came from, from the address it was sent to; what was sent to
    /// a group, from one that the system chooses.
    #[must_use]
    #[inline(always)]
    pub fn reply(socket: SocketId, run: DatagramRun) -> Self {
        Self {
            socket: socket.by_parts(),
            peer: run.peer,
            source: run.local,
            dscp: None,
            ecn: Ecn::NotCapable,
            payload: Payload::owned(run.payload),
            segment_size: run.segment_size,
        }
    }

    /// How many datagrams there are.
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        segment_count(self.payload.len(), self.segment_size)
    }

    /// Length in bytes of the longest datagram.
    #[must_use]
    #[inline]
    pub fn datagram_len(&self) -> usize {
        if self.segment_size == 0 {
            self.payload.len()
        } else {
            self.payload.len().min(self.segment_size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_datagram_is_still_a_datagram() {
        let run = DatagramRun::new("[::1]:1".parse().unwrap(), Buffer::empty(), 0);
        assert_eq!(run.count(), 1);
        assert_eq!(run.iter().collect::<Vec<_>>(), [b""]);
        assert_eq!(run.buffers().count(), 1);
    }

    proptest! {
        /// Splitting a payload loses nothing, and the parts have the size that was asked for.
        #[test]
        fn a_run_is_its_datagrams_end_to_end(payload: Vec<u8>, segment_size in 0..70usize) {
            let run = DatagramRun::new(
                "192.0.2.1:1".parse().unwrap(),
                Buffer::copy_from(&payload),
                segment_size,
            );
            let datagrams: Vec<&[u8]> = run.iter().collect();
            prop_assert_eq!(datagrams.concat(), payload);
            prop_assert_eq!(datagrams.len(), run.count());
            for full in &datagrams[..datagrams.len() - 1] {
                prop_assert_eq!(full.len(), segment_size);
            }
            let buffers: Vec<Buffer> = run.buffers().collect();
            prop_assert!(buffers.iter().zip(&datagrams).all(|(buffer, datagram)| buffer == datagram));
            prop_assert_eq!(buffers.len(), datagrams.len());
        }
    }
}
