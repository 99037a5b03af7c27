//! Runs chunks on threads. A world stays on one; what is done does not depend on how many there are.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};

use super::Chunk;
use crate::drive::Scenario;
use crate::wall::Stopwatch;

/// What runs chunks.
pub(crate) struct Engine<'a> {
    pub(crate) threads: usize,
    pub(crate) watch: Stopwatch,
    /// Set by whoever has had enough.
    pub(crate) interrupted: &'a AtomicBool,
}

/// Seeds to be run, of one scenario.
pub(crate) struct Job<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) seeds: Range<u64>,
}

/// Why no more is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// There is no more.
    Done,
    /// The budget is used up.
    Budget,
    /// There are as many failures as were asked for.
    Failures,
    /// Somebody has interrupted it.
    Interrupted,
}

/// Who is told how it goes.
pub(crate) trait Watcher {
    type Error;
    /// A chunk is done, or the part of it up to where it was stopped.
    fn done(&mut self, chunk: Chunk) -> Result<(), Self::Error>;
    /// A while has passed: so many seeds were run, so many have failed.
    fn tick(&mut self, seeds: u64, failed: u64);
    /// A seed takes long.
    fn slow(&mut self, scenario: &str, seed: u64, since: Duration);
}

/// What the threads share.
struct Shared<'a, 'j, J> {
    jobs: Mutex<J>,
    watch: Stopwatch,
    interrupted: &'a AtomicBool,
    /// No more is to be run.
    enough: AtomicBool,
    /// Whether a chunk was ended before its end, for want of time.
    is_cut: AtomicBool,
    seeds: AtomicU64,
    failed: AtomicU64,
    /// After how many failures a chunk may end.
    failures_max: u64,
    now: Vec<Mutex<Now<'j>>>,
}

/// What a thread is at.
#[derive(Clone, Copy)]
enum Now<'a> {
    Nothing,
    Seed {
        scenario: &'a Scenario,
        seed: u64,
        since: Duration,
    },
    /// The same, and it was told that it takes long.
    Slow,
}

impl Engine<'_> {
    /// Runs jobs until there are no more, or `failures_max` seeds have failed. Then the jobs up to
    /// the one with the last of them are told and no others, in their order: so which failures are
    /// found first does not depend on the machine.
    pub(crate) fn run<'j, W: Watcher>(
        &self,
        jobs: impl Iterator<Item = Job<'j>> + Send,
        failures_max: Option<u64>,
        watcher: &mut W,
    ) -> Result<Stop, W::Error> {
        let shared = Shared {
            jobs: Mutex::new(jobs.enumerate()),
            watch: self.watch,
            interrupted: self.interrupted,
            enough: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            seeds: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failures_max: failures_max.unwrap_or(u64::MAX),
            now: (0..self.threads)
                .map(|_| Mutex::new(Now::Nothing))
                .collect(),
        };
        std::thread::scope(|scope| {
            let (sender, done) = mpsc::channel();
            for number in 0..self.threads {
                let (sender, shared) = (sender.clone(), &shared);
                let thread = std::thread::Builder::new()
                    .name(format!("{THREAD} {number}"))
                    .stack_size(STACK_BYTES);
                let started = thread.spawn_scoped(scope, move || shared.work(number, &sender));
                assert!(
                    started.is_ok() || number > 0,
                    "the system gives no thread to run seeds on"
                );
            }
            drop(sender);
            let told = shared.collect(&done, failures_max, watcher);
            // Whoever was told enough ends at the next seed.
            shared.enough.store(true, Ordering::Relaxed);
            told
        })
    }
}

impl<'j, J: Iterator<Item = (usize, Job<'j>)>> Shared<'_, 'j, J> {
    /// What a thread does.
    fn work(&self, thread: usize, sender: &Sender<(usize, Chunk)>) {
        while !self.is_over() {
            let job = lock(&self.jobs).next();
            let Some((number, job)) = job else {
                return;
            };
            let mut chunk = Chunk::new(job.scenario.name(), job.seeds.start);
            for seed in job.seeds {
                let since = self.watch.elapsed();
                if self.is_over() {
                    self.is_cut.store(true, Ordering::Relaxed);
                    break;
                }
                *lock(&self.now[thread]) = Now::Seed {
                    scenario: job.scenario,
                    seed,
                    since,
                };
                let tried = job.scenario.try_seed(seed);
                self.seeds.fetch_add(1, Ordering::Relaxed);
                if tried.failure.is_some() {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
                chunk.note(tried);
                if chunk.failed() >= self.failures_max {
                    break;
                }
            }
            *lock(&self.now[thread]) = Now::Nothing;
            if chunk.seeds.is_empty() || sender.send((number, chunk)).is_err() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
            || self.interrupted.load(Ordering::Relaxed)
            // However little time there is, something is run.
            || (self.watch.is_over() && self.seeds.load(Ordering::Relaxed) > 0)
    }

    /// Takes what the threads have done, until all of them have ended or there is enough.
    fn collect<W: Watcher>(
        &self,
        done: &mpsc::Receiver<(usize, Chunk)>,
        failures_max: Option<u64>,
        watcher: &mut W,
    ) -> Result<Stop, W::Error> {
        // Only who counts failures has to know which came first.
        let (mut waiting, mut next, mut failed) = (BTreeMap::new(), 0, 0);
        loop {
            match done.recv_timeout(TICK) {
                Ok((_, chunk)) if failures_max.is_none() => watcher.done(chunk)?,
                Ok((number, chunk)) => {
                    waiting.insert(number, chunk);
                }
                Err(RecvTimeoutError::Timeout) => self.look_for_slow(watcher),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(chunk) = waiting.remove(&next) {
                next += 1;
                failed += chunk.failed();
                watcher.done(chunk)?;
                if failures_max.is_some_and(|max| failed >= max) {
                    return Ok(Stop::Failures);
                }
            }
            let failed = self.failed.load(Ordering::Relaxed);
            watcher.tick(self.seeds.load(Ordering::Relaxed), failed);
        }
        // A budget that has ended has left gaps.
        for chunk in waiting.into_values() {
            watcher.done(chunk)?;
        }
        Ok(if self.interrupted.load(Ordering::Relaxed) {
            Stop::Interrupted
        } else if self.is_cut.load(Ordering::Relaxed) || lock(&self.jobs).next().is_some() {
            Stop::Budget
        } else {
            Stop::Done
        })
    }

    fn look_for_slow(&self, watcher: &mut impl Watcher) {
        let now = self.watch.elapsed();
        for thread in &self.now {
            let mut at = lock(thread);
            if let Now::Seed {
                scenario,
                seed,
                since,
            } = *at
                && now.saturating_sub(since) >= SLOW
            {
                *at = Now::Slow;
                watcher.slow(scenario.name(), seed, now.saturating_sub(since));
            }
        }
    }
}

/// Nobody panics while holding one: scenarios that panic are caught.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How the names of threads begin that run seeds.
pub(crate) const THREAD: &str = "sweep";

/// As much as a program's first thread has, so that a scenario runs here as it does there.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// How often it is told how it goes, if nothing else comes.
const TICK: Duration = Duration::from_millis(100);

/// A seed that takes longer is told.
const SLOW: Duration = Duration::from_secs(30);
