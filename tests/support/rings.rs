//! How the rings of a test are set up.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a module of several test programs"
)]

use stillpoint::backend::BackendConfig;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
use stillpoint::backend::{IoUringConfig, IoUringReceive, IoUringSend};

/// A ring that does by itself all that it can.
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub fn whole() -> IoUringConfig {
    let mut config = IoUringConfig::new();
    config.receive_bytes = IoUringReceive::ByItself;
    config.receive_packets = IoUringReceive::ByItself;
    config.accept = IoUringReceive::ByItself;
    config.send_datagrams = IoUringSend::WithWait;
    config.send_bytes = IoUringSend::WithWait;
    config
}

/// From now on the rings of this thread are whole.
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub fn all_by_itself() {
    ALL_BY_ITSELF.set(true);
}

/// Sets a backend up as this thread wants it.
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub fn set_up(config: &mut BackendConfig) {
    if ALL_BY_ITSELF.get() {
        config.io_uring = whole();
    }
}

/// There are no rings here.
#[cfg(not(all(feature = "io-uring", target_os = "linux")))]
pub fn set_up(_: &mut BackendConfig) {}

#[cfg(all(feature = "io-uring", target_os = "linux"))]
thread_local! {
    static ALL_BY_ITSELF: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}
