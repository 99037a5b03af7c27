//! The flight recorder of a worker's thread: where its records go, and when.
//!
//! A worker is never held up. To a file, blocks of records go through a bounded queue to a thread
//! that writes them; what finds no room is dropped and counted. A ring stays in memory until
//! somebody asks for it, or until a task fails.

use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::doorbell::Doorbell;
use super::record_file::{self, Announcer, FileSink, FileState, Nudge};
use crate::datagram::DatagramRun;
use crate::id::SocketId;
use crate::recorder::{RecordRing, Recorder, RecorderMaker, RecorderStats};
use crate::task::App;
use crate::time::Timestamp;
use crate::worker::{Worker, WorkerConfig, WorkerInput, WorkerOutputs};

/// How the workers of a runtime are recorded: see [`Recorder`].
///
/// # Example
///
/// ```
/// use stillpoint::runtime::RecorderConfig;
///
/// // The last 16 MiB of each worker, written down when one of its tasks fails.
/// let black_box = RecorderConfig::ring(16 << 20).dumping_to("/var/lib/echo/failures");
/// // Everything from the start on, which is what can be replayed however long it was.
/// let all = RecorderConfig::files("/var/lib/echo/recordings");
/// assert_ne!(black_box, all);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Where records go.
    pub to: RecordTo,
    /// Where files are made, one or more for each worker; none of them is ever written over. The
    /// folder has to be there.
    pub folder: Option<PathBuf>,
    /// Files that a ring is written to because of failures, for each worker: the first ones.
    pub dumps_max: u32,
    /// How long a record may wait in the worker until it is written to a file. What is lost when
    /// the process ends without a word is younger than that.
    pub delay_max: Duration,
}

/// Where the records of a worker go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordTo {
    /// To a file, from the start on. The thread that writes wants a core of its own: without one, or
    /// with a disk slower than what is received, a busy worker is slower by what it takes.
    Files {
        /// Bytes that may wait to be written. What finds no room is dropped and counted.
        queue_bytes_max: usize,
    },
    /// To a ring in memory, where the oldest make room. A process that ends without a word takes it
    /// along.
    Ring {
        /// Its size in bytes.
        bytes_max: usize,
    },
}

impl RecorderConfig {
    /// Everything goes to files in `folder`. 8 MiB may wait to be written.
    #[must_use]
    pub fn files(folder: impl Into<PathBuf>) -> Self {
        let queue_bytes_max = 8 << 20;
        Self {
            to: RecordTo::Files { queue_bytes_max },
            folder: Some(folder.into()),
            dumps_max: 0,
            delay_max: DELAY,
        }
    }

    /// The last `bytes_max` bytes of each worker are kept in memory:
    /// see [`Controller::recorded`](super::Controller::recorded).
    #[must_use]
    pub const fn ring(bytes_max: usize) -> Self {
        Self {
            to: RecordTo::Ring { bytes_max },
            folder: None,
            dumps_max: 0,
            delay_max: DELAY,
        }
    }

    /// The same; each of the first 8 failures of a worker's tasks, and its own, has the ring
    /// written to a file in `folder`.
    #[must_use]
    pub fn dumping_to(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self.dumps_max = 8;
        self
    }
}

const DELAY: Duration = Duration::from_millis(100);

/// Recordings of a runtime's workers, as its controller and their threads share them.
pub(super) struct Records<A: App> {
    pub(super) maker: RecorderMaker<A>,
    pub(super) config: RecorderConfig,
    pub(super) rings: Arc<Rings>,
}

impl<A: App> Clone for Records<A> {
    fn clone(&self) -> Self {
        Self {
            maker: self.maker.clone(),
            config: self.config.clone(),
            rings: Arc::clone(&self.rings),
        }
    }
}

/// The rings of all workers, and of the last ones that are no more.
#[derive(Debug, Default)]
pub(super) struct Rings(Mutex<Vec<(u16, RecordRing, Arc<Asked>)>>);

/// Rings of workers that are no more are kept for so many workers in all.
const RINGS_KEPT: usize = 4;

impl Rings {
    fn add(&self, worker: u16, ring: RecordRing, asked: Arc<Asked>) {
        let mut rings = self.lock();
        rings.push((worker, ring, asked));
    }

