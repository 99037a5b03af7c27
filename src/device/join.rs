//! Joins single packets that follow one another in a flow into a large one.
//!
//! The reverse of cutting: to cut the large packet gives the same packets again, byte for byte but
//! for the IPv4 identification where it has no meaning (packets that may not be fragmented,
//! RFC 6864). So packets are joined only if their headers differ in nothing but what cutting sets,
//! all but the last are of one length, and all their checksums are right: a wrong one must not be
//! covered up.

use super::headers::PacketHeaders;
use super::segment::{self, ACK, CWR, ECE, FIN, PSH, TCP_FLAGS};
use super::{DeviceKind, Packet, PacketOffload, PartialChecksum, Segmentation, checksum, packet};
use crate::buffer::Buffer;

/// A packet to which others may be joined.
///
/// # Example
///
/// ```
/// use stillpoint::{Buffer, DeviceKind, PacketJoin};
///
/// # fn write(packet: &[u8]) {}
/// fn give(packets: Vec<Buffer>) {
///     let mut packets = packets.into_iter();
///     while let Some(packet) = packets.next() {
///         match PacketJoin::start(DeviceKind::Tun, packet) {
///             Err(alone) => write(&alone),
///             Ok(mut join) => {
///                 while packets.as_slice().first().is_some_and(|next| join.push(next)) {
///                     packets.next();
///                 }
///                 write(&join.finish().payload);
///             }
///         }
///     }
/// }
/// # give(vec![Buffer::copy_from(b"not IP")]);
/// ```
#[derive(Debug)]
pub struct PacketJoin {
    kind: DeviceKind,
    packet: Buffer,
    first: Segment,
    /// FIN and PSH of the last one.
    flags: u8,
    segments: u16,
    is_open: bool,
}

impl PacketJoin {
    /// The most packets that are joined into one.
    pub const SEGMENTS_MAX: u16 = 64;

    /// The longest IP packet that is made, in bytes.
    pub const BYTES_MAX: usize = 65_535;

    /// Begins with `packet`, which has all its checksums.
    ///
    /// # Errors
    ///
    /// The packet itself, if it is none to which others could be joined: not TCP or UDP with
    /// payload, a fragment, one that opens or breaks off a connection.
    pub fn start(kind: DeviceKind, packet: Buffer) -> Result<Self, Buffer> {
        let Some(first) = Segment::of(kind, &packet) else {
            return Err(packet);
        };
        Ok(Self {
            kind,
            packet,
            flags: first.flags & (FIN | PSH),
            is_open: first.flags & (FIN | PSH) == 0,
            first,
            segments: 1,
        })
    }

    /// Joins `packet` if it is next. `false`, and nothing done, if it is not; the order of packets
    /// is then kept by finishing this one first.
    #[must_use = "a packet that was not joined is still to be sent"]
    pub fn push(&mut self, packet: &[u8]) -> bool {
        if !self.is_open || self.segments == Self::SEGMENTS_MAX {
            return false;
        }
        let Some(next) = Segment::of(self.kind, packet) else {
            return false;
        };
        let len = self.packet.len() - self.first.headers.network + next.payload_len();
        if len > Self::BYTES_MAX || !self.is_next(&next) || !self.are_right(&next, packet) {
            return false;
        }
        self.packet.push_back(&packet[next.payload..]);
        self.flags |= next.flags & (FIN | PSH);
        self.segments += 1;
        self.is_open = self.flags == 0 && next.payload_len() == self.first.payload_len();
        true
    }

    /// The large packet, or the only one as it was.
    #[must_use]
    pub fn finish(self) -> Packet {
        let Self {
            mut packet, first, ..
        } = self;
        if self.segments == 1 {
            return Packet::new(packet);
        }
        let headers = PacketHeaders {
            end: packet.len(),
            ..first.headers
        };
        let offset = segment::checksum_offset(&headers);
        let bytes = packet.make_mut();
        segment::write_lengths(&headers, bytes);
        if headers.is_ipv4() {
            checksum::fill_ipv4(&mut bytes[headers.network..headers.transport]);
        }
        if headers.protocol == PacketHeaders::TCP {
            bytes[headers.transport + TCP_FLAGS] |= self.flags;
        }
        let len = headers.end - headers.transport;
        let pseudo = checksum::pseudo_header(&headers, bytes, len);
        packet::write_u16(bytes, headers.transport + usize::from(offset), pseudo);
        // All of these are places in a packet of at most `BYTES_MAX` behind a frame's header.
        let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Packet {
            payload: packet,
            offload: PacketOffload {
                segmentation: Some(Segmentation::new(
                    segment::protocol(&headers),
                    place(first.payload),
                    place(first.payload_len()),
                )),
                checksum: Some(PartialChecksum::new(place(headers.transport), offset)),
            },
        }
    }

