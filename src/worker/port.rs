//! The border between a worker's groups and its driver: checks what tasks ask for.

use core::mem::ManuallyDrop;

use super::bus::{Asking, LazyBus};
use super::pending::{Pending, PendingQueue};
use super::resources::ResourceTable;
use super::{SpawnError, WorkerConfig, WorkerOutput, WorkerOutputs};
use crate::datagram::{DATAGRAM_BYTES_MAX, Transmit};
use crate::device::{DeviceError, DeviceOpen};
use crate::group::GroupOutputs;
use crate::id::{ResourceId, TaskId};
use crate::net::{NetworkCommand, NetworkError, NetworkEvent};
use crate::stream::{TcpConnect, TcpListen};
use crate::task::{App, End, Output};
use crate::time::Timestamp;
use crate::transmit::TransmitBuffer;
use crate::udp::{Membership, UdpOpen};

/// Takes the output of tasks: what concerns the network goes on only if it is the task's own, and what concerns the worker itself waits until the task is drained.
pub(super) struct Port<'a, A: App, O> {
    pub(super) resources: &'a mut ResourceTable,
    pub(super) bus: &'a mut LazyBus<A>,
    pub(super) config: &'a WorkerConfig,
    pub(super) now: Timestamp,
    pub(super) pending: &'a mut PendingQueue<A>,
    pub(super) ending: &'a mut Option<Box<(TaskId, End)>>,
    pub(super) outputs: &'a mut O,
}

impl<A: App, O: WorkerOutputs<A>> GroupOutputs<A> for Port<'_, A, O> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.outputs.lend()
    }

    fn output(&mut self, task: TaskId, output: Output<A>) {
        self.take_output(task, &mut Some(output));
    }

    fn take_output(&mut self, task: TaskId, output: &mut Option<Output<A>>) {
        if let Some(Output::Transmit(transmit)) = output {
            self.transmit(task, transmit);
            drop(core::mem::take(&mut transmit.payload));
            // Nothing else in it is to be dropped, which is known here only.
            let _rest = ManuallyDrop::new(output.take());
        } else if let Some(output) = output.take() {
            self.other_output(task, output);
        }
    }

    fn ended(&mut self, task: TaskId, end: End) {
        *self.ending = Some(Box::new((task, end)));
        self.finish_ending();
    }
}

