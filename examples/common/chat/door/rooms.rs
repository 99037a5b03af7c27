//! Rooms, as one door sees them: who of its people is where, and what comes over the bus.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint::{BusCommand, BusEvent, Destination, NoRoom, StreamId, TaskId, Timestamp};

use super::super::person::{Echo, Given};
use super::super::{ChatApp, Name, Said};
use super::Door;

/// The rooms that a door's people are in; it has subscribed to each.
pub(super) type Rooms = BTreeMap<Name, Room>;

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    members: BTreeSet<StreamId>,
    reach: Reach,
}

/// Whether all workers know of the subscription.
#[derive(Debug)]
enum Reach {
    /// Not yet; these are to be told once they do.
    Underway(Vec<StreamId>),
    Everywhere,
}

impl<A: ChatApp> Door<A> {
    pub(super) fn handle_bus(&mut self, now: Timestamp, event: BusEvent<Name, Said>) {
        match event {
            BusEvent::Message {
                from, to, message, ..
            } => self.told(now, from, to, message),
            BusEvent::Subscribed(room) => self.reaches_everywhere(now, room),
            BusEvent::TooManySubscriptions { channel, .. } => {
                for stream in self.members(channel) {
                    self.leave_room(stream);
                    self.tell(now, stream, &[b"* there are too many rooms\n"]);
                }
            }
            // The bus gives it back: better said to who has said it than to some and not to others.
            BusEvent::NoRoom { command, .. } => self.came_back(now, command),
            _ => {}
        }
    }

    fn told(&mut self, now: Timestamp, from: Option<TaskId>, to: Destination<Name>, message: Said) {
        match (to, message) {
            (Destination::Channel(room), Said::Line { by, text }) => {
                for stream in self.members(room) {
                    let person = self.people.get(&stream);
                    if stream == by && person.is_none_or(|person| person.echo == Echo::Off) {
                        continue;
                    }
                    match self.write(now, stream, text.clone()) {
                        Given::Yes => self.stats.heard += 1,
                        Given::Missed => self.stats.missed += 1,
                        Given::Leaving => {}
                    }
                }
            }
            (Destination::Channel(room), Said::Notice { about, text }) => {
                for stream in self.members(room) {
                    if stream != about {
                        self.give(now, stream, text.clone());
                    }
                }
            }
            (Destination::Channel(room), Said::Who { asker }) => {
                if let Some(door) = from {
                    self.answer_who(room, asker, door);
                }
            }
            (_, Said::Here { asker, text }) => self.give(now, asker, text),
            (_, Said::Line { .. } | Said::Notice { .. } | Said::Who { .. }) => {}
        }
    }

    fn came_back(&mut self, now: Timestamp, command: BusCommand<Name, Said>) {
        let BusCommand::Send { message, .. } = command else {
            return;
        };
        match message {
            Said::Line { by, .. } => {
                self.stats.said -= 1;
                self.stats.unsaid += 1;
                self.tell(now, by, &[b"* not said: too much is being said\n"]);
            }
            Said::Who { asker } => {
                self.tell(now, asker, &[b"* too much is being said; ask again\n"])
            }
            Said::Notice { .. } | Said::Here { .. } => {}
        }
    }

    /// Puts a person into a room, and out of the one before.
    pub(super) fn join(&mut self, now: Timestamp, stream: StreamId, name: Name) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        if person.room == Some(name) {
            return self.tell(now, stream, &[b"* you are in ", name.as_bytes(), b"\n"]);
        }
        self.leave_room(stream);
        if let Some(person) = self.people.get_mut(&stream) {
            person.room = Some(name);
        }
        let outbox = &mut self.outbox;
        let room = self.rooms.entry(name).or_insert_with(|| {
            outbox.subscribe(name);
            Room {
                members: BTreeSet::new(),
                reach: Reach::Underway(Vec::new()),
            }
        });
        room.members.insert(stream);
        match &mut room.reach {
            Reach::Underway(newcomers) => newcomers.push(stream),
            Reach::Everywhere => self.welcome(now, stream, name),
        }
        // Before anything that it may say at once, also while others are yet to know of the room.
        if let Some(person) = self.people.get(&stream) {
            let nick = person.nick;
            self.notice(name, stream, &[b"* ", nick.as_bytes(), b" joined\n"]);
        }
    }

    /// What is said in a room from now on, by whomever, reaches our people.
    fn reaches_everywhere(&mut self, now: Timestamp, name: Name) {
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        if let Reach::Underway(newcomers) = core::mem::replace(&mut room.reach, Reach::Everywhere) {
            for stream in newcomers {
                self.welcome(now, stream, name);
            }
        }
    }

    fn welcome(&mut self, now: Timestamp, stream: StreamId, room: Name) {
        self.tell(now, stream, &[b"* you are in ", room.as_bytes(), b"\n"]);
    }

    /// Takes a person out of its room, if it is in one.
    pub(super) fn leave_room(&mut self, stream: StreamId) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        let (nick, Some(name)) = (person.nick, person.room.take()) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        room.members.remove(&stream);
        if let Reach::Underway(newcomers) = &mut room.reach {
            newcomers.retain(|&newcomer| newcomer != stream);
        }
        if room.members.is_empty() {
            self.rooms.remove(&name);
            self.outbox.unsubscribe(name);
        }
        self.notice(name, stream, &[b"* ", nick.as_bytes(), b" left\n"]);
    }

    /// Tells a room about one of its people. It is dropped where there is no room, and counted by
    /// the worker.
    pub(super) fn notice(&mut self, room: Name, about: StreamId, parts: &[&[u8]]) {
        let text = self.text(parts);
        self.outbox
            .publish(room, Said::Notice { about, text }, NoRoom::Drop);
    }

    /// Tells another door, or this one, who of our people is in a room: as many as fit a line.
    fn answer_who(&mut self, room: Name, asker: StreamId, door: TaskId) {
        let members = self.members(room);
        let mut parts: Vec<&[u8]> = vec![b"* here:"];
        let (mut len, mut named) = (0, 0);
        for stream in &members {
            let Some(person) = self.people.get(stream) else {
                continue;
            };
            len += person.nick.as_bytes().len() + 1;
            if len > WHO_BYTES_MAX {
                break;
            }
            named += 1;
            parts.extend([b" ", person.nick.as_bytes()]);
        }
        let more = format!(" and {} more\n", members.len() - named);
        parts.push(if named < members.len() {
            more.as_bytes()
        } else {
            b"\n"
        });
        let text = self.text(&parts);
        self.outbox
            .send_to(door, Said::Here { asker, text }, NoRoom::Drop);
    }

    fn members(&self, room: Name) -> Vec<StreamId> {
        let room = self.rooms.get(&room);
        room.map_or_else(Vec::new, |room| room.members.iter().copied().collect())
    }
}

/// Bytes of names that one door gives in one answer.
const WHO_BYTES_MAX: usize = 900;
