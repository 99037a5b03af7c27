//! A small run is written as a test, and that test fails as it is.

use std::env;
use std::path::Path;
use std::process::Command;

use stillpoint_sim::{Budget, Driver, Scenario, Shrunk, Watch, scenario, shrink};

use super::crash::crashes;
use super::found;
use super::post::{Plant, Season, scenario_in};

/// Where the tests are that were written: `tests/told.rs` includes them.
const TOLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/told/written.rs");

/// Shrinks with little effort: what comes out is to be read by the compiler.
fn small(scenario: &Scenario) -> Shrunk {
    let found = found(scenario);
    shrink(scenario, &found.choices, Budget::runs(1_000)).expect("it fails")
}

/// The text of all tests.
fn text() -> String {
    let double = scenario!(scenario_in(Plant::DoubleDelivery, Season::busy()));
    let window = scenario!(scenario_in(Plant::WindowOffByOne, Season::busy()));
    let crash = scenario!(crashes);
    let mut runs = (0..).map(|seed| crash.run(Driver::Seed(seed), Watch::Outcome));
    let crashed = runs
        .find(|run| run.failure.is_some())
        .expect("two crashes, some time");
    let crashed = shrink(&crash, &crashed.choices, Budget::runs(1_000)).expect("it fails");
    [
        small(&double).to_test(&double),
        small(&window).to_test(&window),
        crashed.to_test(&crash),
    ]
    .join("\n")
}

#[test]
fn a_small_run_is_a_test_that_fails_unedited() {
    let text = text();
    if env::var_os("STILLPOINT_WRITE").is_some() {
        std::fs::write(TOLD, &text).expect("a folder that can be written to");
    }
    let known = std::fs::read_to_string(TOLD).unwrap_or_default();
    assert_eq!(
        text, known,
        "{TOLD} is to be written anew: run this test with STILLPOINT_WRITE=1"
    );
    let (output, succeeded) = cargo_test();
    assert!(!succeeded, "the tests pass:\n{output}");
    for told in [
        "test scenario_in_plant_double_delivery_season_busy_",
        "invariant: parcels come in order and once",
        "test scenario_in_plant_window_off_by_one_season_busy_",
        "invariant: each parcel is what was sent",
        "test crashes_",
        "scenario: somebody has crashed twice",
        "0 passed; 3 failed",
    ] {
        assert!(output.contains(told), "`{told}` is not told:\n{output}");
    }
}

/// Runs the tests that were written, as anybody would.
fn cargo_test() -> (String, bool) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["test", "--offline", "--test", "told"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo");
    let text = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        output.status.success(),
    )
}
