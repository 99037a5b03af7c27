//! Control messages: what the kernel says, and is told, beside the bytes of a datagram.
//!
//! Written and read byte by byte, so without unsafe code: a message is a header (its length as a
//! `usize`, level and type as `int`s) and its data, padded to the size of a `usize`. That is
//! Linux; elsewhere none are used.

use core::net::IpAddr;
#[cfg(target_os = "linux")]
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::udp::InterfaceIndex;

/// Room for control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control<const ROOM: usize> {
    pub(super) bytes: [u8; ROOM],
}

/// Room for all that a received datagram may come with.
pub(super) type ReceiveControl = Control<256>;

/// Room for all that a datagram to be sent may need.
pub(super) type SendControl = Control<128>;

/// What came with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PacketInfo {
    /// The address of ours it was sent to.
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: Option<InterfaceIndex>,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// The length of each datagram but the last, if it is several.
    pub(crate) segment_size: usize,
    /// Datagrams that the socket has dropped since it was opened, modulo 2^32. Only told once
    /// there are some.
    pub(crate) dropped: Option<u32>,
}

impl<const ROOM: usize> Control<ROOM> {
    pub(super) const fn zeroed() -> Self {
        Self { bytes: [0; ROOM] }
    }
}

#[cfg(target_os = "linux")]
impl SendControl {
    /// Writes what the datagram needs, and says how many bytes that took.
    pub(super) fn write(
        &mut self,
        segment_size: Option<u16>,
        source: Option<IpAddr>,
        traffic_class: Option<u8>,
        peer: IpAddr,
    ) -> usize {
        let mut end = 0;
        if let Some(segment_size) = segment_size {
            let data = segment_size.to_ne_bytes();
            end = self.append(end, libc::SOL_UDP, libc::UDP_SEGMENT, &data);
        }
        match source {
            // `in_pktinfo`: interface, the address to send from, an address that is ignored.
            Some(IpAddr::V4(source)) => {
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&source.octets());
                end = self.append(end, libc::SOL_IP, libc::IP_PKTINFO, &data);
            }
            // `in6_pktinfo`: the address to send from, interface.
            Some(IpAddr::V6(source)) => {
                let mut data = [0; 20];
                data[..16].copy_from_slice(&source.octets());
                end = self.append(end, libc::SOL_IPV6, libc::IPV6_PKTINFO, &data);
            }
            None => {}
        }
        if let Some(byte) = traffic_class {
            let data = i32::from(byte).to_ne_bytes();
            end = match peer {
                IpAddr::V4(_) => self.append(end, libc::SOL_IP, libc::IP_TOS, &data),
                IpAddr::V6(_) => self.append(end, libc::SOL_IPV6, libc::IPV6_TCLASS, &data),
            };
        }
        end
    }

    fn append(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let len = HEADER + data.len();
        let message = &mut self.bytes[at..at + padded(len)];
        let (header, rest) = message.split_at_mut(HEADER);
        header[..WORD].copy_from_slice(&len.to_ne_bytes());
        header[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        header[WORD + 4..].copy_from_slice(&kind.to_ne_bytes());
        rest[..data.len()].copy_from_slice(data);
        at + padded(len)
    }
}

#[cfg(not(target_os = "linux"))]
impl SendControl {
    /// Nothing can be said.
    pub(super) fn write(
        &mut self,
        _: Option<u16>,
        _: Option<IpAddr>,
        _: Option<u8>,
        _: IpAddr,
    ) -> usize {
        0
    }
}

/// What the control messages in `bytes` say. What is cut off or unknown is passed over.
#[cfg(target_os = "linux")]
pub(super) fn read_info(bytes: &[u8]) -> PacketInfo {
    let mut info = PacketInfo::default();
    for (level, kind, data) in messages(bytes) {
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                info.segment_size = read_int(data).unwrap_or(0).try_into().unwrap_or(0);
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                // Interface; for a broadcast or a group, the address of ours that fits it; where
                // it was sent to.
                info.interface = index(data, 0);
                let sent_to = octets::<4>(data, 8).map(Ipv4Addr::from);
                let group = sent_to.filter(Ipv4Addr::is_multicast);
                let own = octets::<4>(data, 4).map(Ipv4Addr::from);
                info.local = group.or(own).map(IpAddr::V4);
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                info.local =
                    octets::<16>(data, 0).map(|octets| Ipv6Addr::from(octets).to_canonical());
                info.interface = index(data, 16);
            }
            (libc::SOL_IP, libc::IP_TOS) | (libc::SOL_IPV6, libc::IPV6_TCLASS) => {
                // One byte for IPv4, an `int` for IPv6.
                let byte = read_int(data).map_or_else(
                    || data.first().copied().unwrap_or(0),
                    |value| value.to_le_bytes()[0],
                );
                info.traffic_class = byte;
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                info.dropped = octets(data, 0).map(u32::from_ne_bytes);
            }
            _ => {}
        }
    }
    info
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_info(_: &[u8]) -> PacketInfo {
    PacketInfo::default()
}

