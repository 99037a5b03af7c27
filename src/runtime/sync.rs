//! What the doorbell and the ring are made of.
//!
//! They name it through this module and `queue`, so that the models in `tests/` compile the same
//! sources over atomics whose every outcome is tried.

pub(super) use core::sync::atomic::{AtomicBool, Ordering, fence};
pub(super) use std::sync::{Arc, OnceLock};

pub(super) use crate::backend::Waker;
