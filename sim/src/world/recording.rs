//! How a world has its trace taken down.

use stillpoint::App;

use super::World;
use crate::agenda::Due;
use crate::trace::{Cause, Node, TraceDetail, TraceEvent, TraceLog};

impl<A: App> World<A> {
    /// Keeps every event of the trace from now on, for [`World::take_log`] or [`World::take_trace`].
    pub fn record_trace(&mut self) {
        self.record_log(TraceDetail::new());
    }

    /// The same, and what else the log is to hold. What was recorded before is forgotten.
    ///
    /// A world that records does the same as one that does not, and its
    /// [hash](World::trace_hash) is the same. It takes up to twice the time, and 64 bytes and more
    /// for each event.
    pub fn record_log(&mut self, detail: TraceDetail) {
        let causes = self.outside.trace.record(detail);
        self.outside.agenda.note_causes(causes);
        self.note_care();
        self.properties(); // After each event, they are looked at.
        for seat in &mut self.seats {
            seat.watched = seat.worker.is_some();
        }
    }

    /// All events since recording began, with what has led to them, and records no more.
    pub fn take_log(&mut self) -> TraceLog {
        let nodes = self.outside.network.hosts.iter().zip(&self.outside.desks);
        let nodes = nodes.map(|(host, desk)| Node {
            name: host.name.to_string(),
            workers: u16::try_from(desk.seats.len()).unwrap_or(u16::MAX),
        });
        let mut log = self.outside.trace.take_log(self.seed(), nodes.collect());
        if let Some(failure) = self.failure() {
            log.note_failure(failure);
        }
        self.outside.agenda.forget_causes();
        self.note_care();
        log
    }

    /// Finds out anew what is to be seen to on the way of what most often happens.
    pub(super) fn note_care(&mut self) {
        let records = self.outside.trace.is_recording();
        self.careful = records || self.priorities.is_some();
        self.hooked = records || !self.before_input.is_empty();
    }

    /// The events alone.
    pub fn take_trace(&mut self) -> Vec<TraceEvent> {
        self.take_log()
            .events()
            .map(|logged| logged.event)
            .collect()
    }

    /// What happens next is this.
    pub(super) fn follow_cause<T>(&mut self, due: &Due<T>) {
        if self.outside.trace.is_recording() {
            let cause = self.outside.agenda.cause_of(due);
            self.outside.trace.follow(cause);
        }
    }

    /// What happens next is the scenario's doing, unless something else says otherwise.
    pub(super) fn forget_cause(&self) {
        self.outside.trace.follow(Cause::NONE);
    }

    /// A worker has been given something. Says whether that is to be noted the next time, too.
    pub(super) fn note_turn(&mut self, number: u32) -> bool {
        let seat = &self.seats[number as usize];
        let recorder = self.outside.trace.recorder();
        if let (Some(worker), Some(recorder)) = (&seat.worker, recorder) {
            recorder.end_turn(seat.node, worker);
            return true;
        }
        false
    }
}
