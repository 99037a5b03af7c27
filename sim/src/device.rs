//! Simulated TUN and TAP devices, and what lies behind them.
//!
//! What they do is told in the crate's documentation.
//!
//! [`Devices`] knows who is where. It moves nothing: see `world/packets.rs`.

use core::net::IpAddr;
use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{
    DeviceAddress, DeviceCounters, DeviceError, DeviceId, DeviceKind, DeviceOpen, DeviceQueues,
    Entity, Entropy, NetworkError, Packet, PacketHeaders, PacketSizes,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::draws::LazySite;
use crate::network::Entrance;

pub(crate) struct Devices {
    /// All that ever were, in the order of their first opening: what hosts have taken in stays
    /// behind a closed device.
    devices: Vec<Device>,
    by_queue: IndexMap<(u32, DeviceId), usize, FxBuildHasher>,
    /// Where the switch has last seen an Ethernet address.
    learned: IndexMap<[u8; 6], Port, FxBuildHasher>,
    queue: LazySite,
}

pub(crate) struct Device {
    pub(crate) node: u32,
    pub(crate) name: Box<str>,
    pub(crate) kind: DeviceKind,
    pub(crate) mtu: u16,
    addresses: Vec<DeviceAddress>,
    sharing: DeviceQueues,
    /// None while it is closed.
    queues: Vec<Queue>,
    /// What the choice among queues is keyed with.
    flow_key: u64,
    /// What the host has taken in.
    pub(crate) taken: VecDeque<Packet>,
    pub(crate) counters: DeviceCounters,
}

/// What one task has opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    /// Number of the worker among all workers.
    pub(crate) worker: u32,
    pub(crate) id: DeviceId,
    pub(crate) packets: PacketSizes,
}

/// A packet on its way.
#[derive(Debug, Clone)]
pub(crate) struct PacketFlight {
    pub(crate) to: Goal,
    pub(crate) packet: Packet,
}

/// Where a packet is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Device(Port),
    /// A gateway, which sends it on.
    Gate {
        node: u32,
        entrance: Entrance,
        /// The device that the packet was given to.
        id: DeviceId,
    },
}

/// Where packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    /// The device's number.
    pub(crate) device: usize,
    pub(crate) side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Out of the device, to its task.
    Task,
    /// To the host that the device belongs to.
    Host,
    /// To both.
    Both,
}

