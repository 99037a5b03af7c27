//! Faults: injected, scheduled, planned, and healed.
//!
//! Faults that are to come stand in a list of their own, beside the agenda, so that healing can
//! cancel them. A fault comes before everything else that is due at its instant.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Entropy, Timestamp};

use super::World;
use super::errors::{Failing, set_chance};
use super::seat::Seat;
use super::timing::Way;
use crate::buggify::BuggifyLabel;
use crate::bus::BusLink;
use crate::choice::Director;
use crate::coverage::Behaviour;
use crate::draws::LazySite;
use crate::fault::{Comes, Fault, FaultPlan, NumberedFault, Target, Who};
use crate::node::NodeId;
use crate::trace::{Place, TraceKind};

/// Faults that are to come, and what is to be put right.
pub(super) struct Faults {
    /// In the order in which they happen.
    scheduled: BTreeMap<(Timestamp, u64), Fault>,
    /// How many were scheduled or injected: they are numbered by this.
    sequence: u64,
    /// All that were ever scheduled or injected, with their numbers.
    all: Vec<NumberedFault>,
    /// By kind: whether one has happened of those that may.
    reached: IndexMap<&'static str, bool, FxBuildHasher>,
    /// Who may leave some out.
    director: Option<Rc<Director>>,
    /// Whether the script of another stands in for the scenario's faults already.
    is_scripted: bool,
    plans: u64,
    last_at: Option<Timestamp>,
    /// How many last, unless that is to be counted anew.
    lasting: Option<usize>,
    /// How the bus of a node is when none is small.
    buses: BTreeMap<u32, BusLink>,
    /// Nodes with a worker that a fault has killed.
    maimed: BTreeSet<u32>,
    /// What the scenario itself has set.
    pub(super) buggify: (f64, f64),
    switch: LazySite,
    plan: LazySite,
}

impl Faults {
    pub(super) fn new(entropy: &Entropy) -> Self {
        Self {
            scheduled: BTreeMap::new(),
            sequence: 0,
            all: Vec::new(),
            reached: IndexMap::default(),
            director: None,
            is_scripted: false,
            plans: 0,
            last_at: None,
            lasting: None,
            buses: BTreeMap::new(),
            maimed: BTreeSet::new(),
            buggify: (0.0, 0.0),
            switch: LazySite::new(entropy, "fault switch"),
            plan: LazySite::new(entropy, "fault plan"),
        }
    }
}

impl Faults {
    /// Has somebody decide which faults are left out.
    pub(super) fn direct(&mut self, director: Rc<Director>) {
        self.director = Some(director);
    }

    /// Notes one more fault, and gives its number. `None` if it is left out.
    fn number(&mut self, at: Timestamp, fault: &Fault, comes: Comes) -> Option<u64> {
        let number = self.sequence;
        self.sequence += 1;
        let director = self.director.as_ref();
        if director.is_some_and(|director| director.omits(number)) {
            return None;
        }
        let fault = fault.clone();
        self.all.push(NumberedFault {
            number,
            at,
            fault,
            comes,
        });
        Some(number)
    }
}

impl<A: App> World<A> {
    /// Has a fault happen, at this instant of virtual time. It is an event of the trace.
    ///
    /// # Panics
    ///
    /// If it names a node that is not of this world, or has a chance that is not from 0 to 1.
    pub fn inject(&mut self, fault: Fault) {
        if let Some(node) = fault.node() {
            self.known(node);
        }
        if self.is_scripted() {
            return;
        }
        let now = self.outside.now;
        if self.faults.number(now, &fault, Comes::AtOnce).is_some() {
            self.hit(fault);
        }
    }

    /// The same for one that has its number.
    fn hit(&mut self, fault: Fault) {
        let text = self.outside.trace.text(&fault);
        let place = Place {
            at: self.outside.now,
            node: fault.node().map_or(0, |node| self.known(node).number()),
            worker: 0,
        };
        let scope = self.outside.trace.scope();
        self.outside
            .trace
            .push(place, TraceKind::Fault, 0, [text, 0, 0]);
        self.note_fault();
        self.faults.reached.insert(fault.kind(), true);
        self.apply(fault);
        self.outside.trace.go_back(scope);
    }

    /// The kinds of faults that may have happened, and whether they have, for a footprint.
    pub(crate) fn reached_faults(
        &self,
    ) -> impl Iterator<Item = (Behaviour, Cow<'static, str>, bool)> {
        let reached = self.faults.reached.iter();
        reached.map(|(&kind, &reached)| (Behaviour::Fault, kind.into(), reached))
    }

