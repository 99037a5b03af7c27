//! The SFU as it runs in production, on a node of the simulator, and publishers, viewers and
//! strangers on others.
//!
//! Each story is told for a few seeds, since there is much cryptography in each; the ranges may be
//! made longer, and `STILLPOINT_SEED=7 cargo test -p whip-whep --test simulated NAME` tells one for
//! that seed.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "simulated/datagrams.rs"]
mod datagrams;
#[path = "simulated/faults.rs"]
mod faults;
#[path = "simulated/many.rs"]
mod many;
#[path = "simulated/media.rs"]
mod media;
#[path = "simulated/requests.rs"]
mod requests;
mod support;
