//! Deterministic network simulation for [`stillpoint`] tasks: one seed decides everything.
//!
//! A [`World`] holds nodes, each with addresses and workers, and the links between them. Its
//! workers are those of production, [`stillpoint::Worker`]; only the loop around them is another
//! one. Time is virtual, and everything that chance or the outside would decide follows from the
//! seed, so that a run that failed fails again, exactly.
//!
//! [`check`] runs a scenario for many seeds and prints one line that replays the first one that
//! failed.
//!
//! # Example
//!
//! ```
//! use core::net::SocketAddr;
//! use core::time::Duration;
//! use stillpoint::*;
//! use stillpoint_sim::{Failure, Link, World, check};
//!
//! #[derive(Debug)]
//! struct Hello;
//! impl App for Hello {
//!     type Channel = ();
//!     type Message = ();
//!     type Command = ();
//!     type Report = usize;
//!     type Spawn = Option<SocketAddr>;
//! }
//!
//! /// Says hello to `peer`, if it has one, and reports the length of what it hears.
//! struct Greeter { peer: Option<SocketAddr>, outbox: Outbox<Hello> }
//!
//! impl Task for Greeter {
//!     type App = Hello;
//!     fn handle_input(&mut self, _: Timestamp, input: Input<Hello>) {
//!         match input {
//!             Input::Started(_) => {
//!                 let bind = "0.0.0.0:7".parse().expect("an address");
//!                 self.outbox.open_udp(UdpOpen::new(Token(0), bind));
//!             }
//!             Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
//!                 if let Some(peer) = self.peer {
//!                     self.outbox.send(socket, peer, Buffer::copy_from(b"hello"));
//!                 }
//!             }
//!             Input::Network(NetworkEvent::Datagrams { run, .. }) => {
//!                 self.outbox.report(run.payload.len());
//!             }
//!             _ => {}
//!         }
//!     }
//!     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Hello>> {
//!         self.outbox.pop()
//!     }
//! }
//!
//! fn spawn(peer: Option<SocketAddr>, spawner: Spawner<'_, Hello>) -> Spawned {
//!     spawner.insert(Greeter { peer, outbox: Outbox::new() })
//! }
//!
//! check("hello_arrives", 0..20, |world: &mut World<Hello>| {
//!     let alice = world.node("alice", [10, 0, 0, 1]).spawner(spawn);
//!     let bob = world.node("bob", [10, 0, 0, 2]).spawner(spawn);
//!     let ms = Duration::from_millis;
//!     world.link(alice, bob, &Link::new(ms(1)..=ms(20)));
//!     world.spawn(bob, 0, None);
//!     world.run_for(ms(1))?;
//!     world.spawn(alice, 0, Some(SocketAddr::from(([10, 0, 0, 2], 7))));
//!     world.run_until(ms(100), |world| !world.reports().is_empty())?;
//!     let heard = world.take_reports();
//!     assert_eq!((heard[0].node, heard[0].report), (bob, 5));
//!     Ok(())
//! });
//! ```
//!
//! # The guide
//!
//! [`guide`] has a chapter for each concept: worlds, streams, devices, workers, and so on. Each has
//! examples that run.
//!
//! # What makes a run repeatable, and what would not
//!
//! Tasks must not ask the outside: no clock, no system randomness, no iteration over a hash table
//! with a random seed. [`self_check`] finds those that do: it runs a seed twice and names the first
//! event that differs. `Debug` texts of commands, spawns and reports are part of the trace, so they
//! must not print addresses of memory. How crates are used that ask nevertheless is in
//! [`guide::crates`].
#![forbid(unsafe_code)]

mod agenda;
mod blame;
mod boot;
mod buggify;
mod bus;
mod calendar;
#[cfg(feature = "cli")]
mod campaign;
mod check;
mod choice;
mod claim;
#[cfg(feature = "cli")]
mod cli;
mod clock;
mod cost;
mod counters;
mod coverage;
mod device;
mod disk;
mod diverge;
mod draws;
mod drive;
mod failure;
mod fault;
mod few;
mod folder;
mod gateway;
pub mod guide;
mod heap;
mod history;
mod json;
mod leak;
mod linear;
mod link;
mod names;
mod network;
mod node;
mod picture;
mod replay;
mod room;
mod schedule;
mod shrink;
mod story;
mod tcp;
mod trace;
mod wait;
mod wall;
mod world;

pub use blame::{Blame, BlameConfig, BlamePoint, Turn, blame};
pub use boot::Boot;
pub use buggify::BuggifyLabel;
pub use bus::BusLink;
pub use check::{Check, FoundFailure, RunSummary, Sweep, check, find_failure, run_seed, sweep};
pub use choice::{Choice, ChoiceLog, Drift, Driver, Rest};
pub use claim::Claim;
pub use clock::NodeClock;
pub use cost::{InputCost, InputKind};
pub use counters::{Counters, DropCause, Dropped, PacketCounters, SegmentCounters, StreamBytes};
pub use coverage::{Behaviour, Coverage, Footprint};
pub use disk::Disk;
pub use diverge::{Diverged, Recording, record_seed, self_check};
pub use draws::{DrawnDraw, DrawsCompared};
pub use drive::{NodeInShort, Run, Scenario, Scenarios, UnknownScenario, Watch, drive};
pub use failure::{
    Failure, FailureClass, FailureFile, FailureFileError, Outcome, ReplayFrom, Replayed,
};
pub use fault::{Comes, Fault, FaultKind, FaultPlan, FaultScript, NumberedFault, Who};
pub use gateway::firewall::{Denial, Direction, Firewall, FirewallAction, FirewallRule, Tracking};
pub use gateway::nat::{Hairpin, Nat, NatBehaviour, NatMapping, PortChoice};
pub use gateway::{GatewayBuilder, Protocol};
pub use history::{Checker, Happened, History, Operation, OperationId};
pub use json::FormatError;
pub use leak::{Leak, LeakKind};
pub use linear::{Linearizable, Model, NotLinearizable, Stuck};
#[doc(hidden)]
pub use link::{Arrived, Probe};
pub use link::{
    CoDel, Latency, LatencyTrace, LatencyTraceError, Link, Loss, Order, Oversize, Queue,
    UnknownProfile,
};
pub use names::Names;
pub use node::{NodeBuilder, NodeId};
pub use schedule::Schedule;
pub use shrink::{Budget, Drawer, Extent, NothingFails, Replay, Shrunk, shrink};
pub use story::Story;
pub use trace::{
    LeftOut, LogEvent, Role, TraceDetail, TraceDifference, TraceEvent, TraceFilter, TraceHash,
    TraceKind, TraceLog, TraceLogError,
};
pub use wait::{Party, Wait, WaitFor};
pub use world::{Core, Ended, NodeController, Reported, SpawnFailure, UpcomingInput, World};

use stillpoint::Capabilities;

/// What tasks can do in a [`World`].
#[must_use]
pub const fn capabilities() -> Capabilities {
    Capabilities::ALL
}
