//! Guests of the chat: people who come again whenever they are thrown out, talk all the time, and
//! note when they last heard of each other.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use stillpoint::{
    Context, Deadline, Input, Keepalive, NetworkEvent, Outbox, Output, StreamId, StreamWriter,
    Task, TcpConnect, TcpOptions, Timestamp, Token, TransmitBuffer,
};

use super::lab::Lab;

/// A guest to be.
#[derive(Debug, Clone)]
pub struct GuestConfig {
    /// Which guest it is.
    pub number: u64,
    /// How often its node has been started before.
    pub life: u64,
    pub server: SocketAddr,
}

pub struct Guest {
    config: GuestConfig,
    context: Option<Context>,
    /// How often it has called.
    calls: u64,
    stage: Stage,
    partial: Vec<u8>,
    said: u32,
    /// By name: the number of the last line heard since it has called. A name is of one connection.
    heard: BTreeMap<String, u32>,
    /// By guest: when it was last heard.
    last_heard: BTreeMap<u64, Timestamp>,
    outbox: Outbox<Lab>,
}

enum Stage {
    Away {
        until: Timestamp,
    },
    Calling,
    Joining {
        writer: StreamWriter,
        until: Timestamp,
    },
    InRoom {
        writer: StreamWriter,
        speaks_at: Timestamp,
    },
}

impl Guest {
    pub fn new(config: GuestConfig) -> Self {
        Self {
            config,
            context: None,
            calls: 0,
            stage: Stage::Calling,
            partial: Vec::new(),
            said: 0,
            heard: BTreeMap::new(),
            last_heard: BTreeMap::new(),
            outbox: Outbox::new(),
        }
    }

    /// Whether it has heard each of the other `guests` since then.
    pub fn has_heard_all(&self, guests: u64, since: Timestamp) -> bool {
        let others = (0..guests).filter(|&guest| guest != self.config.number);
        let heard = |guest| self.last_heard.get(&guest).is_some_and(|&at| at > since);
        matches!(self.stage, Stage::InRoom { .. }) && others.into_iter().all(heard)
    }

    fn call(&mut self) {
        self.calls += 1;
        self.stage = Stage::Calling;
        // A door may hear of a line late: then it reaches who has called again by another door twice.
        self.heard.clear();
        self.partial.clear();
        self.said = 0;
        let keepalive = Keepalive::new(Duration::from_secs(4), Duration::from_secs(1), 3);
        let options = TcpOptions::new().with_keepalive(keepalive);
        let connect = TcpConnect::new(Token(self.calls), self.config.server);
        let connect = connect.with_timeout(Duration::from_secs(5));
        self.outbox.connect(connect.with_options(options));
    }

    fn leave(&mut self, now: Timestamp) {
        let context = self.context.as_mut().expect("started");
        let pause = context.random.duration(PAUSE);
        self.stage = Stage::Away {
            until: now.after(pause),
        };
    }

    fn name(&self) -> String {
        let GuestConfig { number, life, .. } = self.config;
        format!("g{number}-{life}-{}", self.calls)
    }

    /// Whether an event is about the connection that it has.
    fn is_mine(&self, id: StreamId) -> bool {
        match &self.stage {
            Stage::Joining { writer, .. } | Stage::InRoom { writer, .. } => writer.stream() == id,
            Stage::Away { .. } | Stage::Calling => false,
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected { stream, room, .. } => {
                let writer = StreamWriter::new(stream, room);
                let until = now.after(PATIENCE);
                self.stage = Stage::Joining { writer, until };
                self.write(&format!("/nick {}\n/join lobby\n", self.name()));
            }
            NetworkEvent::ConnectFailed { .. } => self.leave(now),
            NetworkEvent::Received { stream, data } if self.is_mine(stream) => {
                self.read(now, &data);
            }
            NetworkEvent::Writable { stream, room } if self.is_mine(stream) => {
                if let Stage::Joining { writer, .. } | Stage::InRoom { writer, .. } =
                    &mut self.stage
                {
                    writer.handle_writable(room, &mut self.outbox);
                }
            }
            NetworkEvent::ReadEnded { stream } if self.is_mine(stream) => {
                self.outbox.close(stream);
                self.leave(now);
            }
            NetworkEvent::StreamClosed { stream, .. } if self.is_mine(stream) => self.leave(now),
            _ => {}
        }
    }

    fn write(&mut self, text: &str) {
        let context = self.context.as_ref().expect("started");
        let data = context.buffers.copy_from(text.as_bytes());
        if let Stage::Joining { writer, .. } | Stage::InRoom { writer, .. } = &mut self.stage {
            writer.write(data, &mut self.outbox);
        }
    }

    fn read(&mut self, now: Timestamp, mut data: &[u8]) {
        while let Some(at) = data.iter().position(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(&data[..at]);
            data = &data[at + 1..];
            let line = core::mem::take(&mut self.partial);
            let line = String::from_utf8(line).expect("the chat sends text");
            self.note(now, &line);
        }
        self.partial.extend_from_slice(data);
    }

    fn note(&mut self, now: Timestamp, line: &str) {
        if line == "* you are in lobby" {
            let stage = core::mem::replace(&mut self.stage, Stage::Calling);
            self.stage = match stage {
                Stage::Joining { writer, .. } => Stage::InRoom {
                    writer,
                    speaks_at: now,
                },
                other => other,
            };
        }
        if line.starts_with("* ") {
            return;
        }
        let (name, number) = line.split_once(": ").expect("a name, then what it says");
        let number: u32 = number.parse().expect("guests say numbers");
        let before = self.heard.entry(name.to_owned()).or_default();
        assert!(number > *before, "{name}'s line {number} after {before}");
        *before = number;
        let guest = name[1..].split('-').next().map(str::parse);
        let guest = guest.expect("a number").expect("a number");
        self.last_heard.insert(guest, now);
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        match &mut self.stage {
            Stage::Away { until } if *until <= now => self.call(),
            Stage::InRoom { speaks_at, .. } if *speaks_at <= now => {
                let context = self.context.as_mut().expect("started");
                *speaks_at = now.after(context.random.duration(SPEAKS_EVERY));
                self.said += 1;
                self.write(&format!("{}\n", self.said));
            }
            Stage::Joining { writer, until } if *until <= now => {
                let stream = writer.stream();
                self.outbox.reset(stream);
                self.leave(now);
            }
            Stage::Away { .. } | Stage::Calling | Stage::Joining { .. } | Stage::InRoom { .. } => {}
        }
    }
}

impl Task for Guest {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.call();
            }
            Input::Network(event) => self.handle_event(now, event),
            Input::Timeout => self.handle_timeout(now),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        match self.stage {
            Stage::Away { until } => Some(Deadline::new(until, "guest calls again")),
            Stage::Calling => None,
            Stage::Joining { until, .. } => Some(Deadline::new(until, "guest joins")),
            Stage::InRoom { speaks_at, .. } => Some(Deadline::new(speaks_at, "guest speaks")),
        }
    }
}

/// How long a guest stays away that was thrown out.
const PAUSE: core::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_millis(500);

/// How often a guest says something.
const SPEAKS_EVERY: core::ops::RangeInclusive<Duration> =
    Duration::from_millis(200)..=Duration::from_millis(800);

/// How long a guest waits to be let in.
const PATIENCE: Duration = Duration::from_secs(10);
