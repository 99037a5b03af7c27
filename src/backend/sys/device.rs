//! Opens TUN and TAP devices, and reads and writes their packets.
//!
//! Sources: tun(4) in Linux's `Documentation/networking/tuntap.rst`, netdevice(7), rtnetlink(7).
#![expect(unsafe_code, reason = "open, ioctl, readv, writev, and netlink")]

use core::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::message::to_be_read;
use super::{Errno, checked, checked_int};
use crate::device::{DeviceAddress, DeviceError, DeviceKind, DeviceOpen, DeviceQueues};

/// What stands before each packet: `virtio_net_hdr`, without the fields that came later.
pub(crate) const HEADER_LEN: usize = 10;

/// A device that was opened.
#[derive(Debug)]
pub(crate) struct OpenedDevice {
    pub(crate) fd: OwnedFd,
    pub(crate) name: Box<str>,
    pub(crate) mtu: u16,
    pub(crate) settling: Settling,
}

/// Addresses that the kernel has agreed to and that it may not yet take packets for.
#[derive(Debug)]
pub(crate) struct Settling(Option<(Control, Vec<Ipv6Addr>)>);

impl Settling {
    /// There is nothing to wait for.
    #[cfg(test)]
    pub(crate) const OVER: Self = Self(None);

    /// Whether the kernel takes packets for all of them by now.
    pub(crate) fn is_over(&mut self) -> bool {
        let Some((control, addresses)) = &mut self.0 else {
            return true;
        };
        addresses.retain(|address| control.is_own(*address) == Ok(false));
        addresses.is_empty()
    }
}

/// What the kernel is to leave to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Nothing: packets come single and with their checksums.
    Nothing,
    /// Cutting TCP and UDP, and checksums.
    Segments,
}

/// Opens a queue of a device, makes the device if there is none, and gives it its settings. A
/// device that it made is gone again if that fails: it lives as long as its descriptors.
pub(crate) fn open_device(open: &DeviceOpen, leave: Leave) -> Result<OpenedDevice, DeviceError> {
    if open.name.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(DeviceError::BadName);
    }
    let fd = open_driver()?;
    let mut request = Request::named(open.name.as_deref().unwrap_or_default());
    request.0.ifr_ifru.ifru_flags = flags(open);
    request
        .ask(fd.as_fd(), libc::TUNSETIFF)
        .map_err(|error| match error.0 {
            libc::EINVAL => DeviceError::Busy, // The name is fine: it is of another kind.
            libc::E2BIG => DeviceError::TooMany,
            _ => opening(error),
        })?;
    let name = request.name();
    set_header_len(fd.as_fd()).map_err(opening)?;
    set_offload(fd.as_fd(), leave).map_err(opening)?;
    let control = Control::new().map_err(opening)?;
    control.set_up(&name, open.mtu)?;
    for address in &open.addresses {
        control
            .add_address(&name, open.kind, address)
            .map_err(setting)?;
    }
    let mtu = control.mtu(&name).map_err(opening)?;
    let unsettled: Vec<Ipv6Addr> = match open.kind {
        DeviceKind::Tun => open.addresses.iter().filter_map(settles).collect(),
        // Whether anybody else has the address takes seconds to find out.
        DeviceKind::Tap => Vec::new(),
    };
    let settling = Settling((!unsettled.is_empty()).then_some((control, unsettled)));
    Ok(OpenedDevice {
        fd,
        name,
        mtu,
        settling,
    })
}

/// The longest packet that a device sends as one at present, in bytes.
pub(crate) fn device_mtu(device: BorrowedFd<'_>) -> Result<u16, Errno> {
    let mut request = Request::named("");
    request.ask(device, libc::TUNGETIFF)?; // It may have got another name.
    Control::new()?.mtu(&request.name())
}

