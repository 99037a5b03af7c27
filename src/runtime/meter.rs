//! What a runner notes of its own loop, and when it posts the status of its worker.

use core::time::Duration;
use std::sync::Arc;

use super::board::{Board, Posted, StatusReader, share};
use super::lines::Lines;
use super::spin::Spin;
use crate::counters::NetworkCounters;
use crate::status::{Durations, RunnerStatus};
use crate::task::App;
use crate::time::Timestamp;
use crate::worker::Worker;

pub(super) struct Meter {
    board: Arc<Board>,
    posted: Posted,
    posted_at: Timestamp,
    /// When the last wait ended.
    woke_at: Timestamp,
    started_at: Timestamp,
    slept: bool,
    /// Whether it sleeps when there is nothing to do.
    pub(super) spin: Spin,
    /// How long it has looked again without finding anything.
    spun: Duration,
    wake_ups: u64,
    loops: u64,
    busy: Duration,
    window_start: Timestamp,
    window_busy: Duration,
    utilization: f64,
    loop_latency: Durations,
    bus_in_most: usize,
    control_most: usize,
    /// Messages to other workers that nobody took.
    pub(super) lost: u64,
}

impl Meter {
    pub(super) fn new(board: Arc<Board>, now: Timestamp, spin_max: Duration) -> Self {
        Self {
            board,
            posted: Posted::default(),
            posted_at: now,
            woke_at: now,
            started_at: now,
            slept: false,
            spin: Spin::new(spin_max),
            spun: Duration::ZERO,
            wake_ups: 0,
            loops: 0,
            busy: Duration::ZERO,
            window_start: now,
            window_busy: Duration::ZERO,
            utilization: 0.0,
            loop_latency: Durations::new(),
            bus_in_most: 0,
            control_most: 0,
            lost: 0,
        }
    }

    /// The worker is about to sleep.
    pub(super) fn sleeps(&mut self, now: Timestamp) {
        self.passed_until(now);
        self.spin.sleeps(now);
        self.slept = true;
    }

    /// A wait is over, and whatever came of it is about to be dealt with.
    pub(super) fn woke(&mut self, now: Timestamp) {
        if self.slept {
            self.slept = false;
            self.spin.woke(now);
            self.wake_ups += 1;
            self.board.woke();
        } else {
            self.passed_until(now);
        }
        self.woke_at = now;
    }

    /// How much of the controller's was found waiting.
    pub(super) fn found_control(&mut self, control: usize) {
        self.control_most = self.control_most.max(control);
    }

    /// How much from other workers was found waiting.
    pub(super) fn found_bus(&mut self, bus_in: usize) {
        self.bus_in_most = self.bus_in_most.max(bus_in);
    }

    /// The turn that began when the last wait ended has taken until now.
    fn passed_until(&mut self, now: Timestamp) {
        let passed = now.since(self.woke_at);
        self.busy += passed;
        if self.spin.is_looking() {
            self.spun += passed;
        } else {
            self.loops += 1;
            self.loop_latency.record(passed);
            self.window_busy += passed;
        }
        let window = now.since(self.window_start);
        if window >= RunnerStatus::WINDOW {
            self.utilization = share(self.window_busy, window);
            self.window_start = now;
            self.window_busy = Duration::ZERO;
        }
    }

    /// Whether a worker that does not sleep is to post its status.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.posted_at) >= StatusReader::INTERVAL
    }

    /// Posts the status.
    pub(super) fn post<A: App>(
        &mut self,
        now: Timestamp,
        worker: &Worker<A>,
        network: NetworkCounters,
        lines: &Lines<A>,
    ) {
        self.posted_at = now;
        let status = &mut self.posted.status;
        worker.write_status(status);
        status.at = now;
        status.network = network;
        status.bus.lost += self.lost;
        let inbound = lines.peers.0.iter().map(|(_, line)| line.inbound.len());
        status.queues.bus_in = inbound.sum();
        status.queues.bus_in_most = self.bus_in_most;
        status.queues.control = lines.control.len();
        status.queues.control_most = self.control_most;
        status.queues.events = lines.events.len();
        let runner = &mut status.runner;
        runner.wake_ups = self.wake_ups;
        runner.loops = self.loops;
        runner.wall = now.since(self.started_at);
        runner.busy = self.busy;
        runner.spun = self.spun;
        runner.spins_paid = self.spin.paid;
        runner.spins_failed = self.spin.failed;
        runner.utilization = self.utilization;
        runner.loop_latency.share(&self.loop_latency);
        runner.events_dropped = lines.events.dropped;
        self.posted.window_start = self.window_start;
        self.posted.window_busy = self.window_busy;
        self.board.swap(&mut self.posted, self.slept);
    }
}
