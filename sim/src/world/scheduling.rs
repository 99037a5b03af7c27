//! Strategies at work: whose turn it is, and who stands still before.

use core::time::Duration;

use stillpoint::{App, Entity, Timestamp};

use super::World;
use super::outside::Event;
use crate::agenda::Due;
use crate::device::Goal;
use crate::network::{Audience, Held};
use crate::schedule::{Delays, Priorities, Schedule};
use crate::trace::{Place, TraceKind};

/// What became of something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It happens now. If its worker stands still, it waits there.
    Now,
    /// It comes again by itself.
    Later,
}

impl<A: App> World<A> {
    /// Sets how the world chooses among the ways in which workers and messages can interleave, from
    /// now on. It is [`Schedule::Uniform`] at first.
    ///
    /// # Panics
    ///
    /// If a chance is not from 0 to 1, or a delay is an empty range or longer than a day.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.priorities = None;
        self.outside.agenda.set_delays(None);
        self.schedules += 1;
        match schedule {
            Schedule::Uniform => {}
            Schedule::Pct {
                preemptions,
                delay_max,
            } => {
                assert!(
                    delay_max <= DELAY_MAX,
                    "a schedule with stalls of up to {delay_max:?}: a day is the longest"
                );
                let round = self.schedules;
                let priorities = Priorities::new(&self.entropy, round, preemptions, delay_max);
                self.priorities = Some(Box::new(priorities));
            }
            Schedule::DelayHeavy { chance, delay } => {
                assert!(
                    (0.0..=1.0).contains(&chance),
                    "a schedule that delays with a chance of {chance}: give it one from 0 to 1"
                );
                assert!(
                    delay.start() <= delay.end() && *delay.end() <= DELAY_MAX,
                    "a schedule with delays of {delay:?}: give it a range of up to a day"
                );
                let delays = Delays::new(&self.entropy, chance, delay);
                self.outside.agenda.set_delays(Some(Box::new(delays)));
            }
        }
        self.note_care();
    }

    /// Has the worker that something is for stand still before, if its priority says so.
    #[cold]
    pub(super) fn preempt(&mut self, due: &Due<Event<A>>) -> Turn {
        let Some(number) = self.target(due) else {
            return Turn::Now;
        };
        let seat = &self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return Turn::Now;
        };
        if seat.held {
            return Turn::Now; // It takes what has waited there first.
        }
        let (node, index, entity) = (seat.node, seat.index, worker.config().entity);
        let now = self.outside.now;
        let Some(stall) = self.stall_of(number, entity) else {
            return Turn::Now;
        };
        let until = now.after(stall);
        let others = self.outside.agenda.next_at();
        if others.is_none_or(|at: Timestamp| at > until) {
            // Nobody else has anything to do.
            if let Some(priorities) = &mut self.priorities {
                priorities.go_on(number);
            }
            return Turn::Now;
        }
        let place = Place {
            at: now,
            node,
            worker: index,
        };
        let words = [until.as_nanos(), 0, 0];
        self.outside.trace.push(place, TraceKind::Stalled, 0, words);
        let seat = &mut self.seats[number as usize];
        seat.held = true;
        seat.stalled_until = until;
        self.outside.hold(number, Held::Yes);
        self.arm(number);
        match due {
            Due::Deadline { .. } => Turn::Later,
            Due::End { .. } | Due::Event(_) => Turn::Now,
        }
    }

    /// How long a worker is to stand still before its turn.
    fn stall_of(&mut self, number: u32, entity: Entity) -> Option<Duration> {
        let priorities = self.priorities.as_mut()?;
        // Workers are numbered in the order in which they are made, and never forgotten.
        for seat in self.seats.iter().skip(priorities.known()) {
            let node = self.outside.network.entities[seat.node as usize];
            priorities.add(node.part(u64::from(seat.index)));
        }
        priorities.turn(number, entity)
    }

    /// The worker that is given something, if one is.
    fn target(&self, due: &Due<Event<A>>) -> Option<u32> {
        let outside = &self.outside;
        match due {
            Due::Deadline { worker } => Some(*worker),
            Due::End { slot } => Some(outside.tcp.look(*slot)?.worker),
            Due::Event(event) => match event {
                Event::Input { worker, .. }
                | Event::Control { worker, .. }
                | Event::ControlTurn { worker } => Some(*worker),
                Event::Flight(flight) if flight.audience == Audience::One => {
                    let network = &outside.network;
                    let run = &flight.run;
                    let found = network.receiver(flight.to, flight.target, run.peer, &run.payload);
                    found.map(|(worker, _)| worker)
                }
                Event::Packet(flight) => {
                    let Goal::Device(port) = flight.to else {
                        return None;
                    };
                    let device = outside.network.devices.get(port.device);
                    Some(device.queue_for(&flight.packet.payload)?.worker)
                }
                Event::Notice(notice) => notice.worker(),
                Event::Bus(path) | Event::BusTurn(path) => outside.seat(path.node, path.to),
                Event::BusRoom(path) => outside.seat(path.node, path.from),
                // Those who get it are given it one by one, and the rest is the hosts' affair.
                Event::Flight(_)
                | Event::Segment(_)
                | Event::Listening { .. }
                | Event::Retell { .. }
                | Event::LinkFree { .. }
                | Event::SegmentTooBig(_)
                | Event::Release { .. } => None,
            },
        }
    }
}

/// As long as a delay may be.
const DELAY_MAX: Duration = Duration::from_secs(86_400);
