//! What the kernel says and is told of each packet: the header of VIRTIO 1.2, 5.1.6.
//!
//! The kernel has its numbers in the machine's own order unless it is asked for another.

use crate::backend::sys::HEADER_LEN;
use crate::device::{PacketOffload, PartialChecksum, SegmentProtocol, Segmentation};

pub(super) type Header = [u8; HEADER_LEN];

/// What a header asks for. `None` if it asks for what we never said that we can do.
///
/// It is not compared with its packet: see [`PacketOffload::check`]. Its own length of the headers
/// is a hint that is often wrong, and passed over.
pub(super) fn decode(header: &Header) -> Option<PacketOffload> {
    let number = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let protocol = match header[1] {
        NOT_CUT => None,
        TCP_V4 => Some(SegmentProtocol::TcpV4),
        TCP_V6 => Some(SegmentProtocol::TcpV6),
        UDP => Some(SegmentProtocol::Udp),
        _ => return None,
    };
    Some(PacketOffload {
        segmentation: protocol.map(|protocol| Segmentation::new(protocol, 0, number(4))),
        checksum: (header[0] & NEEDS_CHECKSUM != 0)
            .then(|| PartialChecksum::new(number(6), number(8))),
    })
}

/// The header for a packet of which all this is to be done.
pub(super) fn encode(offload: &PacketOffload) -> Header {
    let mut header = [0; HEADER_LEN];
    header[0] = offload.checksum.map_or(0, |_| NEEDS_CHECKSUM);
    header[1] = match offload.segmentation.map(|cut| cut.protocol) {
        None => NOT_CUT,
        Some(SegmentProtocol::TcpV4) => TCP_V4,
        Some(SegmentProtocol::TcpV6) => TCP_V6,
        Some(SegmentProtocol::Udp) => UDP,
    };
    let mut write = |at: usize, value: u16| {
        header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    };
    if let Some(segmentation) = offload.segmentation {
        write(2, segmentation.header_len);
        write(4, segmentation.segment_size);
    }
    if let Some(checksum) = offload.checksum {
        write(6, checksum.start);
        write(8, checksum.offset);
    }
    header
}

const NEEDS_CHECKSUM: u8 = 1;

const NOT_CUT: u8 = 0;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const UDP: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same_but_for_the_hint() {
        let protocols = [
            None,
            Some(SegmentProtocol::TcpV4),
            Some(SegmentProtocol::TcpV6),
            Some(SegmentProtocol::Udp),
        ];
        for protocol in protocols {
            for checksum in [None, Some(PartialChecksum::new(34, 16))] {
                let offload = |header_len| PacketOffload {
                    segmentation: protocol
                        .map(|protocol| Segmentation::new(protocol, header_len, 1_448)),
                    checksum,
                };
                assert_eq!(decode(&encode(&offload(54))), Some(offload(0)));
            }
        }
    }

    #[test]
    fn the_places_are_those_of_the_kernels_structure() {
        let offload = PacketOffload {
            segmentation: Some(Segmentation::new(SegmentProtocol::Udp, 0x0102, 0x0304)),
            checksum: Some(PartialChecksum::new(0x0506, 0x0708)),
        };
        let mut expected = vec![1, 5];
        for number in [0x0102_u16, 0x0304, 0x0506, 0x0708] {
            expected.extend(number.to_ne_bytes());
        }
        assert_eq!(encode(&offload)[..], expected);
    }

    #[test]
    fn what_nobody_asked_for_is_not_understood() {
        for kind in (0..=u8::MAX).filter(|kind| ![NOT_CUT, TCP_V4, TCP_V6, UDP].contains(kind)) {
            assert_eq!(decode(&[0, kind, 0, 0, 0, 0, 0, 0, 0, 0]), None, "{kind}");
        }
    }
}
