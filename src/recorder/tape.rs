//! What a recorder writes: turns, one behind the other, in blocks.

use super::block::RecordBlock;
use super::code::{self, Recordable};
use super::format::{self, TURN_HEAD, kind};
use super::notes::Notes;
use super::output::{Given, Shortener, item};
use super::ring::{RecordSink, Taken};
use super::{RecorderStats, input, network};
use crate::buffer::Buffer;
use crate::datagram::DatagramRun;
use crate::id::SocketId;
use crate::net::NetworkEvent;
use crate::time::Timestamp;

/// What is written.
pub(super) struct Tape {
    pub(super) sink: Box<dyn RecordSink>,
    pub(super) block: RecordBlock,
    block_bytes: usize,
    /// The turn that is written now.
    open: Option<Open>,
    /// Turns that the sink had no room for since it last had.
    missing: u64,
    lent_max: usize,
    /// In a simulation.
    notes: Option<Notes>,
    pub(super) short: Shortener,
    pub(super) stats: RecorderStats,
}

/// A turn that is being written.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Where it begins in the block.
    start: usize,
    /// Kept bytes of the block before it.
    kept: usize,
    /// The payload of its input, if that has one.
    payload: Option<GivenPayload>,
}

/// A payload that the worker was given.
#[derive(Debug, Clone, Copy)]
struct GivenPayload {
    /// Where it was written in the block, unless it is kept.
    written: Option<usize>,
    /// Where it was in memory when it was given, and its length.
    address: usize,
    len: usize,
    /// Where it is in the bytes of the input.
    at: usize,
}

/// Bytes that one input and all that follows from it may take. What is longer is dropped.
const TURN_BYTES_MAX: usize = 64 << 20;

impl Tape {
    /// Nothing is written yet.
    pub(super) fn new(sink: Box<dyn RecordSink>, notes: Option<Notes>) -> Self {
        let block_bytes = sink.block_bytes();
        Self {
            sink,
            block: RecordBlock::with_capacity(block_bytes),
            block_bytes,
            open: None,
            missing: 0,
            lent_max: 0,
            notes,
            short: Shortener::default(),
            stats: RecorderStats::default(),
        }
    }

