//! The TCP echo server over each socket backend beside tokio, on loopback, with the same neutral
//! client, in interleaved rounds.
//!
//! `cargo bench --bench tcp_echo` prints medians, and for each contestant its ratio to tokio, with
//! the spread over the rounds. A word behind `--` chooses the cases that hold it. Client and server
//! have a thread each, so on one core, or two that others use, the client's cost is in the figures.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::backend::BackendKind;

#[path = "tcp_echo/client.rs"]
mod client;
#[path = "../examples/common/mod.rs"]
mod common;
#[path = "common/rounds.rs"]
mod rounds;
#[path = "tcp_echo/servers.rs"]
mod servers;

use client::{median_round_trip, per_second, server_cpu};
use rounds::Contestant;
use servers::Server;

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(200);

type Measure = fn(SocketAddr, usize) -> f64;

fn main() {
    // `cargo test --benches` does not pass this flag; one short round shows that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let rounds = if full { ROUNDS } else { 1 };
    let filter = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_default();
    println!("{rounds} interleaved rounds of {ROUND:?}; ratios are to tokio");
    let cases: [(&str, Measure); 7] = [
        ("round trip, us, less is better", median_round_trip),
        ("round trips a second, 1 x 1", |server, bytes| {
            per_second(server, bytes, 1, 1)
        }),
        ("round trips a second, 100 x 1", |server, bytes| {
            per_second(server, bytes, 100, 1)
        }),
        ("round trips a second, 100 x 16", |server, bytes| {
            per_second(server, bytes, 100, 16)
        }),
        (
            "server's CPU, ns, less is better, 1 x 1",
            |server, bytes| server_cpu(server, bytes, 1, 1),
        ),
        (
            "server's CPU, ns, less is better, 100 x 1",
            |server, bytes| server_cpu(server, bytes, 100, 1),
        ),
        (
            "server's CPU, ns, less is better, 100 x 16",
            |server, bytes| server_cpu(server, bytes, 100, 16),
        ),
    ];
    let mut contestants: Vec<Contestant<Server>> =
        vec![("tokio".to_owned(), Box::new(Server::tokio))];
    for &backend in BackendKind::ALL {
        let start = move || Server::ours(backend);
        contestants.push((format!("ours, {backend}"), Box::new(start)));
    }
    for bytes in [64, 4_096] {
        for (name, measure) in cases {
            let name = format!("{name}, {bytes} B");
            if name.contains(&filter) {
                println!("{name}");
                rounds::compare(rounds, &contestants, &|server| {
                    measure(server.address(), bytes)
                });
            }
        }
    }
}
