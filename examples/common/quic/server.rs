//! The server: gives as many bytes as it is asked for, on many streams of many connections.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use quinn_proto::{Connection, Dir, Event, ReadError, StreamEvent, StreamId, VarInt, WriteError};
use rustls::crypto::ring::default_provider;
use stillpoint::{
    Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Task, Timestamp, Token,
    TransmitBuffer, UdpOpen,
};

use super::clock::{Epoch, Today};
use super::config::{self, Identity, Limits};
use super::host::{DRAIN_MAX, Host, HostCounters, HostEvent};
use super::request::{self, Partial};
use super::{Command, Quic, Report, content};

/// What a server is made from.
#[derive(Debug, Clone)]
pub struct ServerSetup {
    pub bind: SocketAddr,
    pub epoch: Epoch,
    pub identity: Identity,
    pub limits: Limits,
    /// Connections at a time; one more is refused.
    pub connections_max: usize,
}

/// What a server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections taken in.
    pub connections: u64,
    /// Of these: lost, or closed with a code that is an error.
    pub lost: u64,
    /// How often a peer went on from another address.
    pub moved: u64,
    /// Responses that were acknowledged to the last byte.
    pub answered: u64,
    /// Requests that were none, or that their client did not want answered any more.
    pub broken: u64,
    /// Bytes of responses.
    pub bytes: u64,
    pub host: HostCounters,
}

pub struct Server {
    setup: ServerSetup,
    today: Arc<Today>,
    host: Option<Host>,
    socket: Option<SocketId>,
    connections: BTreeMap<usize, Streams>,
    summary: Summary,
    /// Until when it waits for its connections to drain, once it is told to end.
    ends_at: Option<Timestamp>,
    /// Where content is made.
    chunk: Box<[u8]>,
    outbox: Outbox<Quic>,
}

/// The streams of a connection that are not over.
type Streams = BTreeMap<StreamId, Answer>;

/// A request and its response.
enum Answer {
    Asked(Partial),
    Sending {
        bytes: u64,
        sent: u64,
    },
    /// All is sent, and not all of it acknowledged.
    Sent,
}

impl Server {
    pub fn new(setup: ServerSetup) -> Self {
        Self {
            today: Today::new(setup.epoch),
            setup,
            host: None,
            socket: None,
            connections: BTreeMap::new(),
            summary: Summary::default(),
            ends_at: None,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            outbox: Outbox::new(),
        }
    }

    fn start(&mut self) {
        match self.make_host() {
            Ok(host) => {
                self.host = Some(host);
                let open = UdpOpen::new(Token(0), self.setup.bind);
                self.outbox
                    .open_udp(open.with_buffers(SOCKET_BYTES, SOCKET_BYTES));
            }
            Err(error) => {
                self.outbox.report(Report::SetupFailed(error));
                self.outbox.finish();
            }
        }
    }

    fn make_host(&self) -> Result<Host, String> {
        let ServerSetup {
            epoch,
            identity,
            limits,
            connections_max,
            ..
        } = &self.setup;
        let provider = default_provider();
        let server = config::server(&provider, &self.today, identity.clone(), limits)?;
        let endpoint = config::endpoint(&provider)?;
        Ok(Host::server(*epoch, endpoint, server, *connections_max))
    }

    fn stop(&mut self, now: Timestamp) {
        self.ends_at = Some(now.after(DRAIN_MAX));
        if let Some(host) = &mut self.host {
            host.close_all(now, request::DONE, "the server shuts down");
        }
    }

    /// Sees to all that has happened.
    fn attend(&mut self, now: Timestamp) {
        while let Some((number, event)) = self.host.as_mut().and_then(Host::poll_event) {
            self.happened(number, event);
        }
        let is_idle = self
            .host
            .as_ref()
            .is_none_or(|host| host.connections() == 0);
        if let Some(until) = self.ends_at
            && (is_idle || until <= now)
        {
            self.ends_at = None;
            if let Some(host) = self.host.take() {
                self.summary.host = host.counters();
            }
            self.outbox.report(Report::Served(self.summary));
            self.outbox.finish();
        }
    }

    fn happened(&mut self, number: usize, event: HostEvent) {
        match event {
            HostEvent::Accepted { .. } => {
                self.summary.connections += 1;
                self.connections.insert(number, Streams::new());
            }
            HostEvent::Moved { from, to } => {
                self.summary.moved += 1;
                self.outbox.report(Report::Moved { from, to });
            }
            HostEvent::Gone => {
                self.connections.remove(&number);
            }
            HostEvent::Quic(Event::ConnectionLost { reason }) => {
                if !is_orderly(&reason) {
                    self.summary.lost += 1;
                    let error = reason.to_string();
                    let connection = number;
                    self.outbox.report(Report::Lost { connection, error });
                }
            }
            HostEvent::Quic(Event::Stream(event)) => self.stream(number, &event),
            HostEvent::Quic(_) => {}
        }
    }

