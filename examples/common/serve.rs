//! What programs that run until Ctrl-C have in common.

use core::time::Duration;

use stillpoint::runtime::{Controller, RuntimeConfig, ShutdownSummary};
use stillpoint::{App, NetworkCounters, Spawned, Spawner};

use super::output::fail;

/// Starts workers; Ctrl-C interrupts their controller.
pub fn start<A: App>(
    config: RuntimeConfig,
    spawn: fn(A::Spawn, Spawner<'_, A>) -> Spawned,
) -> Controller<A> {
    watched(Controller::start(config, spawn).unwrap_or_else(|error| fail(error)))
}

/// The same for workers that have started.
pub fn watched<A: App>(controller: Controller<A>) -> Controller<A> {
    let interrupter = controller.interrupter();
    ctrlc::set_handler(move || interrupter.interrupt()).unwrap_or_else(|error| fail(error));
    controller
}

/// Waits for Ctrl-C. A worker or task that ends before ends the program with the reason.
pub fn wait_for_interrupt<A: App>(
    controller: &mut Controller<A>,
    mut on_report: impl FnMut(A::Report),
) {
    while let Some(report) = controller.wait_report().unwrap_or_else(|error| fail(error)) {
        on_report(report);
    }
}

/// Has all workers stop within two seconds. Gives what they said last, and what all have counted.
pub fn stop<A: App>(controller: Controller<A>) -> (ShutdownSummary<A>, NetworkCounters) {
    let summary = controller.shutdown(Duration::from_secs(2));
    let total = summary.network();
    (summary, total)
}
