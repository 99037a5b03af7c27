//! Sends what was written, and ends our direction behind it.

use std::os::fd::AsFd;

use super::stream::{Direction, Phase, Sending, Stream};
use crate::backend::port::SocketPort;
use crate::backend::sys::{self, Errno, WriteScratch};
use crate::counters::StreamCounters;
use crate::id::StreamId;
use crate::stream::Reading;

impl SocketPort {
    /// Notes that a stream has something to send.
    pub(super) fn send_at_flush(&mut self, id: StreamId) {
        if let Some(stream) = self.tcp.streams.get_mut(id.key())
            && stream.sending == Sending::Idle
        {
            stream.sending = Sending::AtFlush;
            self.tcp.at_flush.push(id);
        }
    }

    /// Sends what was written to streams, as far as the kernel takes it.
    pub(in crate::backend) fn flush_tcp(&mut self) {
        let mut streams = core::mem::take(&mut self.tcp.at_flush);
        for id in streams.drain(..) {
            let waits = |stream: &Stream| stream.sending == Sending::AtFlush;
            if self.tcp.streams.get(id.key()).is_some_and(waits) {
                self.send_stream(id);
            }
        }
        self.tcp.at_flush = streams; // Nothing was added meanwhile: sending is not written to.
    }

    /// Sends what was written to one stream, as far as the kernel takes it, and ends our direction
    /// behind it if that is asked.
    pub(super) fn send_stream(&mut self, id: StreamId) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return;
        };
        if matches!(stream.phase, Phase::Connecting { .. }) || stream.broken.is_some() {
            return;
        }
        match send(stream, &mut self.tcp.scratch, &mut self.counters.streams) {
            Ok(()) => {
                let sending = stream.sending;
                self.update_interest(id);
                if sending == Sending::Idle {
                    self.look_at_end(id);
                }
                self.tell_room(id);
            }
            Err(error) => self.sending_failed(id, error),
        }
    }

    /// Nothing more can be sent. What the peer has sent before is still read, if anybody does.
    fn sending_failed(&mut self, id: StreamId, error: Errno) {
        let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
            return;
        };
        if stream.is_closing() {
            self.counters.streams.failed += 1;
            return self.finish_stream(id, None);
        }
        let goes_on = stream.reading == Reading::Flowing && stream.read == Direction::Open;
        if !goes_on {
            return self.fail_stream(id, error.to_network_error());
        }
        self.counters.streams.bytes_unsent += stream.discard();
        stream.sending = Sending::Idle;
        stream.broken = Some(error);
        self.update_interest(id);
        self.stream_again(id);
    }
}

/// Writes until the queue is empty, or the kernel takes no more.
fn send(
    stream: &mut Stream,
    scratch: &mut WriteScratch,
    counters: &mut StreamCounters,
) -> Result<(), Errno> {
    while !stream.queue.is_empty() {
        let mut parts = scratch.begin();
        for part in stream.queue.iter().take(PARTS_MAX) {
            parts.push(part);
        }
        match parts.write(stream.fd.as_fd()) {
            Ok(count) => {
                counters.bytes_out += count as u64;
                stream.sent(count);
            }
            Err(error) if error.is_interrupted() => {}
            Err(error) if error.is_full() => {
                stream.sending = Sending::WhenWritable;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    stream.sending = Sending::Idle;
    if stream.write == Direction::Ending {
        sys::end_write(stream.fd.as_fd())?;
        stream.write = Direction::Ended;
    }
    Ok(())
}

/// Buffers that one write takes.
pub(super) const PARTS_MAX: usize = 64;
