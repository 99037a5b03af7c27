//! Packets on their way out and in.

use core::net::SocketAddr;
use std::net::UdpSocket;

use stillpoint::backend::BackendKind;
use stillpoint::{
    Buffer, DeviceKind, DeviceOpen, MalformedPacket, NetworkError, NetworkEvent, PacketOffload,
    PacketTransmit, PartialChecksum, SegmentProtocol, Segmentation, Token,
};

use crate::host::{Host, Opened, PATIENCE};
use crate::system::ip;
use crate::wire;

/// A device that the system is at 10.7.0.1 and fd07::1 of.
fn tun(name: &str) -> DeviceOpen {
    DeviceOpen::tun(Token(0))
        .with_name(name)
        .with_address([10, 7, 0, 1].into(), 24)
        .with_address("fd07::1".parse().unwrap(), 64)
}

fn socket(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A datagram to `to` from the far side of the device.
fn packet_to(to: SocketAddr, payload: &[u8]) -> Buffer {
    let from = if to.is_ipv4() {
        "10.7.0.2:9"
    } else {
        "[fd07::2]:9"
    };
    Buffer::copy_from(&wire::udp(from.parse().unwrap(), to, payload))
}

fn give(host: &mut Host, device: &Opened, packet: Buffer) {
    let device = device.id;
    host.act(move |outbox| outbox.send_packet(PacketTransmit::new(device, packet)));
}

pub(crate) fn packets_go_out_and_come_in_under_both_families(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.react(|event, outbox| {
        if let NetworkEvent::Packet { device, packet } = event
            && wire::is_udp_to(packet, 9)
        {
            let back = wire::turned_round(DeviceKind::Tun, packet).unwrap();
            outbox.send_packet(PacketTransmit::forward(*device, back));
        }
    });
    host.open(tun("both"));
    for (local, peer) in [("10.7.0.1:0", "10.7.0.2:9"), ("[fd07::1]:0", "[fd07::2]:9")] {
        let socket = socket(local);
        for len in [0, 1, 1_000, 1_400] {
            let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            socket.send_to(&sent, peer).unwrap();
            let out = host.next_packet(|_, packet| wire::is_udp_to(packet, 9));
            assert_eq!(out.offload, PacketOffload::NONE);
            wire::assert_summed(&out.payload);
            let mut received = [0; 2_000];
            let (len, from) = socket.recv_from(&mut received).unwrap();
            assert_eq!((&received[..len], from), (&*sent, peer.parse().unwrap()));
        }
    }
    let counters = host.counters();
    assert_eq!((counters.packets_out, counters.send_failed), (8, 0));
    assert_eq!(counters.bytes_out, 4 * (28 + 48) + 2 * 2_401);
}

pub(crate) fn frames_go_out_and_come_in_after_an_address_is_resolved(kind: BackendKind) {
    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 2];
    let mut host = Host::new(kind);
    host.react(|event, outbox| {
        let NetworkEvent::Packet { device, packet } = event else {
            return;
        };
        let frame = &packet.payload;
        let mut back = match frame[12..14] {
            // A question for 10.7.0.2 (RFC 826).
            [8, 6] if frame[20..22] == [0, 1] && frame[38..42] == [10, 7, 0, 2] => {
                let mut answer = frame.to_vec();
                answer[21] = 2;
                answer[32..42].copy_from_slice(&frame[22..32]);
                answer[22..28].copy_from_slice(&OURS);
                answer[28..32].copy_from_slice(&[10, 7, 0, 2]);
                answer
            }
            _ if wire::udp_ends(DeviceKind::Tap, frame).is_some_and(|(_, to)| to.port() == 9) => {
                let back = wire::turned_round(DeviceKind::Tap, packet).unwrap();
                back.payload.to_vec()
            }
            _ => return,
        };
        back[..6].copy_from_slice(&frame[6..12]);
        back[6..12].copy_from_slice(&OURS);
        let back = PacketTransmit::new(*device, Buffer::copy_from(&back));
        outbox.send_packet(back);
    });
    host.open(
        DeviceOpen::tap(Token(0))
            .with_name("frames")
            .with_address([10, 7, 0, 1].into(), 24),
    );
    let socket = socket("10.7.0.1:0");
    socket.send_to(b"through ARP", "10.7.0.2:9").unwrap();
    host.turn_until(|host| host.counters().packets_out == 2);
    let mut received = [0; 100];
    let len = socket.recv(&mut received).unwrap();
    assert_eq!(received[..len], *b"through ARP");
}

