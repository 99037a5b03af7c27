//! Which way leads from one node to another: networks, and the gateways between them.
//!
//! Every node is in one network: the public one, or that behind a gateway. Nodes of one network talk
//! directly; a gateway is in one network itself, and leads from there to the one behind it. So
//! networks form a tree, and there is one way from each node to each other.
//!
//! A gateway that is a NAT has a realm of addresses behind it, in which addresses of other realms
//! may be used again. What is not found in a realm is looked for outside, through its NAT.

use core::net::IpAddr;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entropy, InterfaceIndex};

use super::addresses::{AddressBook, Owner};
use super::interfaces::{FIRST, HostAddress};
use super::{Host, Network};
use crate::draws::LazySite;
use crate::gateway::firewall::FirewallTable;
use crate::gateway::nat::NatTable;

/// What a plain world has nothing of.
pub(crate) struct Topology {
    /// The realms behind NATs: number n at n - 1.
    pub(super) realms: Vec<AddressBook>,
    /// By node.
    pub(super) gateways: IndexMap<u32, Gateway, FxBuildHasher>,
    /// By node.
    pub(super) firewalls: IndexMap<u32, FirewallTable, FxBuildHasher>,
    pub(super) ports: LazySite,
}

pub(super) struct Gateway {
    /// The realm of those behind it.
    pub(super) inner_realm: u32,
    pub(super) nat: Option<NatTable>,
}

/// From which side something comes to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// From the network behind it.
    Inside,
    Outside,
}

impl Topology {
    pub(super) fn new(entropy: &Entropy) -> Self {
        Self {
            realms: Vec::new(),
            gateways: IndexMap::default(),
            firewalls: IndexMap::default(),
            ports: LazySite::new(entropy, "nat port"),
        }
    }

    /// Where a realm is, for a message: nothing of the public one.
    pub(super) fn place_of(&self, hosts: &[Host], realm: u32) -> String {
        let mut gateways = self.gateways.iter();
        let nat = gateways.find(|(_, gateway)| realm > 0 && gateway.inner_realm == realm);
        nat.map_or_else(String::new, |(&number, _)| {
            format!(" behind gateway `{}`", hosts[number as usize].name)
        })
    }
}

