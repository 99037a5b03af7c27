//! How long the way takes.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::normal::normal_quantile;
use super::path::{LATENCY_MAX, nanos};
use super::trace::{Kind, LatencyTrace, latency_at};

/// The time from sending to arrival over a link: one that wanders, or one of a distribution, drawn
/// for each run of datagrams, segment or packet.
///
/// A draw takes one even choice among 2^53 and puts it through the quantile function of the
/// distribution. So a lower choice is a lower latency: what shrinks choices shrinks latencies.
///
/// What comes out is rounded down to whole nanoseconds. Distributions without an end are cut at
/// both: below 1 ns it is 1 ns, above a day it is a day.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::Latency;
///
/// let ms = Duration::from_millis;
/// let mobile = Latency::log_normal(ms(45), 0.4);
/// assert_eq!(mobile.quantile(0.5), ms(45));
/// assert!(mobile.quantile(0.99) > ms(110));
/// assert_eq!(Latency::uniform(ms(2)..=ms(4)).quantile(0.25).as_micros(), 2_500);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Latency(Model);

#[derive(Debug, Clone, PartialEq)]
enum Model {
    Wander(RangeInclusive<Duration>),
    Uniform(RangeInclusive<Duration>),
    Normal { mean: Duration, deviation: Duration },
    LogNormal { median: Duration, sigma: f64 },
    Pareto { min: Duration, shape: f64 },
    Replay(LatencyTrace),
}

/// A [`Latency`] that was checked, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) enum Ready {
    Wander { min: u64, width: u64 },
    Uniform { min: u64, width: u64 },
    Normal { mean: f64, deviation: f64 },
    LogNormal { median: f64, sigma: f64 },
    Pareto { min: f64, shape: f64 },
    Replay(LatencyTrace),
}

impl Latency {
    /// A latency that wanders within the range, as queues on the way fill and drain: it is drawn at
    /// moments that are two to four times the range's width apart, and goes in a straight line from
    /// one to the next. So a datagram never arrives before one that was sent earlier, and yet none
    /// has to wait for another.
    #[must_use]
    pub const fn wander(range: RangeInclusive<Duration>) -> Self {
        Self(Model::Wander(range))
    }

    /// Always the same.
    #[must_use]
    pub const fn constant(latency: Duration) -> Self {
        Self(Model::Wander(latency..=latency))
    }

    /// Anything in the range, equally likely.
    #[must_use]
    pub const fn uniform(range: RangeInclusive<Duration>) -> Self {
        Self(Model::Uniform(range))
    }

    /// The normal distribution with this mean and standard deviation.
    #[must_use]
    pub const fn normal(mean: Duration, deviation: Duration) -> Self {
        Self(Model::Normal { mean, deviation })
    }

    /// The log-normal distribution: `median` times e to the power of a normal distribution around 0
    /// with the standard deviation `sigma`. Its mean is `median * exp(sigma^2 / 2)`.
    #[must_use]
    pub const fn log_normal(median: Duration, sigma: f64) -> Self {
        Self(Model::LogNormal { median, sigma })
    }

    /// The Pareto distribution: at least `min`, and beyond `x` with the probability
    /// `(min / x)^shape`. Its mean is `min * shape / (shape - 1)` for a shape above 1; its deviation
    /// is finite for a shape above 2.
    #[must_use]
    pub const fn pareto(min: Duration, shape: f64) -> Self {
        Self(Model::Pareto { min, shape })
    }

    /// What was measured: over time, beginning when the link is set, or one of the samples at a
    /// time.
    #[must_use]
    pub const fn replay(trace: LatencyTrace) -> Self {
        Self(Model::Replay(trace))
    }

