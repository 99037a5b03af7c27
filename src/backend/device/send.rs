//! Writes packets to devices.

use std::os::fd::AsFd;

use super::backlog::{Share, Waiting};
use super::header::{self, Header};
use super::{Device, Held, Leave, sys};
use crate::backend::port::{Left, SocketPort};
use crate::backend::sys::Errno;
use crate::buffer::Buffer;
use crate::device::{PacketJoin, PacketOffload, PacketTransmit};
use crate::id::DeviceId;
use crate::net::NetworkError;

impl SocketPort {
    /// Writes a packet behind those that wait. A single one to which others may be joined is held
    /// until something else comes, at most until it is flushed.
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
            Err(error) => return self.packets_failed(id, error, 1),
        };
        let bytes = packet.len() as u64;
        if let Some(held) = &mut device.held {
            if offload == PacketOffload::NONE && held.join.push(packet) {
                held.bytes += bytes;
                return;
            }
            self.write_held(id);
        }
        let share = Share { packets: 1, bytes };
        if self.devices.leave == Leave::Nothing || offload != PacketOffload::NONE {
            return self.write_or_wait(id, &header, share, owned);
        }
        let buffer = match owned {
            Ok(buffer) => buffer,
            Err(len) => self.buffers.copy_from(self.udp.written(len)),
        };
        let Some(device) = self.devices.table.get_mut(id.key()) else {
            self.counters.devices.send_failed += 1;
            return;
        };
        match PacketJoin::start(device.kind, buffer) {
            Ok(join) => {
                device.held = Some(Held { join, bytes });
                if !self.devices.at_flush.contains(&id) {
                    self.devices.at_flush.push(id);
                }
            }
            Err(alone) => self.write_or_wait(id, &header, share, Ok(alone)),
        }
    }

    /// Writes what is held.
    pub(in crate::backend) fn flush_devices(&mut self) {
        while let Some(id) = self.devices.at_flush.pop() {
            self.write_held(id);
        }
    }

    pub(super) fn write_held(&mut self, id: DeviceId) {
        let held = self.devices.table.get_mut(id.key());
        if let Some(Held { join, bytes }) = held.and_then(|device| device.held.take()) {
            let packets = u32::from(join.segments());
            let packet = join.finish();
            let header = header::encode(&packet.offload);
            self.write_or_wait(id, &header, Share { packets, bytes }, Ok(packet.payload));
        }
    }

    /// Writes a packet, or has it wait. It is a buffer, or so many bytes of lent memory.
    fn write_or_wait(
        &mut self,
        id: DeviceId,
        header: &Header,
        share: Share,
        owned: Result<Buffer, usize>,
    ) {
        let Some(device) = self.devices.table.get_mut(id.key()) else {
            self.counters.devices.send_failed += u64::from(share.packets);
            return;
        };
        let packet = match &owned {
            Ok(buffer) => buffer,
            Err(len) => self.udp.written(*len),
        };
        let failed = if device.backlog.is_empty() {
            device.write(header, packet).err()
        } else {
            Some(Errno::FULL)
        };
        match failed {
            None => self.count_written(share),
            Some(error) if error.is_full() && device.backlog.has_room(packet.len()) => {
                let packet = match owned {
                    Ok(buffer) => buffer,
                    Err(_) => self.buffers.copy_from(packet),
                };
                let first = device.backlog.is_empty();
                device.backlog.push(Waiting {
                    header: *header,
                    packet,
                    share,
                });
                if first {
                    self.change_device_interest(id);
                }
            }
            Some(error) => self.write_failed(id, error, share.packets),
        }
    }

    const fn count_written(&mut self, share: Share) {
        self.counters.devices.packets_out += share.packets as u64;
        self.counters.devices.bytes_out += share.bytes;
    }

    /// Writes at most `packets_max` of those that wait at a device.
    pub(super) fn write_backlog(&mut self, id: DeviceId, packets_max: usize) -> Left {
        for _ in 0..packets_max {
            let Some(device) = self.devices.table.get_mut(id.key()) else {
                return Left::Nothing;
            };
            let Some(Waiting { header, packet, .. }) = device.backlog.first() else {
                return Left::Nothing;
            };
            let written = device.write(header, packet);
            if written.is_err_and(Errno::is_full) {
                return Left::Nothing; // The next wait says when there is room.
            }
            let Some(Waiting { share, .. }) = device.backlog.pop() else {
                return Left::Nothing;
            };
            if device.backlog.is_empty() {
                self.change_device_interest(id);
            }
            match written {
                Ok(()) => self.count_written(share),
                Err(error) => self.write_failed(id, error, share.packets),
            }
        }
        Left::Something
    }

    /// The kernel has not taken a packet.
    fn write_failed(&mut self, id: DeviceId, error: Errno, packets: u32) {
        if error.is_detached() {
            self.counters.devices.send_failed += u64::from(packets);
            return self.lose_device(id, error);
        }
        let error = match error.0 {
            libc::EIO => NetworkError::Down,
            _ if error.is_full() || error.is_out_of_memory() => NetworkError::QueueFull,
            _ => error.to_network_error(),
        };
        self.packets_failed(id, error, packets);
    }

    /// Counts packets that were not taken in, and has their task told.
    fn packets_failed(&mut self, id: DeviceId, error: NetworkError, packets: u32) {
        self.counters.devices.send_failed += u64::from(packets);
        self.events.push_packets_failed(id, error, packets);
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
        let measured = offload.measure(self.kind, packet);
        let measured = measured.map_err(NetworkError::Malformed)?;
        if measured.check_mtu(self.mtu).is_err() {
            // It may have been changed since.
            self.mtu = sys::device_mtu(self.fd.as_fd()).unwrap_or(self.mtu);
            measured.check_mtu(self.mtu)?;
        }
        Ok(header::encode(&measured.offload))
    }
}
