//! The port and its parts over real sockets, where a test must reach inside: ways of working that
//! this system would not choose, and refusals that it gives only when asked to.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use super::*;
use crate::backend::poll::PollSet;
use crate::backend::sockets::SocketBackend;
use crate::backend::sys::WakeKind;
use crate::backend::{Backend, BackendKind, Port};
use crate::buffer::{Buffer, BufferPool};
use crate::net::{NetworkCommand, Token};
use crate::runtime::SystemClock;
use crate::slots::Key;
use crate::time::{Clock, Timestamp};

const LOOPBACK: &str = "127.0.0.1:0";

#[test]
fn one_message_at_a_time_and_a_pipe_do_the_same_work() {
    let mut host = Host::with(Batching::Single, WakeKind::Pipe, |_| {});
    assert!(!host.backend.capabilities().batches);
    let local = host.open(id(0, 0), LOOPBACK);
    let client = client_of(local);
    for round in 0..40u8 {
        client.send(&[round]).unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 40 {
        for event in host.turn() {
            let NetworkEvent::Datagrams { socket, run } = event else {
                panic!("{event:?}")
            };
            heard.push(run.payload[0]);
            host.submit(NetworkCommand::Transmit(Transmit::reply(socket, run)));
        }
    }
    assert_eq!(heard, (0..40).collect::<Vec<u8>>());
    host.backend.flush().unwrap();
    for round in 0..40u8 {
        assert_eq!(received(&client), [round]);
    }

    let waker = host.backend.waker();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100_000).for_each(|_| waker.wake()));
        assert!(host.wait(None).is_empty());
    });
    waker.wake();
    host.wait(None);
    let until = host.clock.now().after(Duration::from_millis(5));
    host.wait(Some(until));
    assert!(host.clock.now() >= until);
}

