//! Tasks: what a protocol is written as.
//!
//! A [`Task`] is a state machine with one owner and no I/O. It is given one [`Input`] at a time
//! and asked for [`Output`] until it has none; then, once, when it next wants a timeout. It never
//! asks for time, bytes or chance: they come with the input and with its [`Context`].

use core::fmt::Debug;
use core::net::SocketAddr;
use std::collections::VecDeque;

use crate::buffer::{Buffer, BufferPool};
use crate::bus::{BusCommand, BusEvent, Destination, NoRoom};
use crate::datagram::{DatagramRun, Transmit};
use crate::device::{DeviceOpen, PacketTransmit};
use crate::entropy::{Entity, Source};
use crate::group::GroupOutputs;
use crate::id::{RequestId, ResourceId, SocketId, StreamId, TaskId};
use crate::mischief::Mischief;
use crate::net::{NetworkEvent, Token};
use crate::stream::{Reading, StreamWrite, TcpConnect, TcpListen};
use crate::time::{Deadline, Timestamp};
use crate::transmit::{Payload, TransmitBuffer};
use crate::udp::{Membership, UdpOpen};

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
    /// Who decides where it does what is rare. `None` in production.
    mischief: Option<(Mischief, Entity)>,
}

impl Context {
    pub(crate) const fn new(
        task: TaskId,
        parent: Option<TaskId>,
        random: Source,
        buffers: BufferPool,
        mischief: Option<(Mischief, Entity)>,
    ) -> Self {
        Self {
            task,
            parent,
            random,
            buffers,
            mischief,
        }
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
        match &self.mischief {
            None => false,
            Some((mischief, task)) => mischief.decide(label, *task),
        }
    }

