//! At a steady load the hot paths allocate nothing, and memory stays as it is.
//!
//! Echo servers over real sockets, each worker driven by hand on the test's own thread, whose
//! allocations are counted; their clients are threads of plain sockets.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "clients are threads; the enums are non-exhaustive"
)]
#![cfg(all(feature = "metrics", feature = "poll"))]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendKind, Port, Waker};
use stillpoint::runtime::SystemClock;
use stillpoint::{
    App, BufferPool, Clock, Entropy, RecordRing, Recorder, Spawned, Spawner, TcpListen, Token,
    TransmitBuffer, UdpOpen, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

#[path = "support/allocator.rs"]
mod allocator;
#[path = "../examples/common/mod.rs"]
mod common;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
#[path = "support/rings.rs"]
mod rings;

use allocator::ALLOCATIONS;
use common::{echo, tcp_echo};

#[test]
fn a_udp_echo_allocates_nothing_at_a_steady_load() {
    for (kind, change) in ways() {
        let mut machine = udp_machine(kind, change);
        let load = Load::start(machine.waker(), udp_client(machine.address(), 110_000));
        machine.serve_until(&load, 10_000);
        let before = ALLOCATIONS.get();
        machine.serve_until(&load, 110_000);
        assert_eq!(
            ALLOCATIONS.get() - before,
            0,
            "in 100,000 datagrams over {kind}"
        );
        load.join();
    }
}

#[test]
fn a_recorder_allocates_for_blocks_of_records_and_not_for_each() {
    let mut machine = udp_machine(BackendKind::default(), |_| {});
    let ring = RecordRing::new(1 << 20);
    let config = &mut machine.worker.config().clone();
    machine.recorder = Some(Recorder::new(config, Box::new(ring.clone())));
    let load = Load::start(machine.waker(), udp_client(machine.address(), 110_000));
    machine.serve_until(&load, 10_000);
    let before = ALLOCATIONS.get();
    machine.serve_until(&load, 110_000);
    let allocations = ALLOCATIONS.get() - before;
    assert!(ring.lost() > 50_000, "{ring:?}");
    // Each block has a count of those who hold it.
    assert!(allocations < 2_000, "{allocations} in 100,000 datagrams");
    load.join();
}

#[test]
fn a_tcp_echo_allocates_nothing_at_a_steady_load() {
    for (kind, change) in ways() {
        let mut machine = tcp_machine(kind, change);
        let load = Load::start(machine.waker(), tcp_client(machine.address(), 110 << 20));
        machine.serve_until(&load, 10 << 20);
        let before = ALLOCATIONS.get();
        machine.serve_until(&load, 110 << 20);
        assert_eq!(ALLOCATIONS.get() - before, 0, "in 100 MiB over {kind}");
        load.join();
    }
}

/// What a small server does in an hour, in one go: a hundred datagrams and 256 KiB a second.
#[test]
fn an_hour_of_traffic_leaves_memory_as_it_was() {
    let (datagrams, bytes) = (360_000, 900 << 20);
    let mut udp = udp_machine(BackendKind::default(), |_| {});
    let mut tcp = tcp_machine(BackendKind::default(), |_| {});
    let load = Load::start(udp.waker(), udp_client(udp.address(), datagrams));
    udp.serve_until(&load, datagrams / 10);
    let udp_before = resident_kib();
    udp.serve_until(&load, datagrams);
    let udp_after = resident_kib();
    load.join();
    let load = Load::start(tcp.waker(), tcp_client(tcp.address(), bytes));
    tcp.serve_until(&load, bytes / 10);
    let tcp_before = resident_kib();
    tcp.serve_until(&load, bytes);
    let tcp_after = resident_kib();
    load.join();
    println!("{datagrams} datagrams: {udp_before} KiB, then {udp_after} KiB");
    println!(
        "{} MiB of streams: {tcp_before} KiB, then {tcp_after} KiB",
        bytes >> 20
    );
    // Other tests of this process may run meanwhile and have memory of their own.
    assert!(udp_after.saturating_sub(udp_before) < 16_384);
    assert!(tcp_after.saturating_sub(tcp_before) < 16_384);
}

#[test]
fn the_count_sees_an_allocation() {
    let before = ALLOCATIONS.get();
    drop(core::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// What is to be other than usual.
type Change = fn(&mut BackendConfig);

/// Every backend, and a ring that does by itself all that it can.
fn ways() -> Vec<(BackendKind, Change)> {
    let usual = BackendKind::ALL.iter().map(|&kind| {
        let change: Change = |_| {};
        (kind, change)
    });
    let mut ways: Vec<_> = usual.collect();
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    ways.push((BackendKind::IoUring, |config| {
        config.io_uring = rings::whole();
    }));
    ways
}

/// A worker over a real backend, driven by hand.
struct Machine<A: App> {
    worker: Worker<A>,
    recorder: Option<Recorder<A>>,
    backend: SocketBackend,
    clock: SystemClock,
    reports: Vec<A::Report>,
}

impl<A: App> Machine<A> {
    fn new(
        kind: BackendKind,
        change: Change,
        spawn: impl FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + 'static,
        server: A::Spawn,
    ) -> Self {
        let buffers = BufferPool::new();
        // As many as are ever in use at a time.
        for len in [1, 1_500, 9_000, 65_535] {
            drop((0..64).map(|_| buffers.take(len)).collect::<Vec<_>>());
        }
        let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
        config.buffers = buffers.clone();
        let mut backend = BackendConfig::new(buffers);
        change(&mut backend);
        let mut machine = Self {
            worker: Worker::new(config, spawn),
            recorder: None,
            backend: SocketBackend::new(kind, &backend).unwrap(),
            clock: SystemClock::new(),
            reports: Vec::new(),
        };
        let outputs = &mut Outputs {
            port: machine.backend.port(),
            reports: &mut machine.reports,
        };
        let now = machine.clock.now();
        machine
            .worker
            .handle_input(now, WorkerInput::Spawn(server), outputs);
        while machine.reports.is_empty() {
            machine.wait();
        }
        machine
    }

    fn waker(&self) -> Waker {
        self.backend.waker()
    }

    /// Waits once, and deals with what there is.
    fn wait(&mut self) {
        let (worker, reports) = (&mut self.worker, &mut self.reports);
        let recorder = &mut self.recorder;
        let waited = self
            .backend
            .wait(None, &self.clock, &mut |now, event, port| {
                let outputs = &mut Outputs { port, reports };
                let input = WorkerInput::Network(event);
                match recorder {
                    None => worker.handle_input(now, input, outputs),
                    Some(recorder) => recorder.handle_input(worker, now, input, outputs),
                }
            });
        waited.unwrap();
        self.backend.flush_before_wait().unwrap();
    }

    /// Serves until a client has got that far.
    fn serve_until(&mut self, load: &Load, done: u64) {
        while load.done.load(Ordering::Acquire) < done {
            assert!(
                !load.client.is_finished() || load.is_done(done),
                "the client gave up"
            );
            self.wait();
        }
    }
}

struct Outputs<'a, A: App> {
    port: &'a mut SocketPort,
    reports: &'a mut Vec<A::Report>,
}

impl<A: App> WorkerOutputs<A> for Outputs<'_, A> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        match output {
            WorkerOutput::Network(command) => self.port.submit(command),
            WorkerOutput::Report { report, .. } => self.reports.push(report),
            WorkerOutput::Ended { task, end } => panic!("{task} {end}"),
            _ => {}
        }
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn udp_machine(kind: BackendKind, change: Change) -> Machine<echo::Echo> {
    let server = echo::Spawn::Server(UdpOpen::new(Token(0), any_port()));
    Machine::new(kind, change, echo::spawn, server)
}

impl Machine<echo::Echo> {
    fn address(&self) -> SocketAddr {
        match self.reports[0] {
            echo::Report::Listening(address) => address,
            ref report => panic!("{report:?}"),
        }
    }
}

fn tcp_machine(kind: BackendKind, change: Change) -> Machine<tcp_echo::TcpEcho> {
    let server = tcp_echo::Spawn::Server(TcpListen::new(Token(0), any_port()));
    Machine::new(kind, change, tcp_echo::spawn, server)
}

impl Machine<tcp_echo::TcpEcho> {
    fn address(&self) -> SocketAddr {
        match self.reports[0] {
            tcp_echo::Report::Listening(address) => address,
            ref report => panic!("{report:?}"),
        }
    }
}

/// A client in a thread of its own, and how far it has got.
struct Load {
    done: Arc<AtomicU64>,
    client: JoinHandle<()>,
}

impl Load {
    /// Starts a client, which counts what came back. The worker is woken when it ends, however
    /// it does.
    fn start(waker: Waker, client: impl FnOnce(&AtomicU64) + Send + 'static) -> Self {
        struct WakeAtEnd(Waker);
        impl Drop for WakeAtEnd {
            fn drop(&mut self) {
                self.0.wake();
            }
        }
        let done = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&done);
        let client = spawn(move || {
            let _wake = WakeAtEnd(waker);
            client(&counter);
        });
        Self { done, client }
    }

    fn is_done(&self, done: u64) -> bool {
        self.done.load(Ordering::Acquire) >= done
    }

    fn join(self) {
        self.client.join().unwrap();
    }
}