    fn stream(&mut self, number: usize, event: &StreamEvent) {
        let Some(host) = &mut self.host else {
            return;
        };
        let Some(streams) = self.connections.get_mut(&number) else {
            return;
        };
        let (summary, chunk) = (&mut self.summary, &mut self.chunk);
        host.with(number, |connection| match *event {
            StreamEvent::Opened { dir: Dir::Bi } => {
                while let Some(id) = connection.streams().accept(Dir::Bi) {
                    streams.insert(id, Answer::Asked(Partial::default()));
                    work(connection, streams, id, summary, chunk);
                }
            }
            StreamEvent::Readable { id } | StreamEvent::Writable { id } => {
                work(connection, streams, id, summary, chunk);
            }
            StreamEvent::Finished { id } => {
                streams.remove(&id);
                summary.answered += 1;
            }
            StreamEvent::Stopped { id, .. } => {
                if streams.remove(&id).is_some() {
                    summary.broken += 1;
                    // It may have been reset by us before.
                    _ = connection
                        .send_stream(id)
                        .reset(VarInt::from_u32(request::DONE));
                }
            }
            StreamEvent::Opened { dir: Dir::Uni } | StreamEvent::Available { .. } => {}
        });
    }
}

/// Goes on with a stream as far as it goes.
fn work(
    connection: &mut Connection,
    streams: &mut Streams,
    id: StreamId,
    summary: &mut Summary,
    chunk: &mut [u8],
) {
    let Some(answer) = streams.get_mut(&id) else {
        return;
    };
    if let Answer::Asked(partial) = answer {
        match read(connection, id, partial) {
            Ok(None) => return,
            Ok(Some(bytes)) => *answer = Answer::Sending { bytes, sent: 0 },
            Err(code) => {
                summary.broken += 1;
                streams.remove(&id);
                // Either may be over already, and then there is nothing to say.
                _ = connection.recv_stream(id).stop(VarInt::from_u32(code));
                _ = connection.send_stream(id).reset(VarInt::from_u32(code));
                return;
            }
        }
    }
    if let Answer::Sending { bytes, sent } = answer {
        let before = *sent;
        let ended = write(connection, id, *bytes, sent, chunk);
        summary.bytes += *sent - before;
        if ended {
            *answer = Answer::Sent;
        }
    }
}

/// Reads what there is of a request: the bytes that are asked for once it is whole.
fn read(
    connection: &mut Connection,
    id: StreamId,
    partial: &mut Partial,
) -> Result<Option<u64>, u32> {
    let mut stream = connection.recv_stream(id);
    let Ok(mut chunks) = stream.read(true) else {
        return Err(request::MALFORMED);
    };
    let mut pushed = Ok(());
    let ended = loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => pushed = pushed.and_then(|()| partial.push(&chunk.bytes)),
            Ok(None) => break true,
            Err(ReadError::Blocked) => break false,
            Err(ReadError::Reset(_)) => {
                break {
                    pushed = Err(request::DONE);
                    true
                };
            }
        }
    };
    // Window updates go out with what is asked for next.
    let _ = chunks.finalize();
    pushed?;
    if ended {
        partial.finish().map(Some)
    } else {
        Ok(None)
    }
}

/// Writes as much of a response as there is room for. Whether it is whole.
fn write(
    connection: &mut Connection,
    id: StreamId,
    bytes: u64,
    sent: &mut u64,
    chunk: &mut [u8],
) -> bool {
    let mut stream = connection.send_stream(id);
    while *sent < bytes {
        let len = chunk
            .len()
            .min(usize::try_from(bytes - *sent).unwrap_or(usize::MAX));
        content::fill(*sent, &mut chunk[..len]);
        match stream.write(&chunk[..len]) {
            Ok(written) => *sent += written as u64,
            // We are told when there is room, or that nobody wants it any more.
            Err(WriteError::Blocked | WriteError::Stopped(_)) => return false,
            Err(WriteError::ClosedStream) => return true,
        }
    }
    // The client may have stopped it at the last byte: then it hears of no end.
    _ = stream.finish();
    true
}

/// Whether a connection ended because one of both was done.
fn is_orderly(reason: &quinn_proto::ConnectionError) -> bool {
    match reason {
        quinn_proto::ConnectionError::ApplicationClosed(close) => {
            close.error_code == VarInt::from_u32(request::DONE)
        }
        quinn_proto::ConnectionError::LocallyClosed => true,
        _ => false,
    }
}

impl Task for Server {
    type App = Quic;

    fn handle_input(&mut self, now: Timestamp, input: Input<Quic>) {
        self.today.set(now);
        match input {
            Input::Started(_) => self.start(),
            Input::Network(NetworkEvent::UdpOpened { socket, local, .. }) => {
                self.socket = Some(socket);
                self.outbox.report(Report::Listening(local));
            }
            Input::Network(NetworkEvent::UdpOpenFailed { bind, error, .. }) => {
                self.outbox.report(Report::BindFailed { bind, error });
                self.outbox.finish();
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
            }
            Input::Shutdown | Input::Command(Command::Stop) => self.stop(now),
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
            self.happened(number, event);
            self.attend(now);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let host = self.host.as_ref().and_then(Host::poll_timeout);
        let end = self.ends_at.map(|at| Deadline::new(at, "drained"));
        let both = host.into_iter().chain(end);
        both.min_by_key(|deadline| deadline.at)
    }
}

/// How much content is made at a time.
const CHUNK_BYTES: usize = 1 << 15;

/// What a socket's buffers are to hold, in bytes.
const SOCKET_BYTES: u32 = 1 << 20;
