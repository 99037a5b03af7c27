//! One end of a connection: a state machine without I/O.
//!
//! It takes segments, commands of its task, and the time; it gives out segments and news for its
//! worker, one at a time, when it is asked ([`Endpoint::poll_news`], [`Endpoint::poll_segment`]). So
//! what a task is told is what holds at that moment: nothing of what it no longer wants.
//!
//! How far the connection has come ([`Stage`]) and who has it ([`Holder`]) are two things: a task may
//! close a stream whose bytes are still under way, and a listener has streams that no task knows of.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    Buffer, BufferPool, Entity, IncomingId, Keepalive, ListenerId, NetworkError, Reading, Site,
    StreamId, TcpOptions, Timestamp, Token,
};

mod news;
mod view;

use super::receive::Receiving;
use super::segment::{Kind, Segment, segment_bytes_max};
use super::send::{Piece, Sending};
use super::{Name, Seat, Side};
use crate::counters::Counters;
use crate::network::{Entrance, HOP_LIMIT, Held};

pub(super) use news::KeptBack;
pub(crate) use view::EndView;

pub(crate) struct Endpoint {
    pub(crate) name: Name,
    pub(crate) seat: Seat,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// The node of the peer, if any node has its address.
    peer_node: Option<u32>,
    pub(crate) entity: Entity,
    pub(super) holder: Holder,
    pub(super) stage: Stage,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    reading: Reading,
    read_end_told: bool,
    /// Of a connect that was not answered yet.
    token: Option<Token>,
    /// What the connection broke with.
    error: Option<NetworkError>,
    /// Whether the error kept something from being sent: then it is told even to those who do not
    /// read.
    error_of_writing: bool,
    /// Until when it may take to connect, or to send what was written before the close.
    limit: Option<Timestamp>,
    linger: Duration,
    keepalive: Option<Keepalive>,
    heard_at: Timestamp,
    /// Signs of life asked for and not given.
    probes: u32,
    /// What is to be sent besides bytes.
    call_due: bool,
    probe_due: bool,
    reset_due: bool,
    /// Whether its worker stands still, and is told nothing.
    pub(super) held: Held,
    /// Whether what it has to tell is kept back for a while.
    pub(super) kept_back: KeptBack,
    /// When the agenda looks at it next.
    pub(crate) armed: Option<Timestamp>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// SYN sent.
    Calling,
    /// SYN and ACK sent.
    Answering,
    Joined,
    /// Broken off, by either end or by time.
    Dead,
}

/// Who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A listener, until a worker takes it in.
    Listener {
        slot: u32,
        id: ListenerId,
        ready: bool,
    },
    Task(StreamId),
    /// A worker: its task has closed it.
    Closing(StreamId),
    /// It goes on until the peer has everything.
    Nobody,
}

/// What an end works with.
pub(crate) struct Tools<'a> {
    pub(crate) now: Timestamp,
    pub(crate) counters: &'a mut Counters,
    pub(crate) pool: &'a BufferPool,
    pub(crate) cut: &'a Site,
    pub(crate) give: &'a Site,
}

/// What a segment is answered with besides what the end has to send anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reply {
    #[default]
    Nothing,
    /// There is nobody for it.
    Reject,
}

/// Where an end is, and what for.
pub(super) struct Origin {
    pub(super) name: Name,
    pub(super) seat: Seat,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) peer_node: Option<u32>,
    pub(super) entity: Entity,
}

impl Endpoint {
    /// The end that connects.
    pub(super) fn calling(
        origin: Origin,
        stream: StreamId,
        token: Token,
        limit: Timestamp,
        options: &TcpOptions,
    ) -> Self {
        let holder = Holder::Task(stream);
        let mut end = Self::new(origin, holder, Stage::Calling, options);
        end.token = Some(token);
        end.limit = Some(limit);
        end
    }

    /// The end that is connected to.
    pub(super) fn answering(
        origin: Origin,
        holder: Holder,
        call: &Segment,
        options: &TcpOptions,
    ) -> Self {
        let mut end = Self::new(origin, holder, Stage::Answering, options);
        end.sending
            .acknowledge(Timestamp::EPOCH, 0, call.edge, false);
        end
    }

