//! Waits until descriptors are ready: an operation for each that goes on, and tells whenever it
//! becomes so.

use super::name::{Kind, Name};
use super::ring::Completion;
use super::watch::{INVALID, watch};
use super::{Settling, UringSet};
use crate::backend::BackendError;
use crate::backend::readiness::{Interest, Ready};
use crate::id::ResourceId;

impl UringSet {
    /// Begins all that is wanted of a descriptor.
    pub(super) fn begin_all(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.begin(id)?;
        self.begin_receiving(id)?;
        self.begin_accepting(id)
    }

    /// Begins to wait for a descriptor, unless nothing is wanted of it.
    pub(super) fn begin(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let number = self.next_number();
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        if let Some(events) = watch.events()
            && watch.operation.is_none()
        {
            watch.operation = Some(number);
            if !watch.interest.reads() {
                self.settling = Settling::Yes;
            }
            let name = Name::of(Kind::Poll, id, number);
            self.ring.poll(watch.fd, events, name)?;
        }
        Ok(())
    }

    /// Has the waiting for a descriptor end, and gives the name of what is to end.
    pub(super) fn end(&mut self, id: ResourceId) -> Result<Option<Name>, BackendError> {
        let watched = watch(&mut self.watches, id);
        let Some(number) = watched.and_then(|watch| watch.operation.take()) else {
            return Ok(None);
        };
        self.settling = Settling::Yes; // It tells of its end.
        let name = Name::of(Kind::Poll, id, number);
        self.ring.cancel(name)?;
        Ok(Some(name))
    }

    pub(super) fn try_remove(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.end_receiving(id)?;
        self.end_accepting(id)?;
        if let Some(name) = self.end(id)? {
            self.wait_for_end(name)?;
        }
        if let Some(slot) = self.watches.get_mut(id.key().slot as usize) {
            slot.take_if(|watch| watch.id == id);
        }
        Ok(())
    }

    pub(super) fn try_change(
        &mut self,
        id: ResourceId,
        interest: Interest,
    ) -> Result<(), BackendError> {
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        let before = watch.events();
        watch.interest = interest;
        if watch.events() != before {
            self.end(id)?;
            self.begin(id)?;
        }
        if interest.reads() {
            self.resume_receiving(id)?;
            self.resume_accepting(id)
        } else {
            self.pause_receiving(id)?;
            self.pause_accepting(id)
        }
    }

    /// Tells of those that may be ready still. Whether there are any.
    pub(super) fn tell_again(&mut self, ready: &mut Vec<(ResourceId, Ready)>) -> bool {
        for id in self.again.drain(..) {
            let Some(watch) = watch(&mut self.watches, id) else {
                continue;
            };
            if watch.interest != Interest::Nothing {
                let found = Ready {
                    readable: watch.interest.reads(),
                    writable: watch.interest.writes(),
                    ..watch.last
                };
                watch.tell(found, self.turn, ready);
            }
        }
        !ready.is_empty()
    }

    pub(super) fn polled(
        &mut self,
        name: Name,
        completion: Completion,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) {
        let slot = self.watches.get_mut(name.slot as usize);
        let Some(watch) = slot.and_then(Option::as_mut) else {
            return;
        };
        if watch.operation != Some(name.number) {
            return; // It was ended meanwhile.
        }
        if !completion.is_more() {
            watch.operation = None;
            self.ended.push(watch.id);
        }
        let found = completion.result.cast_unsigned();
        assert!(
            completion
                .error()
                .is_none_or(|error| error.0 != libc::EBADF)
                && (completion.result < 0 || found & INVALID == 0),
            "{} was closed by somebody else",
            watch.id
        );
        if completion.result > 0 {
            let found = watch.interest.found(found);
            if found.is_anything() {
                watch.tell(found, self.turn, ready);
            }
        }
    }
}
