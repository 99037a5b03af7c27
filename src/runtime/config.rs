//! How a runtime is set up.

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;

#[cfg(all(feature = "io-uring", target_os = "linux"))]
use crate::backend::IoUringConfig;
use crate::backend::sockets::SocketBackend;
use crate::backend::{BackendConfig, BackendError, BackendKind, Offload};
use crate::buffer::BufferPool;
use crate::control::WhenWorkerFails;
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
    /// What they reach it with where `backend` cannot be had, in the order in which they are
    /// tried. None: a worker without its backend does not start.
    pub fallbacks: Vec<BackendKind>,
    /// Whether the kernel is to join and split runs of datagrams.
    pub offload: Offload,
    /// How the backend `io-uring` sets up its ring.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    pub io_uring: IoUringConfig,
    /// Where the tasks' chance comes from. Drawn from the system unless set.
    pub seed: u64,
    /// Inputs from the controller that may wait for one worker.
    pub inputs_max: usize,
    /// Inputs from [`Remote`](crate::runtime::Remote)s that may wait for one worker.
    pub remote_inputs_max: usize,
    /// Events from one worker that may wait for the controller. Reports that find no room are
    /// dropped and counted. What the controller has asked for waits in the worker; what nobody has
    /// asked for, such as the start of a task that another one spawned, is dropped and counted as
    /// soon as half of the places are taken.
    pub events_max: usize,
    /// Spawns and commands that may wait for their answers.
    pub unanswered_max: usize,
    /// Messages from one worker to another that may wait.
    pub bus_queue_max: usize,
    /// Outputs that a task may give for one input.
    pub outputs_max: u32,
    /// For how long a worker that has nothing to do may look whether something has come, again
    /// and again, before it sleeps. Zero, unless set: it sleeps at once.
    ///
    /// For those who pay for latency with CPU: to wake a thread takes 20 to 50 µs, and while it
    /// looks, what comes is seen within one or two, and others need no system call to wake it. The
    /// worker adapts: it looks on only while things come that fast, never longer than this before
    /// it sleeps, and for about twice this in all once they stop coming. So an idle worker uses no
    /// CPU, and one to which something comes every `spin_max` or sooner uses a whole core. Times
    /// from 50 to 200 µs are a fair choice where there is a core for each thread that looks; where
    /// there is not, they take the time of those that they wait for.
    ///
    /// [`RunnerStatus::spun`](crate::RunnerStatus::spun) says what it takes, `spins_paid` and
    /// `spins_failed` what for.
    pub spin_max: Duration,
    /// What is done when a worker fails.
    pub when_worker_fails: WhenWorkerFails,
    /// How threads are started.
    pub threads: ThreadConfig,
}

/// How the threads of workers are started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadConfig {
    /// What their names begin with; the worker's index follows. Linux shows 15 bytes of both.
    pub name: String,
    /// Bytes of stack, if not what the system gives.
    pub stack_bytes: Option<usize>,
    /// The cores that workers are kept on, one each, by index and again from the first. None: the
    /// system chooses.
    pub cores: Vec<usize>,
}

impl RuntimeConfig {
    /// One worker over `backend`. 4,096 inputs, and as many events and messages, may wait at each
    /// worker, and 65,536 spawns and commands for their answers.
    #[must_use]
    pub fn new(backend: BackendKind) -> Self {
        Self {
            workers: 1,
            backend,
            fallbacks: Vec::new(),
            offload: Offload::WhereAvailable,
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            io_uring: IoUringConfig::new(),
            seed: RandomState::new().build_hasher().finish(),
            inputs_max: 1 << 12,
            remote_inputs_max: 1 << 10,
            events_max: 1 << 12,
            unanswered_max: 1 << 16,
            bus_queue_max: 1 << 12,
            outputs_max: 10_000,
            spin_max: Duration::ZERO,
            when_worker_fails: WhenWorkerFails::GoOn,
            threads: ThreadConfig {
                name: "stillpoint-".to_owned(),
                stack_bytes: None,
                cores: Vec::new(),
            },
        }
    }

    /// The same, with another backend where those named before cannot be had.
    #[must_use]
    pub fn or_else(mut self, fallback: BackendKind) -> Self {
        self.fallbacks.push(fallback);
        self
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
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        {
            config.io_uring = self.io_uring;
        }
        config
    }

    /// What makes a worker's backend: the first that this system has.
    pub(super) fn make_backend(
        &self,
    ) -> impl FnMut(u16, &BackendConfig) -> Result<SocketBackend, BackendError> + Clone + Send + use<>
    {
        let (best, fallbacks) = (self.backend, self.fallbacks.clone());
        move |_, config| SocketBackend::first_of(best, &fallbacks, config)
    }

    /// The core that a worker is kept on.
    pub(super) fn core(&self, index: u16) -> Option<usize> {
        let cores = &self.threads.cores;
        let place = usize::from(index).checked_rem(cores.len())?;
        cores.get(place).copied()
    }
}
