//! One table of behaviours that all worlds have: each is a story of hosts and their tasks, told
//! without naming the world it happens in.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
#![cfg(feature = "poll")]

#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/streams.rs"]
mod streams;

/// Makes a test of each behaviour in each world. A new backend is one line.
macro_rules! in_every_world {
    ($($of:ident::$behaviour:ident,)*) => {
        in_every_world! { @world $($of::$behaviour,)* =>
            #[cfg(feature = "mio")]
            mio: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Mio);
        }
        in_every_world! { @world $($of::$behaviour,)* =>
            #[cfg(feature = "polling")]
            polling: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Polling);
        }
        in_every_world! { @world $($of::$behaviour,)* =>
            #[cfg(feature = "poll")]
            poll: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Poll);
        }
    };
    (@world $($of:ident::$behaviour:ident,)* => $(#[$only:meta])* $world:ident: $kind:expr;) => {
        $(#[$only])*
        mod $world {
            $(#[test] fn $behaviour() { crate::$of::$behaviour($kind); })*
        }
    };
}

in_every_world! {
    streams::a_connection_is_made_and_both_ends_name_the_same_addresses,
    streams::bytes_arrive_in_order_and_whole,
    streams::nobody_listens_is_a_refusal,
    streams::each_direction_ends_for_itself,
    streams::a_reset_reaches_the_peer_as_an_error,
    streams::what_was_written_before_a_close_arrives,
    streams::a_paused_reader_stops_the_sender_and_loses_nothing,
    streams::what_is_written_behind_the_end_is_refused,
    streams::a_worker_stops_when_its_streams_are_gone,
}
