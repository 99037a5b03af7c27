//! The interfaces of a node, and which networks they are in.
//!
//! Two addresses are in one network if they have the same prefix. Datagrams to one address reach
//! it from every network; what is sent to a group or a broadcast address stays in the network that
//! it is sent to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stillpoint::{Interface, InterfaceIndex};

use super::Host;

/// An address of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostAddress {
    pub(crate) ip: IpAddr,
    pub(crate) interface: InterfaceIndex,
    prefix_len: u8,
}

/// A prefix and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NetworkPrefix {
    prefix: IpAddr,
    len: u8,
}

impl HostAddress {
    /// An address at `interface`, with a prefix of the usual length.
    pub(crate) const fn new(ip: IpAddr, interface: InterfaceIndex) -> Self {
        let prefix_len = match ip {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 64,
        };
        Self {
            ip,
            interface,
            prefix_len,
        }
    }

    pub(crate) const fn with_prefix_len(mut self, prefix_len: u8) -> Self {
        let bits = if self.ip.is_ipv4() { 32 } else { 128 };
        assert!(
            prefix_len <= bits,
            "a prefix longer than its address: at most 32 bits for IPv4, 128 for IPv6"
        );
        self.prefix_len = prefix_len;
        self
    }

    pub(super) fn network(&self) -> NetworkPrefix {
        let len = u32::from(self.prefix_len);
        let prefix = match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        NetworkPrefix {
            prefix,
            len: self.prefix_len,
        }
    }

    /// The address that reaches all nodes of its network, if it has one.
    fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.ip {
            // The last two have no room for one (RFC 3021).
            IpAddr::V4(ip) if self.prefix_len < 31 => {
                let rest = u32::MAX >> self.prefix_len;
                Some(Ipv4Addr::from_bits(ip.to_bits() | rest))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

impl Host {
    /// The interface that `interface` means, for a group or peer of the family of `family`.
    pub(super) fn interface(&self, interface: Interface, family: IpAddr) -> Option<InterfaceIndex> {
        match interface {
            Interface::ByRoute => {
                let fits = |own: &&HostAddress| own.ip.is_ipv4() == family.is_ipv4();
                self.addresses.iter().find(fits).map(|own| own.interface)
            }
            Interface::Index(index) => {
                let known = self.addresses.iter().any(|own| own.interface == index);
                (index == LOOPBACK || known).then_some(index)
            }
            Interface::Address(ip) => {
                let ip = ip.to_canonical();
                if LOOPBACK_ADDRESSES.contains(&ip) {
                    return Some(LOOPBACK);
                }
                let has = |own: &&HostAddress| own.ip == ip;
                self.addresses.iter().find(has).map(|own| own.interface)
            }
            unknown => {
                panic!("the simulator is older than the library: it does not know {unknown:?}")
            }
        }
    }

    /// The address at `interface` that what goes to the family of `family` comes from.
    pub(super) fn address_at(&self, interface: InterfaceIndex, family: IpAddr) -> Option<IpAddr> {
        let fits = |ip: &IpAddr| ip.is_ipv4() == family.is_ipv4();
        if interface == LOOPBACK {
            return LOOPBACK_ADDRESSES.into_iter().find(fits);
        }
        let mut there = self
            .addresses
            .iter()
            .filter(|own| own.interface == interface);
        there.find(|own| fits(&own.ip)).map(|own| own.ip)
    }

    /// The interface, and the network, that `ip` is a broadcast address of. The loopback network is
    /// no network of others.
    pub(super) fn broadcast_to(
        &self,
        ip: IpAddr,
    ) -> Option<(InterfaceIndex, Option<NetworkPrefix>)> {
        let IpAddr::V4(ip) = ip else {
            return None;
        };
        if ip == LOOPBACK_BROADCAST {
            return Some((LOOPBACK, None));
        }
        let mut own = self.addresses.iter();
        let found = if ip.is_broadcast() {
            own.find(|own| own.ip.is_ipv4())
        } else {
            own.find(|own| own.broadcast() == Some(ip))
        };
        found.map(|own| (own.interface, Some(own.network())))
    }
}

/// The interface that every node has.
pub(crate) const LOOPBACK: InterfaceIndex = numbered(1);

/// The first of the interfaces that a node is given.
pub(crate) const FIRST: InterfaceIndex = numbered(2);

const LOOPBACK_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

const fn numbered(number: u32) -> InterfaceIndex {
    match InterfaceIndex::new(number) {
        Some(index) => index,
        None => panic!("interfaces are numbered from 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_its_prefix() {
        let at = |ip: [u8; 4], len| HostAddress::new(ip.into(), FIRST).with_prefix_len(len);
        assert_eq!(
            at([10, 1, 2, 3], 24).network(),
            at([10, 1, 2, 9], 24).network()
        );
        assert_ne!(
            at([10, 1, 2, 3], 24).network(),
            at([10, 1, 3, 3], 24).network()
        );
        assert_eq!(
            at([10, 1, 2, 3], 0).network(),
            at([9, 1, 3, 3], 0).network()
        );
        assert_ne!(
            at([10, 1, 2, 3], 32).network(),
            at([10, 1, 2, 4], 32).network()
        );
        assert_eq!(
            at([10, 1, 2, 3], 22).broadcast(),
            Some([10, 1, 3, 255].into())
        );
        assert_eq!(at([10, 1, 2, 3], 31).broadcast(), None);
    }
}
