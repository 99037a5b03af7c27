//! The machine's network interfaces: which one has an address.
#![expect(unsafe_code, reason = "getifaddrs and if_nametoindex")]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Errno;
use crate::udp::Interface;

/// An interface as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The kernel's routes say.
    ByRoute,
    /// The one of this number.
    Index(u32),
}

/// The number of an interface.
pub(super) fn index_of(interface: Interface) -> Result<Choice, Errno> {
    match interface {
        Interface::ByRoute => Ok(Choice::ByRoute),
        Interface::Index(index) => Ok(Choice::Index(index.number())),
        Interface::Address(ip) => find(ip.to_canonical()).map(Choice::Index),
    }
}

/// The list of the system's interfaces and their addresses.
struct List(*mut libc::ifaddrs);

impl List {
    fn new() -> Result<Self, Errno> {
        let mut first = core::ptr::null_mut();
        // SAFETY: `first` lives during the call, which writes a list into it that is ours to free.
        super::checked_int(unsafe { libc::getifaddrs(&mut first) })?;
        Ok(Self(first))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: `getifaddrs` gave the list, nobody has freed it, and nothing refers to it after
        // this.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

/// The number of the interface that has this address.
fn find(ip: IpAddr) -> Result<u32, Errno> {
    let list = List::new()?;
    let mut next = list.0;
    // SAFETY: the entries are `getifaddrs`' own: each pointer is null or points at an entry that
    // lives, unchanged, as long as `list`, which is until this returns.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: the address of an entry is null or points at one that is as long as its family
        // says, and that lives as long as the entry.
        if unsafe { address(entry.ifa_addr) } != Some(ip) {
            continue;
        }
        // SAFETY: the name of an entry ends with a zero byte and lives as long as the entry.
        let index = unsafe { libc::if_nametoindex(entry.ifa_name) };
        if index != 0 {
            return Ok(index);
        }
    }
    Err(Errno(libc::ENODEV))
}

/// The IP address behind `name`, if it is one.
///
/// # Safety
///
/// `name` is null or points at a socket address that is as long as its family says, that is
/// aligned for it, and that nobody changes meanwhile.
#[expect(
    clippy::cast_ptr_alignment,
    reason = "aligned, as the caller has promised"
)]
unsafe fn address(name: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: null or valid, as the caller has promised.
    let family = i32::from(unsafe { name.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that it is one of these.
            let name = unsafe { &*name.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one of these.
            let name = unsafe { &*name.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(name.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_by_its_address() {
        let loopback = index_of(Interface::Address([127, 0, 0, 1].into())).unwrap();
        assert!(matches!(loopback, Choice::Index(number) if number > 0));
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        assert_eq!(index_of(Interface::Address(mapped)), Ok(loopback));
        let nobody = Interface::Address([192, 0, 2, 1].into());
        assert_eq!(index_of(nobody), Err(Errno(libc::ENODEV)));
    }
}
