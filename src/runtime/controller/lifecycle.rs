//! How workers come and go.

use std::sync::Arc;

use super::{
    App, Board, ControlError, Controller, ControllerEvent, Doorbell, Duration, Handle, Mailbox,
    PoisonError, StartError, StopSignal,
};
use crate::control::{Reaction, WorkerSummary};
use crate::counters::NetworkCounters;
use crate::runtime::lines::{Event, Events, Lines, Mail, Outbound, PeerLine, Peers, Stop, Stopped};
use crate::runtime::ring::ring;
use crate::runtime::thread::{NotReady, Thread};

/// What came of a shutdown.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShutdownSummary<A: App> {
    /// What each worker did, by index. Those that are stuck are missing, and those that had
    /// stopped before.
    pub workers: Vec<WorkerSummary>,
    /// Workers that did not come back, because a task of theirs does not return. Their threads
    /// are left to themselves.
    pub stuck: Vec<u16>,
    /// What had not been waited for.
    pub events: Vec<ControllerEvent<A>>,
}

impl<A: App> ShutdownSummary<A> {
    /// What passed through the sockets of all these workers.
    #[must_use]
    pub fn network(&self) -> NetworkCounters {
        let mut total = NetworkCounters::default();
        for worker in &self.workers {
            total += worker.counters;
        }
        total
    }
}

impl<A: App> Controller<A> {
    /// Starts one more worker, and gives its index. It hears of the others, and they of it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; everything is as before then.
    pub fn add_worker(&mut self) -> Result<u16, StartError> {
        let worker = self.launch_worker()?;
        self.plane.push_event(ControllerEvent::WorkerStarted {
            worker,
            instead_of: None,
        });
        Ok(worker)
    }

