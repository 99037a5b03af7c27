//! A QUIC endpoint and its connections, between a task and quinn-proto.
//!
//! Inputs go in (datagrams, a timeout, what a task does to streams), and what comes of them is taken
//! out until there is none: [`Host::poll_event`] and [`Host::poll_transmit`]. Connections with
//! something to send take turns, each with a run of datagrams at a time. Deadlines are in one
//! ordered set, so many idle connections cost nothing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint,
    EndpointConfig, Event, Incoming, ServerConfig, VarInt,
};
use stillpoint::{
    Buffer, DatagramRun, Deadline, Ecn, SocketId, Timestamp, Transmit, TransmitBuffer,
};

use core::net::SocketAddr;

use super::clock::Epoch;

/// The endpoint.
pub struct Host {
    epoch: Epoch,
    endpoint: Endpoint,
    connections: BTreeMap<usize, Live>,
    connections_max: usize,
    /// When connections want a timeout.
    due: BTreeSet<(Instant, usize)>,
    /// Connections that may have something to send, each once.
    ready: VecDeque<usize>,
    /// What the endpoint answers to datagrams that belong to no connection.
    answers: VecDeque<(quinn_proto::Transmit, Vec<u8>)>,
    events: VecDeque<(usize, HostEvent)>,
    /// Transmits that are to be of one datagram: a run was refused a moment ago.
    singles: u32,
    /// Where a run is put together.
    scratch: Vec<u8>,
    counters: HostCounters,
}

struct Live {
    connection: Connection,
    deadline: Option<Instant>,
    is_ready: bool,
    /// Where the peer was last.
    peer: SocketAddr,
}

/// What happened to a connection.
pub enum HostEvent {
    /// It was taken in.
    Accepted { peer: SocketAddr },
    /// What quinn-proto says.
    Quic(Event),
    /// The peer is at another address now.
    Moved { from: SocketAddr, to: SocketAddr },
    /// Nothing is left of it. Its number may be given to another.
    Gone,
}

/// What an endpoint did besides its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostCounters {
    /// Connections refused for want of room.
    pub refused: u64,
    /// Connections that were given up before they were taken in.
    pub failed: u64,
    /// Answers to strangers that were dropped, since too many waited.
    pub unanswered: u64,
    /// Runs of datagrams sent, and how many datagrams were in them.
    pub runs: u64,
    pub datagrams: u64,
}

impl Host {
    /// An endpoint that takes in so many connections at a time.
    pub fn server(
        epoch: Epoch,
        endpoint: Arc<EndpointConfig>,
        server: Arc<ServerConfig>,
        connections_max: usize,
    ) -> Self {
        Self::new(epoch, endpoint, Some(server), connections_max)
    }

    /// An endpoint that takes in none.
    pub fn client(epoch: Epoch, endpoint: Arc<EndpointConfig>) -> Self {
        Self::new(epoch, endpoint, None, 0)
    }

    fn new(
        epoch: Epoch,
        endpoint: Arc<EndpointConfig>,
        server: Option<Arc<ServerConfig>>,
        connections_max: usize,
    ) -> Self {
        Self {
            epoch,
            // Sockets do not forbid fragments, so there is no path MTU to be found.
            endpoint: Endpoint::new(endpoint, server, false, None),
            connections: BTreeMap::new(),
            connections_max,
            due: BTreeSet::new(),
            ready: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            singles: 0,
            scratch: Vec::new(),
            counters: HostCounters::default(),
        }
    }

