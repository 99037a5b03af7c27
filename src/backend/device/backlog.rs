//! What a device could not take in yet.

use std::collections::VecDeque;

use super::header::Header;
use crate::buffer::Buffer;

/// Packets that wait until the kernel has room, oldest first. Bounded in number and in bytes.
pub(super) struct Backlog {
    packets: VecDeque<Waiting>,
    bytes: usize,
}

/// One packet that waits, and what the kernel is to know of it.
pub(super) struct Waiting {
    pub(super) header: Header,
    pub(super) packet: Buffer,
    pub(super) share: Share,
}

/// What a packet stands for: those that the task has given, which may have been joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) packets: u32,
    pub(super) bytes: u64,
}

impl Backlog {
    pub(super) const fn new() -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether a packet of `len` bytes may be added.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.packets.len() < PACKETS_MAX && self.bytes + len <= BYTES_MAX
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.packet.len();
        self.packets.push_back(waiting);
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.packets.front()
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.packets.pop_front()?;
        self.bytes -= waiting.packet.len();
        Some(waiting)
    }

    /// Drops all, and says how many packets of the task that were.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        let shares = self.packets.drain(..).map(|waiting| waiting.share);
        shares.map(|share| u64::from(share.packets)).sum()
    }
}

/// Packets that may wait at one device.
const PACKETS_MAX: usize = 1_024;

/// Bytes that may wait at one device.
const BYTES_MAX: usize = 8 << 20;
