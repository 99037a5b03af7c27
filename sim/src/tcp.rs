//! Simulated TCP: the ends of connections, and the listeners that take connections in.
//!
//! An end ([`Endpoint`]) is a state machine that takes and gives segments; this is the table of
//! them. Like [`Network`] it moves nothing: the world carries segments over its links and looks at
//! ends when they ask for it (`world/streams.rs`).
//!
//! What is modelled: SYN, data, acknowledgements, windows and their probes, FIN and RST as segments
//! of their own, each subject to the links; retransmission with measured round trips and doubling
//! pauses (RFC 6298), fast retransmission (RFC 5681, 6582), Nagle's algorithm, keepalive, backlogs.
//! What is not: congestion windows and pacing, selective and delayed acknowledgements, urgent data,
//! initial sequence numbers (a segment names its connection), and the time that TIME-WAIT takes: an
//! end goes when the other needs nothing of it any more.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeSet;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use stillpoint::{
    Entity, Entropy, IncomingId, ListenerId, NetworkError, NetworkEvent, Sharing, StreamId,
    TcpConnect, TcpListen, Timestamp,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::counters::Counters;
use crate::draws::LazySite;
use crate::network::{EPHEMERAL_FIRST, EPHEMERAL_PORTS, Held, Network};

mod endpoint;
mod listener;
mod receive;
mod retry;
mod segment;
mod send;

pub(crate) use endpoint::{EndView, Endpoint, Reply, Tools};
use endpoint::{Holder, Origin, Stage};
pub(crate) use listener::Listeners;
pub(crate) use segment::{Kind, Segment};

/// All ends of all connections, by slot, and all listeners.
pub(crate) struct Tcp {
    pub(crate) ends: Slab<Endpoint>,
    by_name: IndexMap<Name, u32, FxBuildHasher>,
    /// Those that a worker knows.
    by_stream: IndexMap<(u32, StreamId), u32, FxBuildHasher>,
    conversations: IndexMap<u64, Conversation, FxBuildHasher>,
    conversations_made: u64,
    /// How many connections each node has made to each peer.
    made: IndexMap<(u32, SocketAddr), u64, FxBuildHasher>,
    /// Node, own address and peer of each end that has connected.
    calls: BTreeSet<(u32, SocketAddr, SocketAddr)>,
    pub(crate) listeners: Listeners,
    /// By worker that takes nothing: the ends that have something to tell it.
    parked: IndexMap<u32, Vec<u32>, FxBuildHasher>,
    /// The end that a worker is being told of.
    incoming: Option<u32>,
    ports: Ports,
    pub(crate) cut: LazySite,
    pub(crate) give: LazySite,
}

/// Which connection, and which of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) conversation: u64,
    pub(crate) side: Side,
}

/// The ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The one that connected.
    Caller,
    /// The one that was connected to.
    Answerer,
}

/// Which worker an end belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) node: u32,
    /// Among all workers.
    pub(crate) worker: u32,
    /// Among those of the node.
    pub(crate) index: u16,
}

/// A connection as nobody sees it: both ends at once.
struct Conversation {
    entity: Entity,
    /// Whether somebody has answered, ever. An old SYN makes no second end.
    answered: bool,
    ends: u32,
    /// Bytes that the system has taken for sending, less those that were received at the other end,
    /// of the ends that are no more.
    missing: i128,
}

/// Chooses ports for those who bind to port 0.
pub(crate) struct Ports {
    site: LazySite,
    /// By node: how many were chosen.
    chosen: IndexMap<u32, u64, FxBuildHasher>,
}

impl Name {
    pub(crate) const fn other(self) -> Self {
        Self {
            conversation: self.conversation,
            side: self.side.other(),
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Answerer,
            Self::Answerer => Self::Caller,
        }
    }
}

impl Ports {
    /// A port for which `is_free` holds.
    fn choose(
        &mut self,
        node: u32,
        entity: Entity,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<u16, NetworkError> {
        let count = self.chosen.entry(node).or_default();
        *count += 1;
        let all = u64::from(EPHEMERAL_PORTS);
        let start = self.site.below(entity, *count - 1, all);
        let offsets = (start..start + all).filter_map(|offset| u16::try_from(offset % all).ok());
        let mut ports = offsets.map(|offset| EPHEMERAL_FIRST + offset);
        ports
            .find(|&port| is_free(port))
            .ok_or(NetworkError::AddressInUse)
    }
}

impl Tcp {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        Self {
            ends: Slab::new(),
            by_name: IndexMap::default(),
            by_stream: IndexMap::default(),
            conversations: IndexMap::default(),
            conversations_made: 0,
            made: IndexMap::default(),
            calls: BTreeSet::new(),
            listeners: Listeners::new(),
            parked: IndexMap::default(),
            incoming: None,
            ports: Ports {
                site: LazySite::new(entropy, "tcp ephemeral port"),
                chosen: IndexMap::default(),
            },
            cut: LazySite::new(entropy, "tcp segment"),
            give: LazySite::new(entropy, "tcp receive"),
        }
    }

