//! The registry of the groups that a worker hosts: one for each type of task.
//!
//! Types are erased here, at the group: one virtual call an input. A group comes to be when the
//! first task of its type is inserted, so there is nothing to register and nothing to forget.

use core::any::Any;
use core::cell::OnceCell;
use core::fmt::Debug;

use super::{SpawnError, TaskView, WorkerConfig};
use crate::datagram::DatagramRun;
use crate::group::{GroupOutputs, StaleTask, TaskGroup};
use crate::id::{SocketId, TaskId};
use crate::metric::MetricStatus;
use crate::state::WorkerState;
use crate::status::{Durations, GroupStatus, WorkerStatus};
use crate::task::{App, Input, Task};
use crate::time::{Deadline, Timestamp};

pub(super) struct Groups<A: App> {
    /// In the order in which they came to be.
    groups: Vec<Box<dyn Group<A>>>,
    /// The group that a timeout starts with: each time the next one, so that none is favoured.
    first: u16,
    /// The task taken in last, until the function that makes tasks has returned.
    attached: Option<TaskId>,
    /// By how much tasks got their timeouts too late.
    /// Made with the first of them, or when somebody asks.
    lateness: OnceCell<Durations>,
}

impl<A: App> Groups<A> {
    pub(super) fn new() -> Self {
        Self {
            groups: Vec::new(),
            first: 0,
            attached: None,
            lateness: OnceCell::new(),
        }
    }

