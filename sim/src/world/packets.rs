//! What happens to packets between a task and its device, and between devices.

use stillpoint::{
    App, DeviceCounters, DeviceError, DeviceId, DeviceKind, DeviceOpen, NetworkError, NetworkEvent,
    Packet, PacketHeaders, PacketTransmit, WorkerInput,
};

use super::World;
use super::cargo::{Cargo, Which};
use super::outside::{Event, Outside, Sink, controls};
use crate::counters::DropCause;
use crate::device::{Goal, PacketFlight, Port, Side, TAKEN_MAX};
use crate::link::Fate;
use crate::node::NodeId;
use crate::trace::{Place, TraceKind};

impl<A: App> World<A> {
    /// Has the host of a device send a packet (TUN) or frame (TAP) out of it, at this instant of
    /// virtual time: it reaches the task, whatever its destination. One that does not fit the MTU
    /// is dropped and counted.
    ///
    /// # Panics
    ///
    /// If there is no such node, or no device of this name was ever opened there.
    pub fn inject_packet(&mut self, node: NodeId, device: &str, packet: Packet) {
        let device = self.known_device(node, device);
        let outside = &mut self.outside;
        let devices = &mut outside.network.devices;
        if devices.get(device).kind == DeviceKind::Tap {
            devices.learn(device, Side::Host, &packet.payload);
        }
        let packets = &mut outside.network.counters.packets;
        packets.injected += 1;
        packets.in_flight += 1;
        let side = Side::Task;
        let to = Port { device, side };
        let channel = outside.network.entities[node.index()].part(INJECTED);
        let to = Goal::Device(to);
        let flight = Box::new(PacketFlight { to, packet });
        outside
            .agenda
            .push(outside.now, channel, Event::Packet(flight));
    }

    /// Takes the packets that the host of a device has taken in, in the order in which they came.
    /// The host keeps at most 65,536 of them; more are dropped and counted.
    ///
    /// # Panics
    ///
    /// If there is no such node, or no device of this name was ever opened there.
    pub fn take_packets(&mut self, node: NodeId, device: &str) -> Vec<Packet> {
        let device = self.known_device(node, device);
        let device = self.outside.network.devices.get_mut(device);
        core::mem::take(&mut device.taken).into()
    }

    /// Takes a device away from its tasks, which are told
    /// [`DeviceClosed`](NetworkEvent::DeviceClosed) at this instant of virtual time.
    ///
    /// # Panics
    ///
    /// If there is no such node, or no device of this name was ever opened there.
    pub fn remove_device(&mut self, node: NodeId, device: &str) {
        let device = self.known_device(node, device);
        let entity = self.outside.network.entities[node.index()];
        for queue in self.outside.network.devices.remove(device) {
            let error = DeviceError::Gone;
            let event = NetworkEvent::DeviceClosed {
                device: queue.id,
                error,
            };
            let event = Event::Input {
                worker: queue.worker,
                input: Box::new(WorkerInput::Network(event)),
            };
            let channel = controls(entity, queue.id.worker());
            self.outside.agenda.push(self.outside.now, channel, event);
        }
    }

    /// What passed through a device, over all its queues, since it was first opened.
    ///
    /// # Panics
    ///
    /// If there is no such node, or no device of this name was ever opened there.
    #[must_use]
    pub fn device_counters(&self, node: NodeId, device: &str) -> DeviceCounters {
        let device = self.known_device(node, device);
        self.outside.network.devices.get(device).counters
    }

    fn known_device(&self, node: NodeId, device: &str) -> usize {
        let known = self.known(node);
        let found = self.outside.network.devices.find(known.number(), device);
        found.unwrap_or_else(|| {
            let name = self.node_name(node);
            panic!(
                "no device `{device}` on node `{name}`: have a task open it, and run the world, \
                before you use it"
            )
        })
    }
}

