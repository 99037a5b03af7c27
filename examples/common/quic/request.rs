//! The protocol inside the streams: a client asks for a number of bytes, the server sends them.
//!
//! A request is the number, 8 bytes in big-endian order, and the end of the stream's one direction.
//! The response is so many bytes of [`content`](super::content), and the end of the other direction.

/// The longest response, in bytes.
pub const BYTES_MAX: u64 = 1 << 40;

/// A connection is closed since all is done, or its end shuts down.
pub const DONE: u32 = 0;

/// A stream is reset since its request was none.
pub const MALFORMED: u32 = 1;

/// A stream is reset since it asked for more than [`BYTES_MAX`].
pub const TOO_MANY: u32 = 2;

/// The request for so many bytes.
pub const fn encode(bytes: u64) -> [u8; 8] {
    bytes.to_be_bytes()
}

/// A request that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partial {
    read: [u8; 8],
    len: usize,
}

impl Partial {
    /// More of it came. `Err` with the code to reset the stream with, if it is none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), u32> {
        let end = self.len + bytes.len();
        let room = self.read.get_mut(self.len..end).ok_or(MALFORMED)?;
        room.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// It has ended: the bytes that are asked for.
    pub const fn finish(&self) -> Result<u64, u32> {
        if self.len < self.read.len() {
            return Err(MALFORMED);
        }
        let bytes = u64::from_be_bytes(self.read);
        if bytes > BYTES_MAX {
            return Err(TOO_MANY);
        }
        Ok(bytes)
    }
}
