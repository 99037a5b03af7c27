//! Where links draw, apart from latencies.

use stillpoint::{Entity, Entropy, Site};

use super::links::{Fate, Links};
use super::path::Terms;

pub(super) struct Sites {
    pub(super) loss: Site,
    pub(super) state: Site,
    pub(super) duplicate: Site,
    pub(super) flap: Site,
    reorder: Site,
    reorder_by: Site,
    corrupt: Site,
    bits: Site,
    truncate: Site,
    length: Site,
    split: Site,
    refuse: Site,
}

impl Sites {
    pub(super) fn new(entropy: &Entropy) -> Self {
        Self {
            loss: entropy.site("link loss"),
            state: entropy.site("link state"),
            duplicate: entropy.site("link duplicate"),
            flap: entropy.site("link flapping"),
            reorder: entropy.site("link reorder"),
            reorder_by: entropy.site("link reorder by"),
            corrupt: entropy.site("link corrupt"),
            bits: entropy.site("link corrupt bits"),
            truncate: entropy.site("link truncate"),
            length: entropy.site("link truncate to"),
            split: entropy.site("link split run"),
            refuse: entropy.site("link refuse run"),
        }
    }

    /// What becomes of something that is not lost.
    pub(super) fn fate(&self, terms: &Terms, entity: Entity, number: u64) -> Fate {
        let hits = |site: &Site, chance: f64| chance > 0.0 && site.chance(entity, number, chance);
        Fate {
            held_back: if hits(&self.reorder, terms.reorder) {
                self.reorder_by.below(entity, number, terms.reorder_by) + 1
            } else {
                0
            },
            corrupted: hits(&self.corrupt, terms.corrupt),
            truncated: hits(&self.truncate, terms.truncate),
        }
    }
}

impl Links {
    /// Whether a run is split in front of this datagram.
    pub(crate) fn splits(&self, terms: &Terms, entity: Entity, number: u64) -> bool {
        let chance = terms.split_runs;
        chance > 0.0 && self.sites().split.chance(entity, number, chance)
    }

    /// Whether the sender's system refuses a run.
    pub(crate) fn refuses(&self, terms: &Terms, entity: Entity, number: u64) -> bool {
        let chance = terms.refuse_runs;
        chance > 0.0 && self.sites().refuse.chance(entity, number, chance)
    }

    /// To which length something is cut that is truncated.
    pub(crate) fn cut_length(&self, entity: Entity, number: u64, len: usize) -> usize {
        let site = &self.sites().length;
        let cut = site.below(entity, number, len.max(1) as u64);
        usize::try_from(cut).unwrap_or(len)
    }

    /// Flips from one to three bits. Where there are no bits there is nothing to flip. Says which
    /// bit was the first.
    pub(crate) fn flip_bits(&self, entity: Entity, number: u64, bytes: &mut [u8]) -> u64 {
        let site = &self.sites().bits;
        let count = bytes.len() as u64 * 8;
        let flips = (1 + site.below(entity, number, FLIPS_MAX)).min(count);
        let mut flipped: Vec<u64> = Vec::new();
        for flip in 0..flips {
            let mut bit = site.below(entity.part(flip), number, count);
            // The same bit twice would be as it was.
            while flipped.contains(&bit) {
                bit = (bit + 1) % count;
            }
            flipped.push(bit);
            let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        flipped.first().copied().unwrap_or(0)
    }
}

/// How many bits are flipped at most.
const FLIPS_MAX: u64 = 3;
