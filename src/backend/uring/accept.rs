//! Connections that come by themselves: an operation for each listener that goes on, and takes in
//! whoever comes, as long as not too many wait here.
#![expect(unsafe_code, reason = "descriptors that the kernel has made")]

use std::collections::VecDeque;
use std::os::fd::{FromRawFd, OwnedFd};

use super::UringSet;
use super::name::{Kind, Name};
use super::ring::Completion;
use super::watch::watch;
use crate::backend::BackendError;
use crate::backend::readiness::{Accepted, Ready};
use crate::backend::sys::{self, Errno};
use crate::id::{ListenerId, ResourceId};

/// How a listener takes connections in.
pub(super) struct Accepting {
    /// The number of the operation, if one is under way.
    operation: Option<u32>,
    /// Those that were taken in, oldest first.
    waiting: VecDeque<OwnedFd>,
    /// Why no more could be taken in.
    failed: Option<Errno>,
}

impl Accepting {
    /// Set for a listener.
    pub(super) const fn of(id: ResourceId) -> Option<Self> {
        if !matches!(id, ResourceId::Listener(_)) {
            return None;
        }
        Some(Self {
            operation: None,
            waiting: VecDeque::new(),
            failed: None,
        })
    }

    /// Notes what came of the operation.
    fn note(&mut self, completion: Completion) {
        if !completion.is_more() {
            self.operation = None;
        }
        match completion.error() {
            None => self.waiting.extend(descriptor(completion)),
            Some(Errno(libc::ECANCELED | libc::EINTR | libc::EAGAIN)) => {}
            Some(error) => self.failed = Some(error),
        }
    }
}

impl UringSet {
    /// Begins to take connections in, if that is wanted, unless it is under way, or some wait.
    pub(super) fn begin_accepting(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let number = self.next_number();
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        let Some(accepting) = &mut watch.accepting else {
            return Ok(());
        };
        let is_idle = accepting.operation.is_none() && accepting.waiting.is_empty();
        if watch.interest.reads() && is_idle && accepting.failed.is_none() {
            accepting.operation = Some(number);
            let name = Name::of(Kind::Accept, id, number);
            return self.ring.accept(watch.fd, name);
        }
        Ok(())
    }

    /// Notes what came of taking connections in.
    pub(super) fn accepted(
        &mut self,
        name: Name,
        completion: Completion,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let slot = self.watches.get_mut(name.slot as usize);
        let watched = slot.and_then(Option::as_mut).filter(|watch| {
            let accepting = watch.accepting.as_ref();
            accepting.is_some_and(|open| open.operation == Some(name.number))
        });
        let Some(watch) = watched else {
            refuse(completion);
            return Ok(());
        };
        let Some(accepting) = &mut watch.accepting else {
            return Ok(());
        };
        accepting.note(completion);
        let is_known = accepting.failed.is_none_or(|error| error.0 != libc::EINVAL);
        let too_many = accepting.waiting.len() >= WAITING_MAX && accepting.operation.is_some();
        if accepting.operation.is_none() {
            self.ended.push(watch.id);
        }
        if is_known {
            watch.tell(Ready::READABLE, self.turn, ready);
        } else {
            // This kernel does not take in by itself: the listener is waited for.
            watch.accepting = None;
            self.renewed.push(watch.id);
        }
        if too_many {
            self.ring.cancel(name)?;
        }
        Ok(())
    }

    /// Ends the taking in. Those that were taken in stay until they are taken.
    pub(super) fn pause_accepting(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let watched = watch(&mut self.watches, id);
        let accepting = watched.and_then(|watch| watch.accepting.as_ref());
        let Some(number) = accepting.and_then(|accepting| accepting.operation) else {
            return Ok(());
        };
        self.end_operation(Name::of(Kind::Accept, id, number))?;
        let watched = watch(&mut self.watches, id);
        if let Some(accepting) = watched.and_then(|watch| watch.accepting.as_mut()) {
            self.met.drain(..).for_each(|met| accepting.note(met));
        }
        Ok(())
    }

    /// Takes connections in again after a pause. Those that came before it are told of.
    pub(super) fn resume_accepting(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let watched = watch(&mut self.watches, id);
        let accepting = watched.and_then(|watch| watch.accepting.as_ref());
        if accepting.is_some_and(|accepting| !accepting.waiting.is_empty()) {
            self.again.push(id);
        }
        self.begin_accepting(id)
    }

    /// Ends the taking in of a listener that is about to be closed. Whoever waits is refused, as
    /// the kernel does it with those that it has not handed over.
    pub(super) fn end_accepting(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.pause_accepting(id)?;
        let watched = watch(&mut self.watches, id);
        if let Some(accepting) = watched.and_then(|watch| watch.accepting.take()) {
            accepting.waiting.into_iter().for_each(sys::abort);
        }
        Ok(())
    }

    pub(super) fn take_one_accepted(&mut self, id: ListenerId) -> Accepted {
        let Some(watch) = watch(&mut self.watches, id.into()) else {
            return Accepted::Nothing;
        };
        let Some(accepting) = &mut watch.accepting else {
            return Accepted::Ask;
        };
        if let Some(connection) = accepting.waiting.pop_front() {
            return Accepted::Connection(connection);
        }
        if accepting.operation.is_none() {
            self.ended.push(id.into());
        }
        match accepting.failed.take() {
            Some(error) => Accepted::Failed(error),
            None => Accepted::Nothing,
        }
    }
}

/// Breaks off the connection that a completion brings, if it brings one.
pub(super) fn refuse(completion: Completion) {
    let name = Name::decode(completion.name);
    if name.is_some_and(|name| name.kind == Kind::Accept) {
        descriptor(completion).into_iter().for_each(sys::abort);
    }
}

/// The connection that was taken in.
fn descriptor(completion: Completion) -> Option<OwnedFd> {
    if completion.result < 0 {
        return None;
    }
    // SAFETY: the kernel has made this descriptor for us, and nobody else knows of it: each
    // completion is taken out once, and comes here at most once.
    Some(unsafe { OwnedFd::from_raw_fd(completion.result) })
}

/// Connections that may wait here. The others wait in the kernel.
const WAITING_MAX: usize = 64;
