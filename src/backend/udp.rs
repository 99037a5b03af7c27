//! UDP over the system's sockets: what all backends share that wait for readiness.
//!
//! [`SocketPort`] takes commands: it opens and closes sockets at once, and queues datagrams until
//! they are flushed. What comes of commands waits in it as events, which the backend hands over at
//! its next wait. [`Receiver`] is the other half: it takes batches of messages off a socket and
//! hands them over in place, while what they cause goes to the port.
//!
//! How it is waited for sockets is the business of a [`Readiness`], which the port tells of
//! sockets that come and go.

use std::os::fd::{AsFd, BorrowedFd};

use super::port::{Left, SocketPort};
use super::readiness::Interest;
use super::sys::{self, Batching, Errno, MembershipChange, SendScratch};
use super::table::Table;
use super::{BackendConfig, Offload};
use crate::datagram::Transmit;
use crate::id::SocketId;
use crate::net::{NetworkError, NetworkEvent};
use crate::transmit::TransmitBuffer;
use crate::udp::{Membership, UdpOpen};

mod backlog;
mod queue;
mod receive;
mod refusals;
mod send;
mod socket;
mod together;

pub(super) use queue::Destination;
use queue::{Joining, Memory, SendQueue};
pub(super) use receive::Receiver;
use socket::{Announced, Socket};
use together::Together;

/// The UDP half of a port: its sockets, and what is about to be sent.
pub(super) struct Udp {
    sockets: Table<Socket>,
    queue: SendQueue,
    scratch: SendScratch,
    /// What the next wait, or the last one, is to send.
    together: Vec<Together>,
    /// How many messages of each were sent; kept for its memory.
    sent: Vec<usize>,
    offload: Offload,
    batching: Batching,
    runs_out: RunsOut,
}

/// Whether the kernel splits runs that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunsOut {
    Yes,
    No,
}

impl Udp {
    pub(super) fn new(config: &BackendConfig, batching: Batching) -> Self {
        let (runs_in, runs_out) = match config.offload {
            Offload::WhereAvailable if batching.is_many() => sys::runs_supported(),
            Offload::WhereAvailable | Offload::Off => (false, false),
        };
        Self {
            sockets: Table::new(),
            queue: SendQueue::new(),
            scratch: SendScratch::new(),
            together: Vec::new(),
            sent: Vec::new(),
            offload: if runs_in {
                Offload::WhereAvailable
            } else {
                Offload::Off
            },
            batching,
            runs_out: if runs_out { RunsOut::Yes } else { RunsOut::No },
        }
    }

    pub(super) fn runs_in(&self) -> bool {
        self.offload == Offload::WhereAvailable
    }

    pub(super) fn runs_out(&self) -> bool {
        self.runs_out == RunsOut::Yes
    }

    pub(super) const fn batches(&self) -> bool {
        self.batching.is_many()
    }

    pub(super) const fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Datagrams that are queued, and their bytes.
    pub(super) fn queued(&self) -> (u64, u64) {
        let entries = self.queue.entries().iter();
        entries.fold((0, 0), |(datagrams, bytes), entry| {
            (datagrams + entry.datagrams as u64, bytes + entry.len as u64)
        })
    }

    /// The payload that was written into what was lent last.
    pub(super) fn written(&self, len: usize) -> &[u8] {
        self.queue.written(len)
    }
}

