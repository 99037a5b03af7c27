//! One task, two worlds: the same echo tasks over real sockets, then in a seeded simulation; and
//! what a failing seed is worth.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::SocketAddr;
use core::time::Duration;

use clap::Parser;
use common::echo::{Care, Client, ClientConfig, Echo, Report, Spawn, spawn};
use common::output::{fail, line, table};
use common::stats::ClientStats;
use serde_json::{Value, json};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{Token, UdpOpen};
use stillpoint_sim::{DropCause, Failure, FoundFailure, Link, World, find_failure, run_seed};

/// Runs the same echo tasks over real loopback sockets and in a simulated lossy network, then lets
/// the simulator find, print and replay a planted fault.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The seed that all of the simulated part follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

const CLIENTS: u16 = 4;
const WINDOW: usize = 8;
const PAYLOAD_BYTES: usize = 200;
const REAL_DURATION: Duration = Duration::from_millis(1_500);
const SIMULATED_DURATION: Duration = Duration::from_secs(10);
const SEEDS_MAX: u64 = 1_000;

fn main() {
    let options = Options::parse();
    let say = |human: &dyn Fn(), value: Value| if options.json { line(value) } else { human() };

    let real = run_real();
    let mut object = json!({ "world": "real", "backend": BackendKind::default().name() });
    extend(&mut object, real.to_json());
    say(
        &|| table("Real: the echo tasks over loopback sockets", &real.rows()),
        object,
    );

    let (stats, rows, object) = run_simulated(options.seed);
    say(
        &|| {
            let title = "Simulated: the same tasks, 10 virtual seconds, a lossy network";
            table(
                &format!("\n{title} (seed {})", options.seed),
                &[stats.rows(), rows.clone()].concat(),
            );
        },
        object,
    );

    // The planted panic is what we look for; its message comes with the failure.
    std::panic::set_hook(Box::new(|_| {}));
    let found = find(options.seed);
    let (summary, again) = run_seed(found.summary.seed, careless);
    drop(std::panic::take_hook());
    let same = summary.trace_hash == found.summary.trace_hash && again.is_err();
    let object = json!({
        "world": "simulated",
        "scenario": "careless client",
        "seed": found.summary.seed,
        "trace_hash": found.summary.trace_hash.to_string(),
        "events": found.summary.events,
        "failure": found.failure.to_string(),
        "replayed_the_same": same,
    });
    say(
        &|| tell(&found, summary.trace_hash.to_string(), same),
        object,
    );
    if !same {
        fail("the replay differs: that is a fault of the simulator");
    }
}

fn tell(found: &FoundFailure, again: String, same: bool) {
    line("\nPlanted fault: a client that takes every datagram for the reply to a request");
    line(format_args!(
        "  seed {} fails after {} events:",
        found.summary.seed, found.summary.events
    ));
    line(format_args!("    {}", found.failure));
    line("  what led to it:");
    for event in found.last_events.iter().rev().take(6).rev() {
        line(format_args!("    {event}"));
    }
    line(format_args!(
        "  replay with: cargo run --release --example demo -- --seed {}",
        found.summary.seed
    ));
    line(format_args!("  first run   {}", found.summary.trace_hash));
    line(format_args!(
        "  replayed    {again}  {}",
        if same {
            "the same, byte for byte"
        } else {
            "DIFFERENT"
        }
    ));
}

/// Servers and clients on two worker threads, over loopback.
fn run_real() -> ClientStats {
    let config = RuntimeConfig::new(BackendKind::default()).workers(2);
    let mut controller = Controller::start(config, spawn).unwrap_or_else(|error| fail(error));
    let open = UdpOpen::new(Token(0), SocketAddr::from(([127, 0, 0, 1], 0)));
    controller
        .spawn(0, Spawn::Server(open))
        .unwrap_or_else(|error| fail(error));
    let (mut total, mut done) = (ClientStats::default(), 0);
    while done < CLIENTS {
        match controller.wait(None) {
            Some(ControllerEvent::Report {
                report: Report::Listening(server),
                ..
            }) => {
                for _ in 0..CLIENTS {
                    let client = client(server, REAL_DURATION, Care::Careful);
                    controller
                        .spawn(1, client)
                        .unwrap_or_else(|error| fail(error));
                }
            }
            Some(ControllerEvent::Report {
                report: Report::Done(stats),
                ..
            }) => {
                total.add(&stats);
                done += 1;
            }
            Some(ControllerEvent::Report {
                report: Report::BindFailed { bind, error },
                ..
            }) => {
                fail(format_args!("cannot bind {bind}: {error}"));
            }
            Some(ControllerEvent::WorkerStopped(summary)) => fail(format_args!("{summary:?}")),
            Some(_) => {}
            None => fail("all workers are gone"),
        }
    }
    controller.shutdown(Duration::from_secs(1));
    total
}