    /// Has a fault happen at `at`, before whatever else is due then; at once, if that has passed.
    ///
    /// # Panics
    ///
    /// If it names a node that is not of this world.
    pub fn schedule(&mut self, at: Timestamp, fault: Fault) {
        if let Some(node) = fault.node() {
            self.known(node);
        }
        if !self.is_scripted() {
            self.schedule_now(at, fault);
        }
    }

    fn schedule_now(&mut self, at: Timestamp, fault: Fault) {
        let faults = &mut self.faults;
        faults.reached.entry(fault.kind()).or_default();
        let Some(number) = faults.number(at, &fault, Comes::Scheduled) else {
            return;
        };
        faults.scheduled.insert((at, number), fault);
        self.next_fault_at = self.next_fault_at.min(at);
    }

    /// Whether other faults happen than the scenario says. Schedules them when first asked.
    fn is_scripted(&mut self) -> bool {
        let director = self.faults.director.clone();
        let Some(script) = director.as_ref().and_then(|director| director.script()) else {
            return false;
        };
        if !core::mem::replace(&mut self.faults.is_scripted, true) {
            let find = |name: &str| {
                let found = self.find(name);
                found.unwrap_or_else(|| panic!("a fault for node `{name}`, which is not there yet"))
            };
            for (at, fault) in script.faults(&find) {
                self.schedule_now(at, fault);
            }
        }
        true
    }

    /// Schedules all faults of a list: what was written by hand, or has once been
    /// [planned](World::planned).
    ///
    /// # Panics
    ///
    /// As [`World::schedule`].
    pub fn script(&mut self, faults: impl IntoIterator<Item = (Timestamp, Fault)>) {
        for (at, fault) in faults {
            self.schedule(at, fault);
        }
    }

    /// Draws faults for the time from now on, and schedules them: see [`FaultPlan`]. All of them end
    /// within `duration`.
    ///
    /// # Panics
    ///
    /// If there is no node, or the plan names one that is not of this world.
    pub fn plan(&mut self, plan: &FaultPlan, duration: Duration) {
        let nodes = self.targets(plan);
        if self.is_scripted() {
            return;
        }
        let number = self.faults.plans;
        self.faults.plans += 1;
        let sites = (&*self.faults.switch, &*self.faults.plan);
        for kind in plan.kinds() {
            self.faults.reached.entry(kind.fault()).or_default();
        }
        let drawn = plan.draw(sites, number, &nodes, (self.outside.now, duration));
        self.script(drawn);
    }

    /// All faults that were ever scheduled, by time: given to [`World::script`] in another world of
    /// the same scenario and seed, in place of the plan that drew them, they make the same run.
    #[must_use]
    pub fn planned(&self) -> Vec<(Timestamp, Fault)> {
        let scheduled = self.faults.all.iter();
        let scheduled = scheduled.filter(|fault| fault.comes == Comes::Scheduled);
        let mut planned: Vec<_> = scheduled
            .map(|fault| (fault.at, fault.fault.clone()))
            .collect();
        planned.sort_by_key(|(at, _)| *at);
        planned
    }

    /// All faults that were ever scheduled or injected, in the order in which that was done. Those
    /// that were [left out](crate::ChoiceLog::omitting) are not among them.
    #[must_use]
    pub fn faults(&self) -> &[NumberedFault] {
        &self.faults.all
    }

    /// When the last fault happened, or the last end of one. From then on a system has the chance to
    /// recover.
    #[must_use]
    pub const fn last_fault_at(&self) -> Option<Timestamp> {
        self.faults.last_at
    }

