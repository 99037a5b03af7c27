//! What happens to datagrams between the task that sends them and the task that gets them.
//!
//! A run travels as a run, in the memory it was sent in. The link's verdict falls on each of its
//! datagrams, though: those that are lost or held back leave the run, those that are doubled end
//! a stretch of it, and each stretch that is left goes on as a shorter run that shares the memory.

use core::ops::Range;

use stillpoint::{
    App, Buffer, DatagramRun, NetworkError, NetworkEvent, SocketId, Transmit, WorkerInput,
    segment_count,
};

use super::errors::Told;
use super::outside::{Event, Outside, Sink};
use crate::counters::DropCause;
use crate::network::{Audience, Flight, Landing, Route, Spread, Straight, heard_at};
use crate::trace::{Place, Shown, TraceKind, peer, size};

impl<A: App> Sink<'_, A> {
    /// Sends datagrams off.
    #[inline(always)]
    pub(super) fn send(&mut self, transmit: &mut Transmit) {
        let count = segment_count(transmit.payload.len(), transmit.segment_size) as u64;
        let network = &mut self.outside.network;
        network.counters.sent += count;
        let is_plain = self.outside.failing.is_none() && !self.outside.talks.watched;
        if is_plain
            && let Some(way) = network.route_straight(self.place.node, self.worker, transmit)
        {
            self.send_off(transmit, &way, count);
        } else {
            self.send_elsewhere(transmit, count);
        }
    }

    /// Sends datagrams to a node.
    #[inline(always)]
    fn send_off(&mut self, transmit: &mut Transmit, way: &Straight, count: u64) {
        let target = transmit.peer;
        // Before it is written elsewhere: what was just written is read late.
        let shown = [peer(target), size(transmit.payload.len(), count)];
        // Written field by field, in place: this is the hot path.
        let spare = self.outside.spare.pop();
        let mut flight = match spare {
            Some(flight) => flight,
            None => Box::new(Flight::new(transmit.socket, way.source)),
        };
        flight.from = self.place.node;
        flight.to = way.node;
        flight.worker = self.worker;
        flight.socket = transmit.socket;
        flight.target = target;
        flight.audience = Audience::One;
        flight.run.peer = way.source;
        flight.run.local = Some(target.ip());
        flight.run.interface = Some(way.interface);
        flight.run.dscp = way.dscp;
        flight.run.ecn = transmit.ecn;
        match core::mem::take(&mut transmit.payload).into_buffer() {
            Ok(buffer) => flight.run.payload = buffer,
            Err(len) => flight.run.payload = self.written(len),
        }
        flight.run.segment_size = transmit.segment_size;
        if self.outside.network.routed {
            self.outside.network.embark(&mut flight);
        }
        self.outside.network.counters.in_flight += count;
        self.outside.carry_shown(self.place, flight, count, shown);
    }

    /// Sends datagrams off that do not go the way that most go.
    #[inline(never)]
    fn send_elsewhere(&mut self, transmit: &mut Transmit, count: u64) {
        if self.outside.talks.watched {
            let whose = (self.worker, transmit.socket);
            let talks = &mut self.outside.talks;
            talks.note_sent(self.place.at, whose, transmit.peer);
        }
        if self.outside.failing.is_some()
            && let Some((error, told)) = self.send_refusal(transmit.socket)
        {
            let error = (told == Told::Yes).then_some(error);
            return self.unsent(transmit, count, DropCause::Unsendable, error);
        }
        let network = &mut self.outside.network;
        let mut route = network.route(self.place.node, self.worker, transmit);
        if network.routed {
            route = network.let_out(self.place.at, self.place.node, transmit, route);
        }
        let (cause, error) = match route {
            Route::To {
                node,
                source,
                interface,
                dscp,
            } => {
                let way = Straight {
                    node,
                    source,
                    interface,
                    dscp,
                };
                return self.send_off(transmit, &way, count);
            }
            Route::Many(spread) => return self.send_to_many(transmit, &spread, count),
            Route::Nowhere => (DropCause::NoRoute, None),
            Route::Closed => (DropCause::Closed, None),
            Route::Refused(error) => (DropCause::Unsendable, Some(error)),
        };
        self.unsent(transmit, count, cause, error);
    }

    /// Counts and records datagrams that a task gave and that are not sent, and has the task told.
    #[cold]
    fn unsent(
        &mut self,
        transmit: &Transmit,
        count: u64,
        cause: DropCause,
        error: Option<NetworkError>,
    ) {
        let bytes = transmit.payload.len();
        let Outside { network, trace, .. } = &mut *self.outside;
        network.counters.dropped.add(cause, count);
        let words = [peer(transmit.peer), size(bytes, count), cause as u64];
        trace.resource(self.place, TraceKind::Dropped, transmit.socket, words);
        if let Some(error) = error {
            self.answer(NetworkEvent::SendFailed {
                socket: transmit.socket,
                peer: transmit.peer,
                error,
                datagrams: u32::try_from(count).unwrap_or(u32::MAX),
            });
        }
    }

    /// Sends datagrams off to several nodes; they share the memory.
    fn send_to_many(&mut self, transmit: &mut Transmit, spread: &Spread, count: u64) {
        let (target, bytes) = (transmit.peer, transmit.payload.len());
        let payload = self.owned(core::mem::take(&mut transmit.payload));
        let copies = count * (spread.landings.len() as u64).saturating_sub(1);
        let Outside { network, trace, .. } = &mut *self.outside;
        if spread.landings.is_empty() {
            let cause = DropCause::NoMember;
            network.counters.dropped.add(cause, count);
            let words = [peer(target), size(bytes, count), cause as u64];
            trace.resource(self.place, TraceKind::Dropped, transmit.socket, words);
        }
        network.counters.copied += copies;
        for landing in &spread.landings {
            let source = heard_at(spread.source, landing.interface);
            let mut flight = Flight::new(transmit.socket, source);
            flight.from = self.place.node;
            flight.to = landing.node;
            flight.worker = self.worker;
            flight.target = target;
            flight.audience = spread.audience;
            flight.run.local = Some(landing.local);
            flight.run.interface = Some(landing.interface);
            flight.run.dscp = spread.dscp;
            flight.run.ecn = transmit.ecn;
            flight.run.payload = payload.clone();
            flight.run.segment_size = transmit.segment_size;
            self.outside.network.counters.in_flight += count;
            let flight = self.outside.boxed(flight);
            self.outside.carry(self.place, flight, count);
        }
    }
}

