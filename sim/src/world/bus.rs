//! What happens to items of the bus between the worker that gives them out and the one that takes
//! them.
//!
//! Each queue is a channel of the agenda, which has an event for each item's arrival. If the worker
//! does not take it then, nobody asks again until the worker has worked on: the queue is looked at
//! after its next input, and gets a *turn* in the agenda once something is taken. So the order among
//! queues is the seed's choice there, too.

use stillpoint::{App, BusItem, WorkerInput};

use super::World;
use super::outside::{Event, Outside, Sink};
use crate::bus::{BusLink, BusPath, Carried, Taken};
use crate::node::NodeId;
use crate::trace::TraceKind;

impl<A: App> World<A> {
    /// Sets how the bus between the workers of a node behaves; at any time, and for what is sent
    /// from then on. What is in a queue that now holds less stays there.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn set_bus(&mut self, node: NodeId, link: BusLink) {
        let number = self.known(node).number();
        for path in self.outside.buses.set_link(number, link) {
            self.outside.tell_room(path);
        }
    }

    /// One more of a queue has arrived.
    pub(super) fn bus_arrives(&mut self, path: BusPath) {
        if self.outside.buses.arrive(path) {
            self.bus_turn(path);
        }
    }

    /// Hands in the first of a queue, or has it wait until its worker has worked on.
    pub(super) fn bus_turn(&mut self, path: BusPath) {
        let Some(number) = self.outside.seat(path.node, path.to) else {
            return;
        };
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return; // The queue went with it.
        };
        let (outside, from) = (&mut self.outside, path.from);
        let taken = if seat.held {
            outside.buses.hold(path);
            Taken::Held
        } else {
            outside.buses.take(path, worker.takes_bus(from))
        };
        if let Taken::First(cause, _) = taken {
            outside.trace.follow(cause);
        }
        let input = match taken {
            Taken::Nothing => return,
            Taken::Held => {
                seat.backlog.senders.push_back(path);
                seat.watched = true;
                return;
            }
            Taken::First(_, Carried::Joined) => WorkerInput::PeerJoined(from),
            Taken::First(_, Carried::Left) => {
                outside.buses.close(path);
                WorkerInput::PeerLeft(from)
            }
            Taken::First(_, Carried::Item(item)) => {
                outside.network.counters.bus_waiting -= item.messages();
                WorkerInput::Bus { from, item }
            }
        };
        self.give(number, input);
        self.outside.give_turn(path);
        if self.outside.buses.take_wanted_room(path) {
            self.outside.tell_room(path);
        }
    }

    /// Gives turns to the queues whose next item a worker takes now.
    pub(super) fn wake_senders(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return;
        };
        let outside = &mut self.outside;
        seat.backlog.senders.retain(|&path| {
            let takes = worker.takes_bus(path.from);
            if takes {
                outside.push_turn(path);
            }
            !takes
        });
    }

    /// There is room in a queue.
    pub(super) fn room_came(&mut self, path: BusPath) {
        if let Some(number) = self.outside.seat(path.node, path.from) {
            self.give(number, WorkerInput::BusRoom(path.to));
        }
    }
}

impl<A: App> Outside<A> {
    /// Gives a queue a turn, if something has arrived and nobody sees to it.
    fn give_turn(&mut self, path: BusPath) {
        if self.buses.attend(path) {
            self.push_turn(path);
        }
    }

    fn push_turn(&mut self, path: BusPath) {
        if let Some(channel) = self.buses.channel(path) {
            self.agenda.push(self.now, channel, Event::BusTurn(path));
        }
    }

    /// Has the sender be told that its queue has room.
    pub(super) fn tell_room(&mut self, path: BusPath) {
        const ROOM: u64 = 1;
        if let Some(channel) = self.buses.channel(path) {
            let channel = channel.part(ROOM);
            self.agenda.push(self.now, channel, Event::BusRoom(path));
        }
    }

    /// Puts what is no item into a queue.
    pub(super) fn push_carried(&mut self, path: BusPath, carried: Carried<A>) {
        let carried = (self.trace.latest(), carried);
        if let Some(channel) = self.buses.channel(path)
            && let Some(arrival) = self.buses.push(path, self.now, carried)
        {
            self.agenda.push(arrival, channel, Event::Bus(path));
        }
    }
}

impl<A: App> Sink<'_, A> {
    pub(super) const fn path(&self, to: u16) -> BusPath {
        BusPath {
            node: self.place.node,
            from: self.place.worker,
            to,
        }
    }

    /// Takes an item for another worker.
    pub(super) fn carry_item(&mut self, to: u16, item: BusItem<A::Channel, A::Message>) {
        let path = self.path(to);
        let Outside {
            buses,
            agenda,
            trace,
            network,
            ..
        } = &mut *self.outside;
        let text = trace.text(&item);
        let (place, messages) = (self.place, item.messages());
        let Some(channel) = buses.channel(path) else {
            network.counters.bus.lost += messages;
            return trace.push(place, TraceKind::BusLost, 0, [text, u64::from(to), 0]);
        };
        network.counters.bus_waiting += messages;
        let carried = (trace.next(), Carried::Item(item));
        if let Some(arrival) = buses.push(path, place.at, carried) {
            let words = [text, u64::from(to), arrival.as_nanos()];
            trace.push(place, TraceKind::BusCarried, 0, words);
            agenda.push(arrival, channel, Event::Bus(path));
        }
    }

    /// Has the worker be told once there is room in the queue to another.
    pub(super) fn want_room(&mut self, to: u16) {
        let path = self.path(to);
        self.outside.buses.want_room(path);
        if self.outside.buses.take_wanted_room(path) {
            self.outside.tell_room(path);
        }
    }
}
