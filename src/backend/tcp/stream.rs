//! One connection: what waits to be sent, how much room its task was told of, and which directions
//! have ended.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::backend::readiness::Interest;
use crate::backend::sys::Errno;
use crate::buffer::Buffer;
use crate::net::{NetworkError, Token};
use crate::stream::{Reading, TcpOptions};

/// One connection, or one that is being made.
pub(super) struct Stream {
    pub(super) fd: OwnedFd,
    pub(super) peer: SocketAddr,
    pub(super) phase: Phase,
    pub(super) linger: Duration,
    pub(super) reading: Reading,
    pub(super) read: Direction,
    pub(super) write: Direction,
    /// What a write failed with. Reading goes on to the end of what the peer has sent.
    pub(super) broken: Option<Errno>,
    /// What it is waited for.
    pub(super) interest: Interest,
    /// What happens to what is written.
    pub(super) sending: Sending,
    /// What has not been sent, oldest first. No buffer is empty.
    pub(super) queue: VecDeque<Buffer>,
    pub(super) room: Room,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting {
        token: Token,
    },
    Open,
    /// Its task has closed it. It is gone when what was written is acknowledged.
    Closing {
        /// Until it is looked at again, once there is nothing more to be sent.
        next_look: Duration,
    },
}

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Open,
    /// To be ended once all is sent.
    Ending,
    Ended,
}

/// What happens to what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// There is nothing to do.
    Idle,
    /// It goes out at the next flush.
    AtFlush,
    /// The kernel has taken what it can: it goes out when there is room.
    WhenWritable,
}

impl Stream {
    pub(super) fn new(
        fd: OwnedFd,
        peer: SocketAddr,
        phase: Phase,
        options: &TcpOptions,
        interest: Interest,
    ) -> Self {
        let connecting = matches!(phase, Phase::Connecting { .. });
        Self {
            fd,
            peer,
            phase,
            linger: options.linger,
            reading: Reading::Flowing,
            read: Direction::Open,
            write: Direction::Open,
            broken: None,
            interest,
            sending: Sending::Idle,
            queue: VecDeque::new(),
            room: Room::new(options.send_queue_max, connecting),
        }
    }

    /// Whether its task is to get what the peer sends.
    pub(super) fn delivers(&self) -> bool {
        self.phase == Phase::Open
            && self.reading == Reading::Flowing
            && self.read == Direction::Open
    }

    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// Whether what the peer sends is taken off the socket, for its task or for nobody.
    pub(super) fn reads(&self) -> bool {
        self.delivers() || (self.is_closing() && self.read == Direction::Open)
    }

    /// What it is to be waited for now.
    pub(super) fn wanted(&self) -> Interest {
        if matches!(self.phase, Phase::Connecting { .. }) {
            return Interest::Write;
        }
        match (self.reads(), self.sending == Sending::WhenWritable) {
            (true, true) => Interest::ReadAndWrite,
            (true, false) => Interest::Read,
            (false, true) => Interest::Write,
            // The peer may break it off still. A paused one is not told of that.
            (false, false) if self.phase == Phase::Open && self.reading == Reading::Flowing => {
                Interest::Errors
            }
            (false, false) => Interest::Nothing,
        }
    }

    /// Takes bytes in, or says why not. The account is the task's own: see [`Room`].
    pub(super) fn push(&mut self, data: Buffer) -> Result<(), NetworkError> {
        if self.write != Direction::Open {
            return Err(NetworkError::Ended);
        }
        if !self.room.take(data.len()) {
            return Err(NetworkError::QueueFull);
        }
        self.enqueue(data);
        Ok(())
    }

    /// Puts bytes behind those that wait. A buffer that would keep more than twice the memory that
    /// it has bytes is copied into what the one before has left: the room counts bytes, and memory
    /// must not be many times that when they come a few at a time.
    fn enqueue(&mut self, data: Buffer) {
        if data.memory() > 2 * data.len()
            && let Some(last) = self.queue.back_mut()
            && let Some(room) = last.unfilled().get_mut(..data.len())
        {
            room.copy_from_slice(&data);
            last.commit(data.len());
        } else {
            self.queue.push_back(data);
        }
    }

    /// Takes the first `count` bytes off the queue.
    pub(super) fn sent(&mut self, mut count: usize) {
        self.room.queued -= count;
        while let Some(first) = self.queue.front_mut() {
            if count < first.len() {
                let popped = first.pop_front(count);
                assert!(popped.is_some(), "{count} bytes of {}", first.len());
                return;
            }
            count -= first.len();
            self.queue.pop_front();
        }
    }

    /// Throws away what has not been sent, and says how many bytes that were.
    pub(super) fn discard(&mut self) -> u64 {
        self.queue.clear();
        core::mem::take(&mut self.room.queued) as u64
    }
}

