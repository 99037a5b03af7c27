//! The server: its listener, its connections and their deadlines.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ::http::{Request, Response};

use crate::buffer::{Buffer, BufferPool};
use crate::id::{ListenerId, ResourceId, StreamId};
use crate::net::NetworkEvent;
use crate::stream::{StreamWriter, TcpListen};
use crate::task::{App, Context, Outbox};
use crate::time::{Deadline, Timestamp};

use super::config::{HttpConfig, HttpCounters};
use super::connection::{Admission, Common, Connection, Standing};
use super::counted::Counted;
use super::head::{After, Refusal};

/// One request on one connection, to be answered. No other ever has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    stream: StreamId,
    number: u64,
}

impl Exchange {
    /// The connection.
    #[must_use]
    pub const fn stream(self) -> StreamId {
        self.stream
    }
}

/// Nobody waits for the answer: it was given before, or the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for the answer to request {} of {}", .exchange.number, .exchange.stream)]
pub struct StaleExchange {
    /// What was to be answered.
    pub exchange: Exchange,
}

/// Serves HTTP/1.1 for the task that holds it. See the [module](crate::http) for an example.
///
/// The task hands it all events of the network, or those that it does not know, and after each
/// [`handle_event`](Self::handle_event), [`handle_timeout`](Self::handle_timeout) and
/// [`respond`](Self::respond) takes requests until there are no more:
/// [`poll_request`](Self::poll_request). It owes each of them an answer, as late as it likes. A
/// connection has one exchange at a time.
///
/// Whatever a client does, it holds one request, one answer, and what one read brings, for as long
/// as it takes part; a connection that is idle holds no buffer. An input costs O(log n) for n
/// connections.
#[derive(Debug)]
pub struct HttpServer {
    listener: Listener,
    connections: BTreeMap<StreamId, Connection>,
    /// When each connection wants a timeout, if it does.
    deadlines: BTreeSet<(Timestamp, StreamId)>,
    /// Since when each idle connection is so.
    idle: BTreeSet<(Timestamp, StreamId)>,
    /// Of the connections, those that were told that they are too many.
    refused: usize,
    /// Requests without an answer.
    exchanges: usize,
    /// Requests that the task has not taken, the oldest first.
    ready: VecDeque<Exchange>,
    /// By when all is to be over, once the server was told to stop.
    stop_at: Option<Timestamp>,
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    Closed,
    Asked,
    Open(ListenerId),
}

