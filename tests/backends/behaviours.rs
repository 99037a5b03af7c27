//! What every socket backend does, as stories: a worker with one task on each side, over real
//! sockets, driven by hand on the test's own thread.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use stillpoint::backend::{Backend, BackendKind, Offload};
use stillpoint::{
    Buffer, BufferPool, Clock, DATAGRAM_BYTES_MAX, Ecn, NetworkError, NetworkEvent, SocketId,
    Token, Transmit, UdpOpen,
};

pub(crate) use super::streams::*;

use super::host::{Act, Host, Mode, PATIENCE, client_of, has_runs, pattern, received};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

pub(crate) fn sockets_open_under_both_families_and_say_where(kind: BackendKind) {
    for bind in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let bind: SocketAddr = bind.parse().unwrap();
        let mut host = Host::new(kind);
        let (_, local) = host.open(bind);
        assert_eq!(local.ip(), bind.ip());
        assert_ne!(local.port(), 0);
    }
}

pub(crate) fn a_port_in_use_and_an_address_of_others_are_refused_with_the_reason(
    kind: BackendKind,
) {
    let taken = UdpSocket::bind(LOOPBACK).unwrap();
    let mut host = Host::new(kind);
    let cases = [
        (taken.local_addr().unwrap(), NetworkError::AddressInUse),
        (
            "192.0.2.1:0".parse().unwrap(),
            NetworkError::AddressNotAvailable,
        ),
    ];
    for (address, reason) in cases {
        host.act(Act::Open(UdpOpen::new(Token(7), address)));
        let failed = host.next(|event| match event {
            NetworkEvent::UdpOpenFailed {
                token, bind, error, ..
            } => Some((*token, *bind, *error)),
            _ => None,
        });
        assert_eq!(failed, (Token(7), address, reason));
    }
    assert_eq!(host.worker.resources(), 0);
}

pub(crate) fn a_port_may_be_shared_by_those_who_ask(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.act(Act::Open(
        UdpOpen::new(Token(0), LOOPBACK.parse().unwrap()).shared(),
    ));
    let (_, local) = host.opened();
    host.act(Act::Open(UdpOpen::new(Token(1), local).shared()));
    assert_eq!(host.opened().1, local);
}

pub(crate) fn datagrams_of_every_length_pass_whole_both_ways(kind: BackendKind) {
    for bind in [LOOPBACK, "[::1]:0"] {
        let mut host = Host::new(kind);
        host.act(Act::Become(Mode::Echo));
        let (_, local) = host.open(bind.parse().unwrap());
        let client = client_of(local);
        for len in [
            0,
            1,
            511,
            1_472,
            9_000,
            16_319,
            16_320,
            16_321,
            65_506,
            DATAGRAM_BYTES_MAX,
        ] {
            let sent = pattern(len);
            client.send(&sent).unwrap();
            host.turn();
            assert_eq!(received(&client), sent, "{len} bytes over {bind}");
        }
        let counters = host.backend.counters();
        assert_eq!((counters.datagrams_in, counters.datagrams_out), (10, 10));
        assert_eq!(counters.bytes_in, counters.bytes_out);
    }
}

pub(crate) fn a_short_datagram_does_not_keep_the_memory_of_a_long_one(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    for (len, memory_max) in [(10, 512), (1_200, 2_048), (9_000, 16_384)] {
        client.send(&pattern(len)).unwrap();
        assert!(
            host.next_run().payload.memory() <= memory_max,
            "{len} bytes"
        );
    }
}

