//! Which sources of media a peer has named in its offer.
//!
//! str0m finds the stream of a source that it does not know by what the datagram says itself, before
//! it knows whether it can be decrypted; and stays with it. So a single forged datagram would send
//! all that is asked of a publisher, key frames and what was lost, to nobody. Peers name their
//! sources (`a=ssrc`, RFC 5576), but those whose simulcast has names for layers instead (RFC 8853).

use std::collections::BTreeSet;

/// The sources that an offer names.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeSet<u32>);

impl Sources {
    /// None, if the media of one section has none: browsers name those of sound, and not those of the
    /// layers beside it.
    pub(crate) fn of(offer: &str) -> Self {
        let names_none = |section: &str| {
            let is_media = section.starts_with("audio") || section.starts_with("video");
            let sends = !section.contains("\na=recvonly") && !section.contains("\na=inactive");
            is_media && sends && !section.contains("\na=ssrc:")
        };
        if offer.split("\nm=").skip(1).any(names_none) {
            return Self::default();
        }
        let lines = offer
            .lines()
            .filter_map(|line| line.strip_prefix("a=ssrc:"));
        let ids = lines.filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok());
        Self(ids.take(SOURCES_MAX).collect())
    }

    /// Whether a datagram is media of somebody else. Nobody knows if the offer named none.
    pub(crate) fn excludes(&self, datagram: &[u8]) -> bool {
        let [128..=191, kind, _, _, _, _, _, _, a, b, c, d, ..] = *datagram else {
            return false;
        };
        let is_control = (192..=223).contains(&kind); // RFC 5761
        let source = u32::from_be_bytes([a, b, c, d]);
        // Browsers probe for bandwidth as source 0.
        !self.0.is_empty() && !is_control && source != 0 && !self.0.contains(&source)
    }
}

/// Sources of one peer. Browsers have two, and two more for repairs.
const SOURCES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_of_sources_that_are_not_named_is_excluded() {
        let sources =
            Sources::of("v=0\r\na=ssrc:258 cname:x\r\na=ssrc:258 msid:y\r\na=ssrc:7 z\r\n");
        let media = |source: u32| {
            let head = [0x90, 96, 0, 1, 0, 0, 0, 0];
            [&head[..], &source.to_be_bytes(), &[1; 20]].concat()
        };
        for (source, excluded) in [(258, false), (7, false), (0, false), (259, true)] {
            assert_eq!(sources.excludes(&media(source)), excluded, "{source}");
        }
        let report = [0x80, 200, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9];
        for other in [&report[..], &[0; 20], &[22; 40], &[0x80], &[]] {
            assert!(!sources.excludes(other));
        }
        assert!(
            !Sources::of("v=0\r\n").excludes(&media(259)),
            "it named none"
        );
        let layers = "v=0\r\nm=video 9 X 96\r\na=sendonly\r\na=rid:h send\r\n\
            m=audio 9 X 111\r\na=sendonly\r\na=ssrc:7 cname:x\r\n";
        assert!(
            !Sources::of(layers).excludes(&media(259)),
            "those of layers have no names beside a sound that has"
        );
        let sound = layers.replace("a=sendonly\r\na=rid:h send", "a=recvonly");
        assert!(Sources::of(&sound).excludes(&media(259)));
    }
}
