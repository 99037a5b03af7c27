//! io_uring under full load for a while, in four ways of setting it up: echoes of datagrams and of
//! bytes, all of which are accounted for, and nothing is left: no thread, no descriptor, no buffer,
//! no memory.
//!
//! A program of its own, since it counts what the process has. `SOAK_SECONDS` says how long.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests"
)]
#![cfg(all(feature = "io-uring", feature = "metrics", target_os = "linux"))]

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "support/rings.rs"]
mod rings;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use common::stats::{ClientStats, TcpClientStats};
use common::{echo, tcp_echo};
use stillpoint::backend::sockets::SocketBackend;
use stillpoint::backend::{BackendConfig, BackendKind, IoUringConfig};
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{App, BufferPool, NetworkCounters, Spawned, Spawner, TcpListen, Token, UdpOpen};

#[test]
fn everything_is_accounted_for_and_nothing_is_left() {
    let each = Duration::from_millis(seconds() * 1_000 / 4);
    let mut memory = Vec::new();
    for (name, config) in ways() {
        let before = belongings();
        let datagrams = Hosts::start(config, echo::spawn);
        let streams = Hosts::start(config, tcp_echo::spawn);
        let (datagrams, streams) = load(datagrams, streams, each);
        println!("{name}: {datagrams:?}");
        println!("{name}: {streams:?}");
        check_datagrams(&datagrams);
        check_streams(&streams);
        // The kernel's own threads go a little later than their ring.
        for _ in 0..10_000 {
            if belongings() == before {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        assert_eq!(belongings(), before, "{name}: threads and descriptors");
        memory.push(resident());
        println!("{name}: {} MiB in memory", memory.last().unwrap() >> 20);
    }
    // What the first way has needed the others may need, too.
    let (first, last) = (memory[0], memory[memory.len() - 1]);
    assert!(last < first + (64 << 20), "memory grew: {memory:?}");
}

fn ways() -> [(&'static str, IoUringConfig); 4] {
    let usual = IoUringConfig::new();
    let whole = rings::whole();
    let mut tiny = whole;
    (tiny.entries, tiny.completions, tiny.buffers) = (8, 16, 2);
    let polled = whole.polling(Duration::from_millis(1));
    [
        ("usual", usual),
        ("all that it can", whole),
        ("tiny", tiny),
        ("polled", polled),
    ]
}

#[expect(clippy::disallowed_methods, reason = "who has time wants it longer")]
fn seconds() -> u64 {
    let said = std::env::var("SOAK_SECONDS").ok();
    said.map_or(2, |seconds| seconds.parse().unwrap())
}

/// Threads and descriptors of the process.
fn belongings() -> (usize, usize) {
    let entries = |of: &str| std::fs::read_dir(of).unwrap().count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

/// Bytes of memory that the process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// A server's worker and a clients' worker.
struct Hosts<A: App> {
    controller: Controller<A>,
    pools: Arc<Mutex<Vec<BufferPool>>>,
}

impl<A: App> Hosts<A> {
    fn start(
        io_uring: IoUringConfig,
        spawn: impl FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
    ) -> Self {
        let mut config = RuntimeConfig::new(BackendKind::IoUring).workers(2);
        config.io_uring = io_uring;
        let pools = Arc::<Mutex<Vec<BufferPool>>>::default();
        let known = Arc::clone(&pools);
        let make = move |_: u16, config: &BackendConfig| {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.push(config.buffers.clone());
            SocketBackend::new(BackendKind::IoUring, config)
        };
        let controller = Controller::start_over(config, spawn, make);
        Self {
            controller: controller.expect("the kernel has io_uring"),
            pools,
        }
    }

    /// The next report that `pick` wants.
    fn hear<R>(&mut self, mut pick: impl FnMut(A::Report) -> Option<R>) -> R {
        loop {
            let event = self.controller.wait(Some(PATIENCE));
            let event = event.expect("something is heard in time");
            if let ControllerEvent::Report { report, .. } = event
                && let Some(picked) = pick(report)
            {
                return picked;
            }
        }
    }

    /// Stops both, and says what passed through them.
    fn stop(self) -> NetworkCounters {
        let summary = self.controller.shutdown(PATIENCE);
        assert!(summary.stuck.is_empty());
        for worker in &summary.workers {
            assert_eq!(worker.failure, None);
        }
        for pool in &*self.pools.lock().unwrap() {
            assert_eq!(pool.live(), 0, "buffers are left");
        }
        summary.network()
    }
}

#[derive(Debug)]
struct Datagrams {
    clients: ClientStats,
    counters: NetworkCounters,
}

#[derive(Debug)]
struct Streams {
    clients: TcpClientStats,
    counters: NetworkCounters,
}

fn load(
    mut datagrams: Hosts<echo::Echo>,
    mut streams: Hosts<tcp_echo::TcpEcho>,
    duration: Duration,
) -> (Datagrams, Streams) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let open = echo::Spawn::Server(UdpOpen::new(Token(0), any));
    datagrams.controller.spawn(0, open).unwrap();
    let server = datagrams.hear(|report| match report {
        echo::Report::Listening(address) => Some(address),
        _ => None,
    });
    // So few that no queue overflows: then each is answered.
    for payload_bytes in [64, 200, 1_200, 9_000] {
        let config = echo::ClientConfig {
            server,
            window: 4,
            payload_bytes,
            duration,
            care: echo::Care::Careful,
        };
        let client = echo::Spawn::Client(config);
        datagrams.controller.spawn(1, client).unwrap();
    }
    let listen = tcp_echo::Spawn::Server(TcpListen::new(Token(0), any));
    streams.controller.spawn(0, listen).unwrap();
    let server = streams.hear(|report| match report {
        tcp_echo::Report::Listening(address) => Some(address),
        _ => None,
    });
    for message_bytes in [1, 64, 4_096, 65_536, 300_000].repeat(4) {
        let config = tcp_echo::ClientConfig {
            server,
            window: 2,
            message_bytes,
            load: tcp_echo::Load::For(duration),
        };
        let client = tcp_echo::Spawn::Client(config);
        streams.controller.spawn(1, client).unwrap();
    }
    let mut of_datagrams = ClientStats::default();
    for _ in 0..4 {
        of_datagrams.add(&datagrams.hear(|report| match report {
            echo::Report::Done(stats) => Some(stats),
            _ => None,
        }));
    }
    let mut of_streams = TcpClientStats::default();
    for _ in 0..20 {
        of_streams.add(&streams.hear(|report| match report {
            tcp_echo::Report::Done(stats) => Some(stats),
            _ => None,
        }));
    }
    let datagrams = Datagrams {
        clients: of_datagrams,
        counters: datagrams.stop(),
    };
    let streams = Streams {
        clients: of_streams,
        counters: streams.stop(),
    };
    (datagrams, streams)
}

fn check_datagrams(seen: &Datagrams) {
    let (clients, counters) = (&seen.clients, &seen.counters);
    assert!(clients.sent > 0);
    assert_eq!(clients.malformed, 0);
    let ended = clients.round_trips.count + clients.no_reply + clients.unfinished;
    assert_eq!(clients.sent, ended, "each request has an end");
    let arrived = counters.datagrams_in + counters.receive_dropped + counters.undelivered;
    assert_eq!(counters.datagrams_out, arrived, "datagrams");
    assert_eq!((counters.send_failed, counters.queue_dropped), (0, 0));
}

fn check_streams(seen: &Streams) {
    let (clients, counters) = (&seen.clients, &seen.counters.streams);
    assert_eq!((clients.connected, clients.connect_failed), (20, 0));
    let wrong = (clients.mismatched, clients.unexpected_bytes, clients.broken);
    assert_eq!(wrong, (0, 0, 0));
    assert_eq!(clients.sent, clients.round_trips.count, "each is answered");
    assert_eq!((counters.accepted, counters.failed), (20, 0));
    assert_eq!(counters.bytes_out, counters.bytes_in, "bytes");
    assert_eq!((counters.bytes_unsent, counters.bytes_refused), (0, 0));
}

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(700);
