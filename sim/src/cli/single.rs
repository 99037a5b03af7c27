//! What is about one run: `list`, `run`, `replay`.

use core::fmt::Write;
use std::path::Path;

use super::args::{From, ListArgs, ReplayArgs, RunArgs};
use super::{BROKEN, CliError, FAILED, NOTHING, give, look, say};
use crate::campaign::canary;
use crate::campaign::report::Extras;
use crate::check::RunSummary;
use crate::choice::Driver;
use crate::drive::{Run, Scenario, Scenarios, Watch};
use crate::failure::{FailureFile, Outcome, ReplayFrom, Replayed};
use crate::folder;
use crate::json::quote;

pub(super) fn list(scenarios: &Scenarios, args: &ListArgs) -> u8 {
    let names = scenarios.iter().map(|scenario| (scenario.name(), None));
    let built_in = canary::built_in();
    let canaries = scenarios.canaries().iter().chain([&built_in]);
    let canaries = canaries.map(|canary| (canary.scenario.name(), Some(canary.within)));
    let mut text = String::new();
    for (name, within) in names.chain(canaries) {
        let line = match (args.json, within) {
            (true, None) => format!("{{\"name\":{}}}", quote(name)),
            (true, Some(within)) => format!("{{\"name\":{},\"within\":{within}}}", quote(name)),
            (false, None) => name.to_owned(),
            (false, Some(within)) => {
                format!("{name} (a canary, to be found within {within} seeds)")
            }
        };
        text += &line;
        text.push('\n');
    }
    give(&text);
    NOTHING
}

pub(super) fn run(scenarios: &Scenarios, program: &str, args: &RunArgs) -> Result<u8, CliError> {
    let run = |watch| {
        find(scenarios, &args.name, |scenario| {
            scenario.run(Driver::Seed(args.seed), watch)
        })
    };
    let first = run(Watch::Trace)?;
    let extras = Extras {
        program: program.to_owned(),
        ..Extras::default()
    };
    let replay = extras.replay(&args.name, args.seed);
    let folder = folder_of(&args.name, &first)?;
    if args.json {
        give(&run_json(&args.name, &first, folder.as_deref(), ""));
    } else {
        let shown = if args.events { usize::MAX } else { SHOWN };
        let mut text = story(&first, shown);
        if let Some(folder) = &folder {
            text += &format!("all of it is in\n  {folder}\nreplay it with:\n  {replay}\n");
        }
        give(&text);
    }
    if args.twice {
        let again = run(Watch::Outcome)?;
        if again.summary != first.summary {
            let told = "the same seed came out differently: something asks a clock or the system. \
                See `self_check`, which names the first event that differs";
            say(format_args!("error: {told}"));
            return Ok(BROKEN);
        }
    }
    Ok(if first.failure.is_some() {
        FAILED
    } else {
        NOTHING
    })
}

/// Writes the folder of a run, if that has failed.
fn folder_of(name: &str, run: &Run) -> Result<Option<String>, CliError> {
    let Some(file) = FailureFile::of(name, run) else {
        return Ok(None);
    };
    match folder::write(&file, run) {
        Ok(folder) => Ok(Some(folder.display().to_string())),
        Err(error) => Err(CliError::new(format!(
            "the failure could not be written to a folder: {error}"
        ))),
    }
}

/// What became of a run, as text: the last events if it has failed.
fn story(run: &Run, shown: usize) -> String {
    let RunSummary {
        seed,
        events,
        at,
        trace_hash,
    } = run.summary;
    let mut text = String::new();
    let told = match &run.failure {
        Some(failure) => format!("failed: {failure}"),
        None => "nothing found".to_owned(),
    };
    let count = if run.failure.is_some() || shown == usize::MAX {
        shown
    } else {
        0
    };
    if let Some(log) = &run.trace {
        for number in log.len().saturating_sub(count)..log.len() {
            text += &format!("{number:>8} {}\n", log.line(number));
        }
    }
    text += &format!("seed {seed:#x}: {events} events until {at}, trace {trace_hash}\n{told}\n");
    text
}

fn run_json(name: &str, run: &Run, folder: Option<&str>, more: &str) -> String {
    let RunSummary {
        seed,
        events,
        at,
        trace_hash,
    } = run.summary;
    let mut text = format!(
        "{{\"scenario\":{},\"seed\":\"{seed:#x}\",\"events\":{events},\"at\":{},\
        \"trace\":\"{trace_hash}\"",
        quote(name),
        at.as_nanos()
    );
    if let Some(failure) = &run.failure {
        let class = failure.class();
        let (kind, what) = (quote(&class.kind), quote(&class.what));
        let message = quote(&failure.to_string());
        text += &format!(",\"failure\":{{\"kind\":{kind},\"what\":{what},\"message\":{message}}}");
    }
    if let Some(folder) = folder {
        text += &format!(",\"folder\":{}", quote(folder));
    }
    text + more + "}\n"
}

/// Runs what is asked of a scenario, be it a canary.
pub(super) fn find<R>(
    scenarios: &Scenarios,
    name: &str,
    run: impl FnOnce(&Scenario) -> R,
) -> Result<R, CliError> {
    match scenarios.get(name) {
        Ok(scenario) => Ok(run(scenario)),
        Err(_) if name == canary::NAME => Ok(run(&canary::built_in().scenario)),
        Err(error) => Err(error.into()),
    }
}

/// A failure that was written down.
pub(super) fn read_failure(path: &Path) -> Result<FailureFile, CliError> {
    Ok(FailureFile::read(path)?)
}

pub(super) fn replay(scenarios: &Scenarios, args: &ReplayArgs) -> Result<u8, CliError> {
    let file = read_failure(&args.path)?;
    let from = match args.from {
        From::Choices => ReplayFrom::Choices,
        From::Seed => ReplayFrom::Seed,
    };
    let replayed = find(scenarios, &file.scenario, |scenario| {
        file.replay(scenario, from, Watch::Trace)
    });
    let replayed = replayed.map_err(|error| error.at(&args.path))?;
    let is_asked = args.event.is_some() || !args.task.is_empty();
    let around = is_asked.then(|| look::at(&replayed.run, args.event, &args.task));
    let around = around.transpose()?;
    if args.json {
        let outcome = outcome(replayed.outcome);
        let drift = &replayed.run.drift;
        let more = format!(
            ",\"outcome\":\"{outcome}\",\"matched\":{},\"fresh\":{},\"unused\":{}",
            drift.matched, drift.fresh, drift.unused
        );
        give(&run_json(&file.scenario, &replayed.run, None, &more));
    } else {
        give(&told(&file, &replayed, around.as_deref()));
    }
    Ok(match replayed.outcome {
        Outcome::Same | Outcome::Alike | Outcome::Other => FAILED,
        Outcome::Passed => NOTHING,
        Outcome::Drifted => BROKEN,
    })
}

fn told(file: &FailureFile, replayed: &Replayed, around: Option<&str>) -> String {
    let seed = file.summary.seed;
    let mut text = match around {
        Some(around) => around.to_owned(),
        None => story(&replayed.run, SHOWN),
    };
    let report = replayed.report();
    write!(
        text,
        "{}, failure of seed {seed:#x}: {report}",
        file.scenario
    )
    .and_then(|()| writeln!(text))
    .expect("a `String` takes any text");
    text
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Same => "same",
        Outcome::Alike => "alike",
        Outcome::Other => "other",
        Outcome::Passed => "passed",
        Outcome::Drifted => "drifted",
    }
}

/// Events that are shown before the last.
const SHOWN: usize = 24;
