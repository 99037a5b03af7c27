//! Which sessions there are, and where.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint::TaskId;
use stillpoint::http::StatusCode;

use crate::room::Room;
use crate::{Layering, Problem, Role, SessionAt, SessionId, secret};

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    last: u64,
    sessions: BTreeMap<SessionId, Entry>,
    by_secret: BTreeMap<String, SessionId>,
    /// Who publishes in a room.
    rooms: BTreeMap<Room, SessionId>,
    /// The ports, and how many sessions are at each.
    ports: BTreeMap<TaskId, usize>,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) room: Room,
    pub(crate) role: Role,
    pub(crate) port: TaskId,
    /// Who knows it may end the session.
    pub(crate) secret: String,
    /// What it sends, once its port has accepted it.
    layering: Option<Layering>,
    /// Of a publisher: who watches it.
    viewers: BTreeSet<SessionId>,
}

impl Registry {
    /// A port is there. Whether it is new.
    pub(crate) fn add_port(&mut self, port: TaskId) -> bool {
        let is_new = !self.ports.contains_key(&port);
        self.ports.entry(port).or_insert(0);
        is_new
    }

    /// A port is no more. Gives those of its sessions that were there.
    pub(crate) fn remove_port(&mut self, port: TaskId) -> Vec<SessionId> {
        self.ports.remove(&port);
        let sessions = self.sessions.iter();
        sessions
            .filter(|(_, entry)| entry.port == port)
            .map(|(&id, _)| id)
            .collect()
    }

    /// The room's publisher is about to come.
    pub(crate) fn publish(&mut self, room: &Room) -> Result<(SessionId, &Entry), Problem> {
        if self.rooms.contains_key(room) {
            let detail = format!("Somebody publishes in the room {room} already.");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let id = self.add(room, Role::Publish)?;
        self.rooms.insert(room.clone(), id);
        Ok((id, &self.sessions[&id]))
    }

    /// A viewer is about to come.
    pub(crate) fn watch(&mut self, room: &Room) -> Result<(SessionId, &Entry), Problem> {
        let publisher = self.rooms.get(room).map(|&id| (id, &self.sessions[&id]));
        let open = publisher.and_then(|(id, entry)| Some((id, entry.port, entry.layering?)));
        let (publisher, port, layering) =
            open.ok_or_else(|| Self::nobody_publishes(room.as_str()))?;
        let at = SessionAt {
            id: publisher,
            port,
        };
        let id = self.add(room, Role::Watch(at, layering))?;
        if let Some(entry) = self.sessions.get_mut(&publisher) {
            entry.viewers.insert(id);
        }
        Ok((id, &self.sessions[&id]))
    }

    /// A new session, at the port with the fewest.
    fn add(&mut self, room: &Room, role: Role) -> Result<SessionId, Problem> {
        let unavailable = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let port = self.ports.iter_mut().min_by_key(|(_, sessions)| **sessions);
        let (&port, sessions) = port.ok_or_else(|| unavailable("No media port is open."))?;
        let secret =
            secret(16).ok_or_else(|| unavailable("The system has no random numbers to give."))?;
        *sessions += 1;
        self.last += 1;
        let id = SessionId(self.last);
        self.by_secret.insert(secret.clone(), id);
        self.sessions.insert(
            id,
            Entry {
                room: room.clone(),
                role,
                port,
                secret,
                layering: None,
                viewers: BTreeSet::new(),
            },
        );
        Ok(id)
    }

    /// A session is open. Gives its secret.
    pub(crate) fn opened(&mut self, id: SessionId, layering: Layering) -> Option<&str> {
        let entry = self.sessions.get_mut(&id)?;
        entry.layering = Some(layering);
        Some(&entry.secret)
    }

    pub(crate) fn nobody_publishes(room: &str) -> Problem {
        let detail = format!("Nobody publishes in the room {room} at present.");
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// A session is no more, or is not to be. Gives where it was, and then who has lost a publisher
    /// with it: those stay until they have ended.
    pub(crate) fn remove(&mut self, id: SessionId) -> Vec<SessionAt> {
        let Some(entry) = self.sessions.remove(&id) else {
            return Vec::new();
        };
        self.by_secret.remove(&entry.secret);
        if let Some(sessions) = self.ports.get_mut(&entry.port) {
            *sessions -= 1;
        }
        match entry.role {
            Role::Publish => {
                self.rooms.remove(&entry.room);
            }
            Role::Watch(publisher, _) => {
                if let Some(publisher) = self.sessions.get_mut(&publisher.id) {
                    publisher.viewers.remove(&id);
                }
            }
        }
        let viewers = entry.viewers.iter();
        let viewers = viewers.filter_map(|viewer| {
            let port = self.sessions.get(viewer)?.port;
            Some(SessionAt { id: *viewer, port })
        });
        [SessionAt {
            id,
            port: entry.port,
        }]
        .into_iter()
        .chain(viewers)
        .collect()
    }

    pub(crate) fn find(&self, secret: &str) -> Result<(SessionId, &Entry), Problem> {
        let id = self.by_secret.get(secret);
        let gone = || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "There is no such session, or it has ended.",
            )
        };
        let id = *id.ok_or_else(gone)?;
        Ok((id, &self.sessions[&id]))
    }

    /// The rooms where somebody publishes, and how many watch.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (&Room, usize)> {
        self.rooms
            .iter()
            .map(|(room, id)| (room, self.sessions[id].viewers.len()))
    }

    /// How many sessions, rooms and ports there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.sessions.len(), self.rooms.len(), self.ports.len()]
    }
}
