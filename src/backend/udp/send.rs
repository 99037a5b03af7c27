//! Hands queued datagrams to the kernel.
//!
//! No datagram is lost in silence. One that the kernel has no room for waits in its socket's
//! backlog, and those after it behind it. One that fails is counted and told. An error is only
//! believed to be a datagram's own when it comes again: the first may be an ICMP error that an
//! earlier datagram has caused. A run that the kernel cannot cut goes out as single datagrams.

use core::ops::Range;
use std::os::fd::AsFd;

use super::backlog::Waiting;
use super::queue::{Entry, Joining, Memory, SendQueue, Sending};
use super::socket::Socket;
use super::{Left, RunsOut, STRANGE_ERRORS_MAX, SocketPort};
use crate::backend::sys::{Batching, Envelope, Errno, SendBatch, SendScratch};
use crate::id::SocketId;
use crate::net::NetworkError;
use crate::udp::WhenFull;

/// The next datagram to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub(super) entry: usize,
    datagram: usize,
}

impl Cursor {
    /// The first datagram of an entry.
    pub(super) const fn at(entry: usize) -> Self {
        Self { entry, datagram: 0 }
    }
}

/// Where a row of entries comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Submitted since the last flush.
    Fresh,
    /// Taken out of the backlog.
    Waited,
}

impl SocketPort {
    /// Sends all that is queued, or puts it into backlogs.
    pub(in crate::backend) fn flush_udp(&mut self) {
        let mut start = 0;
        while let Some(row) = self.udp.queue.row(start) {
            start = row.end;
            self.send_row(row, Row::Fresh);
        }
        if start > 0 {
            self.udp.queue.clear();
        }
    }

    /// Sends some of what waits at a socket. Nothing is left that the kernel would take, unless it
    /// says so.
    pub(in crate::backend) fn send_backlog(&mut self, id: SocketId) -> Left {
        // What was queued meanwhile comes after it.
        self.flush_udp();
        let Some(socket) = self.udp.sockets.get_mut(id.key()) else {
            return Left::Nothing;
        };
        if socket.backlog.is_empty() {
            return Left::Nothing;
        }
        for _ in 0..MESSAGES_MAX {
            let Some(run) = socket.backlog.pop() else {
                break;
            };
            let len = run.payload.len();
            let memory = Memory::Owned(run.payload);
            self.udp
                .queue
                .push(run.to, memory, len, run.segment_size, Joining::Useless);
        }
        self.send_row(0..self.udp.queue.entries().len(), Row::Waited);
        self.udp.queue.clear();
        match self.udp.sockets.get(id.key()) {
            Some(socket) if socket.backlog.is_empty() => {
                self.change_interest(id);
                Left::Nothing
            }
            Some(_) => Left::Something,
            None => Left::Nothing,
        }
    }

    /// Sends what waits at a socket, as far as the kernel takes it now.
    pub(super) fn send_whole_backlog(&mut self, id: SocketId) {
        let waiting = |port: &Self| {
            port.udp
                .sockets
                .get(id.key())
                .map_or(0, |open| open.backlog.len())
        };
        let mut left = waiting(self);
        while left > 0 {
            self.send_backlog(id);
            let before = core::mem::replace(&mut left, waiting(self));
            if left == before {
                return;
            }
        }
    }

    /// Sends entries of one socket.
    pub(super) fn send_row(&mut self, row: Range<usize>, origin: Row) {
        let cursor = Cursor::at(row.start);
        let id = self.udp.queue.entries()[row.start].to.socket;
        let Some(socket) = self.udp.sockets.get_mut(id.key()) else {
            unreachable!("{id} was closed with datagrams queued");
        };
        if origin == Row::Fresh && !socket.backlog.is_empty() {
            return self.postpone(cursor, row.end, origin);
        }
        choose_how(
            &mut self.udp.queue.entries_mut()[row.clone()],
            socket,
            self.udp.runs_out,
        );
        self.send_from(cursor, row.end, origin);
    }

