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
mod runner;
mod thread;

pub use clock::SystemClock;
pub use config::RuntimeConfig;
pub use controller::{Controller, Interrupter, ShutdownSummary, StartError};

pub use crate::control::{
    ControlError, ControllerEvent, Placement, WhenWorkerFails, WorkerFailure, WorkerSummary,
};