impl Network {
    /// Has a node forward for those who are to be behind it.
    pub(crate) fn add_gateway(&mut self, node: u32, nat: Option<NatTable>) {
        let mut inner_realm = self.hosts[node as usize].realm;
        if nat.is_some() {
            self.topology.realms.push(AddressBook::default());
            inner_realm = u32::try_from(self.topology.realms.len()).expect("fewer than 2^32 NATs");
        }
        let gateway = Gateway { inner_realm, nat };
        self.topology.gateways.insert(node, gateway);
        self.routed = true;
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = u32> {
        self.topology.gateways.keys().copied()
    }

    pub(crate) fn is_gateway(&self, node: u32) -> bool {
        self.topology.gateways.contains_key(&node)
    }

    /// The table of a gateway that is a NAT.
    pub(crate) fn nat(&self, node: u32) -> Option<&NatTable> {
        self.topology.gateways.get(&node)?.nat.as_ref()
    }

    pub(crate) fn nat_mut(&mut self, node: u32) -> Option<&mut NatTable> {
        self.topology.gateways.get_mut(&node)?.nat.as_mut()
    }

    /// The realm of those behind a gateway, or of all if there is none.
    pub(super) fn realm_behind(&self, behind: Option<u32>) -> u32 {
        behind.map_or(0, |gateway| self.topology.gateways[&gateway].inner_realm)
    }

    /// From which side what `from` sends comes to `to`.
    pub(crate) fn entrance(&self, from: u32, to: u32) -> Entrance {
        if self.hosts[from as usize].behind == Some(to) {
            Entrance::Inside
        } else {
            Entrance::Outside
        }
    }

    /// The node that has an address, as seen from `node`.
    #[inline]
    pub(crate) fn node_of(&self, node: u32, address: IpAddr) -> Option<u32> {
        let known = self.book(self.hosts[node as usize].realm).find(address);
        known
            .map(|&(node, _)| node)
            .or(address.is_loopback().then_some(node))
    }

    /// Where a node sends what is for an address, if there is a way.
    pub(crate) fn next_towards(&self, node: u32, address: IpAddr) -> Option<u32> {
        if address.is_loopback() {
            return Some(node);
        }
        let way = self.towards(node, address);
        way.or_else(|| self.way_out(node)).map(|(next, _)| next)
    }

    /// Where a node sends what is for an address: to whom next, and at which of its interfaces the
    /// address is.
    pub(super) fn towards(&self, node: u32, ip: IpAddr) -> Option<Owner> {
        self.towards_in(node, self.hosts[node as usize].realm, ip)
    }

    /// The same for an address of one of the realms that the node is in: a NAT is in two.
    pub(super) fn towards_in(&self, node: u32, realm: u32, ip: IpAddr) -> Option<Owner> {
        let &(owner, interface) = self.book(realm).find(ip)?;
        Some((self.next_hop(node, owner), interface))
    }

    /// Where a node sends what is for nobody in its realm: out of it.
    pub(super) fn way_out(&self, node: u32) -> Option<Owner> {
        let host = &self.hosts[node as usize];
        let gateway = host.behind.filter(|_| host.realm > 0)?;
        Some((gateway, FIRST))
    }

    /// The next on the way to a node of a realm that `from` is in.
    pub(super) fn next_hop(&self, from: u32, to: u32) -> u32 {
        if from == to {
            return to;
        }
        let near = self.hosts[from as usize].behind;
        let mut next = to;
        loop {
            let behind = self.hosts[next as usize].behind;
            if behind == near || behind == Some(from) {
                return next;
            }
            match behind {
                Some(gateway) => next = gateway,
                // It is not below us.
                None => return near.expect("who is in the public network has all others below"),
            }
        }
    }

    /// Whether `node` is `above`, or behind it, or behind somebody who is.
    pub(crate) fn is_within(&self, node: u32, above: u32) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            if node == above {
                return true;
            }
            at = self.hosts[node as usize].behind;
        }
        false
    }

    /// Whether anybody is behind a gateway.
    pub(crate) fn has_nodes_behind(&self, gateway: u32) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| host.behind == Some(gateway))
    }

    /// The addresses of a node, those first that sockets bound to all addresses send from.
    pub(crate) fn addresses(&self, node: u32) -> impl Iterator<Item = IpAddr> {
        let addresses = self.hosts[node as usize].addresses.iter();
        addresses.map(|own| own.ip)
    }

    /// Gives a node one more address, from which sockets bound to all addresses send from now on.
    pub(crate) fn add_address(&mut self, node: u32, ip: IpAddr) {
        self.routed = true;
        let own = HostAddress::new(ip, self.hosts[node as usize].first_interface());
        self.enlist(node, own);
        self.hosts[node as usize].addresses.insert(0, own);
    }

    /// Takes an address from a node. `false` if it does not have it.
    pub(crate) fn remove_address(&mut self, node: u32, ip: IpAddr) -> bool {
        self.routed = true;
        let addresses = &mut self.hosts[node as usize].addresses;
        let Some(index) = addresses.iter().position(|own| own.ip == ip) else {
            return false;
        };
        let own = addresses.remove(index);
        self.strike(node, own);
        true
    }

    /// Takes all addresses from a node and puts it into the network behind a gateway, or into the
    /// public one, with this address.
    pub(crate) fn move_behind(&mut self, node: u32, behind: Option<u32>, ip: IpAddr) {
        let own: Vec<IpAddr> = self.addresses(node).collect();
        for ip in own {
            self.remove_address(node, ip);
        }
        let realm = self.realm_behind(behind);
        let host = &mut self.hosts[node as usize];
        host.behind = behind;
        host.realm = realm;
        if let Some(gateway) = self.topology.gateways.get_mut(&node) {
            match &mut gateway.nat {
                Some(nat) => nat.forget_all(),
                None => gateway.inner_realm = realm,
            }
        }
        self.add_address(node, ip);
    }
}

impl Host {
    /// The network it is in: a part of the key of all networks.
    pub(super) fn network(&self) -> u32 {
        self.behind.map_or(0, |gateway| gateway + 1)
    }

    fn first_interface(&self) -> InterfaceIndex {
        self.addresses.first().map_or(FIRST, |own| own.interface)
    }
}
