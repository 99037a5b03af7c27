//! Checks that are bounded by time, too.
#![allow(clippy::unwrap_used, reason = "a test may")]

use core::time::Duration;
use std::process::Command;
use std::sync::Mutex;

use stillpoint::App;
use stillpoint_sim::{Check, Failure, World, check};

#[derive(Debug)]
struct Dice;

impl App for Dice {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

/// A scenario that notes its seeds and reaches a label with the last of ten.
fn noting(seeds: &Mutex<Vec<u64>>) -> impl Fn(&mut World<Dice>) -> Result<(), Failure> {
    move |world| {
        let seed = world.seed();
        seeds.lock().unwrap().push(seed);
        world.expect_reached("the last of ten");
        if seed == 9 {
            world.reached("the last of ten");
        }
        Ok(())
    }
}

/// Runs a test of this program in a process of its own: whether it passes, and what it says.
fn run(test: &str, budget: Option<&str>) -> (bool, String) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test, "--ignored", "--nocapture"]);
    match budget {
        Some(budget) => program.env("STILLPOINT_BUDGET", budget),
        None => program.env_remove("STILLPOINT_BUDGET"),
    };
    let output = program.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
#[ignore = "told what its budget is by other tests"]
fn whole() {
    let seeds = Mutex::new(Vec::new());
    // No budget is so short: it is the environment that has to say so.
    let check = Check::new("ten").seeds(0..10).budget(Duration::MAX);
    check.run(noting(&seeds));
    println!("ran {:?}", seeds.lock().unwrap());
}

#[test]
#[ignore = "told what its budget is by other tests"]
fn short() {
    let seeds = Mutex::new(Vec::new());
    let check = Check::new("ten").seeds(0..10).budget(Duration::ZERO);
    check.run(noting(&seeds));
    println!("ran {:?}", seeds.lock().unwrap());
}

#[test]
#[ignore = "told what its budget is by other tests"]
fn endless() {
    Check::new("endless").run(|_: &mut World<Dice>| Ok(()));
}

#[test]
#[ignore = "told what its budget is by other tests"]
fn plain() {
    let seeds = Mutex::new(Vec::new());
    check("ten", 0..10, noting(&seeds));
    println!("ran {:?}", seeds.lock().unwrap());
}

const ALL: &str = "ran [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";

#[test]
fn all_seeds_are_run_if_there_is_time() {
    let (passed, told) = run("whole", None);
    assert!(passed && told.contains(ALL), "{told}");
    assert!(!told.contains("budget"), "{told}");
}

#[test]
fn a_budget_that_is_used_up_is_told_and_accuses_nobody() {
    let (passed, told) = run("short", None);
    assert!(passed, "{told}");
    assert!(told.contains("ran [0]\n"), "one at least: {told}");
    let wanted = "ten: 1 seeds, and then its budget of 0ns was used up";
    assert!(told.contains(wanted), "{told}");
    let wanted = "None of them has reached `the last of ten`, which says little";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn the_environment_may_give_more_time_or_less() {
    for more in ["1h", "none", "0"] {
        let (passed, told) = run("short", Some(more));
        assert!(passed && told.contains(ALL), "{more}: {told}");
    }
    // What is over before the second seed is: a nanosecond.
    let (passed, told) = run("whole", Some("0.000000001s"));
    assert!(passed && told.contains("ran [0]\n"), "{told}");
    let (passed, told) = run("whole", Some("soon"));
    let wanted = "STILLPOINT_BUDGET=soon: `soon` is no duration: write `90s`";
    assert!(!passed && told.contains(wanted), "{told}");
}

#[test]
fn without_a_budget_all_seeds_are_run_whatever_the_environment_says() {
    let (passed, told) = run("plain", Some("0.000000001s"));
    assert!(passed && told.contains(ALL), "{told}");
}

#[test]
fn seeds_without_an_end_need_a_budget() {
    let (passed, told) = run("endless", Some("1ms"));
    assert!(passed && told.contains("endless: "), "{told}");
    let (passed, told) = run("endless", Some("none"));
    let wanted = "neither an end to its seeds nor a budget";
    assert!(!passed && told.contains(wanted), "{told}");
}

#[test]
#[should_panic(expected = "by none of 9 seeds: `the last of ten`")]
fn a_label_that_all_seeds_have_missed_is_a_failure() {
    let check = Check::new("nine").seeds(0..9).unbounded();
    check.run(noting(&Mutex::default()));
}

#[test]
#[should_panic(expected = "no seeds to run")]
fn no_seeds_are_a_mistake() {
    let check = Check::new("none").seeds([]);
    check.run(|_: &mut World<Dice>| Ok(()));
}
