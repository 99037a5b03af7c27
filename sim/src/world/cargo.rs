//! What travels over a link: datagrams, a segment, or a packet.

use core::time::Duration;

use stillpoint::{
    App, Buffer, DeviceId, DeviceKind, Entity, Packet, PacketOffload, StreamId, Timestamp,
};

use super::outside::{Event, Outside};
use crate::counters::DropCause;
use crate::device::{Goal, PacketFlight};
use crate::link::{Fate, Hop, IPV4_HEADER, IPV6_HEADER, Parcel};
use crate::network::Flight;
use crate::tcp::Segment;
use crate::trace::{Form, Place, Shown, TraceKind, peer, size};

/// What travels over a link, with who sent it.
pub(super) enum Cargo {
    Datagrams {
        place: Place,
        flight: Box<Flight>,
        count: u64,
    },
    Segment {
        place: Place,
        stream: Option<StreamId>,
        segment: Box<Segment>,
    },
    Packet {
        place: Place,
        id: DeviceId,
        to: Goal,
        packet: Packet,
    },
}

/// Which of two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Original,
    Copy,
}

impl Cargo {
    /// The same, sent at another moment.
    pub(super) const fn sent_at(mut self, now: Timestamp) -> Self {
        match &mut self {
            Self::Datagrams { place, .. }
            | Self::Segment { place, .. }
            | Self::Packet { place, .. } => place.at = now,
        }
        self
    }

    /// What a trace says of it: where, the id of what has sent it, and two words.
    fn traced(&self) -> (Place, u64, [u64; 2]) {
        match self {
            Self::Datagrams {
                place,
                flight,
                count,
            } => {
                let size = size(flight.run.payload.len(), *count);
                let id = flight.socket.to_words()[1];
                (*place, id, [peer(flight.target), size])
            }
            Self::Segment {
                place,
                stream,
                segment,
            } => {
                let id = stream.map_or(0, |stream| stream.to_words()[1]);
                (*place, id, [peer(segment.target), segment.word().0])
            }
            Self::Packet {
                place, id, packet, ..
            } => {
                let size = size(packet.payload.len(), 1);
                (*place, id.to_words()[1], [0, size])
            }
        }
    }

    /// The bytes that can be damaged.
    fn payload_mut(&mut self) -> Option<&mut Buffer> {
        match self {
            Self::Datagrams { flight, .. } => Some(&mut flight.run.payload),
            // What is not complete yet has not left its node.
            Self::Packet { packet, .. } if packet.offload == PacketOffload::NONE => {
                Some(&mut packet.payload)
            }
            Self::Segment { .. } | Self::Packet { .. } => None,
        }
    }
}

impl<A: App> Outside<A> {
    /// The way from one node to another.
    pub(super) fn hop(&self, from: u32, to: u32) -> Hop {
        let entity = self.network.link_entity(from, to);
        Hop {
            ends: (from, to),
            entity,
            draws: entity,
        }
    }

    /// The way that something takes.
    pub(super) fn hop_of(&self, cargo: &Cargo) -> Hop {
        match cargo {
            Cargo::Datagrams { flight, .. } => self.hop(flight.from, flight.to),
            Cargo::Segment { segment, .. } => {
                let to = segment.to_node.unwrap_or(segment.from_node);
                self.hop(segment.from_node, to)
            }
            Cargo::Packet { place, to, .. } => {
                let mut hop = self.hop(place.node, self.node_of_goal(*to));
                hop.draws = hop.entity.part(PACKETS);
                hop
            }
        }
    }

    /// The node that a packet goes to next.
    pub(super) fn node_of_goal(&self, to: Goal) -> u32 {
        match to {
            Goal::Device(port) => self.network.devices.get(port.device).node,
            Goal::Gate { node, .. } => node,
        }
    }

    /// What kind of device a packet is from. Gateways are for packets, not for frames.
    pub(super) fn kind_of_goal(&self, to: Goal) -> DeviceKind {
        match to {
            Goal::Device(port) => self.network.devices.get(port.device).kind,
            Goal::Gate { .. } => DeviceKind::Tun,
        }
    }

