//! The simulator.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use stillpoint::{
    App, Buffer, Context, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Task, Timestamp,
    Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, World};

use super::{Curve, Figure, Run, sizes};

pub(crate) fn figures() -> Vec<Figure> {
    let curve = |name: &str, busy: fn(u32) -> u32| Curve {
        name: name.to_owned(),
        sizes: sizes(100_000)
            .into_iter()
            .filter(|&size| size > 1)
            .collect(),
        prepare: Box::new(move |nodes| deliveries(nodes, busy(nodes))),
    };
    vec![Figure {
        name: "nodes",
        title: "A datagram in the simulator",
        axis: "nodes",
        curves: vec![
            curve("from all nodes to random ones", |nodes| nodes),
            curve("to and fro between two of them", |_| 2),
        ],
    }]
}

/// Among so many nodes, as many of which send what they get to a random one of them, one datagram
/// each.
fn deliveries(nodes: u32, busy: u32) -> Run {
    let mut world = World::new(1);
    world.set_events_max(u64::MAX);
    let ms = Duration::from_millis;
    world.default_link(&Link::new(ms(1)..=ms(2)));
    for host in 0..nodes {
        let node = world
            .node(format!("host {host}"), address(host))
            .spawner(|busy, spawner| {
                spawner.insert(Host {
                    busy,
                    context: None,
                    outbox: Outbox::new(),
                })
            });
        world.spawn(node, 0, if host < busy { busy } else { 0 });
    }
    world.run_for(ms(10)).expect("nobody fails");
    Box::new(move |events| {
        let before = world.counters().delivered;
        let start = Instant::now();
        let enough = before + u64::from(events);
        let done = |world: &World<Mesh>| world.counters().delivered >= enough;
        world.run_until(Duration::MAX, done).expect("nobody fails");
        let delivered = world.counters().delivered - before;
        (u32::try_from(delivered).expect("few"), start.elapsed())
    })
}

#[derive(Debug)]
struct Mesh;

impl App for Mesh {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    /// How many nodes send to each other, if this is one of them.
    type Spawn = u32;
}

struct Host {
    busy: u32,
    context: Option<Context>,
    outbox: Outbox<Mesh>,
}

impl Host {
    fn send(&mut self, socket: SocketId, payload: Buffer) {
        let context = self.context.as_mut().expect("it has started");
        let host = context.random.below(u64::from(self.busy));
        let peer = address(u32::try_from(host).expect("one of the hosts"));
        let peer = SocketAddr::from((peer, PORT));
        self.outbox.transmit(Transmit::new(socket, peer, payload));
    }
}

impl Task for Host {
    type App = Mesh;

    fn handle_input(&mut self, _: Timestamp, input: Input<Mesh>) {
        match input {
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.send(socket, run.payload);
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) if self.busy > 0 => {
                self.send(socket, Buffer::copy_from(&[7; 200]));
            }
            Input::Started(context) => {
                self.context = Some(context);
                let bind = (Ipv4Addr::UNSPECIFIED, PORT).into();
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Mesh>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + host)
}

const PORT: u16 = 7;
