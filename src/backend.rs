//! Ways to reach the kernel, behind one trait.
//!
//! A [`Backend`] does four things: it takes commands through its [`Port`], flushes them, waits
//! until a deadline while handing each event to the worker as it comes, and gives out a [`Waker`]
//! that other threads may call. What it cannot do it says in [`Capabilities`].
//!
//! A backend owns the memory it receives into and hands received datagrams over in place, in
//! buffers of the worker's pool; it takes buffers to be sent by value. So one that completes
//! operations later (io_uring), or that owns frames (AF_XDP), fits the same trait.
//!
//! All unsafe code of the project is in here, most of it in `sys`.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use crate::buffer::BufferPool;
use crate::capabilities::Capabilities;
use crate::counters::NetworkCounters;
use crate::datagram::Transmit;
use crate::net::{NetworkCommand, NetworkError, NetworkEvent};
use crate::time::{Clock, Timestamp};
use crate::transmit::TransmitBuffer;

mod device;
mod events;
#[cfg(feature = "mio")]
mod mio;
mod poll;
#[cfg(feature = "polling")]
mod polling;
mod port;
mod readiness;
mod received;
pub mod sockets;
mod sys;
mod table;
mod tcp;
mod timers;
mod udp;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod uring;

#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use uring::{IoUringConfig, IoUringReceive, IoUringSend};

pub(crate) use sys::{PollFd, Timeout, WakeKind, WakeSignal, pin_to_core, wait as poll_fds};

/// One way to reach the kernel.
pub trait Backend {
    /// The half that takes commands. The other half hands out events meanwhile.
    type Port: Port;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Where commands go.
    fn port(&mut self) -> &mut Self::Port;

    /// Sends what is queued, as far as the kernel takes it.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the backend can do nothing more. Failures of single sends are events.
    fn flush(&mut self) -> Result<(), BackendError>;

    /// The same just before a wait, to which it may be left.
    ///
    /// # Errors
    ///
    /// As [`Backend::flush`].
    fn flush_before_wait(&mut self) -> Result<(), BackendError> {
        self.flush()
    }

    /// Waits for events until `until` (for ever if `None`; not at all if that has passed), for a
    /// [`Waker`], or for what it has to tell already. Hands at most a bounded batch of events from
    /// each source to `on_event`, one after the other, together with the time and the port that
    /// takes what the event causes.
    ///
    /// The time is asked of `clock` once, after the wait, and returned.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the backend can do nothing more.
    fn wait(
        &mut self,
        until: Option<Timestamp>,
        clock: &impl Clock,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut Self::Port),
    ) -> Result<Timestamp, BackendError>;

    /// Ends a wait early, from any thread.
    fn waker(&self) -> Waker;

    /// What passed through all its sockets, closed ones included.
    fn counters(&self) -> NetworkCounters;
}

/// Where a worker's commands go.
pub trait Port {
    /// Memory for the next datagram, if its task wants to write it in place.
    fn lend(&mut self) -> TransmitBuffer<'_>;

    /// Takes one command. What comes of it is an event, handed over by the next
    /// [`Backend::wait`].
    fn submit(&mut self, command: NetworkCommand);

    /// Takes datagrams to be sent out of where the caller has them: [`Port::submit`] for what comes
    /// most often, without a move.
    #[inline]
    fn transmit(&mut self, transmit: &mut Transmit) {
        self.submit(NetworkCommand::Transmit(transmit.take()));
    }
}

/// How a backend is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackendConfig {
    /// Where received datagrams are put.
    pub buffers: BufferPool,
    /// Messages (datagrams, or runs of them) taken from one socket at one wake-up.
    pub receive_batch_max: usize,
    /// Whether runs are received and sent as one where the kernel can. Off is for kernels that
    /// get it wrong.
    pub offload: Offload,
    /// How the backend `io-uring` sets up its ring.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub io_uring: IoUringConfig,
}

impl BackendConfig {
    /// Buffers of `buffers`, batches of 64, offload where the kernel has it.
    #[must_use]
    pub const fn new(buffers: BufferPool) -> Self {
        Self {
            buffers,
            receive_batch_max: 64,
            offload: Offload::WhereAvailable,
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            io_uring: IoUringConfig::new(),
        }
    }
}

/// Whether the kernel is to join and split runs of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "on or off")]
pub enum Offload {
    /// Where it can.
    WhereAvailable,
    /// Never.
    Off,
}

/// A backend can do nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("backend failed: {operation}: {error}")]
pub struct BackendError {
    /// What it was doing, as the system calls it.
    pub operation: &'static str,
    /// What the system said.
    pub error: NetworkError,
}

/// Ends a backend's wait from another thread. Several wakes before the wait ends are one.
#[derive(Clone)]
pub struct Waker(Arc<dyn Wake>);

impl Waker {
    /// A waker that does `wake`.
    #[must_use]
    pub fn new(wake: Arc<dyn Wake>) -> Self {
        Self(wake)
    }

    /// Makes the current wait, or the next one, end at once.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// What is behind a [`Waker`].
pub trait Wake: Send + Sync {
    /// Makes the current wait, or the next one, end at once.
    fn wake(&self);
}

/// A backend, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendKind {
    /// Sockets, waited for with mio.
    #[cfg(feature = "mio")]
    Mio,
    /// Sockets, waited for with the `polling` crate.
    #[cfg(feature = "polling")]
    Polling,
    /// Sockets, waited for with raw `poll(2)`.
    Poll,
    /// Sockets in a ring of Linux's io_uring.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    IoUring,
}

impl BackendKind {
    /// All that this build has, the best first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "mio")]
        Self::Mio,
        #[cfg(feature = "polling")]
        Self::Polling,
        Self::Poll,
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        Self::IoUring,
    ];

    /// Its name, as [`BackendKind::from_str`] takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "mio")]
            Self::Mio => "mio",
            #[cfg(feature = "polling")]
            Self::Polling => "polling",
            Self::Poll => "poll",
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            Self::IoUring => "io-uring",
        }
    }
}

impl Default for BackendKind {
    /// The best that this build has.
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let found = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownBackend {
            name: name.to_owned(),
        })
    }
}

/// No backend of this build has that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBackend {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown backend `{}`; this build has:", self.name)?;
        BackendKind::ALL
            .iter()
            .try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl core::error::Error for UnknownBackend {}
