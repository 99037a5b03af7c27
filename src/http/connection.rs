//! One connection: one request after the other, each with its answer.
//!
//! A request is looked at once the answers before it are handed to the stream whole. While a part
//! of them waits for room nothing is read, and while an answer is owed not much: so a client holds
//! one request, one answer, and what one read brings.

use core::mem;
use core::net::SocketAddr;
use core::time::Duration;

use ::http::{Method, Request, Response, Version, header};

use crate::buffer::{Buffer, BufferPool};
use crate::stream::{Reading, StreamWriter};
use crate::task::{App, Outbox};
use crate::time::{Deadline, Timestamp};

use super::answer::{closes, is_bodiless, problem, write_head};
use super::config::HttpConfig;
use super::counted::Counted;
use super::head::{After, Refusal};
use super::intake::{Intake, Next};

/// What all connections of a server have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) config: HttpConfig,
    pub(super) counted: Counted,
    pub(super) buffers: BufferPool,
    /// Whether each connection may go on after its next answer.
    pub(super) after: After,
    /// For heads of answers; empty in between.
    pub(super) text: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// Whether it was told that it is too many, and nothing else.
    pub(super) admission: Admission,
    writer: StreamWriter,
    intake: Intake,
    state: State,
    incoming: Incoming,
    /// How many requests it has had.
    requests: u64,
    /// The last of them, until the task takes it.
    request: Option<Request<Buffer>>,
    phase: Phase,
    /// When the phase began, or something last happened that it waits for.
    since: Timestamp,
}

/// Whether a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Served,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next request is to come.
    Receiving,
    /// The task owes an answer.
    Asked(Asked),
    /// The last answer is given; what comes now is not looked at.
    Ending,
    /// The stream is closed or reset.
    Over,
}

/// What a request says about its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    body: Body,
    version: Version,
    after: After,
}

/// Whether an answer takes its body along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Sent,
    /// The request was for a head.
    LeftAway,
}

impl Body {
    fn of(method: &Method) -> Self {
        if *method == Method::HEAD {
            Self::LeftAway
        } else {
            Self::Sent
        }
    }
}

/// What is known of the client's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    Open(Reading),
    Ended,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request.
    Idle,
    /// The rest of a request. Between one and the next the task is waited for.
    Arriving,
    /// The task.
    Asked,
    /// The client, to take its answers.
    Answering,
    /// The client, to end its direction.
    Lingering,
}

/// What a server keeps account of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The number of the request that the task owes an answer to.
    pub(super) asked: Option<u64>,
    pub(super) due: Option<Deadline>,
    /// Since when nothing has come, if nobody waits for anything.
    pub(super) idle: Option<Timestamp>,
}

impl Standing {
    pub(super) const NOTHING: Self = Self {
        asked: None,
        due: None,
        idle: None,
    };
}

impl Connection {
    pub(super) fn new(now: Timestamp, peer: SocketAddr, writer: StreamWriter) -> Self {
        Self {
            peer,
            admission: Admission::Served,
            writer,
            intake: Intake::default(),
            state: State::Receiving,
            incoming: Incoming::Open(Reading::Flowing),
            requests: 0,
            request: None,
            phase: Phase::Idle,
            since: now,
        }
    }

