//! A worker: everything that one thread runs, still without I/O.
//!
//! A [`Worker`] hosts groups of tasks of different types. It takes one [`WorkerInput`] at a time,
//! finds the task it is for, gives it, and has pushed every output through [`WorkerOutputs`]
//! before it returns. So between two inputs everything in it is drained, and that is a matter of
//! types: while it drains it is borrowed, and nobody can hand it anything.
//!
//! What tasks ask of the worker itself (a new task, or to be told that a socket id is stale) waits
//! in a bounded queue and is handled as an input of its own, like any other.

use core::fmt;

use crate::bus::BusCounters;
use crate::control::{ControlOutput, SpawnId};
use crate::datagram::DatagramRun;
use crate::group::{StaleTask, guard};
use crate::id::{ResourceId, SocketId, TaskId};
use crate::net::NetworkEvent;
use crate::state::WorkerState;
use crate::status::WorkerStatus;
use crate::task::{App, End, Input, Task};
use crate::time::{Deadline, Timestamp};

mod bus;
mod config;
mod deliver;
mod groups;
mod io;
mod look;
mod pending;
mod port;
mod receive;
mod resources;

use bus::{Bus, LazyBus};
pub use config::{WorkerConfig, WorkerLimits};
use groups::Groups;
pub use groups::{Spawned, Spawner};
pub use io::{SpawnError, WorkerInput, WorkerOutput, WorkerOutputs};
pub use look::{RequestView, ResourceView, TaskView};
use pending::{Pending, PendingQueue};
use port::Port;
use resources::ResourceTable;

