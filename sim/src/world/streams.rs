//! What happens to streams between the task that writes and the task that reads: commands on the one
//! side, segments on their links in the middle, news on the other.
//!
//! An end of a connection has a deadline, as a worker has: at once, if it has something to tell or to
//! send. When that is due it is looked at ([`Outside::attend`]). It tells one thing at a time, and
//! sends only when it has nothing to tell: so what a task says to what it is told goes out in the
//! same segment as the acknowledgement.

use stillpoint::{
    App, IncomingId, ListenerId, NetworkEvent, Reading, StreamId, StreamWrite, TcpConnect,
    TcpListen, Timestamp,
};

use super::cargo::{Cargo, Which};
use super::outside::{Event, Outside, Sink, controls};
use crate::counters::DropCause;
use crate::link::Fate;
use crate::network::Held;
use crate::tcp::{Endpoint, Kind, Name, NoListener, Reply, Seat, Segment, Side, Tools};
use crate::trace::{Place, Shown, TraceKind, peer};

impl<A: App> Sink<'_, A> {
    const fn seat(&self) -> Seat {
        Seat {
            node: self.place.node,
            worker: self.worker,
            index: self.place.worker,
        }
    }

    pub(super) fn listen(&mut self, id: ListenerId, listen: &TcpListen) {
        let (seat, refused) = (self.seat(), self.refused());
        let Outside {
            network,
            tcp,
            trace,
            agenda,
            ..
        } = &mut *self.outside;
        let text = trace.text(listen);
        trace.resource(self.place, TraceKind::Open, id, [text, 0, 0]);
        match refused.and_then(|()| tcp.listen(network, seat, id, listen)) {
            Ok(slot) => {
                let node = network.entities[self.place.node as usize];
                let channel = controls(node, self.place.worker);
                agenda.push_in_time(self.place.at, channel, Event::Listening { slot });
            }
            Err(error) => self.answer(NetworkEvent::ListenFailed {
                listener: id,
                token: listen.token,
                bind: listen.bind,
                error,
            }),
        }
    }

    /// Connections that were not taken in are reset. The others go on.
    pub(super) fn close_listener(&mut self, id: ListenerId) {
        let waiting = self.outside.tcp.listeners.remove(self.worker, id);
        for slot in waiting {
            self.outside.network.counters.streams.refused += 1;
            self.outside.change(slot, Endpoint::reset);
        }
    }

    pub(super) fn connect(&mut self, id: StreamId, connect: &TcpConnect) {
        let (seat, refused) = (self.seat(), self.refused());
        let Outside {
            network,
            tcp,
            trace,
            ..
        } = &mut *self.outside;
        let text = trace.text(connect);
        trace.resource(self.place, TraceKind::Open, id, [text, 0, 0]);
        let at = self.place.at;
        match refused.and_then(|()| tcp.connect(network, at, seat, id, connect)) {
            Ok(slot) => self.outside.arm_end(slot),
            Err(error) => {
                network.counters.streams.connect_failed += 1;
                self.answer(NetworkEvent::ConnectFailed {
                    stream: id,
                    token: connect.token,
                    peer: connect.peer,
                    error,
                });
            }
        }
    }

    pub(super) fn write(&mut self, write: StreamWrite) {
        let StreamWrite {
            stream, payload, ..
        } = write;
        let bytes = payload.len() as u64;
        let words = [bytes, 0, 0];
        self.outside
            .trace
            .resource(self.place, TraceKind::Write, stream, words);
        if bytes == 0 {
            return;
        }
        let data = payload.into_buffer().unwrap_or_else(|len| {
            let written = self.outside.lent.get(..len).unwrap_or_default();
            self.outside.buffers.copy_from(written)
        });
        let Some(slot) = self.outside.tcp.find(self.worker, stream) else {
            // It is over, and its task is about to be told.
            let counters = &mut self.outside.network.counters;
            counters.stream_bytes.written += bytes;
            counters.streams.bytes_refused += bytes;
            return;
        };
        self.outside
            .change(slot, |end, tools| end.write(data, tools));
    }

    pub(super) fn close_stream(&mut self, stream: StreamId) {
        // One that is not there is over, and the worker is about to be told.
        if let Some(slot) = self.outside.tcp.find(self.worker, stream) {
            self.outside.change(slot, Endpoint::close);
        }
    }

    pub(super) fn accept(&mut self, incoming: IncomingId, stream: StreamId) {
        self.note(Some(stream), &Said::Accept);
        let outside = &mut *self.outside;
        if let Some(slot) = outside.tcp.take_offered(Some(incoming)) {
            outside.network.counters.streams.accepted += 1;
            outside.tcp.accept(slot, stream);
        }
    }

    pub(super) fn refuse_incoming(&mut self, incoming: IncomingId) {
        self.note(None, &Said::Refuse);
        if let Some(slot) = self.outside.tcp.take_offered(Some(incoming)) {
            self.outside.refuse_end(slot);
        }
    }

    pub(super) fn end_write(&mut self, stream: StreamId) {
        self.note(Some(stream), &Said::EndWrite);
        if let Some(slot) = self.outside.tcp.find(self.worker, stream) {
            self.outside.change(slot, |end, _| end.end_write());
        }
    }

    pub(super) fn set_reading(&mut self, stream: StreamId, reading: Reading) {
        self.note(Some(stream), &Said::SetReading(reading));
        if let Some(slot) = self.outside.tcp.find(self.worker, stream) {
            self.outside.change(slot, |end, _| end.set_reading(reading));
        }
    }

    pub(super) fn reset_stream(&mut self, stream: StreamId) {
        self.note(Some(stream), &Said::Reset);
        if let Some(slot) = self.outside.tcp.find(self.worker, stream) {
            self.outside.tcp.forget(self.worker, stream);
            self.outside.change(slot, Endpoint::reset);
        }
    }

    /// Records what a worker says of a stream.
    fn note(&mut self, stream: Option<StreamId>, said: &Said) {
        let trace = &mut self.outside.trace;
        let text = trace.text(said);
        let id = stream.map_or(0, |stream| stream.to_words()[1]);
        trace.push(self.place, TraceKind::Stream, id, [text, 0, 0]);
    }
}

