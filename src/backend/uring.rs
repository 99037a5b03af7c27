//! Waiting with io_uring, the interface of Linux that takes operations and gives completions.
//!
//! A descriptor that is waited for is an operation that goes on: the kernel says each time when it
//! becomes ready, without being asked again. What is to begin is put into the ring and handed over
//! with the same call that waits, so a wake-up costs one call. One more is needed where a
//! descriptor is closed: the kernel holds on to it until its operation has ended.
//!
//! What this kernel can do is tried out, not read off its version.

#![expect(
    unsafe_code,
    reason = "memory is kept until the kernel has done with it"
)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use super::readiness::{
    Accepted, Interest, Link, Readiness, Ready, Sent, Taken, TakenBytes, failed,
};
use super::sys::{Errno, Timeout, WakeKind, WakeSignal};
use super::{BackendError, Waker};
use crate::buffer::BufferPool;
use crate::id::{ListenerId, ResourceId, SocketId, StreamId};

mod accept;
mod buffers;
mod config;
mod name;
mod operations;
mod receive;
mod ring;
mod send;

use accept::Accepting;
use buffers::Buffers;
pub use config::IoUringConfig;
use name::{Kind, Name};
use receive::Receiving;
use ring::{Completion, Ring, Wait};
use send::Sends;

/// Descriptors that wait in a ring.
pub(super) struct UringSet {
    /// Before the buffers: see `drop`.
    ring: Ring,
    /// Those that the kernel receives into, once there is a socket.
    buffers: Option<ManuallyDrop<Buffers>>,
    /// How many there are to be; none if the kernel does not know how to.
    buffers_max: u16,
    pool: BufferPool,
    accepts: Accepts,
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

/// One descriptor that is waited for.
struct Watch {
    id: ResourceId,
    /// Open as long as the watch is here.
    fd: RawFd,
    interest: Interest,
    /// The number of its operation, if one is under way.
    operation: Option<u32>,
    /// What was found last.
    last: Ready,
    /// Set if the kernel receives by itself.
    receiving: Option<Receiving>,
    /// Set if the kernel takes connections in by itself.
    accepting: Option<Accepting>,
    /// When that was, and where it is among all that was found then.
    turn: u64,
    place: usize,
}

/// Whether the kernel takes connections in by itself. A thread of the kernel would do so also while
/// nobody asks for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepts {
    ByItself,
    WhenAsked,
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
            accepts: if config.buffers > 0 && config.polling.is_none() {
                Accepts::ByItself
            } else {
                Accepts::WhenAsked
            },
            watches: Vec::new(),
            ended: Vec::new(),
            renewed: Vec::new(),
            again: Vec::new(),
            turn: 0,
            settling: Settling::No,
            number: 0,
            signal: Arc::new(signal),
            waking: Waking::No,
            sends: Sends::new(),
            undelivered: 0,
            met: Vec::new(),
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

    /// Begins to wait for a descriptor, unless nothing is wanted of it.
    fn begin(&mut self, id: ResourceId) -> Result<(), BackendError> {
        let number = self.next_number();
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        if let Some(events) = watch.events()
            && watch.operation.is_none()
        {
            watch.operation = Some(number);
            if !watch.interest.reads() {
                self.settling = Settling::Yes;
            }
            let name = poll_name(id, number);
            self.ring.poll(watch.fd, events, name)?;
        }
        Ok(())
    }

    /// Has the waiting for a descriptor end, and gives the name of what is to end.
    fn end(&mut self, id: ResourceId) -> Result<Option<u64>, BackendError> {
        let watched = watch(&mut self.watches, id);
        let Some(number) = watched.and_then(|watch| watch.operation.take()) else {
            return Ok(None);
        };
        self.settling = Settling::Yes; // It tells of its end.
        let (name, kind) = (poll_name(id, number), Kind::Cancel);
        self.ring.cancel(name, Name { kind, ..name })?;
        Ok(Some(name.encode()))
    }

    fn try_remove(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.end_receiving(id)?;
        self.end_accepting(id)?;
        if let Some(name) = self.end(id)? {
            self.met.clear();
            self.ring.finish(name, &mut self.met)?;
        }
        if let Some(slot) = self.watches.get_mut(id.key().slot as usize) {
            slot.take_if(|watch| watch.id == id);
        }
        Ok(())
    }

    fn try_change(&mut self, id: ResourceId, interest: Interest) -> Result<(), BackendError> {
        let Some(watch) = watch(&mut self.watches, id) else {
            return Ok(());
        };
        let before = watch.events();
        watch.interest = interest;
        if watch.events() != before {
            self.end(id)?;
            self.begin(id)?;
        }
        if interest.reads() {
            self.resume_receiving(id)?;
            self.begin_accepting(id)
        } else {
            self.pause_receiving(id)?;
            self.pause_accepting(id)
        }
    }

    /// Begins all that is wanted of a descriptor.
    fn begin_all(&mut self, id: ResourceId) -> Result<(), BackendError> {
        self.begin(id)?;
        self.begin_receiving(id)?;
        self.begin_accepting(id)
    }

    /// What went wrong is told by the next wait.
    fn note(&mut self, outcome: Result<(), BackendError>) {
        if let Err(error) = outcome {
            self.failed.get_or_insert(error);
        }
    }

