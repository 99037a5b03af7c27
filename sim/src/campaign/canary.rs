//! The canary that every sweep carries: a rare bug that is known. A sweep that does not find it would
//! not find others.
//!
//! It is the alternating-bit protocol (K. A. Bartlett, R. A. Scantlebury, P. T. Wilkinson, CACM 12(5),
//! 1969): each message carries one bit, is sent until its bit is acknowledged, and taken if its bit is
//! the one that is waited for. That is sound on a line that keeps the order, and this line hardly
//! ever does not. So it takes the network, timers, draws, threads and the count of failures to find
//! it.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};

use crate::drive::{Canary, Scenario};
use crate::failure::Failure;
use crate::link::Link;
use crate::world::World;

/// The canary that is built in.
pub(crate) fn built_in() -> Canary {
    Canary {
        scenario: Scenario::new(NAME, scenario),
        within: WITHIN,
    }
}

#[derive(Debug)]
struct Bits;

impl App for Bits {
    type Channel = ();
    type Message = ();
    type Command = ();
    /// A message that was taken.
    type Report = u8;
    type Spawn = Role;
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Sender,
    Receiver,
}

/// Either end. What it sends is the number of a message, whose lowest bit alone is looked at.
#[derive(Debug)]
struct End {
    role: Role,
    /// The message that is sent, or waited for.
    current: u8,
    socket: Option<SocketId>,
    again_at: Option<Timestamp>,
    outbox: Outbox<Bits>,
}

impl End {
    fn send(&mut self, now: Timestamp) {
        if let Some(socket) = self.socket
            && self.current < MESSAGES
        {
            let message = Buffer::copy_from(&[self.current]);
            self.outbox.send(socket, receiver(), message);
            self.again_at = Some(now.after(AGAIN));
        }
    }

    fn hear(&mut self, now: Timestamp, number: u8) {
        let is_mine = number % 2 == self.current % 2;
        match self.role {
            Role::Sender if is_mine => {
                self.current += 1;
                self.again_at = None;
                self.send(now);
            }
            Role::Receiver if is_mine => {
                self.current = self.current.wrapping_add(1);
                self.outbox.report(number);
            }
            Role::Sender | Role::Receiver => {}
        }
    }
}

impl Task for End {
    type App = Bits;

    #[expect(clippy::wildcard_enum_match_arm, reason = "it hears of nothing else")]
    fn handle_input(&mut self, now: Timestamp, input: Input<Bits>) {
        match input {
            Input::Started(_) => {
                let port = match self.role {
                    Role::Sender => 0,
                    Role::Receiver => receiver().port(),
                };
                let bind = SocketAddr::from(([0, 0, 0, 0], port));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                if matches!(self.role, Role::Sender) {
                    self.send(now);
                }
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                for message in run.iter() {
                    self.hear(now, message.first().copied().unwrap_or_default());
                }
                if matches!(self.role, Role::Receiver) {
                    self.outbox.reply(socket, run);
                }
            }
            Input::Timeout if self.again_at.is_some_and(|at| at <= now) => self.send(now),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Bits>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.again_at.map(|at| Deadline::new(at, "send it again"))
    }

    fn inspect(&self) -> Option<&dyn core::fmt::Debug> {
        Some(self)
    }
}

fn spawn(role: Role, spawner: Spawner<'_, Bits>) -> Spawned {
    spawner.insert(End {
        role,
        current: 0,
        socket: None,
        again_at: None,
        outbox: Outbox::new(),
    })
}

fn receiver() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 9))
}

fn scenario(world: &mut World<Bits>) -> Result<(), Failure> {
    let ms = Duration::from_millis;
    let sender = world.node("sender", [10, 0, 0, 1]).spawner(spawn);
    let receiver = world.node("receiver", [10, 0, 0, 2]).spawner(spawn);
    world.link(sender, receiver, &Link::fixed(ms(5)).reorder(LATE, ms(50)));
    world.spawn(receiver, 0, Role::Receiver);
    world.run_for(ms(1))?;
    world.spawn(sender, 0, Role::Sender);
    let all = usize::from(MESSAGES);
    // What it takes too many is a failure, and what it never gets is none: it waits no longer.
    let ended = world.run_until(ms(2_000), |world| world.reports().len() >= all);
    let taken: Vec<u8> = world
        .take_reports()
        .iter()
        .map(|taken| taken.report)
        .collect();
    if taken
        .iter()
        .enumerate()
        .any(|(wanted, &number)| wanted != usize::from(number))
    {
        return Err(Failure::new(format!("messages out of order: {taken:?}")));
    }
    ended
}

/// Its name.
pub(crate) const NAME: &str = "stillpoint-canary";

/// Seeds within which it is found, unless something is broken: it is found by one in 300 or so, so
/// all of these miss it once in ten million times.
const WITHIN: u64 = 5_000;

/// Messages that are sent.
const MESSAGES: u8 = 6;

/// How long it takes until a message is sent again: longer than there and back.
const AGAIN: Duration = Duration::from_millis(12);

/// Share of the messages that come late, by up to 50 ms: seldom enough, two messages later.
const LATE: f64 = 0.002;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rare_but_not_too_rare() {
        let canary = built_in();
        let seeds = 6_000;
        let failed = (0..seeds).filter(|&seed| canary.scenario.run_seed(seed).1.is_err());
        let failed = failed.count() as u64;
        eprintln!("one in {}", seeds / failed.max(1));
        assert!(
            (seeds / 600..=seeds / 150).contains(&failed),
            "{failed} of {seeds}"
        );
    }
}
