//! Memory for datagrams and stream bytes.
//!
//! A [`Buffer`] is a range of bytes inside a block of memory. The block has room in front of the
//! bytes (headroom, for the headers of an encapsulation) and behind them. Clones and slices share
//! the block by reference count; whoever writes to shared bytes gets a copy of its own first.
//! When the last of them is dropped, on whichever thread, the block goes back to its
//! [`BufferPool`].
//!
//! A block comes in one of a few sizes, so that keeping a small datagram does not keep the 64 KiB
//! that a receive needs. Blocks are zeroed when they are made and not again.

use core::fmt;
use core::ops::{Deref, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pooled bytes with headroom; cheap to clone and to slice, and `Send`.
///
/// # Example
///
/// ```
/// use stillpoint::BufferPool;
///
/// let pool = BufferPool::new();
/// let mut packet = pool.copy_from(b"payload");
/// packet.push_front(b"header ");
/// assert_eq!(&packet[..], b"header payload");
/// let tail = packet.slice(7..).expect("within the packet");
/// assert_eq!(tail, *b"payload");
/// ```
pub struct Buffer {
    /// `None` while empty without memory, and while being dropped.
    block: Option<Arc<Block>>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Headroom in bytes of a fresh buffer: enough for IPv6, UDP and a tunnel's own header.
    pub const HEADROOM: usize = 64;

    /// No bytes and no memory.
    #[must_use]
    #[inline]
    pub const fn empty() -> Self {
        Self {
            block: None,
            start: 0,
            end: 0,
        }
    }

    /// A copy of `bytes` in memory that belongs to no pool.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        let mut buffer = Self::on(Arc::new(Block::new(None, Self::HEADROOM + bytes.len())));
        buffer.push_back(bytes);
        buffer
    }

    /// How many bytes there are.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        // Known without a look at the memory, which may be far away.
        self.end - self.start
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that fit in front without new memory, if the memory is not shared.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes that fit behind without new memory, if the memory is not shared.
    #[must_use]
    pub fn tailroom(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.bytes.len()) - self.end
    }

    /// Bytes of memory that this buffer keeps in use.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.bytes.len())
    }

    /// Puts `bytes` in front. Moves nothing if they fit the headroom and the memory is not
    /// shared; else the buffer moves to larger memory first.
    pub fn push_front(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() || self.unique().is_none() {
            self.relocate(bytes.len() + Self::HEADROOM, self.tailroom());
        }
        let start = self.start - bytes.len();
        let end = self.start;
        if let Some(memory) = self.unique() {
            memory[start..end].copy_from_slice(bytes);
            self.start = start;
        }
    }

    /// Puts `bytes` behind. Moves nothing if they fit the tailroom and the memory is not shared;
    /// else the buffer moves to larger memory first.
    pub fn push_back(&mut self, bytes: &[u8]) {
        if self.tailroom() < bytes.len() || self.unique().is_none() {
            self.relocate(self.start.max(Self::HEADROOM), bytes.len().max(self.len()));
        }
        let (start, end) = (self.end, self.end + bytes.len());
        if let Some(memory) = self.unique() {
            memory[start..end].copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Takes `count` bytes off the front, which become headroom. `None`, and nothing taken, if
    /// there are fewer.
    pub fn pop_front(&mut self, count: usize) -> Option<()> {
        if count > self.len() {
            return None;
        }
        self.start += count;
        Some(())
    }

    /// Keeps the first `len` bytes; no effect if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// The same memory, seen through `range` of these bytes. `None` if the range is reversed or
    /// reaches beyond them.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        use core::ops::Bound;
        let from = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&at) => at.checked_add(1)?,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len(),
        };
        (from <= to && to <= self.len()).then(|| Self {
            block: self.block.clone(),
            start: self.start + from,
            end: self.start + to,
        })
    }

    /// The bytes, to be changed in place. Copies them first if the memory is shared.
    pub fn make_mut(&mut self) -> &mut [u8] {
        if self.unique().is_none() {
            self.relocate(self.start, self.tailroom());
        }
        let (start, end) = (self.start, self.end);
        self.unique()
            .map_or(&mut [], |memory| &mut memory[start..end])
    }

    /// The room behind the bytes, to be written by a receive; [`Buffer::commit`] then says how
    /// much of it counts. Holds whatever was there before. Empty if the memory is shared.
    pub fn unfilled(&mut self) -> &mut [u8] {
        let end = self.end;
        self.unique().map_or(&mut [], |memory| &mut memory[end..])
    }

    /// Makes the first `count` bytes of [`Buffer::unfilled`] part of the buffer.
    ///
    /// # Panics
    ///
    /// If there is less room than that.
    pub fn commit(&mut self, count: usize) {
        assert!(
            count <= self.tailroom(),
            "{count} bytes committed of {}",
            self.tailroom()
        );
        self.end += count;
    }

    fn on(block: Arc<Block>) -> Self {
        let start = Self::HEADROOM.min(block.bytes.len());
        Self {
            block: Some(block),
            start,
            end: start,
        }
    }

    fn unique(&mut self) -> Option<&mut [u8]> {
        Some(&mut Arc::get_mut(self.block.as_mut()?)?.bytes)
    }

    /// Moves the bytes to memory of their own with at least this much room around them.
    fn relocate(&mut self, headroom: usize, tailroom: usize) {
        let size = headroom + self.len() + tailroom;
        let pool = self.block.as_ref().and_then(|block| block.pool.clone());
        let mut block = match &pool {
            Some(pool) => pool.take(size, |_| {}),
            None => Arc::new(Block::new(None, size)),
        };
        let end = headroom + self.len();
        if let Some(fresh) = Arc::get_mut(&mut block) {
            fresh.bytes[headroom..end].copy_from_slice(self);
        }
        // The old memory goes back to its pool when `moved` is dropped.
        let mut moved = Self {
            block: Some(block),
            start: headroom,
            end,
        };
        core::mem::swap(self, &mut moved);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.block
            .as_ref()
            .map_or(&[], |block| &block.bytes[self.start..self.end])
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Buffer {
    /// Shares the memory.
    #[inline]
    fn clone(&self) -> Self {
        Self {
            block: self.block.clone(),
            start: self.start,
            end: self.end,
        }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            Self::leave(block);
        }
    }
}

