//! TCP over the system's sockets: what all backends share that wait for readiness.
//!
//! [`SocketPort`] takes commands: it opens listeners and begins connections at once, and queues
//! what is written until it is flushed. What comes of commands waits in it as events, which the
//! backend hands over at its next wait. [`Reader`] is the other half: it takes connections in and
//! reads what they bring, and hands both over in place.
//!
//! A stream that its task has closed stays here until what was written is acknowledged, or its
//! time is up: closing a socket sooner would throw away what the kernel has not sent as soon as
//! the peer writes another byte (RFC 2525, 2.17).

use core::time::Duration;
use std::os::fd::AsFd;

use super::port::SocketPort;
use super::readiness::Interest;
use super::sys::{self, GatherScratch, WriteScratch};
use super::table::Table;
use super::timers::Purpose;
use crate::id::{ListenerId, StreamId};
use crate::net::{NetworkError, NetworkEvent, Token};
use crate::stream::{IncomingId, Reading, StreamWrite, TcpConnect, TcpListen};

mod listener;
mod receive;
mod send;
mod stream;
mod together;

use listener::{Accepting, Incoming, Listener};
pub(super) use receive::Reader;
use stream::{Direction, Phase, Stream};

/// The TCP half of a port: its listeners and streams, and who has something to send.
pub(super) struct Tcp {
    listeners: Table<Listener>,
    streams: Table<Stream>,
    /// Those that have something to send at the next flush, and some that are no more.
    at_flush: Vec<StreamId>,
    scratch: WriteScratch,
    /// Those for which the next wait, or the last one, is to send.
    together: Vec<StreamId>,
    gather: GatherScratch,
    /// How much of each was sent; kept for its memory.
    sent: Vec<i32>,
    /// Listeners that wait for a descriptor, and some that no longer do.
    paused: Vec<ListenerId>,
    /// The connection that the worker is being told of.
    incoming: Option<Incoming>,
    incoming_count: u64,
}

impl Tcp {
    pub(super) const fn new() -> Self {
        Self {
            listeners: Table::new(),
            streams: Table::new(),
            at_flush: Vec::new(),
            scratch: WriteScratch::new(),
            together: Vec::new(),
            gather: GatherScratch::new(),
            sent: Vec::new(),
            paused: Vec::new(),
            incoming: None,
            incoming_count: 0,
        }
    }

    pub(super) const fn listeners(&self) -> usize {
        self.listeners.len()
    }

    pub(super) const fn streams(&self) -> usize {
        self.streams.len()
    }
}

impl SocketPort {
    pub(super) fn listen(&mut self, id: ListenerId, listen: &TcpListen) {
        let token = listen.token;
        let event = match sys::listen_tcp(listen) {
            Ok((fd, local)) => {
                let listener = Listener::new(fd, local, listen);
                self.tcp.listeners.insert(id.key(), listener);
                NetworkEvent::Listening {
                    listener: id,
                    token,
                    local,
                }
            }
            Err(error) => NetworkEvent::ListenFailed {
                listener: id,
                token,
                bind: listen.bind,
                error: error.to_network_error(),
            },
        };
        self.events.push_answer(event);
    }

    /// The event that a listener is open or could not be opened, if it is still there. It takes
    /// connections in only once its task was told that it is open.
    pub(super) fn about_listener(
        &mut self,
        id: ListenerId,
        event: NetworkEvent,
    ) -> Option<NetworkEvent> {
        let NetworkEvent::Listening { token, local, .. } = event else {
            return Some(event);
        };
        let listener = self.tcp.listeners.get_mut(id.key())?;
        let fd = listener.fd.as_fd();
        match self.readiness.add(id.into(), fd, Interest::Read) {
            Ok(()) => {
                listener.accepting = Accepting::Yes;
                Some(event)
            }
            Err(error) => {
                self.tcp.listeners.remove(id.key());
                Some(NetworkEvent::ListenFailed {
                    listener: id,
                    token,
                    bind: local,
                    error: error.to_network_error(),
                })
            }
        }
    }

    pub(super) fn close_listener(&mut self, id: ListenerId) {
        let Some(listener) = self.tcp.listeners.remove(id.key()) else {
            // It could not be opened, and nobody is left to be told.
            return self.events.forget(id.into());
        };
        self.timers.clear(id);
        if listener.accepting != Accepting::NotYet {
            self.readiness.remove(id.into(), listener.fd.as_fd());
        }
    }

    pub(super) fn accept_as(&mut self, id: IncomingId, stream: StreamId) {
        if let Some(incoming) = self.tcp.incoming.take_if(|waiting| waiting.id == id) {
            self.counters.streams.accepted += 1;
            let Incoming {
                fd, peer, options, ..
            } = incoming;
            let entry = Stream::new(fd, peer, Phase::Open, &options, Interest::Read);
            self.insert_stream(stream, entry);
        }
    }

