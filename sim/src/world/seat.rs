//! Seats: a worker, and what its runner would know of it.

use std::collections::VecDeque;

use stillpoint::{App, Timestamp, Worker, WorkerInput};

use super::timing::Timing;
use crate::bus::BusPath;
use crate::counters::{BusSeen, Counters};
use crate::room::Lazy;
use crate::trace::Cause;

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
    /// Whether its inputs are to wait: it is stalled, or some of those that came meanwhile wait
    /// still.
    pub(super) held: bool,
    /// When its tasks are removed if it has not stopped by then.
    pub(super) abort_at: Option<Box<Timestamp>>,
    /// Whether something is to be looked at after each input.
    pub(super) watched: bool,
    /// Set once it is to be gone when it has stopped.
    pub(super) leaving: bool,
    /// Since when it is there.
    pub(super) since: Timestamp,
    /// `None` if its clock is that of the world, its timers are on time, and its inputs take none.
    pub(super) timing: Option<Box<Timing<A>>>,
    /// Inputs it was given.
    pub(super) inputs: u64,
    pub(super) controls: Lazy<Controls>,
    pub(super) bus: Lazy<BusSeen>,
    pub(super) backlog: Lazy<Backlog<A>>,
}

/// What a controller has asked of a worker that the worker has not taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Controls {
    /// On their way or waiting.
    pub(super) underway: usize,
    pub(super) underway_most: usize,
    /// Whether the agenda has a turn for those that wait.
    pub(super) attended: bool,
}

/// What waits until a worker takes it.
pub(super) struct Backlog<A: App> {
    /// What came while it was stalled.
    pub(super) inputs: VecDeque<(Cause, WorkerInput<A>)>,
    /// From the controller.
    pub(super) controls: VecDeque<(Cause, WorkerInput<A>)>,
    /// Queues of the bus whose first item it does not take now.
    pub(super) senders: VecDeque<BusPath>,
}

impl<A: App> Seat<A> {
    pub(super) fn new(worker: Worker<A>, node: u32, index: u16, now: Timestamp) -> Self {
        Self {
            worker: Some(worker),
            node,
            index,
            armed: None,
            turns: 0,
            stalled_until: Timestamp::EPOCH,
            held: false,
            abort_at: None,
            watched: false,
            leaving: false,
            since: now,
            timing: None,
            inputs: 0,
            controls: Lazy::default(),
            bus: Lazy::default(),
            backlog: Lazy::default(),
        }
    }

    /// When something is to be done without an input from outside: a timeout, the end of a stall,
    /// or the removal of its tasks.
    #[inline(always)]
    pub(super) fn wants_turn(&self) -> Option<Timestamp> {
        let at = self.worker.as_ref()?.next_timeout();
        if self.held || self.timing.is_some() || self.abort_at.is_some() {
            return self.wants_turn_otherwise(at);
        }
        at
    }

    /// The same where it is not for its worker alone to say.
    #[cold]
    fn wants_turn_otherwise(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        if self.held {
            return self.held_until();
        }
        let at = at.map(|at| match &self.timing {
            None => at,
            Some(timing) => timing.due(at),
        });
        match (at, self.abort_at.as_deref()) {
            (Some(at), Some(&abort_at)) => Some(at.min(abort_at)),
            (at, abort_at) => at.or(abort_at.copied()),
        }
    }

    /// When it goes on. `None` if it stands still until somebody has it go on.
    #[cold]
    pub(super) fn held_until(&self) -> Option<Timestamp> {
        let busy_until = self.timing.as_ref().map(|timing| timing.busy_until());
        let until = busy_until.map_or(self.stalled_until, |busy| busy.max(self.stalled_until));
        (until < Timestamp::MAX).then_some(until)
    }

    /// Whether anything is to be looked at after each input.
    pub(super) fn is_to_be_watched(&self) -> bool {
        let backlog = self.backlog.get();
        let waits =
            |backlog: &Backlog<A>| !backlog.senders.is_empty() || !backlog.controls.is_empty();
        self.leaving || backlog.is_some_and(waits)
    }

    /// Notes what has changed on the bus within the worker.
    #[cold]
    pub(super) fn note_bus(&mut self, counters: &mut Counters) {
        if let Some(worker) = &self.worker {
            let seen = BusSeen::of(worker);
            counters.note_bus(&self.bus, &seen);
            *self.bus = seen;
        }
    }

    /// The share of its time that it is busy. Being given inputs takes no time, unless it is told to
    /// and but for stalls.
    pub(super) fn utilization(&self, now: Timestamp) -> f64 {
        match &self.timing {
            Some(timing) if self.stalled_until <= now => timing.utilization(now),
            Some(_) | None if self.held => 1.0,
            Some(_) | None => 0.0,
        }
    }

    /// How many inputs from the controller are on their way or waiting.
    pub(super) fn underway(&self) -> usize {
        self.controls.get().map_or(0, |controls| controls.underway)
    }

    /// How many tasks live here.
    pub(super) fn tasks(&self) -> usize {
        self.worker.as_ref().map_or(0, Worker::tasks)
    }
}

impl<A: App> Default for Backlog<A> {
    fn default() -> Self {
        Self {
            inputs: VecDeque::new(),
            controls: VecDeque::new(),
            senders: VecDeque::new(),
        }
    }
}
