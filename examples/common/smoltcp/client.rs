//! A client on a stack of its own, which downloads from a [`Server`](super::server::Server).
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use stillpoint::{
    Context, Deadline, DeviceId, DeviceOpen, Input, NetworkEvent, Outbox, Output, Task, Timestamp,
    TransmitBuffer,
};
use xxhash_rust::xxh3::Xxh3;

use super::stack::Stack;
use super::{Report, UserSpace};

/// What came of a download.
#[derive(Debug, PartialEq, Eq)]
pub struct Download {
    /// The head of the answer.
    pub head: String,
    /// Bytes of its body.
    pub bytes: u64,
    /// Their XXH3.
    pub hash: u64,
    /// Whether the server has ended it in an orderly way.
    pub is_whole: bool,
}

/// Asks for bytes, and reports what came.
pub struct Client {
    open: DeviceOpen,
    own: SocketAddr,
    server: SocketAddr,
    bytes: u64,
    context: Option<Context>,
    connection: Option<(Stack, SocketHandle)>,
    stage: Stage,
    head: Vec<u8>,
    body_bytes: u64,
    hasher: Box<Xxh3>,
    is_busy: bool,
    outbox: Outbox<UserSpace>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asking,
    Head,
    Body,
    Done,
}

impl Client {
    pub fn new(open: DeviceOpen, own: SocketAddr, server: SocketAddr, bytes: u64) -> Self {
        Self {
            open,
            own,
            server,
            bytes,
            context: None,
            connection: None,
            stage: Stage::Asking,
            head: Vec::new(),
            body_bytes: 0,
            hasher: Box::new(Xxh3::new()),
            is_busy: false,
            outbox: Outbox::new(),
        }
    }

    fn connect(&mut self, now: Timestamp, device: DeviceId, mtu: u16) {
        let Some(context) = self.context.take() else {
            return;
        };
        let mut stack = Stack::new(device, mtu, self.own.ip(), context, now);
        let socket = stack.add(256 * 1_024, 4 * 1_024);
        let connected = stack.connect(socket, self.server);
        connected.expect("an address, and a fresh socket");
        self.connection = Some((stack, socket));
        self.is_busy = true;
    }

    /// Lets the stack work until it rests or no more packets fit.
    fn work(&mut self, now: Timestamp) {
        let Some((mut stack, socket)) = self.connection.take() else {
            self.is_busy = false;
            return;
        };
        loop {
            let has_news = stack.poll(now);
            if stack.is_full() {
                break;
            }
            let moved = self.advance(&mut stack, socket);
            if !has_news && !moved {
                self.is_busy = false;
                stack.rest(now);
                break;
            }
        }
        self.connection = Some((stack, socket));
    }

    /// Asks, and takes what came. `true` if the stack has more to do now.
    fn advance(&mut self, stack: &mut Stack, socket: SocketHandle) -> bool {
        let socket = stack.socket(socket);
        if self.stage == Stage::Asking && socket.can_send() {
            let request = format!("GET /bytes/{} HTTP/1.1\r\nHost: server\r\n\r\n", self.bytes);
            let taken = socket.send_slice(request.as_bytes());
            assert_eq!(taken, Ok(request.len()), "the first bytes of a connection");
            self.stage = Stage::Head;
            return true;
        }
        let mut moved = false;
        while socket.can_recv() && socket.recv(|bytes| (bytes.len(), self.take(bytes))).is_ok() {
            moved = true;
        }
        let is_whole = socket.state() == State::CloseWait;
        if self.stage != Stage::Done && (is_whole || socket.state() == State::Closed) {
            self.stage = Stage::Done;
            socket.close();
            self.outbox.report(Report::Downloaded(Download {
                head: String::from_utf8_lossy(&self.head).into_owned(),
                bytes: self.body_bytes,
                hash: self.hasher.digest(),
                is_whole,
            }));
            return true;
        }
        moved
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Body {
            self.body_bytes += bytes.len() as u64;
            self.hasher.update(bytes);
            return;
        }
        self.head.extend_from_slice(bytes);
        if let Some(end) = self.head.windows(4).position(|end| end == b"\r\n\r\n") {
            let body = self.head.split_off(end + 4);
            self.stage = Stage::Body;
            self.take(&body);
        }
    }
}

impl Task for Client {
    type App = UserSpace;

    fn handle_input(&mut self, now: Timestamp, input: Input<UserSpace>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.outbox.open_device(self.open.clone());
            }
            Input::Network(NetworkEvent::DeviceOpened { device, mtu, .. }) => {
                self.connect(now, device, mtu);
            }
            Input::Network(NetworkEvent::Packet { packet, .. }) => {
                if let Some((stack, _)) = &mut self.connection {
                    stack.receive(packet.payload);
                    self.is_busy = true;
                }
            }
            Input::Network(
                NetworkEvent::DeviceOpenFailed { error, .. }
                | NetworkEvent::DeviceClosed { error, .. },
            ) => {
                self.connection = None;
                self.outbox.report(Report::DeviceFailed(error));
                self.outbox.finish();
            }
            Input::Timeout => self.is_busy = true,
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        now: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<UserSpace>> {
        loop {
            let packet = self.connection.as_mut().and_then(|(stack, _)| stack.pop());
            if let Some(packet) = packet {
                return Some(Output::Packet(packet));
            }
            if !self.is_busy {
                return self.outbox.pop();
            }
            self.work(now);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let (stack, _) = self.connection.as_ref()?;
        stack.deadline()
    }
}
