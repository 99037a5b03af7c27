//! Firewalls: what may pass, by rules and by who has begun.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::Timestamp;

use super::Protocol;
use super::expiring::Expiring;

/// What a firewall lets pass: at a gateway, between those behind it and the others; at a node,
/// between it and the others.
///
/// What belongs to a flow that was let pass passes, in both directions, until nothing has for a
/// while. Else the first rule that fits decides, or what is said for its direction. Errors about
/// what was let pass (ICMP) always come back.
///
/// # Example
///
/// ```
/// use stillpoint_sim::{Firewall, FirewallRule};
///
/// let office = Firewall::stateful()
///     .rule(FirewallRule::allow().inbound().tcp().port(443))
///     .rule(FirewallRule::reject().outbound().udp().to([8, 8, 8, 0], 24));
/// # let _ = office;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Firewall {
    /// What is asked one after the other.
    pub rules: Vec<FirewallRule>,
    /// What becomes of what comes from outside and fits no rule.
    pub inbound: FirewallAction,
    /// What becomes of what comes from inside and fits no rule.
    pub outbound: FirewallAction,
    /// Whether answers pass.
    pub tracking: Tracking,
    /// How long a flow of UDP is known after something has passed.
    pub udp_timeout: Duration,
    /// The same for TCP.
    pub tcp_timeout: Duration,
    /// Flows that are known at a time. What would be one more is dropped.
    pub flows_max: usize,
}

/// What a firewall does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirewallAction {
    /// It lets it pass.
    Allow,
    /// It does not.
    Deny(Denial),
}

/// What is done with what may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// Nobody is told.
    Drop,
    /// The sender is told that nothing listens there: ICMP port unreachable for UDP, a reset for
    /// TCP. It hears [`ConnectionRefused`](stillpoint::NetworkError::ConnectionRefused).
    Reject,
    /// The sender is told that it may not: ICMP communication administratively prohibited. It hears
    /// [`HostUnreachable`](stillpoint::NetworkError::HostUnreachable).
    Prohibit,
}

/// Whether a firewall knows flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tracking {
    /// It does: what answers passes.
    Stateful,
    /// It does not: each datagram is looked at by itself.
    Stateless,
}

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// To those inside.
    Inbound,
    /// From those inside.
    Outbound,
}

/// A rule of a [`Firewall`]: what it fits, and what is done then. It fits what is true of all that
/// it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a rule does nothing before `Firewall::rule` has it"]
pub struct FirewallRule {
    action: FirewallAction,
    direction: Option<Direction>,
    protocol: Option<Protocol>,
    source: Option<Prefix>,
    target: Option<Prefix>,
    source_ports: Option<RangeInclusive<u16>>,
    ports: Option<RangeInclusive<u16>>,
}

impl Firewall {
    /// Those inside may begin, and those outside may only answer.
    #[must_use]
    pub const fn stateful() -> Self {
        Self::new(FirewallAction::Deny(Denial::Drop), Tracking::Stateful)
    }

    /// Everything passes but what rules deny; answers to what has passed do too.
    #[must_use]
    pub const fn open() -> Self {
        Self::new(FirewallAction::Allow, Tracking::Stateful)
    }

    const fn new(inbound: FirewallAction, tracking: Tracking) -> Self {
        Self {
            rules: Vec::new(),
            inbound,
            outbound: FirewallAction::Allow,
            tracking,
            udp_timeout: UDP_TIMEOUT,
            tcp_timeout: TCP_TIMEOUT,
            flows_max: FLOWS_MAX,
        }
    }

    /// The same, with one more rule, which is asked behind those that are there.
    #[must_use]
    pub fn rule(mut self, rule: FirewallRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The same, doing this with what comes from outside and fits no rule.
    #[must_use]
    pub const fn inbound(mut self, action: FirewallAction) -> Self {
        self.inbound = action;
        self
    }

    /// The same, doing this with what comes from inside and fits no rule.
    #[must_use]
    pub const fn outbound(mut self, action: FirewallAction) -> Self {
        self.outbound = action;
        self
    }

    /// The same, knowing no flows: answers need a rule of their own.
    #[must_use]
    pub const fn stateless(mut self) -> Self {
        self.tracking = Tracking::Stateless;
        self
    }

    /// The same, forgetting flows of UDP after this time without a datagram, instead of two
    /// minutes.
    #[must_use]
    pub const fn udp_timeout(mut self, timeout: Duration) -> Self {
        self.udp_timeout = timeout;
        self
    }

    /// The same, forgetting flows of TCP after this time without a segment, instead of two hours and
    /// four minutes.
    #[must_use]
    pub const fn tcp_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_timeout = timeout;
        self
    }

    /// The same, knowing at most this many flows instead of 65,536.
    #[must_use]
    pub const fn flows_max(mut self, flows_max: usize) -> Self {
        self.flows_max = flows_max;
        self
    }

    /// What is done with what belongs to no flow.
    fn judge(&self, passing: &Passing) -> FirewallAction {
        let rule = self.rules.iter().find(|rule| rule.fits(passing));
        rule.map_or(
            match passing.direction {
                Direction::Inbound => self.inbound,
                Direction::Outbound => self.outbound,
            },
            |rule| rule.action,
        )
    }
}

impl FirewallRule {
    /// Lets what it fits pass.
    pub const fn allow() -> Self {
        Self::new(FirewallAction::Allow)
    }

    /// Drops what it fits; nobody is told.
    pub const fn drop() -> Self {
        Self::new(FirewallAction::Deny(Denial::Drop))
    }

