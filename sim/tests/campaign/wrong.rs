//! What is typed wrongly, and files that are none: each gets an error that names it.

use std::fs;

use crate::program::{ask, folder, new_file};

#[test]
fn what_is_typed_wrongly_is_told_by_name() {
    for (args, told) in [
        (
            &["sweep", "--seeds", "9..2"][..],
            "seeds `9..2`: none to run",
        ),
        (&["sweep", "--seeds", "some"], "some is no seed"),
        (&["sweep", "--budget", "soon"], "`soon` is no duration"),
        (&["sweep", "--shard", "5/4"], "shard `5/4`"),
        (&["sweep", "--threads", "0"], "0 is not in 1.."),
        (&["sweep", "--chunk", "0"], "0 is not in 1.."),
        (
            &["sweep", "letter"],
            "there is no scenario `letter`. There are: `dice`, `letters`",
        ),
        (&["run", "letters"], "--seed <SEED>"),
        (&["run", "letters", "--seed", "0y"], "0y is no seed"),
        (
            &["run", "letter", "--seed", "1"],
            "there is no scenario `letter`",
        ),
        (&["replay", "no/such/folder"], "no/such/folder: "),
        (
            &["replay", ".", "--from", "memory"],
            "[possible values: choices, seed]",
        ),
        (&["merge"], "<FILES>"),
        (&["merge", "no/such/file"], "no/such/file: "),
        (&["sweep", "--resume", "no/such/file"], "no/such/file: "),
        (
            &["sweep", "--resume", "a", "--out", "b"],
            "--out b and --resume a",
        ),
        (
            &["sweep", "--out", "/proc/none/sweep.jsonl"],
            "/proc/none/sweep.jsonl: ",
        ),
        (&["shrunk"], "'shrunk'"),
    ] {
        // As a test program, what is no command is a filter of tests.
        let is_filter = args == ["shrunk"];
        let told_of = ask(args).run();
        if is_filter {
            told_of.gives(0);
        } else {
            told_of.gives(2).says(told);
        }
    }
    ask(&["sweep"])
        .with("none")
        .run()
        .gives(2)
        .says("there are no scenarios");
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let file = new_file("there");
    let sweep = ["sweep", "letters", "--seeds", "10", "--out", &file];
    ask(&sweep).run().gives(0);
    let before = fs::read(&file).unwrap();
    let told = ask(&sweep).run().gives(2);
    told.says("there is such a file. Go on with it by `--resume`, or remove it");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_sweep_goes_on_only_with_what_it_was_begun_with() {
    let file = new_file("other");
    let sweep = [
        "sweep", "letters", "--seeds", "0..50", "--shard", "1/2", "--out", &file,
    ];
    ask(&sweep).run().gives(0);
    let resume = |args: &[&str]| ask(&[&["sweep", "--resume", &file], args].concat());
    for (args, told) in [
        (&["dice"][..], "is a sweep of `letters`, and not `dice`"),
        (
            &["--seeds", "0..60"],
            "is of seeds 0x0..0x32, and not 0x0..0x3c",
        ),
        (&["--shard", "2/2"], "is of shard 1/2, and not 2/2"),
        (&["--chunk", "9"], "has chunks of 1, and not 9"),
    ] {
        let told_of = resume(args).run().gives(2);
        told_of.says(told);
        told_of.says(&file);
    }
    let told = resume(&[]).with("mended").run().gives(2);
    told.says("there is no scenario `letters`");
    let told = resume(&[]).with("blind").run().gives(2);
    told.says("has canaries `stillpoint-canary` within 5000, and not `blind` within 50");
    resume(&["--shard", "1/2"]).run().gives(0);
    let text = fs::read_to_string(&file).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&file, text.replacen(&version, "\"version\":\"0.0.7\"", 1)).unwrap();
    resume(&[])
        .run()
        .gives(2)
        .says("was written by version 0.0.7");
    let builds = text.replacen("\"build\":\"", "\"build\":\"0", 1);
    fs::write(&file, builds).unwrap();
    resume(&[])
        .run()
        .gives(0)
        .says("was written by another build");
}

