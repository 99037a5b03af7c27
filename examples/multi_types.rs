//! Several types of task that make each other and talk over the bus, on real workers or simulated.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;
#[path = "common/multi_types/mod.rs"]
mod multi_types;

use core::time::Duration;

use clap::Parser;
use common::output::{fail, line, table};
use multi_types::boss::{Ask, Boss, Plan, sum};
use multi_types::{Jobs, spawn};
use serde_json::{Map, Value, json};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{CommandTarget, Timestamp, WorkerStatus};
use stillpoint_sim::{NodeId, World};

/// Has a number of jobs done by tasks of several types, and prints what became of each type.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Workers: threads, or simulated ones
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Jobs to be done
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    jobs: u32,
    /// The seed that the work follows from, and the tasks' chance; with --simulate everything does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run in the simulator, in virtual time
    #[arg(long)]
    simulate: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let plan = Plan {
        workers: options.workers,
        jobs: options.jobs,
        seed: options.seed,
    };
    let mut boss = Boss::new(plan);
    let run = if options.simulate {
        run_simulated(&mut boss, plan)
    } else {
        run_real(&mut boss, plan)
    };
    if !boss.faults.is_empty() {
        fail(boss.faults.join("; "));
    }
    tell(&boss, &run, &options);
}

/// How a run went.
struct Run {
    world: &'static str,
    took: Duration,
    /// When all was done and nothing went on any more.
    statuses: Vec<WorkerStatus>,
    /// What only a simulated run has: how much has happened, and the hash of it.
    trace: Option<(u64, String)>,
}

fn run_real(boss: &mut Boss, plan: Plan) -> Run {
    let mut config = RuntimeConfig::new(BackendKind::default()).workers(plan.workers);
    config.seed = plan.seed;
    let mut controller =
        Controller::<Jobs>::start(config, spawn).unwrap_or_else(|error| fail(error));
    let mut took = None;
    // When all is done, crunches go one by one; once none has for a while, nothing goes on.
    loop {
        while let Some(ask) = boss.poll_ask() {
            let asked = match ask {
                Ask::Spawn(worker, spawn) => controller.spawn(worker, spawn).map(drop),
                Ask::Command(worker, order) => controller.command(on(worker), order),
            };
            asked.unwrap_or_else(|error| fail(error));
        }
        match controller.wait(Some(QUIET)) {
            Some(event) => boss.handle_event(event),
            None if boss.is_done() => break,
            None => fail("nothing happens, and not all is done"),
        }
        if boss.is_done() && took.is_none() {
            took = Some(controller.now().since(Timestamp::EPOCH));
        }
    }
    let statuses = controller.status();
    controller.shutdown(Duration::from_secs(1));
    Run {
        world: "real",
        took: took.unwrap_or_default(),
        statuses,
        trace: None,
    }
}

fn run_simulated(boss: &mut Boss, plan: Plan) -> Run {
    let mut world = World::new(plan.seed);
    let node = world
        .node("machine", [10, 0, 0, 1])
        .workers(plan.workers)
        .spawner(spawn);
    // As above: look until all is done, then until nothing is left to happen.
    while !boss.is_done() {
        look(&mut world, node, boss);
        if world.now().since(Timestamp::EPOCH) > QUIET * 100 {
            fail("nothing happens, and not all is done");
        }
    }
    let took = world.now().since(Timestamp::EPOCH);
    world
        .run_until_idle(QUIET)
        .unwrap_or_else(|failure| fail(failure));
    let statuses = world.controller(node).status();
    Run {
        world: "simulated",
        took,
        statuses,
        trace: Some((world.events(), world.trace_hash().to_string())),
    }
}

/// Does what the boss asks for, lets a little time pass, and tells what has happened.
fn look(world: &mut World<Jobs>, node: NodeId, boss: &mut Boss) {
    let mut controller = world.controller(node);
    while let Some(ask) = boss.poll_ask() {
        let asked = match ask {
            Ask::Spawn(worker, spawn) => controller.spawn(worker, spawn).map(drop),
            Ask::Command(worker, order) => controller.command(on(worker), order).map(drop),
        };
        asked.unwrap_or_else(|error| fail(error));
    }
    let ran = world.run_for(Duration::from_micros(100));
    ran.unwrap_or_else(|failure| fail(failure));
    while let Some(event) = world.controller(node).poll() {
        boss.handle_event(event);
    }
}

/// The agent of a worker.
const fn on(worker: u16) -> CommandTarget {
    CommandTarget::Worker(worker)
}

fn tell(boss: &Boss, run: &Run, options: &Options) {
    let (groups, bus) = sum(&run.statuses);
    let totals = boss.totals();
    if options.json {
        let groups = groups.iter().map(|group| {
            let counters = group.counters;
            let value = json!({
                "started": counters.started, "finished": counters.finished, "alive": group.tasks,
                "inputs": counters.inputs, "timeouts": counters.timeouts,
            });
            (group.name.to_owned(), value)
        });
        return line(json!({
            "world": run.world, "workers": options.workers, "jobs": options.jobs, "seed": options.seed,
            "milliseconds": run.took.as_secs_f64() * 1e3,
            "totals": totals.to_json(),
            "groups": Value::Object(groups.collect::<Map<_, _>>()),
            "bus": {
                "sent": bus.sent, "received": bus.received, "delivered": bus.delivered,
                "dropped": bus.dropped, "refused": bus.refused, "stale": bus.stale,
                "unheard": bus.unheard, "requests": bus.requests, "replies": bus.replies,
                "requests_failed": bus.requests_failed,
            },
            "events": run.trace.as_ref().map(|(events, _)| events),
            "trace_hash": run.trace.as_ref().map(|(_, hash)| hash),
        }));
    }
    let took = format!("{:.1} ms", run.took.as_secs_f64() * 1e3);
    let mut rows = vec![
        ("time", took),
        ("parts", totals.parts.to_string()),
        ("asked again elsewhere", totals.retries.to_string()),
        ("asked who was busy", totals.busy.to_string()),
        ("crunches made by jobs", totals.spawned.to_string()),
        ("messages sent", bus.sent.to_string()),
        ("messages delivered", bus.delivered.to_string()),
        ("messages nobody wanted", bus.unheard.to_string()),
        ("messages to who is gone", bus.stale.to_string()),
        ("requests", bus.requests.to_string()),
        ("requests answered", bus.replies.to_string()),
        ("requests failed", bus.requests_failed.to_string()),
    ];
    if let Some((events, hash)) = &run.trace {
        rows.extend([("events", events.to_string()), ("trace hash", hash.clone())]);
    }
    let title = format!(
        "{} jobs, {} workers, {}",
        options.jobs, options.workers, run.world
    );
    table(&title, &rows);
    line("tasks by type");
    for group in groups {
        let counters = group.counters;
        line(format_args!(
            "  {:12} {:5} started {:5} finished {:3} alive {:7} inputs",
            group.name, counters.started, counters.finished, group.tasks, counters.inputs,
        ));
    }
}

/// After which time without an event nothing more is to come.
const QUIET: Duration = Duration::from_millis(500);
