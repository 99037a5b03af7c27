//! Who has subscribed to what: the worker's own tasks one by one, the other workers as a whole.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

use crate::bus::Interest;
use crate::id::TaskId;

#[derive(Debug)]
pub(super) struct Subscriptions<C> {
    channels: BTreeMap<C, Channel>,
    by_task: BTreeMap<TaskId, BTreeSet<C>>,
    len: usize,
    /// Which other workers are interested in a channel, in order.
    remote: BTreeMap<C, Vec<u16>>,
    /// Counts what other workers were told.
    told: u64,
}

/// A channel with subscribers on this worker.
#[derive(Debug, Default)]
struct Channel {
    subscribers: BTreeSet<TaskId>,
    /// With whom the last message began: the next one begins with the one behind.
    first: Option<TaskId>,
    /// Under which number the other workers are told of it.
    number: u64,
    /// Who has not acknowledged that number.
    unaware: BTreeSet<u16>,
    /// Tasks to be told as soon as all have.
    confirm: BTreeSet<TaskId>,
}

/// What came of a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subscribed {
    /// It is known everywhere.
    Everywhere,
    /// The other workers are about to learn of it.
    Underway,
    /// It is the channel's first: the other workers are to be told.
    First,
    /// There are as many as there may be.
    TooMany,
}

/// How far a published message is with the subscribers of this worker.
#[derive(Debug)]
pub(super) struct Round {
    first: TaskId,
    next: TaskId,
}

impl Round {
    /// Who is to have it now.
    pub(super) const fn subscriber(&self) -> TaskId {
        self.next
    }
}

impl<C: Copy + Ord> Subscriptions<C> {
    pub(super) const fn new() -> Self {
        Self {
            channels: BTreeMap::new(),
            by_task: BTreeMap::new(),
            len: 0,
            remote: BTreeMap::new(),
            told: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn subscribe(
        &mut self,
        task: TaskId,
        channel: C,
        peers: impl Iterator<Item = u16>,
        subscriptions_max: usize,
    ) -> Subscribed {
        if !self.has(task, channel) {
            if self.len >= subscriptions_max {
                return Subscribed::TooMany;
            }
            self.len += 1;
            self.by_task.entry(task).or_default().insert(channel);
        }
        let entry = self.channels.entry(channel).or_default();
        let first = entry.subscribers.is_empty();
        entry.subscribers.insert(task);
        if first {
            self.told += 1;
            entry.number = self.told;
            entry.unaware = peers.collect();
        }
        if entry.unaware.is_empty() {
            return Subscribed::Everywhere;
        }
        entry.confirm.insert(task);
        if first {
            Subscribed::First
        } else {
            Subscribed::Underway
        }
    }

    /// Whether it was the channel's last: then the other workers are to be told.
    pub(super) fn unsubscribe(&mut self, task: TaskId, channel: C) -> bool {
        let Some(channels) = self.by_task.get_mut(&task) else {
            return false;
        };
        if !channels.remove(&channel) {
            return false;
        }
        if channels.is_empty() {
            self.by_task.remove(&task);
        }
        self.len -= 1;
        let Some(entry) = self.channels.get_mut(&channel) else {
            return false;
        };
        entry.subscribers.remove(&task);
        entry.confirm.remove(&task);
        let last = entry.subscribers.is_empty();
        if last {
            self.channels.remove(&channel);
        }
        last
    }

    /// One of the channels that the task has subscribed to.
    pub(super) fn first_of(&self, task: TaskId) -> Option<C> {
        self.by_task.get(&task)?.first().copied()
    }

    pub(super) fn has(&self, task: TaskId, channel: C) -> bool {
        let channels = self.by_task.get(&task);
        channels.is_some_and(|channels| channels.contains(&channel))
    }

    /// Who has subscribed to what.
    pub(super) fn all(&self) -> impl Iterator<Item = (TaskId, C)> {
        let by_task = self.by_task.iter();
        by_task.flat_map(|(&task, channels)| channels.iter().map(move |&channel| (task, channel)))
    }

    /// All channels with subscribers on this worker.
    pub(super) fn channels(&self) -> impl Iterator<Item = C> {
        self.channels.keys().copied()
    }

    /// What another worker is to be told of a channel, and under which number.
    pub(super) fn interest(&self, channel: C) -> (Interest, u64) {
        let entry = self.channels.get(&channel);
        entry.map_or((Interest::None, 0), |entry| (Interest::Some, entry.number))
    }

    /// Another worker knows what it was told of a channel under this number. Gives the tasks that
    /// are to hear that now all do.
    pub(super) fn known(&mut self, peer: u16, channel: C, number: u64) -> BTreeSet<TaskId> {
        match self.channels.get_mut(&channel) {
            Some(entry) if entry.number == number => entry.made_aware(peer),
            Some(_) | None => BTreeSet::new(),
        }
    }

    /// Another worker is interested in a channel, or no longer.
    pub(super) fn set_remote(&mut self, peer: u16, channel: C, interest: Interest) {
        let peers = self.remote.entry(channel).or_default();
        match (peers.binary_search(&peer), interest) {
            (Err(place), Interest::Some) => peers.insert(place, peer),
            (Ok(place), Interest::None) => {
                peers.remove(place);
            }
            (Ok(_), Interest::Some) | (Err(_), Interest::None) => {}
        }
        if peers.is_empty() {
            self.remote.remove(&channel);
        }
    }

    /// The other workers that are interested in a channel.
    pub(super) fn remote(&self, channel: C) -> &[u16] {
        self.remote.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// Another worker is no more: it is interested in nothing, and need not learn of anything.
    /// Gives the tasks that are to hear that all who are left know of a channel.
    pub(super) fn forget_peer(&mut self, peer: u16) -> Vec<(TaskId, C)> {
        self.remote.retain(|_, peers| {
            peers.retain(|&interested| interested != peer);
            !peers.is_empty()
        });
        let mut confirmed = Vec::new();
        for (&channel, entry) in &mut self.channels {
            let tasks = entry.made_aware(peer);
            confirmed.extend(tasks.into_iter().map(|task| (task, channel)));
        }
        confirmed
    }

    /// Begins to hand a message to the subscribers of a channel, if it has any.
    pub(super) fn begin(&mut self, channel: C) -> Option<Round> {
        let entry = self.channels.get_mut(&channel)?;
        let behind = entry.first.and_then(|first| entry.behind(first));
        let first = behind.or_else(|| entry.subscribers.first().copied())?;
        entry.first = Some(first);
        Some(Round { first, next: first })
    }

    /// Goes on to the next subscriber. `None` if there is none that has not had its turn.
    pub(super) fn go_on(&self, channel: C, round: &Round) -> Option<Round> {
        let Round { first, next: last } = *round;
        let entry = self.channels.get(&channel)?;
        let next = if last >= first {
            let from_start = || entry.subscribers.first().copied().filter(|&at| at < first);
            entry.behind(last).or_else(from_start)
        } else {
            entry.behind(last).filter(|&at| at < first)
        };
        next.map(|next| Round { first, next })
    }
}

impl Channel {
    /// The subscriber behind a task.
    fn behind(&self, task: TaskId) -> Option<TaskId> {
        let range = (Bound::Excluded(task), Bound::Unbounded);
        self.subscribers.range(range).next().copied()
    }

    /// Another worker has acknowledged. Gives those who are to be told, once all have.
    fn made_aware(&mut self, peer: u16) -> BTreeSet<TaskId> {
        if self.unaware.remove(&peer) && self.unaware.is_empty() {
            core::mem::take(&mut self.confirm)
        } else {
            BTreeSet::new()
        }
    }
}
