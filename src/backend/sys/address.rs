//! Socket addresses as the kernel writes them.
#![expect(unsafe_code, reason = "a C union, told apart by its family field")]

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::udp::{UdpOpen, V6Only};

/// Which addresses a socket can talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    V4,
    V6,
    /// Both, through IPv6: IPv4 addresses are written mapped (`::ffff:0:0/96`).
    Dual,
}

impl Domain {
    /// What a socket bound to `bind` is to talk to.
    pub(crate) fn of(bind: &SocketAddr) -> Self {
        match bind {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(bind) if bind.ip().is_unspecified() => Self::Dual,
            SocketAddr::V6(_) => Self::V6,
        }
    }

    /// What a UDP socket is to talk to.
    pub(crate) fn of_udp(open: &UdpOpen) -> Self {
        match (Self::of(&open.bind), open.v6_only) {
            (Self::Dual, V6Only::Yes) => Self::V6,
            (domain, V6Only::Yes | V6Only::No) => domain,
        }
    }

    /// Whether `peer` can be written for it.
    pub(crate) const fn reaches(self, peer: &SocketAddr) -> bool {
        matches!(
            (self, peer),
            (Self::V4 | Self::Dual, SocketAddr::V4(_)) | (Self::V6 | Self::Dual, SocketAddr::V6(_))
        )
    }
}

/// Room for an address of either family. Always wholly initialised.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Room in bytes.
    pub(super) const LEN: libc::socklen_t = length_of::<Self>();

    pub(super) const fn zeroed() -> Self {
        // SAFETY: both variants are plain integers, for which all bits zero are a value.
        unsafe { core::mem::zeroed() }
    }

    /// `address` as a socket of `domain` takes it, and its length in bytes.
    pub(super) fn encode(address: &SocketAddr, domain: Domain) -> (Self, libc::socklen_t) {
        match (address, domain) {
            (SocketAddr::V4(address), Domain::Dual) => {
                let mapped = address.ip().to_ipv6_mapped();
                Self::encode_v6(&SocketAddrV6::new(mapped, address.port(), 0, 0))
            }
            (SocketAddr::V4(address), Domain::V4 | Domain::V6) => Self::encode_v4(address),
            (SocketAddr::V6(address), _) => Self::encode_v6(address),
        }
    }

    fn encode_v4(address: &SocketAddrV4) -> (Self, libc::socklen_t) {
        let mut name = Self::zeroed();
        // SAFETY: every bit pattern is a value of either variant, and `zeroed` initialised all of
        // them; the reference ends before `name` is used again.
        let v4 = unsafe { &mut name.v4 };
        v4.sin_family = family(libc::AF_INET);
        v4.sin_port = address.port().to_be();
        v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        (name, length_of::<libc::sockaddr_in>())
    }

    fn encode_v6(address: &SocketAddrV6) -> (Self, libc::socklen_t) {
        let mut name = Self::zeroed();
        // SAFETY: as in `encode_v4`.
        let v6 = unsafe { &mut name.v6 };
        v6.sin6_family = family(libc::AF_INET6);
        v6.sin6_port = address.port().to_be();
        v6.sin6_flowinfo = address.flowinfo().to_be();
        v6.sin6_addr.s6_addr = address.ip().octets();
        v6.sin6_scope_id = address.scope_id();
        (name, length_of::<libc::sockaddr_in6>())
    }

    /// What somebody else has written as a name.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut v6: [u8; Self::LEN as usize] = [0; Self::LEN as usize];
        let len = bytes.len().min(v6.len());
        v6[..len].copy_from_slice(&bytes[..len]);
        // SAFETY: both are so many bytes (the assertion below), and every bit pattern is a value of
        // either variant.
        unsafe { core::mem::transmute(v6) }
    }

    /// The address in the first `len` bytes. A mapped IPv4 address comes out as IPv4.
    pub(super) fn decode(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        // SAFETY: every bit pattern is a value of `sockaddr_in`, and all bits are initialised: by
        // `zeroed`, then by whoever wrote an address over them.
        let v4 = unsafe { self.v4 };
        if len >= length_of::<libc::sockaddr_in>() && v4.sin_family == family(libc::AF_INET) {
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            return Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))));
        }
        if len < length_of::<libc::sockaddr_in6>() || v4.sin_family != family(libc::AF_INET6) {
            return None;
        }
        // SAFETY: as above, for `sockaddr_in6`.
        let v6 = unsafe { self.v6 };
        let (ip, port) = (
            Ipv6Addr::from(v6.sin6_addr.s6_addr),
            u16::from_be(v6.sin6_port),
        );
        Some(match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, port)),
            None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the sizes of address structures are below 200"
)]
const fn length_of<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "family numbers are below 50"
)]
#[expect(clippy::cast_sign_loss, reason = "family numbers are not negative")]
const fn family(number: libc::c_int) -> libc::sa_family_t {
    number as libc::sa_family_t
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_comes_back_as_it_was_written(address: SocketAddr) {
            let domain = if address.is_ipv4() { Domain::V4 } else { Domain::V6 };
            let (name, len) = Name::encode(&address, domain);
            let expected = match address {
                // Flow labels are not read back: nobody asks for them.
                SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_none() =>
                    SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
                SocketAddr::V4(_) | SocketAddr::V6(_) =>
                    SocketAddr::new(address.ip().to_canonical(), address.port()),
            };
            prop_assert_eq!(name.decode(len), Some(expected));
            prop_assert_eq!(name.decode(len - 13), None);
        }
    }

    #[test]
    fn a_dual_stack_socket_writes_ipv4_mapped_and_reads_it_plain() {
        let address = "192.0.2.7:9".parse().unwrap();
        let (name, len) = Name::encode(&address, Domain::Dual);
        assert_eq!(len, Name::LEN);
        assert_eq!(name.decode(len), Some(address));
    }
}