    pub(super) fn group<T: Task<App = A> + 'static>(&self) -> Option<&TaskGroup<T>> {
        // A worker has a handful of types.
        let mut groups = self.groups.iter();
        groups.find_map(|group| group.as_any().downcast_ref())
    }

    fn attach<T: Task<App = A> + 'static>(
        &mut self,
        config: &WorkerConfig,
        task: T,
    ) -> Result<TaskId, SpawnError> {
        let groups = &mut self.groups;
        let mut known = groups.iter();
        let place = known.position(|group| group.as_any().is::<TaskGroup<T>>());
        let place = place.unwrap_or_else(|| {
            let place = groups.len();
            let index = u16::try_from(place).expect("fewer than 65,536 types of task");
            let entity = config.entity.part(u64::from(index));
            let group = TaskGroup::<T>::hosted((config.index, index), entity, config.groups());
            // Many workers have one, ever: they shall not take the room of four.
            groups.reserve_exact(1);
            groups.push(Box::new(group));
            place
        });
        let group: &mut TaskGroup<T> = groups[place]
            .as_any_mut()
            .downcast_mut()
            .expect("a group is found under the type of its tasks");
        let attached = group.attach(task).map_err(|full| SpawnError::GroupFull {
            tasks_max: full.tasks_max,
        })?;
        self.attached = Some(attached);
        Ok(attached)
    }

    /// Drops the task that was taken in last, if it was told nothing yet.
    pub(super) fn detach_last(&mut self) {
        if let Some(task) = self.attached.take()
            && let Some(group) = self.groups.get_mut(usize::from(task.group))
        {
            group.detach(task);
        }
    }

    pub(super) fn lateness(&self) -> &Durations {
        self.lateness.get_or_init(Durations::new)
    }

    pub(super) fn write_status(&self, status: &mut WorkerStatus) {
        status.groups.clear();
        status.metrics.clear();
        for group in &self.groups {
            status.groups.push(group.status());
            group.write_metrics(&mut status.metrics);
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.groups.iter().map(|group| group.len()).sum()
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        self.groups
            .iter()
            .filter_map(|group| group.poll_timeout())
            .min_by_key(|first| first.at)
    }

    /// The task whose deadline is the first.
    pub(super) fn first_due(&self) -> Option<(TaskId, Deadline)> {
        let due = self.groups.iter().filter_map(|group| group.first_due());
        due.min_by_key(|(_, deadline)| deadline.at)
    }

    pub(super) fn inspect(&self, task: TaskId) -> Option<&dyn Debug> {
        self.groups.get(usize::from(task.group))?.inspect(task)
    }

    /// When the first deadline is.
    #[inline(always)]
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        match &self.groups[..] {
            // Most workers host one type of tasks.
            [only] => only.next_at(),
            many => Self::first_of(many),
        }
    }

    #[inline(never)]
    fn first_of(groups: &[Box<dyn Group<A>>]) -> Option<Timestamp> {
        groups.iter().filter_map(|group| group.next_at()).min()
    }

    /// The state of the group that a panic in the driver left undrained, if one did.
    pub(super) fn undrained(&self) -> Option<WorkerState> {
        self.groups
            .iter()
            .map(|group| group.state())
            .find(|&state| state != WorkerState::Waiting)
    }

    pub(super) fn resume(&mut self, outputs: &mut dyn GroupOutputs<A>) {
        for group in &mut self.groups {
            group.resume(outputs);
        }
    }

    /// Gives a task one input. `false` if it is no more.
    pub(super) fn handle_input(
        &mut self,
        now: Timestamp,
        task: TaskId,
        input: Input<A>,
        outputs: &mut dyn GroupOutputs<A>,
    ) -> bool {
        let group = self.groups.get_mut(usize::from(task.group));
        group.is_some_and(|group| group.handle_input(now, task, input, outputs))
    }

    /// The same with datagrams, which are taken out of `run`.
    #[inline(always)]
    pub(super) fn handle_datagrams(
        &mut self,
        now: Timestamp,
        task: TaskId,
        run: (SocketId, &mut DatagramRun),
        outputs: &mut dyn GroupOutputs<A>,
    ) -> bool {
        let group = self.groups.get_mut(usize::from(task.group));
        group.is_some_and(|group| group.handle_datagrams(now, task, run, outputs))
    }

    pub(super) fn start(
        &mut self,
        now: Timestamp,
        task: TaskId,
        parent: Option<TaskId>,
        outputs: &mut dyn GroupOutputs<A>,
    ) {
        self.attached = None;
        if let Some(group) = self.groups.get_mut(usize::from(task.group)) {
            group.start(now, task, parent, outputs);
        }
    }

    /// Ticks what is due, at most `tasks_max` tasks in all.
    pub(super) fn handle_timeout(
        &mut self,
        now: Timestamp,
        tasks_max: u32,
        outputs: &mut dyn GroupOutputs<A>,
    ) {
        let mut left = tasks_max;
        let count = self.groups.len();
        for offset in 0..count {
            let group = &mut self.groups[(usize::from(self.first) + offset) % count];
            left -= group.tick(now, left, outputs, &self.lateness);
        }
        let next = usize::from(self.first) + 1;
        self.first = u16::try_from(next % count.max(1)).unwrap_or(0);
    }

    pub(super) fn remove(&mut self, task: TaskId, outputs: &mut dyn GroupOutputs<A>) {
        if let Some(group) = self.groups.get_mut(usize::from(task.group)) {
            group.remove(task, outputs);
        }
    }

    /// The first task at or after this group and slot.
    pub(super) fn next_from(&self, group: u16, slot: u32) -> Option<TaskId> {
        self.next_in_phase(None, u8::MAX, group, slot)
    }

    /// The first task at or after this group and slot that is to go in this shutdown phase, or
    /// before, but after the phase that was told last.
    pub(super) fn next_in_phase(
        &self,
        told: Option<u8>,
        phase: u8,
        group: u16,
        slot: u32,
    ) -> Option<TaskId> {
        let slots = core::iter::once(slot).chain(core::iter::repeat(0));
        let rest = self.groups.iter().skip(usize::from(group)).zip(slots);
        rest.filter(|(group, _)| group.phase() <= phase && Some(group.phase()) > told)
            .find_map(|(group, slot)| group.next_from(slot))
    }

    /// What can be seen of each task, group by group.
    pub(super) fn views(&self) -> impl Iterator<Item = TaskView> {
        self.groups.iter().flat_map(|group| {
            let first = group.view_from(0);
            core::iter::successors(first, |last| {
                group.view_from(last.task.key.slot.checked_add(1)?)
            })
        })
    }

    /// The same of one task.
    pub(super) fn view(&self, task: TaskId) -> Option<TaskView> {
        let group = self.groups.get(usize::from(task.group))?;
        let view = group.view_from(task.key.slot)?;
        (view.task == task).then_some(view)
    }

    /// The first shutdown phase that has tasks.
    pub(super) fn first_phase(&self) -> Option<u8> {
        let alive = self.groups.iter().filter(|group| group.len() > 0);
        alive.map(|group| group.phase()).min()
    }
}

/// Takes one task in. Given to the function that makes tasks.
#[derive(Debug)]
pub struct Spawner<'a, A: App> {
    groups: &'a mut Groups<A>,
    config: &'a WorkerConfig,
}

impl<'a, A: App> Spawner<'a, A> {
    pub(super) const fn new(groups: &'a mut Groups<A>, config: &'a WorkerConfig) -> Self {
        Self { groups, config }
    }

    /// Takes `task` in. It is told that it has started as soon as the function that makes tasks
    /// returns.
    #[must_use]
    pub fn insert<T: Task<App = A> + 'static>(self, task: T) -> Spawned {
        Spawned(self.groups.attach(self.config, task))
    }

    /// Makes no task.
    #[must_use]
    pub fn refuse(self, reason: impl Into<String>) -> Spawned {
        Spawned(Err(SpawnError::Refused {
            reason: reason.into(),
        }))
    }
}

