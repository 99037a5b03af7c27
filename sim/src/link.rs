//! Links: what happens to datagrams on their way from one node to another.
//!
//! Segments of TCP and packets of devices fare as datagrams do.
//!
//! Each ordered pair of nodes has a link. A [`Link`] says how it behaves; [`Links`] holds them and
//! draws. Latencies need no state: a link's latency is a function of time, which the seed gives.

use core::ops::RangeInclusive;
use core::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Entity, Entropy, Site, Timestamp};

/// How a one-way path between two nodes behaves, for datagrams and for packets of devices alike.
///
/// # Latency and order
///
/// The latency wanders within its range, as queues on the way fill and drain: it is drawn at
/// moments that are two to four times the range's width apart, and goes in a straight line from
/// one to the next. So a datagram never arrives before one that was sent earlier on the same
/// link, and yet none has to wait for another. Whatever is sent at one instant arrives at
/// one instant, in the order in which it was sent. Only [`Link::reorder`] lets datagrams overtake,
/// and a change of the link during the run.
///
/// Every way takes at least one nanosecond, so that an exchange without latency moves time on.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::Link;
///
/// let ms = Duration::from_millis;
/// let wifi = Link::new(ms(2)..=ms(30)).loss(0.02).reorder(0.01, ms(10));
/// assert_eq!(wifi.loss, 0.02);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// The time from sending to arrival.
    pub latency: RangeInclusive<Duration>,
    /// Chance that a datagram is lost, from 0 to 1.
    pub loss: f64,
    /// Chance that a datagram that is not lost arrives twice, from 0 to 1.
    pub duplicate: f64,
    /// Chance that a datagram, or the copy of one, is held back, from 0 to 1.
    pub reorder: f64,
    /// The longest that it is held back.
    pub reorder_by: Duration,
}

impl Link {
    /// A link of this latency, without faults.
    #[must_use]
    pub const fn new(latency: RangeInclusive<Duration>) -> Self {
        Self {
            latency,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
        }
    }

    /// A link that always takes `latency`, without faults.
    #[must_use]
    pub const fn fixed(latency: Duration) -> Self {
        Self::new(latency..=latency)
    }

    /// The same, losing datagrams with this chance.
    #[must_use]
    pub const fn loss(mut self, chance: f64) -> Self {
        self.loss = chance;
        self
    }

    /// The same, duplicating datagrams with this chance.
    #[must_use]
    pub const fn duplicate(mut self, chance: f64) -> Self {
        self.duplicate = chance;
        self
    }

    /// The same, holding datagrams back with this chance, for up to `by`.
    #[must_use]
    pub const fn reorder(mut self, chance: f64, by: Duration) -> Self {
        self.reorder = chance;
        self.reorder_by = by;
        self
    }
}

impl Default for Link {
    /// One millisecond, without faults.
    fn default() -> Self {
        Self::fixed(Duration::from_millis(1))
    }
}

/// The links of a world.
pub(crate) struct Links {
    default: Path,
    within: Path,
    own: IndexMap<(u32, u32), Path, FxBuildHasher>,
    /// Datagrams seen by each link that has faults to draw.
    seen: IndexMap<(u32, u32), u64, FxBuildHasher>,
    latency: Site,
    loss: Site,
    duplicate: Site,
    reorder: Site,
    reorder_by: Site,
    /// The last two draws of each link. Kept only where draws may be decided by something else
    /// than a seed, which need not decide the same draw twice alike.
    drawn: Option<IndexMap<Entity, LastDraws, FxBuildHasher>>,
    /// What stands in the way, apart from how links behave.
    barriers: IndexMap<(u32, u32), Barrier, FxBuildHasher>,
}

/// What stands in the way from one node to another.
#[derive(Debug, Clone, Copy, Default)]
struct Barrier {
    cut: bool,
    clogged_until: Option<Timestamp>,
}

/// Whether what is sent gets onto its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    Cut,
    Clogged,
}

/// Moments at which a latency was drawn, and what came out.
type LastDraws = [(u64, u64); 2];

/// A [`Link`] made ready to be drawn from. All times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    latency_min: u64,
    width: u64,
    /// The latency is drawn anew each `1 << shift`.
    shift: u32,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    reorder_by: u64,
    /// Whether there is anything to draw for each datagram.
    pub(crate) faulty: bool,
}

/// What the link does to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) lost: bool,
    pub(crate) held_back: u64,
    /// By how much the copy is held back, if there is one.
    pub(crate) copy: Option<u64>,
}

impl Verdict {
    pub(crate) const PASSED: Self = Self {
        lost: false,
        held_back: 0,
        copy: None,
    };
}

