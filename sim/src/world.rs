//! The world: nodes, links, a virtual clock, and what is to happen.
//!
//! [`World`] is built by a scenario and run by it (`world/run.rs`). What workers give out goes to
//! [`Outside`] (`world/outside.rs`), which is borrowed apart from the workers themselves, so it
//! needs no queue in between.

use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{
    App, BufferPool, Entity, Entropy, TaskId, Timestamp, WhenWorkerFails, Worker, WorkerConfig,
    WorkerInput,
};

use crate::buggify::Buggify;
use crate::bus::BusLink;
use crate::draws::LazySite;
use crate::few::Few;
use crate::network::{FIRST, HostAddress};
use crate::node::{NodeBuilder, NodeId};
use crate::room::make_room;
use crate::schedule::Priorities;

mod bus;
mod cargo;
mod carry;
mod control;
mod converge;
mod desk;
mod errors;
mod faults;
mod forward;
mod forward_packets;
mod gate;
mod gateways;
mod give;
mod leaks;
mod line;
mod links;
mod lives;
mod look;
mod names;
mod outside;
mod packets;
mod properties;
mod recording;
mod records;
mod run;
mod scheduling;
mod seat;
mod short;
mod streams;
mod timing;
mod transit;
mod upcoming;
mod visits;
mod waits;
mod workers;

pub use control::NodeController;
pub use converge::Core;
use desk::Desk;
use faults::Faults;
pub(crate) use lives::{Persists, Starts};
pub use outside::{Ended, Reported, SpawnFailure};
use outside::{Event, Outside};
use properties::Properties;
use records::Records;
use seat::Seat;
use timing::Timings;
pub use upcoming::UpcomingInput;
use visits::Visits;
use workers::Joining;

/// A simulated network of nodes, with its own time.
///
/// A node may have several workers, with a [bus](World::set_bus) between them and a
/// [controller](World::controller) over them; they can [stand still](World::stall_worker), and
/// [fail](World::kill_worker).
///
/// Whoever builds a scenario wrongly (two nodes of one name, a worker that is not there) gets a
/// panic that says so. What a scenario finds out is a [`Failure`](crate::Failure).
pub struct World<A: App> {
    /// All workers of all nodes.
    seats: Vec<Seat<A>>,
    /// When the first of the faults that are scheduled happens: never if that is the end of time.
    next_fault_at: Timestamp,
    nodes: Vec<Node<A>>,
    outside: Outside<A>,
    /// Boxed, and none if nothing was declared.
    properties: Option<Box<Properties<A>>>,
    /// Boxed, and none if nobody says what states there are.
    visits: Option<Box<Visits<A>>>,
    /// When something that is owed is overdue.
    due: Timestamp,
    /// If the schedule gives workers some.
    priorities: Option<Box<Priorities>>,
    /// How often a schedule was set.
    schedules: u64,
    /// How often the world was to converge.
    converged: u64,
    before_input: Vec<Box<BeforeInput>>,
    /// If workers are recorded.
    records: Option<Box<Records<A>>>,
    /// Whether something is to be seen to before each event, and before each input.
    careful: bool,
    hooked: bool,
    entropy: Entropy,
    scenario: LazySite,
    /// By name: how often the scenario has drawn.
    drawn: IndexMap<&'static str, u64, FxBuildHasher>,
    /// What all workers are made with but for their index and whose they are.
    config: WorkerConfig,
    timings: Box<Timings>,
    faults: Box<Faults>,
    mischief: Buggify,
    events: u64,
    events_max: u64,
    /// What `events_max` may be at most, whatever the scenario says.
    events_limit: u64,
}

/// What a node is, and what its workers are made with.
pub(crate) struct Node<A: App> {
    /// Few have any.
    pub(crate) customs: Option<Box<Customs<A>>>,
    /// How many it starts with.
    pub(crate) workers: u16,
    pub(crate) make: Box<dyn Fn(WorkerConfig) -> Worker<A>>,
}

/// What few nodes have.
pub(crate) struct Customs<A: App> {
    /// What changes the limits of its workers, if anything does.
    pub(crate) limits: Option<Box<Limit>>,
    /// What it does when it starts, if anything.
    pub(crate) starts: Option<Starts<A>>,
}

impl<A: App> Node<A> {
    /// What it does when it starts, if anything.
    pub(crate) fn starts(&mut self) -> Option<&mut Starts<A>> {
        self.customs.as_mut()?.starts.as_mut()
    }
}

