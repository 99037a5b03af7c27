//! What passed through, and what was lost, in numbers.

/// What passed through sockets, in datagrams and bytes of payload. Nothing is lost without being
/// counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NetworkCounters {
    /// Datagrams received and handed to a task.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams handed to the network.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Datagrams that the network refused to send.
    pub send_failed: u64,
    /// Datagrams that a full send queue dropped, as their socket's [`WhenFull`](crate::WhenFull) says.
    pub queue_dropped: u64,
    /// Datagrams dropped at the receiving socket because its queue was full.
    pub receive_dropped: u64,
    /// Datagrams that arrived and could not be handed to a task.
    pub undelivered: u64,
    /// Errors that sockets were told of.
    pub socket_errors: u64,
    /// What passed through streams.
    pub streams: StreamCounters,
    /// What passed through devices.
    pub devices: DeviceCounters,
}

impl core::ops::AddAssign for NetworkCounters {
    fn add_assign(&mut self, other: Self) {
        self.datagrams_in += other.datagrams_in;
        self.bytes_in += other.bytes_in;
        self.datagrams_out += other.datagrams_out;
        self.bytes_out += other.bytes_out;
        self.send_failed += other.send_failed;
        self.queue_dropped += other.queue_dropped;
        self.receive_dropped += other.receive_dropped;
        self.undelivered += other.undelivered;
        self.socket_errors += other.socket_errors;
        self.streams += other.streams;
        self.devices += other.devices;
    }
}

/// What passed through streams. Each byte that was taken from a task is in `bytes_out` or in
/// `bytes_unsent`, or still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamCounters {
    /// Connections made to others.
    pub connected: u64,
    /// Connections that could not be made.
    pub connect_failed: u64,
    /// Connections taken in.
    pub accepted: u64,
    /// Connections taken in that nobody wanted: their listener was closed, or the worker is full.
    pub refused: u64,
    /// Times that a listener stopped for a while because no descriptor was left.
    pub accepts_paused: u64,
    /// Streams that ended with an error.
    pub failed: u64,
    /// Bytes received and handed to a task.
    pub bytes_in: u64,
    /// Bytes handed to the network.
    pub bytes_out: u64,
    /// Bytes that were taken from a task and not sent before their stream was no more.
    pub bytes_unsent: u64,
    /// Bytes that were refused because the stream had no room.
    pub bytes_refused: u64,
}

impl core::ops::AddAssign for StreamCounters {
    fn add_assign(&mut self, other: Self) {
        self.connected += other.connected;
        self.connect_failed += other.connect_failed;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.accepts_paused += other.accepts_paused;
        self.failed += other.failed;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.bytes_unsent += other.bytes_unsent;
        self.bytes_refused += other.bytes_refused;
    }
}

/// What passed through devices. A packet with many segments is one packet here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeviceCounters {
    /// Packets that the system gave out and a task was handed.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets that the system took in.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets that the system did not take in.
    pub send_failed: u64,
    /// Packets that the system gave out and that could not be handed to a task.
    pub undelivered: u64,
}

impl core::ops::AddAssign for DeviceCounters {
    fn add_assign(&mut self, other: Self) {
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.send_failed += other.send_failed;
        self.undelivered += other.undelivered;
    }
}
