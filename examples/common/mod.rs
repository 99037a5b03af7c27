//! What the examples share: the echo tasks, their statistics, and how they are printed.
#![allow(dead_code, reason = "each example uses its part of this")]
#![allow(unreachable_pub, reason = "a module of several programs")]

pub mod echo;
pub mod metrics;
pub mod output;
pub mod ping;
#[cfg(feature = "poll")]
pub mod serve;
pub mod stats;
pub mod tcp_echo;
