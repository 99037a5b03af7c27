//! Many seeds of one scenario, side by side on all cores.
#![allow(unreachable_pub, reason = "a module of several test programs")]

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use stillpoint::App;
use stillpoint_sim::{Failure, FoundFailure, World, find_failure};

/// Runs a scenario for as many seeds as the environment asks for, or for `seeds`.
///
/// # Panics
///
/// If one fails, with what is to be said of it.
pub fn sweep<A: App>(
    name: &str,
    seeds: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Sync,
) {
    let seeds = asked_for().unwrap_or(seeds);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let stop = AtomicBool::new(false);
    let found: Mutex<Option<FoundFailure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, found, scenario) = (&stop, &found, &scenario);
            scope.spawn(move || {
                let mine = (0..seeds).skip(thread).step_by(threads);
                let mine = mine.take_while(|_| !stop.load(Ordering::Relaxed));
                if let Some(failure) = find_failure(name, mine, scenario) {
                    stop.store(true, Ordering::Relaxed);
                    found.lock().unwrap().get_or_insert(failure);
                }
            });
        }
    });
    if let Some(failure) = found.into_inner().unwrap() {
        panic!("{failure}");
    }
}

/// How many seeds `CAMPAIGN_SEEDS` asks for.
#[expect(
    clippy::disallowed_methods,
    reason = "a campaign is as long as it is told to be"
)]
fn asked_for() -> Option<u64> {
    let asked = std::env::var("CAMPAIGN_SEEDS").ok()?;
    Some(asked.parse().expect("CAMPAIGN_SEEDS is a number"))
}
