//! Hands what was written to streams to the kernel together with the next wait, where that can be:
//! a wake-up in which a hundred streams have something to say then costs one call.
//!
//! What the kernel has not taken is sent as always then, which finds out why, and does what is to
//! be done about it.
#![expect(unsafe_code, reason = "a promise that memory stays where it is")]

use std::os::fd::AsFd;

use super::send::PARTS_MAX;
use super::stream::{Phase, Sending, Stream};
use super::{SocketPort, Tcp};
use crate::backend::readiness::{Link, Matter, Sent};
use crate::backend::sys::GatherScratch;
use crate::id::StreamId;

impl SocketPort {
    /// Has the next wait send what was written; [`SocketPort::settle_tcp`] says what came of it.
    pub(in crate::backend) fn send_tcp_with_wait(&mut self) {
        if self.tcp.at_flush.is_empty() {
            return;
        }
        let room = self.readiness.sends_max(Matter::Bytes);
        if room == 0 {
            return self.flush_tcp();
        }
        let mut streams = core::mem::take(&mut self.tcp.at_flush);
        for id in streams.drain(..) {
            let Some(stream) = self.tcp.streams.get_mut(id.key()) else {
                continue;
            };
            if stream.sending != Sending::AtFlush {
                continue; // Its bytes are gone already, or about to go.
            }
            if self.tcp.together.len() < room && can_wait(stream) {
                stream.sending = Sending::WithWait;
                self.tcp.together.push(id);
            } else {
                self.send_stream(id);
            }
        }
        self.tcp.at_flush = streams;
        self.hand_over_streams();
    }

    fn hand_over_streams(&mut self) {
        let Tcp {
            streams,
            gather,
            together,
            ..
        } = &mut self.tcp;
        let mut batch = gather.begin();
        for id in &*together {
            let Some(stream) = streams.get(id.key()) else {
                unreachable!("{id} was there when it was noted");
            };
            batch.push(stream.queue.iter().take(PARTS_MAX).map(|part| &part[..]));
        }
        for (id, header) in together.iter().zip(batch.finish()) {
            let Some(stream) = streams.get(id.key()) else {
                unreachable!("{id} was there when it was noted");
            };
            // SAFETY: it points into `gather` and at the buffers of the stream. Neither is touched
            // before the wait that follows has returned and `settle_tcp` was called, which looks
            // whether they have to stay for ever.
            unsafe { (self.readiness).send(stream.fd.as_fd(), header, Link::First) };
        }
    }

    /// Does what is to be done about what the last wait has sent, or not sent: all but the first
    /// `others` messages.
    pub(in crate::backend) fn settle_tcp(&mut self, others: usize) {
        if self.tcp.together.is_empty() {
            return;
        }
        let mut together = core::mem::take(&mut self.tcp.together);
        let mut results = core::mem::take(&mut self.tcp.sent);
        results.clear();
        match self.readiness.sent() {
            Sent::Known(known) => results.extend_from_slice(known.get(others..).unwrap_or(&[])),
            Sent::Lost => self.keep_streams(&together),
        }
        for (index, &id) in together.iter().enumerate() {
            if let Some(&result) = results.get(index)
                && let Ok(count) = usize::try_from(result)
                && let Some(stream) = self.tcp.streams.get_mut(id.key())
            {
                self.counters.streams.bytes_out += count as u64;
                stream.sent(count);
            }
            self.send_stream(id);
        }
        together.clear();
        (self.tcp.together, self.tcp.sent) = (together, results);
    }

    /// The kernel may look at the bytes at any time from now on, so they stay where they are.
    fn keep_streams(&mut self, together: &[StreamId]) {
        let gather = core::mem::replace(&mut self.tcp.gather, GatherScratch::new());
        Box::leak(Box::new(gather));
        for id in together {
            if let Some(stream) = self.tcp.streams.get(id.key()) {
                Box::leak(Box::new(stream.queue.clone())); // Shares the memory, and so keeps it.
            }
        }
    }
}

/// Whether what a stream has to send can go with a wait.
fn can_wait(stream: &Stream) -> bool {
    let is_connected = !matches!(stream.phase, Phase::Connecting { .. });
    is_connected && stream.broken.is_none() && !stream.queue.is_empty()
}
