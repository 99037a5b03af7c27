//! Writes packets to devices.

use std::os::fd::AsFd;

use super::backlog::Waiting;
use super::header::{self, Header};
use super::{Device, sys};
use crate::backend::port::{Left, SocketPort};
use crate::backend::sys::Errno;
use crate::device::{DeviceKind, MalformedPacket, PacketOffload, PacketTransmit};
use crate::id::DeviceId;
use crate::net::NetworkError;

impl SocketPort {
    /// Writes a packet at once, behind those that wait.
    pub(in crate::backend) fn send_packet(&mut self, transmit: PacketTransmit) {
        let PacketTransmit {
            device: id,
            payload,
            offload,
        } = transmit;
        let Some(device) = self.devices.table.get_mut(id.key()) else {
            // It could not be opened, or is gone, and its task is about to be told.
            self.counters.devices.send_failed += 1;
            return;
        };
        let owned = payload.into_buffer();
        let packet = match &owned {
            Ok(buffer) => buffer,
            Err(len) => self.udp.written(*len),
        };
        let header = match device.check(packet, &offload) {
            Ok(header) => header,
            Err(error) => return self.packet_failed(id, error),
        };
        let len = packet.len();
        let failed = if device.backlog.is_empty() {
            device.write(&header, packet).err()
        } else {
            Some(Errno::FULL)
        };
        match failed {
            None => {
                self.counters.devices.packets_out += 1;
                self.counters.devices.bytes_out += len as u64;
            }
            Some(error) if error.is_full() && device.backlog.has_room(len) => {
                let packet = match owned {
                    Ok(buffer) => buffer,
                    Err(_) => self.buffers.copy_from(packet),
                };
                self.wait_to_write(id, Waiting { header, packet });
            }
            Some(error) => self.write_failed(id, error),
        }
    }

    fn wait_to_write(&mut self, id: DeviceId, waiting: Waiting) {
        if let Some(device) = self.devices.table.get_mut(id.key()) {
            let first = device.backlog.is_empty();
            device.backlog.push(waiting);
            if first {
                self.change_device_interest(id);
            }
        }
    }

    /// Writes at most `packets_max` of those that wait at a device.
    pub(super) fn write_backlog(&mut self, id: DeviceId, packets_max: usize) -> Left {
        for _ in 0..packets_max {
            let Some(device) = self.devices.table.get_mut(id.key()) else {
                return Left::Nothing;
            };
            let Some(Waiting { header, packet }) = device.backlog.first() else {
                return Left::Nothing;
            };
            let written = device.write(header, packet);
            if written.is_err_and(Errno::is_full) {
                return Left::Nothing; // The next wait says when there is room.
            }
            let len = device
                .backlog
                .pop()
                .map_or(0, |waiting| waiting.packet.len());
            if device.backlog.is_empty() {
                self.change_device_interest(id);
            }
            match written {
                Ok(()) => {
                    self.counters.devices.packets_out += 1;
                    self.counters.devices.bytes_out += len as u64;
                }
                Err(error) => self.write_failed(id, error),
            }
        }
        Left::Something
    }

    /// The kernel has not taken a packet.
    fn write_failed(&mut self, id: DeviceId, error: Errno) {
        if error.is_detached() {
            self.counters.devices.send_failed += 1;
            return self.lose_device(id, error);
        }
        let error = match error.0 {
            libc::EIO => NetworkError::Down,
            _ if error.is_full() || error.is_out_of_memory() => NetworkError::QueueFull,
            _ => error.to_network_error(),
        };
        self.packet_failed(id, error);
    }

    /// Counts a packet that was not taken in, and has its task told.
    fn packet_failed(&mut self, id: DeviceId, error: NetworkError) {
        self.counters.devices.send_failed += 1;
        self.events.push_packet_failed(id, error);
    }
}

impl Device {
    fn write(&self, header: &Header, packet: &[u8]) -> Result<(), Errno> {
        loop {
            match sys::write_packet(self.fd.as_fd(), header, packet) {
                Err(error) if error.is_interrupted() => {}
                written => return written,
            }
        }
    }

    /// Whether the device carries this. Gives what the kernel is to know of it.
    fn check(&mut self, packet: &[u8], offload: &PacketOffload) -> Result<Header, NetworkError> {
        let frame_header_len = frame_header_len(self.kind, packet)?;
        let offload = offload
            .check(self.kind, packet)
            .map_err(NetworkError::Malformed)?;
        let len = match offload.segmentation {
            None => packet.len(),
            // What is shorter is one segment.
            Some(cut) => packet
                .len()
                .min(usize::from(cut.header_len) + usize::from(cut.segment_size)),
        };
        let max = |mtu: u16| frame_header_len + usize::from(mtu);
        if len > max(self.mtu) {
            // It may have been changed since.
            self.mtu = sys::device_mtu(self.fd.as_fd()).unwrap_or(self.mtu);
        }
        let max = max(self.mtu);
        if len > max {
            return Err(NetworkError::TooLong { len, max });
        }
        Ok(header::encode(&offload))
    }
}

/// Length of what stands before the packet that the MTU is about.
fn frame_header_len(kind: DeviceKind, packet: &[u8]) -> Result<usize, NetworkError> {
    let len = packet.len();
    let malformed = match kind {
        DeviceKind::Tun => match packet.first().map(|first| first >> 4) {
            Some(4 | 6) => return Ok(0),
            Some(_) => MalformedPacket::NotIp,
            None => MalformedPacket::TooShort { len },
        },
        DeviceKind::Tap => {
            let mut end = FRAME_HEADER_LEN;
            while let Some(TAG | SERVICE_TAG) = packet.get(end - 2..end) {
                end += 4;
            }
            if end <= len {
                return Ok(end);
            }
            MalformedPacket::TooShort { len }
        }
    };
    Err(NetworkError::Malformed(malformed))
}

/// Two addresses and the type of what follows.
const FRAME_HEADER_LEN: usize = 14;

/// The types of tags of virtual networks (IEEE 802.1Q), which are 4 bytes each.
const TAG: &[u8] = &[0x81, 0x00];
const SERVICE_TAG: &[u8] = &[0x88, 0xa8];
