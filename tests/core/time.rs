//! Laws 2 and 3: deadlines, the order of ticks, and chance.

use stillpoint::Entropy;

use super::bench::{Bench, Say};
use super::check::given;
use super::model::spin;
use super::probe::{Act, Birth, Entry, Heard, Kind, Pushed};

/// A task of this kind that wants a timeout at `at`.
fn waits(kind: Kind, at: i64) -> Birth {
    Birth {
        kind,
        start: vec![Act::After(at)],
        ..Birth::default()
    }
}

fn ticked(bench: &mut Bench, now: u64) -> Vec<usize> {
    given(&bench.say(now, &Say::Timeout))
        .into_iter()
        .map(|(task, _)| task)
        .collect()
}

#[test]
fn law_2_tasks_are_ticked_by_deadline_and_then_by_slot() {
    let mut bench = Bench::new();
    for at in [30, 10, 20, 10, 30] {
        bench.spawn(waits(Kind::First, at));
    }
    assert_eq!(ticked(&mut bench, 30), [1, 3, 2, 0, 4]);
}

#[test]
fn law_2_no_task_is_ticked_early() {
    let mut bench = Bench::new();
    bench.spawn(waits(Kind::First, 10));
    bench.spawn(waits(Kind::Second, 20));
    assert!(ticked(&mut bench, 9).is_empty());
    assert_eq!(ticked(&mut bench, 10), [0]);
    assert!(ticked(&mut bench, 19).is_empty());
    assert_eq!(ticked(&mut bench, 20), [1]);
}

#[test]
fn law_2_the_worker_wants_what_its_most_urgent_task_wants() {
    let mut bench = Bench::new();
    assert_eq!(bench.wants(), None);
    bench.spawn(waits(Kind::First, 30));
    assert_eq!(bench.wants(), Some(30));
    bench.spawn(waits(Kind::Second, 20));
    assert_eq!(bench.wants(), Some(20));
    bench.say(5, &Say::Command(1, vec![Act::Rest]));
    assert_eq!(bench.wants(), Some(30));
    bench.say(6, &Say::Command(0, vec![Act::Finish]));
    assert_eq!(bench.wants(), None);
}

#[test]
fn law_2_a_task_that_ends_takes_its_deadline_with_it() {
    let mut bench = Bench::new();
    bench.spawn(waits(Kind::First, 10));
    bench.spawn(waits(Kind::First, 20));
    bench.say(1, &Say::Command(0, vec![Act::Finish]));
    assert_eq!(bench.wants(), Some(20));
    assert_eq!(ticked(&mut bench, 20), [1]);
}

#[test]
fn law_2_time_stands_still_for_tasks_while_the_drivers_runs_backwards() {
    let mut bench = Bench::new();
    bench.task(vec![]);
    let mut now = |at| match bench.say(at, &Say::Command(0, vec![]))[..] {
        [Entry::Given { now, .. }, ..] => now,
        ref other => panic!("the task was given nothing: {other:?}"),
    };
    assert_eq!([10, 4, 0, 11].map(&mut now), [10, 10, 10, 11]);
}

#[test]
fn law_2_a_task_that_wants_its_timeout_again_at_once_ends() {
    for wait in [0, -1, -10] {
        let mut bench = Bench::new();
        let timeouts = vec![vec![Act::After(wait)]];
        bench.spawn(Birth {
            timeouts,
            ..waits(Kind::First, 10)
        });
        let end = spin(10, 10u64.saturating_add_signed(wait));
        assert_eq!(bench.pushed(10, &Say::Timeout), [Pushed::Ended(0, end)]);
        assert_eq!(bench.wants(), None);
    }
}

#[test]
fn law_2_after_any_other_input_a_task_may_want_its_timeout_at_once() {
    let mut bench = Bench::new();
    let socket = bench.socket_owner(vec![Act::After(0)]);
    bench.say(10, &Say::Datagram(socket));
    assert_eq!(bench.wants(), Some(10));
    assert_eq!(ticked(&mut bench, 10), [0]);
    bench.say(11, &Say::Command(0, vec![Act::After(-5)]));
    assert_eq!(ticked(&mut bench, 11), [0]);
    assert_eq!((bench.worker.tasks(), bench.wants()), (1, None));
}

#[test]
fn law_2_a_task_in_the_slot_of_another_does_not_inherit_its_deadline() {
    let mut bench = Bench::new();
    bench.spawn(waits(Kind::First, 10));
    bench.say(1, &Say::Command(0, vec![Act::Finish]));
    bench.task(vec![]);
    assert_eq!(bench.task_id(1).key().slot, bench.task_id(0).key().slot);
    assert!(ticked(&mut bench, 20).is_empty());
}

/// What one task each of two kinds and a second one of the first draw at their start.
fn draws(worker: u16, seed: u64) -> Vec<u64> {
    let mut bench = Bench::with(|config| {
        *config = stillpoint::WorkerConfig::new(worker, Entropy::from_seed(seed));
    });
    let mut drawn = Vec::new();
    for kind in [Kind::First, Kind::Second, Kind::First] {
        let birth = Birth {
            kind,
            start: vec![Act::Draw, Act::Draw],
            ..Birth::default()
        };
        for pushed in bench.pushed(0, &Say::Spawn(birth)) {
            if let Pushed::Report(_, value) = pushed {
                drawn.push(value);
            }
        }
    }
    drawn
}

#[test]
fn law_3_draws_follow_from_seed_worker_and_task_and_differ_for_others() {
    assert_eq!(draws(0, 7), draws(0, 7));
    let mut all = [draws(0, 7), draws(1, 7), draws(0, 8)].concat();
    assert_eq!(all.len(), 18);
    all.sort_unstable();
    all.dedup();
    assert_eq!(
        all.len(),
        18,
        "another worker, task or seed draws otherwise"
    );
}

#[test]
fn law_3_a_task_in_the_slot_of_another_draws_otherwise() {
    let mut bench = Bench::new();
    let mut draw = |number: usize| {
        let birth = Birth {
            start: vec![Act::Draw, Act::Finish],
            ..Birth::default()
        };
        let pushed = bench.pushed(0, &Say::Spawn(birth));
        assert_eq!(bench.task_id(number).key().slot, 0);
        pushed[1].clone()
    };
    let (Pushed::Report(_, first), Pushed::Report(_, second)) = (draw(0), draw(1)) else {
        panic!("both draw");
    };
    assert_ne!(first, second);
}

#[test]
fn law_3_what_one_task_draws_does_not_shift_the_draws_of_another() {
    let run = |draws_before: usize| {
        let mut bench = Bench::new();
        bench.task(vec![]);
        bench.task(vec![]);
        bench.say(1, &Say::Command(0, vec![Act::Draw; draws_before]));
        bench.pushed(2, &Say::Command(1, vec![Act::Draw; 3]))
    };
    assert_eq!(run(0), run(5));
}

#[test]
fn law_2_a_timeout_is_heard_as_a_timeout() {
    let mut bench = Bench::new();
    bench.spawn(waits(Kind::First, 10));
    assert_eq!(given(&bench.say(12, &Say::Timeout)), [(0, Heard::Timeout)]);
}
