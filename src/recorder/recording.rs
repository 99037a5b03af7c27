//! Recordings, read back.

use core::fmt;
use std::borrow::Cow;

use super::code::{Recordable, RecordedBytes};
use super::format::{self, MAGIC, RECORD_HEAD, VERSION, kind};
use super::notes::Noted;
use super::{input, output};
use crate::net::NetworkEvent;
use crate::time::Timestamp;
use crate::worker::WorkerConfig;

/// What a [`Recorder`](super::Recorder) has written.
///
/// # Example
///
/// A crash in production becomes a test: the recording lies beside it.
///
/// ```ignore
/// #[test]
/// fn a_reply_to_nobody_is_counted() {
///     let bytes = include_bytes!("recordings/reply-to-nobody.recording");
///     let recording = Recording::from_bytes(*bytes).unwrap();
///     recording.replay(|config| Worker::new(config, spawn)).unwrap();
/// }
/// ```
#[derive(Clone)]
pub struct Recording {
    bytes: Vec<u8>,
    /// The body of the head.
    head: (usize, usize),
    /// All records that are whole, behind the head.
    records: (usize, usize),
    inputs: u64,
    missing: u64,
    ending: Ending,
}

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The worker has stopped.
    Stopped,
    /// Behind a whole record: somebody asked for what there was, or the process ended without a
    /// word.
    Open,
    /// Within a record: the rest was never written, or cut off.
    Cut {
        /// Bytes of the recording before.
        at: usize,
    },
    /// Before something that is no record. What follows is not read.
    Damaged {
        /// Bytes of the recording before.
        at: usize,
    },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the worker has stopped"),
            Self::Open => f.write_str("the recording ends, the worker may have gone on"),
            Self::Cut { at } => write!(f, "cut off within the record at byte {at}"),
            Self::Damaged { at } => write!(f, "damaged: no record at byte {at}"),
        }
    }
}

/// Why bytes are no recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// They are something else.
    #[error("not a recording of a worker: it does not begin like one")]
    Foreign,
    /// Another version of this library wrote it.
    #[error("a recording of version {version}; this program reads version {known}")]
    OtherVersion {
        /// Its version.
        version: u16,
        /// Ours.
        known: u16,
    },
    /// It ends before it says which worker it is of.
    #[error("a recording that ends within its head")]
    CutHead,
    /// What it says of the worker is damaged.
    #[error("a recording whose head is damaged")]
    DamagedHead,
}

impl Recording {
    /// Reads what a [`RecordRing`](super::RecordRing) or a file holds. All that is before the first
    /// damage, or before the end of what was cut off, is there; [`Recording::ending`] says so.
    ///
    /// # Errors
    ///
    /// [`RecordingError`] if not even the head can be read.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, RecordingError> {
        let bytes = bytes.into();
        let begins = bytes.len().min(MAGIC.len());
        if bytes.is_empty() || bytes[..begins] != MAGIC[..begins] {
            return Err(RecordingError::Foreign);
        }
        let mut from = RecordedBytes::new(&bytes[begins..]);
        let version = u16::read(&mut from).ok_or(RecordingError::CutHead)?;
        if version != VERSION {
            let known = VERSION;
            return Err(RecordingError::OtherVersion { version, known });
        }
        let mut walk = Walk {
            bytes: &bytes,
            at: begins + 2,
        };
        let head = match walk.next() {
            Record::Body(body) => body,
            Record::Over | Record::Cut => return Err(RecordingError::CutHead),
            Record::Damaged => return Err(RecordingError::DamagedHead),
        };
        if format::read_head(&bytes[head.0..head.1]).is_none() {
            return Err(RecordingError::DamagedHead);
        }
        let first = walk.at;
        let (mut inputs, mut missing) = (0u64, 0u64);
        let ending = loop {
            let at = walk.at;
            let body = match walk.next() {
                Record::Over => break Ending::Open,
                Record::Cut => break Ending::Cut { at },
                Record::Damaged => break Ending::Damaged { at },
                Record::Body(body) => body,
            };
            match Entry::read(&bytes[body.0..body.1]) {
                Some(Entry::Turn(_)) => inputs += 1,
                Some(Entry::Gap(turns)) => missing = missing.saturating_add(turns),
                Some(Entry::End) if walk.at == bytes.len() => break Ending::Stopped,
                Some(Entry::End) => {
                    break Ending::Damaged { at: walk.at };
                }
                None => {
                    walk.at = at;
                    break Ending::Damaged { at };
                }
            }
        };
        let records = (first, walk.at);
        Ok(Self {
            bytes,
            head,
            records,
            inputs,
            missing,
            ending,
        })
    }

    /// How the worker was set up: what a worker is to be made with that does the same.
    ///
    /// # Panics
    ///
    /// Never: the head was read before.
    #[must_use]
    pub fn config(&self) -> WorkerConfig {
        self.read_head().0
    }

    pub(super) fn read_head(&self) -> (WorkerConfig, Noted) {
        let head = format::read_head(&self.bytes[self.head.0..self.head.1]);
        head.expect("the head was read before")
    }

    /// How many inputs are in it.
    #[must_use]
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// How many inputs are missing: overwritten in a ring, or dropped because there was no room.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// How it ends.
    #[must_use]
    pub const fn ending(&self) -> Ending {
        self.ending
    }

    /// What is in it, for people: a line for each input, and an indented one for each output.
    /// Inputs are counted from 1 as [`Difference`](super::Difference) counts them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let last = match self.ending {
            Ending::Stopped => None, // It has a record of its own.
            Ending::Open | Ending::Cut { .. } | Ending::Damaged { .. } => {
                Some(self.ending.to_string())
            }
        };
        let mut number = 0;
        let lines = self.entries().flat_map(move |entry| match entry {
            Entry::Gap(turns) => {
                number += turns;
                vec![format!("{turns} inputs are missing")]
            }
            Entry::End => vec![Ending::Stopped.to_string()],
            Entry::Turn(turn) => {
                number += 1;
                turn.lines(number)
            }
        });
        lines.chain(last)
    }

    /// What is in it.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let (from, to) = self.records;
        let mut walk = Walk {
            bytes: &self.bytes[..to],
            at: from,
        };
        core::iter::from_fn(move || match walk.next() {
            Record::Body(body) => Entry::read(&self.bytes[body.0..body.1]),
            Record::Over | Record::Cut | Record::Damaged => None,
        })
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("inputs", &self.inputs)
            .field("missing", &self.missing)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

