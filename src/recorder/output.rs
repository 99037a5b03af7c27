//! What a worker gives out, in short: enough to tell whether two outputs are the same, and to say
//! which they were.

use core::fmt::Write;
use core::net::SocketAddr;
use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::code::{Recordable, RecordedBytes};
use super::network::{Fields, read_ip};
use crate::datagram::Transmit;
use crate::device::{PacketTransmit, PartialChecksum, SegmentProtocol, Segmentation};
use crate::group::guard;
use crate::id::{DeviceId, SocketId, StreamId};
use crate::net::NetworkCommand;
use crate::stream::StreamWrite;
use crate::task::App;
use crate::traffic::{Dscp, Ecn};
use crate::transmit::Payload;
use crate::worker::WorkerOutput;

/// What an item of a turn is. An item is this, the number of its bytes in 16 bits, and the bytes.
///
/// What has a payload ends with its length and its hash; or, if it is [`GIVEN`](item::GIVEN), with
/// where it is in the bytes of the input, and its length.
pub(super) mod item {
    /// Added to those whose payload came with the input.
    pub(in super::super) const GIVEN: u8 = 0x80;

    /// Datagrams to be sent.
    pub(in super::super) const TRANSMIT: u8 = 0;
    /// Bytes to a stream.
    pub(in super::super) const WRITE: u8 = 1;
    /// A packet to a device.
    pub(in super::super) const PACKET: u8 = 2;
    /// Any other output, as text.
    pub(in super::super) const OTHER: u8 = 3;
    /// To another worker.
    pub(in super::super) const BUS: u8 = 4;
    /// Room is wanted in the queue to another worker.
    pub(in super::super) const WANT_ROOM: u8 = 5;
    /// The memory that was lent is of another size than before.
    pub(in super::super) const LENT: u8 = 6;
    /// The queue to another worker was said to have this much room.
    pub(in super::super) const ROOM: u8 = 7;
    /// Something was decided that follows neither from the seed nor from an input.
    pub(in super::super) const DECIDED: u8 = 8;
}

/// Bytes of a text that are kept; its hash is of all.
const TEXT_MAX: usize = 400;

/// The payload that came with an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) bytes: &'a [u8],
    /// Where it was in memory.
    pub(super) address: usize,
    /// Where it is in the bytes of the input.
    pub(super) at: usize,
    /// Whether it is in that memory still, as it was.
    pub(super) kept: bool,
}

impl Given<'_> {
    /// Where `bytes` are in the input, if they are there, and are found at a glance.
    #[inline]
    fn place(&self, bytes: &[u8]) -> Option<usize> {
        let all = self.bytes.len();
        let within = bytes.as_ptr().addr().wrapping_sub(self.address);
        let same_memory = within <= all && bytes.len() <= all - within;
        let from = match same_memory {
            true if self.kept => return Some(self.at + within),
            true => within,
            false if bytes.len() == all => 0,
            false => return None,
        };
        // A task may have changed it where it was, and then it is another.
        (self.bytes[from..from + bytes.len()] == *bytes).then_some(self.at + from)
    }
}

/// An item as it would be had its payload not come with `input`.
pub(super) fn canonical<'a>(
    kind: u8,
    bytes: &'a [u8],
    input: &[u8],
) -> Option<(u8, Cow<'a, [u8]>)> {
    let kind = match kind {
        given @ item::GIVEN.. => given - item::GIVEN,
        other => return Some((other, Cow::Borrowed(bytes))),
    };
    let (fields, place) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    let (at, len) = <(u32, u32)>::read(&mut RecordedBytes::new(place))?;
    let payload = input.get(at as usize..)?.get(..len as usize)?;
    let mut whole = fields.to_vec();
    len.write(&mut whole);
    xxh3_64(payload).write(&mut whole);
    Some((kind, Cow::Owned(whole)))
}

/// Where short forms are made.
#[derive(Debug, Default)]
pub(super) struct Shortener {
    text: String,
    bytes: Vec<u8>,
    /// What a task has written into lent memory.
    pub(super) lent: Vec<u8>,
}