impl Buffer {
    #[inline(never)]
    fn leave(mut block: Arc<Block>) {
        // The last one out hands the block over as it is. Two that leave at the same moment may
        // both see the other still there; then `Block::drop` gives the memory back.
        if let Some(pool) = Arc::get_mut(&mut block).and_then(|block| block.pool.take()) {
            pool.give(block);
        }
    }
}

impl Default for Buffer {
    #[inline]
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Buffer {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Buffer {}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 32;
        let shown = &self[..self.len().min(SHOWN_MAX)];
        write!(f, "Buffer({} B: \"{}\"", self.len(), shown.escape_ascii())?;
        f.write_str(if shown.len() < self.len() {
            "...)"
        } else {
            ")"
        })
    }
}

/// Where buffers come from and go back to.
///
/// A handle: clones share the pool. Its free memory is released with the last handle and the
/// last buffer.
#[derive(Clone)]
pub struct BufferPool(Arc<Shared>);

impl BufferPool {
    /// What a pool keeps of free memory in each size unless told otherwise, in bytes.
    pub const FREE_BYTES_MAX: usize = 16 << 20;

    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::with_free_bytes_max(Self::FREE_BYTES_MAX)
    }

    /// An empty pool that keeps at most this much free memory in each size.
    #[must_use]
    pub fn with_free_bytes_max(free_bytes_max: usize) -> Self {
        Self(Arc::new(Shared {
            free_bytes_max,
            state: Mutex::default(),
        }))
    }

    /// An empty buffer with [`Buffer::HEADROOM`] and room for at least `len` bytes.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        Buffer::on(self.0.take(Buffer::HEADROOM + len, |_| {}))
    }

    /// A buffer with a copy of `bytes`.
    #[must_use]
    pub fn copy_from(&self, bytes: &[u8]) -> Buffer {
        let (start, end) = (Buffer::HEADROOM, Buffer::HEADROOM + bytes.len());
        let fill = |memory: &mut [u8]| memory[start..end].copy_from_slice(bytes);
        Buffer {
            block: Some(self.0.take(end, fill)),
            start,
            end,
        }
    }

    /// Blocks of memory that buffers hold at the moment.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.lock().live
    }

    /// Blocks of memory that wait to be used again.
    #[must_use]
    pub fn free(&self) -> usize {
        self.counts().1
    }

    /// Both at one moment.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.live, state.free.iter().map(Vec::len).sum())
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} live, {} free)", self.live(), self.free())
    }
}

struct Block {
    /// Set while a buffer holds the block, if it came from a pool. So free blocks do not keep
    /// their pool alive.
    pool: Option<Arc<Shared>>,
    bytes: Box<[u8]>,
}

impl Block {
    fn new(pool: Option<Arc<Shared>>, size: usize) -> Self {
        Self {
            pool,
            bytes: vec![0; size].into_boxed_slice(),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let bytes = core::mem::take(&mut self.bytes);
            pool.give(Arc::new(Self { pool: None, bytes }));
        }
    }
}

struct Shared {
    free_bytes_max: usize,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    free: [Vec<Arc<Block>>; SIZES.len()],
    live: usize,
}

impl Shared {
    /// A block of at least this size, which nobody else holds; `fill` writes to it while that is
    /// known without asking.
    fn take(self: &Arc<Self>, size: usize, fill: impl FnOnce(&mut [u8])) -> Arc<Block> {
        let class = SIZES.iter().position(|&class| size <= class);
        let reused = {
            let mut state = self.lock();
            state.live += 1;
            class.and_then(|class| state.free[class].pop())
        };
        if let Some(mut block) = reused
            && let Some(unique) = Arc::get_mut(&mut block)
        {
            unique.pool = Some(Arc::clone(self));
            fill(&mut unique.bytes);
            return block;
        }
        let size = class.map_or(size, |class| SIZES[class]);
        let mut block = Block::new(Some(Arc::clone(self)), size);
        fill(&mut block.bytes);
        Arc::new(block)
    }

    /// Takes a block back that nobody else holds.
    fn give(&self, block: Arc<Block>) {
        let class = SIZES.iter().position(|&class| class == block.bytes.len());
        let mut state = self.lock();
        state.live -= 1;
        if let Some(class) = class
            && state.free[class].len() < self.free_bytes_max / SIZES[class]
        {
            state.free[class].push(block);
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // No user code runs under the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sizes of pooled blocks in bytes, headroom included: a small datagram, one of a usual MTU, a
/// jumbo frame, and the longest receive (65,535 bytes).
const SIZES: [usize; 4] = [512, 2_048, 16_384, 66_048];

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
