//! What the network tells, as bytes of a recording.

use core::net::{IpAddr, SocketAddr};

use super::code::{Recordable, RecordedBytes};
use super::input::NETWORK;
use crate::buffer::Buffer;
use crate::datagram::DatagramRun;
use crate::device::{
    DeviceError, MalformedPacket, Packet, PacketOffload, PartialChecksum, SegmentProtocol,
    Segmentation,
};
use crate::id::SocketId;
use crate::net::{NetworkError, NetworkEvent};
use crate::recordable;
use crate::slots::Key;
use crate::stream::IncomingId;
use crate::traffic::{Dscp, Ecn};
use crate::udp::{Interface, InterfaceIndex, Membership, UdpBuffers};

recordable!(enum NetworkEvent {
    0 = UdpOpened { socket, token, local, buffers },
    1 = UdpOpenFailed { socket, token, bind, error },
    2 = Datagrams { socket, run },
    3 = GroupJoined(membership),
    4 = GroupLeft(membership),
    5 = GroupFailed { membership, error },
    6 = SendFailed { socket, peer, error, datagrams },
    7 = SocketError { socket, peer, error },
    8 = Listening { listener, token, local },
    9 = ListenFailed { listener, token, bind, error },
    10 = Incoming { listener, incoming, peer, local, room },
    11 = Accepted { listener, stream, peer, local, room },
    12 = AcceptFailed { listener, error },
    13 = Connected { stream, token, peer, local, room },
    14 = ConnectFailed { stream, token, peer, error },
    15 = Received { stream, data },
    16 = ReadEnded { stream },
    17 = Writable { stream, room },
    18 = WriteFailed { stream, bytes, error },
    19 = StreamClosed { stream, peer, error },
    20 = DeviceOpened { device, token, name, mtu },
    21 = DeviceOpenFailed { device, token, error },
    22 = Packet { device, packet },
    23 = PacketsFailed { device, error, packets },
    24 = DeviceClosed { device, error },
    25 = Stale { id, outputs },
});

recordable!(enum NetworkError {
    0 = AddressInUse,
    1 = AddressNotAvailable,
    2 = AddressFamily,
    3 = OtherPeer,
    4 = InvalidOption,
    5 = NotAGroup,
    6 = AlreadyMember,
    7 = NotMember,
    8 = TooManyGroups,
    9 = NoSuchInterface,
    10 = PermissionDenied,
    11 = TimedOut,
    12 = ConnectionReset,
    13 = ConnectionRefused,
    14 = HostUnreachable,
    15 = NetworkUnreachable,
    16 = TooLong { len, max },
    17 = QueueFull,
    18 = Malformed(why),
    19 = Down,
    20 = Ended,
    21 = TooManySockets,
    22 = Unsupported,
    23 = Other(number),
});

recordable!(enum DeviceError {
    0 = PermissionDenied,
    1 = NoDriver,
    2 = BadName,
    3 = Busy,
    4 = BadSetting(number),
    5 = TooMany,
    6 = Gone,
    7 = Unsupported,
    8 = Other(number),
});

recordable!(enum MalformedPacket {
    0 = TooShort { len },
    1 = NotIp,
    2 = BadLength { len },
    3 = OtherProtocol,
    4 = Fragment,
    5 = NoSegmentSize,
    6 = OtherChecksum,
    7 = ChecksumOutside { len },
});

recordable!(struct UdpBuffers { send, receive });
recordable!(struct Membership { socket, group, interface });
recordable!(enum Interface { 0 = ByRoute, 1 = Index(index), 2 = Address(ip) });
recordable!(struct Packet { payload, offload });
recordable!(struct PacketOffload { segmentation, checksum });
recordable!(struct Segmentation { protocol, header_len, segment_size });
recordable!(enum SegmentProtocol { 0 = TcpV4, 1 = TcpV6, 2 = Udp });
recordable!(struct PartialChecksum { start, offset });

impl Recordable for InterfaceIndex {
    fn write(&self, to: &mut Vec<u8>) {
        self.number().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        Self::new(u32::read(from)?)
    }
}

impl Recordable for IncomingId {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        u64::read(from).map(Self)
    }
}

/// The numbers of what comes with a payload.
const DATAGRAMS: u8 = 2;
pub(super) const RECEIVED: u8 = 15;
pub(super) const PACKET: u8 = 22;

