//! The port over a kernel that is played, where the real one never goes: queues that stay full, and
//! packets that are not what their headers say.
//!
//! A pair of datagram sockets keeps packets apart and is full after some, as a device is.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]

use core::time::Duration;
use std::os::unix::net::UnixDatagram;

use super::header::Header;
use super::sys::HEADER_LEN;
use super::*;
use crate::backend::sockets::SocketBackend;
use crate::backend::{Backend, BackendKind, Port};
use crate::buffer::{Buffer, BufferPool};
use crate::device::{
    Packet, PacketOffload, PacketTransmit, PartialChecksum, SegmentProtocol, Segmentation,
};
use crate::net::{NetworkCommand, NetworkError};
use crate::runtime::SystemClock;
use crate::slots::Key;
use crate::time::Clock;

const ID: DeviceId = DeviceId {
    worker: 0,
    key: Key {
        slot: 0,
        generation: 0,
    },
};

/// A backend with one device, and the kernel's end of it.
struct Played {
    backend: SocketBackend,
    clock: SystemClock,
    kernel: UnixDatagram,
}

impl Played {
    fn new(kind: BackendKind, open: &DeviceOpen) -> Self {
        Self::with(kind, open, Offload::WhereAvailable)
    }

    fn with(kind: BackendKind, open: &DeviceOpen, offload: Offload) -> Self {
        let (kernel, ours) = UnixDatagram::pair().unwrap();
        for socket in [&kernel, &ours] {
            socket.set_nonblocking(true).unwrap();
        }
        let mut config = BackendConfig::new(BufferPool::new());
        config.offload = offload;
        let mut backend = SocketBackend::new(kind, &config).unwrap();
        let opened = OpenedDevice {
            fd: ours.into(),
            name: "played".into(),
            mtu: 1_500,
            settling: Settling::OVER,
        };
        backend.port().insert_device(ID, open, opened);
        let mut played = Self {
            backend,
            clock: SystemClock::new(),
            kernel,
        };
        assert!(matches!(
            played.wait()[..],
            [NetworkEvent::DeviceOpened { .. }]
        ));
        played
    }

    fn wait(&mut self) -> Vec<NetworkEvent> {
        let mut events = Vec::new();
        let until = self.clock.now().after(Duration::from_millis(5));
        self.backend
            .wait(Some(until), &self.clock, &mut |_, event, _| {
                events.push(event);
            })
            .unwrap();
        events
    }

    fn submit(&mut self, packet: Buffer) {
        let packet = PacketTransmit::new(ID, packet);
        self.backend.port().submit(NetworkCommand::Packet(packet));
    }

    /// What the kernel takes in next, without its header.
    fn taken(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 70_000];
        let len = self.kernel.recv(&mut bytes).ok()?;
        Some(bytes[HEADER_LEN..len].to_vec())
    }

    fn give(&self, header: Header, packet: &[u8]) {
        self.kernel.send(&[&header, packet].concat()).unwrap();
    }
}

/// An IPv4 packet that carries UDP with `len` bytes.
fn udp(len: u16) -> Vec<u8> {
    let [high, low] = (28 + len).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    let [high, low] = (8 + len).to_be_bytes();
    packet.extend([0, 1, 0, 2, high, low, 0, 0]);
    packet.resize(28 + usize::from(len), 7);
    packet
}

fn numbered(number: u16) -> Buffer {
    let mut packet = udp(2);
    packet[28..].copy_from_slice(&number.to_be_bytes());
    Buffer::copy_from(&packet)
}

