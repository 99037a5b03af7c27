//! What is sent to more than one: groups and broadcast addresses, and who gets it.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use stillpoint::{
    Broadcast, Dscp, Interface, InterfaceIndex, Membership, MulticastLoop, NetworkError, SocketId,
    Transmit,
};

use super::interfaces::LOOPBACK;
use super::{Host, Network, Socket, own_source};

/// A membership of a socket, as its node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    group: IpAddr,
    interface: InterfaceIndex,
    worker: u32,
    socket: SocketId,
}

/// Who is to get datagrams at the node where they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The socket that fits best.
    One,
    /// All sockets that are members of the group.
    Members,
    /// All sockets of the port that are bound to all addresses.
    Everybody,
}

/// Where one of several copies goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landing {
    pub(crate) node: u32,
    /// The interface that it arrives at.
    pub(crate) interface: InterfaceIndex,
    /// The address that the receiver is told it was sent to.
    pub(crate) local: IpAddr,
}

/// A transmit to several nodes.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub(crate) source: SocketAddr,
    pub(crate) dscp: Dscp,
    pub(crate) audience: Audience,
    pub(crate) landings: Vec<Landing>,
}

/// What becomes of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MembershipChange {
    Join,
    Leave,
}

impl Network {
    /// Begins or ends a membership. `None` if the socket is not open.
    pub(crate) fn change_group(
        &mut self,
        node: u32,
        worker: u32,
        membership: &Membership,
        change: MembershipChange,
    ) -> Option<Result<(), NetworkError>> {
        let id = membership.socket;
        let socket = self.sockets.get(worker, id.key().slot)?;
        let host = &mut self.hosts[node as usize];
        let is_open = socket.id == id;
        is_open.then(|| host.change_group(socket, worker, membership, change))
    }

