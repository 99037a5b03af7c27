//! Cutting, joining and checksums, against another implementation.

use proptest::prelude::*;
use smoltcp::wire::{
    IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber, UdpPacket,
};

use crate::buffer::{Buffer, BufferPool};
use crate::device::{
    DeviceKind, MalformedPacket, Packet, PacketHeaders, PacketJoin, PacketOffload, PartialChecksum,
    SegmentProtocol, Segmentation,
};

proptest! {
    /// Cuts a large packet whose checksums were never right, and has smoltcp look at the pieces.
    #[test]
    fn pieces_are_whole_packets_that_carry_the_same_in_order(
        shape in shapes(),
        payload in proptest::collection::vec(any::<u8>(), 1..20_000),
        segment_size in 200..1_460_u16,
        sequence in any::<u32>(),
        number in any::<u16>(),
    ) {
        let large = Template { sequence, number, flags: 0x99, ..shape.template() };
        let mut packet = Packet::new(large.build(&payload));
        break_checksum(&shape, packet.payload.make_mut());
        packet.offload.segmentation = Some(shape.segmentation(segment_size));
        let pool = BufferPool::new();
        let pieces: Vec<Buffer> = packet.into_singles(shape.kind, &pool).unwrap().collect();
        let chunks: Vec<&[u8]> = payload.chunks(usize::from(segment_size)).collect();
        prop_assert_eq!(pieces.len(), chunks.len());
        for (index, (piece, chunk)) in pieces.iter().zip(&chunks).enumerate() {
            let seen = shape.look(piece);
            prop_assert_eq!(&seen.payload, chunk);
            if shape.ipv4 {
                let index = u16::try_from(index).unwrap();
                prop_assert_eq!(seen.number, number.wrapping_add(index));
            }
            if shape.tcp {
                let offset = u32::try_from(index * usize::from(segment_size)).unwrap();
                prop_assert_eq!(seen.sequence, sequence.wrapping_add(offset));
                // ACK always, CWR on the first, FIN and PSH on the last.
                let first = if index == 0 { 0x80 } else { 0 };
                let last = if index + 1 == chunks.len() { 0x09 } else { 0 };
                prop_assert_eq!(seen.flags, 0x10 | first | last);
            }
        }
    }

    #[test]
    fn what_is_joined_and_cut_again_is_the_same(
        shape in shapes(),
        payload in proptest::collection::vec(any::<u8>(), 1..30_000),
        segment_size in 300..1_460_usize,
        sequence in any::<u32>(),
        number in any::<u16>(),
        (first_flags, last_flags) in (prop::sample::select(vec![0x10, 0x90, 0x50]), prop::sample::select(vec![0, 0x01, 0x08, 0x09])),
    ) {
        let count = payload.len().div_ceil(segment_size);
        let singles: Vec<Buffer> = payload.chunks(segment_size).enumerate().map(|(index, chunk)| {
            let mut flags = if index == 0 { first_flags } else { first_flags & !0x80 };
            if index + 1 == count {
                flags |= last_flags;
            }
            let offset = u32::try_from(index * segment_size).unwrap();
            Template {
                sequence: sequence.wrapping_add(offset),
                number: number.wrapping_add(u16::try_from(index).unwrap()),
                flags,
                ..shape.template()
            }.build(chunk)
        }).collect();
        let pool = BufferPool::new();
        let mut again: Vec<Buffer> = Vec::new();
        let mut joined = 0;
        let mut waiting = singles.iter();
        while let Some(packet) = waiting.next() {
            let mut join = PacketJoin::start(shape.kind, packet.clone()).unwrap();
            while waiting.as_slice().first().is_some_and(|next| join.push(next)) {
                waiting.next();
            }
            joined += 1;
            again.extend(join.finish().into_singles(shape.kind, &pool).unwrap());
        }
        prop_assert_eq!(again, singles);
        prop_assert_eq!(joined, count.div_ceil(usize::from(PacketJoin::SEGMENTS_MAX)).max(1));
    }

    #[test]
    fn a_partial_checksum_is_completed(
        shape in shapes(),
        payload in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let whole = shape.template().build(&payload);
        let headers = PacketHeaders::parse(shape.kind, &whole).unwrap();
        let mut packet = Packet::new(whole.clone());
        let offset = if shape.tcp { 16 } else { 6 };
        // The other implementation sums the pseudo header: that of an empty packet, negated, with
        // the same length.
        let pseudo = shape.pseudo_sum(whole.len() - headers.transport);
        let at = headers.transport + offset;
        packet.payload.make_mut()[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        packet.offload.checksum = Some(PartialChecksum::new(
            u16::try_from(headers.transport).unwrap(),
            u16::try_from(offset).unwrap(),
        ));
        let pool = BufferPool::new();
        let singles: Vec<Buffer> = packet.into_singles(shape.kind, &pool).unwrap().collect();
        prop_assert_eq!(singles.len(), 1);
        prop_assert_eq!(&shape.look(&singles[0]).payload, &payload);
    }

    #[test]
    fn no_bytes_and_no_offload_make_it_panic(
        shape in shapes(),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        likely in any::<bool>(),
        segment_size in any::<u16>(),
        (start, offset) in (any::<u16>(), any::<u16>()),
        changed in proptest::collection::vec((0..100_usize, any::<u8>()), 0..4),
    ) {
        if likely {
            bytes = shape.template().build(&bytes).to_vec();
            for (at, byte) in changed {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
        }
        let buffer = Buffer::copy_from(&bytes);
        let pool = BufferPool::new();
        let mut packet = Packet::new(buffer.clone());
        packet.offload.segmentation = Some(shape.segmentation(segment_size));
        if let Ok(pieces) = packet.clone().into_singles(shape.kind, &pool) {
            prop_assert!(pieces.len() > 0);
            pieces.for_each(drop);
        }
        packet.offload = PacketOffload::NONE;
        packet.offload.checksum = Some(PartialChecksum::new(start, offset));
        let _ = packet.into_singles(shape.kind, &pool).map(Iterator::count);
        if let Ok(mut join) = PacketJoin::start(shape.kind, buffer.clone()) {
            let _ = join.push(&bytes);
            drop(join.finish());
        }
    }
}

#[test]
fn identifications_without_meaning_do_not_keep_packets_apart() {
    let template = |sequence, atomic| Template {
        sequence,
        atomic,
        ..TCP.template()
    };
    for atomic in [true, false] {
        let first = template(0, atomic).build(&[1; 100]);
        let second = template(100, atomic).build(&[2; 100]);
        let mut join = PacketJoin::start(DeviceKind::Tun, first).unwrap();
        // Both have the identification 0.
        assert_eq!(join.push(&second), atomic);
    }
}

#[test]
fn only_what_follows_is_joined() {
    let first = TCP.template().build(&[1; 100]);
    let next = Template {
        sequence: 100,
        number: 1,
        ..TCP.template()
    };
    let joins = |packet: &[u8]| {
        let mut join = PacketJoin::start(DeviceKind::Tun, first.clone()).unwrap();
        let joined = join.push(packet);
        assert_eq!(join.segments(), 1 + u16::from(joined));
        joined
    };
    assert!(joins(&next.build(&[2; 100])), "the next one");
    assert!(joins(&next.build(&[2; 10])), "a shorter one");
    assert!(!joins(&next.build(&[2; 101])), "a longer one");
    assert!(!joins(&next.build(&[])), "one without payload");
    let gap = Template {
        sequence: 101,
        ..next
    };
    assert!(!joins(&gap.build(&[2; 100])), "behind a gap");
    let other = Template { port: 8, ..next };
    assert!(!joins(&other.build(&[2; 100])), "of another flow");
    let marked = Template {
        flags: 0x50,
        ..next
    };
    assert!(!joins(&marked.build(&[2; 100])), "with ECE");
    let reduced = Template {
        flags: 0x90,
        ..next
    };
    assert!(!joins(&reduced.build(&[2; 100])), "with CWR");
    let reset = Template {
        flags: 0x14,
        ..next
    };
    assert!(!joins(&reset.build(&[2; 100])), "a reset");
    let numbered = Template { number: 7, ..next };
    assert!(!joins(&numbered.build(&[2; 100])), "of another number");
    let mut broken = next.build(&[2; 100]);
    broken.make_mut()[60] ^= 1;
    assert!(!joins(&broken), "with a wrong checksum");
    let mut broken = next.build(&[2; 100]);
    broken.make_mut()[10] ^= 1;
    assert!(!joins(&broken), "with a wrong IP checksum");
}

#[test]
fn nothing_is_joined_to_a_broken_packet() {
    let next = Template {
        sequence: 100,
        number: 1,
        ..TCP.template()
    };
    let mut first = TCP.template().build(&[1; 100]);
    first.make_mut()[60] ^= 1;
    let mut join = PacketJoin::start(DeviceKind::Tun, first.clone()).unwrap();
    assert!(!join.push(&next.build(&[2; 100])));
    assert_eq!(join.finish(), Packet::new(first));
}

#[test]
fn nothing_is_joined_behind_the_last_of_its_kind() {
    let next = Template {
        sequence: 100,
        number: 1,
        ..TCP.template()
    };
    for flags in [0x18, 0x11] {
        let last = Template {
            flags,
            ..TCP.template()
        };
        let mut join = PacketJoin::start(DeviceKind::Tun, last.build(&[1; 100])).unwrap();
        assert!(
            !join.push(&next.build(&[2; 100])),
            "behind flags {flags:#x}"
        );
    }
    let mut join = PacketJoin::start(DeviceKind::Tun, TCP.template().build(&[1; 100])).unwrap();
    assert!(join.push(&next.build(&[2; 50])));
    let third = Template {
        sequence: 150,
        number: 2,
        ..TCP.template()
    };
    assert!(!join.push(&third.build(&[3; 50])), "behind a shorter one");
    let mut join = PacketJoin::start(DeviceKind::Tun, TCP.template().build(&[1; 100])).unwrap();
    let pushed = Template {
        flags: 0x18,
        ..next
    };
    assert!(join.push(&pushed.build(&[2; 100])));
    let third = Template {
        sequence: 200,
        number: 2,
        ..TCP.template()
    };
    assert!(
        !join.push(&third.build(&[3; 100])),
        "behind one that is pushed"
    );
}

#[test]
fn a_large_packet_never_grows_beyond_what_ip_can_say() {
    let payload = [7; 1_460];
    let mut template = TCP.template();
    let mut join = PacketJoin::start(DeviceKind::Tun, template.build(&payload)).unwrap();
    loop {
        template.sequence += 1_460;
        template.number += 1;
        if !join.push(&template.build(&payload)) {
            break;
        }
    }
    assert_eq!(join.segments(), 44);
    let large = join.finish();
    assert_eq!(large.payload.len(), 40 + 44 * 1_460);
    let headers = PacketHeaders::parse(DeviceKind::Tun, &large.payload).unwrap();
    assert_eq!(headers.end, large.payload.len());
}

#[test]
fn a_udp_packet_that_says_it_has_no_checksum_is_left_alone() {
    let udp = Shape { tcp: false, ..TCP };
    let mut packet = udp.template().build(&[1; 100]);
    packet.make_mut()[26..28].fill(0);
    assert_eq!(
        PacketJoin::start(DeviceKind::Tun, packet.clone()).unwrap_err(),
        packet
    );
}

#[test]
fn a_udp_checksum_of_zero_is_written_as_its_other_form() {
    let udp = Shape { tcp: false, ..TCP };
    let packet = udp.template().build(&[0, 0]);
    // With the checksum as payload, the sum is all ones.
    let mut packet = Packet::new(udp.template().build(&packet[26..28]));
    packet.offload.segmentation = Some(udp.segmentation(100));
    let pool = BufferPool::new();
    let singles = packet.into_singles(DeviceKind::Tun, &pool).unwrap();
    for single in singles {
        assert_eq!(single[26..28], [0xff, 0xff]);
        udp.look(&single);
    }
}

#[test]
fn what_cannot_be_cut_is_refused_with_the_reason() {
    let whole = TCP.template().build(&[1; 100]);
    let pool = BufferPool::new();
    let refusal = |payload: &[u8], segmentation: Segmentation| {
        let mut packet = Packet::new(Buffer::copy_from(payload));
        packet.offload.segmentation = Some(segmentation);
        packet.into_singles(DeviceKind::Tun, &pool).unwrap_err()
    };
    let tcp = TCP.segmentation(50);
    use MalformedPacket as M;
    assert_eq!(refusal(&[], tcp), M::TooShort { len: 0 });
    assert_eq!(refusal(&whole[..19], tcp), M::TooShort { len: 19 });
    assert_eq!(refusal(&whole[..60], tcp), M::BadLength { len: 60 });
    assert_eq!(refusal(&[0x50; 60], tcp), M::NotIp);
    assert_eq!(refusal(&whole, TCP.segmentation(0)), M::NoSegmentSize);
    let udp = Segmentation::new(SegmentProtocol::Udp, 28, 50);
    assert_eq!(refusal(&whole, udp), M::OtherProtocol);
    let mut fragment = whole.clone();
    fragment.make_mut()[6] = 0x20;
    assert_eq!(refusal(&fragment, tcp), M::Fragment);

    let mut packet = Packet::new(whole.clone());
    packet.offload.checksum = Some(PartialChecksum::new(130, 9));
    let refused = packet.into_singles(DeviceKind::Tun, &pool).unwrap_err();
    assert_eq!(refused, M::ChecksumOutside { len: 140 });
}

#[test]
fn ipv6_options_are_part_of_the_headers() {
    let shape = Shape { ipv4: false, ..TCP };
    let plain = shape.template().build(&[1; 300]);
    let mut bytes = plain.to_vec();
    bytes.splice(40..40, [6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes[5] += 16;
    bytes[6] = 60;
    let headers = PacketHeaders::parse(DeviceKind::Tun, &bytes).unwrap();
    assert_eq!((headers.transport, headers.protocol), (56, 6));
    assert_eq!(headers.ports(&bytes), Some((7, 9)));
    let mut packet = Packet::new(Buffer::copy_from(&bytes));
    packet.offload.segmentation = Some(shape.segmentation(100));
    let pool = BufferPool::new();
    let pieces: Vec<Buffer> = packet
        .into_singles(DeviceKind::Tun, &pool)
        .unwrap()
        .collect();
    assert_eq!(pieces.len(), 3);
    let tcp = TcpPacket::new_checked(&pieces[1][56..]).unwrap();
    let (source, destination) = shape.addresses();
    assert!(tcp.verify_checksum(&source, &destination));
    assert_eq!(tcp.payload(), [1; 100]);
}

const TCP: Shape = Shape {
    kind: DeviceKind::Tun,
    ipv4: true,
    tcp: true,
};

/// The kinds of packets that can be cut.
#[derive(Debug, Clone, Copy)]
struct Shape {
    kind: DeviceKind,
    ipv4: bool,
    tcp: bool,
}

fn shapes() -> impl Strategy<Value = Shape> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(tun, ipv4, tcp)| Shape {
        kind: if tun {
            DeviceKind::Tun
        } else {
            DeviceKind::Tap
        },
        ipv4,
        tcp,
    })
}

/// What other implementation sees in a packet, with all checksums verified.
struct Seen {
    number: u16,
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
}

impl Shape {
    fn template(self) -> Template {
        Template {
            shape: self,
            sequence: 0,
            number: 0,
            flags: 0x10,
            port: 9,
            atomic: false,
        }
    }

    fn addresses(self) -> (IpAddress, IpAddress) {
        if self.ipv4 {
            (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2))
        } else {
            let ip = |last| IpAddress::v6(0xfd00, 1, 0, 0, 0, 0, 0, last);
            (ip(1), ip(2))
        }
    }

    fn frame_header(self) -> usize {
        match self.kind {
            DeviceKind::Tun => 0,
            DeviceKind::Tap => 14,
        }
    }

    fn segmentation(self, segment_size: u16) -> Segmentation {
        let protocol = match (self.tcp, self.ipv4) {
            (true, true) => SegmentProtocol::TcpV4,
            (true, false) => SegmentProtocol::TcpV6,
            (false, _) => SegmentProtocol::Udp,
        };
        // The length of the headers is a hint that nobody may trust.
        Segmentation::new(protocol, 1_000, segment_size)
    }

    fn look(self, packet: &[u8]) -> Seen {
        let ip = &packet[self.frame_header()..];
        let (transport, number) = if self.ipv4 {
            let ip = Ipv4Packet::new_checked(ip).unwrap();
            assert!(ip.verify_checksum());
            (ip.payload(), ip.ident())
        } else {
            (Ipv6Packet::new_checked(ip).unwrap().payload(), 0)
        };
        let (source, destination) = self.addresses();
        if self.tcp {
            let tcp = TcpPacket::new_checked(transport).unwrap();
            assert!(tcp.verify_checksum(&source, &destination));
            let TcpSeqNumber(sequence) = tcp.seq_number();
            Seen {
                number,
                sequence: sequence.cast_unsigned(),
                flags: transport[13],
                payload: tcp.payload().to_vec(),
            }
        } else {
            let udp = UdpPacket::new_checked(transport).unwrap();
            assert!(udp.verify_checksum(&source, &destination));
            assert_ne!(udp.checksum(), 0, "says that there is none");
            Seen {
                number,
                sequence: 0,
                flags: 0,
                payload: udp.payload().to_vec(),
            }
        }
    }

    /// The sum over the pseudo header, got out of the other implementation: a packet of zeroes has
    /// that sum and, in its checksum, the complement.
    fn pseudo_sum(self, transport_len: usize) -> u16 {
        let mut zeroes = vec![0; transport_len];
        let (source, destination) = self.addresses();
        if self.tcp {
            let mut tcp = TcpPacket::new_unchecked(&mut zeroes);
            tcp.fill_checksum(&source, &destination);
            !tcp.checksum()
        } else {
            let mut udp = UdpPacket::new_unchecked(&mut zeroes);
            udp.set_len(u16::try_from(transport_len).unwrap());
            udp.fill_checksum(&source, &destination);
            // The length counts twice here: in the UDP header and in the pseudo header.
            let len = u16::try_from(transport_len).unwrap();
            let (difference, borrowed) = (!udp.checksum()).overflowing_sub(len);
            difference.wrapping_sub(u16::from(borrowed))
        }
    }
}

/// A packet to be built by the other implementation.
#[derive(Debug, Clone, Copy)]
struct Template {
    shape: Shape,
    sequence: u32,
    number: u16,
    flags: u8,
    port: u16,
    atomic: bool,
}

impl Template {
    fn build(&self, payload: &[u8]) -> Buffer {
        let shape = self.shape;
        let frame_header = shape.frame_header();
        let ip_header = if shape.ipv4 { 20 } else { 40 };
        let transport_header = if shape.tcp { 20 } else { 8 };
        let len = frame_header + ip_header + transport_header + payload.len();
        let mut bytes = vec![0; len];
        if shape.kind == DeviceKind::Tap {
            let ethertype = if shape.ipv4 {
                [0x08, 0x00]
            } else {
                [0x86, 0xdd]
            };
            bytes[12..14].copy_from_slice(&ethertype);
        }
        let transport_at = frame_header + ip_header;
        self.write_transport(&mut bytes[transport_at..], payload);
        self.write_ip(&mut bytes[frame_header..]);
        Buffer::copy_from(&bytes)
    }

    fn write_transport(&self, bytes: &mut [u8], payload: &[u8]) {
        let (source, destination) = self.shape.addresses();
        let len = u16::try_from(bytes.len()).unwrap();
        if self.shape.tcp {
            bytes[20..].copy_from_slice(payload);
            let mut tcp = TcpPacket::new_unchecked(&mut *bytes);
            tcp.set_src_port(7);
            tcp.set_dst_port(self.port);
            tcp.set_seq_number(TcpSeqNumber(self.sequence.cast_signed()));
            tcp.set_header_len(20);
            tcp.set_window_len(1_000);
            bytes[13] = self.flags;
            TcpPacket::new_unchecked(bytes).fill_checksum(&source, &destination);
        } else {
            bytes[8..].copy_from_slice(payload);
            let mut udp = UdpPacket::new_unchecked(bytes);
            udp.set_src_port(7);
            udp.set_dst_port(self.port);
            udp.set_len(len);
            udp.fill_checksum(&source, &destination);
        }
    }

    fn write_ip(&self, bytes: &mut [u8]) {
        let protocol = if self.shape.tcp {
            IpProtocol::Tcp
        } else {
            IpProtocol::Udp
        };
        let len = u16::try_from(bytes.len()).unwrap();
        match self.shape.addresses() {
            (IpAddress::Ipv4(source), IpAddress::Ipv4(destination)) => {
                let mut ip = Ipv4Packet::new_unchecked(bytes);
                ip.set_version(4);
                ip.set_header_len(20);
                ip.set_total_len(len);
                ip.set_ident(self.number);
                ip.set_dont_frag(self.atomic);
                ip.set_hop_limit(64);
                ip.set_next_header(protocol);
                ip.set_src_addr(source);
                ip.set_dst_addr(destination);
                ip.fill_checksum();
            }
            (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
                let mut ip = Ipv6Packet::new_unchecked(bytes);
                ip.set_version(6);
                ip.set_payload_len(len - 40);
                ip.set_hop_limit(64);
                ip.set_next_header(protocol);
                ip.set_src_addr(source);
                ip.set_dst_addr(destination);
            }
            (source, destination) => unreachable!("{source} and {destination} are of two families"),
        }
    }
}

/// Makes the transport's checksum wrong: whoever asks for cutting has not filled it in.
fn break_checksum(shape: &Shape, packet: &mut [u8]) {
    let at = PacketHeaders::parse(shape.kind, packet).unwrap().transport;
    let offset = if shape.tcp { 16 } else { 6 };
    packet[at + offset] ^= 0x5a;
}