    /// Tells all tasks of a worker to finish, whatever their phase, and has it stop once none
    /// lives. [`ControllerEvent::WorkerStopped`] says when that is; its thread is joined then.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is no such worker, or it is on its way out already.
    pub fn remove_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        drop(self.plane.remove_worker(worker)?);
        self.ask(worker, Stop::Phase(u8::MAX));
        Ok(())
    }

    /// Removes a worker without further ado: tasks that live are removed. For one that
    /// [`Controller::remove_worker`] was too polite for.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is no such worker.
    pub fn abort_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        self.handle(worker)?;
        // Whether it was on its way out already does not matter.
        drop(self.plane.remove_worker(worker));
        self.ask(worker, Stop::Abort);
        Ok(())
    }

    /// Tells every task to finish, phase by phase: the tasks of a later
    /// [phase](crate::Task::SHUTDOWN_PHASE) once none of an earlier one lives on any worker. Waits
    /// for all of them at most for `timeout`; tasks that live on are removed then. Every thread
    /// that comes back is joined.
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownSummary<A> {
        let mut summary = ShutdownSummary {
            workers: Vec::new(),
            stuck: Vec::new(),
            events: Vec::new(),
        };
        self.begin_shutdown();
        self.gather(timeout, &mut summary);
        self.ask_all(Stop::Abort);
        self.gather(ABORT_GRACE, &mut summary);
        // Whoever is left is in a task that does not return. Waiting for it would be for ever.
        summary
            .stuck
            .extend(self.workers.drain(..).map(|worker| worker.index));
        summary.workers.sort_by_key(|stopped| stopped.worker);
        summary
    }

    /// Waits until all workers have stopped, or for `timeout`.
    fn gather(&mut self, timeout: Duration, summary: &mut ShutdownSummary<A>) {
        let until = self.now().after(timeout);
        loop {
            let left = until.since(self.now());
            match self.wait(Some(left)) {
                Some(ControllerEvent::WorkerStopped(stopped)) => summary.workers.push(*stopped),
                Some(event) => summary.events.push(event),
                None if self.workers.is_empty() => return,
                None => {}
            }
            // Also if there is no end of events.
            if left.is_zero() {
                return;
            }
        }
    }

    /// Begins a shutdown. The rest happens as events are taken.
    pub(super) fn begin_shutdown(&mut self) {
        if let Some(phase) = self.plane.shutdown() {
            self.ask_all(Stop::Phase(phase));
        }
    }

    /// Goes on to the next phase of a shutdown if the present one is over.
    pub(super) fn go_through_phases(&mut self) {
        while let Some(phase) = self.plane.poll_phase() {
            self.ask_all(Stop::Phase(phase));
        }
    }

    fn ask(&self, worker: u16, stop: Stop) {
        if let Ok(handle) = self.handle(worker) {
            handle.stop.ask(stop);
            handle.bell.ring();
        }
    }

    fn ask_all(&self, stop: Stop) {
        for handle in &self.workers {
            handle.stop.ask(stop);
            handle.bell.ring();
        }
    }

    /// Starts a worker's thread, waits until it has its backend, and introduces it to the others.
    pub(super) fn launch_worker(&mut self) -> Result<u16, StartError> {
        let worker = self.plane.next_worker()?;
        let bell = Arc::new(Doorbell::new());
        let (controls, events_max) = (self.config.inputs_max, self.config.events_max);
        let controller_bell = || Arc::clone(&self.bell);
        let (control, control_end) = ring(controls, controller_bell(), Arc::clone(&bell));
        let (events_end, events) =
            ring::<Event<A>>(events_max, Arc::clone(&bell), controller_bell());
        let (remote, remote_end) = crossbeam_channel::bounded(self.config.remote_inputs_max);
        let (ready, is_ready) = crossbeam_channel::bounded(1);
        let (mailbox, stop) = (Arc::new(Mailbox::new()), Arc::new(StopSignal::new()));
        let board = Arc::new(Board::new(worker, self.now()));
        let thread = Thread {
            index: worker,
            config: Arc::clone(&self.config),
            lines: Lines {
                bell: Arc::clone(&bell),
                control: control_end,
                remote: remote_end,
                mailbox: Arc::clone(&mailbox),
                stop: Arc::clone(&stop),
                stopping: Stop::No,
                events: Events::new(events_end, events_max),
                peers: Peers(Vec::new()),
            },
            board: Arc::clone(&board),
            stopped: self.stopped_sender.clone(),
            controller_bell: controller_bell(),
            ready,
            clock: self.clock,
        };
        let thread = (self.launch)(thread).map_err(|error| StartError::Thread {
            worker,
            message: error.to_string(),
        })?;
        if let Err(error) = is_ready.recv().unwrap_or(Err(NotReady::Gone)) {
            // It has nothing more to do but to end.
            drop(thread.join());
            return Err(error.into_start_error(worker));
        }
        self.introduce(worker, &mailbox, &bell);
        self.directory.add(worker, remote, Arc::clone(&bell));
        let mut boards = self.boards.write().unwrap_or_else(PoisonError::into_inner);
        boards.push((worker, Arc::clone(&board)));
        drop(boards);
        self.workers.push(Handle {
            index: worker,
            control,
            events,
            bell,
            mailbox,
            stop,
            thread,
        });
        self.plane.worker_started(worker);
        Ok(worker)
    }

    /// Makes the bus between a new worker and each of the others. It hears of them when all of them
    /// have been told: from then on it may send, and any of them may send where it lives.
    fn introduce(&self, worker: u16, mailbox: &Mailbox<A>, bell: &Arc<Doorbell>) {
        let capacity = self.config.bus_queue_max;
        let mut others = Vec::new();
        for other in &self.workers {
            let (to_other, from_new) = ring(capacity, Arc::clone(bell), Arc::clone(&other.bell));
            let (to_new, from_other) = ring(capacity, Arc::clone(&other.bell), Arc::clone(bell));
            others.push(Mail::Joined {
                worker: other.index,
                line: PeerLine::new(Outbound::new(to_other, capacity), from_other),
            });
            other.mailbox.put(Mail::Joined {
                worker,
                line: PeerLine::new(Outbound::new(to_new, capacity), from_new),
            });
            other.bell.ring();
        }
        for mail in others {
            mailbox.put(mail);
        }
        bell.ring();
    }

    /// A worker has stopped: takes its last words, joins its thread, tells the others, and does
    /// what the policy says.
    pub(super) fn bury(&mut self, stopped: Stopped<A>) {
        let Stopped {
            mut summary,
            last_words,
        } = stopped;
        let worker = summary.worker;
        let Ok(place) = self.place_of(worker) else {
            return;
        };
        let mut handle = self.workers.remove(place);
        self.turn = 0;
        let mut last_words = last_words.into_iter();
        while let Some(event) = handle.events.pop().or_else(|| last_words.next()) {
            match event {
                Event::Report { task, report } => {
                    let event = ControllerEvent::Report { task, report };
                    self.plane.push_event(event);
                }
                Event::Other(output) => self.plane.handle_output(worker, *output),
            }
        }
        // The thread catches its own panics, so there is nothing to hear here.
        drop(handle.thread.join());
        summary.inputs_lost += handle.control.end() as u64;
        for mail in handle.mailbox.take() {
            if let Mail::Joined { line, .. } = mail {
                summary.bus.lost += line.end();
            }
        }
        self.directory.remove(worker);
        let mut boards = self.boards.write().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|(index, _)| *index != worker);
        drop(boards);
        for other in &self.workers {
            other.mailbox.put(Mail::Left { worker });
            other.bell.ring();
        }
        let reaction = self.plane.worker_stopped(self.now(), summary);
        match reaction {
            Reaction::GoOn => {}
            Reaction::Stop => self.begin_shutdown(),
            Reaction::Restart => {
                let event = match self.launch_worker() {
                    Ok(new) => ControllerEvent::WorkerStarted {
                        worker: new,
                        instead_of: Some(worker),
                    },
                    Err(error) => ControllerEvent::RestartFailed {
                        worker,
                        message: error.to_string(),
                    },
                };
                self.plane.push_event(event);
            }
        }
        self.go_through_phases();
    }
}

impl NotReady {
    fn into_start_error(self, worker: u16) -> StartError {
        match self {
            Self::Backend(error) => StartError::Backend { worker, error },
            Self::Recorder(message) => StartError::Recorder { worker, message },
            Self::Core { core, error } => StartError::Core {
                worker,
                core,
                message: error,
            },
            Self::Gone => StartError::Thread {
                worker,
                message: "ended before it was ready".to_owned(),
            },
        }
    }
}

impl<A: App> Drop for Controller<A> {
    /// Removes every task and joins every thread.
    fn drop(&mut self) {
        self.ask_all(Stop::Abort);
        for handle in self.workers.drain(..) {
            drop((handle.control, handle.events));
            drop(handle.thread.join());
        }
    }
}

/// How long removed tasks may take to be dropped.
const ABORT_GRACE: Duration = Duration::from_secs(5);
