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
#[path = "conformance/datagrams.rs"]
mod datagrams;
#[path = "conformance/groups.rs"]
mod groups;
#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/listeners.rs"]
mod listeners;
#[path = "conformance/sockets.rs"]
mod sockets;
#[path = "conformance/steering.rs"]
mod steering;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/timers.rs"]
mod timers;
#[path = "conformance/udp.rs"]
mod udp;

/// Makes a test of each behaviour in each world. A new backend is one line.
macro_rules! in_every_world {
    ($($behaviours:tt)*) => {
        #[cfg(feature = "mio")]
        in_world! { mio, crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Mio), $($behaviours)* }
        #[cfg(feature = "polling")]
        in_world! { polling, crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Polling), $($behaviours)* }
        in_world! { poll, crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::Poll), $($behaviours)* }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        in_world! { io_uring, crate::lab::Kind::Sockets(stillpoint::backend::BackendKind::IoUring), $($behaviours)* }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        in_world! { io_uring_tiny, crate::lab::Kind::TinyRing, $($behaviours)* }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        in_world! { io_uring_polled, crate::lab::Kind::PolledRing, $($behaviours)* }
        in_world! { simulator, crate::lab::Kind::Simulator, $($behaviours)* }
    };
}

macro_rules! in_world {
    ($world:ident, $kind:expr, $($of:ident::$behaviour:ident,)*) => {
        mod $world {
            $(#[test] fn $behaviour() { crate::$of::$behaviour($kind); })*
        }
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
    streams::long_and_short_writes_of_one_moment_arrive_once_and_in_order,
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
    listeners::a_listener_at_all_addresses_takes_in_both_families,
    listeners::a_listener_at_all_addresses_takes_the_port_of_both_families,
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
    closing::what_was_taken_and_never_sent_is_counted,
    datagrams::datagrams_of_every_length_arrive_whole,
    datagrams::a_datagram_too_long_is_refused_whole_and_the_next_one_passes,
    datagrams::a_burst_arrives_in_order_and_whole,
    datagrams::a_run_arrives_as_its_datagrams_and_where_it_can_in_one_go,
    datagrams::one_payload_goes_to_many_peers_without_a_copy,
    datagrams::congestion_bits_pass_both_ways,
    datagrams::code_points_are_the_sockets_unless_a_datagram_has_its_own,
    datagrams::datagrams_of_different_treatment_are_not_joined,
    datagrams::the_address_that_was_asked_is_told_and_answers,
    datagrams::the_interface_of_arrival_is_told,
    datagrams::a_refused_datagram_names_its_peer_and_disturbs_no_other,
    datagrams::a_peer_of_the_other_family_is_refused,
    datagrams::a_source_of_others_is_refused,
    datagrams::what_was_sent_before_a_close_arrives,
    datagrams::a_socket_closed_in_the_middle_of_a_burst_gives_no_more,
    datagrams::a_stale_id_is_told_once_for_a_row_of_the_same,
    datagrams::a_socket_of_another_task_is_stale_too,
    datagrams::every_policy_for_full_queues_loses_nothing_while_there_is_room,
    datagrams::a_thousand_sockets_of_one_worker_each_answer,
    datagrams::a_storm_at_one_socket_does_not_keep_another_waiting,
    sockets::sockets_open_under_both_families_and_say_where,
    sockets::the_reason_for_a_socket_that_cannot_be_is_told,
    sockets::a_port_is_free_once_its_socket_is_closed,
    sockets::flows_to_a_shared_port_keep_to_one_socket_each,
    steering::a_byte_of_the_payload_says_which_socket_gets_a_datagram,
    steering::a_datagram_without_the_byte_goes_by_flow,
    steering::what_is_for_a_place_that_nobody_has_goes_by_flow,
    steering::the_last_socket_takes_the_place_of_one_that_is_closed,
    steering::who_binds_behind_an_earlier_process_hears_nothing_until_that_is_gone,
    steering::what_was_asked_for_last_holds_for_all_who_share_a_port,
    steering::nothing_is_lost_where_processors_choose,
    steering::steering_that_cannot_be_is_refused,
    steering::listeners_are_steered_by_processors,
    sockets::a_connected_socket_hears_and_reaches_its_peer_alone,
    sockets::a_peer_of_the_other_family_cannot_be_connected_to,
    sockets::a_dual_stack_socket_speaks_with_both_families_under_their_own_addresses,
    sockets::a_dual_stack_socket_takes_the_port_of_both_families,
    sockets::a_socket_for_ipv6_only_leaves_ipv4_to_another,
    sockets::a_mapped_address_is_bound_as_ipv4,
    sockets::what_was_asked_for_buffers_is_granted_and_told,
    sockets::a_receive_buffer_bounds_a_burst_and_what_is_lost_is_counted,
    sockets::a_hop_limit_of_one_reaches_the_neighbours,
    sockets::broadcast_is_for_those_who_ask_for_it,
    sockets::a_broadcast_reaches_all_and_is_answered_from_their_own_addresses,
    groups::members_of_a_group_get_what_is_sent_to_it_and_others_do_not,
    groups::a_member_that_has_left_hears_no_more,
    groups::a_socket_may_be_in_several_groups_and_tells_them_apart,
    groups::what_was_sent_to_a_group_is_answered_by_each_member,
    groups::a_socket_bound_to_a_group_hears_that_group_alone,
    groups::a_membership_that_cannot_be_is_refused_with_the_reason,
    groups::a_stale_socket_joins_nothing,
    groups::a_closed_socket_has_left_its_groups,
    groups::an_interface_that_is_not_there_cannot_be_sent_through,
}
