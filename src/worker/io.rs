//! What a worker is given, and what it gives out.

use crate::bus::BusItem;
use crate::control::{ControlInput, ControlOutput};
use crate::datagram::Transmit;
use crate::group::StaleTask;
use crate::id::TaskId;
use crate::net::{NetworkCommand, NetworkEvent};
use crate::task::{App, End};
use crate::transmit::TransmitBuffer;
#[cfg(doc)]
use crate::worker::Worker;

/// What a worker is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerInput<A: App> {
    /// It is `now`: whatever is due may go on.
    Timeout,
    /// From the network.
    Network(NetworkEvent),
    /// From another worker, over the bus. To be given only while [`Worker::takes_bus`] says so.
    Bus {
        /// Its index.
        from: u16,
        /// What.
        item: BusItem<A::Channel, A::Message>,
    },
    /// There is room in the queue to another worker, for which
    /// [`WorkerOutputs::want_bus_room`] has asked.
    BusRoom(u16),
    /// There is one more worker, to which the bus reaches. Both are told of each other before
    /// anything that the other one sends: messages from somebody unknown are dropped and counted.
    PeerJoined(u16),
    /// Another worker is no more, and all that it has sent over the bus was handed in.
    PeerLeft(u16),
    /// From the controller. To be given only while [`Worker::takes_control`] says so.
    Control(ControlInput<A>),
    /// Make a new task.
    Spawn(A::Spawn),
    /// From the controller to one task.
    Command {
        /// Which.
        task: TaskId,
        /// What.
        command: A::Command,
    },
    /// Tell every task to finish. Once none lives, the worker is stopped.
    Shutdown,
    /// Remove every task that still lives. The worker is stopped then.
    Abort,
}

/// What a worker gives out.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkerOutput<A: App> {
    /// To the network.
    Network(NetworkCommand),
    /// To the controller.
    Report {
        /// From this task.
        task: TaskId,
        /// What it says.
        report: A::Report,
    },
    /// A task has started.
    Started {
        /// Its id.
        task: TaskId,
        /// The task that asked for it, if a task did.
        parent: Option<TaskId>,
    },
    /// A task could not be made.
    SpawnFailed {
        /// The task that asked for it, if a task did.
        parent: Option<TaskId>,
        /// Why.
        error: SpawnError,
    },
    /// A task is no more; its sockets are closed.
    Ended {
        /// Its id.
        task: TaskId,
        /// Why.
        end: End,
    },
    /// An input was for a task that is no more.
    Stale(StaleTask),
    /// A task made so many mistakes that it could not be told of this one.
    Untold {
        /// The task.
        task: TaskId,
        /// What it was to be told.
        event: NetworkEvent,
    },
    /// An answer to the controller.
    Control(ControlOutput),
}

/// What the driver of a worker does with what the worker gives out.
pub trait WorkerOutputs<A: App> {
    /// Memory for the datagram that a task may now write in place.
    fn lend(&mut self) -> TransmitBuffer<'_>;

    /// Takes one output. The payload of a transmit that is not a buffer is in the memory lent
    /// last.
    fn push(&mut self, output: WorkerOutput<A>);

    /// Takes datagrams to send out of where they lie: what comes most often, so a driver may take
    /// it without the wrapping. Unless it does, they come through [`WorkerOutputs::push`] as
    /// everything else.
    fn transmit(&mut self, transmit: &mut Transmit) {
        let transmit = transmit.take();
        self.push(WorkerOutput::Network(NetworkCommand::Transmit(transmit)));
    }

    /// How many items the queue to another worker has room for. Asked only about workers that
    /// [`WorkerInput::PeerJoined`] told of.
    fn bus_room(&mut self, worker: u16) -> usize {
        let _ = worker;
        0
    }

    /// Takes one item for another worker. Only given when there is room.
    fn push_bus(&mut self, worker: u16, item: BusItem<A::Channel, A::Message>) {
        drop(item);
        let _ = worker;
    }

    /// Asks for [`WorkerInput::BusRoom`] once there is room in the queue to another worker.
    fn want_bus_room(&mut self, worker: u16) {
        let _ = worker;
    }
}

/// Why a task could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The group holds as many tasks as it may.
    #[error("group full: {tasks_max} tasks")]
    GroupFull {
        /// How many that is.
        tasks_max: u32,
    },
    /// Too many spawns wait already.
    #[error("worker's queue full: {pending_max} wait")]
    QueueFull {
        /// How many may wait.
        pending_max: usize,
    },
    /// The worker was told to stop.
    #[error("worker is stopping")]
    Stopping,
    /// The application's own reason: see [`Spawner::refuse`](crate::Spawner::refuse).
    #[error("refused: {reason}")]
    Refused {
        /// Which.
        reason: String,
    },
    /// The worker stopped before it took the spawn.
    #[error("worker {worker} has stopped")]
    WorkerGone {
        /// Which.
        worker: u16,
    },
    /// Making the task panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}
