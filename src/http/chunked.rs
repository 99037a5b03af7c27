//! A body in chunks, a byte at a time (RFC 9112, 7.1).
//!
//! Strict: lines end in CRLF and in nothing else, and a size is digits and nothing else. Whoever
//! reads such lines in another way than whoever stands before may be led to see other requests.

use crate::buffer::{Buffer, BufferPool};

use super::config::HttpConfig;
use super::head::Refusal;
use super::intake::append;

/// How much of a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunked {
    place: Place,
    /// The size of the chunk as far as it was read; then how much of it is to come.
    size: u64,
    digits: u8,
    /// Bytes of extensions and trailers so far. Nobody looks at them.
    ignored: usize,
}

/// What is to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndEnd,
    /// A line of trailers, or the line that ends the body.
    Trailer,
    InTrailer,
    TrailerEnd,
    End,
}

/// Whether a body is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Partial,
    Whole,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Size,
            size: 0,
            digits: 0,
            ignored: 0,
        }
    }

    /// Moves what belongs to the body from `unread` to `body`.
    pub(super) fn take(
        &mut self,
        unread: &mut Buffer,
        body: &mut Buffer,
        config: &HttpConfig,
        buffers: &BufferPool,
    ) -> Result<Progress, Refusal> {
        let mut at = 0;
        let mut progress = Progress::Partial;
        while progress == Progress::Partial && at < unread.len() {
            if self.place == Place::Data {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                let len = left.min(unread.len() - at);
                append(body, &unread[at..at + len], buffers);
                self.size -= len as u64;
                at += len;
                if self.size == 0 {
                    self.place = Place::DataEnd;
                }
            } else {
                progress = self.step(unread[at], body.len(), config)?;
                at += 1;
            }
        }
        let taken = unread.pop_front(at);
        debug_assert!(taken.is_some(), "no more than there was");
        Ok(progress)
    }

    fn step(&mut self, byte: u8, body: usize, config: &HttpConfig) -> Result<Progress, Refusal> {
        self.place = match (self.place, byte) {
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeEnd,
            (Place::Size, b';') if self.digits > 0 => Place::Extension,
            (Place::Size, _) if self.digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::Malformed)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
                Place::Size
            }
            (Place::Extension, b'\r') => Place::SizeEnd,
            (Place::SizeEnd, b'\n') if self.size == 0 => Place::Trailer,
            (Place::SizeEnd, b'\n') => {
                if self.size > config.body_bytes_max.saturating_sub(body) as u64 {
                    return Err(Refusal::BodyTooLong);
                }
                Place::Data
            }
            (Place::DataEnd, b'\r') => Place::DataEndEnd,
            (Place::DataEndEnd, b'\n') => {
                self.digits = 0;
                Place::Size
            }
            (Place::Trailer, b'\r') => Place::End,
            (Place::End, b'\n') => return Ok(Progress::Whole),
            (Place::InTrailer, b'\r') => Place::TrailerEnd,
            (Place::TrailerEnd, b'\n') => Place::Trailer,
            (Place::Extension, byte) if is_text(byte) => self.ignore(Place::Extension, config)?,
            (Place::Trailer, byte) if is_text(byte) && byte != b' ' && byte != b'\t' => {
                self.ignore(Place::InTrailer, config)?
            }
            (Place::InTrailer, byte) if is_text(byte) => self.ignore(Place::InTrailer, config)?,
            _ => return Err(Refusal::Malformed),
        };
        Ok(Progress::Partial)
    }

    fn ignore(&mut self, place: Place, config: &HttpConfig) -> Result<Place, Refusal> {
        self.ignored += 1;
        if self.ignored > config.head_bytes_max {
            return Err(Refusal::HeadTooLong);
        }
        Ok(place)
    }
}

const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// As many as fit 64 bits.
const DIGITS_MAX: u8 = 16;
