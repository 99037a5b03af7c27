//! What a media port counts.

use stillpoint::{Context, Counter, Gauge, MetricName};

macro_rules! metrics {
    ($($field:ident: $kind:ident = $make:ident($name:literal, $help:literal);)*) => {
        /// What the sessions of a port count, each by its name in the metrics.
        #[derive(Debug)]
        pub(crate) struct Metrics {
            $(pub(crate) $field: $kind,)*
        }

        impl Metrics {
            pub(crate) fn new(context: &Context) -> Self {
                Self {
                    $($field: context.$make(MetricName::new($name, $help)),)*
                }
            }
        }
    };
}

metrics! {
    publishers: Gauge = gauge("sfu_publishers", "Sessions whose media comes in.");
    viewers: Gauge = gauge("sfu_viewers", "Sessions whose media goes out.");
    connected: Gauge = gauge("sfu_connected", "Of both, those that are connected.");
    addresses: Gauge = gauge("sfu_addresses", "Addresses that lead to sessions.");
    subscriptions: Gauge = gauge("sfu_subscriptions", "Publishers that are watched here.");
    opened: Counter = counter("sfu_sessions_opened_total", "Sessions that were opened.");
    refused: Counter = counter("sfu_sessions_refused_total", "Offers that were refused.");
    frames_in: Counter = counter("sfu_frames_in_total", "Frames from publishers.");
    frames_out: Counter = counter("sfu_frames_out_total", "Frames to viewers.");
    other_codec: Counter = counter("sfu_frames_of_other_codecs_total", "Frames a viewer cannot decode.");
    datagrams_out: Counter = counter("sfu_datagrams_out_total", "Datagrams that were sent.");
    key_frames: Counter = counter("sfu_key_frames_requested_total", "Key frames asked of publishers.");
    unknown_users: Counter = counter("sfu_unknown_users_total", "STUN that names no session.");
    strangers: Counter = counter("sfu_strangers_total", "Datagrams from addresses of no session.");
    malformed: Counter = counter("sfu_malformed_total", "Datagrams that are nothing a peer sends.");
    not_the_peers: Counter = counter("sfu_not_the_peers_total", "Datagrams that only look like a peer's.");
    stale: Counter = counter("sfu_stale_total", "Commands to sessions that are no more.");
}
