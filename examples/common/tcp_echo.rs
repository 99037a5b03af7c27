//! A TCP echo server and a client that loads it, as tasks.
//!
//! A message has no header: what its bytes are follows from its number, so whoever gets them back
//! knows what to compare them with. The client keeps a window of messages in flight.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stillpoint::{
    App, Buffer, BufferPool, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, Reading,
    Spawned, Spawner, StreamId, StreamWriter, Task, TcpConnect, TcpListen, Timestamp, Token,
    TransmitBuffer,
};

use super::metrics::Metrics;
use super::stats::TcpClientStats;

/// The application: echo servers and their clients.
#[derive(Debug)]
pub struct TcpEcho;

impl App for TcpEcho {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

/// What there is to make.
#[derive(Debug, Clone)]
pub enum Spawn {
    /// A server that listens so.
    Server(TcpListen),
    /// A client.
    Client(ClientConfig),
    /// A server of metrics.
    Metrics(Metrics),
}

/// What tasks tell their controller.
#[derive(Debug)]
pub enum Report {
    /// A server is there.
    Listening(SocketAddr),
    /// A listener could not be opened.
    ListenFailed {
        bind: SocketAddr,
        error: NetworkError,
    },
    /// A server was stopped.
    Stopped(ServerStats),
    /// A connection could not be made. The client says [`Report::Done`] too.
    ConnectFailed {
        peer: SocketAddr,
        error: NetworkError,
    },
    /// A client is done.
    Done(Box<TcpClientStats>),
    /// Where the metrics are.
    Metrics(Result<SocketAddr, NetworkError>),
}

/// What a server knows beyond its worker's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerStats {
    /// Connections open at the end.
    pub open: u64,
    /// The most that were open at a time.
    pub open_most: u64,
    /// Connections that their peers broke off.
    pub resets: u64,
}

/// The one `match` that an application owes its workers.
pub fn spawn(spawn: Spawn, spawner: Spawner<'_, TcpEcho>) -> Spawned {
    match spawn {
        Spawn::Server(listen) => spawner.insert(Server::new(listen)),
        Spawn::Client(config) => match Client::new(config) {
            Ok(client) => spawner.insert(client),
            Err(reason) => spawner.refuse(reason),
        },
        Spawn::Metrics(metrics) => spawner.insert(metrics.server::<TcpEcho>(Report::Metrics)),
    }
}

/// Sends everything back on the connection it came by. Reads no faster than that goes.
pub struct Server {
    listen: TcpListen,
    connections: BTreeMap<StreamId, StreamWriter>,
    stats: ServerStats,
    outbox: Outbox<TcpEcho>,
}

impl Server {
    const fn new(listen: TcpListen) -> Self {
        Self {
            listen,
            connections: BTreeMap::new(),
            stats: ServerStats {
                open: 0,
                open_most: 0,
                resets: 0,
            },
            outbox: Outbox::new(),
        }
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn handle_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Received { stream, data } => self.received(stream, data),
            NetworkEvent::Writable { stream, room } => self.writable(stream, room),
            NetworkEvent::Accepted { stream, room, .. } => {
                self.connections
                    .insert(stream, StreamWriter::new(stream, room));
                self.stats.open_most = self.stats.open_most.max(self.connections.len() as u64);
            }
            NetworkEvent::ReadEnded { stream } => {
                if let Some(writer) = self.connections.get_mut(&stream) {
                    writer.end(&mut self.outbox);
                }
            }
            NetworkEvent::StreamClosed { stream, error, .. } => {
                self.connections.remove(&stream);
                if error == Some(NetworkError::ConnectionReset) {
                    self.stats.resets += 1;
                }
            }
            NetworkEvent::Listening { local, .. } => self.outbox.report(Report::Listening(local)),
            NetworkEvent::ListenFailed { bind, error, .. } => {
                self.outbox.report(Report::ListenFailed { bind, error });
                self.outbox.finish();
            }
            // A connection that could not be taken in waits, and is counted.
            _ => {}
        }
    }

    fn received(&mut self, stream: StreamId, data: Buffer) {
        if let Some(writer) = self.connections.get_mut(&stream) {
            writer.write(data, &mut self.outbox);
            if writer.waiting() > 0 {
                self.outbox.set_reading(stream, Reading::Paused);
            }
        }
    }

    fn writable(&mut self, stream: StreamId, room: usize) {
        if let Some(writer) = self.connections.get_mut(&stream) {
            let waited = writer.waiting() > 0;
            writer.handle_writable(room, &mut self.outbox);
            if waited && writer.waiting() == 0 {
                self.outbox.set_reading(stream, Reading::Flowing);
            }
        }
    }
}

