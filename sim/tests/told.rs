//! Tests that were written by `Shrunk::to_test`, unedited: they fail, as they should. So they are run
//! only by those who ask for them; `shrink/written.rs` does.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![allow(
    dead_code,
    reason = "what is shared with other tests is not all used here"
)]

use core::time::Duration;

#[path = "plants/courier.rs"]
mod courier;
#[path = "told/crashes.rs"]
mod crash;
#[path = "plants/depot.rs"]
mod depot;
#[path = "plants/ledger.rs"]
mod ledger;
#[path = "plants/post.rs"]
mod post;

use crash::crashes;
use post::{Plant, Season, scenario_in};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

include!("told/written.rs");
