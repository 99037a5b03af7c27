//! What happens to datagrams and segments at gateways, and at nodes that are particular about what
//! they take in; and how errors find back from there.

use core::net::SocketAddr;

use stillpoint::{App, NetworkError, NetworkEvent, SocketId, StreamId};

use super::outside::{Event, Outside};
use crate::counters::DropCause;
use crate::gateway::Protocol;
use crate::gateway::firewall::Denial;
use crate::network::{Addressed, Carrier, Denied, Flight, Journey, Stop, heard_at};
use crate::tcp::{Kind, Segment};
use crate::trace::{Place, TraceKind, peer, size};

/// An error about datagrams, on its way back to the socket that sent them (ICMP).
pub(super) struct Notice {
    /// Where it has come to.
    at: Stop,
    /// Where it is still to come by, the last first.
    trail: Vec<Stop>,
    worker: u32,
    socket: SocketId,
    peer: SocketAddr,
    error: NetworkError,
}

impl Notice {
    /// The worker that is told, if it is there.
    pub(super) fn worker(&self) -> Option<u32> {
        self.trail.is_empty().then_some(self.worker)
    }
}

impl<A: App> Outside<A> {
    /// Datagrams are at a node of a world in which more counts than that. Gives them back if they
    /// are to be taken in there.
    pub(super) fn pass(&mut self, mut flight: Box<Flight>, count: u64) -> Option<Box<Flight>> {
        let at = flight.to;
        if flight.from == at {
            return Some(flight);
        }
        if self.network.hosts[at as usize].is_down {
            self.deny(flight, count, Denied::silently(DropCause::NodeDown));
            return None;
        }
        let addressed = Addressed {
            carrier: Carrier::Node,
            protocol: Protocol::Udp,
            source: flight.run.peer,
            target: flight.target,
        };
        if let Some(journey) = flight.journey.take_if(|_| self.network.is_gateway(at)) {
            self.send_on(flight, journey, addressed, count);
            return None;
        }
        match self.network.admit(self.now, at, addressed) {
            Ok(interface) => {
                flight.run.local = Some(flight.target.ip());
                flight.run.interface = Some(interface);
                flight.run.peer = heard_at(flight.run.peer, interface);
                Some(flight)
            }
            Err(denied) => {
                self.deny(flight, count, denied);
                None
            }
        }
    }

    /// Datagrams are at a gateway.
    fn send_on(
        &mut self,
        mut flight: Box<Flight>,
        mut journey: Box<Journey>,
        addressed: Addressed,
        count: u64,
    ) {
        let at = flight.to;
        let crossing = if journey.hop_limit <= 1 {
            let cause = DropCause::HopLimit;
            let denial = Denial::Prohibit; // To the sender, it is the same as time exceeded.
            Err(Denied { cause, denial })
        } else {
            self.network
                .cross(self.now, at, journey.entrance, addressed)
        };
        let crossing = match crossing {
            Ok(crossing) => crossing,
            Err(denied) => {
                flight.journey = Some(journey);
                return self.deny(flight, count, denied);
            }
        };
        journey.hop_limit -= 1;
        journey.entrance = self.network.entrance(at, crossing.next);
        journey.trail.push(Stop {
            node: at,
            mapping: crossing.mapping,
        });
        flight.journey = Some(journey);
        flight.from = at;
        flight.to = crossing.next;
        flight.target = crossing.target;
        flight.run.peer = crossing.source;
        let place = self.gate(at);
        let words = [
            peer(crossing.source),
            peer(crossing.target),
            size(flight.run.payload.len(), count),
        ];
        self.trace.push(place, TraceKind::Forwarded, 0, words);
        self.network.counters.in_flight += count;
        self.carry(place, flight, count);
    }

    /// Datagrams go no further.
    fn deny(&mut self, flight: Box<Flight>, count: u64, denied: Denied) {
        self.drop_arrived(&flight, count, denied.cause);
        match denied.denial {
            Denial::Drop => {}
            Denial::Reject => self.send_back(flight.to, &flight, NetworkError::ConnectionRefused),
            Denial::Prohibit => self.send_back(flight.to, &flight, NetworkError::HostUnreachable),
        }
        self.recycle(flight);
    }

    /// Tells the socket that has sent datagrams what became of them at a node, the way back that they
    /// came.
    pub(super) fn send_back(&mut self, at: u32, flight: &Flight, error: NetworkError) {
        let (peer, mut trail) = match &flight.journey {
            Some(journey) => (journey.asked, journey.trail.clone()),
            None => {
                let (node, mapping) = (flight.from, None);
                (flight.target, vec![Stop { node, mapping }])
            }
        };
        trail.pop_if(|last| last.node == at);
        let (worker, socket) = (flight.worker, flight.socket);
        self.carry_notice(at, trail, |at, trail| Notice {
            at,
            trail,
            worker,
            socket,
            peer,
            error,
        });
    }

    /// Puts an error onto the link back.
    fn carry_notice(
        &mut self,
        from: u32,
        mut trail: Vec<Stop>,
        notice: impl FnOnce(Stop, Vec<Stop>) -> Notice,
    ) {
        let Some(to) = trail.pop() else {
            return;
        };
        let back = self.hop(from, to.node);
        let Some(arrival) = self.network.links.notice(&back, self.now) else {
            return;
        };
        let event = Event::Notice(Box::new(notice(to, trail)));
        self.agenda.push(arrival, back.entity, event);
    }

