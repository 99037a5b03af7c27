//! What becomes of something at a gateway or at the firewall of a node: which way it goes on, and
//! with which addresses.

use core::net::{IpAddr, SocketAddr};

use stillpoint::{DeviceId, InterfaceIndex, NetworkError, SocketId, Timestamp, Transmit};

use super::topology::Entrance;
use super::{Flight, Network, Route};
use crate::counters::DropCause;
use crate::device::{Goal, is_to_all};
use crate::gateway::Protocol;
use crate::gateway::firewall::{Denial, Direction, Firewall, FirewallTable, Passing};
use crate::gateway::nat::{Hairpin, MappingId, Unwanted};
use crate::tcp::address_number;

/// What is at a gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressed {
    pub(crate) carrier: Carrier,
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
}

/// What it comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Sockets and streams, at addresses of nodes.
    Node,
    /// Devices, at addresses of their own.
    Device,
}

/// How it goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crossing {
    /// To whom.
    pub(crate) next: u32,
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
    /// The mapping through which it left.
    pub(crate) mapping: Option<MappingId>,
}

/// It does not go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Denied {
    pub(crate) cause: DropCause,
    pub(crate) denial: Denial,
}

impl Denied {
    pub(crate) const fn silently(cause: DropCause) -> Self {
        let denial = Denial::Drop;
        Self { cause, denial }
    }
}

/// What datagrams have with them that pass gateways.
#[derive(Debug, Clone)]
pub(crate) struct Journey {
    /// Whom the task has sent them to.
    pub(crate) asked: SocketAddr,
    pub(crate) hop_limit: u8,
    pub(crate) entrance: Entrance,
    /// Where they have come by, the sender first: so errors find back.
    pub(crate) trail: Vec<Stop>,
}

/// Where something has come by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) node: u32,
    /// The mapping that it has left through. Without it, an error is for nobody.
    pub(crate) mapping: Option<MappingId>,
}

impl Flight {
    /// Whether it is a gateway that sends it now.
    pub(crate) fn is_forwarded(&self) -> bool {
        let journey = self.journey.as_ref();
        journey.is_some_and(|journey| journey.trail.len() > 1)
    }
}

impl Network {
    /// Says how something goes on that has come to a gateway.
    pub(crate) fn cross(
        &mut self,
        now: Timestamp,
        at: u32,
        entrance: Entrance,
        addressed: Addressed,
    ) -> Result<Crossing, Denied> {
        let is_own = self.hosts[at as usize].has(addressed.target.ip());
        let is_nat = self.nat(at).is_some();
        match (is_nat, entrance, is_own) {
            (true, Entrance::Inside, true) => self.turn_back(now, at, addressed),
            (true, Entrance::Inside, false) => self.leave(now, at, addressed),
            (true, Entrance::Outside, true) => self.enter(now, at, addressed),
            // Nobody is there: a gateway runs nothing.
            (false, _, true) => Err(Denied {
                cause: DropCause::NoSocket,
                denial: Denial::Reject,
            }),
            // It was for somebody who is no longer where the sender has seen him.
            (true, Entrance::Outside, false) => Err(Denied::silently(DropCause::NoRoute)),
            (false, _, false) => {
                let direction = match entrance {
                    Entrance::Inside => Direction::Outbound,
                    Entrance::Outside => Direction::Inbound,
                };
                self.ask_firewall(now, at, direction, addressed)?;
                Self::onwards(self.way_on(at, addressed), addressed, None)
            }
        }
    }

    /// Out of the realm behind a NAT.
    fn leave(&mut self, now: Timestamp, at: u32, addressed: Addressed) -> Result<Crossing, Denied> {
        let inner = self.realm_behind(Some(at));
        if let Some(next) = self.way_in(at, inner, addressed) {
            return Self::onwards(Some(next), addressed, None); // It has moved meanwhile.
        }
        self.ask_firewall(now, at, Direction::Outbound, addressed)?;
        let (source, mapping) = self.translate(now, at, addressed)?;
        let addressed = Addressed {
            source,
            ..addressed
        };
        Self::onwards(self.way_on(at, addressed), addressed, Some(mapping))
    }

    /// Into the realm behind a NAT.
    fn enter(&mut self, now: Timestamp, at: u32, addressed: Addressed) -> Result<Crossing, Denied> {
        let target = self.find_inner(now, at, addressed)?;
        let addressed = Addressed {
            target,
            ..addressed
        };
        self.ask_firewall(now, at, Direction::Inbound, addressed)?;
        self.onwards_inside(at, addressed, None)
    }

    /// From the realm behind a NAT to itself.
    fn turn_back(
        &mut self,
        now: Timestamp,
        at: u32,
        addressed: Addressed,
    ) -> Result<Crossing, Denied> {
        if self
            .nat(at)
            .is_none_or(|table| table.nat.hairpin == Hairpin::Off)
        {
            return Err(Denied::silently(DropCause::Filtered));
        }
        let (source, mapping) = self.translate(now, at, addressed)?;
        let addressed = Addressed {
            source,
            ..addressed
        };
        let target = self.find_inner(now, at, addressed)?;
        let addressed = Addressed {
            target,
            ..addressed
        };
        self.onwards_inside(at, addressed, Some(mapping))
    }

