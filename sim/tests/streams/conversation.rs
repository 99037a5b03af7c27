//! A conversation over any link: what is heard is what was said.

use core::time::Duration;

use stillpoint::TcpOptions;
use stillpoint_sim::{Failure, Link, NodeId, World};

use super::talker::{Ear, Script, Spawn, Talk, Talker, connect, ear, listen, only, pair, secs};

/// The ways to and fro, what each says, and how each takes its end. The caller comes second.
pub(crate) struct Conversation {
    pub(crate) links: (Link, Link),
    pub(crate) scripts: (Script, Script),
    pub(crate) options: (TcpOptions, TcpOptions),
}

/// The streams that a node has had.
fn ears(world: &World<Talk>, node: NodeId) -> impl Iterator<Item = &Ear> {
    let talkers = world.tasks::<Talker>(node);
    talkers.flat_map(|(_, task)| &task.ears)
}

pub(crate) fn both_closed(world: &World<Talk>, nodes: (NodeId, NodeId)) -> bool {
    let closed = |node| {
        ears(world, node)
            .next()
            .is_some_and(|ear| ear.closed.is_some())
    };
    closed(nodes.0) && closed(nodes.1)
}

/// Whether an end has heard nothing of the other for so long that its system gave it up. Its task
/// may have closed before.
fn gave_up(world: &World<Talk>) -> bool {
    world.counters().streams_given_up > 0
}

/// Whether the caller's stream has broken off, and never came to be at the other end.
fn broke_off_unheard(world: &World<Talk>, (caller, called): (NodeId, NodeId)) -> bool {
    let broke_off = |ear: &Ear| ear.closed.is_some_and(|(_, error)| error.is_some());
    ears(world, called).next().is_none() && ears(world, caller).any(broke_off)
}

impl Conversation {
    /// Holds it, and checks that each end hears what the other said, or of an error.
    pub(crate) fn hold(&self, world: &mut World<Talk>) -> Result<(), Failure> {
        let listen = listen().with_options(self.options.0);
        let nodes = pair(world, &self.links.0, listen, self.scripts.0.clone());
        world.one_way(nodes.0, nodes.1, &self.links.1);
        let connect = connect()
            .with_timeout(Duration::MAX)
            .with_options(self.options.1);
        world.spawn(nodes.0, 0, Spawn::Connect(connect, self.scripts.1.clone()));
        let over = world.run_until(secs(1_000_000), |world| {
            let mut callers = world.tasks::<Talker>(nodes.0);
            let failed = callers
                .next()
                .is_some_and(|(_, task)| task.failed.is_some());
            failed || both_closed(world, nodes) || broke_off_unheard(world, nodes)
        });
        match over {
            // Whoever gives up says so by a reset, which may be lost like anything else. The other,
            // with nothing to send and no keepalive, then waits for ever.
            Err(Failure::Deadlock { .. }) if gave_up(world) => {}
            over => over?,
        }
        if only(world, nodes.0).failed.is_some() || broke_off_unheard(world, nodes) {
            return Ok(());
        }
        self.check(world, nodes)
    }

    fn check(&self, world: &World<Talk>, nodes: (NodeId, NodeId)) -> Result<(), Failure> {
        let demand = |holds: bool, what: &str| {
            let failure = || Failure::new(what);
            if holds { Ok(()) } else { Err(failure()) }
        };
        let mut errors = Vec::new();
        for (node, said) in [(nodes.0, &self.scripts.0), (nodes.1, &self.scripts.1)] {
            let ear = ear(world, node);
            demand(ear.refused == 0, "none writes more than there is room for")?;
            let said = said.text();
            let error = ear.closed.and_then(|(_, error)| error);
            if ear.closed.is_some() && error.is_none() {
                demand(
                    ear.read_ended.is_some(),
                    "what ends well has been heard out",
                )?;
                demand(ear.heard == said, "all that was said is heard")?;
            } else {
                demand(said.starts_with(&ear.heard), "nothing else is heard")?;
                errors.extend(error);
            }
        }
        let fits = errors.is_empty() || gave_up(world);
        demand(
            fits,
            "nobody breaks anything off, unless the other was given up",
        )
    }
}
