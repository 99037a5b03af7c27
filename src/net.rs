//! What tasks ask of the network, and what they are told.

use core::net::SocketAddr;

use crate::buffer::Buffer;
use crate::datagram::{DatagramRun, Transmit};
use crate::device::{DeviceError, DeviceOpen, MalformedPacket, Packet, PacketTransmit};
use crate::id::{DeviceId, ListenerId, ResourceId, SocketId, StreamId};
use crate::stream::{IncomingId, Reading, StreamWrite, TcpConnect, TcpListen};
use crate::udp::{Membership, UdpBuffers, UdpOpen};

/// A number that a task gives to what it asks for, and gets back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub u64);

/// What a worker asks of its backend or of the simulated network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkCommand {
    /// Open a UDP socket under this id. Answered by [`NetworkEvent::UdpOpened`] or
    /// [`NetworkEvent::UdpOpenFailed`].
    OpenUdp {
        /// The id from now on, whatever the answer.
        socket: SocketId,
        /// What to open.
        open: Box<UdpOpen>,
    },
    /// Send. Only failures are answered.
    Transmit(Transmit),
    /// Make a socket a member of a group. Answered by [`NetworkEvent::GroupJoined`] or
    /// [`NetworkEvent::GroupFailed`], unless the socket could not be opened.
    JoinGroup(Membership),
    /// End a membership. Answered by [`NetworkEvent::GroupLeft`] or
    /// [`NetworkEvent::GroupFailed`], unless the socket could not be opened.
    LeaveGroup(Membership),
    /// Listen under this id. Answered by [`NetworkEvent::Listening`] or
    /// [`NetworkEvent::ListenFailed`].
    Listen {
        /// The id from now on, whatever the answer.
        listener: ListenerId,
        /// What to open.
        listen: Box<TcpListen>,
    },
    /// The connection has this id from now on. Not answered.
    Accept {
        /// The connection that [`NetworkEvent::Incoming`] told of.
        incoming: IncomingId,
        /// Its id.
        stream: StreamId,
    },
    /// Nobody wants the connection: reset it. Not answered.
    Refuse(IncomingId),
    /// Connect under this id. Answered by [`NetworkEvent::Connected`] or
    /// [`NetworkEvent::ConnectFailed`].
    Connect {
        /// The id from now on, whatever the answer.
        stream: StreamId,
        /// Whom to connect to.
        connect: Box<TcpConnect>,
    },
    /// Write. Only what is refused is answered, with [`NetworkEvent::WriteFailed`].
    Write(StreamWrite),
    /// End this direction of a stream, behind all that was written. Not answered.
    EndWrite(StreamId),
    /// Hand over what the stream receives, or stop that at once. Not answered.
    SetReading {
        /// The stream.
        stream: StreamId,
        /// Whether to.
        reading: Reading,
    },
    /// Break a stream off. Not answered; the id is stale at once.
    Reset(StreamId),
    /// Open a device under this id. Answered by [`NetworkEvent::DeviceOpened`] or
    /// [`NetworkEvent::DeviceOpenFailed`].
    OpenDevice {
        /// The id from now on, whatever the answer.
        device: DeviceId,
        /// What to open.
        open: Box<DeviceOpen>,
    },
    /// Give a packet to a device. Only failures are answered, with [`NetworkEvent::PacketsFailed`].
    Packet(PacketTransmit),
    /// Close. The id of a stream stays in use until the answer, [`NetworkEvent::StreamClosed`]:
    /// what was written is to be sent first. All other ids are stale at once, and not answered.
    Close(ResourceId),
}