    pub(super) fn refuse(&mut self, id: IncomingId) {
        if let Some(incoming) = self.tcp.incoming.take_if(|waiting| waiting.id == id) {
            self.counters.streams.refused += 1;
            sys::abort(incoming.fd);
        }
    }

    pub(super) fn connect(&mut self, id: StreamId, connect: &TcpConnect) {
        match sys::connect_tcp(connect) {
            Ok(fd) => {
                let token = connect.token;
                let phase = Phase::Connecting { token };
                let options = &connect.options;
                let stream = Stream::new(fd, connect.peer, phase, options, Interest::Write);
                self.insert_stream(id, stream);
                self.timers.set(id, Purpose::Limit, connect.timeout);
            }
            Err(error) => {
                self.counters.streams.connect_failed += 1;
                self.events.push_answer(NetworkEvent::ConnectFailed {
                    stream: id,
                    token: connect.token,
                    peer: connect.peer,
                    error: error.to_network_error(),
                });
            }
        }
    }

    /// A stream that nobody can wait for is over at once.
    fn insert_stream(&mut self, id: StreamId, stream: Stream) {
        let added = self
            .readiness
            .add(id.into(), stream.fd.as_fd(), stream.interest);
        self.tcp.streams.insert(id.key(), stream);
        if let Err(error) = added {
            if let Some(stream) = self.tcp.streams.get_mut(id.key()) {
                stream.interest = Interest::Nothing;
            }
            self.fail_stream(id, error.to_network_error());
        }
    }

