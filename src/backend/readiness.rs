//! Waiting until sockets are ready: all in which the socket backends differ.

use core::fmt;
use std::os::fd::BorrowedFd;

use super::sys::{Errno, Timeout};
use super::{BackendError, Waker};
use crate::id::SocketId;

/// A set of sockets that is waited for, in one way or another.
///
/// Whether it tells of a socket as long as it is ready or only when it becomes so is its own
/// business: whoever leaves something behind says so with [`Readiness::again`].
pub(super) trait Readiness: fmt::Debug {
    /// Waits for this socket to be readable, from now on.
    fn add(&mut self, id: SocketId, fd: BorrowedFd<'_>) -> Result<(), Errno>;

    /// No longer waits for it. It is closed right after.
    fn remove(&mut self, id: SocketId, fd: BorrowedFd<'_>);

    /// Waits for what `interest` says from now on.
    fn change(&mut self, id: SocketId, fd: BorrowedFd<'_>, interest: Interest);

    /// The socket may be ready still: the next wait is to tell of it. Nothing to do for a set that
    /// tells as long as it is so.
    fn again(&mut self, _id: SocketId, _fd: BorrowedFd<'_>, _interest: Interest) {}

    /// Waits until a socket is ready or the waker is used, for at least `timeout` otherwise.
    /// Fills `ready` with the sockets that are, each once.
    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(SocketId, Ready)>,
    ) -> Result<(), BackendError>;

    /// Ends a wait from another thread.
    fn waker(&self) -> Waker;
}

/// What a socket is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Something to read, or an error.
    Read,
    /// Room to write, too.
    ReadAndWrite,
}

/// What a wait found about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) error: bool,
}

/// The sockets of a set by their slots, which serve as the kernel's name for them.
#[cfg(any(feature = "mio", feature = "polling"))]
#[derive(Debug, Default)]
pub(super) struct Watched(Vec<Option<SocketId>>);

#[cfg(any(feature = "mio", feature = "polling"))]
impl Watched {
    /// Takes a socket in, and gives its name.
    pub(super) fn add(&mut self, id: SocketId) -> usize {
        let slot = Self::name(id);
        if slot >= self.0.len() {
            self.0.resize(slot + 1, None);
        }
        self.0[slot] = Some(id);
        slot
    }

    pub(super) fn remove(&mut self, id: SocketId) {
        if let Some(watched) = self.0.get_mut(Self::name(id)) {
            *watched = None;
        }
    }

    pub(super) const fn name(id: SocketId) -> usize {
        id.key().slot as usize
    }

    pub(super) fn get(&self, name: usize) -> Option<SocketId> {
        *self.0.get(name)?
    }
}

pub(super) const fn failed(operation: &'static str, error: Errno) -> BackendError {
    BackendError {
        operation,
        error: error.to_network_error(),
    }
}

/// What a library says of a failed call.
#[cfg(any(feature = "mio", feature = "polling"))]
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(0))
}

/// Sockets that one wait tells of. The kernel goes round, so the others come next.
#[cfg(any(feature = "mio", feature = "polling"))]
pub(super) const EVENTS_MAX: usize = 1_024;
