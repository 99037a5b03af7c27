//! What can be seen of hosts and their sockets.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use stillpoint::SocketId;

use super::Network;

impl Network {
    /// The address of a host that was given first.
    pub(crate) fn first_address(&self, node: u32) -> IpAddr {
        let first = self.hosts[node as usize].addresses.first();
        first.map_or(Ipv4Addr::UNSPECIFIED.into(), |own| own.ip)
    }

    /// Whether a host has this address.
    pub(crate) fn is_taken(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) => self.by_ipv4.contains_key(&ip.to_bits()),
            IpAddr::V6(ip) => self.by_ipv6.contains_key(&ip.to_bits()),
        }
    }

    /// Where a socket is bound, as its peers see it.
    pub(crate) fn local_of(&self, node: u32, (worker, id): (u32, SocketId)) -> Option<SocketAddr> {
        let local = self.socket(worker, id)?.local;
        let ip = self.hosts[node as usize].source(local.ip())?;
        Some(SocketAddr::new(ip, local.port()))
    }
}