/// Reads one packet into `memory` and what the kernel says of it into `header`. Gives the length of
/// the packet; one that is longer than `memory` is cut short.
pub(crate) fn read_packet(
    device: BorrowedFd<'_>,
    header: &mut [u8; HEADER_LEN],
    memory: &mut [u8],
) -> Result<usize, Errno> {
    let parts = [
        libc::iovec {
            iov_base: header.as_mut_ptr().cast(),
            iov_len: HEADER_LEN,
        },
        libc::iovec {
            iov_base: memory.as_mut_ptr().cast(),
            iov_len: memory.len(),
        },
    ];
    // SAFETY: `parts` are two iovecs that point at memory which is initialised, which we hold
    // exclusively, and which has the lengths given. The kernel keeps no pointer after the call.
    let read = unsafe { libc::readv(device.as_raw_fd(), parts.as_ptr(), 2) };
    let read = checked(read)?;
    // The driver writes the whole header or none of it.
    read.checked_sub(HEADER_LEN).ok_or(Errno(libc::EIO))
}

/// Writes one packet and what the kernel is to know of it.
pub(crate) fn write_packet(
    device: BorrowedFd<'_>,
    header: &[u8; HEADER_LEN],
    packet: &[u8],
) -> Result<(), Errno> {
    let parts = [to_be_read(header), to_be_read(packet)];
    // SAFETY: `parts` are two iovecs that point at bytes which are borrowed during the call, with
    // their true lengths; the kernel only reads them, and keeps no pointer after the call.
    let written = unsafe { libc::writev(device.as_raw_fd(), parts.as_ptr(), 2) };
    checked(written).map(drop) // The driver takes a packet whole or not at all.
}

/// What `ip link` takes too, but for `%`, which would have the kernel put a number there.
fn is_name(name: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'/' | b'%' | b':' | 0) || byte.is_ascii_whitespace();
    let length = 1..libc::IFNAMSIZ;
    length.contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.bytes().any(|byte| odd(byte) || byte == b'\x0b')
}

fn open_driver() -> Result<OwnedFd, DeviceError> {
    let path = c"/dev/net/tun";
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: `path` is a C string that lives during the call.
    let fd = checked_int(unsafe { libc::open(path.as_ptr(), flags) });
    let fd = fd.map_err(|error| match error.0 {
        libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ENXIO => DeviceError::NoDriver,
        _ => opening(error),
    })?;
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn flags(open: &DeviceOpen) -> libc::c_short {
    let kind = match open.kind {
        DeviceKind::Tun => libc::IFF_TUN,
        DeviceKind::Tap => libc::IFF_TAP,
    };
    let queues = match open.queues {
        DeviceQueues::One => 0,
        DeviceQueues::Several => libc::IFF_MULTI_QUEUE,
    };
    let flags = kind | queues | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    libc::c_short::try_from(flags).unwrap_or(libc::c_short::MAX)
}

/// A device that existed before may have another length.
fn set_header_len(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut len: libc::c_int = 10;
    // SAFETY: TUNSETVNETHDRSZ reads an int, which is ours and lives during the call.
    checked_int(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &mut len) }).map(drop)
}

/// Kernels before 6.2 cannot leave UDP to us; they say `EINVAL` and are asked for less.
fn set_offload(fd: BorrowedFd<'_>, leave: Leave) -> Result<(), Errno> {
    let set = |features: libc::c_uint| {
        let features = libc::c_ulong::from(features);
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        checked_int(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, features) }).map(drop)
    };
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    match leave {
        Leave::Nothing => set(0),
        Leave::Segments => set(tcp | udp).or_else(|_| set(tcp)),
    }
}

/// A request about a device, as netdevice(7) has it.
struct Request(libc::ifreq);

impl Request {
    fn named(name: &str) -> Self {
        // SAFETY: an `ifreq` is made of integers, and pointers in a union, for which all bits zero
        // are a value.
        let mut request = Self(unsafe { core::mem::zeroed() });
        let room = &mut request.0.ifr_name[..libc::IFNAMSIZ - 1];
        for (to, from) in room.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request
    }

    fn name(&self) -> Box<str> {
        let bytes = self.0.ifr_name.iter().map(|byte| byte.cast_unsigned());
        let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into()
    }

