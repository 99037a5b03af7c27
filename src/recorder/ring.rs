//! Where records go: the trait, and a ring in memory.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::RecordBlock;
use super::format;

/// Where a [`Recorder`](super::Recorder) puts what it has written.
pub trait RecordSink {
    /// Bytes that a recorder gathers before it hands them over.
    fn block_bytes(&self) -> usize {
        64 << 10
    }

    /// Takes the head of the recording, before everything else.
    fn begin(&mut self, head: Vec<u8>);

    /// Takes a block of whole records, and leaves an empty one for the next, best of all one with
    /// memory. Never waits.
    fn take(&mut self, block: &mut RecordBlock) -> Taken;
}

/// The most that an empty block has memory for.
const BLOCK_BYTES_MAX: usize = 128 << 10;

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it is kept or it is not")]
pub enum Taken {
    /// It is kept, at least for now.
    Kept,
    /// There was no room for it. The recorder says so in the recording.
    Dropped,
}

/// The last records of a worker, in memory: when it is full, the oldest go first, whole.
///
/// A handle: clones share the ring, and any thread may ask for what is in it.
///
/// A ring that has lost its first records can be read ([`Recording::lines`](super::Recording::lines))
/// and not be replayed: what a task is follows from all of its inputs.
#[derive(Clone)]
pub struct RecordRing(Arc<Mutex<Ring>>);

#[derive(Default)]
struct Ring {
    bytes_max: usize,
    head: Vec<u8>,
    /// Shared with those who write them down meanwhile.
    blocks: VecDeque<Arc<RecordBlock>>,
    /// Memory of all blocks.
    bytes: usize,
    turns: u64,
    /// Turns that are overwritten.
    lost: u64,
}

impl RecordRing {
    /// An empty ring, of about this many bytes. The block that is written last is kept, however
    /// large it is.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let ring = Ring {
            bytes_max,
            ..Ring::default()
        };
        Self(Arc::new(Mutex::new(ring)))
    }

    /// A recording of all that is in it, for [`Recording::from_bytes`](super::Recording::from_bytes)
    /// or to be written to a file. What the recorder has not handed over yet is not in it:
    /// see [`Recorder::flush`](super::Recorder::flush).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, blocks) = self.parts();
        bytes.reserve(blocks.iter().map(|block| block.len()).sum());
        for block in blocks {
            block.write_to(&mut bytes);
        }
        bytes
    }

    /// The same in parts, which are copied without keeping the recorder from writing.
    pub(crate) fn parts(&self) -> (Vec<u8>, Vec<Arc<RecordBlock>>) {
        let ring = self.lock();
        let mut head = ring.head.clone();
        if ring.lost > 0 {
            let start = head.len();
            format::write_gap(ring.lost, &mut head);
            format::seal(&mut head[start..]);
        }
        (head, ring.blocks.iter().map(Arc::clone).collect())
    }

    /// How many turns were overwritten.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// How many turns are in it.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.lock().turns
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordSink for RecordRing {
    fn block_bytes(&self) -> usize {
        // Small enough that the oldest of several can go.
        (self.lock().bytes_max / 16).clamp(256, 64 << 10)
    }

    fn begin(&mut self, head: Vec<u8>) {
        self.lock().head = head;
    }

    fn take(&mut self, block: &mut RecordBlock) -> Taken {
        let capacity = block.bytes.capacity();
        let mut new = core::mem::take(block);
        if new.bytes.len() < capacity / 2 {
            // Handed over before it was full: it shall not take the room of one that is.
            let exact = new.bytes.clone();
            block.bytes = core::mem::replace(&mut new.bytes, exact);
            block.bytes.clear();
        }
        let mut free = None;
        let mut ring = self.lock();
        ring.bytes += new.memory();
        ring.turns += new.turns();
        ring.blocks.push_back(Arc::new(new));
        while ring.bytes > ring.bytes_max
            && ring.blocks.len() > 1
            && let Some(old) = ring.blocks.pop_front()
        {
            ring.bytes -= old.memory();
            ring.turns -= old.turns();
            ring.lost += old.turns();
            // Unless somebody still writes it down.
            free = free.or_else(|| Arc::into_inner(old));
        }
        drop(ring);
        if block.bytes.capacity() == 0 {
            *block = free.unwrap_or_default();
            block.clear();
            block.bytes.reserve_exact(capacity.min(BLOCK_BYTES_MAX));
        }
        Taken::Kept
    }
}

impl fmt::Debug for RecordRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.lock();
        write!(f, "RecordRing({} turns, {} lost)", ring.turns, ring.lost)
    }
}