    fn new(origin: Origin, holder: Holder, stage: Stage, options: &TcpOptions) -> Self {
        let segment_bytes_max = segment_bytes_max(&origin.peer);
        let buffer = |wanted: Option<u32>| wanted.map_or(BUFFER_BYTES, |bytes| bytes as usize);
        Self {
            name: origin.name,
            seat: origin.seat,
            local: origin.local,
            peer: origin.peer,
            peer_node: origin.peer_node,
            entity: origin.entity,
            holder,
            stage,
            sending: Sending::new(
                options.send_queue_max,
                buffer(options.send_buffer),
                options.nagle,
                segment_bytes_max,
            ),
            receiving: Receiving::new(buffer(options.receive_buffer), segment_bytes_max),
            reading: Reading::Flowing,
            read_end_told: false,
            token: None,
            error: None,
            error_of_writing: false,
            limit: None,
            linger: options.linger,
            keepalive: options.keepalive.map(in_whole_seconds),
            heard_at: Timestamp::EPOCH,
            probes: 0,
            call_due: true,
            probe_due: false,
            reset_due: false,
            held: Held::No,
            kept_back: KeptBack::No,
            armed: None,
        }
    }

    /// The id under which its worker knows it.
    pub(crate) const fn stream(&self) -> Option<StreamId> {
        match self.holder {
            Holder::Task(stream) | Holder::Closing(stream) => Some(stream),
            Holder::Listener { .. } | Holder::Nobody => None,
        }
    }

    /// Its name as long as it has no id.
    pub(super) const fn incoming(&self) -> IncomingId {
        IncomingId(self.name.conversation)
    }

    /// Whether a segment is from the address that this end talks to, for the one it has.
    pub(crate) fn hears(&self, segment: &Segment) -> bool {
        (segment.source, segment.target) == (self.peer, self.local)
    }

    /// The channel through which its deadlines come.
    pub(crate) fn channel(&self) -> Entity {
        const DEADLINES: u64 = 2;
        self.direction(self.name.side).part(DEADLINES)
    }

    /// What a side of the connection draws for.
    fn direction(&self, side: Side) -> Entity {
        self.entity.part(side as u64)
    }

