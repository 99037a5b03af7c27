//! Takes packets off devices and hands them over.

use std::os::fd::{AsFd, BorrowedFd};

use super::header::{self, Header};
use super::sys::{self, HEADER_LEN};
use crate::backend::BackendConfig;
use crate::backend::port::{Left, SocketPort};
use crate::backend::readiness::{Ready, TakenBytes};
use crate::backend::received::take_received;
use crate::backend::sys::Errno;
use crate::buffer::{Buffer, BufferPool};
use crate::device::{DeviceKind, Packet, PacketOffload, PacketSizes};
use crate::id::DeviceId;
use crate::net::NetworkEvent;
use crate::time::Timestamp;

/// The reading half: memory that packets are read into, kept from one read to the next.
///
/// What is short is copied out, so that a task that keeps it does not keep 64 KiB. What is long is
/// handed on where it is.
pub(in crate::backend) struct PacketReader {
    header: Header,
    buffer: Buffer,
    pool: BufferPool,
    batch_max: usize,
}

impl PacketReader {
    pub(in crate::backend) fn new(config: &BackendConfig) -> Self {
        Self {
            header: [0; HEADER_LEN],
            buffer: Buffer::empty(),
            pool: config.buffers.clone(),
            batch_max: config.receive_batch_max.max(1),
        }
    }

    /// Does what a device is ready for: a bounded batch of each.
    pub(in crate::backend) fn handle_ready(
        &mut self,
        now: Timestamp,
        id: DeviceId,
        ready: Ready,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        let mut left = Left::Nothing;
        if ready.writable {
            left = left.or(port.write_backlog(id, self.batch_max));
        }
        if ready.readable || ready.error || ready.read_ended {
            left = left.or(self.receive(now, id, port, on_event));
        }
        if left == Left::Something {
            port.device_again(id);
        }
    }

    fn receive(
        &mut self,
        now: Timestamp,
        id: DeviceId,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) -> Left {
        for _ in 0..self.batch_max {
            let Some(device) = port.devices.table.get(id.key()) else {
                return Left::Nothing;
            };
            let (kind, packets) = (device.kind, device.packets);
            let read = match port.readiness.take_bytes(id.into()) {
                TakenBytes::Bytes(data) => Ok(packet_behind_header(kind, data)),
                TakenBytes::Failed(error) => Err(error),
                TakenBytes::Nothing | TakenBytes::End => return Left::Nothing,
                TakenBytes::Ask => self.read(device.fd.as_fd(), kind),
            };
            match read {
                Ok(Some(packet)) if packets == PacketSizes::Large => {
                    hand_over(now, id, packet, port, on_event);
                }
                Ok(Some(packet)) => self.hand_over_singles(now, id, kind, packet, port, on_event),
                Ok(None) => port.counters.devices.undelivered += 1,
                Err(error) if error.is_empty() => {
                    port.readiness.asked(id.into());
                    return Left::Nothing;
                }
                Err(error) if error.is_interrupted() => {}
                Err(error) => {
                    port.lose_device(id, error);
                    return Left::Nothing;
                }
            }
        }
        Left::Something
    }

    /// Reads one packet; `None` as below.
    fn read(&mut self, device: BorrowedFd<'_>, kind: DeviceKind) -> Result<Option<Packet>, Errno> {
        if self.buffer.memory() == 0 {
            self.buffer = self.pool.take(PACKET_BYTES_MAX);
        }
        let memory = &mut self.buffer.unfilled()[..PACKET_BYTES_MAX];
        let len = sys::read_packet(device, &mut self.header, memory)?;
        Ok(self.packet(kind, len))
    }

    /// The packet that was read; `None` if it is not whole, or not what the kernel says of it.
    fn packet(&mut self, kind: DeviceKind, len: usize) -> Option<Packet> {
        if len == PACKET_BYTES_MAX {
            return None;
        }
        let bytes = &self.buffer.unfilled()[..len];
        let offload = header::decode(&self.header)?.check(kind, bytes).ok()?;
        let payload = take_received(&mut self.buffer, 0, len, &self.pool);
        Some(Packet { payload, offload })
    }

    /// Hands a packet over as the single ones that it stands for.
    fn hand_over_singles(
        &self,
        now: Timestamp,
        id: DeviceId,
        kind: DeviceKind,
        packet: Packet,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        if packet.offload == PacketOffload::NONE {
            return hand_over(now, id, packet, port, on_event);
        }
        let Ok(singles) = packet.into_singles(kind, &self.pool) else {
            port.counters.devices.undelivered += 1;
            return;
        };
        for single in singles {
            hand_over(now, id, Packet::new(single), port, on_event);
        }
    }
}

/// The same of a packet that was read together with its header.
fn packet_behind_header(kind: DeviceKind, mut data: Buffer) -> Option<Packet> {
    let header = *data.first_chunk::<HEADER_LEN>()?;
    data.pop_front(HEADER_LEN)?;
    if data.len() >= PACKET_BYTES_MAX {
        return None;
    }
    let offload = header::decode(&header)?.check(kind, &data).ok()?;
    Some(Packet {
        payload: data,
        offload,
    })
}

/// Hands one packet over, if its device is still open: an earlier one of the batch may have had it
/// closed.
fn hand_over(
    now: Timestamp,
    id: DeviceId,
    packet: Packet,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) {
    if port.devices.table.get(id.key()).is_none() {
        port.counters.devices.undelivered += 1;
        return;
    }
    port.counters.devices.packets_in += 1;
    port.counters.devices.bytes_in += packet.payload.len() as u64;
    on_event(now, NetworkEvent::Packet { device: id, packet }, port);
}

/// The longest packet: what the length field of IP can say, behind the header of a frame with two
/// tags, and one byte by which a longer one would be seen.
const PACKET_BYTES_MAX: usize = 65_535 + 22 + 1;
