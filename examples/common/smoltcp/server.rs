//! A small HTTP server on a stack of its own. `GET /bytes/N` gives N bytes; each connection serves
//! one request.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::net::SocketAddr;
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use stillpoint::{
    Context, Deadline, DeviceOpen, Input, NetworkEvent, Outbox, Output, Task, Timestamp,
    TransmitBuffer,
};

use super::content;
use super::stack::Stack;
use super::{Report, UserSpace};

/// Connections at a time, those that wait for their first byte included.
const CONNECTIONS_MAX: usize = 32;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 4_096;

/// How long a client may take for its request, and be silent later on.
const PATIENCE: Duration = Duration::from_secs(20);

const RECEIVE_BYTES: usize = 8 * 1_024;
const SEND_BYTES: usize = 256 * 1_024;

/// What a server has done. Always `connections == answered + broken + open`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections that were made to it.
    pub connections: u64,
    /// Requests answered in full, errors included.
    pub answered: u64,
    /// Connections that broke off, or did not say in time what they want.
    pub broken: u64,
    /// Connections that were not over when it was told to stop.
    pub open: u64,
    /// Bytes of bodies, as TCP took them.
    pub body_bytes: u64,
}

/// Serves by HTTP, behind a device.
pub struct Server {
    open: DeviceOpen,
    address: SocketAddr,
    context: Option<Context>,
    stack: Option<Stack>,
    connections: Vec<Connection>,
    served: Served,
    /// Whether the stack is to be asked for more.
    is_busy: bool,
    outbox: Outbox<UserSpace>,
}

struct Connection {
    socket: SocketHandle,
    stage: Stage,
}

enum Stage {
    /// Until somebody connects.
    Listening,
    /// What has come so far of the request, and by when it must be whole.
    Request {
        head: Vec<u8>,
        until: Timestamp,
    },
    Answer(Answer),
    /// All is with TCP.
    Closing,
}

/// An answer on its way.
struct Answer {
    head: Vec<u8>,
    body: Body,
    /// Bytes of head and body that TCP has taken.
    taken: u64,
}

enum Body {
    Text(&'static str),
    /// So many of [`content`].
    Content(u64),
}

impl Server {
    pub const fn new(open: DeviceOpen, address: SocketAddr) -> Self {
        Self {
            open,
            address,
            context: None,
            stack: None,
            connections: Vec::new(),
            served: Served {
                connections: 0,
                answered: 0,
                broken: 0,
                open: 0,
                body_bytes: 0,
            },
            is_busy: false,
            outbox: Outbox::new(),
        }
    }

    fn listen(&mut self, stack: &mut Stack) {
        while self.connections.len() < CONNECTIONS_MAX {
            let socket = stack.add(RECEIVE_BYTES, SEND_BYTES);
            let tcp = stack.socket(socket);
            let patience = smoltcp::time::Duration::from_secs(PATIENCE.as_secs());
            tcp.set_timeout(Some(patience));
            tcp.set_keep_alive(Some(patience / 2));
            tcp.listen(self.address.port())
                .expect("a port, and a fresh socket");
            self.connections.push(Connection {
                socket,
                stage: Stage::Listening,
            });
        }
    }

    /// Lets the stack work until it rests or no more packets fit.
    fn work(&mut self, now: Timestamp) {
        let Some(mut stack) = self.stack.take() else {
            self.is_busy = false;
            return;
        };
        loop {
            let has_news = stack.poll(now);
            if stack.is_full() {
                break;
            }
            let wrote = self.serve(now, &mut stack);
            if !has_news && !wrote {
                self.is_busy = false;
                stack.rest(now);
                break;
            }
        }
        self.stack = Some(stack);
    }

    /// Looks after all connections. `true` if the stack has more to do now.
    fn serve(&mut self, now: Timestamp, stack: &mut Stack) -> bool {
        let mut moved = false;
        let served = &mut self.served;
        self.connections.retain_mut(|connection| {
            moved |= connection.advance(now, stack, served);
            let state = stack.socket(connection.socket).state();
            // Whoever is left of the close has seen all; there is nothing to wait for.
            let over = matches!(state, State::Closed | State::TimeWait);
            if over {
                match connection.stage {
                    Stage::Closing => served.answered += 1,
                    _ => served.broken += 1,
                }
                stack.remove(connection.socket);
            }
            !over
        });
        self.listen(stack);
        moved
    }

    fn deadline(&self) -> Option<Deadline> {
        let stack = self.stack.as_ref()?;
        let requests = self.connections.iter();
        let requests = requests.filter_map(|connection| match connection.stage {
            Stage::Request { until, .. } => Some(Deadline::new(until, "request overdue")),
            _ => None,
        });
        requests
            .chain(stack.deadline())
            .min_by_key(|deadline| deadline.at)
    }
}

impl Task for Server {
    type App = UserSpace;

