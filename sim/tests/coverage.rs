//! What seeds reach, and what they never do.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks look at the inputs that they know"
)]

mod common;

use common::{Client, Echo, client, ms, pair};
use stillpoint_sim::{
    Behaviour, Coverage, Driver, Failure, FaultKind, FaultPlan, Link, Watch, World, drive,
    run_seed, sweep,
};

/// Five requests over a link that loses some, with faults.
fn requests(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, _) = pair(world, &Link::new(ms(1)..=ms(9)).loss(0.1));
    let plan = FaultPlan::new()
        .with(FaultKind::Cut, 1..=1, ms(1)..=ms(20))
        .with(FaultKind::Pause, 1..=1, ms(1)..=ms(20))
        .with(FaultKind::Rebind, 1..=1, ms(1)..=ms(20));
    world.plan(&plan, ms(40));
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(5)));
    world.run_until_idle(ms(1_000))
}

fn state(client: &Client) -> &'static str {
    match (client.sent, client.replies.len() as u64) {
        (0, _) => "new",
        (_, 0) => "unheard",
        (sent, heard) if heard < sent => "waiting",
        _ => "answered",
    }
}

fn watched(world: &mut World<Echo>) -> Result<(), Failure> {
    world.expect_states("client", ["new", "unheard", "waiting", "answered", "deaf"]);
    world.watch_states("client", state);
    requests(world)
}

fn of(coverage: &Coverage, behaviour: Behaviour, name: &str) -> u64 {
    let all = coverage.of(behaviour);
    let found = all.iter().find(|(known, _)| *known == name);
    found
        .unwrap_or_else(|| panic!("{name} is not in {all:?}"))
        .1
}

#[test]
fn faults_that_may_happen_and_never_do_are_known() {
    let coverage = sweep("requests", 0..60, requests).coverage;
    for kind in ["Cut", "Mend", "Pause", "Resume"] {
        let seeds = of(&coverage, Behaviour::Fault, kind);
        assert!((10..60).contains(&seeds), "{kind}: {seeds}");
    }
    // There is no NAT in this world.
    assert_eq!(coverage.never(Behaviour::Fault), ["Rebind"]);
}

#[test]
fn faults_that_are_cancelled_have_not_happened() {
    let healed = |world: &mut World<Echo>| {
        let (asking, _) = pair(world, &Link::fixed(ms(1)));
        world.schedule(
            world.now().after(ms(50)),
            stillpoint_sim::Fault::Crash(asking),
        );
        world.heal();
        world.run_for(ms(100))
    };
    let coverage = sweep("healed", 0..1, healed).coverage;
    assert_eq!(coverage.of(Behaviour::Fault), [("Crash", 0)]);
}

#[test]
fn states_and_transitions_are_counted_by_seeds() {
    let coverage = sweep("watched", 0..60, watched).coverage;
    assert_eq!(of(&coverage, Behaviour::State, "client: new"), 60);
    assert_eq!(coverage.never(Behaviour::State), ["client: deaf"]);
    assert_eq!(
        of(&coverage, Behaviour::Transition, "client: new -> unheard"),
        60
    );
    let answered = of(
        &coverage,
        Behaviour::Transition,
        "client: waiting -> answered",
    );
    assert!((1..60).contains(&answered), "{answered}");
    let back: Vec<_> = coverage.of(Behaviour::Transition);
    assert!(
        back.iter().all(|(name, _)| !name.ends_with("-> new")),
        "{back:?}"
    );
}

#[test]
fn each_entity_is_followed_by_itself() {
    let coverage = sweep("phases", 0..3, |world: &mut World<Echo>| {
        for who in 0..2 {
            world.visit("phase", who, "idle");
        }
        world.visit("phase", 0, "busy");
        world.visit("phase", 0, "busy");
        world.visit("phase", 1, format!("seed {}", world.seed()));
        Ok(())
    });
    let transitions = coverage.coverage.of(Behaviour::Transition);
    let wanted = [
        ("phase: idle -> busy", 3),
        ("phase: idle -> seed 0", 1),
        ("phase: idle -> seed 1", 1),
        ("phase: idle -> seed 2", 1),
    ];
    assert_eq!(transitions, wanted);
}

#[test]
fn kinds_of_events_and_of_losses_are_counted() {
    let coverage = sweep("requests", 0..60, requests).coverage;
    assert_eq!(of(&coverage, Behaviour::Event, "Spawn"), 60);
    assert_eq!(of(&coverage, Behaviour::Event, "Segment"), 0);
    let lost = of(&coverage, Behaviour::Drop, "Loss");
    assert!((10..60).contains(&lost), "{lost}");
    assert!(of(&coverage, Behaviour::Drop, "Partition") > 0);
    assert_eq!(of(&coverage, Behaviour::Drop, "TooLong"), 0);
}

#[test]
fn a_run_is_the_same_whoever_looks() {
    for seed in 0..20 {
        let (looked_at, _) = run_seed(seed, watched);
        assert_eq!(looked_at, run_seed(seed, requests).0);
        // And has the same footprint, whoever decides.
        let run = drive(Driver::Seed(seed), Watch::Trace, watched);
        let again = drive(Driver::Log(&run.choices), Watch::Outcome, watched);
        assert_eq!(run.footprint, again.footprint);
        let (mut driven, swept) = (Coverage::default(), sweep("one", [seed], watched));
        driven.note(&run.footprint);
        assert_eq!(driven, swept.coverage);
    }
}
