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
    /// `None` until one has waited: many workers never have one.
    waiting: Option<Box<Waiting<A>>>,
    pending_max: u32,
}

#[derive(Debug)]
struct Waiting<A: App> {
    queue: VecDeque<Pending<A>>,
    /// The most that have waited.
    longest: usize,
}

impl<A: App> PendingQueue<A> {
    pub(super) fn new(pending_max: usize) -> Self {
        Self {
            waiting: None,
            pending_max: u32::try_from(pending_max).unwrap_or(u32::MAX),
        }
    }

    pub(super) const fn pending_max(&self) -> usize {
        self.pending_max as usize
    }

    pub(super) fn longest(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.longest)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.as_ref();
        waiting.map_or(0, |waiting| waiting.queue.len())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one more. An error gives it back: there is no room.
    pub(super) fn push(&mut self, pending: Pending<A>) -> Result<(), Pending<A>> {
        if self.len() >= self.pending_max() {
            return Err(pending);
        }
        let waiting = self.waiting.get_or_insert_with(|| {
            let (queue, longest) = (VecDeque::new(), 0);
            Box::new(Waiting { queue, longest })
        });
        waiting.queue.push_back(pending);
        waiting.longest = waiting.longest.max(waiting.queue.len());
        Ok(())
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Pending<A>> {
        self.waiting.as_mut()?.queue.back_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Pending<A>> {
        self.waiting.as_mut()?.queue.pop_front()
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
