//! Plans of faults: which kinds may happen, and how strongly. What a seed makes of one is a list of
//! faults.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;

use stillpoint::{Entity, NetworkError, Site, Source, Timestamp};

use super::{Fault, Who};
use crate::cost::InputCost;
use crate::link::Link;
use crate::node::NodeId;

/// Which kinds of faults may happen, and how strongly. See [`World::plan`](crate::World::plan).
///
/// This is swarm testing (A. Groce et al., ISSTA 2012): for each seed a random subset of the kinds is
/// switched on, as faults of many kinds at once hide each other. Then counts, times, durations and
/// targets are drawn for each kind by itself, so one kind more changes nothing for the others, and
/// one node more takes over some of what would have hit others.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::{FaultKind, FaultPlan};
///
/// let (ms, secs) = (Duration::from_millis, Duration::from_secs);
/// let plan = FaultPlan::new()
///     .with(FaultKind::Crash, 1..=3, ms(100)..=secs(5))
///     .with(FaultKind::Partition, 0..=2, ms(10)..=secs(10));
/// let harsh = FaultPlan::everything().without(FaultKind::PowerCycle);
/// assert_ne!(plan, harsh);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    doses: BTreeMap<FaultKind, Dose>,
    switch_chance: f64,
    nodes: Option<Vec<NodeId>>,
}

/// How often, and how long each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dose {
    counts: RangeInclusive<u32>,
    durations: RangeInclusive<Duration>,
}

/// A kind of fault that a [`FaultPlan`] may have. Each fault is for one node that is drawn, unless
/// it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The node crashes, and is restarted after the duration.
    Crash,
    /// Everything crashes and starts again, at once.
    PowerCycle,
    /// The node stands still for the duration.
    Pause,
    /// A worker stands still for the duration.
    Stall,
    /// A worker fails. What follows is up to its controller.
    Kill,
    /// The nodes are parted into two sides for the duration.
    Partition,
    /// The way from one node to another is cut for the duration.
    Cut,
    /// The way from one node to another is clogged for the duration.
    Clog,
    /// The way from one node to another loses, doubles and reorders for the duration: up to half of
    /// what it carries.
    Flaky,
    /// A clock jumps forward by the duration.
    ClockJump,
    /// A clock is set back by the duration.
    ClockBack,
    /// Timers are late, by up to 50 ms, for the duration.
    LateTimers,
    /// Inputs take up to 2 ms each for the duration.
    SlowInputs,
    /// Some sends fail for the duration, with one error.
    SendErrors,
    /// Some openings fail for the duration, with one error.
    BindErrors,
    /// There are no more than eight descriptors for the duration, or none.
    Descriptors,
    /// The queues between the workers hold one to four items for the duration.
    BusQueue,
    /// Some connections are reset.
    Resets,
    /// Bytes are handed out up to 200 ms late for the duration.
    SlowReaders,
    /// A NAT forgets its mappings. Nothing happens in a world without one.
    Rebind,
    /// Tasks do what is rare ([`Context::buggify`](stillpoint::Context::buggify)) all the time of
    /// the plan. Counts and durations mean nothing.
    Buggify,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::Crash,
        Self::PowerCycle,
        Self::Pause,
        Self::Stall,
        Self::Kill,
        Self::Partition,
        Self::Cut,
        Self::Clog,
        Self::Flaky,
        Self::ClockJump,
        Self::ClockBack,
        Self::LateTimers,
        Self::SlowInputs,
        Self::SendErrors,
        Self::BindErrors,
        Self::Descriptors,
        Self::BusQueue,
        Self::Resets,
        Self::SlowReaders,
        Self::Rebind,
        Self::Buggify,
    ];

    /// What is drawn for it follows from its name.
    fn entity(self) -> Entity {
        Entity::named(&format!("{self:?}"))
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultKind {
    /// The kind of the fault that begins it: see [`Fault::kind`].
    pub(crate) const fn fault(self) -> &'static str {
        match self {
            Self::Crash => "Crash",
            Self::PowerCycle => "PowerCycle",
            Self::Pause => "Pause",
            Self::Stall => "StallWorker",
            Self::Kill => "KillWorker",
            Self::Partition => "Partition",
            Self::Cut => "Cut",
            Self::Clog => "Clog",
            Self::Flaky => "SetLink",
            Self::ClockJump => "JumpClock",
            Self::ClockBack => "SetBackClock",
            Self::LateTimers => "LateTimers",
            Self::SlowInputs => "SlowInputs",
            Self::SendErrors => "SendErrors",
            Self::BindErrors => "BindErrors",
            Self::Descriptors => "DescriptorsMax",
            Self::BusQueue => "BusQueue",
            Self::Resets => "ResetStreams",
            Self::SlowReaders => "SlowReaders",
            Self::Rebind => "Rebind",
            Self::Buggify => "Buggify",
        }
    }
}

