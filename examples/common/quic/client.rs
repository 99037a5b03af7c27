//! The client: fetches bytes over several streams of several connections, and hashes them.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quinn_proto::{ClientConfig, Connection, ConnectionError, Dir, Event, StreamEvent, StreamId};
use rustls::crypto::ring::default_provider;
use stillpoint::{
    Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Task, Timestamp, Token,
    TransmitBuffer, UdpOpen,
};

use super::clock::{Epoch, Today};
use super::config::{self, Certificate, Limits};
use super::fetch::Fetches;
use super::host::{DRAIN_MAX, Host, HostCounters, HostEvent};
use super::{Command, Quic, Report, request};

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct ClientSetup {
    pub bind: SocketAddr,
    pub server: SocketAddr,
    /// The name that the server has to prove.
    pub server_name: String,
    /// The certificate that is trusted to do so.
    pub trusted: Certificate,
    pub epoch: Epoch,
    pub limits: Limits,
    pub connections: u16,
    /// Streams of each connection.
    pub streams: u16,
    /// Bytes that each stream asks for.
    pub bytes: u64,
    /// How often a connection that is lost is made anew, with what it was to fetch.
    pub attempts_max: u32,
    pub when_done: WhenDone,
}

/// What a client does once it has all that it was to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDone {
    /// It closes its connections and finishes.
    Finish,
    /// It keeps them, and waits for commands.
    Wait,
}

/// Something was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    pub connection: usize,
    /// The stream's number within its connection.
    pub stream: u64,
    pub bytes: u64,
    /// XXH3 of all bytes, 128 bits.
    pub hash: u128,
    /// From the request to the last byte.
    pub took: Duration,
}

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    pub fetched: u64,
    pub failed: u64,
    pub bytes: u64,
    /// Connections that were lost.
    pub lost: u64,
    pub host: HostCounters,
}

pub struct Client {
    setup: ClientSetup,
    today: Arc<Today>,
    host: Option<Host>,
    config: Option<ClientConfig>,
    socket: Option<SocketId>,
    /// How many sockets were asked for: the last is the one to use.
    sockets: u64,
    /// Where to go on from once connections may move.
    rebind: Option<SocketAddr>,
    /// Connections that are to be made anew, in the order of their times.
    lost: VecDeque<Attempt>,
    connections: BTreeMap<usize, Fetches>,
    /// Fetches that are neither whole nor failed.
    unfinished: u64,
    summary: Summary,
    state: State,
    outbox: Outbox<Quic>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Fetching,
    /// It waits for its connections to drain, but not for longer.
    Closing {
        until: Timestamp,
    },
    Over,
}

/// A connection that is to be made.
struct Attempt {
    at: Timestamp,
    fetches: Fetches,
}

impl Client {
    pub fn new(setup: ClientSetup) -> Self {
        Self {
            today: Today::new(setup.epoch),
            setup,
            host: None,
            config: None,
            socket: None,
            sockets: 0,
            rebind: None,
            lost: VecDeque::new(),
            connections: BTreeMap::new(),
            unfinished: 0,
            summary: Summary::default(),
            state: State::Opening,
            outbox: Outbox::new(),
        }
    }

    fn start(&mut self) {
        let provider = default_provider();
        let ClientSetup {
            trusted, limits, ..
        } = &self.setup;
        let config = config::client(&provider, &self.today, trusted.clone(), limits);
        let made = config.and_then(|config| Ok((config, config::endpoint(&provider)?)));
        match made {
            Ok((config, endpoint)) => {
                self.config = Some(config);
                self.host = Some(Host::client(self.setup.epoch, endpoint));
                self.open(self.setup.bind);
            }
            Err(error) => self.give_up(error),
        }
    }

    fn give_up(&mut self, error: String) {
        self.state = State::Over;
        self.outbox.report(Report::SetupFailed(error));
        self.outbox.finish();
    }

    fn open(&mut self, bind: SocketAddr) {
        self.sockets += 1;
        let open = UdpOpen::new(Token(self.sockets), bind);
        self.outbox
            .open_udp(open.with_buffers(SOCKET_BYTES, SOCKET_BYTES));
    }

    /// A socket is there: the first, or one to go on from.
    fn opened(&mut self, now: Timestamp, socket: SocketId, token: Token, local: SocketAddr) {
        if token != Token(self.sockets) {
            return self.outbox.push(Output::Close(socket.into())); // Another was asked for since.
        }
        match self.socket.replace(socket) {
            Some(before) => {
                self.outbox.push(Output::Close(before.into()));
                self.outbox.report(Report::Rebound(local));
                if let Some(host) = &mut self.host {
                    for number in host.numbers() {
                        host.with(number, Connection::local_address_changed);
                    }
                }
            }
            None => self.connect_all(now),
        }
    }

