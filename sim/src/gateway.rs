//! Gateways: nodes without workers, which forward between the network behind them and others.
//!
//! What a gateway does with what comes to it is in `network/crossing.rs`; what it is told to do, and
//! what it has to remember for that, is here.

use core::fmt;
use core::net::IpAddr;

use stillpoint::App;

use crate::network::{FIRST, HostAddress};
use crate::node::NodeId;
use crate::world::World;

mod expiring;
pub(crate) mod firewall;
pub(crate) mod nat;
pub(crate) mod rewrite;

use firewall::Firewall;
use nat::Nat;

/// What a rule of a firewall, or a mapping of a NAT, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

/// A gateway that is being described. [`GatewayBuilder::build`] completes it.
#[must_use = "there is no gateway before `build` is called"]
pub struct GatewayBuilder<'a, A: App> {
    pub(crate) world: &'a mut World<A>,
    pub(crate) name: String,
    pub(crate) addresses: Vec<HostAddress>,
    pub(crate) behind: Option<NodeId>,
    pub(crate) nat: Option<Nat>,
    pub(crate) firewall: Option<Firewall>,
}

impl<A: App> GatewayBuilder<'_, A> {
    /// Gives the gateway an address in the network that it is in itself. A NAT needs one, of each
    /// family that it is to translate; what it translates comes from the first.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(HostAddress::new(address.into(), FIRST));
        self
    }

    /// Has the gateway translate addresses. Those behind it then have a realm of addresses of their
    /// own; without, they share that of the network that the gateway is in.
    pub fn nat(mut self, nat: Nat) -> Self {
        self.nat = Some(nat);
        self
    }

    /// Has the gateway let pass only what `firewall` does: between those behind it, who are inside,
    /// and the others. At a NAT, it sees the addresses of those inside as they are there.
    pub fn firewall(mut self, firewall: Firewall) -> Self {
        self.firewall = Some(firewall);
        self
    }

    /// Puts the gateway itself behind another: carrier-grade NAT, say, or the router of a floor.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is no gateway.
    pub fn behind(mut self, gateway: NodeId) -> Self {
        self.behind = Some(self.world.known_gateway(gateway));
        self
    }

    /// Completes the gateway.
    ///
    /// # Panics
    ///
    /// If another node has the same name, another node of its network one of the addresses, or a NAT
    /// has no address.
    pub fn build(self) -> NodeId {
        assert!(
            self.nat.is_none() || !self.addresses.is_empty(),
            "NAT `{}` without an address: give it one, which all behind it are seen with",
            self.name
        );
        let node = self
            .world
            .add_router(&self.name, self.addresses, self.behind);
        self.world.make_gateway(node, self.nat, self.firewall);
        node
    }
}

impl<A: App> fmt::Debug for GatewayBuilder<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .field("behind", &self.behind)
            .field("nat", &self.nat)
            .field("firewall", &self.firewall)
            .finish_non_exhaustive()
    }
}
