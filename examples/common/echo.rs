//! A UDP echo server and a client that loads it, as tasks.
//!
//! A request is 16 bytes of header (number and sending time, both little endian) and padding. The
//! client keeps a window of requests in flight, each until its reply comes or is overdue.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use stillpoint::{
    App, DatagramRun, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, SocketId,
    Spawned, Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};

use super::metrics::Metrics;
use super::stats::ClientStats;

/// The application: echo servers and their clients.
#[derive(Debug)]
pub struct Echo;

impl App for Echo {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

/// What there is to make.
#[derive(Debug, Clone)]
pub enum Spawn {
    /// A server, bound to this.
    Server(UdpOpen),
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
    /// A socket could not be opened.
    BindFailed {
        bind: SocketAddr,
        error: NetworkError,
    },
    /// A client is done.
    Done(Box<ClientStats>),
    /// Where the metrics are.
    Metrics(Result<SocketAddr, NetworkError>),
}

/// The one `match` that an application owes its workers.
pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Echo>) -> Spawned {
    match spawn {
        Spawn::Server(open) => spawner.insert(Server::new(open)),
        Spawn::Client(config) => match Client::new(config) {
            Ok(client) => spawner.insert(client),
            Err(reason) => spawner.refuse(reason),
        },
        Spawn::Metrics(metrics) => spawner.insert(metrics.server::<Echo>(Report::Metrics)),
    }
}

/// Sends everything back to where it came from.
pub struct Server {
    open: UdpOpen,
    outbox: Outbox<Echo>,
}

impl Server {
    const fn new(open: UdpOpen) -> Self {
        Self {
            open,
            outbox: Outbox::new(),
        }
    }
}

impl Task for Server {
    type App = Echo;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(self.open),
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.reply(socket, run)
            }
            Input::Network(NetworkEvent::UdpOpened { local, .. }) => {
                self.outbox.report(Report::Listening(local));
            }
            Input::Network(NetworkEvent::UdpOpenFailed { bind, error, .. }) => {
                self.outbox.report(Report::BindFailed { bind, error });
                self.outbox.finish();
            }
            Input::Shutdown => self.outbox.finish(),
            // A client that went away, a full queue: both are counted, and nothing to stop for.
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Echo>> {
        self.outbox.pop()
    }
}

/// How a client loads a server.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub server: SocketAddr,
    pub window: usize,
    pub payload_bytes: usize,
    pub duration: Duration,
    pub care: Care,
}

/// Whether a client looks at what a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It does.
    Careful,
    /// It takes every datagram for the reply to some request: the fault that the demo plants.
    Careless,
}

/// Keeps a window of requests in flight for some time.
pub struct Client {
    config: ClientConfig,
    state: State,
    /// Requests in flight: number and sending time.
    in_flight: BTreeMap<u64, Timestamp>,
    /// Requests that the careless client believes to be in flight.
    believed: u64,
    next: u64,
    /// How many requests to write in this drain.
    to_send: usize,
    stats: Box<ClientStats>,
    outbox: Outbox<Echo>,
}

#[derive(Debug)]
enum State {
    Opening,
    Running {
        socket: SocketId,
        until: Timestamp,
    },
    /// No more requests; the last replies may still come.
    Draining,
    Done,
}

