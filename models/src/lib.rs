//! Models of how threads wake each other.
//!
//! There is nothing in this crate but tests: `tests/loom.rs` and `tests/shuttle.rs` compile the
//! doorbell and the ring of the thread runtime over atomics whose outcomes are tried one by one. It
//! is a crate of its own so that nobody else builds what they need.
#![forbid(unsafe_code)]
