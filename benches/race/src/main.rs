//! stillpoint over each of its backends side by side with what else there is, and with floors that
//! make the same system calls with nothing around them.
//!
//! Each server is a process of its own on a core of its own, and the generator, which is the same
//! for all, has another core. A round measures every contestant once, beginning with another one
//! each time, so that what else the machine does meets all of them alike.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark reads the clock, sleeps and prints"
)]
#![deny(unsafe_code)]

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use case::{Case, Selection};
use clap::Parser;
use results::Results;
use servers::Contestant;

mod case;
mod chart;
mod goals;
mod job;
mod load;
mod markdown;
mod report;
mod results;
mod round;
mod server;
mod servers;
mod socket;
mod sys;

/// Runs servers over kernel sockets side by side: stillpoint over each of its backends, floors that
/// make the same system calls by hand, and what else there is. Prints medians and ratios with their
/// spread.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// One short round of a few cases, which shows that everything works.
    #[arg(long)]
    quick: bool,
    /// All cases, not only the usual ones.
    #[arg(long, conflicts_with = "quick")]
    all: bool,
    /// Interleaved rounds; medians and spreads are over these.
    #[arg(long)]
    rounds: Option<u32>,
    /// Milliseconds that a measurement takes; four times that where round trips are counted.
    #[arg(long)]
    millis: Option<u64>,
    /// Only cases whose name holds one of these words (separated by commas).
    #[arg(long, default_value = "", value_name = "FILTER")]
    only: String,
    /// Only these contestants (separated by commas; "ours" means all of ours).
    #[arg(long, default_value = "", value_name = "LIST")]
    contestants: String,
    /// Writes all that was measured there, as JSON; "-" is standard output.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Writes a page with a line for each case there, as Markdown.
    #[arg(long, value_name = "PATH.md")]
    markdown: Option<PathBuf>,
    /// Draws what was measured there, as SVG.
    #[arg(long, value_name = "PATH.svg")]
    chart: Option<PathBuf>,
    /// The cores of server and generator.
    #[arg(long, default_value = "0,1")]
    cores: String,
    /// Shows which cases and contestants there are.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [first, rest @ ..] if first == server::SERVE => server::serve(rest).map_err(Into::into),
        _ => race(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Error = Box<dyn core::error::Error>;

fn race(options: &Options) -> Result<(), Error> {
    let (cases, contestants) = (cases(options), contestants(options));
    if options.list {
        println!("cases:");
        cases.iter().for_each(|case| println!("  {}", case.name));
        println!("contestants:");
        contestants
            .iter()
            .for_each(|one| println!("  {}", one.name));
        return Ok(());
    }
    if cases.is_empty() || contestants.is_empty() {
        return Err("no such case or contestant: --list shows all".into());
    }
    let mut settings = settings(options)?;
    if contestants.iter().any(Contestant::is_apart) {
        settings.predecessor = build_predecessor();
    }
    let mut results = Results::new(settings.rounds, settings.times.round);
    for case in &cases {
        let measured = round::measure(case, &contestants, &settings)?;
        report::print(&measured);
        results.cases.push(measured);
        // Whoever ends it early has what there is.
        write_files(options, &results)?;
    }
    goals::print(&results);
    if options.json.as_deref() == Some(Path::new("-")) {
        println!("{}", serde_json::to_string_pretty(&results.json())?);
    }
    Ok(())
}

fn write_files(options: &Options, results: &Results) -> Result<(), Error> {
    if let Some(path) = &options.json
        && path != Path::new("-")
    {
        std::fs::write(path, serde_json::to_string_pretty(&results.json())?)?;
    }
    if let Some(path) = &options.markdown {
        std::fs::write(path, markdown::write(results))?;
    }
    if let Some(path) = &options.chart {
        std::fs::write(path, chart::draw(results)?)?;
    }
    Ok(())
}

fn settings(options: &Options) -> Result<round::Settings, Error> {
    let (rounds, millis) = if options.quick { (1, 150) } else { (5, 300) };
    let millis = options.millis.unwrap_or(millis);
    let cores: Vec<usize> = (options.cores.split(','))
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [server, generator] = cores[..] else {
        return Err("--cores wants two numbers".into());
    };
    Ok(round::Settings {
        rounds: options.rounds.unwrap_or(rounds).max(1),
        times: load::Times {
            warm_up: Duration::from_millis(if options.quick { 30 } else { 60 }),
            round: Duration::from_millis(millis),
            latency: Duration::from_millis(LATENCY_FACTOR * millis),
        },
        cores: server::Cores { server, generator },
        predecessor: None,
    })
}

/// Builds the program of the predecessor, which has a lock file of its own: it needs an older version
/// of a crate that ours is built with.
fn build_predecessor() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("predecessor");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(&folder)
        .status();
    if built.is_ok_and(|status| status.success()) {
        return Some(target.join("release/stillpoint-race-predecessor"));
    }
    eprintln!("the predecessor does not build, and is left out");
    None
}

/// How much longer it is measured where single round trips are counted.
const LATENCY_FACTOR: u64 = 4;

fn cases(options: &Options) -> Vec<Case> {
    let most = match (options.quick, options.all) {
        (true, _) => Selection::Quick,
        (false, false) => Selection::Usual,
        (false, true) => Selection::All,
    };
    let words: Vec<&str> = options.only.split(',').collect();
    let wanted = |case: &Case| {
        let named = words.iter().any(|word| case.name.contains(word));
        // Whoever names a case wants it.
        named && (case.part_of <= most || !options.only.is_empty())
    };
    Case::all().into_iter().filter(wanted).collect()
}

fn contestants(options: &Options) -> Vec<Contestant> {
    let names: Vec<&str> = options.contestants.split(',').collect();
    let wanted = |contestant: &Contestant| {
        options.contestants.is_empty()
            || names.contains(&contestant.name.as_str())
            || names.contains(&"ours") && contestant.name.starts_with("ours-")
    };
    Contestant::all().into_iter().filter(wanted).collect()
}
