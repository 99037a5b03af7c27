//! The system calls of the socket backends, each behind a safe function.
//!
//! All unsafe code of those backends is in these files. What they hand out are owned descriptors,
//! plain values and [`Errno`]; no pointer leaves the call it was made for.

use std::io;

use crate::net::NetworkError;

mod address;
mod control;
mod cores;
#[cfg_attr(not(target_os = "linux"), path = "device_elsewhere.rs")]
mod device;
mod errors;
mod interface;
mod message;
mod multicast;
mod options;
mod poll;
mod receive;
mod send;
mod socket;
mod steer;
mod stream;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod template;
mod wake;

pub(crate) use address::Domain;
pub(crate) use cores::pin_to_core;
pub(crate) use device::{
    HEADER_LEN, Leave, OpenedDevice, Settling, device_mtu, open_device, read_packet, write_packet,
};
pub(crate) use errors::{Origin, QueuedError, read_error, take_error};
pub(crate) use message::Batching;
pub(crate) use multicast::{MembershipChange, change_membership};
pub(crate) use options::udp_buffers;
pub(crate) use poll::{PollFd, Timeout, WaitFor, wait};
pub(crate) use receive::{ReceiveBatch, Received, Whole};
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) use send::SEND_FLAGS;
pub(crate) use send::{Envelope, SendBatch, SendScratch};
#[cfg(all(test, target_os = "linux"))]
pub(crate) use socket::refuse_runs;
pub(crate) use socket::{open_udp, runs_supported};
pub(crate) use stream::{
    GatherScratch, WriteScratch, abort, accept, accepted_from, connect_tcp, end_write,
    is_acknowledged, listen_tcp, read, stream_address,
};
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) use template::MessageTemplate;
pub(crate) use wake::{WakeKind, WakeSignal};

/// The system's number for what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    /// What the last failed call of this thread left.
    fn last() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// Nothing to read now.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == libc::EAGAIN || self.0 == libc::EWOULDBLOCK
    }

    /// The send queue of the socket is full; it says when there is room again.
    pub(crate) const fn is_full(self) -> bool {
        self.is_empty()
    }

    /// What a full send queue answers.
    pub(crate) const FULL: Self = Self(libc::EAGAIN);

    /// The device that the descriptor stood for is no more.
    pub(crate) const fn is_detached(self) -> bool {
        #[cfg(target_os = "linux")]
        const DETACHED: i32 = libc::EBADFD;
        #[cfg(not(target_os = "linux"))]
        const DETACHED: i32 = libc::ENXIO;
        self.0 == DETACHED
    }

    /// A queue behind the socket is full. Nobody says when there is room again.
    pub(crate) const fn is_out_of_memory(self) -> bool {
        self.0 == libc::ENOBUFS || self.0 == libc::ENOMEM
    }

    /// What a kernel or device answers that cannot split this run. The last is for datagrams longer
    /// than the path's MTU: sent singly, they go in fragments.
    pub(crate) const fn refuses_run(self) -> bool {
        matches!(
            self.0,
            libc::EIO | libc::EINVAL | libc::EOPNOTSUPP | libc::EMSGSIZE
        )
    }

    /// What `accept(2)` says of a connection that was lost before it was taken in.
    pub(crate) const fn is_of_one_connection(self) -> bool {
        matches!(
            self.0,
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    }

    pub(crate) const fn is_interrupted(self) -> bool {
        self.0 == libc::EINTR
    }

    pub(crate) const fn is_too_long(self) -> bool {
        self.0 == libc::EMSGSIZE
    }

    /// The same of a membership that could not be begun or ended.
    pub(crate) const fn to_membership_error(self) -> NetworkError {
        match self.0 {
            libc::EADDRINUSE => NetworkError::AlreadyMember,
            libc::EADDRNOTAVAIL => NetworkError::NotMember,
            libc::ENOBUFS | libc::ENOMEM => NetworkError::TooManyGroups,
            _ => self.to_network_error(),
        }
    }

    pub(crate) const fn to_network_error(self) -> NetworkError {
        match self.0 {
            libc::EADDRINUSE => NetworkError::AddressInUse,
            libc::EADDRNOTAVAIL => NetworkError::AddressNotAvailable,
            libc::EAFNOSUPPORT => NetworkError::AddressFamily,
            libc::ENODEV | libc::ENXIO => NetworkError::NoSuchInterface,
            libc::EOPNOTSUPP => NetworkError::Unsupported,
            libc::EACCES | libc::EPERM => NetworkError::PermissionDenied,
            libc::ETIMEDOUT => NetworkError::TimedOut,
            // The last is said of a connection that was reset, to whoever is not the first to hear.
            libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN => {
                NetworkError::ConnectionReset
            }
            libc::ECONNREFUSED => NetworkError::ConnectionRefused,
            libc::EHOSTUNREACH | libc::EHOSTDOWN => NetworkError::HostUnreachable,
            libc::ENETUNREACH => NetworkError::NetworkUnreachable,
            libc::EAGAIN | libc::ENOBUFS => NetworkError::QueueFull,
            libc::EMFILE | libc::ENFILE => NetworkError::TooManySockets,
            other => NetworkError::Other(other),
        }
    }
}

/// The result of a call that gives -1 when it fails, and a count or a descriptor otherwise.
fn checked(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// The same for calls that give an `int`.
fn checked_int(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}
