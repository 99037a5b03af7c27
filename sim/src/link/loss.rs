//! How datagrams are lost.

/// Which datagrams a link loses: each by itself, or in bursts.
///
/// Where a datagram travels in [fragments](crate::Oversize::Fragment), each is exposed to loss.
///
/// # Example
///
/// ```
/// use stillpoint_sim::{Link, Loss};
///
/// // One in a hundred is lost, five in a row on average.
/// let link = Link::default().loss_model(Loss::bursts(0.01, 5.0));
/// assert!((link.loss.rate() - 0.01).abs() < 1e-12);
/// assert_eq!(Link::default().loss(0.02).loss, Loss::Bernoulli(0.02));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// None.
    None,
    /// Each with this chance, from 0 to 1, whatever became of the others.
    Bernoulli(f64),
    /// In bursts, by the model of Gilbert and Elliott: the link is in a good or a bad state, and
    /// may change it before each datagram. It begins in the good one. All are chances from 0 to 1.
    ///
    /// Sources: E. N. Gilbert, "Capacity of a Burst-Noise Channel" (1960); E. O. Elliott,
    /// "Estimates of Error Rates for Codes on Burst-Noise Channels" (1963).
    GilbertElliott {
        /// From good to bad.
        to_bad: f64,
        /// From bad to good.
        to_good: f64,
        /// Of loss in the good state.
        in_good: f64,
        /// Of loss in the bad state.
        in_bad: f64,
    },
}

impl Loss {
    /// Bursts in which all is lost, with nothing lost in between: of this mean length, in
    /// datagrams, and so often that this share of all is lost.
    ///
    /// # Panics
    ///
    /// If the share is not from 0 to below 1, or the length is below 1 or below `rate / (1 - rate)`:
    /// between two bursts at least one datagram passes, so short bursts cannot take so much.
    #[must_use]
    pub fn bursts(rate: f64, length: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&rate),
            "bursts that lose a share of {rate}: give one from 0 to below 1"
        );
        let to_bad = rate / (1.0 - rate) / length;
        assert!(
            length >= 1.0 && length.is_finite() && to_bad <= 1.0,
            "bursts of {length} datagrams that lose a share of {rate}: they are of at least 1, and \
            at least {:.3} for this share",
            rate / (1.0 - rate)
        );
        Self::GilbertElliott {
            to_bad,
            to_good: 1.0 / length,
            in_good: 0.0,
            in_bad: 1.0,
        }
    }

    /// The share of datagrams that is lost in the long run.
    #[must_use]
    pub fn rate(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Bernoulli(chance) => chance,
            Self::GilbertElliott {
                to_bad,
                to_good,
                in_good,
                in_bad,
            } => {
                let changes = to_bad + to_good;
                let bad = if changes > 0.0 { to_bad / changes } else { 0.0 };
                bad * in_bad + (1.0 - bad) * in_good
            }
        }
    }

    /// Whether nothing is ever lost.
    pub(super) fn is_none(self) -> bool {
        match self {
            Self::None => true,
            Self::Bernoulli(chance) => chance == 0.0,
            Self::GilbertElliott {
                in_good, in_bad, ..
            } => in_good == 0.0 && in_bad == 0.0,
        }
    }

    /// Its chances, with their names.
    pub(super) fn chances(self) -> Vec<(&'static str, f64)> {
        match self {
            Self::None => Vec::new(),
            Self::Bernoulli(chance) => vec![("loss", chance)],
            Self::GilbertElliott {
                to_bad,
                to_good,
                in_good,
                in_bad,
            } => vec![
                ("change to the bad state", to_bad),
                ("change to the good state", to_good),
                ("loss in the good state", in_good),
                ("loss in the bad state", in_bad),
            ],
        }
    }
}

impl From<f64> for Loss {
    /// Each with this chance.
    fn from(chance: f64) -> Self {
        Self::Bernoulli(chance)
    }
}
