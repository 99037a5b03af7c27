//! Cuts what a stream brings into lines.

/// Keeps the line that has no end yet, up to a length; what is longer is told once and skipped.
#[derive(Debug, Default)]
pub struct LineReader {
    partial: Vec<u8>,
    /// Whether the partial line was given and is to be forgotten.
    given: bool,
    /// Whether the rest of this line is not wanted.
    skipping: bool,
}

/// What a stream has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line is longer than lines may be.
    TooLong,
}

impl LineReader {
    /// The longest line in bytes, without its end.
    pub const LINE_BYTES_MAX: usize = 1_024;

    /// What comes next out of `data`, which becomes shorter; `None` once nothing is left of it.
    /// A line ends with LF, or CR and LF.
    pub fn next<'a, 'd: 'a>(&'a mut self, data: &mut &'d [u8]) -> Option<Heard<'a>> {
        if core::mem::take(&mut self.given) {
            self.partial.clear();
        }
        while !data.is_empty() {
            let end = data.iter().position(|&byte| byte == b'\n');
            let (part, rest) = data.split_at(end.unwrap_or(data.len()));
            *data = rest.get(1..).unwrap_or_default();
            if self.skipping {
                self.skipping = end.is_none();
                continue;
            }
            // One byte more may be kept: it may turn out to be the CR.
            if self.partial.len() + part.len() > Self::LINE_BYTES_MAX + 1 {
                self.partial.clear();
                self.skipping = end.is_none();
                return Some(Heard::TooLong);
            }
            let whole = if self.partial.is_empty() && end.is_some() {
                part
            } else {
                self.partial.extend_from_slice(part);
                end?;
                self.given = true;
                &self.partial
            };
            return Some(judge(whole));
        }
        None
    }

    /// The line without an end that the stream has ended with, if it has.
    pub fn rest(&mut self) -> Option<Heard<'_>> {
        if self.given || self.partial.is_empty() {
            return None;
        }
        self.given = true;
        Some(judge(&self.partial))
    }

    /// Bytes that are kept of a line without end.
    pub const fn waiting(&self) -> usize {
        self.partial.len()
    }
}

fn judge(line: &[u8]) -> Heard<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LineReader::LINE_BYTES_MAX {
        Heard::TooLong
    } else {
        Heard::Line(line)
    }
}