/// Goes from record to record.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is found at one place.
enum Record {
    /// From and to.
    Body((usize, usize)),
    Over,
    Cut,
    Damaged,
}

impl Walk<'_> {
    /// The next record. The place stays if there is none.
    fn next(&mut self) -> Record {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return Record::Over;
        }
        let Some((head, rest)) = rest.split_first_chunk::<RECORD_HEAD>() else {
            return Record::Cut;
        };
        let [a, b, c, d, e, f, g, h] = *head;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(body) = rest.get(..len) else {
            return Record::Cut;
        };
        if format::checksum(body) != u32::from_le_bytes([e, f, g, h]) {
            return Record::Damaged;
        }
        let from = self.at + RECORD_HEAD;
        self.at = from + len;
        Record::Body((from, self.at))
    }
}

/// A record behind the head.
pub(super) enum Entry<'a> {
    Turn(Turn<'a>),
    Gap(u64),
    End,
}

/// An input, and what followed from it.
#[derive(Clone)]
pub(super) struct Turn<'a> {
    pub(super) broken: bool,
    pub(super) now: Timestamp,
    pub(super) input: &'a [u8],
    pub(super) items: Items<'a>,
}

/// What followed from an input, in order: what each is, and its bytes.
#[derive(Clone)]
pub(super) struct Items<'a> {
    input: &'a [u8],
    rest: RecordedBytes<'a>,
}

impl<'a> Items<'a> {
    pub(super) const NONE: Self = Self {
        input: &[],
        rest: RecordedBytes::new(&[]),
    };

    /// What comes next, which is left there.
    pub(super) fn peek(&self) -> Option<(u8, Cow<'a, [u8]>)> {
        self.clone().next()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (u8, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<(u8, Cow<'a, [u8]>)> {
        let rest = &mut self.rest.clone();
        let (kind, len) = <(u8, u16)>::read(rest)?;
        let item = output::canonical(kind, rest.take(len.into())?, self.input)?;
        self.rest = rest.clone();
        Some(item)
    }
}

impl<'a> Entry<'a> {
    /// `None` if it is none, although its checksum is right.
    fn read(body: &'a [u8]) -> Option<Self> {
        let from = &mut RecordedBytes::new(body);
        let kind = u8::read(from)?;
        let entry = match kind {
            kind::TURN | kind::BROKEN_TURN => return Self::read_turn(kind, from),
            kind::GAP => Self::Gap(u64::read(from)?),
            kind::END => Self::End,
            _ => return None,
        };
        from.is_empty().then_some(entry)
    }

    fn read_turn(kind: u8, from: &mut RecordedBytes<'a>) -> Option<Self> {
        let now = Timestamp::read(from)?;
        let len = u32::read(from)? as usize;
        let input = from.take(len)?;
        let mut items = Items {
            input,
            rest: from.clone(),
        };
        let turn = Turn {
            broken: kind == kind::BROKEN_TURN,
            now,
            input,
            items: items.clone(),
        };
        // What nobody can say is no item.
        for (kind, bytes) in items.by_ref() {
            output::describe(kind, &bytes)?;
        }
        items.rest.is_empty().then_some(Self::Turn(turn))
    }
}

impl Turn<'_> {
    /// What the input is, as far as can be told without knowing the application.
    pub(super) fn input_text(&self) -> String {
        let Some((&number, rest)) = self.input.split_first() else {
            return "nothing".to_owned();
        };
        let name = input::name(number);
        if number == input::NETWORK
            && let Some(event) = NetworkEvent::read(&mut RecordedBytes::new(rest))
        {
            return format!("{name}: {event:?}");
        }
        match rest.len() {
            0 => name.to_owned(),
            len => format!("{name}, {len} B"),
        }
    }

    fn lines(&self, number: u64) -> Vec<String> {
        let broken = if self.broken { ", broken off" } else { "" };
        let mut lines = vec![format!(
            "{number} at {}: {}{broken}",
            self.now,
            self.input_text()
        )];
        let items = self.items.clone();
        lines.extend(items.filter_map(|(kind, bytes)| {
            let text = output::describe(kind, &bytes)?;
            Some(format!("    {text}"))
        }));
        lines
    }
}
