//! Messages that are handed over together with a wait.
#![expect(unsafe_code, reason = "entries of the ring that point at memory")]

use std::os::fd::{AsRawFd, BorrowedFd};

use ::io_uring::opcode::SendMsg;
use ::io_uring::squeue::{Entry, Flags};
use ::io_uring::types::Fd;

use super::UringSet;
use super::name::{Kind, Name};
use super::ring::{Completion, Ring, Wait};
use crate::backend::BackendError;
use crate::backend::readiness::{Link, Ready, Sent};
use crate::backend::sys::{SEND_FLAGS, Timeout};
use crate::id::ResourceId;

/// The messages of one wait.
pub(super) struct Sends {
    /// One for each, in their order.
    results: Vec<i32>,
    under_way: u32,
    /// Counts the waits, so that a message of an earlier one is nobody's.
    round: u32,
    /// The last that was put in: whether another is chained to it is known only when that comes.
    held: Option<Entry>,
    fate: Fate,
}

/// Whether it is known what came of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Known,
    Lost,
}

impl Sends {
    pub(super) const fn new() -> Self {
        Self {
            results: Vec::new(),
            under_way: 0,
            round: 0,
            held: None,
            fate: Fate::Known,
        }
    }

    /// Messages of which nobody has said what came of them.
    pub(super) const fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Puts a message in.
    ///
    /// # Safety
    ///
    /// The header, and all that it points at, stays where and as it is until [`Sends::under_way`]
    /// is 0.
    pub(super) unsafe fn put(
        &mut self,
        ring: &mut Ring,
        fd: BorrowedFd<'_>,
        header: *const libc::msghdr,
        link: Link,
    ) -> Result<(), BackendError> {
        if self.fate != Fate::Open {
            self.results.clear();
            self.round = self.round.wrapping_add(1);
            self.fate = Fate::Open;
        }
        if let Some(held) = self.held.take() {
            let chained = match link {
                Link::First => held,
                Link::BehindTheLast => held.flags(Flags::IO_LINK),
            };
            // SAFETY: this is the message put in before, and the promise for it was the same.
            unsafe { self.hand_over(ring, &chained) }?;
        }
        let name = Name {
            kind: Kind::Send,
            slot: u32::try_from(self.results.len()).unwrap_or(u32::MAX),
            number: self.round,
        };
        self.results.push(-libc::ECANCELED);
        let flags = SEND_FLAGS.cast_unsigned();
        let entry = SendMsg::new(Fd(fd.as_raw_fd()), header).flags(flags);
        self.held = Some(entry.build().user_data(name.encode()));
        Ok(())
    }

    /// Puts the last message in.
    pub(super) fn finish(&mut self, ring: &mut Ring) -> Result<(), BackendError> {
        match self.held.take() {
            // SAFETY: the promise for it was made when it was put in.
            Some(held) => unsafe { self.hand_over(ring, &held) },
            None => Ok(()),
        }
    }

    /// # Safety
    ///
    /// As for [`Sends::put`].
    unsafe fn hand_over(&mut self, ring: &mut Ring, entry: &Entry) -> Result<(), BackendError> {
        // SAFETY: what it points at stays until its completion was noted: the caller's promise.
        unsafe { ring.push(entry) }?;
        self.under_way += 1;
        Ok(())
    }

    /// Notes what came of a message.
    pub(super) fn note(&mut self, name: Name, completion: Completion) {
        if name.number == self.round
            && let Some(result) = self.results.get_mut(name.slot as usize)
        {
            *result = completion.result;
            self.under_way -= 1;
        }
    }

    /// Nobody will ever know what came of them.
    pub(super) const fn lose(&mut self) {
        self.under_way = 0;
        self.fate = Fate::Lost;
    }

    /// What came of them.
    pub(super) fn results(&mut self) -> Sent<'_> {
        match self.fate {
            Fate::Lost => Sent::Lost,
            Fate::Open | Fate::Known => {
                self.fate = Fate::Known;
                Sent::Known(&self.results)
            }
        }
    }
}

impl UringSet {
    /// Waits until it is known what came of each message: the kernel never waits for room.
    pub(super) fn finish_sends(
        &mut self,
        waited: Result<(), BackendError>,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let mut waited = waited;
        while waited.is_ok() && self.sends.under_way() > 0 {
            waited = self.ring.enter(Wait::For(1, Timeout::Forever));
            self.gather(ready);
        }
        if self.sends.under_way() > 0 {
            self.give_up_sends();
        }
        waited
    }

    /// The ring is of no more use. What became of the messages is found out as far as can be.
    fn give_up_sends(&mut self) {
        self.met.clear();
        let finished = self.ring.finish_all(&mut self.met);
        for completion in self.met.drain(..) {
            if let Some(name) = Name::decode(completion.name)
                && name.kind == Kind::Send
            {
                self.sends.note(name, completion);
            }
        }
        if finished.is_err() || self.sends.under_way() > 0 {
            self.sends.lose();
        }
    }
}
