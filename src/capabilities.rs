//! What a network can do for tasks: a backend's, or the simulator's.

/// What a backend can do on the machine it runs on. A task that asks for something else gets a
/// clear error ([`NetworkError::Unsupported`](crate::NetworkError::Unsupported),
/// [`DeviceError::Unsupported`](crate::DeviceError::Unsupported)); what only makes things faster is
/// done in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Datagrams that arrive together are received as one run (GRO).
    pub runs_in: bool,
    /// A run is sent with one system call (GSO).
    pub runs_out: bool,
    /// Several datagrams are received or sent with one system call.
    pub batches: bool,
    /// Each datagram says to which address of ours it was sent, at which interface it arrived, and
    /// its DSCP and ECN bits.
    pub packet_info: bool,
    /// Sockets may be members of multicast groups.
    pub groups: bool,
    /// There are TCP connections.
    pub streams: bool,
    /// There are TUN and TAP devices, for those who may open them.
    pub devices: bool,
}

impl Capabilities {
    /// All there is.
    pub const ALL: Self = Self {
        runs_in: true,
        runs_out: true,
        batches: true,
        packet_info: true,
        groups: true,
        streams: true,
        devices: true,
    };

    /// Each with a few words, in a fixed order.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, bool); 7] {
        [
            ("runs received as one (GRO)", self.runs_in),
            ("runs sent as one (GSO)", self.runs_out),
            ("several datagrams in one call", self.batches),
            (
                "destination, interface, DSCP and ECN of each datagram",
                self.packet_info,
            ),
            ("multicast groups", self.groups),
            ("TCP", self.streams),
            ("TUN and TAP devices", self.devices),
        ]
    }
}
