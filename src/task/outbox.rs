//! Outboxes: a queue of outputs that a task may keep.

use core::mem::ManuallyDrop;
use core::net::SocketAddr;
use std::collections::VecDeque;

use super::{App, End, Output};
use crate::buffer::{Buffer, BufferPool};
#[cfg(doc)]
use crate::bus::BusEvent;
use crate::bus::{BusCommand, Destination, NoRoom};
use crate::datagram::{DatagramRun, Transmit};
use crate::device::{DeviceOpen, PacketTransmit};
use crate::group::GroupOutputs;
use crate::id::{RequestId, ResourceId, SocketId, StreamId, TaskId};
use crate::net::Token;
use crate::stream::{Reading, StreamWrite, TcpConnect, TcpListen};
#[cfg(doc)]
use crate::task::Task;
use crate::time::Timestamp;
use crate::transmit::{Payload, TransmitBuffer};
use crate::udp::{Membership, UdpOpen};

/// A queue of outputs that a task may keep to implement [`Task::poll_output`] in one line.
///
/// It keeps its memory from one drain to the next. Its length is bounded by the worker's limit of
/// outputs for one input.
#[derive(Debug)]
pub struct Outbox<A: App> {
    /// The oldest, if it came while there was none and is of datagrams: many give one such output an
    /// input. Nothing of the application's own types, which may hold a task and so an outbox.
    first: Option<Transmit>,
    /// Those behind. Whoever takes one out drops it: what the queue itself might have to drop must
    /// lie somewhere first, and is moved once more from there.
    rest: VecDeque<ManuallyDrop<Output<A>>>,
}

impl<A: App> Outbox<A> {
    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }

    /// Queues any output.
    pub fn push(&mut self, output: Output<A>) {
        if let Output::Transmit(transmit) = output {
            self.transmit(transmit);
        } else {
            self.rest.push_back(ManuallyDrop::new(output));
        }
    }

    /// The oldest output: what [`Task::poll_output`] returns.
    #[inline]
    pub fn pop(&mut self) -> Option<Output<A>> {
        if self.first.is_some() {
            return self.first.take().map(Output::Transmit);
        }
        self.rest.pop_front().map(ManuallyDrop::into_inner)
    }

    /// Whether there is nothing to give.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
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

    /// Sends datagrams. In line, so that they are put together where they are to lie.
    #[inline(always)]
    pub fn transmit(&mut self, transmit: Transmit) {
        if !self.rest.is_empty() || self.first.is_some() {
            let output = Output::Transmit(transmit);
            self.rest.push_back(ManuallyDrop::new(output));
        } else {
            // Begins at the front again, in memory that was used just before.
            if self.rest.capacity() > 0 {
                self.rest.clear();
            }
            put(&mut self.first, Some(transmit));
        }
    }

    /// Sends one datagram.
    #[inline(always)]
    pub fn send(&mut self, socket: SocketId, peer: SocketAddr, payload: Buffer) {
        self.transmit(Transmit::new(socket, peer, payload));
    }

    /// Sends a run back to where it came from.
    #[inline(always)]
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

impl<A: App> Drop for Outbox<A> {
    fn drop(&mut self) {
        for output in self.rest.drain(..) {
            drop(ManuallyDrop::into_inner(output));
        }
    }
}

/// Puts something where nothing is. An assignment would have to look whether there is something to
/// be dropped, and move what comes twice.
#[inline(always)]
pub(crate) fn put<T>(place: &mut Option<T>, new: Option<T>) {
    debug_assert!(place.is_none(), "nothing is lost");
    let _nothing = ManuallyDrop::new(core::mem::replace(place, new));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A task that is what a new one is made from: an outbox has none of it inside.
    #[derive(Debug)]
    struct Clone {
        outbox: Outbox<Clones>,
    }

    #[derive(Debug)]
    struct Clones;

    impl App for Clones {
        type Channel = ();
        type Message = ();
        type Command = ();
        type Report = ();
        type Spawn = Clone;
    }

    #[test]
    fn a_task_can_spawn_another_that_it_has_made() {
        let mut outbox = Outbox::<Clones>::new();
        outbox.spawn(Clone {
            outbox: Outbox::new(),
        });
        let spawned = outbox.pop();
        assert!(matches!(spawned, Some(Output::Spawn(clone)) if clone.outbox.is_empty()));
    }

    #[derive(Debug, PartialEq)]
    struct Post;

    impl App for Post {
        type Channel = ();
        type Message = ();
        type Command = ();
        type Report = Buffer;
        type Spawn = ();
    }

    proptest! {
        /// Outputs come out in the order in which they went in, and those that are left are dropped
        /// with the outbox.
        #[test]
        fn an_outbox_is_a_queue(script: Vec<Option<u8>>) {
            let pool = BufferPool::new();
            let mut outbox = Outbox::<Post>::new();
            let mut model = VecDeque::new();
            for step in script {
                if let Some(tag) = step {
                    outbox.report(pool.copy_from(&[tag]));
                    model.push_back(tag);
                } else {
                    let popped = outbox.pop();
                    let expected = model.pop_front();
                    let expected = expected.map(|tag| Output::Report(Buffer::copy_from(&[tag])));
                    prop_assert_eq!(popped, expected);
                }
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
                prop_assert_eq!(pool.counts().0, model.len());
            }
            drop(outbox);
            prop_assert_eq!(pool.counts().0, 0);
        }
    }
}
