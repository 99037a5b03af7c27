//! What is to be opened, as bytes of a recording: tasks are often made from it.

use super::code::{Recordable, RecordedBytes};
use crate::device::{DeviceAddress, DeviceKind, DeviceOpen, DeviceQueues, PacketSizes};
use crate::recordable;
use crate::stream::{Keepalive, Nagle, TcpConnect, TcpListen, TcpOptions};
use crate::traffic::Dscp;
use crate::udp::{Broadcast, MulticastLoop, Sharing, UdpOpen, V6Only, WhenFull};

recordable!(struct UdpOpen {
    token, bind, sharing, v6_only, peer, when_full, send_buffer, receive_buffer, dscp, hop_limit,
    broadcast, multicast_hop_limit, multicast_loop, multicast_interface,
});
recordable!(enum Sharing {
    0 = Exclusive, 1 = Shared, 2 = ByCpu { sockets }, 3 = ByByte { offset, sockets },
});
recordable!(enum V6Only { 0 = No, 1 = Yes });
recordable!(enum WhenFull { 0 = Fail, 1 = DropNewest, 2 = DropOldest });
recordable!(enum Broadcast { 0 = Refused, 1 = Allowed });
recordable!(enum MulticastLoop { 0 = On, 1 = Off });

impl Recordable for Dscp {
    fn write(&self, to: &mut Vec<u8>) {
        self.bits().write(to);
    }

    fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
        Self::new(u8::read(from)?)
    }
}

recordable!(struct TcpListen { token, bind, backlog, sharing, options });
recordable!(struct TcpConnect { token, peer, bind, timeout, options });
recordable!(struct TcpOptions {
    nagle, keepalive, linger, send_queue_max, send_buffer, receive_buffer,
});
recordable!(enum Nagle { 0 = Off, 1 = On });
recordable!(struct Keepalive { idle, interval, count });

recordable!(struct DeviceOpen { token, kind, name, addresses, mtu, queues, packets });
recordable!(enum DeviceKind { 0 = Tun, 1 = Tap });
recordable!(struct DeviceAddress { ip, prefix_len });
recordable!(enum DeviceQueues { 0 = One, 1 = Several });
recordable!(enum PacketSizes { 0 = Single, 1 = Large });