impl Task for Server {
    type App = TcpEcho;

    fn handle_input(&mut self, _now: Timestamp, input: Input<TcpEcho>) {
        match input {
            Input::Network(event) => self.handle_event(event),
            Input::Started(_) => self.outbox.listen(self.listen),
            Input::Shutdown => {
                self.stats.open = self.connections.len() as u64;
                self.outbox.report(Report::Stopped(self.stats));
                self.outbox.finish();
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<TcpEcho>> {
        self.outbox.pop()
    }
}

/// How a client loads a server.
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig {
    pub server: SocketAddr,
    /// Messages in flight at a time.
    pub window: usize,
    /// Bytes of each message.
    pub message_bytes: usize,
    /// When to stop.
    pub load: Load,
}

/// How much a client sends.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// For so long.
    For(Duration),
    /// So many messages.
    Messages(u64),
}

/// One connection: keeps a window of messages in flight, and compares what comes back.
pub struct Client {
    config: ClientConfig,
    state: State,
    buffers: Option<BufferPool>,
    /// When each message in flight was sent, oldest first.
    in_flight: VecDeque<Timestamp>,
    /// The oldest message in flight, as it has to come back.
    expected: Vec<u8>,
    /// How much of it has come back.
    expected_from: usize,
    matches: Matches,
    /// When something was last heard of the server.
    heard_at: Timestamp,
    stats: Box<TcpClientStats>,
    outbox: Outbox<TcpEcho>,
}

enum State {
    Connecting,
    /// More messages go out, until this time if one is set.
    Running(StreamWriter, Option<Timestamp>),
    /// No more messages go out; the last answers still come.
    Waiting(StreamWriter),
    /// All was answered, and our direction is ended.
    Ending(StreamId),
    Done,
}

/// Whether what came back of a message so far is what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matches {
    Yes,
    No,
}

impl Client {
    fn new(config: ClientConfig) -> Result<Self, String> {
        if config.message_bytes == 0 || config.window == 0 {
            return Err(format!(
                "messages of {} bytes, {} in flight; both have to be 1 or more",
                config.message_bytes, config.window
            ));
        }
        let mut expected = vec![0; config.message_bytes];
        fill(0, &mut expected);
        Ok(Self {
            config,
            state: State::Connecting,
            buffers: None,
            in_flight: VecDeque::new(),
            expected,
            expected_from: 0,
            matches: Matches::Yes,
            heard_at: Timestamp::EPOCH,
            stats: Box::default(),
            outbox: Outbox::new(),
        })
    }

    /// Messages that wait for their answer.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What it has counted so far.
    pub fn stats(&self) -> &TcpClientStats {
        &self.stats
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        self.heard_at = now;
        match event {
            NetworkEvent::Received { data, .. } => {
                self.compare(now, &data);
                self.go_on(now);
            }
            NetworkEvent::Writable { room, .. } => {
                if let State::Running(writer, _) | State::Waiting(writer) = &mut self.state {
                    writer.handle_writable(room, &mut self.outbox);
                }
                self.go_on(now);
            }
            NetworkEvent::Connected { stream, room, .. } => {
                self.stats.connected += 1;
                self.stats.round_trips.started_sending(now);
                let until = match self.config.load {
                    Load::For(duration) => Some(now.after(duration)),
                    Load::Messages(_) => None,
                };
                self.state = State::Running(StreamWriter::new(stream, room), until);
                self.go_on(now);
            }
            NetworkEvent::ConnectFailed { peer, error, .. } => {
                self.stats.connect_failed += 1;
                self.outbox.report(Report::ConnectFailed { peer, error });
                self.done();
            }
            NetworkEvent::ReadEnded { stream } if !matches!(self.state, State::Ending(_)) => {
                self.break_off(now, stream);
            }
            NetworkEvent::StreamClosed { error, .. } => {
                if !matches!(self.state, State::Ending(_)) || error.is_some() {
                    self.stats.broken += 1;
                }
                self.stats.round_trips.finished_sending(now);
                self.done();
            }
            _ => {}
        }
    }

    /// Compares bytes that came back with those that have to.
    fn compare(&mut self, now: Timestamp, mut data: &[u8]) {
        self.stats.received_bytes += data.len() as u64;
        while !data.is_empty() {
            let Some(&sent_at) = self.in_flight.front() else {
                self.stats.unexpected_bytes += data.len() as u64;
                return;
            };
            let expected = &self.expected[self.expected_from..];
            let (part, rest) = data.split_at(expected.len().min(data.len()));
            if part != &expected[..part.len()] {
                self.matches = Matches::No;
            }
            self.expected_from += part.len();
            data = rest;
            if self.expected_from == self.expected.len() {
                self.in_flight.pop_front();
                self.answered(now.since(sent_at));
            }
        }
    }