impl<A: App, O: WorkerOutputs<A>> Port<'_, A, O> {
    /// Everything but datagrams: apart, so that those have little to carry.
    #[inline(never)]
    fn other_output(&mut self, task: TaskId, output: Output<A>) {
        match output {
            Output::Report(report) => self.outputs.push(WorkerOutput::Report { task, report }),
            Output::Write(write) => {
                self.if_own(task, write.stream.into(), NetworkCommand::Write(write));
            }
            Output::Packet(packet) => {
                self.if_own(task, packet.device.into(), NetworkCommand::Packet(packet));
            }
            Output::SetReading { stream, reading } => {
                let command = NetworkCommand::SetReading { stream, reading };
                self.if_own(task, stream.into(), command);
            }
            Output::EndWrite(stream) => {
                self.if_own(task, stream.into(), NetworkCommand::EndWrite(stream));
            }
            Output::OpenUdp(open) => self.open_udp(task, open),
            Output::JoinGroup(membership) => {
                self.change_group(task, membership, NetworkCommand::JoinGroup);
            }
            Output::LeaveGroup(membership) => {
                self.change_group(task, membership, NetworkCommand::LeaveGroup);
            }
            Output::Listen(listen) => self.listen(task, listen),
            Output::Connect(connect) => self.connect(task, connect),
            Output::OpenDevice(open) => self.open_device(task, open),
            Output::Close(id) => {
                if self.owns(task, id) {
                    self.resources.close(id);
                    self.network(NetworkCommand::Close(id));
                }
            }
            Output::Reset(stream) => {
                if self.owns(task, stream.into()) {
                    self.resources.remove(stream);
                    self.network(NetworkCommand::Reset(stream));
                }
            }
            Output::Bus(command) => {
                let asking = &mut Asking {
                    task,
                    now: self.now,
                    pending: &mut *self.pending,
                    outputs: &mut *self.outputs,
                };
                self.bus.made(self.config).command(asking, command);
            }
            Output::Spawn(spawn) => {
                let parent = task;
                if self.pending.push(Pending::Spawn { parent, spawn }).is_err() {
                    let pending_max = self.pending.pending_max();
                    let error = SpawnError::QueueFull { pending_max };
                    let parent = Some(parent);
                    self.outputs
                        .push(WorkerOutput::SpawnFailed { parent, error });
                }
            }
            // Datagrams are seen to before, and the group keeps the end to itself and says `ended`.
            Output::Transmit(_) | Output::Finished => {}
        }
    }

    /// Closes what the task that has ended owned, then says so. Its streams are reset unless it has
    /// finished by itself, so that no peer takes half an answer for a whole one.
    pub(super) fn finish_ending(&mut self) {
        let Some(ending) = self.ending.as_ref() else {
            return;
        };
        let (task, finished) = (ending.0, ending.1 == End::Finished);
        if let Some(bus) = self.bus.get_mut() {
            bus.forget(task, self.now, self.outputs);
        }
        while let Some(id) = self.resources.first_of(task) {
            if let ResourceId::Stream(stream) = id
                && !finished
            {
                self.resources.remove(stream);
                self.network(NetworkCommand::Reset(stream));
            } else {
                self.resources.close(id);
                self.network(NetworkCommand::Close(id));
            }
        }
        if let Some((task, end)) = self.ending.take().map(|ending| *ending) {
            self.outputs.push(WorkerOutput::Ended { task, end });
        }
    }

    fn open_udp(&mut self, task: TaskId, mut open: Box<UdpOpen>) {
        let (token, bind) = (open.token, open.bind);
        let opened = match open.checked() {
            Ok(checked) => {
                *open = checked;
                let inserted = self.resources.insert_socket(self.now, task);
                inserted.map_err(|socket| (socket, NetworkError::TooManySockets))
            }
            Err(error) => Err((self.resources.no_socket(), error)),
        };
        match opened {
            Ok(socket) => self.network(NetworkCommand::OpenUdp { socket, open }),
            Err((socket, error)) => {
                let event = NetworkEvent::UdpOpenFailed {
                    socket,
                    token,
                    bind,
                    error,
                };
                self.tell(task, event);
            }
        }
    }

    fn change_group(
        &mut self,
        task: TaskId,
        mut membership: Membership,
        command: fn(Membership) -> NetworkCommand,
    ) {
        if !self.owns(task, membership.socket.into()) {
            return;
        }
        membership.group = membership.group.to_canonical();
        if membership.group.is_multicast() {
            self.network(command(membership));
        } else {
            let error = NetworkError::NotAGroup;
            self.tell(task, NetworkEvent::GroupFailed { membership, error });
        }
    }

    fn listen(&mut self, task: TaskId, listen: Box<TcpListen>) {
        let inserted = if listen.is_invalid() {
            Err((self.resources.no_listener(), NetworkError::InvalidOption))
        } else {
            let inserted = self.resources.insert_listener(self.now, task);
            inserted.map_err(|listener| (listener, NetworkError::TooManySockets))
        };
        match inserted {
            Ok(listener) => self.network(NetworkCommand::Listen { listener, listen }),
            Err((listener, error)) => {
                let event = NetworkEvent::ListenFailed {
                    listener,
                    token: listen.token,
                    bind: listen.bind,
                    error,
                };
                self.tell(task, event);
            }
        }
    }

    fn connect(&mut self, task: TaskId, connect: Box<TcpConnect>) {
        match self.resources.insert_stream(self.now, task) {
            Ok(stream) => self.network(NetworkCommand::Connect { stream, connect }),
            Err(stream) => {
                let event = NetworkEvent::ConnectFailed {
                    stream,
                    token: connect.token,
                    peer: connect.peer,
                    error: NetworkError::TooManySockets,
                };
                self.tell(task, event);
            }
        }
    }

    fn open_device(&mut self, task: TaskId, open: Box<DeviceOpen>) {
        match self.resources.insert_device(self.now, task) {
            Ok(device) => self.network(NetworkCommand::OpenDevice { device, open }),
            Err(device) => {
                let event = NetworkEvent::DeviceOpenFailed {
                    device,
                    token: open.token,
                    error: DeviceError::TooMany,
                };
                self.tell(task, event);
            }
        }
    }

    /// Passes a command on if what it names is the task's own.
    fn if_own(&mut self, task: TaskId, id: ResourceId, command: NetworkCommand) {
        if self.owns(task, id) {
            self.network(command);
        }
    }

    /// Whether it is the task's own. Else the task is told.
    fn owns(&mut self, task: TaskId, id: ResourceId) -> bool {
        let owns = self.resources.owner(id) == Some(task);
        if !owns {
            self.tell_stale(task, id);
        }
        owns
    }

    #[inline(always)]
    fn transmit(&mut self, task: TaskId, transmit: &mut Transmit) {
        if self.resources.socket_owner(transmit.socket) != Some(task) {
            return self.tell_stale(task, transmit.socket.into());
        }
        let (len, max) = (transmit.datagram_len(), DATAGRAM_BYTES_MAX);
        if len > max {
            let error = NetworkError::TooLong { len, max };
            return self.tell_failed(task, transmit, error);
        }
        self.outputs.transmit(transmit);
    }

    fn network(&mut self, command: NetworkCommand) {
        self.outputs.push(WorkerOutput::Network(command));
    }

    /// Tells a task that it used an id which is not its own; once for a row of the same.
    #[cold]
    fn tell_stale(&mut self, task: TaskId, id: ResourceId) {
        if let Some(Pending::Network {
            task: told,
            event: NetworkEvent::Stale { id: stale, outputs },
        }) = self.pending.last_mut()
            && (*told, *stale) == (task, id)
        {
            *outputs = outputs.saturating_add(1);
            return;
        }
        self.tell(task, NetworkEvent::Stale { id, outputs: 1 });
    }

    /// Tells a task that datagrams were not sent; once for a row of the same.
    fn tell_failed(&mut self, task: TaskId, transmit: &Transmit, error: NetworkError) {
        let count = u32::try_from(transmit.count()).unwrap_or(u32::MAX);
        let (socket, peer) = (transmit.socket, transmit.peer);
        if let Some(Pending::Network {
            task: told,
            event:
                NetworkEvent::SendFailed {
                    socket: from,
                    peer: to,
                    error: why,
                    datagrams,
                },
        }) = self.pending.last_mut()
            && (*told, *from, *to, *why) == (task, socket, peer, error)
        {
            *datagrams = datagrams.saturating_add(count);
            return;
        }
        self.tell(
            task,
            NetworkEvent::SendFailed {
                socket,
                peer,
                error,
                datagrams: count,
            },
        );
    }

    fn tell(&mut self, task: TaskId, event: NetworkEvent) {
        // A task that makes mistakes must not take the memory of those that make none: one told
        // mistake for each input is enough for it to see them, so a full queue drops the rest.
        let untold = self.pending.push(Pending::Network { task, event }).err();
        if let Some(Pending::Network { task, event }) = untold {
            self.outputs.push(WorkerOutput::Untold { task, event });
        }
    }
}