pub(crate) fn a_run_is_sent_and_received_as_one(kind: BackendKind) {
    let (mut sender, mut receiver) = (Host::new(kind), Host::new(kind));
    if !has_runs(&sender, "a_run_is_sent_and_received_as_one") {
        return;
    }
    let (from, _) = sender.open(LOOPBACK.parse().unwrap());
    let (_, to) = receiver.open(LOOPBACK.parse().unwrap());
    for (len, segment_size) in [(100 * 32, 100), (1_200 * 32 - 1, 1_200), (1_201, 1_200)] {
        let sent = pattern(len);
        sender.send(
            Transmit::new(from, to, Buffer::copy_from(&sent)).with_segment_size(segment_size),
        );
        let run = receiver.next_run();
        assert_eq!((run.segment_size, run.payload.len()), (segment_size, len));
        assert_eq!(run.payload, sent);
    }
    let sent = sender.backend.counters();
    assert_eq!(sent.datagrams_out, 66);
    assert_eq!(receiver.backend.counters().datagrams_in, 66);
}

pub(crate) fn a_run_arrives_at_a_plain_socket_as_its_datagrams_in_order(kind: BackendKind) {
    for offload in [Offload::WhereAvailable, Offload::Off] {
        let mut host = Host::with(kind, |config| config.offload = offload);
        let (socket, local) = host.open(LOOPBACK.parse().unwrap());
        let peer = client_of(local);
        let to = peer.local_addr().unwrap();
        let payload = pattern(150 * 100 + 7);
        host.send(Transmit::new(socket, to, Buffer::copy_from(&payload)).with_segment_size(100));
        for (index, datagram) in stillpoint::segments(&payload, 100).enumerate() {
            assert_eq!(received(&peer), datagram, "datagram {index}, {offload:?}");
        }
        assert_eq!(host.backend.counters().datagrams_out, 151);
    }
}

pub(crate) fn outputs_to_one_peer_travel_as_a_run_and_arrive_as_they_were(kind: BackendKind) {
    let (mut sender, mut receiver) = (Host::new(kind), Host::new(kind));
    let (from, local) = sender.open(LOOPBACK.parse().unwrap());
    let (_, to) = receiver.open(LOOPBACK.parse().unwrap());
    // Half of them written in place, half in buffers of their own.
    let sent: Vec<Vec<u8>> = (1..=11)
        .map(|index| vec![index; if index == 11 { 30 } else { 200 }])
        .collect();
    sender.act(Act::Send(from, to, sent.clone()));
    let plain = client_of(local);
    sender.act(Act::Send(from, plain.local_addr().unwrap(), sent.clone()));

    for datagram in &sent {
        assert_eq!(received(&plain), *datagram);
    }
    let mut arrived: Vec<Vec<u8>> = Vec::new();
    let mut runs = 0;
    while arrived.len() < sent.len() {
        let run = receiver.next_run();
        arrived.extend(run.iter().map(<[u8]>::to_vec));
        runs += 1;
    }
    assert_eq!(arrived, sent);
    if has_runs(
        &sender,
        "the second half of outputs_to_one_peer_travel_as_a_run",
    ) {
        assert_eq!(runs, 1);
    }
}

pub(crate) fn a_wake_ends_the_wait_that_follows_it_and_only_that_one(kind: BackendKind) {
    let mut host = Host::new(kind);
    let waker = host.backend.waker();
    for _ in 0..3 {
        waker.wake();
    }
    // Without a deadline: were the wakes lost, this would never return.
    assert!(host.wait(None).events.is_empty());

    let until = host.clock.now().after(Duration::from_millis(20));
    assert!(
        host.wait(Some(until)).now >= until,
        "three wakes were more than one"
    );
    waker.wake();
    host.wait(None);
    drop(host);
    waker.wake(); // Its backend is gone, and that is nobody's fault.
}

pub(crate) fn a_wake_from_another_thread_ends_a_wait_that_has_begun(kind: BackendKind) {
    let mut host = Host::new(kind);
    let waker = host.backend.waker();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10_000).for_each(|_| waker.wake()));
        host.wait(None);
    });
    waker.wake();
    host.wait(None);
}

