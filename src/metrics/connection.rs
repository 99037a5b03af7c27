//! One connection to the server of metrics: a state machine that answers one request at a time.
//!
//! An answer is handed to the stream as far as there is room. While a part of it waits, nothing is
//! read, so that a client that asks and does not listen holds one answer and what one read brings.

use core::time::Duration;

use crate::stream::{Reading, StreamWriter};
use crate::task::{App, Outbox};
use crate::time::{Deadline, Timestamp};

use super::CONTENT_TYPE;
use super::http::{self, After, BadHead, Body, HEAD_BYTES_MAX, Method, Request, Status, Target};
use super::pages::Pages;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    writer: StreamWriter,
    state: State,
    reading: Reading,
    /// What has come and is no part of a request that was answered.
    unread: Vec<u8>,
    /// Of this, what has been searched for the end of a head.
    searched: usize,
    /// How much of it there must be for a look at a head without end: it may be wrong already.
    look_at: usize,
    /// By when something must have happened.
    until: Timestamp,
    idle_max: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests are answered.
    Open,
    /// The last answer is given; what comes now is not looked at.
    Ending,
}

/// Whether a connection is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    GoesOn,
    Over,
}

impl Connection {
    pub(super) const fn new(now: Timestamp, writer: StreamWriter, idle_max: Duration) -> Self {
        Self {
            writer,
            state: State::Open,
            reading: Reading::Flowing,
            unread: Vec::new(),
            searched: 0,
            look_at: 1,
            until: now.after(idle_max),
            idle_max,
        }
    }

    pub(super) fn handle_received<A: App>(
        &mut self,
        now: Timestamp,
        data: &[u8],
        pages: &mut Pages,
        outbox: &mut Outbox<A>,
    ) {
        if self.state == State::Ending {
            return;
        }
        if self.unread.is_empty() {
            self.until = now.after(self.idle_max); // For the whole head, however slowly it comes.
        }
        self.unread.extend_from_slice(data);
        self.answer_all(now, pages, outbox);
    }

    pub(super) fn handle_writable<A: App>(
        &mut self,
        now: Timestamp,
        room: usize,
        pages: &mut Pages,
        outbox: &mut Outbox<A>,
    ) {
        self.writer.handle_writable(room, outbox);
        self.set_deadline(now);
        self.answer_all(now, pages, outbox);
    }

    /// The client says no more. What it has asked is answered.
    pub(super) fn handle_read_ended<A: App>(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        self.end(now, outbox);
    }

    pub(super) fn handle_timeout<A: App>(
        &mut self,
        now: Timestamp,
        pages: &Pages,
        outbox: &mut Outbox<A>,
    ) -> Life {
        if now < self.until {
            return Life::GoesOn;
        }
        if self.writer.waiting() > 0 {
            outbox.reset(self.writer.stream()); // It does not listen.
        } else if self.state == State::Open && !self.unread.is_empty() {
            self.refuse(now, Status::TIMED_OUT, pages, outbox);
            return Life::GoesOn;
        } else {
            outbox.close(self.writer.stream());
        }
        Life::Over
    }

    /// Finishes the answer that is on its way, if there is one.
    pub(super) fn handle_shutdown<A: App>(
        &mut self,
        now: Timestamp,
        outbox: &mut Outbox<A>,
    ) -> Life {
        if self.writer.waiting() == 0 {
            outbox.close(self.writer.stream());
            return Life::Over;
        }
        self.end(now, outbox);
        Life::GoesOn
    }

    pub(super) fn poll_timeout(&self) -> Deadline {
        let reason = match self.state {
            State::Open if self.writer.waiting() > 0 => "slow client of metrics",
            State::Open => "idle client of metrics",
            State::Ending => "client of metrics to go",
        };
        Deadline::new(self.until, reason)
    }

    /// Gives a last answer, out of turn.
    pub(super) fn refuse<A: App>(
        &mut self,
        now: Timestamp,
        status: Status,
        pages: &Pages,
        outbox: &mut Outbox<A>,
    ) {
        let text = match status {
            Status::HEAD_TOO_LONG => "The request's head is too long.\n",
            Status::TIMED_OUT => "The request did not come in time.\n",
            Status::UNAVAILABLE => "Too many connections.\n",
            _ => "This is no request.\n",
        };
        let mut answer = http::head(status, TEXT, text.len(), After::Close);
        answer.extend_from_slice(text.as_bytes());
        self.writer.write(pages.copy(&answer), outbox);
        self.end(now, outbox);
    }

