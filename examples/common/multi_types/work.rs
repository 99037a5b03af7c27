//! What is to be done, cut into parts, and what comes of it.

use core::time::Duration;

use stillpoint::Buffer;

/// What a dispatcher is told to have done.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its number, which comes back with the outcome.
    pub number: u32,
    pub work: Work,
}

#[derive(Debug, Clone)]
pub enum Work {
    /// Count the words of this text.
    CountWords(Buffer),
    /// Hash these bytes, in so many chunks.
    Hash { data: Buffer, chunks: usize },
}

/// A part that one crunch does in one go. It shares the memory of the whole.
#[derive(Debug, Clone)]
pub enum Part {
    Words(Buffer),
    Chunk(Buffer),
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub order: u32,
    /// How many words there are, or the hash.
    pub value: u64,
    pub parts: usize,
    /// Requests that failed and were put again.
    pub retries: u32,
    /// Requests that were answered with "busy".
    pub busy: u32,
    /// Crunches that the job had made.
    pub spawned: u32,
    /// From the job's first moment to its last result.
    pub took: Duration,
}

impl Work {
    /// Cuts it into parts; texts between words.
    pub fn split(&self) -> Vec<Part> {
        match self {
            Self::CountWords(text) => {
                let (mut parts, mut from) = (Vec::new(), 0);
                while from < text.len() {
                    let least = (from + TEXT_PART_BYTES).min(text.len());
                    let rest = text[least..].iter().position(u8::is_ascii_whitespace);
                    let to = rest.map_or(text.len(), |rest| least + rest);
                    parts.extend(text.slice(from..to).map(Part::Words));
                    from = to;
                }
                parts
            }
            Self::Hash { data, chunks } => {
                let len = data.len().div_ceil((*chunks).max(1)).max(1);
                let chunk = |from: usize| data.slice(from..(from + len).min(data.len()));
                let chunks = (0..data.len()).step_by(len).filter_map(chunk);
                chunks.map(Part::Chunk).collect()
            }
        }
    }

    /// What has to come of it, without any crunch.
    pub fn expected(&self) -> u64 {
        let parts = self.split();
        let results: Vec<u64> = parts.iter().map(Part::crunch).collect();
        combine(&parts, &results)
    }
}

impl Part {
    pub fn bytes(&self) -> &Buffer {
        match self {
            Self::Words(bytes) | Self::Chunk(bytes) => bytes,
        }
    }

    /// Its result.
    pub fn crunch(&self) -> u64 {
        match self {
            Self::Words(text) => {
                let words = text.split(u8::is_ascii_whitespace);
                words.filter(|word| !word.is_empty()).count() as u64
            }
            Self::Chunk(bytes) => {
                let step = |hash: u64, &byte: &u8| mix(hash ^ u64::from(byte));
                bytes.iter().fold(0, step)
            }
        }
    }
}

/// The result of the whole, out of those of its parts.
pub fn combine(parts: &[Part], results: &[u64]) -> u64 {
    match parts.first() {
        Some(Part::Words(_)) => results.iter().sum(),
        Some(Part::Chunk(_)) | None => results.iter().fold(0, |hash, &part| mix(hash ^ part)),
    }
}

/// Spreads the bits of a number.
pub const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(ODD);
    number ^ (number >> 29)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of text in one part, and what is left of the last word.
const TEXT_PART_BYTES: usize = 1_500;