    /// A single datagram, a segment or a packet, as its link sees it.
    pub(super) fn parcel_of(&self, cargo: &Cargo, number: u64) -> Parcel {
        match cargo {
            Cargo::Datagrams { flight, .. } => {
                datagram_parcel(flight, flight.run.payload.len() as u64, number)
            }
            Cargo::Segment { segment, .. } => {
                let ip_header = ip_header(segment.target.is_ipv4());
                Parcel {
                    number,
                    bytes: segment.payload.len() as u64 + ip_header + TCP_HEADER,
                    ip_header,
                    is_cuttable: false,
                }
            }
            Cargo::Packet { to, packet, .. } => {
                let skip = if self.kind_of_goal(*to) == DeviceKind::Tap {
                    ETHERNET_HEADER
                } else {
                    0
                };
                let ip = packet.payload.get(skip..).unwrap_or_default();
                let is_ipv4 = ip.first().is_some_and(|first| first >> 4 == 4);
                let forbids = ip.get(6).is_some_and(|flags| flags & DO_NOT_FRAGMENT != 0);
                Parcel {
                    number,
                    bytes: ip.len() as u64,
                    ip_header: ip_header(is_ipv4),
                    is_cuttable: is_ipv4 && !forbids,
                }
            }
        }
    }

    /// Records a verdict on something.
    pub(super) fn trace_cargo(&mut self, kind: TraceKind, cargo: &Cargo, more: u64) {
        let (place, id, [first, second]) = cargo.traced();
        let words = [first, second, more];
        if self.trace.is_recording() {
            let shown = self.shown_of(cargo);
            self.trace.show(place, kind, id, words, || shown);
        } else {
            self.trace.push(place, kind, id, words);
        }
    }

