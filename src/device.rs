//! Devices: packets (TUN) and frames (TAP) that the system's own network stack gives out and takes
//! in.
//!
//! A packet is what the stack would have sent over a wire: an IPv4 or IPv6 packet from a TUN
//! device, an Ethernet frame from a TAP device. With *offload* it may be longer than any wire
//! takes: one TCP or UDP header and many segments behind it, with checksums still to be filled in.
//! A task that moves packets on as they are asks for such ([`DeviceOpen::with_large_packets`]) and
//! saves most of the cost; one that looks into them gets single packets, whole and with their
//! checksums: the driver cuts and joins where the system does not.
//!
//! Sources: Linux's `Documentation/networking/tuntap.rst`, the VIRTIO specification 1.2, 5.1.6
//! (`virtio_net_hdr`).

use core::net::IpAddr;

mod checksum;
mod headers;
mod join;
mod offload;
mod packet;
mod segment;

pub use headers::{MalformedPacket, PacketHeaders};
pub use join::PacketJoin;
pub use offload::MeasuredPacket;
pub use segment::SinglePackets;

use crate::buffer::Buffer;
use crate::id::DeviceId;
use crate::net::Token;
use crate::transmit::Payload;

/// A device to be opened, or made if there is none of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceOpen {
    /// Comes back with the answer.
    pub token: Token,
    /// What it carries.
    pub kind: DeviceKind,
    /// Its name, at most 15 bytes; the system chooses one if there is none.
    pub name: Option<String>,
    /// Addresses that it is to have, for the system's side of it.
    pub addresses: Vec<DeviceAddress>,
    /// The longest packet that is sent as one in bytes, if not the usual 1,500.
    pub mtu: Option<u16>,
    /// Whether other queues of the same device may be opened.
    pub queues: DeviceQueues,
    /// Whether the task takes packets with many segments.
    pub packets: PacketSizes,
}

impl DeviceOpen {
    /// A device without addresses that carries IP packets.
    #[must_use]
    pub const fn tun(token: Token) -> Self {
        Self::new(token, DeviceKind::Tun)
    }

    /// A device without addresses that carries Ethernet frames.
    #[must_use]
    pub const fn tap(token: Token) -> Self {
        Self::new(token, DeviceKind::Tap)
    }

    const fn new(token: Token, kind: DeviceKind) -> Self {
        Self {
            token,
            kind,
            name: None,
            addresses: Vec::new(),
            mtu: None,
            queues: DeviceQueues::One,
            packets: PacketSizes::Single,
        }
    }

    /// The same, of this name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same, with one more address for the system's side, and a route to the others of its
    /// prefix.
    ///
    /// The answer waits until the system takes packets for the address, at most half a second.
    /// A TAP device's IPv6 addresses are not waited for: for a second or two, the system looks
    /// whether anybody else has them (RFC 4862, 5.4).
    #[must_use]
    pub fn with_address(mut self, ip: IpAddr, prefix_len: u8) -> Self {
        self.addresses.push(DeviceAddress { ip, prefix_len });
        self
    }

    /// The same, with packets of at most this many bytes.
    #[must_use]
    pub const fn with_mtu(mut self, mtu: u16) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// The same, as one of several queues of a device: each task that opens the name gets some of
    /// the flows.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.queues = DeviceQueues::Several;
        self
    }

    /// The same, for a task that takes packets with many segments.
    #[must_use]
    pub const fn with_large_packets(mut self) -> Self {
        self.packets = PacketSizes::Large;
        self
    }
}

/// What a device carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "layer 3 or layer 2")]
pub enum DeviceKind {
    /// IP packets.
    Tun,
    /// Ethernet frames.
    Tap,
}

/// An address and how many of its leading bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct DeviceAddress {
    /// The address.
    pub ip: IpAddr,
    /// Length of the network's part in bits.
    pub prefix_len: u8,
}

/// How many queues of a device may be open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or more")]
pub enum DeviceQueues {
    /// This one.
    One,
    /// Any number, each opened for itself (`IFF_MULTI_QUEUE`).
    Several,
}

