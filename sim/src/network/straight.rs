//! The straight way: what most datagrams meet, from the only socket of a node to that of another.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;

use stillpoint::{Dscp, InterfaceIndex, SocketId, Transmit};

use super::Network;
use super::socket::Socket;

/// The only socket of a host, if it is as most are: all that is looked at when something arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lone {
    worker: u32,
    socket: SocketId,
    /// The IPv4 address that it is bound to, or all of them.
    ip: Ipv4Addr,
    port: NonZeroU16,
}

/// The way of a transmit from this address to that node and interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Straight {
    pub(crate) node: u32,
    pub(crate) source: SocketAddr,
    pub(crate) interface: InterfaceIndex,
    pub(crate) dscp: Dscp,
}

impl Network {
    /// The way that most transmits take: from a socket as most are, to the IPv4 address of another
    /// node. `None` if it takes another, or none at all: see [`Network::route`].
    #[inline(always)]
    pub(crate) fn route_straight(
        &self,
        node: u32,
        worker: u32,
        transmit: &Transmit,
    ) -> Option<Straight> {
        let SocketAddr::V4(peer) = transmit.peer else {
            return None;
        };
        if self.routed {
            return None;
        }
        let socket = self.socket(worker, transmit.socket)?;
        let source = socket.plain_source()?;
        match transmit.source {
            None => {}
            Some(IpAddr::V4(wanted)) if wanted == source => {}
            Some(_) => return None,
        }
        let &(to, interface) = self.public.find(IpAddr::V4(*peer.ip()))?;
        (to != node).then(|| Straight {
            node: to,
            interface,
            source: SocketAddr::new(source.into(), socket.local.port()),
            dscp: transmit.dscp.unwrap_or(socket.dscp),
        })
    }

    /// The worker and socket that most datagrams are for: the only one of a node, as most are, with
    /// room for whatever comes. `None` if somebody else has them, or nobody: see
    /// [`Network::receiver`] and [`Network::take_room`].
    #[inline(always)]
    pub(crate) fn receiver_straight(
        &self,
        node: u32,
        target: &SocketAddr,
    ) -> Option<(u32, SocketId)> {
        let (Some(lone), SocketAddr::V4(target)) = (&self.lone[node as usize], target) else {
            return None;
        };
        let fits = lone.port.get() == target.port()
            && (lone.ip == *target.ip() || lone.ip == Ipv4Addr::UNSPECIFIED);
        fits.then_some((lone.worker, lone.socket))
    }

    /// Notes whether a node has one socket only.
    pub(super) fn note_lone(&mut self, node: u32) {
        let lone = match &self.hosts[node as usize].bound[..] {
            [only] => {
                let open = self.socket(only.worker, only.socket);
                let plain = open.and_then(Socket::plainly_bound);
                plain.map(|(ip, port)| Lone {
                    worker: only.worker,
                    socket: only.socket,
                    ip,
                    port,
                })
            }
            _ => None,
        };
        self.lone[node as usize] = lone;
    }
}