/// What comes most often, as it is written: all but the payload, put together on the stack.
#[inline]
pub(super) fn datagrams(socket: SocketId, run: &DatagramRun) -> Fields {
    let mut fields = Fields::new();
    fields.put([NETWORK, DATAGRAMS]);
    fields.id(socket.worker, socket.key);
    fields.run(run);
    fields
}

impl Recordable for DatagramRun {
    fn write(&self, to: &mut Vec<u8>) {
        let mut fields = Fields::new();
        fields.run(self);
        to.extend_from_slice(fields.bytes());
        to.extend_from_slice(&self.payload);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        let peer = SocketAddr::read(from)?;
        let local = read_ip(from)?;
        let interface = InterfaceIndex::new(u32::read(from)?);
        let traffic_class = u8::read(from)?;
        let segment_size = u32::read(from)? as usize;
        let payload = Buffer::read(from)?;
        let mut run = Self::new(peer, payload, segment_size);
        run.local = local;
        run.interface = interface;
        run.dscp = Dscp::from_traffic_class(traffic_class);
        run.ecn = Ecn::from_traffic_class(traffic_class);
        Some(run)
    }
}

/// An address, if there is one, as [`Fields::ip`] writes it.
pub(super) fn read_ip(from: &mut RecordedBytes<'_>) -> Option<Option<IpAddr>> {
    Some(match u8::read(from)? {
        0 => None,
        4 => Some(IpAddr::V4(Recordable::read(from)?)),
        6 => Some(IpAddr::V6(Recordable::read(from)?)),
        _ => return None,
    })
}

/// A few fields on the stack.
pub(super) struct Fields {
    bytes: [u8; 112],
    len: usize,
}

impl Fields {
    #[inline]
    pub(super) const fn new() -> Self {
        let bytes = [0; 112];
        Self { bytes, len: 0 }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    #[inline]
    pub(super) fn id(&mut self, worker: u16, key: Key) {
        self.put(worker.to_le_bytes());
        self.number(key.slot);
        self.number(key.generation);
    }

    /// All of it but the bytes of its payload.
    #[inline]
    fn run(&mut self, run: &DatagramRun) {
        self.address(&run.peer);
        self.ip(run.local);
        self.number(run.interface.map_or(0, InterfaceIndex::number));
        self.put([run.dscp.traffic_class(run.ecn)]);
        self.len(run.segment_size);
        self.len(run.payload.len());
    }

    #[inline]
    pub(super) fn number(&mut self, number: u32) {
        self.put(number.to_le_bytes());
    }

    /// A length, of which those that 32 bits do not hold are all the same.
    #[inline]
    pub(super) fn len(&mut self, len: usize) {
        self.number(u32::try_from(len).unwrap_or(u32::MAX));
    }

    #[inline]
    pub(super) fn address(&mut self, address: &SocketAddr) {
        match address {
            SocketAddr::V4(v4) => {
                self.put([4]);
                self.put(v4.ip().octets());
                self.put(v4.port().to_le_bytes());
            }
            SocketAddr::V6(v6) => {
                self.put([6]);
                self.put(v6.ip().octets());
                self.put(v6.port().to_le_bytes());
                self.number(v6.flowinfo());
                self.number(v6.scope_id());
            }
        }
    }

    #[inline]
    pub(super) fn ip(&mut self, ip: Option<IpAddr>) {
        match ip {
            None => self.put([0]),
            Some(IpAddr::V4(ip)) => {
                self.put([4]);
                self.put(ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                self.put([6]);
                self.put(ip.octets());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_comes_back_whole(
            peer: SocketAddr,
            local: Option<IpAddr>,
            interface: u32,
            class: u8,
            segment_size: u16,
            payload: Vec<u8>,
        ) {
            let payload = Buffer::copy_from(&payload);
            let mut run = DatagramRun::new(peer, payload, segment_size.into());
            run.local = local;
            run.interface = InterfaceIndex::new(interface);
            (run.dscp, run.ecn) = (Dscp::from_traffic_class(class), Ecn::from_traffic_class(class));
            let key = Key { slot: 3, generation: interface };
            let socket = SocketId { worker: 1, key };
            let event = NetworkEvent::Datagrams { socket, run };
            let mut bytes = Vec::new();
            event.write(&mut bytes);
            let from = &mut RecordedBytes::new(&bytes);
            prop_assert_eq!(NetworkEvent::read(from), Some(event));
            prop_assert!(from.is_empty());
        }
    }
}
