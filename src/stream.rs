//! Streams: TCP connections, and the listeners that take them in.
//!
//! A stream carries bytes in order, in both directions, with backpressure both ways:
//!
//! - *Writing.* The stream tells its task how much *room* it has: when it is made, and again with
//!   [`NetworkEvent::Writable`](crate::NetworkEvent::Writable) once half of that is used and free
//!   again. A task that writes no more than that never loses a byte; [`StreamWriter`] keeps the
//!   account. What goes beyond is refused whole, and so is all that follows until the task is told
//!   of room: what was taken is always the beginning of what was written.
//! - *Reading.* A task that cannot take more says [`Reading::Paused`]. Not a byte comes after that;
//!   the peer's sends stop when the buffers between are full.
//!
//! Each direction ends for itself. [`Output::EndWrite`](crate::Output::EndWrite) ends ours behind
//! all that was written (FIN); [`NetworkEvent::ReadEnded`](crate::NetworkEvent::ReadEnded) says
//! that the peer has ended its own. With both, the stream is closed, as
//! [`NetworkEvent::StreamClosed`](crate::NetworkEvent::StreamClosed) says. To close it means not to
//! want it any more: what was written is still sent, and the id is stale at once. To reset it means
//! to break it off: the peer gets an error (RST). The streams of a task that failed are reset, so
//! that no peer takes half an answer for a whole one.
//!
//! Sources: RFC 9293 (TCP), `tcp(7)`.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use crate::buffer::Buffer;
use crate::id::StreamId;
use crate::net::Token;
use crate::task::{App, Outbox};
use crate::transmit::Payload;
use crate::udp::Sharing;

/// A listener to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpListen {
    /// Comes back with the answer.
    pub token: Token,
    /// The address to bind; port 0 lets the system choose one.
    pub bind: SocketAddr,
    /// Connections that may wait to be taken in. The system may have a lower limit.
    pub backlog: u32,
    /// Whether other listeners may share the address and port (`SO_REUSEPORT`).
    pub sharing: Sharing,
    /// What the streams it takes in are to be like.
    pub options: TcpOptions,
}

impl TcpListen {
    /// A listener at `bind`, alone, with room for 1,024 connections that wait.
    #[must_use]
    pub const fn new(token: Token, bind: SocketAddr) -> Self {
        Self {
            token,
            bind,
            backlog: 1_024,
            sharing: Sharing::Exclusive,
            options: TcpOptions::new(),
        }
    }

    /// The same, with room for this many connections that wait.
    #[must_use]
    pub const fn with_backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// The same, sharing its port with others that ask for it too (`SO_REUSEPORT`): each
    /// connection goes to one of them.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.sharing = Sharing::Shared;
        self
    }

    /// The same, sharing its port with others that ask for the same: what says which of them gets
    /// a connection. [`Sharing::ByByte`] is refused
    /// ([`NetworkError::InvalidOption`](crate::NetworkError::InvalidOption)).
    #[must_use]
    pub const fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Whether it asks for something that no system has.
    pub(crate) const fn is_invalid(&self) -> bool {
        self.sharing.is_among_none() || matches!(self.sharing, Sharing::ByByte { .. })
    }

    /// The same, with streams like these.
    #[must_use]
    pub const fn with_options(mut self, options: TcpOptions) -> Self {
        self.options = options;
        self
    }
}

/// A connection to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpConnect {
    /// Comes back with the answer.
    pub token: Token,
    /// Whom to connect to.
    pub peer: SocketAddr,
    /// The address to connect from, if not any.
    pub bind: Option<SocketAddr>,
    /// How long to try.
    pub timeout: Duration,
    /// What the stream is to be like.
    pub options: TcpOptions,
}

impl TcpConnect {
    /// A connection to `peer`, tried for 30 seconds.
    #[must_use]
    pub const fn new(token: Token, peer: SocketAddr) -> Self {
        Self {
            token,
            peer,
            bind: None,
            timeout: Duration::from_secs(30),
            options: TcpOptions::new(),
        }
    }

    /// The same, from this address; port 0 lets the system choose one.
    #[must_use]
    pub const fn from_address(mut self, bind: SocketAddr) -> Self {
        self.bind = Some(bind);
        self
    }

    /// The same, tried for this long.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same, with a stream like this.
    #[must_use]
    pub const fn with_options(mut self, options: TcpOptions) -> Self {
        self.options = options;
        self
    }
}

/// What a stream is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// Whether small writes wait for each other.
    pub nagle: Nagle,
    /// Whether and how often to ask a silent peer for a sign of life.
    pub keepalive: Option<Keepalive>,
    /// How long a stream that its task has closed may go on sending what was written before. What
    /// is not sent by then is lost, and the peer gets a reset. Zero resets at once.
    pub linger: Duration,
    /// Bytes that the stream takes beyond what the system has taken: the room it tells of.
    pub send_queue_max: usize,
    /// The system's own buffer for sending in bytes (`SO_SNDBUF`), if not the usual.
    pub send_buffer: Option<u32>,
    /// The system's own buffer for receiving in bytes (`SO_RCVBUF`), if not the usual.
    pub receive_buffer: Option<u32>,
}

