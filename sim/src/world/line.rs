//! What waits in front of a link whose queue looks at how long that takes.
//!
//! A queue with tail drop needs none of this: when it is full is known when something comes, and so is
//! when that will be sent. What CoDel does is known only when something is about to be sent.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, DeviceKind, Ecn, Timestamp};

use super::cargo::Cargo;
use super::outside::{Event, Outside};
use crate::counters::DropCause;
use crate::link::{Controller, Fifo, Hop, Line, Parcel, Terms, Waits};
use crate::trace::{Cause, TraceKind};

/// What waits, by link.
pub(super) type Lines = IndexMap<(u32, u32), Waiting, FxBuildHasher>;

/// What waits in front of one link.
#[derive(Default)]
pub(super) struct Waiting {
    fifo: Fifo<Queued>,
    controller: Controller,
}

/// A single datagram, a segment or a packet that waits.
struct Queued {
    cargo: Cargo,
    parcel: Parcel,
    since: Timestamp,
    /// Whether a packet has an IP header that can be marked.
    is_ip: bool,
    marked: bool,
    /// What has led to it.
    cause: Cause,
}

impl Waits for Queued {
    fn since(&self) -> u64 {
        self.since.as_nanos()
    }

    fn bytes(&self) -> u64 {
        self.parcel.bytes
    }

    fn mark(&mut self) -> bool {
        self.marked = match &mut self.cargo {
            Cargo::Datagrams { flight, .. } => {
                let capable = flight.run.ecn != Ecn::NotCapable;
                if capable {
                    flight.run.ecn = Ecn::CongestionExperienced;
                }
                capable
            }
            Cargo::Packet { packet, .. } => {
                let capable = self.is_ip && is_capable(&packet.payload);
                if capable {
                    mark_packet(packet.payload.make_mut());
                }
                capable
            }
            // Simulated TCP takes no part.
            Cargo::Segment { .. } => false,
        };
        self.marked
    }
}

impl<A: App> Outside<A> {
    /// Whether something waits in front of a link.
    pub(super) fn line(&self, ends: (u32, u32)) -> Line {
        match self.lines.get(&ends) {
            Some(waiting) if !waiting.fifo.is_empty() => Line::Behind,
            Some(_) | None => Line::Free,
        }
    }

    /// Links are about to be set anew: what waits is not to be overtaken.
    pub(super) fn keep_lines(&mut self) {
        for (&ends, waiting) in &self.lines {
            if !waiting.fifo.is_empty() {
                self.network.links.begin_line(ends);
            }
        }
    }

    /// Has something wait for its link, if there is room.
    pub(super) fn stand_in_line(&mut self, hop: &Hop, terms: &Terms, cargo: Cargo, parcel: Parcel) {
        let free_at = self.network.links.free_at(hop.ends).max(self.now);
        let waiting = self.lines.entry(hop.ends).or_default();
        let is_first = waiting.fifo.is_empty();
        let goes_at_once = is_first && free_at == self.now;
        if !goes_at_once && waiting.fifo.bytes() + parcel.bytes > terms.queue_max {
            return self.drop_cargo(cargo, DropCause::LinkQueueFull);
        }
        let cause = if goes_at_once {
            self.trace.current()
        } else {
            self.trace_cargo(TraceKind::Queued, &cargo, 0);
            self.trace.latest()
        };
        let is_ip = match &cargo {
            Cargo::Packet { to, .. } => self.kind_of_goal(*to) == DeviceKind::Tun,
            Cargo::Datagrams { .. } | Cargo::Segment { .. } => true,
        };
        let queued = Queued {
            cargo,
            parcel,
            since: self.now,
            is_ip,
            marked: false,
            cause,
        };
        self.lines.entry(hop.ends).or_default().fifo.push(queued);
        if goes_at_once {
            self.link_free(hop.ends.0, hop.ends.1);
        } else if is_first {
            self.wait_for_link(hop, free_at);
        }
    }

    /// A link is free, and takes what is next in its line.
    pub(super) fn link_free(&mut self, from: u32, to: u32) {
        let mut hop = self.hop(from, to);
        let terms = self.network.links.terms(from, to);
        let Some(waiting) = self.lines.get_mut(&hop.ends) else {
            return;
        };
        let mut dropped = Vec::new();
        let next = match terms.codel {
            Some(aims) => {
                let (controller, fifo) = (&mut waiting.controller, &mut waiting.fifo);
                controller.dequeue(aims, self.now.as_nanos(), fifo, &mut dropped)
            }
            // The link was set anew, without CoDel.
            None => waiting.fifo.pop(),
        };
        let scope = self.trace.scope();
        for queued in dropped {
            self.trace.follow(queued.cause);
            let cargo = queued.cargo.sent_at(self.now);
            self.drop_cargo(cargo, DropCause::QueueDelay);
        }
        if let Some(queued) = next {
            self.trace.follow(queued.cause);
            let (cargo, parcel) = (queued.cargo.sent_at(self.now), queued.parcel);
            hop = self.hop_of(&cargo);
            if queued.marked {
                self.network.counters.marked += 1;
                self.trace_cargo(TraceKind::Marked, &cargo, 0);
            }
            let links = &mut self.network.links;
            let verdict = links.send_waiting(&terms, &hop, &parcel, self.now);
            self.settle(cargo, &terms, &hop, (&parcel, parcel.number), verdict);
        }
        self.trace.go_back(scope);
        if self.line(hop.ends) == Line::Behind {
            let free_at = self.network.links.free_at(hop.ends);
            self.wait_for_link(&hop, free_at.max(self.now));
        } else {
            self.network.links.end_line(hop.ends, self.now);
        }
    }

    fn wait_for_link(&mut self, hop: &Hop, until: Timestamp) {
        let (from, to) = hop.ends;
        let channel = hop.entity.part(FREE);
        self.agenda
            .push_in_time(until, channel, Event::LinkFree { from, to });
    }
}

/// Whether an IP packet takes part in congestion notification.
fn is_capable(packet: &[u8]) -> bool {
    match packet {
        [first, second, ..] if first >> 4 == 4 && packet.len() >= 12 => second & 0b11 != 0,
        [first, second, ..] if first >> 4 == 6 => second & 0b11_0000 != 0,
        _ => false,
    }
}

/// Marks an IP packet that does.
fn mark_packet(packet: &mut [u8]) {
    if packet[0] >> 4 == 6 {
        packet[1] |= 0b11_0000;
        return;
    }
    let word = |packet: &[u8], at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let before = word(packet, 0);
    packet[1] |= 0b11;
    // RFC 1624: what the checksum becomes when one word of the header changes.
    let sums = [!word(packet, 10), !before, word(packet, 0)];
    let sum: u32 = sums.into_iter().map(u32::from).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[10..12].copy_from_slice(&(!folded).to_be_bytes()[2..]);
}

/// The part of a link that waits until it is free.
const FREE: u64 = 5;
