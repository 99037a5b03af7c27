//! Tasks: what a protocol is written as.
//!
//! A [`Task`] is a state machine with one owner and no I/O. It is given one [`Input`] at a time
//! and asked for [`Output`] until it has none; then, once, when it next wants a timeout. It never
//! asks for time, bytes or chance: they come with the input and with its [`Context`].

use core::fmt::Debug;
use std::rc::Rc;

#[cfg(doc)]
use crate::buffer::Buffer;
use crate::buffer::BufferPool;
use crate::bus::{BusCommand, BusEvent};
use crate::datagram::Transmit;
use crate::device::{DeviceOpen, PacketTransmit};
use crate::entropy::{Entity, Source};
use crate::group::{Common, GroupConfig};
use crate::id::{ResourceId, StreamId, TaskId};
use crate::metric::{Counter, Gauge, MetricName};
use crate::mischief::Mischief;
use crate::net::NetworkEvent;
use crate::stream::{Reading, StreamWrite, TcpConnect, TcpListen};
use crate::time::{Deadline, Timestamp};
use crate::transmit::{Payload, TransmitBuffer};
use crate::udp::{Membership, UdpOpen};

mod outbox;

pub(crate) use outbox::put;
pub use outbox::{Adopted, Outbox};

/// The types that all tasks of one application share.
pub trait App: Debug + 'static {
    /// The name of something to publish to and subscribe to on the bus. `()` if there is none.
    type Channel: Copy + Ord + Debug + Send;
    /// What tasks send to each other over the bus. `()` if nothing. What is large belongs into a
    /// [`Buffer`] or an [`Arc`](std::sync::Arc), so that its clones share it.
    type Message: Clone + Debug + Send;
    /// From the controller to a task.
    type Command: Debug + Send;
    /// From a task to the controller.
    type Report: Debug + Send;
    /// What a new task is made from.
    type Spawn: Debug + Send;
}

/// A protocol state machine.
///
/// # Example
///
/// ```
/// use stillpoint::*;
///
/// struct Echo { bind: core::net::SocketAddr, outbox: Outbox<EchoApp> }
///
/// #[derive(Debug)]
/// struct EchoApp;
/// impl App for EchoApp {
///     type Channel = ();
///     type Message = ();
///     type Command = ();
///     type Report = ();
///     type Spawn = core::net::SocketAddr;
/// }
/// impl Task for Echo {
///     type App = EchoApp;
///
///     fn handle_input(&mut self, _: Timestamp, input: Input<EchoApp>) {
///         match input {
///             Input::Started(_) => self.outbox.open_udp(UdpOpen::new(Token(0), self.bind)),
///             Input::Network(NetworkEvent::Datagrams { socket, run }) => {
///                 self.outbox.transmit(Transmit::reply(socket, run));
///             }
///             Input::Shutdown => self.outbox.finish(),
///             _ => {}
///         }
///     }
///
///     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<EchoApp>> {
///         self.outbox.pop()
///     }
/// }
/// ```
pub trait Task {
    /// The application it belongs to.
    type App: App;

    /// When a shutdown tells tasks of this type to finish: once no task of a lower phase lives, on
    /// any worker. Those who take in work from outside should go before those who do it.
    const SHUTDOWN_PHASE: u8 = 0;

    /// Takes one input. Only ever called when the output of the previous input is drained.
    ///
    /// Never fails because of a peer. A panic ends this task alone.
    fn handle_input(&mut self, now: Timestamp, input: Input<Self::App>);

    /// Gives the next output, or `None` when there is none left.
    ///
    /// A datagram may be a [`Buffer`] that the task owns, or be written in place into `transmit`.
    fn poll_output(
        &mut self,
        now: Timestamp,
        transmit: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Self::App>>;

    /// When the task next wants [`Input::Timeout`], and why. Pure; asked once after each drain.
    ///
    /// A task that was just given a timeout must want the next one later than that, or none: else
    /// it would spin. That is a panic in the task.
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    /// What a debugger may see of it: itself if it derives `Debug`, say. Only simulations ask.
    fn inspect(&self) -> Option<&dyn Debug> {
        None
    }
}

/// What a task is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<A: App> {
    /// It lives. Always the first input, and given once.
    Started(Context),
    /// Its deadline has passed.
    Timeout,
    /// Something about one of its sockets, listeners, streams or devices.
    Network(NetworkEvent),
    /// From the bus.
    Bus(BusEvent<A::Channel, A::Message>),
    /// From the controller.
    Command(A::Command),
    /// The worker is to stop: finish in an orderly way, and say [`Output::Finished`].
    Shutdown,
}

