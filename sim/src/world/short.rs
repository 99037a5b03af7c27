//! What makes small worlds short to write.

use core::net::Ipv4Addr;

use stillpoint::{App, Spawned, Spawner};

use super::World;
use crate::link::Link;
use crate::node::NodeId;

impl<A: App> World<A> {
    /// Makes a node of one worker for each name. They get addresses that are free, in order: in a
    /// new world `10.0.0.1`, `10.0.0.2`, and so on.
    ///
    /// # Panics
    ///
    /// If another node has one of the names.
    ///
    /// # Example
    ///
    /// ```
    /// # use stillpoint::*;
    /// # fn scenario<A: App>(world: &mut stillpoint_sim::World<A>,
    /// #     spawn: fn(A::Spawn, Spawner<'_, A>) -> Spawned) {
    /// let [ada, bob] = world.nodes(["ada", "bob"], spawn);
    /// assert_eq!(world.address(bob).to_string(), "10.0.0.2");
    /// # }
    /// ```
    pub fn nodes<const N: usize>(
        &mut self,
        names: [&str; N],
        spawn: impl FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + 'static,
    ) -> [NodeId; N] {
        names.map(|name| {
            let address = self.free_address();
            self.node(name, address).spawner(spawn.clone())
        })
    }

    /// All nodes, in the order in which they were made.
    pub fn all_nodes(&self) -> impl Iterator<Item = NodeId> + use<A> {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        (0..count).map(NodeId::new)
    }

    /// Sets the links between each two of these nodes, both ways.
    ///
    /// # Panics
    ///
    /// As [`World::link`].
    pub fn link_all(&mut self, nodes: &[NodeId], link: &Link) {
        for (place, &one) in nodes.iter().enumerate() {
            for &other in &nodes[place + 1..] {
                self.link(one, other, link);
            }
        }
    }

    fn free_address(&self) -> Ipv4Addr {
        const FIRST: u32 = Ipv4Addr::new(10, 0, 0, 0).to_bits();
        let network = &self.outside.network;
        let mut addresses = (FIRST + 1..).map(Ipv4Addr::from_bits);
        let taken = |&address: &Ipv4Addr| network.is_taken(address.into());
        let free = addresses.find(|address| {
            // As those of networks and of everybody in them usually are.
            !matches!(address.octets()[3], 0 | 255) && !taken(address)
        });
        free.expect("fewer than 2^24 nodes")
    }
}
