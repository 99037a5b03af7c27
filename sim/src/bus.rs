//! The bus between the workers of a node: a bounded queue from each to each.
//!
//! [`Buses`] knows what lies in the queues. It moves nothing: the world has its agenda say when the
//! next of a queue has arrived, and hands it in (`world/bus.rs`).

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, BusItem, Entity, Entropy, Timestamp};

use crate::draws::LazySite;
use crate::trace::Cause;

/// How the bus between the workers of one node behaves. See [`World::set_bus`](crate::World::set_bus).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusLink {
    latency: RangeInclusive<Duration>,
    queue_max: usize,
}

impl BusLink {
    /// A bus on which each item takes a time within `latency`, both ends included, and does not
    /// overtake those before it. Each queue holds 4,096 items.
    ///
    /// # Panics
    ///
    /// If `latency` is an empty range, or reaches beyond a day.
    #[must_use]
    pub fn new(latency: RangeInclusive<Duration>) -> Self {
        assert!(
            latency.start() <= latency.end() && *latency.end() <= LATENCY_MAX,
            "a bus with a latency of {latency:?}: give it a range of up to a day"
        );
        Self {
            latency,
            queue_max: QUEUE_MAX,
        }
    }

    /// Has each queue, which is from one worker to another, hold this many items.
    ///
    /// # Panics
    ///
    /// If that is 0.
    #[must_use]
    pub fn queue_max(mut self, queue_max: usize) -> Self {
        assert!(
            queue_max > 0,
            "a bus with queues for nothing: give them room for one item or more"
        );
        self.queue_max = queue_max;
        self
    }
}

impl Default for BusLink {
    /// 200 ns to 20 µs: what it takes to wake a thread, or not to have to.
    fn default() -> Self {
        Self::new(Duration::from_nanos(200)..=Duration::from_micros(20))
    }
}

/// All queues between the workers of all nodes.
pub(crate) struct Buses<A: App> {
    /// By node, as far as one was told how its bus behaves: the rest have `usual`.
    links: Vec<BusLink>,
    usual: BusLink,
    queues: IndexMap<BusPath, Queue<A>, FxBuildHasher>,
    latency: LazySite,
}

/// From one worker of a node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BusPath {
    pub(crate) node: u32,
    pub(crate) from: u16,
    pub(crate) to: u16,
}

impl BusPath {
    /// The other way.
    pub(crate) const fn back(self) -> Self {
        Self {
            node: self.node,
            from: self.to,
            to: self.from,
        }
    }
}

/// What lies in a queue.
pub(crate) enum Carried<A: App> {
    /// The sender is a new worker: always the first.
    Joined,
    Item(BusItem<A::Channel, A::Message>),
    /// The sender is no more: always the last.
    Left,
}

struct Queue<A: App> {
    channel: Entity,
    /// In order; the first ones have arrived.
    carried: VecDeque<(Cause, Carried<A>)>,
    arrived: usize,
    /// How many of all are items: the others take no room.
    items: usize,
    items_most: usize,
    last_arrival: Timestamp,
    /// How often a latency was drawn.
    drawn: u64,
    wants_room: bool,
    /// Whether somebody sees to what has arrived: the agenda has an event for it, or the receiver
    /// has it among those to be looked at when it has worked on.
    attended: bool,
}

/// What came of taking the first of a queue.
pub(crate) enum Taken<A: App> {
    /// Nothing has arrived.
    Nothing,
    /// Its receiver does not take it now.
    Held,
    First(Cause, Carried<A>),
}

