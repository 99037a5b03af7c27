//! Address translation, in the terms of RFC 4787 (UDP) and RFC 5382 (TCP).

use core::net::SocketAddr;
use core::time::Duration;

use super::Protocol;
use super::firewall::Denial;

mod table;

pub(crate) use table::{MappingId, NatTable, Unwanted};

/// How a gateway translates addresses: a NAT that maps addresses and ports.
///
/// Who is behind it has addresses of a realm of its own. What leaves gets the NAT's address and a
/// port of it, which is the *mapping* of the inner address and port; what comes to that port is
/// translated back, if the *filtering* lets it pass.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::{Nat, NatBehaviour, PortChoice};
///
/// let nat = Nat::symmetric().udp_timeout(Duration::from_secs(30));
/// assert_eq!(nat.mapping, NatBehaviour::AddressAndPortDependent);
/// assert_eq!(nat.ports, PortChoice::Random);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nat {
    /// When an inner address and port gets the same outer port again.
    pub mapping: NatBehaviour,
    /// From whom something may come to an outer port.
    pub filtering: NatBehaviour,
    /// Whether those behind the NAT reach each other through its outer address.
    pub hairpin: Hairpin,
    /// Which ports are given to mappings.
    pub ports: PortChoice,
    /// How long a mapping for UDP lasts after something has left through it. What comes in does not
    /// prolong it.
    pub udp_timeout: Duration,
    /// The same for TCP.
    pub tcp_timeout: Duration,
    /// Mappings that there may be at a time, without [`Nat::forward`]. What would need one more is
    /// dropped.
    pub mappings_max: usize,
    /// What becomes of what comes in for nobody.
    pub unsolicited: Denial,
    pub(crate) forwards: Vec<Forward>,
}

/// What a mapping or a filter depends on (RFC 4787, 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NatBehaviour {
    /// A mapping: on the inner address and port alone. A filter lets everybody pass.
    EndpointIndependent,
    /// On the peer's address too. A filter lets those pass to whose address something was sent.
    AddressDependent,
    /// On the peer's address and port too. A filter lets those pass to whose address and port
    /// something was sent.
    AddressAndPortDependent,
}

/// Whether those behind a NAT reach each other through its outer address (RFC 4787, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hairpin {
    /// They do; each then sees the outer address of the other.
    On,
    /// What they send there is dropped.
    Off,
}

/// Which ports a NAT gives to mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortChoice {
    /// The inner port if it is free, else one that the seed chooses.
    Preserving,
    /// One that the seed chooses.
    Random,
}

/// A mapping of a NAT, as [`World::mappings`](crate::World::mappings) shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct NatMapping {
    /// What it is for.
    pub protocol: Protocol,
    /// Who is behind it.
    pub inner: SocketAddr,
    /// As whom others see it.
    pub outer: SocketAddr,
}

impl Nat {
    /// A full cone: who has sent something can be reached by everybody.
    #[must_use]
    pub const fn full_cone() -> Self {
        let everybody = NatBehaviour::EndpointIndependent;
        Self::new(everybody, everybody, PortChoice::Preserving)
    }

    /// A restricted cone: who has sent something can be reached from the addresses it sent to.
    #[must_use]
    pub const fn restricted() -> Self {
        let (mapping, filtering) = (
            NatBehaviour::EndpointIndependent,
            NatBehaviour::AddressDependent,
        );
        Self::new(mapping, filtering, PortChoice::Preserving)
    }

    /// A port-restricted cone: who has sent something can be reached from the addresses and ports it
    /// sent to. Most homes have one of these.
    #[must_use]
    pub const fn port_restricted() -> Self {
        let (mapping, filtering) = (
            NatBehaviour::EndpointIndependent,
            NatBehaviour::AddressAndPortDependent,
        );
        Self::new(mapping, filtering, PortChoice::Preserving)
    }

    /// A symmetric NAT: each peer sees another port, and it alone can answer there. What carriers
    /// and companies have.
    #[must_use]
    pub const fn symmetric() -> Self {
        let one = NatBehaviour::AddressAndPortDependent;
        Self::new(one, one, PortChoice::Random)
    }

    const fn new(mapping: NatBehaviour, filtering: NatBehaviour, ports: PortChoice) -> Self {
        Self {
            mapping,
            filtering,
            hairpin: Hairpin::On,
            ports,
            udp_timeout: UDP_TIMEOUT,
            tcp_timeout: TCP_TIMEOUT,
            mappings_max: MAPPINGS_MAX,
            unsolicited: Denial::Drop,
            forwards: Vec::new(),
        }
    }

    /// The same, with this mapping behaviour.
    #[must_use]
    pub const fn mapping(mut self, behaviour: NatBehaviour) -> Self {
        self.mapping = behaviour;
        self
    }

    /// The same, with this filtering behaviour.
    #[must_use]
    pub const fn filtering(mut self, behaviour: NatBehaviour) -> Self {
        self.filtering = behaviour;
        self
    }

    /// The same, with hairpinning on or off. It is on unless told otherwise.
    #[must_use]
    pub const fn hairpin(mut self, hairpin: Hairpin) -> Self {
        self.hairpin = hairpin;
        self
    }

    /// The same, choosing ports so.
    #[must_use]
    pub const fn ports(mut self, ports: PortChoice) -> Self {
        self.ports = ports;
        self
    }

    /// The same, forgetting mappings for UDP after this time instead of five minutes. RFC 4787 asks
    /// for two minutes at least; many NATs take 30 seconds.
    #[must_use]
    pub const fn udp_timeout(mut self, timeout: Duration) -> Self {
        self.udp_timeout = timeout;
        self
    }

    /// The same, forgetting mappings for TCP after this time instead of two hours and four minutes
    /// (RFC 5382, 5).
    #[must_use]
    pub const fn tcp_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_timeout = timeout;
        self
    }

    /// The same, with at most this many mappings at a time instead of 65,536.
    #[must_use]
    pub const fn mappings_max(mut self, mappings_max: usize) -> Self {
        self.mappings_max = mappings_max;
        self
    }

    /// The same, doing this with what comes in for nobody. It is dropped in silence unless told
    /// otherwise.
    #[must_use]
    pub const fn unsolicited(mut self, denial: Denial) -> Self {
        self.unsolicited = denial;
        self
    }

    /// The same, with what comes to `port` always going to `inner`, whoever it comes from. What
    /// `inner` sends leaves from `port`, too.
    ///
    /// # Panics
    ///
    /// If the port is 0, or forwarded to another already.
    #[must_use]
    pub fn forward(mut self, protocol: Protocol, port: u16, inner: SocketAddr) -> Self {
        assert!(port > 0, "port 0 forwarded to {inner}: give it a number");
        let forward = Forward {
            protocol,
            port,
            inner,
        };
        let other = self.forwards.iter().find(|other| {
            (other.protocol, other.port) == (protocol, port)
                && other.inner.is_ipv4() == inner.is_ipv4()
        });
        if let Some(other) = other {
            panic!(
                "{protocol:?} port {port} forwarded to {} and to {inner}: give each its own",
                other.inner
            );
        }
        self.forwards.push(forward);
        self
    }

    const fn timeout(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Udp => self.udp_timeout,
            Protocol::Tcp => self.tcp_timeout,
        }
    }
}

/// What always goes to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    protocol: Protocol,
    port: u16,
    inner: SocketAddr,
}

/// What RFC 4787 recommends (4.3).
const UDP_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The least that RFC 5382 allows (5).
const TCP_TIMEOUT: Duration = Duration::from_secs(2 * 3_600 + 4 * 60);

const MAPPINGS_MAX: usize = 65_536;
