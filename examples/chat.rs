//! A line chat over TCP, for `nc` and its like, with one door a worker and rooms between them.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

#[path = "common/chat/mod.rs"]
mod chat;
mod common;

use core::net::SocketAddr;
use core::time::Duration;

use chat::{Chat, DoorConfig, Report, Stats};
use clap::Parser;
use common::output::{fail, line, table};
use common::serve::{start, wait_for_interrupt};
use serde_json::{Value, json};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{BusCounters, Keepalive, StreamCounters, TcpListen, TcpOptions, Token};

/// A line chat over TCP: say `nc 127.0.0.1 7000`, then `/join somewhere`. Ctrl-C ends it and prints
/// what happened.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port to listen on; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:7000")]
    listen: SocketAddr,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Worker threads; they share the port, each person comes in by one of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// People who may come in by each worker
    #[arg(long, default_value_t = 5_000, value_parser = people)]
    people: usize,
    /// Bytes that may wait for each person beyond what the system has taken; what is said beyond that
    /// is missed. Even who reads fast needs twice what is said in one turn of a worker
    #[arg(long, default_value_t = 262_144, value_parser = queue)]
    queue: usize,
    /// Seconds after which who says nothing has to leave
    #[arg(long, default_value_t = 3_600)]
    silence: u64,
    /// Seconds after which who reads nothing has to leave
    #[arg(long, default_value_t = 60)]
    stuck: u64,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let config = RuntimeConfig::new(options.backend).workers(options.workers);
    let mut controller = start(config, chat::spawn);

    // With port 0, the first worker's port is everybody's.
    let mut bind = options.listen;
    for worker in 0..options.workers {
        controller
            .spawn(worker, door(bind, &options))
            .unwrap_or_else(|error| fail(error));
        match wait_until_listening(&mut controller) {
            Some(local) => bind = local,
            None => return end(controller, &options),
        }
    }
    wait_for_interrupt(&mut controller, |_| {});
    end(controller, &options);
}

fn door(bind: SocketAddr, options: &Options) -> DoorConfig {
    let keepalive = Keepalive::new(Duration::from_secs(60), Duration::from_secs(10), 6);
    let stream = TcpOptions::new()
        .with_send_queue_max(options.queue)
        .with_keepalive(keepalive);
    let listen = TcpListen::new(Token(0), bind)
        .with_backlog(4_096)
        .with_options(stream);
    let mut config = DoorConfig::new(if options.workers > 1 {
        listen.shared()
    } else {
        listen
    });
    config.people_max = options.people;
    config.patience.silent_max = Duration::from_secs(options.silence);
    config.patience.stuck_max = Duration::from_secs(options.stuck);
    config
}

/// The address that a door is bound to; `None` if Ctrl-C came first.
fn wait_until_listening(controller: &mut Controller<Chat>) -> Option<SocketAddr> {
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
            } => fail(format_args!("cannot listen on {bind}: {error}")),
            ControllerEvent::Interrupted => return None,
            _ => {}
        }
    }
}

fn end(controller: Controller<Chat>, options: &Options) {
    let summary = controller.shutdown(Duration::from_secs(5));
    let (mut streams, mut bus) = (StreamCounters::default(), BusCounters::default());
    for worker in &summary.workers {
        streams += worker.counters.streams;
        bus += worker.bus;
    }
    let (mut total, mut by_worker) = (Stats::default(), Vec::new());
    for event in summary.events {
        if let ControllerEvent::Report {
            report: Report::Stopped(stats),
            ..
        } = event
        {
            total.add(&stats);
            by_worker.push(stats.welcomed);
        }
    }
    if options.json {
        let mut object = total.to_json();
        if let Value::Object(object) = &mut object {
            object.insert("welcomed_by_worker".to_owned(), json!(by_worker));
            object.insert(
                "bus".to_owned(),
                json!({ "sent": bus.sent, "delivered": bus.delivered, "dropped": bus.dropped, "refused": bus.refused }),
            );
            object.insert("received_bytes".to_owned(), json!(streams.bytes_in));
            object.insert("sent_bytes".to_owned(), json!(streams.bytes_out));
            object.insert("unsent_bytes".to_owned(), json!(streams.bytes_unsent));
        }
        return line(object);
    }
    let mut rows = total.rows();
    rows.extend([
        ("let in, by worker", format!("{by_worker:?}")),
        ("messages on the bus", bus.sent.to_string()),
        ("of these, dropped", bus.dropped.to_string()),
        ("bytes received", streams.bytes_in.to_string()),
        ("bytes sent", streams.bytes_out.to_string()),
        ("bytes not sent", streams.bytes_unsent.to_string()),
    ]);
    table("stopped", &rows);
}

fn people(text: &str) -> Result<usize, String> {
    at_most(text, 1, DoorConfig::PEOPLE_MOST)
}

fn queue(text: &str) -> Result<usize, String> {
    at_most(text, DoorConfig::QUEUE_BYTES_MIN, 1 << 30)
}

fn at_most(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|error| format!("{error}"))?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not from {least} to {most}"))
    }
}
