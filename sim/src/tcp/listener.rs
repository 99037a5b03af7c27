//! Listeners: where they are, and who waits there to be taken in.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use stillpoint::{ListenerId, NetworkEvent, Sharing, TcpListen, TcpOptions, Timestamp, Token};

use super::Seat;
use crate::network::steer;

/// All listeners, by slot.
pub(crate) struct Listeners {
    all: Slab<Listener>,
    by_id: IndexMap<(u32, ListenerId), u32, FxBuildHasher>,
    /// By node and port.
    by_port: BTreeMap<(u32, u16), Vec<u32>>,
}

pub(crate) struct Listener {
    pub(super) seat: Seat,
    pub(super) id: ListenerId,
    token: Token,
    local: SocketAddr,
    backlog: usize,
    sharing: Sharing,
    pub(super) options: TcpOptions,
    /// Whether its task was told that it is open.
    pub(super) told: bool,
    /// Whether its task knows that connections cannot be taken in, for want of descriptors.
    out: bool,
    /// It takes nothing in before.
    paused_until: Timestamp,
    /// Ends that are being connected, or wait to be taken in.
    pub(super) waiting: BTreeSet<u32>,
}

impl Listener {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.backlog
    }

    /// What its task is told of it.
    pub(super) const fn listening(&self) -> NetworkEvent {
        NetworkEvent::Listening {
            listener: self.id,
            token: self.token,
            local: self.local,
        }
    }
}

impl Listeners {
    pub(super) fn new() -> Self {
        Self {
            all: Slab::new(),
            by_id: IndexMap::default(),
            by_port: BTreeMap::new(),
        }
    }

    pub(super) fn insert(
        &mut self,
        seat: Seat,
        id: ListenerId,
        local: SocketAddr,
        listen: &TcpListen,
    ) -> u32 {
        let sharing = self.steer(seat.node, local, listen.sharing);
        let slot = self.all.insert(Listener {
            seat,
            id,
            token: listen.token,
            local,
            backlog: usize::try_from(listen.backlog.max(1)).unwrap_or(usize::MAX),
            sharing,
            options: listen.options,
            told: false,
            out: false,
            paused_until: Timestamp::EPOCH,
            waiting: BTreeSet::new(),
        });
        let slot = u32::try_from(slot).expect("fewer than 2^32 listeners");
        self.by_id.insert((seat.worker, id), slot);
        let at_port = self.by_port.entry((seat.node, local.port())).or_default();
        at_port.push(slot);
        slot
    }

    /// Has all who share a port with a new listener be steered as it asks, or it as they are: gives
    /// that.
    fn steer(&mut self, node: u32, local: SocketAddr, sharing: Sharing) -> Sharing {
        let at_port = self.by_port.get(&(node, local.port()));
        let mut effective = sharing;
        for &slot in at_port.into_iter().flatten() {
            let Some(other) = self.all.get_mut(slot as usize) else {
                continue;
            };
            if other.local != local || !other.sharing.is_shared() || !sharing.is_shared() {
                continue;
            }
            if steer::is_steered(sharing) {
                other.sharing = sharing;
            } else {
                effective = other.sharing;
            }
        }
        effective
    }

    /// Closes a listener, if it is open. Gives the ends that were not taken in.
    pub(crate) fn remove(&mut self, worker: u32, id: ListenerId) -> BTreeSet<u32> {
        let Some(slot) = self.by_id.swap_remove(&(worker, id)) else {
            return BTreeSet::new();
        };
        let listener = self.all.remove(slot as usize);
        let place = (listener.seat.node, listener.local.port());
        if let Some(at_port) = self.by_port.get_mut(&place) {
            let left = at_port.iter().position(|&other| other == slot);
            at_port.retain(|&other| other != slot);
            // Where places matter, the last of those who share takes the one that is left.
            let shares = |&other: &u32| self.all[other as usize].local == listener.local;
            if let (true, Some(left)) = (steer::is_steered(listener.sharing), left)
                && let Some(last) = at_port.iter().rposition(shares)
                && last > left
            {
                let moved = at_port.remove(last);
                at_port.insert(left, moved);
            }
            if at_port.is_empty() {
                self.by_port.remove(&place);
            }
        }
        listener.waiting
    }

