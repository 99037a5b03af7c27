//! The liveness phase: faults off, a drawn core of nodes, and what they owe.

use core::time::Duration;

use stillpoint::{App, Entity};

use super::World;
use super::run::Step;
use crate::claim::Claim;
use crate::failure::Failure;
use crate::node::NodeId;

/// Which nodes are to be the core of [`World::converge`]: how many, and out of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    size: Size,
    among: Option<Vec<NodeId>>,
    with: Vec<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    All,
    AtLeast(usize),
    Majority,
}

impl Core {
    /// All nodes.
    #[must_use]
    pub const fn all() -> Self {
        Self::of(Size::All)
    }

    /// More than half of the nodes, or all, or anything between: the seed chooses.
    #[must_use]
    pub const fn majority() -> Self {
        Self::of(Size::Majority)
    }

    /// So many nodes, or more.
    #[must_use]
    pub const fn at_least(nodes: usize) -> Self {
        Self::of(Size::AtLeast(nodes))
    }

    const fn of(size: Size) -> Self {
        Self {
            size,
            among: None,
            with: Vec::new(),
        }
    }

    /// Chooses out of these nodes. The others stay as they are, and are not in the core.
    #[must_use]
    pub fn among(mut self, nodes: &[NodeId]) -> Self {
        self.among = Some(nodes.to_vec());
        self
    }

    /// Has this node be in the core, whoever else is.
    #[must_use]
    pub fn with(mut self, node: NodeId) -> Self {
        self.with.push(node);
        self
    }
}

impl<A: App> World<A> {
    /// The end of a scenario about liveness: turns the faults off ([`World::heal`]), chooses a core of nodes, and
    /// demands that `holds` becomes true, or `Ok`, within `limit`. What is not in the core is of no
    /// help: each of those nodes is cut off from the core or crashed, for good. Gives the core, in
    /// the order in which its nodes were made.
    ///
    /// The core is connected, as all of its links are there and none has a fault that was switched
    /// on. Whether it is big enough to go on by itself is the scenario's affair: see [`Core`].
    ///
    /// # Errors
    ///
    /// - [`Failure::Stuck`] if it does not converge in time, or nothing is left to happen; with who
    ///   in the core waits for whom.
    /// - What failed for good: see [`World::failure`].
    ///
    /// # Panics
    ///
    /// If there are fewer nodes to choose from than the core is to have.
    pub fn converge<C: Claim>(
        &mut self,
        limit: Duration,
        core: &Core,
        holds: impl Fn(&Self, &[NodeId]) -> C,
    ) -> Result<Vec<NodeId>, Failure> {
        self.heal();
        let (inside, outside) = self.draw_core(core);
        self.watch_sockets();
        let site = self.entropy.site("converge outsider");
        let round = self.converged;
        // Who is cut off is not to come in by a gateway.
        let gateways = self.outside.network.gateways().map(NodeId::new);
        let in_touch: Vec<NodeId> = inside.iter().copied().chain(gateways).collect();
        for &node in &outside {
            let entity = self.outside.network.entities[node.index()];
            if site.chance(entity, round, 0.5) {
                self.crash(node);
            } else {
                self.partition(&[node], &in_touch);
            }
        }
        let end = self.now().after(limit);
        loop {
            let Err(saw) = holds(self, &inside).into_result() else {
                self.counters().assert_conserved();
                return Ok(inside);
            };
            match self.advance(end)? {
                Step::Moved => {}
                step @ (Step::Later | Step::Idle) => {
                    if let Step::Later = step {
                        self.outside.now = end;
                    }
                    return Err(self.stuck(&inside, saw));
                }
            }
        }
    }

    fn stuck(&self, core: &[NodeId], saw: String) -> Failure {
        let names = core.iter().map(|&node| self.node_name(node).to_owned());
        Failure::Stuck {
            at: self.now(),
            core: names.collect(),
            saw,
            waiting: self.waits_of(|node| core.contains(&node)),
        }
    }

    /// Chooses the core, and says who is not in it.
    fn draw_core(&mut self, core: &Core) -> (Vec<NodeId>, Vec<NodeId>) {
        let lives = |node: &NodeId| self.workers(*node) > 0;
        let all = (0..self.nodes.len()).filter_map(|number| u32::try_from(number).ok());
        let candidates: Vec<NodeId> = match &core.among {
            Some(among) => among.iter().copied().filter(lives).collect(),
            None => all.map(NodeId::new).filter(lives).collect(),
        };
        let count = candidates.len();
        let least = match core.size {
            Size::All => count,
            Size::AtLeast(nodes) => nodes,
            Size::Majority => count / 2 + 1,
        };
        let least = least.max(core.with.len());
        assert!(
            least > 0 && least <= count,
            "a core of {least} or more out of {count} living nodes: give it a size that they have"
        );
        self.converged += 1;
        let (sizes, ranks) = (
            self.entropy.site("converge size"),
            self.entropy.site("converge rank"),
        );
        let more = (count - least) as u64 + 1;
        let more = sizes.below(Entity::named("core"), self.converged, more);
        let size = least + usize::try_from(more).unwrap_or(0);
        let mut ranked = candidates;
        ranked.sort_by_cached_key(|&node| {
            let entity = self.outside.network.entities[node.index()];
            let rank = ranks.below(entity, self.converged, 1 << 32);
            (!core.with.contains(&node), rank, node)
        });
        let mut outside = ranked.split_off(size);
        ranked.sort();
        outside.sort();
        (ranked, outside)
    }
}
