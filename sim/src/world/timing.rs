//! Time as a worker has it: its node's clock, timers that are late, and inputs that take time.
//!
//! Most workers have none of it, and pay for it with one branch ([`Seat::timing`]). What is here is
//! off the hot path.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use stillpoint::{App, Entity, Entropy, NetworkEvent, RunnerStatus, Timestamp, WorkerInput};

use super::World;
use super::seat::Seat;
use crate::clock::{NodeClock, Running};
use crate::cost::{Cost, InputCost, InputKind};
use crate::draws::LazySite;
use crate::fault::{Fault, Who};
use crate::network::Held;
use crate::node::NodeId;
use crate::trace::Cause;

/// What the scenario, and faults, have set for all workers.
pub(super) struct Timings {
    clocks: BTreeMap<u32, (NodeClock, Running)>,
    lateness: Setting<RangeInclusive<Duration>>,
    costs: Setting<Rc<InputCost>>,
    sites: Sites,
}

#[derive(Clone)]
struct Sites {
    lateness: LazySite,
    cost: LazySite,
    hiccup: LazySite,
    hiccup_cost: LazySite,
}

/// What was set for whom. What comes later counts, and faults count before the scenario.
struct Setting<T> {
    scenario: Vec<(Who, Option<T>)>,
    faults: Vec<(Who, Option<T>)>,
}

/// How time passes for one worker.
pub(super) struct Timing<A: App> {
    clock: Option<Running>,
    lateness: Option<RangeInclusive<Duration>>,
    cost: Option<Rc<InputCost>>,
    sites: Sites,
    entity: Entity,
    /// When it was given its last input, in its own time. What it wants by then is no timer.
    given_at: Timestamp,
    /// What it is busy with, and the time at which it took that up.
    current: Option<(Timestamp, WorkerInput<A>)>,
    /// What has led to that.
    cause: Cause,
    busy_until: Timestamp,
    /// Inputs that were given a cost.
    counted: u64,
    busy: Duration,
    window_start: Timestamp,
    window_busy: Duration,
    utilization: f64,
}

impl Timings {
    pub(super) fn new(entropy: &Entropy) -> Self {
        Self {
            clocks: BTreeMap::new(),
            lateness: Setting::new(),
            costs: Setting::new(),
            sites: Sites {
                lateness: LazySite::new(entropy, "timer lateness"),
                cost: LazySite::new(entropy, "input cost"),
                hiccup: LazySite::new(entropy, "input hiccup"),
                hiccup_cost: LazySite::new(entropy, "input hiccup cost"),
            },
        }
    }

    /// The node starts again.
    pub(super) fn boot(&mut self, node: u32, now: Timestamp) {
        if let Some((clock, running)) = self.clocks.get_mut(&node)
            && clock.is_since_boot()
        {
            *running = Running::started(clock, now);
        }
    }

    /// How many faults have set something that lasts.
    pub(super) fn faults(&self) -> usize {
        let lateness = self.lateness.faults.iter();
        let late = lateness.filter(|(_, lateness)| lateness.is_some()).count();
        let costs = self.costs.faults.iter();
        late + costs.filter(|(_, cost)| cost.is_some()).count()
    }

    /// What faults have set is over.
    pub(super) fn heal(&mut self) {
        self.lateness.faults.clear();
        self.costs.faults.clear();
    }

    /// Has a worker's timing be what was set for it.
    fn apply<A: App>(&self, seat: &mut Seat<A>, entity: Entity, now: Timestamp) {
        let (node, index) = (seat.node, seat.index);
        let clock = self.clocks.get(&node).map(|(_, running)| *running);
        let clock = clock.filter(|running| !running.is_true(now));
        let lateness = self.lateness.of(node, index);
        let cost = self.costs.of(node, index);
        let is_plain = clock.is_none() && lateness.is_none() && cost.is_none();
        if is_plain
            && seat
                .timing
                .as_ref()
                .is_none_or(|timing| timing.is_free(now))
        {
            seat.timing = None;
            return;
        }
        let timing = seat.timing.get_or_insert_with(|| {
            Box::new(Timing {
                clock: None,
                lateness: None,
                cost: None,
                sites: self.sites.clone(),
                entity,
                given_at: now,
                current: None,
                cause: Cause::NONE,
                busy_until: Timestamp::EPOCH,
                counted: 0,
                busy: Duration::ZERO,
                window_start: now,
                window_busy: Duration::ZERO,
                utilization: 0.0,
            })
        });
        (timing.clock, timing.lateness, timing.cost) = (clock, lateness, cost);
    }
}

