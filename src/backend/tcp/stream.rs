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
use crate::room::StreamRoom;
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
    pub(super) room: StreamRoom,
    /// Whether its task is about to be told of room.
    pub(super) telling_room: bool,
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
    /// It goes out with the next wait.
    WithWait,
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
        let mut room = StreamRoom::new(options.send_queue_max);
        if phase == Phase::Open {
            room.tell(); // In the same breath as the connection itself.
        }
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
            room,
            telling_room: false,
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

    /// Takes bytes in, or says why not. The account is the task's own: see [`StreamRoom`].
    pub(super) fn push(&mut self, data: Buffer) -> Result<(), NetworkError> {
        if self.write != Direction::Open {
            self.room.refuse_ended(data.len());
            return Err(NetworkError::Ended);
        }
        self.room.take(data.len())?;
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
        self.room.leave(count);
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
        let count = self.room.queued();
        self.room.leave(count);
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferPool;
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
}