    /// An error is where the datagrams came by. Says whom to tell, if it is where they came from.
    pub(super) fn notice_arrives(&mut self, notice: Notice) -> Option<(u32, NetworkEvent)> {
        let Notice {
            at,
            trail,
            worker,
            socket,
            peer,
            error,
        } = notice;
        if trail.is_empty() {
            let peer = Some(peer);
            let event = NetworkEvent::SocketError {
                socket,
                peer,
                error,
            };
            return Some((worker, event));
        }
        let is_down = self.network.hosts[at.node as usize].is_down;
        if !is_down && self.network.finds_back(self.now, at) {
            self.carry_notice(at.node, trail, |at, trail| Notice {
                at,
                trail,
                worker,
                socket,
                peer,
                error,
            });
        }
        None
    }

    /// Where and when a gateway does something.
    const fn gate(&self, node: u32) -> Place {
        Place {
            at: self.now,
            node,
            worker: 0,
        }
    }

    /// A segment begins its way in a world in which more counts than who has its address. `false`
    /// if it does not leave its node.
    pub(super) fn start_segment(
        &mut self,
        stream: Option<StreamId>,
        segment: &mut Segment,
    ) -> bool {
        let (from, source, target) = (segment.from_node, segment.source, segment.target);
        let network = &mut self.network;
        if !network.hosts[from as usize].has(source.ip()) {
            segment.to_node = None; // Its address is gone.
            return true;
        }
        segment.to_node = network.next_towards(from, target.ip());
        let Some(to) = segment.to_node.filter(|&to| to != from) else {
            return true;
        };
        segment.entrance = network.entrance(from, to);
        let addressed = addressed_of(segment);
        match network.release(self.now, from, addressed) {
            Ok(()) => true,
            Err(denied) => {
                let place = Place {
                    worker: stream.map_or(0, StreamId::worker),
                    ..self.gate(from)
                };
                self.network.counters.segments.in_flight += 1;
                self.drop_segment(place, stream, segment, denied.cause);
                self.answer_denied(from, segment, denied.denial);
                false
            }
        }
    }

    /// A segment is at a node of a world in which more counts than that. Gives it back if it is to
    /// be taken in there.
    pub(super) fn pass_segment(&mut self, mut segment: Box<Segment>) -> Option<Box<Segment>> {
        let at = segment.to_node?;
        if segment.from_node == at || self.network.hosts[at as usize].is_down {
            return Some(segment);
        }
        let addressed = addressed_of(&segment);
        if !self.network.is_gateway(at) {
            return match self.network.admit(self.now, at, addressed) {
                Ok(_) => Some(segment),
                Err(denied) => {
                    self.deny_segment(at, &segment, denied);
                    None
                }
            };
        }
        let crossing = if segment.hop_limit <= 1 {
            let cause = DropCause::HopLimit;
            let denial = Denial::Prohibit;
            Err(Denied { cause, denial })
        } else {
            self.network
                .cross(self.now, at, segment.entrance, addressed)
        };
        match crossing {
            Ok(crossing) => {
                segment.hop_limit -= 1;
                segment.entrance = self.network.entrance(at, crossing.next);
                segment.from_node = at;
                segment.to_node = Some(crossing.next);
                segment.source = crossing.source;
                segment.target = crossing.target;
                let place = self.gate(at);
                let words = [
                    peer(crossing.source),
                    peer(crossing.target),
                    segment.word().0,
                ];
                self.trace
                    .push(place, TraceKind::SegmentForwarded, 0, words);
                self.carry_segment(place, None, segment);
            }
            Err(denied) => self.deny_segment(at, &segment, denied),
        }
        None
    }

    /// A segment goes no further.
    fn deny_segment(&mut self, at: u32, segment: &Segment, denied: Denied) {
        self.drop_segment(self.gate(at), None, segment, denied.cause);
        self.answer_denied(at, segment, denied.denial);
    }

    /// Tells whoever has sent a segment that it was kept out, over where it came from.
    fn answer_denied(&mut self, at: u32, segment: &Segment, denial: Denial) {
        let kind = match denial {
            Denial::Drop => return,
            Denial::Reject => Kind::Reset,
            Denial::Prohibit => Kind::Unreachable,
        };
        if segment.kind.is_final() {
            return; // Errors are not answered.
        }
        self.answer_over((at, segment.from_node), segment, kind, 0);
    }

    /// A gateway's segment did not fit its link: the end that sent it is told, over that gateway.
    pub(super) fn answer_too_big(&mut self, ends: (u32, u32), segment: &Segment, bytes_max: u64) {
        self.answer_over((ends.1, ends.0), segment, Kind::TooBig, bytes_max);
    }

    /// Answers a segment over a link.
    fn answer_over(&mut self, ends: (u32, u32), segment: &Segment, kind: Kind, position: u64) {
        let (at, back) = ends;
        let mut answer = Box::new(segment.rejection());
        answer.kind = kind;
        answer.position = position;
        answer.from_node = at;
        answer.to_node = Some(back);
        answer.entrance = self.network.entrance(at, back);
        let counters = &mut self.network.counters.segments;
        counters.sent += 1;
        counters.in_flight += 1;
        self.carry_segment(self.gate(at), None, answer);
    }
}

const fn addressed_of(segment: &Segment) -> Addressed {
    Addressed {
        carrier: Carrier::Node,
        protocol: Protocol::Tcp,
        source: segment.source,
        target: segment.target,
    }
}
