//! The simulated network: hosts, their sockets, and the links between them.
//!
//! [`Network`] knows who is bound where and which way a datagram takes. It moves nothing: the
//! world puts what travels into its agenda.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{
    Buffer, DatagramRun, Dscp, Entity, Entropy, Interface, InterfaceIndex, NetworkError, Sharing,
    SocketId, Timestamp, Transmit, UdpBuffers, UdpOpen, WhenFull,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::counters::Counters;
use crate::device::Devices;
use crate::draws::LazySite;
use crate::few::Few;
use crate::link::Links;
use crate::room::Lazy;

mod addresses;
mod crossing;
mod interfaces;
mod look;
mod many;
mod socket;
pub(crate) mod steer;
mod straight;
mod table;
mod topology;

use addresses::{AddressBook, Owner};
pub(crate) use crossing::{Addressed, Carrier, Denied, HOP_LIMIT, Journey, Stop};
use interfaces::NetworkPrefix;
pub(crate) use interfaces::{FIRST, HostAddress, LOOPBACK};
use many::Member;
pub(crate) use many::{Audience, Landing, MembershipChange, Spread, heard_at};
pub(crate) use socket::Held;
use socket::{Domain, Fit, Local, Socket, Sockets};
use straight::Lone;
pub(crate) use straight::Straight;
pub(crate) use topology::Entrance;
use topology::Topology;

pub(crate) struct Network {
    pub(crate) hosts: Vec<Host>,
    /// By host. Apart, because it is looked at for each datagram.
    pub(crate) entities: Vec<Entity>,
    pub(crate) links: Links,
    pub(crate) devices: Devices,
    pub(crate) counters: Counters,
    /// Whether there is, or was, more to know of the way than who has an address now: gateways,
    /// firewalls, or nodes whose addresses change.
    pub(crate) routed: bool,
    /// The addresses of all who are behind no NAT.
    public: AddressBook,
    topology: Topology,
    /// By network: the nodes in it, and at which of their interfaces. Networks behind different
    /// gateways may have one prefix.
    by_network: IndexMap<(u32, NetworkPrefix), Vec<Owner>, FxBuildHasher>,
    sockets: Sockets,
    /// By host: its only socket, if it has one and not more. Apart, as `entities` are.
    lone: Vec<Option<Lone>>,
    /// By worker: whether it takes nothing.
    pub(crate) held: Vec<Held>,
    flow: LazySite,
    ephemeral: LazySite,
}

pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    /// It has crashed: nothing that comes is answered.
    pub(crate) is_down: bool,
    /// Those first that sockets bound to all addresses send from.
    addresses: Few<HostAddress>,
    /// The gateway that it is behind, if it is not in the public network.
    pub(crate) behind: Option<u32>,
    /// The realm that its addresses are of.
    realm: u32,
    /// By port.
    bound: Few<Bound>,
    /// Few are in a group.
    members: Lazy<Vec<Member>>,
    /// What the choice among shared sockets is keyed with.
    flow_key: u64,
    /// Ports that were chosen for sockets.
    ports_chosen: u64,
}

/// A socket as the network sees it.
#[derive(Debug)]
struct Bound {
    local: Local,
    domain: Domain,
    worker: u32,
    socket: SocketId,
    shares: bool,
    /// Few have any of it.
    special: Option<Box<Special>>,
}

/// What few sockets have.
#[derive(Debug, Default)]
struct Special {
    /// The only peer.
    peer: Option<SocketAddr>,
    /// Who of those who share its port gets what comes, if not by flow.
    steering: Option<Sharing>,
}

impl Bound {
    /// Whether it is bound to all addresses of the family of `ip`.
    fn is_for_all(&self, ip: IpAddr) -> bool {
        self.local.ip().is_unspecified() && self.domain.speaks(ip)
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.special.as_ref().and_then(|special| special.peer)
    }

