//! Faults as data: what may go wrong, to be injected now, scheduled, or drawn by a plan.

use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{NetworkError, Timestamp};

use crate::cost::InputCost;
use crate::link::Link;
use crate::node::NodeId;

mod plan;
mod script;

pub(crate) use plan::Target;
pub use plan::{FaultKind, FaultPlan};
pub use script::FaultScript;

/// A fault of a run. See [`World::faults`](crate::World::faults).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NumberedFault {
    /// Counts the faults of the world, from 0 on.
    pub number: u64,
    /// When it happens, unless it is cancelled.
    pub at: Timestamp,
    /// What happens.
    pub fault: Fault,
    /// How it came to be.
    pub comes: Comes,
}

/// How a fault came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Comes {
    /// By [`World::inject`](crate::World::inject).
    AtOnce,
    /// By [`World::schedule`](crate::World::schedule), a script or a plan.
    Scheduled,
}

/// Something that goes wrong, or is put right again. See [`World::inject`](crate::World::inject).
///
/// Where a setting is an `Option`, `None` goes back to what the scenario has set. So every fault has
/// one that ends it, and [`World::heal`](crate::World::heal) ends them all. A fault that has nothing
/// to act on (a node that is down, a worker that is no more) does nothing.
///
/// Its `Debug` text is what it takes to write it down in a [script](crate::World::script), but for
/// the ids of nodes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// See [`World::crash`](crate::World::crash).
    Crash(NodeId),
    /// See [`World::restart`](crate::World::restart).
    Restart(NodeId),
    /// Every node crashes at once, and starts again: those that are down stay down.
    PowerCycle,
    /// See [`World::pause`](crate::World::pause).
    Pause(NodeId),
    /// See [`World::resume`](crate::World::resume).
    Resume(NodeId),
    /// See [`World::stall_worker`](crate::World::stall_worker).
    StallWorker {
        /// Where.
        node: NodeId,
        /// Which of those that are there then, counted from 0.
        worker: u16,
        /// How long.
        stall: Duration,
    },
    /// See [`World::kill_worker`](crate::World::kill_worker).
    KillWorker {
        /// Where.
        node: NodeId,
        /// Which of those that are there then, counted from 0.
        worker: u16,
    },
    /// See [`World::jump_clock`](crate::World::jump_clock).
    JumpClock {
        /// Whose.
        node: NodeId,
        /// How far.
        by: Duration,
    },
    /// See [`World::set_back_clock`](crate::World::set_back_clock).
    SetBackClock {
        /// Whose.
        node: NodeId,
        /// How far.
        by: Duration,
    },
    /// Timers are late: see [`World::set_timer_lateness`](crate::World::set_timer_lateness).
    LateTimers {
        /// Whose.
        who: Who,
        /// How late.
        lateness: Option<RangeInclusive<Duration>>,
    },
    /// Inputs take time: see [`World::set_input_cost`](crate::World::set_input_cost).
    SlowInputs {
        /// Whose.
        who: Who,
        /// How much.
        cost: Option<InputCost>,
    },
    /// See [`World::cut`](crate::World::cut).
    Cut {
        /// From here.
        from: NodeId,
        /// To here.
        to: NodeId,
    },
    /// See [`World::clog`](crate::World::clog).
    Clog {
        /// From here.
        from: NodeId,
        /// To here.
        to: NodeId,
        /// How long.
        duration: Duration,
    },
    /// See [`World::mend`](crate::World::mend).
    Mend {
        /// From here.
        from: NodeId,
        /// To here.
        to: NodeId,
    },
    /// See [`World::partition`](crate::World::partition).
    Partition {
        /// Nodes of one side.
        one: Vec<NodeId>,
        /// Nodes of the other.
        other: Vec<NodeId>,
    },
    /// Ends a partition: mends every way between a node of one side and a node of the other.
    Rejoin {
        /// Nodes of one side.
        one: Vec<NodeId>,
        /// Nodes of the other.
        other: Vec<NodeId>,
    },
    /// The link from one node to another is another one.
    SetLink {
        /// From here.
        from: NodeId,
        /// To here.
        to: NodeId,
        /// How it is.
        link: Option<Box<Link>>,
    },
    /// Datagrams cannot be sent, and devices take no packets. The task is told
    /// [`SendFailed`](stillpoint::NetworkEvent::SendFailed) or
    /// [`PacketsFailed`](stillpoint::NetworkEvent::PacketsFailed), as of a system call that fails.
    SendErrors {
        /// From where.
        node: NodeId,
        /// What the system says.
        error: NetworkError,
        /// For which share of the transmits, from 0 to 1. 0 ends it.
        chance: f64,
    },
    /// Sockets, listeners and streams cannot be opened.
    BindErrors {
        /// Where.
        node: NodeId,
        /// What the system says.
        error: NetworkError,
        /// How often, from 0 to 1. 0 ends it.
        chance: f64,
    },
    /// There are no more descriptors than these for sockets, listeners, streams and devices. Opening
    /// one more fails with [`TooManySockets`](NetworkError::TooManySockets); connections that cannot
    /// be taken in wait in the backlog, and are tried again.
    DescriptorsMax {
        /// Where.
        node: NodeId,
        /// How many. What is open stays open.
        max: Option<usize>,
    },
    /// The queues between the workers of a node hold fewer items.
    BusQueue {
        /// Whose.
        node: NodeId,
        /// How many.
        queue_max: Option<usize>,
    },
    /// Connections break: both ends are told, as by a reset.
    ResetStreams {
        /// Those that have an end here.
        who: Who,
        /// For which share of them, from 0 to 1.
        chance: f64,
    },
    /// What has arrived on a stream is handed to its task late, each piece. So windows fill up.
    SlowReaders {
        /// Where.
        node: NodeId,
        /// How late.
        delay: Option<RangeInclusive<Duration>>,
    },
    /// A NAT forgets its mappings: see [`World::rebind`](crate::World::rebind).
    Rebind(NodeId),
    /// A gateway has another address: see
    /// [`World::set_gateway_address`](crate::World::set_gateway_address).
    Readdress {
        /// Which.
        gateway: NodeId,
        /// What it has from now on.
        address: IpAddr,
    },
    /// A node moves to another network: see [`World::move_behind`](crate::World::move_behind). To end
    /// it is to move it back.
    Roam {
        /// Which.
        node: NodeId,
        /// Behind this, or in the public network.
        gateway: Option<NodeId>,
        /// What it has there.
        address: IpAddr,
    },
    /// See [`World::set_buggify`](crate::World::set_buggify).
    Buggify {
        /// For which share of the labels, from 0 to 1.
        labels: f64,
        /// For which share of the calls, from 0 to 1.
        calls: f64,
    },
}

