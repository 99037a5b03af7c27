//! Threads, the controller, and the only clock.
//!
//! A [`Controller`] starts workers on threads of their own, each over its own backend. It spawns
//! tasks and commands them, waits for what they report, and shuts everything down. Dropped without
//! a shutdown, it removes every task and joins every thread.
//!
//! `runtime/runner.rs` holds the only loop that is not simulated.

mod board;
mod clock;
mod config;
mod controller;
mod doorbell;
mod launch;
mod lines;
mod meter;
mod queue;
mod record;
mod record_file;
mod remote;
mod ring;
#[cfg(test)]
mod ring_tests;
mod runner;
mod spin;
mod sync;
mod thread;

pub use board::StatusReader;
pub use clock::SystemClock;
pub use config::{RuntimeConfig, ThreadConfig};
pub use controller::{Controller, Fallen, Interrupter, ShutdownSummary, StartError};
pub use record::{RecordTo, RecorderConfig};
pub use remote::Remote;

pub use crate::control::{
    CommandError, CommandId, CommandTarget, ControlError, ControllerEvent, Placement, SpawnId,
    SpawnState, WhenWorkerFails, WorkerFailure, WorkerSummary,
};
