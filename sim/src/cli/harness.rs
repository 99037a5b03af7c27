//! What `cargo test` and `cargo nextest` ask of a test program with `harness = false`.

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::args::{Args, SweepArgs};
use super::{CliError, NOTHING, give, sweep};
use crate::check::Check;
use crate::drive::Scenarios;
use crate::replay::{BUDGET_VARIABLE, is_test_program, seed_from_environment, variable};
use crate::wall::parse_budget;

/// What is asked of a test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To name its tests.
    List,
    /// To name those that are ignored: there are none.
    Nothing,
    /// To run those whose names have one of these texts in them, or are one of them.
    Run {
        filters: Vec<String>,
        match_by: MatchBy,
    },
}

/// How names are told from others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MatchBy {
    Part,
    Whole,
}

/// What is asked of a test program, unless it is one of the commands.
pub(super) fn asked(args: &[OsString]) -> Option<Asked> {
    let text = |arg: &OsString| arg.to_string_lossy().into_owned();
    let args: Vec<String> = args.iter().skip(1).map(text).collect();
    if !is_test_program() {
        return None;
    }
    let is_command = args.first().is_some_and(|first| {
        let commands = Args::command();
        let is_known = commands
            .get_subcommands()
            .any(|known| known.get_name() == first);
        is_known || ["help", "--help", "-h"].contains(&first.as_str())
    });
    (!is_command).then(|| parse(&args))
}

fn parse(args: &[String]) -> Asked {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--ignored") {
        return Asked::Nothing;
    }
    if has("--list") {
        return Asked::List;
    }
    let mut filters = Vec::new();
    let mut args_left = args.iter();
    while let Some(arg) = args_left.next() {
        if TAKES_VALUE.contains(&arg.as_str()) {
            args_left.next();
        } else if !arg.starts_with('-') {
            filters.push(arg.clone());
        }
    }
    let match_by = if has("--exact") {
        MatchBy::Whole
    } else {
        MatchBy::Part
    };
    Asked::Run { filters, match_by }
}

pub(super) fn run(scenarios: &Scenarios, program: &str, asked: &Asked) -> Result<u8, CliError> {
    let names = scenarios.iter().map(|scenario| scenario.name().to_owned());
    match asked {
        Asked::Nothing => Ok(NOTHING),
        Asked::List => {
            let lines: Vec<String> = names.map(|name| format!("{name}: test\n")).collect();
            give(&lines.concat());
            Ok(NOTHING)
        }
        Asked::Run { filters, match_by } => {
            let is_asked = |name: &String| match match_by {
                _ if filters.is_empty() => true,
                MatchBy::Part => filters.iter().any(|filter| name.contains(filter)),
                MatchBy::Whole => filters.contains(name),
            };
            let names: Vec<String> = names.filter(is_asked).collect();
            if names.is_empty() {
                return Ok(NOTHING); // As it is with any filter of tests.
            }
            sweep::sweep(scenarios, program, &sweep_args(names)?)
        }
    }
}

/// A sweep that is quick: some seconds a scenario, unless the environment says otherwise.
fn sweep_args(names: Vec<String>) -> Result<SweepArgs, CliError> {
    let mut args = Defaults::parse_from(["sweep"]).sweep;
    let scenarios = u32::try_from(names.len()).unwrap_or(u32::MAX);
    args.names = names;
    // Sharding is for those who ask for it: a test that silently runs in part is none.
    args.shard = Some(crate::campaign::Shard::WHOLE);
    let budget = match variable(BUDGET_VARIABLE) {
        Some(text) => parse_budget(&text)
            .map_err(|error| CliError::new(format!("{BUDGET_VARIABLE}={text}: {error}")))?,
        None => Some(Check::BUDGET),
    };
    args.budget = budget.map(|budget| budget.saturating_mul(scenarios));
    if let Some(seed) = seed_from_environment() {
        args.seeds = seed..seed.saturating_add(1);
    }
    Ok(args)
}

/// What a sweep is of which nothing was typed.
#[derive(Debug, Parser)]
struct Defaults {
    #[command(flatten)]
    sweep: SweepArgs,
}

/// Flags of test programs that have a value behind them.
const TAKES_VALUE: [&str; 6] = [
    "--format",
    "--test-threads",
    "--logfile",
    "--color",
    "--skip",
    "-Z",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Asked {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn what_tests_are_asked_is_understood() {
        assert_eq!(parsed("--list --format terse"), Asked::List);
        assert_eq!(parsed("--list --format terse --ignored"), Asked::Nothing);
        for (line, filters, match_by) in [
            ("", vec![], MatchBy::Part),
            ("--nocapture --test-threads 3", vec![], MatchBy::Part),
            ("echo --exact --nocapture", vec!["echo"], MatchBy::Whole),
            ("ec ho -q", vec!["ec", "ho"], MatchBy::Part),
        ] {
            let filters = filters.into_iter().map(str::to_owned).collect();
            assert_eq!(parsed(line), Asked::Run { filters, match_by });
        }
    }
}
