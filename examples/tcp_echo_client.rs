//! Loads a TCP echo server and measures its round trips.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::SocketAddr;
use core::time::Duration;

use clap::Parser;
use common::output::{fail, line, table};
use common::stats::TcpClientStats;
use common::tcp_echo::{self, ClientConfig, Load, Report, Spawn, TcpEcho};
use stillpoint::NetworkError;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};

/// Loads a TCP echo server with a window of messages on each of some connections, and compares what
/// comes back.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port of the server
    #[arg(long, default_value = "127.0.0.1:7777")]
    connect: SocketAddr,
    /// Connections, each a task of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    size: u32,
    /// Messages that each connection keeps in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    window: u16,
    /// Seconds to go on for
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    duration: f64,
    /// Messages to send on each connection, however long that takes
    #[arg(long, conflicts_with = "duration")]
    count: Option<u64>,
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

/// What clients have said so far.
#[derive(Default)]
struct Told {
    total: TcpClientStats,
    done: u32,
    connect_error: Option<NetworkError>,
}

fn main() {
    let options = Options::parse();
    let config = RuntimeConfig::new(options.backend).workers(options.workers);
    let mut controller =
        Controller::start(config, tcp_echo::spawn).unwrap_or_else(|error| fail(error));
    let interrupter = controller.interrupter();
    ctrlc::set_handler(move || interrupter.interrupt()).unwrap_or_else(|error| fail(error));

    let client = ClientConfig {
        server: options.connect,
        window: usize::from(options.window),
        message_bytes: options.size as usize,
        load: match options.count {
            Some(count) => Load::Messages(count),
            None => Load::For(Duration::from_secs_f64(options.duration)),
        },
    };
    for (connection, worker) in (0..options.connections).zip((0..options.workers).cycle()) {
        if let Err(error) = controller.spawn(worker, Spawn::Client(client)) {
            fail(format_args!("connection {connection}: {error}"));
        }
    }
    let mut told = Told::default();
    while told.done < options.connections {
        match controller.wait(None) {
            None | Some(ControllerEvent::Interrupted) => break,
            Some(event) => told.take(event),
        }
    }
    // Clients that were stopped meanwhile still say what they counted.
    for event in controller.shutdown(Duration::from_secs(2)).events {
        told.take(event);
    }
    told.print(&options);
}

impl Told {
    fn take(&mut self, event: ControllerEvent<TcpEcho>) {
        match event {
            ControllerEvent::Report { report, .. } => match report {
                Report::Done(stats) => {
                    self.total.add(&stats);
                    self.done += 1;
                }
                Report::ConnectFailed { error, .. } => self.connect_error = Some(error),
                _ => {}
            },
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
            _ => {}
        }
    }

    fn print(&self, options: &Options) {
        let total = &self.total;
        if options.json {
            line(total.to_json());
        } else {
            let title = format!(
                "{}: {} connections, window {}, {} bytes",
                options.connect, options.connections, options.window, options.size
            );
            table(&title, &total.rows());
        }
        if let Some(error) = self.connect_error {
            fail(format_args!(
                "{}: {} of {} connections were not made: {error}",
                options.connect, total.connect_failed, options.connections
            ));
        }
        if total.mismatched > 0 || total.unexpected_bytes > 0 {
            fail(format_args!(
                "{}: answers that are not what was sent",
                options.connect
            ));
        }
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
