//! The bytes of a recording.
//!
//! A recording is a *head* and records, one behind the other:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | [`MAGIC`] |
//! | 2 | [`VERSION`], little-endian as all numbers are |
//! | record | the head: index, entity, seed and limits of the worker |
//! | records | what happened |
//!
//! A record is the length of its body in 32 bits, the lower half of the body's XXH3, and the body,
//! whose first byte says what it is: see [`kind`]. So a recording that ends anywhere, or is damaged
//! somewhere, still tells all that is before.
//!
//! A turn is one input with all that followed from it: the time, the length of the input in 32
//! bits, the input, and items: see [`item`](super::output::item).
//!
//! The worker writes records without checksums, and hands them over so:
//! see [`RecordBlock`](super::RecordBlock).

use xxhash_rust::xxh3::xxh3_64;

use super::code::{Recordable, RecordedBytes};
use super::notes::Noted;
use crate::entropy::{Entity, Entropy};
use crate::worker::WorkerConfig;

/// What recordings begin with. The first byte is none of a text, and the last two would be changed
/// by whoever takes it for one.
pub(super) const MAGIC: [u8; 8] = *b"\x93STREC\r\n";

/// The version of the format.
pub(super) const VERSION: u16 = 1;

/// What a record is.
pub(super) mod kind {
    /// The worker that was recorded.
    pub(in super::super) const HEAD: u8 = 0;
    /// An input, and what followed from it.
    pub(in super::super) const TURN: u8 = 1;
    /// The same, broken off by a panic of the worker or its driver.
    pub(in super::super) const BROKEN_TURN: u8 = 2;
    /// Turns are missing: how many, in 64 bits.
    pub(in super::super) const GAP: u8 = 3;
    /// The worker has stopped.
    pub(in super::super) const END: u8 = 4;
}

/// Length and checksum.
pub(super) const RECORD_HEAD: usize = 8;

/// Bytes of a turn before its input: what it is, the time, the length of the input.
pub(super) const TURN_HEAD: usize = 13;

/// Begins a record: its body is to be written behind. Where the record begins.
#[inline]
pub(super) fn begin(to: &mut Vec<u8>) -> usize {
    let start = to.len();
    to.extend_from_slice(&[0; RECORD_HEAD]);
    start
}

/// Ends a record that begins at `start`, and has `kept` bytes more than are there. Its checksum is
/// still to be made: see [`seal`].
#[inline]
pub(super) fn end(start: usize, to: &mut [u8], kept: usize) {
    let len = to.len() - start - RECORD_HEAD + kept;
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    to[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// Makes the checksums of records, one behind the other.
pub(super) fn seal(mut records: &mut [u8]) {
    while let Some((head, rest)) = records.split_first_chunk_mut::<RECORD_HEAD>() {
        let [a, b, c, d, ..] = *head;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((body, rest)) = rest.split_at_mut_checked(len) else {
            return;
        };
        head[4..].copy_from_slice(&checksum(body).to_le_bytes());
        records = rest;
    }
}

#[inline]
pub(super) fn checksum(body: &[u8]) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    {
        xxh3_64(body) as u32
    }
}

/// Says that turns are missing. Not sealed.
pub(super) fn write_gap(turns: u64, to: &mut Vec<u8>) {
    let start = begin(to);
    to.push(kind::GAP);
    turns.write(to);
    end(start, to, 0);
}

/// The head of a recording of a worker that is set up like this.
pub(super) fn head(config: &WorkerConfig, noted: Noted) -> Vec<u8> {
    let mut to = MAGIC.to_vec();
    VERSION.write(&mut to);
    let start = begin(&mut to);
    to.push(kind::HEAD);
    (config.index, config.entity, config.entropy.seed()).write(&mut to);
    (config.outputs_max, config.tasks_max, config.batch_max).write(&mut to);
    (config.messages_per_task_max, config.resources_max).write(&mut to);
    (config.pending_max, config.messages_max).write(&mut to);
    (config.subscriptions_max, config.requests_max).write(&mut to);
    (noted.mischief, noted.draws).write(&mut to);
    end(start, &mut to, 0);
    seal(&mut to[start..]);
    to
}

/// Reads the body of a head.
pub(super) fn read_head(body: &[u8]) -> Option<(WorkerConfig, Noted)> {
    let from = &mut RecordedBytes::new(body);
    if u8::read(from)? != kind::HEAD {
        return None;
    }
    let (index, entity, seed) = <(u16, Entity, u64)>::read(from)?;
    let mut config = WorkerConfig::new(index, Entropy::from_seed(seed));
    config.entity = entity;
    (config.outputs_max, config.tasks_max, config.batch_max) = Recordable::read(from)?;
    (config.messages_per_task_max, config.resources_max) = Recordable::read(from)?;
    (config.pending_max, config.messages_max) = Recordable::read(from)?;
    (config.subscriptions_max, config.requests_max) = Recordable::read(from)?;
    let (mischief, draws) = Recordable::read(from)?;
    let noted = Noted { mischief, draws };
    // No worker can be made without.
    let least = config
        .messages_max
        .min(config.messages_per_task_max as usize);
    let works = least.min(config.batch_max as usize) > 0;
    (from.is_empty() && works).then_some((config, noted))
}
