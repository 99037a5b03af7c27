//! How workers come and go.

use stillpoint::{App, Entity, WorkerConfig, WorkerInput};

use super::World;
use super::outside::Sink;
use super::seat::Seat;
use crate::bus::{BusPath, Carried};
use crate::trace::Place;

/// When a worker joins the others of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// When the node is made: the others know it before anything happens.
    AtFirst,
    /// Later: the others are told over the bus.
    Later,
}

impl<A: App> World<A> {
    /// Makes a worker of a node, and has the others know of it.
    pub(super) fn add_seat(&mut self, node: u32, index: u16, joining: Joining) {
        let (name, known) = self
            .nodes
            .get_index(node as usize)
            .expect("a node that was added");
        let entity = Entity::named(name);
        let mut config = WorkerConfig::new(index, self.entropy.clone());
        (known.limits)(&mut config);
        config.index = index;
        config.entropy = self.entropy.clone();
        config.entity = entity.part(u64::from(index));
        config.buffers = self.buffers.clone();
        self.outside.agenda.add_worker(config.entity);
        self.outside.network.add_worker();
        let seat = Seat::new((known.make)(config), node, index);
        let number = u32::try_from(self.seats.len()).ok();
        let number = number.filter(|&number| number < 1 << 30);
        let number = number.expect("fewer than 2^30 workers");
        self.seats.push(seat);
        let others = self.outside.desks[node as usize].seats.clone();
        self.outside.desks[node as usize].seats.push(number);
        for other in others {
            let seat = &self.seats[other as usize];
            if seat.worker.is_none() {
                continue;
            }
            let (from, to) = (index, seat.index);
            let path = BusPath { node, from, to };
            self.outside.buses.open(path, entity);
            self.outside.buses.open(path.back(), entity);
            self.introduce(number, to);
            match joining {
                Joining::AtFirst => self.introduce(other, index),
                Joining::Later => self.outside.push_carried(path, Carried::Joined),
            }
        }
    }

    /// Has a worker know another before anything happens.
    fn introduce(&mut self, number: u32, other: u16) {
        let seat = &mut self.seats[number as usize];
        let place = Place {
            at: self.outside.now,
            node: seat.node,
            worker: seat.index,
        };
        let mut sink = Sink {
            outside: &mut self.outside,
            place,
            worker: number,
        };
        if let Some(worker) = &mut seat.worker {
            worker.handle_input(place.at, WorkerInput::PeerJoined(other), &mut sink);
        }
    }

    /// Something is for a worker that is no more.
    pub(super) fn miss(&mut self, number: u32, input: WorkerInput<A>) {
        let _ = number;
        drop(input);
    }

    /// Sees to what waits for a worker that has worked on.
    #[cold]
    pub(super) fn look_after(&mut self, number: u32) {
        let seat = &self.seats[number as usize];
        if !seat.held {
            self.wake_senders(number);
        }
        let seat = &mut self.seats[number as usize];
        seat.watched = seat.leaving || !seat.backlog.senders.is_empty();
    }
}
