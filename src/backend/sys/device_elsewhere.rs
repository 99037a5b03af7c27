//! Systems without TUN and TAP devices that we know how to open.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::Errno;
use crate::device::{DeviceError, DeviceOpen};

pub(crate) const HEADER_LEN: usize = 10;

/// A device that was opened: none ever is.
#[derive(Debug)]
pub(crate) struct OpenedDevice {
    pub(crate) fd: OwnedFd,
    pub(crate) name: Box<str>,
    pub(crate) mtu: u16,
    pub(crate) settling: Settling,
}

/// Addresses that the kernel has agreed to and that it may not yet take packets for.
#[derive(Debug)]
pub(crate) struct Settling;

impl Settling {
    pub(crate) const fn is_over(&mut self) -> bool {
        true
    }
}

/// What the kernel is to leave to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Nothing,
    Segments,
}

pub(crate) const fn open_device(_: &DeviceOpen, _: Leave) -> Result<OpenedDevice, DeviceError> {
    Err(DeviceError::Unsupported)
}

pub(crate) const fn device_mtu(_: BorrowedFd<'_>) -> Result<u16, Errno> {
    Err(Errno(libc::ENOTSUP))
}

pub(crate) const fn read_packet(
    _: BorrowedFd<'_>,
    _: &mut [u8; HEADER_LEN],
    _: &mut [u8],
) -> Result<usize, Errno> {
    Err(Errno(libc::ENOTSUP))
}

pub(crate) const fn write_packet(
    _: BorrowedFd<'_>,
    _: &[u8; HEADER_LEN],
    _: &[u8],
) -> Result<(), Errno> {
    Err(Errno(libc::ENOTSUP))
}
