//! The mappings of a NAT.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use stillpoint::Timestamp;

use super::{Nat, NatBehaviour, PortChoice};
use crate::gateway::Protocol;
use crate::gateway::expiring::Expiring;

/// What a NAT is, and what it has to remember for that.
#[derive(Debug)]
pub(crate) struct NatTable {
    pub(crate) nat: Nat,
    mappings: Slab<Mapping>,
    by_inner: IndexMap<Inner, usize, FxBuildHasher>,
    by_outer: IndexMap<Outer, usize, FxBuildHasher>,
    /// Ports that had a mapping before all were forgotten: flows are to get others.
    forgotten: BTreeSet<Outer>,
    /// How often all were forgotten: a part of what ports are drawn for.
    pub(crate) forgotten_times: u64,
    made: u64,
    /// No mapping expires before.
    earliest: Timestamp,
    /// The number of mappings at which they are looked through next.
    sweep_at: usize,
}

/// What a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Inner {
    protocol: Protocol,
    address: SocketAddr,
    peer: Peer,
}

/// As much of a peer as matters; what does not is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer(Option<IpAddr>, u16);

impl Peer {
    fn seen(peer: SocketAddr, behaviour: NatBehaviour) -> Self {
        match behaviour {
            NatBehaviour::EndpointIndependent => Self(None, 0),
            NatBehaviour::AddressDependent => Self(Some(peer.ip()), 0),
            NatBehaviour::AddressAndPortDependent => Self(Some(peer.ip()), peer.port()),
        }
    }
}

/// A port that a mapping has. A NAT has one address of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Outer {
    protocol: Protocol,
    is_ipv6: bool,
    port: u16,
}

#[derive(Debug)]
struct Mapping {
    inner: Inner,
    outer: Outer,
    /// Its number among all that were ever made.
    number: u64,
    /// `None` if it is there for good.
    until: Option<Timestamp>,
    /// To whom something was sent, and until when that counts.
    peers: Expiring<Peer>,
}

impl Mapping {
    fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Names a mapping, also when it is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MappingId {
    slot: usize,
    number: u64,
}

/// Why something does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    NoMapping,
    Filtered,
}

/// There are as many mappings as there may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPort;

impl NatTable {
    pub(crate) fn new(nat: Nat) -> Self {
        let mut table = Self {
            nat,
            mappings: Slab::new(),
            by_inner: IndexMap::default(),
            by_outer: IndexMap::default(),
            forgotten: BTreeSet::new(),
            forgotten_times: 0,
            made: 0,
            earliest: Timestamp::MAX,
            sweep_at: SWEEP_LEN_MIN,
        };
        table.add_forwards();
        table
    }

    fn add_forwards(&mut self) {
        for forward in self.nat.forwards.clone() {
            let inner = Inner {
                protocol: forward.protocol,
                address: forward.inner,
                peer: Peer(None, 0),
            };
            let outer = Outer {
                protocol: forward.protocol,
                is_ipv6: forward.inner.is_ipv6(),
                port: forward.port,
            };
            self.insert(inner, outer, None);
        }
    }

    /// The port through which something leaves, and its mapping. `draw` gives a number below the one
    /// it is given.
    pub(crate) fn leave(
        &mut self,
        now: Timestamp,
        protocol: Protocol,
        inner: SocketAddr,
        peer: SocketAddr,
        draw: impl FnOnce(u64) -> u64,
    ) -> Result<(u16, MappingId), NoPort> {
        let until = now.after(self.nat.timeout(protocol));
        let slot = self.mapping_for(now, protocol, inner, peer, draw)?;
        let filter = Peer::seen(peer, self.nat.filtering);
        let mapping = &mut self.mappings[slot];
        if mapping.until.is_some() {
            mapping.until = Some(until);
        }
        mapping.peers.note(filter, now, until, PEERS_MAX);
        let number = mapping.number;
        Ok((mapping.outer.port, MappingId { slot, number }))
    }

    fn mapping_for(
        &mut self,
        now: Timestamp,
        protocol: Protocol,
        address: SocketAddr,
        peer: SocketAddr,
        draw: impl FnOnce(u64) -> u64,
    ) -> Result<usize, NoPort> {
        let inner = |peer| Inner {
            protocol,
            address,
            peer,
        };
        // One that is there for good is for all peers.
        let key = inner(Peer::seen(peer, self.nat.mapping));
        for key in [inner(Peer(None, 0)), key] {
            if let Some(&slot) = self.by_inner.get(&key) {
                if self.mappings[slot].is_live(now) {
                    return Ok(slot);
                }
                self.remove(slot);
            }
        }
        self.make_room(now)?;
        let outer = |port| Outer {
            protocol,
            is_ipv6: address.is_ipv6(),
            port,
        };
        let port = self
            .choose_port(now, address.port(), outer, draw)
            .ok_or(NoPort)?;
        let until = now.after(self.nat.timeout(protocol));
        self.earliest = self.earliest.min(until);
        Ok(self.insert(key, outer(port), Some(until)))
    }

