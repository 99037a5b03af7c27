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

use super::{RequestView, WorkerConfig, WorkerOutputs};
use crate::bus::{BusCounters, BusItem, Item, RequestError};
use crate::id::{RequestId, TaskId};
use crate::status::WorkerStatus;
use crate::task::App;
use crate::time::Timestamp;

mod command;
mod fifo;
mod lane;
mod lazy;
mod requests;
mod step;
mod subscriptions;

pub(super) use command::Asking;
use fifo::FifoSet;
use lane::Lane;
pub(super) use lazy::LazyBus;
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
    /// Tasks that wait until fewer of their own messages are in the own lane, by group and slot.
    over_share: BTreeMap<(u16, u32), TaskId>,
    /// What is on its way back for want of room, by who has sent it and where to.
    returning: BTreeMap<(TaskId, u16), Returning>,
    /// Who is being given something back, and where it was for.
    giving_back: Option<(TaskId, u16)>,
    /// Who is being told of room, and where it is.
    turn: Option<(TaskId, u16)>,
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
    /// It has left; some of what it sent is still to be dealt with.
    Leaving,
    /// It has left; some who wait for room there are still to be told.
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

/// Commands of one task that are to be given back to it, for want of room in one queue. It is told
/// of room only after all of them: else it would not know what to send again, and never hear of
/// room once it does.
#[derive(Debug, Clone, Copy, Default)]
struct Returning {
    commands: usize,
    /// Whether its turn has come meanwhile.
    has_turn: bool,
}

/// Where an item comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Own,
    Controller,
    Peer(u16),
}

impl<A: App> Bus<A> {
    pub(super) fn new(config: &WorkerConfig) -> Self {
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
            over_share: BTreeMap::new(),
            returning: BTreeMap::new(),
            giving_back: None,
            turn: None,
            confirmed: FifoSet::new(),
            targets: Vec::new(),
            counters: BusCounters::default(),
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

    pub(super) fn put_requests(&self) -> impl Iterator<Item = RequestView> {
        self.requests.put_views()
    }

    pub(super) fn all_subscriptions(&self) -> impl Iterator<Item = (TaskId, A::Channel)> {
        self.subscriptions.all()
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
            !peer.lane.is_clear() || peer.has_turns() || (peer.owes() && peer.room != Room::Awaited)
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
        peer.presence = Presence::Leaving;
        peer.room = Room::Known;
        for confirmed in self.subscriptions.forget_peer(index) {
            self.confirmed.push(confirmed);
        }
        self.bury(now);
    }

    /// Forgets the workers that have left and of which nothing is left to do. What they were asked
    /// and have not answered fails as soon as all that they sent is dealt with.
    pub(super) fn bury(&mut self, now: Timestamp) {
        let Self {
            peers, requests, ..
        } = self;
        peers.retain_mut(|(index, peer)| {
            if peer.presence == Presence::Leaving && peer.lane.is_clear() {
                peer.presence = Presence::Left;
                requests.fail_all_to(*index, now);
            }
            peer.presence != Presence::Left || !peer.waiting.is_empty()
        });
    }

    /// The worker is to stop at once: what waits in its lanes is lost.
    pub(super) fn drop_all(&mut self) {
        let peers = self.peers.iter_mut().map(|(_, peer)| &mut peer.lane);
        for lane in peers.chain([&mut self.own, &mut self.controller]) {
            self.counters.lost += lane.items.iter().map(Item::messages).sum::<u64>();
            lane.items.clear();
            lane.published = None;
        }
        self.shares.clear();
        self.returning.clear();
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
        let place = (task.group, task.key.slot);
        if self.over_share.get(&place) == Some(&task) {
            self.over_share.remove(&place);
        }
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
        while self.has_own_room()
            && let Some(task) = self.waiting.pop()
        {
            if self.is_next(task, self.worker) {
                return Some((task, self.worker));
            }
        }
        for place in 0..self.peers.len() {
            let (index, peer) = &mut self.peers[place];
            let index = *index;
            if !peer.has_turns() {
                continue;
            }
            if peer.presence == Presence::Here && outputs.bus_room(index) == 0 {
                peer.await_room(index, outputs);
                continue;
            }
            while let Some(task) = self.peers[place].1.waiting.pop() {
                if self.is_next(task, index) {
                    return Some((task, index));
                }
            }
        }
        None
    }

    /// Whether a task may be told of room at once. Else it is as soon as it has back what it is
    /// to send again.
    fn is_next(&mut self, task: TaskId, worker: u16) -> bool {
        let returning = self.returning.get_mut(&(task, worker));
        returning.is_none_or(|returning| {
            returning.has_turn = true;
            false
        })
    }

    /// A task is about to be given a command back.
    pub(super) const fn begin_to_give_back(&mut self, task: TaskId, worker: u16) {
        self.giving_back = Some((task, worker));
    }

    /// It was. Who is to be told of room now.
    pub(super) fn gave_back(&mut self) -> Option<(TaskId, u16)> {
        let key = self.giving_back.take()?;
        let returning = self.returning.get_mut(&key)?;
        returning.commands -= 1;
        if returning.commands > 0 {
            return None;
        }
        let has_turn = returning.has_turn;
        self.returning.remove(&key);
        has_turn.then_some(key)
    }

    /// A task is about to be told of room.
    pub(super) const fn begin_turn(&mut self, task: TaskId, worker: u16) {
        self.turn = Some((task, worker));
    }

    /// It has taken what it wanted.
    pub(super) const fn end_turn(&mut self) {
        self.turn = None;
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
        for (_, peer) in &mut self.peers {
            if peer.presence == Presence::Here {
                peer.owed.insert(channel);
            }
        }
        self.pay_all(outputs);
    }

    /// Tells all other workers what they are owed, as far as there is room.
    pub(super) fn pay_all(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        for place in 0..self.peers.len() {
            let (index, peer) = &self.peers[place];
            if peer.owes() && peer.room != Room::Awaited {
                let index = *index;
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
        while peer.owes() {
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
    /// Whether it is to be told something, if it is there to hear it.
    fn owes(&self) -> bool {
        let nothing = self.owed.is_empty() && self.owed_known.is_empty();
        self.presence == Presence::Here && !nothing
    }

    /// Whether there is room for those who wait for it, as far as is known.
    fn has_turns(&self) -> bool {
        self.room == Room::Known && !self.waiting.is_empty()
    }

    /// Has the driver say when there is room.
    fn await_room(&mut self, index: u16, outputs: &mut impl WorkerOutputs<A>) {
        if self.room != Room::Awaited {
            self.room = Room::Awaited;
            outputs.want_bus_room(index);
        }
    }
}
