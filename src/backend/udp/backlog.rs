//! What a socket could not send yet.

use std::collections::VecDeque;

use super::queue::Destination;
use crate::buffer::Buffer;
use crate::datagram::segment_count;

/// Runs that wait until the kernel has room, oldest first. Bounded in number and in bytes.
pub(super) struct Backlog {
    runs: VecDeque<Waiting>,
    bytes: usize,
}

/// One run that waits.
pub(super) struct Waiting {
    pub(super) to: Destination,
    pub(super) payload: Buffer,
    pub(super) segment_size: usize,
}

impl Waiting {
    pub(super) fn datagrams(&self) -> u64 {
        segment_count(self.payload.len(), self.segment_size) as u64
    }
}

impl Backlog {
    pub(super) const fn new() -> Self {
        Self {
            runs: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether a run of `len` bytes may be added.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.runs.len() < RUNS_MAX && self.bytes + len <= BYTES_MAX
    }

    /// Drops the oldest until a run of `len` bytes may be added, and says how many datagrams that
    /// were.
    pub(super) fn make_room(&mut self, len: usize) -> u64 {
        let mut dropped = 0;
        while !self.has_room(len)
            && let Some(oldest) = self.pop()
        {
            dropped += oldest.datagrams();
        }
        dropped
    }

    pub(super) fn push_back(&mut self, run: Waiting) {
        self.bytes += run.payload.len();
        self.runs.push_back(run);
    }

    /// Puts a run back that was taken out.
    pub(super) fn push_front(&mut self, run: Waiting) {
        self.bytes += run.payload.len();
        self.runs.push_front(run);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let run = self.runs.pop_front()?;
        self.bytes -= run.payload.len();
        Some(run)
    }

    /// Drops all, and says how many datagrams that were.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        self.runs.drain(..).map(|run| run.datagrams()).sum()
    }
}

/// Runs that may wait at one socket.
const RUNS_MAX: usize = 1_024;

/// Bytes that may wait at one socket.
const BYTES_MAX: usize = 8 << 20;
