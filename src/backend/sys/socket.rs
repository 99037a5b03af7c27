//! Opens UDP sockets.
#![expect(
    unsafe_code,
    reason = "socket, bind, connect, setsockopt, getsockopt, getsockname, fcntl"
)]

use core::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::address::{Domain, Name};
use super::options::set_udp_options;
use super::steer::steer;
use super::{Errno, checked_int};
use crate::backend::Offload;
use crate::udp::{Sharing, UdpOpen};

/// Opens and binds a socket that never blocks, and connects it if it is to be. Gives the address
/// it is bound to.
pub(crate) fn open_udp(open: &UdpOpen, offload: Offload) -> Result<(OwnedFd, SocketAddr), Errno> {
    let domain = Domain::of_udp(open);
    let socket = datagram_socket(domain)?;
    let fd = socket.as_fd();
    match domain {
        Domain::V4 => {}
        Domain::V6 => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?,
        Domain::Dual => set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?,
    }
    let share = || {
        if open.sharing.is_shared() {
            set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
        } else {
            Ok(())
        }
    };
    // A port that the system chooses is to be one that nobody shares yet. Who is steered before it
    // is bound shares with nobody who is bound.
    let chosen = open.bind.port() == 0;
    let is_steered = !matches!(open.sharing, Sharing::Exclusive | Sharing::Shared);
    if !chosen || is_steered {
        share()?;
    }
    if chosen {
        steer(fd, open.sharing)?;
    }
    set_udp_options(fd, open, domain)?;
    ask_for_info(fd, domain, offload);
    bind(fd, &open.bind, domain)?;
    if chosen {
        share()?;
    } else {
        steer(fd, open.sharing)?;
    }
    if let Some(peer) = &open.peer {
        if !domain.reaches(peer) {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        connect(fd, peer, domain)?;
    }
    let local = local_address(fd)?;
    Ok((socket, local))
}

/// Whether this kernel joins received datagrams, and splits those to be sent.
#[cfg(target_os = "linux")]
pub(crate) fn runs_supported() -> (bool, bool) {
    let Ok(socket) = datagram_socket(Domain::V4).or_else(|_| datagram_socket(Domain::V6)) else {
        return (false, false);
    };
    let has = |option, value| set_option(socket.as_fd(), libc::SOL_UDP, option, value).is_ok();
    (has(libc::UDP_GRO, 1), has(libc::UDP_SEGMENT, 1_200))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn runs_supported() -> (bool, bool) {
    (false, false)
}

fn datagram_socket(domain: Domain) -> Result<OwnedFd, Errno> {
    new_socket(domain, libc::SOCK_DGRAM)
}

/// A socket of this kind that never blocks.
pub(super) fn new_socket(domain: Domain, kind: libc::c_int) -> Result<OwnedFd, Errno> {
    let family = match domain {
        Domain::V4 => libc::AF_INET,
        Domain::V6 | Domain::Dual => libc::AF_INET6,
    };
    #[cfg(target_os = "linux")]
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let fd = checked_int(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    #[cfg(not(target_os = "linux"))]
    never_block(socket.as_fd())?;
    Ok(socket)
}

/// Has the kernel say more than the bytes of a datagram. What it cannot say is left out.
#[cfg(target_os = "linux")]
fn ask_for_info(fd: BorrowedFd<'_>, domain: Domain, offload: Offload) {
    let ask = |level, option| optional(set_option(fd, level, option, 1));
    ask(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
    // A dual-stack socket takes both: IPv4 datagrams come with what was asked for IPv4.
    if domain != Domain::V6 {
        ask(libc::SOL_IP, libc::IP_RECVTOS);
        ask(libc::SOL_IP, libc::IP_RECVERR);
        ask(libc::SOL_IP, libc::IP_PKTINFO);
    }
    if domain != Domain::V4 {
        ask(libc::SOL_IPV6, libc::IPV6_RECVPKTINFO);
        ask(libc::SOL_IPV6, libc::IPV6_RECVTCLASS);
        ask(libc::SOL_IPV6, libc::IPV6_RECVERR);
    }
    if offload == Offload::WhereAvailable {
        ask(libc::SOL_UDP, libc::UDP_GRO);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_info(_: BorrowedFd<'_>, _: Domain, _: Offload) {}

pub(super) fn bind(fd: BorrowedFd<'_>, address: &SocketAddr, domain: Domain) -> Result<(), Errno> {
    let (name, len) = Name::encode(address, domain);
    // SAFETY: `name` lives during the call and holds an address of `len` bytes.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), core::ptr::from_ref(&name).cast(), len) };
    checked_int(bound).map(drop)
}

pub(super) fn connect(fd: BorrowedFd<'_>, peer: &SocketAddr, domain: Domain) -> Result<(), Errno> {
    let (name, len) = Name::encode(peer, domain);
    // SAFETY: `name` lives during the call and holds an address of `len` bytes.
    let connected =
        unsafe { libc::connect(fd.as_raw_fd(), core::ptr::from_ref(&name).cast(), len) };
    checked_int(connected).map(drop)
}

pub(super) fn local_address(fd: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    let mut name = Name::zeroed();
    let mut len = Name::LEN;
    let room = core::ptr::from_mut(&mut name).cast();
    // SAFETY: `room` points at `len` bytes that we own, and `len` is ours too; whatever bytes the
    // kernel writes leave `name` initialised.
    checked_int(unsafe { libc::getsockname(fd.as_raw_fd(), room, &mut len) })?;
    name.decode(len).ok_or(Errno(libc::EAFNOSUPPORT))
}

/// The address of whom a socket is connected to.
pub(super) fn peer_address(fd: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    let mut name = Name::zeroed();
    let mut len = Name::LEN;
    let room = core::ptr::from_mut(&mut name).cast();
    // SAFETY: as in `local_address`.
    checked_int(unsafe { libc::getpeername(fd.as_raw_fd(), room, &mut len) })?;
    name.decode(len).ok_or(Errno(libc::EAFNOSUPPORT))
}

pub(super) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    set_value(fd, level, option, &value)
}

/// Sets an option whose value is a plain C structure.
pub(super) fn set_value<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> Result<(), Errno> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the size of a small structure"
    )]
    let len = size_of::<T>() as libc::socklen_t;
    let value = core::ptr::from_ref(value).cast();
    // SAFETY: `value` points at `len` bytes that live during the call; the kernel only reads them.
    checked_int(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, len) }).map(drop)
}

/// Has the kernel refuse all runs from this socket: without checksums it does not cut any.
#[cfg(all(test, target_os = "linux"))]
pub(crate) fn refuse_runs(fd: BorrowedFd<'_>) {
    set_option(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)
        .expect("any UDP socket can do without checksums");
}

/// The value of an option that is an `int`.
pub(super) fn get_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> Result<libc::c_int, Errno> {
    let mut value: libc::c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    let room = core::ptr::from_mut(&mut value).cast();
    // SAFETY: `room` points at an int of ours, `len` is its size, and both live during the call.
    let read = unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, room, &mut len) };
    checked_int(read).map(|_| value)
}

/// An option without which the socket works as well, though it says less.
pub(super) const fn optional(_: Result<(), Errno>) {}

/// Makes calls on `fd` return at once, and keeps it from programs that this one starts.
pub(super) fn never_block(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    let flags = checked_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = flags | libc::O_NONBLOCK;
    // SAFETY: no pointers are passed.
    checked_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) })?;
    // SAFETY: no pointers are passed.
    checked_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}
