//! Tasks that talk over streams as they were told, and keep what they hear.
#![allow(dead_code, reason = "each test program uses a part of it")]

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, Reading, Spawned,
    Spawner, StreamId, StreamWriter, Task, TaskId, TcpConnect, TcpListen, Timestamp, Token,
    TransmitBuffer,
};
use stillpoint_sim::{Link, NodeId, World};

#[derive(Debug)]
pub(crate) struct Talk;

impl App for Talk {
    type Channel = ();
    type Message = ();
    type Command = Act;
    type Report = Timestamp;
    type Spawn = Spawn;
}

/// What a task is to do now.
pub(crate) struct Act(pub(crate) fn(&mut Talker));

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Spawn {
    Listen(TcpListen, Script),
    Connect(TcpConnect, Script),
}

/// What is said on a stream, and how it is listened to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Lengths of writes, one after the other. The bytes follow from their place and `voice`.
    pub(crate) writes: Vec<usize>,
    pub(crate) voice: u8,
    /// Stops reading for this long each time that so many bytes were read.
    pub(crate) pauses: Vec<(usize, Duration)>,
    /// Whether it ends behind its last write.
    pub(crate) ends: bool,
}

impl Script {
    /// So many bytes in one write, and the end.
    pub(crate) fn say(bytes: usize) -> Self {
        Self {
            writes: vec![bytes],
            ends: true,
            ..Self::default()
        }
    }

    /// All that it writes.
    pub(crate) fn text(&self) -> Vec<u8> {
        let all = self.writes.iter().sum();
        (0..all).map(|at| spoken(self.voice, at)).collect()
    }
}

fn spoken(voice: u8, at: usize) -> u8 {
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    mixed.to_le_bytes()[0] ^ voice
}

/// A task with a listener, or with one stream that it has connected.
pub(crate) struct Talker {
    pub(crate) now: Timestamp,
    pub(crate) outbox: Outbox<Talk>,
    plan: Spawn,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) failed: Option<(Timestamp, NetworkError)>,
    /// How often connections could not be taken in.
    pub(crate) accepts_failed: u32,
    pub(crate) ears: Vec<Ear>,
}

/// One stream.
pub(crate) struct Ear {
    pub(crate) stream: StreamId,
    pub(crate) since: Timestamp,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    writer: StreamWriter,
    pauses: Vec<(usize, Duration)>,
    resume_at: Option<Timestamp>,
    pub(crate) heard: Vec<u8>,
    /// How long each piece was that came.
    pub(crate) pieces: Vec<usize>,
    pub(crate) read_ended: Option<Timestamp>,
    pub(crate) closed: Option<(Timestamp, Option<NetworkError>)>,
    pub(crate) refused: usize,
}

pub(crate) fn spawn(plan: Spawn, spawner: Spawner<'_, Talk>) -> Spawned {
    spawner.insert(Talker {
        now: Timestamp::EPOCH,
        outbox: Outbox::new(),
        plan,
        local: None,
        failed: None,
        accepts_failed: 0,
        ears: Vec::new(),
    })
}

impl Talker {
    /// The only stream.
    pub(crate) fn ear(&self) -> &Ear {
        assert_eq!(self.ears.len(), 1);
        &self.ears[0]
    }

    /// Writes so many zeros to its first stream, whether there is room or not.
    pub(crate) fn write(&mut self, bytes: usize) {
        let data = Buffer::copy_from(&vec![0; bytes]);
        self.outbox.write(self.ears[0].stream, data);
    }

    fn ear_of(&mut self, stream: StreamId) -> Option<&mut Ear> {
        self.ears.iter_mut().find(|ear| ear.stream == stream)
    }

    fn begin(&mut self, stream: StreamId, [local, peer]: [SocketAddr; 2], room: usize) {
        let (Spawn::Listen(_, script) | Spawn::Connect(_, script)) = &self.plan;
        let script = script.clone();
        let mut writer = StreamWriter::new(stream, room);
        let text = script.text();
        let mut at = 0;
        for len in &script.writes {
            writer.write(Buffer::copy_from(&text[at..at + len]), &mut self.outbox);
            at += len;
        }
        if script.ends {
            writer.end(&mut self.outbox);
        }
        self.ears.push(Ear {
            stream,
            since: self.now,
            local,
            peer,
            writer,
            pauses: script.pauses,
            resume_at: None,
            heard: Vec::new(),
            pieces: Vec::new(),
            read_ended: None,
            closed: None,
            refused: 0,
        });
        self.pause(stream);
    }

    /// Stops reading, if it is time for a pause.
    fn pause(&mut self, stream: StreamId) {
        let now = self.now;
        let Some(ear) = self.ear_of(stream) else {
            return;
        };
        if let Some(&(after, pause)) = ear.pauses.first()
            && ear.heard.len() >= after
        {
            ear.pauses.remove(0);
            ear.resume_at = Some(now.after(pause));
            self.outbox.set_reading(stream, Reading::Paused);
        }
    }