#[test]
fn files_of_other_versions_and_scenarios_are_not_merged() {
    let (one, other) = (new_file("merge-one"), new_file("merge-other"));
    ask(&["sweep", "letters", "--seeds", "10", "--out", &one])
        .run()
        .gives(0);
    ask(&["sweep", "dice", "--seeds", "10", "--out", &other])
        .run()
        .gives(0);
    let told = ask(&["merge", &one, &other]).run().gives(2);
    told.says(&format!(
        "{other} is of scenarios `dice`, and {one} `letters`"
    ));
    let text = fs::read_to_string(&one).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&other, text.replacen(&version, "\"version\":\"0.0.7\"", 1)).unwrap();
    let told = ask(&["merge", &one, &other]).run().gives(2);
    told.says(&format!("{other} is of version 0.0.7, and {one} "));
}

#[test]
fn files_that_are_none_are_told_with_their_line() {
    let file = new_file("broken");
    ask(&["sweep", "letters", "--seeds", "10", "--out", &file])
        .run()
        .gives(0);
    let whole = fs::read_to_string(&file).unwrap();
    let path = folder("broken").join("changed.jsonl").display().to_string();
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        ask(&["merge", &path]).run()
    };
    read(&whole).gives(0);
    let lines = whole.lines().count();
    for (from, to, told) in CHANGES {
        let broken = whole.replacen(from, to, 1);
        assert_ne!(broken, whole, "{from}");
        read(&broken).gives(2).says(told);
    }
    let canary_first = whole.lines().nth(1).unwrap();
    read(&format!("{canary_first}\n{whole}"))
        .gives(2)
        .says("changed.jsonl:1: ");
    read(&format!("{whole}{whole}")).gives(2).says(&format!(
        "changed.jsonl:{}: a second sweep begins",
        lines + 1
    ));
    read("").gives(2).says("has no whole line");
    let foreign = read("# A diary\n\nNothing happened.\n").gives(2);
    foreign.says("Is it a file that `sweep --out` has written?");
    fs::write(&path, [0xff, 0xfe, b'\n', 0]).unwrap();
    ask(&["merge", &path])
        .run()
        .gives(2)
        .says("changed.jsonl:1: no JSON");
}

/// What is changed in a file, and what is said of it.
const CHANGES: [(&str, &str, &str); 12] = [
    ("{", "", "changed.jsonl:1: no JSON"),
    (
        "\"format\":1",
        "\"format\":2",
        "changed.jsonl:1: `format` should be 1, and is 2",
    ),
    (
        "\"sweep\"",
        "\"sleep\"",
        "changed.jsonl:1: `record` should be",
    ),
    (
        "\"chunk\":1,",
        "\"chunk\":0,",
        "changed.jsonl:1: `chunk` should be",
    ),
    (
        "\"shard\":\"1/1\"",
        "\"shard\":\"2/1\"",
        "changed.jsonl:1: `shard` should be",
    ),
    (
        "\"seeds\":\"0x0..0xa\"",
        "\"seeds\":\"0xa..0x0\"",
        "changed.jsonl:1: `seeds` should be",
    ),
    (
        "\"seeds\":\"0x0..0x1\"",
        "\"seeds\":\"0x0..0x10\"",
        "seeds 0x0..0x10 are not of its sweep",
    ),
    (
        "\"seeds\":\"0x0..0x1\"",
        "\"seeds\":\"0x1..0x2\"",
        "are there twice",
    ),
    (
        "\"scenario\":\"letters\"",
        "\"scenario\":\"dice\"",
        "there is no scenario `dice`",
    ),
    (
        "\"name\":\"stillpoint-canary\"",
        "\"name\":\"wren\"",
        "changed.jsonl:2: there is no canary `wren`",
    ),
    (
        "\"Spawn\":1",
        "\"Spawn\":2",
        "`Spawn` of `events` in `coverage` should be a number of seeds",
    ),
    (
        "\"Spawn\":1",
        "\"Spam\":1",
        "`Spam` of `events` in `coverage` should be something",
    ),
];
