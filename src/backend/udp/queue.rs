//! Datagrams that wait to be flushed, and the memory that tasks write them into.
//!
//! A datagram for the same destination as the one just before it joins its run, if the result is
//! one that the kernel can cut into datagrams again (GSO): all of one size, but for a shorter last
//! one. So a task that sends a frame as ten datagrams causes one system call.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use crate::buffer::Buffer;
use crate::datagram::{DATAGRAM_BYTES_MAX, segment_count};
use crate::id::SocketId;

/// Runs in the order in which they were submitted.
pub(super) struct SendQueue {
    arena: Box<[u8]>,
    arena_used: usize,
    entries: Vec<Entry>,
    /// The bytes of all entries, in their order.
    parts: Vec<Memory>,
}

/// Where a run comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct Destination {
    pub(in crate::backend) socket: SocketId,
    pub(in crate::backend) peer: SocketAddr,
    pub(super) source: Option<IpAddr>,
    /// DSCP and ECN.
    pub(super) traffic_class: u8,
}

/// A run: at most [`SEGMENTS_MAX`] datagrams and [`DATAGRAM_BYTES_MAX`] bytes.
pub(super) struct Entry {
    pub(super) to: Destination,
    pub(super) len: usize,
    /// Length of each datagram but the last, in bytes; of the only one, if it is one.
    pub(super) segment_size: usize,
    pub(super) datagrams: usize,
    parts: Range<usize>,
    pub(super) sending: Sending,
}

/// How a run goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// In one message.
    Whole,
    /// In a message for each datagram.
    Singly,
    /// The same, because the kernel would not have it whole just now.
    Refused,
}

/// Whole datagrams of one run.
#[derive(Debug)]
pub(super) enum Memory {
    Arena(Range<usize>),
    Owned(Buffer),
}

/// Whether datagrams may become a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    Allowed,
    Useless,
}