#[test]
fn a_full_queue_is_counted_and_what_waits_goes_out_in_order() {
    for &kind in BackendKind::ALL {
        let mut played = Played::new(kind, &DeviceOpen::tun(Token(0)));
        for number in 0..2_000 {
            played.submit(numbered(number));
        }
        let at_once = played.backend.counters().devices.packets_out as u32;
        assert!(at_once > 0, "it has room for some");
        let refused = 2_000 - 1_024 - at_once;
        let failed = NetworkEvent::PacketsFailed {
            device: ID,
            error: NetworkError::QueueFull,
            packets: refused,
        };
        assert_eq!(played.wait(), [failed], "{kind}");
        let mut taken = Vec::new();
        while taken.len() < at_once as usize + 1_024 {
            while let Some(packet) = played.taken() {
                taken.push(packet);
            }
            assert_eq!(played.wait(), []);
        }
        for (number, packet) in taken.iter().enumerate() {
            assert_eq!(*packet, *numbered(number as u16), "{kind}");
        }
        let counters = played.backend.counters().devices;
        assert_eq!(counters.packets_out, taken.len() as u64);
        assert_eq!(counters.bytes_out, taken.len() as u64 * 30);
        assert_eq!(counters.send_failed, u64::from(refused));
        // Now that there is room, there is nothing to wake up for.
        let before = played.clock.now();
        assert_eq!(played.wait(), []);
        assert!(played.clock.now() >= before.after(Duration::from_millis(5)));
    }
}

#[test]
fn what_waits_when_a_device_is_closed_is_written_as_far_as_there_is_room_and_counted() {
    for &kind in BackendKind::ALL {
        let mut played = Played::new(kind, &DeviceOpen::tun(Token(0)));
        for number in 0..1_000 {
            played.submit(numbered(number));
        }
        let at_once = played.backend.counters().devices.packets_out;
        for _ in 0..3 {
            assert!(played.taken().is_some());
        }
        let close = NetworkCommand::Close(ID.into());
        played.backend.port().submit(close);
        let counters = played.backend.counters().devices;
        assert_eq!(counters.packets_out, at_once + 3, "{kind}");
        assert_eq!(counters.send_failed, 1_000 - at_once - 3, "{kind}");
        assert_eq!(played.wait(), []);
    }
}

/// A packet of a flow, with its checksums.
fn summed(port: u16, payload: &[u8]) -> Buffer {
    let mut packet = Vec::new();
    etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64)
        .udp(port, 9)
        .write(&mut packet, payload)
        .unwrap();
    Buffer::copy_from(&packet)
}

#[test]
fn packets_of_one_flow_are_written_as_one_in_order_and_counted_as_they_were() {
    let mut played = Played::new(BackendKind::Poll, &DeviceOpen::tun(Token(0)));
    for payload in [&[1; 100], &[2; 100], &[3; 100]] {
        played.submit(summed(7, payload));
    }
    assert_eq!(played.taken(), None, "the flow may go on");
    played.submit(summed(8, &[4; 100]));
    assert_eq!(played.taken().unwrap().len(), 48 + 300);
    assert_eq!(played.taken(), None);
    played.submit(numbered(5));
    assert_eq!(played.taken().unwrap(), *summed(8, &[4; 100]));
    assert_eq!(played.taken().unwrap(), *numbered(5));
    played.submit(summed(7, &[6; 100]));
    assert_eq!(played.taken(), None);
    played.backend.flush().unwrap();
    assert_eq!(played.taken().unwrap(), *summed(7, &[6; 100]));
    let counters = played.backend.counters().devices;
    assert_eq!((counters.packets_out, counters.send_failed), (6, 0));
    assert_eq!(counters.bytes_out, 5 * 148 + 30);
}

#[test]
fn what_is_held_when_a_device_is_closed_is_written() {
    let mut played = Played::new(BackendKind::Poll, &DeviceOpen::tun(Token(0)));
    played.submit(summed(7, &[1; 100]));
    let close = NetworkCommand::Close(ID.into());
    played.backend.port().submit(close);
    assert_eq!(played.taken().unwrap(), *summed(7, &[1; 100]));
    assert_eq!(played.backend.counters().devices.packets_out, 1);
}

