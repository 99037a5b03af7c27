//! How much media one thread forwards: one publisher, a hundred viewers, SRTP included.
//!
//! Two contestants do the same with the same str0m, set up the same: the SFU of this crate with one
//! worker, over each backend, and one that is written as one would without a runtime, as a loop around
//! a blocking socket. Each gets the same load in turn, several times. What is counted is what arrives
//! at the viewers' sockets; CPU is that of the contestant's thread alone, by the scheduler's account.
//!
//! `cargo bench -p whip-whep --bench fanout -- [--viewers N] [--rounds N] [--seconds N] [--json]`
#![allow(unreachable_pub, reason = "modules of one program")]
#![allow(clippy::print_stdout, reason = "this is what a benchmark is for")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark asks what time it is, and starts threads"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

#[path = "fanout/load.rs"]
mod load;
#[path = "fanout/ours.rs"]
mod ours;
#[path = "fanout/plain.rs"]
mod plain;

use core::time::Duration;

use clap::Parser;
use load::Load;
use serde_json::json;
use stillpoint::backend::BackendKind;

#[derive(Parser)]
struct Options {
    /// Viewers of the one publisher
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// How often each contestant gets each load
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each load lasts
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only those contestants, of mio, polling, poll, io-uring and plain
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these rates, in packets of video a second
    #[arg(long, value_delimiter = ',', default_values_t = [90, 300, 1_500])]
    rates: Vec<u32>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a contestant is asked for sessions by: an offer to publish or to watch, and its answer.
pub trait Contestant {
    /// What its thread is called.
    fn thread(&self) -> &'static str;
    /// An answer to who wants to publish.
    fn publish(&mut self, offer: String) -> String;
    /// An answer to who wants to watch.
    fn watch(&mut self, offer: String) -> String;
}

fn main() {
    let options = Options::parse();
    let names: Vec<_> = BackendKind::ALL
        .iter()
        .map(BackendKind::to_string)
        .collect();
    let names = names.into_iter().chain(["plain".to_owned()]);
    let is_wanted = |name: &String| options.only.is_empty() || options.only.contains(name);
    let names: Vec<_> = names.filter(is_wanted).collect();
    for &rate in &options.rates {
        let mut results: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), Vec::new()))
            .collect();
        for _ in 0..options.rounds {
            for (name, measured) in &mut results {
                let measure = |contestant: &mut dyn Contestant| measure(contestant, rate, &options);
                measured.push(match name.parse::<BackendKind>() {
                    Ok(backend) => measure(&mut ours::Ours::start(backend)),
                    Err(_) => measure(&mut plain::Plain::start()),
                });
            }
        }
        report(rate, &results, &options);
    }
}

/// What came of one load.
struct Measured {
    /// Packets that arrived at viewers, a second.
    forwarded: f64,
    /// Of those that were to arrive.
    share: f64,
    /// CPU of the contestant's thread for each, in microseconds.
    cpu: f64,
}

fn measure(contestant: &mut dyn Contestant, rate: u32, options: &Options) -> Measured {
    let mut load = Load::connect(contestant, options.viewers);
    load.run(rate, Duration::from_millis(700)); // Key frames have come, and all is warm.
    let before = cpu_nanos(contestant.thread());
    let seconds = Duration::from_secs(options.seconds);
    let (sent, received, took) = load.run(rate, seconds);
    let cpu = cpu_nanos(contestant.thread()) - before;
    let received = received as f64;
    Measured {
        forwarded: received / took.as_secs_f64(),
        share: received / (sent as f64 * options.viewers as f64),
        cpu: cpu as f64 / 1_000.0 / received,
    }
}

fn report(rate: u32, results: &[(String, Vec<Measured>)], options: &Options) {
    let median = |measured: &[Measured], pick: fn(&Measured) -> f64| {
        let mut all: Vec<_> = measured.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    };
    let plain = &results.last().unwrap().1;
    let plain_cpu = median(plain, |measured| measured.cpu).0;
    if !options.json {
        println!(
            "\n{rate} packets a second to {} viewers, {} rounds",
            options.viewers, options.rounds
        );
        println!(
            "{:<10} {:>12} {:>8} {:>22} {:>9}",
            "", "forwarded/s", "arrived", "CPU us a packet", "of plain"
        );
    }
    for (name, measured) in results {
        let forwarded = median(measured, |measured| measured.forwarded).0;
        let share = median(measured, |measured| measured.share).0;
        let (cpu, least, most) = median(measured, |measured| measured.cpu);
        if options.json {
            let line = json!({ "contestant": name, "rate": rate, "viewers": options.viewers,
                "forwarded_per_second": forwarded, "arrived": share,
                "cpu_us": { "median": cpu, "least": least, "most": most } });
            println!("{line}");
        } else {
            let spread = format!("{cpu:.2} ({least:.2} to {most:.2})");
            println!(
                "{name:<10} {forwarded:>12.0} {share:>8.3} {spread:>22} {:>9.2}",
                cpu / plain_cpu
            );
        }
    }
}

/// CPU time that threads of this name have had, in nanoseconds.
fn cpu_nanos(thread: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .map(|task| task.unwrap().path())
        .filter(|path| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == thread)
        })
        .map(|path| {
            let account = std::fs::read_to_string(path.join("schedstat")).unwrap();
            account.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum()
}
