//! The worker's part of the bus.
//!
//! What the worker's tasks send to each other waits in its own *lane*; what comes from another
//! worker, or from the controller, in a lane of that source. A lane is worked off in order and in
//! bounded batches; each delivery is an input of its own. As long as the lane of a source is not
//! clear, its driver leaves the rest in the queue between them, so that nothing waits here without
//! bounds.
//!
//! What workers owe each other besides messages (interest in channels, acknowledgements) is kept
//! as what is to be said, not as a list of things to send: so it is bounded, and never lost for
//! want of room.

use std::collections::{BTreeMap, BTreeSet};

use super::{WorkerConfig, WorkerOutputs};
use crate::bus::{BusCounters, BusItem, Item, RequestError};
use crate::id::{RequestId, TaskId};
use crate::status::WorkerStatus;
use crate::task::App;
use crate::time::Timestamp;

mod command;
mod fifo;
mod lane;
mod requests;
mod step;
mod subscriptions;

pub(super) use command::Asking;
use fifo::FifoSet;
use lane::Lane;
pub(super) use requests::Put;
use requests::Requests;
pub(super) use step::Step;
use subscriptions::Subscriptions;

pub(super) struct Bus<A: App> {
    worker: u16,
    messages_max: usize,
    messages_per_task_max: u32,
    subscriptions_max: usize,
    agent: Option<TaskId>,
    own: Lane<A::Channel, A::Message>,
    /// How many messages of each task wait in the own lane, by group and slot.
    shares: Vec<Vec<u32>>,
    controller: Lane<A::Channel, A::Message>,
    /// The other workers, by index.
    peers: Vec<(u16, Peer<A>)>,
    subscriptions: Subscriptions<A::Channel>,
    requests: Requests,
    /// Tasks of this worker that wait for room in its own lane.
    waiting: FifoSet<TaskId>,
    /// How many commands are about to come back to a task for want of room. It hears of room behind
    /// them, or it would never hear of room for the last ones.
    returning: BTreeMap<TaskId, u32>,
    /// Subscriptions that all workers know of, to be told.
    confirmed: FifoSet<(TaskId, A::Channel)>,
    /// The workers that a message goes to; kept for its memory.
    targets: Vec<u16>,
    pub(super) counters: BusCounters,
}

/// Another worker.
struct Peer<A: App> {
    lane: Lane<A::Channel, A::Message>,
    /// Channels of which it is to be told whether there is interest in them here.
    owed: BTreeSet<A::Channel>,
    /// What it has told under this number is to be acknowledged.
    owed_known: BTreeMap<A::Channel, u64>,
    /// Tasks of this worker that wait for room in the queue to it.
    waiting: FifoSet<TaskId>,
    /// Whether there is room, as far as is known, so that they may be told.
    room: Room,
    presence: Presence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// It has left; some of what it sent, or of those who wait for it, is still to be dealt with.
    Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Nobody waits for it.
    Unasked,
    /// The driver was asked to say when there is.
    Awaited,
    /// There is.
    Known,
}

/// Where an item comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Own,
    Controller,
    Peer(u16),
}

impl<A: App> Bus<A> {
    pub(super) const fn new(config: &WorkerConfig) -> Self {
        Self {
            worker: config.index,
            messages_max: config.messages_max,
            messages_per_task_max: config.messages_per_task_max,
            subscriptions_max: config.subscriptions_max,
            agent: None,
            own: Lane::new(),
            shares: Vec::new(),
            controller: Lane::new(),
            peers: Vec::new(),
            subscriptions: Subscriptions::new(),
            requests: Requests::new(config.index, config.requests_max),
            waiting: FifoSet::new(),
            returning: BTreeMap::new(),
            confirmed: FifoSet::new(),
            targets: Vec::new(),
            counters: BusCounters {
                sent: 0,
                received: 0,
                delivered: 0,
                dropped: 0,
                refused: 0,
                untold: 0,
                stale: 0,
                unheard: 0,
                lost: 0,
                requests: 0,
                replies: 0,
                requests_failed: 0,
            },
        }
    }

    pub(super) const fn agent(&self) -> Option<TaskId> {
        self.agent
    }

    pub(super) fn write_status(&self, status: &mut WorkerStatus) {
        status.subscriptions = self.subscriptions.len();
        status.requests = self.requests.len();
        let peers = self.peers.iter().map(|(_, peer)| peer.lane.len());
        status.queues.bus = self.own.len() + self.controller.len() + peers.sum::<usize>();
        status.queues.bus_most = self.own.longest;
        status.bus = self.counters;
    }

    /// How many messages have been sent and not received: each item here holds one.
    pub(super) fn messages_waiting(&self) -> usize {
        self.own.items.len() + self.controller.items.len()
    }

