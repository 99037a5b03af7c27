//! Events as bytes, each in terms of the last one of its kind at its worker.
//!
//! Two bytes say what of an event is as expected, and of what kind it is. The rest follows, in order.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::index;
use crate::node::NodeId;
use crate::trace::codec::{Reader, Writer, Wrong};
use crate::trace::log::Entry;
use crate::trace::{NONE, Role, TraceEvent, TraceKind, TraceLog};

/// What was said before.
#[derive(Default)]
pub(super) struct Known {
    /// The last event of each kind at each worker.
    last: IndexMap<(u32, u16, u8), Entry, FxBuildHasher>,
    before: Option<Entry>,
    count: u32,
    /// Packets that events were about.
    packets: u32,
    /// The hashes of all texts, and of those payloads that were looked at.
    texts: Vec<u64>,
    payloads: IndexMap<u32, u64, FxBuildHasher>,
}

/// What is as expected.
#[derive(Clone, Copy)]
struct Expected {
    place: (u32, u16),
    last: Entry,
    cause: u32,
}

impl Known {
    pub(super) fn new(log: &TraceLog) -> Self {
        let texts = log.texts.iter().map(|text| xxh3_64(text.as_bytes()));
        Self {
            texts: texts.collect(),
            ..Self::default()
        }
    }

    /// What would be least surprising: that comes before the place, the kind and the cause of the
    /// event are known, and after that.
    fn expect(&self, place: (u32, u16), kind: TraceKind) -> Entry {
        let last = self.last.get(&(place.0, place.1, kind as u8));
        last.copied().unwrap_or(Entry {
            event: TraceEvent {
                at: Timestamp::EPOCH,
                node: NodeId::new(place.0),
                worker: place.1,
                kind,
                id: 0,
                words: [0; 3],
            },
            cause: NONE,
            task: NONE,
            text: NONE,
            packet: NONE,
        })
    }

    fn first_guess(&self) -> Expected {
        let before = self
            .before
            .unwrap_or_else(|| self.expect((0, 0), TraceKind::Timeout));
        Expected {
            place: (before.event.node.number(), before.event.worker),
            last: before,
            cause: self.count.wrapping_sub(1),
        }
    }

    /// The packet that an event of this kind is about, if the last one was about one.
    fn expected_packet(&self, log: &TraceLog, kind: TraceKind, last: &Entry, cause: u32) -> u32 {
        if last.packet == NONE {
            NONE
        } else if kind.role() == Role::Input {
            log.entries
                .get(cause as usize)
                .map_or(NONE, |cause| cause.packet)
        } else {
            self.packets
        }
    }

    /// The first word, if it is no news.
    fn expected_first(&self, kind: TraceKind, text: u32, last: &Entry) -> u64 {
        let hash = self.texts.get(text as usize).filter(|_| kind.has_text());
        hash.copied().unwrap_or(last.event.words[0])
    }

    /// The third word, if it is the hash of a payload that is there.
    fn expected_hash(&mut self, log: &TraceLog, kind: TraceKind, packet: u32) -> Option<u64> {
        if !matches!(kind, TraceKind::Datagrams | TraceKind::Packet) {
            return None;
        }
        if let Some(&known) = self.payloads.get(&packet) {
            return Some(known);
        }
        let payload = log.payload(log.packets.get(packet as usize)?)?;
        let hash = xxh3_64(payload);
        self.payloads.insert(packet, hash);
        Some(hash)
    }

    fn note(&mut self, entry: &Entry) {
        let event = &entry.event;
        let place = (event.node.number(), event.worker, event.kind as u8);
        self.last.insert(place, *entry);
        self.before = Some(*entry);
        self.count = self.count.wrapping_add(1);
        if entry.packet != NONE {
            self.packets = self.packets.max(entry.packet + 1);
        }
    }

