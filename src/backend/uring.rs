//! Waiting with io_uring, the interface of Linux that takes operations and gives completions.
//!
//! What is waited for is an operation that goes on: the kernel says each time when a descriptor
//! becomes ready, or receives and takes in by itself, without being asked again. What is to begin,
//! and what is to be sent, is put into the ring and handed over with the call that waits, so a
//! wake-up costs one call. One more is needed where a descriptor is closed: the kernel holds on to
//! it until its operations have ended.
//!
//! Each operation has a name with a number of its own ([`Name`]): what an old one says is never
//! taken for what a new one in its place says. Memory that operations point at belongs to the set,
//! which ends them before it lets go of it.
//!
//! What this kernel can do is tried out, not read off its version.

#![expect(
    unsafe_code,
    reason = "memory is kept until the kernel has done with it"
)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use super::readiness::{
    Accepted, Interest, Link, Matter, Readiness, Ready, Sent, Taken, TakenBytes, failed,
};
use super::sys::{Errno, Timeout, WakeKind, WakeSignal};
use super::{BackendError, Waker};
use crate::buffer::BufferPool;
use crate::id::{ListenerId, ResourceId, SocketId};

mod accept;
mod buffers;
mod config;
mod name;
mod operations;
mod poll;
mod receive;
mod ring;
mod send;
mod watch;

use accept::Accepting;
use buffers::Buffers;
pub use config::{IoUringConfig, IoUringReceive, IoUringSend};
use name::{Kind, Name};
use receive::Receiving;
use ring::{Completion, Ring, Wait};
use send::Sends;
use watch::{READABLE, Watch};

/// Descriptors that wait in a ring.
pub(super) struct UringSet {
    /// Before the buffers: see `drop`.
    ring: Ring,
    /// Those that the kernel receives into, once there is a socket.
    buffers: Option<ManuallyDrop<Buffers>>,
    /// How many there are to be; none if the kernel does not know how to.
    buffers_max: u16,
    pool: BufferPool,
    config: IoUringConfig,
    /// By slots.
    watches: Vec<Option<Watch>>,
    /// Those whose operations are to begin again, and some that are no more.
    ended: Vec<ResourceId>,
    /// Those that are to be waited for in another way.
    renewed: Vec<ResourceId>,
    /// Those that may be ready still, and some that are no more.
    again: Vec<ResourceId>,
    /// Counts the waits.
    turn: u64,
    settling: Settling,
    /// That of the last operation.
    number: u32,
    signal: Arc<WakeSignal>,
    waking: Waking,
    sends: Sends,
    /// Datagrams that were received for sockets that are no more.
    undelivered: u64,
    /// Completions of an operation that is being ended; kept for its memory.
    met: Vec<Completion>,
    /// What went wrong outside of a wait.
    failed: Option<BackendError>,
}

/// Whether operations were put in that tell at once of what nobody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    Yes,
    No,
}

/// Whether the operation is under way that tells of the waker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waking {
    Yes,
    No,
}

impl UringSet {
    pub(super) fn new(config: &IoUringConfig, pool: &BufferPool) -> Result<Self, BackendError> {
        let signal = WakeSignal::new(WakeKind::BEST).map_err(|error| failed("eventfd", error))?;
        let mut set = Self {
            ring: Ring::new(config)?,
            buffers: None,
            buffers_max: config.buffers,
            pool: pool.clone(),
            config: *config,
            watches: Vec::new(),
            ended: Vec::with_capacity(FEW),
            renewed: Vec::new(),
            again: Vec::with_capacity(FEW),
            turn: 0,
            settling: Settling::No,
            number: 0,
            signal: Arc::new(signal),
            waking: Waking::No,
            sends: Sends::new(),
            undelivered: 0,
            met: Vec::with_capacity(FEW),
            failed: None,
        };
        set.try_out()?;
        Ok(set)
    }

    /// Tries whether the kernel knows operations that go on, with the one that everything needs.
    fn try_out(&mut self) -> Result<(), BackendError> {
        self.waker().wake();
        self.begin_waking()?;
        let found = loop {
            self.ring.enter(Wait::For(1, Timeout::Forever))?;
            if let Some(found) = self.ring.pop() {
                break found;
            }
        };
        self.signal.lower();
        if found.is_more() && found.error().is_none() {
            Ok(())
        } else {
            Err(failed(NO_POLL, Errno(libc::EINVAL)))
        }
    }

    fn begin_waking(&mut self) -> Result<(), BackendError> {
        let (kind, slot, number) = (Kind::Wake, 0, self.next_number());
        let fd = self.signal.fd().as_raw_fd();
        self.ring.poll(fd, READABLE, Name { kind, slot, number })?;
        self.waking = Waking::Yes;
        Ok(())
    }

    const fn next_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// Has an operation end, and waits until it has.
    fn end_operation(&mut self, name: Name) -> Result<(), BackendError> {
        self.ring.cancel(name)?;
        self.wait_for_end(name)
    }

    /// Waits until an operation that is to end has ended. Its last completions are `met` then.
    fn wait_for_end(&mut self, name: Name) -> Result<(), BackendError> {
        self.met.clear();
        self.ring.finish(name.encode(), &mut self.met)
    }

    /// What went wrong is told by the next wait.
    fn note(&mut self, outcome: Result<(), BackendError>) {
        if let Err(error) = outcome {
            self.failed.get_or_insert(error);
        }
    }