    /// Whether nothing of this source waits, so that it may send more.
    pub(super) fn is_clear(&self, from: From) -> bool {
        match from {
            From::Own => self.own.is_clear(),
            From::Controller => self.controller.is_clear(),
            From::Peer(index) => {
                let peer = self.peer(index);
                peer.is_none_or(|peer| peer.lane.is_clear())
            }
        }
    }

    /// Whether there is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        let peer_is_busy = |peer: &Peer<A>| {
            !peer.lane.is_clear() || (peer.room == Room::Known && !peer.waiting.is_empty())
        };
        !self.own.is_clear()
            || !self.controller.is_clear()
            || !self.confirmed.is_empty()
            || (!self.waiting.is_empty() && self.has_own_room())
            || self.peers.iter().any(|(_, peer)| peer_is_busy(peer))
    }

    /// When the first request fails.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        self.requests.first_end()
    }

    /// How many sources there are.
    pub(super) const fn sources(&self) -> usize {
        2 + self.peers.len()
    }

    /// One of the sources, by its place among them.
    pub(super) fn source(&self, place: usize) -> From {
        match place {
            0 => From::Own,
            1 => From::Controller,
            peer => From::Peer(self.peers[peer - 2].0),
        }
    }

    /// Takes an item in.
    pub(super) fn push(&mut self, from: From, item: Item<A::Channel, A::Message>) {
        match from {
            From::Own => self.own.push(item),
            From::Controller => self.controller.push(item),
            From::Peer(index) => {
                // Who is unknown has left, and what it sent before then comes first.
                if let Some(peer) = self.peer_mut(index) {
                    peer.lane.push(item);
                } else {
                    self.counters.received += item.messages();
                    self.counters.stale += item.messages();
                }
            }
        }
    }

    /// There is one more worker.
    pub(super) fn join(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) {
        let Err(place) = self.peers.binary_search_by_key(&index, |&(at, _)| at) else {
            return;
        };
        let peer = Peer {
            lane: Lane::new(),
            owed: self.subscriptions.channels().collect(),
            owed_known: BTreeMap::new(),
            waiting: FifoSet::new(),
            room: Room::Unasked,
            presence: Presence::Here,
        };
        self.peers.insert(place, (index, peer));
        self.pay(index, outputs);
    }

    /// A worker is no more. What it has sent before is still delivered, and whoever waits for room
    /// there learns of it when it tries again.
    pub(super) fn leave(&mut self, index: u16, now: Timestamp) {
        let Some(peer) = self.peer_mut(index) else {
            return;
        };
        peer.presence = Presence::Left;
        peer.room = Room::Known;
        for confirmed in self.subscriptions.forget_peer(index) {
            self.confirmed.push(confirmed);
        }
        self.requests.fail_all_to(index, now);
        self.bury();
    }

    /// Forgets the workers that have left and of which nothing is left to do.
    pub(super) fn bury(&mut self) {
        self.peers.retain(|(_, peer)| {
            peer.presence == Presence::Here || !peer.lane.is_clear() || !peer.waiting.is_empty()
        });
    }

    /// A task is no more: so are its subscriptions and requests, and what it was asked fails.
    pub(super) fn forget(
        &mut self,
        task: TaskId,
        now: Timestamp,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        if self.agent == Some(task) {
            self.agent = None;
        }
        while let Some(channel) = self.subscriptions.first_of(task) {
            self.unsubscribe(task, channel, outputs);
        }
        self.waiting.remove(&task);
        self.returning.remove(&task);
        for (_, peer) in &mut self.peers {
            peer.waiting.remove(&task);
        }
        self.requests.forget_put_by(task);
        while let Some(request) = self.requests.first_asked_of(task) {
            self.requests.forget_asked(request);
            self.fail(request, RequestError::Ended, now, outputs);
        }
    }

    /// There is room again in the queue to another worker.
    pub(super) fn room_came(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) {
        if let Some(peer) = self.peer_mut(index) {
            peer.room = Room::Known;
            self.pay(index, outputs);
        }
    }

    /// The next task that is to hear of room, and where it is.
    pub(super) fn poll_room(
        &mut self,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Option<(TaskId, u16)> {
        let waiting = if self.has_own_room() {
            self.waiting.len()
        } else {
            0
        };
        for _ in 0..waiting {
            let task = self.waiting.pop()?;
            let has_all = !self.returning.contains_key(&task);
            if has_all && self.share(task) <= self.messages_per_task_max / 2 {
                return Some((task, self.worker));
            }
            self.waiting.push(task);
        }
        for (index, peer) in &mut self.peers {
            if peer.room != Room::Known || peer.waiting.is_empty() {
                continue;
            }
            if peer.presence == Presence::Here && outputs.bus_room(*index) == 0 {
                peer.room = Room::Awaited;
                outputs.want_bus_room(*index);
                continue;
            }
            for _ in 0..peer.waiting.len() {
                let task = peer.waiting.pop()?;
                if !self.returning.contains_key(&task) {
                    return Some((task, *index));
                }
                peer.waiting.push(task);
            }
        }
        None
    }

    /// A command that there was no room for has come back to its task.
    pub(super) fn has_returned(&mut self, task: TaskId) {
        if let Some(count) = self.returning.get_mut(&task) {
            *count -= 1;
            if *count == 0 {
                self.returning.remove(&task);
            }
        }
    }

    /// The next task that is to hear that all workers know of its subscription.
    pub(super) fn poll_confirmed(&mut self) -> Option<(TaskId, A::Channel)> {
        self.confirmed.pop()
    }

    /// The next request that has failed.
    pub(super) fn poll_failed(&mut self, now: Timestamp) -> Option<Put> {
        let put = self.requests.take_ended(now)?;
        self.counters.requests_failed += 1;
        Some(put)
    }

    /// A request has failed: says so to the worker of who has put it.
    fn fail(
        &mut self,
        request: RequestId,
        error: RequestError,
        now: Timestamp,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        if request.worker == self.worker {
            self.requests.fail(request, error, now);
        } else if self.has_room_to(request.worker, outputs) {
            // Without room it fails anyway, when its time is up.
            outputs.push_bus(request.worker, BusItem(Item::Failed { request, error }));
        }
    }

    fn unsubscribe(
        &mut self,
        task: TaskId,
        channel: A::Channel,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.confirmed.remove(&(task, channel));
        if self.subscriptions.unsubscribe(task, channel) {
            self.announce(channel, outputs);
        }
    }

    /// Tells the other workers whether there is interest in a channel here.
    fn announce(&mut self, channel: A::Channel, outputs: &mut impl WorkerOutputs<A>) {
        for place in 0..self.peers.len() {
            let (index, peer) = &mut self.peers[place];
            if peer.presence == Presence::Here {
                let index = *index;
                peer.owed.insert(channel);
                self.pay(index, outputs);
            }
        }
    }

    /// Tells another worker what it is owed, as far as there is room. Whether it is owed nothing
    /// more.
    fn pay(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) -> bool {
        let Self {
            peers,
            subscriptions,
            ..
        } = self;
        let Ok(place) = peers.binary_search_by_key(&index, |&(at, _)| at) else {
            return true;
        };
        let (_, peer) = &mut peers[place];
        while !peer.owed.is_empty() || !peer.owed_known.is_empty() {
            if outputs.bus_room(index) == 0 {
                peer.await_room(index, outputs);
                return false;
            }
            let item = if let Some(channel) = peer.owed.pop_first() {
                let (interest, number) = subscriptions.interest(channel);
                Item::Interest {
                    channel,
                    interest,
                    number,
                }
            } else if let Some((channel, number)) = peer.owed_known.pop_first() {
                Item::InterestKnown { channel, number }
            } else {
                break;
            };
            outputs.push_bus(index, BusItem(item));
        }
        true
    }

    /// Whether a message to another worker has room, behind what that worker is owed.
    fn has_room_to(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) -> bool {
        self.is_here(index) && self.pay(index, outputs) && outputs.bus_room(index) > 0
    }

    fn has_own_room(&self) -> bool {
        self.own.len() < self.messages_max
    }

    /// Whether the worker is one of the others, even if it is leaving.
    pub(super) fn knows(&self, index: u16) -> bool {
        self.peer(index).is_some()
    }

    fn is_here(&self, index: u16) -> bool {
        let peer = self.peer(index);
        peer.is_some_and(|peer| peer.presence == Presence::Here)
    }

    fn peer(&self, index: u16) -> Option<&Peer<A>> {
        let place = self.peers.binary_search_by_key(&index, |&(at, _)| at);
        Some(&self.peers[place.ok()?].1)
    }

    fn peer_mut(&mut self, index: u16) -> Option<&mut Peer<A>> {
        let place = self.peers.binary_search_by_key(&index, |&(at, _)| at);
        Some(&mut self.peers[place.ok()?].1)
    }

    /// How many messages of a task wait in the own lane.
    fn share(&self, task: TaskId) -> u32 {
        let shares = self.shares.get(usize::from(task.group));
        let share = shares.and_then(|shares| shares.get(task.key.slot as usize));
        share.copied().unwrap_or(0)
    }

    fn share_mut(&mut self, task: TaskId) -> &mut u32 {
        let (group, slot) = (usize::from(task.group), task.key.slot as usize);
        if group >= self.shares.len() {
            self.shares.resize_with(group + 1, Vec::new);
        }
        let shares = &mut self.shares[group];
        if slot >= shares.len() {
            shares.resize(slot + 1, 0);
        }
        &mut shares[slot]
    }
}

impl<A: App> Peer<A> {
    /// Has the driver say when there is room.
    fn await_room(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) {
        if self.room != Room::Awaited {
            self.room = Room::Awaited;
            outputs.want_bus_room(index);
        }
    }
}