/// The control messages in `bytes`: level, type and data of each.
#[cfg(target_os = "linux")]
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    core::iter::from_fn(move || {
        let len = usize::from_ne_bytes(octets(bytes, 0)?);
        let level = i32::from_ne_bytes(octets(bytes, WORD)?);
        let kind = i32::from_ne_bytes(octets(bytes, WORD + 4)?);
        let data = bytes.get(HEADER..len)?;
        bytes = bytes.get(padded(len)..).unwrap_or(&[]);
        Some((level, kind, data))
    })
}

#[cfg(target_os = "linux")]
fn index(data: &[u8], at: usize) -> Option<InterfaceIndex> {
    InterfaceIndex::new(octets(data, at).map_or(0, u32::from_ne_bytes))
}

#[cfg(target_os = "linux")]
fn read_int(data: &[u8]) -> Option<i32> {
    octets(data, 0).map(i32::from_ne_bytes)
}

/// `N` bytes of `data` from `at`, if there are so many.
#[cfg(target_os = "linux")]
pub(super) fn octets<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at + N)?.try_into().ok()
}

#[cfg(target_os = "linux")]
const fn padded(len: usize) -> usize {
    len.next_multiple_of(WORD)
}

#[cfg(target_os = "linux")]
const WORD: usize = size_of::<usize>();
#[cfg(target_os = "linux")]
const HEADER: usize = WORD + 8;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_laid_out_as_the_c_library_says() {
        assert_eq!(HEADER, size_of::<libc::cmsghdr>());
        assert_eq!(padded(13), 16);
        let mut control = SendControl::zeroed();
        let peer = IpAddr::from([1, 2, 3, 4]);
        let end = control.write(Some(1_200), Some(peer), Some(0xba), peer);
        let seen: Vec<_> = messages(&control.bytes[..end]).collect();
        assert_eq!(
            seen[0],
            (
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                &1_200u16.to_ne_bytes()[..]
            )
        );
        let pktinfo = [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        assert_eq!(seen[1], (libc::SOL_IP, libc::IP_PKTINFO, &pktinfo[..]));
        assert_eq!(
            seen[2],
            (libc::SOL_IP, libc::IP_TOS, &0xbai32.to_ne_bytes()[..])
        );
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn the_longest_set_of_messages_has_room() {
        let mut control = SendControl::zeroed();
        let peer = IpAddr::from([1; 16]);
        assert_eq!(control.write(Some(9), Some(peer), Some(1), peer), 88);
    }

    #[test]
    fn control_messages_that_are_cut_off_are_passed_over() {
        let mut control = SendControl::zeroed();
        let peer = IpAddr::from([1, 2, 3, 4]);
        let end = control.write(None, Some(peer), Some(0xba), peer);
        // As the kernel has it: it was sent to the address that fits it, at interface 7.
        control.bytes[16..20].copy_from_slice(&7u32.to_ne_bytes());
        control.bytes[24..28].copy_from_slice(&[1, 2, 3, 4]);
        let whole = PacketInfo {
            local: Some(peer),
            interface: InterfaceIndex::new(7),
            traffic_class: 0xba,
            ..PacketInfo::default()
        };
        assert_eq!(read_info(&control.bytes[..end]), whole);
        let cut = PacketInfo {
            traffic_class: 0,
            ..whole
        };
        for len in 32..end - 4 {
            assert_eq!(read_info(&control.bytes[..len]), cut);
        }
        for len in 0..28 {
            assert_eq!(read_info(&control.bytes[..len]), PacketInfo::default());
        }
    }

    #[test]
    fn a_group_is_told_as_such_and_a_broadcast_as_our_own_address() {
        let read = |sent_to: [u8; 4]| {
            let mut control = SendControl::zeroed();
            let own = IpAddr::from([192, 0, 2, 9]);
            let end = control.write(None, Some(own), None, own);
            control.bytes[24..28].copy_from_slice(&sent_to);
            read_info(&control.bytes[..end]).local
        };
        assert_eq!(read([224, 0, 0, 9]), Some([224, 0, 0, 9].into()));
        assert_eq!(read([192, 0, 2, 255]), Some([192, 0, 2, 9].into()));
    }
}