    fn onwards_inside(
        &self,
        at: u32,
        addressed: Addressed,
        mapping: Option<MappingId>,
    ) -> Result<Crossing, Denied> {
        let way = self.way_in(at, self.realm_behind(Some(at)), addressed);
        Self::onwards(way, addressed, mapping)
    }

    /// Where a gateway sends something on, in the realm that it is in itself or out of it.
    fn way_on(&self, at: u32, addressed: Addressed) -> Option<u32> {
        let way = self.way_in(at, self.hosts[at as usize].realm, addressed);
        way.or_else(|| self.way_out(at).map(|(next, _)| next))
    }

    /// Where a gateway sends something on, in one of the realms that it is in.
    fn way_in(&self, at: u32, realm: u32, addressed: Addressed) -> Option<u32> {
        let ip = addressed.target.ip();
        match addressed.carrier {
            Carrier::Node => self.towards_in(at, realm, ip).map(|(next, _)| next),
            Carrier::Device => self.packet_way(at, realm, ip),
        }
    }

    /// The next on the way of a packet, within a realm: to a device, or to a gateway that it names.
    fn packet_way(&self, at: u32, realm: u32, ip: IpAddr) -> Option<u32> {
        let sees = |node: u32| self.hosts[node as usize].realm == realm;
        let owner = match self.devices.route_from(at, ip, sees) {
            Some(port) => self.devices.get(port.device).node,
            None => {
                let &(owner, _) = self.book(realm).find(ip)?;
                self.is_gateway(owner).then_some(owner)?
            }
        };
        Some(self.next_hop(at, owner))
    }

    /// Where a packet goes first that a task has given to a device.
    pub(crate) fn packet_goal(&self, id: DeviceId, entered: usize, ip: IpAddr) -> Option<Goal> {
        let from = self.devices.get(entered).node;
        if is_to_all(ip) {
            return self.devices.route(entered, ip).map(Goal::Device);
        }
        let way = self.packet_way(from, self.hosts[from as usize].realm, ip);
        let next = way.or_else(|| self.way_out(from).map(|(next, _)| next))?;
        self.packet_goal_at(id, from, next, ip)
    }

    /// Where a packet goes at `next`: on, or to a device there.
    pub(crate) fn packet_goal_at(
        &self,
        id: DeviceId,
        from: u32,
        next: u32,
        ip: IpAddr,
    ) -> Option<Goal> {
        if self.is_gateway(next) {
            return Some(Goal::Gate {
                node: next,
                entrance: self.entrance(from, next),
                id,
            });
        }
        let realm = self.hosts[next as usize].realm;
        let sees = |node: u32| self.hosts[node as usize].realm == realm;
        let port = self.devices.route_from(from, ip, sees);
        port.map(Goal::Device)
    }

    fn onwards(
        next: Option<u32>,
        addressed: Addressed,
        mapping: Option<MappingId>,
    ) -> Result<Crossing, Denied> {
        let Some(next) = next else {
            return Err(Denied::silently(DropCause::NoRoute));
        };
        Ok(Crossing {
            next,
            source: addressed.source,
            target: addressed.target,
            mapping,
        })
    }

    /// The address that something gets which leaves through a NAT.
    fn translate(
        &mut self,
        now: Timestamp,
        at: u32,
        addressed: Addressed,
    ) -> Result<(SocketAddr, MappingId), Denied> {
        let Addressed {
            protocol,
            source,
            target,
            ..
        } = addressed;
        let is_ours = |own: &IpAddr| own.is_ipv4() == source.is_ipv4();
        let own = self.addresses(at).find(is_ours);
        let own = own.ok_or(Denied::silently(DropCause::NoRoute))?;
        let (ports, entity) = (&self.topology.ports, self.entities[at as usize]);
        let gateway = self.topology.gateways.get_mut(&at);
        let table = gateway.and_then(|gateway| gateway.nat.as_mut());
        let table = table.ok_or(Denied::silently(DropCause::NoRoute))?;
        let forgotten = table.forgotten_times;
        // What the mapping is for, and when it is made: no other flow shifts it.
        let draw = |options| {
            let flow = entity
                .part(address_number(source))
                .part(address_number(target));
            let flow = flow.part(protocol as u64).part(forgotten);
            ports.below(flow, now.as_nanos(), options)
        };
        let left = table.leave(now, protocol, source, target, draw);
        let (port, mapping) = left.map_err(|_| Denied::silently(DropCause::MappingsFull))?;
        Ok((SocketAddr::new(own, port), mapping))
    }