    /// Ends all faults: those that are scheduled are cancelled, cuts and links are as the scenario
    /// has set them, pauses and stalls are over, nodes that are down are started, nothing is refused
    /// or delayed or late any more but for what the scenario has set. A node that lacks a worker
    /// that a fault has killed is restarted, if it [has something to start with](crate::NodeBuilder::boot)
    /// and its controller has not replaced the worker.
    ///
    /// What has happened stays: clocks that have jumped, connections that are broken, nodes that
    /// have moved.
    ///
    /// # Panics
    ///
    /// If a node that is restarted has had 65,536 workers.
    pub fn heal(&mut self) {
        self.faults.scheduled.clear();
        self.next_fault_at = Timestamp::MAX;
        let place = Place {
            at: self.outside.now,
            node: 0,
            worker: 0,
        };
        let text = self.outside.trace.text(&"heal");
        self.outside
            .trace
            .push(place, TraceKind::Fault, 0, [text, 0, 0]);
        self.heal_links();
        self.outside.keep_lines();
        self.outside.network.links.uncover_all();
        self.timings.heal();
        self.retime(&Who::All);
        if let Some(failing) = &mut self.outside.failing {
            failing.heal();
        }
        for (node, link) in core::mem::take(&mut self.faults.buses) {
            self.set_bus(NodeId::new(node), link);
        }
        let (labels, calls) = self.faults.buggify;
        self.mischief.set(labels, calls);
        for number in 0..self.seats.len() {
            let (now, seat) = (self.outside.now, &mut self.seats[number]);
            if seat.stalled_until > now {
                seat.stalled_until = now;
                self.arm(u32::try_from(number).expect("fewer than 2^30 workers"));
            }
        }
        let maimed = core::mem::take(&mut self.faults.maimed);
        for number in 0..self.nodes.len() {
            let node = NodeId::new(u32::try_from(number).expect("fewer than 2^32 nodes"));
            let known = &mut self.nodes[number];
            let (starts, wanted) = (known.starts().is_some(), known.workers);
            let lacks = maimed.contains(&node.number()) && self.workers(node) < wanted;
            if self.is_down(node) || (starts && lacks) {
                self.restart_now(node);
            }
        }
    }

    /// Has [`Context::buggify`](stillpoint::Context::buggify) say yes at a share of `labels` of all
    /// labels, which the seed chooses, and there at a share of `calls` of the calls. Both are 0 unless
    /// a scenario or a [`FaultPlan`] says otherwise; 0.25 and 0.25 are a good start.
    ///
    /// # Panics
    ///
    /// If a share is not from 0 to 1.
    pub fn set_buggify(&mut self, labels: f64, calls: f64) {
        self.mischief.set(labels, calls);
        self.faults.buggify = (labels, calls);
    }

    /// The labels that tasks have asked for, by name, and what they were told.
    #[must_use]
    pub fn buggified(&self) -> Vec<BuggifyLabel> {
        self.mischief.labels()
    }

    /// A fault happens now, or ends.
    pub(super) const fn note_fault(&mut self) {
        self.faults.last_at = Some(self.outside.now);
        self.faults.lasting = None;
        self.outside.disturbed();
    }

    /// How many faults last until somebody ends them: cuts, nodes that are down, and the like.
    pub(super) fn lasting_faults(&mut self) -> usize {
        if let Some(lasting) = self.faults.lasting {
            return lasting;
        }
        let network = &self.outside.network;
        let links = network.links.cuts() + network.links.covers();
        let down = network.hosts.iter().filter(|host| host.is_down).count();
        let paused =
            |seat: &&Seat<A>| seat.worker.is_some() && seat.stalled_until == Timestamp::MAX;
        let paused = self.seats.iter().filter(paused).count();
        let failing = self.outside.failing.as_ref();
        let refusing = failing.map_or(0, |failing| failing.nodes_failing());
        let lasting = links + down + paused + refusing + self.timings.faults();
        self.faults.lasting = Some(lasting);
        lasting
    }

    /// The next fault that is scheduled is due.
    #[cold]
    pub(super) fn happen_fault(&mut self) {
        let Some((_, fault)) = self.faults.scheduled.pop_first() else {
            return;
        };
        let next = self.faults.scheduled.first_key_value();
        self.next_fault_at = next.map_or(Timestamp::MAX, |(&(at, _), _)| at);
        self.hit(fault);
    }

    /// The nodes that a plan is for.
    fn targets(&self, plan: &FaultPlan) -> Vec<Target> {
        let all = 0..u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
        let all = all.map(NodeId::new);
        let wanted: Vec<NodeId> = match plan.nodes() {
            Some(nodes) => nodes.iter().map(|&node| self.known(node)).collect(),
            None => all.collect(),
        };
        let targets = wanted.iter().map(|&node| Target {
            node,
            is_nat: self.outside.network.nat(node.number()).is_some(),
            entity: self.outside.network.entities[node.index()],
            workers: self.nodes[node.index()].workers,
        });
        let targets: Vec<Target> = targets.collect();
        assert!(
            !targets.is_empty(),
            "a plan of faults for no node: make the nodes first"
        );
        targets
    }

