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

pub use code::{Recordable, RecordedBytes};
use format::{TURN_HEAD, kind};
pub use input::RecordedApp;
use input::{Codec, NETWORK};
use notes::Notes;
use output::{Shortener, item};
pub use recording::{Ending, Recording, RecordingError};
pub use replay::{Difference, ReplayError, Replayed, Replayer};
pub use ring::{RecordRing, RecordSink, Taken};

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

/// What is written.
struct Tape {
    sink: Box<dyn RecordSink>,
    block: Vec<u8>,
    block_bytes: usize,
    /// Where the turn begins that is written now.
    open: Option<usize>,
    /// Turns in the block.
    turns: u64,
    /// Turns that the sink had no room for since it last had.
    missing: u64,
    lent_max: usize,
    /// In a simulation.
    notes: Option<Notes>,
    short: Shortener,
    stats: RecorderStats,
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

/// Bytes that one input and all that follows from it may take. What is longer is dropped.
const TURN_BYTES_MAX: usize = 64 << 20;

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
        let start = self.tape.begin(now);
        if let WorkerInput::Network(event) = &input {
            self.tape.block.push(NETWORK);
            Recordable::write(event, &mut self.tape.block);
        } else {
            (self.codec.input)(&input, &mut self.tape.block);
        }
        self.tape.input_ends(start);
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
        let start = self.tape.begin(now);
        self.tape.block.extend_from_slice(&[NETWORK, DATAGRAMS]);
        socket.write(&mut self.tape.block);
        Recordable::write(run, &mut self.tape.block);
        self.tape.input_ends(start);
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

/// The number of datagrams among what the network tells.
const DATAGRAMS: u8 = 2;

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
        let block_bytes = sink.block_bytes();
        let tape = Tape {
            sink,
            block: Vec::with_capacity(block_bytes),
            block_bytes,
            open: None,
            turns: 0,
            missing: 0,
            lent_max: 0,
            notes,
            short: Shortener::default(),
            stats: RecorderStats::default(),
        };
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

impl Tape {
    /// Begins a turn. Where it begins in the block.
    #[inline]
    fn begin(&mut self, now: Timestamp) -> usize {
        if self.open.is_some() {
            self.end_turn(kind::BROKEN_TURN); // By a panic in the driver.
        }
        if self.block.len() >= self.block_bytes {
            self.flush();
        }
        if self.missing > 0 && self.block.is_empty() {
            format::write_gap(self.missing, &mut self.block);
        }
        self.stats.inputs += 1;
        let start = format::begin(&mut self.block);
        self.open = Some(start);
        let mut head = [0; TURN_HEAD];
        head[0] = kind::TURN;
        head[1..9].copy_from_slice(&now.as_nanos().to_le_bytes());
        self.block.extend_from_slice(&head);
        start
    }

    /// Notes how long the input is that was written.
    #[inline]
    fn input_ends(&mut self, start: usize) {
        let at = start + format::RECORD_HEAD + TURN_HEAD;
        let len = u32::try_from(self.block.len() - at).unwrap_or(u32::MAX);
        self.block[at - 4..at].copy_from_slice(&len.to_le_bytes());
    }

    /// Writes an item, in short form.
    #[inline]
    fn item(&mut self, kind: u8, bytes: &[u8]) {
        let Some(start) = self.open else { return };
        if self.block.len() - start > TURN_BYTES_MAX {
            return; // The whole turn is dropped when it ends.
        }
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.block.extend_from_slice(&[kind, len[0], len[1]]);
        self.block
            .extend_from_slice(&bytes[..bytes.len().min(u16::MAX.into())]);
    }

    #[cold]
    fn write_notes(&mut self) {
        while let Some(decision) = self.notes.as_ref().and_then(Notes::pop) {
            self.item(item::DECIDED, &decision.to_le_bytes());
        }
    }

    #[inline]
    fn end_turn(&mut self, kind: u8) {
        if self.notes.is_some() {
            self.write_notes();
        }
        let Some(start) = self.open.take() else {
            return;
        };
        if self.block.len() - start > TURN_BYTES_MAX {
            self.block.truncate(start);
            format::write_gap(1, &mut self.block);
            self.stats.dropped += 1;
            self.turns += 1;
            return;
        }
        self.block[start + format::RECORD_HEAD] = kind;
        format::end(start, &mut self.block);
        self.turns += 1;
    }

    fn flush(&mut self) {
        if self.block.is_empty() || self.open.is_some() {
            return;
        }
        match self.sink.take(&mut self.block, self.turns) {
            Taken::Kept => self.missing = 0,
            Taken::Dropped => {
                self.missing += self.turns;
                self.stats.dropped += self.turns;
            }
        }
        self.block.clear();
        self.turns = 0;
    }

    fn end(&mut self) {
        self.end_turn(kind::BROKEN_TURN);
        self.flush();
        if self.missing > 0 {
            format::write_gap(self.missing, &mut self.block);
        }
        let start = format::begin(&mut self.block);
        self.block.push(kind::END);
        format::end(start, &mut self.block);
        self.flush();
    }

    #[inline]
    fn lent(&mut self, lent_max: usize) {
        if lent_max != self.lent_max {
            self.lent_max = lent_max;
            self.item(item::LENT, &(lent_max as u64).to_le_bytes());
        }
    }

    fn room(&mut self, worker: u16, room: usize) {
        let mut fields = network::Fields::new();
        fields.put(worker.to_le_bytes());
        fields.put((room as u64).to_le_bytes());
        self.item(item::ROOM, fields.bytes());
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
        let (kind, bytes) = short.output(&output);
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
        let fields = self.tape.short.transmit(transmit);
        self.tape.item(item::TRANSMIT, fields.bytes());
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
