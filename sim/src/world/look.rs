//! What a scenario can see of its world.

use stillpoint::{App, Task, TaskId, Timestamp, Worker};

use super::{Ended, Reported, SpawnFailure, World};
use crate::counters::Counters;
use crate::failure::Failure;
use crate::node::NodeId;
use crate::trace::{TraceEvent, TraceHash};

impl<A: App> World<A> {
    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.outside.now
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.entropy.seed()
    }

    /// How much has happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// What became of the datagrams.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.outside.network.counters
    }

    /// Buffers of this world that somebody holds: its tasks, what is on its way, or the scenario.
    #[must_use]
    pub fn buffers_in_use(&self) -> usize {
        self.outside.buffers.live()
    }

    /// The hash of everything that has happened so far.
    #[must_use]
    pub fn trace_hash(&self) -> TraceHash {
        self.outside.trace.hash()
    }

    /// A bit for each kind of event there was.
    pub(crate) fn event_kinds(&self) -> u64 {
        self.outside.trace.kinds()
    }

    /// The last events, up to 64, the oldest first.
    pub fn last_events(&self) -> impl Iterator<Item = TraceEvent> {
        self.outside.trace.last()
    }

    /// An event as text, with the name of its node.
    #[must_use]
    pub fn describe(&self, event: &TraceEvent) -> String {
        let node = self.node_name(event.node);
        let what = self.outside.trace.describe(event);
        format!("{} {node}/{} {what}", event.at, event.worker)
    }

    /// What failed for good: a task, an invariant, or the budget. Running does not go on then.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.outside.failed.as_ref()
    }

    /// What tasks have reported and nobody has taken, in order.
    #[must_use]
    pub fn reports(&self) -> &[Reported<A>] {
        &self.outside.reports
    }

    /// Takes the reports.
    pub fn take_reports(&mut self) -> Vec<Reported<A>> {
        core::mem::take(&mut self.outside.reports)
    }

    /// The tasks that are no more and nobody has taken, in the order of their ends.
    #[must_use]
    pub fn ended(&self) -> &[Ended] {
        &self.outside.ended
    }

    /// Takes them: in a long run they are many.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        core::mem::take(&mut self.outside.ended)
    }

    /// The tasks that could not be made.
    #[must_use]
    pub fn spawn_failures(&self) -> &[SpawnFailure] {
        &self.outside.spawn_failures
    }

    /// The node of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.outside.names.node(name).map(NodeId::new)
    }

    /// The name of a node.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn node_name(&self, node: NodeId) -> &str {
        &self.outside.network.hosts[self.known(node).index()].name
    }

    /// How many workers a node has: those that are no more do not count.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn workers(&self, node: NodeId) -> u16 {
        u16::try_from(self.workers_of(node).count()).unwrap_or(u16::MAX)
    }

    /// How many tasks live on a node.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn task_count(&self, node: NodeId) -> usize {
        self.workers_of(node).map(Worker::tasks).sum()
    }

    /// A look at a task. `None` if it is no more, or of another type.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn task<T: Task<App = A> + 'static>(&self, node: NodeId, task: TaskId) -> Option<&T> {
        let number = self
            .outside
            .seat(self.known(node).number(), task.worker())?;
        self.seats[number as usize].worker.as_ref()?.task(task)
    }

    /// All tasks of a type on a node, worker by worker.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn tasks<T: Task<App = A> + 'static>(
        &self,
        node: NodeId,
    ) -> impl Iterator<Item = (TaskId, &T)> {
        self.workers_of(node).flat_map(Worker::tasks_of)
    }

    /// All tasks of a type, node by node and worker by worker.
    pub fn all_tasks<T: Task<App = A> + 'static>(
        &self,
    ) -> impl Iterator<Item = (NodeId, TaskId, &T)> {
        self.seats.iter().flat_map(|seat| {
            let node = NodeId::new(seat.node);
            let tasks = seat.worker.iter().flat_map(|worker| worker.tasks_of::<T>());
            tasks.map(move |(id, task)| (node, id, task))
        })
    }

    /// The only task of a type on a node.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it has none of these tasks, or several.
    #[must_use]
    pub fn only_task<T: Task<App = A> + 'static>(&self, node: NodeId) -> &T {
        let mut tasks = self.tasks::<T>(node).map(|(_, task)| task);
        match (tasks.next(), tasks.next()) {
            (Some(only), None) => only,
            (found, _) => panic!(
                "`only_task` of node `{}`, which has {} tasks of the type {}",
                self.node_name(node),
                if found.is_some() { "several" } else { "no" },
                core::any::type_name::<T>()
            ),
        }
    }
}
