//! One descriptor that is waited for, and what is told of it.

use std::os::fd::RawFd;

use super::accept::Accepting;
use super::receive::Receiving;
use crate::backend::readiness::{Interest, Ready};
use crate::id::ResourceId;

/// One descriptor that is waited for.
pub(super) struct Watch {
    pub(super) id: ResourceId,
    /// Open as long as the watch is here.
    pub(super) fd: RawFd,
    pub(super) interest: Interest,
    /// The number of its operation, if one is under way.
    pub(super) operation: Option<u32>,
    /// What was found last.
    pub(super) last: Ready,
    /// Set if the kernel receives by itself.
    pub(super) receiving: Option<Receiving>,
    /// Set if the kernel takes connections in by itself.
    pub(super) accepting: Option<Accepting>,
    /// When that was, and where it is among all that was found then.
    pub(super) turn: u64,
    pub(super) place: usize,
}

impl Watch {
    /// What the kernel is asked to tell of, if of anything. It tells of errors in any case.
    pub(super) fn events(&self) -> Option<u32> {
        let events = self.interest.events()?;
        // What it receives by itself it tells with that. What a datagram has caused it only tells
        // of as an error; what a stream has caused, with what it receives.
        if let Some(receiving) = &self.receiving {
            let only_reads = self.interest == Interest::Read && receiving.tells_errors();
            return (!only_reads).then_some(events & !READABLE);
        }
        match &self.accepting {
            Some(_) => None,
            None => Some(events),
        }
    }

    /// Adds what was found to what is told of this descriptor.
    pub(super) fn tell(&mut self, found: Ready, turn: u64, ready: &mut Vec<(ResourceId, Ready)>) {
        if self.turn == turn
            && let Some((_, told)) = ready.get_mut(self.place)
        {
            *told = told.or(found);
            self.last = *told;
            return;
        }
        (self.turn, self.place, self.last) = (turn, ready.len(), found);
        ready.push((self.id, found));
    }
}

impl Interest {
    pub(super) const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadAndWrite)
    }

    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadAndWrite)
    }

    /// What the kernel is asked to tell of, besides errors and the end of a direction.
    pub(super) const fn events(self) -> Option<u32> {
        match self {
            Self::Nothing => None,
            Self::Errors => Some(0),
            Self::Read => Some(READABLE),
            Self::Write => Some(WRITABLE),
            Self::ReadAndWrite => Some(READABLE | WRITABLE),
        }
    }

    /// What is of interest about what the kernel found.
    pub(super) fn found(self, found: u32) -> Ready {
        let has = |event| found & event != 0;
        Ready {
            readable: self.reads() && has(READABLE),
            writable: self.writes() && has(WRITABLE),
            error: has(ERROR | HUNG_UP),
            read_ended: self.reads() && has(HUNG_UP | PEER_ENDED),
        }
    }
}

impl Ready {
    pub(super) const NOTHING: Self = Self {
        readable: false,
        writable: false,
        error: false,
        read_ended: false,
    };

    pub(super) const READABLE: Self = Self {
        readable: true,
        ..Self::NOTHING
    };

    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            readable: self.readable || other.readable,
            writable: self.writable || other.writable,
            error: self.error || other.error,
            read_ended: self.read_ended || other.read_ended,
        }
    }

    pub(super) const fn is_anything(self) -> bool {
        self.readable || self.writable || self.error || self.read_ended
    }
}

/// The watch of `id`, unless its slot has another owner.
pub(super) fn watch(watches: &mut [Option<Watch>], id: ResourceId) -> Option<&mut Watch> {
    let watch = watches.get_mut(id.key().slot as usize)?.as_mut()?;
    (watch.id == id).then_some(watch)
}

pub(super) const READABLE: u32 = libc::POLLIN.cast_unsigned() as u32;
pub(super) const WRITABLE: u32 = libc::POLLOUT.cast_unsigned() as u32;
pub(super) const ERROR: u32 = libc::POLLERR.cast_unsigned() as u32;
pub(super) const HUNG_UP: u32 = libc::POLLHUP.cast_unsigned() as u32;
pub(super) const PEER_ENDED: u32 = libc::POLLRDHUP.cast_unsigned() as u32;
pub(super) const INVALID: u32 = libc::POLLNVAL.cast_unsigned() as u32;
