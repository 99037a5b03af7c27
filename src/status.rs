//! What can be seen of workers while they run.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use histogram::{AtomicHistogram, Config, Histogram};

use crate::bus::BusCounters;
use crate::counters::NetworkCounters;
use crate::metric::MetricStatus;
use crate::time::Timestamp;

/// What can be seen of one worker at one moment.
///
/// Counts begin with the worker and never go back.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its index.
    pub worker: u16,
    /// When this was so.
    pub at: Timestamp,
    /// Its groups, in the order in which they came to be.
    pub groups: Vec<GroupStatus>,
    /// What its tasks count themselves.
    pub metrics: Vec<MetricStatus>,
    /// Sockets, listeners, streams and devices that are open, being opened, or being closed.
    pub resources: usize,
    /// Subscriptions of its tasks.
    pub subscriptions: usize,
    /// Requests that wait for an answer, put by its tasks or to them.
    pub requests: usize,
    /// What waits in its queues.
    pub queues: QueueDepths,
    /// What became of messages on the bus.
    pub bus: BusCounters,
    /// What passed through its sockets.
    pub network: NetworkCounters,
    /// Blocks of memory that buffers of its pool hold.
    pub buffers_live: usize,
    /// Blocks of memory that wait in its pool to be used again.
    pub buffers_free: usize,
    /// By how much its tasks got their timeouts too late.
    pub lateness: Durations,
    /// What its runner does.
    pub runner: RunnerStatus,
}

impl WorkerStatus {
    /// How many tasks live.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.groups.iter().map(|group| group.tasks).sum()
    }

    /// The sum of all metrics of this name, over labels and types of task; 0 if there are none.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics.iter();
        let named = metrics.filter(|metric| metric.name.name == name);
        named.map(|metric| metric.value).sum()
    }

    /// What became of the tasks of all groups.
    #[must_use]
    pub fn counters(&self) -> GroupCounters {
        let mut sum = GroupCounters::default();
        for group in &self.groups {
            sum += group.counters;
        }
        sum
    }
}

/// What can be seen of the tasks of one type on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStatus {
    /// Its type, with the path.
    pub name: &'static str,
    /// How many live.
    pub tasks: usize,
    /// What became of them.
    pub counters: GroupCounters,
}

impl GroupStatus {
    pub(crate) const fn new(name: &'static str, tasks: usize, counters: GroupCounters) -> Self {
        Self {
            name,
            tasks,
            counters,
        }
    }

    /// The name of the type alone.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        let plain = self.name.split('<').next().unwrap_or(self.name);
        plain.rsplit("::").next().unwrap_or(plain)
    }
}

/// What became of the tasks of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GroupCounters {
    /// Tasks that started.
    pub started: u64,
    /// Of these, finished by themselves.
    pub finished: u64,
    /// Of these, ended by a panic.
    pub panicked: u64,
    /// Of these, stopped because their output did not end.
    pub runaway: u64,
    /// Of these, removed from outside.
    pub removed: u64,
    /// Inputs that were given, timeouts and the first one included.
    pub inputs: u64,
    /// Of these, timeouts.
    pub timeouts: u64,
}

impl core::ops::AddAssign for GroupCounters {
    fn add_assign(&mut self, other: Self) {
        self.started += other.started;
        self.finished += other.finished;
        self.panicked += other.panicked;
        self.runaway += other.runaway;
        self.removed += other.removed;
        self.inputs += other.inputs;
        self.timeouts += other.timeouts;
    }
}

/// What waits in the queues of a worker, and the most that ever has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueDepths {
    /// Messages between its own tasks, and what is being delivered from elsewhere.
    pub bus: usize,
    /// The most messages between its own tasks that have waited.
    pub bus_most: usize,
    /// Items in the queues from other workers.
    pub bus_in: usize,
    /// The most that have been found there.
    pub bus_in_most: usize,
    /// Inputs from the controller.
    pub control: usize,
    /// The most that have been found there.
    pub control_most: usize,
    /// Inputs of the worker's own: spawns that its tasks asked for, mistakes they are told of.
    pub pending: usize,
    /// The most that have waited.
    pub pending_most: usize,
    /// Events for the controller.
    pub events: usize,
}

/// What the runner of a worker does.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunnerStatus {
    /// How often it went to sleep and was woken.
    pub wake_ups: u64,
    /// How often it went round its loop, looks that found nothing not counted.
    pub loops: u64,
    /// How long it has run.
    pub wall: Duration,
    /// Of this, how long it did not sleep.
    pub busy: Duration,
    /// Of this, how long it looked whether there is something to do, rather than sleep. Nothing
    /// unless `RuntimeConfig::spin_max` allows it.
    pub spun: Duration,
    /// How often something came while it looked.
    pub spins_paid: u64,
    /// How often nothing came while it looked, and it went to sleep.
    pub spins_failed: u64,
    /// The share of the last [`RunnerStatus::WINDOW`] in which it had something to do, from 0
    /// to 1.
    pub utilization: f64,
    /// How long a loop took, sleep excluded: what an input waits at most before it is seen.
    pub loop_latency: Durations,
    /// Reports and other events that the controller had no room for.
    pub events_dropped: u64,
}

impl RunnerStatus {
    /// Over which time [`RunnerStatus::utilization`] is taken, at least.
    pub const WINDOW: Duration = Duration::from_millis(100);
}

