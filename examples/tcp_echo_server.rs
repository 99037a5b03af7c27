//! Sends what TCP connections bring back on them, with one listener a worker.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::SocketAddr;

use clap::Parser;
use common::metrics;
use common::output::{fail, line, table};
use common::serve::{start, stop, wait_for_interrupt};
use common::tcp_echo::{self, Report, ServerStats, Spawn, TcpEcho};
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{TcpListen, TcpOptions, Token};

/// A TCP echo server. Ctrl-C ends it and prints what passed through it.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:7777")]
    listen: SocketAddr,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Worker threads; they share the port, each connection goes to one of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// Connections that may wait to be taken in; the system may have a lower limit
    #[arg(long, default_value_t = 4_096)]
    backlog: u32,
    /// Bytes that each connection may keep beyond what the system has taken
    #[arg(long, default_value_t = 262_144)]
    queue: usize,
    /// Address and port to serve metrics on, for Prometheus and for the example `top`
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let config = RuntimeConfig::new(options.backend).workers(options.workers);
    let mut controller = start(config, tcp_echo::spawn);

    // With port 0, the first worker's port is everybody's.
    let mut bind = options.listen;
    for worker in 0..options.workers {
        let listen = TcpListen::new(Token(0), bind)
            .with_backlog(options.backlog)
            .with_options(TcpOptions::new().with_send_queue_max(options.queue));
        let listen = if options.workers > 1 {
            listen.shared()
        } else {
            listen
        };
        controller
            .spawn(worker, Spawn::Server(listen))
            .unwrap_or_else(|error| fail(error));
        match wait_until_listening(&mut controller) {
            Some(local) => bind = local,
            None => return end(controller, &options),
        }
    }
    metrics::serve(&mut controller, options.metrics, Spawn::Metrics);
    wait_for_interrupt(&mut controller, |report| {
        if let Report::Metrics(listening) = report {
            metrics::tell(listening);
        }
    });
    end(controller, &options);
}

/// The address that a server is bound to; `None` if Ctrl-C came first.
fn wait_until_listening(controller: &mut Controller<TcpEcho>) -> Option<SocketAddr> {
    loop {
        match controller.wait(None)? {
            ControllerEvent::Report {
                report: Report::Listening(local),
                ..
            } => {
                line(format_args!("listening on {local}"));
                return Some(local);
            }
            ControllerEvent::Report {
                report: Report::ListenFailed { bind, error },
                ..
            } => {
                fail(format_args!("cannot listen on {bind}: {error}"));
            }
            ControllerEvent::Interrupted => return None,
            _ => {}
        }
    }
}

fn end(controller: Controller<TcpEcho>, options: &Options) {
    let (summary, counters) = stop(controller);
    let total = counters.streams;
    let mut servers = ServerStats::default();
    for event in summary.events {
        if let ControllerEvent::Report {
            report: Report::Stopped(stats),
            ..
        } = event
        {
            servers.open += stats.open;
            servers.open_most += stats.open_most;
            servers.resets += stats.resets;
        }
    }
    if options.json {
        line(json!({
            "accepted": total.accepted,
            "open": servers.open,
            "open_most": servers.open_most,
            "resets": servers.resets,
            "failed": total.failed,
            "refused": total.refused,
            "accepts_paused": total.accepts_paused,
            "received_bytes": total.bytes_in,
            "sent_bytes": total.bytes_out,
            "unsent_bytes": total.bytes_unsent,
            "refused_bytes": total.bytes_refused,
        }));
        return;
    }
    let rows = [
        ("connections accepted", total.accepted.to_string()),
        ("connections open", servers.open.to_string()),
        ("open at a time, at most", servers.open_most.to_string()),
        ("reset by their peers", servers.resets.to_string()),
        ("ended with an error", total.failed.to_string()),
        ("refused", total.refused.to_string()),
        ("accepting paused", total.accepts_paused.to_string()),
        ("bytes received", total.bytes_in.to_string()),
        ("bytes sent", total.bytes_out.to_string()),
        ("bytes not sent", total.bytes_unsent.to_string()),
        ("bytes refused", total.bytes_refused.to_string()),
    ];
    table("stopped", &rows);
}
