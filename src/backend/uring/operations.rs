//! The operations that point at no memory: waiting for a descriptor, taking connections in,
//! receiving into shared buffers, and ending another operation.
#![expect(unsafe_code, reason = "entries of the ring")]

use std::os::fd::RawFd;

use ::io_uring::squeue::Flags;
use ::io_uring::types::{CancelBuilder, Fd};
use ::io_uring::{opcode, squeue};

use super::name::{Kind, Name};
use super::ring::{GROUP, Ring};
use crate::backend::BackendError;

impl Ring {
    /// Tells from now on whenever `fd` becomes one of `events`, and at first if it is.
    pub(super) fn poll(&mut self, fd: RawFd, events: u32, name: Name) -> Result<(), BackendError> {
        let entry = opcode::PollAdd::new(Fd(fd), events).multi(true);
        self.push_plain(&entry.build().user_data(name.encode()))
    }

    /// Takes in whoever connects from now on.
    pub(super) fn accept(&mut self, fd: RawFd, name: Name) -> Result<(), BackendError> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let entry = opcode::AcceptMulti::new(Fd(fd)).flags(flags);
        self.push_plain(&entry.build().user_data(name.encode()))
    }

    /// Receives bytes from now on, into buffers of the group, which the kernel gives back one by one.
    pub(super) fn receive_bytes(&mut self, fd: RawFd, name: Name) -> Result<(), BackendError> {
        let entry = opcode::RecvMulti::new(Fd(fd), GROUP);
        self.push_plain(&entry.build().user_data(name.encode()))
    }

    /// Reads packets from now on, each into a buffer of the group, as above.
    pub(super) fn receive_packets(&mut self, fd: RawFd, name: Name) -> Result<(), BackendError> {
        let entry = opcode::ReadMulti::new(Fd(fd), 0, GROUP);
        self.push_plain(&entry.build().user_data(name.encode()))
    }

    /// Ends the operation of this name, which says itself when it has ended.
    pub(super) fn cancel(&mut self, name: Name) -> Result<(), BackendError> {
        let kind = Kind::Cancel;
        let own = Name { kind, ..name };
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(name.encode()));
        let entry = entry.build().flags(Flags::SKIP_SUCCESS);
        self.push_plain(&entry.user_data(own.encode()))
    }

    /// Ends all operations.
    pub(super) fn cancel_all(&mut self) -> Result<(), BackendError> {
        let own = Name {
            kind: Kind::Cancel,
            slot: 0,
            number: 0,
        };
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any());
        let entry = entry.build().flags(Flags::SKIP_SUCCESS);
        self.push_plain(&entry.user_data(own.encode()))
    }

    fn push_plain(&mut self, entry: &squeue::Entry) -> Result<(), BackendError> {
        // SAFETY: it points at no memory: it is one of those above. The buffers of the group are the
        // kernel's already, which is the affair of whoever has given them.
        unsafe { self.push(entry) }
    }
}
