//! Memberships of sockets in multicast groups.

use core::net::IpAddr;
#[cfg(target_os = "linux")]
use core::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use super::Errno;
use super::address::Domain;
#[cfg(target_os = "linux")]
use super::{
    interface::{Choice, index_of},
    socket::set_value,
};
use crate::udp::Interface;

/// What becomes of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MembershipChange {
    Join,
    Leave,
}

/// Makes a socket of `domain` a member of a group, or ends that.
#[cfg(target_os = "linux")]
pub(crate) fn change_membership(
    fd: BorrowedFd<'_>,
    domain: Domain,
    group: IpAddr,
    interface: Interface,
    change: MembershipChange,
) -> Result<(), Errno> {
    let index = match index_of(interface)? {
        Choice::ByRoute => 0,
        Choice::Index(index) => index,
    };
    match (group, domain) {
        (IpAddr::V4(group), Domain::V4 | Domain::Dual) => {
            let request = v4_request(group, index.try_into().unwrap_or(0));
            let option = match change {
                MembershipChange::Join => libc::IP_ADD_MEMBERSHIP,
                MembershipChange::Leave => libc::IP_DROP_MEMBERSHIP,
            };
            set_value(fd, libc::SOL_IP, option, &request)
        }
        (IpAddr::V6(group), Domain::V6 | Domain::Dual) => {
            let request = v6_request(group, index);
            let option = match change {
                MembershipChange::Join => libc::IPV6_ADD_MEMBERSHIP,
                MembershipChange::Leave => libc::IPV6_DROP_MEMBERSHIP,
            };
            set_value(fd, libc::SOL_IPV6, option, &request)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// There are no memberships.
#[cfg(not(target_os = "linux"))]
pub(crate) fn change_membership(
    _: BorrowedFd<'_>,
    _: Domain,
    _: IpAddr,
    _: Interface,
    _: MembershipChange,
) -> Result<(), Errno> {
    Err(Errno(libc::EOPNOTSUPP))
}

/// Names a group and the interface of this number; 0 is the system's choice.
#[cfg(target_os = "linux")]
pub(super) fn v4_request(group: Ipv4Addr, index: libc::c_int) -> libc::ip_mreqn {
    let written = |ip: Ipv4Addr| libc::in_addr {
        s_addr: u32::from_ne_bytes(ip.octets()),
    };
    libc::ip_mreqn {
        imr_multiaddr: written(group),
        imr_address: written(Ipv4Addr::UNSPECIFIED),
        imr_ifindex: index,
    }
}

#[cfg(target_os = "linux")]
fn v6_request(group: Ipv6Addr, index: u32) -> libc::ipv6_mreq {
    libc::ipv6_mreq {
        ipv6mr_multiaddr: libc::in6_addr {
            s6_addr: group.octets(),
        },
        ipv6mr_interface: index,
    }
}
