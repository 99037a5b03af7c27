//! Crowds: tasks that are many people at once, who do what they are told and note what they read.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use stillpoint::{
    Context, Deadline, Input, NetworkEvent, Outbox, Output, Reading, StreamId, StreamWriter, Task,
    TcpConnect, TcpOptions, Timestamp, Token, TransmitBuffer,
};

use super::lab::Lab;

/// A crowd to be.
#[derive(Debug, Clone)]
pub struct CrowdConfig {
    /// Its number, which is in the names of its people.
    pub crowd: u8,
    pub server: SocketAddr,
    pub people: usize,
    /// Rooms that people choose from; 0: they join none by themselves.
    pub rooms: u64,
    /// Buffers of their systems, in bytes.
    pub buffers: u32,
}

/// What a crowd is told.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Send these bytes.
    Send { person: usize, bytes: Vec<u8> },
    /// All say so many lines, each at some time within this one.
    Talk { lines: u32, within: Duration },
    /// Take what comes, or do not.
    Read { person: usize, reading: Reading },
    /// End our direction.
    End { person: usize },
    /// Break off.
    Reset { person: usize },
    /// All leave, in one of these three ways.
    Leave,
    /// All break off at once.
    Storm,
}

pub struct Crowd {
    config: CrowdConfig,
    context: Option<Context>,
    pub people: Vec<Person>,
    /// Who is at the other end of a stream.
    by_stream: BTreeMap<StreamId, usize>,
    /// Who says something when.
    plans: BTreeSet<(Timestamp, usize, u32)>,
    outbox: Outbox<Lab>,
}

/// One of the crowd.
#[derive(Default)]
pub struct Person {
    pub name: String,
    pub room: String,
    writer: Option<StreamWriter>,
    pub stage: Stage,
    partial: Vec<u8>,
    pub said: u32,
    /// How many lines were heard of each, and the number of the last.
    heard_of: BTreeMap<String, (u32, u32)>,
    /// Lines that were heard.
    pub heard: u32,
    /// Lines that were not, as somebody's next one shows.
    pub gaps: u32,
    /// Notices that people joined, left or have another name.
    pub notices: u32,
    /// Lines that the server says were missed.
    pub missed: u32,
    pub too_fast: u32,
    /// Lines that the server says were not said, for the bus had no room.
    pub unsaid: u32,
    /// All that was read, if nobody has joined a room by itself.
    pub transcript: RefCell<Vec<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    #[default]
    Connecting,
    /// Let in, but in no room yet.
    Here,
    InRoom,
    Gone,
}

impl Crowd {
    pub fn new(config: CrowdConfig) -> Self {
        Self {
            config,
            context: None,
            people: Vec::new(),
            by_stream: BTreeMap::new(),
            plans: BTreeSet::new(),
            outbox: Outbox::new(),
        }
    }

    /// Whether all are where they want to be.
    pub fn is_settled(&self) -> bool {
        let aim = if self.config.rooms == 0 {
            Stage::Here
        } else {
            Stage::InRoom
        };
        let there = |person: &Person| person.stage == aim || person.stage == Stage::Gone;
        self.people.len() == self.config.people && self.people.iter().all(there)
    }

    /// Whether all have said what they want to say.
    pub fn has_spoken(&self) -> bool {
        self.plans.is_empty()
    }

    pub fn is_gone(&self) -> bool {
        self.people.iter().all(|person| person.stage == Stage::Gone)
    }

    fn start(&mut self, mut context: Context) {
        for number in 0..self.config.people {
            let room = match self.config.rooms {
                0 => 0,
                rooms => context.random.below(rooms),
            };
            self.people.push(Person {
                name: format!("c{}p{number}", self.config.crowd),
                room: format!("r{room}"),
                ..Person::default()
            });
            let buffers = self.config.buffers;
            let options = TcpOptions::new().with_buffers(buffers, buffers);
            let connect = TcpConnect::new(Token(number as u64), self.config.server);
            self.outbox.connect(connect.with_options(options));
        }
        self.context = Some(context);
    }