impl FaultPlan {
    /// The kinds that it may have.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        self.doses.keys().copied()
    }

    /// A plan in which nothing happens. A kind that is added is on for half of the seeds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            doses: BTreeMap::new(),
            switch_chance: 0.5,
            nodes: None,
        }
    }

    /// Every kind: one to three times, for 10 ms to 3 s each; one power cycle at most, and clocks
    /// that move by up to a minute.
    #[must_use]
    pub fn everything() -> Self {
        let ms = Duration::from_millis;
        let all = FaultKind::ALL.into_iter();
        let all = all.fold(Self::new(), |plan, kind| {
            plan.with(kind, 1..=3, ms(10)..=ms(3_000))
        });
        all.with(FaultKind::PowerCycle, 0..=1, ms(0)..=ms(0))
            .with(FaultKind::ClockJump, 1..=2, ms(1)..=ms(60_000))
            .with(FaultKind::ClockBack, 1..=2, ms(1)..=ms(60_000))
    }

    /// The same, with faults of this kind: so many, and so long each. Both ranges have both ends
    /// included. What would last longer than the plan ends with it.
    ///
    /// # Panics
    ///
    /// If a range is empty, or reaches beyond a day or 10,000 faults.
    #[must_use]
    pub fn with(
        mut self,
        kind: FaultKind,
        counts: RangeInclusive<u32>,
        durations: RangeInclusive<Duration>,
    ) -> Self {
        assert!(
            counts.start() <= counts.end()
                && *counts.end() <= COUNT_MAX
                && durations.start() <= durations.end()
                && *durations.end() <= DURATION_MAX,
            "a plan with {counts:?} faults of the kind {kind:?}, each for {durations:?}: give \
            ranges of up to 10,000 and up to a day"
        );
        self.doses.insert(kind, Dose { counts, durations });
        self
    }

    /// The same, without faults of this kind.
    #[must_use]
    pub fn without(mut self, kind: FaultKind) -> Self {
        self.doses.remove(&kind);
        self
    }

    /// The same; each kind is on with this chance, from 0 to 1.
    ///
    /// # Panics
    ///
    /// If it is not from 0 to 1.
    #[must_use]
    pub fn switch_chance(mut self, chance: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&chance),
            "a plan whose kinds are on with a chance of {chance}: give one from 0 to 1"
        );
        self.switch_chance = chance;
        self
    }

    /// The same, for these nodes only. A power cycle is for all.
    #[must_use]
    pub fn on(mut self, nodes: impl Into<Vec<NodeId>>) -> Self {
        self.nodes = Some(nodes.into());
        self
    }

    /// The nodes that it is for, if not for all.
    pub(crate) fn nodes(&self) -> Option<&[NodeId]> {
        self.nodes.as_deref()
    }

    /// What happens from `now` on: the `number`-th plan of its world.
    pub(crate) fn draw(
        &self,
        (switch, site): (&Site, &Site),
        number: u64,
        targets: &[Target],
        (now, duration): (Timestamp, Duration),
    ) -> Vec<(Timestamp, Fault)> {
        let mut drawn = Vec::new();
        for (&kind, dose) in &self.doses {
            let entity = kind.entity().part(number);
            if !switch.chance(entity, 0, self.switch_chance) {
                continue;
            }
            let (low, high) = (u64::from(*dose.counts.start()), *dose.counts.end());
            let count = low + site.below(entity, 0, u64::from(high) - low + 1);
            for nth in 0..count {
                let entity = entity.part(nth + 1);
                let mut source = site.source(entity);
                let at = now.after(source.duration(Duration::ZERO..=duration));
                let lasts = source.duration(dose.durations.clone());
                let mut planner = Planner {
                    drawn: &mut drawn,
                    source,
                    site,
                    entity,
                    targets,
                    now,
                    at,
                    lasts,
                    until: now.after(duration),
                };
                planner.draw(kind);
            }
        }
        drawn
    }
}

/// A node that faults may be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) node: NodeId,
    pub(crate) entity: Entity,
    /// How many workers it starts with.
    pub(crate) workers: u16,
    pub(crate) is_nat: bool,
}

/// Draws one fault.
struct Planner<'a> {
    drawn: &'a mut Vec<(Timestamp, Fault)>,
    source: Source,
    site: &'a Site,
    entity: Entity,
    targets: &'a [Target],
    now: Timestamp,
    at: Timestamp,
    lasts: Duration,
    /// When the plan ends.
    until: Timestamp,
}

