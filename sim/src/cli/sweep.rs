//! `sweep`: many seeds, side by side.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::SweepArgs;
use super::begin::{Beginning, begin};
use super::progress::{Progress, rate};
use super::{BROKEN, CliError, NOTHING, give_report, on_a_quiet_thread, quiet_panics, say};
use crate::campaign::engine::{Job, Watcher};
use crate::campaign::file::Writer;
use crate::campaign::record::Record;
use crate::campaign::report::{Extras, Labels};
use crate::campaign::{CanaryRecord, Chunk, Engine, Header, Plan, Report, Shard, Stop, canary};
use crate::choice::Driver;
use crate::drive::{Canary, Scenarios, Watch};
use crate::failure::FailureFile;
use crate::folder;
use crate::wall::Stopwatch;

pub(super) fn sweep(
    scenarios: &Scenarios,
    program: &str,
    args: &SweepArgs,
) -> Result<u8, CliError> {
    let (header, file) = begin(scenarios, args)?;
    let mut writer = match &file {
        Beginning::Again(file) => Some(file.append()?),
        Beginning::New(Some(path)) => Some(Writer::create(path, &header)?),
        Beginning::New(None) => None,
    };
    let mut report = Report::new(&header);
    if let Beginning::Again(file) = &file {
        let chunks = file.chunks.iter();
        chunks.for_each(|chunk| report.add(chunk));
        for canary in &file.canaries {
            report.add_canary(header.plan.shard, canary);
        }
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    on_interrupt(&interrupted);
    quiet_panics();
    let threads = args.threads.map(usize::from);
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let mut engine = Engine {
        threads: threads.unwrap_or_else(cores),
        watch: Stopwatch::start(None),
        interrupted: &interrupted,
    };
    // They are there to be found, so they have all the time that they take.
    find_canaries(scenarios, &header, &engine, &mut report, &mut writer)?;
    engine.watch = Stopwatch::start(args.budget);
    let before = report.seeds();
    let stop = run(scenarios, &header, &engine, args, &mut report, &mut writer)?;
    say_how_it_ended(&header, stop, report.seeds() - before, &engine);
    judge(&header.plan, stop, &mut report);
    let extras = Extras {
        program: program.to_owned(),
        folders: on_a_quiet_thread(|| Ok(write_folders(scenarios, &report, args.folders)))?,
    };
    give_report(&report, &extras, &args.shown);
    let code = report.verdict().code();
    // Who has interrupted it is not to be told that nothing was found.
    Ok(if stop == Stop::Interrupted && code == NOTHING {
        BROKEN
    } else {
        code
    })
}

/// The first Ctrl-C stops the sweep in an orderly way, the second at once.
fn on_interrupt(interrupted: &Arc<AtomicBool>) {
    let interrupted = Arc::clone(interrupted);
    let stop = move || {
        if interrupted.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        say(format_args!(
            "stops after the seeds that are being run; once more stops at once"
        ));
    };
    // A program that has a handler of its own keeps it, and is interrupted as it says.
    drop(ctrlc::set_handler(stop));
}

/// Looks for each canary that was not looked for.
fn find_canaries(
    scenarios: &Scenarios,
    header: &Header,
    engine: &Engine<'_>,
    report: &mut Report,
    writer: &mut Option<Writer>,
) -> Result<(), CliError> {
    let built_in = canary::built_in();
    let shard = header.plan.shard;
    for canary in scenarios.canaries().iter().chain([&built_in]) {
        let name = canary.scenario.name();
        let mut caught = report.canaries.iter();
        if caught.any(|caught| caught.name == name && !caught.by.is_empty()) {
            continue;
        }
        let Some(record) = find_canary(canary, &header.plan, engine)? else {
            continue;
        };
        if let Some(writer) = writer {
            writer.write(&Record::Canary(record.clone()))?;
        }
        report.add_canary(shard, &record);
    }
    Ok(())
}

/// Looks for a canary, the way in which everything else is looked for. `None` if it was stopped
/// before that was decided.
fn find_canary(
    canary: &Canary,
    plan: &Plan,
    engine: &Engine<'_>,
) -> Result<Option<CanaryRecord>, CliError> {
    // Each shard has seeds of its own, as it has of the scenarios.
    let skipped = plan.shard.index.saturating_mul(canary.within);
    let first = plan.seeds.start.saturating_add(skipped);
    let first = first.min(u64::MAX - canary.within);
    let chunks = (first..first + canary.within).step_by(CANARY_CHUNK);
    let jobs = chunks.map(|from| Job {
        scenario: &canary.scenario,
        seeds: from..(from + CANARY_CHUNK as u64).min(first + canary.within),
    });
    let mut found = Found::default();
    let stop = engine.run(jobs, Some(1), &mut found)?;
    let is_decided = matches!(stop, Stop::Done | Stop::Failures);
    Ok(is_decided.then(|| CanaryRecord {
        name: canary.scenario.name().to_owned(),
        found: found.seed,
        seeds: found.seeds,
    }))
}

#[derive(Default)]
struct Found {
    seed: Option<u64>,
    seeds: u64,
}

impl Watcher for Found {
    type Error = CliError;

    fn done(&mut self, chunk: Chunk) -> Result<(), CliError> {
        self.seeds += chunk.coverage.seeds;
        let seeds = chunk.failures.values().map(|group| group.example.seed);
        self.seed = self.seed.or(seeds.min());
        Ok(())
    }

    fn tick(&mut self, _: u64, _: u64) {}

    fn slow(&mut self, scenario: &str, seed: u64, since: Duration) {
        tell_of_slow(scenario, seed, since);
    }
}

fn tell_of_slow(scenario: &str, seed: u64, since: Duration) {
    say(format_args!(
        "seed {seed:#x} of `{scenario}` has been run for {since:.0?}"
    ));
}

fn run(
    scenarios: &Scenarios,
    header: &Header,
    engine: &Engine<'_>,
    args: &SweepArgs,
    report: &mut Report,
    writer: &mut Option<Writer>,
) -> Result<Stop, CliError> {
    let plan = &header.plan;
    let failures_max = args.failures.or(args.until_failure.then_some(1));
    let left = failures_max.map(|max| max.saturating_sub(report.failed()));
    if left == Some(0) {
        return Ok(Stop::Failures);
    }
    let ran = report.ran.clone();
    let mut all = Vec::new();
    for name in &plan.scenarios {
        all.push(scenarios.get(name)?);
    }
    let jobs = plan.pieces(&ran).map(|piece| Job {
        scenario: all[piece.scenario],
        seeds: piece.seeds,
    });
    let seeds = (!plan.is_open()).then(|| {
        let pieces = plan.pieces(&ran);
        pieces
            .map(|piece| piece.seeds.end - piece.seeds.start)
            .sum::<u64>()
            + report.seeds()
    });
    let progress = Progress::new(seeds, report.seeds(), engine.watch);
    let mut sink = Sink {
        report,
        writer,
        progress: &progress,
    };
    let stop = engine.run(jobs, left, &mut sink);
    progress.finish();
    stop
}

/// Where records go.
struct Sink<'a> {
    report: &'a mut Report,
    writer: &'a mut Option<Writer>,
    progress: &'a Progress,
}