    /// Has the kernel answer one of the requests that read and write an `ifreq`.
    fn ask(&mut self, fd: BorrowedFd<'_>, what: libc::Ioctl) -> Result<(), Errno> {
        // SAFETY: the callers pass requests that read and write one `ifreq` and follow no pointer
        // in it; it is ours and lives during the call.
        checked_int(unsafe { libc::ioctl(fd.as_raw_fd(), what, &mut self.0) }).map(drop)
    }
}

/// The kernel takes an IPv6 address into use some time after it has agreed to it.
const fn settles(address: &DeviceAddress) -> Option<Ipv6Addr> {
    match address.ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(ip),
    }
}

/// A socket through which devices are configured.
#[derive(Debug)]
struct Control(OwnedFd);

impl Control {
    fn new() -> Result<Self, Errno> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        let fd = checked_int(fd)?;
        // SAFETY: the call succeeded, so `fd` is open, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn mtu(&self, name: &str) -> Result<u16, Errno> {
        let mut request = Request::named(name);
        request.ask(self.0.as_fd(), libc::SIOCGIFMTU)?;
        // SAFETY: SIOCGIFMTU has filled in the number, and any bits are one.
        let mtu = unsafe { request.0.ifr_ifru.ifru_mtu };
        Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
    }

    fn is_up(&self, name: &str) -> Result<bool, Errno> {
        let mut request = Request::named(name);
        request.ask(self.0.as_fd(), libc::SIOCGIFFLAGS)?;
        // SAFETY: SIOCGIFFLAGS has filled in the flags, and any bits are some.
        let flags = unsafe { request.0.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
    }

    fn index(&self, name: &str) -> Result<libc::c_int, Errno> {
        let mut request = Request::named(name);
        request.ask(self.0.as_fd(), libc::SIOCGIFINDEX)?;
        // SAFETY: SIOCGIFINDEX has filled in the number, and any bits are one.
        Ok(unsafe { request.0.ifr_ifru.ifru_ifindex })
    }

    /// Brings a device up, with this MTU. Asks for nothing that is so already, since that would
    /// need a privilege that the owner of a device may lack.
    fn set_up(&self, name: &str, mtu: Option<u16>) -> Result<(), DeviceError> {
        let mtu = mtu.filter(|mtu| self.mtu(name) != Ok(*mtu));
        if mtu.is_none() && self.is_up(name) == Ok(true) {
            return Ok(());
        }
        let index = self.index(name).map_err(opening)?;
        let up = libc::IFF_UP.to_ne_bytes();
        let mut message = Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK);
        message.push(&[0; 4]); // Family, padding and type say nothing here.
        message.push(&index.to_ne_bytes());
        message.push(&up);
        message.push(&up); // Of the flags, change this one.
        if let Some(mtu) = mtu {
            message.attribute(libc::IFLA_MTU, &u32::from(mtu).to_ne_bytes());
        }
        self.request(message).map_err(setting)
    }

    fn add_address(
        &self,
        name: &str,
        kind: DeviceKind,
        address: &DeviceAddress,
    ) -> Result<(), Errno> {
        let index = self.index(name)?;
        let family = match address.ip {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        let family = u8::try_from(family).unwrap_or(u8::MAX);
        let flags = match (kind, address.ip) {
            // There is nobody on the wire who could have it too, so it is good at once.
            (DeviceKind::Tun, IpAddr::V6(_)) => NO_DUPLICATES,
            (DeviceKind::Tun | DeviceKind::Tap, _) => 0,
        };
        // The same once more is fine: each queue of a device may name it.
        let replace = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_ACK | replace);
        message.push(&[family, address.prefix_len, flags, 0]);
        message.push(&index.to_ne_bytes());
        match address.ip {
            IpAddr::V4(ip) => {
                message.attribute(libc::IFA_LOCAL, &ip.octets());
                message.attribute(libc::IFA_ADDRESS, &ip.octets());
            }
            IpAddr::V6(ip) => message.attribute(libc::IFA_ADDRESS, &ip.octets()),
        }
        self.request(message)
    }

    /// Whether packets to an address are for this system.
    fn is_own(&self, ip: Ipv6Addr) -> Result<bool, Errno> {
        const ADDRESS_BITS: u8 = 128;
        let family = u8::try_from(libc::AF_INET6).unwrap_or(u8::MAX);
        let mut message = Message::new(libc::RTM_GETROUTE, 0);
        message.push(&[family, ADDRESS_BITS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        message.attribute(libc::RTA_DST, &ip.octets());
        // A header and the route, of which the eighth byte is its type.
        let answer = self.exchange(message)?;
        let is_route = kind(&answer) == Some(libc::RTM_NEWROUTE);
        Ok(is_route && answer.get(23) == Some(&libc::RTN_LOCAL))
    }

    /// Has the kernel change something, and says what it says to that.
    fn request(&self, message: Message) -> Result<(), Errno> {
        let answer = self.exchange(message)?;
        // A header, which says that this is an acknowledgement, then the error.
        let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
        match (kind(&answer), error.map(i32::from_ne_bytes)) {
            (Some(ACKNOWLEDGEMENT), Some(0)) => Ok(()),
            (Some(ACKNOWLEDGEMENT), Some(error)) => Err(Errno(error.saturating_neg())),
            _ => Err(Errno(libc::EPROTO)),
        }
    }

    /// Sends a message, and gives the answer, which the kernel has at once.
    fn exchange(&self, message: Message) -> Result<Vec<u8>, Errno> {
        let bytes = message.finish();
        let fd = self.0.as_raw_fd();
        // SAFETY: `bytes` are so many bytes, borrowed during the call.
        checked(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) })?;
        let mut answer = vec![0; 1_024];
        // SAFETY: `answer` is room for so many bytes, which we hold exclusively.
        let len = unsafe { libc::recv(fd, answer.as_mut_ptr().cast(), answer.len(), 0) };
        answer.truncate(checked(len)?);
        Ok(answer)
    }
}

