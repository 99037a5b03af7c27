//! What people say, and ask for.

use stillpoint::{NoRoom, StreamId, Timestamp};

use super::super::allowance::Verdict;
use super::super::lines::{Heard, LineReader};
use super::super::person::Echo;
use super::super::wish::Wish;
use super::super::{ChatApp, Name, Said};
use super::Door;

impl<A: ChatApp> Door<A> {
    pub(super) fn received(&mut self, now: Timestamp, stream: StreamId, mut data: &[u8]) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        person.heard_at = now;
        // Taken out, so that what it gives can be acted upon.
        let mut reader = core::mem::take(&mut person.reader);
        while let Some(heard) = reader.next(&mut data) {
            self.heard(now, stream, &heard);
        }
        if let Some(person) = self.people.get_mut(&stream) {
            person.reader = reader;
        }
    }

    /// The person has ended the other direction: what was said counts, and then it is over.
    pub(super) fn read_ended(&mut self, now: Timestamp, stream: StreamId) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        let mut reader = core::mem::take(&mut person.reader);
        if let Some(heard) = reader.rest() {
            self.heard(now, stream, &heard);
        }
        self.dismiss(now, stream, &[b"* bye\n"]);
    }

    fn heard(&mut self, now: Timestamp, stream: StreamId, heard: &Heard<'_>) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        if person.is_leaving() || *heard == Heard::Line(b"") {
            return;
        }
        match person.allowance.take(now) {
            Verdict::Allowed => {}
            Verdict::FirstTooMany => {
                self.stats.too_fast += 1;
                return self.tell(now, stream, &[TOO_FAST]);
            }
            Verdict::TooMany => {
                self.stats.too_fast += 1;
                return;
            }
        }
        match heard {
            Heard::Line(line) => self.wish(now, stream, line),
            Heard::TooLong => {
                self.stats.too_long += 1;
                let max = LineReader::LINE_BYTES_MAX.to_string();
                let parts: [&[u8]; 3] = [
                    b"* too long, not said: lines have up to ",
                    max.as_bytes(),
                    b" bytes\n",
                ];
                self.tell(now, stream, &parts);
            }
        }
    }

    fn wish(&mut self, now: Timestamp, stream: StreamId, line: &[u8]) {
        match Wish::of(line) {
            Wish::Say(line) => self.say(now, stream, line),
            Wish::Nick(nick) => self.rename(now, stream, nick),
            Wish::Join(room) => self.join(now, stream, room),
            Wish::Who => self.who(now, stream),
            Wish::Echo => self.turn_echo(now, stream),
            Wish::Help => self.tell(now, stream, &[HELP]),
            Wish::Quit => self.dismiss(now, stream, &[b"* bye\n"]),
            Wish::BadName => self.tell(now, stream, &[BAD_NAME]),
            Wish::Unknown => self.tell(
                now,
                stream,
                &[b"* no such command: /help says which there are\n"],
            ),
        }
    }

    /// Publishes a line. Without room on the bus it comes back, and the person is told.
    fn say(&mut self, now: Timestamp, stream: StreamId, line: &[u8]) {
        let Some((nick, Some(room))) = self
            .people
            .get(&stream)
            .map(|person| (person.nick, person.room))
        else {
            return self.tell(now, stream, &[NO_ROOM]);
        };
        let mut text = self.text(&[nick.as_bytes(), b": ", line, b"\n"]);
        let len = text.len();
        // Nobody is to move the cursor of somebody else's terminal.
        for byte in &mut text.make_mut()[..len - 1] {
            if byte.is_ascii_control() && *byte != b'\t' {
                *byte = b'?';
            }
        }
        self.stats.said += 1;
        self.outbox
            .publish(room, Said::Line { by: stream, text }, NoRoom::Wait);
    }

    fn rename(&mut self, now: Timestamp, stream: StreamId, nick: Name) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        let before = core::mem::replace(&mut person.nick, nick);
        let room = person.room;
        self.tell(now, stream, &[b"* you are ", nick.as_bytes(), b"\n"]);
        if let Some(room) = room {
            let parts: [&[u8]; 5] = [
                b"* ",
                before.as_bytes(),
                b" is now ",
                nick.as_bytes(),
                b"\n",
            ];
            self.notice(room, stream, &parts);
        }
    }

    fn turn_echo(&mut self, now: Timestamp, stream: StreamId) {
        let Some(person) = self.people.get_mut(&stream) else {
            return;
        };
        let (echo, text): (_, &[u8]) = match person.echo {
            Echo::Off => (Echo::On, b"* what you say comes back\n"),
            Echo::On => (Echo::Off, b"* what you say does not come back\n"),
        };
        person.echo = echo;
        self.tell(now, stream, &[text]);
    }

    fn who(&mut self, now: Timestamp, stream: StreamId) {
        match self.people.get(&stream).and_then(|person| person.room) {
            Some(room) => {
                self.outbox
                    .publish(room, Said::Who { asker: stream }, NoRoom::Wait);
            }
            None => self.tell(now, stream, &[NO_ROOM]),
        }
    }
}

const HELP: &[u8] = b"\
* what does not begin with / is said to your room
* /nick NAME  /join ROOM  /who  /echo  /quit  /help
* names have up to 16 letters, digits, - and _; // at the beginning says a line with /
* up to 5 lines a second, 10 at once, of up to 1024 bytes
";

const NO_ROOM: &[u8] = b"* you are in no room: /join ROOM\n";

const BAD_NAME: &[u8] = b"* names have 1 to 16 letters, digits, - and _\n";

const TOO_FAST: &[u8] = b"* too fast: lines are not said until you pause\n";
