//! Time that is not the same for all: clocks of nodes, timers that are late, inputs that cost.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "time/clocks.rs"]
mod clocks;
mod common;
#[path = "time/costs.rs"]
mod costs;
#[path = "time/lateness.rs"]
mod lateness;
#[path = "common/puppet.rs"]
mod puppet;
#[path = "streams/talker.rs"]
mod talker;
