//! One event of a trace, and how it reads.

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use stillpoint::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::counters::DropCause;
use crate::node::NodeId;
use crate::tcp::Kind;

/// One entry of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEvent {
    /// When.
    pub at: Timestamp,
    /// At which node.
    pub node: NodeId,
    /// At which of its workers.
    pub worker: u16,
    /// What.
    pub kind: TraceKind,
    /// Slot and generation of the task or socket it is about, as the second of the words that
    /// `TaskId::to_words` and `SocketId::to_words` give; 0 if about neither.
    pub id: u64,
    /// More about it; the kind says what.
    pub words: [u64; 3],
}

/// What a [`TraceEvent`] is about. Where it says `peer`, that is its IPv4 address times
/// 2^32 plus its port, or a hash in place of an IPv6 address, plus 2^16; `size` is bytes times 2^32 plus datagrams; `text` is the hash of a
/// `Debug` text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum TraceKind {
    /// Input: a deadline has passed.
    Timeout = 1,
    /// Input: datagrams. Words: peer, size, and, in a recorded trace, the hash of the payload.
    Datagrams,
    /// Input: another event of the network. Words: text.
    Network,
    /// Input: make a task. Words: text.
    Spawn,
    /// Input: to a task. Words: text, 0, group.
    Command,
    /// Input: finish.
    Shutdown,
    /// Input: remove all tasks.
    Abort,
    /// Output: a socket. Words: text.
    Open,
    /// Output: a socket no more.
    Close,
    /// Output: a report. Words: text, 0, group.
    Report,
    /// Output: a task has started. Words: slot and generation of its parent, 0, group.
    Started,
    /// Output: a task could not be made. Words: text.
    SpawnFailed,
    /// Output: a task is no more. Words: text, 0, group.
    Ended,
    /// Output: an input was for a task that is no more. Words: 0, 0, group.
    Stale,
    /// Output: a task could not be told of its mistake. Words: text, 0, group.
    Untold,
    /// Verdict on datagrams that a task sent: they travel. Words: peer, size, when they arrive.
    Carried,
    /// Verdict: a copy of a datagram travels too. Words: peer, size, when it arrives.
    Duplicated,
    /// Verdict: dropped. Words: peer, size, number of the cause.
    Dropped,
    /// Output: a device. Words: text.
    OpenDevice,
    /// Input: a packet or frame out of a device. Words: whether it is still to be cut or summed,
    /// bytes, and, in a recorded trace, the hash of the payload.
    Packet,
    /// Verdict on a packet that a task gave to its device: it travels. Words: number of the device
    /// it goes to, bytes, when it arrives.
    PacketCarried,
    /// Verdict: a copy of a packet travels too. Words as above.
    PacketCopied,
    /// Verdict: a packet is dropped. Words: number of the device it went to, bytes, number of the
    /// cause.
    PacketDropped,
    /// A host has taken a packet in. Words: number of its device, bytes.
    PacketTaken,
    /// Output: a socket's membership in a group begins or ends. Words: text.
    Group,
    /// Input: bytes of a stream. Words: how many, 0, and, in a recorded trace, their hash.
    Received,
    /// Output: bytes to a stream. Words: how many.
    Write,
    /// Output: another command about a stream. Words: text.
    Stream,
    /// Verdict on a segment of simulated TCP: it travels. Words: peer, what it is, when it arrives.
    Segment,
    /// Verdict: a segment is lost. Words: peer, what it is, number of the cause.
    SegmentLost,
    /// Output: an item for another worker; it travels. Words: text, the worker, when it arrives.
    BusCarried,
    /// Output: an item for a worker that is no more. Words: text, the worker.
    BusLost,
    /// Input: an item from another worker. Words: text, the worker.
    Bus,
    /// Input: there is room in the queue to another worker. Words: 0, the worker.
    BusRoom,
    /// Input: another worker has been added. Words: 0, the worker.
    PeerJoined,
    /// Input: another worker is no more. Words: 0, the worker.
    PeerLeft,
    /// Input: from the controller. Words: text.
    Control,
    /// Output: an answer to the controller. Words: text.
    Answer,
    /// A worker has been added.
    WorkerStarted,
    /// A worker is no more. Words: tasks, inputs and messages that were lost with it.
    WorkerStopped,
    /// A worker stands still. Words: until when.
    Stalled,
    /// Verdict: held back in front of its link, which is clogged. Words: peer, or 0; size, or what
    /// the segment is.
    Held,
    /// A fault happens, or all are healed. Words: text.
    Fault,
    /// What travels next is corrupted. Words: peer, or 0; size; the first bit that is flipped.
    Corrupted,
    /// What travels next is cut short. Words: peer, or 0; size that is left.
    Truncated,
    /// What travels next is marked as having met congestion. Words: peer, or 0; size.
    Marked,
    /// It waits in the queue in front of its link. Words: peer, or 0; size, or what the segment is.
    Queued,
    /// A gateway sends datagrams on. Words: peer that they come from, peer that they go to, size;
    /// both as they are from here on.
    Forwarded,
    /// A gateway sends a segment on. Words: peer that it comes from, peer that it goes to, what it
    /// is.
    SegmentForwarded,
    /// The addresses of a node, or the network that it is in, have changed. Words: text.
    Moved,
}