/// How a task is made: one `match` from `Spawn` to [`Spawner::insert`].
pub type SpawnFn<A> = dyn FnMut(<A as App>::Spawn, Spawner<'_, A>) -> Spawned;

/// The worker's outer border as its groups see it: borrows all but the groups.
macro_rules! port_of {
    ($worker:expr, $outputs:expr) => {
        Port {
            resources: &mut $worker.resources,
            bus: &mut $worker.bus,
            config: &$worker.config,
            now: $worker.now,
            pending: &mut $worker.pending,
            ending: &mut $worker.ending,
            outputs: &mut *$outputs,
        }
    };
}
/// Groups of tasks, driven one input at a time.
///
/// There is no way to hand it an input while it drains the one before:
///
/// ```compile_fail,E0499
/// # use stillpoint::*;
/// # #[derive(Debug)] struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// struct Eager<'a> { worker: &'a mut Worker<Demo> }
/// impl WorkerOutputs<Demo> for Eager<'_> {
///     fn lend(&mut self) -> TransmitBuffer<'_> { TransmitBuffer::new(&mut []) }
///     fn push(&mut self, _: WorkerOutput<Demo>) {}
/// }
/// # fn try_it(worker: &mut Worker<Demo>) {
/// let mut outputs = Eager { worker: &mut *worker };
/// // `outputs` could reach the worker from within, so it must not be lent to it:
/// worker.handle_input(Timestamp::EPOCH, WorkerInput::Timeout, &mut outputs);
/// # }
/// ```
///
/// The same with outputs that cannot reach the worker:
///
/// ```
/// # use stillpoint::*;
/// # #[derive(Debug)] struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
/// struct Patient;
/// impl WorkerOutputs<Demo> for Patient {
///     fn lend(&mut self) -> TransmitBuffer<'_> { TransmitBuffer::new(&mut []) }
///     fn push(&mut self, _: WorkerOutput<Demo>) {}
/// }
/// # fn try_it(worker: &mut Worker<Demo>) {
/// let mut outputs = Patient;
/// worker.handle_input(Timestamp::EPOCH, WorkerInput::Timeout, &mut outputs);
/// # }
/// ```
pub struct Worker<A: App> {
    config: WorkerConfig,
    state: WorkerState,
    groups: Groups<A>,
    resources: ResourceTable,
    bus: LazyBus<A>,
    /// Counts batches from the bus, to begin with another source each time.
    turn: u32,
    pending: PendingQueue<A>,
    spawn: Box<SpawnFn<A>>,
    stopping: Option<Stopping>,
    /// The spawned task whose start a panic in the driver broke off, and its parent.
    starting: Option<Box<(TaskId, Option<TaskId>)>>,
    /// The task whose end a panic in the driver broke off.
    ending: Option<Box<(TaskId, End)>>,
    now: Timestamp,
}

/// How far the worker is with stopping. The next task is the first at or after a group and slot.
#[derive(Debug, Clone, Copy)]
enum Stopping {
    /// The next task of this phase is to be told to finish, or of one before it that was not told
    /// already.
    Telling {
        told: Option<u8>,
        phase: u8,
        group: u16,
        slot: u32,
        /// The phase that is to be told next.
        then: Option<u8>,
    },
    /// All of this phase were told, and some may live.
    Told { phase: u8 },
    /// The next task is to be removed.
    Removing { group: u16, slot: u32 },
    /// None of this phase lives, and the controller was told.
    Ended { phase: u8 },
    /// All were removed.
    Removed,
}

impl<A: App> Worker<A> {
    /// A worker without tasks, that makes them with `spawn`.
    ///
    /// # Panics
    ///
    /// If a limit of messages or of batches is 0: nothing would ever be delivered.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        spawn: impl FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + 'static,
    ) -> Self {
        assert!(
            config.messages_max > 0 && config.messages_per_task_max > 0 && config.batch_max > 0,
            "a worker that takes no messages, or nothing in a batch: {config:?}"
        );
        Self {
            state: WorkerState::Waiting,
            groups: Groups::new(),
            resources: ResourceTable::new(config.index, config.resources_max),
            bus: LazyBus::new(),
            turn: 0,
            pending: PendingQueue::new(config.pending_max),
            spawn: Box::new(spawn),
            stopping: None,
            starting: None,
            ending: None,
            now: Timestamp::EPOCH,
            config,
        }
    }

    /// Gives the worker one input. When this returns, all that it caused has gone to `outputs`.
    ///
    /// A `now` earlier than one before counts as that one: for tasks, time never runs backwards.
    pub fn handle_input(
        &mut self,
        now: Timestamp,
        input: WorkerInput<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.now = self.now.max(now);
        self.resume(outputs);
        match input {
            WorkerInput::Network(NetworkEvent::Datagrams { socket, mut run }) => {
                self.datagrams(socket, &mut run, outputs);
            }
            WorkerInput::Network(event) => self.network(event, outputs),
            WorkerInput::Timeout => self.timeout(outputs),
            WorkerInput::Bus { from, item } => self.bus_item(from, item, outputs),
            WorkerInput::BusRoom(worker) => {
                self.bus.made(&self.config).room_came(worker, outputs);
            }
            WorkerInput::PeerJoined(worker) => {
                self.bus.made(&self.config).join(worker, outputs);
            }
            WorkerInput::PeerLeft(worker) => self.bus.made(&self.config).leave(worker, self.now),
            WorkerInput::Control(input) => self.control(input, outputs),
            WorkerInput::Spawn(spawn) => self.spawn((None, None), spawn, outputs),
            WorkerInput::Command { task, command } => {
                self.give(task, Input::Command(command), outputs);
            }
            WorkerInput::Shutdown => self.begin_to_stop(u8::MAX),
            WorkerInput::Abort => self.abort(outputs),
        }
        if self.stopping.is_some() {
            self.end_phase(outputs);
        }
    }

    /// When the worker next wants [`WorkerInput::Timeout`]: [`Worker::poll_timeout`] without the
    /// reason, and cheaper by that.
    #[must_use]
    #[inline(always)]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let first = self.groups.next_at();
        let quiet = self.state == WorkerState::Waiting
            && self.pending.is_empty()
            && self.stopping.is_none()
            && !self.bus.is_made();
        if quiet {
            first
        } else {
            self.poll_timeout().map(|deadline| deadline.at)
        }
    }

    /// When the worker next wants [`WorkerInput::Timeout`]. A moment that has passed if it can go
    /// on at once.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.state != WorkerState::Waiting {
            return Some(Deadline::new(self.now, "a drain that the driver broke off"));
        }
        if !self.pending.is_empty() || self.has_bus_work() {
            return Some(Deadline::new(self.now, "inputs of its own"));
        }
        if matches!(self.stopping, Some(Stopping::Telling { .. })) {
            return Some(Deadline::new(self.now, "shutdown"));
        }
        let first = self.groups.poll_timeout();
        let first_end = self.bus.get().and_then(Bus::first_end);
        match first_end {
            Some(end) if first.is_none_or(|first| end < first.at) => {
                Some(Deadline::new(end, "a request's answer"))
            }
            Some(_) | None => first,
        }
    }

    /// Where the worker stands. Other than [`WorkerState::Waiting`] only after a panic in its
    /// driver; what is undrained then comes first at the next input.
    #[must_use]
    pub fn state(&self) -> WorkerState {
        self.groups.undrained().unwrap_or(self.state)
    }

    /// Whether it was told to stop, no task lives, and what tasks wrote to streams is sent.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopping.is_some()
            && self.groups.tasks() == 0
            && self.resources.len() == 0
            && self.pending.is_empty()
            && !self.has_bus_work()
            && self.state == WorkerState::Waiting
    }

    /// How many tasks live.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.groups.tasks()
    }

    /// How many sockets, listeners, streams and devices are open, being opened, or being closed.
    #[must_use]
    pub const fn resources(&self) -> usize {
        self.resources.len()
    }

    /// Whether it has ever known of another worker, or had a message.
    #[must_use]
    #[inline]
    pub const fn uses_bus(&self) -> bool {
        self.bus.is_made()
    }

    /// What became of the messages of its tasks.
    #[must_use]
    #[inline]
    pub fn bus_counters(&self) -> &BusCounters {
        self.bus.counters()
    }

    /// How many messages wait in it that count as sent and not as received yet: those between its
    /// own tasks, and from the controller.
    #[must_use]
    pub fn messages_waiting(&self) -> usize {
        self.bus.get().map_or(0, Bus::messages_waiting)
    }

    /// Which task a socket, listener, stream or device belongs to.
    #[must_use]
    pub fn owner(&self, id: impl Into<ResourceId>) -> Option<TaskId> {
        self.resources.owner(id)
    }

    /// A look at a task. `None` if it is no more, or of another type.
    #[must_use]
    pub fn task<T: Task<App = A> + 'static>(&self, task: TaskId) -> Option<&T> {
        self.groups.group::<T>()?.get(task)
    }

    /// All tasks of a type.
    pub fn tasks_of<T: Task<App = A> + 'static>(&self) -> impl Iterator<Item = (TaskId, &T)> {
        self.groups
            .group::<T>()
            .into_iter()
            .flat_map(|group| group.iter())
    }

    /// Writes down what can be seen of it: all but what its driver knows, which is left as it is.
    pub fn write_status(&self, status: &mut WorkerStatus) {
        status.worker = self.config.index;
        status.at = self.now;
        self.groups.write_status(status);
        status.resources = self.resources.len();
        self.bus.write_status(status);
        status.queues.pending = self.pending.len();
        status.queues.pending_most = self.pending.longest();
        (status.buffers_live, status.buffers_free) = self.config.buffers.counts();
        status.lateness.share(self.groups.lateness());
    }

    /// Its limits and sources.
    #[must_use]
    pub const fn config(&self) -> &WorkerConfig {
        &self.config
    }

    fn has_bus_work(&self) -> bool {
        self.bus.get().is_some_and(Bus::is_busy)
    }

    /// After a panic in the driver: takes the output that is still to come.
    #[inline]
    fn resume(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        if self.state != WorkerState::Waiting {
            self.go_on(outputs);
        }
    }

    #[cold]
    fn go_on(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        let mut port = port_of!(self, outputs);
        port.finish_ending();
        self.groups.resume(&mut port);
        self.start(outputs);
        self.remove_all(outputs);
        self.state.enter(WorkerState::Waiting);
        if let Some(bus) = self.bus.get_mut() {
            bus.end_turn();
        }
        self.settle_returned(outputs);
    }

    #[inline(always)]
    fn datagrams(
        &mut self,
        socket: SocketId,
        run: &mut DatagramRun,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        // Nobody is to have what crosses with the closing of its socket.
        let Some(task) = self.resources.socket_owner(socket) else {
            return;
        };
        self.state.enter(WorkerState::OnInput);
        let mut port = port_of!(self, outputs);
        let run = (socket, run);
        let given = (self.groups).handle_datagrams(self.now, task, run, &mut port);
        self.state.enter(WorkerState::Waiting);
        if !given {
            outputs.push(WorkerOutput::Stale(StaleTask { task }));
        }
    }

    /// Gives one task an input. The driver is told if the task is no more.
    #[inline(always)]
    fn give(&mut self, task: TaskId, input: Input<A>, outputs: &mut impl WorkerOutputs<A>) {
        if !self.try_give(task, input, outputs) {
            outputs.push(WorkerOutput::Stale(StaleTask { task }));
        }
    }

    /// Gives one task an input. `false` if the task is no more.
    #[inline(always)]
    fn try_give(
        &mut self,
        task: TaskId,
        input: Input<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> bool {
        self.state.enter(WorkerState::OnInput);
        let mut port = port_of!(self, outputs);
        let given = self.groups.handle_input(self.now, task, input, &mut port);
        self.state.enter(WorkerState::Waiting);
        given
    }

    /// What is due, what the worker wants of itself, and shutdown: a bounded batch of each.
    fn timeout(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        self.state.enter(WorkerState::OnTick);
        let mut port = port_of!(self, outputs);
        self.groups
            .handle_timeout(self.now, self.config.batch_max, &mut port);
        self.state.enter(WorkerState::Waiting);

        // What these cause waits for the next batch.
        let batch = self.pending.len().min(self.config.batch_max as usize);
        for _ in 0..batch {
            let Some(pending) = self.pending.pop() else {
                break;
            };
            self.give_pending(pending, outputs);
        }
        self.handle_bus(outputs);
        self.stop_some(outputs);
    }

    fn spawn(
        &mut self,
        (parent, id): (Option<TaskId>, Option<SpawnId>),
        spawn: A::Spawn,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        let failed = |error| match id {
            Some(id) => WorkerOutput::Control(ControlOutput::Spawned {
                id,
                made: Err(error),
            }),
            None => WorkerOutput::SpawnFailed { parent, error },
        };
        if self.stopping.is_some() {
            return outputs.push(failed(SpawnError::Stopping));
        }
        self.state.enter(WorkerState::OnInput);
        let made = {
            let (make, spawner) = (
                &mut self.spawn,
                Spawner::new(&mut self.groups, &self.config),
            );
            guard(|| make(spawn, spawner).0).unwrap_or_else(|end| {
                Err(SpawnError::Panicked {
                    message: end.into_message(),
                })
            })
        };
        match made {
            Ok(task) => {
                self.starting = Some(Box::new((task, parent)));
                if let Some(id) = id {
                    let made = Ok(task);
                    let answer = ControlOutput::Spawned { id, made };
                    outputs.push(WorkerOutput::Control(answer));
                }
                outputs.push(WorkerOutput::Started { task, parent });
                self.start(outputs);
            }
            Err(error) => {
                // It may have panicked after it had taken a task in.
                self.groups.detach_last();
                outputs.push(failed(error));
            }
        }
        self.state.enter(WorkerState::Waiting);
    }

    /// Tells the task that was just spawned that it has started.
    fn start(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        if let Some(starting) = self.starting.take() {
            let (task, parent) = *starting;
            let mut port = port_of!(self, outputs);
            self.groups.start(self.now, task, parent, &mut port);
        }
    }

    fn abort(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        self.state.enter(WorkerState::OnInput);
        self.stopping = Some(Stopping::Removing { group: 0, slot: 0 });
        self.remove_all(outputs);
        self.state.enter(WorkerState::Waiting);
    }

    /// Removes every task and refuses what waits, if the worker was told to abort.
    fn remove_all(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        while let Some(Stopping::Removing { group, slot }) = self.stopping {
            let Some(task) = self.groups.next_from(group, slot) else {
                let Some(pending) = self.pending.pop() else {
                    if let Some(bus) = self.bus.get_mut() {
                        bus.drop_all();
                    }
                    self.stopping = Some(Stopping::Removed);
                    return;
                };
                if let Pending::Spawn { parent, .. } = pending {
                    let (parent, error) = (Some(parent), SpawnError::Stopping);
                    outputs.push(WorkerOutput::SpawnFailed { parent, error });
                }
                continue;
            };
            self.stopping = Some(Stopping::Removing {
                group: task.group,
                slot: task.key.slot.saturating_add(1),
            });
            let mut port = port_of!(self, outputs);
            self.groups.remove(task, &mut port);
        }
    }
}

impl<A: App> fmt::Debug for Worker<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.config.index)
            .field("state", &self.state())
            .field("tasks", &self.tasks())
            .field("resources", &self.resources())
            .field("deadline", &self.poll_timeout())
            .finish_non_exhaustive()
    }
}