#[test]
fn joined_packets_that_are_not_taken_in_are_counted_as_they_were() {
    let mut played = Played::new(BackendKind::Poll, &DeviceOpen::tun(Token(0)));
    while played.backend.counters().devices.packets_out < 1_000 {
        let before = played.backend.counters().devices.packets_out;
        played.submit(numbered(0));
        if played.backend.counters().devices.packets_out == before {
            break; // The kernel is full.
        }
    }
    let full = played.backend.counters().devices.packets_out;
    for port in [7, 8] {
        for payload in [&[1; 100], &[2; 100], &[3; 100]] {
            played.submit(summed(port, payload));
        }
    }
    // Of one flow three wait together; of the other they are held.
    let close = NetworkCommand::Close(ID.into());
    played.backend.port().submit(close);
    let counters = played.backend.counters().devices;
    assert_eq!(counters.packets_out, full);
    assert_eq!(counters.send_failed, 1 + 3 + 3);
}

#[test]
fn without_offload_nothing_is_joined() {
    let open = DeviceOpen::tun(Token(0));
    let mut played = Played::with(BackendKind::Poll, &open, Offload::Off);
    for payload in [&[1; 100], &[2; 100]] {
        played.submit(summed(7, payload));
        assert_eq!(played.taken().unwrap(), *summed(7, payload));
    }
}

#[test]
fn what_is_written_in_place_waits_as_a_copy() {
    let mut played = Played::new(BackendKind::Poll, &DeviceOpen::tun(Token(0)));
    let mut given = 0;
    while played.backend.counters().devices.packets_out == given {
        given += 1;
        let payload = played.backend.port().lend().write(&numbered(given as u16));
        let packet = PacketTransmit::new(ID, payload.unwrap());
        played.backend.port().submit(NetworkCommand::Packet(packet));
    }
    // Something else is written there before the kernel takes it.
    drop(played.backend.port().lend().write(&[0; 100]));
    let mut last = None;
    for _ in 0..2 {
        while let Some(packet) = played.taken() {
            last = Some(packet);
        }
        played.wait();
    }
    assert_eq!(last.unwrap(), *numbered(given as u16));
}

#[test]
fn packets_that_are_not_what_the_kernel_says_are_counted_and_not_handed_over() {
    let offload = |segment_size, start| PacketOffload {
        segmentation: Some(Segmentation::new(SegmentProtocol::Udp, 28, segment_size)),
        checksum: Some(PartialChecksum::new(start, 6)),
    };
    let outside = PacketOffload {
        segmentation: None,
        checksum: Some(PartialChecksum::new(90, 100)),
    };
    for open in [
        DeviceOpen::tun(Token(0)),
        DeviceOpen::tun(Token(0)).with_large_packets(),
    ] {
        let mut played = Played::new(BackendKind::Poll, &open);
        played.give([1, 99, 0, 0, 0, 0, 0, 0, 0, 0], &udp(100));
        played.give(header::encode(&offload(0, 20)), &udp(100));
        played.give(header::encode(&offload(50, 24)), &udp(100));
        played.give(header::encode(&offload(50, 20)), &[0x45; 10]);
        played.give(header::encode(&outside), &udp(100));
        played.give([0; 10], &[0x45; 65_560]);
        played.give([0; 10], &udp(100));
        let expected = NetworkEvent::Packet {
            device: ID,
            packet: Packet::new(Buffer::copy_from(&udp(100))),
        };
        assert_eq!(played.wait(), [expected]);
        let counters = played.backend.counters().devices;
        assert_eq!((counters.packets_in, counters.undelivered), (1, 6));
        assert_eq!(counters.bytes_in, 128);
    }
}

#[test]
fn a_hint_of_the_kernel_is_not_believed() {
    let open = DeviceOpen::tun(Token(0)).with_large_packets();
    let mut played = Played::new(BackendKind::Poll, &open);
    let offload = |header_len| PacketOffload {
        segmentation: Some(Segmentation::new(SegmentProtocol::Udp, header_len, 50)),
        checksum: Some(PartialChecksum::new(20, 6)),
    };
    played.give(header::encode(&offload(128)), &udp(100));
    let packet = Packet {
        payload: Buffer::copy_from(&udp(100)),
        offload: offload(28),
    };
    let device = ID;
    assert_eq!(played.wait(), [NetworkEvent::Packet { device, packet }]);
}