    /// Begins a turn.
    #[inline]
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.open.is_some() {
            self.end_turn(kind::BROKEN_TURN); // By a panic in the driver.
        }
        if self.block.is_full(self.block_bytes) {
            self.flush();
        }
        if self.missing > 0 && self.block.is_empty() {
            format::write_gap(self.missing, &mut self.block.bytes);
        }
        self.stats.inputs += 1;
        let mut head = [0; format::RECORD_HEAD + TURN_HEAD];
        head[format::RECORD_HEAD] = kind::TURN;
        head[format::RECORD_HEAD + 1..][..8].copy_from_slice(&now.as_nanos().to_le_bytes());
        self.open = Some(Open {
            start: self.block.bytes.len(),
            kept: self.block.kept_len(),
            payload: None,
        });
        self.block.bytes.extend_from_slice(&head);
    }

    /// Writes what the network tells, as [`Recordable`] does; payloads may be kept.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other has a payload")]
    pub(super) fn network(&mut self, event: &NetworkEvent) {
        let head = |number| [input::NETWORK, number];
        match event {
            NetworkEvent::Datagrams { socket, run } => self.datagrams(*socket, run),
            NetworkEvent::Received { stream, data } => {
                self.block.bytes.extend_from_slice(&head(network::RECEIVED));
                stream.write(&mut self.block.bytes);
                self.counted(data);
            }
            NetworkEvent::Packet { device, packet } => {
                self.block.bytes.extend_from_slice(&head(network::PACKET));
                device.write(&mut self.block.bytes);
                self.counted(&packet.payload);
                packet.offload.write(&mut self.block.bytes);
            }
            other => {
                self.block.bytes.push(input::NETWORK);
                other.write(&mut self.block.bytes);
            }
        }
    }

    #[inline]
    pub(super) fn datagrams(&mut self, socket: SocketId, run: &DatagramRun) {
        let fields = network::datagrams(socket, run);
        self.block.bytes.extend_from_slice(fields.bytes());
        self.payload(&run.payload);
    }

    /// Writes a payload as [`Recordable`] does.
    #[inline]
    fn counted(&mut self, payload: &Buffer) {
        code::write_len(payload.len(), &mut self.block.bytes);
        self.payload(payload);
    }

    /// Writes or keeps the payload of an input.
    #[inline]
    fn payload(&mut self, payload: &Buffer) {
        let Some(open) = &mut self.open else { return };
        let written = self.block.bytes.len();
        let kept = self.block.payload(payload);
        open.payload = Some(GivenPayload {
            written: (!kept).then_some(written),
            address: payload.as_ptr().addr(),
            len: payload.len(),
            at: written - open.start - format::RECORD_HEAD - TURN_HEAD,
        });
    }

    /// Bytes of the open turn in a recording, so far.
    #[inline]
    const fn turn_len(&self, open: Open) -> usize {
        self.block.len() - open.start - open.kept
    }

    /// Notes how long the input is that was written.
    #[inline]
    pub(super) fn input_ends(&mut self) {
        let Some(open) = self.open else { return };
        let len = self.turn_len(open) - format::RECORD_HEAD - TURN_HEAD;
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let at = open.start + format::RECORD_HEAD + TURN_HEAD;
        self.block.bytes[at - 4..at].copy_from_slice(&len.to_le_bytes());
    }

    /// The payload that the worker was given with the input of this turn.
    #[inline]
    pub(super) fn given(&self) -> Option<Given<'_>> {
        let payload = self.open?.payload?;
        Some(Given {
            bytes: match payload.written {
                None => self.block.last_kept(),
                Some(written) => &self.block.bytes[written..written + payload.len],
            },
            address: payload.address,
            at: payload.at,
            kept: payload.written.is_none(),
        })
    }

    /// Writes an item, in short form.
    #[inline]
    pub(super) fn item(&mut self, kind: u8, bytes: &[u8]) {
        let Some(open) = self.open else { return };
        if self.turn_len(open) > TURN_BYTES_MAX {
            return; // The whole turn is dropped when it ends.
        }
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
        let to = &mut self.block.bytes;
        to.extend_from_slice(&[kind, len[0], len[1]]);
        to.extend_from_slice(&bytes[..bytes.len().min(u16::MAX.into())]);
    }

    #[cold]
    fn write_notes(&mut self) {
        while let Some(decision) = self.notes.as_ref().and_then(Notes::pop) {
            self.item(item::DECIDED, &decision.to_le_bytes());
        }
    }

    #[inline]
    pub(super) fn end_turn(&mut self, kind: u8) {
        if self.notes.is_some() {
            self.write_notes();
        }
        let Some(open) = self.open.take() else {
            return;
        };
        self.block.turns += 1;
        if self.turn_len(open) > TURN_BYTES_MAX {
            self.block.truncate(open.start);
            format::write_gap(1, &mut self.block.bytes);
            self.stats.dropped += 1;
            return;
        }
        let kept = self.block.kept_len() - open.kept;
        self.block.bytes[open.start + format::RECORD_HEAD] = kind;
        format::end(open.start, &mut self.block.bytes, kept);
    }

    pub(super) fn flush(&mut self) {
        if self.block.is_empty() || self.open.is_some() {
            return;
        }
        let turns = self.block.turns;
        match self.sink.take(&mut self.block) {
            Taken::Kept => self.missing = 0,
            Taken::Dropped => {
                self.missing += turns;
                self.stats.dropped += turns;
            }
        }
        self.block.clear();
    }

    pub(super) fn end(&mut self) {
        self.end_turn(kind::BROKEN_TURN);
        self.flush();
        let to = &mut self.block.bytes;
        if self.missing > 0 {
            format::write_gap(self.missing, to);
        }
        let start = format::begin(to);
        to.push(kind::END);
        format::end(start, to, 0);
        self.flush();
    }

    #[inline]
    pub(super) fn lent(&mut self, lent_max: usize) {
        if lent_max != self.lent_max {
            self.lent_max = lent_max;
            self.item(item::LENT, &(lent_max as u64).to_le_bytes());
        }
    }

    pub(super) fn room(&mut self, worker: u16, room: usize) {
        let mut fields = network::Fields::new();
        fields.put(worker.to_le_bytes());
        fields.put((room as u64).to_le_bytes());
        self.item(item::ROOM, fields.bytes());
    }
}
