//! One scenario, three drivers with one meaning: the seed, the choices that were recorded, and the
//! bytes of a fuzzer.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::time::Duration;

use stillpoint::Entity;
use stillpoint_sim::{
    Choice, ChoiceLog, Driver, Failure, FaultPlan, Link, Rest, Run, TraceEvent, Watch, World,
    drive, run_seed,
};

#[path = "plants/courier.rs"]
mod courier;
#[path = "plants/depot.rs"]
mod depot;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;

use post::{Plant, Post, Season, scenario, scenario_in};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The couriers' scenario, with faults of all kinds on top.
fn stormy(world: &mut World<Post>) -> Result<(), Failure> {
    world.tolerate_task_failures();
    world.node("idler", [10, 9, 9, 9]).spawner(post::spawn);
    world.plan(&FaultPlan::everything(), ms(500));
    scenario(Plant::Nothing)(world)
}

/// Runs of bad links, and runs of all faults.
fn runs() -> impl Iterator<Item = Run> {
    (0..24).map(|number| again(Driver::Seed(number as u64), number))
}

/// One of these, decided by another.
fn again(driver: Driver<'_>, number: usize) -> Run {
    match Plant::ALL.get(number) {
        Some(&plant) => drive(driver, Watch::Outcome, scenario(plant)),
        None => drive(driver, Watch::Outcome, stormy),
    }
}

#[test]
fn a_driven_run_of_a_seed_is_the_run_of_that_seed() {
    for (number, run) in runs().enumerate() {
        let seed = number as u64;
        let (summary, result) = match Plant::ALL.get(number) {
            Some(&plant) => run_seed(seed, scenario(plant)),
            None => run_seed(seed, stormy),
        };
        assert_eq!((summary, result.err()), (run.summary, run.failure));
    }
}

#[test]
fn a_log_brings_the_run_back_whatever_its_seed() {
    for (number, run) in runs().enumerate() {
        assert!(run.choices.choices().len() > 20, "{:?}", run.choices);
        let log = ChoiceLog::new(!run.summary.seed, Rest::Seed).with_choices(run.choices.choices());
        let same = again(Driver::Log(&log), number);
        assert_eq!(same.summary.trace_hash, run.summary.trace_hash);
        assert_eq!(same.failure, run.failure);
        assert!(same.drift.is_none(), "{}", same.drift);
        assert_eq!(same.choices.choices(), run.choices.choices());
    }
}

#[test]
fn bytes_bring_the_run_back() {
    for (number, run) in runs().enumerate() {
        let bytes = run.choices.to_bytes().expect("nothing is left out");
        let same = again(Driver::Bytes(&bytes), number);
        assert_eq!(same.summary.trace_hash, run.summary.trace_hash);
        assert_eq!(same.failure, run.failure);
        assert_eq!(same.choices.choices(), run.choices.choices());
    }
}

#[test]
fn no_bytes_are_a_quiet_run() {
    let quiet = drive(Driver::Bytes(&[]), Watch::Outcome, stormy);
    assert_eq!(quiet.failure, None);
    assert!(quiet.faults.is_empty());
    let ordered = quiet
        .choices
        .choices()
        .iter()
        .filter(|choice| choice.has_order());
    assert!(
        ordered
            .map(|choice| choice.chosen)
            .all(|chosen| chosen == 0)
    );
}

#[test]
fn bytes_decide_what_seeds_decide() {
    // Any bytes are a run, and others are another.
    let hashes = (0..=40_u8).map(|step| {
        let bytes: Vec<u8> = (0..=249_u8)
            .cycle()
            .take(4_000)
            .map(|at| at.wrapping_mul(step))
            .collect();
        let run = drive(
            Driver::Bytes(&bytes),
            Watch::Outcome,
            scenario(Plant::Nothing),
        );
        assert_eq!(run.failure, None);
        run.summary.trace_hash
    });
    let mut hashes: Vec<_> = hashes.collect();
    hashes.sort();
    hashes.dedup();
    assert!(hashes.len() > 30, "{} different runs of 41", hashes.len());
}

#[test]
fn what_a_log_does_not_have_falls_back_to_the_seed_and_is_told() {
    let run = runs().next().expect("a run");
    let mut choices = run.choices.choices().to_vec();
    let gone = choices.remove(3);
    choices.push(Choice::new("nowhere", Entity::new(7), 0, (5, 4)));
    let log = run.choices.clone().with_choices(choices.clone());
    let same = again(Driver::Log(&log), 0);
    assert_eq!(same.summary.trace_hash, run.summary.trace_hash);
    let drift = &same.drift;
    assert_eq!((drift.fresh, drift.unused), (1, 1));
    assert_eq!(drift.matched, choices.len() as u64 - 1);
    let (after, fresh) = drift.first_fresh.clone().expect("one is gone");
    assert_eq!((after, &fresh), (3, &gone));
    let told = drift.to_string();
    assert!(
        told.contains("1 draws are new") && told.contains("`nowhere`"),
        "{told}"
    );
}

