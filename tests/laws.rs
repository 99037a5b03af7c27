//! The laws of the core, one by one and all at once: see the modules.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about; the enums of the library are never exhaustive"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of a test are small"
)]

#[path = "core/bench.rs"]
mod bench;
#[path = "core/check.rs"]
mod check;
#[path = "core/model.rs"]
mod model;
#[path = "core/probe.rs"]
mod probe;

#[path = "core/bus_script.rs"]
mod bus_script;
#[path = "core/cluster.rs"]
mod cluster;
#[path = "core/puppet.rs"]
mod puppet;

#[path = "core/property.rs"]
mod property;

#[path = "core/bus.rs"]
mod bus;
#[path = "core/bus_fairness.rs"]
mod bus_fairness;
#[path = "core/bus_interest.rs"]
mod bus_interest;
#[path = "core/bus_panics.rs"]
mod bus_panics;
#[path = "core/bus_property.rs"]
mod bus_property;
#[path = "core/bus_requests.rs"]
mod bus_requests;
#[path = "core/bus_room.rs"]
mod bus_room;
#[path = "core/bus_stop.rs"]
mod bus_stop;
#[path = "core/metrics_of_tasks.rs"]
mod metrics_of_tasks;

#[path = "core/children.rs"]
mod children;
#[path = "core/control.rs"]
mod control;
#[path = "core/drain.rs"]
mod drain;
#[path = "core/identity.rs"]
mod identity;
#[path = "core/isolation.rs"]
mod isolation;
#[path = "core/mischief.rs"]
mod mischief;
#[path = "core/status.rs"]
mod status;
#[path = "core/streams.rs"]
mod streams;
#[path = "core/time.rs"]
mod time;
