//! Where the headers of a packet are, and whom it is from and for.
//!
//! Sources: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), IEEE 802.3 and 802.1Q.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::{DeviceKind, packet};

/// What the headers of an IP packet say.
///
/// All places are in bytes from the beginning of the packet or frame, and within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketHeaders {
    /// Where the IP header begins: 0, or behind the header of a frame.
    pub network: usize,
    /// Where that begins which IP carries: behind the IP header and, for IPv6, its hop-by-hop and
    /// destination options. Routing headers and others are not looked into: they are `protocol`.
    pub transport: usize,
    /// Where the IP packet ends. A frame may have padding behind it.
    pub end: usize,
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// What IP carries, by its number: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// Whether it is only a part of what IP was given to carry.
    pub is_fragment: bool,
}

impl PacketHeaders {
    /// The number of TCP.
    pub const TCP: u8 = 6;
    /// The number of UDP.
    pub const UDP: u8 = 17;

    /// Reads the headers of a packet (TUN) or frame (TAP). Checksums are not checked.
    ///
    /// # Errors
    ///
    /// - [`MalformedPacket::TooShort`] if the packet ends within them.
    /// - [`MalformedPacket::NotIp`] if it is neither IPv4 nor IPv6.
    /// - [`MalformedPacket::BadLength`] if they say that it is longer, or shorter than they are.
    pub fn parse(kind: DeviceKind, packet: &[u8]) -> Result<Self, MalformedPacket> {
        let network = frame_header_len(kind, packet)?;
        let is_other = |kind: u16| !matches!(kind, IPV4 | IPV6);
        if kind == DeviceKind::Tap && ether_type(packet, network).is_some_and(is_other) {
            return Err(MalformedPacket::NotIp);
        }
        let len = packet.len();
        match packet.get(network).map(|first| first >> 4) {
            Some(4) => Self::parse_ipv4(packet, network),
            Some(6) => Self::parse_ipv6(packet, network),
            Some(_) => Err(MalformedPacket::NotIp),
            None => Err(MalformedPacket::TooShort { len }),
        }
    }

    fn parse_ipv4(packet: &[u8], network: usize) -> Result<Self, MalformedPacket> {
        let len = packet.len();
        let Some((header, _)) = packet[network..].split_first_chunk::<20>() else {
            return Err(MalformedPacket::TooShort { len });
        };
        let transport = network + usize::from(header[0] & 0xf) * 4;
        let end = network + usize::from(packet::read_u16(header, 2));
        if transport < network + header.len() || transport > end || end > len {
            return Err(MalformedPacket::BadLength { len });
        }
        Ok(Self {
            network,
            transport,
            end,
            source: Ipv4Addr::from_bits(packet::read_u32(header, 12)).into(),
            destination: Ipv4Addr::from_bits(packet::read_u32(header, 16)).into(),
            protocol: header[9],
            is_fragment: packet::read_u16(header, 6) & 0x3fff != 0,
        })
    }

    fn parse_ipv6(packet: &[u8], network: usize) -> Result<Self, MalformedPacket> {
        let len = packet.len();
        let Some((header, rest)) = packet[network..].split_first_chunk::<40>() else {
            return Err(MalformedPacket::TooShort { len });
        };
        let payload_len = usize::from(packet::read_u16(header, 4));
        let Some(mut rest) = rest.get(..payload_len) else {
            return Err(MalformedPacket::BadLength { len });
        };
        let end = network + header.len() + payload_len;
        let mut protocol = header[6];
        while matches!(protocol, HOP_BY_HOP | DESTINATION_OPTIONS) {
            let &[next, units, ..] = rest else {
                return Err(MalformedPacket::BadLength { len });
            };
            let Some(behind) = rest.get((usize::from(units) + 1) * 8..) else {
                return Err(MalformedPacket::BadLength { len });
            };
            (protocol, rest) = (next, behind);
        }
        Ok(Self {
            network,
            transport: end - rest.len(),
            end,
            source: ipv6(header, 8).into(),
            destination: ipv6(header, 24).into(),
            protocol,
            is_fragment: protocol == FRAGMENT,
        })
    }

