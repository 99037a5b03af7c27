//! Which event turned a run towards its failure.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::time::Duration;

use stillpoint_sim::{
    Blame, BlameConfig, Budget, ChoiceLog, Driver, Rest, Run, Scenario, Watch, blame, scenario,
    shrink,
};

#[path = "plants/courier.rs"]
mod courier;
#[path = "plants/depot.rs"]
mod depot;
#[path = "shrink/lease.rs"]
mod lease;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;

use lease::five_hundred_faults;
use post::{Plant, Season, scenario as couriers, scenario_in};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The first run of a sweep that fails as it should.
fn found(scenario: &Scenario, wanted: impl Fn(&Run) -> bool) -> Run {
    let mut runs = (0..).map(|seed| scenario.run(Driver::Seed(seed), Watch::Outcome));
    let found = runs.find(|run| run.failure.is_some() && wanted(run));
    found.expect("it fails, some time")
}

fn blamed(scenario: &Scenario, run: &Run) -> Blame {
    let blame = blame(scenario, &run.choices, BlameConfig::default()).expect("it fails");
    // Printed with `--nocapture`: what it has come to.
    eprintln!("{blame}\n");
    assert!(blame.curve.len() <= 64 && blame.runs <= 10_000, "{blame}");
    blame
}

#[test]
fn of_five_hundred_faults_the_one_is_named_that_turned_the_run() {
    let scenario = scenario!(five_hundred_faults);
    let run = found(&scenario, |run| run.faults.len() >= 500);
    let blame = blamed(&scenario, &run);
    assert!(blame.turn.is_sure(), "{blame}");
    let events = blame.turn.events.join("\n");
    assert!(events.contains("Fault: Pause"), "{blame}");
    // It is the last pause of the holder since which there was time enough for the lease to run out.
    let holders = run.faults.iter().rev();
    let mut holders = holders.filter(|it| format!("{:?}", it.fault) == "Pause(NodeId(0))");
    let last = holders.find(|it| it.at.after(lease::EXPIRED) <= run.summary.at);
    let last = last.expect("a pause of the holder");
    let at = format!("{} ", last.at);
    assert!(events.contains(&at), "{at} is not the time of\n{blame}");
    let sites: Vec<&str> = blame.turn.choices.iter().map(|it| &*it.site).collect();
    assert!(sites.contains(&"scenario"), "{blame}");
}

#[test]
fn a_datagram_is_named_that_was_overtaken() {
    // In the small run little else is decided.
    let scenario = Scenario::new("window", scenario_in(Plant::WindowOffByOne, Season::busy()));
    let run = found(&scenario, |_| true);
    let shrunk = shrink(&scenario, &run.choices, Budget::runs(1_000)).expect("it fails");
    let blame = blamed(&scenario, &shrunk.run);
    assert!(blame.turn.is_sure(), "{blame}");
    let sites: Vec<&str> = blame.turn.choices.iter().map(|it| &*it.site).collect();
    assert!(sites.contains(&"link reorder"), "{blame}");
    let who = &blame.turn.who[0];
    assert_eq!(who, "the link from `courier 1` to `depot`");
    assert!(
        blame.turn.events[0].contains("courier 1/0 Carried"),
        "{blame}"
    );
}

#[test]
fn at_the_end_it_is_sure_to_fail() {
    let scenario = Scenario::new("window", couriers(Plant::WindowOffByOne));
    let run = found(&scenario, |_| true);
    let blame = blamed(&scenario, &run);
    let last = blame.curve.last().expect("a curve");
    assert_eq!(last.failed, last.runs, "{blame}");
    assert!(last.share() > blame.curve[0].share(), "{blame}");
}

#[test]
fn the_same_run_gets_the_same_blame_and_no_more_runs_than_may_be() {
    let scenario = Scenario::new("window", couriers(Plant::WindowOffByOne));
    let run = found(&scenario, |_| true);
    let of = |runs| {
        let config = BlameConfig::default().budget(Budget::runs(runs));
        blame(&scenario, &run.choices, config).expect("it fails")
    };
    for runs in [1, 50, 500] {
        let blame = of(runs);
        assert_eq!(blame, of(runs));
        assert!(blame.runs <= runs, "{blame}");
    }
}

#[test]
fn who_does_not_fail_is_not_blamed() {
    let scenario = Scenario::new("sound", couriers(Plant::Nothing));
    let log = ChoiceLog::new(1, Rest::Seed);
    let error = blame(&scenario, &log, BlameConfig::default()).unwrap_err();
    assert!(
        error.to_string().contains("`sound` does not fail"),
        "{error}"
    );
}
