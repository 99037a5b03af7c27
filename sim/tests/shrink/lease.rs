//! A lease that has a bug, among five hundred faults.
//!
//! Whoever holds the lease renews it every 100 ms, and is meant to stop when it was too late for
//! that. This one goes on: it must not have stood still for nearly a second.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Failure, Fault, Link, NodeId, World};

#[derive(Debug)]
pub struct Leases;

impl App for Leases {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Role;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds the lease.
    Holder,
    /// Asks for it again and again.
    Client,
}

pub struct Peer {
    role: Role,
    socket: Option<SocketId>,
    next_at: Option<Timestamp>,
    outbox: Outbox<Leases>,
}

impl Task for Peer {
    type App = Leases;

    fn handle_input(&mut self, now: Timestamp, input: Input<Leases>) {
        match input {
            Input::Started(_) => {
                let bind = "0.0.0.0:7".parse().expect("an address");
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
                self.next_at = Some(now.after(RENEWED));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => self.socket = Some(socket),
            Input::Network(NetworkEvent::Datagrams { socket, run })
                if self.role == Role::Holder =>
            {
                self.outbox.send(socket, run.peer, Buffer::copy_from(b"no"));
            }
            Input::Timeout => {
                let Some(due) = self.next_at.filter(|&at| at <= now) else {
                    return;
                };
                let late = now.since(due);
                assert!(
                    self.role == Role::Client || late < EXPIRED,
                    "the lease is renewed long after it has run out"
                );
                if let (Role::Client, Some(socket)) = (self.role, self.socket) {
                    self.outbox
                        .send(socket, holder(), Buffer::copy_from(b"mine?"));
                }
                self.next_at = Some(now.after(RENEWED));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Leases>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next_at.map(|at| Deadline::new(at, "renewal"))
    }
}

fn spawn(role: Role, spawner: Spawner<'_, Leases>) -> Spawned {
    spawner.insert(Peer {
        role,
        socket: None,
        next_at: None,
        outbox: Outbox::new(),
    })
}

fn holder() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7))
}

/// A holder and four clients, to whom something happens every 100 ms: five hundred faults and as many
/// ends of them.
pub fn five_hundred_faults(world: &mut World<Leases>) -> Result<(), Failure> {
    world.default_link(&Link::new(ms(1)..=ms(5)));
    let nodes: Vec<NodeId> = (1..=5_u8)
        .map(|number| {
            let role = if number == 1 {
                Role::Holder
            } else {
                Role::Client
            };
            let name = format!("{role:?} {number}");
            let node = world.node(name, [10, 0, 0, number]);
            let node = node.boot(move |boot| boot.spawn(0, role));
            node.spawner(spawn)
        })
        .collect();
    for _ in 0..500 {
        let kind = world.draw("kind", 0..=4);
        let from = nodes[usize::try_from(world.draw("node", 0..=4)).expect("five")];
        let to = nodes[usize::try_from(world.draw("other", 0..=4)).expect("five")];
        let ends = world.now().after(ms(world.draw("lasts", 10..=1_000)));
        let (fault, end) = match kind {
            0 => (
                Fault::LateTimers {
                    who: from.into(),
                    lateness: Some(ms(0)..=ms(20)),
                },
                Fault::LateTimers {
                    who: from.into(),
                    lateness: None,
                },
            ),
            1 => (Fault::Pause(from), Fault::Resume(from)),
            2 => (Fault::Crash(from), Fault::Restart(from)),
            3 if from != to => (Fault::Cut { from, to }, Fault::Mend { from, to }),
            _ => (
                Fault::DescriptorsMax {
                    node: from,
                    max: Some(8),
                },
                Fault::DescriptorsMax {
                    node: from,
                    max: None,
                },
            ),
        };
        world.inject(fault);
        world.schedule(ends, end);
        world.run_for(ms(100))?;
    }
    Ok(())
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const RENEWED: Duration = ms(100);

/// When the lease has run out, since it was to be renewed.
pub const EXPIRED: Duration = ms(980);