/// The answer of the function that makes tasks. Only a [`Spawner`] gives one, so each spawn makes
/// exactly one task or says why not.
#[derive(Debug)]
pub struct Spawned(pub(super) Result<TaskId, SpawnError>);

impl<A: App> Debug for Groups<A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} groups, {} tasks", self.groups.len(), self.tasks())
    }
}

/// A group whose type of task is not known any more.
trait Group<A: App> {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn len(&self) -> usize;
    fn phase(&self) -> u8;
    fn status(&self) -> GroupStatus;
    fn write_metrics(&self, metrics: &mut Vec<MetricStatus>);
    fn state(&self) -> WorkerState;
    fn next_from(&self, slot: u32) -> Option<TaskId>;
    fn next_at(&self) -> Option<Timestamp>;
    fn view_from(&self, slot: u32) -> Option<TaskView>;
    fn poll_timeout(&self) -> Option<Deadline>;
    fn first_due(&self) -> Option<(TaskId, Deadline)>;
    fn inspect(&self, task: TaskId) -> Option<&dyn Debug>;
    fn resume(&mut self, outputs: &mut dyn GroupOutputs<A>);
    fn detach(&mut self, task: TaskId);
    fn remove(&mut self, task: TaskId, outputs: &mut dyn GroupOutputs<A>);
    fn start(
        &mut self,
        now: Timestamp,
        task: TaskId,
        parent: Option<TaskId>,
        outputs: &mut dyn GroupOutputs<A>,
    );
    fn handle_input(
        &mut self,
        now: Timestamp,
        task: TaskId,
        input: Input<A>,
        outputs: &mut dyn GroupOutputs<A>,
    ) -> bool;
    fn handle_datagrams(
        &mut self,
        now: Timestamp,
        task: TaskId,
        run: (SocketId, &mut DatagramRun),
        outputs: &mut dyn GroupOutputs<A>,
    ) -> bool;
    fn tick(
        &mut self,
        now: Timestamp,
        tasks_max: u32,
        outputs: &mut dyn GroupOutputs<A>,
        lateness: &OnceCell<Durations>,
    ) -> u32;
}

impl<T: Task + 'static> Group<T::App> for TaskGroup<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn len(&self) -> usize {
        Self::len(self)
    }

    fn phase(&self) -> u8 {
        T::SHUTDOWN_PHASE
    }

    fn status(&self) -> GroupStatus {
        GroupStatus::new(core::any::type_name::<T>(), self.len(), self.counters())
    }

    fn write_metrics(&self, metrics: &mut Vec<MetricStatus>) {
        Self::write_metrics(self, metrics);
    }

    fn state(&self) -> WorkerState {
        Self::state(self)
    }

    fn next_from(&self, slot: u32) -> Option<TaskId> {
        Self::next_from(self, slot)
    }

    fn next_at(&self) -> Option<Timestamp> {
        Self::next_at(self)
    }

    fn view_from(&self, slot: u32) -> Option<TaskView> {
        Self::view_from(self, slot)
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Self::poll_timeout(self)
    }

    fn first_due(&self) -> Option<(TaskId, Deadline)> {
        Self::first_due(self)
    }

    fn inspect(&self, task: TaskId) -> Option<&dyn Debug> {
        self.get(task)?.inspect()
    }

    fn resume(&mut self, outputs: &mut dyn GroupOutputs<T::App>) {
        Self::resume(self, outputs);
    }

    fn detach(&mut self, task: TaskId) {
        Self::detach(self, task);
    }

    fn remove(&mut self, task: TaskId, outputs: &mut dyn GroupOutputs<T::App>) {
        // Whoever is no more needs no removing.
        let _: Result<(), StaleTask> = Self::remove(self, task, outputs);
    }

    fn start(
        &mut self,
        now: Timestamp,
        task: TaskId,
        parent: Option<TaskId>,
        outputs: &mut dyn GroupOutputs<T::App>,
    ) {
        Self::start(self, now, task, parent, outputs);
    }

    fn handle_input(
        &mut self,
        now: Timestamp,
        task: TaskId,
        input: Input<T::App>,
        outputs: &mut dyn GroupOutputs<T::App>,
    ) -> bool {
        Self::handle_input(self, now, task, input, outputs).is_ok()
    }

    fn handle_datagrams(
        &mut self,
        now: Timestamp,
        task: TaskId,
        run: (SocketId, &mut DatagramRun),
        outputs: &mut dyn GroupOutputs<T::App>,
    ) -> bool {
        Self::handle_datagrams(self, now, task, run, outputs)
    }

    fn tick(
        &mut self,
        now: Timestamp,
        tasks_max: u32,
        outputs: &mut dyn GroupOutputs<T::App>,
        lateness: &OnceCell<Durations>,
    ) -> u32 {
        Self::tick(self, now, tasks_max, outputs, |late| {
            lateness.get_or_init(Durations::new).record(late);
        })
    }
}
