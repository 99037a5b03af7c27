//! What tasks count for those who watch.
//!
//! A task asks its [`Context`](crate::Context) for a [`Counter`] or a [`Gauge`] by name, and keeps it.
//! All tasks of one type on one worker that ask for the same name have the same one. What they hold is
//! part of the status of their worker ([`WorkerStatus::metrics`](crate::WorkerStatus::metrics)), and of
//! what is served to Prometheus.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::entropy::Entity;

/// What a metric is called, in the terms of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct MetricName {
    /// Its name: letters, digits and `_`. That of a counter ends in `_total`.
    pub name: &'static str,
    /// What it means, for people.
    pub help: &'static str,
    /// What tells it apart from others of its name: a label and its value.
    pub label: Option<(&'static str, &'static str)>,
}

impl MetricName {
    /// A name by itself.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let label = None;
        Self { name, help, label }
    }

    /// The same, told apart by this label.
    #[must_use]
    pub const fn with_label(mut self, label: &'static str, value: &'static str) -> Self {
        self.label = Some((label, value));
        self
    }
}

/// What a metric does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what is counted grows, or it does not"
)]
pub enum MetricKind {
    /// It only ever grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric, and what it was at the moment of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricStatus {
    /// What it is called.
    pub name: MetricName,
    /// What it does.
    pub kind: MetricKind,
    /// What it was.
    pub value: u64,
}

/// A number that only ever grows. Made by [`Context::counter`](crate::Context::counter).
#[derive(Debug, Clone, Default)]
pub struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.set(self.0.get().wrapping_add(count));
    }

    /// How many there were.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.get()
    }
}

/// A number that goes up and down. Made by [`Context::gauge`](crate::Context::gauge).
#[derive(Debug, Clone, Default)]
pub struct Gauge(Rc<Cell<u64>>);

impl Gauge {
    /// It is this many now.
    pub fn set(&self, count: u64) {
        self.0.set(count);
    }

    /// How many there are.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.get()
    }

    /// One more, for as long as what is returned lives: it is kept by what is counted.
    pub fn hold(&self) -> Held {
        self.set(self.value().wrapping_add(1));
        Held(self.clone())
    }
}

/// Something that a gauge counts while it lives. Made by [`Gauge::hold`].
#[derive(Debug)]
#[must_use = "what is not kept is not counted"]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.value().wrapping_sub(1));
    }
}

/// The metrics of many groups, each by who owns it.
#[derive(Debug, Default)]
pub(crate) struct Metrics(RefCell<BTreeMap<Key, Rc<Cell<u64>>>>);

type Key = (Entity, MetricName, MetricKind);

impl Metrics {
    pub(crate) fn counter(&self, owner: Entity, name: MetricName) -> Counter {
        Counter(self.cell((owner, name, MetricKind::Counter)))
    }

    pub(crate) fn gauge(&self, owner: Entity, name: MetricName) -> Gauge {
        Gauge(self.cell((owner, name, MetricKind::Gauge)))
    }

    fn cell(&self, key: Key) -> Rc<Cell<u64>> {
        Rc::clone(self.0.borrow_mut().entry(key).or_default())
    }

    /// Appends those of one owner.
    pub(crate) fn write_status(&self, owner: Entity, statuses: &mut Vec<MetricStatus>) {
        let first = (owner, MetricName::new("", ""), MetricKind::Counter);
        let metrics = self.0.borrow();
        let owned = metrics
            .range(first..)
            .take_while(|((of, ..), _)| *of == owner);
        statuses.extend(owned.map(|(&(_, name, kind), cell)| MetricStatus {
            name,
            kind,
            value: cell.get(),
        }));
    }

    /// An owner is no more.
    pub(crate) fn forget(&self, owner: Entity) {
        let mut metrics = self.0.borrow_mut();
        let first = (owner, MetricName::new("", ""), MetricKind::Counter);
        while let Some((&key, _)) = metrics.range(first..).next()
            && key.0 == owner
        {
            metrics.remove(&key);
        }
    }
}