#[test]
fn a_log_decides_over_the_seed() {
    let run = drive(Driver::Seed(1), Watch::Outcome, scenario(Plant::Nothing));
    let couriers = Entity::named("couriers");
    for chosen in 0..4 {
        let choices = run.choices.choices().iter().cloned().map(|mut choice| {
            if choice.entity == couriers {
                choice.chosen = chosen;
            }
            choice
        });
        let choices: Vec<Choice> = choices.collect();
        let log = run.choices.clone().with_choices(choices);
        let found = drive(
            Driver::Log(&log),
            Watch::Outcome,
            |world: &mut World<Post>| {
                scenario(Plant::Nothing)(world)?;
                let couriers = (1..=4).map(|number| format!("courier {number}"));
                let couriers = couriers.filter(|name| world.find(name).is_some()).count();
                assert_eq!(couriers as u64, chosen + 1);
                Ok(())
            },
        );
        assert_eq!(found.failure, None);
    }
}

#[test]
fn faults_are_left_out_by_number() {
    let plan = |world: &mut World<Post>| {
        let a = world.node("a", [10, 0, 0, 1]).spawner(post::spawn);
        let b = world.node("b", [10, 0, 0, 2]).spawner(post::spawn);
        world.link(a, b, &Link::new(ms(1)..=ms(2)));
        world.plan(&FaultPlan::everything(), ms(500));
        world.run_for(ms(600))
    };
    let run = drive(Driver::Seed(3), Watch::Outcome, plan);
    assert!(run.faults.len() > 4, "{:?}", run.faults);
    let numbers: Vec<u64> = run.faults.iter().map(|fault| fault.number).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let log = run.choices.clone().omitting([1, 2]);
    let less = drive(Driver::Log(&log), Watch::Outcome, plan);
    let left: Vec<u64> = less.faults.iter().map(|fault| fault.number).collect();
    let wanted: Vec<u64> = numbers
        .into_iter()
        .filter(|number| !(1..=2).contains(number))
        .collect();
    assert_eq!(left, wanted);
    assert_ne!(less.summary.trace_hash, run.summary.trace_hash);
    assert_eq!(less.choices.omitted().len(), 2);
    assert_eq!(less.choices.to_bytes(), None);
}

/// All events of a run that was watched, and each as a line.
fn events(run: &Run) -> Vec<(TraceEvent, String)> {
    let log = run.trace.as_ref().expect("it was watched");
    let events = log.events().map(|logged| logged.event);
    events.zip(log.lines()).collect()
}

#[test]
fn a_fork_goes_its_own_way_from_its_point_on() {
    let run = drive(Driver::Seed(1), Watch::Trace, scenario(Plant::Nothing));
    let all = run.choices.choices();
    for choices in [0, 10, all.len() / 2, all.len()] {
        let fork = Driver::Fork {
            log: &run.choices,
            choices,
            seed: 99,
        };
        let forked = drive(fork, Watch::Trace, scenario(Plant::Nothing));
        assert_eq!(forked.choices.choices()[..choices], all[..choices]);
        let same = run
            .marks
            .iter()
            .take_while(|&&mark| mark <= choices)
            .count();
        let same = same.saturating_sub(1);
        assert_eq!(events(&forked)[..same], events(&run)[..same]);
        let whole = choices == all.len();
        assert_eq!(forked.summary.trace_hash == run.summary.trace_hash, whole);
    }
}

#[test]
fn a_draw_that_is_made_twice_among_other_options_is_two_choices() {
    // Timers that are late, and then not, draw anew for the same moment.
    let busy = scenario_in(Plant::LostWakeUp, Season::busy());
    for seed in 140..150 {
        let run = drive(Driver::Seed(seed), Watch::Outcome, &busy);
        let same = drive(Driver::Log(&run.choices), Watch::Outcome, &busy);
        assert_eq!(same.summary, run.summary);
        assert!(same.drift.is_none(), "{}", same.drift);
        let bytes = run.choices.to_bytes().expect("nothing is left out");
        let same = drive(Driver::Bytes(&bytes), Watch::Outcome, &busy);
        assert_eq!(same.summary.trace_hash, run.summary.trace_hash);
    }
}
