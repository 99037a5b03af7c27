//! What can be seen of hosts and their sockets.

use core::net::{IpAddr, SocketAddr};

use stillpoint::SocketId;

use super::Network;

impl Network {
    /// Whether a host that is behind no NAT has this address.
    pub(crate) fn is_taken(&self, address: IpAddr) -> bool {
        self.public.find(address).is_some()
    }

    /// Where a socket is bound, as its peers see it.
    pub(crate) fn local_of(&self, node: u32, (worker, id): (u32, SocketId)) -> Option<SocketAddr> {
        let local = self.socket(worker, id)?.local;
        let ip = self.hosts[node as usize].source(local.ip())?;
        Some(SocketAddr::new(ip, local.port()))
    }
}
