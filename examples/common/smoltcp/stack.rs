//! A smoltcp interface between two queues: what it needs of a task, and what a task needs of it.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use stillpoint::{
    Buffer, BufferPool, Context, Deadline, DeviceId, DeviceKind, PacketJoin, PacketTransmit,
    Source, Timestamp,
};

/// Packets that may wait in each direction.
pub const PACKETS_MAX: usize = 64;

/// A TCP/IP stack over a device.
pub struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    /// When it next has something to do by itself.
    next_at: Option<Timestamp>,
    random: Source,
}

impl Stack {
    /// A stack of this address, which reaches everybody through the device.
    pub fn new(
        device: DeviceId,
        mtu: u16,
        address: IpAddr,
        context: Context,
        now: Timestamp,
    ) -> Self {
        let mut random = context.random;
        let mut wire = Wire {
            device,
            mtu,
            received: VecDeque::new(),
            to_send: VecDeque::new(),
            buffers: context.buffers,
        };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random.u64();
        let mut interface = Interface::new(config, &mut wire, instant(now));
        interface.update_ip_addrs(|addresses| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let added = addresses.push(IpCidr::new(address.into(), bits));
            added.expect("the first of several places");
        });
        // Without Ethernet addresses to look up, the gateway is a formality.
        let routes = interface.routes_mut();
        let routed = match address {
            IpAddr::V4(ip) => routes.add_default_ipv4_route(ip),
            IpAddr::V6(ip) => routes.add_default_ipv6_route(ip),
        };
        routed.expect("the first of several places");
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            wire,
            next_at: None,
            random,
        }
    }

    /// Takes a packet out of the device.
    pub fn receive(&mut self, packet: Buffer) {
        assert!(
            self.wire.received.len() < PACKETS_MAX,
            "an input before the task was drained"
        );
        self.wire.received.push_back(packet);
    }

    /// Has the stack work. `true` if connections may have news, and it is to be called again.
    /// Once [`Stack::is_full`], packets must be taken out before.
    pub fn poll(&mut self, now: Timestamp) -> bool {
        let now = instant(now);
        let result = self.interface.poll(now, &mut self.wire, &mut self.sockets);
        result == PollResult::SocketStateChanged
    }

    /// Whether no more packets can be made before some are taken out.
    pub fn is_full(&self) -> bool {
        self.wire.to_send.len() >= PACKETS_MAX
    }

    /// The next packet for the device. Segments that follow one another are joined, since the
    /// device takes a large packet as fast as a single one.
    pub fn pop(&mut self) -> Option<PacketTransmit> {
        let Wire {
            device, to_send, ..
        } = &mut self.wire;
        let mut join = match PacketJoin::start(DeviceKind::Tun, to_send.pop_front()?) {
            Ok(join) => join,
            Err(alone) => return Some(PacketTransmit::new(*device, alone)),
        };
        while to_send.front().is_some_and(|next| join.push(next)) {
            to_send.pop_front();
        }
        Some(PacketTransmit::forward(*device, join.finish()))
    }

    /// Finds out when there is something to do again: to be called once there is nothing now.
    pub fn rest(&mut self, now: Timestamp) {
        let wanted = self.interface.poll_at(instant(now), &self.sockets);
        self.next_at = wanted.map(|at| {
            let micros = u64::try_from(at.total_micros()).unwrap_or_default();
            let at = Timestamp::from_nanos(micros.saturating_mul(1_000));
            // What it could not do just now, it cannot do in this instant.
            at.max(now.after(Duration::from_millis(1)))
        });
    }

    /// The moment that [`Stack::rest`] found.
    pub fn deadline(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at?, "smoltcp"))
    }

    /// A new socket with buffers of these lengths in bytes.
    pub fn add(&mut self, receive: usize, send: usize) -> SocketHandle {
        let buffer = |len| tcp::SocketBuffer::new(vec![0; len]);
        self.sockets
            .add(tcp::Socket::new(buffer(receive), buffer(send)))
    }

    /// A socket.
    pub fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Forgets a socket. Its peer is not told.
    pub fn remove(&mut self, handle: SocketHandle) {
        drop(self.sockets.remove(handle));
    }

    /// Begins to connect, from a port that chance chooses.
    pub fn connect(&mut self, handle: SocketHandle, server: SocketAddr) -> Result<(), String> {
        let port = u16::try_from(self.random.range(49_152..=65_535)).unwrap_or(u16::MAX);
        let context = self.interface.context();
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        let connected = socket.connect(context, server, port);
        connected.map_err(|error| error.to_string())
    }
}

/// What smoltcp takes for its network card: two queues.
struct Wire {
    device: DeviceId,
    mtu: u16,
    received: VecDeque<Buffer>,
    to_send: VecDeque<Buffer>,
    buffers: BufferPool,
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received, ToSend<'_>)> {
        // An answer must have room before its question is taken.
        if self.to_send.len() >= PACKETS_MAX {
            return None;
        }
        let packet = Received(self.received.pop_front()?);
        Some((packet, self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        (self.to_send.len() < PACKETS_MAX).then_some(ToSend {
            queue: &mut self.to_send,
            buffers: &self.buffers,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        capabilities
    }
}

struct Received(Buffer);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct ToSend<'a> {
    queue: &'a mut VecDeque<Buffer>,
    buffers: &'a BufferPool,
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.buffers.take(len);
        let room = &mut packet.unfilled()[..len];
        // The buffer may have been another packet's.
        room.fill(0);
        let result = f(room);
        packet.commit(len);
        self.queue.push_back(packet);
        result
    }
}

/// smoltcp counts microseconds.
fn instant(now: Timestamp) -> Instant {
    Instant::from_micros(i64::try_from(now.as_nanos() / 1_000).unwrap_or(i64::MAX))
}
