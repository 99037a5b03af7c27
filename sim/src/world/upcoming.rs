//! What is told before each input of a worker, to those who have to know whose turn it is.

use stillpoint::{App, Entity, Entropy, Timestamp, Worker};

use super::{BeforeInput, World};
use crate::node::NodeId;
use crate::trace::Place;

impl<A: App> World<A> {
    /// Has `hook` be called before each input that a worker is given, from now on. Hooks that were
    /// set before stay, and are called first.
    ///
    /// For crates that keep time or chance in a place of their own (a `static`, a variable of the
    /// thread), which has to be set for whoever is next. Without hooks this costs a branch an input.
    /// A hook sees nothing of the world and changes nothing in it: what it has tasks do is theirs.
    ///
    /// # Example
    ///
    /// A generator that is a variable of the thread gets a seed of its own for each input:
    ///
    /// ```
    /// # use stillpoint::App;
    /// # fn scenario<A: App>(world: &mut stillpoint_sim::World<A>) {
    /// let site = world.entropy().site("seeds of the thread's generator");
    /// world.before_each_input(move |upcoming| {
    ///     fastrand::seed(site.source(upcoming.turn()).u64());
    /// });
    /// # }
    /// ```
    pub fn before_each_input(&mut self, hook: impl FnMut(UpcomingInput) + 'static) {
        self.before_input.push(Box::new(hook));
        self.note_care();
    }

    /// Where all chance of this world comes from. Whoever draws from it chooses names of sites that
    /// nobody else uses.
    #[must_use]
    pub const fn entropy(&self) -> &Entropy {
        &self.entropy
    }
}

/// An input that a worker is about to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpcomingInput {
    /// Where the worker is.
    pub node: NodeId,
    /// Its index there.
    pub worker: u16,
    /// The worker as one who draws. Follows from the node's name and the index, so that other
    /// nodes may come and go.
    pub entity: Entity,
    /// How many inputs it was given before.
    pub number: u64,
    /// The time that it is told.
    pub now: Timestamp,
}

impl UpcomingInput {
    /// This input of this worker as one who draws: whatever is drawn for it changes nothing for
    /// the next.
    #[must_use]
    pub fn turn(&self) -> Entity {
        self.entity.part(self.number)
    }
}

/// Calls the hooks.
#[cold]
pub(super) fn tell<A: App>(
    hooks: &mut [Box<BeforeInput>],
    place: Place,
    now: Timestamp,
    worker: &Worker<A>,
    number: u64,
) {
    let upcoming = UpcomingInput {
        node: NodeId::new(place.node),
        worker: place.worker,
        entity: worker.config().entity,
        number,
        now,
    };
    for hook in hooks {
        hook(upcoming);
    }
}
