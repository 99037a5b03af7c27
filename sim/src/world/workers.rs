//! How workers come and go, stand still, and fail.

use core::time::Duration;

use stillpoint::{
    App, ControlError, ControllerEvent, NetworkEvent, Reaction, SpawnError, Timestamp, Worker,
    WorkerFailure, WorkerInput, WorkerSummary,
};

use super::World;
use super::outside::{Outside, SpawnFailure};
use super::seat::Seat;
use crate::bus::{BusPath, Carried};
use crate::counters::DropCause;
use crate::network::Held;
use crate::node::NodeId;
use crate::room::make_room;
use crate::tcp::Endpoint;
use crate::trace::{Cause, Place, TraceKind};

/// When a worker joins the others of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// When the node is made: the others know it before anything happens.
    AtFirst,
    /// Later: the others are told over the bus.
    Later,
}

impl<A: App> World<A> {
    /// Has a worker stand still for this long, as a thread that gets no processor or a task that
    /// does not return would: it is given nothing before then. What comes meanwhile waits, in order;
    /// the queues of the bus to it fill up, and so do the receive buffers of its sockets. Its host
    /// goes on: segments are acknowledged and sent again.
    ///
    /// # Panics
    ///
    /// If there is no such node or worker. One that is no more is no reason.
    pub fn stall_worker(&mut self, node: NodeId, worker: u16, stall: Duration) {
        let number = self.seat_number(node, worker);
        self.note_fault();
        let seat = &mut self.seats[number as usize];
        if seat.worker.is_none() {
            return;
        }
        seat.stalled_until = seat.stalled_until.max(self.outside.now.after(stall));
        seat.held = true;
        let until = seat.stalled_until;
        let word = until.as_nanos();
        if until < Timestamp::MAX {
            self.outside.disturbed_until(until);
        }
        let place = self.place(number);
        self.outside
            .trace
            .push(place, TraceKind::Stalled, 0, [word, 0, 0]);
        self.outside.hold(number, Held::Yes);
        self.arm(number);
    }

    /// Has a worker fail, at once, as if its backend could do nothing more. Its tasks are gone
    /// without a word, and in none of the lists of what has ended; its sockets and devices are
    /// closed; on its streams the peer gets what the host had taken, and then their end, or a reset
    /// if something received was not read. What waits in its queues is lost and counted. The other
    /// workers are told once all that it had sent is handed in, and the controller gets
    /// [`ControllerEvent::WorkerStopped`]. What follows is up to
    /// [`NodeBuilder::when_worker_fails`](crate::NodeBuilder::when_worker_fails).
    ///
    /// # Panics
    ///
    /// If there is no such node or worker. One that is no more is no reason.
    pub fn kill_worker(&mut self, node: NodeId, worker: u16) {
        let number = self.seat_number(node, worker);
        self.note_fault();
        self.vacate(number, Some(WorkerFailure::Killed));
    }

