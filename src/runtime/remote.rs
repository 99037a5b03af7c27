//! A handle on all workers for threads that have no controller.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::{Sender, TrySendError};

use super::doorbell::Doorbell;
use crate::control::{CommandId, CommandTarget, ControlError, ControlInput};
use crate::task::App;

/// Who can be reached, by index.
pub(super) struct Directory<A: App>(RwLock<Doors<A>>);

struct Doors<A: App> {
    open: Vec<(u16, Door<A>)>,
    /// How many workers there have been. Their indexes are below that.
    known: u32,
}

/// The way to one worker.
struct Door<A: App> {
    inputs: Sender<Box<ControlInput<A>>>,
    bell: Arc<Doorbell>,
}

impl<A: App> Directory<A> {
    pub(super) fn add(
        &self,
        worker: u16,
        inputs: Sender<Box<ControlInput<A>>>,
        bell: Arc<Doorbell>,
    ) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.open.push((worker, Door { inputs, bell }));
        doors.known = u32::from(worker) + 1;
    }

    pub(super) fn remove(&self, worker: u16) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.open.retain(|(index, _)| *index != worker);
    }

    fn indexes(&self) -> Vec<u16> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors.open.iter().map(|&(index, _)| index).collect()
    }

    fn send(&self, worker: u16, input: ControlInput<A>) -> Result<(), ControlError> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let door = doors.open.iter().find(|(index, _)| *index == worker);
        let (_, door) = door.ok_or(if u32::from(worker) < doors.known {
            ControlError::Stopped { worker }
        } else {
            let workers = doors.open.len();
            ControlError::NoSuchWorker { worker, workers }
        })?;
        door.inputs
            .try_send(Box::new(input))
            .map_err(|error| match error {
                TrySendError::Full(_) => ControlError::Full {
                    worker,
                    inputs_max: door.inputs.capacity().unwrap_or(0),
                },
                TrySendError::Disconnected(_) => ControlError::Stopped { worker },
            })?;
        door.bell.ring();
        Ok(())
    }
}

impl<A: App> Default for Directory<A> {
    fn default() -> Self {
        Self(RwLock::new(Doors {
            open: Vec::new(),
            known: 0,
        }))
    }
}

/// A handle on all workers for threads that have no controller: as many as there are. Made by
/// [`Controller::remote`](crate::runtime::Controller::remote), and of no use once that is gone.
pub struct Remote<A: App>(Arc<Directory<A>>);

impl<A: App> Remote<A> {
    pub(super) const fn new(directory: Arc<Directory<A>>) -> Self {
        Self(directory)
    }

    /// Gives a task, or the agent of a worker, a command. That there is no such task is told to
    /// nobody.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn command(
        &self,
        to: impl Into<CommandTarget>,
        command: A::Command,
    ) -> Result<(), ControlError> {
        let to = to.into();
        let id = CommandId::UNTRACKED;
        self.0
            .send(to.worker(), ControlInput::Command { id, to, command })
    }

    /// Publishes a message to the subscribers of a channel, on all workers.
    ///
    /// # Errors
    ///
    /// [`ControlError`] of the last worker that did not get it; others do.
    pub fn publish(&self, channel: A::Channel, message: A::Message) -> Result<(), ControlError> {
        self.send_all(message, |message| ControlInput::Publish {
            channel,
            message,
        })
    }

    /// Gives the agent of each worker a message.
    ///
    /// # Errors
    ///
    /// [`ControlError`] of the last worker that did not get it; others do.
    pub fn broadcast(&self, message: A::Message) -> Result<(), ControlError> {
        self.send_all(message, ControlInput::Broadcast)
    }

    fn send_all(
        &self,
        message: A::Message,
        input: impl Fn(A::Message) -> ControlInput<A>,
    ) -> Result<(), ControlError> {
        let workers = self.0.indexes();
        let Some((&last, others)) = workers.split_last() else {
            return Err(ControlError::NoWorkers);
        };
        let mut sent = Ok(());
        for &worker in others {
            sent = self.0.send(worker, input(message.clone())).and(sent);
        }
        self.0.send(last, input(message)).and(sent)
    }
}

impl<A: App> Clone for Remote<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: App> fmt::Debug for Remote<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}