    /// How well it fits a datagram.
    fn fit(&self, target: IpAddr, peer: SocketAddr) -> Option<Fit> {
        Fit::of(self.local.ip(), self.domain, self.peer(), target, peer)
    }
}

/// Datagrams on their way.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The worker and socket that sent them.
    pub(crate) worker: u32,
    pub(crate) socket: SocketId,
    /// Whom they are for.
    pub(crate) target: SocketAddr,
    pub(crate) audience: Audience,
    pub(crate) run: DatagramRun,
    /// If they pass gateways.
    pub(crate) journey: Option<Box<Journey>>,
}

/// What the network says to a transmit.
pub(crate) enum Route {
    /// From this address to this node and interface.
    To {
        node: u32,
        source: SocketAddr,
        interface: InterfaceIndex,
        dscp: Dscp,
    },
    /// To several nodes, or to none.
    Many(Spread),
    /// No node has the address.
    Nowhere,
    /// The sender's socket is not open.
    Closed,
    /// The node does not send it.
    Refused(NetworkError),
}

impl Flight {
    /// A flight of nothing, to be filled in.
    pub(crate) fn new(socket: SocketId, source: SocketAddr) -> Self {
        Self {
            from: 0,
            to: 0,
            worker: 0,
            socket,
            target: source,
            audience: Audience::One,
            run: DatagramRun::new(source, Buffer::empty(), 0),
            journey: None,
        }
    }
}

impl Network {
    pub(crate) fn new(entropy: &Entropy, steady: bool) -> Self {
        Self {
            hosts: Vec::new(),
            entities: Vec::new(),
            links: Links::new(entropy, steady),
            devices: Devices::new(entropy),
            counters: Counters::default(),
            routed: false,
            public: AddressBook::default(),
            topology: Topology::new(entropy),
            by_network: IndexMap::default(),
            sockets: Sockets::default(),
            lone: Vec::new(),
            held: Vec::new(),
            flow: LazySite::new(entropy, "shared port"),
            ephemeral: LazySite::new(entropy, "ephemeral port"),
        }
    }

    pub(crate) fn add_worker(&mut self) {
        self.sockets.add_worker();
        self.held.push(Held::No);
    }

    #[inline(always)]
    pub(crate) fn link_entity(&self, from: u32, to: u32) -> Entity {
        let to = self.entities[to as usize];
        self.entities[from as usize].part(to.number())
    }

    /// Opens a socket. Says to what it is bound, and what its buffers hold.
    pub(crate) fn open(
        &mut self,
        node: u32,
        worker: u32,
        socket: SocketId,
        open: &UdpOpen,
    ) -> Result<(SocketAddr, UdpBuffers), NetworkError> {
        let (host, entity) = (&mut self.hosts[node as usize], self.entities[node as usize]);
        let (domain, ip) = (Domain::of(open), open.bind.ip());
        if !ip.is_unspecified() && !ip.is_multicast() && !host.has(ip) {
            return Err(NetworkError::AddressNotAvailable);
        }
        let interface = open.multicast_interface;
        if interface != Interface::ByRoute && host.interface(interface, ip).is_none() {
            return Err(NetworkError::NoSuchInterface);
        }
        let mut local = open.bind;
        if local.port() == 0 {
            let count = host.ports_chosen;
            host.ports_chosen += 1;
            let start = self
                .ephemeral
                .below(entity, count, u64::from(EPHEMERAL_PORTS));
            let port = host.free_port(local, domain, start);
            local.set_port(port.ok_or(NetworkError::AddressInUse)?);
        } else if host.conflict(local, domain, open.sharing).is_some() {
            return Err(NetworkError::AddressInUse);
        }
        if let Some(peer) = open.peer {
            if !domain.speaks(peer.ip()) {
                return Err(NetworkError::AddressFamily);
            }
            let from = host.towards(towards_family(local.ip(), peer.ip()), peer.ip())?;
            if from != local.ip() {
                local = SocketAddr::new(from, local.port());
            }
        }
        let host = &mut self.hosts[node as usize];
        let mut bound = Bound {
            local: local.into(),
            domain,
            worker,
            socket,
            shares: open.sharing.is_shared(),
            special: open.peer.map(|peer| {
                Box::new(Special {
                    peer: Some(peer),
                    steering: None,
                })
            }),
        };
        host.steer(&mut bound, open.sharing);
        host.bind(bound);
        let source = |any: IpAddr| host.source(towards_family(local.ip(), any));
        let opened = Socket::new(socket, local.into(), source, open);
        let buffers = opened.buffers();
        self.sockets.insert(worker, opened);
        self.note_lone(node);
        Ok((local, buffers))
    }