/// What a worker says of a stream, for the trace.
#[derive(Debug)]
#[expect(dead_code, reason = "its text is what counts")]
enum Said {
    Accept,
    Refuse,
    EndWrite,
    SetReading(Reading),
    Reset,
}

impl<A: App> Outside<A> {
    /// Whether an entry of the agenda is still the deadline of an end, and due. Either way it is in
    /// the agenda no more.
    pub(super) fn take_end_deadline(&mut self, slot: u32, at: Timestamp) -> bool {
        let due = self.end_is_due(slot, at);
        if due {
            if let Some(end) = self.tcp.ends.get_mut(slot as usize) {
                end.armed = None;
            }
        } else {
            self.end_discarded(slot, at);
        }
        due
    }

    /// Whether the deadline of an end is due at `at`, and the agenda's entry for then means it.
    pub(super) fn end_is_due(&self, slot: u32, at: Timestamp) -> bool {
        self.tcp.ends.get(slot as usize).is_some_and(|end| {
            end.armed == Some(at) && end.poll_timeout().is_some_and(|wanted| wanted <= at)
        })
    }

    /// An entry of the agenda for an end was not due: the end has another deadline, or none.
    pub(super) fn end_discarded(&mut self, slot: u32, at: Timestamp) {
        if let Some(end) = self.tcp.ends.get_mut(slot as usize)
            && end.armed == Some(at)
        {
            end.armed = None;
            self.arm_end(slot);
        }
    }

    /// Has the agenda know the deadline of an end.
    pub(super) fn arm_end(&mut self, slot: u32) {
        if let Some(end) = self.tcp.ends.get_mut(slot as usize)
            && let Some(wanted) = end.poll_timeout()
        {
            let at = wanted.max(self.now);
            self.agenda.note_end(slot);
            if end.armed.is_none_or(|armed| at < armed) {
                end.armed = Some(at);
                self.agenda.push_end(at, slot, end.channel());
            }
        }
    }