impl Planner<'_> {
    fn draw(&mut self, kind: FaultKind) {
        let target = self.target(0);
        let node = target.node;
        match kind {
            FaultKind::Crash => self.push(Fault::Crash(node), Fault::Restart(node)),
            FaultKind::PowerCycle => self.once(Fault::PowerCycle),
            FaultKind::Pause => self.push(Fault::Pause(node), Fault::Resume(node)),
            FaultKind::Stall => {
                let worker = self.worker(target);
                let stall = self.end().since(self.at);
                self.once(Fault::StallWorker {
                    node,
                    worker,
                    stall,
                });
            }
            FaultKind::Kill => {
                let worker = self.worker(target);
                self.once(Fault::KillWorker { node, worker });
            }
            FaultKind::ClockJump => {
                let by = self.lasts;
                self.once(Fault::JumpClock { node, by });
            }
            FaultKind::ClockBack => {
                let by = self.lasts;
                self.once(Fault::SetBackClock { node, by });
            }
            FaultKind::Rebind => {
                let nats = self.targets.iter().filter(|target| target.is_nat);
                if let Some(nat) = self.best(nats, 3) {
                    self.once(Fault::Rebind(nat.node));
                }
            }
            FaultKind::LateTimers => {
                let lateness = Some(self.up_to(1, 50_000));
                let late = |lateness| {
                    let who = Who::from(node);
                    Fault::LateTimers { who, lateness }
                };
                self.push(late(lateness), late(None));
            }
            FaultKind::SlowInputs => {
                let cost = Some(InputCost::new(self.up_to(10, 2_000)));
                let slow = |cost| {
                    let who = Who::from(node);
                    Fault::SlowInputs { who, cost }
                };
                self.push(slow(cost), slow(None));
            }
            FaultKind::Buggify => {
                (self.at, self.lasts) = (self.now, Duration::MAX);
                let buggify = |labels, calls| Fault::Buggify { labels, calls };
                self.push(buggify(0.25, 0.25), buggify(0.0, 0.0));
            }
            FaultKind::Partition | FaultKind::Cut | FaultKind::Clog | FaultKind::Flaky => {
                self.draw_way(kind, node);
            }
            FaultKind::SendErrors
            | FaultKind::BindErrors
            | FaultKind::Descriptors
            | FaultKind::BusQueue
            | FaultKind::Resets
            | FaultKind::SlowReaders => self.draw_refusal(kind, node),
        }
    }

    /// Draws a fault of the ways between nodes. There is none with one node.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not for this part is for another"
    )]
    fn draw_way(&mut self, kind: FaultKind, from: NodeId) {
        if kind == FaultKind::Partition {
            return self.draw_partition(from);
        }
        let others = self.targets.iter().filter(|other| other.node != from);
        let Some(to) = self.best(others, 1) else {
            return;
        };
        let to = to.node;
        match kind {
            FaultKind::Cut => self.push(Fault::Cut { from, to }, Fault::Mend { from, to }),
            FaultKind::Clog => {
                let duration = self.end().since(self.at);
                self.once(Fault::Clog { from, to, duration });
            }
            _flaky => {
                let (loss, doubled, held) = (self.share(50), self.share(20), self.share(50));
                let latency = self.up_to(100, 100_000);
                let by = *latency.end();
                let link = Link::new(latency);
                let link = link.loss(loss).duplicate(doubled).reorder(held, by);
                let link = Some(Box::new(link));
                let set = |link| Fault::SetLink { from, to, link };
                self.push(set(link), set(None));
            }
        }
    }

    fn draw_partition(&mut self, alone: NodeId) {
        let side = |target: &&Target| {
            let entity = self.entity.part(target.entity.number());
            self.site.below(entity, 2, 2) == 0
        };
        let (mut one, mut other): (Vec<&Target>, Vec<&Target>) =
            self.targets.iter().partition(side);
        if one.is_empty() || other.is_empty() {
            let is_alone = |target: &&Target| target.node == alone;
            (one, other) = self.targets.iter().partition(is_alone);
        }
        if other.is_empty() {
            return;
        }
        let nodes = |side: Vec<&Target>| side.iter().map(|target| target.node).collect();
        let (one, other): (Vec<NodeId>, Vec<NodeId>) = (nodes(one), nodes(other));
        let rejoin = Fault::Rejoin {
            one: one.clone(),
            other: other.clone(),
        };
        self.push(Fault::Partition { one, other }, rejoin);
    }

    /// Draws what the system of a node refuses.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not for this part is for another"
    )]
    fn draw_refusal(&mut self, kind: FaultKind, node: NodeId) {
        match kind {
            FaultKind::SendErrors => {
                let (error, chance) = (self.error(&SEND_ERRORS), self.share(100));
                let fail = |chance| Fault::SendErrors {
                    node,
                    error,
                    chance,
                };
                self.push(fail(chance), fail(0.0));
            }
            FaultKind::BindErrors => {
                let (error, chance) = (self.error(&BIND_ERRORS), self.share(100));
                let fail = |chance| Fault::BindErrors {
                    node,
                    error,
                    chance,
                };
                self.push(fail(chance), fail(0.0));
            }
            FaultKind::Descriptors => {
                let drawn = self.source.below(9);
                let max = usize::try_from(drawn).ok();
                let limit = |max| Fault::DescriptorsMax { node, max };
                self.push(limit(max), limit(None));
            }
            FaultKind::BusQueue => {
                let drawn = 1 + self.source.below(4);
                let queue_max = usize::try_from(drawn).ok();
                let narrow = |queue_max| Fault::BusQueue { node, queue_max };
                self.push(narrow(queue_max), narrow(None));
            }
            FaultKind::Resets => {
                let (who, chance) = (Who::from(node), self.share(100));
                self.once(Fault::ResetStreams { who, chance });
            }
            _slow_readers => {
                let delay = Some(self.up_to(100, 200_000));
                let slow = |delay| Fault::SlowReaders { node, delay };
                self.push(slow(delay), slow(None));
            }
        }
    }

    /// When it is over.
    fn end(&self) -> Timestamp {
        self.at.after(self.lasts).min(self.until)
    }

    fn push(&mut self, fault: Fault, end: Fault) {
        let ends = self.end();
        self.drawn.push((self.at, fault));
        self.drawn.push((ends, end));
    }

    fn once(&mut self, fault: Fault) {
        self.drawn.push((self.at, fault));
    }

    fn target(&self, which: u64) -> Target {
        let best = self.best(self.targets.iter(), which);
        best.expect("a plan for some node")
    }

    /// The node that draws the most. So one more node takes some of the faults, and the others stay
    /// where they are.
    fn best<'t>(&self, targets: impl Iterator<Item = &'t Target>, which: u64) -> Option<Target> {
        let weight = |target: &&Target| {
            let entity = self.entity.part(target.entity.number());
            self.site.below(entity, which, 1 << 32)
        };
        targets.max_by_key(weight).copied()
    }

    fn worker(&mut self, target: Target) -> u16 {
        let drawn = self.source.below(u64::from(target.workers.max(1)));
        u16::try_from(drawn).unwrap_or(0)
    }

    /// A share of 5 % to `percent_max`, in whole percents, so that it is printed as it is.
    fn share(&mut self, percent_max: u64) -> f64 {
        self.source.range(5..=percent_max) as f64 / 100.0
    }

    /// From nothing to a time of up to so many microseconds.
    fn up_to(&mut self, micros_min: u64, micros_max: u64) -> RangeInclusive<Duration> {
        let micros = self.source.range(micros_min..=micros_max);
        Duration::ZERO..=Duration::from_micros(micros)
    }

    fn error(&mut self, errors: &[NetworkError]) -> NetworkError {
        let drawn = self.source.below(errors.len() as u64);
        errors[usize::try_from(drawn).unwrap_or(0)]
    }
}

/// What a system says to a send that it does not do: EAGAIN and ENOBUFS, EPERM of a packet filter,
/// EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EINVAL, ENOMEM, ENETDOWN.
const SEND_ERRORS: [NetworkError; 8] = [
    NetworkError::QueueFull,
    NetworkError::PermissionDenied,
    NetworkError::HostUnreachable,
    NetworkError::NetworkUnreachable,
    NetworkError::AddressNotAvailable,
    NetworkError::InvalidOption,
    NetworkError::Other(12),
    NetworkError::Other(100),
];

/// What a system says to a socket that it does not open: EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE,
/// EAFNOSUPPORT, ENOMEM.
const BIND_ERRORS: [NetworkError; 6] = [
    NetworkError::AddressInUse,
    NetworkError::AddressNotAvailable,
    NetworkError::PermissionDenied,
    NetworkError::TooManySockets,
    NetworkError::AddressFamily,
    NetworkError::Other(12),
];

/// As many faults of one kind.
const COUNT_MAX: u32 = 10_000;

/// As long as one may last.
const DURATION_MAX: Duration = Duration::from_secs(86_400);