    /// Who decides that, for the [group](crate::GroupConfig) of its children. `None` in production.
    #[must_use]
    pub fn mischief(&self) -> Option<&Mischief> {
        self.mischief.as_ref().map(|(mischief, _)| mischief)
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

/// A queue of outputs that a task may keep to implement [`Task::poll_output`] in one line.
///
/// It keeps its memory from one drain to the next. Its length is bounded by the worker's limit of
/// outputs for one input.
#[derive(Debug)]
pub struct Outbox<A: App> {
    queue: VecDeque<Output<A>>,
}

impl<A: App> Outbox<A> {
    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }

    /// Queues any output.
    #[inline]
    pub fn push(&mut self, output: Output<A>) {
        if self.queue.is_empty() {
            // Begins at the front again, in memory that was used just before; and with room for
            // one, as many give one output an input.
            self.queue.clear();
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(output);
    }

    /// The oldest output: what [`Task::poll_output`] returns.
    #[inline]
    pub fn pop(&mut self) -> Option<Output<A>> {
        self.queue.pop_front()
    }

    /// Whether there is nothing to give.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Asks for a UDP socket.
    pub fn open_udp(&mut self, open: UdpOpen) {
        self.push(Output::OpenUdp(Box::new(open)));
    }

    /// Makes a socket a member of a multicast group.
    pub fn join_group(&mut self, membership: Membership) {
        self.push(Output::JoinGroup(membership));
    }

    /// Ends a socket's membership in a multicast group.
    pub fn leave_group(&mut self, membership: Membership) {
        self.push(Output::LeaveGroup(membership));
    }

    /// Sends datagrams.
    #[inline]
    pub fn transmit(&mut self, transmit: Transmit) {
        self.push(Output::Transmit(transmit));
    }

    /// Sends one datagram.
    #[inline]
    pub fn send(&mut self, socket: SocketId, peer: SocketAddr, payload: Buffer) {
        self.transmit(Transmit::new(socket, peer, payload));
    }

    /// Sends a run back to where it came from.
    #[inline]
    pub fn reply(&mut self, socket: SocketId, run: DatagramRun) {
        self.transmit(Transmit::reply(socket, run));
    }

    /// Listens for TCP connections.
    pub fn listen(&mut self, listen: TcpListen) {
        self.push(Output::Listen(Box::new(listen)));
    }

    /// Makes a TCP connection.
    pub fn connect(&mut self, connect: TcpConnect) {
        self.push(Output::Connect(Box::new(connect)));
    }

    /// Writes to a stream. See [`StreamWriter`](crate::StreamWriter) for who keeps count of its
    /// room.
    pub fn write(&mut self, stream: StreamId, data: Buffer) {
        self.push(Output::Write(StreamWrite::new(stream, data)));
    }

    /// Ends our direction of a stream, behind all that was written.
    pub fn end_write(&mut self, stream: StreamId) {
        self.push(Output::EndWrite(stream));
    }

    /// Takes what a stream receives, or not now.
    pub fn set_reading(&mut self, stream: StreamId, reading: Reading) {
        self.push(Output::SetReading { stream, reading });
    }

    /// Breaks a stream off.
    pub fn reset(&mut self, stream: StreamId) {
        self.push(Output::Reset(stream));
    }

    /// Asks for a TUN or TAP device.
    pub fn open_device(&mut self, open: DeviceOpen) {
        self.push(Output::OpenDevice(Box::new(open)));
    }

    /// Gives a packet to a device.
    pub fn send_packet(&mut self, packet: PacketTransmit) {
        self.push(Output::Packet(packet));
    }

    /// Closes a socket, listener, stream or device.
    pub fn close(&mut self, id: impl Into<ResourceId>) {
        self.push(Output::Close(id.into()));
    }

    /// Asks something of the bus.
    pub fn bus(&mut self, command: BusCommand<A::Channel, A::Message>) {
        self.push(Output::Bus(command));
    }

    /// Subscribes to a channel.
    pub fn subscribe(&mut self, channel: A::Channel) {
        self.bus(BusCommand::Subscribe(channel));
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, channel: A::Channel) {
        self.bus(BusCommand::Unsubscribe(channel));
    }

    /// Takes what is sent to this worker as a whole.
    pub fn become_agent(&mut self) {
        self.bus(BusCommand::BecomeAgent);
    }

    /// Sends a message to one task.
    pub fn send_to(&mut self, to: TaskId, message: A::Message, no_room: NoRoom) {
        self.message(Destination::Task(to), message, no_room);
    }

    /// Publishes a message on a channel.
    pub fn publish(&mut self, channel: A::Channel, message: A::Message, no_room: NoRoom) {
        self.message(Destination::Channel(channel), message, no_room);
    }

    /// Sends a message to the agents of all workers.
    pub fn broadcast(&mut self, message: A::Message, no_room: NoRoom) {
        self.message(Destination::Workers, message, no_room);
    }

    /// Sends a message.
    pub fn message(&mut self, to: Destination<A::Channel>, message: A::Message, no_room: NoRoom) {
        self.bus(BusCommand::Send {
            to,
            message,
            no_room,
        });
    }

    /// Asks a task, which has until `until` to answer. Without room it fails at once.
    pub fn request(&mut self, to: TaskId, token: Token, message: A::Message, until: Timestamp) {
        self.bus(BusCommand::Request {
            to,
            token,
            message,
            until,
            no_room: NoRoom::Drop,
        });
    }

    /// Answers a request. Without room the answer comes back as [`BusEvent::NoRoom`].
    pub fn answer(&mut self, request: RequestId, message: A::Message) {
        self.bus(BusCommand::Reply {
            request,
            message,
            no_room: NoRoom::Wait,
        });
    }

    /// Tells the controller.
    pub fn report(&mut self, report: A::Report) {
        self.push(Output::Report(report));
    }

    /// Asks for a new task on this worker.
    pub fn spawn(&mut self, spawn: A::Spawn) {
        self.push(Output::Spawn(spawn));
    }

    /// Says that this task is done.
    pub fn finish(&mut self) {
        self.push(Output::Finished);
    }

    /// Takes the outputs of a task's children as its own, in the order they come. For a task that
    /// holds a [`TaskGroup`](crate::TaskGroup) of the same application.
    ///
    /// Sockets that the children open belong to the parent, which gets their events and hands
    /// them down. `on_end` is told of each child that ends.
    pub fn adopt<'a, F>(&'a mut self, buffers: &'a BufferPool, on_end: F) -> Adopted<'a, A, F>
    where
        F: FnMut(TaskId, End),
    {
        Adopted {
            outbox: self,
            lent: buffers.take(ADOPTED_LENT_BYTES),
            buffers,
            on_end,
        }
    }
}

impl<A: App> Default for Outbox<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// An outbox that takes the outputs of children. Made by [`Outbox::adopt`].
#[derive(Debug)]
pub struct Adopted<'a, A: App, F> {
    outbox: &'a mut Outbox<A>,
    lent: Buffer,
    buffers: &'a BufferPool,
    on_end: F,
}

impl<A: App, F: FnMut(TaskId, End)> GroupOutputs<A> for Adopted<'_, A, F> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(self.lent.unfilled())
    }

    fn output(&mut self, _child: TaskId, mut output: Output<A>) {
        if let Some(payload) = output.payload_mut()
            && let Some(len) = payload.lent()
        {
            // The child wrote into our buffer: that is the payload.
            self.lent.commit(len);
            let next = self.buffers.take(ADOPTED_LENT_BYTES);
            *payload = Payload::owned(core::mem::replace(&mut self.lent, next));
        }
        self.outbox.push(output);
    }

    fn ended(&mut self, child: TaskId, end: End) {
        (self.on_end)(child, end);
    }
}

/// What children may write in place, in bytes: a datagram of any usual MTU.
const ADOPTED_LENT_BYTES: usize = 1_900;
