//! A descriptor that other threads make readable, to end a wait.
//!
//! An eventfd on Linux, a pipe elsewhere. A flag spares the system call when a wake is on its way
//! already. The flag is lowered after the descriptor is emptied, never before: the other way
//! round, a wake between the two would raise the flag, lose its byte, and keep all later wakes
//! from being written.
#![expect(unsafe_code, reason = "eventfd, pipe, read, write")]

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, checked, checked_int};
use crate::backend::Wake;

/// What the descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WakeKind {
    #[cfg(target_os = "linux")]
    Event,
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "chosen by tests"))]
    Pipe,
}

impl WakeKind {
    #[cfg(target_os = "linux")]
    pub(crate) const BEST: Self = Self::Event;

    #[cfg(not(target_os = "linux"))]
    pub(crate) const BEST: Self = Self::Pipe;
}

/// Shared by the backend and all its wakers; closed with the last of them.
#[derive(Debug)]
pub(crate) struct WakeSignal {
    raised: AtomicBool,
    read: OwnedFd,
    /// `None` if the same descriptor is written.
    write: Option<OwnedFd>,
}

impl WakeSignal {
    pub(crate) fn new(kind: WakeKind) -> Result<Self, Errno> {
        let (read, write) = match kind {
            #[cfg(target_os = "linux")]
            WakeKind::Event => (event()?, None),
            WakeKind::Pipe => {
                let (read, write) = pipe()?;
                (read, Some(write))
            }
        };
        Ok(Self {
            raised: AtomicBool::new(false),
            read,
            write,
        })
    }

    /// Readable once woken.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Makes it unreadable. Whatever a thread did before it woke us is visible after this.
    pub(crate) fn lower(&self) {
        let mut bytes = [0; 8];
        // Nothing else can be wrong with it than that it is empty. A pipe holds one wake at most:
        // the flag lets nobody write another before this has read it.
        let _: Result<usize, Errno> = read(self.fd(), &mut bytes);
        self.raised.swap(false, Ordering::AcqRel);
    }
}

impl Wake for WakeSignal {
    fn wake(&self) {
        if self.raised.swap(true, Ordering::AcqRel) {
            return; // A wake is on its way, and its receiver will see what we did before.
        }
        let fd = self.write.as_ref().unwrap_or(&self.read).as_fd();
        // Full means readable, which is all that is wanted.
        while write(fd, &1u64.to_ne_bytes()).is_err_and(Errno::is_interrupted) {}
    }
}

#[cfg(target_os = "linux")]
fn event() -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers are passed.
    let fd = checked_int(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0; 2];
    // SAFETY: `fds` is room for two descriptors.
    checked_int(unsafe { libc::pipe(fds.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the first is open, and nobody else knows of it.
    let read = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: as above, for the second.
    let write = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    super::socket::never_block(read.as_fd())?;
    super::socket::never_block(write.as_fd())?;
    Ok((read, write))
}

fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `bytes` is room for so many bytes, which we hold exclusively.
    checked(unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) })
}

fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: `bytes` are so many bytes, borrowed during the call.
    checked(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}
