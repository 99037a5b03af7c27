//! Limits of a worker, and where it gets chance and memory from.

use core::cell::OnceCell;
use core::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::buffer::BufferPool;
use crate::entropy::{Entity, Entropy};
use crate::group::{Common, GroupConfig};
use crate::mischief::Mischief;

/// Limits of a worker, and where it gets chance and memory from.
///
/// What workers commonly have the same is in [`WorkerLimits`], whose fields are to be had as if they
/// were of this type. Clones share it until one of them changes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// Its index among the workers of its runner.
    pub index: u16,
    /// Whose chance it is; each task draws as a part of it.
    pub entity: Entity,
    shared: Rc<Shared>,
}

#[derive(Debug, Clone)]
struct Shared {
    limits: WorkerLimits,
    /// What is in common for all groups of all these workers. Made with the first of them.
    groups: OnceCell<Rc<Common>>,
}

/// Limits that workers commonly have the same, and where they get chance and memory from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerLimits {
    /// Outputs that a task may give for one input. One more, and it is stopped.
    pub outputs_max: u32,
    /// Tasks of one type that may live at a time.
    pub tasks_max: u32,
    /// Sockets, listeners, streams and devices that may be open at a time.
    pub resources_max: usize,
    /// Inputs of the worker's own that may wait at a time. Of these, a quarter may be messages that
    /// come back to one task for want of room in one queue.
    pub pending_max: usize,
    /// Tasks ticked, and inputs of its own taken, for one [`WorkerInput::Timeout`](crate::WorkerInput::Timeout).
    pub batch_max: u32,
    /// Messages between its own tasks that may wait at a time.
    pub messages_max: usize,
    /// Of these, the messages of one task.
    pub messages_per_task_max: u32,
    /// Subscriptions that its tasks may have at a time.
    pub subscriptions_max: usize,
    /// Requests that may wait for an answer at a time: of those that its tasks have put, and of
    /// those that were put to them.
    pub requests_max: usize,
    /// Where chance comes from.
    pub entropy: Entropy,
    /// Where buffers come from.
    pub buffers: BufferPool,
    /// Who decides where tasks do what is rare: see [`Context::buggify`](crate::Context::buggify).
    /// `None` unless this is a simulation.
    pub mischief: Option<Mischief>,
}

impl WorkerConfig {
    /// The default limits: 10,000 outputs for one input, 2^24 tasks of one type, 2^20 resources,
    /// 65,536 inputs that wait, batches of 256; 65,536 messages within the worker, 4,096 of one
    /// task, 2^20 subscriptions, 65,536 requests.
    #[must_use]
    pub fn new(index: u16, entropy: Entropy) -> Self {
        let limits = WorkerLimits {
            outputs_max: 10_000,
            tasks_max: 1 << 24,
            resources_max: 1 << 20,
            pending_max: 1 << 16,
            batch_max: 256,
            messages_max: 1 << 16,
            messages_per_task_max: 1 << 12,
            subscriptions_max: 1 << 20,
            requests_max: 1 << 16,
            entropy,
            buffers: BufferPool::new(),
            mischief: None,
        };
        let groups = OnceCell::new();
        Self {
            index,
            entity: Entity::named("worker").part(u64::from(index)),
            shared: Rc::new(Shared { limits, groups }),
        }
    }

    /// Whether it has its limits from the same clone: nobody has touched them since, so they are the
    /// same.
    #[must_use]
    pub fn shares_limits(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// What is in common for the groups of the worker.
    pub(super) fn groups(&self) -> Rc<Common> {
        let make = || {
            let limits = &self.shared.limits;
            Rc::new(Common::new(GroupConfig {
                outputs_max: limits.outputs_max,
                tasks_max: limits.tasks_max,
                entropy: limits.entropy.clone(),
                entity: self.entity,
                buffers: limits.buffers.clone(),
                mischief: limits.mischief.clone(),
                metrics: None,
            }))
        };
        Rc::clone(self.shared.groups.get_or_init(make))
    }
}

impl Deref for WorkerConfig {
    type Target = WorkerLimits;

    #[inline]
    fn deref(&self) -> &WorkerLimits {
        &self.shared.limits
    }
}

impl DerefMut for WorkerConfig {
    /// From here on it has limits of its own.
    fn deref_mut(&mut self) -> &mut WorkerLimits {
        let shared = Rc::make_mut(&mut self.shared);
        // They would be those of before.
        shared.groups = OnceCell::new();
        &mut shared.limits
    }
}
