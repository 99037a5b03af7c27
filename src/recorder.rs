//! The flight recorder: what a worker was given and what it gave out, so that it can be had again.
//!
//! A worker is a function of its configuration and of its inputs with their times. A *recording*
//! holds these, and of each output a short form: kind, ids, peer, length, and a hash of the
//! payload. [`Recording::replay`] gives the same inputs to a worker anew, and names the first
//! output that is another. So what went wrong in production becomes a test.
//!
//! A [`Recorder`] stands between a worker and whoever drives it. Where its records go is said by a
//! [`RecordSink`]: a [`RecordRing`] in memory, or a file, which the runtime brings.
//!
//! What tasks ask beside their inputs, a clock of the system, a file, a table that threads share,
//! is not in a recording. A task that keeps to what it is given replays; see [`Task`](crate::Task).
//! What a simulation decides for a task is recorded, too ([`Context::buggify`](crate::Context::buggify),
//! [`Choices`](crate::Choices)).

use core::fmt;

use crate::bus::BusItem;
use crate::datagram::{DatagramRun, Transmit};
use crate::id::SocketId;
use crate::net::NetworkCommand;
use crate::task::App;
use crate::time::Timestamp;
use crate::transmit::{Payload, TransmitBuffer};
use crate::worker::{Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs};

mod block;
mod code;
mod format;
mod input;
mod network;
mod notes;
mod open;
mod output;
mod recording;
mod replay;
mod ring;
mod tape;

pub use block::RecordBlock;
pub use code::{Recordable, RecordedBytes};
use format::kind;
use input::Codec;
pub use input::RecordedApp;
use notes::Notes;
use output::item;
pub use recording::{Ending, Recording, RecordingError};
pub use replay::{Difference, ReplayError, Replayed, Replayer};
pub use ring::{RecordRing, RecordSink, Taken};
use tape::Tape;

/// Writes down what a worker is given and what it gives out.
///
/// The driver of a worker gives it its inputs through [`Recorder::handle_input`], all of them from
/// the first one on.
///
/// # Example
///
/// ```
/// use stillpoint::*;
/// # #[derive(Debug)] struct Demo;
/// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = u8; }
/// # struct Nobody;
/// # impl WorkerOutputs<Demo> for Nobody {
/// #     fn lend(&mut self) -> TransmitBuffer<'_> { TransmitBuffer::new(&mut []) }
/// #     fn push(&mut self, _: WorkerOutput<Demo>) {}
/// # }
///
/// fn make(config: WorkerConfig) -> Worker<Demo> {
///     Worker::new(config, |number, spawner| spawner.refuse(format!("not even {number}")))
/// }
///
/// let mut config = WorkerConfig::new(0, Entropy::from_seed(7));
/// let ring = RecordRing::new(1 << 20);
/// let mut recorder = Recorder::new(&mut config, Box::new(ring.clone()));
/// let mut worker = make(config);
/// let outputs = &mut Nobody;
/// recorder.handle_input(&mut worker, Timestamp::EPOCH, WorkerInput::Spawn(1), outputs);
/// recorder.flush();
///
/// let recording = Recording::from_bytes(ring.to_bytes())?;
/// let replayed = recording.replay(make)?;
/// assert_eq!((replayed.inputs, replayed.outputs), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recorder<A: App> {
    codec: Codec<A>,
    tape: Tape,
}

/// What a recorder has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Inputs that it was given.
    pub inputs: u64,
    /// Of these, those that are not in the recording: there was no room for them, or one was
    /// beyond all measure.
    pub dropped: u64,
    /// Tasks that ended by a fault of their own.
    pub failures: u64,
}

/// Bytes that are lent to a task at the most, so that nobody need lend what a damaged recording says.
const LENT_MAX: usize = 1 << 20;

impl<A: RecordedApp> Recorder<A> {
    /// A recorder of the worker that is going to be made with `config`. In a simulation it changes
    /// who decides ([`WorkerLimits::mischief`](crate::WorkerLimits), [`Choices`](crate::Choices)),
    /// to note the decisions.
    #[must_use]
    pub fn new(config: &mut WorkerConfig, sink: Box<dyn RecordSink>) -> Self {
        RecorderMaker::new().recorder(config, sink)
    }
}

impl<A: App> Recorder<A> {
    /// [`Worker::handle_input`], written down.
    #[inline]
    pub fn handle_input(
        &mut self,
        worker: &mut Worker<A>,
        now: Timestamp,
        input: WorkerInput<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.tape.begin(now);
        if let WorkerInput::Network(event) = &input {
            self.tape.network(event);
        } else {
            (self.codec.input)(&input, &mut self.tape.block.bytes);
        }
        self.tape.input_ends();
        worker.handle_input(now, input, &mut self.observe(outputs));
        self.tape.end_turn(kind::TURN);
    }

    /// [`Worker::handle_datagrams`], written down.
    #[inline]
    pub fn handle_datagrams(
        &mut self,
        worker: &mut Worker<A>,
        now: Timestamp,
        socket: SocketId,
        run: &mut DatagramRun,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.tape.begin(now);
        self.tape.datagrams(socket, run);
        self.tape.input_ends();
        worker.handle_datagrams(now, socket, run, &mut self.observe(outputs));
        self.tape.end_turn(kind::TURN);
    }

