//! What is not a plain link does to what it is given.
//!
//! A run of datagrams stays a run as far as it can: what is lost, held back or damaged leaves it, and
//! each stretch that is left goes on as a shorter run.

use core::ops::Range;
use core::time::Duration;
use std::rc::Rc;

use stillpoint::{App, NetworkError, NetworkEvent, Timestamp, WorkerInput, segment_count};

use super::cargo::{Cargo, TCP_HEADER, UDP_HEADER, Which, datagram_parcel, ip_header};
use super::outside::{Event, Outside, controls};
use crate::counters::DropCause;
use crate::link::{Fate, Hop, Parcel, Passage, Terms, Verdict};
use crate::network::{Audience, Flight};
use crate::trace::Place;

/// Datagrams of a run that go on together.
struct Stretch {
    from: u64,
    /// The number that its latency is drawn with.
    number: u64,
    /// When the first and the last of them are on the way.
    first: Timestamp,
    last: Timestamp,
}

/// A run on its link.
struct Row {
    place: Place,
    flight: Box<Flight>,
    terms: Rc<Terms>,
    hop: Hop,
}

impl<A: App> Outside<A> {
    /// Puts datagrams onto a link that is not a plain one, as far as their sender's system lets them.
    pub(super) fn carry_over_faulty(&mut self, place: Place, flight: Box<Flight>, count: u64) {
        let hop = self.hop(flight.from, flight.to);
        let terms = self.network.links.terms(flight.from, flight.to);
        if !flight.is_forwarded()
            && let Some(error) = self.refusal(&terms, &hop, &flight, count)
        {
            return self.refuse_to_send(place, flight, count, error);
        }
        let cargo = Cargo::Datagrams {
            place,
            flight,
            count,
        };
        self.enter(&hop, cargo);
    }

    /// Puts something onto a link that is not a plain one, unless something stands in front of it.
    pub(super) fn enter(&mut self, hop: &Hop, cargo: Cargo) {
        if let Some(cargo) = self.pass_gate(hop.ends, cargo) {
            self.transit(cargo);
        }
    }

    /// What becomes of something that got onto its link.
    pub(super) fn transit(&mut self, cargo: Cargo) {
        let hop = self.hop_of(&cargo);
        let terms = self.network.links.terms(hop.ends.0, hop.ends.1);
        if !self.network.links.is_up(&terms, &hop, self.now) {
            return self.drop_cargo(cargo, DropCause::LinkDown);
        }
        if let Cargo::Datagrams {
            place,
            flight,
            count,
        } = cargo
        {
            let row = Row {
                place,
                flight,
                terms,
                hop,
            };
            return self.transit_run(row, count);
        }
        let links = &mut self.network.links;
        let number = match cargo {
            Cargo::Packet { .. } => links.count_packet(hop.ends),
            Cargo::Datagrams { .. } | Cargo::Segment { .. } => links.count(hop.ends, 1),
        };
        let parcel = self.parcel_of(&cargo, number);
        let line = self.line(hop.ends);
        let verdict = self
            .network
            .links
            .judge(&terms, &hop, &parcel, line, self.now);
        self.settle(cargo, &terms, &hop, (&parcel, number), verdict);
    }

    /// Does with something what was found. Its latency is drawn with `run`.
    pub(super) fn settle(
        &mut self,
        cargo: Cargo,
        terms: &Terms,
        hop: &Hop,
        (parcel, run): (&Parcel, u64),
        verdict: Verdict,
    ) {
        match verdict {
            Verdict::Dropped(cause) => self.drop_cargo(cargo, cause),
            Verdict::TooBig(mtu) => {
                self.tell_too_big(&cargo, hop, mtu);
                self.drop_cargo(cargo, DropCause::TooLong);
            }
            Verdict::Waits => self.stand_in_line(hop, terms, cargo, *parcel),
            Verdict::Passes(Passage {
                departs,
                fate,
                copy,
            }) => {
                let links = &mut self.network.links;
                let arrival = links.arrival_over(terms, hop, run, departs);
                if let Some(copied) = copy {
                    let copy = self.copy_cargo(&cargo);
                    let drawn = (copied, parcel.number);
                    self.launch_cargo(copy, Which::Copy, hop, drawn, arrival);
                }
                let drawn = (fate, parcel.number);
                self.launch_cargo(cargo, Which::Original, hop, drawn, arrival);
            }
        }
    }

