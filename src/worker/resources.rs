//! Which socket, listener, stream or device belongs to which task.

use std::collections::BTreeSet;

use super::ResourceView;
use crate::id::{DeviceId, ListenerId, ResourceId, SocketId, StreamId, TaskId};
use crate::slots::{Key, Slots};
use crate::time::Timestamp;

/// What one worker's tasks own. All operations are O(1) or O(log n).
#[derive(Debug)]
pub(super) struct ResourceTable {
    worker: u16,
    resources_max: u32,
    entries: Slots<Entry>,
    /// `None` as long as there is little, which is looked through.
    by_owner: Option<Box<Owned>>,
}

/// Who owns what, in order.
#[derive(Debug)]
struct Owned(BTreeSet<(TaskId, Key)>);

/// What a slot holds: its key and the worker make the id.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    owner: TaskId,
    since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Listener,
    Stream,
    /// A stream that its task has closed and that still sends what was written: nobody owns it.
    ClosedStream,
    Device,
}

impl Entry {
    #[inline]
    fn owner(&self) -> Option<TaskId> {
        (self.kind != Kind::ClosedStream).then_some(self.owner)
    }

    const fn id(&self, worker: u16, key: Key) -> ResourceId {
        match self.kind {
            Kind::Socket => ResourceId::Socket(SocketId { worker, key }),
            Kind::Listener => ResourceId::Listener(ListenerId { worker, key }),
            Kind::Stream | Kind::ClosedStream => ResourceId::Stream(StreamId { worker, key }),
            Kind::Device => ResourceId::Device(DeviceId { worker, key }),
        }
    }
}

impl ResourceTable {
    pub(super) fn new(worker: u16, resources_max: usize) -> Self {
        Self {
            worker,
            resources_max: u32::try_from(resources_max).unwrap_or(u32::MAX),
            entries: Slots::new(),
            by_owner: None,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// An id that is stale already.
    pub(super) const fn no_socket(&self) -> SocketId {
        SocketId {
            worker: self.worker,
            key: NO_KEY,
        }
    }

    /// The same for a listener.
    pub(super) const fn no_listener(&self) -> ListenerId {
        ListenerId {
            worker: self.worker,
            key: NO_KEY,
        }
    }

    /// A new socket of `owner`. If there are too many, an id that is stale already.
    pub(super) fn insert_socket(
        &mut self,
        now: Timestamp,
        owner: TaskId,
    ) -> Result<SocketId, SocketId> {
        let id = |worker, key| SocketId { worker, key };
        self.insert(now, owner, Kind::Socket, id)
    }

    /// The same for a listener.
    pub(super) fn insert_listener(
        &mut self,
        now: Timestamp,
        owner: TaskId,
    ) -> Result<ListenerId, ListenerId> {
        let id = |worker, key| ListenerId { worker, key };
        self.insert(now, owner, Kind::Listener, id)
    }

    /// The same for a stream.
    pub(super) fn insert_stream(
        &mut self,
        now: Timestamp,
        owner: TaskId,
    ) -> Result<StreamId, StreamId> {
        let id = |worker, key| StreamId { worker, key };
        self.insert(now, owner, Kind::Stream, id)
    }

    /// The same for a device.
    pub(super) fn insert_device(
        &mut self,
        now: Timestamp,
        owner: TaskId,
    ) -> Result<DeviceId, DeviceId> {
        let id = |worker, key| DeviceId { worker, key };
        self.insert(now, owner, Kind::Device, id)
    }

    fn insert<I>(
        &mut self,
        now: Timestamp,
        owner: TaskId,
        kind: Kind,
        id: impl Fn(u16, Key) -> I,
    ) -> Result<I, I> {
        let entry = Entry {
            kind,
            owner,
            since: now,
        };
        let room = self.entries.len() < self.resources_max as usize;
        let Some(key) = room.then(|| self.entries.insert(entry)).flatten() else {
            return Err(id(self.worker, NO_KEY));
        };
        self.note(owner, key);
        Ok(id(self.worker, key))
    }

    /// The task that it belongs to. `None` if the id is stale or another worker's, or if its task
    /// has closed it.
    #[inline]
    pub(super) fn owner(&self, id: impl Into<ResourceId>) -> Option<TaskId> {
        let id = id.into();
        if id.worker() != self.worker {
            return None;
        }
        self.entries.get(id.key())?.owner()
    }

    /// The same of whatever has this key.
    pub(super) fn owner_of_key(&self, key: Key) -> Option<TaskId> {
        self.entries.get(key)?.owner()
    }

    /// The same for a socket.
    #[inline]
    pub(super) fn socket_owner(&self, socket: SocketId) -> Option<TaskId> {
        if socket.worker != self.worker {
            return None;
        }
        self.entries.get(socket.key)?.owner()
    }

    /// Takes it from its task. A stream keeps its slot until [`ResourceTable::remove`].
    pub(super) fn close(&mut self, id: ResourceId) {
        if !matches!(id, ResourceId::Stream(_)) {
            return self.remove(id);
        }
        if id.worker() == self.worker
            && let Some(entry) = self.entries.get_mut(id.key())
            && let Some(owner) = entry.owner()
        {
            entry.kind = Kind::ClosedStream;
            self.forget(owner, id.key());
        }
    }

    /// Frees its slot.
    pub(super) fn remove(&mut self, id: impl Into<ResourceId>) {
        let id = id.into();
        if id.worker() == self.worker
            && let Some(entry) = self.entries.remove(id.key())
            && let Some(owner) = entry.owner()
        {
            self.forget(owner, id.key());
        }
    }

    /// What can be seen of each.
    pub(super) fn views(&self) -> impl Iterator<Item = ResourceView> {
        self.entries.iter().map(|(key, entry)| ResourceView {
            id: entry.id(self.worker, key),
            owner: entry.owner(),
            since: entry.since,
        })
    }

    /// One that belongs to `owner`, if any does.
    pub(super) fn first_of(&self, owner: TaskId) -> Option<ResourceId> {
        let Some(owned) = &self.by_owner else {
            // By slot, which is the order in which it would be there.
            let mut few = self.entries.iter();
            return few
                .find(|(_, entry)| entry.owner() == Some(owner))
                .map(|(key, entry)| entry.id(self.worker, key));
        };
        let mut all = owned.0.range((owner, Key::FIRST)..=(owner, Key::LAST));
        let &(_, key) = all.next()?;
        let entry = self.entries.get(key)?;
        Some(entry.id(self.worker, key))
    }

    /// A new entry has this owner.
    fn note(&mut self, owner: TaskId, key: Key) {
        if let Some(owned) = &mut self.by_owner {
            owned.0.insert((owner, key));
        } else if self.entries.places() > FEW_MAX {
            let entries = self.entries.iter();
            let owned = entries.filter_map(|(key, entry)| Some((entry.owner()?, key)));
            self.by_owner = Some(Box::new(Owned(owned.collect())));
        }
    }

    /// An entry has its owner no more.
    fn forget(&mut self, owner: TaskId, key: Key) {
        if let Some(owned) = &mut self.by_owner {
            owned.0.remove(&(owner, key));
        }
    }
}

/// How many places are looked through, at most.
const FEW_MAX: usize = 16;

/// A key that nothing ever has.
const NO_KEY: Key = Key::LAST;
