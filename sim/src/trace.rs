//! The record of a run: every input and output of every worker, and every verdict of the network.
//!
//! Each is a [`TraceEvent`] of six words. They go into a running XXH3 hash of 128 bits, in little
//! endian order behind a version byte, so that one number tells whether two runs were the same,
//! whatever the machine. The last events are kept, to be shown when a run fails.
//!
//! What tasks are given and give as data (commands, spawns, reports, reasons) is there by a hash
//! of its `Debug` text; payloads of delivered datagrams by a hash of their bytes.

use core::fmt::{self, Debug, Write};
use std::collections::VecDeque;
use std::rc::Rc;

use stillpoint::{
    DatagramRun, DeviceId, Packet, ResourceId, SocketId, StreamId, TaskId, Timestamp,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::draws::CountDraws;
use crate::node::NodeId;

mod event;

use event::low;
pub(crate) use event::{SegmentWord, peer, size};
pub use event::{TraceEvent, TraceKind};

/// The hash of a trace. Prints as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash(pub u128);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes events in, in the order in which they happen.
pub(crate) struct Trace {
    hasher: Xxh3,
    /// The last events; the first `hashed` of them are in `hasher`.
    events: Box<[Encoded; 2 * KEPT]>,
    len: usize,
    hashed: usize,
    /// Of the payloads, which are hashed apart.
    payload_hasher: Xxh3,
    /// Payloads that are not in `payload_hasher` yet, which takes many at a time faster.
    payloads: Vec<u8>,
    /// All events, if they are wanted.
    recorded: Option<Vec<TraceEvent>>,
    /// Who knows how many draws were made, and how many it were at each recorded event.
    marked: Option<(Rc<dyn CountDraws>, Vec<usize>)>,
    /// The last texts, or all while recording, with their hashes; the oldest is written over.
    texts: VecDeque<(u64, String)>,
    /// A bit for each kind of event in `hasher`.
    kinds: u64,
}

/// An event as little endian words.
type Encoded = [[u8; 8]; WORDS];

/// Where something happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: Timestamp,
    pub(crate) node: u32,
    pub(crate) worker: u16,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&[VERSION]);
        Self {
            hasher,
            events: Box::new([[[0; 8]; WORDS]; 2 * KEPT]),
            len: 0,
            hashed: 0,
            payload_hasher: Xxh3::new(),
            payloads: Vec::with_capacity(PAYLOADS_BYTES),
            recorded: None,
            marked: None,
            texts: VecDeque::new(),
            kinds: 0,
        }
    }

    pub(crate) fn record(&mut self) {
        self.recorded.get_or_insert_default();
    }

    pub(crate) fn take_recorded(&mut self) -> Vec<TraceEvent> {
        self.recorded.take().unwrap_or_default()
    }

    /// Has each event that is recorded from now on say how many draws had been made.
    pub(crate) fn mark(&mut self, recorder: Rc<dyn CountDraws>) {
        self.marked = Some((recorder, Vec::new()));
    }

    pub(crate) fn take_marks(&mut self) -> Vec<usize> {
        self.marked.take().map_or_else(Vec::new, |(_, marks)| marks)
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, place: Place, kind: TraceKind, id: u64, words: [u64; 3]) {
        if self.len >= 2 * KEPT {
            self.make_room();
        }
        let [first, second, third] = words;
        let head =
            u64::from(place.node) << 32 | u64::from(place.worker) << 16 | u64::from(kind as u8);
        let words = [place.at.as_nanos(), head, id, first, second, third];
        // Word by word: put together elsewhere and copied, it would be read before it is written.
        let event = &mut self.events[self.len];
        for (slot, word) in event.iter_mut().zip(words) {
            *slot = word.to_le_bytes();
        }
        self.len += 1;
        if self.recorded.is_some() {
            self.keep_last();
        }
    }

    #[cold]
    fn keep_last(&mut self) {
        let event = decode(&self.events[self.len - 1]);
        self.recorded.get_or_insert_default().push(event);
        if let Some((recorder, marks)) = &mut self.marked {
            marks.push(recorder.draws());
        }
    }

    /// Datagrams on their way into a worker, and what is in them.
    #[inline(always)]
    pub(crate) fn datagrams(&mut self, place: Place, id: SocketId, run: &DatagramRun) {
        let payload = &run.payload;
        let size = size(payload.len(), run.count() as u64);
        let words = [peer(run.peer), size, 0];
        self.resource(place, TraceKind::Datagrams, id, words);
        self.payload(payload);
    }

    /// Bytes of a stream on their way into a worker.
    pub(crate) fn received(&mut self, place: Place, id: StreamId, data: &[u8]) {
        self.resource(place, TraceKind::Received, id, [data.len() as u64, 0, 0]);
        self.payload(data);
    }

    /// What the last event brings.
    #[inline(always)]
    fn payload(&mut self, payload: &[u8]) {
        if self.payloads.len() + payload.len() <= PAYLOADS_BYTES {
            self.payloads.extend_from_slice(payload);
        } else {
            self.hash_payloads(payload);
        }
        if let Some(recorded) = &mut self.recorded
            && let Some(event) = recorded.last_mut()
        {
            event.words[2] = xxh3_64(payload);
        }
    }

    /// Hashes the payloads that wait, and `last` behind them.
    #[inline(never)]
    fn hash_payloads(&mut self, last: &[u8]) {
        self.payload_hasher.update(&self.payloads);
        self.payload_hasher.update(last);
        self.payloads.clear();
    }

    /// A packet on its way into a worker, and what is in it.
    pub(crate) fn packet(&mut self, place: Place, id: DeviceId, packet: &Packet) {
        let payload = &packet.payload;
        let offload = u64::from(packet.offload != stillpoint::PacketOffload::NONE);
        let words = [offload, payload.len() as u64, 0];
        self.resource(place, TraceKind::Packet, id, words);
        self.payload(payload);
    }

    #[inline(always)]
    pub(crate) fn resource(
        &mut self,
        place: Place,
        kind: TraceKind,
        id: impl Into<ResourceId>,
        words: [u64; 3],
    ) {
        self.push(place, kind, id.into().to_words()[1], words);
    }

    pub(crate) fn task(&mut self, place: Place, kind: TraceKind, id: TaskId, word: u64) {
        self.push(
            place,
            kind,
            id.to_words()[1],
            [word, 0, u64::from(id.group())],
        );
    }

    /// Something that a worker is told of another.
    pub(crate) fn peer(&mut self, place: Place, kind: TraceKind, worker: u16) {
        self.push(place, kind, 0, [0, u64::from(worker), 0]);
    }

    /// The hash of a `Debug` text.
    pub(crate) fn text(&mut self, value: &impl Debug) -> u64 {
        let full = self.texts.len() >= TEXTS_MAX && self.recorded.is_none();
        let oldest = if full { self.texts.pop_front() } else { None };
        let mut text = oldest.map_or_else(|| String::with_capacity(TEXT_BYTES), |(_, text)| text);
        text.clear();
        write!(text, "{value:?}").expect("a `Debug` that writes its text");
        let hash = xxh3_64(text.as_bytes());
        self.texts.push_back((hash, text));
        hash
    }

    /// An event as text.
    pub(crate) fn describe(&self, event: &TraceEvent) -> String {
        let known = |hash| self.texts.iter().rev().find(|&&(known, _)| known == hash);
        let mut text = String::new();
        let written = event.write(&mut text, |hash| Some(shortened(&known(hash)?.1)));
        written.expect("a `String` takes any text");
        text
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let mut hasher = self.hasher.clone();
        update(&mut hasher, &self.events[self.hashed..self.len]);
        let mut payloads = self.payload_hasher.clone();
        payloads.update(&self.payloads);
        hasher.update(&payloads.digest128().to_le_bytes());
        TraceHash(hasher.digest128())
    }

    /// A bit for each kind of event there was, in the order of [`TraceKind::ALL`].
    pub(crate) fn kinds(&self) -> u64 {
        self.kinds | kinds(&self.events[self.hashed..self.len])
    }

    /// The last events, the oldest first.
    pub(crate) fn last(&self) -> impl Iterator<Item = TraceEvent> {
        let from = self.len.saturating_sub(KEPT);
        self.events[from..self.len].iter().map(decode)
    }

    /// Hashes what is pending, and keeps the last events only.
    #[cold]
    fn make_room(&mut self) {
        update(&mut self.hasher, &self.events[self.hashed..]);
        self.kinds |= kinds(&self.events[self.hashed..]);
        self.events.copy_within(KEPT.., 0);
        self.len = KEPT;
        self.hashed = KEPT;
    }
}

