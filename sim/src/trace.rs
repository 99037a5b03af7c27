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
    App, DatagramRun, DeviceId, NetworkEvent, Packet, ResourceId, SocketId, StreamId, TaskId,
    Timestamp, UdpOpen, Worker,
};
use twox_hash::XxHash3_128;
use xxhash_rust::xxh3::xxh3_64;

use crate::draws::CountDraws;
use crate::node::NodeId;

mod cause;
mod codec;
mod diff;
mod event;
mod file;
mod filter;
mod kinds;
mod log;
mod recorder;

pub(crate) use cause::{Cause, Causes, Scope};
pub(crate) use diff::LedBy;
pub use diff::TraceDifference;
use event::low;
pub(crate) use event::{SegmentWord, peer, size};
pub use event::{TraceEvent, TraceKind};
pub use file::TraceLogError;
pub use filter::TraceFilter;
pub use kinds::Role;
pub(crate) use log::{Form, NONE, Node, Seen};
pub use log::{LeftOut, LogEvent, TraceDetail, TraceLog};
pub(crate) use recorder::{Recorder, Shown, Texts};

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
    hasher: XxHash3_128,
    /// The last events; the first `hashed` of them are in `hasher`.
    events: Box<[Encoded; 2 * KEPT]>,
    len: usize,
    hashed: usize,
    /// Of the payloads, which are hashed apart.
    payload_hasher: XxHash3_128,
    /// Payloads that are not in `payload_hasher` yet, which takes many at a time faster.
    payloads: Vec<u8>,
    /// Takes all events down, if that is wanted.
    recorder: Option<Box<Recorder>>,
    /// The texts of what was recorded before.
    taken: Texts,
    /// Who knows how many draws were made, and how many it were at each recorded event.
    marked: Option<(Rc<dyn CountDraws>, Vec<usize>)>,
    /// The last texts with their hashes; the oldest is written over.
    texts: VecDeque<(u64, String)>,
    /// A bit for each kind of event in `hasher`.
    kinds: u64,
    /// The last sockets that were to be opened, and were, with the hashes of their texts: many nodes
    /// have the same.
    last_open: Option<(UdpOpen, u64)>,
    last_opened: Option<(NetworkEvent, u64)>,
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
        let mut hasher = XxHash3_128::new();
        hasher.write(&[VERSION]);
        Self {
            hasher,
            events: Box::new([[[0; 8]; WORDS]; 2 * KEPT]),
            len: 0,
            hashed: 0,
            payload_hasher: XxHash3_128::new(),
            payloads: Vec::with_capacity(PAYLOADS_BYTES),
            recorder: None,
            taken: Texts::default(),
            marked: None,
            texts: VecDeque::new(),
            kinds: 0,
            last_open: None,
            last_opened: None,
        }
    }

    /// Takes all down from now on. Says what has led to what by what it gives.
    pub(crate) fn record(&mut self, detail: TraceDetail) -> Causes {
        let recorder = Box::new(Recorder::new(detail));
        Causes::new(Rc::clone(&self.recorder.insert(recorder).now))
    }

    pub(crate) const fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_deref_mut()
    }

    /// A worker is about to be given something.
    #[cold]
    pub(crate) fn begin_turn<A: App>(&mut self, worker: &Worker<A>, is_timeout: bool) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begin_turn(worker, is_timeout);
        }
    }

    /// All that was taken down but for what a trace does not know; and takes down no more.
    pub(crate) fn take_log(&mut self, seed: u64, nodes: Vec<Node>) -> TraceLog {
        let taken = self.recorder.take().map(|recorder| recorder.finish());
        let (mut log, texts) = taken.unwrap_or_else(|| (TraceLog::empty(), Texts::default()));
        log.seed = seed;
        log.hash = self.hash();
        log.nodes = nodes;
        self.taken = texts;
        log
    }

    /// What is put off now follows from this.
    pub(crate) fn latest(&self) -> Cause {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Cause::NONE, |recorder| recorder.now.last.get())
    }

    /// What is put off now follows from the event that is recorded next.
    pub(crate) fn next(&self) -> Cause {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Cause::NONE, |recorder| recorder.next())
    }

    /// What is recorded now follows from this.
    pub(crate) fn current(&self) -> Cause {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Cause::NONE, |recorder| recorder.now.cause.get())
    }

    /// What workers are given now follows from this.
    pub(crate) fn root(&self) -> Cause {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Cause::NONE, |recorder| recorder.now.root.get())
    }

    /// What comes next follows from this.
    pub(crate) fn follow(&self, cause: Cause) {
        if let Some(recorder) = &self.recorder {
            recorder.now.follow(cause);
        }
    }

    /// Where the run stands, to be gone back to.
    pub(crate) fn scope(&self) -> Scope {
        let recorder = self.recorder.as_ref();
        recorder.map_or(Scope::NONE, |recorder| recorder.now.scope())
    }

    pub(crate) fn go_back(&self, scope: Scope) {
        if let Some(recorder) = &self.recorder {
            recorder.now.go_back(scope);
        }
    }

    /// Notes that the run has failed.
    pub(crate) fn note_failure(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note_failure();
        }
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
        self.show(place, kind, id, words, || Shown::Nothing);
    }

    /// The same of something that travels, or is lost: `shown` says what, if somebody asks.
    #[inline(always)]
    pub(crate) fn show<'a>(
        &mut self,
        place: Place,
        kind: TraceKind,
        id: u64,
        words: [u64; 3],
        shown: impl FnOnce() -> Shown<'a>,
    ) {
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
        if self.recorder.is_some() {
            self.keep_last(&shown());
        }
    }

    #[cold]
    fn keep_last(&mut self, shown: &Shown<'_>) {
        let event = decode(&self.events[self.len - 1]);
        if let Some(recorder) = &mut self.recorder {
            recorder.keep(event, shown);
        }
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
        if let Some(recorder) = &mut self.recorder {
            recorder.note_payload(payload);
        }
    }

    /// Hashes the payloads that wait, and `last` behind them.
    #[inline(never)]
    fn hash_payloads(&mut self, last: &[u8]) {
        self.payload_hasher.write(&self.payloads);
        self.payload_hasher.write(last);
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
        let full = self.texts.len() >= TEXTS_MAX;
        let oldest = if full { self.texts.pop_front() } else { None };
        let mut text = oldest.map_or_else(|| String::with_capacity(TEXT_BYTES), |(_, text)| text);
        text.clear();
        write!(text, "{value:?}").expect("a `Debug` that writes its text");
        let hash = xxh3_64(text.as_bytes());
        if let Some(recorder) = &mut self.recorder {
            recorder.keep_text(hash, &text);
        }
        self.texts.push_back((hash, text));
        hash
    }

    /// The same of a socket that is to be opened.
    pub(crate) fn open_text(&mut self, open: &UdpOpen) -> u64 {
        let same = self.last_open.filter(|(last, _)| last == open);
        if let Some((_, hash)) = same
            && self.renew(hash)
        {
            return hash;
        }
        let hash = self.text(open);
        self.last_open = Some((*open, hash));
        hash
    }

    /// The same of a socket that is open.
    pub(crate) fn opened_text(&mut self, event: &NetworkEvent) -> u64 {
        let same = self.last_opened.as_ref().filter(|(last, _)| last == event);
        if let Some(&(_, hash)) = same
            && self.renew(hash)
        {
            return hash;
        }
        let hash = self.text(event);
        self.last_opened = Some((event.clone(), hash));
        hash
    }

    /// Has a text be the newest once more, if it is one of the last.
    fn renew(&mut self, hash: u64) -> bool {
        let from = self.texts.len().saturating_sub(TEXTS_MAX);
        let mut places = (from..self.texts.len()).rev();
        let place = places.find(|&place| self.texts[place].0 == hash);
        let text = place.and_then(|place| self.texts.remove(place));
        if let (Some(recorder), Some((hash, text))) = (&mut self.recorder, &text) {
            recorder.keep_text(*hash, text);
        }
        let known = text.is_some();
        self.texts.extend(text);
        known
    }

    /// An event as text.
    pub(crate) fn describe(&self, event: &TraceEvent) -> String {
        let mut text = String::new();
        let written = event.write(&mut text, |hash| Some(shortened(self.known_text(hash)?)));
        written.expect("a `String` takes any text");
        text
    }

    fn known_text(&self, hash: u64) -> Option<&str> {
        let last = self.texts.iter().rev().find(|&&(known, _)| known == hash);
        let last = last.map(|(_, text)| text.as_str());
        last.or_else(|| self.recorder.as_ref()?.text_of(hash))
            .or_else(|| self.taken.get(&hash).map(|text| &**text))
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let mut hasher = self.hasher.clone();
        update(&mut hasher, &self.events[self.hashed..self.len]);
        let mut payloads = self.payload_hasher.clone();
        payloads.write(&self.payloads);
        hasher.write(&payloads.finish_128().to_le_bytes());
        TraceHash(hasher.finish_128())
    }

    /// A bit for each kind of event there was, in the order of [`TraceKind::ALL`].
    pub(crate) fn kinds(&self) -> u64 {
        self.kinds | kinds::bits(&self.events[self.hashed..self.len])
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
        self.kinds |= kinds::bits(&self.events[self.hashed..]);
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

fn update(hasher: &mut XxHash3_128, events: &[Encoded]) {
    hasher.write(events.as_flattened().as_flattened());
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
    fn the_hash_is_the_one_of_the_specification() {
        // Another implementation of XXH3, of lengths around all its internal borders.
        let bytes: Vec<u8> = (0..=250).cycle().take(5_000).collect();
        for len in (0..300).chain([1_023, 1_024, 1_025, 4_096, 5_000]) {
            let mut hasher = XxHash3_128::new();
            hasher.write(&bytes[..len]);
            let other = xxhash_rust::xxh3::xxh3_128(&bytes[..len]);
            assert_eq!(hasher.finish_128(), other, "{len} bytes");
        }
    }

    #[test]
    fn payloads_are_hashed_as_one_text() {
        let bytes: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        for step in [1, 200, 4_095, 4_096, 4_097, 20_000] {
            let (mut trace, mut whole) = (Trace::new(), XxHash3_128::new());
            for payload in bytes.chunks(step) {
                trace.payload(payload);
                whole.write(payload);
                let mut hasher = trace.hasher.clone();
                hasher.write(&whole.finish_128().to_le_bytes());
                assert_eq!(trace.hash(), TraceHash(hasher.finish_128()));
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
    fn the_text_of_a_socket_opened_like_the_one_before_is_as_new() {
        let mut trace = Trace::new();
        let open = |port| UdpOpen::new(stillpoint::Token(0), ([0, 0, 0, 0], port).into());
        let first = trace.open_text(&open(7));
        let others = |trace: &mut Trace, count: usize| {
            for number in 0..count {
                trace.text(&number);
            }
        };
        others(&mut trace, TEXTS_MAX - 1);
        assert_eq!(trace.open_text(&open(7)), first);
        others(&mut trace, TEXTS_MAX - 1);
        let known = |trace: &Trace| trace.texts.iter().any(|&(hash, _)| hash == first);
        assert!(known(&trace), "one of the last texts");
        others(&mut trace, 1);
        assert!(!known(&trace));
        assert_eq!(trace.open_text(&open(7)), first);
        assert!(known(&trace));
        assert_eq!(trace.text(&open(7)), first);
        assert_eq!(trace.open_text(&open(8)), trace.text(&open(8)));
        assert_ne!(trace.open_text(&open(8)), first);
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
