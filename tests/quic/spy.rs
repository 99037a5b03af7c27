//! Somebody at the server's address who notes how datagrams are marked, and answers nothing.
#![allow(unreachable_pub, reason = "a module of a test program")]

use stillpoint::{
    Ecn, Input, NetworkEvent, Outbox, Output, Spawned, Spawner, Task, Timestamp, Token,
    TransmitBuffer, UdpOpen,
};

use crate::lab::SERVER;
use crate::quic::{Quic, Spawn};

#[derive(Default)]
pub struct Spy {
    pub heard: Vec<Ecn>,
    outbox: Outbox<Quic>,
}

pub fn spawn(_: Spawn, spawner: Spawner<'_, Quic>) -> Spawned {
    spawner.insert(Spy::default())
}

impl Task for Spy {
    type App = Quic;

    fn handle_input(&mut self, _: Timestamp, input: Input<Quic>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(UdpOpen::new(Token(0), SERVER)),
            Input::Network(NetworkEvent::Datagrams { run, .. }) => self.heard.push(run.ecn),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Quic>> {
        self.outbox.pop()
    }
}
