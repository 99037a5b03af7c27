//! What the system of a node refuses: sends, sockets, descriptors; connections that break, and bytes
//! that are handed out late.
//!
//! All of it is off the hot path: a world in which nothing of it was ever asked for has no
//! [`Failing`].

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Entropy, NetworkError, NetworkEvent, Site, SocketId, WhenFull};

use super::outside::{Event, Outside, Sink};
use crate::fault::Who;
use crate::tcp::{Endpoint, Name, Side};

/// What fails at which node.
pub(super) struct Failing {
    nodes: BTreeMap<u32, Refusals>,
    send: Site,
    bind: Site,
    reader: Site,
    reset: Site,
    /// By worker: how often a send and an opening was drawn for.
    drawn: IndexMap<u32, [u64; 2], FxBuildHasher>,
    /// How often connections were reset.
    resets: u64,
}

/// What fails at one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals {
    pub(super) send: Vec<(NetworkError, f64)>,
    pub(super) bind: Vec<(NetworkError, f64)>,
    pub(super) descriptors_max: Option<usize>,
    pub(super) read_delay: Option<RangeInclusive<Duration>>,
}

impl Failing {
    pub(super) fn new(entropy: &Entropy) -> Self {
        Self {
            nodes: BTreeMap::new(),
            send: entropy.site("send error"),
            bind: entropy.site("bind error"),
            reader: entropy.site("slow reader"),
            reset: entropy.site("reset stream"),
            drawn: IndexMap::default(),
            resets: 0,
        }
    }

    pub(super) fn at(&mut self, node: u32) -> &mut Refusals {
        self.nodes.entry(node).or_default()
    }

    /// Nothing fails any more.
    pub(super) fn heal(&mut self) {
        self.nodes.clear();
    }

    /// How many nodes have something that fails.
    pub(super) fn nodes_failing(&self) -> usize {
        let fails = |refusals: &&Refusals| {
            let errors = !refusals.send.is_empty() || !refusals.bind.is_empty();
            errors || refusals.descriptors_max.is_some() || refusals.read_delay.is_some()
        };
        self.nodes.values().filter(fails).count()
    }

    /// What a worker is refused with, if it is.
    fn draw(&mut self, refused: &Draw<'_>, node: u32, worker: u32) -> Option<NetworkError> {
        let errors = self.nodes.get(&node)?;
        let (errors, site, which) = match refused.what {
            What::Send => (&errors.send, &self.send, 0),
            What::Bind => (&errors.bind, &self.bind, 1),
        };
        if errors.is_empty() {
            return None;
        }
        let count = &mut self.drawn.entry(worker).or_default()[which];
        *count += 1;
        let mut errors = errors.iter().zip(0..);
        let hit = errors.find(|((_, chance), number)| {
            let entity = refused.entity.part(*number);
            site.chance(entity, *count - 1, *chance)
        });
        hit.map(|((error, _), _)| *error)
    }
}

struct Draw<'a> {
    what: What,
    entity: &'a stillpoint::Entity,
}

#[derive(Clone, Copy)]
enum What {
    Send,
    Bind,
}

/// Has an error have this chance among others.
pub(super) fn set_chance(errors: &mut Vec<(NetworkError, f64)>, error: NetworkError, chance: f64) {
    assert!(
        (0.0..=1.0).contains(&chance),
        "a chance of {chance} for the error `{error}`: give one from 0 to 1"
    );
    errors.retain(|(known, _)| *known != error);
    if chance > 0.0 {
        errors.push((error, chance));
    }
}

impl<A: App> Sink<'_, A> {
    fn draw_refusal(&mut self, what: What) -> Option<NetworkError> {
        let node = self.outside.network.entities[self.place.node as usize];
        let entity = node.part(u64::from(self.place.worker));
        let failing = self.outside.failing.as_mut()?;
        let draw = Draw {
            what,
            entity: &entity,
        };
        failing.draw(&draw, self.place.node, self.worker)
    }

    /// What the system says to a transmit of a socket, if it does not send it; and whether the task
    /// is told.
    #[cold]
    pub(super) fn send_refusal(&mut self, socket: SocketId) -> Option<(NetworkError, Told)> {
        let when_full = self.outside.network.when_full(self.worker, socket)?;
        let error = self.draw_refusal(What::Send)?;
        let dropped = error == NetworkError::QueueFull && when_full != WhenFull::Fail;
        let told = if dropped { Told::No } else { Told::Yes };
        Some((error, told))
    }

    /// What the system says to an opening, if there is to be none.
    #[cold]
    fn bind_refusal(&mut self) -> Option<NetworkError> {
        let is_out = self.outside.is_out_of_descriptors(self.place.node);
        if is_out {
            return Some(NetworkError::TooManySockets);
        }
        self.draw_refusal(What::Bind)
    }

    /// What the system says to a packet that a task gives to a device, if it does not take it.
    #[inline]
    pub(super) fn packet_refused(&mut self) -> Result<(), NetworkError> {
        if self.outside.failing.is_none() {
            return Ok(());
        }
        self.draw_refusal(What::Send).map_or(Ok(()), Err)
    }

    /// What the system says to an opening, if there is to be none.
    #[inline]
    pub(super) fn refused(&mut self) -> Result<(), NetworkError> {
        if self.outside.failing.is_none() {
            return Ok(());
        }
        self.bind_refusal().map_or(Ok(()), Err)
    }
}

