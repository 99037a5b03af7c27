//! The links of a world: which there are, and what becomes of what they are given.

use core::cell::OnceCell;
use core::time::Duration;
use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entity, Entropy, Site, Timestamp};

use super::Link;
use super::barrier::{Barriers, Gate};
use super::latency::{CHOICES, Ready, share_of};
use super::loss::Loss;
use super::mtu::Fit;
use super::path::{Path, Terms};
use super::sites::Sites;
use super::state::State;
use super::trace::{Kind, LatencyTrace, latency_at};
use crate::counters::DropCause;

/// The links of a world.
pub(crate) struct Links {
    default: Leg,
    within: Leg,
    own: IndexMap<(u32, u32), Leg, FxBuildHasher>,
    /// What was set for links that a fault has taken over.
    covered: IndexMap<(u32, u32), Option<Leg>, FxBuildHasher>,
    /// Of each link that is not a plain one, once it was used.
    pub(super) states: IndexMap<(u32, u32), State, FxBuildHasher>,
    pub(super) barriers: Barriers,
    latency: Site,
    entropy: Entropy,
    /// Made when they are needed: plain links draw nothing but latencies.
    sites: OnceCell<Box<Sites>>,
    /// The last two draws of each link that wanders. Kept only where draws may be decided by
    /// something else than a seed, which need not decide the same draw twice alike.
    drawn: Option<IndexMap<Entity, LastDraws, FxBuildHasher>>,
}

/// A link that was set.
struct Leg {
    path: Path,
    terms: Rc<Terms>,
}

/// Moments at which a latency was drawn, and what came out.
type LastDraws = [(u64, u64); 2];

/// The way from one node to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    pub(crate) ends: (u32, u32),
    /// The link: its latency is drawn for it.
    pub(crate) entity: Entity,
    /// What is drawn for besides: the link, or its part for packets.
    pub(crate) draws: Entity,
}

/// A datagram, segment or packet as a link sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parcel {
    /// Counts what the link has seen.
    pub(crate) number: u64,
    /// With all headers from IP on.
    pub(crate) bytes: u64,
    /// Bytes of the header that each fragment has.
    pub(crate) ip_header: u64,
    /// Whether routers may make fragments of it.
    pub(crate) is_cuttable: bool,
}

/// Whether something waits in front of the link in a queue that is not the link's to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Behind,
    Free,
}

/// What a link does to one parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes(Passage),
    Dropped(DropCause),
    /// The link takes so many bytes, IP header included; the sender is to be told.
    TooBig(u64),
    /// It waits until the link is free.
    Waits,
}

/// How a parcel passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passage {
    /// When all of it is on the way.
    pub(crate) departs: Timestamp,
    pub(crate) fate: Fate,
    /// What becomes of the copy, if there is one.
    pub(crate) copy: Option<Fate>,
}

/// What becomes of a parcel on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fate {
    pub(crate) held_back: u64,
    pub(crate) corrupted: bool,
    pub(crate) truncated: bool,
}

impl Fate {
    /// Whether it arrives as it is, with the others.
    pub(crate) const fn is_plain(self) -> bool {
        self.held_back == 0 && !self.corrupted && !self.truncated
    }
}

impl Leg {
    fn new(link: &Link, since: Timestamp) -> Self {
        let terms = Rc::new(Terms::new(link, since));
        Self {
            path: terms.path,
            terms,
        }
    }
}

/// What the latency of a plain link is drawn as around now.
#[inline(always)]
fn drawn(latency: &Site, path: &Path, link: Entity, now: Timestamp) -> [u64; 2] {
    let Some(([from, to], options)) = path.knots(now) else {
        return [0; 2];
    };
    [
        draw(latency, link, from, options),
        draw(latency, link, to, options),
    ]
}

/// Apart, so that all of a draw is in line here, twice as it is made.
#[inline(never)]
fn draw(latency: &Site, link: Entity, knot: u64, options: u64) -> u64 {
    latency.below(link, knot, options)
}

