//! The account of a stream's room: what its task believes to be free, and what is.

use crate::net::NetworkError;

/// The account of a stream's room, as drivers keep it, so that all keep the same promises: whoever
/// writes no more than it was told of is never refused; once a write is refused, so are all that
/// follow until the task is told of room again, which comes behind the refusal. So what was taken
/// is always the beginning of what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRoom {
    max: usize,
    /// What the task was told, less what it has written since.
    told: usize,
    /// Bytes that wait.
    queued: usize,
    refused_full: usize,
    refused_ended: usize,
}

impl StreamRoom {
    /// Room for `max` bytes (at least one), of which no task was told yet.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            max: if max == 0 { 1 } else { max },
            told: 0,
            queued: 0,
            refused_full: 0,
            refused_ended: 0,
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Takes so many bytes, or notes that they were refused.
    ///
    /// # Errors
    ///
    /// [`NetworkError::QueueFull`] if the task was not told of so much room.
    pub const fn take(&mut self, len: usize) -> Result<(), NetworkError> {
        if len > self.told {
            self.told = 0;
            self.refused_full += len;
            return Err(NetworkError::QueueFull);
        }
        self.told -= len;
        self.queued += len;
        Ok(())
    }

    /// Notes that bytes behind the end were refused.
    pub const fn refuse_ended(&mut self, len: usize) {
        self.refused_ended += len;
    }

    /// So many bytes wait no longer.
    pub const fn leave(&mut self, len: usize) {
        self.queued -= len;
    }

    /// Whether writes were refused of which the task does not know.
    #[must_use]
    pub const fn has_refused(&self) -> bool {
        self.refused_full > 0 || self.refused_ended > 0
    }

    /// Bytes that were refused, and why, of which the task is told now.
    pub const fn take_refused(&mut self) -> Option<(usize, NetworkError)> {
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

    /// Whether the task is to be told of room: it knows of less than half, half is free, and it
    /// knows of all that was refused.
    #[must_use]
    pub const fn should_tell(&self) -> bool {
        let half = self.max / 2;
        let wanted = if half == 0 { 1 } else { half };
        let knows_of_little = self.told < half || self.told == 0;
        knows_of_little && !self.has_refused() && self.max - self.queued >= wanted
    }

    /// The room that the task is told of now.
    pub const fn tell(&mut self) -> usize {
        self.told = self.max - self.queued;
        self.told
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_behind_a_refused_write_is_refused_until_room_is_told() {
        let mut room = StreamRoom::new(10);
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

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize),
        WriteBehindTheEnd(usize),
        Leave(usize),
        TellRefused,
        TellRoom,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..40usize).prop_map(Step::Write),
            1 => (1..40usize).prop_map(Step::WriteBehindTheEnd),
            4 => (1..40usize).prop_map(Step::Leave),
            4 => Just(Step::TellRefused),
            4 => Just(Step::TellRoom),
        ]
    }

    proptest! {
        /// Whoever writes no more than it was told of is never refused, the queue is never longer
        /// than its bound, each refused byte is told of once and before there is said to be room
        /// again, and a task without room is told of some once the queue is empty.
        #[test]
        fn what_was_told_is_there(max in 1..64usize, steps in prop::collection::vec(step(), 0..200)) {
            let mut room = StreamRoom::new(max);
            let (mut believed, mut refuses, mut untold) = (room.tell(), false, 0);
            for step in steps {
                match step {
                    Step::Write(len) => {
                        let taken = room.take(len);
                        prop_assert_eq!(taken.is_ok(), !refuses && len <= believed);
                        if taken.is_ok() {
                            believed -= len;
                        } else {
                            (refuses, believed, untold) = (true, 0, untold + len);
                        }
                    }
                    Step::WriteBehindTheEnd(len) => {
                        room.refuse_ended(len);
                        untold += len;
                    }
                    Step::Leave(len) => room.leave(len.min(room.queued())),
                    Step::TellRefused => while let Some((bytes, _)) = room.take_refused() {
                        untold -= bytes;
                    }
                    Step::TellRoom => if room.should_tell() {
                        prop_assert_eq!(untold, 0);
                        (believed, refuses) = (room.tell(), false);
                        prop_assert!(believed > 0);
                    }
                }
                prop_assert_eq!(room.has_refused(), untold > 0);
                prop_assert!(room.queued() <= max);
            }
            while room.take_refused().is_some() {}
            room.leave(room.queued());
            prop_assert!(believed >= (max / 2).max(1) || room.should_tell());
        }
    }
}
