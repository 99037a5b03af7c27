//! UDP sockets: how they are opened, and the multicast groups they are members of.
//!
//! Sources: `udp(7)`, `ip(7)`, `ipv6(7)`, `socket(7)`; RFC 1112 and RFC 3493, 5.2 (multicast).

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;

use crate::id::SocketId;
use crate::net::{NetworkError, Token};
use crate::traffic::Dscp;

/// A UDP socket to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpOpen {
    /// Comes back with the answer.
    pub token: Token,
    /// The address to bind; port 0 lets the system choose one that nobody has.
    pub bind: SocketAddr,
    /// Whether other sockets may share the address and port.
    pub sharing: Sharing,
    /// Whether a socket bound to all IPv6 addresses leaves IPv4 alone.
    pub v6_only: V6Only,
    /// The only peer, if there is to be only one.
    pub peer: Option<SocketAddr>,
    /// What becomes of datagrams that find the send queue full.
    pub when_full: WhenFull,
    /// Room for datagrams on their way out, in bytes, if not as much as the system allows
    /// (`SO_SNDBUF`). See [`UdpBuffers`].
    pub send_buffer: Option<u32>,
    /// Room for datagrams that wait to be received, in bytes, if not as much as the system allows
    /// (`SO_RCVBUF`). See [`UdpBuffers`].
    pub receive_buffer: Option<u32>,
    /// How routers are to treat datagrams that do not say so themselves.
    pub dscp: Dscp,
    /// Hosts that a datagram may come to until it is dropped, at least 1, if not what the system
    /// says (IPv4: TTL).
    pub hop_limit: Option<u8>,
    /// Whether the socket may send to broadcast addresses.
    pub broadcast: Broadcast,
    /// Hosts that a datagram to a group may come to; with 0 it stays on this machine.
    pub multicast_hop_limit: u8,
    /// Whether members on this machine get what the socket sends to their group.
    pub multicast_loop: MulticastLoop,
    /// The interface that datagrams to groups leave through.
    pub multicast_interface: Interface,
}

impl UdpOpen {
    /// A socket bound to `bind`, alone. Bound to all IPv6 addresses (`[::]`), it speaks IPv4 as
    /// well.
    #[must_use]
    #[inline]
    pub const fn new(token: Token, bind: SocketAddr) -> Self {
        Self {
            token,
            bind,
            sharing: Sharing::Exclusive,
            v6_only: V6Only::No,
            peer: None,
            when_full: WhenFull::Fail,
            send_buffer: None,
            receive_buffer: None,
            dscp: Dscp::CS0,
            hop_limit: None,
            broadcast: Broadcast::Refused,
            multicast_hop_limit: 1,
            multicast_loop: MulticastLoop::On,
            multicast_interface: Interface::ByRoute,
        }
    }

