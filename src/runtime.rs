//! Threads, the controller, and the only clock.
//!
//! A [`Controller`] starts workers on threads of their own, each over its own backend. It spawns
//! tasks and commands them, waits for what they report, and shuts everything down. Dropped without
//! a shutdown, it removes every task and joins every thread.
//!
//! `runtime/runner.rs` holds the only loop that is not simulated.

mod clock;
mod config;
mod controller;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the runner does not use it yet")
)]
mod doorbell;
mod queue;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the runner does not use it yet")
)]
mod ring;
#[cfg(test)]
mod ring_tests;
mod runner;
mod sync;
mod thread;

pub use clock::SystemClock;
pub use config::RuntimeConfig;
pub use controller::{Controller, Interrupter, ShutdownSummary, StartError};

pub use crate::control::{
    ControlError, ControllerEvent, Placement, WhenWorkerFails, WorkerFailure, WorkerSummary,
};
