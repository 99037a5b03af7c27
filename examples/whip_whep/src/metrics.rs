//! What the application counts, as text for Prometheus.

use core::fmt::Write;

use stillpoint::http::HttpCounters;

use crate::port::{Live, PortCounters};
use crate::session::Ended;

/// Writes what ports have counted, by the worker of each.
pub(crate) fn write(text: &mut String, ports: &[(u16, Live, PortCounters)]) {
    type Pick = fn(&Live, &PortCounters) -> u64;
    let gauges: [(&str, &str, Pick); 5] = [
        ("publishers", "Sessions whose media comes in.", |live, _| {
            live.publishers as u64
        }),
        ("viewers", "Sessions whose media goes out.", |live, _| {
            live.viewers as u64
        }),
        ("connected", "Sessions that are connected.", |live, _| {
            live.connected as u64
        }),
        (
            "addresses",
            "Addresses that lead to sessions.",
            |live, _| live.addresses as u64,
        ),
        (
            "subscriptions",
            "Publishers that are watched here.",
            |live, _| live.subscriptions as u64,
        ),
    ];
    let counters: [(&str, &str, Pick); 12] = [
        (
            "sessions_opened_total",
            "Sessions that were opened.",
            |_, count| count.sessions_opened,
        ),
        (
            "sessions_refused_total",
            "Offers that were refused.",
            |_, count| count.sessions_refused,
        ),
        ("frames_in_total", "Frames from publishers.", |_, count| {
            count.frames_in
        }),
        ("frames_out_total", "Frames to viewers.", |_, count| {
            count.frames_out
        }),
        (
            "frames_of_other_codecs_total",
            "Frames in codecs that a viewer does not know.",
            |_, count| count.frames_of_other_codecs,
        ),
        (
            "datagrams_out_total",
            "Datagrams that were sent.",
            |_, count| count.datagrams_out,
        ),
        (
            "key_frames_requested_total",
            "Key frames that publishers were asked for.",
            |_, count| count.key_frames_requested,
        ),
        (
            "unknown_users_total",
            "STUN that names no session.",
            |_, count| count.unknown_users,
        ),
        (
            "strangers_total",
            "Datagrams from addresses that lead to no session.",
            |_, count| count.strangers,
        ),
        (
            "malformed_total",
            "Datagrams that are nothing a peer sends.",
            |_, count| count.malformed,
        ),
        (
            "not_the_peers_total",
            "Datagrams to a session that are not its peer's.",
            |_, count| count.not_the_peers,
        ),
        (
            "stale_total",
            "Commands to sessions that are no more.",
            |_, count| count.stale,
        ),
    ];
    let kinds = [("gauge", &gauges[..]), ("counter", &counters[..])];
    for (kind, families) in kinds {
        for (name, help, pick) in families {
            head(text, name, help, kind);
            for (worker, live, counted) in ports {
                sample(
                    text,
                    name,
                    &format!("worker=\"{worker}\""),
                    pick(live, counted),
                );
            }
        }
    }
}

/// Writes how sessions have ended.
pub(crate) fn write_ended(text: &mut String, ended: &[u64; Ended::ALL.len()]) {
    let name = "sessions_ended_total";
    head(text, name, "Sessions that have ended, by how.", "counter");
    for ((_, how), count) in Ended::ALL.iter().zip(ended) {
        sample(text, name, &format!("how=\"{how}\""), *count);
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _never = writeln!(text, "# HELP sfu_{name} {help}\n# TYPE sfu_{name} {kind}");
}

fn sample(text: &mut String, name: &str, label: &str, value: u64) {
    let _never = writeln!(text, "sfu_{name}{{{label}}} {value}");
}

/// Writes what became of requests.
pub(crate) fn write_http(text: &mut String, http: &HttpCounters) {
    let name = "http_requests_total";
    head(
        text,
        name,
        "Requests by HTTP, by what became of them.",
        "counter",
    );
    for (what, count) in [
        ("answered", http.responses),
        ("nobody_waits", http.responses_stale),
        ("malformed", http.malformed),
        ("head_too_long", http.head_too_long),
        ("body_too_long", http.body_too_long),
        ("unsupported", http.unsupported),
        ("timed_out", http.timed_out),
    ] {
        sample(text, name, &format!("what=\"{what}\""), count);
    }
    let name = "http_connections_total";
    head(
        text,
        name,
        "Connections by HTTP, by what became of them.",
        "counter",
    );
    for (what, count) in [
        ("accepted", http.connections),
        ("refused", http.connections_refused),
        ("dropped", http.connections_dropped),
        ("idle", http.idle_closed),
        ("stalled", http.stalled),
    ] {
        sample(text, name, &format!("what=\"{what}\""), count);
    }
}
