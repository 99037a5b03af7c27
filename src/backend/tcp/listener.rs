//! Listeners: takes connections in.

use core::net::SocketAddr;
use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use crate::backend::port::SocketPort;
use crate::backend::readiness::{Accepted, Interest};
use crate::backend::sys::{self, Errno};
use crate::backend::timers::Purpose;
use crate::id::ListenerId;
use crate::net::NetworkEvent;
use crate::stream::{IncomingId, TcpListen, TcpOptions};
use crate::time::Timestamp;

/// One open listener.
pub(super) struct Listener {
    pub(super) fd: OwnedFd,
    local: SocketAddr,
    options: TcpOptions,
    pub(super) accepting: Accepting,
}

/// Whether connections are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    /// Its task does not know yet that it is open.
    NotYet,
    Yes,
    /// The last one could not be: its task knows, and it is tried again now and then.
    Again,
}

/// A connection that was taken in and has no id yet.
pub(super) struct Incoming {
    pub(super) id: IncomingId,
    pub(super) fd: OwnedFd,
    pub(super) peer: SocketAddr,
    pub(super) options: TcpOptions,
}

impl Listener {
    pub(super) const fn new(fd: OwnedFd, local: SocketAddr, listen: &TcpListen) -> Self {
        Self {
            fd,
            local,
            options: listen.options,
            accepting: Accepting::NotYet,
        }
    }
}

impl SocketPort {
    /// Takes in the connections that wait at a listener: a bounded batch, or fewer if the listener
    /// is closed meanwhile.
    pub(in crate::backend) fn accept_ready(
        &mut self,
        now: Timestamp,
        id: ListenerId,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut Self),
    ) {
        for _ in 0..ACCEPTS_MAX {
            match self.accept_one(id) {
                Some(Ok(Some(event))) => {
                    on_event(now, event, self);
                    // A worker answers at once. Without an answer nobody wants it.
                    if let Some(incoming) = &self.tcp.incoming {
                        self.refuse(incoming.id);
                    }
                }
                Some(Ok(None)) => {} // That one was lost before it was taken in.
                Some(Err(error)) if error.is_empty() => return,
                Some(Err(error)) => return self.pause(now, id, error, on_event),
                None => return,
            }
        }
        self.listener_again(id);
    }

    /// Takes one connection in, and says what its listener's task is to be told.
    fn accept_one(&mut self, id: ListenerId) -> Option<Result<Option<NetworkEvent>, Errno>> {
        let listener = self.tcp.listeners.get_mut(id.key())?;
        let accepted = match self.readiness.take_accepted(id) {
            Accepted::Connection(fd) => sys::accepted_from(fd.as_fd()).map(|peer| (fd, peer)),
            Accepted::Failed(error) => Err(error),
            Accepted::Nothing => return None,
            Accepted::Ask => sys::accept(listener.fd.as_fd()),
        };
        let (fd, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.is_of_one_connection() || error.is_interrupted() => {
                return Some(Ok(None));
            }
            Err(error) => return Some(Err(error)),
        };
        listener.accepting = Accepting::Yes;
        let local = if listener.local.ip().is_unspecified() {
            sys::stream_address(fd.as_fd()).unwrap_or(listener.local)
        } else {
            listener.local
        };
        let incoming = IncomingId(self.tcp.incoming_count);
        self.tcp.incoming_count += 1;
        let options = listener.options;
        self.tcp.incoming = Some(Incoming {
            id: incoming,
            fd,
            peer,
            options,
        });
        Some(Ok(Some(NetworkEvent::Incoming {
            listener: id,
            incoming,
            peer,
            local,
            room: options.send_queue_max,
        })))
    }

    /// No connection can be taken in now, most likely for want of a descriptor. Those that wait
    /// stay where they are; asking again at once would only ask for ever.
    fn pause(
        &mut self,
        now: Timestamp,
        id: ListenerId,
        error: Errno,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut Self),
    ) {
        let Some(listener) = self.tcp.listeners.get_mut(id.key()) else {
            return;
        };
        self.counters.streams.accepts_paused += 1;
        let fd = listener.fd.as_fd();
        self.readiness.change(id.into(), fd, Interest::Nothing);
        self.timers.set(id, Purpose::Look, PAUSE);
        self.tcp.paused.push(id);
        if core::mem::replace(&mut listener.accepting, Accepting::Again) == Accepting::Yes {
            let event = NetworkEvent::AcceptFailed {
                listener: id,
                error: error.to_network_error(),
            };
            on_event(now, event, self);
        }
    }

    /// Tries to take connections in again.
    pub(in crate::backend) fn resume(&mut self, id: ListenerId) {
        self.tcp.paused.retain(|&paused| paused != id);
        if let Some(listener) = self.tcp.listeners.get(id.key()) {
            let fd = listener.fd.as_fd();
            self.readiness.change(id.into(), fd, Interest::Read);
        }
    }

    /// Has the next wait tell of a listener at which more may wait.
    fn listener_again(&mut self, id: ListenerId) {
        if let Some(listener) = self.tcp.listeners.get(id.key()) {
            let fd = listener.fd.as_fd();
            self.readiness.again(id.into(), fd, Interest::Read);
        }
    }
}

/// Connections taken in at one wake-up.
const ACCEPTS_MAX: usize = 64;

/// How long a listener waits for a descriptor, unless one of our own is closed before.
const PAUSE: Duration = Duration::from_millis(100);
