//! The children of a task.

use core::fmt;
use std::collections::VecDeque;

use crate::buffer::BufferPool;
use crate::id::TaskId;
#[cfg(doc)]
use crate::task::Context;
use crate::task::{Adopted, App, End, Input, Outbox, Task};
use crate::time::{Deadline, Timestamp};

use super::{GroupConfig, GroupFull, StaleTask, TaskGroup};

/// The children of a task: tasks of one type that it holds, and that speak through its outbox.
///
/// What they open belongs to the parent, which gets the events and hands them down; what they send
/// over the bus comes from the parent. Each has its own turns, deadlines and chance, and a panic ends
/// one child alone. Those that have ended are told by [`Children::poll_ended`].
///
/// # Example
///
/// ```
/// use stillpoint::*;
///
/// # #[derive(Debug)]
/// # struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = &'static str; type Spawn = (); }
/// struct Visit;
///
/// impl Task for Visit {
///     type App = Demo;
/// #   fn handle_input(&mut self, _: Timestamp, _: Input<Demo>) {}
/// #   fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Demo>> { None }
///     // ...
/// }
///
/// #[derive(Default)]
/// struct Host { visits: Option<Children<Visit>>, outbox: Outbox<Demo> }
///
/// impl Task for Host {
///     type App = Demo;
///
///     fn handle_input(&mut self, now: Timestamp, input: Input<Demo>) {
///         match (input, &mut self.visits) {
///             (Input::Started(context), visits) => {
///                 let visits = visits.insert(Children::new(context.children()));
///                 let _full = visits.insert(now, Visit, &mut self.outbox);
///             }
///             (Input::Timeout, Some(visits)) => visits.handle_timeout(now, &mut self.outbox),
///             _ => {}
///         }
///         while let Some((_visit, _end)) = self.visits.as_mut().and_then(Children::poll_ended) {
///             self.outbox.report("somebody has left");
///         }
///     }
///
///     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Demo>> {
///         self.outbox.pop()
///     }
///
///     fn poll_timeout(&self) -> Option<Deadline> {
///         self.visits.as_ref()?.poll_timeout()
///     }
/// }
/// ```
pub struct Children<T: Task> {
    group: TaskGroup<T>,
    buffers: BufferPool,
    ended: VecDeque<(TaskId, End)>,
}

impl<T: Task> Children<T> {
    /// None yet. See [`Context::children`] for what they are made from.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            buffers: config.buffers.clone(),
            group: TaskGroup::new(config),
            ended: VecDeque::new(),
        }
    }

    /// Takes in a child, which starts at once. It may have ended when this returns.
    ///
    /// # Errors
    ///
    /// [`GroupFull`]; the child is dropped.
    pub fn insert(
        &mut self,
        now: Timestamp,
        child: T,
        outbox: &mut Outbox<T::App>,
    ) -> Result<TaskId, GroupFull> {
        let mut outputs = adopt(outbox, &self.buffers, &mut self.ended);
        self.group.insert(now, child, &mut outputs)
    }

    /// Gives a child one input, and takes all that comes of it.
    ///
    /// # Errors
    ///
    /// [`StaleTask`] if the child is no more; the input is dropped.
    pub fn handle_input(
        &mut self,
        now: Timestamp,
        child: TaskId,
        input: Input<T::App>,
        outbox: &mut Outbox<T::App>,
    ) -> Result<(), StaleTask> {
        let mut outputs = adopt(outbox, &self.buffers, &mut self.ended);
        self.group.handle_input(now, child, input, &mut outputs)
    }

    /// Gives each child whose deadline has passed its timeout. To be called when the parent has its
    /// own.
    pub fn handle_timeout(&mut self, now: Timestamp, outbox: &mut Outbox<T::App>) {
        let mut outputs = adopt(outbox, &self.buffers, &mut self.ended);
        self.group.handle_timeout(now, u32::MAX, &mut outputs);
    }

    /// Removes a child, whatever it is doing. It is told nothing.
    ///
    /// # Errors
    ///
    /// [`StaleTask`] if the child is no more.
    pub fn remove(&mut self, child: TaskId, outbox: &mut Outbox<T::App>) -> Result<(), StaleTask> {
        let mut outputs = adopt(outbox, &self.buffers, &mut self.ended);
        self.group.remove(child, &mut outputs)
    }

    /// The next child that has ended, in the order in which they did.
    pub fn poll_ended(&mut self) -> Option<(TaskId, End)> {
        self.ended.pop_front()
    }

    /// The first deadline among the children: the parent's own is no later. O(1).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.group.poll_timeout()
    }

    /// A look at the children: one of them, all, how many.
    #[must_use]
    pub const fn group(&self) -> &TaskGroup<T> {
        &self.group
    }
}

/// Has what children say come out of `outbox`, and notes who ends.
fn adopt<'a, A: App>(
    outbox: &'a mut Outbox<A>,
    buffers: &'a BufferPool,
    ended: &'a mut VecDeque<(TaskId, End)>,
) -> Adopted<'a, A, impl FnMut(TaskId, End) + use<'a, A>> {
    outbox.adopt(buffers, |task, end| ended.push_back((task, end)))
}

impl<T: Task> fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children")
            .field("group", &self.group)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
