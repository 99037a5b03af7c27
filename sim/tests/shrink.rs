//! Runs that fail are made small, and then a person can read what happened.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::time::Duration;

use stillpoint_sim::{
    Budget, ChoiceLog, Driver, Rest, Run, Scenario, Shrunk, Story, Watch, scenario, shrink,
};

#[path = "plants/courier.rs"]
mod courier;
#[path = "told/crashes.rs"]
mod crash;
#[path = "plants/depot.rs"]
mod depot;
#[path = "shrink/lease.rs"]
mod lease;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;
#[path = "shrink/written.rs"]
mod written;

use lease::five_hundred_faults;
use post::{Plant, Season, scenario_in};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn busy(plant: Plant) -> Scenario {
    Scenario::new(format!("{plant:?}"), scenario_in(plant, Season::busy()))
}

/// The first run of a sweep that fails and has something to shrink: some plants are found in runs
/// that are small as they are.
fn found(scenario: &Scenario) -> Run {
    let mut runs = (0..).map(|seed| scenario.run(Driver::Seed(seed), Watch::Outcome));
    let found = runs.find(|run| run.failure.is_some() && run.summary.events >= 400);
    found.expect("it fails, some time")
}

/// Shrinks a run to a tenth of its events or less, and looks whether all that is said is so.
fn shrunk(scenario: &Scenario, runs_max: u64) -> Shrunk {
    let found = found(scenario);
    let shrunk = shrink(scenario, &found.choices, Budget::runs(runs_max)).expect("it fails");
    // Printed with `--nocapture`: what it has come to.
    eprintln!(
        "seed {:#x}: {shrunk}\n{}\n",
        found.summary.seed,
        shrunk.story()
    );
    assert_eq!(shrunk.before.events, found.summary.events);
    assert!(shrunk.after.events * 10 <= shrunk.before.events, "{shrunk}");
    assert!(shrunk.runs <= runs_max, "{shrunk}");
    assert_eq!(Some(&shrunk.class), found.class().as_ref());
    assert_eq!(shrunk.run.class(), found.class());
    // The log alone brings it back.
    let again = scenario.run(Driver::Log(&shrunk.log), Watch::Outcome);
    assert_eq!(again.summary, shrunk.run.summary);
    assert_eq!(again.class(), found.class());
    fits_a_screen(&shrunk.story());
    shrunk
}

fn fits_a_screen(story: &Story) {
    let lines = story.lines();
    assert!(lines.len() <= Story::LINES_MAX, "{story}");
    let columns = lines.iter().map(|line| line.chars().count());
    assert!(columns.max() <= Some(Story::COLUMNS_MAX), "{story}");
}

/// Shrinks a planted bug, and looks whether the story names all of `told`.
fn plant(plant: Plant, nodes_max: usize, told: &[&str]) {
    let shrunk = shrunk(&busy(plant), 2_000);
    assert!(shrunk.after.nodes <= nodes_max, "{shrunk}");
    assert_eq!(
        shrunk.after.faults, 0,
        "the plan has no part in it: {shrunk}"
    );
    let story = shrunk.story().to_string();
    for told in told {
        assert!(story.contains(told), "`{told}` is not told:\n{story}");
    }
}

#[test]
fn a_forgotten_retransmission_takes_two_losses() {
    let shrunk = shrunk(&busy(Plant::ForgottenRetransmission), 2_000);
    let story = shrunk.story().to_string();
    assert!(shrunk.after.nodes <= 3, "{shrunk}");
    let lost = "the datagram from `courier 1` to `depot` was lost";
    assert_eq!(story.matches(lost).count(), 2, "{story}");
    assert!(
        story.contains("on `courier 1` (Courier"),
        "who waits: {story}"
    );
}

#[test]
fn a_stale_id_takes_one_datagram_that_is_late() {
    let told = [
        "the datagram from `courier 1` to `depot` was late",
        "link reorder",
    ];
    plant(Plant::StaleIdAccepted, 3, &told);
}

