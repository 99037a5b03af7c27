//! A failure leaves a folder, from which it comes back; and seeds that are kept are run first.

use core::time::Duration;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use stillpoint::App;
use stillpoint_sim::{
    Driver, Failure, FailureFile, FailureFileError, Outcome, ReplayFrom, Scenario, TraceLog, Watch,
    World, check,
};

#[derive(Debug)]
struct Dice;

impl App for Dice {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

/// Throws until a six comes, ten times at most. Six sixes in a row are a failure.
fn dice(world: &mut World<Dice>) -> Result<(), Failure> {
    world.run_for(Duration::from_millis(1))?;
    let thrown: Vec<u64> = (0..3).map(|_| world.draw("die", 1..=6)).collect();
    if thrown == [6, 6, 6] {
        return Err(Failure::new(format!("threw {thrown:?}")));
    }
    Ok(())
}

/// The same after a change of the code: there is one more die.
fn more_dice(world: &mut World<Dice>) -> Result<(), Failure> {
    world.draw("colour", 0..=9);
    dice(world)
}

/// And after one that mends it.
fn no_dice(world: &mut World<Dice>) -> Result<(), Failure> {
    (0..3).for_each(|_| {
        world.draw("die", 1..=6);
    });
    Ok(())
}

#[test]
#[ignore = "fails on purpose, in a process of its own"]
fn three_sixes_are_thrown() {
    check("three sixes", 0..2_000, dice);
}

/// Runs the test that fails in a process of its own: its output.
fn fail(variable: &str, value: &Path) -> String {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args([
            "--exact",
            "three_sixes_are_thrown",
            "--ignored",
            "--nocapture",
        ])
        .env(variable, value)
        .output()
        .expect("this program runs once more");
    assert!(!output.status.success());
    let (out, err) = (output.stdout, output.stderr);
    [out, err]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// A folder of this test program.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("folder-{name}"));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("a folder for this test");
    folder
}

fn failed(scenario: &Scenario) -> FailureFile {
    let mut runs = (0..2_000).map(|seed| scenario.run(Driver::Seed(seed), Watch::Outcome));
    let run = runs.find(|run| run.failure.is_some()).expect("three sixes");
    FailureFile::of(scenario.name(), &run).expect("a failure")
}

#[test]
fn a_failure_is_written_to_a_folder_and_comes_back_from_it() {
    let all = folder("back");
    let told = fail("STILLPOINT_FOLDER", &all);
    let mut folders = fs::read_dir(&all).expect("the folder that was given");
    let path = folders
        .next()
        .expect("a folder of the failure")
        .expect("a name")
        .path();
    assert!(told.contains(&path.display().to_string()), "{told}");
    assert!(
        told.contains("STILLPOINT_SEED=0x") && told.contains("threw [6, 6, 6]"),
        "{told}"
    );
    assert!(
        told.contains("sim/tests/folder.seeds:\n  three sixes 0x"),
        "{told}"
    );

    let names = fs::read_dir(&path)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let wanted = [
        "capture.pcapng",
        "chrome-trace.json",
        "failure.json",
        "story.txt",
        "timeline.html",
        "trace.bin",
    ];
    assert_eq!(names, wanted);
    let story = fs::read_to_string(path.join("story.txt")).expect("a story");
    assert!(story.contains("threw [6, 6, 6]"), "{story}");
    let log = fs::read(path.join("trace.bin")).expect("a trace");
    let log = TraceLog::from_bytes(&log).expect("a whole trace");

    let file = FailureFile::read(&path).expect("a failure file");
    assert_eq!(log.hash(), file.summary.trace_hash);
    assert_eq!(file.scenario, "three sixes");
    let replayed = file.replay(
        &Scenario::new("three sixes", dice),
        ReplayFrom::Choices,
        Watch::Outcome,
    );
    assert_eq!(replayed.outcome, Outcome::Same);
    assert_eq!(replayed.run.summary, file.summary);

    let told = fail("STILLPOINT_REPLAY", &path);
    assert!(
        told.contains("it fails as it did, event by event"),
        "{told}"
    );
    assert!(
        told.contains("all 3 recorded choices were made again"),
        "{told}"
    );
}

#[test]
fn a_failure_that_is_not_there_says_so() {
    let told = fail("STILLPOINT_REPLAY", Path::new("no/such/folder"));
    assert!(told.contains("no/such/folder: "), "{told}");
    assert!(told.contains("Give the folder of a failure"), "{told}");
}

#[test]
fn a_failure_outlives_a_change_of_the_code() {
    let file = failed(&Scenario::new("dice", dice));
    let changed = Scenario::new("dice", more_dice);
    for from in [ReplayFrom::Choices, ReplayFrom::Seed] {
        let replayed = file.replay(&changed, from, Watch::Outcome);
        assert!(replayed.fails(), "{}", replayed.report());
    }
    let drift = file
        .replay(&changed, ReplayFrom::Choices, Watch::Outcome)
        .run
        .drift;
    assert_eq!((drift.matched, drift.fresh, drift.unused), (3, 1, 0));
}

#[test]
fn what_is_new_is_quiet_if_it_is_in_the_way() {
    let file = failed(&Scenario::new("dice", dice));
    // A change of the code that hides the failure for all choices but the quiet one.
    let hidden = Scenario::new("dice", |world: &mut World<Dice>| {
        match world.draw("weather", 0..=1_000_000) {
            0 => dice(world),
            _ => no_dice(world),
        }
    });
    let replayed = file.replay(&hidden, ReplayFrom::Choices, Watch::Outcome);
    assert!(replayed.fails(), "{}", replayed.report());
    assert_eq!(replayed.run.drift.fresh, 1);
}

#[test]
fn what_is_mended_and_what_has_drifted_are_not_the_same() {
    let file = failed(&Scenario::new("dice", dice));
    let outcome = |scenario| file.replay(&scenario, ReplayFrom::Choices, Watch::Outcome);
    let mended = outcome(Scenario::new("dice", no_dice));
    assert_eq!(mended.outcome, Outcome::Passed);
    let drifted = outcome(Scenario::new("dice", |world: &mut World<Dice>| {
        world.draw("another die", 1..=6);
        Ok(())
    }));
    assert_eq!(drifted.outcome, Outcome::Drifted);
    let told = drifted.report();
    assert!(
        told.contains("DRIFTED") && told.contains("of 3 recorded choices 0"),
        "{told}"
    );
    let other = outcome(Scenario::new("dice", |world: &mut World<Dice>| {
        no_dice(world)?;
        Err(Failure::new("out of dice"))
    }));
    assert_eq!(other.outcome, Outcome::Other);
}

#[test]
fn seeds_that_are_kept_are_run_first() {
    // sim/tests/folder.seeds keeps 0xfeed for this one, and seeds of others.
    let ran = std::sync::Mutex::new(Vec::new());
    check("kept dice", 0..2, |world: &mut World<Dice>| {
        ran.lock().expect("nobody panics").push(world.seed());
        Ok(())
    });
    assert_eq!(*ran.lock().expect("nobody panics"), [0xfeed, 0, 1]);
    let failed = catch_unwind(|| {
        check("kept dice", 0..2, |world: &mut World<Dice>| {
            match world.seed() {
                0xfeed => Err(Failure::new("it is back")),
                _ => Ok(()),
            }
        });
    });
    let message = failed.expect_err("the kept seed fails");
    let message = message.downcast_ref::<String>().expect("a text");
    assert!(message.contains("failed for seed 0xfeed"), "{message}");
    assert!(!message.contains("to run it first"), "{message}");
}

#[test]
fn files_that_are_none_are_told_by_name() {
    let folder = folder("broken");
    let whole = failed(&Scenario::new("dice", dice)).to_json();
    let path = folder.join("failure.json");
    let read = |text: &str| {
        fs::write(&path, text).expect("a file of this test");
        FailureFile::read(&folder).map_err(|error| error.to_string())
    };
    assert_eq!(read(&whole).map(|file| file.to_json()), Ok(whole.clone()));
    for (from, to, told) in [
        ("{", "", "no JSON"),
        (
            "\"format\": 1",
            "\"format\": 2",
            "has format 2, and this version reads 1",
        ),
        (
            "\"format\": 1",
            "\"format\": \"1\"",
            "`format` should be a number, and is \"1\"",
        ),
        (
            "\"scenario\"",
            "\"scene\"",
            "`scenario` should be a text, and is null",
        ),
        ("\"trace\": \"", "\"trace\": \"x", "`trace` should be"),
        (
            "\"events\": ",
            "\"events\": -",
            "`events` should be a number",
        ),
        ("[\"scenario\"", "[0", "choice 0 should be"),
    ] {
        let broken = whole.replacen(from, to, 1);
        assert_ne!(broken, whole);
        let error = read(&broken).expect_err("it is broken");
        assert!(
            error.contains(told) && error.contains("failure.json: "),
            "{error}"
        );
    }
    for len in 0..whole.trim_end().len() {
        assert!(read(&whole[..len]).is_err(), "{len} bytes");
    }
    let none = FailureFile::read(Path::new("nowhere"));
    assert!(matches!(none, Err(FailureFileError::Unreadable { .. })));
}
