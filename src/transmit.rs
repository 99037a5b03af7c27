//! Memory that a driver lends to a task for the datagram it is about to give out.

use crate::buffer::Buffer;

/// Lent memory for one output: part of a GSO run, of an io_uring buffer, of a frame.
///
/// A task that makes its datagrams on the fly writes them here and so spares a buffer and a
/// copy. What was written counts only if the [`Payload`] that writing gave goes out with the same
/// call of [`Task::poll_output`](crate::Task::poll_output).
#[derive(Debug)]
pub struct TransmitBuffer<'a> {
    memory: Memory<'a>,
    written: Option<usize>,
}

#[derive(Debug)]
enum Memory<'a> {
    Whole(&'a mut [u8]),
    /// Made as it is needed, up to `max` bytes.
    Growing {
        made: &'a mut Vec<u8>,
        max: usize,
    },
}

impl<'a> TransmitBuffer<'a> {
    /// Lends `memory`. For drivers.
    #[must_use]
    #[inline]
    pub const fn new(memory: &'a mut [u8]) -> Self {
        Self {
            memory: Memory::Whole(memory),
            written: None,
        }
    }

    /// Lends `max` bytes, of which there are only those that were ever asked for: `made` is made
    /// longer when a task writes more. For drivers that are many, most of which lend in vain.
    #[must_use]
    #[inline]
    pub const fn growing(made: &'a mut Vec<u8>, max: usize) -> Self {
        Self {
            memory: Memory::Growing { made, max },
            written: None,
        }
    }

    /// How many bytes can be written.
    #[must_use]
    #[inline]
    pub const fn capacity(&self) -> usize {
        match &self.memory {
            Memory::Whole(memory) => memory.len(),
            Memory::Growing { max, .. } => *max,
        }
    }

    /// The first `len` bytes, if there can be as many.
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        match &mut self.memory {
            Memory::Whole(memory) => memory.get_mut(..len),
            Memory::Growing { made, max } => {
                if len > *max {
                    return None;
                }
                if made.len() < len {
                    made.resize(len, 0);
                }
                made.get_mut(..len)
            }
        }
    }

    /// Writes a payload. What was written before is gone.
    ///
    /// # Errors
    ///
    /// [`PayloadTooLong`] if there is not room for all of `bytes`. Nothing is written then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Payload, PayloadTooLong> {
        let max = self.capacity();
        let Some(room) = self.room(bytes.len()) else {
            return Err(PayloadTooLong {
                len: bytes.len(),
                max,
            });
        };
        room.copy_from_slice(bytes);
        self.written = Some(bytes.len());
        Ok(Payload(Inner::Lent(bytes.len())))
    }

    /// Has `fill` write a payload and say how many bytes it has. What was written before is gone.
    ///
    /// # Panics
    ///
    /// If `fill` claims more bytes than there are.
    pub fn write_with(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Payload {
        let capacity = self.capacity();
        let len = fill(self.room(capacity).unwrap_or_default());
        assert!(len <= capacity, "wrote {len} bytes into {capacity}");
        self.written = Some(len);
        Payload(Inner::Lent(len))
    }

    /// The length of what was written last, if anything was.
    #[inline]
    pub(crate) const fn written(&self) -> Option<usize> {
        self.written
    }
}

/// The payload did not fit the lent memory. Send a [`Buffer`] instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("payload of {len} bytes, lent memory takes {max}")]
pub struct PayloadTooLong {
    /// Length of the payload in bytes.
    pub len: usize,
    /// What the memory takes, in bytes.
    pub max: usize,
}

/// The bytes of a [`Transmit`](crate::Transmit): a buffer, or what was just written into lent
/// memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    Owned(Buffer),
    Lent(usize),
}

impl Payload {
    /// A buffer that goes out as it is.
    #[must_use]
    #[inline]
    pub const fn owned(buffer: Buffer) -> Self {
        Self(Inner::Owned(buffer))
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Owned(buffer) => buffer.len(),
            Inner::Lent(len) => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer, or the length of what is in the lent memory. For drivers.
    ///
    /// # Errors
    ///
    /// The length in bytes, if the payload is in the memory that was lent for this output.
    #[inline]
    pub fn into_buffer(self) -> Result<Buffer, usize> {
        match self.0 {
            Inner::Owned(buffer) => Ok(buffer),
            Inner::Lent(len) => Err(len),
        }
    }

    /// The length of what is in the lent memory, if that is where the payload is.
    #[inline]
    pub(crate) const fn lent(&self) -> Option<usize> {
        match self.0 {
            Inner::Owned(_) => None,
            Inner::Lent(len) => Some(len),
        }
    }
}

impl Default for Payload {
    /// No bytes.
    #[inline]
    fn default() -> Self {
        Self::owned(Buffer::empty())
    }
}

impl From<Buffer> for Payload {
    #[inline]
    fn from(buffer: Buffer) -> Self {
        Self::owned(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_beyond_the_lent_memory_is_refused_whole() {
        let mut memory = [7; 4];
        let mut transmit = TransmitBuffer::new(&mut memory);
        assert_eq!(
            transmit.write(b"12345"),
            Err(PayloadTooLong { len: 5, max: 4 })
        );
        assert_eq!(transmit.written(), None);
        assert_eq!(transmit.write(b"123").unwrap().len(), 3);
        assert_eq!(memory, *b"123\x07");
    }

    #[test]
    fn memory_that_grows_is_as_good_as_memory_that_is_there() {
        let mut made = Vec::new();
        let mut transmit = TransmitBuffer::growing(&mut made, 8);
        assert_eq!(transmit.capacity(), 8);
        assert_eq!(transmit.write(b"123").unwrap().len(), 3);
        assert_eq!(
            transmit.write(b"123456789"),
            Err(PayloadTooLong { len: 9, max: 8 })
        );
        assert_eq!(transmit.written(), Some(3));
        assert_eq!(made, b"123");
        let mut transmit = TransmitBuffer::growing(&mut made, 8);
        let payload = transmit.write_with(|memory| {
            memory[7] = b'8';
            memory.len()
        });
        assert_eq!((payload.len(), transmit.written()), (8, Some(8)));
        assert_eq!(made, b"123\0\0\0\08");
    }
}