    fn failing(&mut self) -> &mut Failing {
        let failing = &mut self.outside.failing;
        failing.get_or_insert_with(|| Box::new(Failing::new(&self.entropy)))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not for this part is for another"
    )]
    fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(node) => self.crash_now(node),
            Fault::Restart(node) => self.restart_now(node),
            Fault::PowerCycle => self.power_cycle(),
            Fault::Pause(node) => self.pause_now(node),
            Fault::Resume(node) => self.resume_now(node),
            Fault::StallWorker {
                node,
                worker,
                stall,
            } => {
                if let Some(worker) = self.nth_worker(node, worker) {
                    self.stall_worker(node, worker, stall);
                }
            }
            Fault::KillWorker { node, worker } => {
                if let Some(worker) = self.nth_worker(node, worker) {
                    self.faults.maimed.insert(node.number());
                    self.kill_worker(node, worker);
                }
            }
            Fault::JumpClock { node, by } => self.move_clock(node, by, Way::Forward),
            Fault::SetBackClock { node, by } => self.move_clock(node, by, Way::Back),
            Fault::LateTimers { who, lateness } => self.make_timers_late(&who, lateness),
            Fault::SlowInputs { who, cost } => self.slow_down(&who, cost),
            Fault::Buggify { labels, calls } => self.mischief.set(labels, calls),
            other => self.apply_network(other),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not for this part is for another"
    )]
    fn apply_network(&mut self, fault: Fault) {
        match fault {
            Fault::SendErrors {
                node,
                error,
                chance,
            } => {
                let node = self.known(node).number();
                set_chance(&mut self.failing().at(node).send, error, chance);
            }
            Fault::BindErrors {
                node,
                error,
                chance,
            } => {
                let node = self.known(node).number();
                set_chance(&mut self.failing().at(node).bind, error, chance);
            }
            Fault::DescriptorsMax { node, max } => {
                let node = self.known(node).number();
                self.failing().at(node).descriptors_max = max;
            }
            Fault::SlowReaders { node, delay } => {
                let node = self.known(node).number();
                self.failing().at(node).read_delay = delay;
            }
            Fault::ResetStreams { who, chance } => {
                let who = self.known_who(who);
                self.failing();
                self.outside.reset_streams(&who, chance);
            }
            Fault::BusQueue { node, queue_max } => self.narrow_bus(node, queue_max),
            other => self.apply_links(other),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not for this part is for another"
    )]
    fn apply_links(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { from, to } => self.cut(from, to),
            Fault::Clog { from, to, duration } => self.clog(from, to, duration),
            Fault::Mend { from, to } => self.mend(from, to),
            Fault::Partition { one, other } => self.partition(&one, &other),
            Fault::Rejoin { one, other } => {
                for &a in &one {
                    for &b in other.iter().filter(|&&b| b != a) {
                        self.mend(a, b);
                        self.mend(b, a);
                    }
                }
            }
            Fault::Rebind(gateway) => self.rebind(gateway),
            Fault::Readdress { gateway, address } => self.set_gateway_address(gateway, address),
            Fault::Roam {
                node,
                gateway,
                address,
            } => self.move_behind(node, gateway, address),
            Fault::SetLink { from, to, link } => {
                let (from, to) = (self.known(from).number(), self.known(to).number());
                self.outside.keep_lines();
                let now = self.outside.now;
                let links = &mut self.outside.network.links;
                match link {
                    Some(link) => links.cover(from, to, &link, now),
                    None => links.uncover(from, to),
                }
            }
            other => unreachable!("{other:?} is applied elsewhere"),
        }
    }

    fn power_cycle(&mut self) {
        let all = 0..u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
        let up = all.map(NodeId::new).filter(|&node| !self.is_down(node));
        let up: Vec<NodeId> = up.collect();
        for &node in &up {
            self.crash_now(node);
        }
        for node in up {
            self.restart_now(node);
        }
    }

    fn narrow_bus(&mut self, node: NodeId, queue_max: Option<usize>) {
        let number = self.known(node).number();
        let now = self.outside.buses.link(number).clone();
        let own = self.faults.buses.remove(&number).unwrap_or(now);
        let link = match queue_max {
            Some(queue_max) => {
                self.faults.buses.insert(number, own.clone());
                own.queue_max(queue_max)
            }
            None => own,
        };
        self.set_bus(node, link);
    }

    /// The index of a worker, counted among those that are there.
    fn nth_worker(&self, node: NodeId, nth: u16) -> Option<u16> {
        let indexes = self.worker_indexes(node);
        indexes.get(usize::from(nth)).copied()
    }
}
