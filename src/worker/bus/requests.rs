//! Requests that wait for their answers: those that the worker's tasks have put, and those that
//! were put to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::bus::RequestError;
use crate::group::timer::TimerQueue;
use crate::id::{RequestId, TaskId};
use crate::net::Token;
use crate::slots::{Key, Slots};
use crate::time::Timestamp;
use crate::worker::RequestView;

#[derive(Debug)]
pub(super) struct Requests {
    worker: u16,
    requests_max: usize,
    put: Slots<Put>,
    timers: TimerQueue,
    put_by_task: BTreeSet<(TaskId, Key)>,
    /// Put to the worker's tasks: to whom, and until when an answer counts.
    asked: BTreeMap<RequestId, (TaskId, Timestamp)>,
    asked_by_task: BTreeSet<(TaskId, RequestId)>,
    asked_by_end: BTreeSet<(Timestamp, RequestId)>,
}

/// A request that one of the worker's tasks has put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) struct Put {
    pub(in crate::worker) from: TaskId,
    pub(in crate::worker) to: TaskId,
    pub(in crate::worker) token: Token,
    /// What is to be told when its time is up.
    pub(in crate::worker) error: RequestError,
}

impl Requests {
    pub(super) const fn new(worker: u16, requests_max: usize) -> Self {
        Self {
            worker,
            requests_max,
            put: Slots::new(),
            timers: TimerQueue::new(),
            put_by_task: BTreeSet::new(),
            asked: BTreeMap::new(),
            asked_by_task: BTreeSet::new(),
            asked_by_end: BTreeSet::new(),
        }
    }

    pub(super) const fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// How many of both kinds wait.
    pub(super) fn len(&self) -> usize {
        self.put.len() + self.asked.len()
    }

    /// Notes a request that fails at `until` unless it is answered. `None` if there are too many.
    pub(super) fn put(&mut self, put: Put, until: Timestamp) -> Option<RequestId> {
        if self.put.len() >= self.requests_max {
            return None;
        }
        let key = self.put.insert(put)?;
        self.timers.set(key.slot, Some(until));
        self.put_by_task.insert((put.from, key));
        Some(RequestId {
            worker: self.worker,
            key,
        })
    }

    /// The request has failed already: its time is up now.
    pub(super) fn fail(&mut self, request: RequestId, error: RequestError, now: Timestamp) {
        if let Some(put) = self.put.get_mut(request.key) {
            put.error = error;
            self.timers.set(request.key.slot, Some(now));
        }
    }

    /// Every request to a task of this worker has failed.
    pub(super) fn fail_all_to(&mut self, worker: u16, now: Timestamp) {
        let put = self.put.iter();
        let to_it: Vec<Key> = put
            .filter(|(_, put)| put.to.worker() == worker)
            .map(|(key, _)| key)
            .collect();
        for key in to_it {
            let worker = self.worker;
            self.fail(RequestId { worker, key }, RequestError::WorkerGone, now);
        }
    }

    /// What can be seen of those that the worker's tasks have put.
    pub(super) fn put_views(&self) -> impl Iterator<Item = RequestView> {
        self.put.iter().map(|(key, put)| RequestView {
            request: RequestId {
                worker: self.worker,
                key,
            },
            from: put.from,
            to: put.to,
            until: self.timers.at(key.slot).unwrap_or(Timestamp::MAX),
        })
    }

    /// Takes the request that an answer is for, if it still waits.
    pub(super) fn take(&mut self, request: RequestId) -> Option<Put> {
        if request.worker != self.worker {
            return None;
        }
        let put = self.put.remove(request.key)?;
        self.timers.set(request.key.slot, None);
        self.put_by_task.remove(&(put.from, request.key));
        Some(put)
    }

    /// When the first of the requests fails.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| at)
    }

    /// Takes the first request whose time is up.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Option<Put> {
        let (at, slot) = self.timers.first()?;
        if at > now {
            return None;
        }
        let (worker, key) = (self.worker, self.put.key_at(slot)?);
        self.take(RequestId { worker, key })
    }

    /// Notes a request to one of the worker's tasks. `false` if too many wait.
    pub(super) fn admit(
        &mut self,
        request: RequestId,
        to: TaskId,
        until: Timestamp,
        now: Timestamp,
    ) -> bool {
        // Those whose time is up are of no use to anybody: two go for each that comes, so there
        // never are many.
        for _ in 0..2 {
            match self.asked_by_end.first() {
                Some(&(end, ended)) if end < now => self.forget_asked(ended),
                Some(_) | None => break,
            }
        }
        if self.asked.len() >= self.requests_max {
            return false;
        }
        self.asked.insert(request, (to, until));
        self.asked_by_task.insert((to, request));
        self.asked_by_end.insert((until, request));
        true
    }

    /// Whether `task` may answer the request still.
    pub(super) fn may_answer(&self, task: TaskId, request: RequestId, now: Timestamp) -> bool {
        let asked = self.asked.get(&request);
        asked.is_some_and(|&(to, until)| to == task && until >= now)
    }

    /// The request needs no answer any more.
    pub(super) fn forget_asked(&mut self, request: RequestId) {
        if let Some((to, until)) = self.asked.remove(&request) {
            self.asked_by_task.remove(&(to, request));
            self.asked_by_end.remove(&(until, request));
        }
    }

    /// One of the requests that `task` was to answer.
    pub(super) fn first_asked_of(&self, task: TaskId) -> Option<RequestId> {
        let range = (task, RequestId::FIRST)..=(task, RequestId::LAST);
        let &(_, request) = self.asked_by_task.range(range).next()?;
        Some(request)
    }

    /// Nobody waits any more for the answers to the requests of `task`.
    pub(super) fn forget_put_by(&mut self, task: TaskId) {
        let range = (task, Key::FIRST)..=(task, Key::LAST);
        while let Some(&(_, key)) = self.put_by_task.range(range.clone()).next() {
            let worker = self.worker;
            self.take(RequestId { worker, key });
        }
    }
}
