//! A link by itself, to be measured.

use stillpoint::{Entity, Entropy, Timestamp};

use super::{Hop, Line, Link, Links, Parcel, Passage, Terms, Verdict};
use crate::counters::DropCause;

use std::rc::Rc;

/// A link without a world: what it does to datagrams that are sent over it one by one. For tests
/// of links themselves; CoDel needs a world.
#[doc(hidden)]
#[expect(missing_debug_implementations, reason = "for tests")]
pub struct Probe {
    links: Links,
    terms: Rc<Terms>,
    hop: Hop,
}

/// What became of a datagram.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrived {
    /// When all of it was on the way.
    pub departed: Timestamp,
    pub at: Timestamp,
    pub copied: bool,
    pub corrupted: bool,
    pub truncated: bool,
}

impl Probe {
    /// A link in a world of this seed.
    #[must_use]
    pub fn new(seed: u64, link: &Link) -> Self {
        let mut links = Links::new(&Entropy::from_seed(seed), true);
        links.set(0, 1, link, Timestamp::EPOCH);
        Self {
            terms: links.terms(0, 1),
            links,
            hop: Hop {
                ends: (0, 1),
                entity: Entity::named("probe"),
                draws: Entity::named("probe"),
            },
        }
    }

    /// Sends a datagram of so many bytes, IPv4 header included.
    ///
    /// # Errors
    ///
    /// Why it was dropped.
    ///
    /// # Panics
    ///
    /// If the link has CoDel.
    pub fn send(&mut self, now: Timestamp, bytes: u64) -> Result<Arrived, DropCause> {
        let (links, hop) = (&mut self.links, &self.hop);
        if !links.is_up(&self.terms, hop, now) {
            return Err(DropCause::LinkDown);
        }
        let parcel = Parcel {
            number: links.count(hop.ends, 1),
            bytes,
            ip_header: super::IPV4_HEADER,
            is_cuttable: true,
        };
        match links.judge(&self.terms, hop, &parcel, Line::Free, now) {
            Verdict::Passes(Passage {
                departs,
                fate,
                copy,
            }) => {
                let at = links.arrival_over(&self.terms, hop, parcel.number, departs);
                Ok(Arrived {
                    departed: departs,
                    at: at.after(core::time::Duration::from_nanos(fate.held_back)),
                    copied: copy.is_some(),
                    corrupted: fate.corrupted,
                    truncated: fate.truncated,
                })
            }
            Verdict::Dropped(cause) => Err(cause),
            Verdict::TooBig(_) => Err(DropCause::TooLong),
            Verdict::Waits => panic!("a probe of a link with CoDel: use a world"),
        }
    }
}
