//! A trace log as bytes.
//!
//! A file begins with a magic text, a version and its length, and ends with the XXH3 (64 bits) of all
//! that is before. In between are tables (nodes, texts, addresses, tasks, what travelled, payloads,
//! states) and then the events, each in terms of the last one of its kind at its worker: most of what
//! an event says has been said before, so it takes some ten bytes.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{TaskId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Reader, Writer, Wrong};
use super::log::{Entry, Form, LeftOut, LoggedTask, NONE, Node, PacketEntry, StateEntry};
use super::{Role, TraceEvent, TraceHash, TraceKind, TraceLog};
use crate::node::NodeId;

/// Why bytes are no trace log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceLogError {
    /// They are something else.
    #[error("this is no trace log: it does not begin as one")]
    Foreign,
    /// Another version of this crate has written them.
    #[error(
        "the trace log is of version {found}, and this is a reader of version {}",
        VERSION
    )]
    Version {
        /// Its version.
        found: u8,
    },
    /// Something at the end is missing, or there is more than the log.
    #[error("the trace log has {wanted} bytes, and here are {bytes}")]
    Length {
        /// The bytes that there are.
        bytes: u64,
        /// The bytes that it has.
        wanted: u64,
    },
    /// Some byte is not what was written.
    #[error("the trace log is damaged: its checksum does not fit")]
    Damaged,
    /// What was written makes no sense.
    #[error("the trace log makes no sense: {what} at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
}

impl TraceLog {
    /// The log as a file: see [`TraceLog::from_bytes`]. With payloads, most of it is payloads; an
    /// event takes some ten bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes.extend(MAGIC);
        writer.byte(VERSION);
        writer.word(0); // The length, once it is known.
        self.write_tables(&mut writer);
        let mut known = Known::new(self);
        writer.count(self.entries.len());
        for entry in &self.entries {
            known.write(&mut writer, self, entry);
        }
        let mut bytes = writer.bytes;
        let len = bytes.len() as u64 + 8;
        bytes[MAGIC.len() + 1..HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
        let sum = xxh3_64(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// The log that was written so.
    ///
    /// # Errors
    ///
    /// [`TraceLogError`], whatever the bytes are. Memory is taken for what they hold, and not for
    /// what they say they hold.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TraceLogError> {
        if bytes.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
            return Err(TraceLogError::Foreign);
        }
        let mut reader = Reader::new(bytes);
        let head = (|| {
            reader.take(MAGIC.len())?;
            Ok((reader.byte()?, reader.word()?))
        })();
        let length = |wanted| TraceLogError::Length {
            bytes: bytes.len() as u64,
            wanted,
        };
        let (version, len) = head.map_err(|_: Wrong| length(SHORTEST_BYTES as u64))?;
        if version != VERSION {
            return Err(TraceLogError::Version { found: version });
        }
        if len != bytes.len() as u64 || bytes.len() < SHORTEST_BYTES {
            return Err(length(len.max(SHORTEST_BYTES as u64)));
        }
        let (body, sum) = bytes.split_at(bytes.len() - 8);
        if xxh3_64(body).to_le_bytes() != sum {
            return Err(TraceLogError::Damaged);
        }
        let mut reader = Reader::new(body);
        let read = reader.take(HEADER_BYTES);
        let read = read.and_then(|_| Self::read(&mut reader));
        read.map_err(|Wrong { what, at }| TraceLogError::Malformed { what, at })
    }