    /// Who is behind an outer address of a NAT.
    fn find_inner(
        &mut self,
        now: Timestamp,
        at: u32,
        addressed: Addressed,
    ) -> Result<SocketAddr, Denied> {
        let table = self.nat_mut(at);
        let table = table.ok_or(Denied::silently(DropCause::NoRoute))?;
        let port = addressed.target.port();
        let found = table.enter(now, addressed.protocol, port, addressed.source);
        found.map_err(|unwanted| Denied {
            cause: match unwanted {
                Unwanted::NoMapping => DropCause::NoMapping,
                Unwanted::Filtered => DropCause::Filtered,
            },
            denial: table.nat.unsolicited,
        })
    }

    /// Whether the firewall at a node lets something pass, if there is one.
    fn ask_firewall(
        &mut self,
        now: Timestamp,
        node: u32,
        direction: Direction,
        addressed: Addressed,
    ) -> Result<(), Denied> {
        let Some(table) = self.topology.firewalls.get_mut(&node) else {
            return Ok(());
        };
        let passing = Passing {
            direction,
            protocol: addressed.protocol,
            source: addressed.source,
            target: addressed.target,
        };
        let cause = DropCause::Filtered;
        let passes = table.pass(now, &passing);
        passes.map_err(|denial| Denied { cause, denial })
    }

    /// Whether a gateway has to know the ports of what it sends on.
    pub(crate) fn looks_at_ports(&self, node: u32) -> bool {
        self.nat(node).is_some() || self.topology.firewalls.contains_key(&node)
    }

    /// Puts a firewall at a node, or takes it away.
    pub(crate) fn set_firewall(&mut self, node: u32, firewall: Option<Firewall>) {
        self.routed = true;
        let firewalls = &mut self.topology.firewalls;
        match firewall {
            Some(firewall) => {
                firewalls.insert(node, FirewallTable::new(firewall));
            }
            None => {
                firewalls.swap_remove(&node);
            }
        }
    }

    /// A node has started again: its NAT and its firewall know nothing of before.
    pub(crate) fn forget_flows(&mut self, node: u32) {
        if let Some(nat) = self.nat_mut(node) {
            nat.forget_all();
        }
        if let Some(table) = self.topology.firewalls.get_mut(&node) {
            table.forget_flows();
        }
    }

    /// Whether a node takes in what has come for it: it has the address, and its firewall lets it
    /// pass. Says at which interface.
    pub(crate) fn admit(
        &mut self,
        now: Timestamp,
        node: u32,
        addressed: Addressed,
    ) -> Result<InterfaceIndex, Denied> {
        let own = self.hosts[node as usize].addresses.iter();
        let mut own = own.filter(|own| own.ip == addressed.target.ip());
        let interface = own.next().map(|own| own.interface);
        let interface = interface.ok_or(Denied::silently(DropCause::NoRoute))?;
        if !self.is_gateway(node) {
            self.ask_firewall(now, node, Direction::Inbound, addressed)?;
        }
        Ok(interface)
    }

    /// Whether a node lets out what one of its own has to send. Gateways do.
    pub(crate) fn release(
        &mut self,
        now: Timestamp,
        node: u32,
        addressed: Addressed,
    ) -> Result<(), Denied> {
        if self.is_gateway(node) {
            return Ok(());
        }
        self.ask_firewall(now, node, Direction::Outbound, addressed)
    }

    /// The way of a transmit, if the firewall of its node lets it out.
    pub(crate) fn let_out(
        &mut self,
        now: Timestamp,
        from: u32,
        transmit: &Transmit,
        route: Route,
    ) -> Route {
        let Route::To { node, source, .. } = route else {
            return route;
        };
        let addressed = Addressed {
            carrier: Carrier::Node,
            protocol: Protocol::Udp,
            source,
            target: transmit.peer,
        };
        if node != from && self.release(now, from, addressed).is_err() {
            // As when Linux drops it on its way out.
            return Route::Refused(NetworkError::PermissionDenied);
        }
        route
    }

    /// Gives datagrams that begin their way what they need at gateways, if their next is one.
    pub(crate) fn embark(&self, flight: &mut Flight) {
        let (from, to) = (flight.from, flight.to);
        if from == to || !self.is_gateway(to) {
            return;
        }
        flight.journey = Some(Box::new(Journey {
            asked: flight.target,
            hop_limit: self.hop_limit(flight.worker, flight.socket),
            entrance: self.entrance(from, to),
            trail: vec![Stop {
                node: from,
                mapping: None,
            }],
        }));
    }

    fn hop_limit(&self, worker: u32, socket: SocketId) -> u8 {
        let socket = self.socket(worker, socket);
        let wanted = socket.and_then(|socket| socket.options().hop_limit);
        wanted.unwrap_or(HOP_LIMIT)
    }

    /// Whether an error about something that has come by there finds on.
    pub(crate) fn finds_back(&self, now: Timestamp, stop: Stop) -> bool {
        stop.mapping.is_none_or(|mapping| {
            let table = self.nat(stop.node);
            table.is_some_and(|table| table.has(mapping, now))
        })
    }
}

/// Gateways that something passes at most, unless its socket says otherwise: as in Linux.
pub(crate) const HOP_LIMIT: u8 = 64;