    fn remove_surplus(&self) {
        let mut rings = self.lock();
        while rings.iter().filter(|(.., asked)| asked.is_over()).count() > RINGS_KEPT {
            let oldest = rings.iter().position(|(.., asked)| asked.is_over());
            let Some(oldest) = oldest else { return };
            drop(rings.remove(oldest));
        }
    }

    pub(super) fn get(&self, worker: u16) -> Option<(RecordRing, Arc<Asked>)> {
        let rings = self.lock();
        let found = rings.iter().find(|(index, ..)| *index == worker);
        found.map(|(_, ring, asked)| (ring.clone(), Arc::clone(asked)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u16, RecordRing, Arc<Asked>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody wants what a worker has not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Asked {
    wanted: AtomicU64,
    given: Mutex<u64>,
    changed: Condvar,
}

/// What is wanted of a worker that has handed everything over.
const OVER: u64 = u64::MAX;

impl Asked {
    /// Asks for it. What to wait for.
    pub(super) fn ask(&self) -> u64 {
        self.wanted.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Waits until it was given, or for `at_most`.
    pub(super) fn wait(&self, number: u64, at_most: Duration) {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |given: &mut u64| *given < number;
        drop(self.changed.wait_timeout_while(given, at_most, is_missing));
    }

    fn give(&self, number: u64) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = number;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) == OVER
    }
}

/// A worker, and the recorder that its inputs go through if there is one.
pub(super) struct Hosted<A: App> {
    worker: Worker<A>,
    flight: Option<Box<Flight<A>>>,
}

impl<A: App> Hosted<A> {
    /// A worker that `make` makes. An error says why it cannot be recorded.
    pub(super) fn new(
        mut config: WorkerConfig,
        records: Option<&Records<A>>,
        bell: &Arc<Doorbell>,
        make: impl FnOnce(WorkerConfig) -> Worker<A>,
    ) -> Result<Self, String> {
        let flight = match records {
            None => None,
            Some(records) => Some(Box::new(Flight::new(&mut config, records, bell)?)),
        };
        let worker = make(config);
        Ok(Self { worker, flight })
    }

    #[inline]
    pub(super) fn handle_input(
        &mut self,
        now: Timestamp,
        input: WorkerInput<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        match &mut self.flight {
            None => self.worker.handle_input(now, input, outputs),
            Some(flight) => {
                let worker = &mut self.worker;
                flight.recorder.handle_input(worker, now, input, outputs);
            }
        }
    }

    #[inline]
    pub(super) fn handle_datagrams(
        &mut self,
        now: Timestamp,
        socket: SocketId,
        run: &mut DatagramRun,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        let worker = &mut self.worker;
        match &mut self.flight {
            None => worker.handle_datagrams(now, socket, run, outputs),
            Some(flight) => flight
                .recorder
                .handle_datagrams(worker, now, socket, run, outputs),
        }
    }

    /// Whether somebody waits for its records.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.is_asked())
    }

    /// A batch of inputs is over: hands its records over, if somebody waits for them.
    #[inline]
    pub(super) fn end_batch(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.end_batch();
        }
    }

    /// Nothing more is given to the worker. What was recorded, and why not all.
    pub(super) fn end(self, failed: bool) -> (Worker<A>, Option<(RecorderStats, Option<String>)>) {
        let flight = self.flight;
        let stats = flight.map(|flight| flight.end(failed));
        (self.worker, stats)
    }
}

impl<A: App> Deref for Hosted<A> {
    type Target = Worker<A>;

