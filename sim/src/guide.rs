//! The guide: a chapter for each concept, with examples that run.
//!
//! - [`world`] is the one to begin with: nodes, tasks, time, and what a scenario is.
//! - What is between nodes: [`links`], and [`topology`] with routers, NATs, firewalls and roaming.
//! - What tasks have at their nodes: [`streams`], [`devices`], and other [`workers`].
//! - What may go wrong: [`time`] and [`faults`].
//! - How a scenario finds out: [`checking`]; what one sees then: [`traces`] and pictures; and what to
//!   do with a failure: [`shrinking`].
//! - How many seeds find out more: [`campaigns`].
//! - What makes a run repeatable: [`determinism`], and what [crates of others](crates) need for it.

#[doc = include_str!("../docs/campaigns.md")]
pub mod campaigns {}

#[doc = include_str!("../docs/checking.md")]
pub mod checking {}

#[doc = include_str!("../docs/crates.md")]
pub mod crates {}

#[doc = include_str!("../docs/determinism.md")]
pub mod determinism {}

#[doc = include_str!("../docs/devices.md")]
pub mod devices {}

#[doc = include_str!("../docs/faults.md")]
pub mod faults {}

#[doc = include_str!("../docs/links.md")]
pub mod links {}

#[doc = include_str!("../docs/shrinking.md")]
pub mod shrinking {}

#[doc = include_str!("../docs/streams.md")]
pub mod streams {}

#[doc = include_str!("../docs/time.md")]
pub mod time {}

#[doc = include_str!("../docs/topology.md")]
pub mod topology {}

#[doc = include_str!("../docs/traces.md")]
pub mod traces {}

#[doc = include_str!("../docs/workers.md")]
pub mod workers {}

#[doc = include_str!("../docs/world.md")]
pub mod world {}
