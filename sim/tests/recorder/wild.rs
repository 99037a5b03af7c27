//! Tasks that do whatever their inputs and their draws say, and everything that tasks can do.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use stillpoint::{
    App, Buffer, BusEvent, Context, Deadline, Destination, Input, NetworkEvent, NoRoom, Outbox,
    Output, Reading, RequestId, SocketId, Spawned, Spawner, StreamId, Task, TaskId, TcpConnect,
    TcpListen, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen, recordable,
};

#[derive(Debug)]
pub(crate) struct Wild;

impl App for Wild {
    type Channel = u8;
    type Message = Vec<u8>;
    type Command = u64;
    type Report = String;
    type Spawn = Born;
}

/// What a wild task is made from.
#[derive(Debug, Clone)]
pub(crate) struct Born {
    pub(crate) depth: u8,
    pub(crate) peers: Vec<IpAddr>,
}

recordable!(struct Born { depth, peers });

pub(crate) fn spawn(born: Born, spawner: Spawner<'_, Wild>) -> Spawned {
    if born.depth > 3 {
        return spawner.refuse("too deep");
    }
    spawner.insert(Wildling::new(born))
}

pub(crate) struct Wildling {
    born: Born,
    context: Option<Context>,
    sockets: Vec<SocketId>,
    streams: Vec<StreamId>,
    friends: Vec<TaskId>,
    requests: Vec<RequestId>,
    wants: Option<Timestamp>,
    /// Datagrams to be written in place.
    to_write: u64,
    /// Of everything that it was ever told.
    digest: u64,
    outbox: Outbox<Wild>,
}

impl Wildling {
    fn new(born: Born) -> Self {
        Self {
            born,
            context: None,
            sockets: Vec::new(),
            streams: Vec::new(),
            friends: Vec::new(),
            requests: Vec::new(),
            wants: None,
            to_write: 0,
            digest: 0,
            outbox: Outbox::new(),
        }
    }

    fn draw(&mut self, options: usize) -> usize {
        let context = self.context.as_mut().unwrap();
        usize::try_from(context.random.below(options as u64)).unwrap()
    }

    fn one_of<T: Copy>(&mut self, some: &[T]) -> Option<T> {
        (!some.is_empty()).then(|| some[self.draw(some.len())])
    }

    fn note(&mut self, text: &str) {
        for byte in text.bytes() {
            self.digest = self.digest.wrapping_mul(31) ^ u64::from(byte);
        }
    }

