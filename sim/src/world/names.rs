//! Finds out who an entity is: entities are hashes of names, so all names there are get a try.

use std::rc::Rc;

use stillpoint::{App, Choices, Entity, Entropy, WorkerStatus};

use super::World;
use super::outside::controls;
use crate::bus::BusPath;
use crate::draws::Recorder;

impl<A: App> World<A> {
    /// An empty world whose draws are told to somebody, and otherwise as [`World::new`].
    pub(crate) fn observed(seed: u64, choices: Rc<dyn Choices>) -> Self {
        Self::build(Entropy::with_choices(seed, choices), true)
    }

    /// Has the trace note how many draws had been made at each event.
    pub(crate) fn mark_draws(&mut self, recorder: Rc<Recorder>) {
        self.outside.trace.mark(recorder);
    }

    /// How many draws had been made at each event of the trace.
    pub(crate) fn take_marks(&mut self) -> Vec<usize> {
        self.outside.trace.take_marks()
    }

    /// Who an entity is, as far as that can be found out.
    pub(crate) fn name_entity(&self, entity: Entity) -> String {
        let known = self
            .name_node_part(entity)
            .or_else(|| self.name_link(entity));
        let known = known.or_else(|| self.name_seat_part(entity));
        let drawn = || {
            let mut names = self.drawn.keys();
            let name = names.find(|name| Entity::named(name) == entity)?;
            Some(format!("the scenario's `{name}`"))
        };
        known
            .or_else(drawn)
            .unwrap_or_else(|| format!("entity {:#018x}", entity.number()))
    }

    fn name_node_part(&self, entity: Entity) -> Option<String> {
        let entities = self.outside.network.entities.iter();
        let mut nodes = self.nodes.keys().zip(entities);
        let (name, _) = nodes.find(|&(_, &node)| node == entity)?;
        Some(format!("node `{name}`"))
    }

    fn name_link(&self, entity: Entity) -> Option<String> {
        let entities = &self.outside.network.entities;
        if entities.len() > NAMED_PAIRS_MAX {
            return None;
        }
        let nodes = || self.nodes.keys().zip(entities);
        nodes().find_map(|(from, node)| {
            let mut others = nodes();
            let (to, _) = others.find(|(_, other)| node.part(other.number()) == entity)?;
            Some(format!("the link from `{from}` to `{to}`"))
        })
    }

    /// A worker, what is a part of it, or one of its tasks.
    fn name_seat_part(&self, entity: Entity) -> Option<String> {
        self.seats.iter().find_map(|seat| {
            let (index, number) = (seat.index, seat.node);
            let (name, _) = self.nodes.get_index(number as usize)?;
            let node = self.outside.network.entities[number as usize];
            let own = node.part(u64::from(index));
            if own == entity {
                return Some(format!("worker {index} of `{name}`"));
            }
            if controls(node, index) == entity {
                return Some(format!("what worker {index} of `{name}` is told"));
            }
            for &other in &self.outside.desks[number as usize].seats {
                let to = self.seats[other as usize].index;
                let path = BusPath {
                    node: number,
                    from: index,
                    to,
                };
                if self.outside.buses.channel(path) == Some(entity) {
                    return Some(format!(
                        "the queue from worker {index} of `{name}` to worker {to}"
                    ));
                }
            }
            let mut status = WorkerStatus::default();
            seat.worker.as_ref()?.write_status(&mut status);
            (0_u64..).zip(&status.groups).find_map(|(group, of_type)| {
                let group = own.part(group);
                let mut parts = (0..of_type.counters.started).take(NAMED_TASKS_MAX);
                let part = parts.find(|&part| group.part(part) == entity)?;
                let kind = of_type.short_name();
                Some(format!(
                    "the {kind} that worker {index} of `{name}` started as its number {part}"
                ))
            })
        })
    }
}

/// Nodes among which links are looked for: there are as many as the square of that.
const NAMED_PAIRS_MAX: usize = 256;

/// Tasks of one type and worker that are looked for.
const NAMED_TASKS_MAX: usize = 10_000;
