//! Packets as bytes.

use core::net::{IpAddr, SocketAddr};

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use stillpoint::{Buffer, DeviceKind, MalformedPacket, Packet};

/// UDP from one address to another.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            PacketBuilder::ipv6(source.octets(), destination.octets(), 64)
        }
        (_, _) => panic!("{from} and {to} are of two families"),
    };
    let mut packet = Vec::new();
    builder
        .udp(from.port(), to.port())
        .write(&mut packet, payload)
        .unwrap();
    packet
}

/// From and to, if it is UDP.
pub(crate) fn udp_ends(kind: DeviceKind, packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let headers = stillpoint::PacketHeaders::parse(kind, packet).ok()?;
    let (from, to) = headers.ports(packet)?;
    (headers.protocol == stillpoint::PacketHeaders::UDP).then(|| {
        (
            SocketAddr::new(headers.source, from),
            SocketAddr::new(headers.destination, to),
        )
    })
}

/// Whether it is UDP to this port.
pub(crate) fn is_udp_to(packet: &Packet, port: u16) -> bool {
    udp_ends(DeviceKind::Tun, &packet.payload).is_some_and(|(_, to)| to.port() == port)
}

/// The same packet on its way back: addresses and ports change places, and with them the sums
/// stay right.
pub(crate) fn turned_round(kind: DeviceKind, packet: &Packet) -> Result<Packet, MalformedPacket> {
    let headers = stillpoint::PacketHeaders::parse(kind, &packet.payload)?;
    let mut packet = packet.clone();
    let bytes = packet.payload.make_mut();
    let (at, len) = match headers.source {
        IpAddr::V4(_) => (headers.network + 12, 4),
        IpAddr::V6(_) => (headers.network + 8, 16),
    };
    let (source, destination) = bytes[at..at + 2 * len].split_at_mut(len);
    source.swap_with_slice(destination);
    let (from, to) = bytes[headers.transport..headers.transport + 4].split_at_mut(2);
    from.swap_with_slice(to);
    Ok(packet)
}

/// Asserts that the checksums of IP and of TCP or UDP are right, as another library sees it.
pub(crate) fn assert_summed(packet: &Buffer) {
    let headers = PacketHeaders::from_ip_slice(packet).unwrap();
    let payload = headers.payload.slice();
    match (headers.net.unwrap(), headers.transport) {
        (NetHeaders::Ipv4(ip, _), Some(transport)) => {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            let (held, right) = match transport {
                TransportHeader::Tcp(tcp) => (tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload)),
                TransportHeader::Udp(udp) => (udp.checksum, udp.calc_checksum_ipv4(&ip, payload)),
                other => panic!("nobody sends {other:?}"),
            };
            assert_eq!(one_zero(held), one_zero(right.unwrap()));
        }
        (NetHeaders::Ipv6(ip, _), Some(transport)) => {
            let (held, right) = match transport {
                TransportHeader::Tcp(tcp) => (tcp.checksum, tcp.calc_checksum_ipv6(&ip, payload)),
                TransportHeader::Udp(udp) => (udp.checksum, udp.calc_checksum_ipv6(&ip, payload)),
                _ => return, // ICMPv6 of the kernel's own.
            };
            assert_eq!(one_zero(held), one_zero(right.unwrap()));
        }
        (_, _) => {}
    }
}

/// A sum has two ways to say 0 (RFC 1624), and Linux writes the one that UDP needs for TCP too.
const fn one_zero(sum: u16) -> u16 {
    match sum {
        u16::MAX => 0,
        sum => sum,
    }
}
