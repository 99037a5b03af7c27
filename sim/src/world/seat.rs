//! Seats: a worker, and what its runner would know of it.

use std::collections::VecDeque;

use stillpoint::{App, Timestamp, Worker, WorkerInput};

use crate::bus::BusPath;
use crate::counters::{BusSeen, Counters};

/// The place of one worker among all workers of the world. It is never given to another.
pub(super) struct Seat<A: App> {
    /// `None` once it is no more.
    pub(super) worker: Option<Worker<A>>,
    pub(super) node: u32,
    pub(super) index: u16,
    /// For when the agenda has the worker's deadline. It may have others, which are stale.
    pub(super) armed: Option<Timestamp>,
    /// Times in a row that it has gone on at once.
    pub(super) turns: u32,
    /// It is given nothing before.
    pub(super) stalled_until: Timestamp,
    /// Whether its inputs are to wait: it is stalled, or some wait already.
    pub(super) held: bool,
    /// Whether something is to be looked at after each input.
    pub(super) watched: bool,
    /// Set once it is to be gone when it has stopped.
    pub(super) leaving: bool,
    /// Inputs it was given.
    pub(super) inputs: u64,
    pub(super) bus: BusSeen,
    pub(super) backlog: Backlog<A>,
}

/// What waits until a worker takes it.
pub(super) struct Backlog<A: App> {
    /// What came while it was stalled.
    pub(super) inputs: VecDeque<WorkerInput<A>>,
    /// Queues of the bus whose first item it does not take now.
    pub(super) senders: VecDeque<BusPath>,
}

impl<A: App> Seat<A> {
    pub(super) fn new(worker: Worker<A>, node: u32, index: u16) -> Self {
        Self {
            worker: Some(worker),
            node,
            index,
            armed: None,
            turns: 0,
            stalled_until: Timestamp::EPOCH,
            held: false,
            watched: false,
            leaving: false,
            inputs: 0,
            bus: BusSeen::default(),
            backlog: Backlog {
                inputs: VecDeque::new(),
                senders: VecDeque::new(),
            },
        }
    }

    /// When the worker can next be given a timeout.
    pub(super) fn wants_timeout(&self) -> Option<Timestamp> {
        let deadline = self.worker.as_ref()?.poll_timeout()?;
        Some(deadline.at.max(self.stalled_until))
    }

    /// Notes what has changed on the bus within the worker.
    #[cold]
    pub(super) fn note_bus(&mut self, counters: &mut Counters) {
        if let Some(worker) = &self.worker {
            let seen = BusSeen::of(worker);
            counters.note_bus(&self.bus, &seen);
            self.bus = seen;
        }
    }

    /// How many tasks live here.
    pub(super) fn tasks(&self) -> usize {
        self.worker.as_ref().map_or(0, Worker::tasks)
    }
}