    /// Makes one more worker of a node, has the others know of it, and gives its index.
    pub(super) fn add_seat(&mut self, node: u32, joining: Joining) -> Result<u16, ControlError> {
        let desk = &mut self.outside.desks[node as usize];
        let index = desk.next_worker()?;
        let known = &self.nodes[node as usize];
        let entity = self.outside.network.entities[node as usize];
        let mut config = self.config.clone();
        config.index = index;
        let customs = known.customs.as_ref();
        if let Some(limit) = customs.and_then(|customs| customs.limits.as_ref()) {
            limit(&mut config);
        }
        config.index = index;
        config.entity = entity.part(u64::from(index));
        if !config.shares_limits(&self.config) {
            config.entropy = self.config.entropy.clone();
            config.buffers = self.config.buffers.clone();
            config.mischief = self.config.mischief.clone();
        }
        self.outside.agenda.add_worker(config.entity);
        self.outside.network.add_worker();
        let seat = Seat::new((known.make)(config), node, index, self.outside.now);
        let number = u32::try_from(self.seats.len()).ok();
        let number = number.filter(|&number| number < 1 << 30);
        let number = number.expect("fewer than 2^30 workers");
        make_room(&mut self.seats);
        self.seats.push(seat);
        self.seats[number as usize].watched = self.outside.trace.is_recording();
        self.time_seat(number);
        let desk = &mut self.outside.desks[node as usize];
        let others = desk.seats.clone();
        desk.worker_started(index, number);
        if joining == Joining::Later {
            let place = self.place(number);
            self.outside
                .trace
                .push(place, TraceKind::WorkerStarted, 0, [0; 3]);
        }
        for &other in others.iter() {
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
        Ok(index)
    }

    fn place(&self, number: u32) -> Place {
        let seat = &self.seats[number as usize];
        Place {
            at: self.outside.now,
            node: seat.node,
            worker: seat.index,
        }
    }

    /// Has a worker know another before anything happens: that is no event.
    fn introduce(&mut self, number: u32, other: u16) {
        self.outside.introducing = true;
        let scope = self.outside.trace.scope();
        self.give(number, WorkerInput::PeerJoined(other));
        self.outside.trace.go_back(scope);
        self.outside.introducing = false;
    }

    /// The stall of a worker is over: gives it what came meanwhile, one input at a time.
    pub(super) fn go_on(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        seat.held = false;
        if !self.finish_current(number) {
            let seat = &mut self.seats[number as usize];
            if let Some((cause, input)) = seat.backlog.inputs.pop_front() {
                self.outside.trace.follow(cause);
                if let WorkerInput::Network(NetworkEvent::Datagrams { socket, run }) = &input {
                    self.outside.network.free_room((number, *socket), run);
                }
                self.give(number, input);
                let seat = &mut self.seats[number as usize];
                seat.held = seat.worker.is_some();
                return self.arm(number);
            }
        }
        let seat = &mut self.seats[number as usize];
        seat.held |= seat.worker.is_some() && !seat.backlog.inputs.is_empty();
        if !seat.held {
            self.outside.hold(number, Held::No);
            self.look_after(number);
        }
        self.arm(number);
    }

    /// Something is for a worker that is no more.
    #[cold]
    pub(super) fn miss(&mut self, number: u32, input: WorkerInput<A>) {
        let place = self.place(number);
        let node = NodeId::new(place.node);
        let outside = &mut self.outside;
        if let WorkerInput::Network(event) = &input {
            outside.miss_event(event);
        } else if let WorkerInput::Spawn(_) = input {
            let worker = place.worker;
            outside.spawn_failures.push(SpawnFailure {
                at: place.at,
                node,
                worker,
                parent: None,
                error: SpawnError::WorkerGone { worker },
            });
        } else if let WorkerInput::Command { task, .. } = input {
            outside.trace.task(place, TraceKind::Stale, task, 0);
        } else if let WorkerInput::Bus { item, .. } = input {
            // It was taken, and its worker has not come to it.
            outside.lose_messages(item.messages());
        } // The controller knows of the rest, and nobody else waits for an answer.
    }

    /// Sees to what waits for a worker that has worked on.
    #[cold]
    pub(super) fn look_after(&mut self, number: u32) {
        let noted = self.note_turn(number);
        let seat = &self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return;
        };
        if seat.leaving && worker.is_stopped() {
            return self.vacate(number, None);
        }
        if !seat.held {
            self.wake_controls(number);
            self.wake_senders(number);
        }
        let seat = &mut self.seats[number as usize];
        seat.watched = noted || seat.is_to_be_watched();
    }

    /// Has a worker be gone once it has stopped.
    pub(super) fn have_leave(&mut self, node: u32, worker: u16) {
        if let Some(number) = self.outside.seat(node, worker) {
            let seat = &mut self.seats[number as usize];
            seat.leaving = true;
            seat.watched = true;
        }
    }

    /// Begins a shutdown of a node, if none has begun. What lives on at `abort_at` is removed then.
    pub(super) fn begin_shutdown(&mut self, node: u32, abort_at: Option<Timestamp>) {
        let desk = &mut self.outside.desks[node as usize];
        let phase = desk.plane_mut().shutdown();
        let workers: Vec<u16> = desk.plane().workers().collect();
        for worker in workers {
            self.have_leave(node, worker);
            if let (Some(at), Some(number)) = (abort_at, self.outside.seat(node, worker)) {
                let seat = &mut self.seats[number as usize];
                let before = seat.abort_at.take();
                let abort_at = before.map_or(at, |before| at.min(*before));
                seat.abort_at = Some(Box::new(abort_at));
                self.arm(number);
            }
        }
        if let Some(phase) = phase {
            self.outside.tell_phase(node, phase);
        }
    }

    /// A worker is no more: nothing of it stays, the others are told, and the controller does what
    /// its policy says.
    pub(super) fn vacate(&mut self, number: u32, failure: Option<WorkerFailure>) {
        let Some((worker, summary)) = self.clear(number, failure) else {
            return;
        };
        let (node, index) = (self.seats[number as usize].node, summary.worker);
        let desk = &mut self.outside.desks[node as usize];
        let reaction = desk.plane_mut().worker_stopped(self.outside.now, summary);
        self.react(node, index, reaction);
        self.outside.go_through_phases(node);
        self.outside.desks[node as usize].tidy();
        // What a task does when it is dropped is its own affair, and the world is whole by now.
        drop(worker);
    }

