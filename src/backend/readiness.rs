//! Waiting until descriptors are ready: all in which the socket backends differ.
#![allow(unsafe_code, reason = "a promise that memory stays where it is")]

use core::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::sys::{Errno, Received, Timeout};
use super::{BackendError, Waker};
use crate::buffer::Buffer;
use crate::id::{ListenerId, ResourceId, SocketId};

/// A set of descriptors that is waited for, in one way or another.
///
/// Whether it tells of one as long as it is ready or only when it becomes so is its own
/// business: whoever leaves something behind says so with [`Readiness::again`].
pub(super) trait Readiness: fmt::Debug {
    /// Waits for what `interest` says, from now on.
    fn add(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno>;

    /// No longer waits for it. It is closed right after.
    fn remove(&mut self, id: ResourceId, fd: BorrowedFd<'_>);

    /// Waits for what `interest` says from now on.
    fn change(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest);

    /// It may be ready still: the next wait is to tell of it. Nothing to do for a set that
    /// tells as long as it is so.
    fn again(&mut self, _id: ResourceId, _fd: BorrowedFd<'_>, _interest: Interest) {}

    /// Waits until one is ready or the waker is used, for at least `timeout` otherwise.
    /// Fills `ready` with those that are, each once.
    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError>;

    /// The next that a set has received for a socket, if it does so itself.
    fn take_received(&mut self, _id: SocketId) -> Taken {
        Taken::Ask
    }

    /// The same for a stream, and for a device: a packet behind its header.
    fn take_bytes(&mut self, _id: ResourceId) -> TakenBytes {
        TakenBytes::Ask
    }

    /// The same for a listener: the next connection.
    fn take_accepted(&mut self, _id: ListenerId) -> Accepted {
        Accepted::Ask
    }

    /// Buffers of the pool that are lent to the kernel.
    fn buffers_lent(&self) -> usize {
        0
    }

    /// One that was asked has nothing more.
    fn asked(&mut self, _id: ResourceId) {}

    /// Datagrams or packets that were received for what is no more, since this was last asked.
    fn take_undelivered(&mut self) -> u64 {
        0
    }

    /// Messages of this kind that can be handed over together with the next wait.
    fn sends_max(&mut self, _what: Matter) -> usize {
        0
    }

    /// Hands a message over together with the next wait.
    ///
    /// # Safety
    ///
    /// The header, and all that it points at, stays where and as it is until the next wait has
    /// returned; for ever if [`Readiness::sent`] says so.
    unsafe fn send(&mut self, _fd: BorrowedFd<'_>, _header: *const libc::msghdr, _link: Link) {
        unreachable!("nobody asked whether there is room");
    }

    /// What came of the messages that the last wait has handed over, in their order.
    fn sent(&mut self) -> Sent<'_> {
        Sent::Known(&[])
    }

    /// Ends a wait from another thread.
    fn waker(&self) -> Waker;
}

/// Whether a message is only sent if the one before it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    First,
    BehindTheLast,
}

/// What messages are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matter {
    Datagrams,
    Bytes,
}

/// What came of messages.
pub(super) enum Sent<'a> {
    /// For each the bytes that were sent, or the negative number of the error.
    Known(&'a [i32]),
    /// Nobody knows, and the kernel may look at them at any time from now on.
    #[cfg_attr(
        not(all(feature = "io-uring", target_os = "linux")),
        expect(dead_code, reason = "only a ring keeps what it was given")
    )]
    Lost,
}

/// What a set has received for a socket.
#[cfg_attr(
    not(all(feature = "io-uring", target_os = "linux")),
    expect(dead_code, reason = "only a ring receives by itself")
)]
pub(super) enum Taken {
    /// One message.
    Message(Received, Buffer),
    /// The socket has an error that does not go away.
    Failed(Errno),
    /// Nothing more, and the next wait tells of what comes later.
    Nothing,
    /// Nothing: the socket is to be asked itself.
    Ask,
}

/// What a set has read from a stream or a device.
#[cfg_attr(
    not(all(feature = "io-uring", target_os = "linux")),
    expect(dead_code, reason = "only a ring receives by itself")
)]
pub(super) enum TakenBytes {
    /// Some bytes.
    Bytes(Buffer),
    /// The peer has ended its direction.
    End,
    Failed(Errno),
    /// Nothing more, and the next wait tells of what comes later.
    Nothing,
    /// Nothing: the stream is to be asked itself.
    Ask,
}

/// Whom a set has taken in.
#[cfg_attr(
    not(all(feature = "io-uring", target_os = "linux")),
    expect(dead_code, reason = "only a ring takes in by itself")
)]
pub(super) enum Accepted {
    Connection(OwnedFd),
    Failed(Errno),
    /// Nobody more, and the next wait tells of those that come later.
    Nothing,
    /// Nobody: the listener is to be asked itself.
    Ask,
}

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Nothing, not even errors.
    Nothing,
    /// Errors, and that both directions have ended.
    Errors,
    /// Something to read, or an error.
    Read,
    /// Room to write, or an error.
    Write,
    /// Either.
    ReadAndWrite,
}

/// What a wait found about a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) error: bool,
    /// The peer has ended its direction, or both have. A set that tells as long as it is so need
    /// not say this: it will tell again.
    pub(super) read_ended: bool,
}

/// What a set waits for by slots, which serve as the kernel's name for it.
#[cfg(any(feature = "mio", feature = "polling"))]
#[derive(Debug, Default)]
pub(super) struct Watched(Vec<Option<Watch>>);

#[cfg(any(feature = "mio", feature = "polling"))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    pub(super) id: ResourceId,
    pub(super) interest: Interest,
}

#[cfg(any(feature = "mio", feature = "polling"))]
impl Watched {
    /// Takes one in, and gives its name.
    pub(super) fn add(&mut self, id: ResourceId, interest: Interest) -> usize {
        let slot = Self::name(id);
        if slot >= self.0.len() {
            self.0.resize(slot + 1, None);
        }
        self.0[slot] = Some(Watch { id, interest });
        slot
    }

    pub(super) fn remove(&mut self, id: ResourceId) -> Option<Watch> {
        self.0.get_mut(Self::name(id))?.take()
    }

    /// Notes a new interest, and gives the one before.
    pub(super) fn change(&mut self, id: ResourceId, interest: Interest) -> Option<Interest> {
        let watch = self.0.get_mut(Self::name(id))?.as_mut()?;
        Some(core::mem::replace(&mut watch.interest, interest))
    }

    pub(super) const fn name(id: ResourceId) -> usize {
        id.key().slot as usize
    }

    pub(super) fn get(&self, name: usize) -> Option<Watch> {
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
#[cfg(any(feature = "mio", feature = "polling", feature = "io-uring"))]
#[cfg_attr(
    not(any(feature = "mio", feature = "polling", target_os = "linux")),
    expect(dead_code, reason = "a ring is for Linux")
)]
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(0))
}

/// Sockets that one wait tells of. The kernel goes round, so the others come next.
#[cfg(any(feature = "mio", feature = "polling"))]
pub(super) const EVENTS_MAX: usize = 1_024;
