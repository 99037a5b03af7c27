//! Reads what streams bring, and hands it over.

use std::os::fd::AsFd;

use super::stream::{Direction, Phase};
use super::{Tcp, sys};
use crate::backend::BackendConfig;
use crate::backend::port::{Left, SocketPort};
use crate::backend::readiness::{Matter, Ready, TakenBytes};
use crate::backend::received::take_received;
use crate::backend::sys::Errno;
use crate::buffer::{Buffer, BufferPool};
use crate::id::StreamId;
use crate::net::{NetworkError, NetworkEvent, Token};
use crate::time::Timestamp;

/// The reading half: memory that is read into, kept from one read to the next.
///
/// What is short is copied out, so that a task that keeps it does not keep 64 KiB. What is long is
/// handed on where it is.
pub(in crate::backend) struct Reader {
    buffer: Buffer,
    pool: BufferPool,
}

/// What one read came to.
enum Read {
    /// So many bytes, and whether there may be more.
    Bytes(usize, Left),
    /// Bytes that were read already. There may be more.
    Taken(Buffer),
    End,
    Nothing,
    Failed(Errno),
}

impl Reader {
    pub(in crate::backend) fn new(config: &BackendConfig) -> Self {
        Self {
            buffer: Buffer::empty(),
            pool: config.buffers.clone(),
        }
    }

    /// Does what a stream is ready for: a bounded amount of it.
    pub(in crate::backend) fn handle_ready(
        &mut self,
        now: Timestamp,
        id: StreamId,
        ready: Ready,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        let Some(stream) = port.tcp.streams.get(id.key()) else {
            return;
        };
        if let Phase::Connecting { token } = stream.phase {
            return connected(now, id, token, port, on_event);
        }
        if ready.writable || ready.error || ready.read_ended {
            port.send_when_writable(id);
        }
        if ready.readable || ready.error || ready.read_ended {
            self.read(now, id, ready, port, on_event);
            port.send_now(id);
        }
    }

    /// Hands over what a stream has received, as long as its task wants it.
    fn read(
        &mut self,
        now: Timestamp,
        id: StreamId,
        ready: Ready,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        for _ in 0..READS_MAX {
            let Some(stream) = port.tcp.streams.get(id.key()) else {
                return;
            };
            if !stream.reads() {
                return port.check_unread(id);
            }
            let read = match port.readiness.take_bytes(id.into()) {
                TakenBytes::Bytes(data) => Read::Taken(data),
                TakenBytes::End => Read::End,
                TakenBytes::Failed(error) => Read::Failed(error),
                TakenBytes::Nothing => return,
                TakenBytes::Ask => self.read_once(&port.tcp, id, ready),
            };
            match read {
                Read::Bytes(count, left) => {
                    let memory = &mut self.buffer;
                    let data = || take_received(memory, 0, count, &self.pool);
                    hand_over(now, id, count, data, port, on_event);
                    if left == Left::Nothing {
                        port.readiness.asked(id.into());
                        return;
                    }
                }
                Read::Taken(data) => hand_over(now, id, data.len(), || data, port, on_event),
                Read::End => return read_ended(now, id, port, on_event),
                Read::Nothing => return port.readiness.asked(id.into()),
                Read::Failed(error) => return port.reading_failed(id, error),
            }
        }
        port.stream_again(id);
    }

    fn read_once(&mut self, tcp: &Tcp, id: StreamId, ready: Ready) -> Read {
        let Some(stream) = tcp.streams.get(id.key()) else {
            return Read::Nothing;
        };
        if self.buffer.memory() == 0 {
            self.buffer = self.pool.take(READ_BYTES);
        }
        let memory = &mut self.buffer.unfilled()[..READ_BYTES];
        match sys::read(stream.fd.as_fd(), memory) {
            Ok(0) => Read::End,
            // The next wait tells of what comes later. It may not tell again of an end that it has
            // told of now.
            Ok(count) if count < READ_BYTES && !ready.read_ended => {
                Read::Bytes(count, Left::Nothing)
            }
            Ok(count) => Read::Bytes(count, Left::Something),
            Err(error) if error.is_empty() => Read::Nothing,
            Err(error) if error.is_interrupted() => Read::Bytes(0, Left::Something),
            Err(error) => Read::Failed(error),
        }
    }
}