    /// Closes a socket, if it is open.
    pub(crate) fn close(&mut self, node: u32, worker: u32, socket: SocketId) {
        let slot = self.sockets.slot_mut(worker, socket.key().slot);
        if let Some(open) = slot.and_then(|slot| slot.take_if(|open| open.id == socket)) {
            let host = &mut self.hosts[node as usize];
            host.unbind(open.local.port(), worker, socket);
            host.leave_all(worker, socket);
            self.note_lone(node);
        }
    }

    /// Closes all sockets and devices of a worker that is no more.
    pub(crate) fn close_all(&mut self, node: u32, worker: u32) {
        let host = &mut self.hosts[node as usize];
        for open in self.sockets.take(worker) {
            host.unbind(open.local.port(), worker, open.id);
            host.leave_all(worker, open.id);
        }
        self.devices.close_all(worker);
        let is_left = |bound: &Bound| bound.worker == worker;
        assert!(
            !host.bound.iter().any(is_left),
            "a worker that is no more has no socket"
        );
        self.note_lone(node);
    }

    /// What a socket that is open does with datagrams for which its queue has no room.
    pub(crate) fn when_full(&self, worker: u32, id: SocketId) -> Option<WhenFull> {
        self.socket(worker, id)
            .map(|socket| socket.options().when_full)
    }

    /// How many sockets a node has open.
    pub(crate) fn sockets_of(&self, node: u32) -> usize {
        self.hosts[node as usize].bound.len()
    }

    #[inline(always)]
    fn socket(&self, worker: u32, id: SocketId) -> Option<&Socket> {
        let open = self.sockets.get(worker, id.key().slot)?;
        (open.id == id).then_some(open)
    }

    /// Whether a socket has room for datagrams that arrive now. If so, they take it.
    #[inline(always)]
    pub(crate) fn take_room(
        &mut self,
        now: Timestamp,
        (worker, id): (u32, SocketId),
        run: &DatagramRun,
    ) -> bool {
        let open = self.sockets.slot_mut(worker, id.key().slot);
        let Some(Some(open)) = open.filter(|open| open.as_ref().is_some_and(Socket::is_limited))
        else {
            return true;
        };
        open.take_room(now, run, self.held[worker as usize])
    }

    /// A worker takes datagrams that have waited at a socket.
    pub(crate) fn free_room(&mut self, (worker, id): (u32, SocketId), run: &DatagramRun) {
        let open = self.sockets.slot_mut(worker, id.key().slot);
        if let Some(Some(open)) = open
            && open.id == id
        {
            open.free_room(run);
        }
    }