impl Shortener {
    fn payload<'a>(&'a self, payload: &'a Payload) -> &'a [u8] {
        match payload.lent() {
            Some(len) => self.lent.get(..len).unwrap_or_default(),
            None => payload.buffer().map_or(&[], |buffer| buffer),
        }
    }

    /// Ends an item of this kind with its payload. The kind it is then.
    #[inline]
    fn end(&self, kind: u8, payload: &Payload, given: Option<Given<'_>>, to: &mut Fields) -> u8 {
        let bytes = self.payload(payload);
        if let Some(at) = given.and_then(|given| given.place(bytes)) {
            to.len(at);
            to.len(bytes.len());
            return kind + item::GIVEN;
        }
        to.len(bytes.len());
        to.put(xxh3_64(bytes).to_le_bytes());
        kind
    }

    /// What it is, and its short form.
    #[inline]
    pub(super) fn transmit(&self, transmit: &Transmit, given: Option<Given<'_>>) -> (u8, Fields) {
        let mut fields = Fields::new();
        fields.id(transmit.socket.worker, transmit.socket.key);
        fields.address(&transmit.peer);
        fields.ip(transmit.source);
        let class = transmit.dscp.unwrap_or_default();
        fields.put([
            u8::from(transmit.dscp.is_some()),
            class.traffic_class(transmit.ecn),
        ]);
        fields.len(transmit.segment_size);
        let kind = self.end(item::TRANSMIT, &transmit.payload, given, &mut fields);
        (kind, fields)
    }

