//! Headers for what travels without any: IP, UDP, TCP and ICMP, with checksums.
//!
//! The simulated network carries payloads and addresses. A capture needs what would have been on the
//! wire (RFC 791, 768, 8200, 9293, 792, 4443). Sequence numbers begin at 0, with one for the SYN.

use core::net::{IpAddr, SocketAddr};

use crate::tcp::Kind;

/// What a segment says besides its addresses and bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentHead {
    pub(super) kind: Kind,
    pub(super) position: u64,
    pub(super) expected: u64,
    pub(super) edge: u64,
}

/// A datagram as an IP packet. Of a payload that was not kept, only the headers: `len` is what it had.
pub(super) fn datagram(
    (source, target): (SocketAddr, SocketAddr),
    traffic: u8,
    payload: Option<&[u8]>,
    len: usize,
) -> Vec<u8> {
    let length = short(8 + len);
    let mut udp = Vec::with_capacity(8 + len);
    udp.extend(source.port().to_be_bytes());
    udp.extend(target.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload.unwrap_or_default());
    let sum = checksum(pseudo(source.ip(), target.ip(), UDP, udp.len()), &udp);
    // 0 stands for no checksum.
    let sum = if sum == 0 { u16::MAX } else { sum };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ip((source.ip(), target.ip()), UDP, traffic, &udp, 8 + len)
}

