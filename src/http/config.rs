//! Limits of a server, and what it counts.

use core::time::Duration;

use crate::net::Token;
use crate::stream::TcpOptions;
use crate::udp::Sharing;

/// Limits of an [`HttpServer`](super::HttpServer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Comes back with the answer of the listener.
    pub token: Token,
    /// Whether other listeners may share the address and port.
    pub sharing: Sharing,
    /// What connections are to be like. Their room bounds the answers to requests that come in one
    /// go, too.
    pub tcp: TcpOptions,
    /// The longest head of a request, in bytes; beyond: 431. The trailers and extensions of a body
    /// in chunks may be as long again.
    pub head_bytes_max: usize,
    /// The longest body of a request, in bytes; beyond: 413, before the body comes if its length is
    /// known.
    pub body_bytes_max: usize,
    /// Connections at a time. Beyond, the one that has been idle for longest is closed, if for a
    /// second at least; else who comes gets a 503. As many again may be there to be told so; whoever comes
    /// then is closed at once.
    pub connections_max: usize,
    /// How long a connection may be silent between requests, or take nothing of an answer: less than
    /// half of its room, since that is how streams tell.
    pub idle_max: Duration,
    /// How long a request may take to come, from its first byte to its last; beyond: 408.
    pub request_max: Duration,
    /// How long answers that are owed or on their way may take once the server is to stop.
    pub shut_down_max: Duration,
}

impl HttpConfig {
    /// Heads of 16 KiB, bodies of 64 KiB, 1,024 connections with room for 64 KiB each, 30 seconds
    /// of silence, 10 for a request, 2 to stop; token 0, and a port that is not shared.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            token: Token(0),
            sharing: Sharing::Exclusive,
            tcp: TcpOptions::new().with_send_queue_max(64 << 10),
            head_bytes_max: 16 << 10,
            body_bytes_max: 64 << 10,
            connections_max: 1_024,
            idle_max: Duration::from_secs(30),
            request_max: Duration::from_secs(10),
            shut_down_max: Duration::from_secs(2),
        }
    }

    /// The same, with this token for the listener.
    #[must_use]
    pub const fn with_token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// The same, sharing its port with others that ask for the same.
    #[must_use]
    pub const fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The same, with connections like these.
    #[must_use]
    pub const fn with_tcp(mut self, tcp: TcpOptions) -> Self {
        self.tcp = tcp;
        self
    }

    /// The same, with heads of so many bytes at most.
    #[must_use]
    pub const fn with_head_bytes_max(mut self, head_bytes_max: usize) -> Self {
        self.head_bytes_max = head_bytes_max;
        self
    }

    /// The same, with bodies of so many bytes at most.
    #[must_use]
    pub const fn with_body_bytes_max(mut self, body_bytes_max: usize) -> Self {
        self.body_bytes_max = body_bytes_max;
        self
    }

    /// The same, with so many connections at a time (at least one).
    #[must_use]
    pub const fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = if connections_max == 0 {
            1
        } else {
            connections_max
        };
        self
    }

    /// The same, with so much patience for silence.
    #[must_use]
    pub const fn with_idle_max(mut self, idle_max: Duration) -> Self {
        self.idle_max = idle_max;
        self
    }

    /// The same, with so much patience for a request.
    #[must_use]
    pub const fn with_request_max(mut self, request_max: Duration) -> Self {
        self.request_max = request_max;
        self
    }

    /// The same, with so much patience for answers once the server is to stop.
    #[must_use]
    pub const fn with_shut_down_max(mut self, shut_down_max: Duration) -> Self {
        self.shut_down_max = shut_down_max;
        self
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What a server has done, and what it has refused. All only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HttpCounters {
    /// Connections that were taken in.
    pub connections: u64,
    /// Of these, those that were told that they are too many (503).
    pub connections_refused: u64,
    /// Of these, those that were too many even for that, and closed at once.
    pub connections_dropped: u64,
    /// Requests that the task was given.
    pub requests: u64,
    /// Answers that the task gave, and somebody was there to get.
    pub responses: u64,
    /// Answers that came when nobody waited for them any more.
    pub responses_stale: u64,
    /// What was no request, or left doubt about where it ends (400).
    pub malformed: u64,
    /// Heads that were too long or had too many headers (431).
    pub head_too_long: u64,
    /// Bodies that were too long (413).
    pub body_too_long: u64,
    /// Requests for what the server does not do: versions, codings, expectations (417, 501, 505).
    pub unsupported: u64,
    /// Requests that did not come in time (408).
    pub timed_out: u64,
    /// Connections that were closed for their silence.
    pub idle_closed: u64,
    /// Connections that were broken off, since the client took nothing of an answer.
    pub stalled: u64,
}