impl TraceKind {
    pub(crate) const ALL: [Self; 50] = [
        Self::Timeout,
        Self::Datagrams,
        Self::Network,
        Self::Spawn,
        Self::Command,
        Self::Shutdown,
        Self::Abort,
        Self::Open,
        Self::Close,
        Self::Report,
        Self::Started,
        Self::SpawnFailed,
        Self::Ended,
        Self::Stale,
        Self::Untold,
        Self::Carried,
        Self::Duplicated,
        Self::Dropped,
        Self::OpenDevice,
        Self::Packet,
        Self::PacketCarried,
        Self::PacketCopied,
        Self::PacketDropped,
        Self::PacketTaken,
        Self::Group,
        Self::Received,
        Self::Write,
        Self::Stream,
        Self::Segment,
        Self::SegmentLost,
        Self::BusCarried,
        Self::BusLost,
        Self::Bus,
        Self::BusRoom,
        Self::PeerJoined,
        Self::PeerLeft,
        Self::Control,
        Self::Answer,
        Self::WorkerStarted,
        Self::WorkerStopped,
        Self::Stalled,
        Self::Held,
        Self::Fault,
        Self::Corrupted,
        Self::Truncated,
        Self::Marked,
        Self::Queued,
        Self::Forwarded,
        Self::SegmentForwarded,
        Self::Moved,
    ];
}

