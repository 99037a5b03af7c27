//! The bus of a worker, made with the first use of it: many workers never use theirs.

use super::{Bus, WorkerConfig};
use crate::bus::BusCounters;
use crate::status::WorkerStatus;
use crate::task::App;

pub(in crate::worker) struct LazyBus<A: App>(Option<Box<Bus<A>>>);

impl<A: App> LazyBus<A> {
    pub(in crate::worker) const fn new() -> Self {
        Self(None)
    }

    /// Whether anything was ever asked of it.
    #[inline]
    pub(in crate::worker) const fn is_made(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub(in crate::worker) fn get(&self) -> Option<&Bus<A>> {
        self.0.as_deref()
    }

    #[inline]
    pub(in crate::worker) fn get_mut(&mut self) -> Option<&mut Bus<A>> {
        self.0.as_deref_mut()
    }

    /// It, made if it was not.
    pub(in crate::worker) fn made(&mut self, config: &WorkerConfig) -> &mut Bus<A> {
        self.0.get_or_insert_with(|| Box::new(Bus::new(config)))
    }

    #[inline]
    pub(in crate::worker) fn counters(&self) -> &BusCounters {
        self.get().map_or(&BusCounters::NONE, |bus| &bus.counters)
    }

    pub(in crate::worker) fn write_status(&self, status: &mut WorkerStatus) {
        if let Some(bus) = self.get() {
            bus.write_status(status);
        } else {
            (status.subscriptions, status.requests) = (0, 0);
            (status.queues.bus, status.queues.bus_most) = (0, 0);
            status.bus = BusCounters::NONE;
        }
    }
}
