//! The sleep flag of one thread, which every other may ring.
//!
//! Who queues something for a thread must wake it if it sleeps, and should spend no system call on
//! it otherwise. A [`Doorbell`] knows which: its owner marks itself asleep before it blocks, and
//! of all who ring then, one calls the [`Waker`].
//!
//! No wake-up is lost, because both sides write first and look then, with a fence in between:
//!
//! | who rings | who sleeps |
//! | --- | --- |
//! | queues something | marks itself asleep |
//! | fence | fence |
//! | looks at the mark | looks at its queues |
//!
//! Sequentially consistent fences have one order. If the ringer's comes first, the sleeper sees
//! what was queued and stays awake. If the sleeper's does, the ringer sees the mark. Release and
//! acquire are not enough: they let a processor keep its write back until after its look, on both
//! sides at once.

use super::sync::{AtomicBool, OnceLock, Ordering, Waker, fence};

/// Wakes its owner, if that sleeps.
#[derive(Debug)]
pub(super) struct Doorbell {
    asleep: AtomicBool,
    waker: OnceLock<Waker>,
}

impl Doorbell {
    /// Its owner is awake, and has no waker yet. It may be rung at once: an owner looks at what
    /// waits before it first sleeps.
    pub(super) fn new() -> Self {
        Self {
            asleep: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// What ends a wait of the owner. For the owner, once, before it first sleeps.
    ///
    /// # Panics
    ///
    /// If there is one already.
    pub(super) fn install(&self, waker: Waker) {
        let installed = self.waker.set(waker);
        assert!(installed.is_ok(), "a doorbell has one waker");
    }

    /// Marks the owner asleep, and then asks `nothing_waits`, which looks at everything that
    /// others may ring for. Returns whether the owner may block; it is awake otherwise.
    ///
    /// For the owner. A wake-up may come without cause, never the other way round.
    ///
    /// # Panics
    ///
    /// Without a waker, which would be sleep without end.
    #[must_use]
    pub(super) fn sleep(&self, nothing_waits: impl FnOnce() -> bool) -> bool {
        assert!(self.waker.get().is_some(), "asleep without a waker");
        // Released, so that who sees the mark sees the waker, too.
        self.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        let may_block = nothing_waits();
        if !may_block {
            self.awake();
        }
        may_block
    }

    /// Marks the owner awake: nobody needs to call the waker. For the owner, as soon as its wait
    /// is over. What was queued before, it finds when it looks the next time.
    #[inline]
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the owner if it sleeps. For everybody, after something was queued.
    ///
    /// Costs a fence while the owner is awake, and one system call for all who ring while it
    /// sleeps. Nothing comes of it once the owner is gone.
    #[inline]
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Several may have seen the mark; one takes it. The others write nothing.
        let taken = self
            .asleep
            .compare_exchange(true, false, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_ok()
            && let Some(waker) = self.waker.get()
        {
            waker.wake();
        }
    }
}
