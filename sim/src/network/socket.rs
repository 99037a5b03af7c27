//! A socket as its worker sees it: what it speaks, where it sends from, and what waits at it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::NonZeroU16;

use stillpoint::{DatagramRun, Dscp, SocketId, Timestamp, Token, UdpBuffers, UdpOpen, V6Only};

use crate::room::make_room;

/// One open socket: what is looked at for each datagram.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) id: SocketId,
    pub(super) local: Local,
    pub(super) domain: Domain,
    pub(super) dscp: Dscp,
    /// The addresses it sends from to IPv4 and to IPv6, unless it sends to its own node.
    ipv4_source: Option<Ipv4Addr>,
    ipv6_source: Option<Ipv6Addr>,
    /// Set if something was asked for that few ask for.
    special: Option<Box<Special>>,
}

#[derive(Debug)]
struct Special {
    open: UdpOpen,
    waiting: Waiting,
}

/// To what a socket is bound: a [`SocketAddr`] without what only IPv6 has, in less room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    ip: IpAddr,
    port: u16,
}

impl Local {
    #[inline(always)]
    pub(super) const fn ip(&self) -> IpAddr {
        self.ip
    }

    #[inline(always)]
    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Local {
    fn from(local: SocketAddr) -> Self {
        Self {
            ip: local.ip(),
            port: local.port(),
        }
    }
}

/// The open sockets of all workers.
///
/// Most workers have one, in the first slot. Those lie side by side.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// In the first slot, by worker.
    first: Vec<Option<Socket>>,
    /// In the slots behind, by worker.
    more: Vec<Vec<Option<Socket>>>,
}

impl Sockets {
    pub(super) fn add_worker(&mut self) {
        make_room(&mut self.first);
        self.first.push(None);
    }

    #[inline(always)]
    pub(super) fn get(&self, worker: u32, slot: u32) -> Option<&Socket> {
        let Some(behind) = slot.checked_sub(1) else {
            return self.first[worker as usize].as_ref();
        };
        self.more
            .get(worker as usize)?
            .get(behind as usize)?
            .as_ref()
    }

    #[inline(always)]
    pub(super) fn slot_mut(&mut self, worker: u32, slot: u32) -> Option<&mut Option<Socket>> {
        let Some(behind) = slot.checked_sub(1) else {
            return self.first.get_mut(worker as usize);
        };
        self.more.get_mut(worker as usize)?.get_mut(behind as usize)
    }

    pub(super) fn insert(&mut self, worker: u32, socket: Socket) {
        let (worker, slot) = (worker as usize, socket.id.key().slot as usize);
        let Some(behind) = slot.checked_sub(1) else {
            self.first[worker] = Some(socket);
            return;
        };
        if self.more.len() <= worker {
            self.more.resize_with(worker + 1, Vec::new);
        }
        let more = &mut self.more[worker];
        if more.len() <= behind {
            more.resize_with(behind + 1, || None);
        }
        more[behind] = Some(socket);
    }

    /// Takes all of a worker away.
    pub(super) fn take(&mut self, worker: u32) -> impl Iterator<Item = Socket> {
        let first = self.first[worker as usize].take();
        let more = self.more.get_mut(worker as usize);
        let more = more.map(core::mem::take).unwrap_or_default();
        first.into_iter().chain(more.into_iter().flatten())
    }
}

impl Socket {
    pub(super) fn new(
        id: SocketId,
        local: Local,
        source: impl Fn(IpAddr) -> Option<IpAddr>,
        open: &UdpOpen,
    ) -> Self {
        Self {
            id,
            local,
            domain: Domain::of(open),
            dscp: open.dscp,
            ipv4_source: match source(Ipv4Addr::UNSPECIFIED.into()) {
                Some(IpAddr::V4(source)) => Some(source),
                Some(IpAddr::V6(_)) | None => None,
            },
            ipv6_source: match source(Ipv6Addr::UNSPECIFIED.into()) {
                Some(IpAddr::V6(source)) => Some(source),
                Some(IpAddr::V4(_)) | None => None,
            },
            special: is_special(open).then(|| {
                Box::new(Special {
                    open: *open,
                    waiting: Waiting {
                        at: Timestamp::EPOCH,
                        bytes: 0,
                        held_bytes: 0,
                    },
                })
            }),
        }
    }

