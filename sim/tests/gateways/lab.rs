//! A laboratory: nodes with one task each, which sends datagrams where it is told and keeps what it
//! hears.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    App, Buffer, Input, Membership, NetworkError, NetworkEvent, Outbox, Output, SocketId, Spawned,
    Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{DropCause, NodeId, World};

#[derive(Debug)]
pub(crate) struct Call;

impl App for Call {
    type Channel = ();
    type Message = ();
    type Command = Say;
    type Report = ();
    type Spawn = UdpOpen;
}

#[derive(Debug)]
pub(crate) enum Say {
    /// So many numbers from this one on, in one run.
    Numbers {
        to: SocketAddr,
        from: u64,
        count: u64,
    },
    /// So many zeros.
    Long {
        to: SocketAddr,
        bytes: usize,
    },
    Join(IpAddr),
}

/// A task with one socket.
pub(crate) struct Phone {
    open: UdpOpen,
    socket: Option<SocketId>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) heard: Vec<Heard>,
    /// What became of what it sent: when it was told, whom it had sent to, and why not.
    pub(crate) errors: Vec<(Timestamp, SocketAddr, NetworkError)>,
    /// What its node did not send.
    pub(crate) unsent: Vec<NetworkError>,
    outbox: Outbox<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) at: Timestamp,
    pub(crate) from: SocketAddr,
    /// The address that it came to.
    pub(crate) to: IpAddr,
    pub(crate) number: u64,
}

pub(crate) fn spawn(open: UdpOpen, spawner: Spawner<'_, Call>) -> Spawned {
    spawner.insert(Phone {
        open,
        socket: None,
        local: None,
        heard: Vec::new(),
        errors: Vec::new(),
        unsent: Vec::new(),
        outbox: Outbox::new(),
    })
}

impl Task for Phone {
    type App = Call;

    fn handle_input(&mut self, at: Timestamp, input: Input<Call>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(self.open),
            Input::Network(NetworkEvent::UdpOpened { socket, local, .. }) => {
                self.socket = Some(socket);
                self.local = Some(local);
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                let (from, to) = (run.peer, run.local.expect("told"));
                self.heard.extend(run.iter().map(|bytes| Heard {
                    at,
                    from,
                    to,
                    number: bytes.try_into().map_or(0, u64::from_le_bytes),
                }));
            }
            Input::Network(NetworkEvent::SocketError {
                peer: Some(peer),
                error,
                ..
            }) => self.errors.push((at, peer, error)),
            Input::Network(NetworkEvent::SendFailed { error, .. }) => self.unsent.push(error),
            Input::Network(NetworkEvent::GroupJoined(_)) => {}
            Input::Network(other) => panic!("nobody expected {other:?}"),
            Input::Command(Say::Numbers { to, from, count }) => {
                let bytes: Vec<u8> = (from..from + count).flat_map(u64::to_le_bytes).collect();
                let socket = self.socket.expect("open");
                let run = Transmit::new(socket, to, Buffer::copy_from(&bytes));
                self.outbox.transmit(run.with_segment_size(8));
            }
            Input::Command(Say::Long { to, bytes }) => {
                let socket = self.socket.expect("open");
                self.outbox
                    .send(socket, to, Buffer::copy_from(&vec![0; bytes]));
            }
            Input::Command(Say::Join(group)) => {
                let socket = self.socket.expect("open");
                self.outbox.join_group(Membership::new(socket, group));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Call>> {
        self.outbox.pop()
    }
}

/// What is done with worlds of phones.
pub(crate) trait Lab {
    fn start(&mut self, node: NodeId, bind: &str);
    fn start_with(&mut self, node: NodeId, open: UdpOpen);
    /// Has the first phone of a node send a number, and waits until all is quiet.
    fn say(&mut self, node: NodeId, to: SocketAddr, number: u64);
    /// The same, of the phone at this port.
    fn say_from(&mut self, node: NodeId, port: u16, to: SocketAddr, number: u64);
    /// Gives the first phone of a node a command, and waits for nothing.
    fn tell(&mut self, node: NodeId, say: Say);
    fn settle(&mut self);
    fn first(&self, node: NodeId) -> &Phone;
    /// The numbers that a node has heard.
    fn numbers(&self, node: NodeId) -> Vec<u64>;
    /// From where it heard last.
    fn caller(&self, node: NodeId) -> SocketAddr;
    fn dropped(&self, cause: DropCause) -> u64;
}

impl Lab for World<Call> {
    fn start(&mut self, node: NodeId, bind: &str) {
        self.start_with(node, UdpOpen::new(Token(0), address(bind)));
    }

    fn start_with(&mut self, node: NodeId, open: UdpOpen) {
        self.spawn(node, 0, open);
        self.run_for(Duration::from_nanos(1)).unwrap();
    }

    fn say(&mut self, node: NodeId, to: SocketAddr, number: u64) {
        let (from, count) = (number, 1);
        self.tell(node, Say::Numbers { to, from, count });
        self.settle();
    }

    fn say_from(&mut self, node: NodeId, port: u16, to: SocketAddr, number: u64) {
        let at_port = |phone: &Phone| phone.local.is_some_and(|local| local.port() == port);
        let found = self.tasks::<Phone>(node).find(|(_, phone)| at_port(phone));
        let task = found.expect("a phone").0;
        let (from, count) = (number, 1);
        self.command(node, task, Say::Numbers { to, from, count });
        self.settle();
    }

    fn tell(&mut self, node: NodeId, say: Say) {
        let (task, _) = self.tasks::<Phone>(node).next().expect("a phone");
        self.command(node, task, say);
    }

    fn settle(&mut self) {
        self.run_until_idle(secs(10)).unwrap();
    }

    fn first(&self, node: NodeId) -> &Phone {
        self.tasks::<Phone>(node).next().expect("a phone").1
    }

    fn numbers(&self, node: NodeId) -> Vec<u64> {
        let phones = self.tasks::<Phone>(node);
        phones
            .flat_map(|(_, phone)| phone.heard.iter().map(|heard| heard.number))
            .collect()
    }

    fn caller(&self, node: NodeId) -> SocketAddr {
        let phones = self
            .tasks::<Phone>(node)
            .flat_map(|(_, phone)| &phone.heard);
        phones
            .max_by_key(|heard| heard.at)
            .expect("it has heard something")
            .from
    }

    fn dropped(&self, cause: DropCause) -> u64 {
        self.counters().dropped.by(cause)
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