    /// The same, sharing its port with others that ask for it too (`SO_REUSEPORT`): each flow
    /// goes to one of them, and what is sent to a group or a broadcast address to all of them.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.sharing = Sharing::Shared;
        self
    }

    /// The same, sharing its port with others that ask for the same: what says which of them gets
    /// a datagram.
    #[must_use]
    pub const fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The same, without IPv4 where it would speak both (`IPV6_V6ONLY`).
    #[must_use]
    pub const fn v6_only(mut self) -> Self {
        self.v6_only = V6Only::Yes;
        self
    }

    /// The same, connected: it hears `peer` alone, before all sockets that would hear it too, and
    /// sends to `peer` alone ([`NetworkError::OtherPeer`]). Bound to all addresses, it takes the
    /// one from which the peer is reached.
    #[must_use]
    pub const fn connected(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same, doing this with datagrams that find the send queue full.
    #[must_use]
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// The same, with system buffers of about these many bytes. See [`UdpBuffers`].
    #[must_use]
    pub const fn with_buffers(mut self, send: u32, receive: u32) -> Self {
        self.send_buffer = Some(send);
        self.receive_buffer = Some(receive);
        self
    }

    /// The same, with this code point on datagrams that have none of their own.
    #[must_use]
    pub const fn with_dscp(mut self, dscp: Dscp) -> Self {
        self.dscp = dscp;
        self
    }

    /// The same, with datagrams that come to at most so many hosts, at least 1: with 0, the
    /// socket is refused ([`NetworkError::InvalidOption`]).
    #[must_use]
    pub const fn with_hop_limit(mut self, hosts: u8) -> Self {
        self.hop_limit = Some(hosts);
        self
    }

    /// The same, allowed to send to broadcast addresses (`SO_BROADCAST`). Without, that is
    /// [`NetworkError::PermissionDenied`].
    #[must_use]
    pub const fn with_broadcast(mut self) -> Self {
        self.broadcast = Broadcast::Allowed;
        self
    }

    /// The same, with datagrams to groups that come to at most so many hosts; with 0 they stay on
    /// this machine.
    #[must_use]
    pub const fn with_multicast_hop_limit(mut self, hosts: u8) -> Self {
        self.multicast_hop_limit = hosts;
        self
    }

    /// The same, with nobody on this machine getting what it sends to groups.
    #[must_use]
    pub const fn without_multicast_loop(mut self) -> Self {
        self.multicast_loop = MulticastLoop::Off;
        self
    }

    /// The same, sending to groups through this interface. If it is not there, the socket is
    /// refused ([`NetworkError::NoSuchInterface`]).
    #[must_use]
    pub const fn with_multicast_interface(mut self, interface: Interface) -> Self {
        self.multicast_interface = interface;
        self
    }

    /// What is asked for, with mapped IPv4 addresses (`::ffff:0:0/96`) written as IPv4.
    pub(crate) fn checked(mut self) -> Result<Self, NetworkError> {
        if self.hop_limit == Some(0) || self.sharing.is_among_none() {
            return Err(NetworkError::InvalidOption);
        }
        self.bind = canonical(self.bind);
        self.peer = self.peer.map(canonical);
        Ok(self)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// What becomes of datagrams that find the send queue of their socket full: 1,024 runs or 8 MiB
/// beyond what the system itself takes. The simulator's sockets have no such queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// They fail; the task is told with [`NetworkEvent::SendFailed`](crate::NetworkEvent::SendFailed).
    Fail,
    /// They are dropped and counted: for bulk, whose start matters most.
    DropNewest,
    /// They take the place of those that have waited longest, which are dropped and counted: for
    /// speech and pictures, which are of no use when late.
    DropOldest,
}

/// Whether a port may be bound more than once, and who of those who share it gets what comes.
///
/// [`Sharing::ByCpu`] and [`Sharing::ByByte`] give the *place* of a socket among those that share
/// its address and port: the first to be bound has place 0. So that each worker has the place of
/// its index, they are to bind one after the other: the task of worker 1 once that of worker 0 was
/// told that its socket is open, and so on. Nobody is told a place, so
///
/// - when a socket is closed, the last one takes its place, and nobody the place of that one;
/// - a socket that is bound again gets the last place. One that is bound by a new process while
///   those of the old one are open gets a place behind all of these, and hears nothing until they
///   are closed: start anew on another port, or once the old process is gone.
///
/// What is for a place that nobody has goes by flow, so nothing is lost. All who share a port are to
/// ask for the same; what was asked for last holds for all of them.
///
/// Steering is done by a small program of classic BPF in the kernel (Linux 4.5,
/// `SO_ATTACH_REUSEPORT_CBPF`); elsewhere it is [`NetworkError::Unsupported`]. Where it is to be
/// among no sockets at all, it is [`NetworkError::InvalidOption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// By one socket only.
    Exclusive,
    /// By all who ask for sharing (`SO_REUSEPORT`): each flow goes to one of them, as a hash of its
    /// addresses and ports says, which changes when one comes or goes.
    Shared,
    /// The same, but what the processor of number `n` has received goes to the socket of place `n`
    /// modulo `sockets`: with each worker kept on a core (`ThreadConfig::cores`) and each receive
    /// queue of the network card, too, a datagram stays on one core. In the simulator, which has no
    /// processors, a flow is always received by the same.
    ByCpu {
        /// How many sockets share the port.
        sockets: u16,
    },
    /// The same, but what has `n` in its byte at `offset` goes to the socket of place `n` modulo
    /// `sockets`: for protocols that name the worker, in the connection ids of QUIC say, so that a
    /// connection stays with its worker when its peer moves. What is shorter goes by flow. A run of
    /// datagrams goes by its first. Not for listeners: a connection begins without a payload
    /// ([`NetworkError::InvalidOption`]).
    ByByte {
        /// Where in the payload, from 0.
        offset: u16,
        /// How many sockets share the port.
        sockets: u16,
    },
}

impl Sharing {
    /// Whether others may have the port, too.
    #[must_use]
    #[inline]
    pub const fn is_shared(self) -> bool {
        !matches!(self, Self::Exclusive)
    }

    /// Whether it names a place among no places.
    pub(crate) const fn is_among_none(self) -> bool {
        matches!(
            self,
            Self::ByCpu { sockets: 0 } | Self::ByByte { sockets: 0, .. }
        )
    }
}

