//! What comes by itself: an operation for each socket and stream that goes on, and puts each
//! datagram, or what there is of bytes, into the next buffer that the kernel has.
//!
//! Where the buffers have run out, the operation ends. What was received is handed over then, as
//! always in batches, and the rest is asked of the socket, as the other backends do it; so one that
//! is flooded cannot have all the memory for itself. Once it has nothing more, the operation begins
//! again.
#![expect(unsafe_code, reason = "entries of the ring that point at memory")]

use core::mem::ManuallyDrop;
use std::os::fd::RawFd;

use ::io_uring::opcode::RecvMsgMulti;
use ::io_uring::types::Fd;

use super::IoUringReceive;
use super::UringSet;
use super::buffers::{Buffers, Inbox};
use super::name::{Kind, Name};
use super::ring::{Completion, GROUP, Ring};
use super::watch::watch;
use crate::backend::BackendError;
use crate::backend::readiness::{Ready, Taken, TakenBytes};
use crate::backend::sys::{Errno, MessageTemplate};
use crate::datagram::segment_count;
use crate::id::{ResourceId, SocketId};

/// How a socket's datagrams, a stream's bytes or a device's packets are received.
pub(super) struct Receiving {
    what: What,
    /// The number of the operation, if one is under way.
    operation: Option<u32>,
    inbox: Inbox,
    asking: Asking,
    /// Errors since the last datagram.
    errors: u32,
    /// What is behind all that was received.
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Datagrams,
    Bytes,
    /// Each behind its header.
    Packets,
}

/// Whether the socket is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Yes,
    No,
}

/// Nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer has ended its direction.
    Ended,
    Failed(Errno),
}

/// What a completion means for whoever is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// There is something to take.
    Something,
    Nothing,
    /// The kernel does not do this.
    Unknown,
}

impl Receiving {
    /// Set for what the kernel receives by itself.
    pub(super) const fn of(id: ResourceId) -> Option<Self> {
        let what = match id {
            ResourceId::Socket(_) => What::Datagrams,
            ResourceId::Stream(_) => What::Bytes,
            ResourceId::Device(_) => What::Packets,
            ResourceId::Listener(_) => return None,
        };
        Some(Self {
            what,
            operation: None,
            inbox: Inbox::EMPTY,
            asking: Asking::No,
            errors: 0,
            end: None,
        })
    }

    /// Whether errors come with what is received.
    pub(super) fn tells_errors(&self) -> bool {
        self.what != What::Datagrams
    }

    fn has_something(&self) -> bool {
        !self.inbox.is_empty() || self.asking == Asking::Yes || self.end.is_some()
    }

    /// Notes what came of the operation.
    fn note(&mut self, buffers: &mut Buffers, completion: Completion) -> Means {
        if !completion.is_more() {
            self.operation = None;
        }
        let len = usize::try_from(completion.result).unwrap_or(0);
        if let Some(number) = completion.buffer() {
            // Bytes that are none take no buffer; should one come with them, it goes back unused.
            self.errors = 0;
            buffers.received(&mut self.inbox, number, len);
            return Means::Something;
        }
        let Some(error) = completion.error() else {
            if self.what == What::Bytes {
                self.end = Some(End::Ended);
                return Means::Something;
            }
            return Means::Nothing;
        };
        match (error.0, self.what) {
            (libc::ENOBUFS, _) => self.asking = Asking::Yes,
            (libc::EINVAL, _) if self.errors == 0 && self.inbox.is_empty() => {
                return Means::Unknown;
            }
            (libc::ECANCELED | libc::EINTR | libc::EAGAIN, _) => return Means::Nothing,
            (_, What::Bytes | What::Packets) => self.end = Some(End::Failed(error)),
            // That is about a datagram we sent; its peer is in the error queue, and told from
            // there. One that comes again and again is told itself.
            (_, What::Datagrams) => {
                self.errors += 1;
                if self.errors < ERRORS_MAX {
                    return Means::Nothing;
                }
                (self.errors, self.end) = (1, Some(End::Failed(error)));
            }
        }
        Means::Something
    }
}