impl Client {
    fn new(config: ClientConfig) -> Result<Self, String> {
        if config.payload_bytes < HEADER_BYTES || config.payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(format!(
                "a payload of {} bytes; it has to be {HEADER_BYTES} to {PAYLOAD_BYTES_MAX}",
                config.payload_bytes
            ));
        }
        if config.window == 0 {
            return Err("a window of 0 requests sends nothing; it has to be 1 or more".to_owned());
        }
        Ok(Self {
            state: State::Opening,
            in_flight: BTreeMap::new(),
            believed: 0,
            next: 0,
            to_send: 0,
            stats: Box::default(),
            outbox: Outbox::new(),
            config,
        })
    }

    /// Requests that wait for their reply.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What it has counted so far.
    pub fn stats(&self) -> &ClientStats {
        &self.stats
    }

    fn replies(&mut self, now: Timestamp, run: &DatagramRun) {
        for reply in run.iter() {
            self.reply(now, reply);
        }
        self.refill(now);
    }

    fn reply(&mut self, now: Timestamp, reply: &[u8]) {
        if self.config.care == Care::Careless {
            let fewer = self.believed.checked_sub(1);
            self.believed = fewer.expect("a reply, and nothing in flight: who sent that?");
        }
        let number = reply.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let Some(number) = number.filter(|_| reply.len() == self.config.payload_bytes) else {
            self.stats.malformed += 1;
            return;
        };
        match self.in_flight.remove(&number) {
            Some(sent_at) => self.stats.round_trips.record(now.since(sent_at)),
            None => self.stats.unexpected += 1, // A duplicate, or a reply that was given up on.
        }
    }

    fn give_up_on_overdue(&mut self, now: Timestamp) {
        while let Some((&number, &sent_at)) = self.in_flight.first_key_value()
            && sent_at.after(REPLY_WAIT_MAX) <= now
        {
            self.in_flight.remove(&number);
            self.believed = self.believed.saturating_sub(1);
            self.stats.no_reply += 1;
        }
    }

    /// Fills the window, or ends.
    fn refill(&mut self, now: Timestamp) {
        if let State::Running { until, .. } = self.state {
            if now < until {
                self.to_send = self.config.window.saturating_sub(self.in_flight.len());
            } else {
                self.stats.round_trips.finished_sending(now);
                self.state = State::Draining;
            }
        }
        if matches!(self.state, State::Draining) && self.in_flight.is_empty() {
            self.state = State::Done;
            self.outbox
                .report(Report::Done(core::mem::take(&mut self.stats)));
            self.outbox.finish();
        }
    }

    fn write_request(
        &mut self,
        now: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Transmit> {
        let State::Running { socket, .. } = self.state else {
            return None;
        };
        self.to_send = self.to_send.checked_sub(1)?;
        let (number, len) = (self.next, self.config.payload_bytes);
        let payload = transmit.write_with(|room| {
            room[..8].copy_from_slice(&number.to_le_bytes());
            room[8..HEADER_BYTES].copy_from_slice(&now.as_nanos().to_le_bytes());
            room[HEADER_BYTES..len].fill(0);
            len
        });
        self.next += 1;
        self.believed += 1;
        self.in_flight.insert(number, now);
        self.stats.sent += 1;
        Some(Transmit::new(socket, self.config.server, payload))
    }
}

impl Task for Client {
    type App = Echo;

    fn handle_input(&mut self, now: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(_) => {
                let bind = match self.config.server {
                    SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
                    SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
                };
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => self.replies(now, &run),
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.stats.round_trips.started_sending(now);
                self.state = State::Running {
                    socket,
                    until: now.after(self.config.duration),
                };
                self.refill(now);
            }
            Input::Network(NetworkEvent::UdpOpenFailed { bind, error, .. }) => {
                self.outbox.report(Report::BindFailed { bind, error });
                self.outbox.finish();
            }
            Input::Network(NetworkEvent::SendFailed { datagrams, .. }) => {
                self.stats.send_failed += u64::from(datagrams);
            }
            Input::Network(NetworkEvent::SocketError { .. }) => self.stats.refused += 1,
            Input::Timeout => {
                self.give_up_on_overdue(now);
                self.refill(now);
            }
            Input::Shutdown => {
                self.stats.unfinished += self.in_flight.len() as u64;
                self.in_flight.clear();
                self.stats.round_trips.finished_sending(now);
                self.state = State::Draining;
                self.refill(now);
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        now: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Echo>> {
        self.outbox
            .pop()
            .or_else(|| self.write_request(now, transmit).map(Output::Transmit))
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.state)
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let overdue = self
            .in_flight
            .first_key_value()
            .map(|(_, sent_at)| Deadline::new(sent_at.after(REPLY_WAIT_MAX), "reply overdue"));
        let end = match self.state {
            State::Running { until, .. } => Some(Deadline::new(until, "end of load")),
            State::Opening | State::Draining | State::Done => None,
        };
        overdue
            .into_iter()
            .chain(end)
            .min_by_key(|deadline| deadline.at)
    }
}

/// The shortest request.
pub const HEADER_BYTES: usize = 16;

/// The longest request: what fits a datagram.
pub const PAYLOAD_BYTES_MAX: usize = stillpoint::DATAGRAM_BYTES_MAX;

/// How long a reply may take before it counts as lost.
pub const REPLY_WAIT_MAX: Duration = Duration::from_millis(500);