    /// Who gets what comes to a port.
    pub(crate) fn enter(
        &mut self,
        now: Timestamp,
        protocol: Protocol,
        port: u16,
        peer: SocketAddr,
    ) -> Result<SocketAddr, Unwanted> {
        let outer = Outer {
            protocol,
            is_ipv6: peer.is_ipv6(),
            port,
        };
        let Some(&slot) = self.by_outer.get(&outer) else {
            return Err(Unwanted::NoMapping);
        };
        let mapping = &self.mappings[slot];
        if !mapping.is_live(now) {
            self.remove(slot);
            return Err(Unwanted::NoMapping);
        }
        let filtering = self.nat.filtering;
        let passes = mapping.until.is_none()
            || filtering == NatBehaviour::EndpointIndependent
            || mapping.peers.knows(&Peer::seen(peer, filtering), now);
        if passes {
            Ok(mapping.inner.address)
        } else {
            Err(Unwanted::Filtered)
        }
    }

    /// Whether a mapping is still there.
    pub(crate) fn has(&self, id: MappingId, now: Timestamp) -> bool {
        let mapping = self.mappings.get(id.slot);
        mapping.is_some_and(|mapping| mapping.number == id.number && mapping.is_live(now))
    }

    /// All mappings that are there, with the port of each.
    pub(crate) fn mappings(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (Protocol, SocketAddr, u16)> {
        let live = self.mappings.iter().map(|(_, mapping)| mapping);
        let live = live.filter(move |mapping| mapping.is_live(now));
        live.map(|mapping| {
            let Inner {
                protocol, address, ..
            } = mapping.inner;
            (protocol, address, mapping.outer.port)
        })
    }

    /// Forgets all mappings but those that are there for good. What leaves then gets other ports.
    pub(crate) fn forget_all(&mut self) {
        let mappings = core::mem::take(&mut self.mappings);
        let passing = mappings
            .iter()
            .filter(|(_, mapping)| mapping.until.is_some());
        self.forgotten = passing.map(|(_, mapping)| mapping.outer).collect();
        self.forgotten_times += 1;
        self.by_inner.clear();
        self.by_outer.clear();
        self.earliest = Timestamp::MAX;
        self.sweep_at = SWEEP_LEN_MIN;
        self.add_forwards();
    }

    fn insert(&mut self, inner: Inner, outer: Outer, until: Option<Timestamp>) -> usize {
        self.made += 1;
        let slot = self.mappings.insert(Mapping {
            inner,
            outer,
            number: self.made,
            until,
            peers: Expiring::new(),
        });
        self.by_inner.insert(inner, slot);
        self.by_outer.insert(outer, slot);
        slot
    }

    fn remove(&mut self, slot: usize) {
        let mapping = self.mappings.remove(slot);
        self.by_inner.swap_remove(&mapping.inner);
        self.by_outer.swap_remove(&mapping.outer);
    }

    /// Sees to it that there may be one more.
    fn make_room(&mut self, now: Timestamp) -> Result<(), NoPort> {
        let len_max = self
            .nat
            .mappings_max
            .saturating_add(self.nat.forwards.len());
        if self.mappings.len() >= self.sweep_at.min(len_max) && self.earliest <= now {
            let stale = self.mappings.iter();
            let stale = stale.filter(|(_, mapping)| !mapping.is_live(now));
            let stale: Vec<usize> = stale.map(|(slot, _)| slot).collect();
            for slot in stale {
                self.remove(slot);
            }
            self.sweep_at = (2 * self.mappings.len()).max(SWEEP_LEN_MIN);
            let times = self
                .mappings
                .iter()
                .filter_map(|(_, mapping)| mapping.until);
            self.earliest = times.min().unwrap_or(Timestamp::MAX);
        }
        if self.mappings.len() < len_max {
            Ok(())
        } else {
            Err(NoPort)
        }
    }

    /// A free port; one that was not used before all were forgotten, if there is one.
    fn choose_port(
        &mut self,
        now: Timestamp,
        wanted: u16,
        outer: impl Fn(u16) -> Outer,
        draw: impl FnOnce(u64) -> u64,
    ) -> Option<u16> {
        let is_fresh = |table: &mut Self, port| {
            !table.forgotten.contains(&outer(port)) && table.is_free(now, outer(port))
        };
        if self.nat.ports == PortChoice::Preserving && is_fresh(self, wanted) {
            return Some(wanted);
        }
        let count = u64::from(PORTS.end() - PORTS.start()) + 1;
        let start = draw(count);
        let ports = || {
            let offsets = (start..start + count).map(move |offset| offset % count);
            offsets.filter_map(|offset| u16::try_from(offset + u64::from(*PORTS.start())).ok())
        };
        let fresh = ports().find(|&port| is_fresh(self, port));
        fresh.or_else(|| ports().find(|&port| self.is_free(now, outer(port))))
    }

    /// Whether no mapping has a port. One whose time has passed goes.
    fn is_free(&mut self, now: Timestamp, outer: Outer) -> bool {
        match self.by_outer.get(&outer) {
            Some(&slot) if self.mappings[slot].is_live(now) => false,
            Some(&slot) => {
                self.remove(slot);
                true
            }
            None => true,
        }
    }
}

/// The ports that are drawn from.
const PORTS: RangeInclusive<u16> = 1_024..=u16::MAX;

/// Peers that one mapping knows at a time. One more is not let in.
const PEERS_MAX: usize = 65_536;

const SWEEP_LEN_MIN: usize = 64;
