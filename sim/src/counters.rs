//! What became of every datagram, segment and byte.

use core::fmt;

use stillpoint::{App, BusCounters, StreamCounters, Worker};

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// The link lost it.
    Loss,
    /// No node has the address it was sent to.
    NoRoute,
    /// Nothing listens at the port it was sent to.
    NoSocket,
    /// The socket it was sent from is not open.
    Closed,
    /// The node refused to send it; the task was told why, by `SendFailed` or `PacketsFailed`.
    Unsendable,
    /// A packet whose headers contradict themselves.
    Malformed,
    /// It is longer than its link takes, or a packet than the receiving device's MTU.
    TooLong,
    /// The receiving host has taken in as many packets as it keeps.
    QueueFull,
    /// It was sent to a group that has no member in the network.
    NoMember,
    /// It arrived at the same instant as more than the socket's receive buffer holds.
    ReceiveBufferFull,
    /// The way it was to take is cut: see [`World::cut`](crate::World::cut).
    Partition,
    /// More waits in front of its link than there is room for.
    LinkQueueFull,
    /// The node that it was sent to has crashed.
    NodeDown,
    /// Its link was down: see [`Link::flapping`](crate::Link::flapping).
    LinkDown,
    /// CoDel dropped it from the queue in front of its link, since all had waited for too long.
    QueueDelay,
    /// A segment of TCP whose checksum did not fit what arrived of it.
    Checksum,
    /// A firewall did not let it pass, or a NAT that has seen nothing go to its sender.
    Filtered,
    /// It came to a port of a NAT that has no mapping.
    NoMapping,
    /// A NAT had no port left for it.
    MappingsFull,
    /// It had passed as many gateways as it may.
    HopLimit,
    /// A packet of neither UDP nor TCP, or a part of one, at a gateway that has to know its ports.
    Untranslatable,
}

impl DropCause {
    /// All causes.
    pub const ALL: [Self; 21] = [
        Self::Loss,
        Self::NoRoute,
        Self::NoSocket,
        Self::Closed,
        Self::Unsendable,
        Self::Malformed,
        Self::TooLong,
        Self::QueueFull,
        Self::NoMember,
        Self::ReceiveBufferFull,
        Self::Partition,
        Self::LinkQueueFull,
        Self::NodeDown,
        Self::LinkDown,
        Self::QueueDelay,
        Self::Checksum,
        Self::Filtered,
        Self::NoMapping,
        Self::MappingsFull,
        Self::HopLimit,
        Self::Untranslatable,
    ];
}

/// What became of the datagrams of a world, and of what its streams carried. Always
/// `sent + duplicated + copied == delivered + dropped + in_flight`, and what [`SegmentCounters`] and
/// [`StreamBytes`] say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams that tasks have sent.
    pub sent: u64,
    /// Copies that links have made of them.
    pub duplicated: u64,
    /// Copies made of what goes to a group or a broadcast address: one for each receiver but the
    /// first.
    pub copied: u64,
    /// Datagrams, copies of them, and packets of devices that links have corrupted. They travel on.
    pub corrupted: u64,
    /// The same for those that links have cut short.
    pub truncated: u64,
    /// The same for those that queues have marked as having met congestion (ECN).
    pub marked: u64,
    /// Datagrams given to tasks.
    pub delivered: u64,
    /// Datagrams dropped.
    pub dropped: Dropped,
    /// Datagrams on their way.
    pub in_flight: u64,
    /// What became of the packets of devices.
    pub packets: PacketCounters,
    /// What passed through the streams of all nodes.
    pub streams: StreamCounters,
    /// Ends of connections that were given up because of time: the other has not answered, or not
    /// taken what it was sent. Those count, too, whose task had closed before, and which nobody is
    /// told of.
    pub streams_given_up: u64,
    /// What became of the bytes that were written to streams.
    pub stream_bytes: StreamBytes,
    /// What became of the segments that carried them.
    pub segments: SegmentCounters,
    /// What became of the messages of all workers, those that are no more included. Always
    /// `sent == received + lost`, and [`Counters::bus_waiting`].
    pub bus: BusCounters,
    /// Messages in queues: between workers, and within.
    pub bus_waiting: u64,
}

/// What became of the packets and frames of all devices. Always
/// `given + injected + copied == delivered + taken + dropped + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PacketCounters {
    /// Packets that tasks have given to their devices.
    pub given: u64,
    /// Packets that the scenario has sent out of devices.
    pub injected: u64,
    /// How many there are more because packets were cut, copied by links, or sent to several.
    pub copied: u64,
    /// Packets given to tasks.
    pub delivered: u64,
    /// Packets that hosts have taken in.
    pub taken: u64,
    /// Packets dropped.
    pub dropped: Dropped,
    /// Packets on their way.
    pub in_flight: u64,
}

