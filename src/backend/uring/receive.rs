//! Datagrams that come by themselves: an operation for each socket that goes on, and puts each
//! datagram into the next buffer that the kernel has.
//!
//! Where the buffers have run out, the operation ends. What was received is handed over then, as
//! always in batches, and the rest is asked of the socket, as the other backends do it; so a socket
//! that is flooded cannot have all the memory for itself. Once it has nothing more, the operation
//! begins again.
#![expect(unsafe_code, reason = "entries of the ring that point at memory")]

use core::mem::ManuallyDrop;
use std::os::fd::RawFd;

use ::io_uring::opcode::RecvMsgMulti;
use ::io_uring::types::Fd;

use super::buffers::{Buffers, Inbox};
use super::name::{Kind, Name};
use super::ring::{Completion, GROUP, Ring};
use super::{UringSet, watch};
use crate::backend::BackendError;
use crate::backend::readiness::{Ready, Taken};
use crate::backend::sys::{Errno, MessageTemplate};
use crate::datagram::segment_count;
use crate::id::{ResourceId, SocketId};

/// How a socket's datagrams are received.
pub(super) struct Receiving {
    /// The number of the operation, if one is under way.
    pub(super) operation: Option<u32>,
    inbox: Inbox,
    asking: Asking,
    /// Errors since the last datagram.
    errors: u32,
}

/// Whether the socket is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Yes,
    No,
    /// It has an error that comes again and again.
    Failed(Errno),
}

impl Receiving {
    pub(super) fn new() -> Self {
        Self {
            operation: None,
            inbox: Inbox::default(),
            asking: Asking::No,
            errors: 0,
        }
    }
}

impl UringSet {
    /// Whether the kernel receives datagrams by itself.
    pub(super) fn receives(&mut self, id: ResourceId) -> bool {
        if !matches!(id, ResourceId::Socket(_)) || self.buffers_max == 0 {
            return false;
        }
        if self.buffers.is_none() {
            // SAFETY: `drop` ends all operations of the ring before the buffers are dropped.
            match unsafe { Buffers::new(&self.ring, self.buffers_max, &self.pool) } {
                Ok(buffers) => self.buffers = Some(ManuallyDrop::new(buffers)),
                Err(_) => self.buffers_max = 0, // This kernel does not know how to.
            }
        }
        self.buffers.is_some()
    }

