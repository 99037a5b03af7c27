//! The part of a controller that decides: a state machine without threads, queues or time.
//!
//! [`ControlPlane`] knows which workers there are and how loaded they are, places spawns, keeps
//! track of what was asked and not yet answered, and leads a shutdown through its phases. Whoever
//! drives it carries inputs to workers and brings back what they give out: the thread runtime does
//! so over queues, the simulator over its agenda.

use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    CommandId, CommandTarget, ControlError, ControlInput, ControlOutput, ControllerEvent,
    Placement, SpawnId, SpawnState, WhenWorkerFails, WorkerSummary,
};
use crate::control::CommandError;
use crate::id::TaskId;
use crate::task::App;
use crate::time::Timestamp;
use crate::worker::{SpawnError, WorkerOutput};

/// The part of a controller that decides. See [`Worker`](crate::Worker) for its other half.
#[derive(Debug)]
pub struct ControlPlane<A: App> {
    workers: Workers,
    when_worker_fails: WhenWorkerFails,
    next_worker: u32,
    /// The last worker that a task was placed on in turn.
    last_placed: u16,
    /// The phase that a shutdown is in.
    stopping: Option<u8>,
    /// `None` until something happens: a simulation has a controller for each of its nodes.
    books: Option<Box<Books<A>>>,
}

/// What there is to know once something has happened.
#[derive(Debug)]
struct Books<A: App> {
    next_spawn: u64,
    next_command: u64,
    /// When workers were replaced, the last ones.
    restarts: VecDeque<Timestamp>,
    /// Spawns that no worker has answered, and where they are.
    underway: BTreeMap<SpawnId, u16>,
    /// Tasks that live and that the controller asked for.
    started: BTreeMap<TaskId, SpawnId>,
    tasks: BTreeMap<SpawnId, TaskId>,
    /// Commands that no worker has answered.
    commands: BTreeMap<CommandId, CommandTarget>,
    events: VecDeque<ControllerEvent<A>>,
}

impl<A: App> Default for Books<A> {
    fn default() -> Self {
        Self {
            next_spawn: 0,
            next_command: 0,
            restarts: VecDeque::new(),
            underway: BTreeMap::new(),
            started: BTreeMap::new(),
            tasks: BTreeMap::new(),
            commands: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }
}

/// The workers that are there, in the order of their indexes, in no more room than they need.
#[derive(Debug, Default)]
struct Workers(Vec<(u16, Entry)>);

impl Workers {
    fn place(&self, worker: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&worker, |&(index, _)| index)
    }

    fn get(&self, worker: u16) -> Option<&Entry> {
        let place = self.place(worker).ok()?;
        Some(&self.0[place].1)
    }

    fn get_mut(&mut self, worker: u16) -> Option<&mut Entry> {
        let place = self.place(worker).ok()?;
        Some(&mut self.0[place].1)
    }

    fn insert(&mut self, worker: u16) {
        if let Err(place) = self.place(worker) {
            self.0.reserve_exact(1);
            self.0.insert(place, (worker, Entry::default()));
        }
    }

    fn remove(&mut self, worker: u16) -> Option<Entry> {
        let place = self.place(worker).ok()?;
        Some(self.0.remove(place).1)
    }

    fn iter(&self) -> impl Iterator<Item = (u16, &Entry)> + Clone {
        self.0.iter().map(|(worker, entry)| (*worker, entry))
    }
}

/// One worker.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    load: Load,
    /// Spawns on their way there.
    underway: u32,
    /// Tasks that live there and that the controller asked for. The load may not know of the last
    /// ones yet.
    started: u32,
    /// Set while it finishes because it is to be removed.
    leaving: bool,
    /// What it answered to the present phase of a shutdown: the next one that has tasks there.
    next_phase: Option<u8>,
}

/// How loaded a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(clippy::exhaustive_structs, reason = "what placement looks at")]
pub struct Load {
    /// The share of time that it does not sleep, from 0 to 1.
    pub utilization: f64,
    /// How many tasks live there.
    pub tasks: usize,
}

/// What follows from the end of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what a policy can say")]
pub enum Reaction {
    /// Nothing.
    GoOn,
    /// A worker is to be added in its place.
    Restart,
    /// All others are to be told to finish.
    Stop,
}

impl<A: App> ControlPlane<A> {
    /// No workers yet.
    #[must_use]
    pub const fn new(when_worker_fails: WhenWorkerFails) -> Self {
        Self {
            workers: Workers(Vec::new()),
            when_worker_fails,
            next_worker: 0,
            last_placed: u16::MAX,
            stopping: None,
            books: None,
        }
    }

