//! Datagrams that the kernel receives into memory of its choice, each behind what it says of it:
//! how long each part is, the peer's address, control messages.

use super::address::Name;
use super::control::{ReceiveControl, read_info};
use super::message::empty_header;
use super::{Received, Whole};

/// What the kernel is asked to say of each datagram: how much room the parts have.
pub(crate) struct MessageTemplate(Box<libc::msghdr>);

impl MessageTemplate {
    /// Bytes in front of each datagram.
    pub(crate) const HEAD_BYTES: usize = LENGTHS_BYTES + Name::LEN as usize + CONTROL_BYTES;

    pub(crate) fn new() -> Self {
        let mut header = empty_header().msg_hdr;
        header.msg_namelen = Name::LEN;
        header.msg_controllen = CONTROL_BYTES as _;
        Self(Box::new(header))
    }

    /// It stays there as long as the template lives. It points at nothing itself.
    pub(crate) fn as_ptr(&self) -> *const libc::msghdr {
        &raw const *self.0
    }

    /// What was received, from `memory` that was received into. The datagram begins behind
    /// [`MessageTemplate::HEAD_BYTES`]. `None` if that is not what the kernel writes.
    pub(crate) fn parse(memory: &[u8]) -> Option<Received> {
        // `io_uring_recvmsg_out`: the lengths of name, control messages and datagram as they would
        // be with enough room, and flags.
        let number = |index: usize| {
            let bytes = memory.get(4 * index..4 * index + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (name_len, control_len, flags) = (number(0)?, number(1)? as usize, number(3)?);
        let (name, rest) = memory
            .get(LENGTHS_BYTES..)?
            .split_at_checked(Name::LEN as usize)?;
        let (control, datagram) = rest.split_at_checked(CONTROL_BYTES)?;
        let cut = flags & libc::MSG_TRUNC.cast_unsigned() != 0;
        Some(Received {
            len: datagram.len(),
            peer: Name::from_bytes(name).decode(name_len.min(Name::LEN)),
            info: read_info(&control[..control_len.min(CONTROL_BYTES)]),
            whole: if cut { Whole::CutShort } else { Whole::Yes },
        })
    }
}

const LENGTHS_BYTES: usize = 16;
const CONTROL_BYTES: usize = size_of::<ReceiveControl>();