impl Devices {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        Self {
            devices: Vec::new(),
            by_queue: IndexMap::default(),
            learned: IndexMap::default(),
            queue: LazySite::new(entropy, "device queue"),
        }
    }

    /// Opens a device, or one more queue of it, and says its name and MTU.
    pub(crate) fn open(
        &mut self,
        node: u32,
        entity: Entity,
        worker: u32,
        id: DeviceId,
        open: &DeviceOpen,
    ) -> Result<(Box<str>, u16), DeviceError> {
        check_settings(open)?;
        let name: Box<str> = match &open.name {
            // Every host has this one already.
            Some(name) if name == "lo" => return Err(DeviceError::Busy),
            Some(name) if is_name(name) => name.as_str().into(),
            Some(_) => return Err(DeviceError::BadName),
            None => self.free_name(node, open.kind),
        };
        let number = match self.find(node, &name) {
            Some(number) if self.devices[number].is_open() => {
                let device = &self.devices[number];
                let shared = [device.sharing, open.queues] == [DeviceQueues::Several; 2];
                if !shared || device.kind != open.kind {
                    return Err(DeviceError::Busy);
                }
                number
            }
            known => {
                let flow_key =
                    self.queue
                        .below(entity.part(Entity::named(&name).number()), 0, 1 << 63);
                let number = known.unwrap_or(self.devices.len());
                let old = known.map(|number| &mut self.devices[number]);
                let (taken, counters) = old.map_or_else(Default::default, |old| {
                    (core::mem::take(&mut old.taken), old.counters)
                });
                let fresh = Device {
                    node,
                    name,
                    kind: open.kind,
                    mtu: MTU,
                    addresses: Vec::new(),
                    sharing: open.queues,
                    queues: Vec::new(),
                    flow_key,
                    taken,
                    counters,
                };
                match self.devices.get_mut(number) {
                    Some(place) => *place = fresh,
                    None => self.devices.push(fresh),
                }
                number
            }
        };
        let device = &mut self.devices[number];
        device.mtu = open.mtu.unwrap_or(device.mtu);
        for &address in &open.addresses {
            if !device.addresses.contains(&address) {
                device.addresses.push(address);
            }
        }
        device.queues.push(Queue {
            worker,
            id,
            packets: open.packets,
        });
        self.by_queue.insert((worker, id), number);
        Ok((device.name.clone(), device.mtu))
    }

    /// Closes a queue, if it is open. A device without queues is closed.
    pub(crate) fn close(&mut self, worker: u32, id: DeviceId) {
        if let Some(number) = self.by_queue.swap_remove(&(worker, id)) {
            let queues = &mut self.devices[number].queues;
            queues.retain(|queue| (queue.worker, queue.id) != (worker, id));
            if queues.is_empty() {
                self.unlearn(number);
            }
        }
    }

    /// Closes all queues of a worker.
    pub(crate) fn close_all(&mut self, worker: u32) {
        let queues = self.by_queue.keys().copied();
        let queues: Vec<_> = queues.filter(|&(owner, _)| owner == worker).collect();
        for (worker, id) in queues {
            self.close(worker, id);
        }
    }

    /// Whether a worker has one open.
    pub(crate) fn has_queue_of(&self, worker: u32) -> bool {
        let devices = self.devices.iter();
        let mut queues = devices.flat_map(|device| &device.queues);
        queues.any(|queue| queue.worker == worker)
    }

    /// How many queues of a node are open.
    pub(crate) fn queues_of(&self, node: u32) -> usize {
        let devices = self.devices.iter().filter(|device| device.node == node);
        devices.map(|device| device.queues.len()).sum()
    }

    /// Closes all queues of a device, and says which these were.
    pub(crate) fn remove(&mut self, number: usize) -> Vec<Queue> {
        let queues = core::mem::take(&mut self.devices[number].queues);
        for queue in &queues {
            self.by_queue.swap_remove(&(queue.worker, queue.id));
        }
        self.unlearn(number);
        queues
    }

    /// Forgets who was behind a device that is closed.
    fn unlearn(&mut self, number: usize) {
        self.learned.retain(|_, port| port.device != number);
    }

    /// The number of the device that a queue is of.
    pub(crate) fn of_queue(&self, worker: u32, id: DeviceId) -> Option<usize> {
        self.by_queue.get(&(worker, id)).copied()
    }

    /// The number of the device of this name, which may be closed.
    pub(crate) fn find(&self, node: u32, name: &str) -> Option<usize> {
        self.devices
            .iter()
            .position(|device| device.node == node && *device.name == *name)
    }

    /// The node, name and number of packets of each device whose host has taken some in.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (u32, &str, usize)> {
        let devices = self.devices.iter();
        let devices = devices.filter(|device| !device.taken.is_empty());
        devices.map(|device| (device.node, &*device.name, device.taken.len()))
    }

    pub(crate) fn get(&self, number: usize) -> &Device {
        &self.devices[number]
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> &mut Device {
        &mut self.devices[number]
    }

    /// Where a packet goes that entered the stack through the device `entered`.
    pub(crate) fn route(&self, entered: usize, destination: IpAddr) -> Option<Port> {
        if is_to_all(destination) {
            let side = Side::Host;
            return Some(Port {
                device: entered,
                side,
            });
        }
        self.route_from(self.devices[entered].node, destination, |_| true)
    }

    /// Where a packet goes that a node sends on, if it sees only the devices of these nodes.
    pub(crate) fn route_from(
        &self,
        node: u32,
        destination: IpAddr,
        sees: impl Fn(u32) -> bool,
    ) -> Option<Port> {
        let mut best = None;
        for (number, device) in self.devices.iter().enumerate() {
            if !device.is_open() || device.kind == DeviceKind::Tap || !sees(device.node) {
                continue;
            }
            for address in &device.addresses {
                let is_own = address.ip == destination;
                if is_own || covers(address, destination) {
                    let rank = (is_own, address.prefix_len, device.node == node);
                    if best.is_none_or(|(best, _)| rank > best) {
                        best = Some((rank, number));
                    }
                }
            }
        }
        best.map(|((is_own, ..), device)| Port {
            device,
            side: if is_own { Side::Host } else { Side::Task },
        })
    }

    /// Where a frame goes that came in at a port of the switch.
    pub(crate) fn switch(&mut self, entered: usize, frame: &[u8]) -> Vec<Port> {
        let Some((&destination, _)) = frame.split_first_chunk::<6>() else {
            return Vec::new();
        };
        self.learn(entered, Side::Task, frame);
        if destination[0] & 1 == 0
            && let Some(&port) = self.learned.get(&destination)
        {
            let itself = port.device == entered && port.side == Side::Task;
            return if itself { Vec::new() } else { vec![port] };
        }
        let devices = self.devices.iter().enumerate();
        devices
            .filter(|(_, device)| device.is_open() && device.kind == DeviceKind::Tap)
            .map(|(device, _)| Port {
                device,
                side: if device == entered {
                    Side::Host
                } else {
                    Side::Both
                },
            })
            .collect()
    }

    /// Notes where the sender of a frame is.
    pub(crate) fn learn(&mut self, device: usize, side: Side, frame: &[u8]) {
        let Some(source) = frame.get(6..).and_then(<[u8]>::first_chunk) else {
            return;
        };
        let known = self.learned.contains_key(source);
        let is_open = self.devices[device].is_open();
        if is_open && source[0] & 1 == 0 && (known || self.learned.len() < LEARNED_MAX) {
            self.learned.insert(*source, Port { device, side });
        }
    }

    fn free_name(&self, node: u32, kind: DeviceKind) -> Box<str> {
        let prefix = match kind {
            DeviceKind::Tun => "tun",
            DeviceKind::Tap => "tap",
        };
        let mut names = (0_u32..).map(|number| format!("{prefix}{number}").into_boxed_str());
        names
            .find(|name| {
                let known = self.find(node, name);
                known.is_none_or(|number| !self.devices[number].is_open())
            })
            .expect("fewer than 2^32 devices")
    }
}

