//! Packets with many segments: taken as they are, cut, and forwarded.

use core::net::SocketAddr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use stillpoint::backend::{BackendKind, Offload};
use stillpoint::{
    Buffer, DeviceKind, DeviceOpen, NetworkEvent, Packet, PacketHeaders, PacketOffload,
    PacketSizes, PacketTransmit, SegmentProtocol, SocketId, Token, Transmit, UdpOpen,
};

use crate::host::{Host, PATIENCE};
use crate::system::{ip, leave_network};
use crate::wire;

/// What a task that forwards has seen of TCP.
#[derive(Debug, Default)]
struct Seen {
    packets: usize,
    large: usize,
    longest: usize,
}

/// What each of the two devices takes.
#[derive(Clone, Copy)]
struct Ends {
    near: PacketSizes,
    far: PacketSizes,
}

impl Ends {
    const fn both(sizes: PacketSizes) -> Self {
        let (near, far) = (sizes, sizes);
        Self { near, far }
    }
}

fn device(name: &str, sizes: PacketSizes, v4: [u8; 4], v6: &str) -> DeviceOpen {
    let open = DeviceOpen::tun(Token(0))
        .with_name(name)
        .with_address(v4.into(), 24)
        .with_address(v6.parse().unwrap(), 64);
    match sizes {
        PacketSizes::Single => open,
        PacketSizes::Large => open.with_large_packets(),
    }
}

/// Two networks, each with a device, and between them a task that forwards all TCP. A client in
/// one sends 4 MB to a server in the other, which gets the same bytes. Gives what the task has
/// seen of the near device, and of the far one.
fn send_through(host: &mut Host, ends: Ends, server: &str) -> [Seen; 2] {
    let near = host.open(device("near", ends.near, [10, 7, 0, 1], "fd07::1"));
    ip("route add 10.8.0.0/24 dev near");
    ip("-6 route add fd08::/64 dev near");
    let listener = TcpListener::bind(server).unwrap();
    let address = listener.local_addr().unwrap();
    leave_network().unwrap();
    let far = host.open(device("far", ends.far, [10, 8, 0, 1], "fd08::1"));
    ip("route add 10.7.0.0/24 dev far");
    ip("-6 route add fd07::/64 dev far");
    let seen = Arc::new(Mutex::new([Seen::default(), Seen::default()]));
    let notes = Arc::clone(&seen);
    host.react(move |event, outbox| {
        let NetworkEvent::Packet { device, packet } = event else {
            return;
        };
        let headers = PacketHeaders::parse(DeviceKind::Tun, &packet.payload).unwrap();
        if headers.protocol != PacketHeaders::TCP {
            return;
        }
        let (index, to, sizes) = if *device == near.id {
            (0, far.id, ends.near)
        } else {
            (1, near.id, ends.far)
        };
        let seen = &mut notes.lock().unwrap()[index];
        seen.packets += 1;
        seen.large += usize::from(packet.offload.segmentation.is_some());
        seen.longest = seen.longest.max(packet.payload.len());
        if sizes == PacketSizes::Single {
            assert_eq!(packet.offload, PacketOffload::NONE);
            wire::assert_summed(&packet.payload);
        }
        outbox.send_packet(PacketTransmit::forward(to, packet.clone()));
    });
    transfer(host, &listener, address);
    let counters = host.counters();
    assert_eq!((counters.send_failed, counters.undelivered), (0, 0));
    core::mem::take(&mut *seen.lock().unwrap())
}

fn transfer(host: &mut Host, listener: &TcpListener, address: SocketAddr) {
    let sent: Vec<u8> = (0..4_000_000_u32).map(|at| (at * 31 % 251) as u8).collect();
    let received = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&sent).unwrap();
        });
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            received
        });
        host.turn_until(|_| client.is_finished() && server.is_finished());
        client.join().unwrap();
        server.join().unwrap()
    });
    assert!(
        received == sent,
        "{} bytes of {}",
        received.len(),
        sent.len()
    );
}

pub(crate) fn large_tcp_segments_are_forwarded_as_one_packet(kind: BackendKind) {
    let mut host = Host::new(kind);
    let ends = Ends::both(PacketSizes::Large);
    let [near, far] = send_through(&mut host, ends, "10.7.0.1:0");
    assert!(far.longest > 20_000, "{far:?}");
    assert!(far.large > 0 && far.packets < 2_000, "{far:?}");
    assert_eq!(near.large, 0, "only acknowledgements come back: {near:?}");
}

pub(crate) fn single_packets_are_whole_and_have_their_checksums(kind: BackendKind) {
    let mut host = Host::new(kind);
    let ends = Ends::both(PacketSizes::Single);
    let [_, far] = send_through(&mut host, ends, "10.7.0.1:0");
    assert_eq!((far.longest, far.large), (1_500, 0));
    assert!(far.packets > 4_000_000 / 1_460, "{far:?}");
}