impl HttpServer {
    /// A server that does not listen yet.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        Self {
            listener: Listener::Closed,
            connections: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            idle: BTreeSet::new(),
            refused: 0,
            exchanges: 0,
            ready: VecDeque::new(),
            stop_at: None,
            common: Common {
                config,
                counted: Counted::default(),
                buffers: BufferPool::new(),
                after: After::KeepAlive,
                text: Vec::new(),
            },
        }
    }

    /// Counts as metrics of the task from now on, for those who watch its worker: to be called when
    /// the task starts. All servers of one type of task count together then. The names begin with
    /// `http_`.
    pub fn count_as_metrics(&mut self, context: &Context) {
        self.common.counted = Counted::as_metrics(context);
    }

    /// Asks for a listener at `bind` (port 0 lets the system choose one). Memory comes from
    /// `buffers`: those of the task's [`Context`](crate::Context).
    ///
    /// # Panics
    ///
    /// If it listens already.
    pub fn listen<A: App>(
        &mut self,
        bind: SocketAddr,
        buffers: BufferPool,
        outbox: &mut Outbox<A>,
    ) {
        assert!(
            self.listener == Listener::Closed,
            "this HttpServer listens already; make another one for {bind}"
        );
        self.listener = Listener::Asked;
        self.common.buffers = buffers;
        let config = &self.common.config;
        let listen = TcpListen::new(config.token, bind)
            .with_options(config.tcp)
            .with_sharing(config.sharing);
        outbox.listen(listen);
    }

    /// Takes what the network tells. Gives back what is not the server's, and what the task will
    /// want to know of the listener: [`NetworkEvent::Listening`] and
    /// [`NetworkEvent::ListenFailed`].
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "it has a listener and streams only"
    )]
    pub fn handle_event<A: App>(
        &mut self,
        now: Timestamp,
        event: NetworkEvent,
        outbox: &mut Outbox<A>,
    ) -> Option<NetworkEvent> {
        if let ResourceId::Stream(stream) = event.resource()
            && !self.connections.contains_key(&stream)
            && !matches!(event, NetworkEvent::Accepted { .. })
        {
            return Some(event);
        }
        let token = self.common.config.token;
        match event {
            NetworkEvent::Received { stream, data } => {
                self.turn(now, stream, outbox, |connection, common, outbox| {
                    connection.handle_received(data, common, outbox);
                });
            }
            NetworkEvent::Writable { stream, room } => {
                self.turn(now, stream, outbox, |connection, common, outbox| {
                    connection.handle_writable(now, room, common, outbox);
                });
            }
            NetworkEvent::ReadEnded { stream } => {
                self.turn(now, stream, outbox, Connection::handle_read_ended);
            }
            NetworkEvent::StreamClosed { stream, .. } => self.forget(stream),
            // What was taken is not whole. A writer that knows its room sees that only at an end.
            NetworkEvent::WriteFailed { stream, .. } => {
                self.turn(now, stream, outbox, |connection, _, outbox| {
                    connection.reset(outbox);
                });
            }
            NetworkEvent::Accepted {
                listener,
                stream,
                peer,
                room,
                ..
            } if self.listener == Listener::Open(listener) => {
                self.accepted(now, peer, StreamWriter::new(stream, room), outbox)
            }
            NetworkEvent::Listening {
                listener,
                token: of,
                ..
            } if of == token && self.listener == Listener::Asked => {
                self.listener = Listener::Open(listener);
                if self.stop_at.is_some() {
                    self.close_listener(outbox);
                }
                return Some(event);
            }
            NetworkEvent::ListenFailed { token: of, .. }
                if of == token && self.listener == Listener::Asked =>
            {
                self.listener = Listener::Closed;
                return Some(event);
            }
            // A connection that could not be taken in waits, and is counted.
            NetworkEvent::AcceptFailed { listener, .. }
                if self.listener == Listener::Open(listener) => {}
            _ => return Some(event),
        }
        None
    }

    /// Deals with whoever has taken too long. An early call changes nothing.
    pub fn handle_timeout<A: App>(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        if self.stop_at.is_some_and(|at| at <= now) {
            while let Some((&stream, _)) = self.connections.first_key_value() {
                outbox.reset(stream);
                self.forget(stream);
            }
        }
        while let Some(&(at, stream)) = self.deadlines.first()
            && at <= now
        {
            self.turn(now, stream, outbox, Connection::handle_timeout);
        }
    }

    /// The next request. `None` until there is another input, or an answer makes room for the next.
    pub fn poll_request(&mut self) -> Option<(Exchange, Request<Buffer>)> {
        while let Some(exchange) = self.ready.pop_front() {
            // Its client may be gone.
            if let Some(connection) = self.waiting_for(exchange)
                && let Some(request) = connection.take_request()
            {
                self.common.counted.requests.add(1);
                return Some((exchange, request));
            }
        }
        None
    }

    /// Answers a request, whenever it came. To `HEAD` the body is left away, and its length told.
    ///
    /// `Content-Length` and `Connection` are the server's to say. Of the headers of `response`
    /// those that are about the connection or the framing (these, `Transfer-Encoding`, `Trailer`,
    /// `TE`, `Upgrade`, `Keep-Alive`, `Proxy-Connection`) are left away; but `Connection: close`
    /// ends the connection behind the answer. A body of more than 512 bytes is not copied.
    ///
    /// # Errors
    ///
    /// [`StaleExchange`] if nobody waits for it: the client is gone, or has its answer. Nothing is
    /// wrong with the server then.
    ///
    /// # Panics
    ///
    /// If the status is an interim one (1xx): the server sends those itself.
    pub fn respond<A: App>(
        &mut self,
        now: Timestamp,
        exchange: Exchange,
        response: Response<Buffer>,
        outbox: &mut Outbox<A>,
    ) -> Result<(), StaleExchange> {
        let status = response.status();
        assert!(
            !status.is_informational(),
            "{status} is not an answer; respond with a final status"
        );
        if self.waiting_for(exchange).is_none() {
            self.common.counted.responses_stale.add(1);
            return Err(StaleExchange { exchange });
        }
        self.common.counted.responses.add(1);
        self.turn(
            now,
            exchange.stream,
            outbox,
            |connection, common, outbox| {
                connection.answer(response, common, outbox);
            },
        );
        Ok(())
    }

    /// Who asked. `None` if nobody waits for an answer any more.
    #[must_use]
    pub fn peer(&self, exchange: Exchange) -> Option<SocketAddr> {
        let connection = self.connections.get(&exchange.stream)?;
        (connection.asked() == Some(exchange.number)).then_some(connection.peer)
    }

    /// When the server wants [`handle_timeout`](Self::handle_timeout). O(log n).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let first = self.deadlines.first();
        let first = first.and_then(|(_, stream)| self.connections.get(stream));
        let first = first.and_then(|connection| connection.standing(&self.common.config).due);
        let stop = self.stop_at.filter(|_| !self.connections.is_empty());
        let stop = stop.map(|at| Deadline::new(at, "HTTP server to stop"));
        first
            .into_iter()
            .chain(stop)
            .min_by_key(|deadline| deadline.at)
    }

    /// Listens no more and takes no more requests. Answers that are owed or on their way are
    /// finished, for as long as [`HttpConfig::shut_down_max`] allows; all others are closed.
    pub fn shut_down<A: App>(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        if self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(now.after(self.common.config.shut_down_max));
        self.common.after = After::Close;
        self.close_listener(outbox);
        let streams: Vec<StreamId> = self.connections.keys().copied().collect();
        for stream in streams {
            self.turn(now, stream, outbox, |connection, _, outbox| {
                connection.shut_down(outbox);
            });
        }
    }

    /// Whether the server was told to stop and nobody is left.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.stop_at.is_some() && self.connections.is_empty()
    }

    /// Connections that are open, those that are told that they are too many among them.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Requests that have come and are not answered.
    #[must_use]
    pub const fn exchanges(&self) -> usize {
        self.exchanges
    }

    /// What the server has done so far.
    #[must_use]
    pub fn counters(&self) -> HttpCounters {
        self.common.counted.snapshot()
    }

    fn accepted<A: App>(
        &mut self,
        now: Timestamp,
        peer: SocketAddr,
        writer: StreamWriter,
        outbox: &mut Outbox<A>,
    ) {
        let stream = writer.stream();
        let max = self.common.config.connections_max;
        self.common.counted.connections.add(1);
        if self.connections.len() - self.refused >= max {
            self.make_place(now, outbox);
        }
        let served = self.connections.len() - self.refused;
        if self.refused >= max && served >= max {
            self.common.counted.connections_dropped.add(1);
            return outbox.close(stream);
        }
        let connection = Connection::new(now, peer, writer);
        let standing = connection.standing(&self.common.config);
        self.connections.insert(stream, connection);
        self.account(stream, Standing::NOTHING, standing);
        self.turn(now, stream, outbox, |connection, common, outbox| {
            if served >= max {
                connection.refuse(Refusal::Overloaded, common, outbox);
            }
        });
        self.refused += usize::from(served >= max);
    }

    /// Closes the connection that has been idle for longest, unless that is not long: who comes has
    /// something to ask.
    fn make_place<A: App>(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        if let Some(&(since, stream)) = self.idle.first()
            && now.since(since) >= IDLE_MIN
        {
            self.common.counted.idle_closed.add(1);
            outbox.close(stream);
            self.forget(stream);
        }
    }

    /// Does something with a connection, and sees to what follows from it.
    fn turn<A: App>(
        &mut self,
        now: Timestamp,
        stream: StreamId,
        outbox: &mut Outbox<A>,
        action: impl FnOnce(&mut Connection, &mut Common, &mut Outbox<A>),
    ) {
        let Some(connection) = self.connections.get_mut(&stream) else {
            return;
        };
        let before = connection.standing(&self.common.config);
        action(connection, &mut self.common, outbox);
        connection.settle(now, &self.common, outbox);
        let after = connection.standing(&self.common.config);
        let is_over = connection.is_over();
        self.account(stream, before, after);
        if is_over {
            self.forget(stream);
        }
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(connection) = self.connections.remove(&stream) {
            let before = connection.standing(&self.common.config);
            self.account(stream, before, Standing::NOTHING);
            self.refused -= usize::from(connection.admission == Admission::Refused);
        }
    }

    /// Writes down what has become of a connection.
    fn account(&mut self, stream: StreamId, before: Standing, after: Standing) {
        if before.due != after.due {
            if let Some(due) = before.due {
                self.deadlines.remove(&(due.at, stream));
            }
            self.deadlines.extend(after.due.map(|due| (due.at, stream)));
        }
        if before.idle != after.idle {
            if let Some(since) = before.idle {
                self.idle.remove(&(since, stream));
            }
            self.idle.extend(after.idle.map(|since| (since, stream)));
        }
        if before.asked != after.asked {
            self.exchanges -= usize::from(before.asked.is_some());
            self.exchanges += usize::from(after.asked.is_some());
            let asked = after.asked.map(|number| Exchange { stream, number });
            self.ready.extend(asked);
        }
    }

    fn waiting_for(&mut self, exchange: Exchange) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(&exchange.stream)?;
        (connection.asked() == Some(exchange.number)).then_some(connection)
    }

    fn close_listener<A: App>(&mut self, outbox: &mut Outbox<A>) {
        if let Listener::Open(listener) = self.listener {
            self.listener = Listener::Closed;
            outbox.close(listener);
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

/// How long a connection may be idle even where all places are taken.
const IDLE_MIN: Duration = Duration::from_secs(1);