/// Keeps 16 datagrams in flight until this many have come back.
fn udp_client(server: SocketAddr, count: u64) -> impl FnOnce(&AtomicU64) + Send {
    move |done| {
        const WINDOW: u64 = 16;
        let socket = UdpSocket::bind(any_port()).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut memory = [0; 2_048];
        let mut number = 0;
        while number < count {
            for _ in 0..WINDOW {
                // Short ones and such as fill a usual MTU.
                let len = if number % 3 == 0 { 1_200 } else { 64 };
                socket.send(&[7; 1_200][..len]).unwrap();
                number += 1;
            }
            for _ in 0..WINDOW {
                socket.recv(&mut memory).unwrap();
            }
            done.store(number, Ordering::Release);
        }
        done.store(u64::MAX, Ordering::Release);
    }
}

/// Sends messages of several lengths on several connections, until this many bytes have come back.
fn tcp_client(server: SocketAddr, bytes: u64) -> impl FnOnce(&AtomicU64) + Send {
    move |done| {
        let mut streams: Vec<TcpStream> = (0..4)
            .map(|_| {
                let stream = TcpStream::connect(server).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream
            })
            .collect();
        let message: Vec<u8> = (0..150_000_u32).map(|at| (at % 251) as u8).collect();
        let mut back = vec![0; message.len()];
        let mut received = 0;
        while received < bytes {
            for len in [1, 64, 1_000, 4_096, 20_000, 150_000] {
                for stream in &mut streams {
                    stream.write_all(&message[..len]).unwrap();
                }
                for stream in &mut streams {
                    stream.read_exact(&mut back[..len]).unwrap();
                    assert_eq!(back[..len], message[..len]);
                    received += len as u64;
                }
            }
            done.store(received, Ordering::Release);
        }
        done.store(u64::MAX, Ordering::Release);
    }
}

/// Memory of this process that is in use, in KiB (`VmRSS` of `proc(5)`).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(60);