/// Whether a task is told of what was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    No,
    Yes,
}

impl<A: App> Outside<A> {
    /// Whether a node may open nothing more.
    pub(super) fn is_out_of_descriptors(&self, node: u32) -> bool {
        let refusals = self.failing.as_ref();
        let refusals = refusals.and_then(|failing| failing.nodes.get(&node));
        let max = refusals.and_then(|refusals| refusals.descriptors_max);
        max.is_some_and(|max| self.descriptors(node) >= max)
    }

    /// Descriptors that a node has open.
    fn descriptors(&self, node: u32) -> usize {
        self.network.sockets_of(node)
            + self.network.devices.queues_of(node)
            + self.tcp.listeners.count_of(node)
            + self.tcp.streams_at(node)
    }

    /// Before an end tells its news: whether it has to wait with that, and what its worker is told
    /// instead.
    #[cold]
    pub(super) fn delay_news(&mut self, slot: u32) -> Option<(u32, NetworkEvent)> {
        let end = self.tcp.ends.get(slot as usize)?;
        let (node, worker) = (end.seat.node, end.seat.worker);
        if let Some(listener) = end.wants_in() {
            return self.delay_accept(slot, listener, (node, worker));
        }
        let failing = self.failing.as_ref()?;
        let delay = failing.nodes.get(&node)?.read_delay.as_ref()?;
        let (entity, piece) = end.next_piece()?;
        let delay = failing.reader.duration(entity, piece, delay);
        self.keep_back(slot, delay);
        None
    }

    /// A connection is to be taken in. As in the backends, a listener that has no descriptor for it
    /// tells its task so, the first time, and tries again after a pause, with this one and all others.
    fn delay_accept(
        &mut self,
        slot: u32,
        listener: u32,
        (node, worker): (u32, u32),
    ) -> Option<(u32, NetworkEvent)> {
        let listeners = &mut self.tcp.listeners;
        if let Some(until) = listeners.paused_until(listener, self.now) {
            self.keep_back(slot, until.since(self.now));
            return None;
        }
        if !self.is_out_of_descriptors(node) {
            self.tcp.listeners.takes_in(listener);
            return None;
        }
        let until = self.now.after(ACCEPT_PAUSE);
        let told = self.tcp.listeners.pause(listener, until);
        self.network.counters.streams.accepts_paused += 1;
        self.keep_back(slot, ACCEPT_PAUSE);
        let (listener, error) = (told?, NetworkError::TooManySockets);
        Some((worker, NetworkEvent::AcceptFailed { listener, error }))
    }

    fn keep_back(&mut self, slot: u32, delay: Duration) {
        const KEPT_BACK: u64 = 3;
        if let Some(end) = self.tcp.ends.get_mut(slot as usize) {
            end.keep_back();
            let (name, channel) = (end.name, end.channel().part(KEPT_BACK));
            let event = Event::Retell {
                slot,
                name: Box::new(name),
            };
            let at = self.now.after(delay);
            self.agenda.push_in_time(at, channel, event);
        }
    }

    /// An end may tell its news now.
    pub(super) fn retell(&mut self, slot: u32, name: Name) {
        let end = self.tcp.ends.get_mut(slot as usize);
        if let Some(end) = end.filter(|end| end.name == name) {
            end.let_go();
            self.arm_end(slot);
        }
    }

    /// Breaks connections.
    pub(super) fn reset_streams(&mut self, who: &Who, chance: f64) {
        let Some(failing) = &mut self.failing else {
            return;
        };
        let (count, site) = (failing.resets, failing.reset.clone());
        failing.resets += 1;
        let ends = self.tcp.ends_of(|seat| who.has(seat.node, seat.index));
        let mut broken = None;
        for slot in ends {
            let Some(end) = self.tcp.ends.get(slot as usize) else {
                continue;
            };
            let (name, entity) = (end.name, end.entity);
            // Both ends may be among them.
            let again = broken.replace(name.conversation) == Some(name.conversation);
            if again || !site.chance(entity, count, chance) {
                continue;
            }
            for side in [Side::Caller, Side::Answerer] {
                let conversation = name.conversation;
                if let Some(slot) = self.tcp.named(Name { conversation, side }) {
                    self.change(slot, Endpoint::tear);
                }
            }
        }
    }
}

/// After which time a connection that could not be taken in is tried again: as in the backends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