pub(crate) fn a_wait_is_never_shorter_than_its_deadline(kind: BackendKind) {
    let mut host = Host::new(kind);
    for wait in [0, 1, 999, 1_000, 150_000, 1_000_000, 7_300_001] {
        let until = host.clock.now().after(Duration::from_nanos(wait));
        let waited = host.wait(Some(until));
        assert!(waited.now >= until, "{:?} before {until:?}", waited.now);
        assert!(waited.events.is_empty());
    }
}

pub(crate) fn an_event_is_not_older_than_what_caused_it(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    for _ in 0..100 {
        let sent_at = host.clock.now();
        client.send(b"now").unwrap();
        let waited = host.wait(None);
        assert!(waited.now >= sent_at);
        assert!(matches!(
            waited.events[..],
            [NetworkEvent::Datagrams { .. }]
        ));
    }
}

pub(crate) fn a_refused_datagram_names_its_peer_and_disturbs_no_other(kind: BackendKind) {
    for bind in [LOOPBACK, "[::1]:0", "[::]:0"] {
        let mut host = Host::new(kind);
        let (socket, local) = host.open(bind.parse().unwrap());
        let family = if bind == LOOPBACK {
            LOOPBACK
        } else {
            "[::1]:0"
        };
        let deaf = UdpSocket::bind(family).unwrap().local_addr().unwrap();
        let listener = UdpSocket::bind(family).unwrap();
        listener.set_read_timeout(Some(PATIENCE)).unwrap();
        let peer = listener.local_addr().unwrap();
        for round in 0..20u8 {
            host.act(Act::Send(socket, deaf, vec![vec![0]]));
            host.act(Act::Send(socket, peer, vec![vec![round]]));
            assert_eq!(received(&listener), [round]);
            let local = SocketAddr::new(peer.ip(), local.port());
            listener.send_to(&[round], local).unwrap();
            assert_eq!(host.next_run().payload, [round]);
        }
        for _ in 0..20 {
            let told = host.next(|event| match event {
                NetworkEvent::SocketError {
                    socket,
                    peer,
                    error,
                } => Some((*socket, *peer, *error)),
                _ => None,
            });
            assert_eq!(told, (socket, Some(deaf), NetworkError::ConnectionRefused));
        }
        let counters = host.backend.counters();
        assert_eq!((counters.datagrams_out, counters.send_failed), (40, 0));
        assert_eq!(counters.socket_errors, 20);
        // All is read, so nothing ends the next wait.
        assert!(host.wait_a_little().events.is_empty());
    }
}

pub(crate) fn a_socket_closed_in_the_middle_of_a_batch_gives_no_more(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    host.act(Act::Become(Mode::CloseAfter(3)));
    for byte in 0..8 {
        client.send(&[byte]).unwrap();
    }
    let seen = host.turn();
    assert_eq!(seen.len(), 3);
    let counters = host.backend.counters();
    assert_eq!(counters.datagrams_in, 3);
    // The rest of what the kernel had handed over. What was still in the kernel went with the
    // socket.
    assert!((1..=5).contains(&counters.undelivered));
    UdpSocket::bind(local).expect("the port is free at once");
    assert!(host.wait_a_little().events.is_empty());
}

