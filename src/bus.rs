//! The bus: what tasks send to each other, on the same worker or another.
//!
//! A message goes to one task, to all subscribers of a channel, or to the agents of all workers;
//! a request goes to one task and has one answer by its deadline. Delivery is an input like any
//! other: never while something is undrained.
//!
//! - **Order.** What one task sends to another arrives in the order in which it was sent.
//! - **Bounds.** Between two workers there is one queue each way, and one within a worker; each is
//!   bounded. A sender says with each message what is to be done without room: see [`NoRoom`].
//! - **Copies.** A message is cloned for each receiver but the last. One that holds a
//!   [`Buffer`](crate::Buffer) shares its bytes.
//! - **Conservation.** What is not delivered is counted in [`BusCounters`], and a message to a task
//!   that is no more is told to its sender.
//!
//! Which workers are interested in a channel is known to every worker by itself, and told to the
//! others over the same queues. [`BusEvent::Subscribed`] says that all of them know.

mod resend;

use core::fmt::Debug;

pub use resend::Resend;

use crate::id::{RequestId, TaskId};
use crate::net::Token;
use crate::time::Timestamp;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "one, some, or all")]
pub enum Destination<C> {
    /// To one task, on this worker or another.
    Task(TaskId),
    /// To all that subscribe to a channel, on all workers.
    Channel(C),
    /// To the agent of each worker that has one, this one included. See
    /// [`BusCommand::BecomeAgent`].
    Workers,
}

/// What is to be done with a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "either it matters or it does not")]
pub enum NoRoom {
    /// Give it back, and say when there is room: [`BusEvent::NoRoom`], later [`BusEvent::Room`].
    /// For a channel or for all workers: as soon as one of the queues has no room, and then no
    /// queue gets it.
    Wait,
    /// Drop it and count it. For a channel or for all workers: only where there is no room.
    Drop,
}

/// What a task asks of the bus. `C` is the application's channel, `M` its message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusCommand<C, M> {
    /// Have what is published on a channel from now on. Answered by [`BusEvent::Subscribed`], or
    /// [`BusEvent::TooManySubscriptions`]. Ends with the task.
    Subscribe(C),
    /// Have it no longer, beginning at once.
    Unsubscribe(C),
    /// Take what is sent to this worker as a whole: messages to [`Destination::Workers`], and the
    /// controller's commands to the worker. A worker has one agent; answered by
    /// [`BusEvent::Agent`]. Ends with the task.
    BecomeAgent,
    /// Send a message.
    Send {
        /// Where to.
        to: Destination<C>,
        /// What.
        message: M,
        /// What to do if there is no room.
        no_room: NoRoom,
    },
    /// Ask one task. Answered by [`BusEvent::Reply`] or [`BusEvent::RequestFailed`], exactly once.
    Request {
        /// Whom.
        to: TaskId,
        /// Comes back with the answer.
        token: Token,
        /// What.
        message: M,
        /// When it fails with [`RequestError::TimedOut`] unless it is answered.
        until: Timestamp,
        /// What to do if there is no room. Without waiting it fails with
        /// [`RequestError::NoRoom`].
        no_room: NoRoom,
    },
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// What.
        message: M,
        /// What to do if there is no room. If it is dropped, the request times out.
        no_room: NoRoom,
    },
}

/// What the bus tells a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusEvent<C, M> {
    /// A message.
    Message {
        /// Who sent it. `None` if the application did, by its controller.
        from: Option<TaskId>,
        /// Where it was sent.
        to: Destination<C>,
        /// What.
        message: M,
    },
    /// A request, to be answered with [`BusCommand::Reply`]. A task that ends without has it fail.
    Request {
        /// Who asks.
        from: TaskId,
        /// Its name.
        request: RequestId,
        /// What.
        message: M,
        /// When an answer comes too late.
        until: Timestamp,
    },
    /// The answer to a request.
    Reply {
        /// Who answers.
        from: TaskId,
        /// The number given in [`BusCommand::Request`].
        token: Token,
        /// What.
        message: M,
    },
    /// A request has no answer.
    RequestFailed {
        /// Who was asked.
        to: TaskId,
        /// The number given in [`BusCommand::Request`].
        token: Token,
        /// Why not.
        error: RequestError,
    },
    /// All workers know of the subscription: what any of them publishes from now on arrives.
    /// Workers that are added later learn of it before they hear anything else from this one.
    Subscribed(C),
    /// The worker holds as many subscriptions as it may.
    TooManySubscriptions {
        /// What was to be subscribed to.
        channel: C,
        /// How many it may hold.
        subscriptions_max: usize,
    },
    /// Who is the worker's agent: the task itself, or who was first.
    Agent(TaskId),
    /// There was no room, and nothing was done: here it is again. Everything else that this task
    /// sends to the same worker and would rather wait for comes back, too, until
    /// [`BusEvent::Room`], which is told after all that came back: whoever sends it again at once
    /// has it back at once.
    NoRoom {
        /// The worker whose queue is full.
        worker: u16,
        /// What was asked for.
        command: BusCommand<C, M>,
    },
    /// There is room in the queue to this worker. Those who wait are told in turn, and may take it
    /// before anybody else.
    Room {
        /// Which.
        worker: u16,
    },
    /// Messages did not arrive because their receiver is no more. Told once for a row of the same.
    Undelivered {
        /// Who was to have them.
        to: TaskId,
        /// How many in the row.
        messages: u32,
    },
    /// The request was answered already, has timed out, or was put to somebody else.
    StaleRequest(RequestId),
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// None came in time.
    #[error("no answer in time")]
    TimedOut,
    /// Who was asked is no more, or ended without an answer.
    #[error("who was asked is no more")]
    Ended,
    /// The worker of who was asked is no more.
    #[error("the worker of who was asked is no more")]
    WorkerGone,
    /// There was no room for it.
    #[error("queue full")]
    NoRoom,
    /// Too many requests wait for their answers at one of both workers.
    #[error("too many requests wait for an answer: {requests_max}")]
    TooMany {
        /// How many may wait at a worker.
        requests_max: usize,
    },
}