impl Links {
    /// `steady` says that a draw, made twice, gives the same twice.
    pub(crate) fn new(entropy: &Entropy, steady: bool) -> Self {
        Self {
            default: Leg::new(&Link::default(), Timestamp::EPOCH),
            within: Leg::new(&Link::fixed(Duration::ZERO), Timestamp::EPOCH),
            own: IndexMap::default(),
            covered: IndexMap::default(),
            states: IndexMap::default(),
            barriers: Barriers::default(),
            latency: entropy.site("link latency"),
            entropy: entropy.clone(),
            sites: OnceCell::new(),
            drawn: (!steady).then(IndexMap::default),
        }
    }

    pub(crate) fn set_default(&mut self, link: &Link, now: Timestamp) {
        self.default = Leg::new(link, now);
    }

    pub(crate) fn set(&mut self, from: u32, to: u32, link: &Link, now: Timestamp) {
        let leg = Leg::new(link, now);
        match self.covered.get_mut(&(from, to)) {
            Some(covered) => *covered = Some(leg),
            None => drop(self.own.insert((from, to), leg)),
        }
    }

    /// Has a link behave like this until [`Links::uncover`], whatever is set.
    pub(crate) fn cover(&mut self, from: u32, to: u32, link: &Link, now: Timestamp) {
        let own = self.own.insert((from, to), Leg::new(link, now));
        self.covered.entry((from, to)).or_insert(own);
    }

    /// Has a link behave as it was set.
    pub(crate) fn uncover(&mut self, from: u32, to: u32) {
        match self.covered.swap_remove(&(from, to)) {
            Some(Some(leg)) => drop(self.own.insert((from, to), leg)),
            Some(None) => drop(self.own.swap_remove(&(from, to))),
            None => {}
        }
    }

    /// How many links do not behave as they were set.
    pub(crate) fn covers(&self) -> usize {
        self.covered.len()
    }

    /// Has all links behave as they were set.
    pub(crate) fn uncover_all(&mut self) {
        let covered: Vec<(u32, u32)> = self.covered.keys().copied().collect();
        for (from, to) in covered {
            self.uncover(from, to);
        }
    }

    /// When what is sent now arrives, if the link is a plain one.
    #[inline(always)]
    pub(crate) fn plain_arrival(
        &mut self,
        ends: (u32, u32),
        link: Entity,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.own.is_empty() && self.barriers.is_empty() && self.drawn.is_none() {
            let path = &self.usual(ends.0, ends.1).path;
            if path.faulty {
                return None;
            }
            return Some(path.arrival(now, drawn(&self.latency, path, link, now)));
        }
        self.own_arrival(ends, link, now)
    }

    #[inline(never)]
    fn own_arrival(&mut self, ends: (u32, u32), link: Entity, now: Timestamp) -> Option<Timestamp> {
        let path = self.path(ends.0, ends.1);
        (!path.faulty).then(|| self.arrival(&path, link, now))
    }

    #[inline]
    pub(crate) fn path(&self, from: u32, to: u32) -> Path {
        if self.own.is_empty() && self.barriers.is_empty() {
            return self.usual(from, to).path;
        }
        self.own_path(from, to)
    }

    #[inline(never)]
    fn own_path(&self, from: u32, to: u32) -> Path {
        let mut path = self.leg(from, to).path;
        path.faulty |= self.barriers.contains_key(&(from, to));
        path
    }

    /// All that the link does.
    pub(crate) fn terms(&self, from: u32, to: u32) -> Rc<Terms> {
        Rc::clone(&self.leg(from, to).terms)
    }

    fn leg(&self, from: u32, to: u32) -> &Leg {
        let own = self.own.get(&(from, to));
        own.unwrap_or_else(|| self.usual(from, to))
    }

    const fn usual(&self, from: u32, to: u32) -> &Leg {
        if from == to {
            &self.within
        } else {
            &self.default
        }
    }

    pub(super) fn sites(&self) -> &Sites {
        self.sites
            .get_or_init(|| Box::new(Sites::new(&self.entropy)))
    }

