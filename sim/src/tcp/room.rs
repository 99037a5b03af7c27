//! The account of a stream's room: what its task believes to be free, and what is.
//!
//! It keeps the promises of [`stillpoint::TcpOptions::send_queue_max`], as the socket backends do:
//! whoever writes no more than it was told of is never refused; once a write is refused, so are all
//! that follow until the task is told of room again.

use stillpoint::NetworkError;

#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    /// What the task was told, less what it has written since.
    told: usize,
    /// Bytes that wait.
    queued: usize,
    refused_full: usize,
    refused_ended: usize,
}

impl Room {
    /// Room of which no task was told yet.
    pub(super) const fn new(max: usize) -> Self {
        let max = if max == 0 { 1 } else { max };
        Self {
            max,
            told: 0,
            queued: 0,
            refused_full: 0,
            refused_ended: 0,
        }
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Takes so many bytes, or says that there is no room.
    pub(super) const fn take(&mut self, len: usize) -> Result<(), NetworkError> {
        if len > self.told {
            self.told = 0;
            self.refused_full += len;
            return Err(NetworkError::QueueFull);
        }
        self.told -= len;
        self.queued += len;
        Ok(())
    }

    /// Refuses bytes behind the end.
    pub(super) const fn refuse_ended(&mut self, len: usize) {
        self.refused_ended += len;
    }

    /// So many bytes wait no longer.
    pub(super) const fn leave(&mut self, len: usize) {
        self.queued -= len;
    }

    /// Whether writes were refused of which the task does not know.
    pub(super) const fn has_refused(&self) -> bool {
        self.refused_full > 0 || self.refused_ended > 0
    }

    /// Bytes that were refused, and why, of which the task is told now.
    pub(super) const fn take_refused(&mut self) -> Option<(usize, NetworkError)> {
        if self.refused_full > 0 {
            let bytes = core::mem::replace(&mut self.refused_full, 0);
            Some((bytes, NetworkError::QueueFull))
        } else if self.refused_ended > 0 {
            let bytes = core::mem::replace(&mut self.refused_ended, 0);
            Some((bytes, NetworkError::Ended))
        } else {
            None
        }
    }

    /// Whether the task is to be told of room: it knows of less than half, and half is free.
    pub(super) const fn should_tell(&self) -> bool {
        let half = self.max / 2;
        let wanted = if half == 0 { 1 } else { half };
        (self.told < half || self.told == 0) && self.max - self.queued >= wanted
    }

    /// The room that the task is told of now.
    pub(super) const fn tell(&mut self) -> usize {
        self.told = self.max - self.queued;
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_behind_a_refused_write_is_refused_until_room_is_told() {
        let mut room = Room::new(10);
        assert_eq!(room.tell(), 10);
        assert_eq!(room.take(11), Err(NetworkError::QueueFull));
        assert_eq!(room.take(1), Err(NetworkError::QueueFull));
        assert_eq!(room.take_refused(), Some((12, NetworkError::QueueFull)));
        assert!(room.should_tell());
        assert_eq!(room.tell(), 10);
        assert_eq!(room.take(10), Ok(()));
        room.leave(4);
        assert!(!room.should_tell(), "less than half is free");
        room.leave(1);
        assert!(room.should_tell());
    }
}