    fn hear(&mut self, stream: StreamId, data: &[u8]) {
        let ear = self.ear_of(stream).expect("a stream of this task");
        assert!(!data.is_empty());
        assert!(ear.read_ended.is_none() && ear.closed.is_none() && ear.resume_at.is_none());
        ear.heard.extend_from_slice(data);
        ear.pieces.push(data.len());
        self.pause(stream);
    }

    fn network(&mut self, event: NetworkEvent) {
        let now = self.now;
        match event {
            NetworkEvent::Listening { local, .. } => self.local = Some(local),
            NetworkEvent::ListenFailed { error, .. }
            | NetworkEvent::ConnectFailed { error, .. } => self.failed = Some((now, error)),
            NetworkEvent::Connected {
                stream,
                local,
                peer,
                room,
                ..
            }
            | NetworkEvent::Accepted {
                stream,
                local,
                peer,
                room,
                ..
            } => self.begin(stream, [local, peer], room),
            NetworkEvent::Received { stream, data } => self.hear(stream, &data),
            NetworkEvent::ReadEnded { stream } => {
                let ear = self.ear_of(stream).expect("a stream of this task");
                assert!(ear.read_ended.is_none() && ear.resume_at.is_none());
                ear.read_ended = Some(now);
            }
            NetworkEvent::Writable { stream, room } => {
                let ear = self.ears.iter_mut().find(|ear| ear.stream == stream);
                let ear = ear.expect("a stream of this task");
                ear.writer.handle_writable(room, &mut self.outbox);
            }
            NetworkEvent::WriteFailed { stream, bytes, .. } => {
                self.ear_of(stream).expect("a stream of this task").refused += bytes;
            }
            NetworkEvent::StreamClosed { stream, error, .. } => {
                let ear = self.ear_of(stream).expect("a stream of this task");
                ear.closed = Some((now, error));
            }
            NetworkEvent::AcceptFailed { .. } => self.accepts_failed += 1,
            other => panic!("nobody expected {other:?}"),
        }
    }
}

impl Task for Talker {
    type App = Talk;

    fn handle_input(&mut self, now: Timestamp, input: Input<Talk>) {
        self.now = now;
        match input {
            Input::Started(_) => match &self.plan {
                Spawn::Listen(listen, _) => self.outbox.listen(*listen),
                Spawn::Connect(connect, _) => self.outbox.connect(*connect),
            },
            Input::Network(event) => self.network(event),
            Input::Timeout => {
                for ear in &mut self.ears {
                    if ear.resume_at.take_if(|at| *at <= now).is_some() {
                        self.outbox.set_reading(ear.stream, Reading::Flowing);
                    }
                }
                let streams: Vec<_> = self.ears.iter().map(|ear| ear.stream).collect();
                for stream in streams {
                    self.pause(stream);
                }
            }
            Input::Command(Act(act)) => act(self),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Talk>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let at = self.ears.iter().filter_map(|ear| ear.resume_at).min()?;
        Some(Deadline::new(at, "reads on"))
    }
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A connection to 10.0.0.2:7.
pub(crate) fn connect() -> TcpConnect {
    TcpConnect::new(Token(0), address("10.0.0.2:7"))
}

/// A listener at 10.0.0.2:7.
pub(crate) fn listen() -> TcpListen {
    TcpListen::new(Token(0), address("10.0.0.2:7"))
}

/// Two nodes with this link between: 10.0.0.1, and 10.0.0.2 with a listener at port 7.
pub(crate) fn pair(
    world: &mut World<Talk>,
    link: &Link,
    listen: TcpListen,
    script: Script,
) -> (NodeId, NodeId) {
    let client = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.link(client, server, link);
    world.spawn(server, 0, Spawn::Listen(listen, script));
    world.run_for(ms(1)).unwrap();
    (client, server)
}

/// The only task of a node.
pub(crate) fn only(world: &World<Talk>, node: NodeId) -> &Talker {
    let mut tasks = world.tasks::<Talker>(node);
    let (_, task) = tasks.next().expect("a task");
    assert!(tasks.next().is_none(), "several tasks");
    task
}

/// The only stream of a node.
pub(crate) fn ear(world: &World<Talk>, node: NodeId) -> &Ear {
    only(world, node).ear()
}

/// Has the only task of a node do something.
pub(crate) fn act(world: &mut World<Talk>, node: NodeId, act: fn(&mut Talker)) {
    let task: TaskId = world.tasks::<Talker>(node).next().expect("a task").0;
    world.command(node, task, Act(act));
}
