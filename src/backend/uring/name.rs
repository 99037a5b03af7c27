//! What an operation is called, so that its completions find their way.

use crate::id::ResourceId;

/// What kind of operation it is, whose, and which of its owner's.
///
/// The number is another for each operation of a slot: a completion that is still under way when
/// its slot has another owner finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) slot: u32,
    pub(super) number: u32,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Waits until a descriptor is ready.
    Poll,
    /// Waits until the waker is used.
    Wake,
    /// Receives datagrams or bytes.
    Receive,
    /// Takes connections in.
    Accept,
    /// Sends a message.
    Send,
    /// Ends another one.
    Cancel,
}

impl Name {
    /// An operation of what is in the slot of `id`.
    pub(super) const fn of(kind: Kind, id: ResourceId, number: u32) -> Self {
        Self {
            kind,
            slot: id.key().slot,
            number,
        }
    }

    /// Slots that can be told apart.
    pub(super) const SLOTS_MAX: u32 = 1 << SLOT_BITS;

    pub(super) const fn encode(self) -> u64 {
        let kind = self.kind as u64;
        kind << (SLOT_BITS + 32) | (self.slot as u64) << 32 | self.number as u64
    }

    pub(super) const fn is_cancel(name: u64) -> bool {
        name >> (SLOT_BITS + 32) == Kind::Cancel as u64
    }

    pub(super) const fn decode(name: u64) -> Option<Self> {
        let kind = match name >> (SLOT_BITS + 32) {
            0 => Kind::Poll,
            1 => Kind::Wake,
            2 => Kind::Receive,
            3 => Kind::Accept,
            4 => Kind::Send,
            5 => Kind::Cancel,
            _ => return None,
        };
        let (slot, number) = split(name);
        Some(Self { kind, slot, number })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
const fn split(name: u64) -> (u32, u32) {
    let slot = (name >> 32) as u32 & (Name::SLOTS_MAX - 1);
    (slot, name as u32)
}

const SLOT_BITS: u32 = 28;

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 6] = [
        Kind::Poll,
        Kind::Wake,
        Kind::Receive,
        Kind::Accept,
        Kind::Send,
        Kind::Cancel,
    ];

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for kind in KINDS {
            for slot in [0, 1, Name::SLOTS_MAX - 1] {
                for number in [0, 1, u32::MAX] {
                    let name = Name { kind, slot, number };
                    assert_eq!(Name::decode(name.encode()), Some(name));
                }
            }
        }
    }
}
