//! The loop: takes what is next out of the agenda and gives it to its worker.

use core::time::Duration;

use stillpoint::{App, NetworkEvent, Timestamp, WorkerInput};

use super::outside::{Event, Sink};
use super::scheduling::Turn;
use super::{World, upcoming};
use crate::agenda::{Due, Whose};
use crate::device::{Goal, PacketFlight};
use crate::failure::Failure;
use crate::network::Flight;
use crate::trace::Place;

/// What came of looking for something to do.
pub(super) enum Step {
    /// Something happened.
    Moved,
    /// What is next is due after the limit.
    Later,
    /// There is nothing left.
    Idle,
}

impl<A: App> World<A> {
    /// Lets the next event happen. `false` if there is none.
    ///
    /// # Errors
    ///
    /// What failed for good: see [`World::failure`].
    pub fn step(&mut self) -> Result<bool, Failure> {
        let step = self.advance(Timestamp::MAX);
        self.counters().assert_conserved();
        Ok(matches!(step?, Step::Moved))
    }

    /// Runs for this long, whether or not anything happens.
    ///
    /// # Errors
    ///
    /// What failed for good: see [`World::failure`].
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let limit = self.now().after(duration);
        let done = loop {
            match self.advance(limit) {
                Ok(Step::Moved) => {}
                Ok(Step::Later | Step::Idle) => {
                    self.pass(limit);
                    self.outside.now = limit;
                    break self.failure().cloned().map_or(Ok(()), Err);
                }
                Err(failure) => break Err(failure),
            }
        };
        self.counters().assert_conserved();
        done
    }

    /// Runs until `done` holds, for at most `limit`. `done` is asked before the first event and
    /// after each.
    ///
    /// # Errors
    ///
    /// - [`Failure::Deadlock`] if nothing is left to happen before it holds.
    /// - [`Failure::TimedOut`] if it does not hold in time.
    /// - What failed for good: see [`World::failure`].
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), Failure> {
        let end = self.now().after(limit);
        let ran = loop {
            if let Some(failure) = self.failure() {
                break Err(failure.clone());
            }
            if done(self) {
                break Ok(());
            }
            match self.advance(end) {
                Ok(Step::Moved) => {}
                Ok(Step::Later) => break Err(self.timed_out(end, limit)),
                Ok(Step::Idle) => break Err(self.deadlock()),
                Err(failure) => break Err(failure),
            }
        };
        self.counters().assert_conserved();
        ran
    }

    /// Runs until nothing is left to happen: no datagram travels and no task has a deadline.
    ///
    /// # Errors
    ///
    /// - [`Failure::TimedOut`] if something is left after `limit`.
    /// - What failed for good: see [`World::failure`].
    pub fn run_until_idle(&mut self, limit: Duration) -> Result<(), Failure> {
        let end = self.now().after(limit);
        let ran = loop {
            match self.advance(end) {
                Ok(Step::Moved) => {}
                Ok(Step::Later) => break Err(self.timed_out(end, limit)),
                Ok(Step::Idle) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        self.counters().assert_conserved();
        ran
    }

    /// Lets the next event happen, if it is due by `limit`.
    pub(super) fn advance(&mut self, limit: Timestamp) -> Result<Step, Failure> {
        if let Some(failure) = &self.outside.failed {
            return Err(failure.clone());
        }
        loop {
            let next_at = self.next_at();
            if self.next_fault_at <= next_at.unwrap_or(Timestamp::MAX)
                && self.next_fault_at < Timestamp::MAX
            {
                return self.advance_to_fault(limit);
            }
            let Some(at) = next_at else {
                return Ok(Step::Idle);
            };
            if at > limit {
                return Ok(Step::Later);
            }
            let Some(due) = self.outside.agenda.pop() else {
                return Ok(Step::Idle);
            };
            // What comes most often goes the straight way.
            if let Due::Event(event) = due {
                return self.happen_at(at, event);
            }
            let stale = match due {
                Due::Deadline { worker } => !self.take_deadline(worker, at),
                Due::End { slot } => !self.outside.take_end_deadline(slot, at),
                Due::Event(_) => false,
            };
            if !stale {
                return self.deadline_passes(at, &due);
            }
        }
    }

    /// Lets an event happen.
    #[inline(always)]
    fn happen_at(&mut self, at: Timestamp, event: Event<A>) -> Result<Step, Failure> {
        if self.begin(at) {
            let event = if self.careful {
                self.in_its_turn(event)
            } else {
                Some(event)
            };
            if let Some(event) = event {
                self.happen(event);
            }
            if self.properties.is_some() {
                self.look_at_properties();
            }
        }
        self.outcome()
    }

    /// The event, if whoever is given it is to have it now.
    #[cold]
    fn in_its_turn(&mut self, event: Event<A>) -> Option<Event<A>> {
        let due = Due::Event(event);
        self.follow_cause(&due);
        match (self.preempt(&due), due) {
            (Turn::Now, Due::Event(event)) => Some(event),
            _ => None,
        }
    }

    /// Gives a worker, or an end of a connection, the deadline that has passed.
    fn deadline_passes(&mut self, at: Timestamp, due: &Due<Event<A>>) -> Result<Step, Failure> {
        if self.begin(at) {
            self.follow_cause(due);
            if self.priorities.is_none() || self.preempt(due) == Turn::Now {
                match *due {
                    Due::Deadline { worker } => self.take_turn(worker),
                    Due::End { slot } => self.take_end_turn(slot),
                    Due::Event(_) => {}
                }
            }
            if self.properties.is_some() {
                self.look_at_properties();
            }
        }
        self.outcome()
    }

    /// Has time go on for what happens next, unless something fails by then.
    #[inline(always)]
    fn begin(&mut self, at: Timestamp) -> bool {
        if self.events == self.events_max {
            let events_max = self.events_max;
            self.outside.fail(Failure::Budget { at, events_max });
            return false;
        }
        if at > self.due {
            self.pass(at);
            if self.outside.failed.is_some() {
                return false;
            }
        }
        self.events += 1;
        self.outside.now = at;
        true
    }

    #[inline(always)]
    fn outcome(&self) -> Result<Step, Failure> {
        match &self.outside.failed {
            Some(failure) => Err(failure.clone()),
            None => Ok(Step::Moved),
        }
    }

    /// Lets the next fault happen, if it is due by `limit`.
    #[cold]
    fn advance_to_fault(&mut self, limit: Timestamp) -> Result<Step, Failure> {
        let at = self.next_fault_at.max(self.outside.now);
        if at > limit {
            return Ok(Step::Later);
        }
        if self.events == self.events_max {
            let events_max = self.events_max;
            self.outside.fail(Failure::Budget { at, events_max });
        } else {
            self.events += 1;
            if at > self.due {
                self.pass(at);
                if let Some(failure) = &self.outside.failed {
                    return Err(failure.clone());
                }
            }
            self.outside.now = at;
            self.happen_fault();
            self.look_at_properties();
        }
        self.outcome()
    }

    /// Datagrams arrive.
    #[inline(always)]
    fn land(&mut self, flight: Box<Flight>) {
        if let Some((worker, socket, mut flight)) = self.outside.arrive(flight) {
            let run = flight.take_run();
            self.outside.spare.push(flight);
            // Made here, where it is given: what is moved by less is copied by less.
            let input = WorkerInput::Network(NetworkEvent::Datagrams { socket, run });
            self.give(worker, input);
        }
    }

    #[inline(always)]
    fn happen(&mut self, event: Event<A>) {
        match event {
            Event::Input { worker, input } => self.give(worker, *input),
            Event::Control { worker, input } => self.control_arrives(worker, *input),
            Event::ControlTurn { worker } => self.control_turn(worker),
            Event::Packet(flight) => {
                let PacketFlight { to, packet } = *flight;
                let port = match to {
                    Goal::Device(port) => port,
                    Goal::Gate { node, entrance, id } => {
                        return self.outside.forward_packet(node, entrance, id, packet);
                    }
                };
                for packet in self.outside.arrive_packet(port, packet) {
                    let delivered = self.outside.deliver_packet(port.device, packet);
                    if let Some((worker, event)) = delivered {
                        self.give(worker, WorkerInput::Network(event));
                    }
                }
            }
            Event::Segment(segment) => self.outside.segment_arrives(segment),
            Event::Notice(notice) => {
                if let Some((worker, event)) = self.outside.notice_arrives(*notice) {
                    self.give(worker, WorkerInput::Network(event));
                }
            }
            Event::Retell { slot, name } => self.outside.retell(slot, name),
            Event::Listening { slot } => {
                if let Some((worker, event)) = self.outside.tell_listening(slot) {
                    self.give(worker, WorkerInput::Network(event));
                }
            }
            Event::Flight(flight) => self.land(flight),
            Event::Bus(path) => self.bus_arrives(path),
            Event::BusTurn(path) => self.bus_turn(path),
            Event::BusRoom(path) => self.room_came(path),
            Event::LinkFree { from, to } => self.outside.link_free(from, to),
            Event::SegmentTooBig { end, bytes_max } => {
                self.outside.shrink_segments(end, bytes_max);
            }
            Event::Release { from, to } => self.outside.release_due(from, to),
        }
    }

    /// The deadline of an end of a connection has passed.
    fn take_end_turn(&mut self, slot: u32) {
        if let Some((worker, event)) = self.outside.attend(slot) {
            self.give(worker, WorkerInput::Network(event));
            self.outside.attended(slot);
        }
    }

    /// The deadline of a worker has passed.
    fn take_turn(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        if seat.held {
            return self.go_on(number);
        }
        if seat
            .abort_at
            .as_ref()
            .is_some_and(|at| **at <= self.outside.now)
        {
            seat.abort_at = None;
            return self.give(number, WorkerInput::Abort);
        }
        seat.turns += 1;
        self.give(number, WorkerInput::Timeout);
    }

    /// Gives a worker one input, and notes its deadline.
    #[inline(always)]
    pub(super) fn give(&mut self, number: u32, input: WorkerInput<A>) {
        let seat = &self.seats[number as usize];
        if seat.held || seat.timing.is_some() {
            self.give_with_care(number, input);
        } else {
            self.hand_in(number, self.outside.now, input);
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
    pub(super) fn hand_in(&mut self, number: u32, now: Timestamp, input: WorkerInput<A>) {
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &mut seat.worker else {
            return self.miss(number, input);
        };
        let place = Place {
            at: self.outside.now,
            node: seat.node,
            worker: seat.index,
        };
        if self.hooked {
            upcoming::tell(&mut self.before_input, place, now, worker, seat.inputs);
            self.outside.trace.begin_turn(worker, &input);
        }
        self.outside.trace_input(place, &input);
        let mut sink = Sink {
            outside: &mut self.outside,
            place,
            worker: number,
        };
        worker.handle_input(now, input, &mut sink);
        if worker.uses_bus() && *worker.bus_counters() != seat.bus.counters {
            seat.note_bus(&mut self.outside.network.counters);
        }
        seat.inputs += 1;
        if let Some(properties) = &mut self.properties {
            properties.touch(number);
        }
        self.arm(number);
        if self.seats[number as usize].watched {
            self.look_after(number);
        }
    }

    /// Has the agenda know the deadline of a worker. An entry for an earlier moment may stay: what
    /// is due is looked up when it comes.
    #[inline(always)]
    pub(super) fn arm(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let now = self.outside.now;
        let wanted = seat.wants_turn();
        if wanted.is_none_or(|wanted| wanted > now) {
            seat.turns = 0;
        }
        if let Some(wanted) = wanted {
            // Somebody who goes on at once for ever must not keep time from going on.
            let at = if seat.turns < TURNS_MAX {
                wanted.max(now)
            } else {
                wanted.max(now.after(TURN))
            };
            let at = self.outside.agenda.timeout_at(at, number, wanted);
            if seat.armed.is_none_or(|armed| at < armed) {
                self.outside.agenda.push_deadline(at, number);
                seat.armed = Some(at);
            }
        }
    }

    /// Whether an entry of the agenda is still the worker's deadline, and due. Either way it is in
    /// the agenda no more.
    fn take_deadline(&mut self, worker: u32, at: Timestamp) -> bool {
        let seat = &mut self.seats[worker as usize];
        if seat.armed != Some(at) {
            return false;
        }
        seat.armed = None;
        let due = seat.wants_turn().is_some_and(|wanted| wanted <= at);
        if !due {
            self.arm(worker);
        }
        due
    }

    /// When the next is due. Removes deadlines from the head of the agenda that have moved, so that
    /// time does not go on for nothing.
    #[inline(always)]
    fn next_at(&mut self) -> Option<Timestamp> {
        loop {
            match self.outside.agenda.first()? {
                (at, Some(whose)) if !self.is_due(at, whose) => {}
                (at, _) => return Some(at),
            }
        }
    }

    /// Whether the deadline at the head of the agenda is still one. Else it is removed.
    fn is_due(&mut self, at: Timestamp, whose: Whose) -> bool {
        let worker = match whose {
            Whose::Worker(worker) => worker,
            Whose::End(slot) => {
                let due = self.outside.end_is_due(slot, at);
                if !due {
                    self.outside.agenda.discard_first();
                    self.outside.end_discarded(slot, at);
                }
                return due;
            }
        };
        let seat = &mut self.seats[worker as usize];
        let armed = seat.armed == Some(at);
        if armed && seat.wants_turn().is_some_and(|wanted| wanted <= at) {
            return true;
        }
        self.outside.agenda.discard_first();
        if armed {
            seat.armed = None;
            self.arm(worker);
        }
        false
    }

    fn timed_out(&mut self, at: Timestamp, limit: Duration) -> Failure {
        self.pass(at);
        if let Some(failure) = &self.outside.failed {
            return failure.clone();
        }
        self.outside.now = at;
        let waiting = self.waits();
        Failure::TimedOut { at, limit, waiting }
    }

    fn deadlock(&self) -> Failure {
        Failure::Deadlock {
            at: self.now(),
            waiting: self.waits(),
        }
    }
}

/// Times in a row that a worker may go on at once and take no time for it.
const TURNS_MAX: u32 = 4_096;

/// The time that it takes from then on.
const TURN: Duration = Duration::from_micros(1);