/// The same tasks in a world with a lossy network.
fn run_simulated(seed: u64) -> (ClientStats, Vec<(&'static str, String)>, Value) {
    let mut world = World::new(seed);
    if let Err(failure) = load(&mut world, SIMULATED_DURATION, Care::Careful) {
        fail(failure);
    }
    let mut total = ClientStats::default();
    for reported in world.take_reports() {
        if let Report::Done(stats) = reported.report {
            total.add(&stats);
        }
    }
    let counters = world.counters();
    let hash = world.trace_hash().to_string();
    let mut object = json!({
        "world": "simulated",
        "scenario": "echo",
        "seed": seed,
        "trace_hash": hash,
        "events": world.events(),
        "network": {
            "sent": counters.sent,
            "duplicated": counters.duplicated,
            "delivered": counters.delivered,
            "lost": counters.dropped.by(DropCause::Loss),
            "dropped": counters.dropped.total(),
        },
    });
    extend(&mut object, total.to_json());
    let rows = vec![
        ("network: datagrams sent", counters.sent.to_string()),
        (
            "network: lost on the way",
            counters.dropped.by(DropCause::Loss).to_string(),
        ),
        ("network: duplicated", counters.duplicated.to_string()),
        ("events", world.events().to_string()),
        ("trace hash", hash),
    ];
    (total, rows, object)
}

/// The first seed, from this one on, that the careless client does not survive.
fn find(seed: u64) -> FoundFailure {
    let seeds = (0..SEEDS_MAX).map(|offset| seed.wrapping_add(offset));
    let found = find_failure("careless client", seeds, careless);
    found.unwrap_or_else(|| {
        fail(format_args!(
            "{SEEDS_MAX} seeds, and the fault was not found"
        ))
    })
}

fn careless(world: &mut World<Echo>) -> Result<(), Failure> {
    load(world, Duration::from_millis(200), Care::Careless)
}

/// A server with two workers, clients on nodes of their own, and a network with every fault.
fn load(world: &mut World<Echo>, duration: Duration, care: Care) -> Result<(), Failure> {
    const PORT: u16 = 7;
    let ms = Duration::from_millis;
    let faulty = Link::new(ms(1)..=ms(4))
        .loss(0.01)
        .duplicate(0.001)
        .reorder(0.01, ms(3));
    world.default_link(&faulty);
    world.always(
        "no more requests in flight than the window allows",
        |world| {
            ["client 0", "client 1", "client 2", "client 3"]
                .into_iter()
                .all(|name| {
                    let node = world.find(name);
                    node.is_none_or(|node| {
                        world
                            .tasks::<Client>(node)
                            .all(|(_, client)| client.in_flight() <= WINDOW)
                    })
                })
        },
    );
    let server = world
        .node("server", [10, 0, 0, 1])
        .workers(2)
        .spawner(spawn);
    for worker in 0..2 {
        let open = UdpOpen::new(Token(0), SocketAddr::from(([0, 0, 0, 0], PORT)));
        world.spawn(server, worker, Spawn::Server(open.shared()));
    }
    world.run_for(ms(1))?;
    for index in 0..CLIENTS {
        let address = [10, 0, 1, u8::try_from(index).expect("few clients")];
        let node = world
            .node(format!("client {index}"), address)
            .spawner(spawn);
        let server = SocketAddr::from(([10, 0, 0, 1], PORT));
        world.spawn(node, 0, client(server, duration, care));
    }
    world.run_until(duration + Duration::from_secs(5), |world| {
        let done =
            |reported: &&stillpoint_sim::Reported<Echo>| matches!(reported.report, Report::Done(_));
        world.reports().iter().filter(done).count() == usize::from(CLIENTS)
    })
}

fn client(server: SocketAddr, duration: Duration, care: Care) -> Spawn {
    let (window, payload_bytes) = (WINDOW, PAYLOAD_BYTES);
    Spawn::Client(ClientConfig {
        server,
        window,
        payload_bytes,
        duration,
        care,
    })
}

/// Adds the fields of one object to another.
fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}
