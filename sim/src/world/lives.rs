//! The lives of a node: how it starts, crashes, and starts again; and what outlives a crash.

use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{App, Entity, Site, Timestamp, WorkerFailure, WorkerInput};

use super::World;
use super::outside::Outside;
use super::workers::Joining;
use crate::boot::Boot;
use crate::disk::{Disk, EMPTY};
use crate::fault::Fault;
use crate::network::Held;
use crate::node::NodeId;
use crate::tcp::Endpoint;

/// What a node does when it starts.
pub(crate) type Starts<A> = Box<dyn FnMut(&mut Boot<'_, A>)>;

/// What is written down of a report.
pub(crate) type Persists<A> = Box<dyn FnMut(&<A as App>::Report, &mut Disk)>;

/// The disk of a node, and who writes on it.
pub(super) struct Storage<A: App> {
    pub(super) disk: Disk,
    pub(super) persist: Option<Persists<A>>,
    site: Site,
    entity: Entity,
    delay: RangeInclusive<Duration>,
}

impl<A: App> Storage<A> {
    /// Writes down what is to be kept of a report.
    pub(super) fn persist(&mut self, now: Timestamp, report: &A::Report) {
        if let Some(persist) = &mut self.persist {
            persist(report, &mut self.disk);
            self.settle(now);
        }
    }

    fn settle(&mut self, now: Timestamp) {
        let (site, entity, delay) = (&self.site, self.entity, &self.delay);
        self.disk.settle(now, |write| {
            if delay.end().is_zero() {
                Duration::ZERO
            } else {
                site.duration(entity, write, delay)
            }
        });
    }
}

impl<A: App> World<A> {
    /// Has a node crash, as a machine does that loses power: all its workers, tasks, sockets,
    /// listeners, streams and devices are gone without a word, and in none of the lists of what has
    /// ended. What travels to it is lost silently as long as it is down, with neither ICMP nor resets:
    /// peers learn of it by retransmissions and keepalives that nobody answers, or by a reset after
    /// the restart. What it had sent travels on. What it had written down is there at its next start,
    /// but for what was not [safe](crate::NodeBuilder::sync_delay) yet.
    ///
    /// The node's controller, as it is the scenario's, is told that the workers have stopped. This
    /// is a [`Fault`]. A node that is down stays down.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn crash(&mut self, node: NodeId) {
        self.inject(Fault::Crash(node));
    }

    /// Starts a node that is down, with as many new workers as it had at first, and the tasks that
    /// [`NodeBuilder::boot`](crate::NodeBuilder::boot) gives it. One that is up crashes before. An
    /// index is given to one worker, ever, so the ids of tasks of an earlier life name nothing. This
    /// is a [`Fault`].
    ///
    /// # Panics
    ///
    /// If there is no such node, or it has had 65,536 workers.
    pub fn restart(&mut self, node: NodeId) {
        self.inject(Fault::Restart(node));
    }

    /// Has all workers of a node stand still until [`World::resume`], as a process does that is
    /// stopped (SIGSTOP) or whose machine is in a debugger: see [`World::stall_worker`]. This is a
    /// [`Fault`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn pause(&mut self, node: NodeId) {
        self.inject(Fault::Pause(node));
    }

    /// Has the workers of a node go on that was paused. This is a [`Fault`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn resume(&mut self, node: NodeId) {
        self.inject(Fault::Resume(node));
    }

    /// Whether a node has crashed and not been started again.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn is_down(&self, node: NodeId) -> bool {
        self.outside.network.hosts[self.known(node).index()].is_down
    }

    /// How often a node was started again.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn life(&self, node: NodeId) -> u32 {
        self.outside.desks[self.known(node).index()].life
    }

    /// The indexes of the workers that a node has. They count on from life to life.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn worker_indexes(&self, node: NodeId) -> Vec<u16> {
        let indexes = self.workers_of(node).map(|worker| worker.config().index);
        indexes.collect()
    }

    /// What a node has written down.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> &Disk {
        let desk = &self.outside.desks[self.known(node).index()];
        desk.storage
            .as_ref()
            .map_or(&EMPTY, |storage| &storage.disk)
    }

    /// Writes something on the disk of a node, at once and for good: what it finds at its next start.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn write_disk(&mut self, node: NodeId, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let number = self.known(node).number();
        let (now, storage) = (self.outside.now, self.storage(number));
        storage.disk.write(name, bytes);
        storage.disk.settle(now, |_| Duration::ZERO);
    }

    fn storage(&mut self, node: u32) -> &mut Storage<A> {
        let entity = self.outside.network.entities[node as usize];
        let site = self.entropy.site("disk sync");
        let desk = &mut self.outside.desks[node as usize];
        desk.storage.get_or_insert_with(|| {
            Box::new(Storage {
                disk: Disk::new(),
                persist: None,
                site,
                entity,
                delay: Duration::ZERO..=Duration::ZERO,
            })
        })
    }

    /// A node starts for the first time.
    pub(crate) fn start_node(
        &mut self,
        node: NodeId,
        persist: Option<Persists<A>>,
        delay: RangeInclusive<Duration>,
    ) {
        if persist.is_some() {
            let storage = self.storage(node.number());
            (storage.persist, storage.delay) = (persist, delay);
        }
        self.boot(node.number());
    }

    pub(super) fn crash_now(&mut self, node: NodeId) {
        let number = self.known(node).number();
        let host = &mut self.outside.network.hosts[node.index()];
        if core::mem::replace(&mut host.is_down, true) {
            return;
        }
        self.outside.forget_ends(number);
        let now = self.outside.now;
        for &seat in self.outside.desks[node.index()].seats.clone().iter() {
            if let Some((worker, summary)) = self.clear(seat, Some(WorkerFailure::Killed)) {
                // What follows from a worker's failure is up to nobody: its controller is gone, too.
                let desk = &mut self.outside.desks[node.index()];
                desk.plane_mut().worker_stopped(now, summary);
                drop(worker);
            }
        }
        let desk = &mut self.outside.desks[node.index()];
        desk.plane_mut().machine_crashed();
        desk.tidy();
        if let Some(storage) = &mut desk.storage {
            storage.disk.crash(now);
        }
    }

    pub(super) fn restart_now(&mut self, node: NodeId) {
        self.crash_now(node);
        let number = node.number();
        self.outside.network.hosts[node.index()].is_down = false;
        self.outside.network.forget_flows(number);
        self.outside.desks[node.index()].life += 1;
        self.timings.boot(number, self.outside.now);
        let workers = self.nodes[node.index()].workers;
        for _ in 0..workers {
            let added = self.add_seat(number, Joining::AtFirst);
            assert!(
                added.is_ok(),
                "node `{}` has had 65,536 workers in {} lives, and there is no index for one more",
                self.node_name(node),
                self.life(node)
            );
        }
        self.boot(number);
    }

    /// Has the node make the tasks that it starts with.
    pub(super) fn boot(&mut self, node: u32) {
        let desk = &self.outside.desks[node as usize];
        let known = &mut self.nodes[node as usize];
        let workers = known.workers;
        let Some(starts) = known.starts() else {
            return;
        };
        let mut boot = Boot {
            name: &self.outside.network.hosts[node as usize].name,
            life: desk.life,
            workers,
            disk: desk
                .storage
                .as_ref()
                .map_or(&EMPTY, |storage| &storage.disk),
            spawns: Vec::new(),
        };
        starts(&mut boot);
        let spawns = boot.spawns;
        // The last ones are those that it starts with.
        let first = desk.seats.len() - usize::from(workers);
        let numbers = desk.seats[first..].to_vec();
        for (worker, spawn) in spawns {
            let number = numbers[usize::from(worker)];
            let index = self.seats[number as usize].index;
            self.tell(NodeId::new(node), index, WorkerInput::Spawn(spawn));
        }
    }

    pub(super) fn pause_now(&mut self, node: NodeId) {
        for &seat in self.outside.desks[self.known(node).index()]
            .seats
            .clone()
            .iter()
        {
            let place = &mut self.seats[seat as usize];
            if place.worker.is_some() {
                place.stalled_until = Timestamp::MAX;
                place.held = true;
                self.outside.hold(seat, Held::Yes);
            }
        }
    }

    pub(super) fn resume_now(&mut self, node: NodeId) {
        for &seat in self.outside.desks[self.known(node).index()]
            .seats
            .clone()
            .iter()
        {
            let place = &mut self.seats[seat as usize];
            if place.stalled_until == Timestamp::MAX {
                place.stalled_until = self.outside.now;
                self.arm(seat);
            }
        }
    }
}

impl<A: App> Outside<A> {
    /// Forgets the connections of a node that has crashed. Nobody is told.
    fn forget_ends(&mut self, node: u32) {
        for slot in self.tcp.ends_of(|seat| seat.node == node) {
            self.with(slot, Endpoint::vanish);
            let other = self.tcp.lose(slot, &mut self.network.counters);
            if let Some(other) = other {
                self.change(other, |_, _| ());
            }
        }
    }
}