/// Hands over bytes that were read.
fn hand_over(
    now: Timestamp,
    id: StreamId,
    count: usize,
    data: impl FnOnce() -> Buffer,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) {
    let delivers = port
        .tcp
        .streams
        .get(id.key())
        .is_some_and(super::Stream::delivers);
    if count == 0 || !delivers {
        return; // Its task has closed it: this is for nobody.
    }
    let data = data();
    port.counters.streams.bytes_in += count as u64;
    on_event(now, NetworkEvent::Received { stream: id, data }, port);
}

impl SocketPort {
    fn send_when_writable(&mut self, id: StreamId) {
        if let Some(stream) = self.tcp.streams.get(id.key())
            && stream.sending == super::stream::Sending::WhenWritable
        {
            self.send_stream(id);
        }
    }

    /// Sends what was written to a stream that has just been read, without waiting for the flush.
    /// An answer most often goes back where its request came from: its bytes are in the cache still,
    /// and the peer goes on while others are read. Where the next wait sends, it sends for all.
    fn send_now(&mut self, id: StreamId) {
        if let Some(stream) = self.tcp.streams.get(id.key())
            && stream.sending == super::stream::Sending::AtFlush
            && self.readiness.sends_max(Matter::Bytes) == 0
        {
            self.send_stream(id);
        }
    }

    /// A stream that is not read was told of: if it is broken off, that is all that can be.
    fn check_unread(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get(id.key()) else {
            return;
        };
        if stream.interest == super::Interest::Errors {
            let error = match sys::take_error(stream.fd.as_fd()) {
                Ok(Some(error)) | Err(error) => error.to_network_error(),
                Ok(None) => NetworkError::ConnectionReset,
            };
            self.fail_stream(id, error);
        }
    }

    fn reading_failed(&mut self, id: StreamId, error: Errno) {
        let Some(stream) = self.tcp.streams.get(id.key()) else {
            return;
        };
        let error = stream.broken.unwrap_or(error).to_network_error();
        if stream.is_closing() {
            self.counters.streams.failed += 1;
            return self.finish_stream(id, None);
        }
        self.fail_stream(id, error);
    }
}

/// A stream that was being connected is so now, or could not be.
fn connected(
    now: Timestamp,
    id: StreamId,
    token: Token,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) {
    let Some(stream) = port.tcp.streams.get_mut(id.key()) else {
        return;
    };
    let fd = stream.fd.as_fd();
    let outcome = match sys::take_error(fd) {
        Ok(None) => sys::stream_address(fd),
        Ok(Some(error)) | Err(error) => Err(error),
    };
    let event = match outcome {
        // A port of our own may be chosen as the very one that is asked for. TCP then connects a
        // socket to itself (RFC 9293, 3.5), which nobody has ever wanted.
        Ok(local) if local == stream.peer => {
            port.fail_connect(id, token, NetworkError::ConnectionRefused)
        }
        Ok(local) => {
            stream.phase = Phase::Open;
            let (peer, room) = (stream.peer, stream.room.tell());
            port.counters.streams.connected += 1;
            port.timers.clear(id);
            port.update_interest(id);
            Some(NetworkEvent::Connected {
                stream: id,
                token,
                peer,
                local,
                room,
            })
        }
        Err(error) => port.fail_connect(id, token, error.to_network_error()),
    };
    if let Some(event) = event {
        on_event(now, event, port);
    }
    // The end may have been asked for while it was being connected.
    if let Some(stream) = port.tcp.streams.get(id.key())
        && stream.write == Direction::Ending
    {
        port.send_at_flush(id);
    }
}

/// The peer has ended its direction.
fn read_ended(
    now: Timestamp,
    id: StreamId,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) {
    let Some(stream) = port.tcp.streams.get_mut(id.key()) else {
        return;
    };
    if let Some(error) = stream.broken {
        return port.reading_failed(id, error);
    }
    let delivers = stream.delivers();
    stream.read = Direction::Ended;
    port.update_interest(id);
    if delivers {
        on_event(now, NetworkEvent::ReadEnded { stream: id }, port);
    }
    port.look_at_end(id);
}

/// Bytes that one read takes at most.
const READ_BYTES: usize = 64 << 10;

/// Reads of one stream at one wake-up.
const READS_MAX: usize = 4;
