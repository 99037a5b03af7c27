//! Bugs of the kinds that protocols have, planted one by one: the simulator finds each within a
//! thousand seeds, and finds nothing where none is planted.
//!
//! The protocol is small and real: parcels travel over UDP with a window, acknowledgements and
//! retransmission, in sessions that are named by slot and generation (`plants/courier.rs`,
//! `plants/depot.rs`), and go on over the bus to a ledger on another worker, which sleeps when
//! there is nothing to take (`plants/ledger.rs`).
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::time::Duration;

use stillpoint_sim::{FoundFailure, find_failure, self_check};

#[path = "plants/courier.rs"]
mod courier;
#[path = "plants/depot.rs"]
mod depot;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;

use post::{Plant, scenario};

/// Seeds within which each is to be found.
const SEEDS: u64 = 1_000;

fn find(plant: Plant) -> FoundFailure {
    let found = find_failure(&format!("{plant:?}"), 0..SEEDS, scenario(plant));
    let found = found.unwrap_or_else(|| panic!("{plant:?} is not found within {SEEDS} seeds"));
    // Printed with `--nocapture`: which seed it took.
    eprintln!("{plant:?}: seed {}, {}", found.summary.seed, found.failure);
    found
}

/// What the failure of a plant says.
fn message(plant: Plant) -> String {
    find(plant).failure.to_string()
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let found = find_failure("sound", 0..2 * SEEDS, scenario(Plant::Nothing));
    if let Some(found) = found {
        panic!("{found}");
    }
}

#[test]
fn a_forgotten_retransmission_is_found() {
    assert!(message(Plant::ForgottenRetransmission).contains("deadlock"));
}

#[test]
fn a_stale_id_that_is_accepted_is_found() {
    assert!(message(Plant::StaleIdAccepted).contains("each parcel is what was sent"));
}

#[test]
fn a_double_delivery_is_found() {
    assert!(message(Plant::DoubleDelivery).contains("in order and once"));
}

#[test]
fn a_lost_wake_up_is_found() {
    assert!(message(Plant::LostWakeUp).contains("deadlock"));
}

#[test]
fn a_timer_that_forgets_its_deadline_is_found() {
    assert!(message(Plant::ForgottenDeadline).contains("deadlock"));
}

#[test]
fn an_off_by_one_in_a_window_is_found() {
    assert!(message(Plant::WindowOffByOne).contains("parcel"));
}

#[test]
fn what_is_found_is_found_again() {
    for plant in Plant::ALL {
        let seed = find(plant).summary.seed;
        let again = find_failure("again", [seed], scenario(plant));
        assert!(again.is_some(), "{plant:?} fails for seed {seed} only once");
        self_check(seed, scenario(plant)).expect("one seed, one run");
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
