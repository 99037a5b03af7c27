//! TUN and TAP devices: what all backends share that wait for readiness.
//!
//! [`SocketPort`] takes commands: it opens devices at once, and writes packets to them straight
//! from where they are, or joined, by the next flush. [`PacketReader`] is the other half: it takes
//! packets off a device and hands them over in place.
//!
//! Where a task asks for single packets, the kernel still gives large ones, which are cut here: one
//! system call then brings what fills a hundred packets. Likewise, single packets of one flow that
//! a task gives one after the other are joined, and written with one call when they are flushed.

use core::time::Duration;
use std::os::fd::{AsFd, OwnedFd};

use super::port::SocketPort;
use super::readiness::Interest;
use super::sys::{self, Errno, Leave, OpenedDevice, Settling};
use super::table::Table;
use super::timers::Purpose;
use super::{BackendConfig, Offload};
use crate::device::{DeviceError, DeviceKind, DeviceOpen, PacketJoin, PacketSizes};
use crate::id::DeviceId;
use crate::net::{NetworkEvent, Token};

mod backlog;
mod header;
mod receive;
mod send;

use backlog::Backlog;
pub(super) use receive::PacketReader;

/// The devices of a port.
pub(super) struct Devices {
    table: Table<Device>,
    leave: Leave,
    /// Those that hold a packet, and some that no longer do.
    at_flush: Vec<DeviceId>,
}

/// One open device, or one queue of it.
struct Device {
    fd: OwnedFd,
    kind: DeviceKind,
    packets: PacketSizes,
    /// What it takes at most behind the header of a frame, as far as we know.
    mtu: u16,
    held: Option<Held>,
    backlog: Backlog,
    announced: Announced,
    opening: Option<Opening>,
}

/// A device that the kernel has still to take into use.
struct Opening {
    token: Token,
    name: Box<str>,
    settling: Settling,
    next_look: Duration,
}

/// Single packets that are to be written as one.
struct Held {
    join: PacketJoin,
    /// Of all of them.
    bytes: u64,
}

/// Whether its task was told that the device is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    NotYet,
    Yes,
}

impl Device {
    fn interest(&self) -> Interest {
        if self.backlog.is_empty() {
            Interest::Read
        } else {
            Interest::ReadAndWrite
        }
    }
}

impl Devices {
    pub(super) const fn new(config: &BackendConfig) -> Self {
        Self {
            table: Table::new(),
            at_flush: Vec::new(),
            leave: match config.offload {
                Offload::WhereAvailable => Leave::Segments,
                Offload::Off => Leave::Nothing,
            },
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }
}

impl SocketPort {
    pub(super) fn open_device(&mut self, id: DeviceId, open: &DeviceOpen) {
        match sys::open_device(open, self.devices.leave) {
            Ok(opened) => self.insert_device(id, open, opened),
            Err(error) => self.events.push_answer(NetworkEvent::DeviceOpenFailed {
                device: id,
                token: open.token,
                error,
            }),
        }
    }

    fn insert_device(&mut self, id: DeviceId, open: &DeviceOpen, opened: OpenedDevice) {
        let OpenedDevice {
            fd,
            name,
            mtu,
            settling,
        } = opened;
        let device = Device {
            fd,
            kind: open.kind,
            packets: open.packets,
            mtu,
            held: None,
            backlog: Backlog::new(),
            announced: Announced::NotYet,
            opening: Some(Opening {
                token: open.token,
                name,
                settling,
                next_look: LOOK_FIRST,
            }),
        };
        self.devices.table.insert(id.key(), device);
        self.look_at_device(id);
    }

    /// Has the task told that its device is open, once the kernel takes packets for its addresses.
    /// If that does not come, the device is open all the same.
    pub(super) fn look_at_device(&mut self, id: DeviceId) {
        let Some(device) = self.devices.table.get_mut(id.key()) else {
            return;
        };
        let Some(mut opening) = device.opening.take() else {
            return;
        };
        if !opening.settling.is_over() && opening.next_look <= LOOK_LAST {
            let after = opening.next_look;
            opening.next_look = after * 2;
            device.opening = Some(opening);
            return self.timers.set(id, Purpose::Look, after);
        }
        self.events.push_answer(NetworkEvent::DeviceOpened {
            device: id,
            token: opening.token,
            name: opening.name,
            mtu: device.mtu,
        });
    }

    /// An event of a device that waited to be handed over, if it still means something.
    ///
    /// A device is read only once its task was told that it is open.
    pub(super) fn about_device(
        &mut self,
        id: DeviceId,
        event: NetworkEvent,
    ) -> Option<NetworkEvent> {
        let NetworkEvent::DeviceOpened { token, .. } = event else {
            return Some(event);
        };
        let device = self.devices.table.get_mut(id.key())?;
        let (fd, interest) = (device.fd.as_fd(), device.interest());
        if let Err(error) = self.readiness.add(id.into(), fd, interest) {
            self.remove_device(id);
            return Some(NetworkEvent::DeviceOpenFailed {
                device: id,
                token,
                error: DeviceError::Other(error.0),
            });
        }
        device.announced = Announced::Yes;
        Some(event)
    }

    /// Writes what waits, as far as the kernel takes it, then closes.
    pub(super) fn close_device(&mut self, id: DeviceId) {
        self.write_held(id);
        self.write_backlog(id, usize::MAX);
        self.remove_device(id);
        // If it could not be opened, or is gone, nobody is left to be told.
        self.events.forget(id.into());
    }

    /// Nothing more can be done with a device. Its task is told.
    fn lose_device(&mut self, id: DeviceId, error: Errno) {
        if self.remove_device(id) {
            self.events.push_answer(NetworkEvent::DeviceClosed {
                device: id,
                error: if error.is_detached() {
                    DeviceError::Gone
                } else {
                    DeviceError::Other(error.0)
                },
            });
        }
    }

    /// Takes a device out, counting what it has not taken in. Whether it was there.
    fn remove_device(&mut self, id: DeviceId) -> bool {
        let Some(mut device) = self.devices.table.remove(id.key()) else {
            return false;
        };
        let held = device.held.take().map(|held| held.join.segments());
        let lost = device.backlog.clear() + u64::from(held.unwrap_or(0));
        self.counters.devices.send_failed += lost;
        self.timers.clear(id);
        if device.announced == Announced::Yes {
            self.readiness.remove(id.into(), device.fd.as_fd());
            self.counters.devices.undelivered += self.readiness.take_undelivered();
        }
        true
    }

    /// Waits from now on for what a device wants, once its task knows of it.
    fn change_device_interest(&mut self, id: DeviceId) {
        if let Some(device) = self.devices.table.get(id.key())
            && device.announced == Announced::Yes
        {
            let fd = device.fd.as_fd();
            self.readiness.change(id.into(), fd, device.interest());
        }
    }

    /// Has the next wait tell of a device that may be ready still.
    fn device_again(&mut self, id: DeviceId) {
        if let Some(device) = self.devices.table.get(id.key()) {
            let fd = device.fd.as_fd();
            self.readiness.again(id.into(), fd, device.interest());
        }
    }
}

/// How long it takes until a device that is being opened is looked at again: twice as long each
/// time, half a second in all.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(256);

#[cfg(all(test, target_os = "linux"))]
mod tests;