    fn books(&mut self) -> &mut Books<A> {
        self.books.get_or_insert_default()
    }

    /// The workers that are there, by index.
    pub fn workers(&self) -> impl Iterator<Item = u16> {
        self.workers.iter().map(|(worker, _)| worker)
    }

    /// Gives a new worker its index, which no other ever has. It is there once
    /// [`ControlPlane::worker_started`] says so.
    ///
    /// # Errors
    ///
    /// - [`ControlError::NoIndex`] once 65,536 have been given.
    /// - [`ControlError::Stopping`] during a shutdown.
    pub fn next_worker(&mut self) -> Result<u16, ControlError> {
        if self.stopping.is_some() {
            return Err(ControlError::Stopping);
        }
        let index = u16::try_from(self.next_worker).map_err(|_| ControlError::NoIndex)?;
        self.next_worker += 1;
        Ok(index)
    }

    /// A worker is there. The first ones of a runtime are not worth an event; others are.
    pub fn worker_started(&mut self, worker: u16) {
        self.workers.insert(worker);
    }

    /// Notes how loaded a worker is.
    pub fn set_load(&mut self, worker: u16, load: Load) {
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.load = load;
        }
    }

    /// Chooses a worker.
    ///
    /// # Errors
    ///
    /// - [`ControlError::NoSuchWorker`] or [`ControlError::Stopped`] if it is pinned there.
    /// - [`ControlError::NoWorkers`] if there is none to choose.
    /// - [`ControlError::Stopping`] during a shutdown.
    pub fn place(&mut self, placement: Placement) -> Result<u16, ControlError> {
        if self.stopping.is_some() {
            return Err(ControlError::Stopping);
        }
        let open = self.workers.iter().filter(|(_, entry)| !entry.leaving);
        let chosen = match placement {
            Placement::Pinned(worker) => {
                self.check_stays(worker)?;
                Some(worker)
            }
            Placement::RoundRobin => {
                let mut indexes = open.map(|(worker, _)| worker);
                let first = indexes.clone().next();
                indexes.find(|&worker| worker > self.last_placed).or(first)
            }
            Placement::LeastLoaded => open
                .min_by(|(_, one), (_, other)| one.weight().total_cmp(&other.weight()))
                .map(|(worker, _)| worker),
            Placement::Key(key) => open
                .max_by_key(|&(worker, _)| xxh3_64_with_seed(&worker.to_le_bytes(), key))
                .map(|(worker, _)| worker),
        };
        let chosen = chosen.ok_or(ControlError::NoWorkers)?;
        if placement == Placement::RoundRobin {
            self.last_placed = chosen;
        }
        Ok(chosen)
    }

    /// Notes a spawn on a worker, and gives what the worker is to be told.
    pub fn spawn(&mut self, worker: u16, spawn: A::Spawn) -> (SpawnId, ControlInput<A>) {
        let id = SpawnId(self.books().next_spawn);
        self.books().next_spawn += 1;
        self.books().underway.insert(id, worker);
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.underway += 1;
        }
        (id, ControlInput::Spawn { id, spawn })
    }

    /// The worker was not told of the spawn after all.
    pub fn forget_spawn(&mut self, id: SpawnId) {
        if let Some(worker) = self.books().underway.remove(&id)
            && let Some(entry) = self.workers.get_mut(worker)
        {
            entry.underway -= 1;
        }
    }

    /// How a spawn stands.
    #[must_use]
    pub fn spawn_state(&self, id: SpawnId) -> SpawnState {
        let Some(books) = &self.books else {
            return SpawnState::Over;
        };
        if books.underway.contains_key(&id) {
            return SpawnState::Underway;
        }
        let task = books.tasks.get(&id);
        task.map_or(SpawnState::Over, |&task| SpawnState::Started(task))
    }

    /// Notes a command whose delivery is to be told, and gives what the worker is to be told.
    pub fn command(
        &mut self,
        to: CommandTarget,
        command: A::Command,
    ) -> (CommandId, ControlInput<A>) {
        let id = CommandId(self.books().next_command);
        self.books().next_command += 1;
        self.books().commands.insert(id, to);
        (id, ControlInput::Command { id, to, command })
    }

    /// The worker was not told of the command after all.
    pub fn forget_command(&mut self, id: CommandId) {
        self.books().commands.remove(&id);
    }

    /// How many spawns and commands wait for their answers.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let books = self.books.as_ref();
        books.map_or(0, |books| books.underway.len() + books.commands.len())
    }

    /// Whether a worker is there and may be told something, be it on its way out.
    ///
    /// # Errors
    ///
    /// - [`ControlError::NoSuchWorker`] if there never was such a worker.
    /// - [`ControlError::Stopped`] if it is no more.
    pub fn check(&self, worker: u16) -> Result<(), ControlError> {
        if self.workers.get(worker).is_some() {
            Ok(())
        } else if u32::from(worker) < self.next_worker {
            Err(ControlError::Stopped { worker })
        } else {
            let workers = self.workers.0.len();
            Err(ControlError::NoSuchWorker { worker, workers })
        }
    }

    /// Whether a worker is there to stay.
    fn check_stays(&self, worker: u16) -> Result<(), ControlError> {
        self.check(worker)?;
        match self.workers.get(worker) {
            Some(entry) if entry.leaving => Err(ControlError::Stopped { worker }),
            Some(_) | None => Ok(()),
        }
    }

    /// A worker is to finish and to be gone. What it is to be told.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::check`], and [`ControlError::Stopped`] if it is on its way out already.
    pub fn remove_worker(&mut self, worker: u16) -> Result<ControlInput<A>, ControlError> {
        self.check_stays(worker)?;
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.leaving = true;
        }
        Ok(ControlInput::Shutdown { phase: u8::MAX })
    }

    /// Begins a shutdown, if none has begun. The phase that all workers are to be told of.
    pub fn shutdown(&mut self) -> Option<u8> {
        if self.stopping.is_some() {
            return None;
        }
        self.stopping = Some(0);
        self.stopping
    }

    /// Whether a shutdown has begun.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// The next phase of a shutdown, once every worker has ended the present one. All workers are
    /// to be told of it.
    pub fn poll_phase(&mut self) -> Option<u8> {
        let phase = self.stopping?;
        // A worker that is on its way out has ended all phases once it is gone.
        let ended = |entry: &Entry| {
            let next = entry.next_phase.filter(|_| !entry.leaving);
            next.filter(|&next| next > phase)
        };
        let nexts = self.workers.iter().map(|(_, entry)| ended(entry));
        let next = nexts.collect::<Option<Vec<u8>>>()?.into_iter().min()?;
        self.stopping = Some(next);
        self.stopping
    }

    /// Takes what a worker gives out for its controller. What is for the network is none of it.
    pub fn handle_output(&mut self, worker: u16, output: WorkerOutput<A>) {
        let event = match output {
            WorkerOutput::Report { task, report } => ControllerEvent::Report { task, report },
            WorkerOutput::Started { task, parent } => {
                let spawn = self.books().started.get(&task).copied();
                ControllerEvent::Started {
                    task,
                    parent,
                    spawn,
                }
            }
            WorkerOutput::SpawnFailed { parent, error } => ControllerEvent::SpawnFailed {
                parent,
                spawn: None,
                error,
            },
            WorkerOutput::Ended { task, end } => {
                let spawn = self.books().started.remove(&task);
                if let Some(spawn) = spawn {
                    self.books().tasks.remove(&spawn);
                    if let Some(entry) = self.workers.get_mut(worker) {
                        entry.started -= 1;
                    }
                }
                ControllerEvent::Ended { task, end, spawn }
            }
            WorkerOutput::Stale(stale) => ControllerEvent::Stale(stale),
            WorkerOutput::Untold { task, event } => ControllerEvent::Untold { task, event },
            WorkerOutput::Control(output) => return self.handle_control(worker, output),
            WorkerOutput::Network(_) => return,
        };
        self.books().events.push_back(event);
    }

    fn handle_control(&mut self, worker: u16, output: ControlOutput) {
        match output {
            ControlOutput::Spawned { id, made } => {
                self.forget_spawn(id);
                match made {
                    Ok(task) => {
                        self.books().started.insert(task, id);
                        self.books().tasks.insert(id, task);
                        if let Some(entry) = self.workers.get_mut(worker) {
                            entry.started += 1;
                        }
                    }
                    Err(error) => self.books().events.push_back(ControllerEvent::SpawnFailed {
                        parent: None,
                        spawn: Some(id),
                        error,
                    }),
                }
            }
            ControlOutput::Commanded { id, given } => {
                if self.books().commands.remove(&id).is_some() {
                    self.books()
                        .events
                        .push_back(ControllerEvent::Commanded { id, given });
                }
            }
            ControlOutput::PhaseEnded { next, .. } => {
                if let Some(entry) = self.workers.get_mut(worker) {
                    entry.next_phase = Some(next);
                }
            }
        }
    }

    /// A worker is no more, and all that it gave out was handed in. What was asked of it and not
    /// answered is so now.
    pub fn worker_stopped(&mut self, now: Timestamp, summary: WorkerSummary) -> Reaction {
        let worker = summary.worker;
        let entry = self.workers.remove(worker);
        let was_leaving = entry.is_some_and(|entry| entry.leaving);
        let failed = summary.failure.is_some();
        let books = self.books();
        books
            .events
            .push_back(ControllerEvent::WorkerStopped(Box::new(summary)));
        let spawns = books.underway.iter().filter(|&(_, &at)| at == worker);
        let spawns: Vec<SpawnId> = spawns.map(|(&id, _)| id).collect();
        for id in spawns {
            books.underway.remove(&id);
            books.events.push_back(ControllerEvent::SpawnFailed {
                parent: None,
                spawn: Some(id),
                error: SpawnError::WorkerGone { worker },
            });
        }
        let commands = books
            .commands
            .iter()
            .filter(|(_, to)| to.worker() == worker);
        let commands: Vec<CommandId> = commands.map(|(&id, _)| id).collect();
        for id in commands {
            books.commands.remove(&id);
            let given = Err(CommandError::WorkerGone { worker });
            books
                .events
                .push_back(ControllerEvent::Commanded { id, given });
        }
        // The tasks of a worker that failed did not come to an end of their own.
        let tasks = books
            .started
            .iter()
            .filter(|(task, _)| task.worker() == worker);
        let tasks: Vec<(TaskId, SpawnId)> = tasks.map(|(&task, &id)| (task, id)).collect();
        for (task, id) in tasks {
            books.started.remove(&task);
            books.tasks.remove(&id);
            books.events.push_back(ControllerEvent::Ended {
                task,
                end: crate::task::End::Removed,
                spawn: Some(id),
            });
        }
        // One that was to be gone needs nobody in its place.
        let restarts = matches!(self.when_worker_fails, WhenWorkerFails::Restart { .. });
        if failed && !(was_leaving && restarts) {
            self.react(now)
        } else {
            Reaction::GoOn
        }
    }

    /// The machine has crashed, and all workers with it, of which [`ControlPlane::worker_stopped`]
    /// was told. What was asked of them is forgotten, a shutdown too; ids and indexes go on.
    ///
    /// # Panics
    ///
    /// If a worker is there that nobody said has stopped.
    pub fn machine_crashed(&mut self) {
        assert!(
            self.workers.0.is_empty(),
            "a machine that has crashed has no workers"
        );
        self.stopping = None;
        self.books().restarts.clear();
        self.last_placed = u16::MAX;
    }

    fn react(&mut self, now: Timestamp) -> Reaction {
        if self.stopping.is_some() {
            return Reaction::GoOn;
        }
        match self.when_worker_fails {
            WhenWorkerFails::GoOn => Reaction::GoOn,
            WhenWorkerFails::Stop => Reaction::Stop,
            WhenWorkerFails::Restart { restarts_max } => {
                let restarts = &mut self.books().restarts;
                restarts.retain(|&at| now.since(at) < WhenWorkerFails::WINDOW);
                if restarts.len() >= restarts_max as usize {
                    return Reaction::GoOn;
                }
                restarts.push_back(now);
                Reaction::Restart
            }
        }
    }

    /// Says something on the driver's own account.
    pub fn push_event(&mut self, event: ControllerEvent<A>) {
        self.books().events.push_back(event);
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<ControllerEvent<A>> {
        self.books.as_mut()?.events.pop_front()
    }

    /// Whether [`ControlPlane::poll_event`] has something.
    #[must_use]
    pub fn has_events(&self) -> bool {
        let books = self.books.as_ref();
        books.is_some_and(|books| !books.events.is_empty())
    }
}

impl Entry {
    /// How busy it is likely to be with one more task: each of those it has had a share of what was
    /// measured, and each one more is expected to take as much. The less, the rather a task is
    /// placed here.
    fn weight(&self) -> f64 {
        let measured = self.load.tasks.max(1) as f64;
        let tasks = (self.load.tasks.max(self.started as usize) + self.underway as usize) as f64;
        let busy = self.load.utilization.clamp(0.0, 1.0) * (tasks + 1.0) / measured;
        busy + tasks * IDLE_TASK
    }
}

/// What a task counts that has not been seen to do anything, as a share of a worker's time.
const IDLE_TASK: f64 = 0.001;
