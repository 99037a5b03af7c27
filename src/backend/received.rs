//! Memory that was received into, on its way to a task.

use super::sys::Received;
use crate::buffer::{Buffer, BufferPool};

/// The `len` bytes that were received into the unfilled part of `buffer`, from `start` on.
///
/// What is short is copied out, so that a task that keeps it does not keep 64 KiB, and `buffer`
/// stays for the next. What is long is handed on where it is, and `buffer` is empty then.
pub(super) fn take_received(
    buffer: &mut Buffer,
    start: usize,
    len: usize,
    pool: &BufferPool,
) -> Buffer {
    take(buffer, start, len, pool, COPY_BYTES_MAX)
}

/// The same for datagrams, of which more are handed on where they are if there are several: a task
/// deals with a run as a whole, and copies out of it what it keeps for long.
pub(super) fn take_received_datagrams(
    buffer: &mut Buffer,
    start: usize,
    received: &Received,
    pool: &BufferPool,
) -> Buffer {
    let size = received.info.segment_size;
    let is_run = size > 0 && size < received.len;
    let copied_max = if is_run {
        RUN_COPY_BYTES_MAX
    } else {
        COPY_BYTES_MAX
    };
    take(buffer, start, received.len, pool, copied_max)
}

#[inline]
fn take(
    buffer: &mut Buffer,
    start: usize,
    len: usize,
    pool: &BufferPool,
    copied_max: usize,
) -> Buffer {
    if len <= copied_max {
        return pool.copy_from(&buffer.unfilled()[start..start + len]);
    }
    buffer.commit(start + len);
    let mut received = core::mem::take(buffer);
    let kept = received.pop_front(start);
    assert!(kept.is_some(), "{start} bytes in front of {len}");
    received
}

/// What is up to this long is copied into memory of its size: a quarter of what it would keep
/// otherwise.
const COPY_BYTES_MAX: usize = 16_384 - Buffer::HEADROOM;

/// The same for a run. To copy a run of four datagrams of 1,200 bytes takes a fiftieth of all that
/// it costs to receive it and send it back.
const RUN_COPY_BYTES_MAX: usize = 2_048 - Buffer::HEADROOM;
