//! A task that sends what it is told and keeps what it hears, for the tests of links.

use core::net::SocketAddr;

use stillpoint::{
    App, Buffer, Ecn, Input, Membership, NetworkError, NetworkEvent, Outbox, Output, SocketId,
    Spawned, Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, NodeId, World};

use super::common::ms;

/// The group that all are members of.
pub(crate) const GROUP: [u8; 4] = [239, 0, 0, 7];

#[derive(Debug)]
pub(crate) struct Post;

impl App for Post {
    type Channel = ();
    type Message = ();
    type Command = Parcel;
    type Report = ();
    type Spawn = ();
}

/// What is to be sent: a datagram, or a run if there is a segment size.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
    pub(crate) segment_size: usize,
    pub(crate) ecn: Ecn,
}

/// Datagrams that came in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) at: Timestamp,
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) ecn: Ecn,
}

/// What it was told of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Failed(NetworkError, u32),
    Error(NetworkError),
}

#[derive(Default)]
pub(crate) struct Poster {
    socket: Option<SocketId>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) told: Vec<(Timestamp, Told)>,
    outbox: Outbox<Post>,
}

impl Task for Poster {
    type App = Post;

    fn handle_input(&mut self, now: Timestamp, input: Input<Post>) {
        match input {
            Input::Started(_) => {
                let bind = "[::]:7".parse().unwrap();
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Command(parcel) => {
                let payload = Buffer::copy_from(&parcel.payload);
                let mut transmit = Transmit::new(self.socket.unwrap(), parcel.to, payload)
                    .with_segment_size(parcel.segment_size);
                transmit.ecn = parcel.ecn;
                self.outbox.transmit(transmit);
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                self.outbox.join_group(Membership::new(socket, GROUP));
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => self.heard.push(Heard {
                at: now,
                datagrams: run.iter().map(<[u8]>::to_vec).collect(),
                ecn: run.ecn,
            }),
            Input::Network(NetworkEvent::SendFailed {
                error, datagrams, ..
            }) => self.told.push((now, Told::Failed(error, datagrams))),
            Input::Network(NetworkEvent::SocketError { error, .. }) => {
                self.told.push((now, Told::Error(error)));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Post>> {
        self.outbox.pop()
    }
}

pub(crate) fn spawn((): (), spawner: Spawner<'_, Post>) -> Spawned {
    spawner.insert(Poster::default())
}

/// Two nodes, with this link from the first to the second, and a millisecond back. They have the
/// addresses 10.0.0.1 and 10.0.0.2, and fd00::1 and fd00::2.
pub(crate) fn two(world: &mut World<Post>, link: &Link) -> (NodeId, NodeId) {
    let mut node = |number: u16| {
        let v6 = core::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number);
        let v4 = [10, 0, 0, number.to_le_bytes()[0]];
        let name = format!("node {number}");
        let node = world.node(name, v4).address(v6).spawner(spawn);
        world.spawn(node, 0, ());
        node
    };
    let (a, b) = (node(1), node(2));
    world.run_for(ms(1)).unwrap();
    world.one_way(a, b, link);
    (a, b)
}

/// Something to the second node.
pub(crate) fn parcel(payload: impl Into<Vec<u8>>) -> Parcel {
    Parcel {
        to: SocketAddr::from(([10, 0, 0, 2], 7)),
        payload: payload.into(),
        segment_size: 0,
        ecn: Ecn::NotCapable,
    }
}

/// A run of so many datagrams of so many bytes, each filled with its number.
pub(crate) fn run(count: u8, bytes: usize) -> Parcel {
    let payload: Vec<u8> = (0..count).flat_map(|number| vec![number; bytes]).collect();
    Parcel {
        segment_size: bytes,
        ..parcel(payload)
    }
}

/// Has the only task of a node send something now.
pub(crate) fn send(world: &mut World<Post>, node: NodeId, parcel: Parcel) {
    let (task, _) = world.tasks::<Poster>(node).next().unwrap();
    world.command(node, task, parcel);
}

/// Sends numbered datagrams of so many bytes, one each `every`, and runs until nothing is left.
pub(crate) fn send_each(
    world: &mut World<Post>,
    node: NodeId,
    (count, bytes): (u32, usize),
    every: core::time::Duration,
) {
    for number in 0..count {
        let mut payload = vec![0; bytes];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        send(world, node, parcel(payload));
        world.run_for(every).unwrap();
    }
    world.run_until_idle(ms(600_000)).unwrap();
}

pub(crate) fn poster(world: &World<Post>, node: NodeId) -> &Poster {
    world.tasks::<Poster>(node).next().unwrap().1
}

/// What a node has heard, in order: when, and what.
pub(crate) fn heard(world: &World<Post>, node: NodeId) -> Vec<(Timestamp, Vec<u8>)> {
    let all = poster(world, node).heard.iter();
    all.flat_map(|heard| heard.datagrams.iter().map(|one| (heard.at, one.clone())))
        .collect()
}

/// The numbers of what a node has heard.
pub(crate) fn numbers(world: &World<Post>, node: NodeId) -> Vec<u32> {
    let number = |bytes: &[u8]| bytes.try_into().map_or(u32::MAX, u32::from_le_bytes);
    let all = heard(world, node).into_iter();
    all.map(|(_, datagram)| number(&datagram[..4])).collect()
}