/// Whether a socket bound to all IPv6 addresses leaves IPv4 alone (`IPV6_V6ONLY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum V6Only {
    /// It takes both families. IPv4 peers have IPv4 addresses, as everywhere.
    No,
    /// It speaks IPv6 alone; another socket may have the port for IPv4.
    Yes,
}

/// Whether a socket may send to broadcast addresses (`SO_BROADCAST`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum Broadcast {
    /// It may not: [`NetworkError::PermissionDenied`].
    Refused,
    /// It may.
    Allowed,
}

/// Whether members on this machine get what a socket sends to their group (`IP_MULTICAST_LOOP`,
/// `IPV6_MULTICAST_LOOP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "on or off")]
pub enum MulticastLoop {
    /// They do, the sending socket too if it is a member.
    On,
    /// They do not.
    Off,
}

/// How much a socket's system buffers hold, in the system's own count, which includes its
/// bookkeeping for each datagram. Linux grants twice what was asked for, at least some 2 kB and
/// at most twice `net.core.wmem_max` and `net.core.rmem_max`. What finds the receive buffer full
/// is dropped and counted.
///
/// In the simulator nothing waits but what arrives at one instant: that is what its receive
/// buffer bounds, if one was asked for. It grants twice what was asked for and counts 768 bytes
/// for each datagram beside its payload; what has no bound says [`u32::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpBuffers {
    /// For what is on its way out, in bytes.
    pub send: u32,
    /// For what waits to be received, in bytes.
    pub receive: u32,
}

impl UdpBuffers {
    /// Buffers of these many bytes.
    #[must_use]
    pub const fn new(send: u32, receive: u32) -> Self {
        Self { send, receive }
    }
}

/// A network interface of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// The one that the system's routes say; in the simulator, the first of the family that is not
    /// the loopback interface.
    ByRoute,
    /// The one of this number.
    Index(InterfaceIndex),
    /// The one that has this address.
    Address(IpAddr),
}

/// The number of a network interface, as the system counts them; not 0. It is the scope id of a
/// link-local IPv6 address too.
///
/// In the simulator the loopback interface is 1, and those of
/// a node follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceIndex(NonZeroU32);

impl InterfaceIndex {
    /// The interface of this number. `None` for 0, which no interface has.
    #[must_use]
    #[inline]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

/// A socket's membership in a multicast group: it gets what is sent to the group and its port, and
/// arrives at that interface.
///
/// # Example
///
/// ```
/// use stillpoint::{App, Membership, Outbox, SocketId};
///
/// fn listen_to_mdns<A: App>(socket: SocketId, outbox: &mut Outbox<A>) {
///     outbox.join_group(Membership::new(socket, [224, 0, 0, 251]));
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// The socket.
    pub socket: SocketId,
    /// The group: an address in `224.0.0.0/4` or `ff00::/8`.
    pub group: IpAddr,
    /// Where the group is heard.
    pub interface: Interface,
}

impl Membership {
    /// Membership at the interface that the system chooses.
    #[must_use]
    pub fn new(socket: SocketId, group: impl Into<IpAddr>) -> Self {
        Self {
            socket,
            group: group.into(),
            interface: Interface::ByRoute,
        }
    }

    /// The same, at this interface.
    #[must_use]
    pub const fn at(mut self, interface: Interface) -> Self {
        self.interface = interface;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mapped = "[::ffff:192.0.2.1]:9".parse().unwrap();
        let plain = "192.0.2.1:9".parse().unwrap();
        let open = UdpOpen::new(Token(0), mapped).connected(mapped).checked();
        assert_eq!(open, Ok(UdpOpen::new(Token(0), plain).connected(plain)));
        let scoped = "[fe80::1%7]:9".parse().unwrap();
        let open = UdpOpen::new(Token(0), scoped);
        assert_eq!(open.checked(), Ok(open));
    }

    #[test]
    fn a_place_among_no_sockets_is_refused() {
        let open = UdpOpen::new(Token(0), "[::]:0".parse().unwrap());
        for sockets in [0, 1] {
            let by_byte = Sharing::ByByte { offset: 0, sockets };
            for sharing in [Sharing::ByCpu { sockets }, by_byte] {
                let checked = open.with_sharing(sharing).checked();
                assert_eq!(checked.is_ok(), sockets > 0, "{sharing:?}");
            }
        }
    }

    #[test]
    fn a_hop_limit_of_0_is_refused() {
        let open = UdpOpen::new(Token(0), "[::]:0".parse().unwrap());
        assert_eq!(open.with_hop_limit(1).checked(), Ok(open.with_hop_limit(1)));
        assert_eq!(
            open.with_hop_limit(0).checked(),
            Err(NetworkError::InvalidOption)
        );
    }
}
