//! The Internet checksum (RFC 1071), as TCP, UDP and IPv4 headers carry it.

use super::headers::{MalformedPacket, PacketHeaders};
use super::{PartialChecksum, packet};

/// The sum of all 16-bit words, as a big-endian number; an odd byte counts as the first of a word.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    // Words of any byte order and of twice the width give the same sum, which is the fast way.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let total: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    u16::from_be(fold(total + u64::from(u32::from_ne_bytes(last))))
}

/// The sum of two sums.
pub(super) fn add(one: u16, other: u16) -> u16 {
    fold(u64::from(one) + u64::from(other))
}

/// The sum over the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) before `len` bytes of transport.
pub(super) fn pseudo_header(headers: &PacketHeaders, packet: &[u8], len: usize) -> u16 {
    let addresses = &packet[headers.addresses()];
    let mut rest = u64::from(headers.protocol);
    rest += len as u64;
    add(sum(addresses), fold(rest))
}

/// Whether the transport's checksum, which its sum covers too, is right.
pub(super) fn is_transport_right(headers: &PacketHeaders, packet: &[u8]) -> bool {
    let transport = &packet[headers.transport..headers.end];
    let pseudo = pseudo_header(headers, packet, transport.len());
    add(pseudo, sum(transport)) == u16::MAX
}

/// Writes the checksum of an IPv4 header.
pub(super) fn fill_ipv4(header: &mut [u8]) {
    packet::write_u16(header, 10, 0);
    packet::write_u16(header, 10, !sum(header));
}

/// Completes a checksum of which the field holds the sum over the pseudo header.
///
/// A sum of 0 is written as 0xFFFF, which means the same and which UDP demands (RFC 768).
pub(super) fn fill(packet: &mut [u8], partial: PartialChecksum) -> Result<(), MalformedPacket> {
    let len = packet.len();
    let start = usize::from(partial.start);
    let offset = usize::from(partial.offset);
    let summed = packet.get_mut(start..).unwrap_or_default();
    if summed.len() < offset + 2 {
        return Err(MalformedPacket::ChecksumOutside { len });
    }
    let checksum = not_zero(!sum(summed));
    packet::write_u16(summed, offset, checksum);
    Ok(())
}

/// The same checksum, as UDP writes it: 0 says that there is none.
pub(super) const fn not_zero(checksum: u16) -> u16 {
    if checksum == 0 { u16::MAX } else { checksum }
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap_or(u16::MAX)
}