    /// The slot of the stream that a worker knows under this id.
    pub(crate) fn find(&self, worker: u32, stream: StreamId) -> Option<u32> {
        self.by_stream.get(&(worker, stream)).copied()
    }

    /// The slot of an end.
    pub(crate) fn named(&self, name: Name) -> Option<u32> {
        self.by_name.get(&name).copied()
    }

    pub(crate) fn listen(
        &mut self,
        network: &Network,
        seat: Seat,
        id: ListenerId,
        listen: &TcpListen,
    ) -> Result<u32, NetworkError> {
        let entity = network.entities[seat.node as usize];
        let host = &network.hosts[seat.node as usize];
        let mut local = listen.bind;
        if !local.ip().is_unspecified() && !host.has(local.ip()) {
            return Err(NetworkError::AddressNotAvailable);
        }
        let (listeners, sharing) = (&self.listeners, listen.sharing);
        if local.port() == 0 {
            let at = |port| SocketAddr::new(local.ip(), port);
            let is_free = |port| !listeners.conflict(seat.node, at(port), Sharing::Exclusive);
            let port = self.ports.choose(seat.node, entity, is_free)?;
            local.set_port(port);
        } else if listeners.conflict(seat.node, local, sharing) {
            return Err(NetworkError::AddressInUse);
        }
        Ok(self.listeners.insert(seat, id, local, listen))
    }

    /// Begins a connection. Gives the slot of its end.
    pub(crate) fn connect(
        &mut self,
        network: &Network,
        now: Timestamp,
        seat: Seat,
        stream: StreamId,
        connect: &TcpConnect,
    ) -> Result<u32, NetworkError> {
        let (node, peer) = (seat.node, connect.peer);
        let local = self.choose_local(network, node, connect)?;
        let conversation = self.conversations_made;
        self.conversations_made += 1;
        let made = self.made.entry((node, peer)).or_default();
        *made += 1;
        let entity = network.entities[node as usize]
            .part(address_number(peer))
            .part(*made);
        self.conversations.insert(
            conversation,
            Conversation {
                entity,
                answered: false,
                ends: 0,
                missing: 0,
            },
        );
        let origin = Origin {
            name: Name {
                conversation,
                side: Side::Caller,
            },
            seat,
            local,
            peer,
            peer_node: network.node_of(node, peer.ip()),
            entity,
        };
        let limit = now.after(connect.timeout);
        let options = &connect.options;
        let end = Endpoint::calling(origin, stream, connect.token, limit, options);
        self.calls.insert((node, local, peer));
        let slot = self.insert(end);
        self.by_stream.insert((seat.worker, stream), slot);
        Ok(slot)
    }

    fn choose_local(
        &mut self,
        network: &Network,
        node: u32,
        connect: &TcpConnect,
    ) -> Result<SocketAddr, NetworkError> {
        let host = &network.hosts[node as usize];
        let peer = connect.peer;
        let any: IpAddr = match peer.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let bind = connect.bind.unwrap_or(SocketAddr::new(any, 0));
        if !bind.ip().is_unspecified() && !host.has(bind.ip()) {
            return Err(NetworkError::AddressNotAvailable);
        }
        let ip = host.towards(bind.ip(), peer.ip())?;
        if ip.is_loopback() && network.node_of(node, peer.ip()) != Some(node) {
            return Err(NetworkError::NetworkUnreachable);
        }
        let at = |port| SocketAddr::new(ip, port);
        let listens = |local| {
            let sharing = Sharing::Exclusive;
            self.listeners.conflict(node, local, sharing)
        };
        if bind.port() == 0 {
            let is_free =
                |port| !listens(at(port)) && !self.calls.contains(&(node, at(port), peer));
            let entity = network.entities[node as usize];
            return Ok(at(self.ports.choose(node, entity, is_free)?));
        }
        let local = at(bind.port());
        let first = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut others = self.calls.range((node, local, first)..);
        let called = others
            .next()
            .is_some_and(|&(other_node, other, _)| (other_node, other) == (node, local));
        if called || listens(local) {
            return Err(NetworkError::AddressInUse);
        }
        Ok(local)
    }

