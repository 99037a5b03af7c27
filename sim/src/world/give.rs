//! An input on its way into a worker, and what follows from it.

use core::time::Duration;

use stillpoint::{App, DatagramRun, NetworkEvent, SocketId, Timestamp, Worker, WorkerInput};

use super::outside::{Event, Outside, Sink};
use super::seat::Seat;
use super::{World, upcoming};
use crate::agenda::Agenda;
use crate::trace::Place;

/// Something that a worker can be given.
pub(super) trait Given<A: App>: Sized {
    fn record(&self, outside: &mut Outside<A>, place: Place);

    fn hand_in(self, worker: &mut Worker<A>, now: Timestamp, sink: &mut Sink<'_, A>);

    fn is_timeout(&self) -> bool {
        false
    }

    /// The same as an input, which can wait.
    fn into_input(self) -> WorkerInput<A>;
}

/// Datagrams that have arrived, lent where they lie: what comes most often is not to be moved for
/// each call on its way.
pub(super) struct Arrived<'a> {
    pub(super) socket: SocketId,
    /// Taken out, by whoever is to have them.
    pub(super) run: &'a mut DatagramRun,
}

impl<A: App> Given<A> for Arrived<'_> {
    #[inline(always)]
    fn record(&self, outside: &mut Outside<A>, place: Place) {
        outside.trace.datagrams(place, self.socket, self.run);
    }

    #[inline(always)]
    fn hand_in(self, worker: &mut Worker<A>, now: Timestamp, sink: &mut Sink<'_, A>) {
        worker.handle_datagrams(now, self.socket, self.run, sink);
    }

    fn into_input(self) -> WorkerInput<A> {
        WorkerInput::Network(NetworkEvent::Datagrams {
            socket: self.socket,
            run: self.run.take(),
        })
    }
}

impl<A: App> Given<A> for WorkerInput<A> {
    fn record(&self, outside: &mut Outside<A>, place: Place) {
        outside.trace_input(place, self);
    }

    fn hand_in(self, worker: &mut Worker<A>, now: Timestamp, sink: &mut Sink<'_, A>) {
        worker.handle_input(now, self, sink);
    }

    fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }

    fn into_input(self) -> Self {
        self
    }
}

impl<A: App> World<A> {
    /// Gives a worker one input, and notes its deadline.
    #[inline(always)]
    pub(super) fn give(&mut self, number: u32, given: impl Given<A>) {
        let seat = &self.seats[number as usize];
        if seat.held || seat.timing.is_some() {
            self.give_with_care(number, given.into_input());
        } else {
            self.hand_in(number, self.outside.now, given);
        }
    }

    /// The same for a worker that stands still, or for which time is something of its own.
    #[cold]
    fn give_with_care(&mut self, number: u32, input: WorkerInput<A>) {
        let seat = &mut self.seats[number as usize];
        if seat.held {
            let cause = self.outside.trace.root();
            seat.backlog.inputs.push_back((cause, input));
        } else {
            self.give_timed(number, input);
        }
    }

    /// Hands a worker one input, at `now` in its own time.
    pub(super) fn hand_in(&mut self, number: u32, now: Timestamp, given: impl Given<A>) {
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &mut seat.worker else {
            return self.miss(number, given.into_input());
        };
        let place = Place {
            at: self.outside.now,
            node: seat.node,
            worker: seat.index,
        };
        if self.hooked {
            upcoming::tell(&mut self.before_input, place, now, worker, seat.inputs);
            self.outside.trace.begin_turn(worker, given.is_timeout());
        }
        given.record(&mut self.outside, place);
        let mut sink = Sink {
            outside: &mut self.outside,
            place,
            worker: number,
        };
        given.hand_in(worker, now, &mut sink);
        if worker.uses_bus() && *worker.bus_counters() != seat.bus.counters {
            seat.note_bus(&mut self.outside.network.counters);
        }
        seat.inputs += 1;
        seat.arm(place.at, number, &mut self.outside.agenda);
        let watched = seat.watched;
        if let Some(properties) = &mut self.properties {
            properties.touch(number);
        }
        if watched {
            self.look_after(number);
        }
    }

    /// Has the agenda know the deadline of a worker.
    pub(super) fn arm(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        seat.arm(self.outside.now, number, &mut self.outside.agenda);
    }
}

impl<A: App> Seat<A> {
    /// Has the agenda know its deadline. An entry for an earlier moment may stay: what is due is
    /// looked up when it comes.
    #[inline(always)]
    fn arm(&mut self, now: Timestamp, number: u32, agenda: &mut Agenda<Event<A>>) {
        let Some(wanted) = self.wants_turn() else {
            self.turns = 0;
            return;
        };
        if wanted > now {
            self.turns = 0;
        }
        // Somebody who goes on at once for ever must not keep time from going on.
        let at = if self.turns < TURNS_MAX {
            wanted.max(now)
        } else {
            wanted.max(now.after(TURN))
        };
        let at = agenda.timeout_at(at, number, wanted);
        if self.armed.is_none_or(|armed| at < armed) {
            agenda.push_deadline(at, number);
            self.armed = Some(at);
        }
    }
}

/// Times in a row that a worker may go on at once and take no time for it.
const TURNS_MAX: u32 = 4_096;

/// The time that it takes from then on.
const TURN: Duration = Duration::from_micros(1);
