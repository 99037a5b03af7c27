//! Limits of a worker, and where it gets chance and memory from.

use crate::buffer::BufferPool;
use crate::entropy::{Entity, Entropy};
use crate::group::GroupConfig;
use crate::mischief::Mischief;

/// Limits of a worker, and where it gets chance and memory from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// Its index among the workers of its runner.
    pub index: u16,
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
    /// Whose chance it is; each task draws as a part of it.
    pub entity: Entity,
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
        Self {
            index,
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
            entity: Entity::named("worker").part(u64::from(index)),
            buffers: BufferPool::new(),
            mischief: None,
        }
    }

    pub(super) fn group(&self, index: u16) -> GroupConfig {
        let mut config = GroupConfig::new(self.entropy.clone(), self.entity.part(u64::from(index)));
        config.outputs_max = self.outputs_max;
        config.tasks_max = self.tasks_max;
        config.buffers = self.buffers.clone();
        config.mischief = self.mischief.clone();
        config
    }
}
