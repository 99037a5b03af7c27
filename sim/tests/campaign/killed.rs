//! Sweeps that are killed, and gone on with.

use std::fs;

use crate::program::{Told, ask, new_file};

const SWEEP: [&str; 6] = ["sweep", "--seeds", "0..900", "--chunk", "7", "--json"];

fn undisturbed() -> Told {
    ask(&SWEEP).run().gives(1)
}

#[test]
fn a_sweep_that_is_killed_and_gone_on_with_is_the_same_as_one_that_is_not() {
    let whole = undisturbed();
    let mut chance = fastrand::Rng::with_seed(900);
    for round in 0..4 {
        let file = new_file(&format!("killed-{round}"));
        let begin = [&SWEEP[..], &["--out", &file]].concat();
        let dies_after = chance.u64(1..1_500);
        let killed = ask(&begin).dies_after(dies_after).run();
        assert_eq!((killed.code, killed.out.as_str()), (None, ""));
        // What it had done is there, but for the last of it.
        let left = ask(&["merge", "--partial", "--json", &file]).run();
        assert!(
            dies_after < 500 || !left.out.contains("\"seeds\":0,\"failed\":0,\"scenarios\""),
            "nothing was written in {dies_after} seeds"
        );
        // And once more, sooner or later.
        let again = ["sweep", "--json", "--resume", &file];
        let left = 1_800 - dies_after;
        ask(&again).dies_after(chance.u64(0..left)).run();

        let told = ask(&again).run().gives(1);
        assert_eq!(told.out, whole.out, "killed after {dies_after} seeds");
        // It is all in the file, once.
        let merged = ask(&["merge", "--json", &file]).run().gives(1);
        assert_eq!(merged.scenarios(), whole.scenarios());
        // There is nothing left to do, and it is not done.
        let told = ask(&again).run().gives(1);
        told.says("all seeds were run: 0 seeds in");
        assert_eq!(told.out, whole.out);
    }
}

#[test]
fn a_line_that_was_cut_off_is_dropped_with_a_word() {
    let whole = undisturbed();
    let file = new_file("cut");
    ask(&[&SWEEP[..], &["--out", &file]].concat())
        .run()
        .gives(1);
    let text = fs::read(&file).unwrap();
    let header = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..6 {
        let end = chance.usize(header..text.len());
        fs::write(&file, &text[..end]).unwrap();
        let told = ask(&["sweep", "--json", "--resume", &file]).run().gives(1);
        assert_eq!(told.out, whole.out, "cut after {end} bytes");
        // And the file is whole again.
        let merged = ask(&["merge", "--json", &file]).run().gives(1);
        assert_eq!(merged.scenarios(), whole.scenarios());
        if text[end - 1] != b'\n' {
            told.says("the last line was cut off and is dropped");
        }
    }
}

#[test]
fn a_job_that_is_queued_again_begins_or_goes_on() {
    let file = new_file("queued");
    let job = [&SWEEP[..], &["--out", &file, "--resume", &file]].concat();
    let killed = ask(&job).dies_after(600).run();
    assert_eq!(killed.code, None);
    assert_eq!(ask(&job).run().gives(1).out, undisturbed().out);
    // A job that was killed before it had written anything.
    fs::write(&file, "").unwrap();
    assert_eq!(ask(&job).run().gives(1).out, undisturbed().out);
    fs::write(&file, "{\"record\":\"swe").unwrap();
    assert_eq!(ask(&job).run().gives(1).out, undisturbed().out);
}

#[test]
fn a_sweep_that_ran_out_of_time_goes_on_in_the_middle_of_a_chunk() {
    let whole = undisturbed();
    let file = new_file("budget");
    let begin = [&SWEEP[..4], &["500", "--out", &file, "--budget", "1ms"]].concat();
    ask(&begin).run();
    for _ in 0..3 {
        ask(&["sweep", "--resume", &file, "--budget", "20ms"]).run();
    }
    let told = ask(&["sweep", "--json", "--resume", &file]).run().gives(1);
    assert_eq!(told.out, whole.out);
}

#[test]
fn a_sweep_that_is_interrupted_ends_in_an_orderly_way_and_goes_on_later() {
    let whole = undisturbed();
    let file = new_file("interrupted");
    let endless = ["sweep", "letters", "--seeds", "0.."];
    let told = ask(&endless).stops_after(300).run().gives(2);
    told.says("interrupted: ");
    told.says("letters: ");
    let begin = [&SWEEP[..], &["--out", &file]].concat();
    let told = ask(&begin).stops_after(300).run();
    assert!(!told.out.is_empty(), "it has a report: {}", told.err);
    let told = ask(&["sweep", "--json", "--resume", &file]).run().gives(1);
    assert_eq!(told.out, whole.out);
}