impl<A: App> Outside<A> {
    /// Puts datagrams onto their link.
    pub(super) fn carry(&mut self, place: Place, flight: Box<Flight>, count: u64) {
        let shown = [peer(flight.target), size(flight.run.payload.len(), count)];
        self.carry_shown(place, flight, count, shown);
    }

    /// The same. `shown` is what the trace says of them: where they are to go, and their size.
    #[inline(always)]
    fn carry_shown(&mut self, place: Place, flight: Box<Flight>, count: u64, shown: [u64; 2]) {
        let link = self.network.link_entity(flight.from, flight.to);
        let (links, ends) = (&mut self.network.links, (flight.from, flight.to));
        let Some(arrival) = links.plain_arrival(ends, link, self.now) else {
            return self.carry_over_faulty(place, flight, count);
        };
        let words = [shown[0], shown[1], arrival.as_nanos()];
        let (kind, id) = (TraceKind::Carried, flight.socket.to_words()[1]);
        let shown = || Shown::Datagrams(&flight);
        self.trace.show(place, kind, id, words, shown);
        self.agenda.push(arrival, link, Event::Flight(flight));
    }

    /// Drops datagrams on their way.
    pub(super) fn drop_flight(
        &mut self,
        place: Place,
        flight: &Flight,
        count: u64,
        cause: DropCause,
    ) {
        let bytes = flight.run.payload.len();
        let words = [peer(flight.target), size(bytes, count), cause as u64];
        let (kind, id) = (TraceKind::Dropped, flight.socket.to_words()[1]);
        let shown = || Shown::Datagrams(flight);
        self.trace.show(place, kind, id, words, shown);
        self.network.counters.dropped.add(cause, count);
        self.network.counters.in_flight -= count;
    }

