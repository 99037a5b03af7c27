//! Inputs that a worker gives itself.

use std::collections::VecDeque;

use crate::bus::BusEvent;
use crate::id::TaskId;
use crate::net::NetworkEvent;
use crate::task::App;

/// An input that the worker gives itself.
#[derive(Debug)]
pub(super) enum Pending<A: App> {
    Spawn {
        parent: TaskId,
        spawn: A::Spawn,
    },
    Network {
        task: TaskId,
        event: NetworkEvent,
    },
    Bus {
        task: TaskId,
        event: BusEvent<A::Channel, A::Message>,
    },
}

/// Such inputs, in order, and no more than a limit.
#[derive(Debug)]
pub(super) struct PendingQueue<A: App> {
    queue: VecDeque<Pending<A>>,
    pending_max: usize,
    /// The most that have waited.
    longest: usize,
}

impl<A: App> PendingQueue<A> {
    pub(super) const fn new(pending_max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            pending_max,
            longest: 0,
        }
    }

    pub(super) const fn pending_max(&self) -> usize {
        self.pending_max
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes one more. An error gives it back: there is no room.
    pub(super) fn push(&mut self, pending: Pending<A>) -> Result<(), Pending<A>> {
        if self.queue.len() >= self.pending_max {
            return Err(pending);
        }
        self.queue.push_back(pending);
        self.longest = self.longest.max(self.queue.len());
        Ok(())
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Pending<A>> {
        self.queue.back_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Pending<A>> {
        self.queue.pop_front()
    }

    /// Tells a task that its message did not arrive; once for a row of the same. If it cannot be
    /// told, the message is counted all the same.
    pub(super) fn tell_undelivered(&mut self, task: TaskId, to: TaskId) {
        if let Some(Pending::Bus {
            task: told,
            event: BusEvent::Undelivered { to: gone, messages },
        }) = self.last_mut()
            && (*told, *gone) == (task, to)
        {
            *messages = messages.saturating_add(1);
        } else {
            let event = BusEvent::Undelivered { to, messages: 1 };
            drop(self.push(Pending::Bus { task, event }));
        }
    }
}
