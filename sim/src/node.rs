//! Nodes: simulated machines.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{App, InterfaceIndex, Spawned, Spawner, WhenWorkerFails, Worker, WorkerConfig};

use crate::boot::Boot;
use crate::bus::BusLink;
use crate::clock::NodeClock;
use crate::disk::Disk;
use crate::gateway::firewall::Firewall;
use crate::network::HostAddress;
use crate::world::{Customs, Limit, Node, Persists, Rules, Starts, World};

/// A node of a world. Made by [`NodeBuilder::spawner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node that is being described. [`NodeBuilder::spawner`] completes it.
#[must_use = "there is no node before `spawner` is called"]
pub struct NodeBuilder<'a, A: App> {
    pub(crate) world: &'a mut World<A>,
    pub(crate) name: String,
    pub(crate) addresses: Vec<HostAddress>,
    /// The one that further addresses are at.
    pub(crate) interface: InterfaceIndex,
    pub(crate) workers: u16,
    pub(crate) rules: Rules,
    pub(crate) limits: Option<Box<Limit>>,
    pub(crate) clock: Option<NodeClock>,
    pub(crate) starts: Option<Starts<A>>,
    pub(crate) persist: Option<Persists<A>>,
    pub(crate) sync_delay: RangeInclusive<Duration>,
    pub(crate) behind: Option<NodeId>,
    pub(crate) firewall: Option<Firewall>,
}