    /// What a recorded trace says of something besides.
    fn shown_of<'a>(&self, cargo: &'a Cargo) -> Shown<'a> {
        match cargo {
            Cargo::Datagrams { flight, .. } => Shown::Datagrams(flight),
            Cargo::Segment { segment, .. } => Shown::Segment(segment),
            Cargo::Packet { to, packet, .. } => Shown::Packet {
                packet,
                form: match self.kind_of_goal(*to) {
                    DeviceKind::Tap => Form::Frame,
                    DeviceKind::Tun => Form::Ip,
                },
                to: self.node_of_goal(*to),
            },
        }
    }

    pub(super) fn drop_cargo(&mut self, cargo: Cargo, cause: DropCause) {
        match cargo {
            Cargo::Datagrams {
                place,
                flight,
                count,
            } => {
                self.drop_flight(place, &flight, count, cause);
                self.recycle(flight);
            }
            Cargo::Segment {
                place,
                stream,
                segment,
            } => self.drop_segment(place, stream, &segment, cause),
            Cargo::Packet {
                place, id, packet, ..
            } => self.drop_packet(place, id, cause, &packet),
        }
    }

    /// One more of something, which is counted.
    pub(super) fn copy_cargo(&mut self, cargo: &Cargo) -> Cargo {
        let counters = &mut self.network.counters;
        match cargo {
            Cargo::Datagrams {
                place,
                flight,
                count,
            } => {
                counters.duplicated += count;
                counters.in_flight += count;
                Cargo::Datagrams {
                    place: *place,
                    flight: self.boxed(Flight::clone(flight)),
                    count: *count,
                }
            }
            Cargo::Segment {
                place,
                stream,
                segment,
            } => {
                counters.segments.duplicated += 1;
                counters.segments.in_flight += 1;
                Cargo::Segment {
                    place: *place,
                    stream: *stream,
                    segment: segment.clone(),
                }
            }
            Cargo::Packet {
                place,
                id,
                to,
                packet,
            } => {
                counters.packets.copied += 1;
                counters.packets.in_flight += 1;
                Cargo::Packet {
                    place: *place,
                    id: *id,
                    to: *to,
                    packet: packet.clone(),
                }
            }
        }
    }

    /// Has something arrive then, or later, and damaged, as its fate is. `number` is what is drawn
    /// with for the damage.
    pub(super) fn launch_cargo(
        &mut self,
        mut cargo: Cargo,
        which: Which,
        hop: &Hop,
        (fate, number): (Fate, u64),
        arrival: Timestamp,
    ) {
        let entity = match which {
            Which::Original => hop.draws,
            Which::Copy => crate::link::copy_of(hop.draws),
        };
        if fate.corrupted || fate.truncated {
            if matches!(cargo, Cargo::Segment { .. }) {
                return self.drop_cargo(cargo, DropCause::Checksum);
            }
            if fate.truncated {
                self.truncate(&mut cargo, entity, number);
            }
            if fate.corrupted {
                self.corrupt(&mut cargo, entity, number);
            }
        }
        let at = arrival.after(Duration::from_nanos(fate.held_back));
        let kind = match (&cargo, which) {
            (Cargo::Datagrams { .. }, Which::Original) => TraceKind::Carried,
            (Cargo::Datagrams { .. }, Which::Copy) => TraceKind::Duplicated,
            (Cargo::Segment { .. }, _) => TraceKind::Segment,
            (Cargo::Packet { .. }, Which::Original) => TraceKind::PacketCarried,
            (Cargo::Packet { .. }, Which::Copy) => TraceKind::PacketCopied,
        };
        match cargo {
            Cargo::Datagrams { .. } | Cargo::Segment { .. } => {
                self.trace_cargo(kind, &cargo, at.as_nanos());
            }
            Cargo::Packet {
                place,
                id,
                ref to,
                ref packet,
            } => {
                let bytes = packet.payload.len() as u64;
                let device = match to {
                    Goal::Device(port) => port.device as u64,
                    Goal::Gate { .. } => u64::MAX,
                };
                let words = [device, bytes, at.as_nanos()];
                let (id, shown) = (id.to_words()[1], self.shown_of(&cargo));
                self.trace.show(place, kind, id, words, || shown);
            }
        }
        let (channel, event) = match cargo {
            Cargo::Datagrams { flight, .. } => (hop.entity, Event::Flight(flight)),
            Cargo::Segment { segment, .. } => (hop.entity, Event::Segment(segment)),
            Cargo::Packet { to, packet, .. } => {
                let flight = Box::new(PacketFlight { to, packet });
                (hop.entity.part(PACKETS), Event::Packet(flight))
            }
        };
        self.agenda.push(at, channel, event);
    }

    fn truncate(&mut self, cargo: &mut Cargo, entity: Entity, number: u64) {
        let links = &self.network.links;
        let Some(payload) = cargo.payload_mut().filter(|payload| !payload.is_empty()) else {
            return;
        };
        let left = links.cut_length(entity, number, payload.len());
        *payload = payload.slice(..left).unwrap_or_default();
        self.network.counters.truncated += 1;
        self.trace_cargo(TraceKind::Truncated, cargo, 0);
    }

    fn corrupt(&mut self, cargo: &mut Cargo, entity: Entity, number: u64) {
        let links = &self.network.links;
        let Some(payload) = cargo.payload_mut().filter(|payload| !payload.is_empty()) else {
            return;
        };
        // Others may hold the memory too, and theirs is whole.
        let mut damaged = self.buffers.copy_from(payload);
        let bit = links.flip_bits(entity, number, damaged.make_mut());
        *payload = damaged;
        self.network.counters.corrupted += 1;
        self.trace_cargo(TraceKind::Corrupted, cargo, bit);
    }
}

/// A datagram of so many bytes, as its link sees it.
pub(super) fn datagram_parcel(flight: &Flight, bytes: u64, number: u64) -> Parcel {
    let is_ipv4 = flight.target.is_ipv4();
    let ip_header = ip_header(is_ipv4);
    Parcel {
        number,
        bytes: bytes + ip_header + UDP_HEADER,
        ip_header,
        is_cuttable: is_ipv4,
    }
}

pub(super) const fn ip_header(is_ipv4: bool) -> u64 {
    if is_ipv4 { IPV4_HEADER } else { IPV6_HEADER }
}

/// Bytes of headers.
pub(super) const UDP_HEADER: u64 = 8;
pub(super) const TCP_HEADER: u64 = 20;
const ETHERNET_HEADER: usize = 14;

/// The flag of RFC 791 in the seventh byte of an IPv4 header.
const DO_NOT_FRAGMENT: u8 = 0x40;

/// The part of a link that carries packets between devices.
pub(super) const PACKETS: u64 = 2;