    /// Begins a connection, and gives its number.
    pub fn connect(
        &mut self,
        now: Timestamp,
        config: ClientConfig,
        server: SocketAddr,
        name: &str,
    ) -> Result<usize, String> {
        let now = self.epoch.instant(now);
        let connected = self.endpoint.connect(now, config, server, name);
        let (handle, connection) = connected.map_err(|error| error.to_string())?;
        self.add(handle, connection);
        Ok(handle.0)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Their numbers.
    pub fn numbers(&self) -> Vec<usize> {
        self.connections.keys().copied().collect()
    }

    pub const fn counters(&self) -> HostCounters {
        self.counters
    }

    /// Does something to a connection, and takes out what comes of it. `None` if it is no more.
    pub fn with<R>(&mut self, number: usize, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let live = self.connections.get_mut(&number)?;
        let acted = act(&mut live.connection);
        self.settle(number);
        Some(acted)
    }

    /// Closes all connections, with this code and reason for their peers.
    pub fn close_all(&mut self, now: Timestamp, code: u32, reason: &'static str) {
        let now = self.epoch.instant(now);
        for number in self.numbers() {
            let reason = Bytes::from_static(reason.as_bytes());
            self.with(number, |connection| {
                connection.close(now, VarInt::from_u32(code), reason);
            });
        }
    }

    /// Datagrams came.
    pub fn handle_datagrams(&mut self, now: Timestamp, run: &DatagramRun) {
        let now = self.epoch.instant(now);
        let ecn = EcnCodepoint::from_bits(run.ecn as u8);
        for datagram in run.iter() {
            let mut answer = Vec::new();
            let data = BytesMut::from(datagram);
            let event = self
                .endpoint
                .handle(now, run.peer, run.local, ecn, data, &mut answer);
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    self.with(handle.0, |connection| connection.handle_event(event));
                }
                Some(DatagramEvent::NewConnection(incoming)) => self.take_in(now, incoming),
                Some(DatagramEvent::Response(transmit)) => self.answer(transmit, answer),
                None => {}
            }
        }
    }

    /// So many datagrams were not sent. To QUIC they are lost as they would be on the way; but a device
    /// that takes no runs would lose them all, so single ones go out for a while.
    pub const fn handle_send_failed(&mut self, datagrams: u32) {
        if datagrams > 1 {
            self.singles = SINGLES;
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.epoch.instant(now);
        while let Some(&(at, number)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if let Some(live) = self.connections.get_mut(&number) {
                live.deadline = None;
                live.connection.handle_timeout(now);
                self.settle(number);
            }
        }
    }

    /// The next thing that happened, if anything did.
    pub fn poll_event(&mut self) -> Option<(usize, HostEvent)> {
        self.events.pop_front()
    }

    /// The next run of datagrams to send, if there is one. Events may be there when there is none.
    pub fn poll_transmit(
        &mut self,
        now: Timestamp,
        socket: SocketId,
        room: &mut TransmitBuffer<'_>,
    ) -> Option<Transmit> {
        if let Some((transmit, payload)) = self.answers.pop_front() {
            return Some(self.output(socket, &transmit, &payload, room));
        }
        let instant = self.epoch.instant(now);
        while let Some(&number) = self.ready.front() {
            let Some(live) = self.connections.get_mut(&number) else {
                self.ready.pop_front();
                continue;
            };
            let mut scratch = core::mem::take(&mut self.scratch);
            scratch.clear();
            let run_max = if self.singles == 0 {
                RUN_DATAGRAMS_MAX
            } else {
                1
            };
            let polled = live
                .connection
                .poll_transmit(instant, run_max, &mut scratch);
            let output = polled.map(|transmit| self.output(socket, &transmit, &scratch, room));
            self.scratch = scratch;
            if output.is_some() {
                self.singles = self.singles.saturating_sub(1);
                self.ready.rotate_left(1);
                return output;
            }
            self.ready.pop_front();
            self.rest(instant, number);
        }
        None
    }

    /// When the next connection wants a timeout.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let &(at, _) = self.due.first()?;
        Some(Deadline::new(self.epoch.timestamp(at), "quic"))
    }

    fn take_in(&mut self, now: Instant, incoming: Incoming) {
        let mut answer = Vec::new();
        if self.connections.len() >= self.connections_max {
            self.counters.refused += 1;
            let transmit = self.endpoint.refuse(incoming, &mut answer);
            return self.answer(transmit, answer);
        }
        let peer = incoming.remote_address();
        match self.endpoint.accept(incoming, now, &mut answer, None) {
            Ok((handle, connection)) => {
                self.events
                    .push_back((handle.0, HostEvent::Accepted { peer }));
                self.add(handle, connection);
            }
            Err(error) => {
                self.counters.failed += 1;
                if let Some(transmit) = error.response {
                    self.answer(transmit, answer);
                }
            }
        }
    }

    fn add(&mut self, handle: ConnectionHandle, connection: Connection) {
        let live = Live {
            peer: connection.remote_address(),
            connection,
            deadline: None,
            is_ready: false,
        };
        self.connections.insert(handle.0, live);
        self.settle(handle.0);
    }

    fn answer(&mut self, transmit: quinn_proto::Transmit, payload: Vec<u8>) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back((transmit, payload));
        } else {
            self.counters.unanswered += 1; // It is a datagram: they may ask again.
        }
    }

    /// Something was done to a connection: takes events out, and has it be asked for datagrams.
    fn settle(&mut self, number: usize) {
        self.gather(number);
        if let Some(live) = self.connections.get_mut(&number)
            && !live.is_ready
        {
            live.is_ready = true;
            self.ready.push_back(number);
        }
    }

    /// A connection has nothing more to send: its deadline is known now.
    fn rest(&mut self, now: Instant, number: usize) {
        self.gather(number);
        let Some(live) = self.connections.get_mut(&number) else {
            return;
        };
        live.is_ready = false;
        if let Some(before) = live.deadline {
            self.due.remove(&(before, number));
        }
        // What is due already is due next: a task is not asked twice at one moment.
        let soonest = now + SOON;
        live.deadline = live.connection.poll_timeout().map(|at| at.max(soonest));
        if let Some(at) = live.deadline {
            self.due.insert((at, number));
        }
        if live.connection.is_drained() {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: usize) {
        if let Some(live) = self.connections.remove(&number) {
            if let Some(at) = live.deadline {
                self.due.remove(&(at, number));
            }
            self.events.push_back((number, HostEvent::Gone));
        }
    }

    /// Carries events between a connection and its endpoint, and to the task.
    fn gather(&mut self, number: usize) {
        let Some(live) = self.connections.get_mut(&number) else {
            return;
        };
        while let Some(event) = live.connection.poll_endpoint_events() {
            let handle = ConnectionHandle(number);
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                live.connection.handle_event(event);
            }
        }
        let peer = live.connection.remote_address();
        if peer != live.peer {
            let from = core::mem::replace(&mut live.peer, peer);
            let moved = HostEvent::Moved { from, to: peer };
            self.events.push_back((number, moved));
        }
        while let Some(event) = live.connection.poll() {
            self.events.push_back((number, HostEvent::Quic(event)));
        }
    }

    fn output(
        &mut self,
        socket: SocketId,
        transmit: &quinn_proto::Transmit,
        payload: &[u8],
        room: &mut TransmitBuffer<'_>,
    ) -> Transmit {
        let payload = &payload[..transmit.size];
        let segment_size = transmit.segment_size.unwrap_or(0);
        self.counters.runs += 1;
        self.counters.datagrams += stillpoint::segment_count(payload.len(), segment_size) as u64;
        let payload = room
            .write(payload)
            .unwrap_or_else(|_| Buffer::copy_from(payload).into());
        let output = Transmit::new(socket, transmit.destination, payload)
            .with_segment_size(segment_size)
            .with_ecn(ecn(transmit.ecn));
        match transmit.src_ip {
            Some(source) => output.from_source(source),
            None => output,
        }
    }
}

const fn ecn(code: Option<EcnCodepoint>) -> Ecn {
    match code {
        None => Ecn::NotCapable,
        Some(EcnCodepoint::Ect0) => Ecn::Capable0,
        Some(EcnCodepoint::Ect1) => Ecn::Capable1,
        Some(EcnCodepoint::Ce) => Ecn::CongestionExperienced,
    }
}

/// Datagrams that a connection may send in one go.
const RUN_DATAGRAMS_MAX: usize = 10;

/// How long a task that ends waits for its connections to drain: that is three probe timeouts, which
/// are long if a round trip ever seemed to be (RFC 9000, 10.2).
pub const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Single datagrams that are sent once a run was refused, before the next run is tried.
const SINGLES: u32 = 256;

/// Answers to strangers that may wait.
const ANSWERS_MAX: usize = 64;

/// The shortest wait for a timeout.
const SOON: Duration = Duration::from_nanos(1);