/// Which packets a task takes from its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "with or without offload")]
pub enum PacketSizes {
    /// Single ones, no longer than the MTU (and, for a TAP device, its frame header), with their
    /// checksums.
    Single,
    /// Also such with many segments, and such without checksums: see [`Packet::offload`].
    Large,
}

/// A packet that a device has given out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// The packet (TUN) or frame (TAP).
    pub payload: Buffer,
    /// What is still to be done to it. Nothing, unless the task takes large packets.
    pub offload: PacketOffload,
}

impl Packet {
    /// A single packet with its checksums.
    #[must_use]
    pub const fn new(payload: Buffer) -> Self {
        Self {
            payload,
            offload: PacketOffload::NONE,
        }
    }
}

/// A packet for a device to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketTransmit {
    /// The device.
    pub device: DeviceId,
    /// The packet (TUN) or frame (TAP).
    pub payload: Payload,
    /// What is still to be done to it.
    pub offload: PacketOffload,
}

impl PacketTransmit {
    /// A single packet with its checksums.
    #[must_use]
    pub fn new(device: DeviceId, payload: impl Into<Payload>) -> Self {
        Self {
            device,
            payload: payload.into(),
            offload: PacketOffload::NONE,
        }
    }

    /// `packet`, as it is.
    #[must_use]
    pub fn forward(device: DeviceId, packet: Packet) -> Self {
        Self {
            device,
            payload: Payload::owned(packet.payload),
            offload: packet.offload,
        }
    }
}

/// What is still to be done to a packet before it can go over a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PacketOffload {
    /// It is to be cut.
    pub segmentation: Option<Segmentation>,
    /// Its transport checksum is to be filled in.
    pub checksum: Option<PartialChecksum>,
}

impl PacketOffload {
    /// Nothing.
    pub const NONE: Self = Self {
        segmentation: None,
        checksum: None,
    };
}

/// How a packet is cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segmentation {
    /// What the segments are.
    pub protocol: SegmentProtocol,
    /// Length in bytes of all headers, which each segment gets a copy of.
    pub header_len: u16,
    /// Bytes behind the headers in each segment but the last.
    pub segment_size: u16,
}

impl Segmentation {
    /// Segments of `segment_size` bytes behind `header_len` bytes of headers.
    #[must_use]
    pub const fn new(protocol: SegmentProtocol, header_len: u16, segment_size: u16) -> Self {
        Self {
            protocol,
            header_len,
            segment_size,
        }
    }
}

/// What the segments of a large packet are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentProtocol {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams, over either.
    Udp,
}

/// A checksum of which the field holds the sum over the pseudo header alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialChecksum {
    /// Where in the packet the sum begins, in bytes.
    pub start: u16,
    /// Where the field is, in bytes from there.
    pub offset: u16,
}

impl PartialChecksum {
    /// A sum from `start` on, to be written `offset` bytes behind it.
    #[must_use]
    pub const fn new(start: u16, offset: u16) -> Self {
        Self { start, offset }
    }
}

/// Why a device could not be opened, or is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The process may not make or change devices.
    #[error(
        "no permission: TUN and TAP devices need CAP_NET_ADMIN; run as root, or grant it with \
        `setcap cap_net_admin+ep PROGRAM`, or have root make the device for this user with \
        `ip tuntap add NAME mode tun user USER`"
    )]
    PermissionDenied,
    /// The system has no such devices.
    #[error("no /dev/net/tun: load the `tun` module, or give the container that device")]
    NoDriver,
    /// The name is too long, or holds what names may not hold.
    #[error("not a name for a device: 1 to 15 bytes, without `/`, `%`, `:` and white space")]
    BadName,
    /// The device exists and is open, or is of another kind.
    #[error("device busy: it is open elsewhere without further queues, or of another kind")]
    Busy,
    /// An address or MTU is not one that the system takes.
    #[error("the system does not take the address or MTU (error {0})")]
    BadSetting(i32),
    /// Too many descriptors, or devices of the worker.
    #[error("too many devices or descriptors open")]
    TooMany,
    /// The device was removed.
    #[error("device gone")]
    Gone,
    /// The backend has no devices.
    #[error("not supported by this backend")]
    Unsupported,
    /// Something else; the system's error number.
    #[error("system error {0}")]
    Other(i32),
}
