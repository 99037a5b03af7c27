//! Every socket backend, over real sockets: one table of behaviours that all of them have.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
#![cfg(feature = "poll")]

#[path = "backends/behaviours.rs"]
mod behaviours;
#[path = "backends/host.rs"]
mod host;
#[path = "support/rings.rs"]
mod rings;
#[path = "backends/streams.rs"]
mod streams;

/// Makes a test of each behaviour for each backend.
macro_rules! on_every_backend {
    ($($behaviour:ident,)*) => {
        #[cfg(feature = "mio")]
        mod mio {
            $(#[test] fn $behaviour() {
                crate::behaviours::$behaviour(stillpoint::backend::BackendKind::Mio);
            })*
        }

        #[cfg(feature = "polling")]
        mod polling {
            $(#[test] fn $behaviour() {
                crate::behaviours::$behaviour(stillpoint::backend::BackendKind::Polling);
            })*
        }

        mod poll {
            $(#[test] fn $behaviour() {
                crate::behaviours::$behaviour(stillpoint::backend::BackendKind::Poll);
            })*
        }

        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod io_uring {
            $(#[test] fn $behaviour() {
                crate::behaviours::$behaviour(stillpoint::backend::BackendKind::IoUring);
            })*
        }

        /// A ring that does by itself all that it can.
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        mod io_uring_whole {
            $(#[test] fn $behaviour() {
                crate::rings::all_by_itself();
                crate::behaviours::$behaviour(stillpoint::backend::BackendKind::IoUring);
            })*
        }
    };
}

on_every_backend! {
    sockets_open_under_both_families_and_say_where,
    a_port_in_use_and_an_address_of_others_are_refused_with_the_reason,
    a_port_may_be_shared_by_those_who_ask,
    datagrams_of_every_length_pass_whole_both_ways,
    a_short_datagram_does_not_keep_the_memory_of_a_long_one,
    a_run_is_sent_and_received_as_one,
    a_run_arrives_at_a_plain_socket_as_its_datagrams_in_order,
    outputs_to_one_peer_travel_as_a_run_and_arrive_as_they_were,
    a_wake_ends_the_wait_that_follows_it_and_only_that_one,
    a_wake_from_another_thread_ends_a_wait_that_has_begun,
    a_wait_is_never_shorter_than_its_deadline,
    an_event_is_not_older_than_what_caused_it,
    a_refused_datagram_names_its_peer_and_disturbs_no_other,
    a_socket_closed_in_the_middle_of_a_batch_gives_no_more,
    what_was_submitted_before_a_close_is_sent,
    a_flooded_socket_does_not_keep_another_waiting,
    a_peer_of_the_other_family_is_refused_without_asking_the_system,
    a_dual_stack_socket_speaks_with_both_families_under_their_own_addresses,
    an_answer_comes_from_the_address_that_was_asked,
    a_connected_socket_hears_and_reaches_its_peer_alone,
    a_peer_of_the_other_family_cannot_be_connected_to,
    congestion_bits_pass_both_ways,
    a_dropped_backend_frees_its_ports,
    every_buffer_goes_back_to_the_pool,
    a_flood_is_handed_over_or_counted_as_dropped,
    a_half_closed_stream_sleeps_and_learns_of_a_reset,
    a_paused_stream_that_was_reset_sleeps_until_it_goes_on,
    a_paused_stream_whose_peer_has_ended_sleeps_until_it_goes_on,
    a_half_closed_stream_with_much_to_send_sleeps_until_there_is_room,
    a_paused_stream_with_much_to_send_is_told_of_a_reset_at_once,
}
