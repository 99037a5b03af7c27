//! Where a worker's thread puts its status, for others to read without asking it.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::clock::SystemClock;
use crate::status::{RunnerStatus, WorkerStatus};
use crate::time::{Clock, Timestamp};

/// The last status of one worker. The lock is held for as long as it takes to copy it.
#[derive(Debug)]
pub(super) struct Board {
    posted: Mutex<Posted>,
    /// Whether the worker has slept ever since.
    asleep: AtomicBool,
}

/// A status, and what goes on when it is posted.
#[derive(Debug, Default, Clone)]
pub(super) struct Posted {
    pub(super) status: WorkerStatus,
    /// When the present window of utilization began, and how long it was busy in it.
    pub(super) window_start: Timestamp,
    pub(super) window_busy: Duration,
}

impl Board {
    /// The board of a worker that has not begun.
    pub(super) fn new(worker: u16, now: Timestamp) -> Self {
        let mut posted = Posted::default();
        posted.status.worker = worker;
        posted.status.at = now;
        Self {
            posted: Mutex::new(posted),
            asleep: AtomicBool::new(true),
        }
    }

    /// Puts a new status there, of a worker that goes to sleep or works on, and gives the one
    /// before, for its memory.
    pub(super) fn swap(&self, posted: &mut Posted, asleep: bool) {
        core::mem::swap(&mut *self.lock(), posted);
        self.asleep.store(asleep, Ordering::Relaxed);
    }

    /// Notes that the worker sleeps no more.
    pub(super) fn woke(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What it says at `now`. A worker that falls asleep or wakes up meanwhile may be taken for one
    /// that did so a moment earlier or later.
    fn read(&self, now: Timestamp) -> WorkerStatus {
        let posted = self.lock().clone();
        posted.at(now, self.asleep.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posted {
    /// The status as it is at `now`: since it was posted, the worker has slept or worked on.
    fn at(mut self, now: Timestamp, asleep: bool) -> WorkerStatus {
        let since = now.since(self.status.at);
        let busy = if asleep { Duration::ZERO } else { since };
        let runner = &mut self.status.runner;
        runner.wall += since;
        runner.busy += busy;
        let window = now.since(self.window_start);
        if since >= RunnerStatus::WINDOW {
            runner.utilization = share(busy, since);
        } else if window >= RunnerStatus::WINDOW {
            runner.utilization = share(self.window_busy + busy, window);
        }
        self.status.at = now.max(self.status.at);
        self.status
    }
}

/// What share of `whole` a part is, from 0 to 1.
pub(super) fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() {
        0.0
    } else {
        (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
    }
}

/// The boards of all workers that are there.
pub(super) type Boards = RwLock<Vec<(u16, Arc<Board>)>>;

/// Reads the status of all workers, from any thread and while they run: nobody is stopped or asked.
#[derive(Clone)]
pub struct StatusReader {
    pub(super) boards: Arc<Boards>,
    pub(super) clock: SystemClock,
}

impl StatusReader {
    /// The status of each worker that is there, by index: as of its last sleep, or of some
    /// [`StatusReader::INTERVAL`] ago if it did not sleep since.
    #[must_use]
    pub fn read(&self) -> Vec<WorkerStatus> {
        let boards = self.boards.read().unwrap_or_else(PoisonError::into_inner);
        boards
            .iter()
            .map(|(_, board)| board.read(self.clock.now()))
            .collect()
    }

    /// How often a worker that does not sleep posts its status.
    pub const INTERVAL: Duration = Duration::from_millis(10);
}

impl fmt::Debug for StatusReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusReader")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn posted_at(at: Duration) -> Posted {
        let mut posted = Posted::default();
        posted.status.at = Timestamp::EPOCH.after(at);
        posted.status.runner.wall = at;
        posted
    }

    #[test]
    fn a_worker_that_sleeps_on_is_not_busy() {
        let mut posted = posted_at(ms(1_000));
        posted.status.runner.utilization = 1.0;
        posted.window_start = posted.status.at;
        let status = posted.at(Timestamp::EPOCH.after(ms(2_000)), true);
        assert_eq!(status.runner.utilization, 0.0);
        assert_eq!(status.runner.wall, ms(2_000));
        assert_eq!(status.runner.busy, ms(0));
    }

    #[test]
    fn a_worker_that_does_not_come_back_is_busy() {
        let mut posted = posted_at(ms(1_000));
        posted.window_start = posted.status.at;
        let status = posted.at(Timestamp::EPOCH.after(ms(3_000)), false);
        assert_eq!(status.runner.utilization, 1.0);
        assert_eq!(status.runner.busy, ms(2_000));
    }

    #[test]
    fn within_a_window_the_last_one_counts() {
        let mut posted = posted_at(ms(1_000));
        posted.status.runner.utilization = 0.5;
        posted.window_start = posted.status.at;
        let status = posted.at(Timestamp::EPOCH.after(ms(1_010)), false);
        assert_eq!(status.runner.utilization, 0.5);
    }
}
