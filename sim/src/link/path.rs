//! A [`Link`] that was checked and made ready to be drawn from.

use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::Timestamp;

use super::codel::Aims;
use super::latency::Ready;
use super::loss::Loss;
use super::mtu::{Fit, MTU_MIN, Oversize, fit};
use super::{Link, Order, Parcel};

/// What is looked at for whatever is sent: the latency of a plain link, and whether it is one.
/// All times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(super) latency_min: u64,
    pub(super) width: u64,
    /// The latency is drawn anew each `1 << shift`.
    pub(super) shift: u32,
    /// Whether there is more to a link than a latency that wanders.
    pub(crate) faulty: bool,
}

/// All that a link does. All times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(super) path: Path,
    pub(super) latency: Ready,
    /// Whether draws must be kept from letting what is sent later arrive earlier.
    pub(super) keeps_order: bool,
    pub(super) loss: Loss,
    pub(super) duplicate: f64,
    pub(super) reorder: f64,
    pub(super) reorder_by: u64,
    pub(super) corrupt: f64,
    pub(super) truncate: f64,
    pub(super) split_runs: f64,
    pub(crate) refuse_runs: f64,
    /// Bits a second; 0 for as many as there are.
    pub(super) bandwidth: u64,
    /// Room in the queue, in bytes.
    pub(crate) queue_max: u64,
    pub(crate) codel: Option<Aims>,
    /// In bytes; 0 for any.
    mtu: u64,
    oversize: Oversize,
    pub(super) flapping: Option<[(u64, u64); 2]>,
    /// Since when the link is as it is.
    pub(super) since: Timestamp,
}

impl Terms {
    /// Checks a link.
    pub(super) fn new(link: &Link, since: Timestamp) -> Self {
        check_chances(link);
        let latency = link.latency.ready();
        let plain = match latency {
            Ready::Wander { .. } => true,
            Ready::Uniform { .. }
            | Ready::Normal { .. }
            | Ready::LogNormal { .. }
            | Ready::Pareto { .. }
            | Ready::Replay(_) => false,
        };
        let reorder_by = limited("reorder_by", link.reorder_by);
        assert!(
            link.reorder == 0.0 || reorder_by > 0,
            "link that reorders by nothing: give `reorder_by` too"
        );
        assert!(
            link.bandwidth != Some(0),
            "link with a bandwidth of 0: cut it (`World::cut`), if nothing is to pass"
        );
        assert!(
            link.mtu.is_none_or(|mtu| mtu >= MTU_MIN),
            "link with an MTU of {:?} bytes: IP needs {MTU_MIN}",
            link.mtu.unwrap_or_default()
        );
        let codel = link.queue.codel.map(|codel| Aims {
            target: limited("target of CoDel", codel.target),
            interval: limited("interval of CoDel", codel.interval).max(1),
            bytes_max: u64::from(link.mtu.unwrap_or(ETHERNET_MTU)),
        });
        assert!(
            codel.is_none() || link.bandwidth.is_some(),
            "link with CoDel and without a bandwidth: nothing would ever wait"
        );
        let flapping = link.flapping.as_ref().map(|[up, down]| {
            let named = |name, range: &RangeInclusive<Duration>| {
                let (low, high) = (limited(name, *range.start()), limited(name, *range.end()));
                assert!(
                    low <= high && low >= FLAP_MIN,
                    "link that is {name} for {range:?}: give the shorter time first, and at least \
                    a microsecond"
                );
                (low, high - low + 1)
            };
            [named("up", up), named("down", down)]
        });
        let mut terms = Self {
            path: Path::new(&latency),
            keeps_order: !plain && link.order == Order::Kept,
            latency,
            loss: link.loss,
            duplicate: link.duplicate,
            reorder: link.reorder,
            reorder_by,
            corrupt: link.corrupt,
            truncate: link.truncate,
            split_runs: link.split_runs,
            refuse_runs: link.refuse_runs,
            bandwidth: link.bandwidth.unwrap_or(0),
            queue_max: link.queue.bytes_max,
            codel,
            mtu: u64::from(link.mtu.unwrap_or(0)),
            oversize: link.oversize,
            flapping,
            since,
        };
        terms.path.faulty = !plain || terms.is_faulty();
        terms
    }

