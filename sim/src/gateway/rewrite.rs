//! Gives packets of devices other addresses and ports, as a NAT does.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use stillpoint::PacketHeaders;

/// Writes the addresses and ports of a packet of TCP or UDP, and mends its checksums. `false` if it
/// is too short for that, or of another family.
#[must_use]
pub(crate) fn rewrite(
    packet: &mut [u8],
    headers: &PacketHeaders,
    source: SocketAddr,
    target: SocketAddr,
) -> bool {
    let is_tcp = headers.protocol == PacketHeaders::TCP;
    let checksum_at = headers.transport + if is_tcp { 16 } else { 6 };
    if checksum_at + 2 > headers.end || source.is_ipv4() != headers.source.is_ipv4() {
        return false;
    }
    let mut addresses = Vec::with_capacity(ADDRESSES_BYTES_MAX);
    for ip in [source.ip(), target.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    let from = headers.network + if source.is_ipv4() { 12 } else { 8 };
    let addresses_at = from..from + addresses.len();
    let ports: Vec<u8> = [source.port(), target.port()]
        .into_iter()
        .flat_map(u16::to_be_bytes)
        .collect();
    let ports_at = headers.transport..headers.transport + ports.len();
    let mut sum = Change::default();
    sum.put(packet, addresses_at, &addresses);
    if source.is_ipv4() {
        sum.mend(packet, headers.network + 10);
    }
    sum.put(packet, ports_at, &ports);
    let has_none = packet[checksum_at..checksum_at + 2] == [0, 0];
    if is_tcp || !has_none {
        sum.mend(packet, checksum_at);
        if !is_tcp && packet[checksum_at..checksum_at + 2] == [0, 0] {
            // 0 says that there is none (RFC 768).
            packet[checksum_at..checksum_at + 2].copy_from_slice(&[0xff, 0xff]);
        }
    }
    true
}

/// By how much the sum of a packet's words has changed (RFC 1624, equation 3).
#[derive(Debug, Clone, Copy, Default)]
struct Change(u32);

impl Change {
    fn put(&mut self, packet: &mut [u8], at: Range<usize>, new: &[u8]) {
        let place = &mut packet[at];
        for (old, new) in place.chunks_exact(2).zip(new.chunks_exact(2)) {
            self.0 += u32::from(!u16::from_be_bytes([old[0], old[1]]));
            self.0 += u32::from(u16::from_be_bytes([new[0], new[1]]));
        }
        place.copy_from_slice(new);
    }

    fn mend(self, packet: &mut [u8], at: usize) {
        let checksum = u16::from_be_bytes([packet[at], packet[at + 1]]);
        let mut total = u32::from(!checksum) + self.0;
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        let mended = !u16::try_from(total).unwrap_or(u16::MAX);
        packet[at..at + 2].copy_from_slice(&mended.to_be_bytes());
    }
}

const ADDRESSES_BYTES_MAX: usize = 32;
