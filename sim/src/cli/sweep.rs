//! `sweep`: many seeds, side by side.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::SweepArgs;
use super::progress::{Progress, rate};
use super::{CliError, give, quiet_panics, say, with_shard};
use crate::campaign::engine::{Job, STACK_BYTES, THREAD, Watcher};
use crate::campaign::file::Writer;
use crate::campaign::plan::chunk_of;
use crate::campaign::record::Record;
use crate::campaign::report::{Detail, Extras, Labels};
use crate::campaign::{
    CanaryRecord, Chunk, Engine, Header, Plan, Report, Shard, Stop, SweepFile, SweepFileError,
    canary,
};
use crate::choice::Driver;
use crate::drive::{Canary, Scenarios, Watch};
use crate::failure::FailureFile;
use crate::folder;
use crate::replay::{build_of_program, variable};
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
        folders: write_folders_quietly(scenarios, &report, args.folders),
    };
    if args.json {
        give(&report.to_json(&extras));
    } else {
        let detail = if args.coverage {
            Detail::Full
        } else {
            Detail::Brief
        };
        give(&report.text(&extras, detail));
    }
    Ok(report.verdict().code())
}

/// Where a sweep begins.
enum Beginning {
    New(Option<PathBuf>),
    Again(Box<SweepFile>),
}

/// What is swept, and where it begins.
fn begin(scenarios: &Scenarios, args: &SweepArgs) -> Result<(Header, Beginning), CliError> {
    let asked = match args.shard {
        Some(_) => None,
        None => Shard::from_environment(variable, args.shards)?,
    };
    let shard = args.shard.or(asked.as_ref().map(|asked| asked.shard));
    if let Some(asked) = &asked {
        say(format_args!("shard {}, as {} say", asked.shard, asked.by));
    }
    let in_shard = |path: &PathBuf| with_shard(path, shard.unwrap_or(Shard::WHOLE));
    let (out, resume) = (
        args.out.as_ref().map(in_shard),
        args.resume.as_ref().map(in_shard),
    );
    if let (Some(out), Some(resume)) = (&out, &resume)
        && out != resume
    {
        return Err(CliError::new(format!(
            "--out {} and --resume {}: a sweep goes on in the file where it ended",
            out.display(),
            resume.display()
        )));
    }
    let wanted = header(scenarios, args, shard.unwrap_or(Shard::WHOLE))?;
    match resume {
        Some(path) if out.is_none() || path.exists() => {
            let file = read_again(&path, out.is_some())?;
            let Some(file) = file else {
                return Ok((wanted, Beginning::New(Some(path))));
            };
            check_again(scenarios, &file, &wanted, args, shard)?;
            Ok((file.header.clone(), Beginning::Again(Box::new(file))))
        }
        Some(path) => Ok((wanted, Beginning::New(Some(path)))),
        None => Ok((wanted, Beginning::New(out))),
    }
}

/// A file that is to be gone on with. `None` if it has nothing, and may be begun again.
fn read_again(path: &Path, may_begin: bool) -> Result<Option<SweepFile>, CliError> {
    let file = match SweepFile::read(path) {
        Ok(file) => file,
        Err(SweepFileError::Empty { path }) if may_begin => {
            std::fs::remove_file(&path)
                .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    tell_of_cut(&file);
    Ok(Some(file))
}

/// Says that a last line was dropped.
pub(super) fn tell_of_cut(file: &SweepFile) {
    if file.cut_bytes > 0 {
        say(format_args!(
            "{}: the last line was cut off and is dropped ({} bytes); its seeds are run again",
            file.path.display(),
            file.cut_bytes
        ));
    }
}

fn header(scenarios: &Scenarios, args: &SweepArgs, shard: Shard) -> Result<Header, CliError> {
    let mut names = Vec::new();
    for name in &args.names {
        let name = scenarios.get(name)?.name();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        names.extend(scenarios.iter().map(|scenario| scenario.name().to_owned()));
    }
    names.sort();
    if names.is_empty() {
        return Err(CliError::new(
            "there are no scenarios: see `Scenarios::add`",
        ));
    }
    let built_in = canary::built_in();
    let canaries = scenarios.canaries().iter().chain([&built_in]);
    Ok(Header {
        plan: Plan {
            scenarios: names,
            seeds: args.seeds.clone(),
            chunk: args.chunk.unwrap_or_else(|| chunk_of(&args.seeds)),
            shard,
        },
        canaries: canaries
            .map(|canary| (canary.scenario.name().to_owned(), canary.within))
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: build_of_program(),
    })
}

/// Whether a sweep can go on in this file, with this program and what was typed.
fn check_again(
    scenarios: &Scenarios,
    file: &SweepFile,
    wanted: &Header,
    args: &SweepArgs,
    shard: Option<Shard>,
) -> Result<(), CliError> {
    let (path, header) = (file.path.display(), &file.header);
    let differs = |what: &str, is: &dyn core::fmt::Display, asked: &dyn core::fmt::Display| {
        CliError::new(format!(
            "{path}: {what} {is}, and not {asked}, so it cannot be gone on with"
        ))
    };
    if header.version != wanted.version {
        return Err(differs(
            "was written by version",
            &header.version,
            &wanted.version,
        ));
    }
    let list = |names: &[String]| format!("`{}`", names.join("`, `"));
    for name in &header.plan.scenarios {
        scenarios
            .get(name)
            .map_err(|error| CliError::new(format!("{path}: {error}")))?;
    }
    if header.canaries != wanted.canaries {
        let names = |canaries: &[(String, u64)]| {
            let names = canaries.iter();
            let names: Vec<String> = names
                .map(|(name, within)| format!("`{name}` within {within}"))
                .collect();
            names.join(", ")
        };
        return Err(differs(
            "has canaries",
            &names(&header.canaries),
            &names(&wanted.canaries),
        ));
    }
    let (plan, asked) = (&header.plan, &wanted.plan);
    if !args.names.is_empty() && plan.scenarios != asked.scenarios {
        let (is, asked) = (list(&plan.scenarios), list(&asked.scenarios));
        return Err(differs("is a sweep of", &is, &asked));
    }
    if let Some(shard) = shard
        && shard != plan.shard
    {
        return Err(differs("is of shard", &plan.shard, &shard));
    }
    if args.chunk.is_some_and(|chunk| chunk != plan.chunk) {
        return Err(differs("has chunks of", &plan.chunk, &asked.chunk));
    }
    // What was not typed is 0..1000.
    if asked.seeds != (0..1_000) && asked.seeds != plan.seeds {
        let shown = |seeds: &core::ops::Range<u64>| format!("{:#x}..{:#x}", seeds.start, seeds.end);
        return Err(differs(
            "is of seeds",
            &shown(&plan.seeds),
            &shown(&asked.seeds),
        ));
    }
    if header.build != wanted.build {
        say(format_args!(
            "{path}: was written by another build of this program. If the scenarios have changed, its \
            report is of both"
        ));
    }
    Ok(())
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

/// On a thread like those of the sweep, so that panics are not told once more.
fn write_folders_quietly(scenarios: &Scenarios, report: &Report, folders_max: usize) -> Folders {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("{THREAD} again"));
        let write = move || write_folders(scenarios, report, folders_max);
        let written = thread.stack_size(STACK_BYTES).spawn_scoped(scope, write);
        // A system that gives no thread gives the failures at least.
        written.map(|thread| thread.join().unwrap_or_default())
    })
    .unwrap_or_default()
}

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