impl<T: Clone> Setting<T> {
    const fn new() -> Self {
        Self {
            scenario: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn set(entries: &mut Vec<(Who, Option<T>)>, who: Who, value: Option<T>) {
        if who == Who::All {
            entries.clear();
        }
        entries.retain(|(known, _)| *known != who);
        entries.push((who, value));
    }

    fn of(&self, node: u32, worker: u16) -> Option<T> {
        let last = |entries: &[(Who, Option<T>)]| {
            let mut known = entries.iter().rev();
            let found = known.find(|(who, _)| who.has(node, worker))?;
            found.1.clone()
        };
        last(&self.faults).or_else(|| last(&self.scenario))
    }
}

impl<A: App> Timing<A> {
    /// What the node's clock shows.
    pub(super) fn local(&self, now: Timestamp) -> Timestamp {
        self.clock.map_or(now, |clock| clock.local(now))
    }

    /// When a deadline of the worker, which is in its own time, is noticed.
    #[cold]
    pub(super) fn due(&self, deadline: Timestamp) -> Timestamp {
        let mut at = deadline;
        if let Some(lateness) = &self.lateness
            && deadline > self.given_at
        {
            // The deadline is the key: to ask again, or to arm it again, draws nothing anew.
            let count = deadline.as_nanos();
            at = at.after(self.sites.lateness.duration(self.entity, count, lateness));
        }
        self.clock.map_or(at, |clock| clock.global(at))
    }

    /// Until when it is busy.
    pub(super) const fn busy_until(&self) -> Timestamp {
        self.busy_until
    }

    /// What it was busy with, which it does not finish.
    pub(super) fn take_current(&mut self) -> Option<WorkerInput<A>> {
        self.current.take().map(|(_, input)| input)
    }

    fn is_free(&self, now: Timestamp) -> bool {
        self.current.is_none() && self.busy_until <= now
    }

    /// How long the next input takes.
    fn draw(&mut self, kind: InputKind, pieces: u64) -> Duration {
        let Some(cost) = &self.cost else {
            return Duration::ZERO;
        };
        let (count, entity) = (self.counted, self.entity);
        self.counted += 1;
        let mut took = Duration::ZERO;
        let (site, input) = (&self.sites.cost, entity.part(count));
        let each = |piece| match cost.of_one(kind) {
            Cost::Range(range) if range.start() == range.end() => *range.end(),
            Cost::Range(range) => site.duration(input, piece, range),
            Cost::Drawn(latency) => {
                let choice = site.below(input, piece, CHOICES);
                latency.quantile((choice as f64 + 0.5) / CHOICES as f64)
            }
        };
        for piece in 0..pieces {
            took = took.saturating_add(each(piece));
        }
        if let Some((chance, longer)) = cost.hiccup()
            && self.sites.hiccup.chance(entity, count, *chance)
        {
            took += self.sites.hiccup_cost.duration(entity, count, longer);
        }
        took.saturating_mul(cost.factor())
    }

    /// Notes that it is busy for so long.
    fn note_busy(&mut self, now: Timestamp, took: Duration) {
        self.busy += took;
        let window = now.since(self.window_start);
        if window >= RunnerStatus::WINDOW {
            self.utilization = share(self.window_busy, window);
            (self.window_start, self.window_busy) = (now, Duration::ZERO);
        }
        self.window_busy += took;
    }

    /// The share of the last while that it was busy.
    pub(super) fn utilization(&self, now: Timestamp) -> f64 {
        let window = now.since(self.window_start);
        if window < RunnerStatus::WINDOW && self.utilization > 0.0 {
            return self.utilization;
        }
        let to_come = self.busy_until.since(now);
        share(self.window_busy.saturating_sub(to_come), window)
    }

    /// How long it was busy in all.
    pub(super) fn busy(&self, now: Timestamp) -> Duration {
        self.busy.saturating_sub(self.busy_until.since(now))
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() {
        return 0.0;
    }
    (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

impl<A: App> World<A> {
    /// Has the clock of a node run like this from now on, as if it had since the world began. A node
    /// whose clock was ahead stands still in time until it is not: what a task is told never runs
    /// backwards.
    ///
    /// Tasks know the time of their node's clock only, and their deadlines are in it. What the
    /// scenario sees (reports, the trace, [`World::now`]) and what the node's network stack does is
    /// in the time of the world.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn set_clock(&mut self, node: NodeId, clock: NodeClock) {
        let (number, now) = (self.known(node).number(), self.now());
        let running = Running::new(&clock).not_before(&self.running(number), now);
        self.timings.clocks.insert(number, (clock, running));
        self.retime(&Who::from(node));
    }

    /// Has the clock of a node jump forward, as that of a machine does that was suspended: all
    /// deadlines on the way are due at once. This is a [`Fault`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn jump_clock(&mut self, node: NodeId, by: Duration) {
        self.inject(Fault::JumpClock { node, by });
    }

    /// Sets the clock of a node back. To its tasks time stands still until the clock has caught up,
    /// as time that runs backwards is no time. This is a [`Fault`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn set_back_clock(&mut self, node: NodeId, by: Duration) {
        self.inject(Fault::SetBackClock { node, by });
    }

    /// What the clock of a node shows.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn local_time(&self, node: NodeId) -> Timestamp {
        self.running(self.known(node).number()).local(self.now())
    }

    /// Has timers be late by a time within `lateness`, both ends included, as real ones are. How
    /// late is drawn for each deadline. An input that comes meanwhile has the worker look at its
    /// deadlines, too, as a runner does that has woken up. What is set for one worker counts before
    /// what is set for more, if it is set later.
    ///
    /// # Panics
    ///
    /// If there is no such node, or the range is empty.
    pub fn set_timer_lateness(&mut self, who: impl Into<Who>, lateness: RangeInclusive<Duration>) {
        let who = self.known_who(who.into());
        check_lateness(&lateness);
        let lateness = (!lateness.end().is_zero()).then_some(lateness);
        Setting::set(&mut self.timings.lateness.scenario, who.clone(), lateness);
        self.retime(&who);
    }

    /// Has each input take time: the worker takes it, is busy for as long as it costs, and what
    /// comes of it leaves then. The `now` of the input is that at which the worker took it, as in
    /// production. What comes meanwhile waits in order, as for a worker that
    /// [stands still](World::stall_worker): the queues of the bus to it and the receive buffers of
    /// its sockets fill up, and deadlines that pass are due when it is done.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn set_input_cost(&mut self, who: impl Into<Who>, cost: InputCost) {
        let who = self.known_who(who.into());
        Setting::set(
            &mut self.timings.costs.scenario,
            who.clone(),
            Some(Rc::new(cost)),
        );
        self.retime(&who);
    }

