//! One run: a seed, or a failure that was recorded.

use std::fs;

use crate::program::{ask, folder};

/// The folder of a failure of `dice`.
fn failure(name: &str) -> String {
    let all = folder(name);
    drop(fs::remove_dir_all(&all));
    let sweep = ["sweep", "dice", "--seeds", "0..2000", "--until-failure"];
    ask(&sweep).env("STILLPOINT_FOLDER", &all).run().gives(1);
    let folder = fs::read_dir(&all).unwrap().next().unwrap().unwrap();
    folder.path().display().to_string()
}

#[test]
fn a_seed_is_run_by_itself() {
    let told = ask(&["run", "letters", "--seed", "42", "--events", "--twice"]);
    let told = told.run().gives(0);
    told.says("client/0 Spawn");
    told.says("seed 0x2a: ");
    let json = ask(&["run", "letters", "--seed", "0x2a", "--json"])
        .run()
        .gives(0);
    assert!(
        json.out
            .starts_with("{\"scenario\":\"letters\",\"seed\":\"0x2a\",")
    );
}

#[test]
fn a_failure_comes_back_from_its_choices_and_from_its_seed() {
    let path = failure("replay");
    for from in ["choices", "seed"] {
        let told = ask(&["replay", &path, "--from", from]).run().gives(1);
        told.says("it fails as it did, event by event");
    }
    let json = ask(&["replay", &path, "--json"]).run().gives(1);
    json.says("\"outcome\":\"same\",\"matched\":3,\"fresh\":0,\"unused\":0}");
}

#[test]
fn an_event_is_stepped_to_by_its_number() {
    let all = folder("canary-events");
    let canary = ask(&["sweep", "letters", "--seeds", "1", "--json"]).run();
    let (_, seed) = canary.out.split_once("\"found\":\"").unwrap();
    let seed = seed.split_once('"').unwrap().0;
    let run = ask(&["run", "stillpoint-canary", "--seed", seed]);
    let told = run.env("STILLPOINT_FOLDER", &all).run().gives(1);
    let (_, path) = told.out.split_once("all of it is in\n  ").unwrap();
    let path = path.lines().next().unwrap();
    let told = ask(&["replay", path, "--event", "5"]).run().gives(1);
    told.says(">      5 ");
    told.says("       4 ");
    assert!(!told.out.contains("       6 "), "{}", told.out);
    told.says("what led to it:\n");
    let task = ask(&["replay", path, "--event", "20", "--task", "sender/End"]);
    task.run()
        .gives(1)
        .says("\nsender/0/0/0.0 End: End { role: Sender, current: ");
    let task = ask(&["replay", path, "--task", "receiver/0/0/0.0"])
        .run()
        .gives(1);
    task.says("receiver/0/0/0.0 End: End { role: Receiver, current: ");
    let none = ask(&["replay", path, "--task", "postman"]).run().gives(2);
    none.says("there is no task `postman` in this run. There are: `receiver/End`, `sender/End`");
    let told = ask(&["replay", path, "--event", "5000"]).run().gives(2);
    told.says("there is no event 5000: the run has ");
}

#[test]
fn what_is_mended_gives_0_and_what_has_drifted_does_not() {
    let path = failure("drift");
    let told = ask(&["replay", &path]).with("one more die").run().gives(1);
    told.says("of 3 recorded choices 3 were made again; 1 draws are new");
    let told = ask(&["replay", &path]).with("mended").run().gives(0);
    told.says("it fails no more, with the very choices that were recorded");
    let told = ask(&["replay", &path]).with("changed").run().gives(2);
    told.says("DRIFTED");
    let told = ask(&["replay", &path]).with("none").run().gives(2);
    told.says("there is no scenario `dice`");
}

#[test]
fn where_two_runs_part_is_shown_with_what_led_to_it() {
    let same = ask(&["diff", "letters@7", "letters@0x7"]).run().gives(0);
    same.says("the same: ");
    let told = ask(&["diff", "letters@7", "letters@8"]).run().gives(1);
    told.says("client/0 ");
    let json = ask(&["diff", "letters@7", "letters@8", "--json"])
        .run()
        .gives(1);
    json.says("\"story\":[\"");
    let path = failure("diff");
    let seed = path.rsplit_once("-0x").unwrap().1;
    let same = format!("dice@0x{seed}");
    ask(&["diff", &path, &same]).run().gives(0);
    for (one, told) in [
        ("letters@x", "letters@x: x is no seed"),
        ("postcards@1", "there is no scenario `postcards`"),
        ("no/such/run", "no/such/run: "),
        (env!("CARGO_MANIFEST_PATH"), "Cargo.toml: "),
    ] {
        ask(&["diff", one, "letters@1"]).run().gives(2).says(told);
    }
}

#[test]
fn a_failure_is_made_small_and_told_on_one_screen() {
    let path = failure("shrink");
    let told = ask(&["shrink", &path, "--runs", "300"]).run().gives(0);
    told.says("`dice`, which fails with ");
    told.says("nothing that was tried makes it smaller");
    assert!(
        !told.err.contains("bad day"),
        "panics are told as what they are: {}",
        told.err
    );
    let small = format!("{path}/shrunk.json");
    ask(&["replay", &small]).run().gives(1);
    let story = fs::read_to_string(format!("{path}/story.txt")).unwrap();
    assert_eq!(story, told.out);
    let test = ask(&["shrink", &path, "--runs", "300", "--test"]).run();
    let test = test.gives(0).out;
    assert!(test.contains("#[test]\nfn dice_"), "{test}");
    assert_eq!(fs::read_to_string(format!("{path}/test.rs")).unwrap(), test);
    let json = ask(&["shrink", &path, "--runs", "300", "--json"]).run();
    json.gives(0).says("{\"scenario\":\"dice\",\"kind\":\"");
    let told = ask(&["shrink", &canary(), "--runs", "800"]).run().gives(0);
    told.says("the datagram from `sender` to `receiver` was late");
    let row = told.out.split_once("\n  choices").unwrap().1;
    let row = row.lines().next().unwrap().split_whitespace();
    let choices: Vec<u64> = row.map(|count| count.parse().unwrap()).collect();
    assert!(choices[1] < choices[0], "{}", told.out);
    let told = ask(&["shrink", "letters@1"]).run().gives(2);
    told.says("`letters` does not fail with these choices");
}

#[test]
fn the_event_that_turned_a_run_is_named() {
    let run = canary();
    let blame = ["blame", &run, "--runs", "1500"];
    let told = ask(&blame).run().gives(0);
    told.says("`stillpoint-canary`: scenario: messages out of order: ");
    told.says("`link reorder");
    let json = ask(&[&blame[..], &["--json"]].concat()).run().gives(0);
    json.says("\"turn\":{\"sure\":");
    ask(&["blame", "letters@1"])
        .run()
        .gives(2)
        .says("does not fail");
}

/// A seed for which the canary that is built in fails, with its name.
fn canary() -> String {
    let told = ask(&["sweep", "letters", "--seeds", "1", "--json"]).run();
    let (_, seed) = told.out.split_once("\"found\":\"").unwrap();
    format!("stillpoint-canary@{}", seed.split_once('"').unwrap().0)
}
