//! Finds out who an entity is: entities are hashes of names, so all names there are get a try.

use std::collections::BTreeMap;
use std::rc::Rc;

use stillpoint::{App, Choices, Entity, Entropy, WorkerStatus};

use super::World;
use super::outside::controls;
use super::seat::Seat;
use crate::bus::BusPath;
use crate::choice::Director;
use crate::draws::CountDraws;
use crate::drive::NodeInShort;
use crate::node::NodeId;

impl<A: App> World<A> {
    /// An empty world whose draws are told to somebody, and otherwise as [`World::new`].
    pub(crate) fn observed(seed: u64, choices: Rc<dyn Choices>) -> Self {
        Self::build(Entropy::with_choices(seed, choices), true)
    }

    /// An empty world in which somebody decides, and otherwise as [`World::new`].
    pub(crate) fn directed(director: Rc<Director>) -> Self {
        let choices = Rc::clone(&director) as Rc<dyn Choices>;
        let mut world = Self::observed(director.seed(), choices);
        world.faults.direct(director);
        world
    }

    /// Has the trace note how many draws had been made at each event.
    pub(crate) fn mark_draws(&mut self, recorder: Rc<dyn CountDraws>) {
        self.outside.trace.mark(recorder);
    }

    /// How many draws had been made at each event of the trace.
    pub(crate) fn take_marks(&mut self) -> Vec<usize> {
        self.outside.trace.take_marks()
    }

    /// The names of all nodes, in the order in which they were made, and how many inputs the workers
    /// of each were given.
    pub(crate) fn nodes_in_short(&self) -> Vec<NodeInShort> {
        let hosts = self.outside.network.hosts.iter();
        let nodes = hosts.map(|host| NodeInShort {
            name: host.name.to_string(),
            inputs: 0,
        });
        let mut nodes: Vec<NodeInShort> = nodes.collect();
        for seat in &self.seats {
            nodes[seat.node as usize].inputs += seat.inputs;
        }
        nodes
    }

    /// The entities that can draw, as far as they have names that can be found out.
    pub(crate) fn entity_names(&self) -> BTreeMap<Entity, String> {
        let mut names = BTreeMap::new();
        for name in self.drawn.keys() {
            names.insert(Entity::named(name), format!("the scenario's `{name}`"));
        }
        let entities = &self.outside.network.entities;
        let hosts = &self.outside.network.hosts;
        let nodes = || hosts.iter().map(|host| &host.name).zip(entities);
        for (from, &node) in nodes() {
            names.insert(node, format!("node `{from}`"));
            if entities.len() > NAMED_PAIRS_MAX {
                continue;
            }
            for (to, other) in nodes() {
                let link = node.part(other.number());
                names.insert(link, format!("the link from `{from}` to `{to}`"));
            }
        }
        for seat in &self.seats {
            self.name_parts(seat, &mut names);
        }
        names
    }

    /// A worker, what is a part of it, and its tasks.
    fn name_parts(&self, seat: &Seat<A>, names: &mut BTreeMap<Entity, String>) {
        let (index, number) = (seat.index, seat.node);
        let name = self.node_name(NodeId::new(number));
        let node = self.outside.network.entities[number as usize];
        let own = node.part(u64::from(index));
        let worker = format!("worker {index} of `{name}`");
        names.insert(controls(node, index), format!("what {worker} is told"));
        for &other in self.outside.desks[number as usize].seats.iter() {
            let to = self.seats[other as usize].index;
            let path = BusPath {
                node: number,
                from: index,
                to,
            };
            if let Some(channel) = self.outside.buses.channel(path) {
                names.insert(channel, format!("the queue from {worker} to worker {to}"));
            }
        }
        let mut status = WorkerStatus::default();
        if let Some(worker) = &seat.worker {
            worker.write_status(&mut status);
        }
        for (group, of_type) in (0_u64..).zip(&status.groups) {
            let (group, kind) = (own.part(group), of_type.short_name());
            for part in (0..of_type.counters.started).take(NAMED_TASKS_MAX) {
                let task = format!("the {kind} that {worker} started as its number {part}");
                names.insert(group.part(part), task);
            }
        }
        names.insert(own, worker);
    }
}

/// Nodes among which links are looked for: there are as many as the square of that.
const NAMED_PAIRS_MAX: usize = 256;

/// Tasks of one type and worker that are looked for.
const NAMED_TASKS_MAX: usize = 10_000;