    /// Takes a worker from its seat, with all that waits for it and all that it has open.
    pub(super) fn clear(
        &mut self,
        number: u32,
        failure: Option<WorkerFailure>,
    ) -> Option<(Worker<A>, WorkerSummary)> {
        let seat = &mut self.seats[number as usize];
        seat.note_bus(&mut self.outside.network.counters);
        let worker = seat.worker.take()?;
        let (node, index) = (seat.node, seat.index);
        let seen = core::mem::take(&mut *seat.bus);
        let (within, bus) = (seen.waiting, seen.counters);
        let mut backlog = core::mem::take(&mut seat.backlog);
        if let Some(input) = seat
            .timing
            .take()
            .and_then(|mut timing| timing.take_current())
        {
            backlog.inputs.push_front((Cause::NONE, input));
        }
        (seat.held, seat.watched, seat.abort_at) = (false, false, None);
        let mut summary = WorkerSummary::new(index);
        summary.tasks_lost = worker.tasks();
        summary.inputs_lost = seat.underway() as u64;
        let from_others = self.close_queues(node, index);
        summary.bus = bus;
        summary.bus.lost += within + from_others;
        summary.failure = failure;
        self.outside.lose_messages(within + from_others);
        for (_, input) in core::mem::take(&mut backlog.inputs) {
            self.miss(number, input);
        }
        self.outside.close_all(node, number);
        self.outside.hold(number, Held::No);
        let words = [
            summary.tasks_lost as u64,
            summary.inputs_lost,
            within + from_others,
        ];
        let place = self.place(number);
        self.outside
            .trace
            .push(place, TraceKind::WorkerStopped, 0, words);
        Some((worker, summary))
    }

    /// Closes the queues to a worker, and says how many messages were in them. The others are told
    /// behind what it had sent them.
    fn close_queues(&mut self, node: u32, index: u16) -> u64 {
        let seats = self.outside.desks[node as usize].seats.clone();
        let mut lost = 0;
        for &other in seats.iter() {
            let seat = &self.seats[other as usize];
            let (from, to) = (index, seat.index);
            if from == to {
                continue;
            }
            let path = BusPath { node, from, to };
            lost += self.outside.buses.close(path.back());
            if seat.worker.is_some() {
                self.outside.push_carried(path, Carried::Left);
            }
        }
        lost
    }

    fn react(&mut self, node: u32, failed: u16, reaction: Reaction) {
        match reaction {
            Reaction::GoOn => {}
            Reaction::Stop => self.begin_shutdown(node, None),
            Reaction::Restart => {
                let added = self.add_seat(node, Joining::Later);
                let event = match added {
                    Ok(worker) => ControllerEvent::WorkerStarted {
                        worker,
                        instead_of: Some(failed),
                    },
                    Err(error) => ControllerEvent::RestartFailed {
                        worker: failed,
                        message: error.to_string(),
                    },
                };
                self.outside.desks[node as usize]
                    .plane_mut()
                    .push_event(event);
            }
        }
    }
}

impl<A: App> Outside<A> {
    /// A worker takes nothing, or goes on: so do its sockets and streams.
    pub(super) fn hold(&mut self, number: u32, held: Held) {
        self.network.held[number as usize] = held;
        if held == Held::No {
            for slot in self.tcp.release(number) {
                self.arm_end(slot);
            }
        }
    }

    /// Closes all that a worker has open, as its host does when a thread's descriptors go.
    fn close_all(&mut self, node: u32, number: u32) {
        self.network.close_all(node, number);
        for listener in self.tcp.listeners.of_worker(number) {
            for slot in self.tcp.listeners.remove(number, listener) {
                self.refuse_end(slot);
            }
        }
        for (stream, slot) in self.tcp.streams_of(number) {
            self.tcp.forget(number, stream);
            self.change(slot, Endpoint::abandon);
        }
        assert!(
            self.tcp.streams_of(number).is_empty() && !self.network.devices.has_queue_of(number),
            "a worker that is no more has neither streams nor devices"
        );
    }

    /// What was handed to a worker that was no more has not been delivered after all.
    fn miss_event(&mut self, event: &NetworkEvent) {
        let counters = &mut self.network.counters;
        if let NetworkEvent::Datagrams { run, .. } = event {
            let count = run.count() as u64;
            counters.delivered -= count;
            counters.dropped.add(DropCause::Closed, count);
        } else if let NetworkEvent::Packet { .. } = event {
            counters.packets.delivered -= 1;
            counters.packets.dropped.add(DropCause::Closed, 1);
        } else if let NetworkEvent::Received { data, .. } = event {
            let bytes = data.len() as u64;
            counters.streams.bytes_in -= bytes;
            counters.stream_bytes.discarded += bytes;
        }
    }

    /// Messages that were sent are received by nobody.
    fn lose_messages(&mut self, messages: u64) {
        let counters = &mut self.network.counters;
        counters.bus_waiting -= messages;
        counters.bus.lost += messages;
    }
}