    /// What was asked for of options that few ask for.
    pub(super) fn options(&self) -> &UdpOpen {
        self.special
            .as_ref()
            .map_or(&PLAIN, |special| &special.open)
    }

    /// The address that it sends from to IPv4 addresses of others, if it is as most are.
    #[inline(always)]
    pub(super) fn plain_source(&self) -> Option<Ipv4Addr> {
        let plain = self.special.is_none() && self.domain != Domain::V6;
        self.ipv4_source.filter(|_| plain)
    }

    /// The address that it sends from to others of the family of `target`, which it speaks.
    pub(super) fn source_to(&self, target: IpAddr) -> Option<IpAddr> {
        match target {
            IpAddr::V4(_) => self.ipv4_source.map(IpAddr::V4),
            IpAddr::V6(_) => self.ipv6_source.map(IpAddr::V6),
        }
    }

    /// The IPv4 address and port that it is bound to, if it is as most are.
    pub(super) fn plainly_bound(&self) -> Option<(Ipv4Addr, NonZeroU16)> {
        match self.local.ip() {
            IpAddr::V4(ip) if self.special.is_none() => {
                NonZeroU16::new(self.local.port()).map(|port| (ip, port))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// Whether it is connected to somebody else.
    #[inline(always)]
    pub(super) fn is_deaf_to(&self, peer: SocketAddr) -> bool {
        let special = self.special.as_ref();
        special.is_some_and(|special| special.open.peer.is_some_and(|only| only != peer))
    }

    /// What its buffers hold.
    pub(super) fn buffers(&self) -> UdpBuffers {
        let granted = |bytes: Option<u32>| match bytes {
            Some(bytes) => bytes.saturating_mul(2).max(BUFFER_BYTES_MIN),
            None => u32::MAX,
        };
        UdpBuffers::new(
            granted(self.options().send_buffer),
            granted(self.options().receive_buffer),
        )
    }

    /// Whether its buffer has a limit.
    #[inline(always)]
    pub(super) fn is_limited(&self) -> bool {
        let special = self.special.as_ref();
        special.is_some_and(|special| special.open.receive_buffer.is_some())
    }

    /// Whether there is room for datagrams that arrive now. If so, they take it, until
    /// [`Socket::free_room`] if the worker is held; as in Linux, the last to get in may take more
    /// than there is.
    pub(super) fn take_room(&mut self, now: Timestamp, run: &DatagramRun, held: Held) -> bool {
        let limit = u64::from(self.buffers().receive);
        let Some(special) = &mut self.special else {
            return true;
        };
        let waiting = &mut special.waiting;
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
        if let Some(special) = &mut self.special {
            let held_bytes = &mut special.waiting.held_bytes;
            *held_bytes = held_bytes.saturating_sub(buffer_bytes(run));
        }
    }
}

/// What datagrams take of a receive buffer.
fn buffer_bytes(run: &DatagramRun) -> u64 {
    run.payload.len() as u64 + run.count() as u64 * BOOKKEEPING_BYTES
}

/// Options as most have them.
const PLAIN: UdpOpen = UdpOpen::new(
    Token(0),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
);

/// Whether something was asked for that is looked up in [`Socket::options`].
fn is_special(open: &UdpOpen) -> bool {
    let mut plain = PLAIN;
    // What is known apart.
    plain.token = open.token;
    plain.bind = open.bind;
    plain.sharing = open.sharing;
    plain.v6_only = open.v6_only;
    plain.dscp = open.dscp;
    plain != *open
}

/// How well a socket fits a datagram. The last fits best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It is bound to all addresses.
    Wildcard,
    /// It is bound to the very address.
    Exact,
    /// It is bound to the very address and connected to the very peer.
    Connected,
}

impl Fit {
    /// That of a socket bound to `local`, and connected to `only` if that is somebody.
    #[inline(always)]
    pub(super) fn of(
        local: IpAddr,
        domain: Domain,
        only: Option<SocketAddr>,
        target: IpAddr,
        peer: SocketAddr,
    ) -> Option<Self> {
        match only {
            Some(only) => (only == peer && local == target).then_some(Self::Connected),
            None if local == target => Some(Self::Exact),
            None => (local.is_unspecified() && domain.speaks(target)).then_some(Self::Wildcard),
        }
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

    #[inline]
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
