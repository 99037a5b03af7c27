//! Memory that the kernel receives into, as it needs it.
//!
//! A ring of buffers is shared with the kernel, which takes the next one for each datagram, or for
//! what there is of a stream. Each has a number, and is either the kernel's or ours; only ours are
//! touched. What was received is handed over in the pool's memory, and the number goes back to the
//! kernel at once, with the same memory if that was short, with other memory if it was long.
#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use std::alloc::{alloc_zeroed, dealloc};

use ::io_uring::types::BufRingEntry;

use super::ring::Ring;
use crate::backend::received::{take_received, take_received_datagrams};
use crate::backend::sys::{Errno, MessageTemplate, Received};
use crate::buffer::{Buffer, BufferPool};

/// A ring of buffers and what is in them.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    /// Buffers given to the kernel so far, modulo 2^16.
    tail: u16,
    slots: Vec<Slot>,
    template: MessageTemplate,
    pool: BufferPool,
}

struct Slot {
    buffer: Buffer,
    holder: Holder,
    /// Bytes that the kernel has written.
    len: usize,
    /// The one that was received next for the same socket.
    next: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Kernel,
    Us,
}

/// Buffers of one socket, in the order in which they were received into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inbox {
    ends: Option<(u16, u16)>,
}

impl Inbox {
    pub(super) const EMPTY: Self = Self { ends: None };

    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}

impl Buffers {
    /// Shares `count` buffers with the kernel: at least 1, rounded up to a power of two.
    ///
    /// # Safety
    ///
    /// They are dropped only once no operation of `ring` is under way any more.
    pub(super) unsafe fn new(ring: &Ring, count: u16, pool: &BufferPool) -> Result<Self, Errno> {
        let count = count.clamp(1, COUNT_MAX).next_power_of_two();
        let size = usize::from(count) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(size, PAGE).map_err(|_| Errno(libc::EINVAL))?;
        // SAFETY: the size is not 0: there is at least one entry.
        let entries = unsafe { alloc_zeroed(layout) };
        let entries = NonNull::new(entries.cast()).ok_or(Errno(libc::ENOMEM))?;
        let slot = |_| Slot {
            buffer: pool.take(BLOCK_BYTES),
            holder: Holder::Us,
            len: 0,
            next: None,
        };
        let mut buffers = Self {
            entries,
            layout,
            tail: 0,
            slots: (0..count).map(slot).collect(),
            template: MessageTemplate::new(),
            pool: pool.clone(),
        };
        let address = entries.as_ptr() as u64;
        // SAFETY: there are `count` entries at this address, aligned to a page, and they stay there
        // as long as the kernel uses them: that is the caller's promise.
        unsafe { ring.share(address, count) }?;
        for number in 0..count {
            buffers.give(number);
        }
        Ok(buffers)
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.slots.len()
    }

    /// What the kernel is asked for with each datagram.
    pub(super) const fn template(&self) -> &MessageTemplate {
        &self.template
    }

    /// Notes that the kernel has received `len` bytes into a buffer, which is ours now.
    pub(super) fn received(&mut self, inbox: &mut Inbox, number: u16, len: usize) {
        let slot = &mut self.slots[usize::from(number)];
        assert_eq!(slot.holder, Holder::Kernel, "buffer {number} came twice");
        (slot.holder, slot.len, slot.next) = (Holder::Us, len, None);
        inbox.ends = Some(match inbox.ends {
            None => (number, number),
            Some((first, last)) => {
                self.slots[usize::from(last)].next = Some(number);
                (first, number)
            }
        });
    }

    /// The oldest run of an inbox. Its buffer goes back to the kernel. `None` also if it is not
    /// what the kernel writes.
    pub(super) fn pop_datagrams(&mut self, inbox: &mut Inbox) -> Option<(Received, Buffer)> {
        let number = self.pop(inbox)?;
        let slot = &mut self.slots[usize::from(number)];
        let parsed = MessageTemplate::parse(&slot.buffer.unfilled()[..slot.len]);
        let run = parsed.map(|received| {
            let (buffer, start) = (&mut slot.buffer, MessageTemplate::HEAD_BYTES);
            (
                received,
                take_received_datagrams(buffer, start, &received, &self.pool),
            )
        });
        self.give(number);
        run
    }

    /// The oldest bytes of an inbox. Their buffer goes back to the kernel.
    pub(super) fn pop_bytes(&mut self, inbox: &mut Inbox) -> Option<Buffer> {
        let number = self.pop(inbox)?;
        let slot = &mut self.slots[usize::from(number)];
        let bytes = take_received(&mut slot.buffer, 0, slot.len, &self.pool);
        self.give(number);
        Some(bytes)
    }

    fn pop(&mut self, inbox: &mut Inbox) -> Option<u16> {
        let (number, last) = inbox.ends?;
        let slot = &mut self.slots[usize::from(number)];
        assert_eq!(slot.holder, Holder::Us, "buffer {number} is not ours");
        inbox.ends = slot.next.map(|next| (next, last));
        Some(number)
    }

    /// Gives a buffer to the kernel.
    fn give(&mut self, number: u16) {
        let count = self.slots.len();
        let slot = &mut self.slots[usize::from(number)];
        assert_eq!(slot.holder, Holder::Us, "buffer {number} given twice");
        slot.holder = Holder::Kernel;
        if slot.buffer.memory() == 0 {
            slot.buffer = self.pool.take(BLOCK_BYTES); // The other was handed on.
        }
        let memory = slot.buffer.unfilled();
        let len = memory.len().min(BLOCK_BYTES);
        let place = usize::from(self.tail) & (count - 1);
        // SAFETY: `place` is below the number of entries that were allocated.
        let mut entry = unsafe { self.entries.add(place) };
        // SAFETY: it is initialised: it was allocated zeroed. Nobody else writes it: the kernel only
        // reads, and only those that the tail says are there; and no other reference is alive.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(memory.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(len).unwrap_or(u32::MAX));
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        self.tail_shared().store(self.tail, Ordering::Release);
    }

    /// Where the kernel reads how many buffers it was given.
    fn tail_shared(&self) -> &AtomicU16 {
        // SAFETY: there is a first entry, which was allocated zeroed, and so initialised.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: it is aligned, lives as long as `self`, and nobody but us writes it: neither the
        // kernel nor `give`, which writes the other fields.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and nobody uses it any more: see `new`.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}

/// The longest datagram: what the length field of UDP can say.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Room in a buffer: the longest datagram behind what the kernel says of it.
const BLOCK_BYTES: usize = MessageTemplate::HEAD_BYTES + MESSAGE_BYTES_MAX;

/// What the kernel takes at most.
const COUNT_MAX: u16 = 1 << 15;

/// What the ring is aligned to.
const PAGE: usize = 4_096;