/// What goes from one worker to another over the bus. Made and read by workers; a driver carries it.
#[derive(Debug)]
pub struct BusItem<C, M>(pub(crate) Item<C, M>);

impl<C, M> BusItem<C, M> {
    /// How many messages of tasks it holds: 1, or 0 if workers speak of subscriptions and the like.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.0.messages()
    }
}

#[derive(Debug)]
pub(crate) enum Item<C, M> {
    Direct {
        from: Option<TaskId>,
        to: TaskId,
        message: M,
    },
    Publish {
        from: Option<TaskId>,
        channel: C,
        message: M,
    },
    Broadcast {
        from: Option<TaskId>,
        message: M,
    },
    Request {
        from: TaskId,
        to: TaskId,
        request: RequestId,
        until: Timestamp,
        message: M,
    },
    Reply {
        from: TaskId,
        request: RequestId,
        message: M,
    },
    /// A request has no answer.
    Failed {
        request: RequestId,
        error: RequestError,
    },
    /// A message of `from` did not reach `to`.
    Undelivered {
        from: TaskId,
        to: TaskId,
    },
    /// Whether the sending worker is interested in a channel. Acknowledged with the same number.
    Interest {
        channel: C,
        interest: Interest,
        number: u64,
    },
    InterestKnown {
        channel: C,
        number: u64,
    },
}

/// Whether a worker has subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Some,
    None,
}

impl<C, M> Item<C, M> {
    pub(crate) const fn messages(&self) -> u64 {
        match self {
            Self::Direct { .. }
            | Self::Publish { .. }
            | Self::Broadcast { .. }
            | Self::Request { .. }
            | Self::Reply { .. } => 1,
            Self::Failed { .. }
            | Self::Undelivered { .. }
            | Self::Interest { .. }
            | Self::InterestKnown { .. } => 0,
        }
    }
}

/// What became of messages at one worker, requests and replies included. Over all workers of a
/// controller: `sent == received + lost`, and what waits in queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BusCounters {
    /// Put into queues: one for each queue that a message went into.
    pub sent: u64,
    /// Taken out of queues.
    pub received: u64,
    /// Given to tasks. What is published is received once and given to each subscriber.
    pub delivered: u64,
    /// Dropped for want of room, as their sender wished: one for each queue without room.
    pub dropped: u64,
    /// Given back to their sender for want of room.
    pub refused: u64,
    /// Given back, but to no avail: the sender had made so many mistakes that it could not be told.
    pub untold: u64,
    /// Taken out of queues, or never put into one, because who was to have them is no more.
    pub stale: u64,
    /// Published or sent to workers where nobody was to have them.
    pub unheard: u64,
    /// In the queues of a worker that is no more, or that was told to abort.
    pub lost: u64,
    /// Requests that were put.
    pub requests: u64,
    /// Of these, answered.
    pub replies: u64,
    /// Of these, failed, for whatever reason.
    pub requests_failed: u64,
}

impl BusCounters {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        sent: 0,
        received: 0,
        delivered: 0,
        dropped: 0,
        refused: 0,
        untold: 0,
        stale: 0,
        unheard: 0,
        lost: 0,
        requests: 0,
        replies: 0,
        requests_failed: 0,
    };
}

impl core::ops::AddAssign for BusCounters {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.delivered += other.delivered;
        self.dropped += other.dropped;
        self.refused += other.refused;
        self.untold += other.untold;
        self.stale += other.stale;
        self.unheard += other.unheard;
        self.lost += other.lost;
        self.requests += other.requests;
        self.replies += other.replies;
        self.requests_failed += other.requests_failed;
    }
}
