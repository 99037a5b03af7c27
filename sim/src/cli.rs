//! The command line of a program that has scenarios: see [`Scenarios::main`].
//!
//! What is data goes to the standard output, what is said besides to the standard error. Nobody gets
//! a panic for what is typed wrongly or stands in a file.

use core::fmt;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::campaign::Report;
use crate::campaign::engine::{STACK_BYTES, THREAD};
use crate::campaign::report::{Detail, Extras};
use crate::drive::Scenarios;
use crate::replay::program_line;

mod args;
mod begin;
mod harness;
mod look;
mod merge;
mod progress;
mod single;
mod smaller;
mod sweep;

use args::{Args, Command, ReportArgs};

impl Scenarios {
    /// What a program is that has scenarios: a command line that lists, runs, sweeps and replays
    /// them. With the feature `cli`. Its `--help` says what it takes.
    ///
    /// It is the `main` of a program of your own, of an example, or of a test with
    /// `harness = false`, which `cargo test` runs like any other: without arguments, a test sweeps
    /// each scenario for a few seconds (`STILLPOINT_BUDGET` says for how long), and it understands
    /// what `cargo test` and `cargo nextest` ask of tests.
    ///
    /// It gives 0 if nothing was found, 1 if a scenario failed, and 2 if it was asked for something
    /// that it cannot do, or the sweep itself is broken or was interrupted.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use stillpoint_sim::{Failure, Scenarios, World};
    /// # #[derive(Debug)] struct Game;
    /// # impl stillpoint::App for Game { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
    ///
    /// fn dice(world: &mut World<Game>) -> Result<(), Failure> {
    ///     if world.draw("die", 1..=6) <= 6 { Ok(()) } else { Err(Failure::new("what a die")) }
    /// }
    ///
    /// fn main() -> ExitCode {
    ///     Scenarios::new().add("dice", dice).main()
    /// }
    /// ```
    #[must_use]
    pub fn main(self) -> ExitCode {
        ExitCode::from(self.main_from(std::env::args_os()))
    }

    /// The same with arguments of one's own, of which the first is the name of the program. Gives
    /// the exit code.
    pub fn main_from<I>(self, args: I) -> u8
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let program = program_line();
        let said = match harness::asked(&args) {
            Some(asked) => harness::run(&self, &program, &asked),
            None => self.dispatch(&args, &program),
        };
        match said {
            Ok(code) => code,
            Err(error) => {
                say(format_args!("error: {}", error.0));
                BROKEN
            }
        }
    }

    fn dispatch(&self, args: &[OsString], program: &str) -> Result<u8, CliError> {
        let command = Args::command().bin_name(program);
        let parsed = command.try_get_matches_from(args);
        let parsed = parsed.and_then(|matches| Args::from_arg_matches(&matches));
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                // Nobody is there to be told that nobody can be told.
                drop(error.print());
                return Ok(if error.use_stderr() { BROKEN } else { NOTHING });
            }
        };
        match parsed.command {
            Command::List(args) => Ok(single::list(self, &args)),
            Command::Run(args) => single::run(self, program, &args),
            Command::Replay(args) => single::replay(self, &args),
            Command::Shrink(args) => smaller::shrink(self, &args),
            Command::Blame(args) => smaller::blame(self, &args),
            Command::Diff(args) => look::diff(self, &args),
            Command::Sweep(args) => sweep::sweep(self, program, &args),
            Command::Merge(args) => merge::merge(program, &args),
        }
    }
}

/// Nothing was found.
const NOTHING: u8 = 0;
/// A scenario has failed.
const FAILED: u8 = 1;
/// What was asked for cannot be done, or what does it is broken.
const BROKEN: u8 = 2;

/// Why something that was asked for cannot be done: a text for whoever has asked.
#[derive(Debug)]
struct CliError(String);

impl<E: fmt::Display> From<E> for CliError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl CliError {
    fn new(told: impl Into<String>) -> Self {
        Self(told.into())
    }

    /// The same of this file.
    fn at(self, path: &Path) -> Self {
        Self(format!("{}: {}", path.display(), self.0))
    }
}

/// Says something that is no data.
fn say(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Gives data out. Whoever has closed the other end has read enough.
fn give(text: &str) {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Gives out a report, as it is asked for.
fn give_report(report: &Report, extras: &Extras, shown: &ReportArgs) {
    let detail = if shown.coverage {
        Detail::Full
    } else {
        Detail::Brief
    };
    give(&if shown.json {
        report.to_json(extras)
    } else {
        report.text(extras, detail)
    });
}

fn is_on_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Has panics of scenarios that are swept be told as failures, and not one by one as they come.
fn quiet_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let is_swept = thread.name().is_some_and(|name| name.starts_with(THREAD));
        if !is_swept {
            before(panic);
        }
    }));
}

/// Does something on a thread like those of a sweep, where panics of scenarios are told as failures
/// and not as they come.
fn on_a_quiet_thread<R: Send>(
    work: impl FnOnce() -> Result<R, CliError> + Send,
) -> Result<R, CliError> {
    quiet_panics();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("{THREAD} again"));
        let started = thread.stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = started
            .map_err(|error| CliError::new(format!("the system gives no thread: {error}")))?;
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A path that may have `{shard}` in it.
fn with_shard(path: &Path, shard: crate::campaign::Shard) -> PathBuf {
    let number = (shard.index + 1).to_string();
    PathBuf::from(path.to_string_lossy().replace("{shard}", &number))
}