    /// What it is, and its short form.
    pub(super) fn output<A: App>(
        &mut self,
        output: &WorkerOutput<A>,
        given: Option<Given<'_>>,
    ) -> (u8, &[u8]) {
        let (kind, fields) = match output {
            WorkerOutput::Network(NetworkCommand::Transmit(transmit)) => {
                self.transmit(transmit, given)
            }
            WorkerOutput::Network(NetworkCommand::Write(write)) => self.write(write, given),
            WorkerOutput::Network(NetworkCommand::Packet(packet)) => self.packet(packet, given),
            other @ (WorkerOutput::Network(_)
            | WorkerOutput::Report { .. }
            | WorkerOutput::Started { .. }
            | WorkerOutput::SpawnFailed { .. }
            | WorkerOutput::Ended { .. }
            | WorkerOutput::Stale(_)
            | WorkerOutput::Untold { .. }
            | WorkerOutput::Control(_)) => {
                self.text.clear();
                // It fails only if `Debug` itself does, or panics, which is not to be the worker's
                // end; what it wrote until then is as good a name.
                drop(guard(|| write!(self.text, "{other:?}")));
                return (item::OTHER, self.text());
            }
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(fields.bytes());
        (kind, &self.bytes)
    }

    fn write(&self, write: &StreamWrite, given: Option<Given<'_>>) -> (u8, Fields) {
        let mut fields = Fields::new();
        fields.id(write.stream.worker, write.stream.key);
        let kind = self.end(item::WRITE, &write.payload, given, &mut fields);
        (kind, fields)
    }

    fn packet(&self, packet: &PacketTransmit, given: Option<Given<'_>>) -> (u8, Fields) {
        let mut fields = Fields::new();
        fields.id(packet.device.worker, packet.device.key);
        let offload = packet.offload;
        fields.put([
            u8::from(offload.segmentation.is_some()),
            u8::from(offload.checksum.is_some()),
        ]);
        if let Some(Segmentation {
            protocol,
            header_len,
            segment_size,
        }) = offload.segmentation
        {
            let protocol = match protocol {
                SegmentProtocol::TcpV4 => 0,
                SegmentProtocol::TcpV6 => 1,
                SegmentProtocol::Udp => 2,
            };
            fields.put([protocol]);
            fields.put(header_len.to_le_bytes());
            fields.put(segment_size.to_le_bytes());
        }
        if let Some(PartialChecksum { start, offset }) = offload.checksum {
            fields.put(start.to_le_bytes());
            fields.put(offset.to_le_bytes());
        }
        let kind = self.end(item::PACKET, &packet.payload, given, &mut fields);
        (kind, fields)
    }

    /// The hash of the text, and its beginning.
    fn text(&mut self) -> &[u8] {
        self.bytes.clear();
        xxh3_64(self.text.as_bytes()).write(&mut self.bytes);
        let mut len = self.text.len().min(TEXT_MAX);
        while !self.text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes.extend_from_slice(&self.text.as_bytes()[..len]);
        &self.bytes
    }

    /// An item for another worker, of which `write` writes the bytes.
    pub(super) fn bus(&mut self, worker: u16, write: impl FnOnce(&mut Vec<u8>)) -> Fields {
        self.bytes.clear();
        write(&mut self.bytes);
        let mut fields = Fields::new();
        fields.put(worker.to_le_bytes());
        fields.len(self.bytes.len());
        fields.put(xxh3_64(&self.bytes).to_le_bytes());
        fields
    }
}

/// Says what an item is. `None` if its bytes are not what they should be.
pub(super) fn describe(kind: u8, bytes: &[u8]) -> Option<String> {
    let from = &mut RecordedBytes::new(bytes);
    let text = match kind {
        item::TRANSMIT => {
            let socket = SocketId::read(from)?;
            let peer = SocketAddr::read(from)?;
            let source = read_ip(from)?;
            let (dscp_set, class, segment_size) = <(bool, u8, u32)>::read(from)?;
            let (len, hash) = <(u32, u64)>::read(from)?;
            let mut text = format!("transmit {len} B, hash {hash:016x}, from {socket} to {peer}");
            if let Some(source) = source {
                text += &format!(" as {source}");
            }
            if segment_size > 0 {
                text += &format!(" in segments of {segment_size} B");
            }
            if dscp_set {
                text += &format!(", {}", Dscp::from_traffic_class(class));
            }
            match Ecn::from_traffic_class(class) {
                Ecn::NotCapable => {}
                ecn @ (Ecn::Capable0 | Ecn::Capable1 | Ecn::CongestionExperienced) => {
                    text += &format!(", {ecn:?}");
                }
            }
            text
        }
        item::WRITE => {
            let stream = StreamId::read(from)?;
            let (len, hash) = <(u32, u64)>::read(from)?;
            format!("write {len} B, hash {hash:016x}, to {stream}")
        }
        item::PACKET => {
            let device = DeviceId::read(from)?;
            let (cut, summed) = <(bool, bool)>::read(from)?;
            let mut offload = String::new();
            if cut {
                let (_, header, size) = <(u8, u16, u16)>::read(from)?;
                offload += &format!(" to be cut into {header} + {size} B");
            }
            if summed {
                let (start, place) = <(u16, u16)>::read(from)?;
                offload += &format!(" checksum due from {start} at {place}");
            }
            let (len, hash) = <(u32, u64)>::read(from)?;
            format!("packet of {len} B, hash {hash:016x}, to {device}{offload}")
        }
        item::OTHER => {
            let hash = u64::read(from)?;
            let text = core::str::from_utf8(from.take(from.len())?).ok()?;
            let more = if text.len() + 4 > TEXT_MAX {
                format!("..., hash {hash:016x}")
            } else {
                String::new()
            };
            format!("{text}{more}")
        }
        item::BUS => {
            let (worker, len, hash) = <(u16, u32, u64)>::read(from)?;
            format!("item of {len} B, hash {hash:016x}, to worker {worker}")
        }
        item::WANT_ROOM => format!("wants room to worker {}", u16::read(from)?),
        item::LENT => format!("memory of {} B is lent", u64::read(from)?),
        item::DECIDED => format!("decided: {}", u64::read(from)?),
        item::ROOM => {
            let (worker, room) = <(u16, u64)>::read(from)?;
            format!("room for {room} items to worker {worker}")
        }
        _ => return None,
    };
    from.is_empty().then_some(text)
}