    pub(super) fn known_who(&self, who: Who) -> Who {
        match &who {
            Who::All => {}
            Who::Nodes(nodes) => {
                for &node in nodes {
                    self.known(node);
                }
            }
            Who::Worker(node, worker) => {
                self.seat_number(*node, *worker);
            }
        }
        who
    }

    pub(super) fn move_clock(&mut self, node: NodeId, by: Duration, back: Way) {
        let (number, now) = (self.known(node).number(), self.now());
        let mut running = self.running(number);
        match back {
            Way::Forward => running.jump(now, by),
            Way::Back => running.set_back(now, by),
        }
        let entry = self.timings.clocks.entry(number);
        entry.or_insert((NodeClock::new(), running)).1 = running;
        self.retime(&Who::from(node));
    }

    pub(super) fn make_timers_late(
        &mut self,
        who: &Who,
        lateness: Option<RangeInclusive<Duration>>,
    ) {
        let who = self.known_who(who.clone());
        if let Some(lateness) = &lateness {
            check_lateness(lateness);
        }
        Setting::set(&mut self.timings.lateness.faults, who.clone(), lateness);
        self.retime(&who);
    }

    pub(super) fn slow_down(&mut self, who: &Who, cost: Option<InputCost>) {
        let who = self.known_who(who.clone());
        Setting::set(
            &mut self.timings.costs.faults,
            who.clone(),
            cost.map(Rc::new),
        );
        self.retime(&who);
    }

