//! The contestant stillpoint: traces are hashed and faults are compiled in, as for its users.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};
use stillpoint_sim::{Link, World};

use crate::program::{Dice, PAYLOAD_BYTES, PORT, Program, resident};

pub(crate) fn run(program: Program, size: u64) -> u64 {
    let mut world = World::<Peers>::new(1);
    let ms = Duration::from_millis;
    world.default_link(&Link::new(ms(1)..=ms(2)));
    world.set_events_max(u64::MAX);
    for number in 0..program.hosts() {
        let node = world.node(format!("host {number}"), ip(number)).spawner(
            |spawn: Host, spawner: Spawner<'_, Peers>| -> Spawned { spawner.insert(spawn) },
        );
        world.spawn(node, 0, Host::new(number, program));
    }
    let ran = match program {
        Program::Idle => world.run_for(Duration::from_secs(size)),
        Program::Memory { .. } => world.run_for(ms(10)),
        Program::PingPong { .. } | Program::Mesh { .. } | Program::Whole => {
            world.run_until(Duration::MAX, |world| world.counters().delivered >= size)
        }
    };
    ran.expect("no host fails");
    resident()
}

fn ip(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + host)
}

#[derive(Debug)]
struct Peers;

impl App for Peers {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Host;
}

/// Sends on what it gets, or back.
#[derive(Debug)]
struct Host {
    number: u32,
    program: Program,
    dice: Dice,
    socket: Option<SocketId>,
    due: Option<Timestamp>,
    outbox: Outbox<Peers>,
}

impl Host {
    fn new(number: u32, program: Program) -> Self {
        Self {
            number,
            program,
            dice: Dice::new(number),
            socket: None,
            due: None,
            outbox: Outbox::new(),
        }
    }

    fn send_first(&mut self) {
        if let Some(socket) = self.socket {
            let payload = Buffer::copy_from(&[7; PAYLOAD_BYTES]);
            let peer = SocketAddr::from((ip(self.number ^ 1), PORT));
            self.outbox.send(socket, peer, payload);
        }
    }
}

impl Task for Host {
    type App = Peers;

    fn handle_input(&mut self, now: Timestamp, input: Input<Peers>) {
        match input {
            Input::Network(NetworkEvent::Datagrams { socket, run }) => match self.program {
                Program::Mesh { hosts } => {
                    let peer = SocketAddr::from((ip(self.dice.below(hosts)), PORT));
                    let transmit = Transmit::new(socket, peer, run.payload);
                    self.outbox.transmit(transmit);
                }
                Program::PingPong { .. } | Program::Whole => self.outbox.reply(socket, run),
                Program::Idle | Program::Memory { .. } => {}
            },
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                // The others are to be there too.
                if self.program == Program::Idle && self.number == 0 {
                    self.due = Some(now.after(Duration::from_secs(1)));
                } else if self.program.window(self.number) > 0 {
                    self.due = Some(now.after(Duration::from_millis(2)));
                }
            }
            Input::Timeout if self.program == Program::Idle => {
                self.due = Some(now.after(Duration::from_secs(1)));
                self.send_first();
            }
            Input::Timeout => {
                self.due = None;
                (0..self.program.window(self.number)).for_each(|_| self.send_first());
            }
            Input::Started(_) => {
                let bind = (Ipv4Addr::UNSPECIFIED, PORT).into();
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _now: Timestamp,
        _transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Peers>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.due.map(|at| Deadline::new(at, "the next datagram"))
    }
}
