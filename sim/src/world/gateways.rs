//! What a scenario says of gateways, firewalls, addresses and names.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use stillpoint::{App, WhenWorkerFails};

use super::World;
use super::outside::Outside;
use crate::few::Few;
use crate::gateway::GatewayBuilder;
use crate::gateway::firewall::Firewall;
use crate::gateway::nat::{Nat, NatMapping, NatTable};
use crate::names::Names;
use crate::network::HostAddress;
use crate::node::NodeId;
use crate::trace::{Place, TraceKind};
use crate::world::{Node, Rules};

impl<A: App> World<A> {
    /// Describes a new gateway: a node that runs nothing, and forwards for those that are put
    /// [behind](crate::NodeBuilder::behind) it. [`GatewayBuilder::build`] completes it.
    ///
    /// The links between it and the nodes of both its networks are links as all others: give those
    /// to the network outside a latency and a loss, and everybody behind the gateway has them.
    pub fn gateway(&mut self, name: impl Into<String>) -> GatewayBuilder<'_, A> {
        GatewayBuilder {
            world: self,
            name: name.into(),
            addresses: Vec::new(),
            behind: None,
            nat: None,
            firewall: None,
        }
    }

    pub(crate) fn add_router(
        &mut self,
        name: &str,
        addresses: Vec<HostAddress>,
        behind: Option<NodeId>,
    ) -> NodeId {
        let none = name.to_owned();
        let node = Node {
            customs: None,
            workers: 0,
            make: Box::new(move |_| panic!("gateway `{none}` runs no workers: it only forwards")),
        };
        let rules = Rules {
            bus: None,
            when_worker_fails: WhenWorkerFails::GoOn,
            inputs_max: 0,
        };
        self.add_node(name, addresses, behind, rules, node)
    }

    pub(crate) fn make_gateway(
        &mut self,
        node: NodeId,
        nat: Option<Nat>,
        firewall: Option<Firewall>,
    ) {
        let network = &mut self.outside.network;
        network.add_gateway(node.number(), nat.map(NatTable::new));
        if firewall.is_some() {
            network.set_firewall(node.number(), firewall);
        }
    }

    /// Has a NAT forget all its mappings, but those of [`Nat::forward`], at this instant: as when it
    /// was switched off and on. What its flows send next leaves through other ports than before, and
    /// what is sent to the old ones reaches nobody.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is no NAT.
    pub fn rebind(&mut self, gateway: NodeId) {
        self.nat_of(gateway).forget_all();
        self.moved(gateway, &Change::Rebound);
    }

    /// Gives a gateway another address in place of those of its family, at this instant: as
    /// providers do. A NAT forgets its mappings of that family, and those of the other with it.
    ///
    /// # Panics
    ///
    /// If there is no such node, it is no gateway, or the address is another node's.
    pub fn set_gateway_address(&mut self, gateway: NodeId, address: impl Into<IpAddr>) {
        let (number, ip) = (self.known_gateway(gateway).number(), address.into());
        let network = &mut self.outside.network;
        let old = network.addresses(number);
        let old: Vec<IpAddr> = old.filter(|old| old.is_ipv4() == ip.is_ipv4()).collect();
        for old in old {
            network.remove_address(number, old);
        }
        network.add_address(number, ip);
        if let Some(nat) = network.nat_mut(number) {
            nat.forget_all();
        }
        self.moved(gateway, &Change::Added(ip));
    }

    /// The mappings that a NAT has now, in order.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is no NAT.
    #[must_use]
    pub fn mappings(&self, gateway: NodeId) -> Vec<NatMapping> {
        let number = self.known_gateway(gateway).number();
        let network = &self.outside.network;
        let nat = network.nat(number).unwrap_or_else(|| self.no_nat(gateway));
        let outer = |is_ipv4| {
            let mut own = network.addresses(number);
            own.find(|own| own.is_ipv4() == is_ipv4)
        };
        let live = nat.mappings(self.now());
        let mappings = live.filter_map(|(protocol, inner, port)| {
            let outer = SocketAddr::new(outer(inner.is_ipv4())?, port);
            Some(NatMapping {
                protocol,
                inner,
                outer,
            })
        });
        let mut mappings: Vec<NatMapping> = mappings.collect();
        mappings.sort_unstable();
        mappings
    }

    /// Puts a firewall at a gateway or a node, in place of the one that is there, if any. It knows
    /// no flows at first.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn set_firewall(&mut self, node: NodeId, firewall: Firewall) {
        let number = self.known(node).number();
        let network = &mut self.outside.network;
        network.set_firewall(number, Some(firewall));
    }

    /// Takes the firewall of a gateway or node away, if there is one.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn remove_firewall(&mut self, node: NodeId) {
        let number = self.known(node).number();
        self.outside.network.set_firewall(number, None);
    }

    /// The address of a node that sockets bound to all addresses send from: the last that it was
    /// given by [`World::add_address`], or the first that it was made with.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it has no address.
    #[must_use]
    pub fn address(&self, node: NodeId) -> IpAddr {
        let mut own = self.outside.network.addresses(self.known(node).number());
        own.next().unwrap_or_else(|| {
            panic!(
                "node `{}` has no address: ask `World::addresses` if that may be",
                self.node_name(node)
            )
        })
    }

    /// All addresses of a node, that of [`World::address`] first.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn addresses(&self, node: NodeId) -> Vec<IpAddr> {
        let own = self.outside.network.addresses(self.known(node).number());
        own.collect()
    }

    /// Gives a node one more address in the network that it is in, at this instant. Sockets bound to
    /// all addresses send from it from now on, unless they are connected. It is at the interface of
    /// the address before.
    ///
    /// # Panics
    ///
    /// If there is no such node, or somebody in its network has the address.
    pub fn add_address(&mut self, node: NodeId, address: impl Into<IpAddr>) {
        let (number, ip) = (self.known(node).number(), address.into());
        self.outside.network.add_address(number, ip);
        self.moved(node, &Change::Added(ip));
    }

    /// Takes an address from a node, at this instant. What is on its way there is lost. Sockets that
    /// are bound to it stay open, and what they send fails with
    /// [`AddressNotAvailable`](stillpoint::NetworkError::AddressNotAvailable); streams from it hear
    /// nothing any more, and time out.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it does not have the address.
    pub fn remove_address(&mut self, node: NodeId, address: impl Into<IpAddr>) {
        let (number, ip) = (self.known(node).number(), address.into());
        let removed = self.outside.network.remove_address(number, ip);
        assert!(
            removed,
            "node `{}` without {ip}: only an address that it has can be taken from it",
            self.node_name(node)
        );
        self.moved(node, &Change::Removed(ip));
    }

    /// Takes all addresses from a node and puts it into the network behind `gateway`, or into the
    /// public one, with this address: as a phone that leaves its home's Wi-Fi. What becomes of
    /// sockets and streams says [`World::remove_address`]. A NAT that is moved forgets its mappings.
    ///
    /// # Panics
    ///
    /// If there is no such node, `gateway` is none, the node would be behind itself, somebody in the
    /// network has the address, or the node is a gateway without NAT that has others behind it: they
    /// share the addresses of the network that it is in, and have to be moved before.
    pub fn move_behind(
        &mut self,
        node: NodeId,
        gateway: Option<NodeId>,
        address: impl Into<IpAddr>,
    ) {
        let (number, ip) = (self.known(node).number(), address.into());
        let gateway = gateway.map(|gateway| self.known_gateway(gateway).number());
        let network = &self.outside.network;
        let name = self.node_name(node);
        if let Some(gateway) = gateway {
            let above = &network.hosts[gateway as usize].name;
            assert!(
                !network.is_within(gateway, number),
                "node `{name}` behind `{above}`, which is behind `{name}`: no way leads out"
            );
        }
        let is_router = network.is_gateway(number) && network.nat(number).is_none();
        assert!(
            !is_router || !network.has_nodes_behind(number),
            "gateway `{name}` without NAT: those behind it have addresses of the network that it is \
            in; move them before"
        );
        self.outside.network.move_behind(number, gateway, ip);
        self.moved(node, &Change::Behind(gateway, ip));
    }

    /// The names of all nodes, and those that were set.
    #[must_use]
    pub fn names(&self) -> Names {
        self.outside.names.clone()
    }

    /// Has a name stand for these addresses from now on; also if it is a node's.
    pub fn set_name(
        &mut self,
        name: impl AsRef<str>,
        addresses: impl IntoIterator<Item = impl Into<IpAddr>>,
    ) {
        let addresses = addresses.into_iter().map(Into::into);
        let names = &self.outside.names;
        names.set(name.as_ref(), Some(addresses.collect()));
    }

    /// Has a name that was set stand for nothing again, or for the node of that name.
    pub fn remove_name(&mut self, name: impl AsRef<str>) {
        self.outside.names.set(name.as_ref(), None);
    }

    /// Notes that a node is found elsewhere.
    pub(super) fn moved(&mut self, node: NodeId, change: &Change) {
        let Outside {
            network,
            trace,
            names,
            now,
            ..
        } = &mut self.outside;
        let number = node.number();
        let own: Few<IpAddr> = network.addresses(number).collect();
        let name = Arc::clone(&network.hosts[number as usize].name);
        names.set_own(name, number, &own);
        let text = trace.text(change);
        let place = Place {
            at: *now,
            node: number,
            worker: 0,
        };
        trace.push(place, TraceKind::Moved, 0, [text, 0, 0]);
    }

    pub(crate) fn known_gateway(&self, gateway: NodeId) -> NodeId {
        let known = self.known(gateway);
        assert!(
            self.outside.network.is_gateway(known.number()),
            "node `{}` is no gateway: only what `World::gateway` has made forwards for others",
            self.node_name(known)
        );
        known
    }

    fn nat_of(&mut self, gateway: NodeId) -> &mut NatTable {
        let number = self.known_gateway(gateway).number();
        if self.outside.network.nat(number).is_none() {
            self.no_nat(gateway);
        }
        let table = self.outside.network.nat_mut(number);
        table.expect("it was there a moment ago")
    }

    fn no_nat(&self, gateway: NodeId) -> ! {
        panic!(
            "gateway `{}` is no NAT: see `GatewayBuilder::nat`",
            self.node_name(gateway)
        )
    }
}

/// What has changed at a node, for the trace.
#[derive(Debug)]
#[expect(dead_code, reason = "its text is what counts")]
pub(super) enum Change {
    Added(IpAddr),
    Removed(IpAddr),
    Behind(Option<u32>, IpAddr),
    Rebound,
}
