//! Campaigns from the command line: what is found, whatever the number of threads and shards, and
//! however often the process is killed.
//!
//! The program is this test program once more, in a process of its own: `program` is its `main`.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks look at the inputs that they know"
)]

#[path = "campaign/canaries.rs"]
mod canaries;
mod common;
#[path = "campaign/killed.rs"]
mod killed;
#[path = "campaign/program.rs"]
mod program;
#[path = "campaign/replays.rs"]
mod replays;
#[path = "campaign/shards.rs"]
mod shards;
#[path = "campaign/sweeps.rs"]
mod sweeps;
#[path = "campaign/wrong.rs"]
mod wrong;