impl TcpOptions {
    /// No waiting for small writes, no keepalive, 10 seconds of lingering, room for 256 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nagle: Nagle::Off,
            keepalive: None,
            linger: Duration::from_secs(10),
            send_queue_max: 256 << 10,
            send_buffer: None,
            receive_buffer: None,
        }
    }

    /// The same, with Nagle's algorithm.
    #[must_use]
    pub const fn with_nagle(mut self) -> Self {
        self.nagle = Nagle::On;
        self
    }

    /// The same, with keepalive.
    #[must_use]
    pub const fn with_keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// The same, going on to send for this long after it was closed.
    #[must_use]
    pub const fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// The same, with room for this many bytes (at least one).
    #[must_use]
    pub const fn with_send_queue_max(mut self, bytes: usize) -> Self {
        self.send_queue_max = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// The same, with buffers of these sizes in the system. It may round them.
    #[must_use]
    pub const fn with_buffers(mut self, send: u32, receive: u32) -> Self {
        self.send_buffer = Some(send);
        self.receive_buffer = Some(receive);
        self
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether small writes wait until what was sent before is acknowledged (RFC 896).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "they wait or they do not")]
pub enum Nagle {
    /// They do not (`TCP_NODELAY`). What a task writes in one turn leaves together anyway.
    Off,
    /// They do.
    On,
}

/// Signs of life asked of a silent peer (RFC 1122, 4.2.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// Silence before the first is asked for. Whole seconds, at least one.
    pub idle: Duration,
    /// Time between two. Whole seconds, at least one.
    pub interval: Duration,
    /// How many unanswered ones end the stream.
    pub count: u32,
}

impl Keepalive {
    /// Asks after `idle`, then every `interval`; `count` without an answer end the stream.
    #[must_use]
    pub const fn new(idle: Duration, interval: Duration, count: u32) -> Self {
        Self {
            idle,
            interval,
            count,
        }
    }
}

/// Whether a task wants what its stream receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it does or it does not")]
pub enum Reading {
    /// As it comes. So a stream begins.
    Flowing,
    /// Not now. The peer's end, and errors, are not told either.
    Paused,
}

/// Bytes to be written to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// The bytes.
    pub payload: Payload,
}

impl StreamWrite {
    /// These bytes to this stream.
    #[must_use]
    #[inline]
    pub fn new(stream: StreamId, payload: impl Into<Payload>) -> Self {
        Self {
            stream,
            payload: payload.into(),
        }
    }
}

/// A connection that a driver has taken in and that has no id yet. For drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncomingId(pub u64);

/// The account of one stream's room, and what waits for more of it.
///
/// # Example
///
/// ```
/// use stillpoint::*;
///
/// # #[derive(Debug)]
/// # struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// /// Sends back what it gets, and reads no faster than that goes.
/// struct Echo { writer: Option<StreamWriter>, outbox: Outbox<Demo> }
///
/// impl Echo {
///     fn handle_event(&mut self, event: NetworkEvent) {
///         match (event, &mut self.writer) {
///             (NetworkEvent::Accepted { stream, room, .. }, writer) => {
///                 *writer = Some(StreamWriter::new(stream, room));
///             }
///             (NetworkEvent::Received { stream, data }, Some(writer)) => {
///                 writer.write(data, &mut self.outbox);
///                 if writer.waiting() > 0 {
///                     self.outbox.set_reading(stream, Reading::Paused);
///                 }
///             }
///             (NetworkEvent::Writable { stream, room }, Some(writer)) => {
///                 writer.handle_writable(room, &mut self.outbox);
///                 if writer.waiting() == 0 {
///                     self.outbox.set_reading(stream, Reading::Flowing);
///                 }
///             }
///             (NetworkEvent::ReadEnded { .. }, Some(writer)) => writer.end(&mut self.outbox),
///             _ => {}
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct StreamWriter {
    stream: StreamId,
    room: usize,
    waiting: VecDeque<Buffer>,
    waiting_bytes: usize,
    ending: Ending,
}

/// Whether this direction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// Once all that waits is written.
    Asked,
    Done,
}

impl StreamWriter {
    /// The account of a stream that has just said how much room it has.
    #[must_use]
    pub const fn new(stream: StreamId, room: usize) -> Self {
        Self {
            stream,
            room,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            ending: Ending::No,
        }
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// Bytes that can be written at once. None while others wait.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.room
    }

    /// Bytes that wait for room.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting_bytes
    }

    /// Writes `data` as far as there is room, and keeps the rest until there is.
    ///
    /// # Panics
    ///
    /// If this direction was ended.
    pub fn write<A: App>(&mut self, data: Buffer, outbox: &mut Outbox<A>) {
        assert!(
            self.ending == Ending::No,
            "written to {} behind the end",
            self.stream
        );
        if data.is_empty() {
            return;
        }
        if self.waiting.is_empty() && data.len() <= self.room {
            self.room -= data.len();
            return outbox.write(self.stream, data);
        }
        self.waiting_bytes += data.len();
        self.waiting.push_back(data);
        self.write_waiting(outbox);
    }

    /// Ends this direction behind all that was written.
    pub fn end<A: App>(&mut self, outbox: &mut Outbox<A>) {
        if self.ending == Ending::No {
            self.ending = Ending::Asked;
            self.write_waiting(outbox);
        }
    }

    /// Goes on: the stream has said how much room it has now.
    pub fn handle_writable<A: App>(&mut self, room: usize, outbox: &mut Outbox<A>) {
        self.room = room;
        self.write_waiting(outbox);
    }

    fn write_waiting<A: App>(&mut self, outbox: &mut Outbox<A>) {
        while self.room > 0
            && let Some(next) = self.waiting.front_mut()
        {
            let len = next.len().min(self.room);
            let part = next.slice(..len).unwrap_or_default();
            let taken = next.pop_front(len);
            assert!(taken.is_some(), "{len} bytes of {}", next.len());
            if next.is_empty() {
                self.waiting.pop_front();
            }
            self.room -= len;
            self.waiting_bytes -= len;
            outbox.write(self.stream, part);
        }
        if self.waiting.is_empty() && self.ending == Ending::Asked {
            self.ending = Ending::Done;
            outbox.end_write(self.stream);
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