pub(crate) fn large_and_single_packets_meet_on_one_way(kind: BackendKind) {
    let mut host = Host::new(kind);
    let ends = Ends {
        near: PacketSizes::Large,
        far: PacketSizes::Single,
    };
    let [_, far] = send_through(&mut host, ends, "10.7.0.1:0");
    assert_eq!((far.longest, far.large), (1_500, 0));
}

pub(crate) fn tcp_over_ipv6_is_forwarded_as_well(kind: BackendKind) {
    let mut host = Host::new(kind);
    let ends = Ends::both(PacketSizes::Large);
    let [_, far] = send_through(&mut host, ends, "[fd07::1]:0");
    assert!(far.longest > 20_000 && far.large > 0, "{far:?}");
}

pub(crate) fn without_offload_packets_come_single_too(kind: BackendKind) {
    let mut host = Host::with(kind, |config| config.offload = Offload::Off);
    let ends = Ends::both(PacketSizes::Large);
    let [_, far] = send_through(&mut host, ends, "10.7.0.1:0");
    assert_eq!((far.longest, far.large), (1_500, 0));
}

/// A socket of the system's side.
fn open_socket(host: &mut Host) -> (SocketId, SocketAddr) {
    host.act(|outbox| outbox.open_udp(UdpOpen::new(Token(1), "10.7.0.1:0".parse().unwrap())));
    host.next(|event| match event {
        NetworkEvent::UdpOpened { socket, local, .. } => Some((*socket, *local)),
        _ => None,
    })
}

/// Sends `count` datagrams of 1,000 bytes at once.
fn send_run(host: &mut Host, socket: SocketId, count: usize) -> Buffer {
    let sent: Vec<u8> = (0..count * 1_000).map(|at| (at % 241) as u8).collect();
    let sent = Buffer::copy_from(&sent);
    let run = Transmit::new(socket, "10.7.0.2:9".parse().unwrap(), sent.clone());
    host.act(move |outbox| outbox.transmit(run.with_segment_size(1_000)));
    sent
}

pub(crate) fn a_run_of_datagrams_is_one_packet_both_ways(kind: BackendKind) {
    let mut host = Host::new(kind);
    let tun = host.open(device("run", PacketSizes::Large, [10, 7, 0, 1], "fd07::1"));
    let (socket, local) = open_socket(&mut host);
    let sent = send_run(&mut host, socket, 10);
    let packet = host.next_packet(|_, packet| wire::is_udp_to(packet, 9));
    let cut = packet.offload.segmentation.expect("ten datagrams in one");
    assert_eq!(
        (cut.protocol, cut.header_len, cut.segment_size),
        (SegmentProtocol::Udp, 28, 1_000)
    );
    assert_eq!(packet.payload[28..], *sent);
    let back = wire::turned_round(DeviceKind::Tun, &packet).unwrap();
    host.act(move |outbox| outbox.send_packet(PacketTransmit::forward(tun.id, back)));
    let run = host.next(|event| match event {
        NetworkEvent::Datagrams { run, .. } => Some(run.clone()),
        _ => None,
    });
    assert_eq!((run.segment_size, run.local), (1_000, Some(local.ip())));
    assert_eq!(run.payload, sent);
}

pub(crate) fn two_queues_of_one_device_may_differ_in_what_they_take(kind: BackendKind) {
    const FLOWS: usize = 32;
    let (mut whole, mut single, mut sender) = (Host::new(kind), Host::new(kind), Host::new(kind));
    let open = |sizes| device("mixed", sizes, [10, 7, 0, 1], "fd07::1").shared();
    whole.open(open(PacketSizes::Large));
    single.open(open(PacketSizes::Single));
    for _ in 0..FLOWS {
        let (socket, _) = open_socket(&mut sender);
        send_run(&mut sender, socket, 5);
    }
    let mut datagrams = [0; 2];
    while datagrams.iter().sum::<usize>() < FLOWS * 5 {
        datagrams[0] += udp_packets(&mut whole)
            .inspect(|packet| assert!(packet.offload.segmentation.is_some()))
            .count()
            * 5;
        datagrams[1] += udp_packets(&mut single)
            .inspect(|packet| wire::assert_summed(&packet.payload))
            .inspect(|packet| assert_eq!(packet.payload.len(), 1_028))
            .count();
    }
    assert!(datagrams.iter().all(|count| *count > 0), "{datagrams:?}");
}

fn udp_packets(host: &mut Host) -> impl Iterator<Item = Packet> + use<> {
    let events = host.turn_if_any().into_iter();
    events.filter_map(|event| match event {
        NetworkEvent::Packet { packet, .. } if wire::is_udp_to(&packet, 9) => Some(packet),
        _ => None,
    })
}
