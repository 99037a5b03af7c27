//! UDP over the system's sockets: what all backends share that wait for readiness.
//!
//! [`UdpPort`] takes commands: it opens and closes sockets at once, and queues datagrams until
//! they are flushed. What comes of commands waits in it as events, which the backend hands over at
//! its next wait. [`Receiver`] is the other half: it takes batches of messages off a socket and
//! hands them over in place, while what they cause goes to the port.
//!
//! How it is waited for sockets is the business of a [`Readiness`], which the port tells of
//! sockets that come and go.

use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use super::readiness::Readiness;
use super::sys::{self, Batching, Errno, SendScratch};
use super::{BackendConfig, Capabilities, Offload, Port};
use crate::buffer::BufferPool;
use crate::id::SocketId;
use crate::net::{NetworkCommand, NetworkCounters, NetworkError, NetworkEvent, Transmit, UdpOpen};
use crate::transmit::TransmitBuffer;

mod backlog;
mod events;
mod queue;
mod receive;
mod refusals;
mod send;
mod table;

use events::Events;
use queue::{Destination, Joining, Memory, SendQueue};
pub(super) use receive::{Receiver, hand_over_errors};
use table::{Announced, Socket, SocketTable};

/// Where a worker's commands go, for the backends that wait for readiness.
pub struct UdpPort {
    sockets: SocketTable,
    queue: SendQueue,
    scratch: SendScratch,
    events: Events,
    pub(super) readiness: Box<dyn Readiness>,
    counters: NetworkCounters,
    buffers: BufferPool,
    offload: Offload,
    batching: Batching,
    runs_out: RunsOut,
}

/// Whether a bounded batch may have left something behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Something,
}

impl Left {
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::Something { self } else { other }
    }
}

/// Whether the kernel splits runs that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunsOut {
    Yes,
    No,
}

impl UdpPort {
    /// A port without sockets, and what it can do.
    pub(super) fn new(
        readiness: Box<dyn Readiness>,
        config: &BackendConfig,
        batching: Batching,
    ) -> (Self, Capabilities) {
        let (runs_in, runs_out) = match config.offload {
            Offload::WhereAvailable if batching.is_many() => sys::runs_supported(),
            Offload::WhereAvailable | Offload::Off => (false, false),
        };
        let port = Self {
            sockets: SocketTable::new(),
            queue: SendQueue::new(),
            scratch: SendScratch::new(),
            events: Events::new(),
            readiness,
            counters: NetworkCounters::default(),
            buffers: config.buffers.clone(),
            offload: if runs_in {
                Offload::WhereAvailable
            } else {
                Offload::Off
            },
            batching,
            runs_out: if runs_out { RunsOut::Yes } else { RunsOut::No },
        };
        let capabilities = Capabilities {
            runs_in,
            runs_out,
            batches: batching.is_many(),
            packet_info: cfg!(target_os = "linux"),
        };
        (port, capabilities)
    }

    pub(super) const fn counters(&self) -> NetworkCounters {
        self.counters
    }

