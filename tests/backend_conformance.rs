//! One table of behaviours that all worlds have: each is a story of hosts and their tasks, told
//! without naming the world it happens in.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
#![cfg(feature = "poll")]

#[path = "conformance/absurd.rs"]
mod absurd;
#[path = "conformance/capabilities.rs"]
mod capabilities;
#[path = "conformance/closing.rs"]
mod closing;
#[path = "conformance/connects.rs"]
mod connects;
#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/listeners.rs"]
mod listeners;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/timers.rs"]
mod timers;

/// Makes a test of each behaviour in each of the worlds. A new one is one line.
macro_rules! in_worlds {
    ($behaviours:tt in $($(#[$only:meta])* $world:ident: $kind:expr;)*) => {
        $(in_worlds! { @world $behaviours $(#[$only])* $world: $kind })*
    };
    (@world [$($of:ident::$behaviour:ident,)*] $(#[$only:meta])* $world:ident: $kind:expr) => {
        $(#[$only])*
        mod $world {
            $(#[test] fn $behaviour() { crate::$of::$behaviour($kind); })*
        }
    };
}

macro_rules! over_sockets {
    ($($behaviours:tt)*) => {
        in_worlds! { [$($behaviours)*] in
            #[cfg(feature = "mio")]
            mio: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Mio);
            #[cfg(feature = "polling")]
            polling: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Polling);
            poll: crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Poll);
        }
    };
}

macro_rules! in_every_world {
    ($($behaviours:tt)*) => {
        over_sockets! { $($behaviours)* }
        in_worlds! { [$($behaviours)*] in simulator: crate::lab::Kind::Simulator; }
    };
}

in_every_world! {
    capabilities::what_a_world_cannot_do_it_refuses_and_what_it_can_do_it_does,
    timers::a_deadline_is_met_and_never_before_its_time,
    timers::a_deadline_that_has_passed_is_met_at_once,
    timers::a_deadline_put_off_is_not_met_at_its_first_time,
    timers::a_deadline_taken_back_is_never_met,
    timers::many_deadlines_are_met_in_their_order,
    timers::a_flood_of_datagrams_does_not_stop_the_clock,
    timers::tasks_of_one_host_live_for_themselves,
    timers::a_task_that_never_stops_asking_is_stopped,
    timers::a_worker_that_is_asked_to_stop_lets_go_of_everything,
}

mod connections {
    in_every_world! {
        absurd::absurd_options_of_a_stream_are_taken_as_far_as_they_go,
        absurd::absurd_times_and_backlogs_are_taken_as_far_as_they_go,
        absurd::addresses_that_nobody_can_have_are_refused,
        absurd::everything_at_once_in_the_moment_of_being_taken_in,
        absurd::ten_thousand_writes_of_one_byte_arrive_in_order,
        streams::a_connection_is_made_and_both_ends_name_the_same_addresses,
        streams::bytes_arrive_in_order_and_whole,
        streams::nobody_listens_is_a_refusal,
        streams::each_direction_ends_for_itself,
        streams::a_reset_reaches_the_peer_as_an_error,
        streams::what_was_written_before_a_close_arrives,
        streams::a_paused_reader_stops_the_sender_and_loses_nothing,
        streams::a_stream_goes_on_after_any_number_of_bytes,
        streams::what_is_written_behind_the_end_is_refused,
        streams::a_worker_stops_when_its_streams_are_gone,
        connects::a_connect_that_nobody_answers_fails_when_its_time_is_up,
        connects::shutdown_does_not_wait_for_a_connect_that_nobody_answers,
        connects::a_connection_is_made_over_ipv6,
        connects::a_listener_at_any_address_tells_which_one_was_connected_to,
        connects::a_connection_comes_from_the_address_that_was_asked_for,
        connects::a_connection_from_an_address_of_others_is_refused,
        connects::a_task_connects_to_its_own_listener,
        connects::a_connection_begins_with_all_its_room,
        connects::an_end_in_the_moment_of_connecting_reaches_the_peer,
        connects::a_thousand_connections_stand_side_by_side,
        connects::a_stream_that_is_no_more_answers_to_no_name,
        connects::nobody_else_can_use_a_stream,
        listeners::a_port_that_is_listened_at_cannot_be_had_again,
        listeners::an_address_of_others_cannot_be_listened_at,
        listeners::a_port_may_be_listened_at_by_all_who_share_it,
        listeners::a_closed_listener_leaves_its_streams,
        listeners::a_worker_that_is_full_refuses_and_goes_on,
        listeners::a_worker_that_is_full_opens_no_more,
        listeners::a_listener_that_is_closed_twice_is_stale,
        closing::without_lingering_a_close_breaks_off_at_once,
        closing::what_is_not_sent_within_the_linger_time_is_lost_and_the_peer_is_told,
        closing::a_close_waits_for_a_slow_reader_within_the_linger_time,
        closing::what_arrives_behind_a_close_disturbs_nobody,
        closing::the_streams_of_a_task_that_panicked_are_reset,
        closing::the_streams_of_a_task_that_finished_are_closed_behind_its_last_words,
        closing::both_may_end_at_the_same_time,
        closing::an_ended_direction_does_not_hurry_the_other,
        closing::a_reset_is_told_also_to_those_whose_peer_had_ended,
        closing::a_reset_throws_away_what_was_not_sent,
        closing::a_paused_reader_is_not_told_of_the_end_before_it_goes_on,
        closing::buffers_go_back_when_a_stream_is_gone,
    }
}
