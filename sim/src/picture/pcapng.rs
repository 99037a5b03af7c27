//! A packet capture, as Wireshark reads it.
//!
//! The format is that of <https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html>.
//! Each node is an interface; times are nanoseconds of virtual time. A packet is there twice: as it
//! leaves its node, and as it arrives.

use std::io::{self, Write};

use super::headers::{self, SegmentHead};
use crate::counters::DropCause;
use crate::tcp::Kind;
use crate::trace::{Form, Role, Seen, TraceKind, TraceLog};

/// One packet at one interface.
struct Record {
    at: u64,
    /// The event that it comes of, to keep order.
    index: usize,
    node: usize,
    direction: Direction,
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    In = 1,
    Out = 2,
}

impl TraceLog {
    /// Writes a packet capture (pcapng), as Wireshark and tshark read it: an interface for each node,
    /// and one more for its TAP devices. The headers of datagrams and segments are made from their
    /// addresses. What was lost has a comment that says why.
    ///
    /// Payloads are there if the log [has them](crate::TraceDetail::payloads); packets without theirs
    /// look as if a part of them had been captured.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_pcapng(&self, mut to: impl Write) -> io::Result<()> {
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, 4, b"stillpoint-sim");
        option(&mut section, 0, b"");
        block(&mut to, 0x0a0d_0d0a, &section)?;
        let names: Vec<&str> = self.nodes().map(|(_, name)| name).collect();
        for name in &names {
            interface(&mut to, name, RAW)?;
        }
        for name in &names {
            interface(&mut to, &format!("{name} tap"), ETHERNET)?;
        }
        for record in records(self) {
            write_record(&mut to, self, &record, names.len())?;
        }
        to.flush()
    }
}

/// Everything that is to be seen somewhere, by time.
fn records(log: &TraceLog) -> Vec<Record> {
    let end = log.events().next_back();
    let end = end.map_or(0, |last| last.event.at.as_nanos());
    let mut lost: Vec<Option<String>> = vec![None; log.len()];
    let mut records = Vec::new();
    for event in log.events() {
        let (index, what) = (event.index, &event.event);
        let Some(seen) = log.seen(index) else {
            continue;
        };
        let role = what.kind.role();
        let node = what.node.index();
        let at = what.at.as_nanos();
        if role == Role::Loss {
            let cause = cause_of(what.words[2]);
            match event
                .cause
                .filter(|&cause| log.is_same_packet(cause, index))
            {
                Some(travel) => lost[travel] = Some(cause),
                None => records.push(Record {
                    at,
                    index,
                    node,
                    direction: Direction::Out,
                    comment: Some(format!("lost: {cause}")),
                }),
            }
        } else if role == Role::Travel {
            let is_copy = matches!(what.kind, TraceKind::Duplicated | TraceKind::PacketCopied);
            let comment = is_copy.then(|| "a copy that its link has made".to_owned());
            records.push(Record {
                at,
                index,
                node,
                direction: Direction::Out,
                comment: comment.clone(),
            });
            let arrival = what.words[2];
            if let Some(to) = seen.to.filter(|&to| to != node && arrival <= end) {
                records.push(Record {
                    at: arrival,
                    index,
                    node: to,
                    direction: Direction::In,
                    comment,
                });
            }
        }
    }
    for record in &mut records {
        if record.direction == Direction::In
            && let Some(cause) = &lost[record.index]
        {
            record.comment = Some(format!("lost on arrival: {cause}"));
        }
    }
    records.sort_by_key(|record| (record.at, record.index, record.direction == Direction::In));
    records
}

fn cause_of(number: u64) -> String {
    let known = DropCause::ALL
        .into_iter()
        .find(|&cause| cause as u64 == number);
    known.map_or_else(
        || "nobody knows why".to_owned(),
        |cause| format!("{cause:?}"),
    )
}

/// Writes a packet, or each datagram of a run.
fn write_record(
    to: &mut impl Write,
    log: &TraceLog,
    record: &Record,
    nodes: usize,
) -> io::Result<()> {
    let Some(seen) = log.seen(record.index) else {
        return Ok(());
    };
    let frame = seen.form == Form::Frame;
    let interface = record.node + if frame { nodes } else { 0 };
    for (packet, len) in packets(&seen) {
        let mut body = Vec::with_capacity(packet.len() + 64);
        body.extend(small(interface).to_le_bytes());
        let [high, low] = [record.at >> 32, record.at & 0xffff_ffff];
        body.extend(low_half(high).to_le_bytes());
        body.extend(low_half(low).to_le_bytes());
        body.extend(small(packet.len()).to_le_bytes());
        body.extend(small(len).to_le_bytes());
        body.extend(&packet);
        pad(&mut body);
        if let Some(comment) = &record.comment {
            option(&mut body, 1, comment.as_bytes());
        }
        option(&mut body, 2, &(record.direction as u32).to_le_bytes());
        option(&mut body, 0, b"");
        block(to, 6, &body)?;
    }
    Ok(())
}

/// What would be on the wire: the bytes that there are, and how many there were.
fn packets(seen: &Seen<'_>) -> Vec<(Vec<u8>, usize)> {
    match (seen.form, seen.way) {
        (Form::Datagrams, Some(way)) => {
            let step = if seen.step == 0 { seen.len } else { seen.step };
            let count = if step == 0 {
                1
            } else {
                seen.len.div_ceil(step).max(1)
            };
            let datagrams = (0..count).map(|number| {
                let range = number * step..seen.len.min((number + 1) * step);
                let payload = seen.payload.and_then(|payload| payload.get(range.clone()));
                let len = range.len();
                let bytes = headers::datagram(way, seen.traffic, payload, len);
                let missing = if payload.is_some() { 0 } else { len };
                let len = bytes.len() + missing;
                (bytes, len)
            });
            datagrams.collect()
        }
        (Form::Segment, Some(way)) => {
            let kinds = Kind::ALL.into_iter();
            let mut known = kinds.filter(|&kind| kind as u8 == seen.traffic);
            let [position, expected, edge] = seen.segment.unwrap_or_default();
            let head = SegmentHead {
                kind: known.next().unwrap_or(Kind::Bytes),
                position,
                expected,
                edge,
            };
            let bytes = headers::segment(way, &head, seen.payload, seen.len);
            let missing = if seen.payload.is_some() { 0 } else { seen.len };
            let len = bytes.len() + missing;
            vec![(bytes, len)]
        }
        (Form::Ip | Form::Frame, _) | (_, None) => {
            let bytes = seen.payload.unwrap_or_default();
            vec![(bytes.to_vec(), seen.len)]
        }
    }
}

fn interface(to: &mut impl Write, name: &str, link: u16) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(link.to_le_bytes());
    body.extend([0; 6]);
    option(&mut body, 2, name.as_bytes());
    option(&mut body, 9, &[9]); // Nanoseconds.
    option(&mut body, 0, b"");
    block(to, 1, &body)
}

/// A block of whole words, its length before and behind.
fn block(to: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let len = small(body.len() + 12).to_le_bytes();
    to.write_all(&kind.to_le_bytes())?;
    to.write_all(&len)?;
    to.write_all(body)?;
    to.write_all(&len)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..OPTION_MAX).unwrap_or(value);
    let len = u16::try_from(value.len()).unwrap_or_default();
    body.extend(code.to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const fn low_half(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

/// IP packets, of either version.
const RAW: u16 = 101;
const ETHERNET: u16 = 1;

/// Bytes of an option.
const OPTION_MAX: usize = 0xfff0;
