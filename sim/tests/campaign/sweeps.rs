//! What a sweep finds and tells.

use crate::program::{ask, folder};

#[test]
fn a_sweep_groups_what_fails_and_tells_how_to_have_it_again() {
    let told = ask(&["sweep", "dice", "--seeds", "0..2000"]).run().gives(1);
    told.says("dice: 2000 seeds, ");
    told.says(" × scenario: three sixes in a row\n");
    told.says(" × panicked: assertion `left != right` failed: it is a bad day\n");
    told.says(" run dice --seed 0x");
    told.says("canary `stillpoint-canary`: found after ");
    told.says("2000 seeds: failures found");
    assert!(
        !told.err.contains("bad day"),
        "panics are told in the report alone: {}",
        told.err
    );
    assert!(
        !told.out.contains("letters"),
        "only what was named is swept: {}",
        told.out
    );
    // Each seed that it gives fails as it says, when it is run by itself.
    let mut examples = told.out.split("      seed ").skip(1);
    for message in examples
        .by_ref()
        .map(|example| example.lines().next().unwrap())
    {
        let (seed, message) = message.split_once(": ").unwrap();
        let again = ask(&["run", "dice", "--seed", seed]).run().gives(1);
        again.says(message.trim_end_matches(" …"));
    }
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_threads() {
    for limit in [&[][..], &["--failures", "3"], &["--until-failure"]] {
        let sweep = |threads: &str| {
            let args = [
                "sweep",
                "--seeds",
                "0..1500",
                "--json",
                "--threads",
                threads,
            ];
            ask(&[&args[..], limit].concat()).run().gives(1).out
        };
        let one = sweep("1");
        for threads in ["2", "5"] {
            assert_eq!(sweep(threads), one, "{limit:?}");
        }
    }
}

#[test]
fn a_sweep_until_the_first_failure_ends_with_it() {
    let told = ask(&[
        "sweep",
        "dice",
        "--seeds",
        "0..20000",
        "--until-failure",
        "--json",
    ]);
    let told = told.run().gives(1);
    told.says("as there are as many failures as were asked for");
    let (_, seed) = told.out.split_once("\"seed\":\"0x").unwrap();
    let seed = seed.split_once('"').unwrap().0;
    let seed = u64::from_str_radix(seed, 16).unwrap();
    told.says(&format!("\"seeds\":{},\"failed\":1", seed + 1));
}

#[test]
fn seeds_without_an_end_take_what_the_budget_gives() {
    let sweep = ["sweep", "hopeful", "--seeds", "7..", "--budget", "1ms"];
    let told = ask(&sweep).with("too hopeful").run().gives(1);
    told.says("stopped by its budget: ");
    assert!(!told.out.contains("hopeful: 0 seeds"), "{}", told.out);
    // There is no more to come that could reach it.
    told.says("seeds: `a hundred nodes`. The scenario does not try");
    // Where there is, it is not judged yet.
    let sweep = [
        "sweep",
        "hopeful",
        "--seeds",
        "0..1000000",
        "--budget",
        "1ms",
    ];
    let told = ask(&sweep).with("too hopeful").run().gives(0);
    told.says("seeds yet: `a hundred nodes`");
    told.says("  not run: ");
}

#[test]
fn what_was_never_reached_is_shown_and_a_label_that_was_not_is_a_failure() {
    let hopeful = |args: &[&str]| {
        let args = [&["sweep", "hopeful", "--seeds", "0..300"], args].concat();
        ask(&args).with("too hopeful").run()
    };
    hopeful(&[])
        .gives(1)
        .says("FAILED: reached by none of 300 seeds: `a hundred nodes`");
    // While seeds are elsewhere it may be they that reach it.
    hopeful(&["--shard", "1/2"])
        .gives(0)
        .says("reached by none of 150 seeds yet: `a hundred nodes`");
    hopeful(&["--json"])
        .gives(1)
        .says("\"never\":{\"labels\":[\"a hundred nodes\"]");
    let full = ask(&["sweep", "letters", "--seeds", "200", "--coverage"]).run();
    let full = full.gives(0);
    full.says(" drops: Loss\n");
    full.says("         0 drops: NoRoute\n");
    full.says("       200 events: Spawn\n");
}

#[test]
fn folders_are_written_for_one_failure_of_each_class() {
    for (count, wanted) in [("0", 0), ("1", 1), ("10", 2)] {
        let all = folder("folders");
        drop(std::fs::remove_dir_all(&all));
        let args = ["sweep", "dice", "--seeds", "0..2000", "--folders", count];
        let sweep = ask(&args).env("STILLPOINT_FOLDER", &all).run().gives(1);
        let folders = std::fs::read_dir(&all).into_iter().flatten();
        let folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len(), wanted, "{count}");
        for folder in folders {
            sweep.says(&folder.display().to_string());
            let path = folder.display().to_string();
            let again = ask(&["replay", &path]).run().gives(1);
            again.says("it fails as it did, event by event");
        }
    }
}

#[test]
fn a_test_program_answers_what_cargo_and_nextest_ask() {
    let told = ask(&["--list", "--format", "terse"]).run().gives(0);
    assert_eq!(told.out, "dice: test\nletters: test\n");
    let told = ask(&["--list", "--format", "terse", "--ignored"])
        .run()
        .gives(0);
    assert_eq!(told.out, "");
    let ask = |args: &[&str]| ask(args).env("STILLPOINT_BUDGET", "none");
    let told = ask(&["letters", "--exact", "--nocapture"]).run().gives(0);
    told.says("letters: 1000 seeds");
    assert!(!told.out.contains("dice"), "{}", told.out);
    ask(&["let", "--exact"]).run().gives(0);
    let told = ask(&["dice"]).run().gives(1);
    told.says("dice: 1000 seeds");
    // A job array says nothing to tests: they are run whole.
    let array = ask(&["letters"])
        .env("CI_NODE_INDEX", "1")
        .env("CI_NODE_TOTAL", "2");
    array.run().gives(0).says("letters: 1000 seeds");
    let one = ask(&["letters"]).env("STILLPOINT_SEED", "0x2a").run();
    one.says("letters: 1 seeds");
}

#[test]
fn help_says_what_there_is_with_examples() {
    for (args, texts) in [
        (&["--help"][..], &["sweep --resume", "Exit codes"][..]),
        (
            &["sweep", "--help"],
            &["SLURM_ARRAY_TASK_ID", "{shard}", "[default: 0..1000]"],
        ),
        (&["replay", "--help"], &["--event", "drifted"]),
        (&["merge", "--help"], &["--partial"]),
    ] {
        let told = ask(args).run().gives(0);
        for text in texts {
            told.says(text);
        }
        assert_eq!(told.err, "");
    }
}

#[test]
fn scenarios_are_listed() {
    let told = ask(&["list"]).run().gives(0);
    assert!(
        told.out
            .starts_with("dice\nletters\nstillpoint-canary (a canary")
    );
    let told = ask(&["list", "--json"]).run().gives(0);
    assert!(
        told.out
            .starts_with("{\"name\":\"dice\"}\n{\"name\":\"letters\"}\n")
    );
}