impl TraceEvent {
    /// The event as text, with what `text` knows of the hash of a `Debug` text.
    pub(crate) fn write(
        &self,
        f: &mut impl Write,
        text: impl FnOnce(u64) -> Option<String>,
    ) -> fmt::Result {
        let [first, second, third] = self.words;
        write!(f, "{:?}", self.kind)?;
        self.write_name(f)?;
        match self.kind {
            TraceKind::Datagrams => write!(f, " from {}, {}", Peer(first), Size(second)),
            TraceKind::Carried | TraceKind::Duplicated => {
                let arrival = Timestamp::from_nanos(third);
                write!(
                    f,
                    " to {}, {}, arrives {arrival}",
                    Peer(first),
                    Size(second)
                )
            }
            TraceKind::Dropped => {
                write!(f, " to {}, {}: {}", Peer(first), Size(second), Cause(third))
            }
            TraceKind::Packet
            | TraceKind::PacketCarried
            | TraceKind::PacketCopied
            | TraceKind::PacketTaken
            | TraceKind::PacketDropped => self.write_packet(f),
            TraceKind::Received | TraceKind::Write => write!(f, ", {first} B"),
            TraceKind::Segment
            | TraceKind::SegmentLost
            | TraceKind::SegmentForwarded
            | TraceKind::Forwarded => self.write_way(f),
            TraceKind::Timeout
            | TraceKind::Shutdown
            | TraceKind::Abort
            | TraceKind::Started
            | TraceKind::Stale
            | TraceKind::BusRoom
            | TraceKind::PeerJoined
            | TraceKind::PeerLeft
            | TraceKind::WorkerStarted
            | TraceKind::Held
            | TraceKind::Queued
            | TraceKind::Corrupted
            | TraceKind::Truncated
            | TraceKind::Marked
            | TraceKind::Close => Ok(()),
            TraceKind::BusCarried => {
                write_text(f, first, text)?;
                write!(f, ", arrives {}", Timestamp::from_nanos(third))
            }
            TraceKind::WorkerStopped => write!(
                f,
                " with {first} task(s); {second} input(s) and {third} message(s) are lost"
            ),
            TraceKind::Stalled => write!(f, " until {}", Timestamp::from_nanos(first)),
            TraceKind::Network
            | TraceKind::Bus
            | TraceKind::Fault
            | TraceKind::BusLost
            | TraceKind::Spawn
            | TraceKind::Command
            | TraceKind::Open
            | TraceKind::OpenDevice
            | TraceKind::Report
            | TraceKind::SpawnFailed
            | TraceKind::Ended
            | TraceKind::Group
            | TraceKind::Stream
            | TraceKind::Control
            | TraceKind::Answer
            | TraceKind::Moved
            | TraceKind::Untold => write_text(f, first, text),
        }
    }
}

impl TraceEvent {
    /// The id of what it is about.
    fn write_name(&self, f: &mut impl Write) -> fmt::Result {
        let group = self.words[2];
        let (worker, slot, generation) = (self.worker, self.id >> 32, low(self.id));
        match self.kind {
            TraceKind::Timeout
            | TraceKind::Shutdown
            | TraceKind::Abort
            | TraceKind::Spawn
            | TraceKind::SpawnFailed
            | TraceKind::PacketDropped
            | TraceKind::PacketTaken
            | TraceKind::Control
            | TraceKind::Answer
            | TraceKind::WorkerStarted
            | TraceKind::WorkerStopped
            | TraceKind::Fault
            | TraceKind::Stalled
            | TraceKind::Forwarded
            | TraceKind::SegmentForwarded
            | TraceKind::Moved => Ok(()),
            TraceKind::Held
            | TraceKind::Queued
            | TraceKind::Corrupted
            | TraceKind::Truncated
            | TraceKind::Marked => write!(f, " #{worker}/{slot}.{generation}"),
            TraceKind::BusCarried | TraceKind::BusLost | TraceKind::BusRoom => {
                write!(f, " to worker {}", self.words[1])
            }
            TraceKind::Bus => write!(f, " from worker {}", self.words[1]),
            TraceKind::PeerJoined | TraceKind::PeerLeft => {
                write!(f, " worker {}", self.words[1])
            }
            TraceKind::Datagrams
            | TraceKind::Network
            | TraceKind::Open
            | TraceKind::Close
            | TraceKind::Carried
            | TraceKind::Duplicated
            | TraceKind::Dropped
            | TraceKind::Group => write!(f, " socket {worker}/{slot}.{generation}"),
            TraceKind::OpenDevice
            | TraceKind::Packet
            | TraceKind::PacketCarried
            | TraceKind::PacketCopied => write!(f, " device {worker}/{slot}.{generation}"),
            TraceKind::Received
            | TraceKind::Write
            | TraceKind::Stream
            | TraceKind::Segment
            | TraceKind::SegmentLost => write!(f, " stream {worker}/{slot}.{generation}"),
            TraceKind::Command
            | TraceKind::Report
            | TraceKind::Started
            | TraceKind::Ended
            | TraceKind::Stale
            | TraceKind::Untold => write!(f, " task {worker}/{group}/{slot}.{generation}"),
        }
    }