    /// Tells whoever sends what it fits that nothing listens there.
    pub const fn reject() -> Self {
        Self::new(FirewallAction::Deny(Denial::Reject))
    }

    /// Tells whoever sends what it fits that it may not.
    pub const fn prohibit() -> Self {
        Self::new(FirewallAction::Deny(Denial::Prohibit))
    }

    const fn new(action: FirewallAction) -> Self {
        Self {
            action,
            direction: None,
            protocol: None,
            source: None,
            target: None,
            source_ports: None,
            ports: None,
        }
    }

    /// Fits what comes from outside only.
    pub const fn inbound(mut self) -> Self {
        self.direction = Some(Direction::Inbound);
        self
    }

    /// Fits what comes from inside only.
    pub const fn outbound(mut self) -> Self {
        self.direction = Some(Direction::Outbound);
        self
    }

    /// Fits UDP only.
    pub const fn udp(mut self) -> Self {
        self.protocol = Some(Protocol::Udp);
        self
    }

    /// Fits TCP only.
    pub const fn tcp(mut self) -> Self {
        self.protocol = Some(Protocol::Tcp);
        self
    }

    /// Fits what comes from addresses only that have these first `prefix_len` bits.
    ///
    /// # Panics
    ///
    /// If there are more bits than the address has.
    pub fn from(mut self, prefix: impl Into<IpAddr>, prefix_len: u8) -> Self {
        self.source = Some(Prefix::new(prefix.into(), prefix_len));
        self
    }

    /// Fits what goes to addresses only that have these first `prefix_len` bits.
    ///
    /// # Panics
    ///
    /// If there are more bits than the address has.
    pub fn to(mut self, prefix: impl Into<IpAddr>, prefix_len: u8) -> Self {
        self.target = Some(Prefix::new(prefix.into(), prefix_len));
        self
    }

    /// Fits what goes to this port only.
    pub const fn port(self, port: u16) -> Self {
        self.ports(port..=port)
    }

    /// Fits what goes to these ports only.
    pub const fn ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports = Some(ports);
        self
    }

    /// Fits what comes from these ports only.
    pub const fn source_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.source_ports = Some(ports);
        self
    }

    fn fits(&self, passing: &Passing) -> bool {
        let has = |ports: &Option<RangeInclusive<u16>>, port: u16| {
            ports.as_ref().is_none_or(|ports| ports.contains(&port))
        };
        let covers = |prefix: Option<Prefix>, address: SocketAddr| {
            prefix.is_none_or(|prefix| prefix.covers(address.ip()))
        };
        self.direction.is_none_or(|only| only == passing.direction)
            && self.protocol.is_none_or(|only| only == passing.protocol)
            && covers(self.source, passing.source)
            && covers(self.target, passing.target)
            && has(&self.source_ports, passing.source.port())
            && has(&self.ports, passing.target.port())
    }
}

/// The first bits of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prefix {
    ip: IpAddr,
    len: u8,
}

impl Prefix {
    fn new(ip: IpAddr, len: u8) -> Self {
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        assert!(
            len <= bits,
            "rule for {ip}/{len}: at most 32 bits for IPv4, 128 for IPv6"
        );
        Self { ip, len }.cut()
    }

    fn cut(mut self) -> Self {
        let len = u32::from(self.len);
        self.ip = match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        };
        self
    }

    fn covers(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && Self { ip, ..*self }.cut() == *self
    }
}

/// What is at a firewall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    pub(crate) direction: Direction,
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
}

/// A firewall, and the flows that it knows.
#[derive(Debug)]
pub(crate) struct FirewallTable {
    firewall: Firewall,
    flows: Expiring<Flow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    protocol: Protocol,
    inside: SocketAddr,
    outside: SocketAddr,
}

impl FirewallTable {
    pub(crate) fn new(firewall: Firewall) -> Self {
        Self {
            firewall,
            flows: Expiring::new(),
        }
    }

    pub(crate) fn forget_flows(&mut self) {
        self.flows = Expiring::new();
    }

    /// Whether something may pass. If so, its flow is known from now on.
    pub(crate) fn pass(&mut self, now: Timestamp, passing: &Passing) -> Result<(), Denial> {
        if self.firewall.tracking == Tracking::Stateless {
            return match self.firewall.judge(passing) {
                FirewallAction::Allow => Ok(()),
                FirewallAction::Deny(denial) => Err(denial),
            };
        }
        let (inside, outside) = match passing.direction {
            Direction::Inbound => (passing.target, passing.source),
            Direction::Outbound => (passing.source, passing.target),
        };
        let flow = Flow {
            protocol: passing.protocol,
            inside,
            outside,
        };
        if !self.flows.knows(&flow, now)
            && let FirewallAction::Deny(denial) = self.firewall.judge(passing)
        {
            return Err(denial);
        }
        let timeout = match passing.protocol {
            Protocol::Udp => self.firewall.udp_timeout,
            Protocol::Tcp => self.firewall.tcp_timeout,
        };
        let noted = self
            .flows
            .note(flow, now, now.after(timeout), self.firewall.flows_max);
        if noted { Ok(()) } else { Err(Denial::Drop) }
    }
}

/// As in Linux, for a flow in which both have spoken (`nf_conntrack_udp_timeout_stream`).
const UDP_TIMEOUT: Duration = Duration::from_secs(2 * 60);

/// What RFC 5382 asks of NATs (5).
const TCP_TIMEOUT: Duration = Duration::from_secs(2 * 3_600 + 4 * 60);

const FLOWS_MAX: usize = 65_536;
