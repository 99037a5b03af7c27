//! Waiting with raw `poll(2)`.
//!
//! One `ppoll` (`poll` where that is missing) waits for all sockets. A socket that is idle costs
//! its entry in the list that the kernel looks through at each wait: fit for some hundred sockets.

use core::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::readiness::{Interest, Readiness, Ready, failed};
use super::sys::{self, Errno, PollFd, Timeout, WaitFor, WakeKind, WakeSignal};
use super::{BackendError, Waker};
use crate::id::ResourceId;

/// What the kernel is asked to wait for: the waker first, then the sockets in no order.
pub(super) struct PollSet {
    fds: Vec<PollFd>,
    /// Whose each descriptor is, but for the first.
    ids: Vec<ResourceId>,
    /// Where in `ids` the socket of a slot is. Holds anything for a slot that is not in use.
    places: Vec<usize>,
    signal: Arc<WakeSignal>,
}

impl PollSet {
    pub(super) fn new(wake: WakeKind) -> Result<Self, BackendError> {
        let signal = WakeSignal::new(wake).map_err(|error| failed("eventfd", error))?;
        Ok(Self {
            fds: vec![PollFd::readable(signal.fd())],
            ids: Vec::new(),
            places: Vec::new(),
            signal: Arc::new(signal),
        })
    }

    fn place(&self, id: ResourceId) -> Option<usize> {
        let &place = self.places.get(id.key().slot as usize)?;
        (self.ids.get(place) == Some(&id)).then_some(place)
    }
}

impl Readiness for PollSet {
    fn add(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        let slot = id.key().slot as usize;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, 0);
        }
        self.places[slot] = self.ids.len();
        self.ids.push(id);
        self.fds.push(PollFd::new(fd, interest.into()));
        Ok(())
    }

    fn remove(&mut self, id: ResourceId, _: BorrowedFd<'_>) {
        let Some(place) = self.place(id) else {
            return;
        };
        self.ids.swap_remove(place);
        self.fds.swap_remove(place + 1);
        if let Some(moved) = self.ids.get(place) {
            self.places[moved.key().slot as usize] = place;
        }
    }

    fn change(&mut self, id: ResourceId, _: BorrowedFd<'_>, interest: Interest) {
        if let Some(place) = self.place(id) {
            self.fds[place + 1].set(interest.into());
        }
    }

    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let mut left = match sys::wait(&mut self.fds, timeout) {
            Ok(found) => found,
            Err(error) if error.is_interrupted() => 0,
            Err(error) => return Err(failed("ppoll", error)),
        };
        if left > 0 && self.fds.as_slice()[0].found().anything() {
            self.signal.lower();
            left -= 1;
        }
        let all = self.ids.iter().zip(&self.fds[1..]);
        let found = all.filter(|(_, fd)| fd.found().anything()).take(left);
        ready.extend(found.map(|(&id, fd)| {
            let found = fd.found();
            assert!(!found.invalid(), "{id} was closed by somebody else");
            let ready = Ready {
                readable: found.readable(),
                writable: found.writable(),
                error: found.error(),
                read_ended: false,
            };
            (id, ready)
        }));
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::new(self.signal.clone())
    }
}

impl From<Interest> for WaitFor {
    fn from(interest: Interest) -> Self {
        match interest {
            Interest::Nothing => Self::Nothing,
            Interest::Errors => Self::Errors,
            Interest::Read => Self::Read,
            Interest::Write => Self::Write,
            Interest::ReadAndWrite => Self::ReadAndWrite,
        }
    }
}

impl fmt::Debug for PollSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSet").finish_non_exhaustive()
    }
}
