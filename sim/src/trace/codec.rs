//! Numbers and texts as few bytes.
//!
//! A number is written seven bits a byte, the low ones first; the high bit says that more come
//! (LEB128). Reading never takes more memory than there are bytes.

use core::fmt;

/// Puts values behind each other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn number(&mut self, number: u64) {
        let mut left = number;
        loop {
            let [low, ..] = left.to_le_bytes();
            left >>= 7;
            if left == 0 {
                return self.byte(low & 0x7f);
            }
            self.byte(low | 0x80);
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// One more than the number, or 0 for [`NONE`](super::log::NONE).
    pub(super) fn reference(&mut self, number: u32) {
        self.number(u64::from(number.wrapping_add(1)));
    }

    /// All 64 bits, for what has no small values.
    pub(super) fn word(&mut self, word: u64) {
        self.bytes.extend(word.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend(text.as_bytes());
    }
}

/// Takes them off again.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    whole: usize,
    left: &'a [u8],
}

/// What is wrong with bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            whole: bytes.len(),
            left: bytes,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// What is wrong here.
    pub(super) const fn wrong(&self, what: &'static str) -> Wrong {
        Wrong {
            what,
            at: self.whole - self.left.len(),
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let Some((taken, left)) = self.left.split_at_checked(len) else {
            return Err(self.wrong("more is announced than there is"));
        };
        self.left = left;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many bytes as were taken"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Wrong> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Wrong> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number of more than 64 bits"))
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> Result<usize, Wrong> {
        let number = self.number()?;
        let number = usize::try_from(number).ok().filter(|&number| number < end);
        number.ok_or_else(|| self.wrong("a number that is too great"))
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Wrong> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.wrong("a number of more than 32 bits"))
    }

    /// A number of 16 bits.
    pub(super) fn short(&mut self) -> Result<u16, Wrong> {
        let number = self.number()?;
        u16::try_from(number).map_err(|_| self.wrong("a number of more than 16 bits"))
    }

    /// A reference to one of so many, or to none.
    pub(super) fn reference(&mut self, end: usize) -> Result<u32, Wrong> {
        let number = self.below(end.saturating_add(1))?;
        Ok(u32::try_from(number).unwrap_or_default().wrapping_sub(1))
    }

    pub(super) fn word(&mut self) -> Result<u64, Wrong> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Wrong> {
        let len = self.number()?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.take(len)?;
        core::str::from_utf8(bytes).map_err(|_| self.wrong("a text that is not UTF-8"))
    }

    /// As many as are announced. There are no more than bytes.
    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let count = self.below(self.left.len().saturating_add(1))?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut writer = Writer::default();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX];
        for number in numbers {
            writer.number(number);
        }
        let mut reader = Reader::new(&writer.bytes);
        for number in numbers {
            assert_eq!(reader.number(), Ok(number));
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn numbers_that_are_too_long_are_refused() {
        let long = [0xff; 9];
        for last in [2_u8, 0x81] {
            let bytes: Vec<u8> = long.into_iter().chain([last, 0]).collect();
            let error = Reader::new(&bytes).number().unwrap_err();
            assert_eq!(error.what, "a number of more than 64 bits");
        }
        assert!(Reader::new(&long).number().is_err());
    }

    #[test]
    fn a_list_that_announces_more_than_there_is_takes_no_memory() {
        let mut writer = Writer::default();
        writer.number(u64::MAX);
        let mut reader = Reader::new(&writer.bytes);
        assert!(reader.list(|reader| reader.byte()).is_err());
    }
}