impl SocketPort {
    /// The descriptor of an open socket.
    fn fd(&self, socket: SocketId) -> Option<BorrowedFd<'_>> {
        let socket = self.udp.sockets.get(socket.key())?;
        Some(socket.fd.as_fd())
    }

    /// Memory for one datagram.
    pub(super) fn lend_one(&mut self) -> TransmitBuffer<'_> {
        if !self.udp.queue.has_room_to_lend() {
            self.flush_udp();
        }
        TransmitBuffer::new(self.udp.queue.lend())
    }

    /// The event that a socket is open or could not be opened, or another, if it is still there.
    ///
    /// A socket becomes readable only once its task was told that it is open.
    pub(super) fn about_udp(&mut self, id: SocketId, event: NetworkEvent) -> Option<NetworkEvent> {
        if matches!(event, NetworkEvent::UdpOpenFailed { .. }) {
            return Some(event);
        }
        let open = self.udp.sockets.get_mut(id.key())?;
        if matches!(event, NetworkEvent::UdpOpened { .. }) {
            if let Err(error) = self
                .readiness
                .add(id.into(), open.fd.as_fd(), Interest::Read)
            {
                return Some(self.fail_to_open(event, error));
            }
            open.announced = Announced::Yes;
            if !open.backlog.is_empty() {
                self.change_interest(id);
            }
        }
        Some(event)
    }

    pub(super) fn open_udp(&mut self, id: SocketId, open: &UdpOpen) {
        let token = open.token;
        let event = match sys::open_udp(open, self.udp.offload) {
            Ok((fd, local)) => {
                let buffers = sys::udp_buffers(fd.as_fd());
                let socket = Socket::new(fd, local, open);
                self.udp.sockets.insert(id.key(), socket);
                NetworkEvent::UdpOpened {
                    socket: id,
                    token,
                    local,
                    buffers,
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
    pub(super) fn close_udp(&mut self, id: SocketId) {
        if self.udp.sockets.get(id.key()).is_none() {
            // It could not be opened, and nobody is left to be told.
            self.events.forget(id.into());
            return;
        }
        self.flush_udp();
        self.send_whole_backlog(id);
        let Some(mut socket) = self.udp.sockets.remove(id.key()) else {
            return;
        };
        self.counters.send_failed += socket.backlog.clear();
        if socket.announced == Announced::Yes {
            self.readiness.remove(id.into(), socket.fd.as_fd());
            self.counters.undelivered += self.readiness.take_undelivered();
        }
    }

    /// Makes a socket a member of a group, or ends that.
    pub(super) fn change_group(&mut self, membership: Membership, change: MembershipChange) {
        let Some(socket) = self.udp.sockets.get(membership.socket.key()) else {
            return; // Its opening failed, and its task is about to be told.
        };
        let (fd, domain) = (socket.fd.as_fd(), socket.domain);
        let (group, interface) = (membership.group, membership.interface);
        let changed = sys::change_membership(fd, domain, group, interface, change);
        self.events.push_answer(match (changed, change) {
            (Ok(()), MembershipChange::Join) => NetworkEvent::GroupJoined(membership),
            (Ok(()), MembershipChange::Leave) => NetworkEvent::GroupLeft(membership),
            (Err(error), _) => NetworkEvent::GroupFailed {
                membership,
                error: error.to_membership_error(),
            },
        });
    }

    /// A socket that nobody can wait for is of no use.
    fn fail_to_open(&mut self, opened: NetworkEvent, error: Errno) -> NetworkEvent {
        let NetworkEvent::UdpOpened {
            socket,
            token,
            local,
            ..
        } = opened
        else {
            return opened;
        };
        if let Some(mut removed) = self.udp.sockets.remove(socket.key()) {
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
        if let Some(socket) = self.udp.sockets.get(id.key())
            && socket.announced == Announced::Yes
        {
            let fd = socket.fd.as_fd();
            self.readiness.change(id.into(), fd, socket.interest());
        }
    }

    /// Has the next wait tell of a socket that may be ready still.
    pub(super) fn udp_again(&mut self, id: SocketId) {
        if let Some(socket) = self.udp.sockets.get(id.key()) {
            let fd = socket.fd.as_fd();
            self.readiness.again(id.into(), fd, socket.interest());
        }
    }

    /// Queues datagrams, and leaves what they came in without a payload.
    pub(super) fn send_datagrams(&mut self, transmit: &mut Transmit) {
        let count = transmit.count() as u64;
        let Some(socket) = self.udp.sockets.get(transmit.socket.key()) else {
            // Its opening failed, and its task is about to be told.
            self.counters.send_failed += count;
            return;
        };
        let dscp = transmit.dscp.unwrap_or(socket.dscp);
        let to = Destination {
            socket: transmit.socket,
            peer: transmit.peer,
            source: transmit.source,
            traffic_class: dscp.traffic_class(transmit.ecn),
        };
        if let Err(error) = check(socket, transmit) {
            return self.send_failed(&to, error, count);
        }
        let (segment_size, len) = (transmit.segment_size, transmit.payload.len());
        let memory = match core::mem::take(&mut transmit.payload).into_buffer() {
            Ok(buffer) => Memory::Owned(buffer),
            Err(len) => self.udp.queue.take_lent(len),
        };
        let joining = match self.udp.runs_out {
            RunsOut::Yes => Joining::Allowed,
            RunsOut::No => Joining::Useless,
        };
        self.udp.queue.push(to, memory, len, segment_size, joining);
        if self.udp.queue.is_long() {
            self.flush_udp();
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

/// Whether the socket can send this at all.
fn check(socket: &Socket, transmit: &Transmit) -> Result<(), NetworkError> {
    let (len, max) = (transmit.datagram_len(), crate::datagram::DATAGRAM_BYTES_MAX);
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
