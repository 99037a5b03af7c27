//! Waiting with mio: epoll on Linux, kqueue on BSD and macOS.
//!
//! The kernel keeps the list of sockets, so one that is idle costs nothing. It tells of a socket
//! when it becomes ready and not again; one of which a bounded batch left something is registered
//! anew, which makes the kernel look once more.
//!
//! mio waits in whole milliseconds, so a wait with an end goes to `ppoll` on mio's own descriptor,
//! and mio is asked what there is afterwards.

use core::fmt;
use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use ::mio::unix::SourceFd;
use ::mio::{Events, Interest as Wanted, Poll, Token, Waker as Doorbell};

use super::readiness::{EVENTS_MAX, Interest, Readiness, Ready, Watched, errno, failed};
use super::sys::{self, Errno, PollFd, Timeout};
use super::{BackendError, Wake, Waker};
use crate::id::ResourceId;

/// Sockets that wait in mio's queue.
pub(super) struct MioSet {
    poll: Poll,
    events: Events,
    watched: Watched,
    doorbell: Arc<Doorbell>,
}

impl MioSet {
    pub(super) fn new() -> Result<Self, BackendError> {
        let poll = Poll::new().map_err(|error| failed("epoll_create", errno(&error)))?;
        let doorbell = Doorbell::new(poll.registry(), DOORBELL);
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            watched: Watched::default(),
            doorbell: Arc::new(doorbell.map_err(|error| failed("eventfd", errno(&error)))?),
        })
    }

    fn ask(&mut self, timeout: Option<Duration>) -> Result<(), BackendError> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            Err(error) => Err(failed("epoll_wait", errno(&error))),
        }
    }
}

impl Readiness for MioSet {
    fn add(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        let token = Token(self.watched.add(id, interest));
        let Some(wanted) = wanted(interest) else {
            return Ok(());
        };
        let registry = self.poll.registry();
        let added = registry.register(&mut SourceFd(&fd.as_raw_fd()), token, wanted);
        added.map_err(|error| {
            self.watched.remove(id);
            errno(&error)
        })
    }

    fn remove(&mut self, id: ResourceId, fd: BorrowedFd<'_>) {
        let watch = self.watched.remove(id);
        if watch.is_some_and(|watch| watch.interest != Interest::Nothing) {
            let registry = self.poll.registry();
            // It goes with the descriptor in any case.
            drop(registry.deregister(&mut SourceFd(&fd.as_raw_fd())));
        }
    }

    fn change(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) {
        let token = Token(Watched::name(id));
        let before = self.watched.change(id, interest).and_then(wanted);
        let (registry, fd) = (self.poll.registry(), fd.as_raw_fd());
        let source = &mut SourceFd(&fd);
        let changed = match (before, wanted(interest)) {
            (Some(_), Some(wanted)) => registry.reregister(source, token, wanted),
            (None, Some(wanted)) => registry.register(source, token, wanted),
            (Some(_), None) => registry.deregister(source),
            (None, None) => Ok(()),
        };
        // The kernel has an entry for it, or has just had one and taken its memory back.
        assert!(changed.is_ok(), "{id} registered anew: {changed:?}");
    }

    fn again(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) {
        self.change(id, fd, interest);
    }

    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        match timeout {
            Timeout::Forever => self.ask(None)?,
            Timeout::After(Duration::ZERO) => self.ask(Some(Duration::ZERO))?,
            Timeout::After(_) => {
                let mut queue = [PollFd::readable(self.poll.registry().as_fd())];
                match sys::wait(&mut queue, timeout) {
                    Ok(_) => {}
                    Err(error) if error.is_interrupted() => {}
                    Err(error) => return Err(failed("ppoll", error)),
                }
                self.ask(Some(Duration::ZERO))?;
            }
        }
        ready.extend(self.events.iter().filter_map(|event| {
            let watch = self.watched.get(event.token().0)?;
            let ready = Ready {
                readable: event.is_readable(),
                writable: event.is_writable(),
                error: event.is_error(),
                read_ended: event.is_read_closed(),
            };
            Some((watch.id, ready))
        }));
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::new(self.doorbell.clone())
    }
}

impl Wake for Doorbell {
    fn wake(&self) {
        // Full means rung, which is all that is wanted; nothing else can be wrong with it.
        drop(Self::wake(self));
    }
}

impl fmt::Debug for MioSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MioSet").finish_non_exhaustive()
    }
}

const fn wanted(interest: Interest) -> Option<Wanted> {
    match interest {
        Interest::Nothing => None,
        // mio asks for something always. Errors come with whatever it is; urgent data does not.
        Interest::Errors => Some(ERRORS),
        Interest::Read => Some(Wanted::READABLE),
        Interest::Write => Some(Wanted::WRITABLE),
        Interest::ReadAndWrite => Some(Wanted::READABLE.add(Wanted::WRITABLE)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const ERRORS: Wanted = Wanted::PRIORITY;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ERRORS: Wanted = Wanted::READABLE;

/// The waker's name in the queue. No socket has it: there are fewer than 2^32.
const DOORBELL: Token = Token(usize::MAX);