    /// Hands what was written so far over to where it goes.
    pub fn flush(&mut self) {
        self.tape.flush();
    }

    /// Whether there is something to [flush](Recorder::flush).
    #[must_use]
    pub const fn is_flushed(&self) -> bool {
        self.tape.block.is_empty()
    }

    /// Says that the worker has stopped, and hands everything over. If an input was broken off by a
    /// panic, it is in the recording with what followed from it until then.
    pub fn end(&mut self) {
        self.tape.end();
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> RecorderStats {
        self.tape.stats
    }

    const fn observe<'a, O>(&'a mut self, outputs: &'a mut O) -> Observed<'a, A, O> {
        let Self { codec, tape } = self;
        Observed {
            codec,
            tape,
            outputs,
        }
    }
}

impl<A: App> fmt::Debug for Recorder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("stats", &self.tape.stats)
            .finish_non_exhaustive()
    }
}

/// Makes recorders. A value that knows how the types of an application are written, for those who
/// do not.
pub struct RecorderMaker<A: App>(Codec<A>);

impl<A: RecordedApp> RecorderMaker<A> {
    /// For this application.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "there is nothing usual about it"
    )]
    pub fn new() -> Self {
        Self(Codec::new())
    }
}

impl<A: App> RecorderMaker<A> {
    /// [`Recorder::new`].
    #[must_use]
    pub fn recorder(
        &self,
        config: &mut WorkerConfig,
        mut sink: Box<dyn RecordSink>,
    ) -> Recorder<A> {
        let (noted, notes) = Notes::of(config);
        sink.begin(format::head(config, noted));
        let tape = Tape::new(sink, notes);
        let codec = self.0;
        Recorder { codec, tape }
    }
}

impl<A: App> Clone for RecorderMaker<A> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<A: App> fmt::Debug for RecorderMaker<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecorderMaker")
    }
}

/// Takes what a worker gives out, writes it down, and passes it on.
struct Observed<'a, A: App, O> {
    codec: &'a Codec<A>,
    tape: &'a mut Tape,
    outputs: &'a mut O,
}

impl<A: App, O: WorkerOutputs<A>> Observed<'_, A, O> {
    /// Puts what was written into memory of ours where the driver has it: in the memory that it
    /// lends itself.
    fn hand_on(&mut self, payload: &mut Payload) {
        if let Some(len) = payload.lent() {
            let written = self.tape.short.lent.get(..len).unwrap_or_default();
            // It is as large as ours was, since that is where ours has its size from.
            if let Ok(lent) = self.outputs.lend().write(written) {
                *payload = lent;
            }
        }
    }
}

impl<A: App, O: WorkerOutputs<A>> WorkerOutputs<A> for Observed<'_, A, O> {
    #[inline]
    fn lend(&mut self) -> TransmitBuffer<'_> {
        let lent_max = self.outputs.lend().capacity().min(LENT_MAX);
        self.tape.lent(lent_max);
        TransmitBuffer::growing(&mut self.tape.short.lent, lent_max)
    }

    fn push(&mut self, mut output: WorkerOutput<A>) {
        let mut short = core::mem::take(&mut self.tape.short);
        let (kind, bytes) = short.output(&output, self.tape.given());
        self.tape.item(kind, bytes);
        self.tape.short = short;
        match &mut output {
            WorkerOutput::Network(NetworkCommand::Transmit(transmit)) => {
                self.hand_on(&mut transmit.payload);
            }
            WorkerOutput::Network(NetworkCommand::Write(write)) => self.hand_on(&mut write.payload),
            WorkerOutput::Network(NetworkCommand::Packet(packet)) => {
                self.hand_on(&mut packet.payload);
            }
            WorkerOutput::Ended { end, .. } => {
                self.tape.stats.failures += u64::from(end.is_failure());
            }
            WorkerOutput::Network(_)
            | WorkerOutput::Report { .. }
            | WorkerOutput::Started { .. }
            | WorkerOutput::SpawnFailed { .. }
            | WorkerOutput::Stale(_)
            | WorkerOutput::Untold { .. }
            | WorkerOutput::Control(_) => {}
        }
        self.outputs.push(output);
    }

    #[inline]
    fn transmit(&mut self, transmit: &mut Transmit) {
        let (kind, fields) = self.tape.short.transmit(transmit, self.tape.given());
        self.tape.item(kind, fields.bytes());
        self.hand_on(&mut transmit.payload);
        self.outputs.transmit(transmit);
    }

    fn bus_room(&mut self, worker: u16) -> usize {
        let room = self.outputs.bus_room(worker);
        self.tape.room(worker, room);
        room
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<A::Channel, A::Message>) {
        let write = |to: &mut Vec<u8>| (self.codec.item)(&item, to);
        let fields = self.tape.short.bus(worker, write);
        self.tape.item(item::BUS, fields.bytes());
        self.outputs.push_bus(worker, item);
    }

    fn want_bus_room(&mut self, worker: u16) {
        self.tape.item(item::WANT_ROOM, &worker.to_le_bytes());
        self.outputs.want_bus_room(worker);
    }
}