/// A text as people would read it: not the whole of a histogram.
fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_MAX).collect();
    let left = chars.count();
    if left > 0 {
        write!(shown, "… and {left} more characters").expect("a `String` takes any text");
    }
    shown
}

fn update(hasher: &mut Xxh3, events: &[Encoded]) {
    hasher.update(events.as_flattened().as_flattened());
}

/// A bit for each kind. They are asked for here, and not as each event comes, so that it costs a
/// run as little as can be.
fn kinds(events: &[Encoded]) -> u64 {
    // Kinds count from 1, and stand in the lowest byte of the second word.
    let bits = events.iter().map(|event| 1 << (event[1][0] - 1));
    bits.fold(0, |bits, bit: u64| bits | bit)
}

fn decode(event: &Encoded) -> TraceEvent {
    let [at, head, id, first, second, third] = event.map(u64::from_le_bytes);
    let kind = TraceKind::ALL[(head & 0xff) as usize - 1];
    TraceEvent {
        at: Timestamp::from_nanos(at),
        node: NodeId::new(low(head >> 32)),
        worker: u16::try_from(head >> 16 & 0xffff).unwrap_or_default(),
        kind,
        id,
        words: [first, second, third],
    }
}

/// Characters of a text that are shown.
const SHOWN_MAX: usize = 400;

