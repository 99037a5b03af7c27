//! The straight way: what most datagrams meet, from the only socket of a node to that of another.

use core::net::{IpAddr, SocketAddr};

use stillpoint::{Dscp, InterfaceIndex, SocketId, Transmit};

use super::Network;

/// The only socket of a host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lone {
    /// [`NOBODY`] if it has none, or several.
    pub(super) worker: u32,
    pub(super) slot: u32,
}

/// No worker at all.
pub(super) const NOBODY: u32 = u32::MAX;

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
        let lone = self.lone[node as usize];
        if lone.worker == NOBODY {
            return None;
        }
        let socket = self.sockets.get(lone.worker, lone.slot)?;
        socket
            .is_plainly_at(target)
            .then_some((lone.worker, socket.id))
    }

    /// Notes whether a node has one socket only.
    pub(super) fn note_lone(&mut self, node: u32) {
        self.lone[node as usize] = match &self.hosts[node as usize].bound[..] {
            [only] => Lone {
                worker: only.worker,
                slot: only.socket.key().slot,
            },
            _ => Lone {
                worker: NOBODY,
                slot: 0,
            },
        };
    }
}