    /// Sends what is left of a row.
    pub(super) fn send_from(&mut self, mut cursor: Cursor, end: usize, origin: Row) {
        let id = self.udp.queue.entries()[cursor.entry].to.socket;
        let mut errors = 0;
        while cursor.entry < end {
            let Some(socket) = self.udp.sockets.get(id.key()) else {
                return;
            };
            let (queue, scratch) = (&self.udp.queue, &mut self.udp.scratch);
            match send_some(socket, queue, scratch, cursor, end, self.udp.batching) {
                Ok(messages) => {
                    errors = 0;
                    (0..messages).for_each(|_| self.count_sent(&mut cursor));
                }
                Err(error) if error.is_full() => {
                    return self.postpone(cursor, end, origin);
                }
                Err(error) if error.is_out_of_memory() && origin == Row::Fresh => {
                    return self.postpone(cursor, end, origin);
                }
                Err(error) if error.refuses_run() && self.is_run(cursor) => {
                    self.udp.queue.entries_mut()[cursor.entry].sending = Sending::Refused;
                }
                // Waiting has not helped against a full queue behind the socket. That one goes, so
                // that this does not spin.
                Err(error) if error.is_out_of_memory() || errors == STRANGE_ERRORS_MAX => {
                    errors = 0;
                    self.count_failed(&mut cursor, error);
                }
                Err(_) => errors += 1,
            }
        }
    }

    /// Whether the next message is a whole run.
    fn is_run(&self, cursor: Cursor) -> bool {
        let entry = &self.udp.queue.entries()[cursor.entry];
        entry.datagrams > 1 && entry.sending == Sending::Whole
    }

    /// Goes past a message that the kernel took.
    #[inline]
    pub(super) fn count_sent(&mut self, cursor: &mut Cursor) {
        let entry = &mut self.udp.queue.entries_mut()[cursor.entry];
        if entry.sending == Sending::Refused {
            // It was not the datagram itself that was refused, but the run.
            entry.sending = Sending::Singly;
            if let Some(socket) = self.udp.sockets.get_mut(entry.to.socket.key()) {
                socket.refusals.add(entry.to.peer.ip());
            }
        }
        let (datagrams, bytes) = pass(&self.udp.queue, cursor);
        self.counters.datagrams_out += datagrams;
        self.counters.bytes_out += bytes;
    }

    /// Goes past a message that the kernel does not take.
    fn count_failed(&mut self, cursor: &mut Cursor, error: Errno) {
        let entry = &self.udp.queue.entries()[cursor.entry];
        let (to, len) = (entry.to, entry.datagram_len());
        let error = if error.is_too_long() {
            // The path takes less than this; how much less, nobody said.
            let max = len.saturating_sub(1);
            NetworkError::TooLong { len, max }
        } else if error.is_out_of_memory() {
            NetworkError::QueueFull
        } else {
            error.to_network_error()
        };
        let (datagrams, _) = pass(&self.udp.queue, cursor);
        self.send_failed(&to, error, datagrams);
    }

    /// Moves what is left of a row to the socket's backlog, as far as that has room.
    fn postpone(&mut self, from: Cursor, end: usize, origin: Row) {
        match origin {
            Row::Fresh => {
                for index in from.entry..end {
                    self.postpone_fresh(index, from);
                }
            }
            // They have their places, before all others: the last goes in first.
            Row::Waited => {
                for index in (from.entry..end).rev() {
                    let run = self.waiting(index, from);
                    if let Some(socket) = self.udp.sockets.get_mut(run.to.socket.key()) {
                        socket.backlog.push_front(run);
                    }
                }
            }
        }
    }