/// What the network tells a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// The socket is open.
    UdpOpened {
        /// Its id.
        socket: SocketId,
        /// The number given in [`UdpOpen`].
        token: Token,
        /// The address it is bound to.
        local: SocketAddr,
        /// What its system buffers hold.
        buffers: UdpBuffers,
    },
    /// The socket could not be opened; its id is stale.
    UdpOpenFailed {
        /// Its id.
        socket: SocketId,
        /// The number given in [`UdpOpen`].
        token: Token,
        /// The address it was to be bound to.
        bind: SocketAddr,
        /// Why.
        error: NetworkError,
    },
    /// Datagrams arrived.
    Datagrams {
        /// At this socket.
        socket: SocketId,
        /// From one peer.
        run: DatagramRun,
    },
    /// The socket is a member of the group.
    GroupJoined(Membership),
    /// The socket is not a member of the group any more.
    GroupLeft(Membership),
    /// The membership could not be begun or ended. The socket goes on.
    GroupFailed {
        /// Which.
        membership: Membership,
        /// Why.
        error: NetworkError,
    },
    /// Datagrams were not sent. They are lost; the socket goes on.
    SendFailed {
        /// From this socket.
        socket: SocketId,
        /// To this peer.
        peer: SocketAddr,
        /// Why.
        error: NetworkError,
        /// How many in a row, for the same reason.
        datagrams: u32,
    },
    /// The socket was told of an error, by ICMP say. It goes on.
    SocketError {
        /// At this socket.
        socket: SocketId,
        /// Whom we had sent to, where known.
        peer: Option<SocketAddr>,
        /// What went wrong.
        error: NetworkError,
    },
    /// The listener is open.
    Listening {
        /// Its id.
        listener: ListenerId,
        /// The number given in [`TcpListen`].
        token: Token,
        /// The address it is bound to.
        local: SocketAddr,
    },
    /// The listener could not be opened; its id is stale.
    ListenFailed {
        /// Its id.
        listener: ListenerId,
        /// The number given in [`TcpListen`].
        token: Token,
        /// The address it was to be bound to.
        bind: SocketAddr,
        /// Why.
        error: NetworkError,
    },
    /// A connection was taken in that has no id yet: from drivers to workers. The task gets
    /// [`NetworkEvent::Accepted`] in its place. To be followed at once by
    /// [`NetworkCommand::Accept`] or [`NetworkCommand::Refuse`].
    Incoming {
        /// The listener that took it in.
        listener: ListenerId,
        /// The driver's name for it.
        incoming: IncomingId,
        /// Who connected.
        peer: SocketAddr,
        /// The address connected to.
        local: SocketAddr,
        /// Bytes that may be written to it.
        room: usize,
    },
    /// A listener took a connection in.
    Accepted {
        /// The listener.
        listener: ListenerId,
        /// The connection.
        stream: StreamId,
        /// Who connected.
        peer: SocketAddr,
        /// The address connected to.
        local: SocketAddr,
        /// Bytes that may be written to it.
        room: usize,
    },
    /// A connection could not be taken in. The listener goes on: those that wait stay where they
    /// are until it can.
    AcceptFailed {
        /// The listener.
        listener: ListenerId,
        /// Why.
        error: NetworkError,
    },
    /// The connection is made.
    Connected {
        /// Its id.
        stream: StreamId,
        /// The number given in [`TcpConnect`].
        token: Token,
        /// Who is at the other end.
        peer: SocketAddr,
        /// Our own address.
        local: SocketAddr,
        /// Bytes that may be written to it.
        room: usize,
    },
    /// The connection could not be made; its id is stale.
    ConnectFailed {
        /// Its id.
        stream: StreamId,
        /// The number given in [`TcpConnect`].
        token: Token,
        /// Who was to be at the other end.
        peer: SocketAddr,
        /// Why.
        error: NetworkError,
    },
    /// Bytes arrived, at least one.
    Received {
        /// At this stream.
        stream: StreamId,
        /// These.
        data: Buffer,
    },
    /// The peer has ended its direction: no more bytes arrive. We may go on writing.
    ReadEnded {
        /// Of this stream.
        stream: StreamId,
    },
    /// There is room to write again.
    Writable {
        /// At this stream.
        stream: StreamId,
        /// Bytes that may be written now, in all.
        room: usize,
    },
    /// A write was refused, and so are all that follow until [`NetworkEvent::Writable`].
    WriteFailed {
        /// To this stream.
        stream: StreamId,
        /// Bytes that were not taken.
        bytes: usize,
        /// Why.
        error: NetworkError,
    },
    /// The stream is no more; its id is stale.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// Who was at the other end.
        peer: SocketAddr,
        /// Why, if not because both directions had ended.
        error: Option<NetworkError>,
    },
    /// The device is open.
    DeviceOpened {
        /// Its id.
        device: DeviceId,
        /// The number given in [`DeviceOpen`].
        token: Token,
        /// Its name.
        name: Box<str>,
        /// The longest packet that it sends as one, in bytes.
        mtu: u16,
    },
    /// The device could not be opened; its id is stale.
    DeviceOpenFailed {
        /// Its id.
        device: DeviceId,
        /// The number given in [`DeviceOpen`].
        token: Token,
        /// Why.
        error: DeviceError,
    },
    /// A packet came.
    Packet {
        /// Out of this device.
        device: DeviceId,
        /// It.
        packet: Packet,
    },
    /// Packets were not taken in. They are lost; the device goes on.
    PacketsFailed {
        /// By this device.
        device: DeviceId,
        /// Why.
        error: NetworkError,
        /// How many in a row, for the same reason.
        packets: u32,
    },
    /// The device is no more; its id is stale.
    DeviceClosed {
        /// Which.
        device: DeviceId,
        /// Why.
        error: DeviceError,
    },
    /// The task named something that is closed, or not its own. Nothing was done.
    Stale {
        /// The id it used.
        id: ResourceId,
        /// How many outputs in a row named it.
        outputs: u32,
    },
}

