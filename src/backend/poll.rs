//! The raw `poll(2)` backend.
//!
//! It waits for all its sockets with one `ppoll` (`poll` where that is missing) and is told of
//! each as long as there is something to read. One wake-up takes a bounded batch off every socket
//! that has something, beginning with another one each time. A socket that is idle costs its
//! entry in the list that the kernel looks through at each wait: fit for some hundred sockets.
//!
//! One datagram that is answered costs three system calls: wait, receive, send.

use core::fmt;
use std::sync::Arc;

use super::sys::{self, Batching, Found, PollFd, Timeout, WakeKind, WakeSignal};
use super::udp::{Change, Receiver, hand_over_errors};
use super::{Backend, BackendConfig, BackendError, Capabilities, Waker};
use crate::id::SocketId;
use crate::net::{NetworkCounters, NetworkEvent};
use crate::time::{Clock, Timestamp};

pub use super::udp::UdpPort;

/// UDP sockets, waited for with `poll(2)`.
pub struct PollBackend {
    set: PollSet,
    /// What the current wait found; kept for its memory.
    ready: Vec<(SocketId, Found)>,
    /// Counts the wake-ups, to begin with another socket each time.
    turn: usize,
    signal: Arc<WakeSignal>,
    receiver: Receiver,
    port: UdpPort,
    capabilities: Capabilities,
}

impl PollBackend {
    /// A backend without sockets.
    ///
    /// # Errors
    ///
    /// [`BackendError`] if the system has no descriptor left for its waker.
    pub fn new(config: BackendConfig) -> Result<Self, BackendError> {
        Self::with(&config, Batching::BEST, WakeKind::BEST)
    }

    pub(crate) fn with(
        config: &BackendConfig,
        batching: Batching,
        wake: WakeKind,
    ) -> Result<Self, BackendError> {
        let signal = WakeSignal::new(wake).map_err(|error| failed("eventfd", error))?;
        let (port, capabilities) = UdpPort::new(config, batching);
        Ok(Self {
            set: PollSet::new(&signal),
            ready: Vec::new(),
            turn: 0,
            signal: Arc::new(signal),
            receiver: Receiver::new(config),
            port,
            capabilities,
        })
    }

    fn timeout(&self, until: Option<Timestamp>, clock: &impl Clock) -> Timeout {
        match until {
            _ if self.port.events() > 0 => Timeout::After(core::time::Duration::ZERO),
            Some(until) => Timeout::After(until.since(clock.now())),
            None => Timeout::Forever,
        }
    }

    /// Gathers which sockets have something. Hands nothing over, for that may change the set.
    fn gather_ready(&mut self, mut found: usize) {
        self.ready.clear();
        if found > 0 && self.set.woken() {
            self.signal.lower();
            found -= 1;
        }
        self.ready.extend(self.set.found().take(found));
    }
}

impl Backend for PollBackend {
    type Port = UdpPort;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn port(&mut self) -> &mut UdpPort {
        &mut self.port
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        self.port.flush();
        Ok(())
    }

    fn wait(
        &mut self,
        until: Option<Timestamp>,
        clock: &impl Clock,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut UdpPort),
    ) -> Result<Timestamp, BackendError> {
        self.port.flush(); // What nobody flushed must not wait as long as we do.
        self.set.apply(&mut self.port);
        let timeout = self.timeout(until, clock);
        let found = match self.set.wait(timeout) {
            Ok(found) => found,
            Err(error) if error.is_interrupted() => 0,
            Err(error) => return Err(failed("ppoll", error)),
        };
        self.gather_ready(found);
        let now = clock.now();
        // What these cause waits for the next time, so that this ends.
        for _ in 0..self.port.events() {
            let Some(event) = self.port.poll_event() else {
                break;
            };
            on_event(now, event, &mut self.port);
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % self.ready.len().max(1);
        let (before, after) = self.ready.split_at(first);
        for &(socket, found) in after.iter().chain(before) {
            if found.error() {
                hand_over_errors(now, socket, &mut self.port, on_event);
            }
            if found.readable() {
                self.receiver.receive(now, socket, &mut self.port, on_event);
            }
            if found.writable() {
                self.port.send_backlog(socket);
            }
        }
        Ok(now)
    }

    fn waker(&self) -> Waker {
        Waker::new(self.signal.clone())
    }

    fn counters(&self) -> NetworkCounters {
        self.port.counters()
    }
}

impl fmt::Debug for PollBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollBackend")
            .field("port", &self.port)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// What the kernel is asked to wait for: the waker first, then the sockets in no order.
struct PollSet {
    fds: Vec<PollFd>,
    /// Whose each descriptor is, but for the first.
    ids: Vec<SocketId>,
    /// Where in `ids` the socket of a slot is. Holds anything for a slot that is not in use.
    places: Vec<usize>,
}

impl PollSet {
    fn new(signal: &WakeSignal) -> Self {
        Self {
            fds: vec![PollFd::readable(signal.fd())],
            ids: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Catches up with the sockets of `port`.
    fn apply(&mut self, port: &mut UdpPort) {
        while let Some(change) = port.poll_change() {
            match change {
                Change::Add(id) => {
                    // It may be closed again already; then a removal follows, and finds nothing.
                    if let Some(fd) = port.fd(id) {
                        self.add(id, PollFd::readable(fd));
                    }
                }
                Change::Remove(id) => self.remove(id),
                Change::AwaitRoom(id) => {
                    if let Some(place) = self.place(id) {
                        self.fds[place + 1].also_writable();
                    }
                }
                Change::HasRoom(id) => {
                    if let Some(place) = self.place(id) {
                        self.fds[place + 1].only_readable();
                    }
                }
            }
        }
    }

    fn add(&mut self, id: SocketId, fd: PollFd) {
        let slot = id.key().slot as usize;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, 0);
        }
        self.places[slot] = self.ids.len();
        self.ids.push(id);
        self.fds.push(fd);
    }

    fn remove(&mut self, id: SocketId) {
        let Some(place) = self.place(id) else {
            return;
        };
        self.ids.swap_remove(place);
        self.fds.swap_remove(place + 1);
        if let Some(moved) = self.ids.get(place) {
            self.places[moved.key().slot as usize] = place;
        }
    }

    fn place(&self, id: SocketId) -> Option<usize> {
        let &place = self.places.get(id.key().slot as usize)?;
        (self.ids.get(place) == Some(&id)).then_some(place)
    }

    fn wait(&mut self, timeout: Timeout) -> Result<usize, sys::Errno> {
        sys::wait(&mut self.fds, timeout)
    }

    const fn woken(&self) -> bool {
        self.fds.as_slice()[0].found().anything()
    }

    /// The sockets about which the last wait found something.
    fn found(&self) -> impl Iterator<Item = (SocketId, Found)> {
        let all = self.ids.iter().zip(&self.fds[1..]);
        all.map(|(&id, fd)| (id, fd.found()))
            .filter(|(_, found)| found.anything())
            .inspect(|(id, found)| {
                assert!(!found.invalid(), "{id} was closed by somebody else");
            })
    }
}

const fn failed(operation: &'static str, error: sys::Errno) -> BackendError {
    BackendError {
        operation,
        error: error.to_network_error(),
    }
}