    /// A SYN came for nobody in particular. Gives the slot of the end that answers it, or says that
    /// nobody listens; neither if there is no room for one more.
    pub(crate) fn answer(
        &mut self,
        network: &Network,
        call: &Segment,
    ) -> Result<Option<u32>, NoListener> {
        let Some(conversation) = self.conversations.get_mut(&call.to.conversation) else {
            return Ok(None); // Whoever called has gone.
        };
        if conversation.answered {
            return Err(NoListener);
        }
        let node = call.to_node.ok_or(NoListener)?;
        let host = &network.hosts[node as usize];
        let found = self
            .listeners
            .find(node, call.target, || host.flow(call.source));
        let (slot, listener) = found.ok_or(NoListener)?;
        if listener.is_full() {
            return Ok(None);
        }
        conversation.answered = true;
        let origin = Origin {
            name: call.to,
            seat: listener.seat,
            local: call.target,
            peer: call.source,
            peer_node: Some(call.from_node),
            entity: conversation.entity,
        };
        let holder = Holder::Listener {
            slot,
            id: listener.id,
            ready: listener.told,
        };
        let options = listener.options;
        let end = self.insert(Endpoint::answering(origin, holder, call, &options));
        self.listeners.add_waiting(slot, end);
        Ok(Some(end))
    }

    /// The listener's task is told that it is open: connections may be taken in. Gives the event,
    /// its worker, and the ends that have waited for that.
    pub(crate) fn told(&mut self, slot: u32) -> Option<(u32, NetworkEvent, Vec<u32>)> {
        let listener = self.listeners.get_mut(slot)?;
        if core::mem::replace(&mut listener.told, true) {
            return None;
        }
        let (worker, event) = (listener.seat.worker, listener.listening());
        let waiting: Vec<u32> = listener.waiting.iter().copied().collect();
        for &end in &waiting {
            if let Some(end) = self.ends.get_mut(end as usize)
                && let Holder::Listener { ready, .. } = &mut end.holder
            {
                *ready = true;
            }
        }
        Some((worker, event, waiting))
    }

    /// Notes that a worker is being told of an end that has no id yet.
    pub(crate) const fn offer(&mut self, slot: u32) {
        self.incoming = Some(slot);
    }

    /// The end that was offered, if it is this one. It is offered no more.
    pub(crate) fn take_offered(&mut self, incoming: Option<IncomingId>) -> Option<u32> {
        let slot = self.incoming.take()?;
        let end = self.ends.get_mut(slot as usize)?;
        let fits = incoming.is_none_or(|wanted| wanted == end.incoming());
        assert!(fits, "a worker answers what it was told of");
        if let Holder::Listener { slot: listener, .. } = end.holder {
            self.listeners.remove_waiting(listener, slot);
        }
        Some(slot)
    }

    /// The worker knows an end under this id from now on.
    pub(crate) fn accept(&mut self, slot: u32, stream: StreamId) {
        let end = &mut self.ends[slot as usize];
        end.accept(stream);
        self.by_stream.insert((end.seat.worker, stream), slot);
    }

    /// The streams that a worker knows, and their slots.
    pub(crate) fn streams_of(&self, worker: u32) -> Vec<(StreamId, u32)> {
        let streams = self.by_stream.iter();
        let streams = streams.filter(|((owner, _), _)| *owner == worker);
        streams.map(|(&(_, id), &slot)| (id, slot)).collect()
    }

    /// What can be seen of an end.
    pub(crate) fn look(&self, slot: u32) -> Option<EndView> {
        self.ends.get(slot as usize).map(Endpoint::look)
    }

    /// What can be seen of the other end.
    pub(crate) fn other(&self, end: &EndView) -> Option<EndView> {
        self.look(self.named(end.name.other())?)
    }

    /// What can be seen of all ends.
    pub(crate) fn looks(&self) -> impl Iterator<Item = EndView> {
        self.ends.iter().map(|(_, end)| end.look())
    }

    /// Has what an end has to tell its worker wait, as that takes nothing now.
    pub(crate) fn park(&mut self, slot: u32) {
        if let Some(end) = self.ends.get_mut(slot as usize)
            && end.held == Held::No
        {
            end.held = Held::Yes;
            self.parked.entry(end.seat.worker).or_default().push(slot);
        }
    }

    /// A worker takes things again. Gives the slots of the ends that have something to tell.
    pub(crate) fn release(&mut self, worker: u32) -> Vec<u32> {
        let parked = self.parked.swap_remove(&worker).unwrap_or_default();
        for &slot in &parked {
            // By now it may be another end's: that is held again when it is looked at.
            if let Some(end) = self.ends.get_mut(slot as usize) {
                end.held = Held::No;
            }
        }
        parked
    }

