//! How a runtime is set up.

use core::hash::{BuildHasher, Hasher};
use std::hash::RandomState;

use crate::backend::{BackendConfig, BackendKind, Offload};
use crate::buffer::BufferPool;
use crate::entropy::Entropy;
use crate::worker::WorkerConfig;

/// How many workers there are, over what, and their limits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// Worker threads.
    pub workers: u16,
    /// What they reach the kernel with.
    pub backend: BackendKind,
    /// Whether the kernel is to join and split runs of datagrams.
    pub offload: Offload,
    /// Where the tasks' chance comes from. Drawn from the system unless set.
    pub seed: u64,
    /// Inputs from the controller that may wait for one worker.
    pub inputs_max: usize,
    /// Events from all workers that may wait for the controller.
    pub events_max: usize,
    /// Outputs that a task may give for one input.
    pub outputs_max: u32,
}

impl RuntimeConfig {
    /// One worker over `backend`; 65,536 inputs a worker and as many events may wait.
    #[must_use]
    pub fn new(backend: BackendKind) -> Self {
        Self {
            workers: 1,
            backend,
            offload: Offload::WhereAvailable,
            seed: RandomState::new().build_hasher().finish(),
            inputs_max: 1 << 16,
            events_max: 1 << 16,
            outputs_max: 10_000,
        }
    }

    /// The same, with this many workers.
    #[must_use]
    pub const fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self
    }

    pub(super) fn worker(&self, index: u16, buffers: BufferPool) -> WorkerConfig {
        let mut config = WorkerConfig::new(index, Entropy::from_seed(self.seed));
        config.outputs_max = self.outputs_max;
        config.buffers = buffers;
        config
    }

    pub(super) fn backend(&self, buffers: BufferPool) -> BackendConfig {
        let mut config = BackendConfig::new(buffers);
        config.offload = self.offload;
        config
    }
}
