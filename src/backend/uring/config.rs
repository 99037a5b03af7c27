//! How a ring is set up.

use core::time::Duration;

/// How the backend `io-uring` sets up its ring.
///
/// Every value works, if not every one fast: what is out of the kernel's bounds is brought within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoUringConfig {
    /// Operations that may be handed to the kernel with one call: at least 2, rounded up to a power
    /// of two. Where there are more, there are more calls.
    pub entries: u32,
    /// Completions that the kernel and we share room for: at least twice the entries, rounded up to
    /// a power of two. Where there are more, the kernel keeps them, which costs it memory and time.
    pub completions: u32,
    /// Buffers of 64 KiB that the kernel receives into by itself, for all sockets and streams: rounded
    /// up to a power of two. Where they run out, sockets are asked for the rest, each in its turn.
    /// None: sockets and streams are always asked.
    pub buffers: u16,
    /// How the bytes of streams are received.
    pub receive_bytes: IoUringReceive,
    /// How the packets of devices are received.
    pub receive_packets: IoUringReceive,
    /// How connections are taken in. By itself the kernel does not say from whom one is; one that
    /// was broken off before we could ask has nobody to be told of then. With `polling`, listeners
    /// are asked always: that thread would take in also while nobody wants any.
    pub accept: IoUringReceive,
    /// When datagrams are sent.
    pub send_datagrams: IoUringSend,
    /// When the bytes of streams are sent.
    pub send_bytes: IoUringSend,
    /// Whether a thread of the kernel takes the operations, so that handing them over needs no
    /// call, and how long that thread spins until it sleeps. It takes a core for itself.
    pub polling: Option<Duration>,
}

/// How the kernel hands over what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum IoUringReceive {
    /// It says that there is something, and is asked for it.
    WhenAsked,
    /// By itself, as long as there are buffers: no calls, and more cache misses.
    ByItself,
}

/// When what is to be sent is handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum IoUringSend {
    /// By calls of its own, for a stream as soon as it was read: peers go on meanwhile. On the
    /// machines where this was measured it is the faster, or no slower.
    AtOnce,
    /// By the call that waits for what comes next: one call for each wake-up.
    WithWait,
}

impl IoUringConfig {
    /// 256 entries, 4,096 completions, 32 buffers, no thread of the kernel.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: 256,
            completions: 4_096,
            buffers: 32,
            receive_bytes: IoUringReceive::WhenAsked,
            receive_packets: IoUringReceive::WhenAsked,
            accept: IoUringReceive::WhenAsked,
            send_datagrams: IoUringSend::AtOnce,
            send_bytes: IoUringSend::AtOnce,
            polling: None,
        }
    }

    /// The same, with a thread of the kernel that sleeps when there was nothing to do for `idle`.
    #[must_use]
    pub const fn polling(mut self, idle: Duration) -> Self {
        self.polling = Some(idle);
        self
    }
}

impl Default for IoUringConfig {
    fn default() -> Self {
        Self::new()
    }
}