pub(crate) fn what_was_submitted_before_a_close_is_sent(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (socket, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    host.act(Act::SendAndClose(
        socket,
        client.local_addr().unwrap(),
        b"bye".to_vec(),
    ));
    assert_eq!(received(&client), b"bye");
}

pub(crate) fn a_flooded_socket_does_not_keep_another_waiting(kind: BackendKind) {
    let mut host = Host::with(kind, |config| config.receive_batch_max = 16);
    let (flooded, flood_address) = host.open(LOOPBACK.parse().unwrap());
    let (quiet, quiet_address) = host.open(LOOPBACK.parse().unwrap());
    let (flood, client) = (client_of(flood_address), client_of(quiet_address));
    for _ in 0..400 {
        flood.send(b"flood").unwrap();
    }
    for round in 0..20 {
        client.send(b"quiet").unwrap();
        let seen = host.turn();
        let of = |socket: SocketId| {
            let about = seen
                .iter()
                .filter(|event| event.resource() == socket.into());
            about.count()
        };
        assert_eq!((of(flooded), of(quiet)), (16, 1), "round {round}");
    }
}

pub(crate) fn a_peer_of_the_other_family_is_refused_without_asking_the_system(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (v4, _) = host.open(LOOPBACK.parse().unwrap());
    let (v6, _) = host.open("[::1]:0".parse().unwrap());
    for (socket, peer) in [(v4, "[::1]:9"), (v6, "127.0.0.1:9")] {
        let to = peer.parse().unwrap();
        host.act(Act::Send(socket, to, vec![vec![1], vec![2]]));
        let event = host.next(|event| Some(event.clone()));
        let (error, datagrams) = (NetworkError::AddressFamily, 2);
        assert_eq!(
            event,
            NetworkEvent::SendFailed {
                socket,
                peer: to,
                error,
                datagrams
            }
        );
    }
    assert_eq!(host.backend.counters().send_failed, 4);
}

pub(crate) fn a_dual_stack_socket_speaks_with_both_families_under_their_own_addresses(
    kind: BackendKind,
) {
    let mut host = Host::new(kind);
    host.act(Act::Become(Mode::Echo));
    let (_, local) = host.open("[::]:0".parse().unwrap());
    for ip in ["127.0.0.1", "::1"] {
        let client = client_of(SocketAddr::new(ip.parse().unwrap(), local.port()));
        client.send(b"hello").unwrap();
        let [NetworkEvent::Datagrams { run, .. }] = &host.turn()[..] else {
            panic!("one datagram expected")
        };
        assert_eq!(run.peer, client.local_addr().unwrap());
        assert_eq!(run.local, Some(ip.parse().unwrap()));
        assert_eq!(received(&client), b"hello");
    }
}

pub(crate) fn an_answer_comes_from_the_address_that_was_asked(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.act(Act::Become(Mode::Echo));
    let (_, local) = host.open("0.0.0.0:0".parse().unwrap());
    // A connected socket hears only the address it is connected to.
    let client = client_of(SocketAddr::new([127, 0, 0, 5].into(), local.port()));
    client.send(b"who").unwrap();
    host.turn();
    assert_eq!(received(&client), b"who");
}

pub(crate) fn a_connected_socket_hears_and_reaches_its_peer_alone(kind: BackendKind) {
    for (bind, loopback) in [("0.0.0.0:0", LOOPBACK), ("[::]:0", "[::1]:0")] {
        let mut host = Host::new(kind);
        let bind: SocketAddr = bind.parse().unwrap();
        let (peer, stranger) = (bound(loopback), bound(loopback));
        let [only, other] = [&peer, &stranger].map(|socket| socket.local_addr().unwrap());
        host.act(Act::Open(UdpOpen::new(Token(0), bind).connected(only)));
        let (socket, local) = host.opened();
        assert_eq!(local.ip(), only.ip());
        stranger.send_to(b"psst", local).unwrap();
        peer.send_to(b"hello", local).unwrap();
        let heard = host.next_run();
        assert_eq!((heard.peer, &heard.payload[..]), (only, &b"hello"[..]));
        // A run, and one to somebody else.
        let run = Transmit::new(socket, only, Buffer::copy_from(b"aabb")).with_segment_size(2);
        host.send(run);
        assert_eq!(
            (received(&peer), received(&peer)),
            (b"aa".to_vec(), b"bb".to_vec())
        );
        host.send(Transmit::new(socket, other, Buffer::copy_from(b"x")));
        let refused = |event: &NetworkEvent| match event {
            NetworkEvent::SendFailed { peer, error, .. } => Some((*peer, *error)),
            _ => None,
        };
        assert_eq!(host.next(refused), (other, NetworkError::OtherPeer));
        drop(peer);
        host.send(Transmit::new(socket, only, Buffer::copy_from(b"anybody?")));
        let refused = |event: &NetworkEvent| match event {
            NetworkEvent::SocketError { peer, error, .. } => Some((*peer, *error)),
            _ => None,
        };
        let error = NetworkError::ConnectionRefused;
        assert_eq!(host.next(refused), (Some(only), error));
        assert_eq!(host.backend.counters().send_failed, 1);
    }
}

pub(crate) fn a_peer_of_the_other_family_cannot_be_connected_to(kind: BackendKind) {
    let mut host = Host::new(kind);
    let open = UdpOpen::new(Token(0), LOOPBACK.parse().unwrap());
    host.act(Act::Open(open.connected("[::1]:7".parse().unwrap())));
    let error = host.next(|event| match event {
        NetworkEvent::UdpOpenFailed { error, .. } => Some(*error),
        _ => None,
    });
    assert_eq!(error, NetworkError::AddressFamily);
}

pub(crate) fn congestion_bits_pass_both_ways(kind: BackendKind) {
    for bind in [LOOPBACK, "[::1]:0"] {
        let (mut sender, mut receiver) = (Host::new(kind), Host::new(kind));
        let (from, _) = sender.open(bind.parse().unwrap());
        let (_, to) = receiver.open(bind.parse().unwrap());
        for ecn in [
            Ecn::NotCapable,
            Ecn::Capable0,
            Ecn::Capable1,
            Ecn::CongestionExperienced,
        ] {
            sender.send(Transmit::new(from, to, Buffer::copy_from(b"x")).with_ecn(ecn));
            assert_eq!(receiver.next_run().ecn, ecn, "over {bind}");
        }
    }
}

pub(crate) fn a_dropped_backend_frees_its_ports(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    UdpSocket::bind(local).expect_err("the port is ours");
    let _waker = host.backend.waker(); // Lives on, and keeps no socket open.
    drop(host);
    UdpSocket::bind(local).expect("the port is free");
}

pub(crate) fn every_buffer_goes_back_to_the_pool(kind: BackendKind) {
    let pool = BufferPool::new();
    let mut host = Host::over(kind, pool.clone(), |_| {});
    host.act(Act::Become(Mode::Echo));
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    let round = |host: &mut Host| {
        for len in [0, 10, 1_200, 40_000] {
            client.send(&pattern(len)).unwrap();
            drop(host.turn());
            received(&client);
        }
    };
    round(&mut host);
    let (live, all) = (pool.live(), pool.live() + pool.free());
    (0..50).for_each(|_| round(&mut host));
    assert!(
        pool.live() <= live,
        "{} buffers live, {live} before",
        pool.live()
    );
    assert!(
        pool.live() + pool.free() <= all + 1,
        "new memory at steady state"
    );
    drop(host);
    assert_eq!(pool.live(), 0);
}

pub(crate) fn a_flood_is_handed_over_or_counted_as_dropped(kind: BackendKind) {
    let mut host = Host::new(kind);
    let (_, local) = host.open(LOOPBACK.parse().unwrap());
    let client = client_of(local);
    let mut sent = 0;
    let mut flood = |count: u64| {
        (0..count).for_each(|_| assert_eq!(client.send(&[1; 1_000]).unwrap(), 1_000));
        sent += count;
    };
    for _ in 0..2 {
        flood(10_000); // More than its queue holds, however large the system lets it be.
        while !host.turn_if_any().is_empty() {}
        flood(1); // The kernel tells of what it dropped with the next that it did not drop.
        while !host.turn_if_any().is_empty() {}
    }
    let counters = host.backend.counters();
    assert!(counters.receive_dropped > 0);
    assert_eq!(counters.datagrams_in + counters.receive_dropped, sent);
    assert_eq!(counters.bytes_in, counters.datagrams_in * 1_000);
}

/// A plain blocking socket that talks to anybody.
fn bound(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}
