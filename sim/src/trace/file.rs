//! A trace log as bytes.
//!
//! A file begins with a magic text, a version and its length, and ends with the XXH3 (64 bits) of all
//! that is before. In between are tables (nodes, texts, addresses, tasks, what travelled, payloads,
//! states) and then the events, each in terms of the last one of its kind at its worker: most of what
//! an event says has been said before, so it takes some 12 bytes.

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use stillpoint::TaskId;
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{Reader, Writer, Wrong};
use super::log::{Form, LeftOut, LoggedTask, NONE, Node, PacketEntry, StateEntry};
use super::{TraceHash, TraceLog};

mod events;

use events::Known;

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
    /// event takes some 12 bytes.
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
        writer.text(&self.name);
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
        log.name = reader.text()?.to_owned();
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

/// A number that was looked at before.
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

/// How all of them begin.
const MAGIC: [u8; 8] = *b"\x89SPtrace";

/// Says how the rest is to be read.
const VERSION: u8 = 1;

/// The magic text, the version and the length.
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8;

/// The header and the checksum.
const SHORTEST_BYTES: usize = HEADER_BYTES + 8;
