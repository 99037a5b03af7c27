//! The border of the model: what it does with outputs, and with tasks that end.

use stillpoint::{End, SpawnError};

use super::super::probe::{Act, Entry, Heard, Place, Pushed, Said};
use super::{Model, Own, Socket};

impl Model {
    /// What the worker does with an output.
    pub(super) fn output(&mut self, task: usize, said: Said, step: Act) {
        let owns = |model: &Self, socket: usize| model.sockets[socket].owner == Some(task);
        match (said, step) {
            (Said::Report(tag), _) => self.push(Pushed::Report(task, tag)),
            (_, Act::Spawn(birth)) => {
                let pending_max = self.limits.pending_max;
                if self.waiting.len() == pending_max {
                    let error = SpawnError::QueueFull { pending_max };
                    self.push(Pushed::SpawnFailed {
                        parent: Some(task),
                        error,
                    });
                } else {
                    self.waiting.push_back(Own::Spawn(task, *birth));
                }
            }
            (Said::Open, _) if self.open() == self.limits.resources_max => {
                self.tell(task, Heard::OpenFailed(None));
            }
            (Said::Open, _) => {
                let slot = self.socket_places.take();
                self.sockets.push(Socket {
                    owner: Some(task),
                    slot,
                });
                self.push(Pushed::Open(self.sockets.len() - 1));
            }
            (Said::Close(socket) | Said::Transmit(socket), _) if !owns(self, socket) => {
                if let Some(Own::Tell(told, Heard::Stale(stale, count))) = self.waiting.back_mut()
                    && (*told, *stale) == (task, socket)
                {
                    *count += 1;
                } else {
                    self.tell(task, Heard::Stale(socket, 1));
                }
            }
            (Said::Close(socket), _) => {
                self.release(socket);
                self.push(Pushed::Close(socket));
            }
            (Said::Transmit(socket), Act::SendTooLong(_)) => {
                if let Some(Own::Tell(told, Heard::TooLong(from, count))) = self.waiting.back_mut()
                    && (*told, *from) == (task, socket)
                {
                    *count += 1;
                } else {
                    self.tell(task, Heard::TooLong(socket, 1));
                }
            }
            (Said::Transmit(socket), Act::Write(_, len)) => {
                self.push(Pushed::Transmit(socket, vec![len; usize::from(len)]));
            }
            (Said::Transmit(socket), _) => {
                self.push(Pushed::Transmit(socket, b"buffer".to_vec()));
            }
            (said, step) => unreachable!("{said:?} by {step:?}"),
        }
    }

    fn tell(&mut self, task: usize, heard: Heard) {
        if self.waiting.len() == self.limits.pending_max {
            self.push(Pushed::Untold(task));
        } else {
            self.waiting.push_back(Own::Tell(task, heard));
        }
    }

    pub(super) fn end(&mut self, task: usize, end: End) {
        let life = &mut self.tasks[task];
        life.alive = false;
        self.groups[life.group].1.free.push(life.slot);
        let message = Place::Drop.message().to_owned();
        let drops = life.panics == Some(Place::Drop) && !end.is_failure();
        let end = if drops {
            End::Panicked { message }
        } else {
            end
        };
        self.book.push(Entry::Dropped { task });
        let mut sockets: Vec<usize> = (0..self.sockets.len())
            .filter(|&socket| self.sockets[socket].owner == Some(task))
            .collect();
        sockets.sort_by_key(|&socket| self.sockets[socket].slot);
        for socket in sockets {
            self.release(socket);
            self.push(Pushed::Close(socket));
        }
        self.push(Pushed::Ended(task, end));
    }

    pub(super) fn release(&mut self, socket: usize) {
        self.sockets[socket].owner = None;
        self.socket_places.free.push(self.sockets[socket].slot);
    }
}
