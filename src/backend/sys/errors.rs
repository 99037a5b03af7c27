//! What a socket was told of the datagrams it sent: ICMP errors, each with the peer it is about.
#![expect(unsafe_code, reason = "recvmsg")]

use core::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::Errno;
#[cfg(target_os = "linux")]
use super::address::Name;
#[cfg(target_os = "linux")]
use super::control::{ReceiveControl, messages, octets};
#[cfg(target_os = "linux")]
use super::message::empty_header;
#[cfg(target_os = "linux")]
use super::receive::written;
use super::socket::get_option;

/// One entry of a socket's error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuedError {
    pub(crate) error: Errno,
    pub(crate) origin: Origin,
    /// Whom the datagram was sent to.
    pub(crate) peer: Option<SocketAddr>,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This machine, which has told the sender already.
    #[cfg(target_os = "linux")]
    Local,
    /// Somebody on the way.
    Network,
}

/// Takes the oldest entry of the error queue.
#[cfg(target_os = "linux")]
pub(crate) fn read_error(socket: BorrowedFd<'_>) -> Result<QueuedError, Errno> {
    let mut name = Name::zeroed();
    let mut control = ReceiveControl::zeroed();
    let mut header = empty_header().msg_hdr;
    header.msg_name = core::ptr::from_mut(&mut name).cast();
    header.msg_namelen = Name::LEN;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = control.bytes.len() as _;
    // SAFETY: `header` points at a name and a control area that live during the call and that we
    // hold exclusively, with their true lengths; there are no iovecs, so the datagram that is
    // quoted is cut to nothing. The kernel keeps no pointer after the call.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, FLAGS) };
    super::checked(read)?;
    let control_len = written(&header).min(control.bytes.len());
    let mut queued = QueuedError {
        error: Errno(0),
        origin: Origin::Network,
        peer: name.decode(header.msg_namelen),
    };
    for (level, kind, data) in messages(&control.bytes[..control_len]) {
        if !matches!(
            (level, kind),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        ) {
            continue;
        }
        // `sock_extended_err` begins with the error number and the origin.
        if let (Some(number), Some(&origin)) = (octets(data, 0), data.get(4)) {
            queued.error = Errno(i32::from_ne_bytes(number));
            if origin == libc::SO_EE_ORIGIN_LOCAL {
                queued.origin = Origin::Local;
            }
        }
    }
    Ok(queued)
}

/// There is no error queue to read.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_error(_: BorrowedFd<'_>) -> Result<QueuedError, Errno> {
    Err(Errno(libc::EAGAIN))
}

/// Takes the socket's pending error off it, without the peer. `None` if there is none.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> Result<Option<Errno>, Errno> {
    let error = get_option(socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((error != 0).then_some(Errno(error)))
}

#[cfg(target_os = "linux")]
const FLAGS: libc::c_int = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
