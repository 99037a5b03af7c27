//! The flight recorder: what happened in production happens again in a test.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

#[path = "recorder/damage.rs"]
mod damage;
#[path = "recorder/echo.rs"]
mod echo;
#[path = "recorder/payloads.rs"]
mod payloads;
#[cfg(feature = "poll")]
#[path = "recorder/real.rs"]
mod real;