#[test]
fn a_double_delivery_takes_one_datagram_that_comes_again() {
    // Its acknowledgement was late or lost, or it was doubled on the way.
    plant(
        Plant::DoubleDelivery,
        2,
        &["`courier 1`", "the datagram from"],
    );
}

#[test]
fn a_lost_wake_up_takes_one_message_that_is_late() {
    let told = [
        "from worker 1 of `depot` to worker 0 was late",
        "bus latency",
    ];
    plant(Plant::LostWakeUp, 3, &told);
}

#[test]
fn a_forgotten_deadline_takes_one_loss() {
    let told = [
        "the datagram from `courier 1` to `depot` was lost",
        "link loss",
    ];
    plant(Plant::ForgottenDeadline, 3, &told);
}

#[test]
fn a_window_that_is_too_wide_takes_one_loss() {
    let told = [
        "the datagram from `courier 1` to `depot` was",
        "`parcels`, draw 0: 4",
    ];
    plant(Plant::WindowOffByOne, 2, &told);
}

#[test]
fn of_five_hundred_faults_those_are_left_that_matter() {
    let scenario = scenario!(five_hundred_faults);
    let mut runs = (0..).map(|seed| scenario.run(Driver::Seed(seed), Watch::Outcome));
    // Late enough for most of them to happen before.
    let found = runs.find(|run| run.failure.is_some() && run.faults.len() >= 500);
    let found = found.expect("it fails, some time");
    let shrunk = shrink(&scenario, &found.choices, Budget::runs(1_000)).expect("it fails");
    eprintln!("{shrunk}\n{}", shrunk.story());
    assert!(shrunk.before.faults >= 500, "{shrunk}");
    assert!(shrunk.after.faults <= 5, "{shrunk}");
    let story = shrunk.story();
    assert!(story.to_string().contains("Pause(`Holder 1`)"), "{story}");
    assert!(
        story.to_string().contains("Resume(`Holder 1`)"),
        "a fault and its end: {story}"
    );
    fits_a_screen(&story);
}

#[test]
fn the_same_budget_gives_the_same_run() {
    let scenario = busy(Plant::DoubleDelivery);
    let found = found(&scenario);
    let of = |runs| shrink(&scenario, &found.choices, Budget::runs(runs)).expect("it fails");
    let mut before = None;
    for runs in [1, 30, 200] {
        let shrunk = of(runs);
        assert_eq!(shrunk, of(runs));
        assert!(shrunk.runs <= runs && !shrunk.is_smallest, "{shrunk}");
        let events = shrunk.after.events;
        assert!(before.is_none_or(|before| events < before), "{shrunk}");
        before = Some(events);
    }
}

#[test]
fn it_stops_when_it_is_told_to() {
    let scenario = busy(Plant::DoubleDelivery);
    let found = found(&scenario);
    let mut asked = 0;
    let budget = Budget::default().stop_when(move || {
        asked += 1;
        asked > 10
    });
    let shrunk = shrink(&scenario, &found.choices, budget).expect("it fails");
    assert!(shrunk.runs <= 11 && !shrunk.is_smallest, "{shrunk}");
}

#[test]
fn what_does_not_fail_does_not_shrink() {
    let scenario = busy(Plant::Nothing);
    let error = shrink(&scenario, &ChoiceLog::new(1, Rest::Seed), Budget::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`Nothing` does not fail"), "{error}");
}

#[test]
fn a_seed_alone_shrinks_as_its_log_does() {
    let scenario = busy(Plant::WindowOffByOne);
    let found = found(&scenario);
    let seed = ChoiceLog::new(found.summary.seed, Rest::Seed);
    let of = |log| shrink(&scenario, log, Budget::runs(300)).expect("it fails");
    let (by_seed, by_log) = (of(&seed), of(&found.choices));
    assert_eq!(by_seed.log, by_log.log);
}
