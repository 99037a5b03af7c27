//! Sockets as all who are measured and the generator have them: with as much room as they may.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;

use crate::sys::{Wish, turn_on};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Bytes of a socket's buffers. Systems commonly allow less; what they allow is taken.
pub const BUFFER_BYTES: usize = 4 << 20;

/// A UDP socket that does not wait.
pub fn udp(bind: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((bind, 0))?;
    socket.set_nonblocking(true)?;
    let options = SockRef::from(&socket);
    options.set_recv_buffer_size(BUFFER_BYTES)?;
    options.set_send_buffer_size(BUFFER_BYTES)?;
    Ok(socket)
}

/// The same, for what a generator has to have room for, which is more where that is allowed.
pub fn udp_generator(bind: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = udp(bind)?;
    // Only the system's administrator may; without, it is what anybody may have.
    let _ = set_socket_recv_buffer_size_force(socket.as_fd(), 8 * BUFFER_BYTES);
    Ok(socket)
}

/// Has the kernel join what comes from one peer in one go.
pub fn join_received(socket: &UdpSocket) -> io::Result<()> {
    turn_on(socket.as_fd(), Wish::JoinReceived)
}

/// A listener that does not wait, with room for all who connect at once.
pub fn listener() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}
