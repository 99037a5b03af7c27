//! Random scripts, against the model.

use proptest::prelude::*;
use stillpoint::WorkerConfig;

use super::bench::{Bench, Say};
use super::model::Model;
use super::probe::{Act, Birth, Entry, Kind, Place};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Laws 1, 2, 4, 5, 6 and 7 at once: whatever happens to them, tasks are given what the model
    /// gives them, and the driver gets what the model says, in this order and no other.
    #[test]
    fn laws_1_to_7_a_worker_writes_the_book_that_its_model_writes(script in script(modelled())) {
        let mut bench = Bench::with(limits).with_foreigners();
        let mut model = Model::with_foreigners(bench.worker.config().clone());
        for (now, say) in &script {
            let book = bench.say(*now, say);
            model.say(*now, say);
            prop_assert_eq!(book, core::mem::take(&mut model.book), "{:?} at {}", say, now);
            prop_assert_eq!(bench.wants(), model.wants());
            prop_assert_eq!(bench.worker.tasks(), model.alive());
            prop_assert_eq!(bench.worker.resources(), model.open());
            prop_assert_eq!(bench.worker.is_stopped(), model.is_stopped());
        }
    }

    /// Law 3: the same inputs give the same book, draws included.
    #[test]
    fn law_3_the_same_script_writes_the_same_book(script in script(prop_oneof![modelled(), Just(Act::Draw)])) {
        let run = || -> Vec<Vec<Entry>> {
            let mut bench = Bench::with(limits).with_foreigners();
            script.iter().map(|(now, say)| bench.say(*now, say)).collect()
        };
        prop_assert_eq!(run(), run());
    }
}

/// Limits that scripts of this size run into.
fn limits(config: &mut WorkerConfig) {
    config.outputs_max = 8;
    config.tasks_max = 3;
    config.resources_max = 4;
    config.pending_max = 5;
    config.batch_max = 3;
}

fn script(
    act: impl Strategy<Value = Act> + Clone + 'static,
) -> impl Strategy<Value = Vec<(u64, Say)>> {
    prop::collection::vec((0..60u64, say(act)), 1..40).prop_map(|mut script| {
        // On the whole time goes on, though not always.
        for (index, (now, _)) in (0u64..).zip(&mut script) {
            *now += index * 5;
        }
        script
    })
}

fn say(act: impl Strategy<Value = Act> + Clone + 'static) -> impl Strategy<Value = Say> {
    let leaf = birth(act.clone());
    let inner = birth(prop_oneof![
        3 => act.clone(),
        1 => leaf.prop_map(|birth| Act::Spawn(Box::new(birth))),
    ]);
    let act = prop_oneof![
        6 => act,
        1 => inner.clone().prop_map(|birth| Act::Spawn(Box::new(birth))),
    ];
    prop_oneof![
        20 => Just(Say::Timeout),
        8 => inner.prop_map(Say::Spawn),
        12 => (0..12usize, acts(act)).prop_map(|(task, acts)| Say::Command(task, acts)),
        3 => (0..8usize).prop_map(Say::Opened),
        1 => (0..8usize).prop_map(Say::OpenFailed),
        6 => (0..8usize).prop_map(Say::Datagram),
        1 => prop_oneof![Just(Say::Shutdown), Just(Say::Abort)],
    ]
}

fn birth(act: impl Strategy<Value = Act> + Clone + 'static) -> BoxedStrategy<Birth> {
    let kind = prop_oneof![
        6 => Just(Kind::First),
        6 => Just(Kind::Second),
        3 => Just(Kind::Third),
        1 => prop_oneof![Just(Kind::Refused), Just(Kind::Panicking), Just(Kind::PanickingLate)],
    ];
    let timeouts = prop::collection::vec(acts(act.clone()), 0..4);
    (
        kind,
        acts(act.clone()),
        timeouts,
        acts(act.clone()),
        acts(act),
    )
        .prop_map(|(kind, start, timeouts, datagram, shutdown)| Birth {
            kind,
            start,
            timeouts,
            datagram,
            shutdown,
        })
        .boxed()
}

fn acts(act: impl Strategy<Value = Act> + 'static) -> impl Strategy<Value = Vec<Act>> + Clone {
    prop::collection::vec(act, 0..5).boxed()
}

fn modelled() -> BoxedStrategy<Act> {
    prop_oneof![
        10 => (1..100u64).prop_map(Act::Report),
        12 => (0..40i64).prop_map(Act::After),
        1 => (-20..1i64).prop_map(Act::After),
        1 => Just(Act::Rest),
        1 => prop::sample::select(&Place::ALL[..]).prop_map(Act::Panic),
        1 => Just(Act::Finish),
        1 => Just(Act::RunAway),
        5 => Just(Act::Open),
        2 => (0..8usize).prop_map(Act::Close),
        3 => (0..8usize).prop_map(Act::Send),
        3 => (0..8usize, any::<u8>()).prop_map(|(socket, len)| Act::Write(socket, len)),
        1 => (0..8usize).prop_map(Act::SendTooLong),
    ]
    .boxed()
}