impl SendQueue {
    pub(super) fn new() -> Self {
        Self {
            arena: vec![0; ARENA_BYTES].into_boxed_slice(),
            arena_used: 0,
            entries: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(super) const fn has_room_to_lend(&self) -> bool {
        self.arena_used + DATAGRAM_BYTES_MAX <= ARENA_BYTES
    }

    /// Memory for one datagram of any length; the same room each time, so that what a task does
    /// cannot depend on what others sent.
    pub(super) fn lend(&mut self) -> &mut [u8] {
        let start = self.arena_used;
        &mut self.arena[start..start + DATAGRAM_BYTES_MAX]
    }

    /// Makes the first `len` bytes of what was lent last a payload.
    ///
    /// # Panics
    ///
    /// If that is more than was lent.
    pub(super) fn take_lent(&mut self, len: usize) -> Memory {
        assert!(len <= DATAGRAM_BYTES_MAX, "{len} bytes in lent memory");
        let start = self.arena_used;
        self.arena_used += len;
        Memory::Arena(start..self.arena_used)
    }

    /// The first `len` bytes of what was lent last.
    pub(super) fn written(&self, len: usize) -> &[u8] {
        &self.arena[self.arena_used..self.arena_used + len]
    }

    /// Whether it is time to flush.
    pub(super) const fn is_long(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries from `start` on that are of one socket. `None` behind the last.
    pub(super) fn row(&self, start: usize) -> Option<Range<usize>> {
        let rest = self.entries.get(start..)?;
        let socket = rest.first()?.to.socket;
        let row = rest.iter().take_while(|entry| entry.to.socket == socket);
        Some(start..start + row.count())
    }

    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// Forgets all; buffers go back to their pools.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.parts.clear();
        self.arena_used = 0;
    }

    /// Adds a run of `len` bytes, in as many entries as it takes.
    pub(super) fn push(
        &mut self,
        to: Destination,
        memory: Memory,
        len: usize,
        segment_size: usize,
        joining: Joining,
    ) {
        let datagrams = segment_count(len, segment_size);
        let segment_size = if datagrams == 1 { len } else { segment_size };
        let piece_datagrams = (DATAGRAM_BYTES_MAX / segment_size.max(1)).clamp(1, SEGMENTS_MAX);
        if datagrams <= piece_datagrams {
            return self.push_piece(to, memory, len, segment_size, joining);
        }
        let piece = piece_datagrams * segment_size;
        for start in (0..len).step_by(piece) {
            let range = start..len.min(start + piece);
            let (len, memory) = (range.len(), memory.slice(range));
            self.push_piece(to, memory, len, segment_size.min(len), joining);
        }
    }

    fn push_piece(
        &mut self,
        to: Destination,
        memory: Memory,
        len: usize,
        segment_size: usize,
        joining: Joining,
    ) {
        let datagrams = segment_count(len, segment_size);
        if joining == Joining::Allowed
            && let Some(last) = self.entries.last_mut()
            && last.takes(&to, len, segment_size, datagrams)
        {
            last.len += len;
            last.datagrams += datagrams;
            match (self.parts.last_mut(), &memory) {
                (Some(Memory::Arena(before)), Memory::Arena(more)) if before.end == more.start => {
                    before.end = more.end;
                }
                _ => {
                    self.parts.push(memory);
                    last.parts.end += 1;
                }
            }
            return;
        }
        let first_part = self.parts.len();
        self.parts.push(memory);
        self.entries.push(Entry {
            to,
            len,
            segment_size,
            datagrams,
            parts: first_part..first_part + 1,
            sending: Sending::Whole,
        });
    }

    /// Messages that these entries take.
    pub(super) fn messages(&self, entries: Range<usize>) -> usize {
        let messages = self.entries[entries]
            .iter()
            .map(|entry| match entry.sending {
                Sending::Whole => 1,
                Sending::Singly | Sending::Refused => entry.datagrams,
            });
        messages.sum()
    }

    /// The bytes of an entry.
    pub(super) fn parts(&self, entry: &Entry) -> impl Iterator<Item = &[u8]> {
        self.parts[entry.parts.clone()]
            .iter()
            .map(|part| self.bytes(part))
    }

    /// One datagram of an entry.
    pub(super) fn datagram(&self, entry: &Entry, index: usize) -> &[u8] {
        let mut start = index * entry.segment_size;
        for part in self.parts(entry) {
            // Parts are whole datagrams. An empty one is the only one of its entry.
            if start < part.len() || part.is_empty() {
                return &part[start..part.len().min(start + entry.segment_size)];
            }
            start -= part.len();
        }
        unreachable!("datagram {index} of {}", entry.datagrams)
    }

    /// The bytes of an entry from datagram `first` on, in a buffer of their own if they are not in
    /// one already.
    pub(super) fn to_buffer(
        &self,
        entry: &Entry,
        first: usize,
        pool: &crate::buffer::BufferPool,
    ) -> Buffer {
        let skipped = first * entry.segment_size;
        // What waits for long is to be no more of memory than its bytes are.
        if let [Memory::Owned(buffer)] = &self.parts[entry.parts.clone()]
            && buffer.memory() <= (4 * buffer.len()).max(2_048)
        {
            return buffer.slice(skipped..).unwrap_or_default();
        }
        let mut buffer = pool.take(entry.len);
        for part in self.parts(entry) {
            buffer.push_back(part);
        }
        let kept = buffer.pop_front(skipped);
        assert!(kept.is_some(), "{skipped} bytes sent of {}", entry.len);
        buffer
    }

    fn bytes<'a>(&'a self, memory: &'a Memory) -> &'a [u8] {
        match memory {
            Memory::Arena(range) => &self.arena[range.clone()],
            Memory::Owned(buffer) => buffer,
        }
    }
}

impl Memory {
    fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Arena(all) => Self::Arena(all.start + range.start..all.start + range.end),
            Self::Owned(buffer) => Self::Owned(buffer.slice(range).unwrap_or_default()),
        }
    }
}

impl Entry {
    /// Whether this stays a legal run with these datagrams behind it.
    fn takes(&self, to: &Destination, len: usize, segment_size: usize, datagrams: usize) -> bool {
        let size_fits = if datagrams == 1 {
            len <= self.segment_size
        } else {
            segment_size == self.segment_size
        };
        let last_is_full = self.len == self.datagrams * self.segment_size;
        // An empty datagram leaves no trace in a run, so it must go out alone.
        size_fits
            && len > 0
            && self.len > 0
            && last_is_full
            && self.datagrams + datagrams <= SEGMENTS_MAX
            && self.len + len <= DATAGRAM_BYTES_MAX
            && self.to == *to
    }

    /// Length in bytes of its longest datagram.
    pub(super) const fn datagram_len(&self) -> usize {
        self.segment_size
    }
}

/// What tasks may write between two flushes, in bytes.
const ARENA_BYTES: usize = 256 << 10;

/// Runs after which the queue is flushed without being asked.
const ENTRIES_MAX: usize = 256;

/// Datagrams of one run that every kernel with GSO takes.
const SEGMENTS_MAX: usize = 64;

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