pub(crate) fn a_short_packet_does_not_keep_the_memory_of_a_long_one(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.open(tun("memory").with_mtu(60_000));
    let socket = socket("10.7.0.1:0");
    for (len, memory_max) in [(10, 512), (1_200, 2_048), (9_000, 16_384)] {
        socket.send_to(&vec![0; len], "10.7.0.2:9").unwrap();
        let packet = host.next_packet(|_, packet| wire::is_udp_to(packet, 9));
        assert!(packet.payload.memory() <= memory_max, "{len} bytes");
    }
    socket.send_to(&[7; 50_000], "10.7.0.2:9").unwrap();
    let packet = host.next_packet(|_, packet| wire::is_udp_to(packet, 9));
    assert_eq!(packet.payload.len(), 50_028);
}

pub(crate) fn a_packet_longer_than_the_mtu_is_refused_with_the_mtu_of_now(kind: BackendKind) {
    let mut host = Host::new(kind);
    let device = host.open(tun("lengths"));
    let receiver = socket("10.7.0.1:0");
    let to = receiver.local_addr().unwrap();
    give(&mut host, &device, packet_to(to, &[1; 1_472]));
    give(&mut host, &device, packet_to(to, &[1; 1_473]));
    let (len, max) = (1_501, 1_500);
    let too_long = (NetworkError::TooLong { len, max }, 1);
    assert_eq!(host.next_failure(), too_long);
    ip("link set lengths mtu 1600");
    give(&mut host, &device, packet_to(to, &[1; 1_572]));
    give(&mut host, &device, packet_to(to, &[1; 1_573]));
    let (len, max) = (1_601, 1_600);
    let too_long = (NetworkError::TooLong { len, max }, 1);
    assert_eq!(host.next_failure(), too_long);
    let mut received = [0; 2_000];
    assert_eq!(receiver.recv(&mut received).unwrap(), 1_472);
    assert_eq!(receiver.recv(&mut received).unwrap(), 1_572);
    let counters = host.counters();
    assert_eq!((counters.packets_out, counters.send_failed), (2, 2));
}

pub(crate) fn what_is_no_packet_is_refused_with_the_reason(kind: BackendKind) {
    let mut host = Host::new(kind);
    let tun = host.open(tun("strict"));
    let tap = host.open(DeviceOpen::tap(Token(0)).with_name("strict-tap"));
    let good = packet_to("10.7.0.1:9".parse().unwrap(), &[1; 3_000]);
    let len = good.len();
    let cut = |protocol, segment_size, start| {
        let mut packet = PacketTransmit::new(tun.id, good.clone());
        packet.offload.segmentation = Some(Segmentation::new(protocol, 28, segment_size));
        packet.offload.checksum = Some(PartialChecksum::new(start, 6));
        packet
    };
    let mut outside = PacketTransmit::new(tun.id, good.clone());
    outside.offload.checksum = Some(PartialChecksum::new(3_000, 27));
    let with =
        |device: &Opened, bytes: &[u8]| PacketTransmit::new(device.id, Buffer::copy_from(bytes));
    let udp = SegmentProtocol::Udp;
    let all = [
        (with(&tun, &[]), MalformedPacket::TooShort { len: 0 }),
        (with(&tun, &[0x50; 40]), MalformedPacket::NotIp),
        (with(&tap, &[0; 13]), MalformedPacket::TooShort { len: 13 }),
        (
            with(&tap, &[&[0; 12][..], &[0x81, 0, 0, 1]].concat()),
            MalformedPacket::TooShort { len: 16 },
        ),
        (outside, MalformedPacket::ChecksumOutside { len }),
        (cut(udp, 0, 20), MalformedPacket::NoSegmentSize),
        (cut(udp, 1_000, 21), MalformedPacket::OtherChecksum),
        (
            cut(SegmentProtocol::TcpV4, 1_000, 20),
            MalformedPacket::OtherProtocol,
        ),
    ];
    let count = all.len() as u64;
    for (packet, reason) in all {
        host.act(move |outbox| outbox.send_packet(packet));
        assert_eq!(host.next_failure(), (NetworkError::Malformed(reason), 1));
    }
    let too_long = cut(udp, 1_473, 20);
    host.act(move |outbox| outbox.send_packet(too_long));
    let (len, max) = (1_501, 1_500);
    assert_eq!(host.next_failure().0, NetworkError::TooLong { len, max });
    let counters = host.counters();
    assert_eq!((counters.packets_out, counters.send_failed), (0, count + 1));
}

