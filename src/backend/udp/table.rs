//! The open sockets, by id.

use core::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::backlog::Backlog;
use super::refusals::Refusals;
use crate::backend::readiness::Interest;
use crate::backend::sys::Domain;
use crate::id::SocketId;
use crate::net::{UdpOpen, WhenFull};

/// Sockets in the slots that the worker gave them. A stale id finds nothing.
pub(super) struct SocketTable {
    slots: Vec<Option<Socket>>,
    len: usize,
}

/// One open socket.
pub(super) struct Socket {
    pub(super) id: SocketId,
    pub(super) fd: OwnedFd,
    pub(super) domain: Domain,
    pub(super) local: SocketAddr,
    /// The only peer, if it is connected.
    pub(super) peer: Option<SocketAddr>,
    pub(super) announced: Announced,
    /// Messages to ask for at the next receive.
    pub(super) receive_hint: usize,
    /// The kernel's count of dropped messages when it last told.
    pub(super) dropped: u32,
    pub(super) backlog: Backlog,
    pub(super) when_full: WhenFull,
    pub(super) refusals: Refusals,
}

/// Whether the task knows that its socket is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    NotYet,
    Yes,
}

impl Socket {
    pub(super) fn new(id: SocketId, fd: OwnedFd, local: SocketAddr, open: &UdpOpen) -> Self {
        Self {
            id,
            fd,
            domain: Domain::of(&open.bind),
            local,
            peer: open.peer,
            announced: Announced::NotYet,
            receive_hint: RECEIVE_HINT_MIN,
            dropped: 0,
            backlog: Backlog::new(),
            when_full: open.when_full,
            refusals: Refusals::new(),
        }
    }

    /// What it is to be waited for.
    pub(super) fn interest(&self) -> Interest {
        if self.backlog.is_empty() {
            Interest::Read
        } else {
            Interest::ReadAndWrite
        }
    }
}

impl SocketTable {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// # Panics
    ///
    /// If the slot is taken: a worker closes a socket before it uses its slot again.
    pub(super) fn insert(&mut self, socket: Socket) {
        let slot = socket.id.key().slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(
            self.slots[slot].is_none(),
            "{} opened in a slot that is taken",
            socket.id
        );
        self.slots[slot] = Some(socket);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let slot = self.slots.get_mut(id.key().slot as usize)?;
        let removed = slot.take_if(|socket| socket.id == id)?;
        self.len -= 1;
        Some(removed)
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&Socket> {
        let socket = self.slots.get(id.key().slot as usize)?.as_ref()?;
        (socket.id == id).then_some(socket)
    }

    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        let socket = self.slots.get_mut(id.key().slot as usize)?.as_mut()?;
        (socket.id == id).then_some(socket)
    }
}

/// Messages that a receive asks for at least: preparing for one that does not come is cheaper than
/// another call for one that does.
pub(super) const RECEIVE_HINT_MIN: usize = 4;