    fn handle_input(&mut self, now: Timestamp, input: Input<UserSpace>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.outbox.open_device(self.open.clone());
            }
            Input::Network(NetworkEvent::DeviceOpened {
                device, name, mtu, ..
            }) => {
                let Some(context) = self.context.take() else {
                    return;
                };
                let mut stack = Stack::new(device, mtu, self.address.ip(), context, now);
                self.listen(&mut stack);
                self.stack = Some(stack);
                self.is_busy = true;
                self.outbox.report(Report::Listening {
                    device: name,
                    at: self.address,
                });
            }
            Input::Network(NetworkEvent::Packet { packet, .. }) => {
                if let Some(stack) = &mut self.stack {
                    stack.receive(packet.payload);
                    self.is_busy = true;
                }
            }
            Input::Network(
                NetworkEvent::DeviceOpenFailed { error, .. }
                | NetworkEvent::DeviceClosed { error, .. },
            ) => {
                self.stack = None;
                self.outbox.report(Report::DeviceFailed(error));
                self.outbox.finish();
            }
            Input::Timeout => self.is_busy = true,
            Input::Shutdown => {
                let connections = self.connections.iter();
                let open = connections.filter(|open| !matches!(open.stage, Stage::Listening));
                self.served.open = open.count() as u64;
                self.outbox.report(Report::Served(self.served));
                self.outbox.finish();
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        now: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<UserSpace>> {
        loop {
            if let Some(packet) = self.stack.as_mut().and_then(Stack::pop) {
                return Some(Output::Packet(packet));
            }
            if !self.is_busy {
                return self.outbox.pop();
            }
            self.work(now);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline()
    }
}

impl Connection {
    /// Takes what came and gives what fits. `true` if the stack has more to do now.
    fn advance(&mut self, now: Timestamp, stack: &mut Stack, served: &mut Served) -> bool {
        let socket = stack.socket(self.socket);
        if matches!(self.stage, Stage::Listening) && !socket.is_listening() {
            served.connections += 1;
            self.stage = Stage::Request {
                head: Vec::new(),
                until: now.after(PATIENCE),
            };
        }
        if let Stage::Request { head, until } = &mut self.stage {
            while socket.can_recv() {
                let came = socket.recv(|bytes| (bytes.len(), head.extend_from_slice(bytes)));
                if came.is_err() {
                    break;
                }
            }
            if let Some(answer) = Answer::to(head) {
                self.stage = Stage::Answer(answer);
            } else if now >= *until {
                socket.abort();
                return true;
            } else if !socket.may_recv()
                && socket.is_active()
                && socket.state() != State::SynReceived
            {
                // The client has ended what it did not finish.
                socket.abort();
                return true;
            }
        }
        let Stage::Answer(answer) = &mut self.stage else {
            // Whatever else comes is not looked at, and must not fill the window.
            while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {}
            return false;
        };
        let before = answer.taken;
        while socket.can_send() && !answer.is_over() {
            let head_len = answer.head.len() as u64;
            let from = answer.taken;
            let Ok(count) = socket.send(|room| {
                let count = answer.write(room);
                (count, count)
            }) else {
                break;
            };
            answer.taken += count as u64;
            served.body_bytes += answer.taken.max(head_len) - from.max(head_len);
        }
        let wrote = answer.taken > before;
        if answer.is_over() {
            socket.close();
            self.stage = Stage::Closing;
        }
        wrote
    }
}

impl Answer {
    /// The answer to a request, if its head is whole or can never be right.
    fn to(head: &[u8]) -> Option<Self> {
        let is_whole = head.windows(4).any(|end| end == b"\r\n\r\n");
        if !is_whole {
            let too_long = head.len() > HEAD_BYTES_MAX;
            let text = "The request's head is too long.\n";
            return too_long
                .then(|| Self::new("431 Request Header Fields Too Large", Body::Text(text)));
        }
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let words: Vec<&str> = core::str::from_utf8(line)
            .unwrap_or_default()
            .split(' ')
            .collect();
        Some(match words[..] {
            ["GET", "/", version] if version.starts_with("HTTP/1.") => {
                Self::new("200 OK", Body::Text(WELCOME))
            }
            ["GET", path, version] if version.starts_with("HTTP/1.") => {
                let count = path.strip_prefix("/bytes/").map(str::parse);
                match count {
                    Some(Ok(count)) if count <= CONTENT_BYTES_MAX => {
                        Self::new("200 OK", Body::Content(count))
                    }
                    Some(_) => Self::new("400 Bad Request", Body::Text(BAD_COUNT)),
                    None => Self::new("404 Not Found", Body::Text("No such page.\n")),
                }
            }
            [_, _, version] if version.starts_with("HTTP/1.") => Self::new(
                "405 Method Not Allowed\r\nAllow: GET",
                Body::Text("Only GET.\n"),
            ),
            _ => Self::new("400 Bad Request", Body::Text("Not HTTP.\n")),
        })
    }

    fn new(status: &str, body: Body) -> Self {
        let (kind, len) = match body {
            Body::Text(text) => ("text/plain; charset=utf-8", text.len() as u64),
            Body::Content(len) => ("application/octet-stream", len),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
            Connection: close\r\n\r\n"
        );
        Self {
            head: head.into_bytes(),
            body,
            taken: 0,
        }
    }

    fn is_over(&self) -> bool {
        let body = match self.body {
            Body::Text(text) => text.len() as u64,
            Body::Content(len) => len,
        };
        self.taken == self.head.len() as u64 + body
    }

    /// Writes what comes next, and says how much of it.
    fn write(&self, room: &mut [u8]) -> usize {
        let head_len = self.head.len() as u64;
        let copy = |room: &mut [u8], from: &[u8], offset: u64| {
            let from = &from[usize::try_from(offset).unwrap_or(from.len())..];
            let count = from.len().min(room.len());
            room[..count].copy_from_slice(&from[..count]);
            count
        };
        if self.taken < head_len {
            return copy(room, &self.head, self.taken);
        }
        let offset = self.taken - head_len;
        match self.body {
            Body::Text(text) => copy(room, text.as_bytes(), offset),
            Body::Content(len) => {
                let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
                let count = room.len().min(left);
                content::fill(offset, &mut room[..count]);
                count
            }
        }
    }
}

const WELCOME: &str = "Served from user space. GET /bytes/N gives N bytes.\n";
const BAD_COUNT: &str = "GET /bytes/N, where N is a number up to 1000000000000.\n";
const CONTENT_BYTES_MAX: u64 = 1_000_000_000_000;
