//! Somebody who sends whatever bytes a story has for them, by TCP and UDP, and notes what comes back.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stillpoint::{
    Context, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, StreamId, StreamWriter, Task,
    TcpConnect, Timestamp, Token, TransmitBuffer, UdpOpen,
};

use super::http::Answer;
use super::{Ask, Lab, throw};

#[derive(Debug, Clone, Copy)]
pub struct StrangerConfig {
    pub local: IpAddr,
    pub server: SocketAddr,
}

pub struct Stranger {
    config: StrangerConfig,
    context: Option<Context>,
    socket: Option<SocketId>,
    /// All connections that it has made, in the order in which it was asked for them.
    pub connections: Vec<Connection>,
    by_stream: BTreeMap<StreamId, usize>,
    /// Datagrams that came back.
    pub datagrams: u32,
    outbox: Outbox<Lab>,
}

/// A connection, which may be over.
#[derive(Default)]
pub struct Connection {
    writer: Option<StreamWriter>,
    /// What is still to be said.
    rest: VecDeque<u8>,
    /// Between two bytes of it, if it is said slowly.
    pause: Option<Duration>,
    next_at: Option<Timestamp>,
    pub received: Vec<u8>,
    /// When it was over, whoever ended it.
    pub closed_at: Option<Timestamp>,
}

impl Connection {
    /// The statuses of all answers that came.
    pub fn statuses(&self) -> Vec<u16> {
        let mut received = self.received.clone();
        core::iter::from_fn(|| Some(Answer::take(&mut received)?.status)).collect()
    }
}

impl Stranger {
    pub fn new(config: StrangerConfig) -> Self {
        Self {
            config,
            context: None,
            socket: None,
            connections: Vec::new(),
            by_stream: BTreeMap::new(),
            datagrams: 0,
            outbox: Outbox::new(),
        }
    }

    /// Says what is to be said next.
    fn say(&mut self, now: Timestamp, number: usize) {
        let buffers = &self.context.as_ref().expect("started").buffers;
        let connection = &mut self.connections[number];
        let Some(writer) = &mut connection.writer else {
            return;
        };
        let bytes: Vec<u8> = match connection.pause {
            None => connection.rest.drain(..).collect(),
            Some(pause) => {
                connection.next_at = Some(now.after(pause));
                connection.rest.pop_front().into_iter().collect()
            }
        };
        if connection.rest.is_empty() {
            connection.next_at = None;
        }
        writer.write(buffers.copy_from(&bytes), &mut self.outbox);
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::UdpOpened { socket, .. } => self.socket = Some(socket),
            NetworkEvent::Datagrams { run, .. } => {
                self.datagrams += u32::try_from(run.count()).expect("few");
            }
            NetworkEvent::Connected {
                stream,
                token,
                room,
                ..
            } => {
                let number = usize::try_from(token.0).expect("a connection");
                self.by_stream.insert(stream, number);
                self.connections[number].writer = Some(StreamWriter::new(stream, room));
                self.say(now, number);
            }
            NetworkEvent::ConnectFailed { token, .. } => {
                let number = usize::try_from(token.0).expect("a connection");
                self.connections[number].closed_at = Some(now);
            }
            NetworkEvent::Received { stream, data } => {
                if let Some(&number) = self.by_stream.get(&stream) {
                    self.connections[number].received.extend_from_slice(&data);
                }
            }
            NetworkEvent::Writable { stream, room } => {
                if let Some(&number) = self.by_stream.get(&stream)
                    && let Some(writer) = &mut self.connections[number].writer
                {
                    writer.handle_writable(room, &mut self.outbox);
                }
            }
            NetworkEvent::ReadEnded { stream } | NetworkEvent::StreamClosed { stream, .. } => {
                if let Some(number) = self.by_stream.remove(&stream) {
                    let connection = &mut self.connections[number];
                    connection.closed_at = Some(now);
                    connection.next_at = None;
                    if let Some(mut writer) = connection.writer.take() {
                        writer.end(&mut self.outbox);
                    }
                }
            }
            _ => {}
        }
    }

    fn handle_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Dial(bytes, pause) => {
                let token = Token(self.connections.len() as u64);
                self.outbox
                    .connect(TcpConnect::new(token, self.config.server));
                self.connections.push(Connection {
                    rest: bytes.into(),
                    pause,
                    ..Connection::default()
                });
            }
            Ask::HangUp => {
                for connection in &mut self.connections {
                    connection.next_at = None;
                    if let Some(writer) = connection.writer.take() {
                        self.by_stream.remove(&writer.stream());
                        self.outbox.reset(writer.stream());
                    }
                }
            }
            Ask::Throw(to, datagrams) => {
                let socket = self.socket.expect("a socket");
                throw(&mut self.outbox, socket, to, &datagrams);
            }
            Ask::Finish => self.outbox.finish(),
            other => panic!("a stranger was asked to {other:?}"),
        }
    }
}

impl Task for Stranger {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                let bind = SocketAddr::new(self.config.local, 0);
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(event) => self.handle_event(now, event),
            Input::Command(ask) => self.handle_ask(ask),
            Input::Timeout => {
                for number in 0..self.connections.len() {
                    if self.connections[number].next_at.is_some_and(|at| at <= now) {
                        self.say(now, number);
                    }
                }
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let next = self
            .connections
            .iter()
            .filter_map(|connection| connection.next_at)
            .min();
        Some(Deadline::new(next?, "a byte"))
    }
}
