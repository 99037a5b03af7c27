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
//! # Devices
//!
//! As on a real host, a packet that a task gives to its device enters the network stack of the
//! task's node, and what that stack sends out of the device ([`World::inject_packet`]) reaches the
//! task. The simulated stacks know nothing but their devices:
//!
//! - A TUN packet goes to whoever has its destination address. If that is an address of a device,
//!   the device's host takes it in ([`World::take_packets`]). Else it comes out of the device whose
//!   prefix covers the destination; the longest prefix wins, then the packet's own node, then the
//!   device that was opened first. Packets to all or to a group stay with their own host.
//! - All TAP devices of a world hang on one switch, with the task behind a device at one port and
//!   its host at another. It learns who is where from the frames it sees; frames to all, to a group
//!   or to somebody unknown go out of every other port.
//!
//! From node to node packets travel over the link that datagrams take, one by one: a large packet
//! is cut before. Within a node it stays as it is, unless the task takes single packets only.
//!
//! What is not there: sockets do not reach devices, stacks answer nothing (no ICMP, no ARP) and
//! leave the hop limit alone.
//!
//! # Streams
//!
//! Tasks use TCP as in production. Segments travel over the same [`Link`]s as datagrams, and loss,
//! reordering and duplication are repaired as TCP repairs them:
//!
//! - What is not acknowledged is sent again after the measured round trip (RFC 6298: at least
//!   200 ms, 1 s before one was measured), then after twice that, and so on up to two minutes. After
//!   15 attempts, 924.6 seconds at the shortest pauses, the stream fails with `TimedOut`. A
//!   connect is tried again six times, for 127 seconds at most, or until its own timeout. So it ends,
//!   too, if no node has the address.
//! - How written bytes are cut into segments (of up to 1,460 bytes; 1,440 over IPv6), and how received
//!   ones are cut and joined for the task, is drawn, for each connection and direction by itself: tasks
//!   that count on boundaries are found out.
//! - Windows are real: a task that does not read fills its node's receive buffer, then the peer's
//!   send buffer (64 KiB each, unless [`TcpOptions`](stillpoint::TcpOptions) say otherwise), then the
//!   peer's queue. A window that opens unheard is asked for.
//! - A listener's backlog bounds the connections that are being made or wait to be taken in. The call
//!   of one more is dropped, and comes again.
//! - Half-close, reset, lingering close, Nagle's algorithm and keepalive are there. Bytes for a stream
//!   that was closed are answered with a reset; a reset itself may be lost.
//!
//! Not modelled: congestion windows and pacing, selective and delayed acknowledgements, path MTU,
//! urgent data, and the time that TIME-WAIT takes.
//!
//! # Workers, the bus, and the controller
//!
//! A node may have several workers. They share its addresses, and nothing else but the bus: each
//! ordered pair of them has a queue, in which items keep their order. How long an item takes is drawn
//! (200 ns to 20 µs, unless [`World::set_bus`] says otherwise), so the seed chooses how the workers
//! interleave. A queue holds 4,096 items; whoever finds it full is told once half of it is free.
//!
//! Being given an input takes a worker no time. One that goes on at once again and again, because a
//! task writes to itself for ever, say, takes a microsecond for each turn behind the first 4,096, so
//! that time goes on for the others.
//!
//! [`World::controller`] does what an application's controller does in production: it places tasks,
//! tracks spawns and commands, publishes, adds and removes workers, and leads a shutdown through its
//! phases, in virtual time. What decides there is the same [`ControlPlane`](stillpoint::ControlPlane).
//! [`World::spawn`], [`World::command`] and [`World::shutdown`] are for scenarios that need none of it.
//!
//! # Faults of workers
//!
//! - [`World::stall_worker`] has one stand still for a while. What comes meanwhile waits, its queues
//!   and receive buffers fill up, and nothing is lost that would not be lost on a host.
//! - [`World::kill_worker`] has one fail for good. What waits in its queues is lost and counted, its
//!   descriptors are closed, the others are told behind all that it had sent them, and
//!   [`NodeBuilder::when_worker_fails`] says what follows.
//!
//! After both, as always, every message is accounted for: see [`Counters::bus`].
//!
//! # What makes a run repeatable, and what would not
//!
//! Tasks must not ask the outside: no clock, no system randomness, no iteration over a hash table
//! with a random seed. [`self_check`] finds those that do: it runs a seed twice and names the first
//! event that differs. `Debug` texts of commands, spawns and reports are part of the trace, so they
//! must not print addresses of memory.
#![forbid(unsafe_code)]

mod agenda;
mod bus;
mod check;
mod claim;
mod counters;
mod device;
mod diverge;
mod draws;
mod failure;
mod history;
mod leak;
mod linear;
mod link;
mod network;
mod node;
mod replay;
mod tcp;
mod trace;
mod wait;
mod world;

pub use bus::BusLink;
pub use check::{Coverage, FoundFailure, RunSummary, Sweep, check, find_failure, run_seed, sweep};
pub use claim::Claim;
pub use counters::{Counters, DropCause, Dropped, PacketCounters, SegmentCounters, StreamBytes};
pub use diverge::{Diverged, self_check};
pub use draws::{DrawnDraw, DrawsCompared};
pub use failure::Failure;
pub use history::{Checker, Happened, History, Operation, OperationId};
pub use leak::{Leak, LeakKind};
pub use linear::{Linearizable, Model, NotLinearizable, Stuck};
pub use link::Link;
pub use node::{NodeBuilder, NodeId};
pub use trace::{TraceEvent, TraceHash, TraceKind};
pub use wait::{Party, Wait, WaitFor};
pub use world::{Core, Ended, NodeController, Reported, SpawnFailure, World};

use stillpoint::Capabilities;

/// What tasks can do in a [`World`].
#[must_use]
pub const fn capabilities() -> Capabilities {
    Capabilities::ALL
}
