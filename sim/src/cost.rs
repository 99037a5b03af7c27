//! What inputs cost: how long a worker is busy with each.

use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{App, NetworkEvent, WorkerInput};

use crate::link::Latency;

/// How long a worker is busy with an input. See
/// [`World::set_input_cost`](crate::World::set_input_cost).
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::{InputCost, InputKind};
///
/// let us = Duration::from_micros;
/// // Two to five microseconds, datagrams less, and now and then a page that is not there.
/// let cost = InputCost::new(us(2)..=us(5))
///     .of(InputKind::Datagrams, us(1)..=us(1))
///     .now_and_then(0.001, us(100)..=us(900));
/// # let _ = cost;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct InputCost(Box<Costs>);

#[derive(Debug, Clone, PartialEq)]
struct Costs {
    kinds: [Option<Cost>; InputKind::ALL.len()],
    other: Cost,
    hiccup: Option<(f64, RangeInclusive<Duration>)>,
    factor: u32,
}

/// What one input of a kind costs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cost {
    Range(RangeInclusive<Duration>),
    Drawn(Latency),
}

/// Inputs that may cost different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InputKind {
    /// A deadline has passed.
    Timeout,
    /// A run of datagrams: the cost is that of each of them.
    Datagrams,
    /// Bytes of a stream: the cost is that of each piece.
    Received,
    /// A packet or frame of a device.
    Packet,
    /// Another event of the network.
    Network,
    /// An item of the bus.
    Bus,
    /// Anything from the controller: a spawn, a command, a shutdown.
    Control,
}

impl InputKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Timeout,
        Self::Datagrams,
        Self::Received,
        Self::Packet,
        Self::Network,
        Self::Bus,
        Self::Control,
    ];

    /// What an input is, and how many of it there are.
    pub(crate) fn of<A: App>(input: &WorkerInput<A>) -> (Self, u64) {
        let kind = if let WorkerInput::Network(event) = input {
            if let NetworkEvent::Datagrams { run, .. } = event {
                return (Self::Datagrams, run.count() as u64);
            } else if let NetworkEvent::Received { .. } = event {
                Self::Received
            } else if let NetworkEvent::Packet { .. } = event {
                Self::Packet
            } else {
                Self::Network
            }
        } else if let WorkerInput::Timeout = input {
            Self::Timeout
        } else if let WorkerInput::Bus { .. }
        | WorkerInput::BusRoom(_)
        | WorkerInput::PeerJoined(_)
        | WorkerInput::PeerLeft(_) = input
        {
            Self::Bus
        } else {
            Self::Control
        };
        (kind, 1)
    }
}

impl InputCost {
    /// Each input takes a time within `cost`, both ends included.
    ///
    /// # Panics
    ///
    /// If `cost` is an empty range, or reaches beyond an hour.
    #[must_use]
    pub fn new(cost: RangeInclusive<Duration>) -> Self {
        check(&cost);
        Self(Box::new(Costs {
            kinds: [const { None }; InputKind::ALL.len()],
            other: Cost::Range(cost),
            hiccup: None,
            factor: 1,
        }))
    }

    /// The same; those of `kind` take a time within `cost` instead.
    ///
    /// # Panics
    ///
    /// As [`InputCost::new`].
    #[must_use]
    pub fn of(mut self, kind: InputKind, cost: RangeInclusive<Duration>) -> Self {
        check(&cost);
        self.0.kinds[kind as usize] = Some(Cost::Range(cost));
        self
    }

    /// The same; those of `kind` take a time of a distribution, drawn for each.
    ///
    /// # Panics
    ///
    /// If it is one that no [`Link`](crate::Link) may have, or takes more than an hour as often as
    /// not.
    #[must_use]
    pub fn of_distribution(mut self, kind: InputKind, cost: Latency) -> Self {
        let median = cost.quantile(0.5);
        assert!(
            median <= COST_MAX,
            "inputs that take {median:?} as often as not: give them up to an hour"
        );
        self.0.kinds[kind as usize] = Some(Cost::Drawn(cost));
        self
    }

    /// The same; each input takes a time within `cost` longer with a chance of `chance`: a page
    /// fault, a cold cache, a thread that was moved to another core.
    ///
    /// # Panics
    ///
    /// As [`InputCost::new`], or if `chance` is not from 0 to 1.
    #[must_use]
    pub fn now_and_then(mut self, chance: f64, cost: RangeInclusive<Duration>) -> Self {
        check(&cost);
        assert!(
            (0.0..=1.0).contains(&chance),
            "a chance of {chance} for an input to take longer: give one from 0 to 1"
        );
        self.0.hiccup = Some((chance, cost));
        self
    }

    /// The same, so many times as long: on a slower machine.
    #[must_use]
    pub fn times(mut self, factor: u32) -> Self {
        self.0.factor = self.0.factor.saturating_mul(factor);
        self
    }

    /// What one input of a kind costs.
    pub(crate) fn of_one(&self, kind: InputKind) -> &Cost {
        self.0.kinds[kind as usize]
            .as_ref()
            .unwrap_or(&self.0.other)
    }

    /// With which chance it takes how much longer.
    pub(crate) fn hiccup(&self) -> Option<&(f64, RangeInclusive<Duration>)> {
        self.0.hiccup.as_ref()
    }

    pub(crate) fn factor(&self) -> u32 {
        self.0.factor
    }
}

fn check(cost: &RangeInclusive<Duration>) {
    assert!(
        cost.start() <= cost.end() && *cost.end() <= COST_MAX,
        "inputs that take {cost:?}: give them a range of up to an hour"
    );
}

/// As long as one input may take.
const COST_MAX: Duration = Duration::from_secs(3_600);