    /// Source and destination port, if it carries TCP or UDP and begins with their header.
    #[must_use]
    pub fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        let has_ports = matches!(self.protocol, Self::TCP | Self::UDP) && !self.is_fragment;
        let transport = packet.get(self.transport..self.end)?;
        (has_ports && transport.len() >= 4).then(|| {
            (
                packet::read_u16(transport, 0),
                packet::read_u16(transport, 2),
            )
        })
    }

    /// Where the payload of TCP or UDP begins.
    pub(super) fn payload(&self, packet: &[u8]) -> Result<usize, MalformedPacket> {
        let transport = &packet[self.transport..self.end];
        let len = packet.len();
        if self.is_fragment {
            return Err(MalformedPacket::Fragment);
        }
        let (header_len, header_len_min) = match self.protocol {
            Self::TCP => {
                let offset = transport.get(12).copied().unwrap_or_default() >> 4;
                (usize::from(offset) * 4, 20)
            }
            Self::UDP => (8, 8),
            _ => return Err(MalformedPacket::OtherProtocol),
        };
        if header_len < header_len_min || header_len > transport.len() {
            return Err(MalformedPacket::BadLength { len });
        }
        Ok(self.transport + header_len)
    }

    pub(super) const fn is_ipv4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Where the addresses are, one behind the other.
    pub(super) const fn addresses(&self) -> Range<usize> {
        if self.is_ipv4() {
            self.network + 12..self.network + 20
        } else {
            self.network + 8..self.network + 40
        }
    }
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedPacket {
    /// It ends within its headers.
    #[error("packet of {len} bytes ends within its headers")]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// It is neither IPv4 nor IPv6.
    #[error("not an IP packet")]
    NotIp,
    /// The lengths in its headers contradict each other, or say that it is longer.
    #[error("the lengths in its headers do not fit a packet of {len} bytes")]
    BadLength {
        /// Its length in bytes.
        len: usize,
    },
    /// It is to be cut as something else than it is.
    #[error("carries another protocol than it is to be cut as")]
    OtherProtocol,
    /// It is to be cut and is itself a part.
    #[error("a fragment, which cannot be cut into segments")]
    Fragment,
    /// It is to be cut into nothing.
    #[error("to be cut into segments of no bytes")]
    NoSegmentSize,
    /// It is to be cut, and its checksum is not to be completed, or at another place than it is.
    #[error("to be cut into segments without their checksum to be completed")]
    OtherChecksum,
    /// Its checksum would be written behind its end.
    #[error("its checksum is to be written outside of its {len} bytes")]
    ChecksumOutside {
        /// Its length in bytes.
        len: usize,
    },
}

/// Length in bytes of what stands before the packet that an MTU is about: the header of a frame,
/// with the tags of virtual networks (IEEE 802.1Q).
pub(super) fn frame_header_len(kind: DeviceKind, packet: &[u8]) -> Result<usize, MalformedPacket> {
    let len = packet.len();
    match kind {
        DeviceKind::Tun => match packet.first().map(|first| first >> 4) {
            Some(4 | 6) => Ok(0),
            Some(_) => Err(MalformedPacket::NotIp),
            None => Err(MalformedPacket::TooShort { len }),
        },
        DeviceKind::Tap => {
            let mut end = FRAME_HEADER_LEN;
            while let Some(VLAN_TAG | SERVICE_TAG) = ether_type(packet, end) {
                end += 4;
            }
            let fits = end <= len;
            fits.then_some(end).ok_or(MalformedPacket::TooShort { len })
        }
    }
}

/// The type of what follows the header of a frame that ends at `end`.
fn ether_type(frame: &[u8], end: usize) -> Option<u16> {
    frame
        .get(end - 2..end)
        .map(|field| packet::read_u16(field, 0))
}

fn ipv6(header: &[u8; 40], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    octets.into()
}

const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Two addresses and the type of what follows.
const FRAME_HEADER_LEN: usize = 14;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN_TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;
