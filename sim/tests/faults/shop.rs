//! A shop: a till that sells over UDP and TCP, a clerk on another worker who writes it down, and
//! buyers who do not give up.

use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{
    App, Buffer, BusEvent, Context, Deadline, Input, NetworkEvent, NoRoom, Outbox, Output,
    SocketId, Spawned, Spawner, StreamId, Task, TcpConnect, TcpListen, Timestamp, Token,
    TransmitBuffer, UdpOpen, WhenWorkerFails,
};
use stillpoint_sim::{Link, NodeId, World};

#[derive(Debug)]
pub(crate) struct Shop;

impl App for Shop {
    type Channel = ();
    type Message = u64;
    type Command = ();
    type Report = Report;
    type Spawn = Role;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// By the clerk: so many have been written down, in all lives.
    Sold(u64),
    /// By a buyer: an answer came over UDP.
    Answered,
    /// By a buyer: an answer came over TCP.
    Echoed,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Till,
    Clerk { sold: u64 },
    Buyer,
}

pub(crate) fn spawn(role: Role, spawner: Spawner<'_, Shop>) -> Spawned {
    match role {
        Role::Till => spawner.insert(Till::default()),
        Role::Clerk { sold } => spawner.insert(Clerk {
            sold,
            outbox: Outbox::new(),
        }),
        Role::Buyer => spawner.insert(Buyer::default()),
    }
}

/// The till.
#[derive(Default)]
pub(crate) struct Till {
    context: Option<Context>,
    retry: Option<(Timestamp, Port)>,
    sold: u64,
    outbox: Outbox<Shop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Udp,
    Tcp,
    Both,
}

impl Till {
    fn open(&mut self, port: Port) {
        if port != Port::Tcp {
            self.outbox.open_udp(UdpOpen::new(Token(0), at(7)));
        }
        if port != Port::Udp {
            self.outbox.listen(TcpListen::new(Token(0), at(8)));
        }
    }

    fn failed(&mut self, now: Timestamp, port: Port) {
        let port = match self.retry {
            Some((_, other)) if other != port => Port::Both,
            _ => port,
        };
        self.retry = Some((now.after(RETRY), port));
    }
}

impl Task for Till {
    type App = Shop;

    fn handle_input(&mut self, now: Timestamp, input: Input<Shop>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.open(Port::Both);
            }
            Input::Timeout => {
                if let Some((_, port)) = self.retry.take() {
                    self.open(port);
                }
            }
            Input::Network(event) => match event {
                NetworkEvent::UdpOpenFailed { .. } => self.failed(now, Port::Udp),
                NetworkEvent::ListenFailed { .. } => self.failed(now, Port::Tcp),
                NetworkEvent::Datagrams { socket, run } => {
                    self.sold += 1;
                    self.outbox.broadcast(self.sold, NoRoom::Wait);
                    // It is allowed to say nothing, as datagrams may be lost.
                    let context = self.context.as_ref().expect("started");
                    if !context.buggify("till is silent") {
                        self.outbox.reply(socket, run);
                    }
                }
                NetworkEvent::Received { stream, data } => self.outbox.write(stream, data),
                NetworkEvent::ReadEnded { stream } => self.outbox.end_write(stream),
                _ => {}
            },
            Input::Bus(BusEvent::NoRoom { .. }) | Input::Command(()) => {}
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Shop>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.retry?.0, "opens again"))
    }
}

/// Writes down.
pub(crate) struct Clerk {
    pub(crate) sold: u64,
    outbox: Outbox<Shop>,
}

impl Task for Clerk {
    type App = Shop;

