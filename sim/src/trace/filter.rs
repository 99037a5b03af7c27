//! Some events of a trace.

use stillpoint::{TaskId, Timestamp};

use super::{LogEvent, Role, TraceKind, TraceLog};
use crate::node::NodeId;

/// Which events of a [`TraceLog`] are wanted. Of what is said several times, one is enough: an event
/// of one of the nodes, and of one of the kinds. What is not said is no matter.
///
/// # Example
///
/// ```
/// # use stillpoint_sim::TraceLog;
/// use stillpoint_sim::{Role, TraceFilter};
/// # fn show(log: &TraceLog) {
/// let lost = TraceFilter::new().node("server").role(Role::Loss);
/// for event in log.filter(&lost) {
///     eprintln!("{}", log.line(event.index));
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceFilter {
    nodes: Vec<String>,
    tasks: Vec<(NodeId, TaskId)>,
    types: Vec<String>,
    kinds: Vec<TraceKind>,
    roles: Vec<Role>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl TraceFilter {
    /// All events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those at this node.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.nodes.push(name.into());
        self
    }

    /// Those that concern this task.
    #[must_use]
    pub fn task(mut self, node: NodeId, task: TaskId) -> Self {
        self.tasks.push((node, task));
        self
    }

    /// Those that concern a task of this type, without the module that it is from.
    #[must_use]
    pub fn task_type(mut self, name: impl Into<String>) -> Self {
        self.types.push(name.into());
        self
    }

    /// Those of this kind.
    #[must_use]
    pub fn kind(mut self, kind: TraceKind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Those that are this to their run.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Those at this time and later.
    #[must_use]
    pub const fn from(mut self, at: Timestamp) -> Self {
        self.from = Some(at);
        self
    }

    /// Those at this time and earlier.
    #[must_use]
    pub const fn until(mut self, at: Timestamp) -> Self {
        self.until = Some(at);
        self
    }

    fn takes(&self, log: &TraceLog, index: usize) -> bool {
        let entry = &log.entries[index];
        let event = &entry.event;
        let task = log.tasks.get(entry.task as usize);
        let is_of_type = |name: &String| {
            let known = task.and_then(|task| log.text(task.type_name));
            known == Some(name)
        };
        let is_of = |&(node, id): &(NodeId, TaskId)| {
            task.is_some_and(|known| known.node == node.number() && known.task == id)
        };
        let nodes = &self.nodes;
        self.from.is_none_or(|from| event.at >= from)
            && self.until.is_none_or(|until| event.at <= until)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && (self.roles.is_empty() || self.roles.contains(&event.kind.role()))
            && (nodes.is_empty() || nodes.iter().any(|name| name == log.node_name(event.node)))
            && (self.tasks.is_empty() || self.tasks.iter().any(is_of))
            && (self.types.is_empty() || self.types.iter().any(is_of_type))
    }
}

impl TraceLog {
    /// The events that a filter lets through, in order.
    pub fn filter(&self, filter: &TraceFilter) -> impl Iterator<Item = LogEvent<'_>> {
        let wanted = (0..self.len()).filter(|&index| filter.takes(self, index));
        wanted.filter_map(|index| self.event(index))
    }
}
