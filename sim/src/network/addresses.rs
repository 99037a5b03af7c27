//! Who has which address, within one realm.
//!
//! All nodes share one realm of addresses, but for those behind a NAT, which have one to themselves.

use core::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entity, InterfaceIndex};

use super::interfaces::HostAddress;
use super::table::Ipv4Table;
use super::{Host, Network};
use crate::few::Few;
use crate::room::{Lazy, make_room};

/// Whose an address is, and at which of its interfaces.
pub(crate) type Owner = (u32, InterfaceIndex);

/// The addresses of one realm.
#[derive(Default)]
pub(crate) struct AddressBook {
    by_ipv4: Ipv4Table,
    by_ipv6: IndexMap<u128, Owner, FxBuildHasher>,
}

impl AddressBook {
    #[inline(always)]
    pub(crate) fn find(&self, ip: IpAddr) -> Option<&Owner> {
        match ip {
            IpAddr::V4(ip) => self.by_ipv4.get(&ip.to_bits()),
            IpAddr::V6(ip) => self.by_ipv6.get(&ip.to_bits()),
        }
    }

    fn insert(&mut self, ip: IpAddr, owner: Owner) {
        match ip {
            IpAddr::V4(ip) => self.by_ipv4.insert(ip.to_bits(), owner),
            IpAddr::V6(ip) => self.by_ipv6.insert(ip.to_bits(), owner),
        };
    }

    fn remove(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.by_ipv4.remove(ip.to_bits()),
            IpAddr::V6(ip) => self.by_ipv6.swap_remove(&ip.to_bits()),
        };
    }
}

impl Network {
    /// Adds a node, behind this gateway if one is given.
    pub(crate) fn add_host(
        &mut self,
        name: Arc<str>,
        addresses: Vec<HostAddress>,
        behind: Option<u32>,
    ) -> u32 {
        let number = u32::try_from(self.hosts.len()).expect("fewer than 2^32 nodes");
        let entity = Entity::named(&name);
        make_room(&mut self.entities);
        self.entities.push(entity);
        make_room(&mut self.lone);
        self.lone.push(None);
        make_room(&mut self.hosts);
        self.hosts.push(Host {
            name,
            is_down: false,
            addresses: Few::default(),
            behind,
            realm: self.realm_behind(behind),
            bound: Few::default(),
            members: Lazy::default(),
            flow_key: self.flow.below(entity, 0, 1 << 63),
            ports_chosen: 0,
        });
        for &own in &addresses {
            self.enlist(number, own);
        }
        self.hosts[number as usize].addresses = addresses.into_iter().collect();
        number
    }

    /// The addresses of a realm. That of the public network is 0.
    pub(super) fn book(&self, realm: u32) -> &AddressBook {
        match realm {
            0 => &self.public,
            _ => &self.topology.realms[realm as usize - 1],
        }
    }

    fn book_mut(&mut self, realm: u32) -> &mut AddressBook {
        match realm {
            0 => &mut self.public,
            _ => &mut self.topology.realms[realm as usize - 1],
        }
    }

    /// Has the network know an address of a node.
    pub(super) fn enlist(&mut self, node: u32, own: HostAddress) {
        let (ip, interface) = (own.ip, own.interface);
        let host = &self.hosts[node as usize];
        let (name, realm, network) = (&host.name, host.realm, (host.network(), own.network()));
        let usual = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
        assert!(
            usual,
            "node `{name}` with address {ip}: give it one that a single machine can have \
            (it has the loopback addresses anyway)"
        );
        if let Some(&(other, _)) = self.book(realm).find(ip) {
            let other = &self.hosts[other as usize].name;
            let place = self.topology.place_of(&self.hosts, realm);
            panic!("nodes `{other}` and `{name}` both have {ip}{place}: give each its own");
        }
        self.book_mut(realm).insert(ip, (node, interface));
        let near = self.by_network.entry(network).or_default();
        if !near.contains(&(node, interface)) {
            near.push((node, interface));
        }
    }

    /// Has the network forget an address of a node, which the node has no more.
    pub(super) fn strike(&mut self, node: u32, own: HostAddress) {
        let host = &self.hosts[node as usize];
        let (realm, interface) = (host.realm, own.interface);
        let network = (host.network(), own.network());
        let left = host.addresses.iter();
        let is_left = left
            .filter(|other| other.interface == interface)
            .any(|other| other.network() == own.network());
        self.book_mut(realm).remove(own.ip);
        if !is_left && let Some(near) = self.by_network.get_mut(&network) {
            near.retain(|&there| there != (node, interface));
        }
    }
}
