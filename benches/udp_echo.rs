//! The echo server of the runtime beside a blocking `recv_from`/`send_to` loop, on loopback, with
//! the same neutral client (plain sockets and quinn-udp), in interleaved rounds.
//!
//! `cargo bench --bench udp_echo` prints medians and the spread of the ratios. The client may be
//! the bottleneck where it sends runs, so those figures are lower bounds.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};

#[path = "../examples/common/mod.rs"]
mod common;

use common::echo::{Echo, Report, Spawn, spawn};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(700);
const PAYLOAD_BYTES: usize = 200;

fn main() {
    // `cargo test --benches` passes this flag's absence; one short round shows that it works.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };
    println!("{PAYLOAD_BYTES} B, {rounds} interleaved rounds of {ROUND:?}; ratios are ours / loop");
    let cases: [(&str, &dyn Fn(SocketAddr) -> f64); 4] = [
        (
            "1 socket, window 1: median round trip, us",
            &median_round_trip,
        ),
        ("1 socket, window 1: round trips a second", &|server| {
            windows(server, 1, 1)
        }),
        ("16 sockets, window 16: round trips a second", &|server| {
            windows(server, 16, 16)
        }),
        ("1 socket, 8 runs of 32: datagrams a second", &|server| {
            runs(server, 8, 32)
        }),
    ];
    for (name, measure) in cases {
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            let (ours, theirs) = (Ours::start(), Loop::start());
            pairs.push((measure(ours.address), measure(theirs.address)));
        }
        let mut ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        let median = |pick: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!(
            "{name:46} ours {:12.1}  loop {:12.1}  ratio {:.2} ({:.2} to {:.2})",
            median(|pair| pair.0),
            median(|pair| pair.1),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
}

/// Our server, one worker.
struct Ours {
    address: SocketAddr,
    _controller: Controller<Echo>,
}

impl Ours {
    fn start() -> Self {
        let config = RuntimeConfig::new(BackendKind::default());
        let mut controller = Controller::start(config, spawn).expect("the runtime starts");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let open = stillpoint::UdpOpen::new(stillpoint::Token(0), any);
        controller
            .spawn(0, Spawn::Server(open))
            .expect("the queue is empty");
        loop {
            let event = controller.wait(None).expect("an event");
            if let ControllerEvent::Report {
                report: Report::Listening(address),
                ..
            } = event
            {
                return Self {
                    address,
                    _controller: controller,
                };
            }
        }
    }
}

/// The floor: a blocking loop that does nothing but the two calls.
struct Loop {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loop {
    #[expect(clippy::disallowed_methods, reason = "the contestant is a thread")]
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_535];
            while !stopped.load(Ordering::Relaxed) {
                let (len, peer) = socket.recv_from(&mut buffer).expect("a datagram");
                // A client that is gone is no reason to stop.
                drop(socket.send_to(&buffer[..len], peer));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let last =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.address));
        last.expect("one more datagram ends the loop");
        self.thread
            .take()
            .expect("joined once")
            .join()
            .expect("the loop ends");
    }
}

fn median_round_trip(server: SocketAddr) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server).expect("connected");
    let (payload, mut reply) = ([7; PAYLOAD_BYTES], [0; 2_048]);
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

/// Keeps a window in flight on each of some sockets, by plain calls; replies a second.
fn windows(server: SocketAddr, sockets: usize, window: usize) -> f64 {
    let sockets: Vec<UdpSocket> = (0..sockets)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.connect(server).expect("connected");
            socket.set_nonblocking(true).expect("non-blocking");
            socket
        })
        .collect();
    let (payload, mut reply) = ([7; PAYLOAD_BYTES], [0; 2_048]);
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
fn runs(server: SocketAddr, in_flight: usize, run: usize) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a UDP socket");
    let size = state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20);
    size.expect("a larger receive buffer");
    let payload = vec![7; run * PAYLOAD_BYTES];
    let transmit = Transmit {
        destination: server,
        ecn: None,
        contents: &payload,
        segment_size: Some(PAYLOAD_BYTES),
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