impl NetworkEvent {
    /// What it is about.
    #[must_use]
    #[inline]
    pub const fn resource(&self) -> ResourceId {
        match self {
            Self::Datagrams { socket, .. }
            | Self::UdpOpened { socket, .. }
            | Self::UdpOpenFailed { socket, .. }
            | Self::SendFailed { socket, .. }
            | Self::SocketError { socket, .. } => ResourceId::Socket(*socket),
            Self::GroupJoined(membership)
            | Self::GroupLeft(membership)
            | Self::GroupFailed { membership, .. } => ResourceId::Socket(membership.socket),
            Self::Listening { listener, .. }
            | Self::ListenFailed { listener, .. }
            | Self::Incoming { listener, .. }
            | Self::AcceptFailed { listener, .. } => ResourceId::Listener(*listener),
            Self::Accepted { stream, .. }
            | Self::Connected { stream, .. }
            | Self::ConnectFailed { stream, .. }
            | Self::Received { stream, .. }
            | Self::ReadEnded { stream }
            | Self::Writable { stream, .. }
            | Self::WriteFailed { stream, .. }
            | Self::StreamClosed { stream, .. } => ResourceId::Stream(*stream),
            Self::DeviceOpened { device, .. }
            | Self::DeviceOpenFailed { device, .. }
            | Self::Packet { device, .. }
            | Self::PacketsFailed { device, .. }
            | Self::DeviceClosed { device, .. } => ResourceId::Device(*device),
            Self::Stale { id, .. } => *id,
        }
    }