/// What a task gives.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output<A: App> {
    /// Open a UDP socket. Answered by [`NetworkEvent::UdpOpened`] or
    /// [`NetworkEvent::UdpOpenFailed`].
    OpenUdp(Box<UdpOpen>),
    /// Send datagrams.
    Transmit(Transmit),
    /// Make a socket a member of a multicast group. Answered by [`NetworkEvent::GroupJoined`] or
    /// [`NetworkEvent::GroupFailed`].
    JoinGroup(Membership),
    /// End such a membership. Answered by [`NetworkEvent::GroupLeft`] or
    /// [`NetworkEvent::GroupFailed`]. Closing the socket ends all that it has.
    LeaveGroup(Membership),
    /// Listen for TCP connections. Answered by [`NetworkEvent::Listening`] or
    /// [`NetworkEvent::ListenFailed`].
    Listen(Box<TcpListen>),
    /// Make a TCP connection. Answered by [`NetworkEvent::Connected`] or
    /// [`NetworkEvent::ConnectFailed`].
    Connect(Box<TcpConnect>),
    /// Write to a stream.
    Write(StreamWrite),
    /// End our direction of a stream, behind all that was written (FIN).
    EndWrite(StreamId),
    /// Take what a stream receives, or not now.
    SetReading {
        /// The stream.
        stream: StreamId,
        /// Whether to.
        reading: Reading,
    },
    /// Break a stream off (RST). Its id is stale at once.
    Reset(StreamId),
    /// Open a TUN or TAP device. Answered by [`NetworkEvent::DeviceOpened`] or
    /// [`NetworkEvent::DeviceOpenFailed`].
    OpenDevice(Box<DeviceOpen>),
    /// Give a packet to a device.
    Packet(PacketTransmit),
    /// Close a socket, listener, stream or device. Its id is stale at once. What was written to a
    /// stream is still sent.
    Close(ResourceId),
    /// Ask something of the bus.
    Bus(BusCommand<A::Channel, A::Message>),
    /// Tell the controller.
    Report(A::Report),
    /// Make a new task on this worker.
    Spawn(A::Spawn),
    /// The task is done. Its sockets are closed and its id is stale; it is asked no more.
    Finished,
}

impl<A: App> Output<A> {
    /// The bytes that go out with it, if there are any.
    pub(crate) const fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Transmit(transmit) => Some(&transmit.payload),
            Self::Write(write) => Some(&write.payload),
            Self::Packet(packet) => Some(&packet.payload),
            Self::OpenUdp(_)
            | Self::JoinGroup(_)
            | Self::LeaveGroup(_)
            | Self::Listen(_)
            | Self::Connect(_)
            | Self::EndWrite(_)
            | Self::SetReading { .. }
            | Self::Reset(_)
            | Self::OpenDevice(_)
            | Self::Close(_)
            | Self::Bus(_)
            | Self::Report(_)
            | Self::Spawn(_)
            | Self::Finished => None,
        }
    }

    /// The same, to be replaced.
    const fn payload_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Transmit(transmit) => Some(&mut transmit.payload),
            Self::Write(write) => Some(&mut write.payload),
            Self::Packet(packet) => Some(&mut packet.payload),
            Self::OpenUdp(_)
            | Self::JoinGroup(_)
            | Self::LeaveGroup(_)
            | Self::Listen(_)
            | Self::Connect(_)
            | Self::EndWrite(_)
            | Self::SetReading { .. }
            | Self::Reset(_)
            | Self::OpenDevice(_)
            | Self::Close(_)
            | Self::Bus(_)
            | Self::Report(_)
            | Self::Spawn(_)
            | Self::Finished => None,
        }
    }
}

