//! What comes to a worker's tasks from the network.

use super::{Worker, WorkerOutput, WorkerOutputs};
use crate::datagram::DatagramRun;
use crate::id::{SocketId, TaskId};
use crate::net::{NetworkCommand, NetworkError, NetworkEvent};
use crate::task::{App, Input};
use crate::time::Timestamp;

impl<A: App> Worker<A> {
    /// [`Worker::handle_input`] with datagrams for a socket, which are taken out of `run` if there is
    /// somebody to have them: what comes most often, so a driver may lend it where it lies, without
    /// the wrapping.
    #[inline]
    pub fn handle_datagrams(
        &mut self,
        now: Timestamp,
        socket: SocketId,
        run: &mut DatagramRun,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.now = self.now.max(now);
        self.resume(outputs);
        self.datagrams(socket, run, outputs);
        if self.stopping.is_some() {
            self.end_phase(outputs);
        }
    }

    #[inline(never)]
    pub(super) fn network(&mut self, event: NetworkEvent, outputs: &mut impl WorkerOutputs<A>) {
        let id = event.resource();
        let owner = self.resources.owner(id);
        if event.is_last() {
            self.resources.remove(id);
        }
        let event = match (event, owner) {
            (incoming @ NetworkEvent::Incoming { .. }, _) => {
                match self.accept(incoming, owner, outputs) {
                    Some(accepted) => accepted,
                    None => return,
                }
            }
            (event, _) => event,
        };
        // An event may cross with the closing of what it is about; then nobody is to have it.
        if let Some(owner) = owner {
            self.give(owner, Input::Network(event), outputs);
        }
    }

    /// Gives a connection that was taken in an id, and says what its listener's task is to be told.
    fn accept(
        &mut self,
        event: NetworkEvent,
        owner: Option<TaskId>,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Option<NetworkEvent> {
        let NetworkEvent::Incoming {
            listener,
            incoming,
            peer,
            local,
            room,
        } = event
        else {
            return Some(event);
        };
        let stream = owner.map(|owner| self.resources.insert_stream(self.now, owner));
        let command = match stream {
            Some(Ok(stream)) => NetworkCommand::Accept { incoming, stream },
            Some(Err(_)) | None => NetworkCommand::Refuse(incoming),
        };
        outputs.push(WorkerOutput::Network(command));
        Some(match stream? {
            Ok(stream) => NetworkEvent::Accepted {
                listener,
                stream,
                peer,
                local,
                room,
            },
            Err(_) => NetworkEvent::AcceptFailed {
                listener,
                error: NetworkError::TooManySockets,
            },
        })
    }
}