    /// How many packets it is made of.
    #[must_use]
    pub const fn segments(&self) -> u16 {
        self.segments
    }

    /// Whether `next` continues what is here.
    fn is_next(&self, next: &Segment) -> bool {
        let first = &self.first;
        let so_far = (self.packet.len() - first.payload) % (1 << 32);
        let so_far = u32::try_from(so_far).unwrap_or_default();
        first.common == next.common
            && first.payload == next.payload
            && next.payload_len() <= first.payload_len()
            && next.sequence == first.sequence.map(|first| first.wrapping_add(so_far))
            && next.flags & CWR == 0
            && (first.is_atomic || next.number == first.number.wrapping_add(self.segments))
    }

    fn are_right(&self, next: &Segment, packet: &[u8]) -> bool {
        next.is_right(packet) && (self.segments > 1 || self.first.is_right(&self.packet))
    }
}

/// A packet that may be a segment of a large one.
#[derive(Debug)]
struct Segment {
    headers: PacketHeaders,
    /// Where the headers end.
    payload: usize,
    /// The headers, without what cutting sets.
    common: [u8; HEADERS_BYTES_MAX],
    /// IPv4 identification.
    number: u16,
    /// Whether the identification has no meaning.
    is_atomic: bool,
    /// Of TCP.
    sequence: Option<u32>,
    flags: u8,
}

impl Segment {
    fn of(kind: DeviceKind, packet: &[u8]) -> Option<Self> {
        let headers = PacketHeaders::parse(kind, packet).ok()?;
        let payload = headers.payload(packet).ok()?;
        if payload == headers.end || headers.end != packet.len() {
            return None;
        }
        let mut common = [0; HEADERS_BYTES_MAX];
        common
            .get_mut(..payload)?
            .copy_from_slice(&packet[..payload]);
        let (mut number, mut is_atomic) = (0, true);
        let ip = &mut common[headers.network..headers.transport];
        if headers.is_ipv4() {
            number = packet::read_u16(ip, 4);
            is_atomic = packet::read_u16(ip, 6) & MAY_NOT_FRAGMENT != 0;
            ip[2..6].fill(0);
            ip[10..12].fill(0);
        } else {
            ip[4..6].fill(0);
        }
        let (mut sequence, mut flags) = (None, 0);
        let transport = &mut common[headers.transport..payload];
        if headers.protocol == PacketHeaders::TCP {
            flags = transport[TCP_FLAGS];
            if flags & !(FIN | PSH | ECE | CWR) != ACK {
                return None;
            }
            sequence = Some(packet::read_u32(transport, 4));
            transport[4..8].fill(0);
            transport[TCP_FLAGS] &= !(FIN | PSH | CWR);
            transport[16..18].fill(0);
        } else {
            let len = usize::from(packet::read_u16(transport, 4));
            let unsummed = packet::read_u16(transport, 6) == 0;
            if unsummed || len != headers.end - headers.transport {
                return None;
            }
            transport[4..8].fill(0);
        }
        Some(Self {
            headers,
            payload,
            common,
            number,
            is_atomic,
            sequence,
            flags,
        })
    }

    const fn payload_len(&self) -> usize {
        self.headers.end - self.payload
    }

    /// Whether its checksums are right.
    fn is_right(&self, packet: &[u8]) -> bool {
        let headers = &self.headers;
        let ipv4 = &packet[headers.network..headers.transport];
        (!headers.is_ipv4() || checksum::sum(ipv4) == u16::MAX)
            && checksum::is_transport_right(headers, &packet[..headers.end])
    }
}

/// The longest headers of a packet that is joined: those of a tagged frame with IPv6 and TCP with
/// all options take 122.
const HEADERS_BYTES_MAX: usize = 128;

const MAY_NOT_FRAGMENT: u16 = 0x4000;
