//! What clients count, and how several counts become one.

use core::fmt;
use core::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stillpoint::Timestamp;

/// Round trips: how many in which time, and how long each took.
pub struct RoundTrips {
    pub count: u64,
    /// Each in nanoseconds.
    latency: Histogram<u64>,
    /// From the first client's first request to the last client's last.
    sending: Option<(Timestamp, Timestamp)>,
}

impl fmt::Debug for RoundTrips {
    /// Without the histogram, which has thousands of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundTrips")
            .field("count", &self.count)
            .field("median_us", &self.latency_us(0.5))
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}

impl RoundTrips {
    /// Counts one.
    pub fn record(&mut self, round_trip: Duration) {
        self.count += 1;
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
        self.latency
            .record(nanos)
            .expect("the histogram grows as far as 64 bits");
    }

    pub fn started_sending(&mut self, now: Timestamp) {
        self.sending = Some((now, now));
    }

    pub fn finished_sending(&mut self, now: Timestamp) {
        self.sending = self.sending.map(|(first, last)| (first, last.max(now)));
    }

    /// Adds what another client counted.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.latency
            .add(&other.latency)
            .expect("a histogram grows as needed");
        self.sending = match (self.sending, other.sending) {
            (Some(ours), Some(theirs)) => Some((ours.0.min(theirs.0), ours.1.max(theirs.1))),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// How long requests were sent.
    pub fn elapsed(&self) -> Duration {
        self.sending
            .map_or(Duration::ZERO, |(first, last)| last.since(first))
    }

    pub fn per_second(&self) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.count as f64 / seconds
        } else {
            0.0
        }
    }

    /// The round trip that this share of all did not exceed, in microseconds.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }

    pub fn latency_max_us(&self) -> f64 {
        self.latency.max() as f64 / 1_000.0
    }

    pub fn latency_json(&self) -> Value {
        json!({
            "p50": self.latency_us(0.5),
            "p90": self.latency_us(0.9),
            "p99": self.latency_us(0.99),
            "max": self.latency_max_us(),
        })
    }

    /// Rows of a table: what, and how much.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let micros = |value: f64| format!("{value:.1} us");
        vec![
            ("replies", self.count.to_string()),
            ("round trips a second", format!("{:.0}", self.per_second())),
            ("latency p50", micros(self.latency_us(0.5))),
            ("latency p90", micros(self.latency_us(0.9))),
            ("latency p99", micros(self.latency_us(0.99))),
            ("latency max", micros(self.latency_max_us())),
        ]
    }
}

impl Default for RoundTrips {
    fn default() -> Self {
        // It grows with what it records, so that ten thousand idle clients cost little.
        let latency = Histogram::new(3).expect("three digits are fine");
        Self {
            count: 0,
            latency,
            sending: None,
        }
    }
}

/// What one UDP client, or several together, sent and got back.
#[derive(Debug, Default)]
pub struct ClientStats {
    pub sent: u64,
    /// Requests whose reply did not come in time.
    pub no_reply: u64,
    /// Requests in flight when the client was told to stop.
    pub unfinished: u64,
    /// Requests that the network refused to send; they count as `no_reply` too.
    pub send_failed: u64,
    /// Errors that the socket was told of: nobody listens there.
    pub refused: u64,
    /// Replies to nothing in flight: duplicates, or late.
    pub unexpected: u64,
    /// Replies that are not what was sent.
    pub malformed: u64,
    pub round_trips: RoundTrips,
}

impl ClientStats {
    /// Adds what another client counted.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.no_reply += other.no_reply;
        self.unfinished += other.unfinished;
        self.send_failed += other.send_failed;
        self.refused += other.refused;
        self.unexpected += other.unexpected;
        self.malformed += other.malformed;
        self.round_trips.add(&other.round_trips);
    }

    pub fn to_json(&self) -> Value {
        json!({
            "sent": self.sent,
            "received": self.round_trips.count,
            "seconds": self.round_trips.elapsed().as_secs_f64(),
            "round_trips_per_second": self.round_trips.per_second(),
            "latency_us": self.round_trips.latency_json(),
            "lost": {
                "no_reply": self.no_reply,
                "unfinished": self.unfinished,
            },
            "send_failed": self.send_failed,
            "refused": self.refused,
            "unexpected": self.unexpected,
            "malformed": self.malformed,
        })
    }

    /// Rows of a table: what, and how much.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("requests sent", self.sent.to_string())];
        rows.extend(self.round_trips.rows());
        rows.extend([
            ("lost: no reply in time", self.no_reply.to_string()),
            ("lost: stopped meanwhile", self.unfinished.to_string()),
            ("sends that failed", self.send_failed.to_string()),
            ("refused (nobody listens)", self.refused.to_string()),
            ("unexpected replies", self.unexpected.to_string()),
            ("malformed replies", self.malformed.to_string()),
        ]);
        rows
    }
}

/// What one TCP client, or several together, sent and got back.
#[derive(Debug, Default)]
pub struct TcpClientStats {
    /// Connections that were made.
    pub connected: u64,
    /// Connections that could not be made.
    pub connect_failed: u64,
    /// Connections that ended before all was answered, or with an error.
    pub broken: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that were not answered before their connection was no more.
    pub unanswered: u64,
    /// Answers that are not what was sent.
    pub mismatched: u64,
    /// Bytes that answer nothing.
    pub unexpected_bytes: u64,
    /// Bytes that came back.
    pub received_bytes: u64,
    pub round_trips: RoundTrips,
}

impl TcpClientStats {
    /// Adds what another client counted.
    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.connect_failed += other.connect_failed;
        self.broken += other.broken;
        self.sent += other.sent;
        self.unanswered += other.unanswered;
        self.mismatched += other.mismatched;
        self.unexpected_bytes += other.unexpected_bytes;
        self.received_bytes += other.received_bytes;
        self.round_trips.add(&other.round_trips);
    }

    pub fn to_json(&self) -> Value {
        json!({
            "connected": self.connected,
            "connect_failed": self.connect_failed,
            "broken": self.broken,
            "sent": self.sent,
            "answered": self.round_trips.count,
            "unanswered": self.unanswered,
            "mismatched": self.mismatched,
            "unexpected_bytes": self.unexpected_bytes,
            "received_bytes": self.received_bytes,
            "seconds": self.round_trips.elapsed().as_secs_f64(),
            "round_trips_per_second": self.round_trips.per_second(),
            "latency_us": self.round_trips.latency_json(),
        })
    }

    /// Rows of a table: what, and how much.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("connections made", self.connected.to_string()),
            ("connections not made", self.connect_failed.to_string()),
            ("connections broken", self.broken.to_string()),
            ("messages sent", self.sent.to_string()),
        ];
        rows.extend(self.round_trips.rows());
        rows.extend([
            ("not answered", self.unanswered.to_string()),
            ("answered otherwise", self.mismatched.to_string()),
            ("unexpected bytes", self.unexpected_bytes.to_string()),
            ("bytes received", self.received_bytes.to_string()),
        ]);
        rows
    }
}
