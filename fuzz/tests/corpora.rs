//! What fuzzers have found, run without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use stillpoint_fuzz::{TARGETS, race};

/// The files of a target's corpus, by name.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn all_that_is_in_the_corpora_passes() {
    for (name, run) in TARGETS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            println!("{}", file.display());
            run(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_program_and_every_program_a_target() {
    let programs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets"));
    let names = programs.unwrap().map(|entry| entry.unwrap().path());
    let names = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    let targets = TARGETS.iter().map(|&(name, _)| name.to_owned());
    let mut wanted: Vec<String> = targets.chain(["planted_race".to_owned()]).collect();
    wanted.sort();
    assert_eq!(names, wanted);
}

#[test]
fn seeds_find_the_planted_race_in_the_long_run_only() {
    assert_eq!(race::seeds_until_found(100), None);
    race::run_bytes(&[]);
}