    /// Whether there is more to it than its latency.
    fn is_faulty(&self) -> bool {
        let chances = [
            self.duplicate,
            self.reorder,
            self.corrupt,
            self.truncate,
            self.split_runs,
            self.refuse_runs,
        ];
        chances.iter().any(|&chance| chance > 0.0)
            || !self.loss.is_none()
            || self.bandwidth > 0
            || self.mtu > 0
            || self.flapping.is_some()
    }

    /// How a parcel fits.
    pub(super) const fn fit(&self, parcel: &Parcel) -> Fit {
        if self.mtu == 0 {
            Fit::Pieces(1)
        } else {
            fit(parcel, self.mtu, self.oversize)
        }
    }

    /// Whether there are packets that it does not take.
    pub(crate) const fn has_mtu(&self) -> bool {
        self.mtu > 0
    }

    /// How long so many bytes take to be sent.
    pub(super) fn sending_time(&self, bytes: u64) -> u64 {
        let bits = u128::from(bytes) * 8;
        let nanos = (bits * 1_000_000_000).div_ceil(u128::from(self.bandwidth.max(1)));
        u64::try_from(nanos)
            .unwrap_or(u64::MAX / 4)
            .min(u64::MAX / 4)
    }
}

impl Path {
    fn new(latency: &Ready) -> Self {
        let (latency_min, width) = match latency {
            Ready::Wander { min, width } => (*min, *width),
            Ready::Uniform { .. }
            | Ready::Normal { .. }
            | Ready::LogNormal { .. }
            | Ready::Pareto { .. }
            | Ready::Replay(_) => (0, 0),
        };
        Self {
            latency_min,
            width,
            shift: (2 * width).max(1).next_power_of_two().trailing_zeros(),
            faulty: false,
        }
    }

    /// The knots around now, at which the latency is drawn, and from how many options. `None` if it
    /// is always the same.
    #[inline(always)]
    pub(super) const fn knots(&self, now: Timestamp) -> Option<([u64; 2], u64)> {
        if self.width == 0 {
            return None;
        }
        let knot = now.as_nanos() >> self.shift;
        Some(([knot, knot.wrapping_add(1)], self.width + 1))
    }

    /// When what is sent now arrives, after what was drawn at the knots around now.
    #[inline(always)]
    pub(super) fn arrival(&self, now: Timestamp, [from, to]: [u64; 2]) -> Timestamp {
        let shift = self.shift;
        let apart = to.cast_signed() - from.cast_signed();
        let part = (now.as_nanos() & ((1 << shift) - 1)).cast_signed();
        let step = if shift < 32 {
            // Both are less than 2^31.
            (apart * part) >> shift
        } else {
            let step = (i128::from(apart) * i128::from(part)) >> shift;
            i64::try_from(step).expect("a latency is less than a day")
        };
        let latency = self.latency_min + from.strict_add_signed(step);
        now.after(Duration::from_nanos(latency.max(1)))
    }
}

fn check_chances(link: &Link) {
    let mut chances = link.loss.chances();
    chances.extend([
        ("duplicate", link.duplicate),
        ("reorder", link.reorder),
        ("corrupt", link.corrupt),
        ("truncate", link.truncate),
        ("split_runs", link.split_runs),
        ("refuse_runs", link.refuse_runs),
    ]);
    for (name, chance) in chances {
        assert!(
            (0.0..=1.0).contains(&chance),
            "link with a {name} of {chance}: give a chance from 0 to 1"
        );
    }
}

fn limited(name: &str, duration: Duration) -> u64 {
    assert!(
        duration <= LATENCY_MAX,
        "link with a {name} of {duration:?}: at most {LATENCY_MAX:?} can be simulated"
    );
    nanos(duration)
}

/// A duration of at most centuries.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("within the limits")
}

/// The longest latency that a link may have.
pub(super) const LATENCY_MAX: Duration = Duration::from_secs(24 * 3600);

/// The shortest time for which a link is up or down, in nanoseconds.
const FLAP_MIN: u64 = 1_000;

/// What is taken for the longest datagram, where nobody says.
const ETHERNET_MTU: u32 = 1_500;
