//! How the rings of a test are set up.

use stillpoint::backend::BackendConfig;

/// From now on the rings of this thread do by themselves all that they can.
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) fn all_by_itself() {
    ALL_BY_ITSELF.set(true);
}

/// Sets a backend up as this thread wants it.
pub(crate) fn set_up(config: &mut BackendConfig) {
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    if ALL_BY_ITSELF.get() {
        use stillpoint::backend::{IoUringReceive, IoUringSend};
        config.io_uring.receive_bytes = IoUringReceive::ByItself;
        config.io_uring.receive_packets = IoUringReceive::ByItself;
        config.io_uring.accept = IoUringReceive::ByItself;
        config.io_uring.send_datagrams = IoUringSend::WithWait;
        config.io_uring.send_bytes = IoUringSend::WithWait;
    }
    #[cfg(not(all(feature = "io-uring", target_os = "linux")))]
    let _ = config;
}

#[cfg(all(feature = "io-uring", target_os = "linux"))]
thread_local! {
    static ALL_BY_ITSELF: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}
