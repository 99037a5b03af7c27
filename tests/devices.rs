//! TUN and TAP devices of the kernel, over every socket backend. Each test has a network of its
//! own; without the right to make one it says that it is skipped.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
#![cfg(all(feature = "poll", target_os = "linux"))]

#[path = "devices/host.rs"]
mod host;
#[path = "devices/large.rs"]
mod large;
#[path = "devices/life.rs"]
mod life;
#[path = "devices/packets.rs"]
mod packets;
#[path = "support/rings.rs"]
mod rings;
#[path = "devices/system.rs"]
mod system;
#[path = "devices/wire.rs"]
mod wire;

/// Makes a test of each story for each backend.
macro_rules! on_every_backend {
    ($($of:ident::$story:ident,)*) => {
        on_every_backend! { @backend mio Mio #[cfg(feature = "mio")] $($of::$story,)* }
        on_every_backend! { @backend polling Polling #[cfg(feature = "polling")] $($of::$story,)* }
        on_every_backend! { @backend poll Poll #[cfg(feature = "poll")] $($of::$story,)* }
        on_every_backend! { @backend io_uring IoUring #[cfg(feature = "io-uring")] $($of::$story,)* }

        /// A ring that does by itself all that it can.
        #[cfg(feature = "io-uring")]
        mod io_uring_whole {
            $(#[test] fn $story() {
                let name = concat!("io_uring_whole::", stringify!($story));
                crate::system::in_own_network(name, || {
                    crate::rings::all_by_itself();
                    crate::$of::$story(stillpoint::backend::BackendKind::IoUring);
                });
            })*
        }
    };
    (@backend $backend:ident $kind:ident #[$only:meta] $($of:ident::$story:ident,)*) => {
        #[$only]
        mod $backend {
            $(#[test] fn $story() {
                let name = concat!(stringify!($backend), "::", stringify!($story));
                crate::system::in_own_network(name, || {
                    crate::$of::$story(stillpoint::backend::BackendKind::$kind);
                });
            })*
        }
    };
}

on_every_backend! {
    life::a_device_has_the_name_addresses_and_mtu_that_were_asked_for_and_is_up,
    life::a_device_without_a_name_gets_one,
    life::a_bad_name_is_refused,
    life::a_device_that_is_open_or_of_another_kind_is_busy,
    life::settings_that_the_kernel_does_not_take_leave_nothing_behind,
    life::without_privilege_the_error_says_what_is_missing,
    life::a_device_of_root_may_be_opened_by_its_owner,
    life::a_closed_device_is_gone_with_all_its_descriptors,
    life::a_device_that_is_removed_is_told_of_once,
    life::a_device_closed_in_the_middle_of_a_batch_gives_no_more,
    packets::packets_go_out_and_come_in_under_both_families,
    packets::frames_go_out_and_come_in_after_an_address_is_resolved,
    packets::a_short_packet_does_not_keep_the_memory_of_a_long_one,
    packets::a_packet_longer_than_the_mtu_is_refused_with_the_mtu_of_now,
    packets::what_is_no_packet_is_refused_with_the_reason,
    packets::a_device_that_is_down_refuses_packets_and_goes_on_when_it_is_up,
    packets::the_queues_of_a_device_share_its_flows,
    packets::a_flooded_device_does_not_keep_another_waiting,
    packets::every_buffer_goes_back_to_the_pool,
    large::large_tcp_segments_are_forwarded_as_one_packet,
    large::single_packets_are_whole_and_have_their_checksums,
    large::large_and_single_packets_meet_on_one_way,
    large::tcp_over_ipv6_is_forwarded_as_well,
    large::without_offload_packets_come_single_too,
    large::a_run_of_datagrams_is_one_packet_both_ways,
    large::two_queues_of_one_device_may_differ_in_what_they_take,
}