    fn connect_all(&mut self, now: Timestamp) {
        self.state = State::Fetching;
        let ClientSetup {
            connections,
            streams,
            bytes,
            attempts_max,
            ..
        } = self.setup;
        for _ in 0..connections {
            self.unfinished += u64::from(streams);
            self.connect(now, Fetches::new(streams, bytes, attempts_max));
        }
    }

    fn connect(&mut self, now: Timestamp, fetches: Fetches) {
        let (Some(host), Some(config)) = (&mut self.host, &self.config) else {
            return;
        };
        let ClientSetup {
            server,
            server_name,
            ..
        } = &self.setup;
        match host.connect(now, config.clone(), *server, server_name) {
            Ok(number) => {
                self.connections.insert(number, fetches);
            }
            Err(error) => self.give_up(error),
        }
    }

    /// Makes connections anew whose time has come.
    fn connect_again(&mut self, now: Timestamp) {
        while let Some(attempt) = self.lost.pop_front_if(|attempt| attempt.at <= now) {
            self.connect(now, attempt.fetches);
        }
    }

    /// Goes on from another socket, if that was asked for, and no connection is still being made: a
    /// client must not move before its handshake is confirmed (RFC 9000, 9).
    fn move_on(&mut self) {
        if self.rebind.is_none() {
            return;
        }
        let Some(host) = &mut self.host else {
            return;
        };
        let numbers = self.connections.keys();
        let confirmed = numbers.copied().all(|number| {
            let stats = host.with(number, |connection| connection.stats());
            stats.is_none_or(|stats| stats.frame_rx.handshake_done > 0)
        });
        if confirmed && let Some(bind) = self.rebind.take() {
            self.open(bind);
        }
    }

    fn command(&mut self, now: Timestamp, command: Command) {
        match command {
            Command::Fetch(bytes) => {
                for number in self.connections.keys().copied().collect::<Vec<_>>() {
                    if let Some(fetches) = self.connections.get_mut(&number) {
                        fetches.push(bytes);
                        self.unfinished += 1;
                    }
                    self.ask(now, number);
                }
            }
            Command::Rebind(bind) => self.rebind = Some(bind),
            Command::Stop => self.close(now),
        }
    }

    fn close(&mut self, now: Timestamp) {
        if matches!(self.state, State::Closing { .. } | State::Over) {
            return;
        }
        self.state = State::Closing {
            until: now.after(DRAIN_MAX),
        };
        self.fail(self.unfinished);
        self.connections.clear();
        self.lost.clear();
        if let Some(host) = &mut self.host {
            host.close_all(now, request::DONE, "done");
        }
    }

    /// Sees to all that has happened.
    fn attend(&mut self, now: Timestamp) {
        while let Some((number, event)) = self.host.as_mut().and_then(Host::poll_event) {
            self.happened(now, number, event);
        }
        self.move_on();
        let is_done = self.state == State::Fetching && self.unfinished == 0;
        if is_done && self.setup.when_done == WhenDone::Finish {
            self.close(now);
        }
        let is_idle = self
            .host
            .as_ref()
            .is_none_or(|host| host.connections() == 0);
        if let State::Closing { until } = self.state
            && (is_idle || until <= now)
        {
            self.state = State::Over;
            if let Some(host) = &self.host {
                self.summary.host = host.counters();
            }
            self.outbox.report(Report::Done(self.summary));
            self.outbox.finish();
        }
    }

    fn happened(&mut self, now: Timestamp, number: usize, event: HostEvent) {
        match event {
            HostEvent::Quic(Event::Connected) => {
                if let Some(fetches) = self.connections.get_mut(&number) {
                    fetches.connected();
                }
                self.outbox.report(Report::Connected { connection: number });
                self.ask(now, number);
            }
            HostEvent::Quic(Event::ConnectionLost { reason }) => self.lost(now, number, &reason),
            HostEvent::Quic(Event::Stream(StreamEvent::Available { dir: Dir::Bi })) => {
                self.ask(now, number);
            }
            HostEvent::Quic(Event::Stream(StreamEvent::Readable { id })) => {
                self.read(now, number, id);
            }
            HostEvent::Gone
            | HostEvent::Accepted { .. }
            | HostEvent::Moved { .. }
            | HostEvent::Quic(_) => {}
        }
    }

