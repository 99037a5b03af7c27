//! Memory that was received into, on its way to a task.

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
    if len <= COPY_BYTES_MAX {
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