    /// The latency that this share of draws stays below. For a latency that wanders, that of the
    /// moments it is drawn at; for a trace over time, that at this part of it.
    ///
    /// # Panics
    ///
    /// If the share is not from 0 to 1, or the latency is one that [`World`](crate::World) refuses.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        assert!(
            (0.0..=1.0).contains(&share),
            "the quantile at {share}: give a share from 0 to 1"
        );
        Duration::from_nanos(match self.ready() {
            Ready::Replay(LatencyTrace(Kind::OverTime(points))) => {
                let period = points.last().map_or(0, |&(time, _)| time);
                latency_at(&points, truncated(share * period as f64))
            }
            Ready::Wander { min, width } => Ready::Uniform { min, width }.at(share),
            drawn @ (Ready::Uniform { .. }
            | Ready::Normal { .. }
            | Ready::LogNormal { .. }
            | Ready::Pareto { .. }
            | Ready::Replay(_)) => drawn.at(share),
        })
    }

    /// Checks it.
    pub(super) fn ready(&self) -> Ready {
        let positive = |name: &str, value: f64| {
            assert!(
                value.is_finite() && value > 0.0,
                "link with a latency of the {name} {value}: give a number above 0"
            );
            value
        };
        match &self.0 {
            Model::Wander(range) => {
                let (min, width) = checked(range);
                Ready::Wander { min, width }
            }
            Model::Uniform(range) => {
                let (min, width) = checked(range);
                Ready::Uniform { min, width }
            }
            Model::Normal { mean, deviation } => Ready::Normal {
                mean: nanos_of(*mean),
                deviation: nanos_of(*deviation),
            },
            Model::LogNormal { median, sigma } => Ready::LogNormal {
                median: nanos_of(*median),
                sigma: positive("sigma", *sigma),
            },
            Model::Pareto { min, shape } => Ready::Pareto {
                min: nanos_of(*min),
                shape: positive("shape", *shape),
            },
            Model::Replay(trace) => Ready::Replay(trace.clone()),
        }
    }
}

impl Ready {
    /// The latency at this share of the distribution. Of what is not drawn, nothing.
    pub(super) fn at(&self, share: f64) -> u64 {
        // At 0 and 1 some distributions have no value.
        let share = share.clamp(SHARE_MIN, 1.0 - SHARE_MIN);
        let nanos = match self {
            Self::Wander { .. } | Self::Replay(LatencyTrace(Kind::OverTime(_))) => return 1,
            Self::Uniform { min, width } => {
                let part = truncated(share * (*width as f64 + 1.0));
                return (min + part.min(*width)).max(1);
            }
            Self::Replay(LatencyTrace(Kind::Samples(samples))) => {
                let index = truncated(share * samples.len() as f64);
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                return samples[index.min(samples.len() - 1)].max(1);
            }
            Self::Normal { mean, deviation } => mean + deviation * normal_quantile(share),
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * normal_quantile(share)),
            Self::Pareto { min, shape } => min * libm::exp(-libm::log1p(-share) / shape),
        };
        truncated(nanos.clamp(1.0, nanos_of(LATENCY_MAX)))
    }
}

/// How many choices a draw has: what an `f64` tells apart.
pub(super) const CHOICES: u64 = 1 << 53;

/// The share of the distribution that a choice stands for: the middle of its part.
pub(super) fn share_of(choice: u64) -> f64 {
    (choice as f64 + 0.5) / CHOICES as f64
}

/// The smallest share that is told from 0, and whose distance to 1 is told.
const SHARE_MIN: f64 = 1.0 / (1u64 << 53) as f64;

/// The lower end and the width of a range.
fn checked(range: &RangeInclusive<Duration>) -> (u64, u64) {
    assert!(
        range.start() <= range.end(),
        "link with the empty latency {range:?}: give the shorter one first"
    );
    let (min, max) = (limited(*range.start()), limited(*range.end()));
    (min, max - min)
}

fn limited(latency: Duration) -> u64 {
    assert!(
        latency <= LATENCY_MAX,
        "link with a latency of {latency:?}: at most {LATENCY_MAX:?} can be simulated"
    );
    nanos(latency)
}

fn nanos_of(latency: Duration) -> f64 {
    limited(latency) as f64
}

/// A number that is known to be a time from 0 to some days.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the part behind the point is to go, and it is not below 0"
)]
const fn truncated(value: f64) -> u64 {
    value as u64
}