    pub(super) fn write(&mut self, writer: &mut Writer, log: &TraceLog, entry: &Entry) {
        let event = &entry.event;
        let guess = self.first_guess();
        let place = (event.node.number(), event.worker);
        let last = self.expect(place, event.kind);
        let packet = self.expected_packet(log, event.kind, &last, entry.cause);
        let third = self.third(log, entry, &last);
        let first = self.expected_first(event.kind, entry.text, &last);
        let same = [
            place == guess.place,
            event.at == guess.last.event.at,
            entry.cause == guess.cause,
            event.id == last.event.id,
            event.words[0] == first,
            event.words[1] == last.event.words[1],
            third == Third::Same,
            entry.task == last.task,
        ];
        let flags = same
            .iter()
            .rev()
            .fold(0, |flags, &same| flags << 1 | u8::from(same));
        let more = [entry.text == last.text, entry.packet == packet];
        let high = u8::from(more[0]) << 6 | u8::from(more[1]) << 7;
        writer.byte(flags);
        writer.byte(event.kind as u8 | high);
        if !same[0] {
            writer.number(u64::from(place.0));
            writer.number(u64::from(place.1));
        }
        if !same[1] {
            // Time does not go back, but for what was put off: so it wraps.
            writer.number(
                event
                    .at
                    .as_nanos()
                    .wrapping_sub(guess.last.event.at.as_nanos()),
            );
        }
        if !same[2] {
            let back = if entry.cause == NONE {
                0
            } else {
                self.count - entry.cause
            };
            writer.number(u64::from(back));
        }
        if !more[0] {
            writer.reference(entry.text);
        }
        if !more[1] {
            writer.reference(entry.packet);
        }
        if !same[3] {
            writer.number(event.id);
        }
        // What is said of a text that is there, its hash says too.
        if !same[4] {
            writer.word(event.words[0]);
        }
        if !same[5] {
            writer.number(event.words[1]);
        }
        match third {
            Third::Same => {}
            Third::After(nanos) => writer.number(nanos),
            Third::Word => writer.word(event.words[2]),
        }
        if !same[7] {
            writer.reference(entry.task);
        }
        self.note(entry);
    }

    /// How the third word is written.
    fn third(&mut self, log: &TraceLog, entry: &Entry, last: &Entry) -> Third {
        let event = &entry.event;
        let word = event.words[2];
        match self.expected_hash(log, event.kind, entry.packet) {
            Some(hash) if hash == word => Third::Same,
            Some(_) => Third::Word,
            None if event.kind.role() == Role::Travel => {
                let usual = last.event.words[2].wrapping_sub(last.event.at.as_nanos());
                let nanos = word.wrapping_sub(event.at.as_nanos());
                if nanos == usual {
                    Third::Same
                } else {
                    Third::After(nanos)
                }
            }
            None if word == last.event.words[2] => Third::Same,
            None => Third::Word,
        }
    }

    pub(super) fn read(&mut self, reader: &mut Reader<'_>, log: &TraceLog) -> Result<Entry, Wrong> {
        let (flags, head) = (reader.byte()?, reader.byte()?);
        let same = |bit: u8| flags >> bit & 1 == 1;
        let kind = TraceKind::of_number(head & 0x3f);
        let kind = kind.ok_or_else(|| reader.wrong("an event of no kind"))?;
        let guess = self.first_guess();
        let mut place = guess.place;
        if !same(0) {
            place = (index(reader.below(log.nodes.len())?), reader.short()?);
        }
        if place.0 as usize >= log.nodes.len() {
            return Err(reader.wrong("an event at no node"));
        }
        let last = self.expect(place, kind);
        let mut entry = last;
        let before = guess.last.event.at.as_nanos();
        let passed = if same(1) { 0 } else { reader.number()? };
        entry.event.at = Timestamp::from_nanos(before.wrapping_add(passed));
        entry.cause = if same(2) {
            guess.cause
        } else {
            match reader.below(self.count as usize + 1)? {
                0 => NONE,
                back => self.count - index(back),
            }
        };
        if head & 0x40 == 0 {
            entry.text = reader.reference(log.texts.len())?;
        }
        entry.packet = if head & 0x80 == 0 {
            reader.reference(log.packets.len())?
        } else {
            self.expected_packet(log, kind, &last, entry.cause)
        };
        if entry.packet != NONE && entry.packet as usize >= log.packets.len() {
            return Err(reader.wrong("an event about a packet that is not there"));
        }
        if !same(3) {
            entry.event.id = reader.number()?;
        }
        entry.event.words[0] = if same(4) {
            self.expected_first(kind, entry.text, &last)
        } else {
            reader.word()?
        };
        if !same(5) {
            entry.event.words[1] = reader.number()?;
        }
        let at = entry.event.at.as_nanos();
        let hash = self.expected_hash(log, kind, entry.packet);
        let travels = kind.role() == Role::Travel;
        let usual = last.event.words[2].wrapping_sub(last.event.at.as_nanos());
        entry.event.words[2] = match (same(6), hash) {
            (true, Some(hash)) => hash,
            (true, None) if travels => at.wrapping_add(usual),
            (true, None) => last.event.words[2],
            (false, None) if travels => at.wrapping_add(reader.number()?),
            (false, _) => reader.word()?,
        };
        if !same(7) {
            entry.task = reader.reference(log.tasks.len())?;
        }
        self.note(&entry);
        Ok(entry)
    }
}

/// How a third word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Third {
    /// Not at all: it is as expected.
    Same,
    /// As so many nanoseconds behind the event.
    After(u64),
    Word,
}
