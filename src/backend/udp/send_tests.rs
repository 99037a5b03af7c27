//! A full send queue. Loopback never has one, so it is played here: what a send would find no room
//! for is put into the backlog by hand.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]

use std::net::UdpSocket;

use super::super::tests::{Host, client_of, id, received};
use super::*;
use crate::backend::{Backend, BackendKind, Offload, Port};
use crate::buffer::Buffer;
use crate::datagram::Transmit;
use crate::net::{NetworkCommand, NetworkEvent, Token};
use crate::udp::{UdpOpen, WhenFull};

#[test]
fn what_found_no_room_is_sent_when_there_is_room_and_before_what_came_later() {
    for (mut host, client) in pairs() {
        submit(&mut host, &client, b"aabb", 2);
        submit(&mut host, &client, b"cc", 0);
        let port = host.backend.port();
        // The first datagram of the first run was sent when the queue filled up.
        let from = Cursor {
            entry: 0,
            datagram: 1,
        };
        port.postpone(from, 1, Row::Fresh);
        port.udp.queue.clear();
        for datagram in [b"dd", b"ee"] {
            submit(&mut host, &client, datagram, 0);
            host.backend.flush().unwrap();
        }
        assert_eq!(host.backend.counters().datagrams_out, 0);
        assert!(host.wait_a_little().is_empty());
        for datagram in [b"bb", b"cc", b"dd", b"ee"] {
            assert_eq!(received(&client), datagram);
        }
        assert_eq!(host.backend.counters().datagrams_out, 4);
        // It is over: datagrams go out at once again.
        submit(&mut host, &client, b"ff", 0);
        host.backend.flush().unwrap();
        assert_eq!(received(&client), b"ff");
    }
}

#[test]
fn a_full_backlog_drops_the_newest_and_says_so_once() {
    for (mut host, client) in pairs() {
        submit(&mut host, &client, &[0], 0);
        fill_up(&mut host);
        for _ in 0..1_100 {
            submit(&mut host, &client, b"aabb", 2);
            submit(&mut host, &client, b"", 0); // Keeps the runs apart.
        }
        host.backend.flush().unwrap();
        assert_eq!(host.backend.counters().datagrams_out, 0);
        let events = host.turn();
        let told = events.iter().map(|event| match event {
            NetworkEvent::SendFailed {
                error: NetworkError::QueueFull,
                datagrams,
                ..
            } => *datagrams,
            other => panic!("{other:?}"),
        });
        // 3,300 datagrams came after the first; 1,023 runs of two and one in turn had a place.
        assert_eq!(told.collect::<Vec<u32>>(), [3_300 - 511 * 3 - 2]);
        let mut waits = 0;
        while host.backend.counters().datagrams_out < 1 + 511 * 3 + 2 {
            assert!(host.turn_if_any().is_empty());
            waits += 1;
            assert!(waits < 100, "the backlog is not sent");
        }
        assert_eq!(received(&client), [0]);
        assert_eq!(host.backend.counters().send_failed, 3_300 - 511 * 3 - 2);
    }
}

#[test]
fn a_backlog_is_sent_before_its_socket_is_closed() {
    for (mut host, client) in pairs() {
        submit(&mut host, &client, b"first", 0);
        fill_up(&mut host);
        for _ in 0..200 {
            submit(&mut host, &client, b"more", 0);
            host.backend.flush().unwrap();
        }
        host.submit(NetworkCommand::Close(id(0, 0).into()));
        assert_eq!(received(&client), b"first");
        (0..200).for_each(|_| assert_eq!(received(&client), b"more"));
        assert!(host.wait_a_little().is_empty());
    }
}

#[test]
fn a_full_backlog_drops_the_newest_or_the_oldest_in_silence_where_it_is_asked_to() {
    const COUNT: u16 = 1_500;
    const ROOM: u16 = 1_024;
    for (when_full, kept) in [
        (WhenFull::DropNewest, 0..ROOM),
        (WhenFull::DropOldest, COUNT - ROOM..COUNT),
    ] {
        for &kind in BackendKind::ALL {
            let mut host = Host::of(kind, |config| config.offload = Offload::Off);
            let open = UdpOpen::new(Token(0), "127.0.0.1:0".parse().unwrap());
            host.submit(NetworkCommand::OpenUdp {
                socket: id(0, 0),
                open: Box::new(open.when_full(when_full)),
            });
            let client = client_of(host.opened());
            client.set_nonblocking(true).unwrap();
            submit(&mut host, &client, &0u16.to_le_bytes(), 0);
            fill_up(&mut host);
            for number in 1..COUNT {
                submit(&mut host, &client, &number.to_le_bytes(), 0);
            }
            host.backend.flush().unwrap();
            let dropped = u64::from(COUNT - ROOM);
            assert_eq!(host.backend.counters().queue_dropped, dropped);
            let (mut arrived, mut bytes) = (Vec::new(), [0; 2]);
            for _ in 0..100 {
                assert!(host.turn_if_any().is_empty(), "nobody is to be told");
                while client.recv(&mut bytes).is_ok() {
                    arrived.push(u16::from_le_bytes(bytes));
                }
            }
            assert_eq!(arrived, kept.clone().collect::<Vec<u16>>());
            assert_eq!(host.backend.counters().send_failed, 0);
            assert_eq!(host.backend.counters().queue_dropped, dropped);
        }
    }
}

/// Has the kernel refuse what is queued, as if its queue were full.
fn fill_up(host: &mut Host) {
    let port = host.backend.port();
    let end = port.udp.queue.entries().len();
    let from = Cursor {
        entry: 0,
        datagram: 0,
    };
    port.postpone(from, end, Row::Fresh);
    port.udp.queue.clear();
}

fn submit(host: &mut Host, to: &UdpSocket, payload: &[u8], segment_size: usize) {
    let to = to.local_addr().unwrap();
    let transmit = Transmit::new(id(0, 0), to, Buffer::copy_from(payload));
    let transmit = transmit.with_segment_size(segment_size);
    host.backend
        .port()
        .submit(NetworkCommand::Transmit(transmit));
}

/// An open socket of each backend, and whom it talks to.
fn pairs() -> impl Iterator<Item = (Host, UdpSocket)> {
    BackendKind::ALL.iter().map(|&kind| {
        let mut host = Host::of(kind, |_| {});
        let local = host.open(id(0, 0), "127.0.0.1:0");
        (host, client_of(local))
    })
}