impl UringSet {
    /// Whether the kernel is to receive by itself what is for `id`, a socket or a stream.
    pub(super) fn receives(&mut self, id: ResourceId) -> bool {
        let how = match id {
            ResourceId::Socket(_) => IoUringReceive::ByItself,
            ResourceId::Stream(_) => self.config.receive_bytes,
            ResourceId::Device(_) => self.config.receive_packets,
            ResourceId::Listener(_) => IoUringReceive::WhenAsked,
        };
        if self.buffers_max == 0 || how == IoUringReceive::WhenAsked {
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

    /// Begins to receive, if that is wanted, unless it is under way, or the socket is to be asked
    /// first.
    pub(super) fn begin_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let number = self.next_number();
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        let (Some(receiving), Some(buffers)) = (&mut watch.receiving, &self.buffers) else {
            return Ok(());
        };
        let is_idle = receiving.operation.is_none() && receiving.asking == Asking::No;
        if !watch.interest.reads() || !is_idle || receiving.end.is_some() {
            return Ok(());
        }
        receiving.operation = Some(number);
        let name = Name::of(Kind::Receive, id, number);
        match receiving.what {
            What::Datagrams => {
                // SAFETY: `drop` ends all operations of the ring before the template is dropped.
                unsafe {
                    self.ring
                        .receive_datagrams(watch.fd, buffers.template(), name)
                }
            }
            What::Bytes => self.ring.receive_bytes(watch.fd, name),
            What::Packets => self.ring.receive_packets(watch.fd, name),
        }
    }

    /// Notes what came of receiving.
    pub(super) fn received(
        &mut self,
        name: Name,
        completion: Completion,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) {
        let slot = self.watches.get_mut(name.slot as usize);
        let watched = slot.and_then(Option::as_mut).filter(|watch| {
            let receiving = watch.receiving.as_ref();
            receiving.is_some_and(|open| open.operation == Some(name.number))
        });
        let (Some(watch), Some(buffers)) = (watched, &mut self.buffers) else {
            return self.discard(completion);
        };
        let Some(receiving) = &mut watch.receiving else {
            return;
        };
        let means = receiving.note(buffers, completion);
        if receiving.operation.is_none() {
            self.ended.push(watch.id);
        }
        match means {
            Means::Something => watch.tell(Ready::READABLE, self.turn, ready),
            Means::Nothing => {}
            Means::Unknown => self.receive_otherwise(),
        }
    }

    /// This kernel does not receive by itself: descriptors are waited for.
    fn receive_otherwise(&mut self) {
        self.buffers_max = 0;
        for watch in self.watches.iter_mut().flatten() {
            let idle = |receiving: &mut Receiving| receiving.operation.is_none();
            if watch.receiving.take_if(idle).is_some() {
                self.renewed.push(watch.id);
            }
        }
    }

    /// A completion that nobody waits for any more. Its buffer goes back.
    fn discard(&mut self, completion: Completion) {
        if let Some(number) = completion.buffer()
            && let Some(buffers) = &mut self.buffers
        {
            let mut inbox = Inbox::EMPTY;
            let len = usize::try_from(completion.result).unwrap_or(0);
            buffers.received(&mut inbox, number, len);
            count(buffers, &mut inbox);
        }
    }

    /// Ends the receiving, for now or for ever. What was received stays until it is taken.
    pub(super) fn pause_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let watched = watch(&mut self.watches, id);
        let Some(receiving) = watched.and_then(|watch| watch.receiving.as_mut()) else {
            return Ok(());
        };
        receiving.asking = Asking::No;
        let Some(number) = receiving.operation else {
            return Ok(());
        };
        self.end_operation(Name::of(Kind::Receive, id, number))?;
        let watched = watch(&mut self.watches, id);
        if let (Some(watch), Some(buffers)) = (watched, &mut self.buffers)
            && let Some(receiving) = &mut watch.receiving
        {
            for completion in self.met.drain(..) {
                receiving.note(buffers, completion);
            }
        }
        Ok(())
    }