    /// When it next wants to be looked at: [`Timestamp::EPOCH`] if at once.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        if self.news().is_some() || self.wants_to_send() {
            return Some(Timestamp::EPOCH);
        }
        let retry = self.sending.retry.at();
        let times = [self.limit, retry, self.keepalive_at()];
        times.into_iter().flatten().min()
    }

    /// Does what time asks for.
    pub(crate) fn handle_timeout(&mut self, tools: &mut Tools<'_>) {
        if self.limit.is_some_and(|limit| limit <= tools.now) {
            self.limit = None;
            if self.stage == Stage::Calling {
                return self.die(Some(NetworkError::TimedOut), tools);
            }
            tools.counters.streams_given_up += 1;
            return self.break_off(tools);
        }
        let gave_up = match self.stage {
            Stage::Calling | Stage::Answering => self.call_again(tools.now),
            Stage::Joined => self.sending.handle_timeout(tools.now).is_err(),
            Stage::Dead => false,
        };
        if gave_up {
            return self.die(Some(NetworkError::TimedOut), tools);
        }
        if let (Some(keepalive), Some(at)) = (self.keepalive, self.keepalive_at())
            && at <= tools.now
        {
            if self.probes >= keepalive.count {
                self.reset_due = true;
                return self.die(Some(NetworkError::TimedOut), tools);
            }
            self.probes += 1;
            self.probe_due = true;
        }
    }

    /// Takes a segment in.
    pub(crate) fn handle_segment(&mut self, segment: Segment, tools: &mut Tools<'_>) -> Reply {
        match (self.stage, segment.kind) {
            (_, Kind::TooBig) => {
                self.shrink_segments(usize::try_from(segment.position).unwrap_or(usize::MAX));
            }
            (Stage::Dead, Kind::Reset | Kind::Unreachable)
            // A connection that is there outlives such news (RFC 1122, 4.2.3.9).
            | (Stage::Answering | Stage::Joined, Kind::Unreachable)
            | (Stage::Calling, Kind::Bytes | Kind::Last | Kind::Probe | Kind::Call)
            | (Stage::Answering, Kind::Answer)
            | (Stage::Joined, Kind::Call) => {} // Old, or overtaken by others.
            (Stage::Dead, _) => return Reply::Reject,
            (Stage::Calling, Kind::Reset) => {
                self.die(Some(NetworkError::ConnectionRefused), tools);
            }
            (Stage::Calling, Kind::Unreachable) => {
                self.die(Some(NetworkError::HostUnreachable), tools);
            }
            // Both have everything, and the other has gone: it knows nothing of late copies.
            (Stage::Joined, Kind::Reset)
                if self.receiving.has_ended() && self.sending.is_acknowledged() => {}
            (Stage::Answering | Stage::Joined, Kind::Reset) => {
                self.die(Some(NetworkError::ConnectionReset), tools);
            }
            (Stage::Calling, Kind::Answer) => {
                self.limit = None;
                self.join(tools.now);
                self.hear(&segment, tools.now);
                self.receiving.owes = true;
            }
            (Stage::Answering, Kind::Call) => self.call_due = true,
            // What we have answered that with was lost.
            (Stage::Joined, Kind::Answer) => self.receiving.owes = true,
            (Stage::Answering, Kind::Bytes | Kind::Last | Kind::Probe) => {
                self.join(tools.now);
                return self.handle_bytes(segment, tools);
            }
            (Stage::Joined, Kind::Bytes | Kind::Last | Kind::Probe) => {
                return self.handle_bytes(segment, tools);
            }
        }
        Reply::Nothing
    }

    fn handle_bytes(&mut self, segment: Segment, tools: &mut Tools<'_>) -> Reply {
        self.hear(&segment, tools.now);
        let behind = segment.position + segment.payload.len() as u64;
        let is_new = !segment.payload.is_empty() && behind > self.receiving.expected();
        if self.holder == Holder::Nobody && is_new && !self.receiving.has_ended() {
            // Bytes for somebody who has closed (RFC 9293, 3.6.1; RFC 2525, 2.17).
            self.die(Some(NetworkError::ConnectionReset), tools);
            return Reply::Reject;
        }
        if segment.kind == Kind::Probe {
            self.receiving.owes = true;
        }
        let last = segment.kind == Kind::Last;
        self.receiving
            .take_in(segment.position, segment.payload, last);
        if matches!(self.holder, Holder::Closing(_) | Holder::Nobody) {
            self.discard_received(tools.counters);
        }
        Reply::Nothing
    }

    /// The peer lives, and says what it has and what it takes.
    fn hear(&mut self, segment: &Segment, now: Timestamp) {
        self.heard_at = now;
        self.probes = 0;
        let bare = segment.payload.is_empty() && segment.kind == Kind::Bytes;
        self.sending
            .acknowledge(now, segment.expected, segment.edge, bare);
    }

    fn join(&mut self, now: Timestamp) {
        self.stage = Stage::Joined;
        self.call_due = false;
        self.sending.retry.progress(0, now);
    }

    pub(crate) fn write(&mut self, data: Buffer, tools: &mut Tools<'_>) {
        let len = data.len();
        let counters = &mut tools.counters;
        counters.stream_bytes.written += len as u64;
        if self.stage == Stage::Dead {
            self.error_of_writing = true;
            counters.streams.bytes_refused += len as u64;
        } else if self.sending.write(data).is_err() {
            counters.streams.bytes_refused += len as u64;
        } else {
            counters.stream_bytes.waiting += len as u64;
        }
    }

    /// The way to the peer takes segments of so many bytes.
    pub(crate) fn shrink_segments(&mut self, bytes_max: usize) {
        if self.stage == Stage::Joined {
            self.sending.shrink_segments(bytes_max);
        }
    }

    pub(crate) fn end_write(&mut self) {
        self.sending.end();
    }

    pub(crate) const fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// Its task does not want it any more. What was written is still sent.
    pub(crate) fn close(&mut self, tools: &mut Tools<'_>) {
        let Holder::Task(stream) = self.holder else {
            return;
        };
        self.holder = Holder::Closing(stream);
        if self.stage == Stage::Calling {
            return self.die(None, tools);
        }
        if self.linger.is_zero() {
            return self.break_off(tools);
        }
        self.token = None;
        self.sending.end();
        self.limit = Some(tools.now.after(self.linger));
        self.discard_received(tools.counters);
    }

    /// Its worker is no more. What the system has taken is sent on; if something was received and
    /// not read, the peer is told that it was for nothing, as systems do (RFC 2525, 2.17).
    pub(crate) fn abandon(&mut self, tools: &mut Tools<'_>) {
        let closed = matches!(self.holder, Holder::Closing(_));
        self.holder = Holder::Nobody;
        self.token = None;
        if self.stage != Stage::Joined || (!closed && self.receiving.available() > 0) {
            return self.break_off(tools);
        }
        let unsent = self.sending.discard_queue() as u64;
        tools.counters.streams.bytes_unsent += unsent;
        tools.counters.stream_bytes.waiting -= unsent;
        self.sending.end();
        self.limit = None;
        self.discard_received(tools.counters);
    }

    /// Its node has crashed: it is to be forgotten, and says nothing more.
    pub(crate) fn vanish(&mut self, tools: &mut Tools<'_>) {
        self.die(None, tools);
        self.reset_due = false;
        self.discard_received(tools.counters);
    }

    /// The connection breaks, and both ends are told, as by a reset of the other.
    pub(crate) fn tear(&mut self, tools: &mut Tools<'_>) {
        self.die(Some(NetworkError::ConnectionReset), tools);
    }

    /// Breaks the connection off, and nobody is to be told on this side.
    pub(crate) fn reset(&mut self, tools: &mut Tools<'_>) {
        self.holder = Holder::Nobody;
        self.break_off(tools);
    }

    /// A worker has taken it in. Its listener's task is told of room in the same breath.
    pub(super) fn accept(&mut self, stream: StreamId) {
        self.holder = Holder::Task(stream);
    }

    fn break_off(&mut self, tools: &mut Tools<'_>) {
        self.reset_due = matches!(self.stage, Stage::Answering | Stage::Joined);
        self.die(None, tools);
    }

    /// No more is sent or received. What has arrived is still there for the task.
    fn die(&mut self, error: Option<NetworkError>, tools: &mut Tools<'_>) {
        if self.stage == Stage::Dead {
            return;
        }
        tools.counters.streams_given_up += u64::from(error == Some(NetworkError::TimedOut));
        self.stage = Stage::Dead;
        self.error = error;
        self.limit = None;
        let unsent = self.sending.discard();
        self.error_of_writing = unsent > 0;
        tools.counters.streams.bytes_unsent += unsent as u64;
        tools.counters.stream_bytes.waiting -= unsent as u64;
        self.receiving.discard_ahead();
    }

    fn discard_received(&mut self, counters: &mut Counters) {
        let bytes = self.receiving.discard() as u64;
        counters.stream_bytes.discarded += bytes;
        counters.stream_bytes.under_way -= bytes;
    }

    fn wants_to_send(&self) -> bool {
        self.reset_due
            || match self.stage {
                Stage::Calling | Stage::Answering => self.call_due,
                Stage::Joined => {
                    self.probe_due || self.receiving.owes || self.sending.wants_to_act()
                }
                Stage::Dead => false,
            }
    }

    /// The next segment to be sent now.
    pub(crate) fn poll_segment(&mut self, tools: &mut Tools<'_>) -> Option<Segment> {
        if core::mem::take(&mut self.reset_due) {
            return Some(self.segment(Kind::Reset));
        }
        match self.stage {
            Stage::Calling | Stage::Answering => {
                if !core::mem::take(&mut self.call_due) {
                    return None;
                }
                if self.sending.retry.attempts() == 0 {
                    self.sending.retry.time(0, tools.now);
                }
                self.sending.retry.start(tools.now);
                let calls = self.stage == Stage::Calling;
                Some(self.segment(if calls { Kind::Call } else { Kind::Answer }))
            }
            Stage::Joined => self.poll_joined(tools),
            Stage::Dead => None,
        }
    }

    fn poll_joined(&mut self, tools: &mut Tools<'_>) -> Option<Segment> {
        let taken = self.sending.fill() as u64;
        tools.counters.streams.bytes_out += taken;
        tools.counters.stream_bytes.waiting -= taken;
        tools.counters.stream_bytes.under_way += taken;
        let direction = self.direction(self.name.side);
        let piece = self
            .sending
            .poll(tools.now, tools.cut, direction, tools.pool);
        if let Some(piece) = piece {
            return Some(self.segment_of(piece));
        }
        self.sending.wait_for_room(tools.now);
        if core::mem::take(&mut self.probe_due) {
            return Some(self.segment(Kind::Probe));
        }
        self.receiving.owes.then(|| self.segment(Kind::Bytes))
    }

    fn segment(&mut self, kind: Kind) -> Segment {
        self.segment_of(Piece {
            kind,
            position: 0,
            payload: Buffer::empty(),
        })
    }

    /// A segment with this, and what this end has received.
    fn segment_of(&mut self, piece: Piece) -> Segment {
        Segment {
            to: self.name.other(),
            from_node: self.seat.node,
            to_node: self.peer_node,
            source: self.local,
            target: self.peer,
            kind: piece.kind,
            position: piece.position,
            expected: self.receiving.expected(),
            edge: self.receiving.tell_edge(),
            payload: piece.payload,
            hop_limit: HOP_LIMIT,
            entrance: Entrance::Outside,
        }
    }

    /// Has SYN, or SYN and ACK, sent again. Says whether that was done often enough.
    fn call_again(&mut self, now: Timestamp) -> bool {
        let attempts_max = if self.stage == Stage::Calling {
            CALLS_MAX
        } else {
            ANSWERS_MAX
        };
        if self.sending.retry.is_due(now) {
            if self.sending.retry.attempts() >= attempts_max {
                return true;
            }
            self.sending.retry.again(now);
            self.call_due = true;
        }
        false
    }

    /// When the peer is to be asked for a sign of life. What is under way asks by itself.
    fn keepalive_at(&self) -> Option<Timestamp> {
        let keepalive = self.keepalive?;
        let applies =
            self.stage == Stage::Joined && self.holder != Holder::Nobody && self.sending.is_idle();
        let after = keepalive.interval.saturating_mul(self.probes);
        applies.then(|| self.heard_at.after(after.saturating_add(keepalive.idle)))
    }

    /// Whether it has nothing more to do once the peer has not either.
    pub(super) fn is_done(&self) -> bool {
        self.holder == Holder::Nobody && !self.reset_due && self.sending.is_acknowledged()
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.holder == Holder::Nobody && !self.reset_due && self.stage == Stage::Dead
    }
}

/// Keepalive as systems have it: whole seconds, at least one, and asked at least once.
fn in_whole_seconds(keepalive: Keepalive) -> Keepalive {
    let whole = |time: Duration| {
        let seconds = time
            .as_secs()
            .saturating_add(u64::from(time.subsec_nanos() > 0));
        Duration::from_secs(seconds.max(1))
    };
    let (idle, interval) = (whole(keepalive.idle), whole(keepalive.interval));
    Keepalive::new(idle, interval, keepalive.count.max(1))
}

/// The system's buffers, if nothing else is asked for.
const BUFFER_BYTES: usize = 65_536;

/// Times that SYN is sent again: a connection is not made in 127 seconds at most. As in Linux
/// (`tcp_syn_retries`).
const CALLS_MAX: u32 = 6;

/// Times that SYN and ACK are sent again. As in Linux (`tcp_synack_retries`).
const ANSWERS_MAX: u32 = 5;
