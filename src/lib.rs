//! A runtime for sans-I/O protocols.
//!
//! A protocol is written once as a [`Task`]: a plain state machine, with no sockets, no clock and
//! no threads. The same task, inside the same [`Worker`], then runs over real sockets, or in a
//! test over a simulated network where one seed decides everything (crate `stillpoint-sim`).
//!
//! The name says the rule at its heart: a worker takes its next input only at the still point,
//! when all output of the last one is drained.
//!
//! # Where to look
//!
//! - [`Task`], [`Input`], [`Output`], [`Outbox`], [`Context`]: what you write.
//! - [`DatagramRun`], [`Transmit`], [`StreamWriter`], [`Packet`], [`Buffer`]: what goes in and out.
//! - [`Worker`], [`TaskGroup`]: what drives tasks, for those who bring their own event loop.
//! - [`Recorder`], [`Recording`]: what a worker was given, to be had again in a test.
//! - [`runtime`]: threads, the controller, and the only loop that is not simulated.
//! - [`backend`]: the ways to reach the kernel, behind one trait.
//! - [`http`]: HTTP/1.1 for tasks that serve it.
//! - [`metrics`]: status as text for Prometheus, and a task that serves it.
//!
//! The first two modules come with the first backend, the others with the features of their names.
//! Without features the crate is its core: pure, without I/O, threads, clock or system randomness, and
//! without unsafe code.
#![deny(unsafe_code)]

#[cfg(feature = "poll")]
pub mod backend;
mod buffer;
mod bus;
mod capabilities;
mod control;
mod counters;
mod datagram;
mod device;
mod entropy;
mod group;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod metric;
#[cfg(feature = "metrics")]
pub mod metrics;
mod mischief;
mod net;
mod recorder;
mod room;
#[cfg(feature = "poll")]
pub mod runtime;
mod slots;
mod state;
mod status;
mod stream;
mod task;
mod time;
mod traffic;
mod transmit;
mod udp;
mod worker;

pub use buffer::{Buffer, BufferPool};
pub use bus::{
    BusCommand, BusCounters, BusEvent, BusItem, Destination, NoRoom, RequestError, Resend,
};
pub use capabilities::Capabilities;
pub use control::{
    CommandError, CommandId, CommandTarget, ControlError, ControlInput, ControlOutput,
    ControlPlane, ControllerEvent, Load, Placement, Reaction, SpawnId, SpawnState, WhenWorkerFails,
    WorkerFailure, WorkerSummary,
};
pub use counters::{DeviceCounters, NetworkCounters, StreamCounters};
pub use datagram::{DATAGRAM_BYTES_MAX, DatagramRun, Transmit, segment_count, segments};
pub use device::{
    DeviceAddress, DeviceError, DeviceKind, DeviceOpen, DeviceQueues, MalformedPacket,
    MeasuredPacket, Packet, PacketHeaders, PacketJoin, PacketOffload, PacketSizes, PacketTransmit,
    PartialChecksum, SegmentProtocol, Segmentation, SinglePackets,
};
pub use entropy::{Choices, Draw, Entity, Entropy, Site, Source};
pub use group::{Children, GroupConfig, GroupFull, GroupOutputs, StaleTask, TaskGroup};
pub use id::{DeviceId, ListenerId, RequestId, ResourceId, SocketId, StreamId, TaskId};
pub use metric::{Counter, Gauge, Held, MetricKind, MetricName, MetricStatus};
pub use mischief::{Decide, Mischief};
pub use net::{NetworkCommand, NetworkError, NetworkEvent, Token};
pub use recorder::{
    Difference, Ending, RecordBlock, RecordRing, RecordSink, Recordable, RecordedApp,
    RecordedBytes, Recorder, RecorderMaker, RecorderStats, Recording, RecordingError, ReplayError,
    Replayed, Replayer, Taken,
};
pub use room::StreamRoom;
pub use slots::Key;
pub use state::{TaskState, WorkerState};
pub use status::{Durations, GroupCounters, GroupStatus, QueueDepths, RunnerStatus, WorkerStatus};
pub use stream::{
    IncomingId, Keepalive, Nagle, Reading, StreamWrite, StreamWriter, TcpConnect, TcpListen,
    TcpOptions,
};
pub use task::{Adopted, App, Context, End, Input, Outbox, Output, Task};
pub use time::{Clock, Deadline, Epoch, Timestamp};
pub use traffic::{Dscp, Ecn};
pub use transmit::{Payload, PayloadTooLong, TransmitBuffer};
pub use udp::{
    Broadcast, Interface, InterfaceIndex, Membership, MulticastLoop, Sharing, UdpBuffers, UdpOpen,
    V6Only, WhenFull,
};
pub use worker::{
    RequestView, ResourceView, SpawnError, SpawnFn, Spawned, Spawner, TaskView, Worker,
    WorkerConfig, WorkerInput, WorkerLimits, WorkerOutput, WorkerOutputs,
};

/// The README's example is a test.
#[cfg(all(doctest, feature = "poll"))]
#[doc = include_str!("../README.md")]
struct Readme;
