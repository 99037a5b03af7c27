//! Waiting for what workers have to say.

use crate::control::{WorkerFailure, WorkerSummary};
use crate::id::TaskId;
use crate::task::End;
use crate::worker::SpawnError;

use super::{
    App, Clock, Controller, ControllerEvent, Duration, Event, Ordering, PollFd, SpawnId,
    SpawnState, Timeout, Timestamp, poll_fds,
};

/// Something of a program is no more that was to go on. See [`Controller::wait_report`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fallen {
    /// A worker has stopped.
    #[error("worker {worker} has stopped{}", because(.failure.as_ref()))]
    Worker {
        /// Its index.
        worker: u16,
        /// Why, if not because it was told to.
        failure: Option<WorkerFailure>,
    },
    /// A task has ended.
    #[error("{task}: {end}")]
    Task {
        /// Which.
        task: TaskId,
        /// How.
        end: End,
    },
    /// A task could not be made.
    #[error("a task cannot be made: {0}")]
    Spawn(SpawnError),
}

fn because(failure: Option<&WorkerFailure>) -> String {
    failure.map_or_else(String::new, |failure| format!(": {failure}"))
}

impl<A: App> Controller<A> {
    /// Waits for the next event: for ever, or at most for `timeout`. `None` also if no worker is
    /// there and none of their events is left.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Option<ControllerEvent<A>> {
        if let Some(event) = self.take() {
            return Some(event);
        }
        let until = timeout.map(|timeout| self.now().after(timeout));
        loop {
            if !self.sleep(until) {
                return self.take();
            }
            if let Some(event) = self.take() {
                return Some(event);
            }
        }
    }

    /// The next event that is there. After `None` the controller's descriptor becomes readable
    /// with the next one: see its [`AsFd`](std::os::fd::AsFd).
    pub fn poll(&mut self) -> Option<ControllerEvent<A>> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            if self.arm() {
                return None;
            }
        }
    }

    /// Waits for the next report, for a program that serves until somebody interrupts it. `None` once
    /// that has happened, or if no worker is left.
    ///
    /// # Errors
    ///
    /// [`Fallen`] if something of the program is no more that was to go on: a worker, or a task that
    /// the controller itself has asked for.
    pub fn wait_report(&mut self) -> Result<Option<A::Report>, Fallen> {
        while let Some(event) = self.wait(None) {
            match event {
                ControllerEvent::Report { report, .. } => return Ok(Some(report)),
                ControllerEvent::Interrupted => return Ok(None),
                ControllerEvent::WorkerStopped(summary) => {
                    let WorkerSummary {
                        worker, failure, ..
                    } = *summary;
                    return Err(Fallen::Worker { worker, failure });
                }
                ControllerEvent::RestartFailed { worker, .. } => {
                    let failure = None;
                    return Err(Fallen::Worker { worker, failure });
                }
                ControllerEvent::Ended {
                    task,
                    end,
                    spawn: Some(_),
                } => return Err(Fallen::Task { task, end }),
                ControllerEvent::SpawnFailed {
                    error,
                    spawn: Some(_),
                    ..
                } => return Err(Fallen::Spawn(error)),
                ControllerEvent::Started { .. }
                | ControllerEvent::SpawnFailed { .. }
                | ControllerEvent::Ended { .. }
                | ControllerEvent::Commanded { .. }
                | ControllerEvent::Stale(_)
                | ControllerEvent::Untold { .. }
                | ControllerEvent::WorkerStarted { .. } => {}
            }
        }
        Ok(None)
    }

    /// Waits until a spawn is more than under way, or at most for `timeout`, and says how it
    /// stands. Events that come meanwhile are kept for [`Controller::wait`].
    pub fn wait_spawned(&mut self, spawn: SpawnId, timeout: Duration) -> SpawnState {
        let until = self.now().after(timeout);
        while self.spawn_state(spawn) == SpawnState::Underway {
            match self.take_new() {
                // Of events there may be no end.
                Some(event) => {
                    self.stash.push_back(event);
                    if self.now() >= until {
                        break;
                    }
                }
                None if !self.sleep(Some(until)) => break,
                None => {}
            }
        }
        self.spawn_state(spawn)
    }

    /// Sleeps until somebody rings. `false` if the time is up, or nobody ever will.
    fn sleep(&mut self, until: Option<Timestamp>) -> bool {
        if self.workers.is_empty() {
            return false;
        }
        let timeout = match until {
            Some(until) => {
                let left = until.since(self.clock.now());
                if left.is_zero() {
                    return false;
                }
                Timeout::After(left)
            }
            None => Timeout::Forever,
        };
        if self.arm() {
            let mut fds = [PollFd::readable(self.signal.fd())];
            // Nothing but a signal can be wrong here, which is a wake-up without cause.
            let _: Result<usize, _> = poll_fds(&mut fds, timeout);
        }
        self.disarm();
        true
    }

    /// Has the descriptor become readable with the next event. `false` if there is one already.
    fn arm(&mut self) -> bool {
        let Self {
            bell,
            workers,
            stopped,
            interrupted,
            ..
        } = self;
        self.armed = bell.sleep(|| {
            workers.iter().all(|worker| worker.events.is_empty())
                && stopped.is_empty()
                && !interrupted.load(Ordering::Acquire)
        });
        self.armed
    }

    fn disarm(&mut self) {
        if core::mem::take(&mut self.armed) {
            self.bell.awake();
            self.signal.lower();
        }
    }

    /// The next event that is there.
    pub(super) fn take(&mut self) -> Option<ControllerEvent<A>> {
        match self.stash.pop_front() {
            Some(event) => Some(event),
            None => self.take_new(),
        }
    }

    /// The next event that is there and was not met before.
    pub(super) fn take_new(&mut self) -> Option<ControllerEvent<A>> {
        self.disarm();
        loop {
            if let Some(event) = self.plane.poll_event() {
                return Some(event);
            }
            // First, since there may be no end of what other workers have to say.
            if let Ok(stopped) = self.stopped.try_recv() {
                self.bury(stopped);
                continue;
            }
            if !self.is_interrupt_due()
                && let Some(event) = self.take_from_workers()
            {
                return Some(event);
            }
            let interrupt = self.interrupt_after.take();
            return interrupt.map(|_| ControllerEvent::Interrupted);
        }
    }

    /// Whether an interrupt is to be told: after the events that were there when it was met.
    fn is_interrupt_due(&mut self) -> bool {
        if let Some(left) = self.interrupt_after {
            self.interrupt_after = Some(left.saturating_sub(1));
        } else if self.interrupted.load(Ordering::Relaxed)
            && self.interrupted.swap(false, Ordering::AcqRel)
        {
            let waiting = self.workers.iter().map(|worker| worker.events.len());
            self.interrupt_after = Some(waiting.sum());
        }
        self.interrupt_after == Some(0)
    }

    /// Takes one event from one worker after the other: a batch from each. `None` if there is
    /// none.
    fn take_from_workers(&mut self) -> Option<ControllerEvent<A>> {
        // Each worker is looked at once, and the one whose turn it is twice.
        let mut turns = 0;
        while turns <= self.workers.len() {
            let handle = self.workers.get_mut(self.turn)?;
            let event = if self.turn_left > 0 {
                handle.events.pop()
            } else {
                None
            };
            match event {
                Some(Event::Report { task, report }) => {
                    self.turn_left -= 1;
                    return Some(ControllerEvent::Report { task, report });
                }
                Some(Event::Other(output)) => {
                    self.turn_left -= 1;
                    let worker = handle.index;
                    self.plane.handle_output(worker, *output);
                    self.go_through_phases();
                    // Not all that a worker says is news for the application.
                    if let Some(event) = self.plane.poll_event() {
                        return Some(event);
                    }
                }
                None => {
                    handle.events.flush();
                    self.turn = (self.turn + 1) % self.workers.len();
                    self.turn_left = BATCH_MAX;
                    turns += 1;
                }
            }
        }
        None
    }
}

/// Events taken from one worker before it is another's turn.
const BATCH_MAX: usize = 64;
