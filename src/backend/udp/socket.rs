//! One open UDP socket.

use core::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::backlog::Backlog;
use super::refusals::Refusals;
use crate::backend::readiness::Interest;
use crate::backend::sys::Domain;
use crate::traffic::{Dscp, Ecn};
use crate::udp::{UdpOpen, WhenFull};

/// One open socket.
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) domain: Domain,
    pub(super) local: SocketAddr,
    /// The only peer, if it is connected.
    pub(super) peer: Option<SocketAddr>,
    /// That of datagrams that have none of their own.
    pub(super) dscp: Dscp,
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
    pub(super) fn new(fd: OwnedFd, local: SocketAddr, open: &UdpOpen) -> Self {
        Self {
            fd,
            domain: Domain::of_udp(open),
            local,
            peer: open.peer,
            dscp: open.dscp,
            announced: Announced::NotYet,
            receive_hint: RECEIVE_HINT_MIN,
            dropped: 0,
            backlog: Backlog::new(),
            when_full: open.when_full,
            refusals: Refusals::new(),
        }
    }

    /// What the kernel writes into the headers of its datagrams unless told otherwise.
    pub(super) const fn traffic_class(&self) -> u8 {
        self.dscp.traffic_class(Ecn::NotCapable)
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

/// Messages that a receive asks for at least: preparing for one that does not come is cheaper than
/// another call for one that does.
pub(super) const RECEIVE_HINT_MIN: usize = 4;
