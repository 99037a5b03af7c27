//! Records on their way from a recorder to a ring or a file.

use core::fmt;

use super::format;
use crate::buffer::Buffer;

/// Whole records of a recorder, not yet as they stand in a recording: long payloads are where they
/// were received, and checksums are still to be made. Whoever keeps the records, or writes them
/// down, does that when it is wanted ([`RecordBlock::seal`]), so that the worker need not.
#[derive(Default)]
pub struct RecordBlock {
    /// Records, with the lengths that they are going to have.
    pub(super) bytes: Vec<u8>,
    /// Payloads that are kept, each with its place in `bytes`, in order.
    kept: Vec<(usize, Buffer)>,
    /// Their bytes, and what they keep of memory.
    kept_len: usize,
    kept_memory: usize,
    pub(super) turns: u64,
}

/// Payloads from this length on are kept, if they fill half of their memory; shorter ones are
/// sooner copied.
const KEPT_LEN_MIN: usize = 4_096;

impl RecordBlock {
    /// No records, and memory for this many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// How many turns its records hold, those that are missing not counted.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    /// How many bytes it has in a recording.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() + self.kept_len
    }

    /// Whether there are no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that it takes, or keeps others from taking.
    #[must_use]
    pub const fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.kept_memory
    }

    /// Whether it is time to hand it over, if it was to be of about this many bytes.
    pub(super) const fn is_full(&self, block_bytes: usize) -> bool {
        self.bytes.len() >= block_bytes || self.kept_memory >= block_bytes
    }

    /// The records as they stand in a recording. `room` is where they are put together if it takes
    /// that, and is best of all one that was used for it before.
    pub fn seal<'a>(&'a mut self, room: &'a mut Vec<u8>) -> &'a [u8] {
        if self.kept.is_empty() {
            format::seal(&mut self.bytes);
            return &self.bytes;
        }
        room.clear();
        self.write_to(room);
        room
    }

    /// Writes the records as they stand in a recording behind what is in `to`.
    pub fn write_to(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.reserve(self.len());
        let mut from = 0;
        for (at, payload) in &self.kept {
            to.extend_from_slice(&self.bytes[from..*at]);
            to.extend_from_slice(payload);
            from = *at;
        }
        to.extend_from_slice(&self.bytes[from..]);
        format::seal(&mut to[start..]);
    }

    /// Forgets all records, and lets go of their payloads.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.kept.clear();
        (self.kept_len, self.kept_memory, self.turns) = (0, 0, 0);
    }

    /// Writes a payload, or keeps it: whether it is kept.
    #[inline]
    pub(super) fn payload(&mut self, payload: &Buffer) -> bool {
        let (len, memory) = (payload.len(), payload.memory());
        if len < KEPT_LEN_MIN || len < memory / 2 {
            self.bytes.extend_from_slice(payload);
            return false;
        }
        self.kept.push((self.bytes.len(), payload.clone()));
        self.kept_len += len;
        self.kept_memory += memory;
        true
    }

    /// The payload that was kept last.
    pub(super) fn last_kept(&self) -> &[u8] {
        self.kept.last().map_or(&[], |(_, payload)| payload)
    }

    /// Forgets what was written behind the first `len` bytes.
    #[cold]
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        while let Some((_, payload)) = self.kept.pop_if(|(at, _)| *at > len) {
            self.kept_len -= payload.len();
            self.kept_memory -= payload.memory();
        }
    }

    /// Bytes of kept payloads.
    pub(super) const fn kept_len(&self) -> usize {
        self.kept_len
    }
}

impl fmt::Debug for RecordBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBlock({} B, {} turns)", self.len(), self.turns)
    }
}
