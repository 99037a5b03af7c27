//! An allocator that counts, for tests of what is allocated.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a module of several test programs"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

thread_local! {
    /// Allocations of this thread.
    pub static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of memory that the process holds.
pub static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

impl Counted {
    fn count(bytes: usize) {
        // Nothing is dropped with the thread, so it is there to its end.
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: all calls go to the system's allocator as they are, so they keep its promises. The counts
// are a plain cell of the thread and an atomic: they neither allocate nor panic.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; `block` came from `System`, like all of ours.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