    /// Begins to receive, unless that is under way, or the socket is to be asked first.
    pub(super) fn begin_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let number = self.next_number();
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        let (Some(receiving), Some(buffers)) = (&mut watch.receiving, &self.buffers) else {
            return Ok(());
        };
        if receiving.operation.is_some() || receiving.asking != Asking::No {
            return Ok(());
        }
        receiving.operation = Some(number);
        let name = receive_name(id, number);
        // SAFETY: `drop` ends all operations of the ring before the template is dropped.
        unsafe { self.ring.receive(watch.fd, buffers.template(), name) }
    }

    /// Notes what came of receiving.
    pub(super) fn received(
        &mut self,
        name: Name,
        completion: Completion,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) {
        let slot = self.watches.get_mut(name.slot as usize);
        let watch = slot.and_then(Option::as_mut);
        let receiving = watch.and_then(|watch| {
            let id = watch.id;
            let receiving = watch.receiving.as_mut();
            let receiving = receiving.filter(|open| open.operation == Some(name.number))?;
            Some((id, receiving))
        });
        let Some((id, receiving)) = receiving else {
            return self.discard(completion);
        };
        if !completion.is_more() {
            receiving.operation = None;
            self.ended.push(id);
        }
        let mut found = Ready {
            readable: true,
            ..Ready::NOTHING
        };
        match (completion.error(), completion.buffer()) {
            (None, Some(number)) => {
                receiving.errors = 0;
                if let Some(buffers) = &mut self.buffers {
                    let len = usize::try_from(completion.result).unwrap_or(0);
                    buffers.received(&mut receiving.inbox, number, len);
                }
            }
            (None, None) => found.readable = false,
            (Some(Errno(libc::ENOBUFS)), _) => receiving.asking = Asking::Yes,
            (Some(Errno(libc::EINVAL)), _) if receiving.errors == 0 => {
                self.receive_otherwise();
                return;
            }
            // That is about a datagram we sent; its peer is in the error queue, and told from
            // there. One that comes again and again is told itself.
            (Some(error), _) => {
                receiving.errors += 1;
                if receiving.errors < ERRORS_MAX {
                    found.readable = false;
                } else {
                    (receiving.errors, receiving.asking) = (1, Asking::Failed(error));
                }
            }
        }
        let (turn, slot) = (self.turn, name.slot as usize);
        if found.readable
            && let Some(watch) = self.watches.get_mut(slot).and_then(Option::as_mut)
        {
            watch.tell(found, turn, ready);
        }
    }

    /// This kernel does not receive by itself: sockets are waited for, as other descriptors are.
    fn receive_otherwise(&mut self) {
        self.buffers_max = 0;
        for id in self.watches.iter_mut().flatten().filter_map(|watch| {
            watch.receiving.take()?;
            Some(watch.id)
        }) {
            self.renewed.push(id);
        }
    }

    /// A completion that nobody waits for any more. Its buffer goes back.
    pub(super) fn discard(&mut self, completion: Completion) {
        if let Some(number) = completion.buffer()
            && let Some(buffers) = &mut self.buffers
        {
            let mut inbox = Inbox::default();
            let len = usize::try_from(completion.result).unwrap_or(0);
            buffers.received(&mut inbox, number, len);
            self.undelivered += count(buffers, &mut inbox);
        }
    }

    /// Ends the receiving of a socket that is about to be closed. What it has received is for
    /// nobody.
    pub(super) fn end_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let watched = watch(&mut self.watches, id);
        let Some(receiving) = watched.and_then(|watch| watch.receiving.as_mut()) else {
            return Ok(());
        };
        let mut inbox = core::mem::take(&mut receiving.inbox);
        if let Some(buffers) = &mut self.buffers {
            self.undelivered += count(buffers, &mut inbox);
        }
        if let Some(number) = receiving.operation.take() {
            let name = receive_name(id, number);
            let kind = Kind::Cancel;
            self.ring.cancel(name, Name { kind, ..name })?;
            let mut met = core::mem::take(&mut self.met);
            let finished = self.ring.finish(name.encode(), &mut met);
            met.drain(..)
                .for_each(|completion| self.discard(completion));
            self.met = met;
            finished?;
        }
        Ok(())
    }

    pub(super) fn take_one(&mut self, id: SocketId) -> Taken {
        let watched = watch(&mut self.watches, id.into());
        let Some(watch) = watched else {
            return Taken::Nothing;
        };
        let (Some(receiving), Some(buffers)) = (&mut watch.receiving, &mut self.buffers) else {
            return Taken::Ask;
        };
        while !receiving.inbox.is_empty() {
            match buffers.pop(&mut receiving.inbox) {
                Some((received, payload)) => return Taken::Message(received, payload),
                None => self.undelivered += 1,
            }
        }
        match receiving.asking {
            Asking::No => Taken::Nothing,
            Asking::Yes => Taken::Ask,
            Asking::Failed(error) => {
                receiving.asking = Asking::No;
                Taken::Failed(error)
            }
        }
    }

    /// A socket that was asked has nothing more: from now on it is received by itself again.
    pub(super) fn receive_again(&mut self, id: ResourceId) {
        let watched = watch(&mut self.watches, id);
        if let Some(receiving) = watched.and_then(|watch| watch.receiving.as_mut()) {
            receiving.asking = Asking::No;
            self.ended.push(id);
        }
    }
}

impl Ring {
    /// Receives datagrams from now on, each into a buffer of the group.
    ///
    /// # Safety
    ///
    /// The template stays where it is until the operation has ended.
    unsafe fn receive(
        &mut self,
        fd: RawFd,
        template: &MessageTemplate,
        name: Name,
    ) -> Result<(), BackendError> {
        let entry = RecvMsgMulti::new(Fd(fd), template.as_ptr(), GROUP);
        let entry = entry.build().user_data(name.encode());
        // SAFETY: it points at the template, which stays: the caller's promise. The buffers of the
        // group are the kernel's until it gives them back one by one.
        unsafe { self.push(&entry) }
    }
}

/// Throws away what is in an inbox, and says how many datagrams that were.
fn count(buffers: &mut Buffers, inbox: &mut Inbox) -> u64 {
    let mut datagrams = 0;
    while !inbox.is_empty() {
        datagrams += match buffers.pop(inbox) {
            Some((received, _)) => segment_count(received.len, received.info.segment_size) as u64,
            None => 1,
        };
    }
    datagrams
}

const fn receive_name(id: ResourceId, number: u32) -> Name {
    Name {
        kind: Kind::Receive,
        slot: id.key().slot,
        number,
    }
}

/// Errors without a datagram in between after which one is told.
const ERRORS_MAX: u32 = 64;
