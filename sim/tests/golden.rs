//! What a dozen scenarios come to, written down: the same in debug and in release, in every process,
//! on every thread and on every machine.
//!
//! `golden/hashes.txt` has a line for each. A change of the simulator or of the worker that changes
//! how seeds replay shows there, in review. One that is meant is blessed:
//!
//! ```text
//! STILLPOINT_BLESS=1 cargo test -p stillpoint-sim --test golden
//! ```
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks of tests look for some variants"
)]

#[path = "golden/causes.rs"]
mod causes;
mod common;
#[path = "common/hand.rs"]
mod hand;
#[path = "golden/pictures.rs"]
mod pictures;
#[path = "golden/scenarios.rs"]
mod scenarios;
#[path = "golden/weather.rs"]
mod weather;
#[path = "devices/wire.rs"]
mod wire;

use core::fmt::Write;
use std::process::Command;

use scenarios::SCENARIOS;
use stillpoint_sim::{Failure, RunSummary, TraceLog};

/// Counts the formats of the file. One more if lines of another come to mean something else.
const FORMAT: u32 = 1;

/// A scenario, and which seed of it is written down.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) run: fn(u64) -> (RunSummary, Result<(), Failure>),
    pub(crate) record: fn(u64) -> TraceLog,
}

impl Scenario {
    /// Name, seed, events and hash.
    fn line(&self) -> String {
        let (summary, end) = (self.run)(self.seed);
        end.unwrap_or_else(|failure| panic!("{}: {failure}", self.name));
        let RunSummary {
            seed,
            events,
            trace_hash,
            ..
        } = summary;
        format!("{} {seed:#x} {events} {trace_hash}", self.name)
    }
}

fn lines() -> Vec<String> {
    SCENARIOS.iter().map(Scenario::line).collect()
}

fn path() -> String {
    format!("{}/tests/golden/hashes.txt", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_scenario_comes_to_what_is_written_down() {
    let now = lines();
    let mut file = format!(
        "# What the scenarios of tests/golden come to: name, seed, events, trace hash.\n\
        # A line that changes says that old seeds replay otherwise. See tests/golden.rs.\n\
        format {FORMAT}\n"
    );
    for line in &now {
        writeln!(file, "{line}").unwrap();
    }
    let old = std::fs::read_to_string(path()).unwrap_or_default();
    if old == file {
        return;
    }
    #[allow(clippy::disallowed_methods, reason = "whoever changes hashes says so")]
    let blessed = std::env::var("STILLPOINT_BLESS").is_ok();
    if blessed {
        return std::fs::write(path(), file).unwrap();
    }
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let mut told = String::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let before = old.lines().find(|old| name(old) == name(line));
        if before != Some(line) {
            let before = before.unwrap_or("(not there)");
            writeln!(told, "  old: {before}\n  new: {line}").unwrap();
        }
    }
    for gone in old.lines().filter(|line| !line.starts_with('#')) {
        if !file.lines().any(|line| name(line) == name(gone)) {
            writeln!(told, "  old: {gone}\n  new: (not there)").unwrap();
        }
    }
    panic!(
        "seeds replay otherwise than {} says:\n{told}\
        If that is not meant, it is a bug. If it is, run this test with STILLPOINT_BLESS=1 and say \
        in the changelog that old seeds are void.",
        path()
    );
}

#[test]
fn another_process_agrees() {
    let all = lines().join("\n");
    println!("{all}");
    if std::env::args().any(|arg| arg == "--nocapture") {
        return; // This is the other process.
    }
    let program = std::env::current_exe().unwrap();
    let other = Command::new(program)
        .args(["another_process_agrees", "--exact", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    assert!(told.contains(&all), "{told}");
}

#[test]
fn any_number_of_threads_agrees() {
    let alone = lines();
    for threads in [2, 3, 8] {
        let together: Vec<String> = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..threads)
                .map(|thread| {
                    let own = SCENARIOS.iter().skip(thread).step_by(threads);
                    scope.spawn(move || own.map(Scenario::line).collect::<Vec<_>>())
                })
                .collect();
            begun
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let mut sorted = [alone.clone(), together];
        sorted.iter_mut().for_each(|lines| lines.sort());
        assert_eq!(sorted[0], sorted[1], "{threads} threads");
    }
}

#[test]
fn another_seed_comes_to_something_else() {
    for scenario in SCENARIOS {
        let (this, _) = (scenario.run)(scenario.seed);
        let (other, _) = (scenario.run)(scenario.seed + 1);
        assert_ne!(this.trace_hash, other.trace_hash, "{}", scenario.name);
    }
}