    pub(super) fn write(&mut self, write: StreamWrite) {
        let StreamWrite {
            stream: id,
            payload,
        } = write;
        let len = payload.len();
        if len == 0 {
            return;
        }
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            // It is over, and its task is about to be told.
            self.counters.streams.bytes_refused += len as u64;
            return;
        };
        if stream.broken.is_some() {
            self.counters.streams.bytes_refused += len as u64;
            return; // The same.
        }
        let data = match payload.into_buffer() {
            Ok(buffer) => buffer,
            Err(len) => self.buffers.copy_from(self.udp.written(len)),
        };
        let is_first = !stream.room.has_refused();
        match stream.push(data) {
            Ok(()) if stream.room.queued() >= LONG_BYTES => self.send_stream(id),
            Ok(()) => self.send_at_flush(id),
            Err(error) => {
                self.counters.streams.bytes_refused += len as u64;
                if is_first {
                    self.events.push_answer(NetworkEvent::WriteFailed {
                        stream: id,
                        bytes: 0, // Filled in when it is handed over, as the reason is.
                        error,
                    });
                }
            }
        }
    }

    /// Has a task told of room, if it is time.
    fn tell_room(&mut self, id: StreamId) {
        if let Some(stream) = self.tcp.streams.get_mut(id.key())
            && stream.phase == Phase::Open
            && stream.write == Direction::Open
            && stream.broken.is_none()
            && !stream.telling_room
            && stream.room.should_tell()
        {
            stream.telling_room = true;
            self.events.push_answer(NetworkEvent::Writable {
                stream: id,
                room: 0, // Filled in when it is handed over.
            });
        }
    }

    /// An event of a stream that waited to be handed over, if it still means something.
    pub(super) fn about_stream(
        &mut self,
        id: StreamId,
        mut event: NetworkEvent,
    ) -> Option<NetworkEvent> {
        let stream = self.tcp.streams.get_mut(id.key());
        if let NetworkEvent::WriteFailed { bytes, error, .. } = &mut event {
            let room = &mut stream?.room;
            (*bytes, *error) = room.take_refused()?;
            if room.has_refused() {
                // For another reason, too.
                self.events.push_answer(event.clone());
            }
            self.tell_room(id);
        } else if let NetworkEvent::Writable { room, .. } = &mut event {
            let stream = stream?;
            stream.telling_room = false;
            if stream.room.has_refused() {
                // A write was refused since this was queued. Whoever hears of that waits for room,
                // and is told of it then.
                return None;
            }
            *room = stream.room.tell();
        }
        Some(event)
    }

    pub(super) fn end_write(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return;
        };
        if stream.write == Direction::Open {
            stream.write = Direction::Ending;
            if stream.phase == Phase::Open {
                self.send_at_flush(id);
            }
        }
    }

    pub(super) fn set_reading(&mut self, id: StreamId, reading: Reading) {
        if let Some(stream) = self.tcp.streams.get_mut(id.key()) {
            stream.reading = reading;
            self.update_interest(id);
        }
    }

    pub(super) fn reset_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.remove_stream(id) {
            sys::abort(stream.fd);
        }
    }

    /// The task does not want it any more. What was written is still sent.
    pub(super) fn close_stream(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return; // It is over, and the worker is about to be told.
        };
        if stream.linger.is_zero() {
            return self.break_off(id);
        }
        if matches!(stream.phase, Phase::Connecting { .. }) || stream.broken.is_some() {
            return self.finish_stream(id, None);
        }
        stream.phase = Phase::Closing {
            next_look: LOOK_FIRST,
        };
        if stream.write == Direction::Open {
            stream.write = Direction::Ending;
        }
        let linger = stream.linger;
        self.timers.set(id, Purpose::Limit, linger);
        self.send_at_flush(id);
        self.update_interest(id);
    }

    /// Waits from now on for what a stream wants.
    fn update_interest(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return;
        };
        let wanted = stream.wanted();
        if stream.interest != wanted {
            stream.interest = wanted;
            self.readiness.change(id.into(), stream.fd.as_fd(), wanted);
        }
    }

    /// Has the next wait tell of a stream that may be ready still.
    fn stream_again(&mut self, id: StreamId) {
        if let Some(stream) = self.tcp.streams.get(id.key())
            && stream.interest != Interest::Nothing
        {
            let fd = stream.fd.as_fd();
            self.readiness.again(id.into(), fd, stream.interest);
        }
    }

    /// Looks whether a stream is over: both directions have ended, or its task has closed it and
    /// the peer has all that was written.
    pub(super) fn look_at_end(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return;
        };
        if stream.write != Direction::Ended {
            return;
        }
        if stream.read == Direction::Ended {
            return self.finish_stream(id, None);
        }
        let Phase::Closing { next_look } = &mut stream.phase else {
            return;
        };
        let after = *next_look;
        *next_look = (after * 2).min(LOOK_LAST);
        if sys::is_acknowledged(stream.fd.as_fd()) {
            return self.finish_stream(id, None);
        }
        self.timers.set(id, Purpose::Look, after);
    }

    /// The stream is over because of an error.
    fn fail_stream(&mut self, id: StreamId, error: NetworkError) {
        self.counters.streams.failed += 1;
        self.finish_stream(id, Some(error));
    }

    /// A stream that its task has closed is broken off.
    fn break_off(&mut self, id: StreamId) {
        if let Some(stream) = self.remove_stream(id) {
            let peer = stream.peer;
            sys::abort(stream.fd);
            self.events.push_answer(NetworkEvent::StreamClosed {
                stream: id,
                peer,
                error: None,
            });
        }
    }

    /// The stream is over, and its worker is to be told.
    fn finish_stream(&mut self, id: StreamId, error: Option<NetworkError>) {
        if let Some(stream) = self.remove_stream(id) {
            self.events.push_answer(NetworkEvent::StreamClosed {
                stream: id,
                peer: stream.peer,
                error,
            });
        }
    }

    /// Takes a stream out, counting what it has not sent.
    fn remove_stream(&mut self, id: StreamId) -> Option<Stream> {
        let mut stream = self.tcp.streams.remove(id.key())?;
        self.counters.streams.bytes_unsent += stream.discard();
        self.timers.clear(id);
        self.readiness.remove(id.into(), stream.fd.as_fd());
        for listener in core::mem::take(&mut self.tcp.paused) {
            self.timers.set(listener, Purpose::Look, Duration::ZERO);
        }
        Some(stream)
    }

    /// A stream was not connected, or did not send what was written, in the time given.
    pub(super) fn give_up(&mut self, id: StreamId) {
        match self.tcp.streams.get(id.key()).map(|stream| stream.phase) {
            Some(Phase::Connecting { token }) => {
                if let Some(event) = self.fail_connect(id, token, NetworkError::TimedOut) {
                    self.events.push_answer(event);
                }
            }
            Some(Phase::Closing { .. }) => self.break_off(id),
            Some(Phase::Open) | None => {}
        }
    }

    /// Takes a stream out that could not be connected.
    fn fail_connect(
        &mut self,
        id: StreamId,
        token: Token,
        error: NetworkError,
    ) -> Option<NetworkEvent> {
        let peer = self.remove_stream(id)?.peer;
        self.counters.streams.connect_failed += 1;
        Some(NetworkEvent::ConnectFailed {
            stream: id,
            token,
            peer,
            error,
        })
    }
}

/// A stream with so much to send does not wait for the next flush.
const LONG_BYTES: usize = 64 << 10;

/// When a closed stream is first looked at again, if the peer has not acknowledged all.
const LOOK_FIRST: Duration = Duration::from_millis(1);

/// The longest time between two looks.
const LOOK_LAST: Duration = Duration::from_millis(256);

#[cfg(test)]
#[path = "tcp/tests.rs"]
mod tests;
