//! One delivery in the simulator: sent, carried over a link, received, and what the trace hash
//! takes for it.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    Buffer, Input, NetworkEvent, Outbox, Output, Spawned, Spawner, Task, Timestamp, Token,
    Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, World};

use super::{OPERATIONS, counted_operation};

/// Among so many nodes, two of which send a datagram to and fro.
pub(crate) fn deliveries(nodes: u32) {
    let mut world = World::new(1);
    let ms = Duration::from_millis;
    world.default_link(&Link::new(ms(1)..=ms(2)));
    for host in 0..nodes.max(2) {
        let node = world
            .node(format!("host {host}"), address(host))
            .spawner(spawn);
        let first = (host == 0).then(|| SocketAddr::from((address(1), PORT)));
        world.spawn(node, 0, first);
    }
    // What allocates once has done so before counting begins.
    deliver(&mut world, OPERATIONS.into());
    let end = 2 * u64::from(OPERATIONS);
    counted_operation(|| deliver(&mut world, end));
    assert_eq!(world.counters().delivered, end);
}

/// Runs until so many datagrams have been delivered in all.
fn deliver(world: &mut World<App>, datagrams: u64) {
    let done = |world: &World<App>| world.counters().delivered >= datagrams;
    world.run_until(Duration::MAX, done).expect("nobody fails");
}

#[derive(Debug)]
struct App;

impl stillpoint::App for App {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    /// Whom a host sends the first datagram to.
    type Spawn = Option<SocketAddr>;
}

fn spawn(first: Option<SocketAddr>, spawner: Spawner<'_, App>) -> Spawned {
    spawner.insert(Host {
        first,
        outbox: Outbox::new(),
    })
}

/// Sends back what it gets.
struct Host {
    first: Option<SocketAddr>,
    outbox: Outbox<App>,
}

impl Task for Host {
    type App = App;

    fn handle_input(&mut self, _: Timestamp, input: Input<App>) {
        match input {
            Input::Started(_) => {
                let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                if let Some(first) = self.first {
                    self.outbox
                        .send(socket, first, Buffer::copy_from(&[7; 200]));
                }
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.transmit(Transmit::reply(socket, run));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<App>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<stillpoint::Deadline> {
        None
    }
}

/// The address of a host.
fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + host)
}

const PORT: u16 = 7;
