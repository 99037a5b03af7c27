//! Names of the things a worker holds.
//!
//! An id says on which worker its thing lives, in which slot, and under which generation. It is
//! `Copy`, may be kept for ever and sent anywhere: once its thing is gone it names nothing, and
//! whoever uses it is told so (law 4).

use core::fmt;

use crate::slots::Key;

/// One task: worker, group, slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub(crate) worker: u16,
    pub(crate) group: u16,
    pub(crate) key: Key,
}

impl TaskId {
    /// Index of the worker that holds the task.
    #[must_use]
    #[inline]
    pub const fn worker(self) -> u16 {
        self.worker
    }

    /// Index of the task's group within its worker, in the order in which groups came to be.
    #[must_use]
    #[inline]
    pub const fn group(self) -> u16 {
        self.group
    }

    /// Slot and generation within the group.
    #[must_use]
    #[inline]
    pub const fn key(self) -> Key {
        self.key
    }

    /// All of the id in two words, for traces.
    #[must_use]
    #[inline]
    pub const fn to_words(self) -> [u64; 2] {
        [
            (self.worker as u64) << 16 | self.group as u64,
            key_word(self.key),
        ]
    }

    /// The id that a trace has in these words.
    #[must_use]
    pub const fn from_words(words: [u64; 2]) -> Self {
        let [head, key] = words;
        Self {
            worker: (head >> 16 & 0xffff) as u16,
            group: (head & 0xffff) as u16,
            key: Key {
                slot: (key >> 32) as u32,
                generation: (key & 0xffff_ffff) as u32,
            },
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}/{}/{:?}", self.worker, self.group, self.key)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One request over the bus: the worker of who asks, slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub(crate) worker: u16,
    pub(crate) key: Key,
}

impl RequestId {
    /// The least of all.
    pub(crate) const FIRST: Self = Self {
        worker: 0,
        key: Key::FIRST,
    };

    /// The greatest of all.
    pub(crate) const LAST: Self = Self {
        worker: u16::MAX,
        key: Key::LAST,
    };
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}/{:?}", self.worker, self.key)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Ids of what a worker's tasks may own. All share one space of slots, so that none is equal to
/// another of its worker.
macro_rules! resource_ids {
    ($($(#[$doc:meta])* $name:ident($noun:literal) as $variant:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name {
                pub(crate) worker: u16,
                pub(crate) key: Key,
            }

            impl $name {
                /// Index of the worker that holds it.
                #[must_use]
                #[inline]
                pub const fn worker(self) -> u16 {
                    self.worker
                }

                /// Slot and generation within the worker.
                #[must_use]
                #[inline]
                pub const fn key(self) -> Key {
                    self.key
                }

                /// All of the id in two words, for traces.
                #[must_use]
                #[inline]
                pub const fn to_words(self) -> [u64; 2] {
                    [self.worker as u64, key_word(self.key)]
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($noun, " {}/{:?}"), self.worker, self.key)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }

            impl From<$name> for ResourceId {
                #[inline]
                fn from(id: $name) -> Self {
                    Self::$variant(id)
                }
            }
        )*

        /// Something that reaches outside and belongs to one task.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ResourceId {
            $($(#[$doc])* $variant($name),)*
        }

        impl ResourceId {
            /// Index of the worker that holds it.
            #[must_use]
            #[inline]
            pub const fn worker(self) -> u16 {
                match self {
                    $(Self::$variant(id) => id.worker,)*
                }
            }

            /// Slot and generation within the worker.
            #[must_use]
            #[inline]
            pub const fn key(self) -> Key {
                match self {
                    $(Self::$variant(id) => id.key,)*
                }
            }

            /// All of the id in two words, for traces.
            #[must_use]
            #[inline]
            pub const fn to_words(self) -> [u64; 2] {
                [self.worker() as u64, key_word(self.key())]
            }
        }

        impl fmt::Display for ResourceId {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(id) => fmt::Display::fmt(id, f),)*
                }
            }
        }
    };
}

resource_ids! {
    /// One UDP socket: worker, slot and generation.
    SocketId("socket") as Socket,
    /// One TCP listener: worker, slot and generation.
    ListenerId("listener") as Listener,
    /// One TCP connection: worker, slot and generation.
    StreamId("stream") as Stream,
    /// One TUN or TAP device, or one queue of it: worker, slot and generation.
    DeviceId("device") as Device,
}

impl SocketId {
    /// The same, put together anew from words: moved as a whole beside something smaller, it would be
    /// read in other pieces than it was written in, and so late.
    #[inline(always)]
    pub(crate) const fn by_parts(self) -> Self {
        let word = key_word(self.key);
        #[expect(clippy::cast_possible_truncation, reason = "a half at a time")]
        let (slot, generation) = ((word >> 32) as u32, word as u32);
        Self {
            worker: self.worker,
            key: Key { slot, generation },
        }
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn key_word(key: Key) -> u64 {
    (key.slot as u64) << 32 | key.generation as u64
}