    /// Tells of those that may be ready still. Whether there are any.
    fn tell_again(&mut self, ready: &mut Vec<(ResourceId, Ready)>) -> bool {
        for id in self.again.drain(..) {
            let Some(watch) = watch(&mut self.watches, id) else {
                continue;
            };
            if watch.interest != Interest::Nothing {
                let found = Ready {
                    readable: watch.interest.reads(),
                    writable: watch.interest.writes(),
                    ..watch.last
                };
                watch.tell(found, self.turn, ready);
            }
        }
        !ready.is_empty()
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

    fn polled(&mut self, name: Name, completion: Completion, ready: &mut Vec<(ResourceId, Ready)>) {
        let slot = self.watches.get_mut(name.slot as usize);
        let Some(watch) = slot.and_then(Option::as_mut) else {
            return;
        };
        if watch.operation != Some(name.number) {
            return; // It was ended meanwhile.
        }
        if !completion.is_more() {
            watch.operation = None;
            self.ended.push(watch.id);
        }
        let found = completion.result.cast_unsigned();
        assert!(
            completion
                .error()
                .is_none_or(|error| error.0 != libc::EBADF)
                && (completion.result < 0 || found & INVALID == 0),
            "{} was closed by somebody else",
            watch.id
        );
        if completion.result > 0 {
            let found = watch.interest.found(found);
            if found.is_anything() {
                watch.tell(found, self.turn, ready);
            }
        }
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
        let receiving = Receiving::of(id).filter(|_| self.receives());
        let accepting = Accepting::of(id).filter(|_| self.accepts == Accepts::ByItself);
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

    fn sends_max(&mut self) -> usize {
        self.ring.room()
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

    fn take_bytes(&mut self, id: StreamId) -> TakenBytes {
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

    /// Waits until it is known what came of each message: the kernel never waits for room.
    fn finish_sends(
        &mut self,
        waited: Result<(), BackendError>,
        ready: &mut Vec<(ResourceId, Ready)>,
    ) -> Result<(), BackendError> {
        let mut waited = waited;
        while waited.is_ok() && self.sends.under_way() > 0 {
            waited = self.ring.enter(Wait::For(1, Timeout::Forever));
            self.gather(ready);
        }
        if self.sends.under_way() > 0 && self.ring.finish_all().is_err() {
            self.sends.lose();
        }
        waited
    }
}

impl Drop for UringSet {
    fn drop(&mut self) {
        // As long as an operation is under way, the kernel may write to the buffers. If it cannot
        // be ended, they stay where they are for ever.
        if self.ring.finish_all().is_ok()
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

impl Watch {
    /// What the kernel is asked to tell of, if of anything. It tells of errors in any case.
    fn events(&self) -> Option<u32> {
        let events = self.interest.events()?;
        // What it receives by itself it tells with that. What a datagram has caused it only tells
        // of as an error; what a stream has caused, with what it receives.
        if let Some(receiving) = &self.receiving {
            let only_reads = self.interest == Interest::Read && receiving.tells_errors();
            return (!only_reads).then_some(events & !READABLE);
        }
        match &self.accepting {
            Some(_) => None,
            None => Some(events),
        }
    }

    /// Adds what was found to what is told of this descriptor.
    fn tell(&mut self, found: Ready, turn: u64, ready: &mut Vec<(ResourceId, Ready)>) {
        if self.turn == turn
            && let Some((_, told)) = ready.get_mut(self.place)
        {
            *told = told.or(found);
            self.last = *told;
            return;
        }
        (self.turn, self.place, self.last) = (turn, ready.len(), found);
        ready.push((self.id, found));
    }
}

impl Interest {
    const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadAndWrite)
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadAndWrite)
    }

    /// What the kernel is asked to tell of, besides errors and the end of a direction.
    const fn events(self) -> Option<u32> {
        match self {
            Self::Nothing => None,
            Self::Errors => Some(0),
            Self::Read => Some(READABLE),
            Self::Write => Some(WRITABLE),
            Self::ReadAndWrite => Some(READABLE | WRITABLE),
        }
    }

    /// What is of interest about what the kernel found.
    fn found(self, found: u32) -> Ready {
        let has = |event| found & event != 0;
        Ready {
            readable: self.reads() && has(READABLE),
            writable: self.writes() && has(WRITABLE),
            error: has(ERROR | HUNG_UP),
            read_ended: self.reads() && has(HUNG_UP | PEER_ENDED),
        }
    }
}

impl Ready {
    const NOTHING: Self = Self {
        readable: false,
        writable: false,
        error: false,
        read_ended: false,
    };

    const READABLE: Self = Self {
        readable: true,
        ..Self::NOTHING
    };

    const fn or(self, other: Self) -> Self {
        Self {
            readable: self.readable || other.readable,
            writable: self.writable || other.writable,
            error: self.error || other.error,
            read_ended: self.read_ended || other.read_ended,
        }
    }

    const fn is_anything(self) -> bool {
        self.readable || self.writable || self.error || self.read_ended
    }
}

fn watch(watches: &mut [Option<Watch>], id: ResourceId) -> Option<&mut Watch> {
    let watch = watches.get_mut(id.key().slot as usize)?.as_mut()?;
    (watch.id == id).then_some(watch)
}

const fn poll_name(id: ResourceId, number: u32) -> Name {
    Name {
        kind: Kind::Poll,
        slot: id.key().slot,
        number,
    }
}

const READABLE: u32 = libc::POLLIN.cast_unsigned() as u32;
const WRITABLE: u32 = libc::POLLOUT.cast_unsigned() as u32;
const ERROR: u32 = libc::POLLERR.cast_unsigned() as u32;
const HUNG_UP: u32 = libc::POLLHUP.cast_unsigned() as u32;
const PEER_ENDED: u32 = libc::POLLRDHUP.cast_unsigned() as u32;
const INVALID: u32 = libc::POLLNVAL.cast_unsigned() as u32;

/// What is said where operations do not go on.
const NO_POLL: &str = "io_uring_enter (this kernel's io_uring is too old: choose another backend)";