    /// Takes out what has completed.
    fn gather(&mut self, ready: &mut Vec<(ResourceId, Ready)>) -> bool {
        let mut woken = false;
        while let Some(completion) = self.ring.pop() {
            let Some(name) = Name::decode(completion.name) else {
                continue;
            };
            match name.kind {
                Kind::Poll => self.polled(name, completion, ready),
                Kind::Receive => self.received(name, completion, ready),
                Kind::Accept => {
                    let accepted = self.accepted(name, completion, ready);
                    self.note(accepted);
                }
                Kind::Send => self.sends.note(name, completion),
                Kind::Wake => {
                    woken = true;
                    self.signal.lower();
                    if !completion.is_more() {
                        self.waking = Waking::No;
                    }
                }
                Kind::Cancel => {} // It came too late, and what it was about has told so itself.
            }
        }
        woken
    }
}

impl Readiness for UringSet {
    fn add(&mut self, id: ResourceId, fd: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        let slot = id.key().slot;
        assert!(slot < Name::SLOTS_MAX, "{id} has a slot too high");
        let slot = slot as usize;
        if slot >= self.watches.len() {
            self.watches.resize_with(slot + 1, || None);
        }
        let receiving = Receiving::of(id).filter(|_| self.receives(id));
        let accepting = Accepting::of(id).filter(|_| {
            self.config.accept == IoUringReceive::ByItself && self.config.polling.is_none()
        });
        self.watches[slot] = Some(Watch {
            id,
            fd: fd.as_raw_fd(),
            interest,
            operation: None,
            last: Ready::NOTHING,
            receiving,
            accepting,
            turn: 0,
            place: 0,
        });
        let begun = self.begin_all(id);
        self.note(begun);
        Ok(())
    }

    fn remove(&mut self, id: ResourceId, _: BorrowedFd<'_>) {
        let removed = self.try_remove(id);
        self.note(removed);
    }

    fn change(&mut self, id: ResourceId, _: BorrowedFd<'_>, interest: Interest) {
        let changed = self.try_change(id, interest);
        self.note(changed);
    }

    fn again(&mut self, id: ResourceId, _: BorrowedFd<'_>, _: Interest) {
        self.again.push(id);
    }

    fn wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let waited = self.try_wait(timeout, ready);
        self.finish_sends(waited, ready)
    }

    fn sends_max(&mut self, what: Matter) -> usize {
        let when = match what {
            Matter::Datagrams => self.config.send_datagrams,
            Matter::Bytes => self.config.send_bytes,
        };
        match when {
            IoUringSend::AtOnce => 0,
            IoUringSend::WithWait => self.ring.room(),
        }
    }

    unsafe fn send(&mut self, fd: BorrowedFd<'_>, header: *const libc::msghdr, link: Link) {
        // SAFETY: the caller's promise is the same.
        let put = unsafe { self.sends.put(&mut self.ring, fd, header, link) };
        self.note(put);
    }

    fn sent(&mut self) -> Sent<'_> {
        self.sends.results()
    }

    fn take_received(&mut self, id: SocketId) -> Taken {
        self.take_datagrams(id)
    }

    fn take_bytes(&mut self, id: ResourceId) -> TakenBytes {
        Self::take_bytes(self, id)
    }

    fn take_accepted(&mut self, id: ListenerId) -> Accepted {
        self.take_one_accepted(id)
    }

    fn buffers_lent(&self) -> usize {
        self.buffers.as_ref().map_or(0, |buffers| buffers.count())
    }

    fn asked(&mut self, id: ResourceId) {
        self.receive_again(id);
    }

    fn take_undelivered(&mut self) -> u64 {
        core::mem::take(&mut self.undelivered)
    }

    fn waker(&self) -> Waker {
        Waker::new(self.signal.clone())
    }
}

impl UringSet {
    fn try_wait(
        &mut self,
        timeout: Timeout,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        // Before all others: a chain is not to be torn.
        self.sends.finish(&mut self.ring)?;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.turn += 1;
        if self.waking == Waking::No {
            self.begin_waking()?;
        }
        while let Some(id) = self.renewed.pop() {
            self.end(id)?;
            self.begin_all(id)?;
        }
        while let Some(id) = self.ended.pop() {
            self.begin_all(id)?;
        }
        self.sends.finish(&mut self.ring)?;
        let mut woken = false;
        if core::mem::replace(&mut self.settling, Settling::No) == Settling::Yes {
            // They tell at once of their own end, or that a direction has ended, asked or not.
            // Neither must end a wait.
            self.ring.enter(Wait::No)?;
            woken = self.gather(ready);
        }
        let found = self.tell_again(ready) || woken;
        let timeout = if found || self.ring.has_any() {
            Timeout::After(Duration::ZERO)
        } else {
            timeout
        };
        // What is sent is done with at once, and none of it is what is waited for.
        let count = self.sends.under_way() + 1;
        self.ring.enter(Wait::For(count, timeout))?;
        self.gather(ready);
        Ok(())
    }
}

impl Drop for UringSet {
    fn drop(&mut self) {
        // As long as an operation is under way, the kernel may write to the buffers. If it cannot
        // be ended, they stay where they are for ever.
        let finished = self.ring.finish_all(&mut self.met);
        let met = self.met.drain(..);
        met.for_each(accept::refuse);
        if finished.is_ok()
            && let Some(mut buffers) = self.buffers.take()
            && self.ring.unshare().is_ok()
        {
            // SAFETY: nobody uses them after this, neither the kernel nor we.
            unsafe { ManuallyDrop::drop(&mut buffers) };
        }
    }
}

impl fmt::Debug for UringSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringSet")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}

/// What lists that are short most of the time have room for from the beginning: that they grow at
/// some time in a long steady load would be a surprise.
const FEW: usize = 64;

/// What is said where operations do not go on.
const NO_POLL: &str = "io_uring_enter (this kernel's io_uring is too old: choose another backend)";

#[cfg(test)]
mod tests;
