//! Campaigns: many seeds of many scenarios, side by side on all cores, spread over machines.
//!
//! A campaign is a list of chunks, each some seeds of one scenario, in an order that follows from
//! what was asked for alone ([`plan`]). What becomes of a chunk is a [`record`], a line of a file. The
//! [`report`] is made of records, and of nothing else: so it does not matter how many threads have
//! worked on them, on how many machines, and how often they were killed in between.

pub(crate) mod canary;
pub(crate) mod engine;
pub(crate) mod file;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod shard;

pub(crate) use engine::{Engine, Stop};
pub(crate) use file::{SweepFile, SweepFileError};
pub(crate) use plan::{Plan, parse_seeds};
pub(crate) use record::{CanaryRecord, Chunk, Header};
pub(crate) use report::Report;
pub(crate) use shard::Shard;
