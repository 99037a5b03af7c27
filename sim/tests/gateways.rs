//! Gateways: NATs, routers and firewalls between networks; nodes that move; names.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "gateways/errors.rs"]
mod errors;
#[path = "gateways/firewalls.rs"]
mod firewalls;
#[path = "gateways/lab.rs"]
mod lab;
#[path = "gateways/mappings.rs"]
mod mappings;
#[path = "gateways/names.rs"]
mod names;
#[path = "gateways/property.rs"]
mod property;
#[path = "gateways/reach.rs"]
mod reach;
#[path = "gateways/roaming.rs"]
mod roaming;
#[path = "gateways/routers.rs"]
mod routers;
#[path = "gateways/streams.rs"]
mod streams;
#[path = "streams/talker.rs"]
mod talker;
