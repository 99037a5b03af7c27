//! Somebody at a door.

use core::time::Duration;

use stillpoint::{App, Buffer, Outbox, StreamId, StreamWriter, Timestamp};

use super::Name;
use super::allowance::Allowance;
use super::lines::LineReader;

/// Somebody at a door, and how it stands with the connection.
pub struct Person {
    writer: StreamWriter,
    pub reader: LineReader,
    pub nick: Name,
    pub room: Option<Name>,
    /// Whether lines come back to who has said them.
    pub echo: Echo,
    pub allowance: Allowance,
    /// What could not be given since there was last room.
    missed: u64,
    stage: Stage,
    /// When the last bytes came.
    pub heard_at: Timestamp,
    /// When the door looks at this person; never later than [`Person::due_at`].
    pub due: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    Off,
    On,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All is well.
    Here,
    /// There has been no room since then.
    Stuck(Timestamp),
    /// Nothing more is said to this person, who has until then to take the last words.
    Leaving(Timestamp),
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Yes,
    /// There was no room, and it is counted.
    Missed,
    /// The person is leaving.
    Leaving,
}

/// Why a person is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing is the matter: look again then.
    Later(Timestamp),
    /// Said nothing for too long.
    Silent,
    /// Took nothing for too long.
    Stuck,
    /// Was to leave and has not.
    Lingers,
}

/// How patient a door is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// With who says nothing.
    pub silent_max: Duration,
    /// With who reads nothing while there is something to read.
    pub stuck_max: Duration,
    /// With who was told to leave.
    pub leaving_max: Duration,
}

impl Person {
    pub fn new(now: Timestamp, writer: StreamWriter, nick: Name) -> Self {
        Self {
            writer,
            reader: LineReader::default(),
            nick,
            room: None,
            echo: Echo::Off,
            allowance: Allowance::new(now),
            missed: 0,
            stage: Stage::Here,
            heard_at: now,
            due: now,
        }
    }

    pub const fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }

    /// Bytes that wait to be written; none ever do.
    pub const fn waiting(&self) -> usize {
        self.writer.waiting() + self.reader.waiting()
    }

    /// Writes a text if there is room. Once something was missed, all is until the person was told.
    pub fn give<A: App>(&mut self, now: Timestamp, text: Buffer, outbox: &mut Outbox<A>) -> Given {
        match self.stage {
            Stage::Leaving(_) => return Given::Leaving,
            Stage::Here if text.len() <= self.writer.room() => {
                self.writer.write(text, outbox);
                return Given::Yes;
            }
            Stage::Here => self.stage = Stage::Stuck(now),
            Stage::Stuck(_) => {}
        }
        self.missed += 1;
        Given::Missed
    }

    /// There is room again: half of the queue, at least.
    pub fn handle_writable<A: App>(&mut self, room: usize, outbox: &mut Outbox<A>) {
        self.writer.handle_writable(room, outbox);
        if let Stage::Stuck(_) = self.stage {
            let text = format!("* you missed {} lines\n", self.missed);
            let text = Buffer::copy_from(text.as_bytes());
            if text.len() <= self.writer.room() {
                self.writer.write(text, outbox);
                self.missed = 0;
                self.stage = Stage::Here;
            }
        }
    }

    /// Ends our direction behind what was written, and expects the person to do the same.
    pub fn leave<A: App>(&mut self, until: Timestamp, outbox: &mut Outbox<A>) -> StreamId {
        if !self.is_leaving() {
            self.stage = Stage::Leaving(until);
            self.writer.end(outbox);
        }
        self.writer.stream()
    }

    /// When something is the matter, if nothing happens before.
    pub fn due_at(&self, patience: &Patience) -> Timestamp {
        let silent_at = self.heard_at.after(patience.silent_max);
        match self.stage {
            Stage::Here => silent_at,
            Stage::Stuck(since) => silent_at.min(since.after(patience.stuck_max)),
            Stage::Leaving(until) => until,
        }
    }

    /// What is the matter.
    pub fn look(&self, now: Timestamp, patience: &Patience) -> Due {
        let due_at = self.due_at(patience);
        match self.stage {
            _ if now < due_at => Due::Later(due_at),
            Stage::Leaving(_) => Due::Lingers,
            Stage::Stuck(since) if since.after(patience.stuck_max) <= now => Due::Stuck,
            Stage::Here | Stage::Stuck(_) => Due::Silent,
        }
    }
}