/// Bytes of payloads that wait to be hashed together.
const PAYLOADS_BYTES: usize = 4_096;

/// What most texts need.
const TEXT_BYTES: usize = 256;

/// Texts that are kept: one for each event that is.
const TEXTS_MAX: usize = 64;

/// Says which events a trace holds and how they are encoded.
const VERSION: u8 = 1;

/// Words of an event in the hash.
const WORDS: usize = 6;

/// How many of the last events are kept.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        at: Timestamp::from_nanos(7),
        node: 3,
        worker: 2,
    };

    #[test]
    fn the_hash_does_not_depend_on_when_it_is_asked_for() {
        let (mut asked, mut left_alone) = (Trace::new(), Trace::new());
        for id in 0..1_000 {
            for trace in [&mut asked, &mut left_alone] {
                trace.push(PLACE, TraceKind::Timeout, id, [id, 2, 3]);
            }
            assert_ne!(asked.hash(), TraceHash(0));
        }
        assert_eq!(asked.hash(), left_alone.hash());
    }

    #[test]
    fn every_kind_of_event_is_known_however_long_ago_it_was() {
        for after in [0, 1, 63, 64, 127, 128, 500] {
            let mut trace = Trace::new();
            assert_eq!(trace.kinds(), 0);
            trace.push(PLACE, TraceKind::Moved, 0, [0; 3]);
            for _ in 0..after {
                trace.push(PLACE, TraceKind::Timeout, 0, [0; 3]);
            }
            let wanted = 1 << (TraceKind::Moved as u8 - 1) | u64::from(after > 0);
            assert_eq!(trace.kinds(), wanted, "{after}");
        }
    }

    #[test]
    fn payloads_are_hashed_as_one_text() {
        let bytes: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        for step in [1, 200, 4_095, 4_096, 4_097, 20_000] {
            let (mut trace, mut whole) = (Trace::new(), Xxh3::new());
            for payload in bytes.chunks(step) {
                trace.payload(payload);
                whole.update(payload);
                let mut hasher = trace.hasher.clone();
                hasher.update(&whole.digest128().to_le_bytes());
                assert_eq!(trace.hash(), TraceHash(hasher.digest128()));
            }
        }
    }

    #[test]
    fn the_last_events_are_kept() {
        for count in [0, 1, 63, 64, 65, 127, 128, 129, 500_u64] {
            let mut trace = Trace::new();
            for id in 0..count {
                trace.push(PLACE, TraceKind::Report, id, [1, 2, 3]);
            }
            let ids: Vec<u64> = trace.last().map(|event| event.id).collect();
            assert_eq!(ids, (count.saturating_sub(64)..count).collect::<Vec<_>>());
            assert!(
                trace
                    .last()
                    .all(|event| (event.node, event.worker) == (NodeId::new(3), 2))
            );
        }
    }

    #[test]
    fn long_texts_are_shown_in_part() {
        assert_eq!(shortened("Done"), "Done");
        let long = "ä".repeat(SHOWN_MAX + 7);
        let shown = shortened(&long);
        assert!(shown.ends_with("ä… and 7 more characters"), "{shown}");
    }

    #[test]
    fn kinds_are_numbered_as_they_are_listed() {
        for (index, kind) in TraceKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index + 1);
        }
    }
}
