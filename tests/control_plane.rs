//! One table of what workers, their tasks and their controller are to each other, in all worlds:
//! each behaviour is a story that does not name the world it happens in.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]
#![cfg(feature = "poll")]

mod control {
    pub(crate) mod channels;
    pub(crate) mod commands;
    pub(crate) mod deaths;
    pub(crate) mod fairness;
    pub(crate) mod killable;
    pub(crate) mod lab;
    pub(crate) mod messages;
    pub(crate) mod puppet;
    pub(crate) mod requests;
    pub(crate) mod room;
    pub(crate) mod shutdown;
    pub(crate) mod simulated;
    pub(crate) mod spawns;
    pub(crate) mod status;
    pub(crate) mod threads;
    pub(crate) mod workers;
}

/// Makes a test of each behaviour in each world.
macro_rules! in_every_world {
    ($($behaviours:tt)*) => {
        over_every_backend! { $($behaviours)* }
        in_world! { simulator, Kind::Simulator, $($behaviours)* }
    };
}

/// Makes a test of each behaviour in each world of threads.
macro_rules! over_every_backend {
    ($($behaviours:tt)*) => {
        #[cfg(feature = "mio")]
        in_world! { mio, Kind::Threads(stillpoint::backend::BackendKind::Mio), $($behaviours)* }
        #[cfg(feature = "polling")]
        in_world! { polling, Kind::Threads(stillpoint::backend::BackendKind::Polling), $($behaviours)* }
        in_world! { poll, Kind::Threads(stillpoint::backend::BackendKind::Poll), $($behaviours)* }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        in_world! { io_uring, Kind::Threads(stillpoint::backend::BackendKind::IoUring), $($behaviours)* }
        in_world! { spinning, Kind::Spinning(stillpoint::backend::BackendKind::default()), $($behaviours)* }
        in_world! { spinning_poll, Kind::Spinning(stillpoint::backend::BackendKind::Poll), $($behaviours)* }
    };
}