    fn deref(&self) -> &Worker<A> {
        &self.worker
    }
}

/// The recorder of a worker, and where its records go.
struct Flight<A: App> {
    /// Dropped before the recorder, which waits until everything is written: as long as something
    /// may be announced, more may come.
    to: To,
    recorder: Recorder<A>,
    index: u16,
    asked: Arc<Asked>,
    /// What was asked for and is given.
    given: u64,
}

enum To {
    File {
        state: FileState,
        announcer: Announcer,
        /// Whether the thread that writes knows that something waits.
        announced: bool,
    },
    Ring {
        ring: RecordRing,
        rings: Arc<Rings>,
        /// Where dumps go, and how many there may be still.
        folder: Option<PathBuf>,
        dumps_left: u32,
        /// Failures that were seen to.
        failures: u64,
        writers: Vec<JoinHandle<()>>,
    },
}

impl<A: App> Flight<A> {
    fn new(
        worker: &mut WorkerConfig,
        records: &Records<A>,
        bell: &Arc<Doorbell>,
    ) -> Result<Self, String> {
        let index = worker.index;
        let config = &records.config;
        let folder = config.folder.clone();
        let asked = Arc::<Asked>::default();
        let (recorder, to) = match config.to {
            RecordTo::Files { queue_bytes_max } => {
                let folder = folder.ok_or("no folder for its recording")?;
                let nudge = Nudge {
                    asked: Arc::clone(&asked),
                    bell: Arc::clone(bell),
                    delay_max: config.delay_max,
                };
                let sink = FileSink::create(&folder, index, queue_bytes_max, nudge)?;
                let to = To::File {
                    state: sink.state(),
                    announcer: sink.announcer(),
                    announced: false,
                };
                let sink = Box::new(sink);
                (records.maker.recorder(worker, sink), to)
            }
            RecordTo::Ring { bytes_max } => {
                let ring = RecordRing::new(bytes_max);
                records.rings.add(index, ring.clone(), Arc::clone(&asked));
                let sink = Box::new(ring.clone());
                let to = To::Ring {
                    ring,
                    rings: Arc::clone(&records.rings),
                    folder,
                    dumps_left: config.dumps_max,
                    failures: 0,
                    writers: Vec::new(),
                };
                (records.maker.recorder(worker, sink), to)
            }
        };
        Ok(Self {
            to,
            recorder,
            index,
            asked,
            given: 0,
        })
    }

    fn is_asked(&self) -> bool {
        self.asked.wanted.load(Ordering::SeqCst) != self.given
    }

    fn end_batch(&mut self) {
        if self.is_asked() {
            self.give();
        }
        match &mut self.to {
            To::File {
                announcer,
                announced,
                ..
            } => {
                if !*announced && !self.recorder.is_flushed() {
                    *announced = true;
                    announcer.announce();
                }
            }
            To::Ring { .. } => self.dump_failures(),
        }
    }

    #[cold]
    fn give(&mut self) {
        self.recorder.flush();
        self.given = self.asked.wanted.load(Ordering::SeqCst);
        self.asked.give(self.given);
        if let To::File { announced, .. } = &mut self.to {
            *announced = false;
        }
    }

    fn dump_failures(&mut self) {
        if let To::Ring { failures, .. } = &mut self.to
            && *failures != self.recorder.stats().failures
        {
            *failures = self.recorder.stats().failures;
            self.dump();
        }
    }

    /// Has the ring written to a file, by a thread of its own.
    #[cold]
    fn dump(&mut self) {
        self.recorder.flush();
        if let To::Ring {
            ring,
            folder: Some(folder),
            dumps_left,
            writers,
            ..
        } = &mut self.to
            && let Some(left) = dumps_left.checked_sub(1)
        {
            *dumps_left = left;
            let (head, blocks) = ring.parts();
            let (folder, index) = (folder.clone(), self.index);
            // Without a thread or a file, the recording stays in the ring alone.
            let writer = record_file::thread(index).spawn(move || {
                drop(record_file::write_all(&folder, index, &head, &blocks));
            });
            writers.extend(writer);
        }
    }

    fn end(mut self, failed: bool) -> (RecorderStats, Option<String>) {
        self.recorder.end();
        if failed {
            self.dump();
        }
        let Self {
            to,
            recorder,
            asked,
            ..
        } = self;
        let stats = recorder.stats();
        // What waits is written before anybody hears that the worker has stopped.
        let failure = match to {
            To::File {
                state, announcer, ..
            } => {
                drop(announcer);
                drop(recorder);
                state.failure()
            }
            To::Ring { rings, writers, .. } => {
                for writer in writers {
                    drop(writer.join());
                }
                asked.give(OVER);
                rings.remove_surplus();
                None
            }
        };
        (stats, failure)
    }
}

/// The file that a worker's recording goes to next: the first of its names that is free.
pub(super) fn name(folder: &Path, worker: u16, number: u32) -> PathBuf {
    folder.join(format!("worker-{worker}-{number}.recording"))
}