/// What changes the limits of a worker.
pub(crate) type Limit = dyn Fn(&mut WorkerConfig);

/// How the workers of a node deal with each other and with its controller.
pub(crate) struct Rules {
    /// `None` if it is as usual.
    pub(crate) bus: Option<BusLink>,
    pub(crate) when_worker_fails: WhenWorkerFails,
    /// Inputs from the controller that may wait at a worker.
    pub(crate) inputs_max: usize,
}

type BeforeInput = dyn FnMut(UpcomingInput);

impl<A: App> World<A> {
    /// Events that may happen unless told otherwise.
    pub const EVENTS_MAX: u64 = 100_000_000;

    /// An empty world in which everything follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::build(Entropy::from_seed(seed), true)
    }

    /// An empty world that draws from `entropy`: from a fuzzer or a list of choices, say.
    #[must_use]
    pub fn with_entropy(entropy: Entropy) -> Self {
        Self::build(entropy, false)
    }

    fn build(entropy: Entropy, steady: bool) -> Self {
        let buffers = BufferPool::new();
        let mischief = Buggify::new(&entropy);
        let mut config = WorkerConfig::new(0, entropy.clone());
        config.buffers = buffers.clone();
        config.mischief = Some(mischief.shared());
        Self {
            seats: Vec::new(),
            next_fault_at: Timestamp::MAX,
            nodes: Vec::new(),
            outside: Outside::new(&entropy, steady, buffers),
            properties: None,
            visits: None,
            due: Timestamp::MAX,
            priorities: None,
            schedules: 0,
            converged: 0,
            before_input: Vec::new(),
            records: None,
            careful: false,
            hooked: false,
            scenario: LazySite::new(&entropy, "scenario"),
            drawn: IndexMap::default(),
            config,
            timings: Box::new(Timings::new(&entropy)),
            faults: Box::new(Faults::new(&entropy)),
            mischief,
            events: 0,
            events_max: Self::EVENTS_MAX,
            events_limit: u64::MAX,
            entropy,
        }
    }

    /// Describes a new node with this address. [`NodeBuilder::spawner`] completes it.
    ///
    /// What is drawn for a node follows from its name, so that other nodes may come and go.
    pub fn node(
        &mut self,
        name: impl Into<String>,
        address: impl Into<IpAddr>,
    ) -> NodeBuilder<'_, A> {
        NodeBuilder {
            world: self,
            name: name.into(),
            addresses: vec![HostAddress::new(address.into(), FIRST)],
            interface: FIRST,
            workers: 1,
            rules: Rules {
                bus: None,
                when_worker_fails: WhenWorkerFails::GoOn,
                inputs_max: INPUTS_MAX,
            },
            limits: None,
            clock: None,
            starts: None,
            persist: None,
            sync_delay: Duration::ZERO..=Duration::ZERO,
            behind: None,
            firewall: None,
        }
    }

    pub(crate) fn add_node(
        &mut self,
        name: &str,
        addresses: Vec<HostAddress>,
        behind: Option<NodeId>,
        rules: Rules,
        node: Node<A>,
    ) -> NodeId {
        assert!(
            self.outside.names.node(name).is_none(),
            "two nodes named `{name}`: give each its own name, what is drawn for it follows from it"
        );
        let name: Arc<str> = name.into();
        let ips: Few<IpAddr> = addresses.iter().map(|own| own.ip).collect();
        let behind = behind.map(NodeId::number);
        let number = self
            .outside
            .network
            .add_host(Arc::clone(&name), addresses, behind);
        self.outside.names.set_own(name, number, &ips);
        if let Some(link) = rules.bus {
            self.outside.buses.set_link(number, link);
        }
        make_room(&mut self.outside.desks);
        let desk = Desk::new(rules.when_worker_fails, rules.inputs_max);
        self.outside.desks.push(desk);
        let workers = node.workers;
        make_room(&mut self.nodes);
        self.nodes.push(node);
        for _ in 0..workers {
            let added = self.add_seat(number, Joining::AtFirst);
            assert!(added.is_ok(), "a new node has an index for each worker");
        }
        NodeId::new(number)
    }

    /// Has a worker make a task, at this instant of virtual time.
    ///
    /// # Panics
    ///
    /// If there is no such node or worker.
    pub fn spawn(&mut self, node: NodeId, worker: u16, spawn: A::Spawn) {
        self.tell(node, worker, WorkerInput::Spawn(spawn));
    }

    /// Gives a task a command, at this instant of virtual time.
    ///
    /// # Panics
    ///
    /// If there is no such node or worker. A task that is no more is no reason.
    pub fn command(&mut self, node: NodeId, task: TaskId, command: A::Command) {
        self.tell(node, task.worker(), WorkerInput::Command { task, command });
    }

    /// Tells every task of the node to finish, at this instant of virtual time. Once none lives,
    /// its workers are stopped.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn shutdown(&mut self, node: NodeId) {
        for index in self.worker_indexes(node) {
            self.tell(node, index, WorkerInput::Shutdown);
        }
    }

    /// Removes every task of the node, at this instant of virtual time.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn abort(&mut self, node: NodeId) {
        for index in self.worker_indexes(node) {
            self.tell(node, index, WorkerInput::Abort);
        }
    }

    /// Whether all workers of the node have been told to stop, and no task lives there.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn is_stopped(&self, node: NodeId) -> bool {
        self.workers_of(node).all(Worker::is_stopped)
    }

    /// Lets the scenario go on when tasks fail. They are then found in [`World::ended`] and
    /// [`World::spawn_failures`].
    pub fn tolerate_task_failures(&mut self) {
        self.outside.tolerant = true;
    }

    /// Sets how many events may happen in all.
    pub fn set_events_max(&mut self, events_max: u64) {
        self.events_max = events_max.min(self.events_limit);
    }

    /// Sets how many events may happen in all, whatever the scenario says.
    pub(crate) fn limit_events(&mut self, events_limit: u64) {
        self.events_limit = events_limit;
        self.set_events_max(self.events_max);
    }

    /// A number for the scenario itself, both ends included. Follows from the seed, the name, and
    /// how often this name has been drawn.
    ///
    /// # Panics
    ///
    /// If `range` is empty.
    pub fn draw(&mut self, name: &'static str, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(
            low <= high,
            "draw `{name}` from the empty range {low}..={high}"
        );
        let options = (high - low).saturating_add(1);
        let count = self.drawn.entry(name).or_default();
        *count += 1;
        low + self
            .scenario
            .below(Entity::named(name), *count - 1, options)
    }

    /// The workers of a node that are there.
    fn workers_of(&self, node: NodeId) -> impl Iterator<Item = &Worker<A>> {
        let desk = &self.outside.desks[self.known(node).index()];
        let seats = desk.seats.iter();
        seats.filter_map(|&number| self.seats[number as usize].worker.as_ref())
    }

    /// Number of a worker among all workers. It may be no more.
    fn seat_number(&self, node: NodeId, worker: u16) -> u32 {
        let desk = &self.outside.desks[self.known(node).index()];
        assert!(
            !self.outside.network.is_gateway(node.number()),
            "gateway `{}` runs no tasks: it only forwards",
            self.node_name(node)
        );
        let number = desk.seats.get(usize::from(worker));
        *number.unwrap_or_else(|| {
            panic!(
                "worker {worker} of node `{}`, which has {}, counted from 0: \
                see `NodeBuilder::workers`",
                self.node_name(node),
                desk.seats.len()
            )
        })
    }

    fn known(&self, node: NodeId) -> NodeId {
        let count = self.nodes.len();
        assert!(
            node.index() < count,
            "{node:?} of a world with {count} nodes: use ids of the world that made them"
        );
        node
    }

    fn tell(&mut self, node: NodeId, worker: u16, input: WorkerInput<A>) {
        let number = self.seat_number(node, worker);
        let entity = self.outside.network.entities[node.index()];
        let channel = outside::controls(entity, worker);
        let event = Event::Input {
            worker: number,
            input: Box::new(input),
        };
        self.outside.agenda.push(self.outside.now, channel, event);
    }
}

impl<A: App> fmt::Debug for World<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed())
            .field("now", &self.now())
            .field("nodes", &self.nodes.len())
            .field("events", &self.events)
            .field("counters", self.counters())
            .field("failure", &self.failure())
            .finish_non_exhaustive()
    }
}

/// Inputs from the controller that may wait at a worker, unless told otherwise.
const INPUTS_MAX: usize = 1 << 16;
