//! What stands in front of a link: a cut, where everything ends, or a clog, where everything waits.

use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, DeviceId, Packet, StreamId, Timestamp};

use super::outside::{Event, Outside};
use crate::counters::DropCause;
use crate::device::Port;
use crate::link::Gate;
use crate::network::Flight;
use crate::tcp::Segment;
use crate::trace::{Place, TraceKind, peer, size};

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
        to: Port,
        packet: Packet,
    },
}

/// What waits in front of links that are clogged, by link.
pub(super) type Held = IndexMap<(u32, u32), VecDeque<Cargo>, FxBuildHasher>;

impl<A: App> Outside<A> {
    /// Gives cargo back that gets onto its link. The rest is dropped, or waits.
    pub(super) fn pass_gate(&mut self, (from, to): (u32, u32), cargo: Cargo) -> Option<Cargo> {
        let gate = self.network.links.gate(from, to, self.now);
        let waiting = self.held.get(&(from, to)).map_or(0, VecDeque::len);
        if gate == Gate::Cut {
            self.drop_cargo(cargo, DropCause::Partition);
        } else if gate == Gate::Open && waiting == 0 {
            self.network.links.unbar_if_open(from, to, self.now);
            return Some(cargo);
        } else if waiting == HELD_MAX {
            self.drop_cargo(cargo, DropCause::LinkQueueFull);
        } else {
            // What waits goes first, also at the instant at which the clog ends.
            if waiting == 0
                && let Some(until) = self.network.links.clogged_until(from, to)
            {
                self.wait_for_release(from, to, until);
            }
            self.trace_held(&cargo);
            self.held.entry((from, to)).or_default().push_back(cargo);
        }
        None
    }

    /// Clogs the way between two nodes.
    pub(super) fn clog(&mut self, from: u32, to: u32, until: Timestamp) {
        self.network.links.clog(from, to, until);
        // Without anything that waits, the end of a clog needs no event.
        if self
            .held
            .get(&(from, to))
            .is_some_and(|held| !held.is_empty())
        {
            self.wait_for_release(from, to, until);
        }
    }

    /// A clog may be over.
    pub(super) fn release_due(&mut self, from: u32, to: u32) {
        if self.network.links.gate(from, to, self.now) != Gate::Clogged {
            self.release(from, to);
        }
    }

    /// Puts what waits onto its link, if nothing holds it back any more.
    pub(super) fn release(&mut self, from: u32, to: u32) {
        let held = self.held.swap_remove(&(from, to)).unwrap_or_default();
        self.network.links.unbar_if_open(from, to, self.now);
        for cargo in held {
            self.carry_cargo(cargo);
        }
    }

    fn carry_cargo(&mut self, cargo: Cargo) {
        let now = self.now;
        let at_last = |place: Place| Place { at: now, ..place };
        match cargo {
            Cargo::Datagrams {
                place,
                flight,
                count,
            } => self.carry(at_last(place), flight, count),
            Cargo::Segment {
                place,
                stream,
                segment,
            } => self.carry_segment(at_last(place), stream, segment),
            Cargo::Packet {
                place,
                id,
                to,
                packet,
            } => self.carry_single(at_last(place), id, to, packet),
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

    fn wait_for_release(&mut self, from: u32, to: u32, until: Timestamp) {
        let channel = self.network.link_entity(from, to).part(GATE);
        self.agenda
            .push(until, channel, Event::Release { from, to });
    }

    fn trace_held(&mut self, cargo: &Cargo) {
        let trace = &mut self.trace;
        match cargo {
            Cargo::Datagrams {
                place,
                flight,
                count,
            } => {
                let size = size(flight.run.payload.len(), *count);
                let words = [peer(flight.target), size, 0];
                trace.resource(*place, TraceKind::Held, flight.socket, words);
            }
            Cargo::Segment {
                place,
                stream,
                segment,
            } => {
                let id = stream.map_or(0, |stream| stream.to_words()[1]);
                let words = [peer(segment.target), segment.word().0, 0];
                trace.push(*place, TraceKind::Held, id, words);
            }
            Cargo::Packet {
                place, id, packet, ..
            } => {
                let words = [0, size(packet.payload.len(), 1), 0];
                trace.resource(*place, TraceKind::Held, *id, words);
            }
        }
    }
}

/// How much may wait in front of a clogged link.
const HELD_MAX: usize = 1 << 16;

/// The part of a link that clogs end at.
const GATE: u64 = 3;
