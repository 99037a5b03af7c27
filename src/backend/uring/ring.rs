//! The ring itself: operations are put in, handed over, and what came of them is taken out.
#![expect(unsafe_code, reason = "io_uring_enter, and entries of the ring")]

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;

use ::io_uring::types::{SubmitArgs, Timespec};
use ::io_uring::{EnterFlags, IoUring, cqueue, squeue};

use super::name::Name;
use super::{FEW, IoUringConfig};
use crate::backend::BackendError;
use crate::backend::readiness::{errno, failed};
use crate::backend::sys::{Errno, Timeout};

/// A ring of this thread.
pub(super) struct Ring {
    ring: IoUring,
    /// Completions that were taken out to make room.
    taken: VecDeque<Completion>,
    /// Operations that have not ended, but for those that end others.
    under_way: usize,
    /// Completions that the kernel could not keep, when we last looked.
    lost: u32,
}

/// What came of an operation, or of a part of one that goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completion {
    pub(super) name: u64,
    pub(super) result: i32,
    flags: u32,
}

/// Whether a call into the kernel waits for a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It gathers what there is.
    No,
    /// Until so many have come, or the time is up.
    For(u32, Timeout),
}

impl Completion {
    /// Whether the operation goes on.
    pub(super) fn is_more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The buffer that was received into.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    pub(super) const fn error(self) -> Option<Errno> {
        if self.result < 0 {
            Some(Errno(-self.result))
        } else {
            None
        }
    }
}

impl Ring {
    /// The ring that this kernel does best.
    pub(super) fn new(config: &IoUringConfig) -> Result<Self, BackendError> {
        let mut refused = Errno(0);
        for setup in [Setup::Deferred, Setup::Cooperative, Setup::Plain] {
            match build(config, setup) {
                Ok(ring) => {
                    let features = ring.params();
                    if !features.is_feature_ext_arg() || !features.is_feature_nodrop() {
                        return Err(failed(TOO_OLD, Errno(libc::ENOSYS)));
                    }
                    return Ok(Self {
                        ring,
                        taken: VecDeque::with_capacity(FEW),
                        under_way: 0,
                        lost: 0,
                    });
                }
                Err(error) => {
                    refused = errno(&error);
                    // That is what a kernel says of a flag that it does not know.
                    if refused.0 != libc::EINVAL {
                        break;
                    }
                }
            }
        }
        Err(failed(advice(refused), refused))
    }

    /// Puts an operation in, behind those that are. One that there is no room for has the others
    /// handed over first.
    ///
    /// # Safety
    ///
    /// All memory that the entry points at stays where it is, unused by anybody else unless both
    /// only read it, until the operation's last completion was taken out.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), BackendError> {
        loop {
            // SAFETY: the caller promises for the entry what is asked for here.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                self.under_way += usize::from(entry.get_opcode() != CANCEL);
                return Ok(());
            }
            // A kernel that keeps completions for want of room may take nothing more.
            while let Some(completion) = self.pop_new() {
                self.taken.push_back(completion);
            }
            self.enter(Wait::No)?;
            if self.ring.params().is_setup_sqpoll() && self.ring.submission().is_full() {
                let waited = self.ring.submitter().squeue_wait();
                waited.map_err(|error| failed("io_uring_enter", errno(&error)))?;
            }
        }
    }

    /// Hands over what was put in, and waits.
    ///
    /// Does without a call if there is nothing to hand over and nothing to gather.
    pub(super) fn enter(&mut self, wait: Wait) -> Result<(), BackendError> {
        let entered = match wait {
            Wait::No => self.gather(),
            Wait::For(_, Timeout::After(Duration::ZERO)) => self.gather(),
            Wait::For(count, Timeout::Forever) => {
                self.ring.submitter().submit_and_wait(count as usize)
            }
            Wait::For(count, Timeout::After(duration)) => {
                let duration = duration.min(TIMEOUT_MAX);
                let time = Timespec::new()
                    .sec(duration.as_secs())
                    .nsec(duration.subsec_nanos());
                let arguments = SubmitArgs::new().timespec(&time);
                let submitter = self.ring.submitter();
                submitter.submit_with_args(count as usize, &arguments)
            }
        };
        match entered {
            Ok(_) => self.check_lost(),
            Err(error) => match errno(&error).0 {
                // The time is up; a signal came; or the kernel keeps completions for which there
                // is no room, and takes nothing more before some are taken out.
                libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN => self.check_lost(),
                other => Err(failed("io_uring_enter", Errno(other))),
            },
        }
    }

    /// The next completion.
    pub(super) fn pop(&mut self) -> Option<Completion> {
        self.taken.pop_front().or_else(|| self.pop_new())
    }

    fn pop_new(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let completion = Completion {
            name: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        };
        if !completion.is_more() && !Name::is_cancel(completion.name) {
            self.under_way -= 1;
        }
        Some(completion)
    }

    /// Ends all operations, and waits until they have ended. Their completions go to `met`.
    pub(super) fn finish_all(&mut self, met: &mut Vec<Completion>) -> Result<(), BackendError> {
        met.extend(self.taken.drain(..));
        if self.under_way == 0 {
            return Ok(());
        }
        self.cancel_all()?;
        while self.under_way > 0 {
            self.enter(Wait::For(1, Timeout::Forever))?;
            met.extend(core::iter::from_fn(|| self.pop_new()));
        }
        Ok(())
    }

    /// Shares a ring of buffers with the kernel.
    ///
    /// # Safety
    ///
    /// There are `count` entries at `address`, aligned to a page, as long as the ring is there or
    /// operations of it are under way.
    pub(super) unsafe fn share(&self, address: u64, count: u16) -> Result<(), Errno> {
        let submitter = self.ring.submitter();
        // SAFETY: the caller's promise is what is asked for.
        let shared = unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) };
        shared.map_err(|error| errno(&error))
    }

    /// Ends the sharing.
    pub(super) fn unshare(&self) -> Result<(), Errno> {
        let submitter = self.ring.submitter();
        let unshared = submitter.unregister_buf_ring(GROUP);
        unshared.map_err(|error| errno(&error))
    }

    /// Operations that can be put in before some are handed over.
    pub(super) fn room(&mut self) -> usize {
        let queue = self.ring.submission();
        queue.capacity() - queue.len()
    }

    /// Operations that have not ended.
    #[cfg(test)]
    pub(super) const fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether there are completions to take out.
    pub(super) fn has_any(&mut self) -> bool {
        !self.taken.is_empty() || !self.ring.completion().is_empty()
    }

    /// Waits until the operation of this name has ended, or finds that it has. Its completions go
    /// to `met`, the others stay.
    pub(super) fn finish(
        &mut self,
        name: u64,
        met: &mut Vec<Completion>,
    ) -> Result<(), BackendError> {
        met.extend(self.taken.iter().filter(|taken| taken.name == name));
        self.taken.retain(|taken| taken.name != name);
        loop {
            while let Some(completion) = self.pop_new() {
                if completion.name == name {
                    met.push(completion);
                } else {
                    self.taken.push_back(completion);
                }
            }
            if met.last().is_some_and(|last| !last.is_more()) {
                return Ok(());
            }
            self.enter(Wait::For(1, Timeout::Forever))?;
        }
    }

    fn gather(&mut self) -> io::Result<usize> {
        let queue = self.ring.submission();
        let (count, idle) = (queue.len(), !queue.taskrun() && !queue.cq_overflow());
        drop(queue);
        if self.ring.params().is_setup_sqpoll() {
            return self.ring.submit();
        }
        if count == 0 && idle && self.announces() {
            return Ok(0);
        }
        let flags = EnterFlags::GETEVENTS.bits();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // SAFETY: no memory is passed; the entries are those of the queue, for which whoever put
        // them in has promised.
        unsafe { (self.ring.submitter()).enter::<libc::sigset_t>(count, 0, flags, None) }
    }

    /// Whether the kernel says by a flag that it has something to gather.
    fn announces(&self) -> bool {
        self.ring.params().is_setup_single_issuer()
    }

    /// A completion that is lost would leave somebody waiting for ever.
    fn check_lost(&mut self) -> Result<(), BackendError> {
        let lost = self.ring.completion().overflow();
        if core::mem::replace(&mut self.lost, lost) == lost {
            return Ok(());
        }
        Err(failed(
            "io_uring_enter: completions lost",
            Errno(libc::ENOMEM),
        ))
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = self.ring.params();
        f.debug_struct("Ring")
            .field("entries", &parameters.sq_entries())
            .field("completions", &parameters.cq_entries())
            .field("polled", &parameters.is_setup_sqpoll())
            .finish_non_exhaustive()
    }
}

