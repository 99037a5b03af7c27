//! Sends UDP datagrams back to where they came from, with one socket a worker.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::Parser;
use common::echo::{self, Echo, Report, Spawn};
use common::metrics;
use common::output::{fail, line, table};
use common::serve::{start, stop, wait_for_interrupt, watched};
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RecorderConfig, RuntimeConfig};
use stillpoint::{Token, UdpOpen};

/// A UDP echo server. Ctrl-C ends it and prints what it received, sent and dropped.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:7777")]
    listen: SocketAddr,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Worker threads; they share the port, each flow goes to one of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// For how many microseconds a worker may look on before it sleeps: latency, paid for with CPU
    #[arg(long, default_value_t = 0)]
    spin: u64,
    /// Address and port to serve metrics on, for Prometheus and for the example `top`
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Record what each worker is given and gives out into files of this folder, for the example
    /// `udp_echo_replay`. Metrics show what is outside of the workers, so they cannot be replayed
    #[arg(long, conflicts_with = "metrics")]
    record: Option<PathBuf>,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let mut config = RuntimeConfig::new(options.backend).workers(options.workers);
    config.spin_max = Duration::from_micros(options.spin);
    let mut controller = match &options.record {
        None => start(config, echo::spawn),
        Some(folder) => {
            let recorder = RecorderConfig::files(folder);
            let controller = Controller::start_recorded(config, recorder, echo::spawn);
            watched(controller.unwrap_or_else(|error| fail(error)))
        }
    };

    // With port 0, the first worker's port is everybody's.
    let mut listen = options.listen;
    for worker in 0..options.workers {
        let open = UdpOpen::new(Token(0), listen);
        let open = if options.workers > 1 {
            open.shared()
        } else {
            open
        };
        controller
            .spawn(worker, Spawn::Server(open))
            .unwrap_or_else(|error| fail(error));
        match wait_until_listening(&mut controller) {
            Some(local) => listen = local,
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
fn wait_until_listening(controller: &mut Controller<Echo>) -> Option<SocketAddr> {
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
                report: Report::BindFailed { bind, error },
                ..
            } => {
                fail(format_args!("cannot listen on {bind}: {error}"));
            }
            ControllerEvent::Interrupted => return None,
            _ => {}
        }
    }
}

fn end(controller: Controller<Echo>, options: &Options) {
    let (_, total) = stop(controller);
    if options.json {
        line(json!({
            "received": total.datagrams_in,
            "received_bytes": total.bytes_in,
            "sent": total.datagrams_out,
            "sent_bytes": total.bytes_out,
            "dropped": {
                "send_failed": total.send_failed,
                "send_queue_full": total.queue_dropped,
                "receive_queue_full": total.receive_dropped,
                "undelivered": total.undelivered,
            },
            "socket_errors": total.socket_errors,
        }));
        return;
    }
    let rows = [
        ("datagrams received", total.datagrams_in.to_string()),
        ("datagrams sent", total.datagrams_out.to_string()),
        ("dropped: send failed", total.send_failed.to_string()),
        ("dropped: send queue full", total.queue_dropped.to_string()),
        (
            "dropped: receive queue full",
            total.receive_dropped.to_string(),
        ),
        ("dropped: undelivered", total.undelivered.to_string()),
        ("socket errors (ICMP)", total.socket_errors.to_string()),
    ];
    table("stopped", &rows);
}