/// A segment as an IP packet. What stands for a message of ICMP is one.
pub(super) fn segment(
    (source, target): (SocketAddr, SocketAddr),
    head: &SegmentHead,
    payload: Option<&[u8]>,
    len: usize,
) -> Vec<u8> {
    let flags = match head.kind {
        Kind::Call => SYN,
        Kind::Answer => SYN | ACK,
        Kind::Bytes if len > 0 => ACK | PSH,
        Kind::Bytes | Kind::Probe => ACK,
        Kind::Last => ACK | FIN,
        Kind::Reset => RST | ACK,
        Kind::Unreachable | Kind::TooBig => return notice((source, target), head),
    };
    let begins = flags & SYN != 0;
    let sequence = head.position.wrapping_add(u64::from(!begins));
    let answered = if flags & ACK == 0 {
        0
    } else {
        head.expected.wrapping_add(1)
    };
    let window = head.edge.saturating_sub(head.expected).min(0xffff);
    let mut tcp = Vec::with_capacity(20 + len);
    tcp.extend(source.port().to_be_bytes());
    tcp.extend(target.port().to_be_bytes());
    tcp.extend(low(sequence).to_be_bytes());
    tcp.extend(low(answered).to_be_bytes());
    tcp.extend([5 << 4, flags]);
    tcp.extend(&low(window).to_be_bytes()[2..]);
    tcp.extend([0; 4]);
    tcp.extend(payload.unwrap_or_default());
    let sum = checksum(pseudo(source.ip(), target.ip(), TCP, tcp.len()), &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ip((source.ip(), target.ip()), TCP, 0, &tcp, 20 + len)
}

/// A message that a segment could not go on, or was too long, with the start of that segment.
fn notice((source, target): (SocketAddr, SocketAddr), head: &SegmentHead) -> Vec<u8> {
    let mut ports = Vec::new();
    ports.extend(target.port().to_be_bytes());
    ports.extend(source.port().to_be_bytes());
    ports.extend([0; 16]);
    ports[12] = 5 << 4;
    let about = ip((target.ip(), source.ip()), TCP, 0, &ports, ports.len());
    let is_ipv4 = about.first().is_some_and(|first| first >> 4 == 4);
    let too_big = head.kind == Kind::TooBig;
    let fits = low(head.position.saturating_add(40));
    let mut icmp = match (is_ipv4, too_big) {
        (true, false) => vec![3, 1, 0, 0],
        (true, true) => vec![3, 4, 0, 0],
        (false, false) => vec![1, 0, 0, 0],
        (false, true) => vec![2, 0, 0, 0],
    };
    icmp.extend(if too_big { fits } else { 0 }.to_be_bytes());
    icmp.extend(about);
    let start = if is_ipv4 {
        0
    } else {
        pseudo(source.ip(), target.ip(), ICMPV6, icmp.len())
    };
    let sum = checksum(start, &icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let protocol = if is_ipv4 { ICMP } else { ICMPV6 };
    ip((source.ip(), target.ip()), protocol, 0, &icmp, icmp.len())
}

/// An IP packet. `len` is that of its payload, of which some may be missing.
fn ip(ends: (IpAddr, IpAddr), protocol: u8, traffic: u8, payload: &[u8], len: usize) -> Vec<u8> {
    if let (IpAddr::V4(source), IpAddr::V4(target)) = ends {
        let mut packet = vec![0x45, traffic];
        packet.extend(short(20 + len).to_be_bytes());
        packet.extend([0, 0, 0, 0, HOPS, protocol, 0, 0]);
        packet.extend(source.octets());
        packet.extend(target.octets());
        let sum = checksum(0, &packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        return packet;
    }
    let mut packet = vec![0x60 | traffic >> 4, traffic << 4, 0, 0];
    packet.extend(short(len).to_be_bytes());
    packet.extend([protocol, HOPS]);
    packet.extend(wide(ends.0));
    packet.extend(wide(ends.1));
    packet.extend(payload);
    packet
}

/// The sum of what checksums cover besides.
fn pseudo(source: IpAddr, target: IpAddr, protocol: u8, len: usize) -> u32 {
    let sum = if let (IpAddr::V4(source), IpAddr::V4(target)) = (source, target) {
        sum_of(&source.octets()) + sum_of(&target.octets())
    } else {
        sum_of(&wide(source)) + sum_of(&wide(target))
    };
    sum + u32::from(protocol) + u32::from(short(len))
}

fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The checksum of RFC 1071.
fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = start + sum_of(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn sum_of(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    pairs
        .map(|pair| {
            let [high, low] = [pair[0], pair.get(1).copied().unwrap_or(0)];
            u32::from(u16::from_be_bytes([high, low]))
        })
        .sum()
}

fn short(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

const fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Hops that are left.
const HOPS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, target: &str) -> (SocketAddr, SocketAddr) {
        (source.parse().unwrap(), target.parse().unwrap())
    }

    /// Whether the checksum within some bytes fits: then all of them add up to nothing.
    fn fits(start: u32, bytes: &[u8]) -> bool {
        checksum(start, bytes) == 0
    }

    #[test]
    fn checksums_fit() {
        let four = ends("10.0.0.1:1000", "10.0.0.2:7");
        let six = ends("[fd00::1]:1000", "[fd00::2]:7");
        for (way, header) in [(four, 20), (six, 40)] {
            let (source, target) = (way.0.ip(), way.1.ip());
            for len in 0..5 {
                let payload = &[0xff, 1, 2, 3, 4][..len];
                let packet = datagram(way, 3, Some(payload), len);
                let udp = &packet[header..];
                assert_eq!(udp.len(), 8 + len);
                assert!(fits(pseudo(source, target, UDP, udp.len()), udp));
                assert!(header == 40 || fits(0, &packet[..20]));
                for kind in Kind::ALL {
                    let head = SegmentHead {
                        kind,
                        position: 5,
                        expected: 9,
                        edge: 1 << 20,
                    };
                    let packet = segment(way, &head, Some(payload), len);
                    let rest = &packet[header..];
                    let protocol = packet[if header == 20 { 9 } else { 6 }];
                    let start = if protocol == ICMP {
                        0
                    } else {
                        pseudo(source, target, protocol, rest.len())
                    };
                    assert!(fits(start, rest), "{kind:?} over {source}");
                }
            }
        }
    }

    #[test]
    fn a_syn_takes_a_number() {
        let way = ends("10.0.0.1:1000", "10.0.0.2:7");
        let numbers = |kind, position, expected| {
            let edge = expected + 1_000;
            let head = SegmentHead {
                kind,
                position,
                expected,
                edge,
            };
            let packet = segment(way, &head, None, 0);
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            (word(24), word(28), packet[33])
        };
        assert_eq!(numbers(Kind::Call, 0, 0), (0, 0, SYN));
        assert_eq!(numbers(Kind::Answer, 0, 0), (0, 1, SYN | ACK));
        assert_eq!(numbers(Kind::Bytes, 0, 0), (1, 1, ACK));
        assert_eq!(numbers(Kind::Last, 10, 3), (11, 4, ACK | FIN));
    }
}