impl<A: App> Buses<A> {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        Self {
            links: Vec::new(),
            usual: BusLink::default(),
            queues: IndexMap::default(),
            latency: LazySite::new(entropy, "bus latency"),
        }
    }

    /// Has the bus of a node behave like this from now on. Gives those whose senders now have the
    /// room that they have asked for.
    pub(crate) fn set_link(&mut self, node: u32, link: BusLink) -> Vec<BusPath> {
        let (place, usual) = (node as usize, &self.usual);
        if self.links.len() <= place {
            self.links.resize(place + 1, usual.clone());
        }
        self.links[place] = link;
        let paths = self.queues.keys().copied();
        let paths: Vec<BusPath> = paths.filter(|path| path.node == node).collect();
        let has_room = |path: &BusPath| self.take_wanted_room(*path);
        paths.into_iter().filter(has_room).collect()
    }

    /// How the bus of a node behaves.
    pub(crate) fn link(&self, node: u32) -> &BusLink {
        self.links.get(node as usize).unwrap_or(&self.usual)
    }

    /// Makes a queue.
    pub(crate) fn open(&mut self, path: BusPath, node: Entity) {
        let part = |number: u16| u64::from(number);
        let channel = node.part(BUS).part(part(path.from)).part(part(path.to));
        let queue = Queue {
            channel,
            carried: VecDeque::new(),
            arrived: 0,
            items: 0,
            items_most: 0,
            last_arrival: Timestamp::EPOCH,
            drawn: 0,
            wants_room: false,
            attended: false,
        };
        self.queues.insert(path, queue);
    }

    /// Removes a queue. Says how many messages were in it.
    pub(crate) fn close(&mut self, path: BusPath) -> u64 {
        let queue = self.queues.swap_remove(&path);
        queue.map_or(0, |queue| {
            let carried = queue.carried.iter();
            carried.map(|(_, carried)| carried.messages()).sum()
        })
    }

    /// The channel of a queue in the agenda.
    pub(crate) fn channel(&self, path: BusPath) -> Option<Entity> {
        Some(self.queues.get(&path)?.channel)
    }

    /// How many items a queue has room for. If the receiver is no more, the sender does not know
    /// yet, and what it sends is lost.
    pub(crate) fn room(&self, path: BusPath) -> usize {
        let queue_max = self.link(path.node).queue_max;
        let queue = self.queues.get(&path);
        queue.map_or(queue_max, |queue| queue_max.saturating_sub(queue.items))
    }

    /// Items in the queues to a worker, and the most that there have been in one of them.
    pub(crate) fn depth(&self, node: u32, to: u16) -> (usize, usize) {
        let queues = self.queues.iter();
        let queues = queues.filter(|(path, _)| (path.node, path.to) == (node, to));
        queues.fold((0, 0), |(items, most), (_, queue)| {
            (items + queue.items, most.max(queue.items_most))
        })
    }

    /// Puts something into a queue, and says when it arrives. `None` if there is no such queue.
    pub(crate) fn push(
        &mut self,
        path: BusPath,
        now: Timestamp,
        (cause, carried): (Cause, Carried<A>),
    ) -> Option<Timestamp> {
        let queue = self.queues.get_mut(&path)?;
        let mut arrival = now;
        if let Carried::Item(_) = carried {
            let link = self.links.get(path.node as usize).unwrap_or(&self.usual);
            let latency = &link.latency;
            arrival = now.after(self.latency.duration(queue.channel, queue.drawn, latency));
            queue.drawn += 1;
            queue.items += 1;
            queue.items_most = queue.items_most.max(queue.items);
        }
        queue.last_arrival = arrival.max(queue.last_arrival);
        queue.carried.push_back((cause, carried));
        Some(queue.last_arrival)
    }

    /// One more of a queue has arrived. Whether it is to be attended to.
    pub(crate) fn arrive(&mut self, path: BusPath) -> bool {
        let Some(queue) = self.queues.get_mut(&path) else {
            return false;
        };
        queue.arrived += 1;
        !queue.attended
    }

    /// Takes the first of a queue, if it has arrived, and its receiver `takes` items. Nothing but
    /// items waits for that.
    pub(crate) fn take(&mut self, path: BusPath, takes: bool) -> Taken<A> {
        let Some(queue) = self.queues.get_mut(&path) else {
            return Taken::Nothing;
        };
        queue.attended = false;
        if queue.arrived == 0 {
            return Taken::Nothing;
        }
        if !takes && matches!(queue.carried.front(), Some((_, Carried::Item(_)))) {
            queue.attended = true;
            return Taken::Held;
        }
        let Some((cause, first)) = queue.carried.pop_front() else {
            return Taken::Nothing;
        };
        queue.arrived -= 1;
        queue.items -= usize::from(matches!(first, Carried::Item(_)));
        Taken::First(cause, first)
    }

    /// The receiver takes nothing now, and looks at the queue when it does.
    pub(crate) fn hold(&mut self, path: BusPath) {
        if let Some(queue) = self.queues.get_mut(&path) {
            queue.attended = true;
        }
    }

    /// Whether something in a queue is to be attended to, by whoever asks.
    pub(crate) fn attend(&mut self, path: BusPath) -> bool {
        let Some(queue) = self.queues.get_mut(&path) else {
            return false;
        };
        let due = queue.arrived > 0 && !queue.attended;
        queue.attended |= due;
        due
    }

    /// The sender asks to be told of room.
    pub(crate) fn want_room(&mut self, path: BusPath) {
        if let Some(queue) = self.queues.get_mut(&path) {
            queue.wants_room = true;
        }
    }

    /// Whether the sender has asked for room and there is: half of the queue or more. It has asked
    /// no more then.
    pub(crate) fn take_wanted_room(&mut self, path: BusPath) -> bool {
        let queue_max = self.link(path.node).queue_max;
        let Some(queue) = self.queues.get_mut(&path) else {
            return false;
        };
        let has_room = queue.items <= queue_max / 2;
        has_room && core::mem::take(&mut queue.wants_room)
    }
}

impl<A: App> Carried<A> {
    const fn messages(&self) -> u64 {
        match self {
            Self::Item(item) => item.messages(),
            Self::Joined | Self::Left => 0,
        }
    }
}

/// Items that a queue holds, unless told otherwise.
const QUEUE_MAX: usize = 4_096;

/// As long as an item may take.
const LATENCY_MAX: Duration = Duration::from_secs(86_400);

/// The part of a node that its workers' bus is.
const BUS: u64 = 1 << 33;
