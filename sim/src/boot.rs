//! How a node starts: at first, and again after a crash.

use core::fmt;

use stillpoint::App;

use crate::disk::Disk;

/// The start of a node. See [`NodeBuilder::boot`](crate::NodeBuilder::boot).
pub struct Boot<'a, A: App> {
    pub(crate) name: &'a str,
    pub(crate) life: u32,
    pub(crate) workers: u16,
    pub(crate) disk: &'a Disk,
    /// By worker, counted from 0 in each life.
    pub(crate) spawns: Vec<(u16, A::Spawn)>,
}

impl<A: App> Boot<'_, A> {
    /// How often the node has been started before: 0 the first time.
    #[must_use]
    pub const fn life(&self) -> u32 {
        self.life
    }

    /// How many workers it starts with.
    #[must_use]
    pub const fn workers(&self) -> u16 {
        self.workers
    }

    /// What it has written down in earlier lives, and was safe when it crashed.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        self.disk
    }

    /// Has a worker make a task. Workers count from 0 in each life, whatever their indexes.
    ///
    /// # Panics
    ///
    /// If the node does not have so many workers.
    pub fn spawn(&mut self, worker: u16, spawn: A::Spawn) {
        assert!(
            worker < self.workers,
            "worker {worker} of node `{}`, which starts with {}, counted from 0: see \
            `NodeBuilder::workers`",
            self.name,
            self.workers
        );
        self.spawns.push((worker, spawn));
    }
}

impl<A: App> fmt::Debug for Boot<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boot")
            .field("node", &self.name)
            .field("life", &self.life)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