    /// When what is sent now over a plain link arrives.
    pub(crate) fn arrival(&mut self, path: &Path, link: Entity, now: Timestamp) -> Timestamp {
        let latency = &self.latency;
        let Some(known) = &mut self.drawn else {
            return path.arrival(now, drawn(latency, path, link, now));
        };
        let Some((knots, options)) = path.knots(now) else {
            return path.arrival(now, [0; 2]);
        };
        let drawn = knots.map(|knot| {
            let known = known.entry(link).or_insert([(u64::MAX, 0); 2]);
            if let Some(&(_, latency)) = known.iter().find(|&&(at, _)| at == knot) {
                return latency.min(options - 1);
            }
            let latency = latency.below(link, knot, options);
            *known = [known[1], (knot, latency)];
            latency
        });
        path.arrival(now, drawn)
    }

    /// When what leaves then arrives. `number` is that of the run it is drawn for.
    pub(crate) fn arrival_over(
        &mut self,
        terms: &Terms,
        hop: &Hop,
        number: u64,
        departs: Timestamp,
    ) -> Timestamp {
        let arrival = self.drawn_arrival(terms, hop.entity, number, departs);
        if !terms.keeps_order {
            return arrival;
        }
        let last = &mut self.states.entry(hop.ends).or_default().last_arrival;
        *last = arrival.max(*last);
        *last
    }

    fn drawn_arrival(
        &mut self,
        terms: &Terms,
        entity: Entity,
        number: u64,
        departs: Timestamp,
    ) -> Timestamp {
        let latency = match &terms.latency {
            Ready::Wander { .. } => return self.arrival(&terms.path, entity, departs),
            Ready::Replay(LatencyTrace(Kind::OverTime(points))) => {
                let elapsed = departs.as_nanos().saturating_sub(terms.since.as_nanos());
                latency_at(points, elapsed).max(1)
            }
            drawn @ (Ready::Uniform { .. }
            | Ready::Normal { .. }
            | Ready::LogNormal { .. }
            | Ready::Pareto { .. }
            | Ready::Replay(_)) => drawn.at(share_of(self.latency.below(entity, number, CHOICES))),
        };
        departs.after(Duration::from_nanos(latency))
    }

    /// When a notice of the network's own (ICMP) arrives that is sent now. It is not lost by chance,
    /// but a cut stops it, and it waits for the end of a clog.
    pub(crate) fn notice(&mut self, hop: &Hop, now: Timestamp) -> Option<Timestamp> {
        let (from, to) = hop.ends;
        let path = self.path(from, to);
        if !path.faulty {
            return Some(self.arrival(&path, hop.entity, now));
        }
        let leaves_at = match self.gate(from, to, now) {
            Gate::Open => now,
            Gate::Cut => return None,
            Gate::Clogged => self.clogged_until(from, to).unwrap_or(now),
        };
        let terms = self.terms(from, to);
        if !self.is_up(&terms, hop, now) {
            return None;
        }
        if matches!(terms.latency, Ready::Wander { .. }) {
            return Some(self.arrival(&path, hop.entity, leaves_at));
        }
        let state = self.states.entry(hop.ends).or_default();
        let number = state.notices;
        state.notices += 1;
        Some(self.drawn_arrival(&terms, hop.entity.part(NOTICE), number, leaves_at))
    }

    /// The number of the first of `count` parcels that a faulty link sees now.
    pub(crate) fn count(&mut self, ends: (u32, u32), count: u64) -> u64 {
        let seen = &mut self.states.entry(ends).or_default().seen;
        *seen += count;
        *seen - count
    }

    /// The same for packets of devices, which are counted apart.
    pub(crate) fn count_packet(&mut self, ends: (u32, u32)) -> u64 {
        let seen = &mut self.states.entry(ends).or_default().packets;
        *seen += 1;
        *seen - 1
    }

