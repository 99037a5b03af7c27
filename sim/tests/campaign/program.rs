//! The program that has scenarios, and what the stories need to run it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stillpoint_sim::{Failure, FaultKind, FaultPlan, Link, Scenarios, World};

use crate::common::{Echo, client, ms, pair};

/// Which scenarios the program has.
const SCENARIOS: &str = "CAMPAIGN_SCENARIOS";
/// What it is asked, an argument a line.
const ARGS: &str = "CAMPAIGN_ARGS";
/// After how many seeds it kills itself.
const DIE_AFTER: &str = "CAMPAIGN_DIE_AFTER";
/// After how many seeds it interrupts itself, as Ctrl-C does.
const STOP_AFTER: &str = "CAMPAIGN_STOP_AFTER";

#[test]
#[ignore = "a program for the other tests"]
fn program() {
    let args = variable(ARGS).expect("what it is asked");
    let args = args.lines().map(str::to_owned);
    let name = std::env::args_os().next().unwrap();
    let args: Vec<_> = core::iter::once(name).chain(args.map(Into::into)).collect();
    let code = scenarios(&variable(SCENARIOS).unwrap_or_default()).main_from(args);
    std::process::exit(i32::from(code));
}

fn scenarios(which: &str) -> Scenarios {
    let usual = Scenarios::new().add("dice", dice).add("letters", letters);
    match which {
        "" => usual,
        "blind" => usual.canary("blind", 50, |_: &mut World<Echo>| Ok(())),
        "two canaries" => usual.canary("seven", 50, |world: &mut World<Echo>| {
            match world.draw("die", 1..=8) {
                7 => Err(Failure::new("a seven")),
                _ => Ok(()),
            }
        }),
        "too hopeful" => usual.add("hopeful", |world: &mut World<Echo>| {
            world.sometimes("a hundred nodes", |_| false);
            world.run_for(ms(1))
        }),
        "one more die" => Scenarios::new().add("dice", |world: &mut World<Echo>| {
            world.draw("colour", 0..=9);
            dice(world)
        }),
        "mended" => Scenarios::new().add("dice", |world: &mut World<Echo>| {
            world.run_for(ms(1))?;
            (0..3).for_each(|_| {
                world.draw("die", 1..=6);
            });
            Ok(())
        }),
        "changed" => Scenarios::new().add("dice", |world: &mut World<Echo>| {
            world.draw("another die", 1..=6);
            Ok(())
        }),
        "none" => Scenarios::new(),
        other => panic!("no such scenarios: {other}"),
    }
}

/// Three sixes are a failure, and three ones a panic.
fn dice(world: &mut World<Echo>) -> Result<(), Failure> {
    die_some_time();
    world.run_for(ms(1))?;
    let thrown: Vec<u64> = (0..3).map(|_| world.draw("die", 1..=6)).collect();
    assert_ne!(thrown, [1, 1, 1], "it is a bad day");
    if thrown == [6, 6, 6] {
        return Err(Failure::new("three sixes in a row"));
    }
    Ok(())
}

/// Letters over a link that loses some, with faults; nothing is wrong with it.
fn letters(world: &mut World<Echo>) -> Result<(), Failure> {
    die_some_time();
    let (asking, _) = pair(world, &Link::new(ms(1)..=ms(9)).loss(0.1));
    world.sometimes("a letter was lost", |world| {
        world.counters().dropped.total() > 0
    });
    let plan = FaultPlan::new().with(FaultKind::Cut, 1..=2, ms(1)..=ms(20));
    world.plan(&plan, ms(30));
    world.spawn(asking, 0, client("10.0.0.2:7", 3, ms(5)));
    world.run_until_idle(ms(1_000))
}

/// Kills this process as `kill -9` does, once it has run as many seeds as it was told. What other
/// threads are at goes on until it has.
fn die_some_time() {
    static SEEDS: AtomicU64 = AtomicU64::new(0);
    let seeds = SEEDS.fetch_add(1, Ordering::Relaxed);
    let is_time = |name| variable(name).is_some_and(|after| after.parse() == Ok(seeds));
    let kill = |signal: &str| {
        let process = std::process::id().to_string();
        let kill = Command::new("kill").args([signal, &process]).status();
        assert!(kill.unwrap().success());
    };
    if is_time(STOP_AFTER) {
        kill("-2");
    }
    if is_time(DIE_AFTER) {
        kill("-9");
        loop {
            std::thread::park();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program is told so by the test that runs it"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What came of running the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The exit code; `None` if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program, asked something.
pub(crate) struct Program {
    command: Command,
}

pub(crate) fn ask(args: &[&str]) -> Program {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["program::program", "--exact", "--ignored", "--nocapture"])
        .args(["--test-threads", "2"])
        .env(ARGS, args.join("\n"))
        .env("STILLPOINT_FOLDER", folder("failures"))
        .stdin(Stdio::null());
    // Whoever runs these tests may run them in a job array.
    for array in [
        "SLURM_ARRAY_TASK_ID",
        "JOB_COMPLETION_INDEX",
        "CI_NODE_INDEX",
        "CIRCLE_NODE_INDEX",
        "BUILDKITE_PARALLEL_JOB",
        "TEST_SHARD_INDEX",
        "STILLPOINT_BUDGET",
        "STILLPOINT_SEED",
    ] {
        command.env_remove(array);
    }
    Program { command }
}

impl Program {
    pub(crate) fn with(self, scenarios: &str) -> Self {
        self.env(SCENARIOS, scenarios)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn dies_after(self, seeds: u64) -> Self {
        self.env(DIE_AFTER, seeds.to_string())
    }

    pub(crate) fn stops_after(self, seeds: u64) -> Self {
        self.env(STOP_AFTER, seeds.to_string())
    }

    pub(crate) fn run(mut self) -> Told {
        let output = self.command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        // What the harness of tests says before.
        let out = out.split_once("running 1 test\n").unwrap().1.to_owned();
        assert!(!err.contains("thread 'main' panicked"), "{err}");
        Told {
            code: output.status.code(),
            out,
            err,
        }
    }
}

impl Told {
    /// The same, of which this exit code is wanted.
    #[track_caller]
    pub(crate) fn gives(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "`{text}` is not in:\n{}\n{}", self.out, self.err);
    }

    /// What it says of the scenarios, of a report in JSON; but for the folders, which only those know
    /// who have written them.
    pub(crate) fn scenarios(&self) -> String {
        let (_, behind) = self.out.split_once("\"scenarios\":").unwrap();
        let (scenarios, _) = behind.split_once(",\"canaries\":").unwrap();
        let mut parts = scenarios.split(",\"folder\":\"");
        let first = parts.next().unwrap().to_owned();
        let others = parts.map(|part| part.split_once('"').unwrap().1);
        others.fold(first, |text, part| text + part)
    }
}

/// A folder of this name, which may be there.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("campaign-{name}"));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A file in a folder of its own that is empty at first.
pub(crate) fn new_file(name: &str) -> String {
    let folder = folder(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder.join("sweep.jsonl").display().to_string()
}
