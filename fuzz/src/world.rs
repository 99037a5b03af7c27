//! Bytes decide in a simulated world: schedules, faults, losses and latencies. Couriers bring their
//! parcels to a depot, in order and once, whatever happens on the way; and the trace of the run
//! follows from the choices that were made.

use core::time::Duration;

use stillpoint_sim::{Driver, Failure, FaultKind, FaultPlan, Watch, World, drive};

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../sim/tests/plants/courier.rs"]
mod courier;
#[path = "../../sim/tests/plants/depot.rs"]
mod depot;
#[path = "../../sim/tests/plants/ledger.rs"]
mod ledger;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../sim/tests/plants/post.rs"]
mod post;

use post::{Plant, Post, scenario};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Events of one run.
const EVENTS_MAX: u64 = 200_000;

/// Runs the world.
pub fn run_bytes(bytes: &[u8]) {
    let run = drive(Driver::Bytes(bytes), Watch::Outcome, stormy);
    match &run.failure {
        None | Some(Failure::Budget { .. }) => {}
        Some(failure) => panic!("{failure}"),
    }
    let again = drive(Driver::Log(&run.choices), Watch::Outcome, stormy);
    assert_eq!(again.summary.trace_hash, run.summary.trace_hash);
    assert!(again.drift.is_none(), "{}", again.drift);
}

/// The bytes of a seed's run: a start for a corpus.
#[must_use]
pub fn bytes_of_seed(seed: u64) -> Option<Vec<u8>> {
    drive(Driver::Seed(seed), Watch::Outcome, stormy)
        .choices
        .to_bytes()
}

/// The couriers' scenario, with faults on top of all kinds that a protocol without memory on disk
/// survives.
fn stormy(world: &mut World<Post>) -> Result<(), Failure> {
    world.set_events_max(EVENTS_MAX);
    world.node("idler", [10, 9, 9, 9]).spawner(post::spawn);
    let dose = (0..=2, ms(10)..=ms(500));
    let plan = [
        FaultKind::Pause,
        FaultKind::Stall,
        FaultKind::Partition,
        FaultKind::Cut,
        FaultKind::Clog,
        FaultKind::Flaky,
        FaultKind::LateTimers,
        FaultKind::SlowInputs,
        FaultKind::BusQueue,
    ];
    let plan = plan.into_iter().fold(FaultPlan::new(), |plan, kind| {
        plan.with(kind, dose.0.clone(), dose.1.clone())
    });
    world.plan(&plan, ms(1_000));
    scenario(Plant::Nothing)(world)
}
