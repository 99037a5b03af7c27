//! What can be seen of a worker from outside, one by one: for those who ask what somebody waits for,
//! and what was left behind. Nothing here changes anything, and nothing of it is needed to drive a
//! worker.

use core::fmt::Debug;

use super::{Bus, Worker};
use crate::id::{RequestId, ResourceId, TaskId};
use crate::slots::Key;
use crate::task::App;
use crate::time::{Deadline, Timestamp};

/// A task, as its worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskView {
    /// Which.
    pub task: TaskId,
    /// The name of its type, as the compiler has it.
    pub type_name: &'static str,
    /// Since when it is there.
    pub since: Timestamp,
    /// When it next wants a timeout, and why.
    pub deadline: Option<Deadline>,
}

/// A socket, listener, stream or device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceView {
    /// Which.
    pub id: ResourceId,
    /// Whose. `None` for a stream that its task has closed, and whose last bytes are on their way.
    pub owner: Option<TaskId>,
    /// Since when.
    pub since: Timestamp,
}

/// A request that has neither been answered nor failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestView {
    /// Which.
    pub request: RequestId,
    /// Who waits for the answer.
    pub from: TaskId,
    /// Who is to answer.
    pub to: TaskId,
    /// When it fails.
    pub until: Timestamp,
}

impl<A: App> Worker<A> {
    /// All its tasks, group by group.
    pub fn task_views(&self) -> impl Iterator<Item = TaskView> {
        self.groups.views()
    }

    /// One of its tasks. `None` if it is no more.
    #[must_use]
    pub fn task_view(&self, task: TaskId) -> Option<TaskView> {
        (task.worker == self.config.index)
            .then(|| self.groups.view(task))
            .flatten()
    }

    /// All that its tasks have open, are opening or closing, by slot.
    pub fn resource_views(&self) -> impl Iterator<Item = ResourceView> {
        self.resources.views()
    }

    /// The task that owns what has this key: the slots and generations of all that a worker has open
    /// differ, so traces have no more of an id than these.
    #[must_use]
    pub fn owner_of_key(&self, key: Key) -> Option<TaskId> {
        self.resources.owner_of_key(key)
    }

    /// What a task shows of itself: see [`Task::inspect`](crate::Task::inspect). `None` if it shows
    /// nothing, or is no more.
    #[must_use]
    pub fn inspect(&self, task: TaskId) -> Option<&dyn Debug> {
        self.groups.inspect(task)
    }

    /// The task whose deadline is the first, and that deadline.
    #[must_use]
    pub fn first_due(&self) -> Option<(TaskId, Deadline)> {
        self.groups.first_due()
    }

    /// All requests of its tasks that are open.
    pub fn request_views(&self) -> impl Iterator<Item = RequestView> {
        self.bus.get().into_iter().flat_map(Bus::put_requests)
    }

    /// Who of its tasks has subscribed to what.
    pub fn subscriptions(&self) -> impl Iterator<Item = (TaskId, A::Channel)> {
        self.bus.get().into_iter().flat_map(Bus::all_subscriptions)
    }

    /// How many inputs that it gives itself wait.
    #[must_use]
    pub fn inputs_pending(&self) -> usize {
        self.pending.len()
    }
}