/// How long something took, each time: a histogram whose buckets are at most an eighth wider than
/// what they hold. Clones share it, and may be read while it is written.
#[derive(Clone, Default)]
pub struct Durations(Arc<Recorded>);

#[derive(Default)]
struct Recorded {
    /// Those of no length at all.
    zeros: AtomicU64,
    /// The others. Made with the first of them, since in a simulation there may never be one.
    histogram: OnceLock<Box<AtomicHistogram>>,
}

impl Recorded {
    fn histogram(&self) -> &AtomicHistogram {
        self.histogram
            .get_or_init(|| Box::new(AtomicHistogram::with_config(&buckets())))
    }
}

/// Which buckets a histogram has.
fn buckets() -> Config {
    Config::new(GROUPING_POWER, VALUE_POWER).expect("fixed parameters that fit")
}

impl Durations {
    /// Longer durations than this, some 68 seconds, count as this long.
    pub const LONGEST: Duration = Duration::from_nanos((1 << VALUE_POWER) - 1);

    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Becomes a clone of another, if it is not one already.
    pub(crate) fn share(&mut self, other: &Self) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            self.clone_from(other);
        }
    }

    /// One more.
    #[inline]
    pub fn record(&self, duration: Duration) {
        if duration.is_zero() {
            self.0.zeros.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let nanos = duration.min(Self::LONGEST).as_nanos();
        // In range, since it is no more than the longest.
        let nanos = u64::try_from(nanos).unwrap_or_default();
        let _: Result<(), histogram::Error> = self.0.histogram().increment(nanos);
    }

    /// All that was recorded until now.
    fn load(&self) -> Histogram {
        let recorded = self.0.histogram.get().map(|recorded| recorded.load());
        let mut all = recorded.unwrap_or_else(|| Histogram::with_config(&buckets()));
        let zeros = self.0.zeros.load(Ordering::Relaxed);
        // In range, as zero is.
        let _: Result<(), histogram::Error> = all.add(0, zeros);
        all
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.load().as_slice().iter().sum()
    }

    /// What `quantile` of them, from 0 to 1, do not exceed. `None` if there were none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let histogram = self.load();
        let bucket = histogram.quantile_bucket(quantile).ok()??;
        Some(Duration::from_nanos(bucket.end()))
    }

    /// How many did not exceed each of `limits`, which ascend: as buckets begin and end elsewhere,
    /// to within an eighth.
    #[must_use]
    pub fn at_most<const N: usize>(&self, limits: [Duration; N]) -> [u64; N] {
        let histogram = self.load();
        limits.map(|limit| {
            let limit = limit.as_nanos();
            let below = histogram
                .iter()
                .filter(|bucket| u128::from(bucket.end()) <= limit);
            below.map(|bucket| bucket.count()).sum()
        })
    }

    /// All of them together, to within an eighth.
    #[must_use]
    pub fn sum(&self) -> Duration {
        let histogram = self.load();
        let buckets = histogram.iter().filter(|bucket| bucket.count() > 0);
        let sum = buckets.map(|bucket| {
            let middle = bucket.start() + (bucket.end() - bucket.start()) / 2;
            u128::from(bucket.count()) * u128::from(middle)
        });
        Duration::from_nanos(u64::try_from(sum.sum::<u128>()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durations({}", self.count())?;
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            if let Some(value) = self.quantile(quantile) {
                write!(f, ", {name} {value:?}")?;
            }
        }
        f.write_str(")")
    }
}

/// Buckets of a histogram to each doubling, as a power of two.
const GROUPING_POWER: u8 = 3;

/// The longest duration in nanoseconds, as a power of two.
const VALUE_POWER: u8 = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_an_eighth_of_what_was_recorded() {
        let durations = Durations::new();
        assert_eq!(durations.quantile(0.5), None);
        for micros in 1..=1_000 {
            durations.record(Duration::from_micros(micros));
        }
        assert_eq!(durations.count(), 1_000);
        for (quantile, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = durations.quantile(quantile).unwrap().as_secs_f64() * 1e6;
            assert!(
                (micros * 0.999..micros * 1.13).contains(&found),
                "{found} for {micros}"
            );
        }
        let sum = durations.sum().as_secs_f64() * 1e3;
        assert!((460.0..540.0).contains(&sum), "{sum} ms in all, not 500.5");
        let [most, all] = durations.at_most([Duration::from_micros(500), Duration::from_secs(1)]);
        assert!((440..=500).contains(&most), "{most}");
        assert_eq!(all, 1_000);
    }

    #[test]
    fn what_takes_no_time_counts_too() {
        let durations = Durations::new();
        for _ in 0..3 {
            durations.record(Duration::ZERO);
        }
        durations.record(Duration::from_millis(1));
        assert_eq!(durations.count(), 4);
        assert_eq!(durations.quantile(0.5), Some(Duration::ZERO));
        assert!(durations.quantile(1.0) >= Some(Duration::from_millis(1)));
        assert_eq!(durations.at_most([Duration::ZERO]), [3]);
    }

    #[test]
    fn what_takes_too_long_counts_as_the_longest() {
        let durations = Durations::new();
        durations.record(Duration::MAX);
        assert_eq!(durations.quantile(1.0), Some(Durations::LONGEST));
    }

    #[test]
    fn a_group_is_named_after_its_type() {
        let status = GroupStatus::new("app::chat::Room<app::Lines>", 0, GroupCounters::default());
        assert_eq!(status.short_name(), "Room");
    }
}
