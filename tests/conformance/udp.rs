//! What puppets do with UDP sockets, and what they hear.

#![allow(dead_code, reason = "a module of several test programs")]

use core::net::{IpAddr, SocketAddr};

use stillpoint::{
    Buffer, DatagramRun, Interface, InterfaceIndex, Membership, NetworkError, NetworkEvent,
    SocketId, Token, Transmit, UdpBuffers, UdpOpen,
};

use stillpoint::backend::Backend;
use stillpoint_sim::DropCause;

use super::lab::{Host, Inner, Lab, Puppet};

/// What a puppet was told when its socket was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) socket: SocketId,
    pub(crate) local: SocketAddr,
    pub(crate) buffers: UdpBuffers,
}

/// Datagrams of which a puppet was told that they were not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) socket: SocketId,
    pub(crate) peer: SocketAddr,
    pub(crate) error: NetworkError,
    pub(crate) datagrams: u32,
}

impl Lab {
    /// Has a puppet open a socket at its host's address, or at the one of IPv6.
    pub(crate) fn open(&mut self, puppet: Puppet) -> Opened {
        let ip = self.ip(puppet.host);
        self.open_with(puppet, at(ip, 0))
    }

    pub(crate) fn open_with(&mut self, puppet: Puppet, open: UdpOpen) -> Opened {
        self.try_open(puppet, open)
            .unwrap_or_else(|error| panic!("{open:?}: {error}"))
    }

    pub(crate) fn try_open(
        &mut self,
        puppet: Puppet,
        open: UdpOpen,
    ) -> Result<Opened, NetworkError> {
        self.act(puppet, move |hands| hands.outbox.open_udp(open));
        self.next(puppet, |event| match *event {
            NetworkEvent::UdpOpened {
                socket,
                token,
                local,
                buffers,
            } if token == open.token => Some(Ok(Opened {
                socket,
                local,
                buffers,
            })),
            NetworkEvent::UdpOpenFailed { token, error, .. } if token == open.token => {
                Some(Err(error))
            }
            _ => None,
        })
    }

    pub(crate) fn close(&mut self, puppet: Puppet, socket: SocketId) {
        self.act(puppet, move |hands| hands.outbox.close(socket));
    }

    /// Has a puppet send one datagram.
    pub(crate) fn send(&mut self, puppet: Puppet, from: SocketId, to: SocketAddr, bytes: &[u8]) {
        self.transmit(puppet, Transmit::new(from, to, Buffer::copy_from(bytes)));
    }

    pub(crate) fn transmit(&mut self, puppet: Puppet, transmit: Transmit) {
        self.act(puppet, move |hands| hands.outbox.transmit(transmit));
    }

    /// What arrives next at a puppet, at this socket.
    pub(crate) fn hear(&mut self, puppet: Puppet, at: SocketId) -> DatagramRun {
        self.next(puppet, |event| match event {
            NetworkEvent::Datagrams { socket, run } if *socket == at => Some(run.clone()),
            _ => None,
        })
    }

    /// So many datagrams, as they arrive at a puppet.
    pub(crate) fn hear_all(&mut self, puppet: Puppet, at: SocketId, count: usize) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while heard.len() < count {
            let run = self.hear(puppet, at);
            heard.extend(run.iter().map(<[u8]>::to_vec));
        }
        heard
    }

    /// Asserts that a puppet has heard nothing at a socket that was not asked for, once `marker`
    /// has arrived there.
    pub(crate) fn hear_only(&mut self, puppet: Puppet, at: SocketId, marker: &[u8]) {
        assert_eq!(&self.hear(puppet, at).payload[..], marker);
    }

    /// The next failure to send that a puppet is told of.
    pub(crate) fn failed(&mut self, puppet: Puppet) -> Failed {
        self.next(puppet, |event| match *event {
            NetworkEvent::SendFailed {
                socket,
                peer,
                error,
                datagrams,
            } => Some(Failed {
                socket,
                peer,
                error,
                datagrams,
            }),
            _ => None,
        })
    }

    /// The next error of a socket that a puppet is told of: at which, about whom, what.
    pub(crate) fn socket_error(
        &mut self,
        puppet: Puppet,
    ) -> (SocketId, Option<SocketAddr>, NetworkError) {
        self.next(puppet, |event| match *event {
            NetworkEvent::SocketError {
                socket,
                peer,
                error,
            } => Some((socket, peer, error)),
            _ => None,
        })
    }

    pub(crate) fn join(
        &mut self,
        puppet: Puppet,
        membership: Membership,
    ) -> Result<(), NetworkError> {
        self.act(puppet, move |hands| hands.outbox.join_group(membership));
        self.next(puppet, |event| match event {
            NetworkEvent::GroupJoined(of) if *of == membership => Some(Ok(())),
            NetworkEvent::GroupFailed {
                membership: of,
                error,
            } if *of == membership => Some(Err(*error)),
            _ => None,
        })
    }

    pub(crate) fn leave(
        &mut self,
        puppet: Puppet,
        membership: Membership,
    ) -> Result<(), NetworkError> {
        self.act(puppet, move |hands| hands.outbox.leave_group(membership));
        self.next(puppet, |event| match event {
            NetworkEvent::GroupLeft(of) if *of == membership => Some(Ok(())),
            NetworkEvent::GroupFailed {
                membership: of,
                error,
            } if *of == membership => Some(Err(*error)),
            _ => None,
        })
    }

    /// Has a puppet send back what it hears from now on, at any of its sockets.
    pub(crate) fn echo(&mut self, puppet: Puppet) {
        self.react(puppet, |event, hands| {
            if let NetworkEvent::Datagrams { socket, run } = event {
                hands.outbox.reply(*socket, run.clone());
            }
        });
    }

    /// Datagrams that found their socket's receive buffer full on a host; in the simulator, in the
    /// world.
    pub(crate) fn receive_dropped(&self, host: Host) -> u64 {
        match &self.inner {
            Inner::Sockets(machines) => machines[host.0].backend.counters().receive_dropped,
            Inner::Simulator(world, ..) => {
                let dropped = world.counters().dropped;
                dropped.by(DropCause::ReceiveBufferFull)
            }
        }
    }

    /// Whether a host receives and sends runs in one go.
    pub(crate) fn carries_runs(&self, host: Host) -> bool {
        match &self.inner {
            Inner::Sockets(machines) => {
                let can = machines[host.0].backend.capabilities();
                can.runs_in && can.runs_out
            }
            Inner::Simulator(..) => true,
        }
    }

    /// The interface through which the hosts of this world reach each other.
    pub(crate) fn interface(&self, host: Host) -> Interface {
        Interface::Address(self.ip(host))
    }

    /// Its number, which all hosts have alike.
    pub(crate) fn interface_index(&self) -> InterfaceIndex {
        InterfaceIndex::new(if self.kind.is_simulated() { 2 } else { 1 }).unwrap()
    }

    /// The address that reaches all hosts.
    pub(crate) fn broadcast(&self) -> IpAddr {
        if self.kind.is_simulated() {
            [10, 0, 0, 255].into()
        } else {
            [127, 255, 255, 255].into()
        }
    }
}

/// A socket to be opened there.
pub(crate) fn at(ip: IpAddr, port: u16) -> UdpOpen {
    UdpOpen::new(Token(u64::from(port)), SocketAddr::new(ip, port))
}

/// The same, at an address in text.
pub(crate) fn bound(address: &str) -> UdpOpen {
    UdpOpen::new(Token(0), address.parse().unwrap())
}

/// Bytes that differ from their neighbours.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}