    fn hear(&mut self, input: Input<Wild>) {
        match input {
            Input::Started(context) => {
                self.note(&format!("{:?} {:?}", context.task, context.parent));
                self.friends.extend(context.parent);
                self.context = Some(context);
                self.outbox.subscribe(1);
                return;
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => self.sockets.push(socket),
            Input::Network(
                NetworkEvent::Accepted { stream, .. } | NetworkEvent::Connected { stream, .. },
            ) => self.streams.push(stream),
            Input::Network(NetworkEvent::StreamClosed { stream, .. }) => {
                self.streams.retain(|&open| open != stream);
            }
            Input::Network(NetworkEvent::Datagrams { socket, ref run })
                if run.payload.len() > 700 && self.draw(2) == 0 =>
            {
                self.outbox.reply(socket, run.clone());
            }
            Input::Bus(BusEvent::Message { from, .. }) => self.friends.extend(from),
            Input::Bus(BusEvent::Request { from, request, .. }) => {
                self.friends.push(from);
                self.requests.push(request);
            }
            Input::Timeout => self.wants = None,
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
        self.note(&format!("{input:?}"));
    }

    fn address(&mut self) -> SocketAddr {
        let peers = self.born.peers.clone();
        let peer = self.one_of(&peers).unwrap();
        SocketAddr::new(peer, 4_000 + u16::try_from(self.draw(4)).unwrap())
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.draw(most);
        vec![self.digest.to_le_bytes()[0]; len]
    }

    fn act(&mut self, now: Timestamp) {
        match self.draw(24) {
            0 => self.outbox.report(format!("{:x}", self.digest)),
            1 | 2 => {
                let port = 4_000 + u16::try_from(self.draw(4)).unwrap();
                let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
                match self.draw(3) {
                    0 => self.outbox.listen(TcpListen::new(Token(1), any).shared()),
                    _ => self.outbox.open_udp(UdpOpen::new(Token(2), any).shared()),
                }
            }
            3..6 => self.to_write += 1 + self.draw(3) as u64,
            6 | 7 => {
                let sockets = self.sockets.clone();
                if let Some(socket) = self.one_of(&sockets) {
                    let (peer, bytes) = (self.address(), self.bytes(2_000));
                    let run = Transmit::new(socket, peer, Buffer::copy_from(&bytes));
                    self.outbox.transmit(run.with_segment_size(400));
                }
            }
            8 => {
                let (depth, peers) = (self.born.depth + 1, self.born.peers.clone());
                self.outbox.spawn(Born { depth, peers });
            }
            choice @ 9..14 => self.act_on_bus(now, choice),
            14 | 15 => {
                let millis = 1 + self.draw(20) as u64;
                self.wants = Some(now.after(core::time::Duration::from_millis(millis)));
            }
            16 => {
                let peer = self.address();
                self.outbox.connect(TcpConnect::new(Token(4), peer));
            }
            17..20 => {
                let streams = self.streams.clone();
                if let Some(stream) = self.one_of(&streams) {
                    self.act_on(stream);
                }
            }
            20 => {
                let odd = self.context.as_ref().unwrap().buggify("odd");
                self.outbox.report(format!("odd: {odd}"));
            }
            21 => {
                let to = Destination::Workers;
                self.outbox.become_agent();
                self.outbox.message(to, vec![5], NoRoom::Wait);
            }
            _ => match self.draw(12) {
                0 => std::panic::resume_unwind(Box::new("wild")),
                1 => self.outbox.finish(),
                _ => {}
            },
        }
    }

    fn act_on_bus(&mut self, now: Timestamp, choice: usize) {
        let friends = self.friends.clone();
        let friend = self.one_of(&friends);
        match choice {
            9 => {
                let message = self.bytes(50);
                self.outbox.publish(1, message, NoRoom::Wait);
            }
            10 | 11 => {
                if let Some(friend) = friend {
                    let message = self.bytes(50);
                    self.outbox.send_to(friend, message, NoRoom::Drop);
                }
            }
            12 => {
                if let Some(friend) = friend {
                    let until = now.after(core::time::Duration::from_millis(5));
                    self.outbox.request(friend, Token(3), vec![1, 2], until);
                }
            }
            _ => {
                if let Some(request) = self.requests.pop() {
                    self.outbox.answer(request, vec![9]);
                }
            }
        }
    }

    fn act_on(&mut self, stream: StreamId) {
        match self.draw(8) {
            0 => self.outbox.close(stream),
            1 => self.outbox.end_write(stream),
            2 => self.outbox.set_reading(stream, Reading::Paused),
            3 => self.outbox.set_reading(stream, Reading::Flowing),
            _ => {
                let bytes = self.bytes(5_000);
                self.outbox.write(stream, Buffer::copy_from(&bytes));
            }
        }
    }
}

impl Task for Wildling {
    type App = Wild;

    fn handle_input(&mut self, now: Timestamp, input: Input<Wild>) {
        self.hear(input);
        // Less than one on the whole, or else what happens grows without end.
        for _ in 0..self.draw(5) / 2 {
            self.act(now);
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Wild>> {
        if let Some(output) = self.outbox.pop() {
            return Some(output);
        }
        self.to_write = self.to_write.checked_sub(1)?;
        let sockets = self.sockets.clone();
        let socket = self.one_of(&sockets)?;
        let (peer, bytes) = (self.address(), self.bytes(1_000));
        let payload = transmit.write(&bytes).ok()?;
        Some(Output::Transmit(Transmit::new(socket, peer, payload)))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.wants.map(|at| Deadline::new(at, "whim"))
    }
}
