//! A sweep that does not find what it must find is broken.

use crate::program::ask;

#[test]
fn a_canary_that_is_not_found_says_that_the_sweep_is_broken() {
    let sweep = ["sweep", "letters", "--seeds", "0..100"];
    let told = ask(&sweep).with("blind").run().gives(2);
    told.says("BROKEN: canary `blind` was not found within 50 seeds");
    told.says("the sweep is broken");
    // The one that is built in was found all the same.
    told.says("canary `stillpoint-canary`: found after ");
    let json = ask(&[&sweep[..], &["--json"]].concat()).with("blind").run();
    json.gives(2).says("\"verdict\":\"the sweep is broken\"");
}

#[test]
fn canaries_of_ones_own_are_looked_for_as_well() {
    let sweep = ["sweep", "letters", "--seeds", "0..100"];
    let told = ask(&sweep).with("two canaries").run().gives(0);
    told.says("canary `seven`: found after ");
    told.says("canary `stillpoint-canary`: found after ");
    assert!(
        !told.out.contains("a seven"),
        "what it found is no failure: {}",
        told.out
    );
}

#[test]
fn a_canary_can_be_run_by_itself() {
    let told = ask(&["sweep", "letters", "--seeds", "1", "--json"]).run();
    let (_, seed) = told.out.split_once("\"found\":\"").unwrap();
    let seed = seed.split_once('"').unwrap().0;
    let told = ask(&["run", "stillpoint-canary", "--seed", seed])
        .run()
        .gives(1);
    told.says("messages out of order: [0, ");
}