    /// Finds out who gets datagrams that have arrived: a worker, and its socket. Gives the flight
    /// back then.
    #[inline(always)]
    pub(super) fn arrive(
        &mut self,
        mut flight: Box<Flight>,
    ) -> Option<(u32, SocketId, Box<Flight>)> {
        let count = flight.run.count() as u64;
        let counters = &mut self.network.counters;
        counters.in_flight -= count;
        if flight.audience != Audience::One {
            self.arrive_at_many(&flight, count);
            self.recycle(flight);
            return None;
        }
        if self.network.routed {
            flight = self.pass(flight, count)?;
        }
        let straight = self.network.receiver_straight(flight.to, &flight.target);
        let (worker, socket) = match straight {
            Some(receiver) => receiver,
            None => match self.find_receiver(&flight, count) {
                Some(receiver) => receiver,
                None => {
                    self.recycle(flight);
                    return None;
                }
            },
        };
        self.network.counters.delivered += count;
        if self.talks.watched {
            let peer = flight.run.peer;
            self.talks.note_heard(self.now, (worker, socket), peer);
        }
        Some((worker, socket, flight))
    }

    /// Who gets datagrams that do not arrive where most do, if anybody does.
    #[inline(never)]
    fn find_receiver(&mut self, flight: &Flight, count: u64) -> Option<(u32, SocketId)> {
        let network = &mut self.network;
        let run = &flight.run;
        let receiver = network.receiver(flight.to, flight.target, run.peer, &run.payload);
        let Some(receiver) = receiver else {
            self.refuse(flight, count);
            return None;
        };
        if !network.take_room(self.now, receiver, &flight.run) {
            self.drop_arrived(flight, count, DropCause::ReceiveBufferFull);
            return None;
        }
        Some(receiver)
    }

    /// Has all sockets that are to get it be given what has arrived, at this instant.
    fn arrive_at_many(&mut self, flight: &Flight, count: u64) {
        let (Some(local), Some(interface)) = (flight.run.local, flight.run.interface) else {
            unreachable!("what goes to several says where it arrives");
        };
        let landing = Landing {
            node: flight.to,
            interface,
            local,
        };
        let (target, peer) = (flight.target, flight.run.peer);
        let receivers = self
            .network
            .receivers(flight.audience, landing, target, peer);
        if receivers.is_empty() {
            if self.network.hosts[flight.to as usize].is_down {
                return self.drop_arrived(flight, count, DropCause::NodeDown);
            }
            // Nobody is told: what is sent to several is refused by none (RFC 1122, 3.2.2).
            return self.drop_arrived(flight, count, DropCause::NoSocket);
        }
        self.network.counters.copied += (receivers.len() as u64 - 1) * count;
        let link = self.network.link_entity(flight.from, flight.to);
        for (worker, socket) in receivers {
            if !self
                .network
                .take_room(self.now, (worker, socket), &flight.run)
            {
                self.drop_arrived(flight, count, DropCause::ReceiveBufferFull);
                continue;
            }
            self.network.counters.delivered += count;
            let run = flight.run.clone();
            let event = NetworkEvent::Datagrams { socket, run };
            let event = Event::Input {
                worker,
                input: Box::new(WorkerInput::Network(event)),
            };
            self.agenda.push(self.now, link, event);
        }
    }

    /// Counts and records datagrams that were dropped where they arrived.
    pub(super) fn drop_arrived(&mut self, flight: &Flight, count: u64, cause: DropCause) {
        self.network.counters.dropped.add(cause, count);
        let place = Place {
            at: self.now,
            node: flight.to,
            worker: 0,
        };
        let size = size(flight.run.payload.len(), count);
        let words = [peer(flight.target), size, cause as u64];
        self.trace.push(place, TraceKind::Dropped, 0, words);
    }

    /// Some datagrams of a flight, in the same memory.
    pub(super) fn part(&mut self, flight: &Flight, range: Range<u64>) -> Box<Flight> {
        let DatagramRun {
            payload,
            segment_size,
            ..
        } = &flight.run;
        let len = payload.len();
        let step = if *segment_size == 0 {
            len
        } else {
            *segment_size
        };
        let at = |segment| usize::try_from(segment).map_or(len, |segment| len.min(segment * step));
        let payload = payload
            .slice(at(range.start)..at(range.end))
            .unwrap_or_default();
        let mut part = self.boxed(flight.clone());
        part.run.payload = payload;
        part
    }

