//! The neutral client: plain sockets, and quinn-udp for runs.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::time::Instant;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use crate::ROUND;

/// The median round trip of one datagram at a time, in microseconds.
pub(crate) fn median_round_trip(server: SocketAddr, bytes: usize) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server).expect("connected");
    let (payload, mut reply) = (vec![7; bytes], [0; 2_048]);
    let mut round_trips = Vec::new();
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let sent = Instant::now();
        socket.send(&payload).expect("sent");
        socket.recv(&mut reply).expect("a reply");
        round_trips.push(sent.elapsed().as_nanos() as f64 / 1_000.0);
    }
    round_trips.sort_by(f64::total_cmp);
    round_trips[round_trips.len() / 2]
}

/// The same, seen by a client that never sleeps: what of it is the server's.
pub(crate) fn median_round_trip_awake(server: SocketAddr, bytes: usize) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server).expect("connected");
    socket.set_nonblocking(true).expect("non-blocking");
    let (payload, mut reply) = (vec![7; bytes], [0; 2_048]);
    let mut round_trips = Vec::new();
    let (start, mut sent) = (Instant::now(), Instant::now());
    socket.send(&payload).expect("sent");
    while start.elapsed() < ROUND {
        if socket.recv(&mut reply).is_ok() {
            round_trips.push(sent.elapsed().as_nanos() as f64 / 1_000.0);
            sent = Instant::now();
            socket.send(&payload).expect("sent");
        }
    }
    round_trips.sort_by(f64::total_cmp);
    round_trips[round_trips.len() / 2]
}

/// Keeps a window in flight on each of some sockets, by plain calls; replies a second.
pub(crate) fn windows(server: SocketAddr, bytes: usize, sockets: usize, window: usize) -> f64 {
    let sockets: Vec<UdpSocket> = (0..sockets)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.connect(server).expect("connected");
            socket.set_nonblocking(true).expect("non-blocking");
            socket
        })
        .collect();
    let (payload, mut reply) = (vec![7; bytes], [0; 2_048]);
    for socket in &sockets {
        (0..window).for_each(|_| drop(socket.send(&payload)));
    }
    let (start, mut replies, mut last) = (Instant::now(), 0u64, Instant::now());
    while start.elapsed() < ROUND {
        for socket in &sockets {
            while socket.recv(&mut reply).is_ok() {
                replies += 1;
                last = Instant::now();
                drop(socket.send(&payload));
            }
        }
        // Loopback drops when a queue is full; then the window is filled again.
        if last.elapsed() > Duration::from_millis(50) {
            sockets
                .iter()
                .for_each(|socket| drop(socket.send(&payload)));
            last = Instant::now();
        }
    }
    replies as f64 / start.elapsed().as_secs_f64()
}

/// Keeps runs in flight on one socket, sent with GSO and received with GRO; datagrams a second.
pub(crate) fn runs(server: SocketAddr, bytes: usize, in_flight: usize, run: usize) -> f64 {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a UDP socket");
    let size = state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20);
    size.expect("a larger receive buffer");
    let payload = vec![7; run * bytes];
    let transmit = Transmit {
        destination: server,
        ecn: None,
        contents: &payload,
        segment_size: Some(bytes),
        src_ip: None,
    };
    let send = || drop(state.try_send(UdpSockRef::from(&socket), &transmit));
    (0..in_flight).for_each(|_| send());
    let mut memory = vec![vec![0; 65_535]; quinn_udp::BATCH_SIZE];
    let mut meta = vec![RecvMeta::default(); quinn_udp::BATCH_SIZE];
    let (start, mut replies, mut owed, mut last) = (Instant::now(), 0u64, 0, Instant::now());
    while start.elapsed() < ROUND {
        let mut areas: Vec<IoSliceMut<'_>> = memory
            .iter_mut()
            .map(|area| IoSliceMut::new(area))
            .collect();
        match state.recv(UdpSockRef::from(&socket), &mut areas, &mut meta) {
            Ok(count) => {
                for received in &meta[..count] {
                    let datagrams = received.len.div_ceil(received.stride.max(1));
                    replies += datagrams as u64;
                    owed += datagrams;
                }
                while owed >= run {
                    owed -= run;
                    send();
                }
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if last.elapsed() > Duration::from_millis(50) {
                    (0..in_flight).for_each(|_| send());
                    last = Instant::now();
                }
            }
            Err(error) => panic!("receive failed: {error}"),
        }
    }
    replies as f64 / start.elapsed().as_secs_f64()
}