impl<A: App> NodeBuilder<'_, A> {
    /// Gives the node one more address. The network it is in is that of its first 24 bits (IPv4)
    /// or 64 bits (IPv6).
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        let address = HostAddress::new(address.into(), self.interface);
        self.addresses.push(address);
        self
    }

    /// Says that the network of the address given last is that of its first `prefix_len` bits.
    /// What is sent to a group or a broadcast address reaches the nodes of one network.
    ///
    /// # Panics
    ///
    /// If there are more bits than the address has.
    pub fn prefix_len(mut self, prefix_len: u8) -> Self {
        if let Some(last) = self.addresses.last_mut() {
            *last = last.with_prefix_len(prefix_len);
        }
        self
    }

    /// Has further addresses be at an interface of their own. The first interface of a node is
    /// number 2, behind its loopback interface, and each further one the next.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 of them.
    pub fn interface(mut self) -> Self {
        let next = self.interface.number().checked_add(1);
        self.interface = next
            .and_then(InterfaceIndex::new)
            .expect("fewer than 2^32 interfaces");
        self
    }

    /// Puts the node into the network behind a gateway. [`World::move_behind`] can put it elsewhere
    /// later.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is no gateway.
    pub fn behind(mut self, gateway: NodeId) -> Self {
        self.behind = Some(self.world.known_gateway(gateway));
        self
    }

    /// Puts a firewall between the node, which is inside, and all others.
    pub fn firewall(mut self, firewall: Firewall) -> Self {
        self.firewall = Some(firewall);
        self
    }

    /// Gives the node this many workers instead of one.
    ///
    /// # Panics
    ///
    /// If `workers` is 0.
    pub fn workers(mut self, workers: u16) -> Self {
        assert!(
            workers > 0,
            "node `{}` without workers: give it one or more",
            self.name
        );
        self.workers = workers;
        self
    }

    /// Sets how the bus between the node's workers behaves. [`World::set_bus`] can change it later.
    pub fn bus(mut self, link: BusLink) -> Self {
        self.rules.bus = Some(link);
        self
    }

    /// Says what is done when one of the workers fails: see [`World::kill_worker`].
    pub fn when_worker_fails(mut self, policy: WhenWorkerFails) -> Self {
        self.rules.when_worker_fails = policy;
        self
    }

    /// Has this many inputs from the controller wait at a worker, instead of 65,536. One more is
    /// [`Full`](stillpoint::ControlError::Full).
    pub fn inputs_max(mut self, inputs_max: usize) -> Self {
        self.rules.inputs_max = inputs_max;
        self
    }

    /// Has `set` change the limits of each worker. Index, chance and memory stay the world's.
    pub fn limits(mut self, set: impl Fn(&mut WorkerConfig) + 'static) -> Self {
        self.limits = Some(Box::new(set));
        self
    }

    /// Has the node's clock run like this: see [`World::set_clock`].
    pub fn clock(mut self, clock: NodeClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Has `starts` say what the node starts with, whenever it starts: when it is made, and at each
    /// [`World::restart`]. It gives each worker the tasks that a fresh process would begin with, and
    /// may look at what an earlier life has written down.
    ///
    /// # Example
    ///
    /// ```
    /// # use stillpoint::*;
    /// # use stillpoint_sim::World;
    /// # #[derive(Debug)]
    /// # struct Count;
    /// # impl App for Count {
    /// #     type Channel = ();
    /// #     type Message = ();
    /// #     type Command = ();
    /// #     type Report = u8;
    /// #     type Spawn = u8;
    /// # }
    /// # struct Counter(u8, Outbox<Count>);
    /// # impl Task for Counter {
    /// #     type App = Count;
    /// #     fn handle_input(&mut self, _: Timestamp, _: Input<Count>) {
    /// #         self.1.report(self.0 + 1);
    /// #     }
    /// #     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Count>> {
    /// #         self.1.pop()
    /// #     }
    /// # }
    /// let mut world = World::<Count>::new(1);
    /// let node = world
    ///     .node("node", [10, 0, 0, 1])
    ///     .persist(|&count, disk| disk.write("count", [count]))
    ///     .boot(|boot| {
    ///         let count = boot.disk().read("count").map_or(0, |count| count[0]);
    ///         boot.spawn(0, count);
    ///     })
    ///     // The task reports one more than what it is made from.
    ///     .spawner(|count, spawner| spawner.insert(Counter(count, Outbox::new())));
    /// for _ in 0..2 {
    ///     world.run_until_idle(core::time::Duration::from_millis(1)).expect("nothing fails");
    ///     world.restart(node);
    /// }
    /// assert_eq!(world.disk(node).read("count"), Some(&[2][..]));
    /// ```
    pub fn boot(mut self, starts: impl FnMut(&mut Boot<'_, A>) + 'static) -> Self {
        self.starts = Some(Box::new(starts));
        self
    }

    /// Has `persist` write down what the node keeps of each report of its tasks, as an application
    /// does in production that gets them. The scenario sees the report after that.
    pub fn persist(mut self, persist: impl FnMut(&A::Report, &mut Disk) + 'static) -> Self {
        self.persist = Some(Box::new(persist));
        self
    }

    /// Has each write of [`NodeBuilder::persist`] be safe after a time within `delay` only, both ends
    /// included, instead of at once: a crash before loses it, and those behind it.
    ///
    /// # Panics
    ///
    /// If the range is empty.
    pub fn sync_delay(mut self, delay: RangeInclusive<Duration>) -> Self {
        assert!(
            delay.start() <= delay.end() && *delay.end() <= SYNC_MAX,
            "a disk of node `{}` that takes {delay:?}: give it a range of up to an hour",
            self.name
        );
        self.sync_delay = delay;
        self
    }

    /// Completes the node. Its workers make tasks with `spawn`, of which each has its own clone.
    ///
    /// # Panics
    ///
    /// If another node has the same name, or one of its network one of the addresses, or an address
    /// is none that a single machine can have.
    pub fn spawner(
        self,
        spawn: impl FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + 'static,
    ) -> NodeId {
        let (limits, starts) = (self.limits, self.starts);
        let any = limits.is_some() || starts.is_some();
        let node = Node {
            customs: any.then(|| Box::new(Customs { limits, starts })),
            workers: self.workers,
            make: Box::new(move |config| Worker::new(config, spawn.clone())),
        };
        let (name, addresses, behind) = (&self.name, self.addresses, self.behind);
        let id = self
            .world
            .add_node(name, addresses, behind, self.rules, node);
        if let Some(firewall) = self.firewall {
            self.world.set_firewall(id, firewall);
        }
        if let Some(clock) = self.clock {
            self.world.set_clock(id, clock);
        }
        self.world.start_node(id, self.persist, self.sync_delay);
        id
    }
}

impl<A: App> core::fmt::Debug for NodeBuilder<'_, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// As long as a write may take to be safe.
const SYNC_MAX: Duration = Duration::from_secs(3_600);
