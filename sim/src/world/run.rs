//! The loop: takes what is next out of the agenda and gives it to its worker.

use core::time::Duration;

use stillpoint::{App, Timestamp, WorkerInput};

use super::World;
use super::give::Arrived;
use super::outside::Event;
use super::scheduling::Turn;
use crate::agenda::{Due, Whose};
use crate::device::{Goal, PacketFlight};
use crate::failure::Failure;
use crate::network::Flight;

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
            let due = match self.outside.agenda.pop() {
                // What comes most often goes the straight way.
                Some(Due::Event(Event::Flight(flight))) => return self.land_at(at, flight),
                Some(Due::Event(event)) => return self.happen_at(at, event),
                Some(due) => due,
                None => return Ok(Step::Idle),
            };
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

    /// Datagrams arrive.
    #[inline(always)]
    fn land_at(&mut self, at: Timestamp, flight: Box<Flight>) -> Result<Step, Failure> {
        if self.careful {
            return self.happen_at(at, Event::Flight(flight));
        }
        if self.begin(at) {
            self.land(flight);
            if self.properties.is_some() {
                self.look_at_properties();
            }
        }
        self.outcome()
    }

    /// Lets an event happen.
    #[inline(never)]
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
        let turn = if self.priorities.is_none() {
            Turn::Now
        } else {
            self.preempt(&due)
        };
        match (turn, due) {
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
            let run = &mut flight.run;
            self.give(worker, Arrived { socket, run });
            self.outside.recycle(flight);
        }
    }

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
            Event::Retell { slot, name } => self.outside.retell(slot, *name),
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
            Event::SegmentTooBig(told) => {
                let (end, bytes_max) = *told;
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
