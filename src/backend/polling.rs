//! Waiting with the `polling` crate, which smol and async-io stand on: epoll on Linux, kqueue on
//! BSD and macOS.
//!
//! The kernel keeps the list of sockets, so one that is idle costs nothing, and tells of a socket
//! as long as it is ready.
#![expect(unsafe_code, reason = "registration leaves it to us to end it in time")]

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use ::polling::{Event, Events, PollMode, Poller};

use super::readiness::{EVENTS_MAX, Interest, Readiness, Ready, Watched, errno, failed};
use super::sys::{Errno, Timeout};
use super::{BackendError, Wake, Waker};
use crate::id::ResourceId;

/// Sockets that wait in a poller's queue.
pub(super) struct PollingSet {
    poller: Arc<Poller>,
    events: Events,
    watched: Watched,
}

impl PollingSet {
    pub(super) fn new() -> Result<Self, BackendError> {
        let poller = Poller::new().map_err(|error| failed("epoll_create", errno(&error)))?;
        Ok(Self {
            poller: Arc::new(poller),
            events: Events::with_capacity(NonZeroUsize::new(EVENTS_MAX).expect("more than none")),
            watched: Watched::default(),
        })
    }
}

impl PollingSet {
    fn register(&self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        if interest == Interest::Nothing {
            return Ok(());
        }
        let wanted = wanted(id, interest);
        // SAFETY: `fd` is open, and `remove` is called for it before it is closed: the port closes
        // a descriptor nowhere else, and when both are dropped, nobody waits any more.
        unsafe { self.poller.add_with_mode(&fd, wanted, PollMode::Level) }
    }
}

impl Readiness for PollingSet {
    fn add(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        self.watched.add(id, interest);
        self.register(id, fd, interest).map_err(|error| {
            self.watched.remove(id);
            errno(&error)
        })
    }

    fn remove(&mut self, id: ResourceId, fd: BorrowedFd<'_>) {
        let watch = self.watched.remove(id);
        if watch.is_some_and(|watch| watch.interest != Interest::Nothing) {
            let removed = self.poller.delete(fd);
            assert!(removed.is_ok(), "{id} taken out: {removed:?}");
        }
    }

    fn change(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) {
        let before = self.watched.change(id, interest);
        let before = before.unwrap_or(Interest::Nothing);
        let changed = match (before, interest) {
            (Interest::Nothing, interest) => self.register(id, fd, interest),
            // Hanging up is told of whether it is asked for or not, so that one has to go.
            (_, Interest::Nothing) => self.poller.delete(fd),
            (_, interest) => {
                let wanted = wanted(id, interest);
                self.poller.modify_with_mode(fd, wanted, PollMode::Level)
            }
        };
        // The kernel has an entry for it, or has just had one and taken its memory back.
        assert!(changed.is_ok(), "{id} registered anew: {changed:?}");
    }

    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let timeout = match timeout {
            Timeout::Forever => None,
            Timeout::After(duration) => Some(duration.min(TIMEOUT_MAX)),
        };
        self.events.clear();
        match self.poller.wait(&mut self.events, timeout) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(failed("epoll_wait", errno(&error))),
        }
        ready.extend(self.events.iter().filter_map(|event| {
            let watch = self.watched.get(event.key)?;
            let ready = Ready {
                readable: event.readable,
                writable: event.writable,
                error: event.is_err().unwrap_or(false),
                read_ended: false,
            };
            Some((watch.id, ready))
        }));
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::new(self.poller.clone())
    }
}

impl Wake for Poller {
    fn wake(&self) {
        // Full means notified, which is all that is wanted; nothing else can be wrong with it.
        drop(self.notify());
    }
}

impl fmt::Debug for PollingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollingSet").finish_non_exhaustive()
    }
}

fn wanted(id: ResourceId, interest: Interest) -> Event {
    let name = Watched::name(id);
    match interest {
        // Errors are told of whether they are asked for or not.
        Interest::Nothing | Interest::Errors => Event::none(name),
        Interest::Read => Event::readable(name),
        Interest::Write => Event::writable(name),
        Interest::ReadAndWrite => Event::all(name),
    }
}

/// A wait so long that its end is never seen, and that every kernel takes.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600 * 24);