    /// The oldest message in flight has come back, one way or another.
    fn answered(&mut self, round_trip: Duration) {
        self.stats.round_trips.record(round_trip);
        if core::mem::replace(&mut self.matches, Matches::Yes) == Matches::No {
            self.stats.mismatched += 1;
        }
        self.expected_from = 0;
        fill(self.stats.round_trips.count, &mut self.expected);
    }

    /// Fills the window, or ends.
    fn go_on(&mut self, now: Timestamp) {
        if let State::Running(writer, until) = &mut self.state {
            let messages_max = match self.config.load {
                Load::For(_) => u64::MAX,
                Load::Messages(count) => count,
            };
            let mut over = until.is_some_and(|until| until <= now);
            // A message that does not fit is the last until there is room again.
            while !over && self.in_flight.len() < self.config.window && writer.waiting() == 0 {
                over = self.stats.sent == messages_max;
                if !over {
                    let data = message(
                        self.buffers.as_ref(),
                        self.stats.sent,
                        self.config.message_bytes,
                    );
                    writer.write(data, &mut self.outbox);
                    self.stats.sent += 1;
                    self.in_flight.push_back(now);
                }
            }
            if over {
                self.stop_sending(now);
            }
        }
        if let State::Waiting(writer) = &mut self.state
            && self.in_flight.is_empty()
        {
            writer.end(&mut self.outbox);
            self.state = State::Ending(writer.stream());
        }
    }

    fn stop_sending(&mut self, now: Timestamp) {
        self.stats.round_trips.finished_sending(now);
        self.state = match core::mem::replace(&mut self.state, State::Done) {
            State::Running(writer, _) => State::Waiting(writer),
            state => state,
        };
    }

    fn break_off(&mut self, now: Timestamp, stream: StreamId) {
        self.stats.round_trips.finished_sending(now);
        self.stats.broken += 1;
        self.outbox.reset(stream);
        self.done();
    }

    fn done(&mut self) {
        self.state = State::Done;
        self.stats.unanswered += self.in_flight.len() as u64;
        self.in_flight.clear();
        self.outbox
            .report(Report::Done(core::mem::take(&mut self.stats)));
        self.outbox.finish();
    }

    fn stream(&self) -> Option<StreamId> {
        match &self.state {
            State::Running(writer, _) | State::Waiting(writer) => Some(writer.stream()),
            State::Ending(stream) => Some(*stream),
            State::Connecting | State::Done => None,
        }
    }

    /// When the server has been silent for too long.
    fn silent_at(&self) -> Option<Timestamp> {
        self.stream().map(|_| self.heard_at.after(SILENCE_MAX))
    }
}

impl Task for Client {
    type App = TcpEcho;

    fn handle_input(&mut self, now: Timestamp, input: Input<TcpEcho>) {
        match input {
            Input::Network(event) => self.handle_event(now, event),
            Input::Started(context) => {
                self.buffers = Some(context.buffers);
                self.outbox
                    .connect(TcpConnect::new(Token(0), self.config.server));
            }
            Input::Timeout => {
                if let Some(stream) = self.stream()
                    && self.silent_at().is_some_and(|at| at <= now)
                {
                    return self.break_off(now, stream);
                }
                self.go_on(now);
            }
            Input::Shutdown => match self.state {
                State::Connecting => self.done(),
                _ => {
                    self.stop_sending(now);
                    self.go_on(now);
                }
            },
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<TcpEcho>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let silent = self
            .silent_at()
            .map(|at| Deadline::new(at, "silent server"));
        let end = match self.state {
            State::Running(_, Some(until)) => Some(Deadline::new(until, "end of load")),
            _ => None,
        };
        silent
            .into_iter()
            .chain(end)
            .min_by_key(|deadline| deadline.at)
    }
}

/// One message.
fn message(buffers: Option<&BufferPool>, number: u64, len: usize) -> Buffer {
    let mut data = buffers.map_or_else(Buffer::empty, |buffers| buffers.take(len));
    fill(number, &mut data.unfilled()[..len]);
    data.commit(len);
    data
}

/// The bytes of a message.
fn fill(number: u64, bytes: &mut [u8]) {
    for (index, chunk) in (0..).zip(bytes.chunks_mut(8)) {
        let word = number.rotate_left(32).wrapping_add(index).wrapping_mul(ODD);
        chunk.copy_from_slice(&word.to_be_bytes()[..chunk.len()]);
    }
}

/// Spreads the bits of small numbers over a word.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// How long a server may keep silent while it owes an answer.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
