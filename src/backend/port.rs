//! The port: what takes a worker's commands, for the backends that wait for readiness.

use core::fmt;

use super::device::Devices;
use super::events::Events;
use super::readiness::{Matter, Readiness};
use super::sys::{Batching, MembershipChange};
use super::tcp::Tcp;
use super::timers::{Purpose, Timers};
use super::udp::Udp;
use super::{BackendConfig, Port};
use crate::buffer::BufferPool;
use crate::capabilities::Capabilities;
use crate::counters::NetworkCounters;
use crate::datagram::Transmit;
use crate::id::ResourceId;
use crate::net::{NetworkCommand, NetworkEvent};
use crate::time::Timestamp;
use crate::transmit::TransmitBuffer;

/// Where a worker's commands go, for the backends that wait for readiness.
pub struct SocketPort {
    pub(super) readiness: Box<dyn Readiness>,
    pub(super) events: Events,
    pub(super) counters: NetworkCounters,
    pub(super) buffers: BufferPool,
    pub(super) udp: Udp,
    pub(super) tcp: Tcp,
    pub(super) timers: Timers,
    pub(super) devices: Devices,
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
            tcp: Tcp::new(),
            timers: Timers::new(),
            devices: Devices::new(config),
        };
        let capabilities = Capabilities {
            runs_in: port.udp.runs_in(),
            runs_out: port.udp.runs_out(),
            batches: port.udp.batches(),
            packet_info: cfg!(target_os = "linux"),
            groups: cfg!(target_os = "linux"),
            streams: true,
            devices: cfg!(target_os = "linux"),
        };
        (port, capabilities)
    }

    /// What passed. What is queued counts as sent: the next wait sends it, before it waits, and
    /// takes back what could not be.
    pub(super) fn counters(&self) -> NetworkCounters {
        let mut counters = self.counters;
        let (datagrams, bytes) = self.udp.queued();
        counters.datagrams_out += datagrams;
        counters.bytes_out += bytes;
        counters
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
                ResourceId::Listener(id) => self.about_listener(id, event),
                ResourceId::Stream(id) => self.about_stream(id, event),
                ResourceId::Device(id) => self.about_device(id, event),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Does what deadlines that have passed ask for: a bounded batch. What comes of it waits as
    /// events.
    pub(super) fn handle_timers(&mut self, now: Timestamp) {
        for _ in 0..TIMERS_MAX {
            let Some((id, purpose)) = self.timers.pop(now) else {
                return;
            };
            match (id, purpose) {
                (ResourceId::Stream(id), Purpose::Limit) => self.give_up(id),
                (ResourceId::Stream(id), Purpose::Look) => self.look_at_end(id),
                (ResourceId::Listener(id), _) => self.resume(id),
                (ResourceId::Device(id), _) => self.look_at_device(id),
                (ResourceId::Socket(_), _) => {}
            }
        }
    }

    /// Sends what is queued, unless the next wait is to.
    pub(super) fn flush_before_wait(&mut self) {
        if self.readiness.sends_max(Matter::Datagrams) == 0 {
            self.flush_udp();
        }
        if self.readiness.sends_max(Matter::Bytes) == 0 {
            self.flush_tcp();
        }
        self.flush_devices();
    }

    /// Has the next wait send what is queued, or sends it now; [`SocketPort::settle`] is to be
    /// called when the wait is over.
    pub(super) fn send_with_wait(&mut self) {
        self.send_udp_with_wait();
        self.send_tcp_with_wait();
        self.flush_devices();
    }

    /// Does what is to be done about what the last wait has sent.
    pub(super) fn settle(&mut self) {
        let others = self.settle_udp();
        self.settle_tcp(others);
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(super) fn flush(&mut self) {
        self.flush_udp();
        self.flush_tcp();
        self.flush_devices();
    }
}

impl Port for SocketPort {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.lend_one()
    }

    #[inline]
    fn transmit(&mut self, transmit: &mut Transmit) {
        self.send_datagrams(transmit);
    }

    fn submit(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::Transmit(mut transmit) => self.send_datagrams(&mut transmit),
            NetworkCommand::OpenUdp { socket, open } => self.open_udp(socket, &open),
            NetworkCommand::JoinGroup(membership) => {
                self.change_group(membership, MembershipChange::Join);
            }
            NetworkCommand::LeaveGroup(membership) => {
                self.change_group(membership, MembershipChange::Leave);
            }
            NetworkCommand::Close(ResourceId::Socket(id)) => self.close_udp(id),
            NetworkCommand::Write(write) => self.write(write),
            NetworkCommand::SetReading { stream, reading } => self.set_reading(stream, reading),
            NetworkCommand::EndWrite(stream) => self.end_write(stream),
            NetworkCommand::Accept { incoming, stream } => self.accept_as(incoming, stream),
            NetworkCommand::Refuse(incoming) => self.refuse(incoming),
            NetworkCommand::Connect { stream, connect } => self.connect(stream, &connect),
            NetworkCommand::Reset(stream) => self.reset_stream(stream),
            NetworkCommand::Close(ResourceId::Stream(id)) => self.close_stream(id),
            NetworkCommand::Listen { listener, listen } => self.listen(listener, &listen),
            NetworkCommand::Close(ResourceId::Listener(id)) => self.close_listener(id),
            NetworkCommand::Packet(packet) => self.send_packet(packet),
            NetworkCommand::OpenDevice { device, open } => self.open_device(device, &open),
            NetworkCommand::Close(ResourceId::Device(id)) => self.close_device(id),
        }
    }
}

impl fmt::Debug for SocketPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketPort")
            .field("sockets", &self.udp.sockets())
            .field("listeners", &self.tcp.listeners())
            .field("streams", &self.tcp.streams())
            .field("devices", &self.devices.len())
            .field("events", &self.events.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// Deadlines that one wake-up deals with.
const TIMERS_MAX: usize = 256;