    /// The slots of the ends at some seats, in the order of their connections.
    pub(crate) fn ends_of(&self, wanted: impl Fn(&Seat) -> bool) -> Vec<u32> {
        let ends = self.ends.iter().filter(|(_, end)| wanted(&end.seat));
        let mut ends: Vec<(u64, bool, usize)> = ends
            .map(|(slot, end)| (end.name.conversation, end.name.side == Side::Answerer, slot))
            .collect();
        ends.sort_unstable();
        let slots = ends.into_iter().map(|(_, _, slot)| u32::try_from(slot));
        slots
            .map(|slot| slot.expect("fewer than 2^30 connections"))
            .collect()
    }

    /// How many streams the workers of a node have.
    pub(crate) fn streams_at(&self, node: u32) -> usize {
        let ends = self.ends.iter();
        let held = ends.filter(|(_, end)| end.seat.node == node && end.stream().is_some());
        held.count()
    }

    /// Removes an end whose node is no more. Gives the other end, if there is one.
    pub(crate) fn lose(&mut self, slot: u32, counters: &mut Counters) -> Option<u32> {
        let end = self.ends.get(slot as usize)?;
        let (name, worker, stream) = (end.name, end.seat.worker, end.stream());
        if let Some(stream) = stream {
            self.forget(worker, stream);
        }
        self.remove(slot, counters);
        self.named(name.other())
    }

    /// The worker knows the stream no more.
    pub(crate) fn forget(&mut self, worker: u32, stream: StreamId) {
        self.by_stream.swap_remove(&(worker, stream));
    }

    /// Removes an end that has nothing more to do, and then the other end, if it was that which it
    /// has waited for.
    pub(crate) fn tidy(&mut self, slot: u32, counters: &mut Counters) {
        let Some(end) = self.ends.get(slot as usize) else {
            return;
        };
        let other = self.named(end.name.other());
        for slot in core::iter::once(slot).chain(other) {
            if self.may_go(slot) {
                self.remove(slot, counters);
                if let Some(other) = other {
                    self.tidy(other, counters);
                }
            }
        }
    }

    fn may_go(&self, slot: u32) -> bool {
        let Some(end) = self.ends.get(slot as usize) else {
            return false;
        };
        if end.is_over() {
            return true;
        }
        if let Holder::Listener { .. } = end.holder {
            return end.stage == Stage::Dead;
        }
        if !end.is_done() {
            return false;
        }
        let other = self.named(end.name.other());
        let other = other.and_then(|other| self.ends.get(other as usize));
        other.is_none_or(|other| {
            let heard_all = end.receiving.has_ended() && other.sending.is_acknowledged();
            heard_all || other.stage == Stage::Dead
        })
    }

    fn insert(&mut self, end: Endpoint) -> u32 {
        let name = end.name;
        let slot = u32::try_from(self.ends.insert(end)).expect("fewer than 2^30 connections");
        self.by_name.insert(name, slot);
        if let Some(conversation) = self.conversations.get_mut(&name.conversation) {
            conversation.ends += 1;
        }
        slot
    }

    fn remove(&mut self, slot: u32, counters: &mut Counters) {
        let mut end = self.ends.remove(slot as usize);
        self.by_name.swap_remove(&end.name);
        if end.name.side == Side::Caller {
            self.calls.remove(&(end.seat.node, end.local, end.peer));
        }
        if let Holder::Listener { slot: listener, .. } = end.holder {
            self.listeners.remove_waiting(listener, slot);
        }
        let bytes = end.receiving.discard() as u64;
        counters.stream_bytes.discarded += bytes;
        counters.stream_bytes.under_way -= bytes;
        let conversation = end.name.conversation;
        if let Some(known) = self.conversations.get_mut(&conversation) {
            known.ends -= 1;
            known.missing += i128::from(end.sending.taken());
            known.missing -= i128::from(end.receiving.received());
            if known.ends == 0 {
                let missing = u64::try_from(known.missing).expect("only what was sent is received");
                counters.stream_bytes.discarded += missing;
                counters.stream_bytes.under_way -= missing;
                self.conversations.swap_remove(&conversation);
            }
        }
    }
}

/// Nobody listens there.
pub(crate) struct NoListener;

/// An address and a port as a number.
pub(crate) fn address_number(address: SocketAddr) -> u64 {
    let mut bytes = [0; 18];
    match address.ip() {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
    }
    bytes[16..].copy_from_slice(&address.port().to_le_bytes());
    xxh3_64(&bytes)
}