    fn lost(&mut self, now: Timestamp, number: usize, reason: &ConnectionError) {
        let Some(fetches) = self.connections.remove(&number) else {
            return;
        };
        self.summary.lost += 1;
        let error = reason.to_string();
        let connection = number;
        self.outbox.report(Report::Lost { connection, error });
        match fetches.again() {
            Ok(fetches) => {
                let at = now.after(ATTEMPT_WAIT);
                self.lost.push_back(Attempt { at, fetches });
            }
            Err(fetches) => self.fail(fetches.unfinished()),
        }
    }

    /// So many fetches come to nothing.
    const fn fail(&mut self, fetches: u64) {
        self.unfinished -= fetches;
        self.summary.failed += fetches;
    }

    fn ask(&mut self, now: Timestamp, number: usize) {
        let (Some(host), Some(fetches)) = (&mut self.host, self.connections.get_mut(&number))
        else {
            return;
        };
        let unasked = host.with(number, |connection| fetches.ask(now, connection));
        let unasked = unasked.unwrap_or_default();
        self.fail(unasked);
        for _ in 0..unasked {
            let error = "no room for a request".to_owned();
            let connection = number;
            self.outbox
                .report(Report::FetchFailed { connection, error });
        }
    }

    fn read(&mut self, now: Timestamp, number: usize, id: StreamId) {
        let (Some(host), Some(fetches)) = (&mut self.host, self.connections.get_mut(&number))
        else {
            return;
        };
        let read = host.with(number, |connection| fetches.read(connection, id));
        let Some(over) = read.flatten() else {
            return;
        };
        self.summary.bytes += over.bytes;
        let connection = number;
        if let Some(error) = over.error {
            self.fail(1);
            self.outbox
                .report(Report::FetchFailed { connection, error });
            return;
        }
        self.unfinished -= 1;
        self.summary.fetched += 1;
        self.outbox.report(Report::Fetched(Fetched {
            connection,
            stream: id.index(),
            bytes: over.bytes,
            hash: over.hash,
            took: now.since(over.since),
        }));
    }
}

impl Task for Client {
    type App = Quic;

    fn handle_input(&mut self, now: Timestamp, input: Input<Quic>) {
        self.today.set(now);
        match input {
            Input::Started(_) => self.start(),
            Input::Network(NetworkEvent::UdpOpened {
                socket,
                token,
                local,
                ..
            }) => self.opened(now, socket, token, local),
            Input::Network(NetworkEvent::UdpOpenFailed { bind, error, .. }) => {
                self.outbox.report(Report::BindFailed { bind, error });
                if self.socket.is_none() {
                    self.state = State::Over;
                    self.outbox.finish();
                } // Else it goes on from the socket that it has.
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                if let Some(host) = &mut self.host {
                    host.handle_datagrams(now, &run);
                }
            }
            Input::Timeout => {
                if let Some(host) = &mut self.host {
                    host.handle_timeout(now);
                }
                self.connect_again(now);
            }
            Input::Command(command) => self.command(now, command),
            Input::Shutdown => self.close(now),
            Input::Network(NetworkEvent::SendFailed { datagrams, .. }) => {
                if let Some(host) = &mut self.host {
                    host.handle_send_failed(datagrams);
                }
            }
            _ => {}
        }
        self.attend(now);
    }

    fn poll_output(
        &mut self,
        now: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Quic>> {
        loop {
            if let Some(output) = self.outbox.pop() {
                return Some(output);
            }
            let (host, socket) = (self.host.as_mut()?, self.socket?);
            if let Some(run) = host.poll_transmit(now, socket, transmit) {
                return Some(Output::Transmit(run));
            }
            let (number, event) = host.poll_event()?;
            self.happened(now, number, event);
            self.attend(now);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let host = self.host.as_ref().and_then(Host::poll_timeout);
        let attempt = self.lost.front();
        let attempt = attempt.map(|attempt| Deadline::new(attempt.at, "connect again"));
        let end = match self.state {
            State::Closing { until } => Some(Deadline::new(until, "drained")),
            State::Opening | State::Fetching | State::Over => None,
        };
        let all = host.into_iter().chain(attempt).chain(end);
        all.min_by_key(|deadline| deadline.at)
    }
}

/// How long to wait until a connection is made anew.
const ATTEMPT_WAIT: Duration = Duration::from_millis(500);

/// What a socket's buffers are to hold, in bytes.
const SOCKET_BYTES: u32 = 1 << 20;
