//! The server of HTTP, and clients of all kinds, driven by hand within a worker.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for some variants"
)]

#[path = "http/bench.rs"]
mod bench;
#[path = "http/clients.rs"]
mod clients;
#[path = "http/cuts.rs"]
mod cuts;
#[path = "http/play.rs"]
mod play;
#[path = "http/requests.rs"]
mod requests;
#[path = "http/site.rs"]
mod site;
#[path = "http/smuggling.rs"]
mod smuggling;
