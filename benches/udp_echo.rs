//! The echo server of the runtime, over each of its socket backends, beside what others do by
//! hand: a blocking loop, tokio, mio, and mio with quinn-udp's GRO and GSO. On loopback, with the
//! same neutral client, in interleaved rounds.
//!
//! `cargo bench --bench udp_echo` prints medians, and for each contestant its ratio to the one
//! named first, with the spread over the rounds. Server and client have a core each. A word behind `--` chooses the cases that hold
//! it. The client may be the bottleneck where it sends runs, so those figures are lower bounds.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::RecorderConfig;

#[path = "udp_echo/client.rs"]
mod client;
#[path = "../examples/common/mod.rs"]
mod common;
#[path = "common/cores.rs"]
mod cores;
#[path = "common/rounds.rs"]
mod rounds;
#[path = "udp_echo/servers.rs"]
mod servers;

use client::{median_round_trip, median_round_trip_awake, runs, windows};
use cores::{CLIENT, SERVER, keep_to};
use rounds::Contestant;
use servers::Server;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(400);

/// For how long those of ours that spin look on before they sleep.
const SPIN_MAX: Duration = Duration::from_micros(100);

type Measure = fn(SocketAddr, usize) -> f64;

const CASES: [(&str, Measure); 7] = [
    ("round trip, us, less is better", median_round_trip),
    (
        "round trip of a client that never sleeps, us, less is better",
        median_round_trip_awake,
    ),
    ("round trips a second, 1 x 1", |server, bytes| {
        windows(server, bytes, 1, 1)
    }),
    ("round trips a second, 1 x 16", |server, bytes| {
        windows(server, bytes, 1, 16)
    }),
    ("round trips a second, 16 x 16", |server, bytes| {
        windows(server, bytes, 16, 16)
    }),
    ("datagrams a second, 8 runs of 4", |server, bytes| {
        runs(server, bytes, 8, 4)
    }),
    ("datagrams a second, 8 runs of 32", |server, bytes| {
        runs(server, bytes, 8, 32)
    }),
];

/// What the flight recorder costs: one server beside itself, recorded to a ring and to a file. The
/// ring is one that such a round fills several times, so that new memory is not what is measured.
fn recorders(rounds: usize, filter: &str) {
    let folder = std::env::temp_dir().join(format!("stillpoint-udp-echo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for recordings");
    let ring = || Server::recorded(RecorderConfig::ring(1 << 20));
    let files = {
        let folder = folder.clone();
        move || {
            // What the rounds before have left would fill the disk.
            for entry in std::fs::read_dir(&folder).expect("the folder").flatten() {
                drop(std::fs::remove_file(entry.path()));
            }
            Server::recorded(RecorderConfig::files(&folder))
        }
    };
    let contestants: Vec<Contestant<Server>> = vec![
        (
            "not recorded".to_owned(),
            Box::new(|| Server::ours(BackendKind::default())),
        ),
        ("recorded, ring".to_owned(), Box::new(ring)),
        ("recorded, file".to_owned(), Box::new(files)),
    ];
    for (name, measure) in CASES {
        for bytes in [200, 1_200] {
            let name = format!("recorder: {name}, {bytes} B");
            if name.contains(filter) {
                println!("{name}");
                let measure = |server: &Server| measure(server.address(), bytes);
                rounds::compare(rounds, &contestants, &measure);
            }
        }
    }
    drop(std::fs::remove_dir_all(&folder));
}

fn main() {
    // `cargo test --benches` does not pass this flag; one short round shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let rounds = if full { ROUNDS } else { 1 };
    let filter = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    println!("{rounds} interleaved rounds of {ROUND:?}; ratios are to tokio");
    for bytes in [200, 1_200] {
        for (name, measure) in CASES {
            let name = format!("{name}, {bytes} B");
            if name.contains(&filter) {
                println!("{name}");
                compare(rounds, &|server| measure(server, bytes));
            }
        }
    }
    recorders(rounds, &filter);
}

/// Measures all contestants, a round each in turn.
fn compare(rounds: usize, measure: &dyn Fn(SocketAddr) -> f64) {
    let mut contestants: Vec<Contestant<Server>> = vec![
        ("tokio".to_owned(), Box::new(Server::tokio)),
        ("mio".to_owned(), Box::new(Server::mio)),
        ("blocking loop".to_owned(), Box::new(Server::blocking)),
        ("mio, GRO and GSO".to_owned(), Box::new(Server::runs)),
    ];
    for &backend in BackendKind::ALL {
        let start = move || Server::ours(backend);
        contestants.push((format!("ours, {backend}"), Box::new(start)));
        let start = move || Server::spinning(backend, SPIN_MAX);
        contestants.push((format!("ours, {backend}, spins"), Box::new(start)));
    }
    let contestants: Vec<Contestant<Server>> = contestants
        .into_iter()
        .map(|(name, start)| {
            let start = move || {
                keep_to(SERVER);
                let server = start();
                keep_to(CLIENT);
                server
            };
            (name, Box::new(start) as Box<dyn Fn() -> Server>)
        })
        .collect();
    rounds::compare(rounds, &contestants, &|server| measure(server.address()));
}