impl Device {
    pub(crate) fn is_open(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Whether it carries a packet.
    pub(crate) fn check(&self, packet: &Packet) -> Result<(), NetworkError> {
        let measured = packet.offload.measure(self.kind, &packet.payload);
        measured
            .map_err(NetworkError::Malformed)?
            .check_mtu(self.mtu)
    }

    /// The queue that gets a packet: always the same for the same flow, while no queue is opened
    /// or closed.
    pub(crate) fn queue_for(&self, packet: &[u8]) -> Option<Queue> {
        if let [only] = self.queues[..] {
            return Some(only);
        }
        let count = u64::try_from(self.queues.len()).ok()?;
        let hash = xxh3_64_with_seed(&flow(self.kind, packet), self.flow_key);
        let chosen = hash.checked_rem(count)?;
        self.queues.get(usize::try_from(chosen).ok()?).copied()
    }
}

/// What packets of one flow have in common.
fn flow(kind: DeviceKind, packet: &[u8]) -> [u8; 37] {
    let mut flow = [0; 37];
    let Ok(headers) = PacketHeaders::parse(kind, packet) else {
        // A frame of something else: its two addresses.
        let addresses = &packet[..packet.len().min(12)];
        flow[..addresses.len()].copy_from_slice(addresses);
        return flow;
    };
    for (at, ip) in [(0, headers.source), (16, headers.destination)] {
        match ip {
            IpAddr::V4(ip) => flow[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => flow[at..at + 16].copy_from_slice(&ip.octets()),
        }
    }
    flow[32] = headers.protocol;
    let (source, destination) = headers.ports(packet).unwrap_or_default();
    flow[33..35].copy_from_slice(&source.to_be_bytes());
    flow[35..].copy_from_slice(&destination.to_be_bytes());
    flow
}

/// Whether an address is that of more than one.
pub(crate) fn is_to_all(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

/// Whether the network of `address` has `ip` in it.
fn covers(address: &DeviceAddress, ip: IpAddr) -> bool {
    let differ = match (address.ip, ip) {
        (IpAddr::V4(own), IpAddr::V4(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
        (IpAddr::V6(own), IpAddr::V6(ip)) => (own.to_bits() ^ ip.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differ >= u32::from(address.prefix_len)
}

/// The rules of Linux (`dev_valid_name`).
fn is_name(name: &str) -> bool {
    let forbidden =
        |byte: u8| matches!(byte, 0 | b'/' | b'%' | b':' | 0x0b) || byte.is_ascii_whitespace();
    (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.bytes().any(forbidden)
}

fn check_settings(open: &DeviceOpen) -> Result<(), DeviceError> {
    let fits = |address: &DeviceAddress| {
        let bits = if address.ip.is_ipv4() { 32 } else { 128 };
        let usual = !address.ip.is_unspecified() && !address.ip.is_multicast();
        usual && address.prefix_len <= bits
    };
    let has_ipv6 = open.addresses.iter().any(|address| address.ip.is_ipv6());
    let mtu_min = if has_ipv6 { MTU_MIN_IPV6 } else { MTU_MIN };
    let mtu_fits = open.mtu.is_none_or(|mtu| mtu >= mtu_min);
    if mtu_fits && open.addresses.iter().all(fits) {
        Ok(())
    } else {
        Err(DeviceError::BadSetting(INVALID))
    }
}

/// Unless another is asked for, in bytes.
const MTU: u16 = 1_500;

/// The least that IPv4 needs (RFC 791), in bytes.
const MTU_MIN: u16 = 68;

/// The least that IPv6 needs (RFC 8200), in bytes.
const MTU_MIN_IPV6: u16 = 1_280;

/// EINVAL: what Linux says to a setting that makes no sense.
const INVALID: i32 = 22;

/// Packets that a host keeps for the scenario to take; more are dropped.
pub(crate) const TAKEN_MAX: usize = 1 << 16;

/// Ethernet addresses that the switch keeps in mind. Frames to others go everywhere.
const LEARNED_MAX: usize = 1 << 16;