impl Links {
    /// `steady` says that a draw, made twice, gives the same twice.
    pub(crate) fn new(entropy: &Entropy, steady: bool) -> Self {
        Self {
            default: Path::new(&Link::default()),
            within: Path::new(&Link::fixed(Duration::ZERO)),
            own: IndexMap::default(),
            seen: IndexMap::default(),
            latency: entropy.site("link latency"),
            loss: entropy.site("link loss"),
            duplicate: entropy.site("link duplicate"),
            reorder: entropy.site("link reorder"),
            reorder_by: entropy.site("link reorder by"),
            drawn: (!steady).then(IndexMap::default),
            barriers: IndexMap::default(),
        }
    }

    pub(crate) fn set_default(&mut self, link: &Link) {
        self.default = Path::new(link);
    }

    pub(crate) fn set(&mut self, from: u32, to: u32, link: &Link) {
        self.own.insert((from, to), Path::new(link));
    }

    #[inline(always)]
    pub(crate) fn path(&self, from: u32, to: u32) -> Path {
        if self.own.is_empty() && self.barriers.is_empty() {
            return *self.usual(from, to);
        }
        let mut path = *self
            .own
            .get(&(from, to))
            .unwrap_or_else(|| self.usual(from, to));
        path.faulty |= self.barriers.contains_key(&(from, to));
        path
    }

    const fn usual(&self, from: u32, to: u32) -> &Path {
        if from == to {
            &self.within
        } else {
            &self.default
        }
    }

    pub(crate) fn cut(&mut self, from: u32, to: u32) {
        self.barriers.entry((from, to)).or_default().cut = true;
    }

    /// Clogs the way until then, if it is not clogged for longer.
    pub(crate) fn clog(&mut self, from: u32, to: u32, until: Timestamp) {
        let barrier = self.barriers.entry((from, to)).or_default();
        barrier.clogged_until = barrier.clogged_until.max(Some(until));
    }

    pub(crate) fn unbar(&mut self, from: u32, to: u32) {
        self.barriers.swap_remove(&(from, to));
    }

    /// Forgets a way that nothing stands in any more.
    pub(crate) fn unbar_if_open(&mut self, from: u32, to: u32, now: Timestamp) {
        if self.gate(from, to, now) == Gate::Open {
            self.unbar(from, to);
        }
    }

    /// All ways that are cut or clogged.
    pub(crate) fn barred(&self) -> Vec<(u32, u32)> {
        self.barriers.keys().copied().collect()
    }

    /// Until when the way is clogged.
    pub(crate) fn clogged_until(&self, from: u32, to: u32) -> Option<Timestamp> {
        self.barriers.get(&(from, to))?.clogged_until
    }

    /// What stands in the way.
    pub(crate) fn gate(&mut self, from: u32, to: u32, now: Timestamp) -> Gate {
        let Some(barrier) = self.barriers.get_mut(&(from, to)) else {
            return Gate::Open;
        };
        barrier.clogged_until = barrier.clogged_until.filter(|&until| until > now);
        if barrier.cut {
            Gate::Cut
        } else if barrier.clogged_until.is_some() {
            Gate::Clogged
        } else {
            Gate::Open
        }
    }

    /// When what is sent now arrives, if it is not held back.
    #[inline(always)]
    pub(crate) fn arrival(&mut self, path: &Path, link: Entity, now: Timestamp) -> Timestamp {
        let mut latency = path.latency_min;
        if path.width > 0 {
            let (now, shift) = (now.as_nanos(), path.shift);
            let knot = now >> shift;
            let from = self.draw(path, link, knot);
            let to = self.draw(path, link, knot.wrapping_add(1));
            let part = now & ((1 << shift) - 1);
            let step = (i128::from(to) - i128::from(from)) * i128::from(part);
            latency += from.strict_add_signed(
                i64::try_from(step >> shift).expect("a latency is less than a day"),
            );
        }
        now.after(Duration::from_nanos(latency.max(1)))
    }

    /// When a notice of the network's own (ICMP) arrives that is sent now. It is not lost by chance,
    /// but a cut stops it, and it waits for the end of a clog.
    pub(crate) fn notice(
        &mut self,
        (from, to): (u32, u32),
        link: Entity,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let path = self.path(from, to);
        let leaves_at = match self.gate(from, to, now) {
            Gate::Open => now,
            Gate::Cut => return None,
            Gate::Clogged => self.clogged_until(from, to).unwrap_or(now),
        };
        Some(self.arrival(&path, link, leaves_at))
    }

    /// The number of the first of `count` datagrams that a faulty link sees now.
    pub(crate) fn count(&mut self, from: u32, to: u32, count: u64) -> u64 {
        let seen = self.seen.entry((from, to)).or_default();
        *seen += count;
        *seen - count
    }