    /// Answers what has been asked, one request after the other, as long as the answers go out.
    /// Each takes of the stream's room, so there is an end.
    fn answer_all<A: App>(&mut self, now: Timestamp, pages: &mut Pages, outbox: &mut Outbox<A>) {
        while self.state == State::Open && self.writer.waiting() == 0 {
            match self.next_request() {
                Ok(None) => break,
                Ok(Some(request)) => self.answer(now, request, pages, outbox),
                Err(BadHead::TooLong) => {
                    self.refuse(now, Status::HEAD_TOO_LONG, pages, outbox);
                }
                Err(BadHead::Malformed) => self.refuse(now, Status::BAD_REQUEST, pages, outbox),
            }
        }
        let reading = match self.state {
            State::Open if self.writer.waiting() > 0 => Reading::Paused,
            State::Open | State::Ending => Reading::Flowing,
        };
        if self.reading != reading {
            self.reading = reading;
            outbox.set_reading(self.writer.stream(), reading);
        }
    }

    /// Takes the next request out of what has come. Looks at it when its end has come, and each
    /// time that it has doubled: so byte by byte costs no more than all at once.
    fn next_request(&mut self) -> Result<Option<Request>, BadHead> {
        let fresh = &self.unread[self.searched.saturating_sub(2)..];
        let has_end = fresh.windows(3).any(|end| end == b"\n\r\n")
            || fresh.windows(2).any(|end| end == b"\n\n");
        self.searched = self.unread.len();
        if !has_end && self.unread.len() < self.look_at.min(HEAD_BYTES_MAX) {
            return Ok(None);
        }
        let request = http::parse(&self.unread)?;
        match request {
            Some(request) => {
                self.unread.drain(..request.head_bytes);
                if self.unread.is_empty() {
                    self.unread = Vec::new(); // An idle connection keeps nothing.
                }
                self.searched = 0;
                self.look_at = 1;
            }
            None => self.look_at = self.unread.len() * 2,
        }
        Ok(request)
    }

    fn answer<A: App>(
        &mut self,
        now: Timestamp,
        request: Request,
        pages: &mut Pages,
        outbox: &mut Outbox<A>,
    ) {
        let (status, text) = match (request.target, request.method, request.body) {
            (Target::Unknown, _, _) => (Status::NOT_FOUND, NOT_FOUND),
            (_, Method::Other, _) => (Status::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n"),
            (_, _, Body::Announced) => (Status::BODY_TOO_LONG, "No body is wanted.\n"),
            (Target::Welcome, _, _) => (Status::OK, WELCOME),
            (Target::Metrics, _, _) => (Status::OK, ""),
        };
        let after = match request.body {
            Body::Announced => After::Close, // What follows is no request, and nobody reads it.
            Body::Absent => request.after,
        };
        let page =
            (status == Status::OK && request.target == Target::Metrics).then(|| pages.metrics(now));
        let mut head = match &page {
            Some(page) => http::head(status, CONTENT_TYPE, page.len(), after),
            None => http::head(status, TEXT, text.len(), after),
        };
        if request.method != Method::Head {
            head.extend_from_slice(text.as_bytes());
        }
        self.writer.write(pages.copy(&head), outbox);
        if let Some(page) = page
            && request.method != Method::Head
        {
            self.writer.write(page, outbox);
        }
        self.set_deadline(now);
        if after == After::Close {
            self.end(now, outbox);
        }
    }

    /// Ends our direction behind the answers. The client is given time to end its own: who closes
    /// at once may break off what is still on its way.
    fn end<A: App>(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        self.writer.end(outbox);
        self.state = State::Ending;
        self.unread = Vec::new();
        self.set_deadline(now);
    }

    fn set_deadline(&mut self, now: Timestamp) {
        self.until = now.after(match self.state {
            State::Ending if self.writer.waiting() == 0 => ENDING_MAX,
            State::Open | State::Ending => self.idle_max,
        });
    }
}

/// How long a client may take to end its direction once it has its last answer.
const ENDING_MAX: Duration = Duration::from_secs(2);

const TEXT: &str = "text/plain; charset=utf-8";
const WELCOME: &str = "A stillpoint runtime. Its metrics are at /metrics.\n";
const NOT_FOUND: &str = "No such page. The metrics are at /metrics.\n";

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