    /// Has something happen to an end, and sees to what follows.
    pub(super) fn change<R: Default>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Endpoint, &mut Tools<'_>) -> R,
    ) -> R {
        let done = self.with(slot, change);
        self.tcp.tidy(slot, &mut self.network.counters);
        self.arm_end(slot);
        done
    }

    pub(super) fn with<R: Default>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Endpoint, &mut Tools<'_>) -> R,
    ) -> R {
        let mut tools = Tools {
            now: self.now,
            counters: &mut self.network.counters,
            pool: &self.buffers,
            cut: &self.tcp.cut,
            give: &self.tcp.give,
        };
        let end = self.tcp.ends.get_mut(slot as usize);
        end.map_or_else(R::default, |end| change(end, &mut tools))
    }

    /// Looks at an end whose deadline is due. Gives the worker that is to be told something, and
    /// what; [`Outside::attended`] is to follow.
    pub(super) fn attend(&mut self, slot: u32) -> Option<(u32, NetworkEvent)> {
        let end = self.tcp.ends.get(slot as usize);
        if end.is_some_and(|end| self.network.held[end.seat.worker as usize] == Held::Yes) {
            self.tcp.park(slot);
        }
        if self.failing.is_some()
            && let Some(event) = self.delay_news(slot)
        {
            return Some(event);
        }
        let news = self.with(slot, |end, tools| {
            end.handle_timeout(tools);
            let news = end.poll_news(tools);
            news.map(|event| (end.seat.worker, event))
        });
        if let Some((worker, event)) = &news {
            if let NetworkEvent::Incoming { .. } = event {
                self.tcp.offer(slot);
            } else if let NetworkEvent::StreamClosed { stream, .. }
            | NetworkEvent::ConnectFailed { stream, .. } = event
            {
                self.tcp.forget(*worker, *stream);
            }
            return news;
        }
        while let Some((stream, segment)) = self.with(slot, |end, tools| {
            let segment = end.poll_segment(tools);
            segment.map(|segment| (end.stream(), segment))
        }) {
            self.send_segment(stream, segment);
        }
        self.change(slot, |_, _| ());
        None
    }

    /// The worker was told. A connection that it neither took nor refused is refused.
    pub(super) fn attended(&mut self, slot: u32) {
        if let Some(offered) = self.tcp.take_offered(None) {
            self.refuse_end(offered);
        }
        self.change(slot, |_, _| ());
    }

    pub(super) fn refuse_end(&mut self, slot: u32) {
        self.network.counters.streams.refused += 1;
        self.change(slot, Endpoint::reset);
    }

    /// A listener's task is to be told that it is open, if it still is.
    pub(super) fn tell_listening(&mut self, slot: u32) -> Option<(u32, NetworkEvent)> {
        let (worker, event, waiting) = self.tcp.told(slot)?;
        for slot in waiting {
            self.arm_end(slot);
        }
        Some((worker, event))
    }

    /// A segment is at a node.
    pub(super) fn segment_arrives(&mut self, mut segment: Box<Segment>) {
        if self.network.routed {
            match self.pass_segment(segment) {
                Some(passed) => segment = passed,
                None => return,
            }
        }
        let segment = *segment;
        let counters = &mut self.network.counters.segments;
        counters.in_flight -= 1;
        if let Some(node) = segment.to_node
            && self.network.hosts[node as usize].is_down
        {
            counters.dropped.add(DropCause::NodeDown, 1);
            let (at, worker) = (self.now, 0);
            let words = [peer(segment.target), segment.word().0, 0];
            let place = Place { at, node, worker };
            return self.trace.push(place, TraceKind::SegmentLost, 0, words);
        }
        counters.arrived += 1;
        let rejection = segment.rejection();
        let is_final = segment.kind.is_final();
        let rejected = if let Some(slot) = self.tcp.named(segment.to) {
            if self.network.routed && !self.tcp.ends[slot as usize].hears(&segment) {
                !is_final // It comes from elsewhere now: for this end, it is a stranger's.
            } else {
                let reply = self.change(slot, |end, tools| end.handle_segment(segment, tools));
                reply == Reply::Reject
            }
        } else if segment.kind == Kind::Call && segment.to.side == Side::Answerer {
            match self.tcp.answer(&self.network, &segment) {
                Ok(Some(slot)) => {
                    self.arm_end(slot);
                    false
                }
                Ok(None) => {
                    self.network.counters.segments.backlog_full += 1;
                    false
                }
                Err(NoListener) => true,
            }
        } else {
            !is_final
        };
        if rejected {
            self.send_segment(None, rejection);
        }
    }

    /// Sends a segment off.
    fn send_segment(&mut self, stream: Option<StreamId>, mut segment: Segment) {
        let place = Place {
            at: self.now,
            node: segment.from_node,
            worker: stream.map_or(0, StreamId::worker),
        };
        let id = stream.map_or(0, |stream| stream.to_words()[1]);
        self.network.counters.segments.sent += 1;
        if self.network.routed && !self.start_segment(stream, &mut segment) {
            return;
        }
        if segment.to_node.is_none() {
            self.network.counters.segments.unroutable += 1;
            let words = [
                peer(segment.target),
                segment.word().0,
                DropCause::NoRoute as u64,
            ];
            return self.trace.push(place, TraceKind::SegmentLost, id, words);
        }
        self.network.counters.segments.in_flight += 1;
        self.carry_segment(place, stream, Box::new(segment));
    }

    /// Puts a segment onto its link.
    pub(super) fn carry_segment(
        &mut self,
        place: Place,
        stream: Option<StreamId>,
        segment: Box<Segment>,
    ) {
        let (from, to) = (segment.from_node, segment.to_node.unwrap_or_default());
        let path = self.network.links.path(from, to);
        let hop = self.hop(from, to);
        let cargo = Cargo::Segment {
            place,
            stream,
            segment,
        };
        if path.faulty {
            return self.enter(&hop, cargo);
        }
        let links = &mut self.network.links;
        let arrival = links.arrival(&path, hop.entity, self.now);
        let drawn = (Fate::default(), 0);
        self.launch_cargo(cargo, Which::Original, &hop, drawn, arrival);
    }

    /// A notice has come that segments of an end are too long for the way (RFC 1191, 8201).
    pub(super) fn shrink_segments(&mut self, end: Name, bytes_max: usize) {
        if let Some(slot) = self.tcp.named(end) {
            self.change(slot, |end, _| end.shrink_segments(bytes_max));
        }
    }

    /// Drops a segment on its way.
    pub(super) fn drop_segment(
        &mut self,
        place: Place,
        stream: Option<StreamId>,
        segment: &Segment,
        cause: DropCause,
    ) {
        let counters = &mut self.network.counters.segments;
        counters.in_flight -= 1;
        if cause == DropCause::Loss {
            counters.lost += 1;
        } else {
            counters.dropped.add(cause, 1);
        }
        let id = stream.map_or(0, |stream| stream.to_words()[1]);
        let words = [peer(segment.target), segment.word().0, cause as u64];
        let (kind, shown) = (TraceKind::SegmentLost, || Shown::Segment(segment));
        self.trace.show(place, kind, id, words, shown);
    }
}
