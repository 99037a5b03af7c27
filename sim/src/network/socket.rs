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
                held_bytes: 0,
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

    /// Whether its buffer has a limit.
    pub(super) const fn is_limited(&self) -> bool {
        self.open.receive_buffer.is_some()
    }

    /// Whether there is room for datagrams that arrive now. If so, they take it, until
    /// [`Socket::free_room`] if the worker is held; as in Linux, the last to get in may take more
    /// than there is.
    pub(super) fn take_room(&mut self, now: Timestamp, run: &DatagramRun, held: Held) -> bool {
        let limit = u64::from(self.buffers().receive);
        let waiting = &mut self.waiting;
        if waiting.at != now {
            waiting.at = now;
            waiting.bytes = 0;
        }
        if waiting.bytes + waiting.held_bytes > limit {
            return false;
        }
        match held {
            Held::No => waiting.bytes += buffer_bytes(run),
            Held::Yes => waiting.held_bytes += buffer_bytes(run),
        }
        true
    }

    /// Datagrams that have waited are taken out.
    pub(super) fn free_room(&mut self, run: &DatagramRun) {
        let held_bytes = &mut self.waiting.held_bytes;
        *held_bytes = held_bytes.saturating_sub(buffer_bytes(run));
    }
}

/// What datagrams take of a receive buffer.
fn buffer_bytes(run: &DatagramRun) -> u64 {
    run.payload.len() as u64 + run.count() as u64 * BOOKKEEPING_BYTES
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

/// What waits at a socket: datagrams of one instant, and those that its worker has not taken.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    at: Timestamp,
    bytes: u64,
    held_bytes: u64,
}

/// What a datagram takes of a receive buffer beside its payload, in bytes: about as in Linux.
const BOOKKEEPING_BYTES: u64 = 768;

/// The smallest buffer, in bytes: as in Linux.
const BUFFER_BYTES_MIN: u32 = 2_304;
