//! Choices as the bytes of a fuzzer.
//!
//! The first eight bytes are the seed, little endian, for what has no order: ids and the like. Then
//! each choice takes as few bytes as its options need, little endian, and is their remainder by the
//! number of options. What lies behind the end is 0. So a short text is a quiet run, and every text
//! is a run.

use core::cell::Cell;

use super::ChoiceLog;

/// Bytes that are read one choice after the other.
#[derive(Debug)]
pub(super) struct Bytes {
    bytes: Vec<u8>,
    at: Cell<usize>,
}

impl Bytes {
    /// Takes the seed off.
    pub(super) fn new(bytes: &[u8]) -> (u64, Self) {
        let bytes = Self {
            bytes: bytes.to_vec(),
            at: Cell::new(0),
        };
        (bytes.take(8), bytes)
    }

    /// The next choice among so many.
    pub(super) fn next(&self, options: u64) -> u64 {
        self.take(width(options)) % options
    }

    fn take(&self, width: usize) -> u64 {
        let at = self.at.get();
        self.at.set(at.saturating_add(width));
        let left = self.bytes.get(at..).unwrap_or_default();
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(left.iter().take(width)) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    }
}

/// Bytes that a choice among so many takes.
const fn width(options: u64) -> usize {
    let bits = u64::BITS - options.saturating_sub(1).leading_zeros();
    bits.div_ceil(8) as usize
}

impl ChoiceLog {
    /// The bytes that make the same run: the start of a corpus for a fuzzer. `None` if there are
    /// none: something is left out of the run, or the log does not have all its choices.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if !self.omitted.is_empty() || !self.is_whole {
            return None;
        }
        let mut bytes = self.seed.to_le_bytes().to_vec();
        for choice in self.choices.iter().filter(|choice| choice.has_order()) {
            bytes.extend(&choice.chosen.to_le_bytes()[..width(choice.options)]);
        }
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_takes_as_few_bytes_as_its_options_need() {
        let widths = [
            (1, 0),
            (2, 1),
            (256, 1),
            (257, 2),
            (1 << 16, 2),
            (1 << 32, 4),
            ((1 << 32) + 1, 5),
            (u64::MAX, 8),
        ];
        for (options, wanted) in widths {
            assert_eq!(width(options), wanted, "{options} options");
        }
    }

    #[test]
    fn behind_the_end_all_is_quiet() {
        let (seed, bytes) = Bytes::new(&[7]);
        assert_eq!(seed, 7);
        assert_eq!((bytes.next(2), bytes.next(1 << 40)), (0, 0));
        let (_, bytes) = Bytes::new(&[0, 0, 0, 0, 0, 0, 0, 0, 3, 0xff]);
        assert_eq!(
            (bytes.next(2), bytes.next(1 << 16), bytes.next(9)),
            (1, 0xff, 0)
        );
    }
}
