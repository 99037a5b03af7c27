//! What is about traces: where two part, and what tasks are like at an event.

use core::fmt::Write;
use std::path::Path;

use super::args::DiffArgs;
use super::single::{find, read_failure};
use super::{CliError, FAILED, NOTHING, give};
use crate::choice::Driver;
use crate::drive::{Run, Scenarios, Watch};
use crate::failure::ReplayFrom;
use crate::json::quote;
use crate::replay::parse_seed;
use crate::trace::TraceLog;

pub(super) fn diff(scenarios: &Scenarios, args: &DiffArgs) -> Result<u8, CliError> {
    let (one, other) = (trace(scenarios, &args.one)?, trace(scenarios, &args.other)?);
    let difference = one.difference(&other);
    let index = difference.as_ref().map(|difference| difference.index);
    if args.json {
        let at = index.map_or_else(|| "null".to_owned(), |index| index.to_string());
        let lines = |log: &TraceLog| {
            let story = index
                .filter(|&index| index < log.len())
                .map(|index| log.story(index));
            let lines: Vec<String> = story
                .unwrap_or_default()
                .iter()
                .map(|line| quote(line))
                .collect();
            let (events, hash) = (log.len(), log.hash());
            let lines = lines.join(",");
            format!("{{\"events\":{events},\"trace\":\"{hash}\",\"story\":[{lines}]}}")
        };
        give(&format!(
            "{{\"event\":{at},\"one\":{},\"other\":{}}}\n",
            lines(&one),
            lines(&other)
        ));
    } else {
        give(&match &difference {
            Some(difference) => format!("{difference}\n"),
            None => format!("the same: {} events, trace {}\n", one.len(), one.hash()),
        });
    }
    Ok(if difference.is_some() {
        FAILED
    } else {
        NOTHING
    })
}

/// The trace of a run, however that is named.
fn trace(scenarios: &Scenarios, what: &str) -> Result<TraceLog, CliError> {
    let path = Path::new(what);
    if !path.exists()
        && let Some((name, seed)) = what.rsplit_once('@')
    {
        let seed = parse_seed(seed).map_err(|error| CliError::new(format!("{what}: {error}")))?;
        let run = find(scenarios, name, |scenario| {
            scenario.run(Driver::Seed(seed), Watch::Trace)
        })?;
        return log_of(run);
    }
    let is_trace = path.is_file() && path.extension().is_none_or(|ending| ending != "json");
    if is_trace {
        let read = std::fs::read(path);
        let bytes = read.map_err(|error| CliError::new(format!("{what}: {error}")))?;
        let log = TraceLog::from_bytes(&bytes);
        return log.map_err(|error| CliError::new(format!("{what}: {error}")));
    }
    let file = read_failure(path)?;
    let run = find(scenarios, &file.scenario, |scenario| {
        let driver = file.driver(ReplayFrom::Choices);
        scenario.run(driver, Watch::Trace)
    });
    log_of(run.map_err(|error| error.at(path))?)
}

fn log_of(run: Run) -> Result<TraceLog, CliError> {
    run.trace
        .ok_or_else(|| CliError::new("the run has left no trace"))
}

/// An event, the chain of those that led to it, and what tasks are like then.
pub(super) fn at(run: &Run, event: Option<usize>, tasks: &[String]) -> Result<String, CliError> {
    let Some(log) = &run.trace else {
        return Ok(String::new());
    };
    let count = log.len();
    let mut text = String::new();
    let index = match event {
        Some(event) if event >= count => {
            return Err(CliError::new(format!(
                "there is no event {event}: the run has {count}, counted from 0"
            )));
        }
        Some(event) => {
            before(&mut text, log, event);
            event
        }
        None => count.saturating_sub(1),
    };
    for wanted in tasks {
        states(&mut text, log, index, Some(wanted))?;
    }
    if tasks.is_empty() {
        states(&mut text, log, index, None)?;
    }
    Ok(text)
}

fn before(text: &mut String, log: &TraceLog, event: usize) {
    for index in event.saturating_sub(SHOWN)..=event {
        let mark = if index == event { '>' } else { ' ' };
        line(text, format_args!("{mark}{index:>7} {}", log.line(index)));
    }
    line(text, format_args!("what led to it:"));
    for cause in log.story(event) {
        line(text, format_args!("  {cause}"));
    }
}

/// What tasks are like after an event: all, or those that are wanted.
fn states(
    text: &mut String,
    log: &TraceLog,
    index: usize,
    wanted: Option<&String>,
) -> Result<(), CliError> {
    let mut found = 0;
    for (node, task, type_name) in log.tasks() {
        let node_name = log.node_name(node);
        let id = task.to_string();
        let id = id.strip_prefix("task ").unwrap_or(&id);
        let fits = wanted.is_none_or(|wanted| {
            let behind = wanted.strip_prefix(node_name);
            let behind = behind.map(|behind| behind.strip_prefix('/').unwrap_or(behind));
            behind.is_some_and(|behind| behind.is_empty() || behind == id || behind == type_name)
        });
        if !fits || (wanted.is_none() && found == STATES_MAX) {
            continue;
        }
        found += 1;
        match log.state(node, task, index) {
            Some(state) => line(text, format_args!("{node_name}/{id} {type_name}: {state}")),
            None if wanted.is_some() => line(
                text,
                format_args!(
                    "{node_name}/{id} {type_name}: shows nothing of itself by then: see \
                    `Task::inspect`"
                ),
            ),
            None => {}
        }
    }
    match wanted {
        Some(wanted) if found == 0 => {
            let known = log.tasks().map(|(node, _, type_name)| {
                let node = log.node_name(node);
                format!("{node}/{type_name}")
            });
            let known: std::collections::BTreeSet<String> = known.collect();
            let known: Vec<String> = known.into_iter().collect();
            Err(CliError::new(format!(
                "there is no task `{wanted}` in this run. There are: `{}`",
                known.join("`, `")
            )))
        }
        Some(_) | None => Ok(()),
    }
}

fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a `String` takes any text");
}

/// Events that are shown before the one that was asked for.
const SHOWN: usize = 12;

/// Tasks that are shown if none was asked for.
const STATES_MAX: usize = 16;
