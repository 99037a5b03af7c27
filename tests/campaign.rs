//! Thousands of seeds of the examples, with every kind of fault that there is.
//!
//! `CAMPAIGN_SEEDS` says how many seeds; without, it is as many as a quick look takes.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(dead_code, reason = "the examples have more than this needs")]
#![allow(unreachable_pub, reason = "modules of one test")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![cfg(feature = "metrics")]

#[path = "../examples/common/chat/mod.rs"]
mod chat;
#[path = "campaign/crowded.rs"]
mod crowded;
#[path = "../examples/common/echo.rs"]
mod echo;
#[path = "campaign/echoes.rs"]
mod echoes;
#[path = "campaign/guest.rs"]
mod guest;
#[path = "campaign/lab.rs"]
mod lab;
#[path = "../examples/common/metrics.rs"]
mod metrics;
#[path = "../examples/common/output.rs"]
mod output;
#[path = "../examples/common/stats.rs"]
mod stats;
#[path = "campaign/sweep.rs"]
mod sweep;

use core::time::Duration;

use stillpoint_sim::self_check;
use sweep::sweep;

#[test]
fn every_echo_client_gets_its_answers_once_the_faults_are_over() {
    sweep(
        "every_echo_client_gets_its_answers_once_the_faults_are_over",
        200,
        echoes::scenario,
    );
}

#[test]
fn everybody_in_the_chat_hears_everybody_once_the_faults_are_over() {
    sweep(
        "everybody_in_the_chat_hears_everybody_once_the_faults_are_over",
        200,
        crowded::scenario,
    );
}

#[test]
fn a_campaign_can_be_replayed() {
    for seed in 0..10 {
        self_check(seed, echoes::scenario).unwrap();
        self_check(seed, crowded::scenario).unwrap();
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