    fn handle_input(&mut self, _: Timestamp, input: Input<Shop>) {
        match input {
            Input::Started(_) => self.outbox.become_agent(),
            Input::Bus(BusEvent::Message { .. }) => {
                self.sold += 1;
                self.outbox.report(Report::Sold(self.sold));
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Shop>> {
        self.outbox.pop()
    }
}

/// Asks over both, again and again, and begins anew when nothing comes.
#[derive(Default)]
pub(crate) struct Buyer {
    socket: Option<SocketId>,
    stream: Option<StreamId>,
    /// When the stream was asked for, or last heard of.
    heard_at: Timestamp,
    next_at: Option<Timestamp>,
    outbox: Outbox<Shop>,
}

impl Buyer {
    fn connect(&mut self, now: Timestamp) {
        self.heard_at = now;
        let connect = TcpConnect::new(Token(0), at(8));
        self.outbox.connect(connect.with_timeout(PATIENCE));
    }

    fn tick(&mut self, now: Timestamp) {
        self.next_at = Some(now.after(EVERY));
        match self.socket {
            Some(socket) => self.outbox.send(socket, at(7), Buffer::copy_from(b"one")),
            None => self.open(),
        }
        match self.stream {
            Some(stream) if self.heard_at.after(PATIENCE) <= now => {
                self.outbox.reset(stream);
                self.stream = None;
                self.connect(now);
            }
            Some(stream) => self.outbox.write(stream, Buffer::copy_from(b"another")),
            None if self.heard_at.after(PATIENCE * 2) <= now => self.connect(now),
            None => {}
        }
    }

    fn open(&mut self) {
        let bind = SocketAddr::from(([0, 0, 0, 0], 0));
        self.outbox.open_udp(UdpOpen::new(Token(0), bind));
    }
}

impl Task for Buyer {
    type App = Shop;

    fn handle_input(&mut self, now: Timestamp, input: Input<Shop>) {
        match input {
            Input::Started(_) => {
                self.next_at = Some(now.after(EVERY));
                self.open();
                self.connect(now);
            }
            Input::Timeout => self.tick(now),
            Input::Network(event) => match event {
                NetworkEvent::UdpOpened { socket, .. } if self.socket.is_none() => {
                    self.socket = Some(socket);
                }
                // It asked twice, as the first answer took its time.
                NetworkEvent::UdpOpened { socket, .. } => self.outbox.close(socket),
                NetworkEvent::Datagrams { .. } => self.outbox.report(Report::Answered),
                NetworkEvent::Connected { stream, .. } if self.stream.is_none() => {
                    self.heard_at = now;
                    self.stream = Some(stream);
                }
                NetworkEvent::Connected { stream, .. } => self.outbox.reset(stream),
                NetworkEvent::Received { .. } => {
                    self.heard_at = now;
                    self.outbox.report(Report::Echoed);
                }
                NetworkEvent::ReadEnded { stream } => self.outbox.end_write(stream),
                NetworkEvent::StreamClosed { stream, .. } => {
                    self.stream = self.stream.filter(|own| *own != stream);
                }
                _ => {}
            },
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Shop>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at?, "asks again"))
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// A till with two workers, at 10.0.0.1, and so many buyers.
pub(crate) fn open(world: &mut World<Shop>, buyers: u8) -> (NodeId, Vec<NodeId>) {
    open_with(world, buyers, Duration::ZERO..=Duration::from_millis(5))
}

/// The same, with a disk that takes this long.
pub(crate) fn open_with(
    world: &mut World<Shop>,
    buyers: u8,
    sync_delay: RangeInclusive<Duration>,
) -> (NodeId, Vec<NodeId>) {
    let till = world
        .node("till", [10, 0, 0, 1])
        .workers(2)
        .when_worker_fails(WhenWorkerFails::GoOn)
        .sync_delay(sync_delay)
        .persist(|report, disk| {
            if let Report::Sold(sold) = report {
                disk.write("sold", sold.to_le_bytes());
            }
        })
        .boot(|boot| {
            let sold = boot.disk().read("sold").map_or(0, |bytes| {
                u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
            });
            boot.spawn(0, Role::Till);
            boot.spawn(1, Role::Clerk { sold });
        })
        .spawner(spawn);
    let buyer = |number: u8| {
        let node = world.node(format!("buyer {number}"), [10, 0, 0, 10 + number]);
        let node = node.boot(|boot| boot.spawn(0, Role::Buyer)).spawner(spawn);
        let ms = Duration::from_millis;
        world.link(till, node, &Link::new(ms(1)..=ms(10)));
        node
    };
    (till, (0..buyers).map(buyer).collect())
}

const EVERY: Duration = Duration::from_millis(20);

const RETRY: Duration = Duration::from_millis(100);

const PATIENCE: Duration = Duration::from_millis(500);
