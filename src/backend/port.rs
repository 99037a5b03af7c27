//! The port: what takes a worker's commands, for the backends that wait for readiness.

use core::fmt;

use super::events::Events;
use super::readiness::Readiness;
use super::sys::Batching;
use super::udp::Udp;
use super::{BackendConfig, Capabilities, Port};
use crate::buffer::BufferPool;
use crate::counters::NetworkCounters;
use crate::device::DeviceError;
use crate::id::ResourceId;
use crate::net::{NetworkCommand, NetworkError, NetworkEvent};
use crate::transmit::TransmitBuffer;

/// Where a worker's commands go, for the backends that wait for readiness.
pub struct SocketPort {
    pub(super) readiness: Box<dyn Readiness>,
    pub(super) events: Events,
    pub(super) counters: NetworkCounters,
    pub(super) buffers: BufferPool,
    pub(super) udp: Udp,
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

impl SocketPort {
    /// A port with nothing open, and what it can do.
    pub(super) fn new(
        readiness: Box<dyn Readiness>,
        config: &BackendConfig,
        batching: Batching,
    ) -> (Self, Capabilities) {
        let port = Self {
            readiness,
            events: Events::new(),
            counters: NetworkCounters::default(),
            buffers: config.buffers.clone(),
            udp: Udp::new(config, batching),
        };
        let capabilities = Capabilities {
            runs_in: port.udp.runs_in(),
            runs_out: port.udp.runs_out(),
            batches: port.udp.batches(),
            packet_info: cfg!(target_os = "linux"),
        };
        (port, capabilities)
    }

    pub(super) const fn counters(&self) -> NetworkCounters {
        self.counters
    }

    /// How many events wait to be handed over.
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// The next event that waits, if what it is about is still there.
    pub(super) fn poll_event(&mut self) -> Option<NetworkEvent> {
        while let Some(event) = self.events.pop() {
            let event = match event.resource() {
                ResourceId::Socket(id) => self.about_udp(id, event),
                ResourceId::Listener(_) | ResourceId::Stream(_) | ResourceId::Device(_) => {
                    Some(event)
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(super) fn flush(&mut self) {
        self.flush_udp();
    }
}

impl Port for SocketPort {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.lend_one()
    }

    fn submit(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::Transmit(transmit) => self.transmit(transmit),
            NetworkCommand::OpenUdp { socket, open } => self.open_udp(socket, open),
            NetworkCommand::Close(ResourceId::Socket(id)) => self.close_udp(id),
            NetworkCommand::Listen { listener, listen } => {
                self.events.push_answer(NetworkEvent::ListenFailed {
                    listener,
                    token: listen.token,
                    bind: listen.bind,
                    error: NetworkError::Unsupported,
                });
            }
            NetworkCommand::Connect { stream, connect } => {
                self.events.push_answer(NetworkEvent::ConnectFailed {
                    stream,
                    token: connect.token,
                    peer: connect.peer,
                    error: NetworkError::Unsupported,
                });
            }
            NetworkCommand::OpenDevice { device, open } => {
                self.events.push_answer(NetworkEvent::DeviceOpenFailed {
                    device,
                    token: open.token,
                    error: DeviceError::Unsupported,
                });
            }
            // Of what could not be opened.
            NetworkCommand::Accept { .. }
            | NetworkCommand::Refuse(_)
            | NetworkCommand::Write(_)
            | NetworkCommand::EndWrite(_)
            | NetworkCommand::SetReading { .. }
            | NetworkCommand::Reset(_)
            | NetworkCommand::Packet(_)
            | NetworkCommand::Close(
                ResourceId::Listener(_) | ResourceId::Stream(_) | ResourceId::Device(_),
            ) => {}
        }
    }
}

impl fmt::Debug for SocketPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketPort")
            .field("sockets", &self.udp.sockets())
            .field("events", &self.events.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
