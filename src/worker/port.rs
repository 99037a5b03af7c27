//! The border between a worker's groups and its driver: checks what tasks ask for.

use std::collections::VecDeque;

use super::sockets::SocketTable;
use super::{Pending, SpawnError, WorkerOutput, WorkerOutputs};
use crate::group::GroupOutputs;
use crate::id::{SocketId, TaskId};
use crate::net::{DATAGRAM_BYTES_MAX, NetworkCommand, NetworkError, NetworkEvent, Transmit};
use crate::task::{App, End, Output};
use crate::transmit::TransmitBuffer;

/// Takes the output of tasks: what concerns the network goes on only if the socket is the task's
/// own, and what concerns the worker itself waits until the task is drained.
pub(super) struct Port<'a, A: App, O> {
    pub(super) sockets: &'a mut SocketTable,
    pub(super) pending: &'a mut VecDeque<Pending<A>>,
    pub(super) pending_max: usize,
    pub(super) ending: &'a mut Option<(TaskId, End)>,
    pub(super) outputs: &'a mut O,
}

impl<A: App, O: WorkerOutputs<A>> GroupOutputs<A> for Port<'_, A, O> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.outputs.lend()
    }

    fn output(&mut self, task: TaskId, output: Output<A>) {
        match output {
            Output::Transmit(transmit) => self.transmit(task, transmit),
            Output::Report(report) => self.outputs.push(WorkerOutput::Report { task, report }),
            Output::OpenUdp(open) => match self.sockets.insert(task) {
                Ok(socket) => self.network(NetworkCommand::OpenUdp { socket, open }),
                Err(socket) => {
                    let error = NetworkError::TooManySockets;
                    let (token, bind) = (open.token, open.bind);
                    self.tell(
                        task,
                        NetworkEvent::UdpOpenFailed {
                            socket,
                            token,
                            bind,
                            error,
                        },
                    );
                }
            },
            Output::Close(socket) => {
                if self.sockets.owner(socket) == Some(task) {
                    self.sockets.remove(socket);
                    self.network(NetworkCommand::Close(socket));
                } else {
                    self.tell_stale(task, socket);
                }
            }
            Output::Spawn(spawn) => {
                let pending_max = self.pending_max;
                if self.pending.len() < pending_max {
                    self.pending.push_back(Pending::Spawn {
                        parent: task,
                        spawn,
                    });
                } else {
                    let error = SpawnError::QueueFull { pending_max };
                    let parent = Some(task);
                    self.outputs
                        .push(WorkerOutput::SpawnFailed { parent, error });
                }
            }
            // The group keeps this one to itself and says `ended`.
            Output::Finished => {}
        }
    }

    fn ended(&mut self, task: TaskId, end: End) {
        *self.ending = Some((task, end));
        self.finish_ending();
    }
}

impl<A: App, O: WorkerOutputs<A>> Port<'_, A, O> {
    /// Closes the sockets of the task that has ended, then says so.
    pub(super) fn finish_ending(&mut self) {
        let Some(&(task, _)) = self.ending.as_ref() else {
            return;
        };
        while let Some(socket) = self.sockets.remove_one_of(task) {
            self.network(NetworkCommand::Close(socket));
        }
        if let Some((task, end)) = self.ending.take() {
            self.outputs.push(WorkerOutput::Ended { task, end });
        }
    }

    fn transmit(&mut self, task: TaskId, transmit: Transmit) {
        if self.sockets.owner(transmit.socket) != Some(task) {
            return self.tell_stale(task, transmit.socket);
        }
        let (len, max) = (transmit.datagram_len(), DATAGRAM_BYTES_MAX);
        if len > max {
            let error = NetworkError::TooLong { len, max };
            return self.tell_failed(task, &transmit, error);
        }
        self.outputs.transmit(transmit);
    }

    fn network(&mut self, command: NetworkCommand) {
        self.outputs.push(WorkerOutput::Network(command));
    }

    /// Tells a task that it used a socket which is not its own; once for a row of the same.
    fn tell_stale(&mut self, task: TaskId, socket: SocketId) {
        if let Some(Pending::Network {
            task: told,
            event:
                NetworkEvent::StaleSocket {
                    socket: stale,
                    outputs,
                },
        }) = self.pending.back_mut()
            && (*told, *stale) == (task, socket)
        {
            *outputs = outputs.saturating_add(1);
            return;
        }
        self.tell(task, NetworkEvent::StaleSocket { socket, outputs: 1 });
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
        }) = self.pending.back_mut()
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
        if self.pending.len() < self.pending_max {
            self.pending.push_back(Pending::Network { task, event });
        } else {
            self.outputs.push(WorkerOutput::Untold { task, event });
        }
    }
}
