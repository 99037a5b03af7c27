//! The task that serves metrics.

use core::net::SocketAddr;
use core::time::Duration;
use core::{fmt, mem};
use std::collections::BTreeMap;

use crate::id::{ListenerId, StreamId};
use crate::net::{NetworkError, NetworkEvent, Token};
use crate::status::WorkerStatus;
use crate::stream::{StreamWriter, TcpListen, TcpOptions};
use crate::task::{App, Input, Outbox, Output, Task};
use crate::time::{Deadline, Timestamp};
use crate::transmit::TransmitBuffer;

use super::connection::{Connection, Life};
use super::http::Status;
use super::pages::Pages;

/// Serves metrics by HTTP/1.1: `GET /metrics`, for Prometheus and for people.
///
/// It is given a place to listen, and a closure that it asks for the status of all workers when
/// somebody wants to see it. The text is made on the worker that the server lives on, at most
/// twenty times a second; those who ask at a time share it.
///
/// Whatever a client does, it holds one answer and what one read brings, and no longer than it
/// takes part: see [`MetricsServer::with_idle_max`]. Those who come when
/// [as many as may be](MetricsServer::with_connections_max) are there get a 503. A shutdown tells
/// it last of all to finish, so that the shutdown can be watched; it finishes the answers that are
/// on their way.
///
/// # Example
///
/// ```
/// use core::net::SocketAddr;
/// use stillpoint::metrics::MetricsServer;
/// use stillpoint::*;
///
/// #[derive(Debug)]
/// struct Demo;
/// impl App for Demo {
///     type Channel = ();
///     type Message = ();
///     type Command = ();
///     type Report = Result<SocketAddr, NetworkError>; // where the metrics are
///     type Spawn = SocketAddr;
/// }
///
/// fn spawn(bind: SocketAddr, spawner: Spawner<'_, Demo>) -> Spawned {
///     let statuses = || vec![WorkerStatus::default()]; // the runtime's reader, in a program
///     spawner.insert(MetricsServer::<Demo>::new(bind, statuses, Some))
/// }
/// ```
pub struct MetricsServer<A: App> {
    bind: SocketAddr,
    connections_max: usize,
    idle_max: Duration,
    listening: Option<Listening<A>>,
    listener: Option<ListenerId>,
    connections: BTreeMap<StreamId, Connection>,
    pages: Pages,
    stopping: Stopping,
    outbox: Outbox<A>,
}

/// Makes a report of the listener's address or failure.
type Listening<A> = Box<dyn FnOnce(Result<SocketAddr, NetworkError>) -> Option<<A as App>::Report>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Answers are still on their way, for so long at most.
    Until(Timestamp),
    Done,
}

impl<A: App> MetricsServer<A> {
    /// Listens at `bind` (port 0 lets the system choose one) and serves what `statuses` gives.
    ///
    /// `listening` is told once where it listens, or why it does not, and may make a report of it.
    /// A server that cannot listen finishes.
    #[must_use]
    pub fn new(
        bind: SocketAddr,
        statuses: impl FnMut() -> Vec<WorkerStatus> + 'static,
        listening: impl FnOnce(Result<SocketAddr, NetworkError>) -> Option<A::Report> + 'static,
    ) -> Self {
        Self {
            bind,
            connections_max: 64,
            idle_max: Duration::from_secs(30),
            listening: Some(Box::new(listening)),
            listener: None,
            connections: BTreeMap::new(),
            pages: Pages::new(statuses),
            stopping: Stopping::No,
            outbox: Outbox::new(),
        }
    }