    fn handle_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected {
                stream,
                token,
                room,
                ..
            } => {
                let number = usize::try_from(token.0).expect("a person");
                self.by_stream.insert(stream, number);
                let person = &mut self.people[number];
                person.writer = Some(StreamWriter::new(stream, room));
                if self.config.rooms > 0 {
                    let text = format!("/nick {}\n/join {}\n", person.name, person.room);
                    self.send(number, text.as_bytes());
                }
            }
            NetworkEvent::ConnectFailed { token, error, .. } => {
                panic!("{token:?} of crowd {}: {error}", self.config.crowd);
            }
            NetworkEvent::Received { stream, data } => {
                let keep = self.config.rooms == 0;
                self.at(stream, |person, _| person.read(&data, keep));
            }
            NetworkEvent::Writable { stream, room } => self.at(stream, |person, outbox| {
                if let Some(writer) = &mut person.writer {
                    writer.handle_writable(room, outbox);
                }
            }),
            NetworkEvent::ReadEnded { stream } => self.at(stream, Person::end),
            NetworkEvent::StreamClosed { stream, .. } => {
                self.at(stream, |person, _| {
                    person.stage = Stage::Gone;
                    person.writer = None;
                });
                self.by_stream.remove(&stream);
            }
            _ => {}
        }
    }

    fn at(&mut self, stream: StreamId, act: impl FnOnce(&mut Person, &mut Outbox<Lab>)) {
        if let Some(&number) = self.by_stream.get(&stream) {
            act(&mut self.people[number], &mut self.outbox);
        }
    }

    fn send(&mut self, number: usize, bytes: &[u8]) {
        let context = self.context.as_ref().expect("started");
        let data = context.buffers.copy_from(bytes);
        if let Some(writer) = &mut self.people[number].writer {
            writer.write(data, &mut self.outbox);
        }
    }

    fn reset(&mut self, number: usize) {
        let person = &mut self.people[number];
        if let Some(writer) = person.writer.take() {
            self.by_stream.remove(&writer.stream());
            self.outbox.reset(writer.stream());
        }
        person.stage = Stage::Gone;
    }

    fn ask(&mut self, now: Timestamp, ask: Ask) {
        match ask {
            Ask::Send { person, bytes } => self.send(person, &bytes),
            Ask::Talk { lines, within } => {
                let context = self.context.as_mut().expect("started");
                for person in 0..self.people.len() {
                    for line in 0..lines {
                        let pause = context.random.duration(Duration::ZERO..=within);
                        self.plans.insert((now.after(pause), person, line));
                    }
                }
            }
            Ask::Read { person, reading } => {
                if let Some(writer) = &self.people[person].writer {
                    self.outbox.set_reading(writer.stream(), reading);
                }
            }
            Ask::End { person } => self.people[person].end(&mut self.outbox),
            Ask::Reset { person } => self.reset(person),
            Ask::Storm => (0..self.people.len()).for_each(|number| self.reset(number)),
            Ask::Leave => {
                for number in 0..self.people.len() {
                    match number % 3 {
                        0 => self.reset(number),
                        1 => self.people[number].end(&mut self.outbox),
                        _ => self.send(number, b"/quit\n"),
                    }
                }
            }
        }
    }

    fn talk(&mut self, now: Timestamp) {
        while let Some(&(at, number, _)) = self.plans.first()
            && at <= now
        {
            self.plans.pop_first();
            let person = &mut self.people[number];
            if person.writer.is_some() {
                person.said += 1;
                let line = format!("{} says the person called {}\n", person.said, person.name);
                self.send(number, line.as_bytes());
            }
        }
    }
}

impl Person {
    /// How many lines were heard of somebody.
    pub fn heard_from(&self, speaker: &str) -> u32 {
        self.heard_of.get(speaker).map_or(0, |&(count, _)| count)
    }

    /// Ends our direction, behind what was said.
    fn end(&mut self, outbox: &mut Outbox<Lab>) {
        if let Some(writer) = &mut self.writer {
            writer.end(outbox);
        }
    }

    fn read(&mut self, mut data: &[u8], keep: bool) {
        while let Some(at) = data.iter().position(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(&data[..at]);
            data = &data[at + 1..];
            let line = core::mem::take(&mut self.partial);
            self.note(&String::from_utf8_lossy(&line));
            if keep {
                self.transcript.get_mut().push(line);
            }
        }
        self.partial.extend_from_slice(data);
    }

    fn note(&mut self, line: &str) {
        if let Some(notice) = line.strip_prefix("* ") {
            return self.note_notice(notice);
        }
        let Some((speaker, line)) = line.split_once(": ") else {
            panic!("`{line}` is neither a notice nor a line");
        };
        let Some((Ok(number), _)) = line
            .split_once(' ')
            .map(|(first, rest)| (first.parse(), rest))
        else {
            return; // Not one of those that are counted.
        };
        let number: u32 = number;
        let (count, before) = self.heard_of.entry(speaker.to_owned()).or_default();
        let name = &self.name;
        assert!(
            number > *before,
            "{name}: {speaker}'s line {number} after {before}"
        );
        self.gaps += number - *before - 1;
        (*count, *before) = (*count + 1, number);
        self.heard += 1;
    }

    fn note_notice(&mut self, notice: &str) {
        let words: Vec<&str> = notice.split(' ').collect();
        match words[..] {
            ["welcome,", ..] => self.stage = Stage::Here,
            ["you", "are", "in", room] if room == self.room => self.stage = Stage::InRoom,
            ["you", "missed", count, _] => self.missed += count.parse::<u32>().expect("a count"),
            ["too", "fast:", ..] => self.too_fast += 1,
            ["not", "said:", ..] => self.unsaid += 1,
            [_, "joined" | "left"] | [_, "is", "now", _] => self.notices += 1,
            _ => {}
        }
    }
}

impl Task for Crowd {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        match input {
            Input::Network(event) => self.handle_event(event),
            Input::Started(context) => self.start(context),
            Input::Command(ask) => self.ask(now, ask),
            Input::Timeout => self.talk(now),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let &(at, ..) = self.plans.first()?;
        Some(Deadline::new(at, "something to say"))
    }
}
