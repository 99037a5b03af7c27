//! A socket as its worker sees it: what it speaks, where it sends from, and what waits at it.

use core::net::{IpAddr, SocketAddr};

use stillpoint::{DatagramRun, SocketId, Timestamp, UdpBuffers, UdpOpen, V6Only};

/// One open socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Socket {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) domain: Domain,
    /// The addresses it sends from to IPv4 and to IPv6, unless it sends to its own node.
    pub(super) sources: [Option<IpAddr>; 2],
    /// What was asked for.
    pub(super) open: UdpOpen,
    waiting: Waiting,
}

impl Socket {
    pub(super) fn new(
        id: SocketId,
        local: SocketAddr,
        sources: [Option<IpAddr>; 2],
        open: &UdpOpen,
    ) -> Self {
        Self {
            id,
            local,
            domain: Domain::of(open),
            sources,
            open: *open,
            waiting: Waiting {
                at: Timestamp::EPOCH,
                bytes: 0,
                held: Held::No,
            },
        }
    }

    /// What its buffers hold.
    pub(super) fn buffers(&self) -> UdpBuffers {
        let granted = |bytes: Option<u32>| match bytes {
            Some(bytes) => bytes.saturating_mul(2).max(BUFFER_BYTES_MIN),
            None => u32::MAX,
        };
        UdpBuffers::new(
            granted(self.open.send_buffer),
            granted(self.open.receive_buffer),
        )
    }

    /// Has what comes from now on wait, or no longer.
    pub(super) const fn hold(&mut self, held: Held) {
        self.waiting.held = held;
    }

    /// Whether there is room for datagrams that arrive now. If so, they take it; as in Linux, the
    /// last to get in may take more than there is.
    pub(super) fn take_room(&mut self, now: Timestamp, run: &DatagramRun) -> bool {
        if self.open.receive_buffer.is_none() {
            return true;
        }
        if self.waiting.at != now && self.waiting.held == Held::No {
            self.waiting.at = now;
            self.waiting.bytes = 0;
        }
        if self.waiting.bytes > u64::from(self.buffers().receive) {
            return false;
        }
        self.waiting.bytes += run.payload.len() as u64 + run.count() as u64 * BOOKKEEPING_BYTES;
        true
    }
}

/// Whether a worker takes nothing, so that what comes for it waits at its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    No,
    Yes,
}

/// Which families a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    V4,
    V6,
    Dual,
}

impl Domain {
    pub(super) fn of(open: &UdpOpen) -> Self {
        match (open.bind.ip(), open.v6_only) {
            (IpAddr::V4(_), _) => Self::V4,
            (IpAddr::V6(ip), V6Only::No) if ip.is_unspecified() => Self::Dual,
            (IpAddr::V6(_), V6Only::No | V6Only::Yes) => Self::V6,
        }
    }

    pub(super) fn speaks(self, ip: IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
            Self::Dual => true,
        }
    }
}

/// What waits at a socket: datagrams of one instant, or all since its worker stands still.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    at: Timestamp,
    bytes: u64,
    held: Held,
}

/// What a datagram takes of a receive buffer beside its payload, in bytes: about as in Linux.
const BOOKKEEPING_BYTES: u64 = 768;

/// The smallest buffer, in bytes: as in Linux.
const BUFFER_BYTES_MIN: u32 = 2_304;