    /// What a segment is, or whose datagrams go on.
    fn write_way(&self, f: &mut impl Write) -> fmt::Result {
        let [first, second, third] = self.words;
        let (one, other) = (Peer(first), Peer(second));
        if matches!(self.kind, TraceKind::Forwarded) {
            return write!(f, " from {one} to {other}, {}", Size(third));
        }
        if matches!(self.kind, TraceKind::SegmentForwarded) {
            return write!(f, " from {one} to {other}, {}", SegmentWord(third));
        }
        write!(f, " to {one}, {}", SegmentWord(second))?;
        if matches!(self.kind, TraceKind::Segment) {
            write!(f, ", arrives {}", Timestamp::from_nanos(third))
        } else {
            write!(f, ": {}", Cause(third))
        }
    }

    fn write_packet(&self, f: &mut impl Write) -> fmt::Result {
        let [first, bytes, third] = self.words;
        if matches!(self.kind, TraceKind::PacketDropped) {
            write!(f, ", {bytes} B: {}", Cause(third))
        } else if matches!(self.kind, TraceKind::PacketTaken) {
            write!(f, " by the host of device #{first}, {bytes} B")
        } else if matches!(self.kind, TraceKind::Packet) {
            write!(f, ", {bytes} B")
        } else {
            let arrival = Timestamp::from_nanos(third);
            write!(f, " to device #{first}, {bytes} B, arrives {arrival}")
        }
    }
}

/// A `Debug` text, or its hash if nobody knows the text.
fn write_text(
    f: &mut impl Write,
    hash: u64,
    text: impl FnOnce(u64) -> Option<String>,
) -> fmt::Result {
    match text(hash) {
        Some(text) => write!(f, ": {text}"),
        None => write!(f, " #{hash:016x}"),
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |_| None)
    }
}

struct Cause(u64);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes = DropCause::ALL.iter();
        let cause = causes.find(|&&cause| cause as u64 == self.0);
        cause.map_or(Ok(()), |cause| write!(f, "{cause:?}"))
    }
}

struct Peer(u64);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0 & 0xffff;
        let address = low(self.0 >> 32);
        if self.0 & IPV6 == 0 {
            write!(f, "{}:{port}", Ipv4Addr::from_bits(address))
        } else {
            write!(f, "[#{address:08x}]:{port}")
        }
    }
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B in {} datagram(s)", self.0 >> 32, low(self.0))
    }
}

/// What a segment is, as one word: its kind times 2^56, its length times 2^40, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentWord(pub(crate) u64);

impl SegmentWord {
    pub(crate) const fn new(kind: Kind, len: usize, position: u64) -> Self {
        let (len, position) = (len as u64 & 0xffff, position & POSITION);
        Self((kind as u64) << 56 | len << 40 | position)
    }
}

impl fmt::Display for SegmentWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0 >> 56;
        if let Some(kind) = Kind::ALL.iter().find(|&&kind| kind as u64 == number) {
            write!(f, "{kind:?} ")?;
        }
        write!(f, "{} B from {}", self.0 >> 40 & 0xffff, self.0 & POSITION)
    }
}

/// What is left of the position in a word.
const POSITION: u64 = (1 << 40) - 1;

/// Bytes and datagrams as one word.
pub(crate) const fn size(bytes: usize, datagrams: u64) -> u64 {
    (bytes as u64) << 32 | datagrams
}

/// An address and a port as one word.
#[inline(always)]
pub(crate) fn peer(peer: SocketAddr) -> u64 {
    let address = match peer.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()) << 32,
        IpAddr::V6(ip) => xxh3_64(&ip.octets()) & !0xffff_ffff | IPV6,
    };
    address | u64::from(peer.port())
}

pub(super) const fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

/// Marks the word of an IPv6 peer.
const IPV6: u64 = 1 << 16;
