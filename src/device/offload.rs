//! Whether what is still to be done to a packet fits it.

use super::headers::{MalformedPacket, PacketHeaders, frame_header_len};
use super::{DeviceKind, PacketOffload, PartialChecksum, Segmentation, segment};
use crate::net::NetworkError;

impl PacketOffload {
    /// The same with the length of the headers as the packet itself has it, if all of it can be
    /// done to `packet`. A single packet without offload is not looked into.
    ///
    /// # Errors
    ///
    /// Why it cannot be done: what is named is not what the packet is, or lies outside of it. What
    /// is to be cut must have its checksum still to be completed, at the place where its protocol
    /// has it.
    pub fn check(&self, kind: DeviceKind, packet: &[u8]) -> Result<Self, MalformedPacket> {
        let Some(segmentation) = self.segmentation else {
            let end = |checksum: PartialChecksum| {
                usize::from(checksum.start) + usize::from(checksum.offset) + 2
            };
            return match self.checksum {
                Some(checksum) if end(checksum) > packet.len() => {
                    let len = packet.len();
                    Err(MalformedPacket::ChecksumOutside { len })
                }
                Some(_) | None => Ok(*self),
            };
        };
        let headers = PacketHeaders::parse(kind, packet)?;
        let payload = headers.payload(packet)?;
        if segmentation.protocol != segment::protocol(&headers) {
            return Err(MalformedPacket::OtherProtocol);
        }
        if segmentation.segment_size == 0 {
            return Err(MalformedPacket::NoSegmentSize);
        }
        let (offset, len) = (segment::checksum_offset(&headers), packet.len());
        let place = |at: usize| u16::try_from(at).map_err(|_| MalformedPacket::BadLength { len });
        let checksum = PartialChecksum::new(place(headers.transport)?, offset);
        if self.checksum != Some(checksum) {
            return Err(MalformedPacket::OtherChecksum);
        }
        Ok(Self {
            segmentation: Some(Segmentation {
                header_len: place(payload)?,
                ..segmentation
            }),
            checksum: self.checksum,
        })
    }

    /// What a device is to know of `packet` before it takes it in. For drivers.
    ///
    /// # Errors
    ///
    /// As [`PacketOffload::check`], and if it is not a packet (TUN) or frame (TAP) at all.
    pub fn measure(
        &self,
        kind: DeviceKind,
        packet: &[u8],
    ) -> Result<MeasuredPacket, MalformedPacket> {
        let frame_header_len = frame_header_len(kind, packet)?;
        let offload = self.check(kind, packet)?;
        // What is shorter than a segment is one segment.
        let single_max = offload.segmentation.map_or(usize::MAX, |cut| {
            usize::from(cut.header_len) + usize::from(cut.segment_size)
        });
        Ok(MeasuredPacket {
            offload,
            len: packet.len().min(single_max),
            frame_header_len,
        })
    }
}

/// How long the single packets are that a packet stands for, and what is to be done to it. For
/// drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeasuredPacket {
    /// As [`PacketOffload::check`] has it.
    pub offload: PacketOffload,
    /// Bytes of the longest single packet.
    pub len: usize,
    /// Bytes before what an MTU is about: the header of a frame.
    pub frame_header_len: usize,
}

impl MeasuredPacket {
    /// Whether a device of this MTU sends it.
    ///
    /// # Errors
    ///
    /// [`NetworkError::TooLong`] if a single packet is longer.
    pub fn check_mtu(&self, mtu: u16) -> Result<(), NetworkError> {
        let (len, max) = (self.len, self.frame_header_len + usize::from(mtu));
        if len > max {
            return Err(NetworkError::TooLong { len, max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SegmentProtocol;
    use super::*;

    /// An IPv4 packet that carries UDP with `len` bytes.
    fn udp(len: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28 + len, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([0, 1, 0, 2, 0, 8 + len, 0, 0]);
        packet.resize(28 + usize::from(len), 7);
        packet
    }

    fn cut(protocol: SegmentProtocol, segment_size: u16, start: u16) -> PacketOffload {
        PacketOffload {
            segmentation: Some(Segmentation::new(protocol, 0, segment_size)),
            checksum: Some(PartialChecksum::new(start, 6)),
        }
    }

    #[test]
    fn the_length_of_the_headers_is_read_from_the_packet() {
        let offload = cut(SegmentProtocol::Udp, 10, 20);
        let checked = offload.check(DeviceKind::Tun, &udp(30)).unwrap();
        assert_eq!(checked.segmentation.unwrap().header_len, 28);
        assert_eq!(checked.checksum, offload.checksum);
    }

    #[test]
    fn what_the_packet_does_not_have_is_refused_with_the_reason() {
        let refused = |offload: PacketOffload| {
            let checked = offload.check(DeviceKind::Tun, &udp(30));
            checked.expect_err("it does not fit")
        };
        let checksum = |start, offset| PacketOffload {
            segmentation: None,
            checksum: Some(PartialChecksum::new(start, offset)),
        };
        let all = [
            (
                cut(SegmentProtocol::TcpV4, 10, 20),
                MalformedPacket::OtherProtocol,
            ),
            (
                cut(SegmentProtocol::Udp, 0, 20),
                MalformedPacket::NoSegmentSize,
            ),
            (
                cut(SegmentProtocol::Udp, 10, 19),
                MalformedPacket::OtherChecksum,
            ),
            (
                checksum(50, 7),
                MalformedPacket::ChecksumOutside { len: 58 },
            ),
            (
                checksum(u16::MAX, u16::MAX),
                MalformedPacket::ChecksumOutside { len: 58 },
            ),
        ];
        for (offload, reason) in all {
            assert_eq!(refused(offload), reason, "{offload:?}");
        }
        let unsummed = PacketOffload {
            checksum: None,
            ..cut(SegmentProtocol::Udp, 10, 20)
        };
        assert_eq!(refused(unsummed), MalformedPacket::OtherChecksum);
        assert_eq!(
            checksum(50, 6).check(DeviceKind::Tun, &udp(30)),
            Ok(checksum(50, 6))
        );
    }
}