impl<A: App> Sink<'_, A> {
    /// Opens a device, or a queue of one. The answer is an event of its own, at the same instant.
    pub(super) fn open_device(&mut self, device: DeviceId, open: &DeviceOpen) {
        let text = self.outside.trace.text(open);
        self.outside
            .trace
            .resource(self.place, TraceKind::OpenDevice, device, [text, 0, 0]);
        let token = open.token;
        let node = self.place.node;
        let opened = if self.outside.is_out_of_descriptors(node) {
            Err(DeviceError::TooMany)
        } else {
            let network = &mut self.outside.network;
            let entity = network.entities[node as usize];
            let devices = &mut network.devices;
            devices.open(node, entity, self.worker, device, open)
        };
        self.answer(match opened {
            Ok((name, mtu)) => NetworkEvent::DeviceOpened {
                device,
                token,
                name,
                mtu,
            },
            Err(error) => NetworkEvent::DeviceOpenFailed {
                device,
                token,
                error,
            },
        });
    }

    /// Takes a packet from a task.
    pub(super) fn give_packet(&mut self, transmit: PacketTransmit) {
        let PacketTransmit {
            device: id,
            payload,
            offload,
            ..
        } = transmit;
        let mut packet = Packet::new(self.owned(payload));
        packet.offload = offload;
        let outside = &mut *self.outside;
        let packets = &mut outside.network.counters.packets;
        packets.given += 1;
        packets.in_flight += 1;
        let Some(device) = outside.network.devices.of_queue(self.worker, id) else {
            return outside.drop_packet(self.place, id, DropCause::Closed, &packet);
        };
        let checked = outside.network.devices.get(device).check(&packet);
        let checked = checked.and_then(|()| self.packet_refused());
        let outside = &mut *self.outside;
        if let Err(error) = checked {
            outside.network.devices.get_mut(device).counters.send_failed += 1;
            outside.drop_packet(self.place, id, DropCause::Unsendable, &packet);
            let packets = 1;
            return self.answer(NetworkEvent::PacketsFailed {
                device: id,
                error,
                packets,
            });
        }
        let counters = &mut outside.network.devices.get_mut(device).counters;
        counters.packets_out += 1;
        counters.bytes_out += packet.payload.len() as u64;
        outside.forward(self.place, id, device, &packet);
    }
}

impl<A: App> Outside<A> {
    /// Sends a packet on that a task has given to its host.
    fn forward(&mut self, place: Place, id: DeviceId, entered: usize, packet: &Packet) {
        let kind = self.network.devices.get(entered).kind;
        let devices = &mut self.network.devices;
        let goals: Vec<Goal> = match kind {
            DeviceKind::Tap => {
                let ports = devices.switch(entered, &packet.payload);
                ports.into_iter().map(Goal::Device).collect()
            }
            DeviceKind::Tun => match PacketHeaders::parse(kind, &packet.payload) {
                Ok(headers) => {
                    let goal = if self.network.routed {
                        self.network.packet_goal(id, entered, headers.destination)
                    } else {
                        let port = devices.route(entered, headers.destination);
                        port.map(Goal::Device)
                    };
                    goal.into_iter().collect()
                }
                // The system call succeeds, and the stack throws it away.
                Err(_) => return self.drop_packet(place, id, DropCause::Malformed, packet),
            },
        };
        if goals.is_empty() {
            return self.drop_packet(place, id, DropCause::NoRoute, packet);
        }
        let packets = &mut self.network.counters.packets;
        packets.copied += goals.len() as u64 - 1;
        packets.in_flight += goals.len() as u64 - 1;
        for to in goals {
            self.carry_packet(place, id, to, packet);
        }
    }

    /// Puts a packet onto its link; in pieces, if it is a large one and leaves its node.
    fn carry_packet(&mut self, place: Place, id: DeviceId, to: Goal, packet: &Packet) {
        let kind = self.kind_of_goal(to);
        if place.node == self.node_of_goal(to) {
            return self.carry_single(place, id, to, packet.clone());
        }
        for packet in self.singles(kind, packet.clone()) {
            self.carry_single(place, id, to, packet);
        }
    }

    /// Puts a packet onto its link, as it is.
    pub(super) fn carry_single(&mut self, place: Place, id: DeviceId, to: Goal, packet: Packet) {
        let cargo = Cargo::Packet {
            place,
            id,
            to,
            packet,
        };
        let hop = self.hop_of(&cargo);
        let path = self.network.links.path(hop.ends.0, hop.ends.1);
        if path.faulty {
            return self.enter(&hop, cargo);
        }
        let links = &mut self.network.links;
        let arrival = links.arrival(&path, hop.entity, self.now);
        let drawn = (Fate::default(), 0);
        self.launch_cargo(cargo, Which::Original, &hop, drawn, arrival);
    }

