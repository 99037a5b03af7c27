//! What goes wrong: nodes that crash and start again, systems that refuse, plans of faults, and what
//! is left when all is healed.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "faults/buggify.rs"]
mod buggify;
mod common;
#[path = "faults/lives.rs"]
mod lives;
#[path = "faults/plans.rs"]
mod plans;
#[path = "common/puppet.rs"]
mod puppet;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/shop.rs"]
mod shop;
#[path = "streams/talker.rs"]
mod talker;
#[path = "devices/wire.rs"]
mod wire;
