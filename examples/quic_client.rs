//! Fetches bytes by QUIC, over several streams of several connections, and hashes them.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;
#[path = "common/quic/mod.rs"]
mod quic;

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use common::output::{fail, line, table};
use common::serve::start;
use quic::client::{ClientSetup, Summary, WhenDone};
use quic::clock::Epoch;
use quic::config::{Certificate, Limits};
use quic::{Command, Quic, Report, Spawn};
use serde_json::json;
use stillpoint::TaskId;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};

/// A client of the example `quic_server` (quinn-proto in a task).
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port of the server
    server: SocketAddr,
    /// The name that the server has to prove
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Certificate to trust, in DER; the example's own if there is none
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Streams of each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    streams: u16,
    /// Bytes to fetch on each stream
    #[arg(long, default_value_t = 10_000_000)]
    bytes: u64,
    /// Go on from another port after so many fetches
    #[arg(long)]
    move_after: Option<u64>,
    /// Bytes of each datagram, without UDP and IP headers
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u16).range(1_200..=1_472))]
    datagram: u16,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let trusted = options.certificate.as_ref().map(|path| {
        let read = fs::read(path);
        read.unwrap_or_else(|error| fail(format_args!("{}: {error}", path.display())))
    });
    let setup = ClientSetup {
        bind: any(&options),
        server: options.server,
        server_name: options.name.clone(),
        trusted: trusted.map_or_else(Certificate::example, Certificate),
        epoch: epoch(),
        limits: Limits {
            keep_alive: Some(Duration::from_secs(1)),
            datagram_bytes: options.datagram,
            ..Limits::default()
        },
        connections: options.connections,
        streams: options.streams,
        bytes: options.bytes,
        attempts_max: 0,
        when_done: WhenDone::Finish,
    };
    let mut controller = start(RuntimeConfig::new(options.backend), quic::spawn);
    let begun = controller.now();
    controller
        .spawn(0, Spawn::Client(setup))
        .unwrap_or_else(|error| fail(error));
    let mut seen = Seen::default();
    while seen.summary.is_none() {
        match controller.wait(None) {
            Some(ControllerEvent::Report { task, report }) => {
                seen.take(&mut controller, &options, task, report);
            }
            Some(ControllerEvent::Ended { task, end, .. }) if end.is_failure() => {
                fail(format_args!("{task} {end}"));
            }
            Some(ControllerEvent::Interrupted) | None => break,
            Some(_) => {}
        }
    }
    let took = controller.now().since(begun);
    let events = controller.shutdown(Duration::from_secs(2)).events;
    for event in events {
        if let ControllerEvent::Report {
            report: Report::Done(summary),
            ..
        } = event
        {
            seen.summary = Some(summary);
        }
    }
    end(&options, &seen, took);
}

/// What the client has said.
#[derive(Default)]
struct Seen {
    fetched: u64,
    /// The hash of what was fetched last. With one length, all are to have it.
    hash: Option<u128>,
    differing: u64,
    summary: Option<Summary>,
}

impl Seen {
    fn take(
        &mut self,
        controller: &mut Controller<Quic>,
        options: &Options,
        task: TaskId,
        report: Report,
    ) {
        match report {
            Report::Fetched(fetched) => {
                self.fetched += 1;
                let same = self.hash.is_none_or(|hash| hash == fetched.hash);
                self.differing += u64::from(!same);
                self.hash = Some(fetched.hash);
                if options.move_after == Some(self.fetched) {
                    let moved = controller.command(task, Command::Rebind(any(options)));
                    moved.unwrap_or_else(|error| fail(error));
                }
            }
            Report::Done(summary) => self.summary = Some(summary),
            Report::SetupFailed(error) => fail(error),
            Report::BindFailed { bind, error } => fail(format_args!("cannot bind {bind}: {error}")),
            Report::Rebound(local) if !options.json => line(format_args!("goes on from {local}")),
            Report::Lost { connection, error } if !options.json => {
                line(format_args!("connection {connection} lost: {error}"));
            }
            Report::FetchFailed { error, .. } if !options.json => {
                line(format_args!("a fetch failed: {error}"));
            }
            _ => {}
        }
    }
}

fn end(options: &Options, seen: &Seen, took: Duration) {
    let summary = seen.summary.unwrap_or_default();
    let hash = seen.hash.map(|hash| format!("{hash:032x}"));
    let megabytes = summary.bytes as f64 / took.as_secs_f64() / 1e6;
    if options.json {
        line(json!({
            "fetched": summary.fetched,
            "failed": summary.failed,
            "bytes": summary.bytes,
            "lost": summary.lost,
            "hash": hash,
            "differing": seen.differing,
            "seconds": took.as_secs_f64(),
        }));
    } else {
        let rows = [
            ("fetched", summary.fetched.to_string()),
            ("failed", summary.failed.to_string()),
            ("bytes", summary.bytes.to_string()),
            ("connections lost", summary.lost.to_string()),
            ("megabytes a second", format!("{megabytes:.1}")),
            ("hash (XXH3)", hash.unwrap_or_default()),
        ];
        table("done", &rows);
    }
    if summary.failed > 0 || seen.differing > 0 || seen.fetched == 0 {
        fail("not all was fetched");
    }
}

/// Any port, of all addresses of the server's family.
fn any(options: &Options) -> SocketAddr {
    match options.server {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program asks for the time once"
)]
fn epoch() -> Epoch {
    let day = SystemTime::now().duration_since(UNIX_EPOCH);
    Epoch::new(Instant::now(), day.unwrap_or_default())
}