    /// Whether the id of what it is about is stale from now on.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(
            self,
            Self::UdpOpenFailed { .. }
                | Self::ListenFailed { .. }
                | Self::ConnectFailed { .. }
                | Self::StreamClosed { .. }
                | Self::DeviceOpenFailed { .. }
                | Self::DeviceClosed { .. }
        )
    }

    /// The token of an answer to what a task asked to be opened or connected.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        match self {
            Self::UdpOpened { token, .. }
            | Self::UdpOpenFailed { token, .. }
            | Self::Listening { token, .. }
            | Self::ListenFailed { token, .. }
            | Self::Connected { token, .. }
            | Self::ConnectFailed { token, .. }
            | Self::DeviceOpened { token, .. }
            | Self::DeviceOpenFailed { token, .. } => Some(*token),
            Self::Datagrams { .. }
            | Self::GroupJoined(_)
            | Self::GroupLeft(_)
            | Self::GroupFailed { .. }
            | Self::SendFailed { .. }
            | Self::SocketError { .. }
            | Self::Incoming { .. }
            | Self::Accepted { .. }
            | Self::AcceptFailed { .. }
            | Self::Received { .. }
            | Self::ReadEnded { .. }
            | Self::Writable { .. }
            | Self::WriteFailed { .. }
            | Self::StreamClosed { .. }
            | Self::Packet { .. }
            | Self::PacketsFailed { .. }
            | Self::DeviceClosed { .. }
            | Self::Stale { .. } => None,
        }
    }
}

/// Why the network did not do what it was asked, or what it complained of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Another socket holds the address and port (EADDRINUSE).
    #[error("address in use")]
    AddressInUse,
    /// The address is not one of this machine's (EADDRNOTAVAIL).
    #[error("not an address of this machine")]
    AddressNotAvailable,
    /// IPv4 peer from an IPv6 socket or the reverse, or a family that the system lacks.
    #[error("address family does not fit the socket or the system")]
    AddressFamily,
    /// The socket is connected to another peer.
    #[error("the socket is connected to another peer")]
    OtherPeer,
    /// An option has a value that the system does not take (EINVAL).
    #[error("an option has a value that the system does not take")]
    InvalidOption,
    /// Not a multicast address.
    #[error("not a multicast address")]
    NotAGroup,
    /// The socket is a member of the group at that interface already (EADDRINUSE).
    #[error("a member of the group already")]
    AlreadyMember,
    /// The socket is not a member of the group at that interface (EADDRNOTAVAIL).
    #[error("not a member of the group")]
    NotMember,
    /// The socket is a member of as many groups as the system allows (ENOBUFS).
    #[error("a member of too many groups")]
    TooManyGroups,
    /// There is no such network interface, or none that leads there (ENODEV, ENXIO).
    #[error("no such network interface")]
    NoSuchInterface,
    /// Ports below 1024, broadcast without asking for it, and the like (EACCES, EPERM).
    #[error("permission denied")]
    PermissionDenied,
    /// The peer did not answer in time (ETIMEDOUT), or was not reached in the time given.
    #[error("timed out")]
    TimedOut,
    /// The peer has broken the connection off, or no longer knows of it (ECONNRESET, EPIPE).
    #[error("connection reset by the peer")]
    ConnectionReset,
    /// Nobody listens at the peer's port (ECONNREFUSED, ICMP port unreachable).
    #[error("connection refused: nothing listens at the peer's port")]
    ConnectionRefused,
    /// The peer's host cannot be reached (EHOSTUNREACH).
    #[error("host unreachable")]
    HostUnreachable,
    /// There is no route to the peer (ENETUNREACH).
    #[error("network unreachable")]
    NetworkUnreachable,
    /// The datagram is longer than UDP or the path takes (EMSGSIZE). It was not cut.
    #[error("datagram too long: {len} bytes, at most {max} can be sent")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// What can be sent, in bytes.
        max: usize,
    },
    /// The send queue is full (EAGAIN, ENOBUFS).
    #[error("send queue full")]
    QueueFull,
    /// The packet is not what its device carries, or what is still to be done to it does not fit it.
    #[error("the device does not take the packet: {0}")]
    Malformed(MalformedPacket),
    /// The device is down (EIO).
    #[error("the device is down")]
    Down,
    /// This direction of the stream had been ended before.
    #[error("written behind the end")]
    Ended,
    /// No more sockets may be opened: a limit of the system (EMFILE) or of the worker.
    #[error("too many sockets open")]
    TooManySockets,
    /// The backend cannot do this.
    #[error("not supported by this backend")]
    Unsupported,
    /// Something else; the system's error number.
    #[error("system error {0}")]
    Other(i32),
}
