//! What IP headers say of treatment on the way: priority (DSCP) and congestion (ECN).
//!
//! Both share one byte, the *traffic class* of IPv6 and the type of service of IPv4: six bits of
//! DSCP, then two of ECN. Networks of others may change either.
//!
//! Sources: RFC 2474 (DSCP), RFC 3168 (ECN), RFC 8325 (what Wi-Fi makes of the common code points).

use core::fmt;

/// Explicit congestion notification: the two bits of RFC 3168 in the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "two bits have four values")]
pub enum Ecn {
    /// The transport does not take part.
    #[default]
    NotCapable = 0b00,
    /// Capable, codepoint ECT(1).
    Capable1 = 0b01,
    /// Capable, codepoint ECT(0).
    Capable0 = 0b10,
    /// Congestion was met on the way.
    CongestionExperienced = 0b11,
}

impl Ecn {
    /// The ECN field of a traffic class (IPv6) or type of service (IPv4) byte.
    #[must_use]
    pub const fn from_traffic_class(byte: u8) -> Self {
        match byte & 0b11 {
            0b00 => Self::NotCapable,
            0b01 => Self::Capable1,
            0b10 => Self::Capable0,
            _ => Self::CongestionExperienced,
        }
    }
}

/// A code point of differentiated services: the six bits of RFC 2474 in the IP header that say
/// how routers are to treat a datagram.
///
/// # Example
///
/// ```
/// use stillpoint::{Dscp, Ecn};
///
/// assert_eq!(Dscp::new(46), Some(Dscp::EF));
/// assert_eq!(Dscp::new(64), None);
/// assert_eq!(Dscp::EF.traffic_class(Ecn::Capable0), 0xba);
/// assert_eq!(Dscp::AF41.to_string(), "AF41");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dscp(u8);

/// The code points that have names.
macro_rules! code_points {
    ($($(#[$doc:meta])* $name:ident = $bits:literal,)*) => {
        impl Dscp {
            $($(#[$doc])* pub const $name: Self = Self($bits);)*

            const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($bits => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

code_points! {
    /// Best effort, the default (RFC 2474).
    CS0 = 0,
    /// Lower effort: may starve (RFC 8622).
    LE = 1,
    /// Class selector 1 (RFC 2474).
    CS1 = 8,
    /// Assured forwarding, class 1, low drop precedence (RFC 2597).
    AF11 = 10,
    /// Assured forwarding, class 1, medium drop precedence (RFC 2597).
    AF12 = 12,
    /// Assured forwarding, class 1, high drop precedence (RFC 2597).
    AF13 = 14,
    /// Class selector 2 (RFC 2474).
    CS2 = 16,
    /// Assured forwarding, class 2, low drop precedence (RFC 2597).
    AF21 = 18,
    /// Assured forwarding, class 2, medium drop precedence (RFC 2597).
    AF22 = 20,
    /// Assured forwarding, class 2, high drop precedence (RFC 2597).
    AF23 = 22,
    /// Class selector 3 (RFC 2474).
    CS3 = 24,
    /// Assured forwarding, class 3, low drop precedence (RFC 2597): streamed media.
    AF31 = 26,
    /// Assured forwarding, class 3, medium drop precedence (RFC 2597).
    AF32 = 28,
    /// Assured forwarding, class 3, high drop precedence (RFC 2597).
    AF33 = 30,
    /// Class selector 4 (RFC 2474).
    CS4 = 32,
    /// Assured forwarding, class 4, low drop precedence (RFC 2597): interactive video.
    AF41 = 34,
    /// Assured forwarding, class 4, medium drop precedence (RFC 2597).
    AF42 = 36,
    /// Assured forwarding, class 4, high drop precedence (RFC 2597).
    AF43 = 38,
    /// Class selector 5 (RFC 2474): signalling.
    CS5 = 40,
    /// Voice with capacity set aside for it (RFC 5865).
    VOICE_ADMIT = 44,
    /// Expedited forwarding (RFC 3246): voice.
    EF = 46,
    /// Class selector 6 (RFC 2474): routing protocols.
    CS6 = 48,
    /// Class selector 7 (RFC 2474).
    CS7 = 56,
}

impl Dscp {
    /// The code point of these six bits; `None` if there are more.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        if bits < 64 { Some(Self(bits)) } else { None }
    }

    /// The six bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The DSCP field of a traffic class (IPv6) or type of service (IPv4) byte.
    #[must_use]
    pub const fn from_traffic_class(byte: u8) -> Self {
        Self(byte >> 2)
    }

    /// The traffic class byte with this and `ecn`.
    #[must_use]
    #[inline]
    pub const fn traffic_class(self, ecn: Ecn) -> u8 {
        self.0 << 2 | ecn as u8
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "DSCP {}", self.0),
        }
    }
}

impl fmt::Debug for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traffic_class_is_its_two_fields() {
        for byte in 0..=u8::MAX {
            let (dscp, ecn) = (
                Dscp::from_traffic_class(byte),
                Ecn::from_traffic_class(byte),
            );
            assert_eq!(dscp.traffic_class(ecn), byte);
            assert_eq!(Dscp::new(dscp.bits()), Some(dscp));
        }
    }

    #[test]
    fn code_points_without_a_name_say_their_number() {
        assert_eq!(Dscp::new(3).unwrap().to_string(), "DSCP 3");
        assert_eq!(format!("{:?}", Dscp::LE), "LE");
    }
}