    /// Which way a transmit to a group takes.
    pub(super) fn route_to_group(
        &self,
        node: u32,
        socket: &Socket,
        transmit: &Transmit,
    ) -> Result<Spread, NetworkError> {
        let (host, group) = (&self.hosts[node as usize], transmit.peer.ip());
        let interface = match transmit.peer {
            SocketAddr::V6(peer) if peer.scope_id() != 0 => {
                InterfaceIndex::new(peer.scope_id()).map_or(Interface::ByRoute, Interface::Index)
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => socket.options().multicast_interface,
        };
        let unreachable = NetworkError::NetworkUnreachable;
        let interface = host.interface(interface, group).ok_or(unreachable)?;
        let source = host.source_at(socket, interface, transmit)?;
        let mut landings = Vec::new();
        let own = Landing {
            node,
            interface,
            local: group,
        };
        let networks = host.addresses.iter().filter(|own| {
            own.interface == interface
                && own.ip.is_ipv4() == group.is_ipv4()
                && socket.options().multicast_hop_limit > 0
        });
        for network in networks {
            let near = self.by_network.get(&(host.network(), network.network()));
            for &(node, interface) in near.into_iter().flatten() {
                landings.push(Landing {
                    node,
                    interface,
                    local: group,
                });
            }
        }
        landings.retain(|landing| landing.node != node);
        if socket.options().multicast_loop == MulticastLoop::On || interface == LOOPBACK {
            landings.push(own);
        }
        landings.sort_by_key(|landing| (landing.node, landing.interface));
        landings.dedup_by_key(|landing| (landing.node, landing.interface));
        landings.retain(|landing| {
            let members = &self.hosts[landing.node as usize].members;
            let hears =
                |member: &Member| member.group == group && member.interface == landing.interface;
            members
                .get()
                .is_some_and(|members| members.iter().any(hears))
        });
        Ok(Spread {
            source,
            dscp: transmit.dscp.unwrap_or(socket.dscp),
            audience: Audience::Members,
            landings,
        })
    }

    /// Which way a transmit to a broadcast address takes. `None` if it is not to one.
    pub(super) fn route_to_everybody(
        &self,
        node: u32,
        socket: &Socket,
        transmit: &Transmit,
    ) -> Option<Result<Spread, NetworkError>> {
        let host = &self.hosts[node as usize];
        let (interface, network) = host.broadcast_to(transmit.peer.ip())?;
        if socket.options().broadcast == Broadcast::Refused {
            return Some(Err(NetworkError::PermissionDenied));
        }
        let landings = match network {
            None => vec![Landing {
                node,
                interface,
                local: host.address_at(LOOPBACK, transmit.peer.ip())?,
            }],
            Some(network) => {
                let near = self.by_network.get(&(host.network(), network));
                let near = near.into_iter().flatten();
                let landing = |&(node, interface): &(u32, InterfaceIndex)| {
                    let own = self.hosts[node as usize].addresses.iter();
                    let mut own = own.filter(|own| own.interface == interface);
                    let local = own.find(|own| own.network() == network)?.ip;
                    Some(Landing {
                        node,
                        interface,
                        local,
                    })
                };
                near.filter_map(landing).collect()
            }
        };
        let source = host.source_at(socket, interface, transmit);
        Some(source.map(|source| Spread {
            source,
            dscp: transmit.dscp.unwrap_or(socket.dscp),
            audience: Audience::Everybody,
            landings,
        }))
    }

    /// The workers and sockets that get what has arrived for several.
    pub(crate) fn receivers(
        &self,
        audience: Audience,
        to: Landing,
        target: SocketAddr,
        peer: SocketAddr,
    ) -> Vec<(u32, SocketId)> {
        let host = &self.hosts[to.node as usize];
        let ip = target.ip();
        let hears = |worker: u32, socket: SocketId| match audience {
            Audience::One | Audience::Everybody => true,
            Audience::Members => host.members.contains(&Member {
                group: ip,
                interface: to.interface,
                worker,
                socket,
            }),
        };
        let fits = host.at_port(target.port()).iter().filter(|bound| {
            let at = bound.local.ip();
            (at == ip || bound.is_for_all(ip))
                && bound.peer().is_none_or(|only| only == peer)
                && hears(bound.worker, bound.socket)
        });
        fits.map(|bound| (bound.worker, bound.socket)).collect()
    }
}

impl Host {
    fn change_group(
        &mut self,
        socket: &Socket,
        worker: u32,
        membership: &Membership,
        change: MembershipChange,
    ) -> Result<(), NetworkError> {
        let group = membership.group;
        if !socket.domain.speaks(group) {
            return Err(NetworkError::AddressFamily);
        }
        let ours = |member: &Member| {
            (member.group, member.worker, member.socket) == (group, worker, membership.socket)
        };
        let interface = self.interface(membership.interface, group);
        match change {
            MembershipChange::Join => {
                let member = Member {
                    group,
                    interface: interface.ok_or(NetworkError::NoSuchInterface)?,
                    worker,
                    socket: membership.socket,
                };
                if self.members.contains(&member) {
                    return Err(NetworkError::AlreadyMember);
                }
                self.members.push(member);
            }
            MembershipChange::Leave => {
                // Left to the system, it is any interface.
                let at = if membership.interface == Interface::ByRoute {
                    None
                } else {
                    Some(interface.ok_or(NetworkError::NoSuchInterface)?)
                };
                let is_it = |member: &Member| {
                    ours(member) && at.is_none_or(|interface| member.interface == interface)
                };
                let index = self.members.iter().position(is_it);
                self.members.remove(index.ok_or(NetworkError::NotMember)?);
            }
        }
        Ok(())
    }

    /// Ends all memberships of a socket.
    pub(super) fn leave_all(&mut self, worker: u32, socket: SocketId) {
        if self.members.get().is_some() {
            self.members
                .retain(|member| (member.worker, member.socket) != (worker, socket));
        }
    }

    /// The address that a transmit to several comes from.
    fn source_at(
        &self,
        socket: &Socket,
        interface: InterfaceIndex,
        transmit: &Transmit,
    ) -> Result<SocketAddr, NetworkError> {
        let (target, bound) = (transmit.peer.ip(), socket.local.ip());
        let ip = match own_source(transmit) {
            Some(source) if source.is_ipv4() != target.is_ipv4() => {
                return Err(NetworkError::AddressFamily);
            }
            Some(source) if !self.has(source) => return Err(NetworkError::AddressNotAvailable),
            Some(source) => Some(source),
            None if !bound.is_unspecified() && !bound.is_multicast() => Some(bound),
            None => self.address_at(interface, target),
        };
        let ip = ip.ok_or(NetworkError::NetworkUnreachable)?;
        Ok(SocketAddr::new(ip, socket.local.port()))
    }
}

/// `peer` as whoever hears it at `interface` writes it: a link-local address has a scope.
pub(crate) fn heard_at(peer: SocketAddr, interface: InterfaceIndex) -> SocketAddr {
    match peer {
        SocketAddr::V6(peer) if peer.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*peer.ip(), peer.port(), 0, interface.number()).into()
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => peer,
    }
}