/// Whom something is for: all nodes, those that may come later included, some nodes, or one worker.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Who {
    /// All workers of all nodes.
    #[default]
    All,
    /// All workers of these nodes.
    Nodes(Vec<NodeId>),
    /// One worker of a node, by its index.
    Worker(NodeId, u16),
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("Who::All"),
            Self::Nodes(nodes) => write!(f, "Who::Nodes(vec!{nodes:?})"),
            Self::Worker(node, worker) => write!(f, "Who::Worker({node:?}, {worker})"),
        }
    }
}

impl Fault {
    /// Its kind: the name of the variant.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "Crash",
            Self::Restart(_) => "Restart",
            Self::PowerCycle => "PowerCycle",
            Self::Pause(_) => "Pause",
            Self::Resume(_) => "Resume",
            Self::StallWorker { .. } => "StallWorker",
            Self::KillWorker { .. } => "KillWorker",
            Self::JumpClock { .. } => "JumpClock",
            Self::SetBackClock { .. } => "SetBackClock",
            Self::LateTimers { .. } => "LateTimers",
            Self::SlowInputs { .. } => "SlowInputs",
            Self::Cut { .. } => "Cut",
            Self::Clog { .. } => "Clog",
            Self::Mend { .. } => "Mend",
            Self::Partition { .. } => "Partition",
            Self::Rejoin { .. } => "Rejoin",
            Self::SetLink { .. } => "SetLink",
            Self::SendErrors { .. } => "SendErrors",
            Self::BindErrors { .. } => "BindErrors",
            Self::DescriptorsMax { .. } => "DescriptorsMax",
            Self::BusQueue { .. } => "BusQueue",
            Self::ResetStreams { .. } => "ResetStreams",
            Self::SlowReaders { .. } => "SlowReaders",
            Self::Rebind(_) => "Rebind",
            Self::Readdress { .. } => "Readdress",
            Self::Roam { .. } => "Roam",
            Self::Buggify { .. } => "Buggify",
        }
    }

    /// The node that it is for, if it is for one.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Crash(node)
            | Self::Restart(node)
            | Self::Pause(node)
            | Self::Resume(node)
            | Self::StallWorker { node, .. }
            | Self::KillWorker { node, .. }
            | Self::JumpClock { node, .. }
            | Self::SetBackClock { node, .. }
            | Self::SendErrors { node, .. }
            | Self::BindErrors { node, .. }
            | Self::DescriptorsMax { node, .. }
            | Self::BusQueue { node, .. }
            | Self::SlowReaders { node, .. }
            | Self::Rebind(node)
            | Self::Roam { node, .. } => Some(*node),
            Self::Readdress { gateway, .. } => Some(*gateway),
            Self::Cut { from, .. }
            | Self::Clog { from, .. }
            | Self::Mend { from, .. }
            | Self::SetLink { from, .. } => Some(*from),
            Self::LateTimers { who, .. }
            | Self::SlowInputs { who, .. }
            | Self::ResetStreams { who, .. } => match who {
                Who::Nodes(nodes) => nodes.first().copied(),
                Who::Worker(node, _) => Some(*node),
                Who::All => None,
            },
            Self::Partition { one, .. } | Self::Rejoin { one, .. } => one.first().copied(),
            Self::PowerCycle | Self::Buggify { .. } => None,
        }
    }
}

impl Who {
    /// Whether a worker is one of them.
    pub(crate) fn has(&self, node: u32, worker: u16) -> bool {
        match self {
            Self::All => true,
            Self::Nodes(nodes) => nodes.iter().any(|known| known.number() == node),
            Self::Worker(known, index) => (known.number(), *index) == (node, worker),
        }
    }
}

impl From<NodeId> for Who {
    fn from(node: NodeId) -> Self {
        Self::Nodes(vec![node])
    }
}

impl From<(NodeId, u16)> for Who {
    fn from((node, worker): (NodeId, u16)) -> Self {
        Self::Worker(node, worker)
    }
}

impl From<Vec<NodeId>> for Who {
    fn from(nodes: Vec<NodeId>) -> Self {
        Self::Nodes(nodes)
    }
}

impl From<&[NodeId]> for Who {
    fn from(nodes: &[NodeId]) -> Self {
        Self::Nodes(nodes.to_vec())
    }
}
