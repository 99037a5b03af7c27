//! Which socket belongs to which task.

use std::collections::BTreeSet;

use crate::id::{SocketId, TaskId};
use crate::slots::{Key, Slots};

/// The sockets of one worker's tasks. All operations are O(1) or O(log n).
#[derive(Debug)]
pub(super) struct SocketTable {
    worker: u16,
    sockets_max: usize,
    owners: Slots<TaskId>,
    by_owner: BTreeSet<(TaskId, Key)>,
}

impl SocketTable {
    pub(super) const fn new(worker: u16, sockets_max: usize) -> Self {
        Self {
            worker,
            sockets_max,
            owners: Slots::new(),
            by_owner: BTreeSet::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.owners.len()
    }

    /// A new socket of `owner`. If there are too many, an id that is stale already.
    pub(super) fn insert(&mut self, owner: TaskId) -> Result<SocketId, SocketId> {
        let room = self.owners.len() < self.sockets_max;
        let key = if room {
            self.owners.insert(owner)
        } else {
            None
        };
        let Some(key) = key else {
            let key = Key {
                slot: u32::MAX,
                generation: u32::MAX,
            };
            return Err(SocketId {
                worker: self.worker,
                key,
            });
        };
        self.by_owner.insert((owner, key));
        Ok(SocketId {
            worker: self.worker,
            key,
        })
    }

    /// The task that the socket belongs to. `None` if the id is stale or another worker's.
    pub(super) fn owner(&self, socket: SocketId) -> Option<TaskId> {
        (socket.worker == self.worker).then(|| self.owners.get(socket.key).copied())?
    }

    pub(super) fn remove(&mut self, socket: SocketId) {
        if socket.worker == self.worker
            && let Some(owner) = self.owners.remove(socket.key)
        {
            self.by_owner.remove(&(owner, socket.key));
        }
    }

    /// Removes a socket of `owner` and says which; `None` if it has none left.
    pub(super) fn remove_one_of(&mut self, owner: TaskId) -> Option<SocketId> {
        const FIRST: Key = Key {
            slot: 0,
            generation: 0,
        };
        const LAST: Key = Key {
            slot: u32::MAX,
            generation: u32::MAX,
        };
        let &(_, key) = self.by_owner.range((owner, FIRST)..=(owner, LAST)).next()?;
        let socket = SocketId {
            worker: self.worker,
            key,
        };
        self.remove(socket);
        Some(socket)
    }
}