/// When the kernel finishes what has become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    /// When we ask for it (6.1): nothing interrupts us, and batches are whole.
    Deferred,
    /// When we call it for whatever reason (5.19).
    Cooperative,
    /// At any time.
    Plain,
}

fn build(config: &IoUringConfig, setup: Setup) -> io::Result<IoUring> {
    let entries = config.entries.clamp(2, ENTRIES_MAX).next_power_of_two();
    let completions = config.completions.clamp(2 * entries, COMPLETIONS_MAX);
    let mut builder = IoUring::builder();
    builder.setup_clamp();
    builder.setup_cqsize(completions.next_power_of_two());
    if let Some(idle) = config.polling {
        builder.setup_sqpoll(u32::try_from(idle.as_millis()).unwrap_or(u32::MAX).max(1));
        if setup != Setup::Plain {
            builder.setup_single_issuer();
            builder.setup_submit_all();
        }
        return builder.build(entries);
    }
    match setup {
        Setup::Deferred => {
            builder.setup_single_issuer();
            builder.setup_defer_taskrun();
            builder.setup_taskrun_flag();
            builder.setup_submit_all();
        }
        Setup::Cooperative => {
            builder.setup_coop_taskrun();
            builder.setup_submit_all();
        }
        Setup::Plain => {}
    }
    builder.build(entries)
}

/// What to do about a ring that the kernel does not give.
const fn advice(error: Errno) -> &'static str {
    match error.0 {
        libc::ENOSYS => TOO_OLD,
        libc::EPERM | libc::EACCES => {
            "io_uring_setup (forbidden by the sysctl kernel.io_uring_disabled or by a seccomp \
             filter, as containers have it: allow it, or choose another backend)"
        }
        libc::ENOMEM => {
            "io_uring_setup (no memory: raise the limit of locked memory, `ulimit -l`, or ask for \
             fewer entries)"
        }
        libc::EMFILE | libc::ENFILE => "io_uring_setup (no descriptor left: raise `ulimit -n`)",
        _ => "io_uring_setup",
    }
}

const TOO_OLD: &str = "io_uring_setup (this kernel has no io_uring, or one that is too old: choose \
                       another backend)";

/// What kernels take at most.
const ENTRIES_MAX: u32 = 32_768;
const COMPLETIONS_MAX: u32 = 2 * ENTRIES_MAX;

/// The buffers that are shared with the kernel.
pub(super) const GROUP: u16 = 0;

const CANCEL: u32 = ::io_uring::opcode::AsyncCancel2::CODE as u32;

/// A wait so long that its end is never seen, and that every kernel takes.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600 * 24 * 365);