#[test]
fn a_run_goes_out_in_single_messages_where_that_is_all_there_is() {
    let mut host = Host::with(Batching::Single, WakeKind::BEST, |_| {});
    let local = host.open(id(0, 0), LOOPBACK);
    let client = client_of(local);
    let payload: Vec<u8> = (0..=200).collect();
    host.send_run(id(0, 0), &client, &payload, 20);
    for datagram in payload.chunks(20) {
        assert_eq!(received(&client), datagram);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_the_kernel_refuses_goes_out_singly_and_is_tried_again_later() {
    let mut host = Host::new();
    if !host.backend.capabilities().runs_out {
        eprintln!("skipped a_run_that_the_kernel_refuses: this kernel has no UDP_SEGMENT");
        return;
    }
    let local = host.open(id(0, 0), LOOPBACK);
    let client = client_of(local);
    sys::refuse_runs(host.backend.port().fd(id(0, 0)).unwrap());
    for _ in 0..5 {
        host.send_run(id(0, 0), &client, b"aabbccd", 2);
        for datagram in [&b"aa"[..], b"bb", b"cc", b"d"] {
            assert_eq!(received(&client), datagram);
        }
    }
    let peer = client.local_addr().unwrap().ip();
    let socket = host
        .backend
        .port()
        .udp
        .sockets
        .get_mut(id(0, 0).key())
        .unwrap();
    let singly = (0..)
        .take_while(|_| socket.refusals.count_send(peer))
        .count();
    assert_eq!(singly, 1_000 - 4, "the first of five was tried whole");
    assert_eq!(host.backend.counters().datagrams_out, 20);
    assert!(host.wait_a_little().is_empty(), "nothing failed");
}

#[test]
fn a_closed_id_gets_no_event_whatever_was_on_its_way() {
    let mut host = Host::new();
    let taken = UdpSocket::bind(LOOPBACK).unwrap();
    let bind = taken.local_addr().unwrap();
    // Cannot be opened; open and closed before anybody was told; failed to send.
    host.submit(open(id(0, 0), bind));
    host.submit(NetworkCommand::Close(id(0, 0).into()));
    host.submit(open(id(1, 0), LOOPBACK.parse().unwrap()));
    host.submit(NetworkCommand::Close(id(1, 0).into()));
    host.open(id(2, 0), LOOPBACK);
    let v6 = "[::1]:9".parse().unwrap();
    host.submit(NetworkCommand::Transmit(Transmit::new(
        id(2, 0),
        v6,
        Buffer::empty(),
    )));
    host.submit(NetworkCommand::Close(id(2, 0).into()));
    // The same slots again.
    host.open(id(0, 1), LOOPBACK);
    host.open(id(1, 1), LOOPBACK);
    assert!(host.wait_a_little().is_empty());
    assert_eq!(host.backend.counters().send_failed, 1);
}

#[test]
fn datagrams_find_their_socket_while_others_come_and_go() {
    let mut host = Host::new();
    let mut live: Vec<(SocketId, UdpSocket)> = Vec::new();
    let mut generations = [0; 24];
    for round in 0..200usize {
        let slot = round * 7 % generations.len();
        let socket = id(slot as u32, generations[slot]);
        if let Some(at) = live.iter().position(|(open, _)| *open == socket) {
            host.submit(NetworkCommand::Close(socket.into()));
            live.swap_remove(at);
            generations[slot] += 1;
        } else {
            let local = host.open(socket, LOOPBACK);
            live.push((socket, client_of(local)));
        }
        let Some((socket, client)) = live.get(round % live.len().max(1)) else {
            continue;
        };
        client.send(&[slot as u8]).unwrap();
        let events = host.turn();
        let [NetworkEvent::Datagrams { socket: heard, run }] = &events[..] else {
            panic!("one datagram expected, not {events:?}")
        };
        assert_eq!((heard, &run.payload[..]), (socket, &[slot as u8][..]));
        assert_eq!(run.peer, client.local_addr().unwrap());
    }
}

#[test]
fn each_wake_up_begins_with_another_socket() {
    let mut host = Host::new();
    let clients = [0, 1, 2].map(|slot| client_of(host.open(id(slot, 0), LOOPBACK)));
    let mut first = Vec::new();
    for _ in 0..3 {
        for client in &clients {
            client.send(b"all at once").unwrap();
        }
        let events = host.turn();
        assert_eq!(events.len(), 3);
        first.push(events[0].resource());
    }
    first.sort();
    assert_eq!(first, [0, 1, 2].map(|slot| id(slot, 0).into()));
}

#[test]
fn more_than_the_kernel_takes_at_a_time_is_sent_in_order() {
    let mut host = Host::new();
    let local = host.open(id(0, 0), LOOPBACK);
    let (one, two) = (client_of(local), client_of(local));
    for round in 0..150u16 {
        for client in [&one, &two] {
            let to = client.local_addr().unwrap();
            let port = host.backend.port();
            let payload = port.lend().write(&round.to_be_bytes()).unwrap();
            port.submit(NetworkCommand::Transmit(Transmit::new(
                id(0, 0),
                to,
                payload,
            )));
        }
    }
    host.backend.flush().unwrap();
    for round in 0..150u16 {
        assert_eq!(received(&one), round.to_be_bytes());
        assert_eq!(received(&two), round.to_be_bytes());
    }
}

#[test]
fn lent_memory_is_whole_each_time_however_much_was_written() {
    let mut host = Host::new();
    let local = host.open(id(0, 0), LOOPBACK);
    // Several, since what waits at one must fit its queue.
    let clients = [(); 4].map(|()| client_of(local));
    for (round, client) in (0..20u8).zip(clients.iter().cycle()) {
        let to = client.local_addr().unwrap();
        let port = host.backend.port();
        assert_eq!(port.lend().capacity(), crate::datagram::DATAGRAM_BYTES_MAX);
        let payload = port.lend().write(&vec![round; 20_000]).unwrap();
        port.submit(NetworkCommand::Transmit(Transmit::new(
            id(0, 0),
            to,
            payload,
        )));
    }
    host.backend.flush().unwrap();
    for (round, client) in (0..20u8).zip(clients.iter().cycle()) {
        assert_eq!(received(client), vec![round; 20_000]);
    }
}

/// A backend that is told what to do without a worker.
pub(super) struct Host {
    pub(super) backend: SocketBackend,
    clock: SystemClock,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(Batching::BEST, WakeKind::BEST, |_| {})
    }

    pub(super) fn of(kind: BackendKind, change: impl FnOnce(&mut BackendConfig)) -> Self {
        let mut config = BackendConfig::new(BufferPool::new());
        change(&mut config);
        Self {
            backend: SocketBackend::new(kind, &config).unwrap(),
            clock: SystemClock::new(),
        }
    }

    fn with(batching: Batching, wake: WakeKind, change: impl FnOnce(&mut BackendConfig)) -> Self {
        let mut config = BackendConfig::new(BufferPool::new());
        change(&mut config);
        Self {
            backend: SocketBackend::over(
                BackendKind::Poll,
                PollSet::new(wake).unwrap(),
                &config,
                batching,
            ),
            clock: SystemClock::new(),
        }
    }

    pub(super) fn submit(&mut self, command: NetworkCommand) {
        self.backend.port().submit(command);
    }

    pub(super) fn open(&mut self, socket: SocketId, bind: &str) -> SocketAddr {
        self.submit(open(socket, bind.parse().unwrap()));
        self.opened()
    }

    /// Waits for the answer to an opening.
    pub(super) fn opened(&mut self) -> SocketAddr {
        let events = self.turn();
        let [NetworkEvent::UdpOpened { local, .. }] = events[..] else {
            panic!("an open socket expected, not {events:?}")
        };
        local
    }

    fn send_run(&mut self, from: SocketId, to: &UdpSocket, payload: &[u8], segment_size: usize) {
        let to = to.local_addr().unwrap();
        let transmit = Transmit::new(from, to, Buffer::copy_from(payload));
        let transmit = transmit.with_segment_size(segment_size);
        self.submit(NetworkCommand::Transmit(transmit));
        self.backend.flush().unwrap();
    }

    fn wait(&mut self, until: Option<Timestamp>) -> Vec<NetworkEvent> {
        let mut events = Vec::new();
        let mut on_event = |_, event, _: &mut SocketPort| events.push(event);
        self.backend
            .wait(until, &self.clock, &mut on_event)
            .unwrap();
        events
    }

    /// Tells what has happened already.
    pub(super) fn turn_if_any(&mut self) -> Vec<NetworkEvent> {
        self.wait(Some(Timestamp::EPOCH))
    }

    /// Waits until something happens, and tells what.
    pub(super) fn turn(&mut self) -> Vec<NetworkEvent> {
        let until = self.clock.now().after(Duration::from_secs(20));
        let events = self.wait(Some(until));
        assert!(!events.is_empty(), "nothing within 20 s");
        events
    }

    /// Long enough to see that nothing happens, or that something spins: what the first wait had
    /// to do, the second must not find again.
    pub(super) fn wait_a_little(&mut self) -> Vec<NetworkEvent> {
        let mut events = self.turn_if_any();
        let until = self.clock.now().after(Duration::from_millis(5));
        events.extend(self.wait(Some(until)));
        assert!(self.clock.now() >= until, "the wait ended before {until:?}");
        events
    }
}

pub(super) fn id(slot: u32, generation: u32) -> SocketId {
    SocketId {
        worker: 0,
        key: Key { slot, generation },
    }
}

fn open(socket: SocketId, bind: SocketAddr) -> NetworkCommand {
    let open = Box::new(UdpOpen::new(Token(0), bind));
    NetworkCommand::OpenUdp { socket, open }
}

/// A plain blocking socket of the standard library that talks to `peer` alone.
pub(super) fn client_of(peer: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind(LOOPBACK).unwrap();
    client.connect(peer).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client
}

pub(super) fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let len = socket.recv(&mut bytes).expect("a datagram in time");
    bytes.truncate(len);
    bytes
}
