//! The door of one worker: listens, and owns the connections of those who came in by it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use stillpoint::{
    Buffer, Context, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, StreamId,
    StreamWriter, Task, TcpListen, Timestamp, TransmitBuffer,
};

use super::person::{Due, Given, Patience, Person};
use super::stats::Stats;
use super::{ChatApp, Name, Report};

mod hear;
mod rooms;

use rooms::Rooms;

/// What a door is like.
#[derive(Debug, Clone, Copy)]
pub struct DoorConfig {
    /// How it listens, and how long the queues of its streams are: at least
    /// [`DoorConfig::QUEUE_BYTES_MIN`].
    pub listen: TcpListen,
    /// People who may be there at a time, at most [`DoorConfig::PEOPLE_MOST`].
    pub people_max: usize,
    pub patience: Patience,
}

impl DoorConfig {
    /// Whoever is in a room may have to be told something in one turn, and a task may give 10,000
    /// outputs in one.
    pub const PEOPLE_MOST: usize = 9_000;
    /// Half of it holds any line: so there is always room for it when there is room again.
    pub const QUEUE_BYTES_MIN: usize = 4_096;

    /// A door for as many people as there may be. Who says nothing for an hour has to leave, and so
    /// has who reads nothing for a minute.
    pub const fn new(listen: TcpListen) -> Self {
        Self {
            listen,
            people_max: Self::PEOPLE_MOST,
            patience: Patience {
                silent_max: Duration::from_secs(3_600),
                stuck_max: Duration::from_secs(60),
                leaving_max: Duration::from_secs(5),
            },
        }
    }
}

/// Listens, and owns the connections of those who came in.
pub struct Door<A: ChatApp> {
    config: DoorConfig,
    context: Option<Context>,
    people: BTreeMap<StreamId, Person>,
    rooms: Rooms,
    /// When each person is looked at.
    dues: BTreeSet<(Timestamp, StreamId)>,
    /// The next look is not before then: what was due then was too much for one turn.
    rests_until: Timestamp,
    stats: Stats,
    outbox: Outbox<A>,
}

impl<A: ChatApp> Door<A> {
    /// # Panics
    ///
    /// If it is for more people, or with shorter queues, than can be.
    pub fn new(config: DoorConfig) -> Self {
        let queue = config.listen.options.send_queue_max;
        assert!(config.people_max <= DoorConfig::PEOPLE_MOST);
        assert!(queue >= DoorConfig::QUEUE_BYTES_MIN, "{queue} bytes");
        Self {
            config,
            context: None,
            people: BTreeMap::new(),
            rooms: Rooms::default(),
            dues: BTreeSet::new(),
            rests_until: Timestamp::EPOCH,
            stats: Stats::default(),
            outbox: Outbox::new(),
        }
    }

    /// What it has counted so far.
    pub fn stats(&self) -> Stats {
        Stats {
            open: self.people.len() as u64,
            ..self.stats
        }
    }