pub(crate) fn a_device_that_is_down_refuses_packets_and_goes_on_when_it_is_up(kind: BackendKind) {
    let mut host = Host::new(kind);
    let device = host.open(tun("updown"));
    let receiver = socket("10.7.0.1:0");
    let to = receiver.local_addr().unwrap();
    ip("link set updown down");
    for _ in 0..3 {
        give(&mut host, &device, packet_to(to, b"lost"));
    }
    assert_eq!(host.next_failure(), (NetworkError::Down, 3));
    assert!(host.is_quiet());
    ip("link set updown up");
    give(&mut host, &device, packet_to(to, b"taken in"));
    let mut received = [0; 100];
    assert_eq!(receiver.recv(&mut received).unwrap(), 8);
}

pub(crate) fn the_queues_of_a_device_share_its_flows(kind: BackendKind) {
    const FLOWS: u64 = 64;
    let mut workers = [Host::new(kind), Host::new(kind)];
    for host in &mut workers {
        host.open(tun("shared").shared());
    }
    for _ in 0..FLOWS {
        let flow = socket("10.7.0.1:0");
        flow.send_to(b"flow", "10.7.0.2:9").unwrap();
    }
    let mut counts = [0; 2];
    while counts.iter().sum::<u64>() < FLOWS {
        for (host, count) in workers.iter_mut().zip(&mut counts) {
            for event in host.turn_if_any() {
                if let NetworkEvent::Packet { packet, .. } = event {
                    *count += u64::from(wire::is_udp_to(&packet, 9));
                }
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), FLOWS);
    // Either may give packets, whichever flow they are of.
    let receiver = socket("10.7.0.1:0");
    let to = receiver.local_addr().unwrap();
    for host in &mut workers {
        let device = host.open(tun("shared").shared());
        give(host, &device, packet_to(to, b"in"));
        let mut received = [0; 10];
        assert_eq!(receiver.recv(&mut received).unwrap(), 2);
    }
}

pub(crate) fn a_flooded_device_does_not_keep_another_waiting(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.open(tun("flooded"));
    let quiet = host.open(
        DeviceOpen::tun(Token(0))
            .with_name("quiet")
            .with_address([10, 8, 0, 1].into(), 24),
    );
    while !host.turn_if_any().is_empty() {} // What the kernel says by itself.
    let (flood, drop) = (socket("10.7.0.1:0"), socket("10.8.0.1:0"));
    for _ in 0..400 {
        flood.send_to(b"flood", "10.7.0.2:9").unwrap();
    }
    drop.send_to(b"drop", "10.8.0.2:9").unwrap();
    let first = host.turn();
    let of_quiet = |event: &NetworkEvent| matches!(event, NetworkEvent::Packet { device, .. } if *device == quiet.id);
    assert!(first.iter().any(of_quiet), "{} events", first.len());
    assert!(first.len() <= 64 + 8, "{} events at once", first.len());
    host.turn_until(|host| host.counters().packets_in >= 401);
}

pub(crate) fn every_buffer_goes_back_to_the_pool(kind: BackendKind) {
    let mut host = Host::new(kind);
    let device = host.open(tun("pool"));
    let socket = socket("10.7.0.1:0");
    let to = socket.local_addr().unwrap();
    for len in [1, 1_000, 40_000] {
        for _ in 0..20 {
            socket.send_to(&vec![0; len], "10.7.0.2:9").unwrap();
            give(&mut host, &device, packet_to(to, &[0; 1_000]));
            host.turn();
        }
    }
    host.act(move |outbox| outbox.close(device.id));
    let buffers = host.buffers.clone();
    drop(host);
    assert_eq!(buffers.live(), 0);
}