/// The second field of a message's header.
fn kind(message: &[u8]) -> Option<u16> {
    let &[first, second] = message.get(4..6)? else {
        return None;
    };
    Some(u16::from_ne_bytes([first, second]))
}

/// A netlink message: a header, the fields of a request, and attributes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: libc::c_int) -> Self {
        let flags = flags | libc::NLM_F_REQUEST;
        let mut message = Self(vec![0; 4]); // The length is filled in at the end.
        message.push(&kind.to_ne_bytes());
        message.push(&u16::try_from(flags).unwrap_or(u16::MAX).to_ne_bytes());
        message.push(&[0; 8]); // One request at a time needs no number.
        message
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// `bytes` are a multiple of 4 long, as all of ours are.
    fn attribute(&mut self, kind: u16, bytes: &[u8]) {
        let len = u16::try_from(4 + bytes.len()).unwrap_or(u16::MAX);
        self.push(&len.to_ne_bytes());
        self.push(&kind.to_ne_bytes());
        self.push(bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

/// What it means that a device cannot be opened.
const fn opening(error: Errno) -> DeviceError {
    match error.0 {
        libc::EPERM | libc::EACCES => DeviceError::PermissionDenied,
        libc::EBUSY => DeviceError::Busy,
        libc::EMFILE | libc::ENFILE => DeviceError::TooMany,
        libc::ENODEV | libc::EBADFD => DeviceError::Gone,
        other => DeviceError::Other(other),
    }
}

/// What it means that the kernel does not take a setting.
const fn setting(error: Errno) -> DeviceError {
    match error.0 {
        libc::EPERM => DeviceError::PermissionDenied,
        libc::ENODEV => DeviceError::Gone,
        other => DeviceError::BadSetting(other),
    }
}

/// `NLMSG_ERROR`, which says that there was none as well.
const ACKNOWLEDGEMENT: u16 = 2;

/// `IFA_F_NODAD`, as the field of a request has it.
const NO_DUPLICATES: u8 = 0x02;