    /// The number of the request that the task owes an answer to.
    pub(super) const fn asked(&self) -> Option<u64> {
        match self.state {
            State::Asked(_) => Some(self.requests),
            State::Receiving | State::Ending | State::Over => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The request that has come.
    pub(super) const fn take_request(&mut self) -> Option<Request<Buffer>> {
        self.request.take()
    }

    pub(super) fn handle_received<A: App>(
        &mut self,
        data: Buffer,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        if matches!(self.state, State::Receiving | State::Asked(_)) {
            self.intake.push(data);
            self.go_on(common, outbox);
        }
    }

    pub(super) fn handle_writable<A: App>(
        &mut self,
        now: Timestamp,
        room: usize,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        if self.phase == Phase::Answering {
            self.since = now; // It takes something.
        }
        self.writer.handle_writable(room, outbox);
        self.go_on(common, outbox);
    }

    /// The client says no more. What it has asked is answered.
    pub(super) fn handle_read_ended<A: App>(
        &mut self,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        self.incoming = Incoming::Ended;
        self.go_on(common, outbox);
    }

    pub(super) fn handle_timeout<A: App>(&mut self, common: &mut Common, outbox: &mut Outbox<A>) {
        match self.phase {
            Phase::Asked => {}
            Phase::Arriving => self.refuse(Refusal::TimedOut, common, outbox),
            Phase::Answering => {
                common.counted.stalled.add(1);
                self.reset(outbox);
            }
            Phase::Idle => {
                common.counted.idle_closed.add(1);
                self.close(outbox);
            }
            Phase::Lingering => self.close(outbox),
        }
    }

    /// Finishes what is asked or on its way, and begins nothing more.
    pub(super) fn shut_down<A: App>(&mut self, outbox: &mut Outbox<A>) {
        match self.state {
            State::Receiving if self.writer.waiting() == 0 => self.close(outbox),
            State::Receiving => self.end(outbox),
            State::Asked(_) | State::Ending | State::Over => {}
        }
    }

    /// Gives the answer that is owed.
    pub(super) fn answer<A: App>(
        &mut self,
        response: Response<Buffer>,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        let State::Asked(mut asked) = self.state else {
            return;
        };
        self.request = None;
        if common.after == After::Close || closes(response.headers()) {
            asked.after = After::Close;
        }
        self.write(response, asked, common, outbox);
        if asked.after == After::Close {
            self.end(outbox);
        } else {
            self.state = State::Receiving;
            self.go_on(common, outbox);
        }
    }

    /// Gives a last answer, out of turn. What the client goes on to send is read and dropped: if it
    /// were not read, the answer might be lost on its way.
    pub(super) fn refuse<A: App>(
        &mut self,
        refusal: Refusal,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        let counted = &common.counted;
        let count = match refusal {
            Refusal::Malformed => &counted.malformed,
            Refusal::TimedOut => &counted.timed_out,
            Refusal::BodyTooLong => &counted.body_too_long,
            Refusal::HeadTooLong => &counted.head_too_long,
            Refusal::Overloaded => &counted.connections_refused,
            Refusal::Expectation | Refusal::NotImplemented | Refusal::Version => {
                &counted.unsupported
            }
        };
        count.add(1);
        let mut response = problem(refusal.status(), refusal.detail());
        if refusal == Refusal::Overloaded {
            let retry = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, retry);
            self.admission = Admission::Refused;
        }
        let asked = Asked {
            body: Body::of(&self.intake.method()),
            version: Version::HTTP_11,
            after: After::Close,
        };
        self.write(response, asked, common, outbox);
        self.end(outbox);
    }

    pub(super) fn reset<A: App>(&mut self, outbox: &mut Outbox<A>) {
        outbox.reset(self.writer.stream());
        self.state = State::Over;
    }

    pub(super) fn close<A: App>(&mut self, outbox: &mut Outbox<A>) {
        outbox.close(self.writer.stream());
        self.state = State::Over;
    }

    /// Looks for the next request.
    fn go_on<A: App>(&mut self, common: &mut Common, outbox: &mut Outbox<A>) {
        if self.state != State::Receiving || self.writer.waiting() > 0 {
            return;
        }
        match self.intake.poll(&common.config, &common.buffers) {
            Ok(Next::Nothing) if self.incoming == Incoming::Ended => self.end(outbox),
            Ok(Next::Nothing) => {}
            Ok(Next::Continue) => {
                self.writer
                    .write(common.buffers.copy_from(CONTINUE), outbox);
            }
            Ok(Next::Request(request, after)) => {
                self.state = State::Asked(Asked {
                    body: Body::of(request.method()),
                    version: request.version(),
                    after,
                });
                self.requests += 1;
                self.request = Some(request);
            }
            Err(refusal) => self.refuse(refusal, common, outbox),
        }
    }

    fn write<A: App>(
        &mut self,
        response: Response<Buffer>,
        asked: Asked,
        common: &mut Common,
        outbox: &mut Outbox<A>,
    ) {
        let mut head = mem::take(&mut common.text);
        write_head(&response, asked.after, asked.version, &mut head);
        let is_bodiless = asked.body == Body::LeftAway || is_bodiless(response.status());
        let mut body = response.into_body();
        if is_bodiless {
            body = Buffer::empty();
        } else if body.len() <= COPIED_BYTES_MAX {
            head.extend_from_slice(&body);
            body = Buffer::empty();
        }
        self.writer.write(common.buffers.copy_from(&head), outbox);
        self.writer.write(body, outbox);
        head.clear();
        common.text = head;
    }

    /// Ends our direction behind the answers. The client is given time to end its own: who closes
    /// at once may break off what is still on its way.
    fn end<A: App>(&mut self, outbox: &mut Outbox<A>) {
        self.writer.end(outbox);
        self.state = State::Ending;
        self.intake = Intake::default();
    }

    /// To be called at the end of each turn: reads or does not, and waits for what is next.
    pub(super) fn settle<A: App>(
        &mut self,
        now: Timestamp,
        common: &Common,
        outbox: &mut Outbox<A>,
    ) {
        self.intake.shrink(&common.buffers);
        let wanted = match self.state {
            State::Over => return,
            // While an answer is owed something has to be read, since else nobody would tell that
            // the client is gone.
            State::Asked(_) if self.intake.unread() > PIPELINED_BYTES_MAX => Reading::Paused,
            State::Receiving if self.writer.waiting() > 0 => Reading::Paused,
            State::Asked(_) | State::Receiving | State::Ending => Reading::Flowing,
        };
        if let Incoming::Open(reading) = &mut self.incoming
            && *reading != wanted
        {
            *reading = wanted;
            outbox.set_reading(self.writer.stream(), wanted);
        }
        let waits = self.writer.waiting() > 0;
        let phase = match self.state {
            State::Asked(_) => Phase::Asked,
            State::Receiving if self.intake.is_in_body() => Phase::Arriving,
            State::Receiving | State::Ending if waits => Phase::Answering,
            State::Receiving if self.intake.is_empty() => Phase::Idle,
            State::Receiving => Phase::Arriving,
            State::Ending | State::Over => Phase::Lingering,
        };
        if self.phase != phase {
            (self.phase, self.since) = (phase, now);
        }
    }

    pub(super) fn standing(&self, config: &HttpConfig) -> Standing {
        if self.is_over() {
            return Standing::NOTHING;
        }
        let wait = match self.phase {
            Phase::Asked => None,
            Phase::Idle => Some((config.idle_max, "idle HTTP client")),
            Phase::Arriving => Some((config.request_max, "HTTP request to come")),
            Phase::Answering => Some((config.idle_max, "slow HTTP client")),
            Phase::Lingering => Some((LINGERING_MAX, "HTTP client to go")),
        };
        Standing {
            asked: self.asked(),
            idle: (self.phase == Phase::Idle).then_some(self.since),
            due: wait.map(|(wait, reason)| Deadline::new(self.since.after(wait), reason)),
        }
    }
}

/// Bodies up to here travel in one piece with their heads, and longer ones are not copied.
const COPIED_BYTES_MAX: usize = 512;

/// What may have come behind a request before the client is asked to wait for its answer.
const PIPELINED_BYTES_MAX: usize = 4 << 10;

/// How long a client may take to end its direction once it has its last answer.
const LINGERING_MAX: Duration = Duration::from_secs(2);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
