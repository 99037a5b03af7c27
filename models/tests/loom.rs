//! The doorbell and the ring of the thread runtime under loom: every order of their steps, and
//! everything that weak memory lets a thread see. Long stories are bounded in how often a thread
//! is interrupted.
//!
//! The sources are those of the library, over loom's atomics. Faults are planted, too: each must be
//! found.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![expect(
    clippy::duplicate_mod,
    reason = "once sound, and once for each planted fault"
)]

use loom::model::Builder;

mod sync {
    // Who counts references is no part of the stories.
    pub(crate) use std::sync::Arc;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Condvar, Mutex};

    pub(crate) use super::once::OnceLock;
    pub(crate) use super::waker::Waker;
}

use loom::thread;

#[path = "../../src/runtime/doorbell.rs"]
mod doorbell;
#[path = "models/once.rs"]
mod once;
#[path = "models/queue.rs"]
mod queue;
#[path = "../../src/runtime/ring.rs"]
mod ring;
#[path = "models/stories.rs"]
mod stories;
#[path = "models/waker.rs"]
mod waker;

#[path = "models/drop_oldest.rs"]
#[expect(dead_code, reason = "not all stories are told")]
mod drop_oldest;
#[path = "models/early_look.rs"]
#[expect(dead_code, reason = "not all stories are told")]
mod early_look;
#[path = "models/late_head.rs"]
#[expect(dead_code, reason = "not all stories are told")]
mod late_head;
#[path = "models/no_fence.rs"]
#[expect(dead_code, reason = "not all stories are told")]
mod no_fence;
#[path = "models/torn_swap.rs"]
#[expect(dead_code, reason = "not all stories are told")]
mod torn_swap;

#[test]
fn no_wake_up_is_lost() {
    check_preempted(stories::no_wake_up_is_lost, 3);
}

#[test]
fn several_ringers_wake_one_sleeper() {
    check_preempted(stories::several_ringers_wake_one_sleeper, 2);
}

#[test]
fn a_ring_before_the_waker_is_installed_is_not_lost() {
    check(stories::a_ring_before_the_waker_is_installed_is_not_lost);
}

#[test]
fn rings_after_the_end_of_the_owner_harm_nobody() {
    check(stories::rings_after_the_end_of_the_owner_harm_nobody);
}

#[test]
fn a_burst_is_one_wake() {
    check(stories::a_burst_is_one_wake);
}

#[test]
fn a_producer_that_waits_for_room_is_woken() {
    check_preempted(stories::a_producer_that_waits_for_room_is_woken, 3);
}

#[test]
fn a_producer_that_waits_for_room_is_told_of_the_end() {
    check_preempted(
        stories::a_producer_that_waits_for_room_is_told_of_the_end,
        4,
    );
}

#[test]
fn what_is_sent_is_taken_or_counted_as_lost() {
    check(stories::what_is_sent_is_taken_or_counted_as_lost);
}

#[test]
fn a_message_is_delivered_once() {
    check(stories::a_message_is_delivered_once);
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_lost_wake_up_a_sleeper_that_looks_too_early() {
    check(early_look::stories::no_wake_up_is_lost);
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_lost_wake_up_a_producer_that_looks_too_early() {
    check(early_look::stories::a_producer_that_waits_for_room_is_woken);
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_lost_wake_up_a_sleeper_without_fences() {
    check(no_fence::stories::no_wake_up_is_lost);
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_lost_wake_up_a_producer_without_fences() {
    check(no_fence::stories::a_producer_that_waits_for_room_is_woken);
}

#[test]
#[should_panic(expected = "delivered twice")]
fn planted_a_double_delivery() {
    check(drop_oldest::stories::a_message_is_delivered_once);
}

#[test]
#[should_panic(expected = "neither taken nor counted")]
fn planted_ends_that_both_leave_the_count_to_the_other() {
    check(torn_swap::stories::what_is_sent_is_taken_or_counted_as_lost);
}

#[test]
#[should_panic(expected = "a burst is one wake")]
fn planted_ringers_that_both_wake() {
    check(torn_swap::stories::a_burst_is_one_wake);
}

#[test]
#[should_panic(expected = "taken and counted")]
fn planted_a_consumer_that_says_late_what_it_took() {
    check(late_head::stories::what_is_sent_is_taken_or_counted_as_lost);
}

/// Tries everything.
fn check(story: fn()) {
    Builder::new().check(story);
}

/// The same with at most so many preemptions, where it would take for ever. The planted
/// faults need two at most.
fn check_preempted(story: fn(), preemptions_max: usize) {
    let mut model = Builder::new();
    model.preemption_bound = Some(preemptions_max);
    model.check(story);
}