/// The account of a stream's room: what its task believes to be free, and what is.
///
/// A task that writes only what it was told of never loses a byte. One that writes more has that
/// write refused whole, and all that follow until it is told of room again, so that what was taken
/// is always the beginning of what was written.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    /// What the task was told, less what it has written since.
    told: usize,
    /// Bytes in the queue.
    pub(super) queued: usize,
    /// Bytes refused for want of room, of which the task is about to be told.
    refused_full: usize,
    /// The same, behind the end.
    refused_ended: usize,
    /// Whether the task is about to be told of room.
    telling: Telling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    No,
    Yes,
}

impl Room {
    /// A stream that is being connected has none that its task knows of.
    const fn new(max: usize, connecting: bool) -> Self {
        Self {
            max,
            told: if connecting { 0 } else { max },
            queued: 0,
            refused_full: 0,
            refused_ended: 0,
            telling: Telling::No,
        }
    }

    fn take(&mut self, len: usize) -> bool {
        if len > self.told {
            self.told = 0;
            return false;
        }
        self.told -= len;
        self.queued += len;
        true
    }

    /// Bytes refused for this reason, of which the task is about to be told.
    pub(super) const fn refused(&mut self, why: NetworkError) -> &mut usize {
        if matches!(why, NetworkError::Ended) {
            &mut self.refused_ended
        } else {
            &mut self.refused_full
        }
    }

    /// Whether the task is about to be told that a write was refused for want of room.
    pub(super) const fn is_refusing(&self) -> bool {
        self.refused_full > 0
    }

    /// Whether the task is to be told of room now. Says so once until it was.
    pub(super) fn should_tell(&mut self) -> bool {
        let half = self.max / 2;
        let should = self.telling == Telling::No
            && (self.told < half || self.told == 0)
            && self.max - self.queued >= half.max(1);
        if should {
            self.telling = Telling::Yes;
        }
        should
    }

    /// The room that the task is told of.
    pub(super) const fn tell(&mut self) -> usize {
        self.telling = Telling::No;
        self.told = self.max - self.queued;
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferPool;
    use proptest::prelude::*;
    use std::os::unix::net::UnixStream;

    /// A peer that reads nothing must not have a task's short answers keep a block of memory each.
    #[test]
    fn short_writes_that_wait_share_memory() {
        let (fd, _peer) = UnixStream::pair().unwrap();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let options = TcpOptions::new();
        let mut stream = Stream::new(fd.into(), peer, Phase::Open, &options, Interest::Read);
        let pool = BufferPool::new();
        let bytes: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
        for part in bytes.chunks(3) {
            assert_eq!(stream.push(pool.copy_from(part)), Ok(()));
        }
        let memory: usize = stream.queue.iter().map(Buffer::memory).sum();
        assert!(memory <= 2 * bytes.len(), "{memory} bytes of memory");
        assert_eq!(
            stream
                .queue
                .iter()
                .flat_map(|part| part.to_vec())
                .collect::<Vec<_>>(),
            bytes
        );
        assert_eq!(stream.discard(), bytes.len() as u64);
    }

    /// Whoever holds a clone of what it has written goes on seeing that and no more.
    #[test]
    fn memory_that_others_hold_is_not_written_to() {
        let (fd, _peer) = UnixStream::pair().unwrap();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let options = TcpOptions::new();
        let mut stream = Stream::new(fd.into(), peer, Phase::Open, &options, Interest::Read);
        let first = BufferPool::new().copy_from(b"first");
        for data in [first.clone(), Buffer::copy_from(b"second")] {
            assert_eq!(stream.push(data), Ok(()));
        }
        assert_eq!(stream.queue.len(), 2);
        assert_eq!(first, b"first");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize),
        Sent(usize),
        Tell,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..40usize).prop_map(Step::Write),
            (1..40usize).prop_map(Step::Sent),
            Just(Step::Tell),
        ]
    }

    proptest! {
        /// Whoever writes no more than it was told of is never refused, the queue is never longer
        /// than its bound, and a task without room is told of some once the queue is empty.
        #[test]
        fn what_was_told_is_there(max in 1..64usize, steps in prop::collection::vec(step(), 0..200)) {
            let mut room = Room::new(max, false);
            let (mut believed, mut refused) = (max, false);
            for step in steps {
                match step {
                    Step::Write(len) => {
                        let taken = room.take(len);
                        prop_assert_eq!(taken, !refused && len <= believed);
                        if taken {
                            believed -= len;
                        } else {
                            refused = true;
                            believed = 0;
                        }
                    }
                    Step::Sent(len) => room.queued -= len.min(room.queued),
                    Step::Tell => if room.should_tell() {
                        believed = room.tell();
                        refused = false;
                        prop_assert!(believed > 0);
                    }
                }
                prop_assert!(room.queued <= max);
            }
            room.queued = 0;
            prop_assert!(believed >= (max / 2).max(1) || room.should_tell());
        }
    }
}