    fn write_tables(&self, writer: &mut Writer) {
        writer.word(self.seed);
        writer.bytes.extend(self.hash.0.to_le_bytes());
        writer.count(self.nodes.len());
        for node in &self.nodes {
            writer.text(&node.name);
            writer.number(u64::from(node.workers));
        }
        writer.count(self.texts.len());
        for text in &self.texts {
            writer.text(text);
        }
        writer.count(self.addresses.len());
        for address in &self.addresses {
            write_address(writer, address);
        }
        writer.count(self.tasks.len());
        for known in &self.tasks {
            let [place, key] = known.task.to_words();
            writer.number(u64::from(known.node));
            writer.number(place);
            writer.number(key >> 32);
            writer.number(key & u64::from(u32::MAX));
            writer.reference(known.type_name);
        }
        writer.count(self.segments.len());
        for words in &self.segments {
            words.iter().for_each(|&word| writer.number(word));
        }
        writer.count(self.bytes.len());
        writer.bytes.extend(&self.bytes);
        writer.count(self.packets.len());
        for packet in &self.packets {
            write_packet(writer, packet);
        }
        writer.count(self.states.len());
        let mut before = 0;
        for state in &self.states {
            writer.number(u64::from(state.after - before));
            writer.number(u64::from(state.task));
            writer.number(u64::from(state.text));
            before = state.after;
        }
        writer.number(self.left_out.payloads);
        writer.number(self.left_out.payload_bytes);
        writer.number(self.failed_after.map_or(0, |after| after as u64 + 1));
        writer.byte(u8::from(self.failure.is_some()));
        if let Some(failure) = &self.failure {
            writer.text(failure);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Wrong> {
        let mut log = Self::empty();
        log.seed = reader.word()?;
        log.hash = TraceHash(u128::from_le_bytes(reader.array()?));
        log.nodes = reader.list(|reader| {
            Ok(Node {
                name: reader.text()?.to_owned(),
                workers: reader.short()?,
            })
        })?;
        log.texts = reader.list(|reader| reader.text().map(Arc::from))?;
        log.addresses = reader.list(read_address)?;
        let (nodes, texts) = (log.nodes.len(), log.texts.len());
        log.tasks = reader.list(|reader| read_task(reader, nodes, texts))?;
        let words =
            |reader: &mut Reader<'_>| Ok([reader.number()?, reader.number()?, reader.number()?]);
        log.segments = reader.list(words)?;
        let len = reader.number()?;
        let bytes = reader.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        log.bytes = bytes.to_vec();
        let mut cursor = (0, 0);
        log.packets = reader.list(|reader| read_packet(reader, &log, &mut cursor))?;
        let (tasks, mut before) = (log.tasks.len(), 0_u32);
        log.states = reader.list(|reader| {
            let after = before.checked_add(reader.small()?);
            before = after.ok_or_else(|| reader.wrong("a state after no event"))?;
            Ok(StateEntry {
                after: before,
                task: index(reader.below(tasks)?),
                text: index(reader.below(texts)?),
            })
        })?;
        log.left_out = LeftOut {
            payloads: reader.number()?,
            payload_bytes: reader.number()?,
        };
        let failed_after = reader.number()?.checked_sub(1);
        if reader.byte()? != 0 {
            log.failure = Some(reader.text()?.to_owned());
        }
        let mut known = Known::new(&log);
        let count = reader.number()?;
        for _ in 0..count {
            let entry = known.read(reader, &log)?;
            log.entries.push(entry);
        }
        let last = log.entries.len();
        let is_there = |after: u64| usize::try_from(after).is_ok_and(|after| after < last);
        if !reader.is_empty()
            || failed_after.is_some_and(|after| !is_there(after) && after != 0)
            || log
                .states
                .last()
                .is_some_and(|state| !is_there(u64::from(state.after)))
        {
            return Err(reader.wrong("something behind the last event"));
        }
        log.failed_after = failed_after.and_then(|after| usize::try_from(after).ok());
        Ok(log)
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NONE)
}

fn write_address(writer: &mut Writer, address: &SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            writer.byte(4);
            writer.bytes.extend(address.ip().octets());
        }
        SocketAddr::V6(address) => {
            writer.byte(6);
            writer.bytes.extend(address.ip().octets());
            writer.number(u64::from(address.flowinfo()));
            writer.number(u64::from(address.scope_id()));
        }
    }
    writer.bytes.extend(address.port().to_le_bytes());
}

fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, Wrong> {
    match reader.byte()? {
        4 => {
            let ip = IpAddr::from(reader.array::<4>()?);
            Ok(SocketAddr::new(ip, u16::from_le_bytes(reader.array()?)))
        }
        6 => {
            let ip = reader.array::<16>()?.into();
            let (flow, scope) = (reader.small()?, reader.small()?);
            let port = u16::from_le_bytes(reader.array()?);
            Ok(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => Err(reader.wrong("an address of no family")),
    }
}

fn read_task(reader: &mut Reader<'_>, nodes: usize, texts: usize) -> Result<LoggedTask, Wrong> {
    let node = index(reader.below(nodes)?);
    let place = u64::from(reader.small()?);
    let (slot, generation) = (reader.small()?, reader.small()?);
    Ok(LoggedTask {
        node,
        task: TaskId::from_words([place, u64::from(slot) << 32 | u64::from(generation)]),
        type_name: reader.reference(texts)?,
    })
}

/// Where payloads and the words of segments begin is not written: they stand in order.
fn write_packet(writer: &mut Writer, packet: &PacketEntry) {
    let kept = u8::from(packet.start.is_some()) << 3;
    writer.byte(packet.form as u8 | kept);
    writer.byte(packet.traffic);
    writer.reference(packet.to);
    writer.reference(packet.source);
    writer.reference(packet.target);
    writer.number(u64::from(packet.len));
    writer.number(u64::from(packet.step));
}

fn read_packet(
    reader: &mut Reader<'_>,
    log: &TraceLog,
    (start, segment): &mut (usize, u32),
) -> Result<PacketEntry, Wrong> {
    let head = reader.byte()?;
    let form = match head & 0b111 {
        1 => Form::Datagrams,
        2 => Form::Segment,
        3 => Form::Ip,
        4 => Form::Frame,
        _ => return Err(reader.wrong("a packet of no form")),
    };
    let traffic = reader.byte()?;
    let mut packet = PacketEntry::new(form, NONE);
    packet.traffic = traffic;
    packet.to = reader.reference(log.nodes.len())?;
    packet.source = reader.reference(log.addresses.len())?;
    packet.target = reader.reference(log.addresses.len())?;
    packet.len = reader.small()?;
    packet.step = reader.small()?;
    if head & 0b1000 != 0 {
        packet.start = Some(index(*start));
        *start = start.saturating_add(packet.len as usize);
        if *start > log.bytes.len() {
            return Err(reader.wrong("a payload that is not there"));
        }
    }
    if form == Form::Segment {
        packet.segment = *segment;
        *segment += 1;
        if *segment as usize > log.segments.len() {
            return Err(reader.wrong("a segment that is not there"));
        }
    }
    Ok(packet)
}

/// What was said before.
#[derive(Default)]
struct Known {
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
    fn new(log: &TraceLog) -> Self {
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

    fn write(&mut self, writer: &mut Writer, log: &TraceLog, entry: &Entry) {
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

    fn read(&mut self, reader: &mut Reader<'_>, log: &TraceLog) -> Result<Entry, Wrong> {
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

/// How all of them begin.
const MAGIC: [u8; 8] = *b"\x89SPtrace";

/// Says how the rest is to be read.
const VERSION: u8 = 1;

/// The magic text, the version and the length.
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8;

/// The header and the checksum.
const SHORTEST_BYTES: usize = HEADER_BYTES + 8;
