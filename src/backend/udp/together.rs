//! Hands queued datagrams to the kernel together with the next wait, where that can be: a wake-up
//! then costs one call, which sends what the last one has caused, and waits.
//!
//! Messages of one socket are chained, so that none is sent if the one before it was not. What was
//! not sent is sent as always then, which finds out why, and does what is to be done about it.
#![expect(unsafe_code, reason = "a promise that memory stays where it is")]

use core::ops::Range;
use std::os::fd::AsFd;

use super::queue::SendQueue;
use super::send::{Cursor, Row, choose_how, push};
use super::{SocketPort, Udp};
use crate::backend::readiness::{Link, Matter, Sent};
use crate::backend::sys::{Domain, SendScratch};

/// Messages of one socket that are handed over with the next wait.
pub(super) struct Together {
    entries: Range<usize>,
    messages: usize,
}

impl SocketPort {
    /// Has the next wait send what is queued; [`SocketPort::settle_udp`] says what came of it. Much
    /// is sent at once: one call for each socket costs less then than a chain.
    pub(in crate::backend) fn send_udp_with_wait(&mut self) {
        if self.udp.queue.entries().is_empty() {
            return;
        }
        let mut room = self
            .readiness
            .sends_max(Matter::Datagrams)
            .min(MESSAGES_MAX);
        if self.udp.queue.entries().len() > room {
            return self.flush_udp();
        }
        let mut start = 0;
        while let Some(row) = self.udp.queue.row(start) {
            start = row.end;
            self.take_row(row, &mut room);
        }
        if self.udp.together.is_empty() {
            self.udp.queue.clear();
        } else {
            self.hand_over_rows();
        }
    }

    /// Notes a row to be sent with the wait, or sends it at once.
    fn take_row(&mut self, entries: Range<usize>, room: &mut usize) {
        let id = self.udp.queue.entries()[entries.start].to.socket;
        let Some(socket) = self.udp.sockets.get_mut(id.key()) else {
            unreachable!("{id} was closed with datagrams queued");
        };
        let is_free = socket.backlog.is_empty();
        if is_free {
            let entries = &mut self.udp.queue.entries_mut()[entries.clone()];
            choose_how(entries, socket, self.udp.runs_out);
        }
        let messages = self.udp.queue.messages(entries.clone());
        if is_free && messages <= *room {
            *room -= messages;
            self.udp.together.push(Together { entries, messages });
        } else {
            self.send_row(entries, Row::Fresh);
        }
    }

    fn hand_over_rows(&mut self) {
        let Udp {
            sockets,
            queue,
            scratch,
            together,
            ..
        } = &mut self.udp;
        let mut batch = scratch.begin(Domain::V4, false);
        for row in &*together {
            let id = queue.entries()[row.entries.start].to.socket;
            let Some(socket) = sockets.get(id.key()) else {
                unreachable!("{id} was there when the row was noted");
            };
            batch.turn_to(socket.domain, socket.peer.is_some());
            let mut cursor = Cursor::at(row.entries.start);
            while cursor.entry < row.entries.end {
                push(&mut batch, socket, queue, &mut cursor);
            }
        }
        let mut headers = batch.finish();
        for row in &*together {
            let id = queue.entries()[row.entries.start].to.socket;
            let Some(socket) = sockets.get(id.key()) else {
                unreachable!("{id} was there when the row was noted");
            };
            let mut link = Link::First;
            for header in headers.by_ref().take(row.messages) {
                // SAFETY: it points into `scratch` and `queue`. Neither is touched before the wait
                // that follows has returned and `settle_udp` was called, which looks whether they
                // have to stay for ever.
                unsafe { self.readiness.send(socket.fd.as_fd(), header, link) };
                link = Link::BehindTheLast;
            }
        }
    }

    /// Does what is to be done about what the last wait has sent, or not sent. Says how many
    /// messages that were.
    pub(in crate::backend) fn settle_udp(&mut self) -> usize {
        if self.udp.together.is_empty() {
            return 0;
        }
        let mut rows = core::mem::take(&mut self.udp.together);
        let messages = rows.iter().map(|row| row.messages).sum();
        let Sent::Known(results) = self.readiness.sent() else {
            self.abandon(&rows);
            return messages;
        };
        let mut sent = core::mem::take(&mut self.udp.sent);
        sent.clear();
        let mut results = results.iter();
        sent.extend(rows.iter().map(|row| {
            let results = results.by_ref().take(row.messages);
            results.take_while(|result| **result >= 0).count()
        }));
        for (row, &sent) in rows.iter().zip(&sent) {
            let mut cursor = Cursor::at(row.entries.start);
            (0..sent).for_each(|_| self.count_sent(&mut cursor));
            if cursor.entry < row.entries.end {
                self.send_from(cursor, row.entries.end, Row::Fresh);
            }
        }
        rows.clear();
        (self.udp.together, self.udp.sent) = (rows, sent);
        self.udp.queue.clear();
        messages
    }

    /// The kernel may look at the messages at any time from now on, so they stay where they are.
    fn abandon(&mut self, rows: &[Together]) {
        let queue = core::mem::replace(&mut self.udp.queue, SendQueue::new());
        let scratch = core::mem::replace(&mut self.udp.scratch, SendScratch::new());
        let entries = rows
            .iter()
            .flat_map(|row| &queue.entries()[row.entries.clone()]);
        let datagrams = entries.map(|entry| entry.datagrams as u64).sum::<u64>();
        self.counters.send_failed += datagrams;
        Box::leak(Box::new((queue, scratch)));
    }
}

/// Messages that a wait takes along.
const MESSAGES_MAX: usize = 16;

#[cfg(all(test, feature = "io-uring", target_os = "linux"))]
#[path = "together_tests.rs"]
mod tests;
