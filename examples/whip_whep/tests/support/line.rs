//! A connection to the server, with requests that go out and answers that come in.

use core::net::SocketAddr;
use std::collections::VecDeque;

use stillpoint::{BufferPool, NetworkEvent, Outbox, StreamWriter, TcpConnect, Token};

use super::Lab;
use super::http::Answer;

/// The connection; it is made when there is something to say, and again if the server has ended it.
#[derive(Debug)]
pub struct Line {
    server: SocketAddr,
    token: Token,
    state: State,
    received: Vec<u8>,
    /// Requests that wait for a connection.
    unsent: VecDeque<Vec<u8>>,
    /// How many times the server was connected to.
    pub connections: u32,
}

#[derive(Debug)]
enum State {
    Idle,
    Connecting,
    Open(StreamWriter),
}

/// What came of an event.
#[derive(Debug)]
pub enum Heard {
    Nothing,
    Answers(Vec<Answer>),
    /// The connection is no more, or was never made.
    Ended,
}

impl Line {
    pub const fn new(server: SocketAddr, token: Token) -> Self {
        Self {
            server,
            token,
            state: State::Idle,
            received: Vec::new(),
            unsent: VecDeque::new(),
            connections: 0,
        }
    }

    /// Sends a request, in as many connections as it takes.
    pub fn send(&mut self, request: Vec<u8>, buffers: &BufferPool, outbox: &mut Outbox<Lab>) {
        match &mut self.state {
            State::Open(writer) => writer.write(buffers.copy_from(&request), outbox),
            State::Connecting => self.unsent.push_back(request),
            State::Idle => {
                self.unsent.push_back(request);
                self.state = State::Connecting;
                self.connections += 1;
                outbox.connect(TcpConnect::new(self.token, self.server));
            }
        }
    }

    /// Ends our direction, behind what was sent.
    pub fn end(&mut self, outbox: &mut Outbox<Lab>) {
        if let State::Open(writer) = &mut self.state {
            writer.end(outbox);
        }
    }

    pub fn handle_event(
        &mut self,
        event: NetworkEvent,
        buffers: &BufferPool,
        outbox: &mut Outbox<Lab>,
    ) -> Heard {
        match event {
            NetworkEvent::Connected { stream, room, .. } => {
                let mut writer = StreamWriter::new(stream, room);
                for request in self.unsent.drain(..) {
                    writer.write(buffers.copy_from(&request), outbox);
                }
                self.state = State::Open(writer);
            }
            NetworkEvent::Received { data, .. } => {
                self.received.extend_from_slice(&data);
                let answers = core::iter::from_fn(|| Answer::take(&mut self.received));
                return Heard::Answers(answers.collect());
            }
            NetworkEvent::Writable { room, .. } => {
                if let State::Open(writer) = &mut self.state {
                    writer.handle_writable(room, outbox);
                }
            }
            NetworkEvent::ReadEnded { .. } => self.end(outbox),
            NetworkEvent::StreamClosed { .. } | NetworkEvent::ConnectFailed { .. } => {
                self.state = State::Idle;
                self.received.clear();
                self.unsent.clear();
                return Heard::Ended;
            }
            _ => {}
        }
        Heard::Nothing
    }
}
