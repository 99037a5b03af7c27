//! Memory that was received into, on its way to a task.

use crate::buffer::{Buffer, BufferPool};

/// The `len` bytes that were received into the unfilled part of `buffer`.
///
/// What is short is copied out, so that a task that keeps it does not keep 64 KiB, and `buffer`
/// stays for the next. What is long is handed on where it is, and `buffer` is empty then.
pub(super) fn take_received(buffer: &mut Buffer, len: usize, pool: &BufferPool) -> Buffer {
    if len <= COPY_BYTES_MAX {
        return pool.copy_from(&buffer.unfilled()[..len]);
    }
    buffer.commit(len);
    core::mem::take(buffer)
}

/// What is up to this long is copied into memory of its size: a quarter of what it would keep
/// otherwise.
const COPY_BYTES_MAX: usize = 16_384 - Buffer::HEADROOM;
