//! What does not fit a link.

use super::Parcel;

/// What becomes of a datagram, segment or packet that is longer than its link's
/// [MTU](crate::Link::mtu).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Oversize {
    /// The router in front of the link drops it and tells the sender (ICMP type 3, code 4 by RFC
    /// 1191; ICMPv6 type 2 by RFC 8201), over the link that leads back. The sender's task gets
    /// [`SocketError`](stillpoint::NetworkEvent::SocketError) with
    /// [`TooLong`](stillpoint::NetworkError::TooLong), and its node remembers for ten minutes what
    /// this path takes: until then, longer datagrams are refused at once
    /// ([`SendFailed`](stillpoint::NetworkEvent::SendFailed)), as by a Linux socket with
    /// `IP_PMTUDISC_DO`. TCP cuts smaller segments from then on, and sends again what was lost.
    #[default]
    TooBig,
    /// It travels in fragments (RFC 791), each of which can be lost; then all is. Where routers may
    /// make none, it is as with [`Oversize::TooBig`]: over IPv6, for segments of TCP (systems forbid
    /// it, so that they find out what the path takes), and for packets of devices that forbid it.
    Fragment,
    /// It is dropped and nobody is told: a black hole, as behind firewalls that let no ICMP pass.
    Drop,
}

/// How something fits a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// In so many fragments, mostly one.
    Pieces(u64),
    /// It does not, and nobody is told.
    Not,
    /// It does not: the link takes so many bytes.
    TooBig(u64),
}

/// How a parcel fits.
pub(super) const fn fit(parcel: &Parcel, mtu: u64, oversize: Oversize) -> Fit {
    let Parcel {
        bytes, ip_header, ..
    } = *parcel;
    if bytes <= mtu {
        return Fit::Pieces(1);
    }
    match oversize {
        Oversize::Drop => Fit::Not,
        Oversize::Fragment if parcel.is_cuttable => {
            // All but the last carry a multiple of eight bytes.
            let each = (mtu - ip_header) & !7;
            Fit::Pieces((bytes - ip_header).div_ceil(each))
        }
        Oversize::Fragment | Oversize::TooBig => Fit::TooBig(mtu),
    }
}

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_HEADER: u64 = 20;

/// Bytes of an IPv6 header.
pub(crate) const IPV6_HEADER: u64 = 40;

/// The least that a link must take (RFC 791), in bytes.
pub(super) const MTU_MIN: u32 = 68;

#[cfg(test)]
mod tests {
    use super::fit as fit_of;
    use super::*;

    #[test]
    fn fragments_are_those_of_rfc_791() {
        let fit = |bytes, mtu| {
            let parcel = Parcel {
                number: 0,
                bytes,
                ip_header: IPV4_HEADER,
                is_cuttable: true,
            };
            fit_of(&parcel, mtu, Oversize::Fragment)
        };
        assert_eq!(fit(1_500, 1_500), Fit::Pieces(1));
        assert_eq!(fit(1_501, 1_500), Fit::Pieces(2));
        assert_eq!(fit(20 + 2 * 1_480, 1_500), Fit::Pieces(2));
        assert_eq!(fit(20 + 2 * 1_480 + 1, 1_500), Fit::Pieces(3));
        assert_eq!(
            fit(20 + 2 * 1_480, 1_499),
            Fit::Pieces(3),
            "1,472 bytes each"
        );
    }
}