    /// Hands a packet that has arrived to the host, if it is for the host. What is for the task is
    /// returned, in pieces if the task takes such only.
    pub(super) fn arrive_packet(&mut self, to: Port, packet: Packet) -> Vec<Packet> {
        if !self.network.devices.get(to.device).is_open() {
            self.drop_at(to.device, DropCause::NoRoute, &packet);
            return Vec::new();
        }
        if to.side == Side::Both {
            self.network.counters.packets.copied += 1;
            self.network.counters.packets.in_flight += 1;
        }
        if matches!(to.side, Side::Host | Side::Both) {
            self.take_in(to.device, packet.clone());
        }
        if to.side == Side::Host {
            return Vec::new();
        }
        let device = self.network.devices.get(to.device);
        let Some(queue) = device.queue_for(&packet.payload) else {
            self.drop_at(to.device, DropCause::NoRoute, &packet);
            return Vec::new();
        };
        let kind = device.kind;
        if let Err(error) = device.check(&packet) {
            let is_long = matches!(error, NetworkError::TooLong { .. });
            let cause = if is_long {
                DropCause::TooLong
            } else {
                DropCause::Malformed
            };
            self.drop_at(to.device, cause, &packet);
            return Vec::new();
        }
        if queue.packets == stillpoint::PacketSizes::Large {
            return vec![packet];
        }
        self.singles(kind, packet)
    }

    /// The single packets that one stands for.
    fn singles(&mut self, kind: DeviceKind, packet: Packet) -> Vec<Packet> {
        let singles = packet.into_singles(kind, &self.buffers);
        let singles = singles.expect("its device has checked the packet");
        let packets = &mut self.network.counters.packets;
        packets.copied += singles.len() as u64 - 1;
        packets.in_flight += singles.len() as u64 - 1;
        singles.map(Packet::new).collect()
    }

    /// Finds out which worker gets a packet, and its input.
    pub(super) fn deliver_packet(
        &mut self,
        device: usize,
        packet: Packet,
    ) -> Option<(u32, NetworkEvent)> {
        let Some(queue) = self.network.devices.get(device).queue_for(&packet.payload) else {
            // Closed by the task when it got the piece before.
            self.drop_at(device, DropCause::NoRoute, &packet);
            return None;
        };
        let counters = &mut self.network.devices.get_mut(device).counters;
        counters.packets_in += 1;
        counters.bytes_in += packet.payload.len() as u64;
        let packets = &mut self.network.counters.packets;
        packets.delivered += 1;
        packets.in_flight -= 1;
        let device = queue.id;
        Some((queue.worker, NetworkEvent::Packet { device, packet }))
    }

    /// The host of a device takes a packet in.
    fn take_in(&mut self, number: usize, packet: Packet) {
        let device = self.network.devices.get_mut(number);
        if device.taken.len() == TAKEN_MAX {
            return self.drop_at(number, DropCause::QueueFull, &packet);
        }
        let words = [number as u64, packet.payload.len() as u64, 0];
        let place = Place {
            at: self.now,
            node: device.node,
            worker: 0,
        };
        device.taken.push_back(packet);
        self.trace.push(place, TraceKind::PacketTaken, 0, words);
        let packets = &mut self.network.counters.packets;
        packets.taken += 1;
        packets.in_flight -= 1;
    }

    /// Drops a packet that was to come out of a device.
    fn drop_at(&mut self, number: usize, cause: DropCause, packet: &Packet) {
        let device = self.network.devices.get_mut(number);
        device.counters.undelivered += 1;
        let place = Place {
            at: self.now,
            node: device.node,
            worker: 0,
        };
        let words = [number as u64, packet.payload.len() as u64, cause as u64];
        self.trace.push(place, TraceKind::PacketDropped, 0, words);
        self.forget(cause);
    }

    /// Drops a packet that a task has given.
    pub(super) fn drop_packet(
        &mut self,
        place: Place,
        id: DeviceId,
        cause: DropCause,
        packet: &Packet,
    ) {
        let words = [0, packet.payload.len() as u64, cause as u64];
        self.trace
            .resource(place, TraceKind::PacketDropped, id, words);
        self.forget(cause);
    }

    const fn forget(&mut self, cause: DropCause) {
        let packets = &mut self.network.counters.packets;
        packets.dropped.add(cause, 1);
        packets.in_flight -= 1;
    }
}

/// The part of a node that its host sends packets from.
const INJECTED: u64 = 1 << 32;
