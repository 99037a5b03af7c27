//! Waits for descriptors.
#![expect(unsafe_code, reason = "poll and ppoll")]

use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Errno, checked_int};

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    Forever,
    /// At least so long, unless something happens.
    After(Duration),
}

/// A descriptor to wait for, and what was found. The same as the C structure.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct PollFd(libc::pollfd);

/// What a descriptor is waited for. Errors are told of unless it is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Nothing,
    Errors,
    Read,
    Write,
    ReadAndWrite,
}

impl PollFd {
    /// Waits until `fd` is what is wanted, or has an error. `fd` may be closed meanwhile, as long
    /// as the entry is taken away before the next wait.
    pub(crate) fn new(fd: BorrowedFd<'_>, wait_for: WaitFor) -> Self {
        let mut new = Self(libc::pollfd {
            fd: fd.as_raw_fd(),
            events: 0,
            revents: 0,
        });
        new.set(wait_for);
        new
    }

    /// Waits until `fd` can be read, or has an error.
    pub(crate) fn readable(fd: BorrowedFd<'_>) -> Self {
        Self::new(fd, WaitFor::Read)
    }

    /// Waits for this from now on.
    pub(crate) const fn set(&mut self, wait_for: WaitFor) {
        // The system passes over an entry with a negative number, errors included.
        let fd = if self.0.fd < 0 { !self.0.fd } else { self.0.fd };
        self.0.fd = if matches!(wait_for, WaitFor::Nothing) {
            !fd
        } else {
            fd
        };
        self.0.events = match wait_for {
            WaitFor::Nothing | WaitFor::Errors => 0,
            WaitFor::Read => libc::POLLIN,
            WaitFor::Write => libc::POLLOUT,
            WaitFor::ReadAndWrite => libc::POLLIN | libc::POLLOUT,
        };
    }

    pub(crate) const fn found(&self) -> Found {
        Found(self.0.revents)
    }
}

/// What a wait found about one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found(libc::c_short);

impl Found {
    pub(crate) const fn anything(self) -> bool {
        self.0 != 0
    }

    pub(crate) const fn readable(self) -> bool {
        self.0 & libc::POLLIN != 0
    }

    pub(crate) const fn writable(self) -> bool {
        self.0 & libc::POLLOUT != 0
    }

    pub(crate) const fn error(self) -> bool {
        self.0 & (libc::POLLERR | libc::POLLHUP) != 0
    }

    /// Somebody else has closed it.
    pub(crate) const fn invalid(self) -> bool {
        self.0 & libc::POLLNVAL != 0
    }
}

/// Waits until something is found about one of `fds`, never less than `timeout` otherwise, and
/// says about how many something was found.
#[cfg(target_os = "linux")]
pub(crate) fn wait(fds: &mut [PollFd], timeout: Timeout) -> Result<usize, Errno> {
    let timespec = match timeout {
        Timeout::Forever => None,
        Timeout::After(duration) => Some(libc::timespec {
            tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
        }),
    };
    let timeout = timespec
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: `fds` are `count` structures laid out as `pollfd` (`PollFd` is transparent), which we
    // hold exclusively; `timeout` is null or points at `timespec`, which lives during the call; a
    // null signal mask is allowed.
    let found = unsafe { libc::ppoll(fds.as_mut_ptr().cast(), count, timeout, core::ptr::null()) };
    checked(found)
}

/// The same in whole milliseconds, rounded up: waking early would spin, since the deadline would
/// not have passed yet.
#[cfg(any(test, not(target_os = "linux")))]
pub(crate) fn wait_millis(fds: &mut [PollFd], timeout: Timeout) -> Result<usize, Errno> {
    let millis = match timeout {
        Timeout::Forever => -1,
        Timeout::After(duration) => {
            i32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        }
    };
    let count = fds.len() as libc::nfds_t;
    // SAFETY: `fds` are `count` structures laid out as `pollfd` (`PollFd` is transparent), which we
    // hold exclusively.
    let found = unsafe { libc::poll(fds.as_mut_ptr().cast(), count, millis) };
    checked(found)
}

#[cfg(not(target_os = "linux"))]
pub(crate) use wait_millis as wait;

fn checked(found: libc::c_int) -> Result<usize, Errno> {
    checked_int(found).map(|found| usize::try_from(found).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SystemClock;
    use crate::time::Clock;

    #[test]
    fn a_wait_in_milliseconds_is_rounded_up() {
        let clock = SystemClock::new();
        for micros in [0, 1, 999, 1_001, 2_500] {
            let before = clock.now();
            let wait = Duration::from_micros(micros);
            assert_eq!(wait_millis(&mut [], Timeout::After(wait)), Ok(0));
            assert!(clock.now() >= before.after(wait));
        }
    }
}
