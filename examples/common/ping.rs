//! A task that answers ICMP echo requests on a device, for every address that they are sent to.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use stillpoint::{
    App, BufferPool, DeviceError, DeviceOpen, Input, NetworkEvent, Outbox, Output, PacketTransmit,
    Spawned, Spawner, Task, Timestamp, TransmitBuffer,
};

/// The application: answerers.
#[derive(Debug)]
pub struct Ping;

impl App for Ping {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Report;
    type Spawn = DeviceOpen;
}

/// What tasks tell their controller.
#[derive(Debug)]
pub enum Report {
    /// A device is open.
    Listening { name: Box<str>, mtu: u16 },
    /// It could not be opened.
    OpenFailed(DeviceError),
    /// It is no more.
    Closed(DeviceError),
    /// The task is done.
    Done(PingStats),
}

/// What a task counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct PingStats {
    /// Echo requests that were answered.
    pub answered: u64,
    /// Packets that are something else.
    pub ignored: u64,
    /// Answers that the device did not take.
    pub failed: u64,
}

/// The one `match` that an application owes its workers.
pub fn spawn(open: DeviceOpen, spawner: Spawner<'_, Ping>) -> Spawned {
    spawner.insert(Answerer {
        open: Some(open),
        buffers: BufferPool::new(),
        answer: Vec::new(),
        stats: PingStats::default(),
        outbox: Outbox::new(),
    })
}

struct Answerer {
    open: Option<DeviceOpen>,
    buffers: BufferPool,
    /// The answer that is being written; kept for its memory.
    answer: Vec<u8>,
    stats: PingStats,
    outbox: Outbox<Ping>,
}

impl Task for Answerer {
    type App = Ping;

    fn handle_input(&mut self, _: Timestamp, input: Input<Ping>) {
        match input {
            Input::Started(context) => {
                self.buffers = context.buffers;
                if let Some(open) = self.open.take() {
                    self.outbox.open_device(open);
                }
            }
            Input::Network(event) => self.handle_network(event),
            Input::Shutdown => {
                self.outbox.report(Report::Done(self.stats));
                self.outbox.finish();
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Ping>> {
        self.outbox.pop()
    }
}

impl Answerer {
    fn handle_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Packet { device, packet } => {
                if write_answer(&packet.payload, &mut self.answer) {
                    self.stats.answered += 1;
                    let answer = self.buffers.copy_from(&self.answer);
                    self.outbox.send_packet(PacketTransmit::new(device, answer));
                } else {
                    self.stats.ignored += 1;
                }
            }
            NetworkEvent::PacketsFailed { packets, .. } => {
                self.stats.failed += u64::from(packets);
            }
            NetworkEvent::DeviceOpened { name, mtu, .. } => {
                self.outbox.report(Report::Listening { name, mtu });
            }
            NetworkEvent::DeviceOpenFailed { error, .. } => {
                self.outbox.report(Report::OpenFailed(error));
            }
            NetworkEvent::DeviceClosed { error, .. } => self.outbox.report(Report::Closed(error)),
            _ => {}
        }
    }
}

/// Writes the answer to an echo request (RFC 792, RFC 4443). `false` if `packet` is none, or a
/// part of one.
fn write_answer(packet: &[u8], answer: &mut Vec<u8>) -> bool {
    answer.clear();
    let Ok(packet) = SlicedPacket::from_ip(packet) else {
        return false;
    };
    if packet.is_ip_payload_fragmented() {
        return false;
    }
    let written = match (packet.net, packet.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Icmpv4(icmp))) => {
            let Icmpv4Type::EchoRequest(echo) = icmp.icmp_type() else {
                return false;
            };
            let header = ip.header();
            PacketBuilder::ipv4(header.destination(), header.source(), HOPS)
                .icmpv4_echo_reply(echo.id, echo.seq)
                .write(answer, icmp.payload())
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
            let Icmpv6Type::EchoRequest(echo) = icmp.icmp_type() else {
                return false;
            };
            let header = ip.header();
            PacketBuilder::ipv6(header.destination(), header.source(), HOPS)
                .icmpv6_echo_reply(echo.id, echo.seq)
                .write(answer, icmp.payload())
        }
        _ => return false,
    };
    written.is_ok()
}

/// Routers that an answer may pass.
const HOPS: u8 = 64;
