//! Names of the things a worker holds.
//!
//! An id says on which worker its thing lives, in which slot, and under which generation. It is
//! `Copy`, may be kept for ever and sent anywhere: once its thing is gone it names nothing, and
//! whoever uses it is told so (law 4).

use core::fmt;

use crate::slots::Key;

/// One task: worker, group, slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub(crate) worker: u16,
    pub(crate) group: u16,
    pub(crate) key: Key,
}

impl TaskId {
    /// Index of the worker that holds the task.
    #[must_use]
    #[inline]
    pub const fn worker(self) -> u16 {
        self.worker
    }

    /// Index of the task's group within its worker, in the order in which groups came to be.
    #[must_use]
    #[inline]
    pub const fn group(self) -> u16 {
        self.group
    }

    /// Slot and generation within the group.
    #[must_use]
    #[inline]
    pub const fn key(self) -> Key {
        self.key
    }

    /// All of the id in two words, for traces.
    #[must_use]
    #[inline]
    pub const fn to_words(self) -> [u64; 2] {
        [
            (self.worker as u64) << 16 | self.group as u64,
            key_word(self.key),
        ]
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}/{}/{:?}", self.worker, self.group, self.key)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One socket: worker, slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    pub(crate) worker: u16,
    pub(crate) key: Key,
}

impl SocketId {
    /// Index of the worker that holds the socket.
    #[must_use]
    #[inline]
    pub const fn worker(self) -> u16 {
        self.worker
    }

    /// Slot and generation within the worker.
    #[must_use]
    #[inline]
    pub const fn key(self) -> Key {
        self.key
    }

    /// All of the id in two words, for traces.
    #[must_use]
    #[inline]
    pub const fn to_words(self) -> [u64; 2] {
        [self.worker as u64, key_word(self.key)]
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {}/{:?}", self.worker, self.key)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn key_word(key: Key) -> u64 {
    (key.slot as u64) << 32 | key.generation as u64
}