    /// Rooms that it has subscribed to.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Bytes that it keeps for people, besides what their streams keep.
    pub fn kept_bytes(&self) -> usize {
        self.people.values().map(Person::waiting).sum()
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::Received { stream, data } => self.received(now, stream, &data),
            NetworkEvent::Writable { stream, room } => {
                if let Some(person) = self.people.get_mut(&stream) {
                    person.handle_writable(room, &mut self.outbox);
                }
            }
            NetworkEvent::Accepted { stream, room, .. } => self.accepted(now, stream, room),
            NetworkEvent::ReadEnded { stream } => self.read_ended(now, stream),
            NetworkEvent::StreamClosed { stream, error, .. } => {
                match error {
                    None => {}
                    Some(NetworkError::ConnectionReset) => self.stats.resets += 1,
                    Some(_) => self.stats.failed += 1,
                }
                self.forget(stream);
            }
            NetworkEvent::WriteFailed { .. } => self.stats.writes_refused += 1,
            NetworkEvent::Listening { local, .. } => self.outbox.report(Report::Listening(local)),
            NetworkEvent::ListenFailed { bind, error, .. } => {
                self.outbox.report(Report::ListenFailed { bind, error });
                self.outbox.finish();
            }
            // A connection that could not be taken in waits, and is counted by the worker.
            _ => {}
        }
    }

    fn accepted(&mut self, now: Timestamp, stream: StreamId, room: usize) {
        let mut writer = StreamWriter::new(stream, room);
        if self.people.len() >= self.config.people_max {
            self.stats.turned_away += 1;
            let sorry = self.text(&[b"* too many people are here; come back later\n"]);
            writer.write(sorry, &mut self.outbox);
            // What was written is still sent.
            return self.outbox.close(stream);
        }
        let worker = self.context.as_ref().map_or(0, Context::worker);
        let nick = format!("guest-{worker}-{}", self.stats.welcomed % 100_000);
        let nick = Name::new(nick.as_bytes()).expect("a short name");
        self.stats.welcomed += 1;
        self.people.insert(stream, Person::new(now, writer, nick));
        self.stats.open_most = self.stats.open_most.max(self.people.len() as u64);
        self.look_in_time(stream);
        let parts: [&[u8]; 3] = [
            b"* welcome, ",
            nick.as_bytes(),
            b": /join ROOM and talk; /help says more\n",
        ];
        self.tell(now, stream, &parts);
    }

    /// A text of these parts.
    fn text(&self, parts: &[&[u8]]) -> Buffer {
        let len = parts.iter().map(|part| part.len()).sum();
        let context = self.context.as_ref();
        let mut text = context.map_or_else(Buffer::empty, |context| context.buffers.take(len));
        for part in parts {
            text.push_back(part);
        }
        text
    }

    /// Tells one person something.
    fn tell(&mut self, now: Timestamp, stream: StreamId, parts: &[&[u8]]) {
        let text = self.text(parts);
        self.give(now, stream, text);
    }

    /// Gives one person a text that is not a line.
    fn give(&mut self, now: Timestamp, stream: StreamId, text: Buffer) {
        if self.write(now, stream, text) == Given::Missed {
            self.stats.untold += 1;
        }
    }

    fn write(&mut self, now: Timestamp, stream: StreamId, text: Buffer) -> Given {
        let Some(person) = self.people.get_mut(&stream) else {
            return Given::Leaving;
        };
        let given = person.give(now, text, &mut self.outbox);
        if given == Given::Missed {
            self.look_in_time(stream);
        }
        given
    }

    /// Says goodbye: nothing comes from or goes to this person any more.
    fn dismiss(&mut self, now: Timestamp, stream: StreamId, parts: &[&[u8]]) {
        self.leave_room(stream);
        self.tell(now, stream, parts);
        let until = now.after(self.config.patience.leaving_max);
        if let Some(person) = self.people.get_mut(&stream) {
            person.leave(until, &mut self.outbox);
            self.look_in_time(stream);
        }
    }

    /// The connection is no more.
    fn forget(&mut self, stream: StreamId) {
        self.leave_room(stream);
        if let Some(person) = self.people.remove(&stream) {
            self.dues.remove(&(person.due, stream));
        }
    }

    /// Sees to it that a person is looked at in time.
    fn look_in_time(&mut self, stream: StreamId) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        let due_at = person.due_at(&self.config.patience);
        if self.dues.contains(&(person.due, stream)) {
            if person.due <= due_at {
                return; // Looked at early enough, and then again.
            }
            self.dues.remove(&(person.due, stream));
        }
        person.due = due_at;
        self.dues.insert((due_at, stream));
    }

    /// Looks at those whose time has come, a bounded number of them.
    fn look_round(&mut self, now: Timestamp) {
        for _ in 0..LOOKS_MAX {
            let Some(&(due, stream)) = self.dues.first() else {
                return;
            };
            if due > now {
                return;
            }
            self.dues.pop_first();
            let Some(person) = self.people.get_mut(&stream) else {
                continue;
            };
            match person.look(now, &self.config.patience) {
                Due::Later(at) => {
                    person.due = at;
                    self.dues.insert((at, stream));
                }
                Due::Silent => {
                    self.stats.silent += 1;
                    self.dismiss(now, stream, &[b"* you said nothing for too long: bye\n"]);
                }
                Due::Stuck => {
                    self.stats.stuck += 1;
                    self.outbox.reset(stream);
                    self.forget(stream);
                }
                Due::Lingers => {
                    self.outbox.reset(stream);
                    self.forget(stream);
                }
            }
        }
        self.rests_until = now.after(REST);
    }

    fn close(&mut self, now: Timestamp) {
        let bye = self.text(&[b"* the chat closes: bye\n"]);
        let people: Vec<StreamId> = self.people.keys().copied().collect();
        for stream in people {
            self.give(now, stream, bye.clone());
        }
        self.outbox.report(Report::Stopped(Box::new(self.stats())));
        // With the task its streams are closed, behind what was written.
        self.outbox.finish();
    }
}

impl<A: ChatApp> Task for Door<A> {
    type App = A;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Network(event) => self.handle_event(now, event),
            Input::Bus(event) => self.handle_bus(now, event),
            Input::Timeout => self.look_round(now),
            Input::Started(context) => {
                self.context = Some(context);
                self.outbox.listen(self.config.listen);
            }
            Input::Shutdown => self.close(now),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<A>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let &(due, _) = self.dues.first()?;
        Some(Deadline::new(due.max(self.rests_until), "a look at people"))
    }
}

/// People looked at in one turn: each may cost some outputs.
const LOOKS_MAX: usize = 1_000;

/// How long a look round rests when more is to be done.
const REST: Duration = Duration::from_millis(1);
