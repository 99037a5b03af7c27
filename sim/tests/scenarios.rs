//! A test program with `harness = false`: its tests are scenarios, which `cargo test` sweeps for some
//! seconds, and which can be swept for longer, replayed and run one by one by the same program.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks look at the inputs that they know"
)]

use core::time::Duration;
use std::process::ExitCode;

mod common;

use common::{Echo, client, ms, pair};
use stillpoint_sim::{Failure, Link, Scenarios, World};

fn main() -> ExitCode {
    Scenarios::new()
        .add("every request is answered", every_request_is_answered)
        .add("what is lost stays lost", what_is_lost_stays_lost)
        .main()
}

fn every_request_is_answered(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, _) = pair(world, &Link::new(ms(1)..=ms(20)).duplicate(0.1));
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(10)));
    world.sometimes("an answer came twice", |world| {
        world.counters().duplicated > 0
    });
    world.run_until_idle(Duration::from_secs(1))?;
    assert_eq!(world.counters().dropped.total(), 0);
    Ok(())
}

fn what_is_lost_stays_lost(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, _) = pair(world, &Link::fixed(ms(5)).loss(0.2));
    world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(10)));
    world.sometimes("something was lost", |world| {
        world.counters().dropped.total() > 0
    });
    world.run_until_idle(Duration::from_secs(1))
}
