//! Sweeps that are spread over machines, and joined.

use std::fs;

use crate::program::{ask, folder, new_file};

const SWEEP: [&str; 3] = ["sweep", "--seeds", "0..900"];

/// Runs a sweep in so many shards: their files.
fn sharded(name: &str, count: u64) -> Vec<String> {
    let pattern = new_file(name).replace("sweep.jsonl", "part-{shard}.jsonl");
    let mut files = Vec::new();
    for number in 1..=count {
        let shard = format!("{number}/{count}");
        let args = [&SWEEP[..], &["--shard", &shard, "--out", &pattern]].concat();
        let told = ask(&args).run();
        told.says(&format!("shard {shard}"));
        files.push(pattern.replace("{shard}", &number.to_string()));
    }
    files
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_shards() {
    let whole = ask(&[&SWEEP[..], &["--json"]].concat()).run().gives(1);
    for count in [2, 3] {
        let files = sharded(&format!("count-{count}"), count);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let joined = files[0].replace("part-1", "joined");
        let args = [&["merge", "--json", "--out", &joined][..], &files].concat();
        let merged = ask(&args).run().gives(1);
        assert_eq!(merged.scenarios(), whole.scenarios());
        let again = ask(&["merge", "--json", &joined]).run().gives(1);
        assert_eq!(again.scenarios(), merged.scenarios());
    }
}

#[test]
fn each_shard_carries_canaries_of_its_own() {
    let files = sharded("canaries", 3);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let merged = ask(&[&["merge"][..], &files].concat()).run().gives(1);
    for shard in ["1/3", "2/3", "3/3"] {
        merged.says(&format!(" seeds by shard {shard}\n"));
    }
}

#[test]
fn job_arrays_say_which_shard_this_is() {
    let sweep = ["sweep", "letters", "--seeds", "0..300"];
    let told = ask(&sweep)
        .env("SLURM_ARRAY_TASK_ID", "5")
        .env("SLURM_ARRAY_TASK_MIN", "4")
        .env("SLURM_ARRAY_TASK_COUNT", "3")
        .run()
        .gives(0);
    told.says("shard 2/3, as SLURM_ARRAY_TASK_ID=5 and SLURM_ARRAY_TASK_COUNT=3 say");
    told.says("letters: 100 seeds");
    let told = ask(&[&sweep[..], &["--shards", "4"]].concat()).env("JOB_COMPLETION_INDEX", "3");
    told.run()
        .gives(0)
        .says("shard 4/4, as JOB_COMPLETION_INDEX=3 say");
    let told = ask(&sweep).env("JOB_COMPLETION_INDEX", "3").run().gives(2);
    told.says("give `--shards N`");
    // Who says which it is knows better.
    let told = ask(&[&sweep[..], &["--shard", "1/1"]].concat()).env("JOB_COMPLETION_INDEX", "3");
    told.run().gives(0).says("letters: 300 seeds");
}

#[test]
fn what_is_missing_and_what_is_there_twice_is_told() {
    let files = sharded("gaps", 3);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let short = ask(&["merge", files[0], files[2]]).run().gives(2);
    short.says("no file is of shard 2/3");
    short.says("not run: 300 seeds: ");
    short.says("seeds are missing");
    ask(&["merge", "--partial", files[0], files[2]])
        .run()
        .gives(1);
    let twice = [&["merge", files[1]][..], &files].concat();
    let twice = ask(&twice).run().gives(1);
    twice.says("600 seeds are in several files, and count once");
    twice.says("dice: 900 seeds");
    // In other chunks they cannot be told apart.
    let other = new_file("other-chunks");
    ask(&[&SWEEP[..], &["--chunk", "70", "--out", &other]].concat()).run();
    let told = ask(&["merge", files[0], &other]).run().gives(2);
    told.says("are in another file, in other chunks");
}

#[test]
fn the_same_seeds_with_other_results_are_told() {
    let file = new_file("differs");
    ask(&[&SWEEP[..], &["--out", &file]].concat()).run();
    let text = fs::read_to_string(&file).unwrap();
    let other = folder("differs").join("other.jsonl").display().to_string();
    let changed = text.replacen(
        "\"chunk\",\"scenario\":\"letters\",",
        "\"chunk\",\"scenario\":\"letters\", ",
        1,
    );
    let at = changed.find("\"letters\", ").unwrap();
    let events = changed[at..].find("\"events\":").unwrap() + at + "\"events\":".len();
    let changed = format!("{}1{}", &changed[..events], &changed[events..]);
    fs::write(&other, changed).unwrap();
    let told = ask(&["merge", &file, &other]).run().gives(2);
    told.says("other.jsonl: seeds \"0x0..0x1\" of `letters` came out otherwise");
}