    /// The descriptor of an open socket.
    pub(super) fn fd(&self, socket: SocketId) -> Option<BorrowedFd<'_>> {
        self.sockets.get(socket).map(|socket| socket.fd.as_fd())
    }

    /// How many events wait to be handed over.
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// The next event that waits, if its socket is still there.
    ///
    /// A socket becomes readable only once its task was told that it is open.
    pub(super) fn poll_event(&mut self) -> Option<NetworkEvent> {
        while let Some(event) = self.events.pop() {
            if let NetworkEvent::UdpOpened { socket, .. } = event {
                let Some(open) = self.sockets.get_mut(socket) else {
                    continue;
                };
                if let Err(error) = self.readiness.add(socket, open.fd.as_fd()) {
                    return Some(self.fail_to_open(event, error));
                }
                open.announced = Announced::Yes;
                if !open.backlog.is_empty() {
                    self.change_interest(socket);
                }
            } else if !matches!(event, NetworkEvent::UdpOpenFailed { .. })
                && self.sockets.get(event.socket()).is_none()
            {
                continue;
            }
            return Some(event);
        }
        None
    }

    fn open(&mut self, id: SocketId, open: UdpOpen) {
        let token = open.token;
        let event = match sys::open_udp(&open, self.offload) {
            Ok((fd, local)) => {
                self.sockets.insert(Socket::new(id, fd, local, &open));
                NetworkEvent::UdpOpened {
                    socket: id,
                    token,
                    local,
                }
            }
            Err(error) => NetworkEvent::UdpOpenFailed {
                socket: id,
                token,
                bind: open.bind,
                error: error.to_network_error(),
            },
        };
        self.events.push_answer(event);
    }

    /// Sends what was submitted before, then closes.
    fn close(&mut self, id: SocketId) {
        if self.sockets.get(id).is_none() {
            // It could not be opened, and nobody is left to be told.
            self.events.forget(id);
            return;
        }
        self.flush();
        self.send_whole_backlog(id);
        let Some(mut socket) = self.sockets.remove(id) else {
            return;
        };
        self.counters.send_failed += socket.backlog.clear();
        if socket.announced == Announced::Yes {
            self.readiness.remove(id, socket.fd.as_fd());
        }
    }

    /// A socket that nobody can wait for is of no use.
    fn fail_to_open(&mut self, opened: NetworkEvent, error: Errno) -> NetworkEvent {
        let NetworkEvent::UdpOpened {
            socket,
            token,
            local,
        } = opened
        else {
            return opened;
        };
        if let Some(mut removed) = self.sockets.remove(socket) {
            self.counters.send_failed += removed.backlog.clear();
        }
        NetworkEvent::UdpOpenFailed {
            socket,
            token,
            bind: local,
            error: error.to_network_error(),
        }
    }

    /// Waits from now on for what a socket wants, once its task knows of it.
    fn change_interest(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get(id)
            && socket.announced == Announced::Yes
        {
            let fd = socket.fd.as_fd();
            self.readiness.change(id, fd, socket.interest());
        }
    }

    /// Has the next wait tell of a socket that may be ready still.
    pub(super) fn again(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get(id) {
            let fd = socket.fd.as_fd();
            self.readiness.again(id, fd, socket.interest());
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        let count = transmit.count() as u64;
        let Some(socket) = self.sockets.get(transmit.socket) else {
            // Its opening failed, and its task is about to be told.
            self.counters.send_failed += count;
            return;
        };
        let to = Destination {
            socket: transmit.socket,
            peer: transmit.peer,
            source: transmit.source,
            ecn: transmit.ecn,
        };
        if let Err(error) = check(socket, &transmit) {
            return self.send_failed(&to, error, count);
        }
        let (segment_size, len) = (transmit.segment_size, transmit.payload.len());
        let memory = match transmit.payload.into_buffer() {
            Ok(buffer) => Memory::Owned(buffer),
            Err(len) => self.queue.take_lent(len),
        };
        let joining = match self.runs_out {
            RunsOut::Yes => Joining::Allowed,
            RunsOut::No => Joining::Useless,
        };
        self.queue.push(to, memory, len, segment_size, joining);
        if self.queue.is_long() {
            self.flush();
        }
    }

    /// Counts datagrams that were not sent, and has their task told.
    fn send_failed(&mut self, to: &Destination, error: NetworkError, datagrams: u64) {
        self.counters.send_failed += datagrams;
        self.events.push_send_failed(to, error, datagrams);
    }

    /// An error of a socket that its task is about to be told.
    fn socket_error(&mut self, id: SocketId, queued: &sys::QueuedError) -> NetworkEvent {
        self.counters.socket_errors += 1;
        NetworkEvent::SocketError {
            socket: id,
            peer: queued.peer,
            error: queued.error.to_network_error(),
        }
    }
}

impl Port for UdpPort {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        if !self.queue.has_room_to_lend() {
            self.flush();
        }
        TransmitBuffer::new(self.queue.lend())
    }

    fn submit(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::Transmit(transmit) => self.transmit(transmit),
            NetworkCommand::OpenUdp { socket, open } => self.open(socket, open),
            NetworkCommand::Close(socket) => self.close(socket),
        }
    }
}

impl fmt::Debug for UdpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpPort")
            .field("sockets", &self.sockets.len())
            .field("events", &self.events.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Whether the socket can send this at all.
fn check(socket: &Socket, transmit: &Transmit) -> Result<(), NetworkError> {
    let (len, max) = (transmit.datagram_len(), crate::net::DATAGRAM_BYTES_MAX);
    let peer = transmit.peer.ip().to_canonical();
    let source_fits = transmit
        .source
        .is_none_or(|source| source.to_canonical().is_ipv4() == peer.is_ipv4());
    if !socket.domain.reaches(&transmit.peer) || !source_fits {
        Err(NetworkError::AddressFamily)
    } else if socket.peer.is_some_and(|only| only != transmit.peer) {
        Err(NetworkError::OtherPeer)
    } else if len > max {
        Err(NetworkError::TooLong { len, max })
    } else {
        Ok(())
    }
}

/// How often a call is made again because the error it gave may be that of a datagram sent before:
/// the kernel gives a socket's pending ICMP error to whichever call comes next.
const STRANGE_ERRORS_MAX: u32 = 2;

/// An error that the socket has, and that nobody is named for.
const fn unnamed(error: Errno) -> sys::QueuedError {
    sys::QueuedError {
        error,
        origin: sys::Origin::Network,
        peer: None,
    }
}

#[cfg(test)]
mod tests;