macro_rules! in_world {
    ($world:ident, $kind:expr, $($of:ident::$behaviour:ident,)*) => {
        mod $world {
            use crate::control::lab::Kind;

            $(#[test] fn $behaviour() { crate::control::$of::$behaviour($kind); })*
        }
    };
}

in_every_world! {
    messages::a_message_reaches_its_task_on_the_same_worker,
    messages::a_message_reaches_its_task_on_another_worker,
    messages::messages_of_one_task_to_another_arrive_in_order,
    messages::a_task_may_send_to_itself,
    messages::everybody_hears_everybody,
    messages::what_a_task_sent_before_it_finished_arrives,
    messages::a_message_to_a_task_that_is_no_more_is_told_to_its_sender,
    messages::a_new_task_in_the_place_of_an_old_one_gets_nothing_of_it,
    messages::a_message_to_a_worker_that_was_removed_is_told,
    messages::what_a_worker_sent_before_it_was_removed_arrives,
    messages::a_worker_that_is_added_later_takes_part,
    messages::a_broadcast_reaches_the_agents_of_all_workers_once,
    messages::a_worker_has_one_agent_and_another_once_that_is_gone,
    channels::what_is_published_reaches_each_subscriber_on_every_worker_once,
    channels::once_subscribed_nothing_that_anybody_publishes_is_missed,
    channels::who_has_unsubscribed_hears_no_more,
    channels::a_subscription_ends_with_its_task,
    channels::a_publisher_that_has_subscribed_hears_itself,
    channels::channels_are_told_apart,
    channels::to_subscribe_twice_is_to_subscribe_once,
    channels::what_nobody_has_subscribed_to_is_counted,
    channels::messages_to_a_task_and_to_its_channels_keep_their_order,
    channels::what_the_controller_publishes_reaches_subscribers_on_all_workers,
    requests::a_request_is_answered,
    requests::many_requests_get_each_its_own_answer,
    requests::a_request_that_nobody_answers_fails_when_its_time_is_up,
    requests::an_answer_that_comes_too_late_is_stale,
    requests::a_second_answer_is_stale,
    requests::a_request_fails_if_who_was_asked_ends_without_an_answer,
    requests::a_request_to_a_task_that_is_no_more_fails,
    requests::a_request_fails_if_the_worker_of_who_was_asked_dies,
    requests::a_request_fails_if_the_worker_of_who_was_asked_is_removed,
    requests::a_request_without_room_fails_at_once,
    room::without_room_a_message_is_dropped_and_counted_if_its_sender_says_so,
    room::without_room_a_message_comes_back_and_later_goes_in_order,
    room::a_full_queue_to_one_worker_holds_up_no_other,
    room::what_waits_for_room_is_published_to_all_or_to_nobody,
    room::what_may_be_dropped_is_published_where_there_is_room,
    room::the_smallest_queue_carries_everything_both_ways,
    room::subscriptions_are_known_everywhere_however_small_the_queues,
    room::who_waits_for_room_at_a_worker_that_dies_learns_of_it,
    fairness::a_self_publisher_keeps_no_neighbour_waiting,
    fairness::a_self_publisher_stops_no_clock,
    fairness::a_self_publisher_keeps_no_controller_waiting,
    fairness::a_self_publisher_does_not_delay_a_shutdown,
    fairness::a_flood_from_one_worker_keeps_no_other_waiting,
    fairness::who_reports_without_end_hides_no_worker_that_dies,
    fairness::who_reports_without_end_does_not_delay_a_shutdown,
    workers::an_agent_takes_the_commands_of_its_worker,
    workers::a_worker_without_an_agent_is_named,
    workers::the_controllers_broadcast_reaches_all_agents,
    workers::a_worker_that_never_was_is_named,
    workers::a_worker_that_was_removed_is_named_as_such,
    workers::a_worker_that_is_being_removed_gets_no_new_tasks,
    workers::a_worker_that_is_being_removed_takes_commands_to_its_tasks,
    workers::an_index_is_never_given_twice,
    workers::workers_come_and_go_while_messages_flow,
    workers::a_full_queue_of_inputs_is_told_and_nothing_happens,
    workers::a_worker_that_waits_for_nothing_can_be_removed,
    commands::commands_arrive_in_the_order_they_were_given,
    commands::a_tracked_command_is_told_to_have_arrived,
    commands::a_command_for_a_task_that_is_no_more_is_told,
    commands::a_command_that_ends_its_task_has_arrived,
    spawns::a_spawn_is_followed_from_its_start_to_its_end,
    spawns::a_task_that_cannot_be_made_is_told_with_the_reason,
    spawns::a_task_that_panics_at_its_start_has_started_and_ended,
    spawns::a_task_that_a_task_asks_for_names_its_parent,
    spawns::in_turn_each_worker_gets_one,
    spawns::where_load_is_least_tasks_spread_evenly,
    spawns::where_load_is_least_a_worker_with_many_tasks_is_passed_over,
    spawns::where_load_is_least_a_worker_that_does_not_come_back_is_passed_over,
    spawns::a_key_keeps_its_worker_unless_that_goes,
    spawns::a_runtime_that_stops_makes_no_more_tasks,
    status::tasks_are_counted_by_group,
    status::how_tasks_ended_is_counted,
    status::messages_are_counted_where_they_go_in_and_come_out,
    status::subscriptions_and_requests_are_counted,
    status::the_most_that_has_waited_is_remembered,
    status::a_worker_without_work_is_idle,
    status::wake_ups_are_counted,
    status::lateness_of_timeouts_is_measured,
    status::a_worker_that_stands_still_can_be_looked_at,
    status::a_worker_that_is_gone_has_no_status,
    status::buffers_in_use_are_counted,
    shutdown::the_phases_of_a_shutdown_follow_one_another_over_all_workers,
    shutdown::a_phase_waits_for_a_task_on_another_worker,
    shutdown::phases_that_nobody_is_in_are_passed_over,
    shutdown::who_does_not_finish_in_time_is_removed,
    shutdown::what_is_under_way_at_the_end_is_accounted_for,
    shutdown::commands_before_a_shutdown_arrive_before_it,
    shutdown::who_is_dropped_without_a_shutdown_drops_its_tasks,
    deaths::a_worker_that_dies_is_reported_with_its_tasks,
    deaths::the_others_go_on,
    deaths::a_subscription_under_way_does_not_wait_for_a_dead_worker,
    deaths::another_takes_the_place_of_the_dead_one,
    deaths::a_worker_is_replaced_only_so_often,
    deaths::all_stop_if_that_is_wanted,
    deaths::what_was_asked_of_a_worker_that_dies_is_answered,
    deaths::what_a_worker_sent_before_it_died_arrives,
    deaths::messages_to_and_from_a_worker_that_dies_are_counted,
    deaths::a_task_is_placed_where_somebody_is,
}

/// What a simulated controller has no limits for.
mod threads_only {
    over_every_backend! {
        commands::who_does_not_listen_may_ask_for_no_more,
        status::what_was_dropped_for_want_of_a_listener_is_counted,
    }
}
