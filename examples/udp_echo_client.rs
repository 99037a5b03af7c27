//! Loads a UDP echo server and measures its round trips.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::SocketAddr;
use core::time::Duration;

use clap::Parser;
use common::echo::{self, Care, ClientConfig, Echo, Report, Spawn};
use common::output::{fail, line, table};
use common::stats::ClientStats;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};

/// Loads a UDP echo server with a window of requests on each of some sockets.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port of the server
    server: SocketAddr,
    /// Sockets, each a task of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sockets: u32,
    /// Requests that each socket keeps in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Bytes of each request, 16 to 65507
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(16..=65_507))]
    payload: u16,
    /// Seconds to go on for
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let config = RuntimeConfig::new(options.backend).workers(options.workers);
    let mut controller = Controller::start(config, echo::spawn).unwrap_or_else(|error| fail(error));
    let interrupter = controller.interrupter();
    ctrlc::set_handler(move || interrupter.interrupt()).unwrap_or_else(|error| fail(error));

    for (socket, worker) in (0..options.sockets).zip((0..options.workers).cycle()) {
        let client = ClientConfig {
            server: options.server,
            window: usize::from(options.window),
            payload_bytes: usize::from(options.payload),
            duration: Duration::from_secs_f64(options.seconds),
            care: Care::Careful,
        };
        if let Err(error) = controller.spawn(worker, Spawn::Client(client)) {
            fail(format_args!("socket {socket}: {error}"));
        }
    }
    let mut total = ClientStats::default();
    let mut left = options.sockets;
    while left > 0 {
        match controller.wait(None) {
            Some(event) if is_interrupt(&event) => break,
            Some(event) => left -= take(event, &mut total),
            None => break,
        }
    }
    // Clients that were stopped meanwhile still say what they counted.
    for event in controller.shutdown(Duration::from_secs(2)).events {
        take(event, &mut total);
    }
    if options.json {
        line(total.to_json());
    } else {
        let title = format!(
            "{}: {} sockets, window {}, {} bytes",
            options.server, options.sockets, options.window, options.payload
        );
        table(&title, &total.rows());
    }
    if total.round_trips.count == 0 {
        let why = if total.refused > 0 {
            "nobody listens there"
        } else {
            "no reply came"
        };
        fail(format_args!("{}: {why}", options.server));
    }
}

fn is_interrupt(event: &ControllerEvent<Echo>) -> bool {
    matches!(event, ControllerEvent::Interrupted)
}

/// Adds what a client reports. How many clients are done with it: one or none.
fn take(event: ControllerEvent<Echo>, total: &mut ClientStats) -> u32 {
    match event {
        ControllerEvent::Report {
            report: Report::Done(stats),
            ..
        } => {
            total.add(&stats);
            1
        }
        ControllerEvent::Report {
            report: Report::BindFailed { bind, error },
            ..
        } => fail(format_args!("cannot open a socket on {bind}: {error}")),
        ControllerEvent::SpawnFailed { error, .. } => fail(error),
        ControllerEvent::Ended { task, end, .. } if end.is_failure() => {
            fail(format_args!("{task} {end}"))
        }
        ControllerEvent::WorkerStopped(summary) => {
            let failure = summary.failure.map(|failure| failure.to_string());
            fail(format_args!(
                "worker {}: {}",
                summary.worker,
                failure.unwrap_or_default()
            ))
        }
        _ => 0,
    }
}

/// A positive number of seconds that makes sense.
fn seconds(text: &str) -> Result<f64, String> {
    const SECONDS_MAX: f64 = 86_400.0;
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Ok(seconds),
        Ok(_) => Err(format!("has to be more than 0 and at most {SECONDS_MAX}")),
        Err(_) => Err("not a number".to_owned()),
    }
}
