//! The options of UDP sockets, as tasks ask for them.

use std::os::fd::BorrowedFd;

use super::Errno;
use super::address::Domain;
use super::interface::{Choice, index_of};
use super::socket::{get_option, optional, set_option};
use crate::traffic::Ecn;
use crate::udp::{Broadcast, MulticastLoop, UdpBuffers, UdpOpen};

/// Sets what `open` asks for and the system does not do by itself.
pub(super) fn set_udp_options(
    fd: BorrowedFd<'_>,
    open: &UdpOpen,
    domain: Domain,
) -> Result<(), Errno> {
    for (bytes, forced, plain) in [
        (open.receive_buffer, RECEIVE_FORCED, libc::SO_RCVBUF),
        (open.send_buffer, SEND_FORCED, libc::SO_SNDBUF),
    ] {
        match bytes {
            Some(bytes) => {
                let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
                set_option(fd, libc::SOL_SOCKET, plain, bytes)?;
            }
            None => raise_queue(fd, forced, plain),
        }
    }
    if open.broadcast == Broadcast::Allowed {
        set_option(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, 1)?;
    }
    // A dual-stack socket has options of both families.
    if domain != Domain::V6 {
        set_v4_options(fd, open)?;
    }
    if domain != Domain::V4 {
        set_v6_options(fd, open)?;
    }
    set_multicast_interface(fd, open, domain)
}

fn set_v4_options(fd: BorrowedFd<'_>, open: &UdpOpen) -> Result<(), Errno> {
    let set = |option, value| set_option(fd, libc::IPPROTO_IP, option, value);
    let traffic_class = open.dscp.traffic_class(Ecn::NotCapable);
    if traffic_class != 0 {
        set(libc::IP_TOS, traffic_class.into())?;
    }
    if let Some(hosts) = open.hop_limit {
        set(libc::IP_TTL, hosts.into())?;
    }
    if open.multicast_hop_limit != 1 {
        set(libc::IP_MULTICAST_TTL, open.multicast_hop_limit.into())?;
    }
    if open.multicast_loop == MulticastLoop::Off {
        set(libc::IP_MULTICAST_LOOP, 0)?;
    }
    // Else it would hear the groups of other sockets.
    #[cfg(target_os = "linux")]
    optional(set(libc::IP_MULTICAST_ALL, 0));
    Ok(())
}

fn set_v6_options(fd: BorrowedFd<'_>, open: &UdpOpen) -> Result<(), Errno> {
    let set = |option, value| set_option(fd, libc::IPPROTO_IPV6, option, value);
    let traffic_class = open.dscp.traffic_class(Ecn::NotCapable);
    if traffic_class != 0 {
        set(libc::IPV6_TCLASS, traffic_class.into())?;
    }
    if let Some(hosts) = open.hop_limit {
        set(libc::IPV6_UNICAST_HOPS, hosts.into())?;
    }
    if open.multicast_hop_limit != 1 {
        set(libc::IPV6_MULTICAST_HOPS, open.multicast_hop_limit.into())?;
    }
    if open.multicast_loop == MulticastLoop::Off {
        set(libc::IPV6_MULTICAST_LOOP, 0)?;
    }
    #[cfg(target_os = "linux")]
    optional(set(libc::IPV6_MULTICAST_ALL, 0));
    Ok(())
}

/// Has what goes to groups leave through one interface.
#[cfg(target_os = "linux")]
fn set_multicast_interface(
    fd: BorrowedFd<'_>,
    open: &UdpOpen,
    domain: Domain,
) -> Result<(), Errno> {
    let Choice::Index(index) = index_of(open.multicast_interface)? else {
        return Ok(());
    };
    let index = libc::c_int::try_from(index).unwrap_or(0);
    if domain != Domain::V6 {
        let request = super::multicast::v4_request(core::net::Ipv4Addr::UNSPECIFIED, index);
        let set = super::socket::set_value(fd, libc::SOL_IP, libc::IP_MULTICAST_IF, &request);
        // Which of the addresses is not available: the interface.
        set.map_err(|error| match error {
            Errno(libc::EADDRNOTAVAIL) => Errno(libc::ENODEV),
            other => other,
        })?;
    }
    if domain != Domain::V4 {
        set_option(fd, libc::SOL_IPV6, libc::IPV6_MULTICAST_IF, index)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_multicast_interface(_: BorrowedFd<'_>, open: &UdpOpen, _: Domain) -> Result<(), Errno> {
    match index_of(open.multicast_interface)? {
        Choice::ByRoute => Ok(()),
        Choice::Index(_) => Err(Errno(libc::EOPNOTSUPP)),
    }
}

/// What the system says a socket's buffers hold.
pub(crate) fn udp_buffers(fd: BorrowedFd<'_>) -> UdpBuffers {
    let bytes = |option| {
        let bytes = get_option(fd, libc::SOL_SOCKET, option);
        bytes.map_or(0, |bytes| u32::try_from(bytes).unwrap_or(0))
    };
    UdpBuffers::new(bytes(libc::SO_SNDBUF), bytes(libc::SO_RCVBUF))
}

/// Room for a burst of long runs, as far as the system allows. `forced` passes over its limit
/// (root only).
fn raise_queue(fd: BorrowedFd<'_>, forced: Option<libc::c_int>, plain: libc::c_int) {
    let set = |option| set_option(fd, libc::SOL_SOCKET, option, QUEUE_BYTES);
    if forced.is_none_or(|forced| set(forced).is_err()) {
        optional(set(plain));
    }
}

/// Bytes that the kernel may queue for a socket in each direction.
const QUEUE_BYTES: libc::c_int = 2 << 20;

#[cfg(target_os = "linux")]
const RECEIVE_FORCED: Option<libc::c_int> = Some(libc::SO_RCVBUFFORCE);
#[cfg(target_os = "linux")]
const SEND_FORCED: Option<libc::c_int> = Some(libc::SO_SNDBUFFORCE);
#[cfg(not(target_os = "linux"))]
const RECEIVE_FORCED: Option<libc::c_int> = None;
#[cfg(not(target_os = "linux"))]
const SEND_FORCED: Option<libc::c_int> = None;
