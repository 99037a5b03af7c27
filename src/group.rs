//! Groups: many tasks of one type, driven one at a time.
//!
//! A [`TaskGroup`] keeps its tasks in generational slots and their deadlines in a queue. Insert,
//! remove, deliver and find-next-due never scan over tasks. A worker hosts groups; a task may
//! hold one itself, for children. Either way the group takes one input and gives out everything
//! that it causes, through [`GroupOutputs`], before it returns: there is no way to hand it a second
//! input in between, because it is borrowed for as long.

use core::fmt;
use core::time::Duration;
use std::rc::Rc;

use crate::buffer::BufferPool;
use crate::datagram::DatagramRun;
use crate::entropy::{Entity, Entropy, Site};
use crate::id::{SocketId, TaskId};
use crate::metric::{MetricStatus, Metrics};
use crate::mischief::Mischief;
use crate::net::NetworkEvent;
use crate::slots::{Key, Slots};
use crate::state::{TaskState, Way, WorkerState};
use crate::status::GroupCounters;
use crate::task::{App, Context, End, Input, Output, Task};
use crate::time::{Deadline, Timestamp};
use crate::transmit::TransmitBuffer;
use crate::worker::TaskView;

mod children;
pub(crate) mod timer;
mod turn;

pub use children::Children;
use timer::LazyTimers;
pub(crate) use turn::guard;
#[cfg(feature = "poll")]
pub(crate) use turn::panic_message;

/// What a task's driver does with what it gives out.
///
/// A panic in here is the driver's own: it passes through the group, which stays as it is, and
/// what the task still has to give comes out first at the next call.
pub trait GroupOutputs<A: App> {
    /// Memory for the datagram that a task may now write in place.
    fn lend(&mut self) -> TransmitBuffer<'_>;

    /// Takes one output. A payload that is not a buffer is in the memory lent last.
    fn output(&mut self, task: TaskId, output: Output<A>);

    /// Takes one output out of where it lies: what comes most often is not to be moved for each
    /// call on its way. Unless a driver looks at it there, it comes through
    /// [`GroupOutputs::output`].
    fn take_output(&mut self, task: TaskId, output: &mut Option<Output<A>>) {
        if let Some(output) = output.take() {
            self.output(task, output);
        }
    }

    /// Is told that a task is no more. Its id is stale.
    fn ended(&mut self, task: TaskId, end: End);
}

/// What bounds the tasks of a group, and where they get chance and memory from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupConfig {
    /// Outputs that a task may give for one input. One more, and it is stopped.
    pub outputs_max: u32,
    /// Tasks that may live at a time.
    pub tasks_max: u32,
    /// Where the tasks' chance comes from.
    pub entropy: Entropy,
    /// Whose chance it is; each task draws as a part of it.
    pub entity: Entity,
    /// Where the tasks' buffers come from.
    pub buffers: BufferPool,
    /// Who decides where tasks do what is rare: see [`Context::buggify`]. `None` unless this is a
    /// simulation.
    pub mischief: Option<Mischief>,
    /// Whose metrics the tasks' are, if not the group's own.
    pub(crate) metrics: Option<(Rc<Metrics>, Entity)>,
}

impl GroupConfig {
    /// The default limits: 10,000 outputs for one input, 2^24 tasks.
    #[must_use]
    pub fn new(entropy: Entropy, entity: Entity) -> Self {
        Self {
            outputs_max: 10_000,
            tasks_max: 1 << 24,
            entropy,
            entity,
            buffers: BufferPool::new(),
            mischief: None,
            metrics: None,
        }
    }
}

/// Tasks of one type.
pub struct TaskGroup<T: Task> {
    tasks: Slots<Member<T>>,
    timers: LazyTimers,
    state: WorkerState,
    /// The turn that a panic in the driver broke off, to be gone on with.
    open_turn: Option<Turn>,
    now: Timestamp,
    started: u64,
    inputs: u64,
    timeouts: u64,
    /// The other counters, made with the first end of a task.
    ends: Option<Box<GroupCounters>>,
    worker: u16,
    index: u16,
    entity: Entity,
    common: Rc<Common>,
}

/// What groups may have in common: so do all those of a simulated world, unless told otherwise.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) entropy: Entropy,
    pub(crate) metrics: Rc<Metrics>,
    /// Whose metrics they are, if not each group's own.
    metrics_of: Option<Entity>,
    site: Site,
    buffers: BufferPool,
    /// Who decides where tasks do what is rare. `None` in production.
    pub(crate) mischief: Option<Mischief>,
    outputs_max: u32,
    tasks_max: u32,
}

impl Common {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let (metrics, metrics_of) = config.metrics.unzip();
        Self {
            metrics: metrics.unwrap_or_default(),
            metrics_of,
            site: config.entropy.site("task"),
            entropy: config.entropy,
            buffers: config.buffers,
            mischief: config.mischief,
            outputs_max: config.outputs_max,
            tasks_max: config.tasks_max,
        }
    }
}