    /// How many a node has.
    pub(crate) fn count_of(&self, node: u32) -> usize {
        let all = self.all.iter();
        all.filter(|(_, listener)| listener.seat.node == node)
            .count()
    }

    /// Until when a listener takes nothing in, if it does not.
    pub(crate) fn paused_until(&self, slot: u32, now: Timestamp) -> Option<Timestamp> {
        let until = self.all.get(slot as usize)?.paused_until;
        (until > now).then_some(until)
    }

    /// A listener takes connections in.
    pub(crate) fn takes_in(&mut self, slot: u32) {
        if let Some(listener) = self.all.get_mut(slot as usize) {
            listener.out = false;
        }
    }

    /// A listener takes nothing in until then, for want of descriptors. Gives its id if its task is
    /// to be told.
    pub(crate) fn pause(&mut self, slot: u32, until: Timestamp) -> Option<ListenerId> {
        let listener = self.all.get_mut(slot as usize)?;
        listener.paused_until = until;
        let before = core::mem::replace(&mut listener.out, true);
        (!before).then_some(listener.id)
    }

    /// The listeners of a worker.
    pub(crate) fn of_worker(&self, worker: u32) -> Vec<ListenerId> {
        let ids = self.by_id.keys().copied();
        ids.filter(|&(owner, _)| owner == worker)
            .map(|(_, id)| id)
            .collect()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Listener> {
        self.all.get_mut(slot as usize)
    }

    pub(super) fn add_waiting(&mut self, slot: u32, end: u32) {
        if let Some(listener) = self.get_mut(slot) {
            listener.waiting.insert(end);
        }
    }

    pub(super) fn remove_waiting(&mut self, slot: u32, end: u32) {
        if let Some(listener) = self.get_mut(slot) {
            listener.waiting.remove(&end);
        }
    }

    /// Whether a listener does not let another be bound to `local`.
    pub(super) fn conflict(&self, node: u32, local: SocketAddr, sharing: Sharing) -> bool {
        self.at_port(node, local.port()).any(|(_, listener)| {
            let (one, other) = (listener.local.ip(), local.ip());
            let speaks_both = is_dual(one) || is_dual(other);
            let overlap = one == other
                || ((one.is_ipv4() == other.is_ipv4() || speaks_both)
                    && (one.is_unspecified() || other.is_unspecified()));
            let shared = listener.sharing.is_shared() && sharing.is_shared();
            overlap && !shared
        })
    }

    /// The listener that a connection to `target` is for: one at the very address before one at all
    /// addresses; those at all IPv6 addresses listen for IPv4 as well. Among several that share it,
    /// `flow` decides.
    pub(super) fn find(
        &self,
        node: u32,
        target: SocketAddr,
        flow: impl FnOnce() -> u64,
    ) -> Option<(u32, &Listener)> {
        let exact = |listener: &Listener| listener.local.ip() == target.ip();
        let all = |listener: &Listener| {
            let ip = listener.local.ip();
            ip.is_unspecified() && (ip.is_ipv4() == target.is_ipv4() || is_dual(ip))
        };
        let fit = |fits: &dyn Fn(&Listener) -> bool| -> Vec<(u32, &Listener)> {
            let found = self.at_port(node, target.port());
            found.filter(|(_, listener)| fits(listener)).collect()
        };
        let mut found = fit(&exact);
        if found.is_empty() {
            found = fit(&all);
        }
        match &found[..] {
            [] => None,
            [only] => Some(*only),
            several => {
                let (flow, sharing) = (flow(), several[0].1.sharing);
                let place = match steer::place(sharing, flow, &[], several.len()) {
                    Some(place) => place,
                    None => usize::try_from(flow % several.len() as u64).ok()?,
                };
                several.get(place).copied()
            }
        }
    }

    fn at_port(&self, node: u32, port: u16) -> impl Iterator<Item = (u32, &Listener)> {
        let slots = self.by_port.get(&(node, port)).into_iter().flatten();
        slots.filter_map(|&slot| Some((slot, self.all.get(slot as usize)?)))
    }
}

/// Whether a listener at this address listens for both families, as those at all IPv6 addresses do
/// under every backend.
const fn is_dual(ip: IpAddr) -> bool {
    ip.is_ipv6() && ip.is_unspecified()
}
