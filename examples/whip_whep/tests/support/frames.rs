//! Frames that know what they are: made by publishers, looked at by viewers.
//!
//! A frame begins as one of VP8 (RFC 6386, 9.1) or Opus (RFC 6716, 3.1) does, as far as anybody on the
//! way looks at it. What follows says whose it is, which one, and when it was made, is filled up to
//! its size, and ends with a checksum.

use core::time::Duration;

use stillpoint::Timestamp;

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Whose: drawn by each publisher anew.
    pub source: u32,
    /// Which of the layers of a simulcast, from 0.
    pub layer: u32,
    /// Counts from 0, all layers alike.
    pub number: u32,
    pub kind: FrameKind,
    /// When it was made.
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A picture that can be shown without those before.
    Key,
    /// A picture that builds upon the one before.
    Delta,
    Audio,
}

impl Frame {
    /// The shortest frame, in bytes.
    pub const BYTES_MIN: usize = HEAD + 24 + 8;

    /// Its bytes, so many of them.
    pub fn write(&self, len: usize) -> Vec<u8> {
        assert!(len >= Self::BYTES_MIN, "no frame has {len} bytes");
        let mut bytes = match self.kind {
            FrameKind::Key => b"\x10\0\0\x9d\x01\x2a\x40\x01\xf0\0".to_vec(),
            FrameKind::Delta => b"\x11\0\0\0\0\0\0\0\0\0".to_vec(),
            FrameKind::Audio => b"\xfc\0\0\0\0\0\0\0\0\0".to_vec(),
        };
        for word in [self.source, self.layer, self.number] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(self.at.as_nanos().to_be_bytes());
        let filler = self.number.wrapping_mul(0x9e37_79b9).to_be_bytes();
        while bytes.len() + filler.len() + 8 <= len {
            bytes.extend(filler);
        }
        bytes.resize(len - 8, 0x5a);
        bytes.extend(checksum(&bytes).to_be_bytes());
        bytes
    }

    /// What these bytes say; `None` if they are none of ours, or not as they were.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        if bytes.len() < Self::BYTES_MIN || checksum(body).to_be_bytes() != *sum {
            return None;
        }
        let kind = match body[..HEAD] {
            [0x10, 0, 0, 0x9d, 0x01, 0x2a, ..] => FrameKind::Key,
            [0x11, 0, 0, 0, ..] => FrameKind::Delta,
            [0xfc, 0, 0, 0, ..] => FrameKind::Audio,
            _ => return None,
        };
        let word = |at: usize| {
            let word = body[HEAD + at..HEAD + at + 4].try_into().expect("4 bytes");
            u32::from_be_bytes(word)
        };
        let nanos = (u64::from(word(12)) << 32) | u64::from(word(16));
        Some(Self {
            source: word(0),
            layer: word(4),
            number: word(8),
            kind,
            at: Timestamp::from_nanos(nanos),
        })
    }
}

/// What came of one track, as somebody sees it who decodes it.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// Frames that came whole.
    pub frames: u32,
    /// Those among them that need none before.
    pub keys: u32,
    /// Those among them that could be shown: a key frame, or the one after the last that was.
    pub shown: u32,
    /// Frames that never came, as the number of the next one shows.
    pub missing: u32,
    /// How often a key frame was needed, and how often one came then.
    pub broken: u32,
    pub mended: u32,
    /// Frames whose bytes were not those that were sent.
    pub corrupt: u32,
    /// Frames that came again, or behind a later one.
    pub stale: u32,
    /// How often another publisher was to be seen.
    pub sources: u32,
    /// How often another layer was to be seen.
    pub switches: u32,
    /// The longest that one was on its way.
    pub delay_max: Duration,
    /// The longest time in which nothing could be shown, between two that could.
    pub gap_max: Duration,
    shown_at: Option<Timestamp>,
    /// What was seen last.
    pub last: Option<Frame>,
    /// The first frame that came was a key frame.
    pub began_with_key: bool,
    is_broken: bool,
}

/// What follows from a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// Nothing can be shown until a key frame comes.
    KeyFrame,
}

impl Screen {
    /// Looks at a frame.
    pub fn look(&mut self, now: Timestamp, bytes: &[u8]) -> Wish {
        let Some(frame) = Frame::read(bytes) else {
            self.corrupt += 1;
            return Wish::Nothing;
        };
        let last = self.last.replace(frame);
        self.delay_max = self.delay_max.max(now.since(frame.at));
        let follows = match last {
            None => {
                self.began_with_key = frame.kind != FrameKind::Delta;
                self.sources = 1;
                false
            }
            Some(last) if last.source != frame.source => {
                self.sources += 1;
                false
            }
            // Of another layer, the same picture may come once more.
            Some(last)
                if frame.number == last.number
                    && frame.layer != last.layer
                    && frame.kind == FrameKind::Key =>
            {
                self.switches += 1;
                false
            }
            Some(last) if frame.number <= last.number => {
                self.stale += 1;
                self.last = Some(last);
                return Wish::Nothing;
            }
            Some(last) => {
                self.missing += frame.number - last.number - 1;
                self.switches += u32::from(last.layer != frame.layer);
                frame.number == last.number + 1 && frame.layer == last.layer
            }
        };
        self.frames += 1;
        if frame.kind == FrameKind::Delta && (self.is_broken || !follows) {
            self.broken += u32::from(!self.is_broken);
            self.is_broken = true;
            return Wish::KeyFrame;
        }
        self.keys += u32::from(frame.kind == FrameKind::Key);
        self.mended += u32::from(self.is_broken);
        self.is_broken = false;
        self.shown += 1;
        if let Some(before) = self.shown_at.replace(now) {
            self.gap_max = self.gap_max.max(now.since(before));
        }
        Wish::Nothing
    }
}

/// Bytes that say what kind of frame it is.
const HEAD: usize = 10;

/// Fowler, Noll and Vo's 1a, over words of eight bytes: plain, and fast enough without optimisation.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    let sum = words.by_ref().fold(0xcbf2_9ce4_8422_2325, |sum, word| {
        step(sum, u64::from_be_bytes(word.try_into().expect("8 bytes")))
    });
    let rest = words.remainder().iter();
    rest.fold(sum, |sum, &byte| step(sum, u64::from(byte)))
}
