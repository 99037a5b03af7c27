//! What makes a failure easier to read: `shrink` and `blame`.

use core::time::Duration;
use std::fs;
use std::path::Path;

use super::args::{BlameArgs, ShrinkArgs};
use super::single::{find, read_failure};
use super::{CliError, NOTHING, give, on_a_quiet_thread, say};
use crate::blame::{Blame, BlameConfig, blame as find_turn};
use crate::choice::{ChoiceLog, Driver};
use crate::drive::{Scenario, Scenarios, Watch};
use crate::failure::FailureFile;
use crate::json::quote;
use crate::replay::parse_seed;
use crate::shrink::{Budget, Extent, Shrunk, shrink as find_smallest};
use crate::wall::Stopwatch;

pub(super) fn shrink(scenarios: &Scenarios, args: &ShrinkArgs) -> Result<u8, CliError> {
    let (name, log) = failure(scenarios, &args.failure)?;
    let run = |scenario: &Scenario| -> Result<(Shrunk, String), CliError> {
        let shrunk = find_smallest(scenario, &log, budget(args.runs, args.budget))?;
        let test = shrunk.to_test(scenario);
        Ok((shrunk, test))
    };
    let found = on_a_quiet_thread(|| find(scenarios, &name, run));
    let (shrunk, test) = found??;
    keep(&args.failure, &shrunk, &test);
    if args.json {
        give(&shrunk_json(&shrunk, &test));
    } else if args.test {
        give(&test);
    } else {
        give(&format!("{shrunk}\n\n{}\n", shrunk.story()));
    }
    Ok(NOTHING)
}

pub(super) fn blame(scenarios: &Scenarios, args: &BlameArgs) -> Result<u8, CliError> {
    let (name, log) = failure(scenarios, &args.failure)?;
    let run = |scenario: &Scenario| -> Result<Blame, CliError> {
        let config = BlameConfig::default().budget(budget(args.runs, args.budget));
        Ok(find_turn(scenario, &log, config)?)
    };
    let found = on_a_quiet_thread(|| find(scenarios, &name, run));
    let blame = found??;
    give(&if args.json {
        blame_json(&blame)
    } else {
        format!("{blame}\n")
    });
    Ok(NOTHING)
}

fn budget(runs: u64, time: Duration) -> Budget {
    let watch = Stopwatch::start(Some(time));
    Budget::runs(runs).stop_when(move || watch.is_over())
}

/// The scenario and the choices of a failure, however that is named.
fn failure(scenarios: &Scenarios, what: &str) -> Result<(String, ChoiceLog), CliError> {
    let path = Path::new(what);
    if !path.exists()
        && let Some((name, seed)) = what.rsplit_once('@')
    {
        let seed = parse_seed(seed).map_err(|error| CliError::new(format!("{what}: {error}")))?;
        let run = on_a_quiet_thread(|| {
            find(scenarios, name, |scenario| {
                scenario.run(Driver::Seed(seed), Watch::Outcome)
            })
        })?;
        return Ok((name.to_owned(), run.choices));
    }
    let file = read_failure(path)?;
    find(scenarios, &file.scenario, |_| ()).map_err(|error| error.at(path))?;
    Ok((file.scenario, file.choices))
}

/// Leaves the smallest run beside the failure that it was made of, if that has a folder.
fn keep(what: &str, shrunk: &Shrunk, test: &str) {
    let folder = Path::new(what);
    let Some(file) = FailureFile::of(&shrunk.scenario, &shrunk.run).filter(|_| folder.is_dir())
    else {
        return;
    };
    let story = format!("{shrunk}\n\n{}\n", shrunk.story());
    let json = file.to_json();
    for (name, text) in [
        ("shrunk.json", json.as_str()),
        ("story.txt", &story),
        ("test.rs", test),
    ] {
        let path = folder.join(name);
        if let Err(error) = fs::write(&path, text) {
            say(format_args!("{}: {error}", path.display()));
        }
    }
}

fn shrunk_json(shrunk: &Shrunk, test: &str) -> String {
    let extent = |extent: Extent| {
        format!(
            "{{\"nodes\":{},\"faults\":{},\"events\":{},\"choices\":{}}}",
            extent.nodes, extent.faults, extent.events, extent.choices
        )
    };
    format!(
        "{{\"scenario\":{},\"kind\":{},\"what\":{},\"runs\":{},\"smallest\":{},\"before\":{},\
        \"after\":{},\"story\":{},\"test\":{}}}\n",
        quote(&shrunk.scenario),
        quote(&shrunk.class.kind),
        quote(&shrunk.class.what),
        shrunk.runs,
        shrunk.is_smallest,
        extent(shrunk.before),
        extent(shrunk.after),
        quote(&shrunk.story().to_string()),
        quote(test),
    )
}

fn blame_json(blame: &Blame) -> String {
    let curve = blame.curve.iter().map(|point| {
        format!(
            "{{\"events\":{},\"choices\":{},\"runs\":{},\"failed\":{}}}",
            point.events, point.choices, point.runs, point.failed
        )
    });
    let curve: Vec<String> = curve.collect();
    let turn = &blame.turn;
    let events: Vec<String> = turn.events.iter().map(|event| quote(event)).collect();
    let choices = turn.choices.iter();
    let choices: Vec<String> = choices.map(|choice| quote(&choice.to_string())).collect();
    let who: Vec<String> = turn.who.iter().map(|who| quote(who)).collect();
    format!(
        "{{\"scenario\":{},\"kind\":{},\"what\":{},\"runs\":{},\"curve\":[{}],\"turn\":\
        {{\"sure\":{},\"events\":[{}],\"choices\":[{}],\"who\":[{}]}}}}\n",
        quote(&blame.scenario),
        quote(&blame.class.kind),
        quote(&blame.class.what),
        blame.runs,
        curve.join(","),
        turn.is_sure(),
        events.join(","),
        choices.join(","),
        who.join(","),
    )
}
