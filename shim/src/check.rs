//! Runs on threads of their own.

use std::panic::resume_unwind;
use std::thread;

use stillpoint::App;
use stillpoint_sim::{Diverged, Failure, RunSummary, World, record_seed, run_seed};

/// Runs `call` on a thread of its own, and gives what it gave. What crates keep for a thread
/// (std's keys of hash tables, `rand::rng()`) is made anew in it.
///
/// # Panics
///
/// If `call` does.
pub fn fresh_thread<R: Send>(call: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let ran = scope.spawn(call).join();
        ran.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// As [`stillpoint_sim::self_check`], with each run on a thread of its own. The scenario switches
/// the shim on itself.
///
/// # Errors
///
/// [`Diverged`], with the first event that differs.
///
/// # Panics
///
/// If runs differ, and then no more while they are recorded.
pub fn self_check<A: App>(
    seed: u64,
    scenario: impl Fn(&mut World<A>) -> Result<(), Failure> + Sync,
) -> Result<RunSummary, Box<Diverged>> {
    let run = || fresh_thread(|| run_seed(seed, &scenario).0);
    let first = run();
    if first == run() {
        return Ok(first);
    }
    let record = || fresh_thread(|| record_seed(seed, &scenario));
    // Two runs may be the same by chance, and then there is nothing to show.
    let found = (0..ATTEMPTS_MAX).find_map(|_| record().difference(&record()));
    let diverged = found.unwrap_or_else(|| {
        panic!(
            "two runs of seed {seed:#x} were not the same, \
            but {ATTEMPTS_MAX} pairs of recorded ones were: try again"
        )
    });
    Err(Box::new(diverged))
}

/// Times that a difference is looked for.
const ATTEMPTS_MAX: u32 = 8;
