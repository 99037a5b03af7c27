//! Recordings in files, and the threads that write them.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::clock::SystemClock;
use super::doorbell::Doorbell;
use super::record::{Asked, name};
use crate::recorder::{RecordBlock, RecordSink, Taken};
use crate::time::{Clock, Timestamp};

/// Takes a worker's records to a file, through a thread.
pub(super) struct FileSink {
    /// `None` once nothing more comes.
    full: Option<Sender<Job>>,
    free: Receiver<RecordBlock>,
    /// Blocks that there are, and may be. Each keeps about as much again of received payloads.
    blocks: usize,
    blocks_max: usize,
    state: FileState,
    thread: Option<JoinHandle<()>>,
}

/// What a worker has for the thread that writes.
enum Job {
    Head(Vec<u8>),
    Write(RecordBlock),
    /// Something waits in the worker: it is to be asked for it after a while.
    Announced,
}

/// Tells the thread that writes of what waits in the worker.
pub(super) struct Announcer(Option<Sender<Job>>);

impl Announcer {
    #[cold]
    pub(super) fn announce(&self) {
        if let Some(full) = &self.0 {
            // Without room for that, blocks come anyway.
            drop(full.try_send(Job::Announced));
        }
    }
}

/// Asks a worker for what waits in it.
pub(super) struct Nudge {
    pub(super) asked: Arc<Asked>,
    pub(super) bell: Arc<Doorbell>,
    pub(super) delay_max: Duration,
}

/// How the writing goes, as the worker and the thread share it.
#[derive(Clone, Default)]
pub(super) struct FileState(Arc<State>);

#[derive(Default)]
struct State {
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl FileState {
    /// Why it was given up.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.0.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, message: String) {
        let failure = self.0.failure.lock();
        *failure.unwrap_or_else(PoisonError::into_inner) = Some(message);
        self.0.failed.store(true, Ordering::Release);
    }
}

impl FileSink {
    /// Makes a file in `folder`, and starts the thread that writes it. An error says what went
    /// wrong.
    pub(super) fn create(
        folder: &Path,
        worker: u16,
        queue_bytes_max: usize,
        nudge: Nudge,
    ) -> Result<Self, String> {
        let shown = folder.display();
        let file =
            create(folder, worker).map_err(|error| format!("recording in {shown}: {error}"))?;
        let blocks_max = (queue_bytes_max / (2 * BLOCK_BYTES)).max(2);
        // Never full: there are no more blocks, the head, and one thing to announce.
        let (full, full_end) = bounded(blocks_max + 3);
        let (free_end, free) = bounded(blocks_max + 1);
        let state = FileState::default();
        let writer = Writer {
            file,
            full: full_end,
            free: free_end,
            room: Vec::new(),
            state: state.clone(),
            nudge,
        };
        let thread = thread(worker).spawn(move || writer.run());
        let thread = thread.map_err(|error| format!("recording: no thread: {error}"))?;
        Ok(Self {
            full: Some(full),
            free,
            blocks: 1,
            blocks_max,
            state,
            thread: Some(thread),
        })
    }

    pub(super) fn state(&self) -> FileState {
        self.state.clone()
    }

    /// To be dropped before the sink, which waits for everybody who may have more.
    pub(super) fn announcer(&self) -> Announcer {
        Announcer(self.full.clone())
    }

    fn send(&self, job: Job) {
        if let Some(full) = &self.full {
            drop(full.try_send(job));
        }
    }
}

const BLOCK_BYTES: usize = 64 << 10;

impl RecordSink for FileSink {
    fn block_bytes(&self) -> usize {
        BLOCK_BYTES
    }

    fn begin(&mut self, head: Vec<u8>) {
        self.send(Job::Head(head));
    }

    fn take(&mut self, block: &mut RecordBlock) -> Taken {
        if self.state.0.failed.load(Ordering::Acquire) {
            return Taken::Dropped;
        }
        let next = match self.free.try_recv() {
            Ok(next) => next,
            Err(_) if self.blocks < self.blocks_max => {
                self.blocks += 1;
                RecordBlock::with_capacity(BLOCK_BYTES)
            }
            Err(_) => return Taken::Dropped,
        };
        self.send(Job::Write(core::mem::replace(block, next)));
        Taken::Kept
    }
}

impl Drop for FileSink {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.full = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.state.fail("its thread panicked".to_owned());
        }
    }
}

struct Writer {
    file: File,
    full: Receiver<Job>,
    free: Sender<RecordBlock>,
    /// Where blocks are put together.
    room: Vec<u8>,
    state: FileState,
    nudge: Nudge,
}

impl Writer {
    fn run(mut self) {
        let clock = SystemClock::new();
        // When the worker is to be asked for what waits in it.
        let mut ask_at = None;
        loop {
            let job = match ask_at {
                None => self.full.recv().map_err(RecvTimeoutError::from),
                Some(at) => self.full.recv_timeout(Timestamp::since(at, clock.now())),
            };
            match job {
                Ok(Job::Head(head)) => write(&mut self.file, &self.state, &head),
                Ok(Job::Write(block)) => self.write(block),
                Ok(Job::Announced) => ask_at = Some(clock.now().after(self.nudge.delay_max)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if ask_at.is_some_and(|at| at <= clock.now()) {
                ask_at = None;
                self.nudge.asked.ask();
                self.nudge.bell.ring();
            }
        }
    }

    fn write(&mut self, mut block: RecordBlock) {
        write(&mut self.file, &self.state, block.seal(&mut self.room));
        block.clear();
        drop(self.free.try_send(block));
    }
}

/// Writes to a file, unless that has failed before.
fn write(file: &mut File, state: &FileState, bytes: &[u8]) {
    if !state.0.failed.load(Ordering::Relaxed)
        && let Err(error) = file.write_all(bytes)
    {
        state.fail(format!("recording: {error}"));
    }
}

/// A thread that writes for a worker, before it runs.
pub(super) fn thread(worker: u16) -> Builder {
    Builder::new().name(format!("recorder-{worker}"))
}

/// Writes a recording to a new file.
pub(super) fn write_all(
    folder: &Path,
    worker: u16,
    head: &[u8],
    blocks: &[Arc<RecordBlock>],
) -> io::Result<()> {
    let mut file = create(folder, worker)?;
    file.write_all(head)?;
    let mut room = Vec::new();
    for block in blocks {
        room.clear();
        block.write_to(&mut room);
        file.write_all(&room)?;
    }
    Ok(())
}

/// A file that was not there before.
fn create(folder: &Path, worker: u16) -> io::Result<File> {
    for number in 0..NAMES_MAX {
        match File::create_new(name(folder, worker, number)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
    let message = format!("{NAMES_MAX} recordings of worker {worker} are there already");
    Err(io::Error::new(ErrorKind::AlreadyExists, message))
}

/// Files of one worker index in a folder.
const NAMES_MAX: u32 = 10_000;
