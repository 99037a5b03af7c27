//! Bytes that are the same for everybody and nowhere repeat: word number `k` is `k` times an odd
//! constant, modulo 2^64, in little endian order.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Writes the bytes from `offset` on.
pub fn fill(mut offset: u64, mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let word = (offset / 8).wrapping_mul(FACTOR).to_le_bytes();
        let skip = usize::try_from(offset % 8).unwrap_or_default();
        let count = bytes.len().min(word.len() - skip);
        let (now, later) = bytes.split_at_mut(count);
        now.copy_from_slice(&word[skip..skip + count]);
        offset += count as u64;
        bytes = later;
    }
}
