//! Cuts large packets into single ones, and completes checksums.
//!
//! What each segment gets in its headers: its length; for IPv4 the next identification and a header
//! checksum; for TCP its place in the sequence, FIN and PSH if it is the last, CWR if it is the
//! first (RFC 9293, RFC 3168); for UDP its length (RFC 768); and its checksum.
//!
//! Where the headers end is read from the packet itself: the length that comes with it is a hint
//! only (VIRTIO 1.2, 5.1.6.2).

use super::headers::{MalformedPacket, PacketHeaders};
use super::{DeviceKind, Packet, SegmentProtocol, Segmentation, checksum, packet};
use crate::buffer::{Buffer, BufferPool};

impl Packet {
    /// The single packets with all checksums that this one stands for. One that is single already
    /// is not copied.
    ///
    /// # Errors
    ///
    /// Why it cannot be cut, or its checksum not be completed. [`Packet::offload`] names what the
    /// packet does not have, or the packet is itself broken.
    pub fn into_singles(
        self,
        kind: DeviceKind,
        buffers: &BufferPool,
    ) -> Result<SinglePackets<'_>, MalformedPacket> {
        let Self {
            mut payload,
            offload,
        } = self;
        let Some(segmentation) = offload.segmentation else {
            if let Some(partial) = offload.checksum {
                checksum::fill(payload.make_mut(), partial)?;
            }
            return Ok(SinglePackets(State::Whole(Some(payload))));
        };
        let cut = Cut::new(kind, payload, segmentation, buffers)?;
        Ok(SinglePackets(State::Cut(cut)))
    }
}

/// Single packets, in the order of what they carry. Made by [`Packet::into_singles`].
#[derive(Debug)]
pub struct SinglePackets<'a>(State<'a>);

#[derive(Debug)]
enum State<'a> {
    Whole(Option<Buffer>),
    Cut(Cut<'a>),
}

impl Iterator for SinglePackets<'_> {
    type Item = Buffer;

    fn next(&mut self) -> Option<Buffer> {
        match &mut self.0 {
            State::Whole(whole) => whole.take(),
            State::Cut(cut) => cut.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            State::Whole(whole) => usize::from(whole.is_some()),
            State::Cut(cut) => cut.count - cut.next,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for SinglePackets<'_> {}

#[derive(Debug)]
struct Cut<'a> {
    packet: Buffer,
    headers: PacketHeaders,
    /// Where the headers end.
    payload: usize,
    segment_size: usize,
    next: usize,
    count: usize,
    buffers: &'a BufferPool,
}

impl<'a> Cut<'a> {
    fn new(
        kind: DeviceKind,
        packet: Buffer,
        segmentation: Segmentation,
        buffers: &'a BufferPool,
    ) -> Result<Self, MalformedPacket> {
        let headers = PacketHeaders::parse(kind, &packet)?;
        let payload = headers.payload(&packet)?;
        if segmentation.protocol != protocol(&headers) {
            return Err(MalformedPacket::OtherProtocol);
        }
        let segment_size = usize::from(segmentation.segment_size);
        if segment_size == 0 {
            return Err(MalformedPacket::NoSegmentSize);
        }
        Ok(Self {
            // A packet without payload is one segment.
            count: (headers.end - payload).div_ceil(segment_size).max(1),
            packet,
            headers,
            payload,
            segment_size,
            next: 0,
            buffers,
        })
    }

    fn next(&mut self) -> Option<Buffer> {
        if self.next == self.count {
            return None;
        }
        let from = self.payload + self.next * self.segment_size;
        let to = self.headers.end.min(from + self.segment_size);
        let mut segment = self.buffers.take(self.payload + to - from);
        segment.push_back(&self.packet[..self.payload]);
        segment.push_back(&self.packet[from..to]);
        self.complete(segment.make_mut(), from - self.payload);
        self.next += 1;
        Some(segment)
    }

    /// Sets what is its own in the headers of the segment that begins at `offset` of the payload.
    fn complete(&self, segment: &mut [u8], offset: usize) {
        let headers = PacketHeaders {
            end: segment.len(),
            ..self.headers
        };
        write_lengths(&headers, segment);
        if headers.is_ipv4() {
            let header = &mut segment[headers.network..headers.transport];
            let number = u16::try_from(self.next % (1 << 16)).unwrap_or_default();
            let first = packet::read_u16(header, 4);
            packet::write_u16(header, 4, first.wrapping_add(number));
            checksum::fill_ipv4(header);
        }
        if headers.protocol == PacketHeaders::TCP {
            let tcp = &mut segment[headers.transport..];
            let sequence = packet::read_u32(tcp, 4);
            // The payload is shorter than 2^16 bytes.
            let offset = u32::try_from(offset).unwrap_or_default();
            packet::write_u32(tcp, 4, sequence.wrapping_add(offset));
            if self.next > 0 {
                tcp[TCP_FLAGS] &= !CWR;
            }
            if self.next + 1 < self.count {
                tcp[TCP_FLAGS] &= !(FIN | PSH);
            }
        }
        write_checksum(&headers, segment);
    }
}

/// What a TCP or UDP packet is as a large one.
pub(super) const fn protocol(headers: &PacketHeaders) -> SegmentProtocol {
    match (headers.protocol, headers.is_ipv4()) {
        (PacketHeaders::TCP, true) => SegmentProtocol::TcpV4,
        (PacketHeaders::TCP, false) => SegmentProtocol::TcpV6,
        (_, _) => SegmentProtocol::Udp,
    }
}

/// Where TCP or UDP has its checksum, in bytes from its header's beginning.
pub(super) const fn checksum_offset(headers: &PacketHeaders) -> u16 {
    match headers.protocol {
        PacketHeaders::TCP => 16,
        _ => 6,
    }
}

/// Writes the length of the packet into its IP header, and its UDP header if it has one.
pub(super) fn write_lengths(headers: &PacketHeaders, bytes: &mut [u8]) {
    let len = |from: usize| u16::try_from(headers.end - from).unwrap_or(u16::MAX);
    if headers.is_ipv4() {
        packet::write_u16(bytes, headers.network + 2, len(headers.network));
    } else {
        packet::write_u16(bytes, headers.network + 4, len(headers.network + 40));
    }
    if headers.protocol == PacketHeaders::UDP {
        packet::write_u16(bytes, headers.transport + 4, len(headers.transport));
    }
}

/// Writes the checksum of TCP or UDP.
fn write_checksum(headers: &PacketHeaders, bytes: &mut [u8]) {
    let at = headers.transport + usize::from(checksum_offset(headers));
    packet::write_u16(bytes, at, 0);
    let transport = &bytes[headers.transport..headers.end];
    let pseudo = checksum::pseudo_header(headers, bytes, transport.len());
    let sum = !checksum::add(pseudo, checksum::sum(transport));
    let sum = match headers.protocol {
        PacketHeaders::UDP => checksum::not_zero(sum),
        _ => sum,
    };
    packet::write_u16(bytes, at, sum);
}

/// Where a TCP header has its flags.
pub(super) const TCP_FLAGS: usize = 13;
pub(super) const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const ECE: u8 = 0x40;
pub(super) const CWR: u8 = 0x80;
