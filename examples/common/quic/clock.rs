//! Time as quinn-proto and rustls want it: the [`Instant`] of a [`Timestamp`], and the day it is.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quinn_proto::TimeSource;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use stillpoint::Timestamp;

/// What moment the runner's epoch is for others. Asked for once, by whoever starts the program:
/// from then on, time is what tasks are told.
#[derive(Clone, Copy)]
pub struct Epoch {
    epoch: stillpoint::Epoch,
    /// Since 1970.
    day: Duration,
}

impl Epoch {
    /// An epoch at `instant`, which is so long after 1970.
    pub const fn new(instant: Instant, day: Duration) -> Self {
        let epoch = stillpoint::Epoch::new(instant);
        Self { epoch, day }
    }

    /// The instant of a timestamp.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.epoch.instant(at)
    }

    /// The timestamp of an instant.
    pub fn timestamp(&self, at: Instant) -> Timestamp {
        self.epoch.timestamp(at)
    }
}

/// Says nothing that differs from run to run: what is spawned is part of traces.
impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({} s)", self.day.as_secs())
    }
}

/// The day and hour, for certificates and tokens: set at each input, read by who checks them.
#[derive(Debug)]
pub struct Today {
    epoch: Epoch,
    nanos: AtomicU64,
}

impl Today {
    pub fn new(epoch: Epoch) -> Arc<Self> {
        let nanos = AtomicU64::new(0);
        Arc::new(Self { epoch, nanos })
    }

    pub fn set(&self, now: Timestamp) {
        self.nanos.store(now.as_nanos(), Ordering::Relaxed);
    }

    fn since_1970(&self) -> Duration {
        self.epoch.day + Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

impl TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.since_1970()))
    }
}

impl TimeSource for Today {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.since_1970()
    }
}