    /// Draws what becomes of each datagram.
    fn transit_run(&mut self, row: Row, count: u64) {
        let number = self.network.links.count(row.hop.ends, count);
        let line = self.line(row.hop.ends);
        let (len, step) = (row.flight.run.payload.len() as u64, step_of(&row.flight));
        let mut told = false;
        let mut stretch = Stretch {
            from: 0,
            number,
            first: self.now,
            last: self.now,
        };
        for index in 0..count {
            let bytes = (len - index * step).min(step);
            let parcel = datagram_parcel(&row.flight, bytes, number + index);
            let links = &mut self.network.links;
            let verdict = links.judge(&row.terms, &row.hop, &parcel, line, self.now);
            let passage = match verdict {
                Verdict::Passes(passage) if passage.fate.is_plain() => passage,
                Verdict::Passes(_) | Verdict::Dropped(_) | Verdict::TooBig(_) | Verdict::Waits => {
                    self.launch_stretch(&row, &stretch, index);
                    let alone = self.alone(&row, index);
                    let run = (&parcel, stretch.number);
                    let is_too_big = matches!(verdict, Verdict::TooBig(_));
                    if is_too_big && told {
                        self.drop_cargo(alone, DropCause::TooLong); // One notice for all.
                    } else {
                        self.settle(alone, &row.terms, &row.hop, run, verdict);
                    }
                    told |= is_too_big;
                    stretch.from = index + 1;
                    continue;
                }
            };
            let splits = index > 0 && links.splits(&row.terms, row.hop.entity, parcel.number);
            if index > stretch.from && (splits || passage.departs > stretch.first.after(JOINED)) {
                self.launch_stretch(&row, &stretch, index);
                stretch.from = index;
            }
            if splits {
                stretch.number = parcel.number;
            }
            if index == stretch.from {
                stretch.first = passage.departs;
            }
            stretch.last = passage.departs;
            if let Some(copied) = passage.copy {
                let arrival = self.launch_stretch(&row, &stretch, index + 1);
                let copy = self.alone(&row, index);
                self.count_copy();
                let drawn = (copied, parcel.number);
                self.launch_cargo(copy, Which::Copy, &row.hop, drawn, arrival);
                stretch.from = index + 1;
            }
        }
        if stretch.from == 0 {
            self.launch_all(row, &stretch, count);
        } else {
            self.launch_stretch(&row, &stretch, count);
            self.recycle(row.flight);
        }
    }

    fn count_copy(&mut self) {
        let counters = &mut self.network.counters;
        counters.duplicated += 1;
        counters.in_flight += 1;
    }

    /// One datagram of a run by itself.
    fn alone(&mut self, row: &Row, index: u64) -> Cargo {
        Cargo::Datagrams {
            place: row.place,
            flight: self.part(&row.flight, index..index + 1),
            count: 1,
        }
    }

    /// Has the stretch before `end` arrive. Says when.
    fn launch_stretch(&mut self, row: &Row, stretch: &Stretch, end: u64) -> Timestamp {
        let links = &mut self.network.links;
        if stretch.from == end {
            return self.now; // There is nothing to arrive.
        }
        let arrival = links.arrival_over(&row.terms, &row.hop, stretch.number, stretch.last);
        let range: Range<u64> = stretch.from..end;
        let cargo = Cargo::Datagrams {
            place: row.place,
            count: range.end - range.start,
            flight: self.part(&row.flight, range),
        };
        let drawn = (Fate::default(), 0);
        self.launch_cargo(cargo, Which::Original, &row.hop, drawn, arrival);
        arrival
    }

    /// Has a whole run arrive, as it is.
    fn launch_all(&mut self, row: Row, stretch: &Stretch, count: u64) {
        let links = &mut self.network.links;
        let arrival = links.arrival_over(&row.terms, &row.hop, stretch.number, stretch.last);
        let cargo = Cargo::Datagrams {
            place: row.place,
            flight: row.flight,
            count,
        };
        let drawn = (Fate::default(), 0);
        self.launch_cargo(cargo, Which::Original, &row.hop, drawn, arrival);
    }