    pub(crate) fn verdict(&self, path: &Path, link: Entity, number: u64) -> Verdict {
        if path.loss > 0.0 && self.loss.chance(link, number, path.loss) {
            return Verdict {
                lost: true,
                ..Verdict::PASSED
            };
        }
        let twice = path.duplicate > 0.0 && self.duplicate.chance(link, number, path.duplicate);
        Verdict {
            lost: false,
            held_back: self.held_back(path, link, number),
            copy: twice.then(|| self.held_back(path, link.part(COPY), number)),
        }
    }

    fn held_back(&self, path: &Path, entity: Entity, number: u64) -> u64 {
        if path.reorder > 0.0 && self.reorder.chance(entity, number, path.reorder) {
            self.reorder_by.below(entity, number, path.reorder_by) + 1
        } else {
            0
        }
    }

    #[inline(always)]
    fn draw(&mut self, path: &Path, link: Entity, knot: u64) -> u64 {
        let options = path.width + 1;
        let Some(drawn) = &mut self.drawn else {
            return self.latency.below(link, knot, options);
        };
        let known = drawn.entry(link).or_insert([(u64::MAX, 0); 2]);
        if let Some(&(_, latency)) = known.iter().find(|&&(at, _)| at == knot) {
            return latency.min(path.width);
        }
        let latency = self.latency.below(link, knot, options);
        *known = [known[1], (knot, latency)];
        latency
    }
}

impl Path {
    fn new(link: &Link) -> Self {
        let nanos = |name: &str, duration: Duration| {
            assert!(
                duration <= LATENCY_MAX,
                "link with a {name} of {duration:?}: at most {LATENCY_MAX:?} can be simulated"
            );
            u64::try_from(duration.as_nanos()).expect("compared with the limit above")
        };
        for (name, chance) in [
            ("loss", link.loss),
            ("duplicate", link.duplicate),
            ("reorder", link.reorder),
        ] {
            assert!(
                (0.0..=1.0).contains(&chance),
                "link with a {name} of {chance}: give a chance from 0 to 1"
            );
        }
        assert!(
            link.latency.start() <= link.latency.end(),
            "link with the empty latency {:?}: give the shorter one first",
            link.latency
        );
        let reorder_by = nanos("reorder_by", link.reorder_by);
        assert!(
            link.reorder == 0.0 || reorder_by > 0,
            "link that reorders by nothing: give `reorder_by` too"
        );
        let latency_min = nanos("latency", *link.latency.start());
        let width = nanos("latency", *link.latency.end()) - latency_min;
        Self {
            latency_min,
            width,
            shift: (2 * width).max(1).next_power_of_two().trailing_zeros(),
            loss: link.loss,
            duplicate: link.duplicate,
            reorder: link.reorder,
            reorder_by,
            faulty: link.loss > 0.0 || link.duplicate > 0.0 || link.reorder > 0.0,
        }
    }
}

/// The part of a link that draws for copies.
const COPY: u64 = 1;

/// The longest latency that a link may have.
const LATENCY_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_stays_in_its_range_and_never_lets_a_datagram_overtake() {
        for seed in 0..20 {
            let mut links = Links::new(&Entropy::from_seed(seed), true);
            let path = Path::new(&Link::new(
                Duration::from_nanos(10)..=Duration::from_nanos(500),
            ));
            let (mut last, mut seen) = (Timestamp::EPOCH, [u64::MAX, 0]);
            for now in 0..200_000 {
                let now = Timestamp::from_nanos(now);
                let arrival = links.arrival(&path, Entity::new(3), now);
                assert!(arrival >= last, "overtaken at {now}");
                last = arrival;
                let latency = arrival.as_nanos() - now.as_nanos();
                seen = [seen[0].min(latency), seen[1].max(latency)];
            }
            assert!(seen[0] >= 10 && seen[1] <= 500, "{seen:?}");
            assert!(
                seen[0] < 50 && seen[1] > 450,
                "uses little of its range: {seen:?}"
            );
        }
    }

    #[test]
    fn the_latency_does_not_bunch_datagrams_up() {
        // One datagram each microsecond, a latency from 1 to 2 ms: no gap shrinks below half.
        let mut links = Links::new(&Entropy::from_seed(1), true);
        let path = Path::new(&Link::new(
            Duration::from_millis(1)..=Duration::from_millis(2),
        ));
        let arrivals: Vec<u64> = (0..1_000_000)
            .map(|micros| Timestamp::from_nanos(micros * 1_000))
            .map(|now| links.arrival(&path, Entity::new(3), now).as_nanos())
            .collect();
        let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().min().unwrap() >= 499);
        assert!(gaps.max().unwrap() <= 1_501);
        let latencies = (0u64..)
            .zip(&arrivals)
            .map(|(at, arrival)| arrival - at * 1_000);
        let mean = latencies.sum::<u64>() / 1_000_000;
        assert!(
            (1_400_000..1_600_000).contains(&mean),
            "mean latency {mean} ns"
        );
    }
}