impl Watcher for Sink<'_> {
    type Error = CliError;

    fn done(&mut self, chunk: Chunk) -> Result<(), CliError> {
        self.report.add(&chunk);
        if let Some(writer) = &mut self.writer {
            writer.write(&Record::Chunk(Box::new(chunk)))?;
        }
        Ok(())
    }

    fn tick(&mut self, seeds: u64, failed: u64) {
        self.progress.tick(seeds, failed);
    }

    fn slow(&mut self, scenario: &str, seed: u64, since: Duration) {
        self.progress.say(format_args!(
            "seed {seed:#x} of `{scenario}` has been run for {since:.0?}"
        ));
    }
}

fn say_how_it_ended(header: &Header, stop: Stop, seeds: u64, engine: &Engine<'_>) {
    let why = match stop {
        Stop::Done => "all seeds were run",
        Stop::Budget => "stopped by its budget",
        Stop::Failures => "stopped, as there are as many failures as were asked for",
        Stop::Interrupted => "interrupted",
    };
    let elapsed = engine.watch.elapsed();
    let rate = rate(seeds, elapsed);
    let shard = match header.plan.shard {
        Shard::WHOLE => String::new(),
        shard => format!(", shard {shard}"),
    };
    let threads = engine.threads;
    say(format_args!(
        "{why}: {seeds} seeds in {elapsed:.1?} on {threads} threads, {rate}{shard}"
    ));
}

/// Finds out what is missing, and whether labels can be judged.
fn judge(plan: &Plan, stop: Stop, report: &mut Report) {
    if !plan.is_open() {
        for (number, name) in plan.scenarios.iter().enumerate() {
            report.want(name, plan.wanted(number).of(name));
        }
    }
    // Where there is no end to the seeds, a budget is all that there is to be.
    let is_all = if plan.is_open() {
        stop == Stop::Budget
    } else {
        report.is_whole()
    };
    if is_all && plan.shard == Shard::WHOLE {
        report.labels = Labels::Judged;
    }
}

type Folders = BTreeMap<(String, u64), PathBuf>;

/// Writes the folders of some failures: of each class the one with the smallest seed.
fn write_folders(scenarios: &Scenarios, report: &Report, folders_max: usize) -> Folders {
    let mut folders = Folders::new();
    let groups = report.scenarios.iter().flat_map(|(name, part)| {
        let groups = part.failures.values();
        groups.map(move |group| (name, group.example.seed))
    });
    for (name, seed) in groups.take(folders_max) {
        let Ok(scenario) = scenarios.get(name) else {
            continue;
        };
        let run = scenario.run(Driver::Seed(seed), Watch::Trace);
        let Some(file) = FailureFile::of(name, &run) else {
            say(format_args!(
                "seed {seed:#x} of `{name}` has failed, and run once more it does not: something asks \
                a clock or the system. See `self_check`"
            ));
            continue;
        };
        match folder::write(&file, &run) {
            Ok(folder) => {
                folders.insert((name.clone(), seed), folder);
            }
            Err(error) => say(format_args!(
                "the folder of seed {seed:#x} of `{name}` could not be written: {error}"
            )),
        }
    }
    folders
}

/// Seeds of a canary that are one chunk.
const CANARY_CHUNK: usize = 16;