    fn postpone_fresh(&mut self, index: usize, from: Cursor) {
        let run = self.waiting(index, from);
        let Some(socket) = self.udp.sockets.get_mut(run.to.socket.key()) else {
            return;
        };
        let len = run.payload.len();
        if !socket.backlog.has_room(len) {
            match socket.when_full {
                WhenFull::Fail => {
                    return self.send_failed(&run.to, NetworkError::QueueFull, run.datagrams());
                }
                WhenFull::DropNewest => return self.counters.queue_dropped += run.datagrams(),
                WhenFull::DropOldest => {
                    self.counters.queue_dropped += socket.backlog.make_room(len);
                }
            }
        }
        let (id, first) = (run.to.socket, socket.backlog.is_empty());
        socket.backlog.push_back(run);
        if first {
            self.change_interest(id);
        }
    }

    /// What is left of an entry, in a buffer.
    fn waiting(&self, index: usize, from: Cursor) -> Waiting {
        let entry = &self.udp.queue.entries()[index];
        let sent = if index == from.entry {
            from.datagram
        } else {
            0
        };
        Waiting {
            to: entry.to,
            payload: self.udp.queue.to_buffer(entry, sent, &self.buffers),
            segment_size: entry.segment_size,
        }
    }
}

/// Settles for each entry whether it goes out whole.
pub(super) fn choose_how(entries: &mut [Entry], socket: &mut Socket, runs_out: RunsOut) {
    for entry in entries.iter_mut().filter(|entry| entry.datagrams > 1) {
        if runs_out == RunsOut::No || socket.refusals.count_send(entry.to.peer.ip()) {
            entry.sending = Sending::Singly;
        }
    }
}

/// Sends messages from `cursor` on, and says how many the kernel took.
fn send_some(
    socket: &Socket,
    queue: &SendQueue,
    scratch: &mut SendScratch,
    mut cursor: Cursor,
    end: usize,
    batching: Batching,
) -> Result<usize, Errno> {
    let mut batch = scratch.begin(socket.domain, socket.peer.is_some());
    while cursor.entry < end && batch.len() < MESSAGES_MAX {
        push(&mut batch, socket, queue, &mut cursor);
    }
    batch.send(socket.fd.as_fd(), batching)
}

/// Adds the next message, and moves `cursor` past it.
#[inline]
pub(super) fn push<'d>(
    batch: &mut SendBatch<'_, 'd>,
    socket: &Socket,
    queue: &'d SendQueue,
    cursor: &mut Cursor,
) {
    let entry = &queue.entries()[cursor.entry];
    let mut envelope = Envelope {
        peer: entry.to.peer,
        source: entry.to.source.filter(|source| {
            !source.is_unspecified() && !source.is_multicast() && socket.local.ip() != *source
        }),
        traffic_class: Some(entry.to.traffic_class).filter(|byte| *byte != socket.traffic_class()),
        segment_size: None,
    };
    if entry.sending == Sending::Whole {
        if entry.datagrams > 1 {
            envelope.segment_size = u16::try_from(entry.segment_size).ok();
        }
        batch.push(&envelope, queue.parts(entry));
    } else {
        let datagram = queue.datagram(entry, cursor.datagram);
        batch.push(&envelope, core::iter::once(datagram));
    }
    pass(queue, cursor);
}

/// Moves `cursor` past one message. Gives the message's datagrams and bytes.
#[inline]
fn pass(queue: &SendQueue, cursor: &mut Cursor) -> (u64, u64) {
    let entry = &queue.entries()[cursor.entry];
    if entry.sending == Sending::Whole {
        cursor.entry += 1;
        return (entry.datagrams as u64, entry.len as u64);
    }
    let bytes = queue.datagram(entry, cursor.datagram).len();
    cursor.datagram += 1;
    if cursor.datagram == entry.datagrams {
        *cursor = Cursor::at(cursor.entry + 1);
    }
    (1, bytes as u64)
}

/// Messages handed to the kernel with one call.
const MESSAGES_MAX: usize = 64;

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