    pub(super) fn boxed(&mut self, flight: Flight) -> Box<Flight> {
        match self.spare.pop() {
            Some(mut spare) => {
                *spare = flight;
                spare
            }
            None => Box::new(flight),
        }
    }

    #[inline(always)]
    pub(super) fn recycle(&mut self, mut flight: Box<Flight>) {
        flight.run.payload = Buffer::empty();
        flight.journey = None;
        self.spare.push(flight);
    }

    /// Nobody listens: the sender is told, as by ICMP.
    fn refuse(&mut self, flight: &Flight, count: u64) {
        if self.network.hosts[flight.to as usize].is_down {
            return self.drop_arrived(flight, count, DropCause::NodeDown);
        }
        self.drop_arrived(flight, count, DropCause::NoSocket);
        if flight.journey.is_some() {
            return self.send_back(flight.to, flight, NetworkError::ConnectionRefused);
        }
        let back = self.hop(flight.to, flight.from);
        let Some(arrival) = self.network.links.notice(&back, self.now) else {
            return;
        };
        let event = NetworkEvent::SocketError {
            socket: flight.socket,
            peer: Some(flight.target),
            error: NetworkError::ConnectionRefused,
        };
        let event = Event::Input {
            worker: flight.worker,
            input: Box::new(WorkerInput::Network(event)),
        };
        self.agenda.push(arrival, back.entity, event);
    }

    /// Records an input on its way to a worker.
    #[inline(always)]
    pub(super) fn trace_input(&mut self, place: Place, input: &WorkerInput<A>) {
        // What comes most often goes the straight way.
        if let WorkerInput::Network(NetworkEvent::Datagrams { socket, run }) = input {
            self.trace.datagrams(place, *socket, run);
        } else {
            self.trace_other_input(place, input);
        }
    }

    #[inline(never)]
    fn trace_other_input(&mut self, place: Place, input: &WorkerInput<A>) {
        let trace = &mut self.trace;
        match input {
            WorkerInput::Network(NetworkEvent::Datagrams { socket, run }) => {
                trace.datagrams(place, *socket, run);
            }
            WorkerInput::Network(NetworkEvent::Packet { device, packet }) => {
                trace.packet(place, *device, packet);
            }
            WorkerInput::Network(NetworkEvent::Received { stream, data }) => {
                trace.received(place, *stream, data);
            }
            WorkerInput::Network(event) => {
                let text = if matches!(event, NetworkEvent::UdpOpened { .. }) {
                    trace.opened_text(event)
                } else {
                    trace.text(event)
                };
                trace.resource(place, TraceKind::Network, event.resource(), [text, 0, 0]);
            }
            WorkerInput::Timeout => trace.push(place, TraceKind::Timeout, 0, [0; 3]),
            WorkerInput::Spawn(spawn) => {
                let text = trace.text(spawn);
                trace.push(place, TraceKind::Spawn, 0, [text, 0, 0]);
            }
            WorkerInput::Command { task, command } => {
                let text = trace.text(command);
                trace.task(place, TraceKind::Command, *task, text);
            }
            WorkerInput::Bus { from, item } => {
                let text = trace.text(item);
                trace.push(place, TraceKind::Bus, 0, [text, u64::from(*from), 0]);
            }
            WorkerInput::BusRoom(worker) => trace.peer(place, TraceKind::BusRoom, *worker),
            WorkerInput::PeerJoined(_) if self.introducing => {}
            WorkerInput::PeerJoined(worker) => trace.peer(place, TraceKind::PeerJoined, *worker),
            WorkerInput::PeerLeft(worker) => trace.peer(place, TraceKind::PeerLeft, *worker),
            WorkerInput::Control(input) => {
                let text = trace.text(input);
                trace.push(place, TraceKind::Control, 0, [text, 0, 0]);
            }
            WorkerInput::Shutdown => trace.push(place, TraceKind::Shutdown, 0, [0; 3]),
            WorkerInput::Abort => trace.push(place, TraceKind::Abort, 0, [0; 3]),
            unknown => {
                panic!("the simulator is older than the worker: it does not know {unknown:?}")
            }
        }
    }
}