    /// The same, for so many connections at a time (at least one) in place of 64. As many again
    /// may be there to be told that they are too many; whoever comes then is closed at once.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max.max(1);
        self
    }

    /// The same, with this in place of 30 seconds: for how long a connection may be silent, take
    /// for the head of a request, and take nothing of an answer.
    #[must_use]
    pub const fn with_idle_max(mut self, idle_max: Duration) -> Self {
        self.idle_max = idle_max;
        self
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "it has a listener and streams only"
    )]
    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::Received { stream, data } => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.handle_received(now, &data, &mut self.pages, &mut self.outbox);
                }
            }
            NetworkEvent::Writable { stream, room } => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.handle_writable(now, room, &mut self.pages, &mut self.outbox);
                }
            }
            NetworkEvent::ReadEnded { stream } => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.handle_read_ended(now, &mut self.outbox);
                }
            }
            NetworkEvent::StreamClosed { stream, .. } => {
                self.connections.remove(&stream);
            }
            NetworkEvent::Accepted { stream, room, .. } => self.accepted(now, stream, room),
            NetworkEvent::Listening {
                listener, local, ..
            } => {
                self.listener = Some(listener);
                self.tell(Ok(local));
            }
            NetworkEvent::ListenFailed { error, .. } => {
                self.tell(Err(error));
                self.stopping = Stopping::Done;
                self.outbox.finish();
            }
            // A connection that could not be taken in waits, and is counted.
            _ => {}
        }
    }

    fn tell(&mut self, listening: Result<SocketAddr, NetworkError>) {
        let report = self.listening.take().and_then(|tell| tell(listening));
        if let Some(report) = report {
            self.outbox.report(report);
        }
    }

    fn accepted(&mut self, now: Timestamp, stream: StreamId, room: usize) {
        let before = self.connections.len();
        let writer = StreamWriter::new(stream, room);
        let mut connection = Connection::new(now, writer, self.idle_max);
        if before >= self.connections_max || self.stopping != Stopping::No {
            connection.refuse(now, Status::UNAVAILABLE, &self.pages, &mut self.outbox);
        }
        if before >= 2 * self.connections_max {
            self.outbox.close(stream);
        } else {
            self.connections.insert(stream, connection);
        }
    }

    fn shut_down(&mut self, now: Timestamp) {
        if self.stopping != Stopping::No {
            return;
        }
        self.stopping = Stopping::Until(now.after(STOPPING_MAX));
        if let Some(listener) = self.listener.take() {
            self.outbox.close(listener);
        }
        let outbox = &mut self.outbox;
        self.connections
            .retain(|_, connection| connection.handle_shutdown(now, outbox) == Life::GoesOn);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        let (pages, outbox) = (&self.pages, &mut self.outbox);
        self.connections
            .retain(|_, connection| connection.handle_timeout(now, pages, outbox) == Life::GoesOn);
        if matches!(self.stopping, Stopping::Until(until) if until <= now) {
            for (stream, _) in mem::take(&mut self.connections) {
                self.outbox.reset(stream);
            }
        }
    }
}

impl<A: App> Task for MetricsServer<A> {
    type App = A;

    const SHUTDOWN_PHASE: u8 = u8::MAX;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Network(event) => self.handle_event(now, event),
            Input::Timeout => self.handle_timeout(now),
            Input::Started(context) => {
                self.pages.set_buffers(context.buffers);
                let options = TcpOptions::new().with_send_queue_max(SEND_QUEUE_BYTES);
                let listen = TcpListen::new(Token(0), self.bind).with_options(options);
                self.outbox.listen(listen);
            }
            Input::Shutdown => self.shut_down(now),
            Input::Bus(_) | Input::Command(_) => {}
        }
        if self.connections.is_empty() {
            self.pages.forget();
            if matches!(self.stopping, Stopping::Until(_)) {
                self.stopping = Stopping::Done;
                self.outbox.finish();
            }
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<A>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let stopping = match self.stopping {
            Stopping::Until(until) => Some(Deadline::new(until, "metrics stopping")),
            Stopping::No | Stopping::Done => None,
        };
        let connections = self.connections.values().map(Connection::poll_timeout);
        connections
            .chain(stopping)
            .min_by_key(|deadline| deadline.at)
    }
}

impl<A: App> fmt::Debug for MetricsServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsServer")
            .field("bind", &self.bind)
            .field("connections", &self.connections.len())
            .field("stopping", &self.stopping)
            .finish_non_exhaustive()
    }
}

/// Room of each connection. Bounds the answers to requests that come in one go, too.
const SEND_QUEUE_BYTES: usize = 64 << 10;

/// How long answers that are on their way may take once the server is to stop.
const STOPPING_MAX: Duration = Duration::from_secs(2);
