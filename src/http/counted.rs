//! What a server counts.

use crate::metric::{Counter, MetricName};
use crate::task::Context;

use super::config::HttpCounters;

/// [`HttpCounters`] in the making: by the server alone, or as metrics of its task.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) connections: Counter,
    pub(super) connections_refused: Counter,
    pub(super) connections_dropped: Counter,
    pub(super) requests: Counter,
    pub(super) responses: Counter,
    pub(super) responses_stale: Counter,
    pub(super) malformed: Counter,
    pub(super) head_too_long: Counter,
    pub(super) body_too_long: Counter,
    pub(super) unsupported: Counter,
    pub(super) timed_out: Counter,
    pub(super) idle_closed: Counter,
    pub(super) stalled: Counter,
}

impl Counted {
    /// Counters that those who watch the task's worker see.
    pub(super) fn as_metrics(context: &Context) -> Self {
        let counter = |name: MetricName, why| context.counter(name.with_label("why", why));
        let plain = |name, help| context.counter(MetricName::new(name, help));
        Self {
            connections: plain("http_connections_total", "Connections by HTTP."),
            connections_refused: counter(ENDED, "refused"),
            connections_dropped: counter(ENDED, "dropped"),
            requests: plain(
                "http_requests_total",
                "Requests by HTTP, as far as they are any.",
            ),
            responses: plain("http_responses_total", "Answers by HTTP."),
            responses_stale: plain("http_stale_responses_total", "Answers nobody waited for."),
            malformed: counter(REFUSED, "malformed"),
            head_too_long: counter(REFUSED, "head_too_long"),
            body_too_long: counter(REFUSED, "body_too_long"),
            unsupported: counter(REFUSED, "unsupported"),
            timed_out: counter(REFUSED, "timed_out"),
            idle_closed: counter(ENDED, "idle"),
            stalled: counter(ENDED, "stalled"),
        }
    }

    pub(super) fn snapshot(&self) -> HttpCounters {
        HttpCounters {
            connections: self.connections.value(),
            connections_refused: self.connections_refused.value(),
            connections_dropped: self.connections_dropped.value(),
            requests: self.requests.value(),
            responses: self.responses.value(),
            responses_stale: self.responses_stale.value(),
            malformed: self.malformed.value(),
            head_too_long: self.head_too_long.value(),
            body_too_long: self.body_too_long.value(),
            unsupported: self.unsupported.value(),
            timed_out: self.timed_out.value(),
            idle_closed: self.idle_closed.value(),
            stalled: self.stalled.value(),
        }
    }
}

const ENDED: MetricName = MetricName::new(
    "http_connections_ended_total",
    "Connections by HTTP that the server ended, by why.",
);

const REFUSED: MetricName = MetricName::new(
    "http_refused_total",
    "What was sent and is no request to be answered, by why.",
);