    /// Ends the receiving of what is about to be closed. What was received is for nobody.
    pub(super) fn end_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.pause_receiving(id)?;
        let watched = watch(&mut self.watches, id);
        if let (Some(watch), Some(buffers)) = (watched, &mut self.buffers)
            && let Some(mut receiving) = watch.receiving.take()
        {
            match receiving.what {
                What::Datagrams => self.undelivered += count(buffers, &mut receiving.inbox),
                What::Bytes => while buffers.pop_bytes(&mut receiving.inbox).is_some() {},
                What::Packets => {
                    while buffers.pop_bytes(&mut receiving.inbox).is_some() {
                        self.undelivered += 1;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_datagrams(&mut self, id: SocketId) -> Taken {
        let Some(watch) = watch(&mut self.watches, id.into()) else {
            return Taken::Nothing;
        };
        let (Some(receiving), Some(buffers)) = (&mut watch.receiving, &mut self.buffers) else {
            return Taken::Ask;
        };
        while !receiving.inbox.is_empty() {
            match buffers.pop_datagrams(&mut receiving.inbox) {
                Some((received, payload)) => return Taken::Message(received, payload),
                None => self.undelivered += 1,
            }
        }
        if let Some(End::Failed(error)) = receiving.end.take() {
            self.ended.push(watch.id);
            return Taken::Failed(error);
        }
        match receiving.asking {
            Asking::No => Taken::Nothing,
            Asking::Yes => Taken::Ask,
        }
    }

    pub(super) fn take_bytes(&mut self, id: ResourceId) -> TakenBytes {
        let Some(watch) = watch(&mut self.watches, id) else {
            return TakenBytes::Nothing;
        };
        let (Some(receiving), Some(buffers)) = (&mut watch.receiving, &mut self.buffers) else {
            return TakenBytes::Ask;
        };
        if let Some(data) = buffers.pop_bytes(&mut receiving.inbox) {
            return TakenBytes::Bytes(data);
        }
        match (receiving.end, receiving.asking) {
            (Some(End::Ended), _) => TakenBytes::End,
            (Some(End::Failed(error)), _) => TakenBytes::Failed(error),
            (None, Asking::Yes) => TakenBytes::Ask,
            (None, Asking::No) => TakenBytes::Nothing,
        }
    }

    /// One that was asked has nothing more: from now on it is received by itself again.
    pub(super) fn receive_again(&mut self, id: ResourceId) {
        let watched = watch(&mut self.watches, id);
        if let Some(receiving) = watched.and_then(|watch| watch.receiving.as_mut())
            && receiving.asking == Asking::Yes
        {
            receiving.asking = Asking::No;
            self.ended.push(id);
        }
    }

    /// Begins to receive again after a pause. What has come before is told of.
    pub(super) fn resume_receiving(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let watched = watch(&mut self.watches, id);
        let receiving = watched.and_then(|watch| watch.receiving.as_ref());
        if receiving.is_some_and(Receiving::has_something) {
            self.again.push(id);
        }
        self.begin_receiving(id)
    }
}

impl Ring {
    /// Receives datagrams from now on, each into a buffer of the group.
    ///
    /// # Safety
    ///
    /// The template stays where it is until the operation has ended.
    unsafe fn receive_datagrams(
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
        datagrams += match buffers.pop_datagrams(inbox) {
            Some((received, _)) => segment_count(received.len, received.info.segment_size) as u64,
            None => 1,
        };
    }
    datagrams
}

/// Errors without a datagram in between after which one is told.
const ERRORS_MAX: u32 = 64;