    /// What becomes of one parcel that is sent now.
    pub(crate) fn judge(
        &mut self,
        terms: &Terms,
        hop: &Hop,
        parcel: &Parcel,
        line: Line,
        now: Timestamp,
    ) -> Verdict {
        let pieces = match terms.fit(parcel) {
            Fit::Pieces(pieces) => pieces,
            Fit::Not => return Verdict::Dropped(DropCause::TooLong),
            Fit::TooBig(mtu) => return Verdict::TooBig(mtu),
        };
        if line == Line::Behind || terms.codel.is_some() {
            return Verdict::Waits;
        }
        let mut departs = now;
        if terms.bandwidth > 0 {
            let bytes = parcel.bytes + (pieces - 1) * parcel.ip_header;
            let state = self.states.entry(hop.ends).or_default();
            match state.enqueue(terms, bytes, now) {
                Some(at) => departs = at,
                None => return Verdict::Dropped(DropCause::LinkQueueFull),
            }
        }
        self.pass(terms, hop, parcel.number, pieces, departs)
    }

    /// What becomes of one parcel that has waited, and is sent now.
    pub(crate) fn send_waiting(
        &mut self,
        terms: &Terms,
        hop: &Hop,
        parcel: &Parcel,
        now: Timestamp,
    ) -> Verdict {
        // It was found to fit when it came. What no longer does is on its way already.
        let pieces = match terms.fit(parcel) {
            Fit::Pieces(pieces) => pieces,
            Fit::Not | Fit::TooBig(_) => 1,
        };
        let bytes = parcel.bytes + (pieces - 1) * parcel.ip_header;
        let state = self.states.entry(hop.ends).or_default();
        let departs = state.send(terms, bytes, now);
        self.pass(terms, hop, parcel.number, pieces, departs)
    }

    /// When the link has sent all that it has begun to send.
    pub(crate) fn free_at(&self, ends: (u32, u32)) -> Timestamp {
        let state = self.states.get(&ends);
        state.map_or(Timestamp::EPOCH, |state| state.free_at)
    }

    fn pass(
        &mut self,
        terms: &Terms,
        hop: &Hop,
        number: u64,
        pieces: u64,
        departs: Timestamp,
    ) -> Verdict {
        let entity = hop.draws;
        if self.loses(terms, hop, number, pieces) {
            return Verdict::Dropped(DropCause::Loss);
        }
        let sites = self.sites();
        let twice =
            terms.duplicate > 0.0 && sites.duplicate.chance(entity, number, terms.duplicate);
        Verdict::Passes(Passage {
            departs,
            fate: sites.fate(terms, entity, number),
            copy: twice.then(|| sites.fate(terms, copy_of(entity), number)),
        })
    }

    /// Whether the link loses a parcel: one of its pieces, that is.
    fn loses(&mut self, terms: &Terms, hop: &Hop, number: u64, pieces: u64) -> bool {
        match terms.loss {
            Loss::None => false,
            Loss::Bernoulli(chance) => {
                let loss = &self.sites().loss;
                chance > 0.0
                    && (0..pieces)
                        .any(|piece| loss.chance(piece_of(hop.draws, piece), number, chance))
            }
            Loss::GilbertElliott {
                to_bad,
                to_good,
                in_good,
                in_bad,
            } => {
                let state = self.states.get(&hop.ends);
                let mut bad = state.is_some_and(|state| state.bad);
                let mut lost = false;
                let sites = self.sites();
                for piece in 0..pieces {
                    let entity = piece_of(hop.draws, piece);
                    let change = if bad { to_good } else { to_bad };
                    bad ^= sites.state.chance(entity, number, change);
                    let chance = if bad { in_bad } else { in_good };
                    lost |= sites.loss.chance(entity, number, chance);
                }
                self.states.entry(hop.ends).or_default().bad = bad;
                lost
            }
        }
    }
}

/// What draws for the copies that a link makes.
pub(crate) fn copy_of(link: Entity) -> Entity {
    link.part(COPY)
}

/// What draws for one piece of a parcel.
fn piece_of(link: Entity, piece: u64) -> Entity {
    if piece == 0 {
        link
    } else {
        link.part(PIECES + piece)
    }
}

/// The parts of a link that draw for copies, for notices, and for the pieces of fragments.
const COPY: u64 = 1;
const NOTICE: u64 = 4;
const PIECES: u64 = 1 << 32;