    /// Which way a transmit takes.
    pub(crate) fn route(&self, node: u32, worker: u32, transmit: &Transmit) -> Route {
        let Some(socket) = self.socket(worker, transmit.socket) else {
            return Route::Closed;
        };
        let (host, target) = (&self.hosts[node as usize], transmit.peer.ip());
        if !socket.domain.speaks(target) {
            return Route::Refused(NetworkError::AddressFamily);
        }
        if socket.is_deaf_to(transmit.peer) {
            return Route::Refused(NetworkError::OtherPeer);
        }
        let known = if self.routed {
            self.towards(node, target)
        } else {
            self.public.find(target).copied()
        };
        let to = match known {
            Some((to, _)) if to == node => Some((node, LOOPBACK)),
            Some(to) => Some(to),
            None => {
                if let Some(route) = self.route_to_many(node, socket, transmit) {
                    return route;
                }
                if target.is_loopback() {
                    Some((node, LOOPBACK))
                } else {
                    self.way_out(node)
                }
            }
        };
        if let SocketAddr::V6(peer) = transmit.peer
            && !host.is_in_scope(peer.scope_id())
        {
            return Route::Refused(NetworkError::NoSuchInterface);
        }
        let source = if let Some(source) = own_source(transmit) {
            if source.is_ipv4() != target.is_ipv4() {
                return Route::Refused(NetworkError::AddressFamily);
            }
            let usual = socket.source_to(source) == Some(source);
            if (self.routed || !usual) && !host.has(source) {
                return Route::Refused(NetworkError::AddressNotAvailable);
            }
            source
        } else if to.is_some_and(|(to, _)| to == node) && socket.local.ip().is_unspecified() {
            match host.towards(towards_family(socket.local.ip(), target), target) {
                Ok(source) => source,
                Err(error) => return Route::Refused(error),
            }
        } else {
            let source = if self.routed {
                host.source(towards_family(socket.local.ip(), target))
            } else {
                socket.source_to(target)
            };
            match source {
                Some(source) if self.routed && !host.has(source) => {
                    return Route::Refused(NetworkError::AddressNotAvailable);
                }
                Some(source) => source,
                None => return Route::Refused(NetworkError::NetworkUnreachable),
            }
        };
        let source = SocketAddr::new(source, socket.local.port());
        to.map_or(Route::Nowhere, |(node, interface)| Route::To {
            node,
            source: heard_at(source, interface),
            interface,
            dscp: transmit.dscp.unwrap_or(socket.dscp),
        })
    }

    /// Which way a transmit takes that is not for one address. `None` if it is.
    fn route_to_many(&self, node: u32, socket: &Socket, transmit: &Transmit) -> Option<Route> {
        let spread = if transmit.peer.ip().is_multicast() {
            self.route_to_group(node, socket, transmit)
        } else {
            self.route_to_everybody(node, socket, transmit)?
        };
        Some(spread.map_or_else(Route::Refused, Route::Many))
    }

    /// The worker and socket that datagrams with this payload are for.
    pub(crate) fn receiver(
        &self,
        node: u32,
        target: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<(u32, SocketId)> {
        let host = &self.hosts[node as usize];
        let found = host.at_port(target.port());
        let target = target.ip();
        let fit = |bound: &Bound| bound.fit(target, peer);
        if let [only] = found {
            return fit(only).map(|_| (only.worker, only.socket));
        }
        let best = found.iter().filter_map(fit).max()?;
        let fits = |bound: &&Bound| fit(bound) == Some(best);
        let chosen = match found.iter().filter(fits).count() {
            1 => found.iter().find(fits)?,
            count => {
                let (flow, sharing) = (host.flow(peer), found.iter().find(fits)?.sharing());
                let place = match steer::place(sharing, flow, payload, count) {
                    Some(place) => place,
                    None => usize::try_from(flow % count as u64).ok()?,
                };
                found.iter().filter(fits).nth(place)?
            }
        };
        Some((chosen.worker, chosen.socket))
    }
}

impl Host {
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.iter().any(|own| own.ip == address)
    }

    /// Whether a peer may have this scope id: it is 0, or one of our interfaces.
    fn is_in_scope(&self, scope_id: u32) -> bool {
        InterfaceIndex::new(scope_id).is_none_or(|index| {
            self.interface(Interface::Index(index), Ipv6Addr::UNSPECIFIED.into())
                .is_some()
        })
    }

    fn at_port(&self, port: u16) -> &[Bound] {
        let from = self
            .bound
            .partition_point(|bound| bound.local.port() < port);
        let rest = &self.bound[from..];
        let count = rest
            .iter()
            .take_while(|bound| bound.local.port() == port)
            .count();
        &rest[..count]
    }