    /// Why the sender's own system does not send datagrams, if it does not.
    fn refusal(
        &mut self,
        terms: &Terms,
        hop: &Hop,
        flight: &Flight,
        count: u64,
    ) -> Option<NetworkError> {
        if flight.audience != Audience::One {
            return None; // What is sent to several is told of by none of the ways to them.
        }
        let links = &mut self.network.links;
        if terms.has_mtu()
            && let Some(mtu) = links.known_mtu(hop.ends, self.now)
        {
            let longest = step_of(flight).min(flight.run.payload.len() as u64);
            if datagram_parcel(flight, longest, 0).bytes > mtu {
                let max = payload_max(mtu, flight.target.is_ipv4(), UDP_HEADER);
                let len = usize::try_from(longest).unwrap_or(usize::MAX);
                return Some(NetworkError::TooLong { len, max });
            }
        }
        if count > 1 && terms.refuse_runs > 0.0 {
            let number = links.count(hop.ends, count);
            let refused = links.refuses(terms, hop.entity, number);
            return refused.then_some(NetworkError::Other(EIO));
        }
        None
    }

    fn refuse_to_send(
        &mut self,
        place: Place,
        flight: Box<Flight>,
        count: u64,
        error: NetworkError,
    ) {
        let event = NetworkEvent::SendFailed {
            socket: flight.socket,
            peer: flight.target,
            error,
            datagrams: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let entity = self.network.entities[place.node as usize];
        let event = Event::Input {
            worker: flight.worker,
            input: Box::new(WorkerInput::Network(event)),
        };
        let channel = controls(entity, place.worker);
        self.agenda.push_in_time(self.now, channel, event);
        self.drop_flight(place, &flight, count, DropCause::Unsendable);
        self.recycle(flight);
    }

    /// Tells a sender that its link takes only so many bytes, if the notice gets through.
    fn tell_too_big(&mut self, cargo: &Cargo, hop: &Hop, mtu: u64) {
        let back = self.hop(hop.ends.1, hop.ends.0);
        let event = match cargo {
            // As for ICMP in general (RFC 1122, 3.2.2).
            Cargo::Datagrams { flight, .. } if flight.audience != Audience::One => return,
            Cargo::Datagrams { flight, .. } => {
                let max = payload_max(mtu, flight.target.is_ipv4(), UDP_HEADER);
                let len = flight.run.payload.len();
                let error = NetworkError::TooLong { len, max };
                if flight.is_forwarded() {
                    return self.send_back(hop.ends.0, flight, error);
                }
                let event = NetworkEvent::SocketError {
                    socket: flight.socket,
                    peer: Some(flight.target),
                    error,
                };
                Event::Input {
                    worker: flight.worker,
                    input: Box::new(WorkerInput::Network(event)),
                }
            }
            Cargo::Segment { segment, .. } => {
                let bytes_max = payload_max(mtu, segment.target.is_ipv4(), TCP_HEADER);
                if self.network.is_gateway(hop.ends.0) {
                    return self.answer_too_big(hop.ends, segment, bytes_max as u64);
                }
                let end = segment.to.other();
                Event::SegmentTooBig(Box::new((end, bytes_max)))
            }
            // The stacks of devices answer nothing.
            Cargo::Packet { .. } => return,
        };
        let Some(arrival) = self.network.links.notice(&back, self.now) else {
            return;
        };
        self.network.links.learn_mtu(hop.ends, mtu, arrival);
        self.agenda.push(arrival, back.entity, event);
    }
}

/// Bytes from one datagram of a run to the next.
fn step_of(flight: &Flight) -> u64 {
    let run = &flight.run;
    if segment_count(run.payload.len(), run.segment_size) == 1 {
        run.payload.len().max(1) as u64
    } else {
        run.segment_size as u64
    }
}

/// What of so many bytes is left for a payload.
fn payload_max(mtu: u64, is_ipv4: bool, header: u64) -> usize {
    let headers = ip_header(is_ipv4) + header;
    usize::try_from(mtu.saturating_sub(headers)).unwrap_or(usize::MAX)
}

/// How far apart datagrams of a run may be on the way and still arrive as one: about what network
/// cards wait for more to come before they interrupt.
const JOINED: Duration = Duration::from_micros(50);

/// What Linux says where a device cannot cut runs.
const EIO: i32 = 5;