/// One task and what its group knows of it.
struct Member<T> {
    task: T,
    state: TaskState,
    reason: &'static str,
    since: Timestamp,
}

/// One input to one task, until it is drained.
#[derive(Debug, Clone, Copy)]
struct Turn {
    key: Key,
    way: Way,
    outputs: u32,
}

/// The group index of tasks that no worker hosts: their ids mean nobody to a worker.
const CHILDREN: u16 = u16::MAX;

/// The id names no task: it ended, or never was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{task} is no more")]
pub struct StaleTask {
    /// The id that was used.
    pub task: TaskId,
}

/// The group holds as many tasks as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("group full: {tasks_max} tasks")]
pub struct GroupFull {
    /// How many that is.
    pub tasks_max: u32,
}

impl<T: Task> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        if self.common.metrics_of.is_none() {
            self.common.metrics.forget(self.entity);
        }
    }
}

impl<T: Task> TaskGroup<T> {
    /// An empty group on its own, for a task's children.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        let entity = config.entity;
        let common = Rc::new(Common::new(config));
        Self::hosted((0, CHILDREN), entity, common)
    }

    /// An empty group, as the `index`-th of a worker.
    pub(crate) fn hosted((worker, index): (u16, u16), entity: Entity, common: Rc<Common>) -> Self {
        Self {
            tasks: Slots::new(),
            timers: LazyTimers::new(),
            state: WorkerState::Waiting,
            open_turn: None,
            now: Timestamp::EPOCH,
            started: 0,
            inputs: 0,
            timeouts: 0,
            ends: None,
            worker,
            index,
            entity,
            common,
        }
    }

    /// How many tasks live.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task lives.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of its tasks.
    #[must_use]
    pub fn counters(&self) -> GroupCounters {
        let ends = self.ends.as_deref().copied().unwrap_or_default();
        GroupCounters {
            started: self.started,
            inputs: self.inputs,
            timeouts: self.timeouts,
            ..ends
        }
    }

    /// Appends what its tasks count.
    pub(crate) fn write_metrics(&self, metrics: &mut Vec<MetricStatus>) {
        self.common.metrics.write_status(self.entity, metrics);
    }

    /// A look at a task.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<&T> {
        Some(&self.tasks.get(self.key_of(task)?)?.task)
    }

    /// All tasks, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &T)> {
        self.tasks
            .iter()
            .map(|(key, member)| (self.id(key), &member.task))
    }

    /// Where a task stands. `None` if it is no more.
    #[must_use]
    pub fn task_state(&self, task: TaskId) -> Option<TaskState> {
        Some(self.tasks.get(self.key_of(task)?)?.state)
    }

    /// Where the group stands. Other than [`WorkerState::Waiting`] only after a panic in the
    /// driver.
    #[must_use]
    pub const fn state(&self) -> WorkerState {
        self.state
    }

    /// The first deadline among the tasks. O(1).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.first_due().map(|(_, deadline)| deadline)
    }

    /// The same, and whose it is.
    pub(crate) fn first_due(&self) -> Option<(TaskId, Deadline)> {
        let (at, slot) = self.timers.first()?;
        let key = self.tasks.key_at(slot)?;
        let reason = self.tasks.get(key)?.reason;
        Some((self.id(key), Deadline { at, reason }))
    }

    /// When the first deadline among the tasks is.
    #[inline]
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| at)
    }

    /// Takes in a task, tells it that it has started, and drains it.
    ///
    /// # Errors
    ///
    /// [`GroupFull`]; the task is dropped.
    pub fn insert(
        &mut self,
        now: Timestamp,
        task: T,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> Result<TaskId, GroupFull> {
        self.finish_open_turn(outputs);
        let id = self.attach(task)?;
        self.start(now, id, None, outputs);
        Ok(id)
    }

    /// Gives a task one input, and drains it.
    ///
    /// # Errors
    ///
    /// [`StaleTask`] if `task` is no more; the input is dropped.
    #[inline(always)]
    pub fn handle_input(
        &mut self,
        now: Timestamp,
        task: TaskId,
        input: Input<T::App>,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> Result<(), StaleTask> {
        let given = self.give(now, task, || input, outputs);
        given.then_some(()).ok_or(StaleTask { task })
    }

    /// Gives a task datagrams for its socket, which are taken out of `run`, and drains it. `false`,
    /// and nothing taken, if the task is no more.
    #[inline(always)]
    pub(crate) fn handle_datagrams(
        &mut self,
        now: Timestamp,
        task: TaskId,
        (socket, run): (SocketId, &mut DatagramRun),
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> bool {
        let input = || {
            let (socket, run) = (socket.by_parts(), run.take());
            Input::Network(NetworkEvent::Datagrams { socket, run })
        };
        self.give(now, task, input, outputs)
    }

    /// Gives a task one input, and drains it. `false` if the task is no more.
    #[inline(always)]
    fn give(
        &mut self,
        now: Timestamp,
        task: TaskId,
        input: impl FnOnce() -> Input<T::App>,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> bool {
        self.finish_open_turn(outputs);
        let Some(key) = self.key_of(task) else {
            return false;
        };
        self.state.enter(WorkerState::OnInput);
        let given = self.turn(now, key, Way::Input, input, outputs);
        if !given {
            self.state.enter(WorkerState::Waiting);
        }
        given
    }

    /// Gives each task whose deadline has passed its timeout, the most overdue first, and drains
    /// it before the next; at most `tasks_max` of them. How many it were.
    pub fn handle_timeout(
        &mut self,
        now: Timestamp,
        tasks_max: u32,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> u32 {
        self.tick(now, tasks_max, outputs, |_| {})
    }

    /// The same. Tells `late` by how much each timeout is too late.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        tasks_max: u32,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
        late: impl Fn(Duration),
    ) -> u32 {
        self.finish_open_turn(outputs);
        self.state.enter(WorkerState::OnTick);
        let mut ticked = 0;
        while ticked < tasks_max
            && let Some((at, slot)) = self.timers.first()
            && at <= now
            && let Some(key) = self.tasks.key_at(slot)
        {
            late(now.since(at));
            self.turn(now, key, Way::Tick, || Input::Timeout, outputs);
            ticked += 1;
        }
        self.state.enter(WorkerState::Waiting);
        ticked
    }

    /// Removes a task, whatever it is doing. It is told nothing; `outputs` is.
    ///
    /// # Errors
    ///
    /// [`StaleTask`] if `task` is no more.
    pub fn remove(
        &mut self,
        task: TaskId,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> Result<(), StaleTask> {
        self.finish_open_turn(outputs);
        let key = self
            .key_of(task)
            .filter(|&key| self.tasks.get(key).is_some());
        self.end(key.ok_or(StaleTask { task })?, End::Removed, outputs);
        Ok(())
    }

    /// Gives a task its place. It is told nothing yet.
    pub(crate) fn attach(&mut self, task: T) -> Result<TaskId, GroupFull> {
        let full = GroupFull {
            tasks_max: self.common.tasks_max,
        };
        if self.tasks.len() >= self.common.tasks_max as usize {
            return Err(full);
        }
        let member = Member {
            task,
            state: TaskState::Created,
            reason: "",
            since: self.now,
        };
        self.tasks
            .insert(member)
            .map(|key| self.id(key))
            .ok_or(full)
    }

    /// Takes an attached task, which was told nothing yet, from its place.
    pub(crate) fn detach(&mut self, task: TaskId) {
        let member = self.tasks.remove(task.key);
        // Whoever could not make it is told so already; its own panic says nothing more.
        drop(guard(|| drop(member)));
    }

    /// Tells an attached task that it has started, and drains it.
    pub(crate) fn start(
        &mut self,
        now: Timestamp,
        task: TaskId,
        parent: Option<TaskId>,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) {
        let Some(member) = self.tasks.get_mut(task.key) else {
            return;
        };
        member.state.enter(TaskState::Waiting);
        member.since = now;
        let entity = self.entity.part(self.started);
        let random = self.common.site.source(entity);
        self.started += 1;
        let buffers = self.common.buffers.clone();
        let owner = self.common.metrics_of.unwrap_or(self.entity);
        let group = (Rc::clone(&self.common), owner);
        let context = Context::new(task, parent, random, buffers, group);
        self.state.enter(WorkerState::OnInput);
        let input = || Input::Started(context);
        self.turn(now, task.key, Way::Input, input, outputs);
    }

    /// Takes what a panic in the driver left undrained.
    pub(crate) fn resume(&mut self, outputs: &mut (impl GroupOutputs<T::App> + ?Sized)) {
        self.finish_open_turn(outputs);
    }

    /// The first task at or after `slot`.
    pub(crate) fn next_from(&self, slot: u32) -> Option<TaskId> {
        self.tasks.next_from(slot).map(|key| self.id(key))
    }

    /// What can be seen from outside of the first task at or after `slot`.
    pub(crate) fn view_from(&self, slot: u32) -> Option<TaskView> {
        let key = self.tasks.next_from(slot)?;
        let member = self.tasks.get(key)?;
        let at = self.timers.at(key.slot);
        Some(TaskView {
            task: self.id(key),
            type_name: core::any::type_name::<T>(),
            since: member.since,
            deadline: at.map(|at| Deadline::new(at, member.reason)),
        })
    }

    const fn id(&self, key: Key) -> TaskId {
        TaskId {
            worker: self.worker,
            group: self.index,
            key,
        }
    }

    /// The key of an id, if the id is one of this group's.
    #[inline(always)]
    fn key_of(&self, task: TaskId) -> Option<Key> {
        (task.worker == self.worker && task.group == self.index).then_some(task.key)
    }
}

impl<T: Task> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("tasks", &self.tasks.len())
            .field("state", &self.state)
            .field("first_deadline", &self.poll_timeout())
            .finish_non_exhaustive()
    }
}