    fn bind(&mut self, new: Bound) {
        let port = new.local.port();
        let place = self
            .bound
            .partition_point(|bound| bound.local.port() <= port);
        self.bound.insert(place, new);
    }

    fn unbind(&mut self, port: u16, worker: u32, socket: SocketId) {
        let from = self
            .bound
            .partition_point(|bound| bound.local.port() < port);
        let ours = |bound: &Bound| (bound.worker, bound.socket) == (worker, socket);
        if let Some(offset) = self.bound[from..].iter().position(ours) {
            let left = self.bound.remove(from + offset);
            self.move_up(from + offset, &left);
        }
    }

    /// A socket that does not let another be bound to `local`.
    fn conflict(&self, local: SocketAddr, domain: Domain, sharing: Sharing) -> Option<&Bound> {
        self.at_port(local.port()).iter().find(|bound| {
            let (one, other) = (bound.local.ip(), local.ip());
            let overlap = one == other
                || bound.is_for_all(other)
                || (other.is_unspecified() && domain.speaks(one));
            let shared = bound.shares && sharing.is_shared();
            overlap && !shared
        })
    }

    /// The first port from `start` on that nobody is bound to at this address.
    fn free_port(&self, mut local: SocketAddr, domain: Domain, start: u64) -> Option<u16> {
        let ports = (start..).take(usize::from(EPHEMERAL_PORTS));
        ports
            .filter_map(|offset| u16::try_from(offset % u64::from(EPHEMERAL_PORTS)).ok())
            .map(|offset| EPHEMERAL_FIRST + offset)
            .find(|&port| {
                local.set_port(port);
                self.conflict(local, domain, Sharing::Exclusive).is_none()
            })
    }

    /// The address that a socket bound to `local` sends to `peer` from: whoever talks to itself
    /// hears its own voice.
    pub(crate) fn towards(&self, local: IpAddr, peer: IpAddr) -> Result<IpAddr, NetworkError> {
        if peer.is_ipv4() != local.is_ipv4() {
            return Err(NetworkError::AddressFamily);
        }
        if !local.is_unspecified() && !local.is_multicast() {
            return Ok(local);
        }
        match peer {
            IpAddr::V4(ip) if ip.is_loopback() => Ok(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_loopback() => Ok(Ipv6Addr::LOCALHOST.into()),
            own if self.has(own) => Ok(own),
            IpAddr::V4(_) | IpAddr::V6(_) => {
                self.source(local).ok_or(NetworkError::NetworkUnreachable)
            }
        }
    }

    /// The address that a socket bound to `local` sends from.
    fn source(&self, local: IpAddr) -> Option<IpAddr> {
        if !local.is_unspecified() && !local.is_multicast() {
            return Some(local);
        }
        let fits = |own: &&HostAddress| own.ip.is_ipv4() == local.is_ipv4();
        self.addresses.iter().find(fits).map(|own| own.ip)
    }

    pub(crate) fn flow(&self, peer: SocketAddr) -> u64 {
        let mut bytes = [0; 18];
        match peer.ip() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
        }
        bytes[16..].copy_from_slice(&peer.port().to_le_bytes());
        xxh3_64_with_seed(&bytes, self.flow_key)
    }
}

/// The address that a transmit is to come from, if it says so. A group sends nothing.
fn own_source(transmit: &Transmit) -> Option<IpAddr> {
    transmit.source.filter(|source| !source.is_multicast())
}

/// `local`, or all addresses of the family of `peer` if it is all addresses of both.
fn towards_family(local: IpAddr, peer: IpAddr) -> IpAddr {
    if local == Ipv6Addr::UNSPECIFIED && peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        local
    }
}

/// The ports that are chosen from for port 0 (RFC 6335).
pub(crate) const EPHEMERAL_FIRST: u16 = 49_152;
pub(crate) const EPHEMERAL_PORTS: u16 = 16_384;
