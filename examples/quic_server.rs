//! Serves bytes by QUIC: as many as a client asks for, on many streams of many connections.
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
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use common::output::{fail, line, table};
use common::serve::{start, stop, wait_for_interrupt};
use quic::clock::Epoch;
use quic::config::{Certificate, Identity, Limits};
use quic::server::{ServerSetup, Summary};
use quic::{Quic, Report, Spawn};
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};

/// A QUIC server (quinn-proto in a task). Ctrl-C closes its connections, ends it and prints what it
/// did.
///
/// A client asks for a number of bytes on each stream: the number, 8 bytes in big-endian order. The
/// protocol's name (ALPN) is `stillpoint-bytes/1`.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:4433")]
    listen: SocketAddr,
    /// Certificate in DER; the example's own if there is none, whose key everybody has
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key, PKCS #8 in DER
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Connections at a time; one more is refused
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds without a word after which a connection is lost
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    idle: u64,
    /// Bytes of each datagram, without UDP and IP headers
    #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u16).range(1_200..=1_472))]
    datagram: u16,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let identity = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => Identity {
            certificate: Certificate(read(certificate)),
            key: read(key),
        },
        _ => Identity::example(),
    };
    let setup = ServerSetup {
        bind: options.listen,
        epoch: epoch(),
        identity,
        limits: Limits {
            idle: Duration::from_secs(options.idle),
            datagram_bytes: options.datagram,
            ..Limits::default()
        },
        connections_max: options.connections,
    };
    let mut controller = start(RuntimeConfig::new(options.backend), quic::spawn);
    controller
        .spawn(0, Spawn::Server(setup))
        .unwrap_or_else(|error| fail(error));
    wait_for_interrupt(&mut controller, |report| match report {
        Report::Listening(local) => line(format_args!("listening on {local}")),
        Report::BindFailed { bind, error } => {
            fail(format_args!("cannot listen on {bind}: {error}"));
        }
        Report::SetupFailed(error) => fail(error),
        Report::Moved { from, to } if !options.json => line(format_args!("{from} is {to} now")),
        Report::Lost { error, .. } if !options.json => {
            line(format_args!("connection lost: {error}"))
        }
        _ => {}
    });
    end(controller, &options);
}

fn end(controller: Controller<Quic>, options: &Options) {
    let (summary, total) = stop(controller);
    let mut served = Summary::default();
    for event in &summary.events {
        if let ControllerEvent::Report {
            report: Report::Served(said),
            ..
        } = event
        {
            served = *said;
        }
    }
    let host = served.host;
    if options.json {
        line(json!({
            "connections": served.connections,
            "refused": host.refused,
            "lost": served.lost,
            "moved": served.moved,
            "answered": served.answered,
            "broken": served.broken,
            "bytes": served.bytes,
            "datagrams_received": total.datagrams_in,
            "datagrams_sent": total.datagrams_out,
            "runs_sent": host.runs,
            "dropped": {
                "send_failed": total.send_failed,
                "send_queue_full": total.queue_dropped,
                "receive_queue_full": total.receive_dropped,
            },
        }));
        return;
    }
    let rows = [
        ("connections", served.connections.to_string()),
        ("connections refused", host.refused.to_string()),
        ("connections lost", served.lost.to_string()),
        ("changes of address", served.moved.to_string()),
        ("requests answered", served.answered.to_string()),
        ("requests broken off", served.broken.to_string()),
        ("bytes of answers", served.bytes.to_string()),
        ("datagrams received", total.datagrams_in.to_string()),
        ("datagrams sent", total.datagrams_out.to_string()),
        ("runs sent", host.runs.to_string()),
        ("dropped: send failed", total.send_failed.to_string()),
        ("dropped: send queue full", total.queue_dropped.to_string()),
        (
            "dropped: receive queue full",
            total.receive_dropped.to_string(),
        ),
    ];
    table("stopped", &rows);
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| fail(format_args!("{}: {error}", path.display())))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program asks for the time once"
)]
fn epoch() -> Epoch {
    let day = SystemTime::now().duration_since(UNIX_EPOCH);
    Epoch::new(Instant::now(), day.unwrap_or_default())
}