/// What a task knows of its place. Given with [`Input::Started`]; the task keeps it if it needs
/// it later.
#[derive(Debug)]
#[non_exhaustive]
pub struct Context {
    /// The task itself.
    pub task: TaskId,
    /// The task that spawned it, if a task did.
    pub parent: Option<TaskId>,
    /// Its own source of chance.
    pub random: Source,
    /// Memory for datagrams.
    pub buffers: BufferPool,
    group: Place,
}

/// What the groups around a task's own have in common, and whose metrics its own are.
type Place = (Rc<Common>, Entity);

impl Context {
    pub(crate) const fn new(
        task: TaskId,
        parent: Option<TaskId>,
        random: Source,
        buffers: BufferPool,
        group: Place,
    ) -> Self {
        Self {
            task,
            parent,
            random,
            buffers,
            group,
        }
    }

    /// A number that only grows, for those who watch. It belongs to all tasks of this type on this
    /// worker that ask for it, and is part of the worker's status, with what is served to Prometheus:
    /// see [`WorkerStatus::metrics`](crate::WorkerStatus::metrics).
    #[must_use]
    pub fn counter(&self, name: MetricName) -> Counter {
        let (common, owner) = &self.group;
        common.metrics.counter(*owner, name)
    }

    /// A number that goes up and down, for those who watch. See [`Context::counter`].
    #[must_use]
    pub fn gauge(&self, name: MetricName) -> Gauge {
        let (common, owner) = &self.group;
        common.metrics.gauge(*owner, name)
    }

    /// What a [group](crate::TaskGroup) of its children is made from: they draw as parts of this
    /// task, take memory from where it does, and count as it does. The limits are the default ones.
    #[must_use]
    pub fn children(&self) -> GroupConfig {
        let (common, owner) = &self.group;
        let mut config = GroupConfig::new(common.entropy.clone(), self.random.entity());
        config.metrics = Some((Rc::clone(&common.metrics), *owner));
        config.buffers = self.buffers.clone();
        config.mischief = self.mischief().cloned();
        config
    }

    /// Whether to do here, once, what is allowed and rare: to send the shortest piece, give up a
    /// cache, refuse for want of room. Always `false` in production, where it costs a look at a
    /// `None`; in a simulation `true` now and then, at the labels that its seed has chosen. So tests
    /// go where production goes once a year.
    ///
    /// The label names the place. It should be the only one of its name, and never change.
    ///
    /// # Example
    ///
    /// ```
    /// use stillpoint::Context;
    ///
    /// /// How many requests to take in before the peer is asked to wait.
    /// fn window(context: &Context) -> usize {
    ///     if context.buggify("window of one") { 1 } else { 64 }
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub fn buggify(&self, label: &'static str) -> bool {
        match self.mischief() {
            None => false,
            Some(mischief) => mischief.decide(label, self.random.entity()),
        }
    }

    /// Who decides that. `None` in production.
    #[must_use]
    pub fn mischief(&self) -> Option<&Mischief> {
        self.group.0.mischief.as_ref()
    }

    /// Index of the worker that the task lives on.
    #[must_use]
    pub const fn worker(&self) -> u16 {
        self.task.worker()
    }
}

/// Why a task is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// It said [`Output::Finished`].
    #[error("finished")]
    Finished,
    /// It panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// It gave more outputs for one input than it may.
    #[error("stopped: more than {outputs_max} outputs for one input")]
    Runaway {
        /// The limit it passed.
        outputs_max: u32,
    },
    /// It was removed from outside, before it finished.
    #[error("removed")]
    Removed,
}

impl End {
    /// Whether the task ended by a fault of its own.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Panicked { .. } | Self::Runaway { .. })
    }

    /// The panic's message, or what else there is to say.
    pub(crate) fn into_message(self) -> String {
        match self {
            Self::Panicked { message } => message,
            Self::Finished | Self::Runaway { .. } | Self::Removed => self.to_string(),
        }
    }
}
