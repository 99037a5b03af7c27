//! Failures outlive changes of the code: they were recorded, then the scenario has got one more draw,
//! one more node and one more kind of fault, and they still fail.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::time::Duration;

use stillpoint_sim::{Driver, Failure, FaultKind, FaultPlan, Rest, Run, Watch, World, drive};

#[path = "plants/courier.rs"]
mod courier;
#[path = "plants/depot.rs"]
mod depot;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;

use post::{Plant, Post, Season, scenario_in};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The couriers' scenario, with workers that stand still now and then.
fn before(plant: Plant) -> impl Fn(&mut World<Post>) -> Result<(), Failure> {
    scenario_in(plant, season(FaultPlan::new()))
}

/// The same after a change.
fn after(plant: Plant) -> impl Fn(&mut World<Post>) -> Result<(), Failure> {
    let more = FaultPlan::new().with(FaultKind::LateTimers, 1..=3, ms(10)..=ms(200));
    let scenario = scenario_in(plant, season(more));
    move |world| {
        let idlers = world.draw("idlers", 1..=3);
        let idlers = (1..=idlers).map(|number| u8::try_from(number).expect("three"));
        for number in idlers {
            let name = format!("idler {number}");
            world.node(name, [10, 9, 9, number]).spawner(post::spawn);
        }
        scenario(world)
    }
}

fn season(plan: FaultPlan) -> Season {
    let plan = plan.with(FaultKind::Stall, 1..=3, ms(10)..=ms(200));
    Season {
        plan: Some((plan, Duration::from_secs(2))),
        ..Season::quiet()
    }
}

/// A hundred runs that fail: of each plant as many, as far as it has as many in as many seeds.
fn failures() -> Vec<(Plant, Run)> {
    let mut failures = Vec::new();
    for (number, plant) in Plant::ALL.into_iter().enumerate() {
        let wanted = (100 - failures.len()) / (Plant::ALL.len() - number);
        let runs = (0..).map(|seed| drive(Driver::Seed(seed), Watch::Outcome, before(plant)));
        let failed = runs.filter(|run| run.failure.is_some()).take(wanted);
        failures.extend(failed.map(|run| (plant, run)));
    }
    failures
}

#[test]
fn ninety_of_a_hundred_failures_outlive_a_change() {
    let failures = failures();
    assert_eq!(failures.len(), 100);
    let mut counts = [0; 3];
    let mut drifted = 0;
    for (plant, run) in &failures {
        let quiet = run.choices.clone().with_rest(Rest::Quiet);
        let drivers = [
            Driver::Log(&run.choices),
            Driver::Log(&quiet),
            Driver::Seed(run.summary.seed),
        ];
        for (count, driver) in counts.iter_mut().zip(drivers) {
            let again = drive(driver, Watch::Outcome, after(*plant));
            *count += u32::from(again.class() == run.class());
            drifted += u32::from(!again.drift.is_none());
        }
    }
    let [by_log, by_quiet_log, by_seed] = counts;
    // Printed with `--nocapture`.
    eprintln!(
        "of 100 failures {by_log} are there again by their choices, {by_quiet_log} if what is new is \
        quiet, {by_seed} by their seeds alone"
    );
    assert!(
        drifted >= 150,
        "the change is one: {drifted} of 200 runs by choices have drifted"
    );
    assert!(by_log >= 90, "{by_log} of 100 failures are there again");
    assert!(
        by_quiet_log >= 90,
        "{by_quiet_log} of 100 failures are there again"
    );
}