/// What became of every byte that was written to a stream. With [`Counters::streams`], always
/// `written == bytes_refused + waiting + bytes_unsent + bytes_out` and
/// `bytes_out == bytes_in + under_way + discarded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamBytes {
    /// Written by tasks.
    pub written: u64,
    /// In the queues of streams, until their node's system takes them.
    pub waiting: u64,
    /// Taken by a system, and not handed to the task at the other end yet.
    pub under_way: u64,
    /// Taken by a system, and handed to nobody: their stream was closed or broken off before.
    pub discarded: u64,
}

/// What became of the segments of simulated TCP. Always
/// `sent + duplicated == arrived + lost + dropped + unroutable + in_flight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SegmentCounters {
    /// Given to a link, or to nobody.
    pub sent: u64,
    /// Copies that links have made of them.
    pub duplicated: u64,
    /// At their node.
    pub arrived: u64,
    /// Lost by links, by chance.
    pub lost: u64,
    /// Dropped on their way for another cause.
    pub dropped: Dropped,
    /// To addresses that no node has, or from one that its node has no more.
    pub unroutable: u64,
    /// On their way.
    pub in_flight: u64,
    /// Of those that arrived: connection requests dropped because the listener's backlog was full.
    pub backlog_full: u64,
}

impl Counters {
    /// Panics unless every datagram is accounted for.
    pub(crate) fn assert_conserved(&self) {
        assert_eq!(
            self.sent + self.duplicated + self.copied,
            self.delivered + self.dropped.total() + self.in_flight,
            "a datagram is not accounted for, which is a fault of the simulator: {self:?}"
        );
        let packets = &self.packets;
        assert_eq!(
            packets.given + packets.injected + packets.copied,
            packets.delivered + packets.taken + packets.dropped.total() + packets.in_flight,
            "a packet is not accounted for, which is a fault of the simulator: {packets:?}"
        );
        let (segments, bytes, streams) = (&self.segments, &self.stream_bytes, &self.streams);
        assert_eq!(
            segments.sent + segments.duplicated,
            segments.arrived
                + segments.lost
                + segments.dropped.total()
                + segments.unroutable
                + segments.in_flight,
            "a segment is not accounted for, which is a fault of the simulator: {self:?}"
        );
        assert_eq!(
            [bytes.written, streams.bytes_out],
            [
                streams.bytes_refused + bytes.waiting + streams.bytes_unsent + streams.bytes_out,
                streams.bytes_in + bytes.under_way + bytes.discarded,
            ],
            "a byte is not accounted for, which is a fault of the simulator: {self:?}"
        );
        let bus = &self.bus;
        assert_eq!(
            bus.sent,
            bus.received + bus.lost + self.bus_waiting,
            "a message is not accounted for, which is a fault of the simulator: {self:?}"
        );
    }

    /// The counters of a worker were `before` and are `after`; and the messages that wait in it.
    pub(crate) fn note_bus(&mut self, before: &BusSeen, after: &BusSeen) {
        self.bus_waiting += after.waiting;
        self.bus_waiting -= before.waiting;
        let (total, old, new) = (&mut self.bus, &before.counters, &after.counters);
        total.sent += new.sent - old.sent;
        total.received += new.received - old.received;
        total.delivered += new.delivered - old.delivered;
        total.dropped += new.dropped - old.dropped;
        total.refused += new.refused - old.refused;
        total.untold += new.untold - old.untold;
        total.stale += new.stale - old.stale;
        total.unheard += new.unheard - old.unheard;
        total.lost += new.lost - old.lost;
        total.requests += new.requests - old.requests;
        total.replies += new.replies - old.replies;
        total.requests_failed += new.requests_failed - old.requests_failed;
    }
}

/// What was last seen of the bus in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BusSeen {
    pub(crate) counters: BusCounters,
    pub(crate) waiting: u64,
}

impl BusSeen {
    pub(crate) fn of<A: App>(worker: &Worker<A>) -> Self {
        Self {
            counters: *worker.bus_counters(),
            waiting: worker.messages_waiting() as u64,
        }
    }
}

/// Datagrams dropped, by cause.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped([u64; DropCause::ALL.len()]);

impl Dropped {
    /// How many for this cause.
    #[must_use]
    pub const fn by(&self, cause: DropCause) -> u64 {
        self.0[cause as usize]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) const fn add(&mut self, cause: DropCause, datagrams: u64) {
        self.0[cause as usize] += datagrams;
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = DropCause::ALL.map(|cause| (cause, self.by(cause)));
        f.debug_map().entries(causes).finish()
    }
}