    fn running(&self, node: u32) -> Running {
        let known = self.timings.clocks.get(&node);
        known.map_or_else(|| Running::new(&NodeClock::new()), |(_, running)| *running)
    }

    /// Has the timing of workers be what was set for them.
    pub(super) fn retime(&mut self, who: &Who) {
        for number in 0..self.seats.len() {
            let seat = &self.seats[number];
            if seat.worker.is_some() && who.has(seat.node, seat.index) {
                self.time_seat(u32::try_from(number).expect("fewer than 2^30 workers"));
            }
        }
    }

    /// Has the timing of a worker be what was set for it.
    pub(super) fn time_seat(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let node = self.outside.network.entities[seat.node as usize];
        let entity = node.part(u64::from(seat.index));
        self.timings.apply(seat, entity, self.outside.now);
        self.arm(number);
    }

    /// Gives an input to a worker for which time is something of its own.
    #[cold]
    pub(super) fn give_timed(&mut self, number: u32, input: WorkerInput<A>) {
        let (now, introducing) = (self.outside.now, self.outside.introducing);
        let seat = &mut self.seats[number as usize];
        let there = seat.worker.is_some();
        let Some(timing) = seat.timing.as_mut().filter(|_| there) else {
            return self.hand_in(number, now, input);
        };
        let local = timing.local(now);
        timing.given_at = timing.given_at.max(local);
        let (kind, pieces) = InputKind::of(&input);
        let took = if introducing {
            Duration::ZERO
        } else {
            timing.draw(kind, pieces)
        };
        if took.is_zero() {
            return self.hand_in(number, local, input);
        }
        timing.note_busy(now, took);
        timing.busy_until = now.after(took);
        // A worker answers a connection that comes in at once: the rest is what follows that.
        let at_once = matches!(input, WorkerInput::Network(NetworkEvent::Incoming { .. }));
        if at_once {
            self.hand_in(number, local, input);
        } else {
            if let WorkerInput::Bus { item, .. } = &input {
                // As long as nobody has handed it in, it waits.
                self.outside.network.counters.bus_waiting += item.messages();
            }
            timing.current = Some((local, input));
            timing.cause = self.outside.trace.root();
        }
        let seat = &mut self.seats[number as usize];
        if seat.worker.is_some() {
            seat.held = true;
            self.outside.hold(number, Held::Yes);
            self.arm(number);
        }
    }

    /// A worker may go on. Hands in what it was busy with, and says whether it was.
    pub(super) fn finish_current(&mut self, number: u32) -> bool {
        let seat = &mut self.seats[number as usize];
        let Some(timing) = &mut seat.timing else {
            return false;
        };
        let Some((local, input)) = timing.current.take() else {
            return false;
        };
        self.outside.trace.follow(timing.cause);
        if let WorkerInput::Bus { item, .. } = &input {
            self.outside.network.counters.bus_waiting -= item.messages();
        }
        self.hand_in(number, local, input);
        true
    }
}

/// Shares of a distribution that are told apart.
const CHOICES: u64 = 1 << 53;

/// Where a clock is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Back,
}

fn check_lateness(lateness: &RangeInclusive<Duration>) {
    assert!(
        lateness.start() <= lateness.end() && *lateness.end() <= LATENESS_MAX,
        "timers that are late by {lateness:?}: give them a range of up to an hour"
    );
}

/// As late as a timer may be.
const LATENESS_MAX: Duration = Duration::from_secs(3_600);
