//! Opens TCP sockets, and reads and writes them.
#![expect(
    unsafe_code,
    reason = "socket, listen, accept, connect, recv, sendmsg, shutdown, ioctl"
)]

use core::marker::PhantomData;
use core::net::SocketAddr;
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::address::{Domain, Name};
use super::message::{empty_header, to_be_read};
use super::socket::{
    bind, connect, local_address, new_socket, optional, peer_address, set_option, set_value,
};
use super::steer::steer;
use super::{Errno, checked, checked_int};
use crate::stream::{Keepalive, Nagle, TcpConnect, TcpListen, TcpOptions};

/// Opens a listening socket that never blocks. Gives the address it is bound to.
pub(crate) fn listen_tcp(listen: &TcpListen) -> Result<(OwnedFd, SocketAddr), Errno> {
    let domain = Domain::of(&listen.bind);
    let socket = stream_socket(domain)?;
    let fd = socket.as_fd();
    // Connections of an earlier listener that linger must not keep the port.
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if listen.sharing.is_shared() {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    // What is accepted inherits the options.
    set_options(fd, &listen.options)?;
    bind(fd, &listen.bind, domain)?;
    let backlog = libc::c_int::try_from(listen.backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: no pointers are passed.
    checked_int(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    // It is among those that share the port only now.
    steer(fd, listen.sharing)?;
    let local = local_address(fd)?;
    Ok((socket, local))
}

/// Begins to connect. The socket becomes writable when that has succeeded or failed.
pub(crate) fn connect_tcp(open: &TcpConnect) -> Result<OwnedFd, Errno> {
    let domain = Domain::of(open.bind.as_ref().unwrap_or(&open.peer));
    let domain = match open.bind {
        Some(_) => domain,
        // Nothing is bound to the address of a peer, so it does not ask for both families.
        None if open.peer.is_ipv4() => Domain::V4,
        None => Domain::V6,
    };
    if !domain.reaches(&open.peer) {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    let socket = stream_socket(domain)?;
    let fd = socket.as_fd();
    set_options(fd, &open.options)?;
    if let Some(address) = &open.bind {
        #[cfg(target_os = "linux")]
        if address.port() == 0 {
            // A port is chosen when the peer is known, so that two peers can share one.
            optional(set_option(
                fd,
                libc::SOL_IP,
                libc::IP_BIND_ADDRESS_NO_PORT,
                1,
            ));
        }
        bind(fd, address, domain)?;
    }
    match connect(fd, &open.peer, domain) {
        Err(error) if error.0 != libc::EINPROGRESS && !error.is_interrupted() => Err(error),
        Ok(()) | Err(_) => Ok(socket),
    }
}

/// Takes in one connection.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, SocketAddr), Errno> {
    let mut name = Name::zeroed();
    let mut len = Name::LEN;
    let room = core::ptr::from_mut(&mut name).cast();
    #[cfg(target_os = "linux")]
    // SAFETY: `room` points at `len` bytes that we own, and `len` is ours too; whatever bytes the
    // kernel writes leave `name` initialised.
    let accepted = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            room,
            &mut len,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    let accepted = unsafe { libc::accept(listener.as_raw_fd(), room, &mut len) };
    let fd = checked_int(accepted)?;
    // SAFETY: the call succeeded, so `fd` is open, and nobody else knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    #[cfg(not(target_os = "linux"))]
    super::socket::never_block(socket.as_fd())?;
    let peer = name.decode(len).ok_or(Errno(libc::ECONNABORTED))?;
    Ok((socket, peer))
}

/// The peer of a connection that was taken in, unless it is gone already.
pub(crate) fn accepted_from(socket: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    peer_address(socket).map_err(|_| Errno(libc::ECONNABORTED))
}

/// Our own address of a connection.
pub(crate) fn stream_address(socket: BorrowedFd<'_>) -> Result<SocketAddr, Errno> {
    local_address(socket)
}

/// Reads what is there into `memory`: 0 bytes if the peer has ended its direction.
pub(crate) fn read(socket: BorrowedFd<'_>, memory: &mut [u8]) -> Result<usize, Errno> {
    let (start, len) = (memory.as_mut_ptr().cast(), memory.len());
    // SAFETY: `start` points at `len` bytes that we hold exclusively and that are initialised.
    let read = unsafe { libc::recv(socket.as_raw_fd(), start, len, libc::MSG_DONTWAIT) };
    checked(read)
}

/// Says that no more will be written, behind all that was.
pub(crate) fn end_write(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    checked_int(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Closes a connection at once and tells the peer that it is broken off (RST).
pub(crate) fn abort(socket: OwnedFd) {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // Closing is all that is left to do if that does not work.
    optional(set_value(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_LINGER,
        &at_once,
    ));
    drop(socket);
}

/// Whether the peer has acknowledged all that was written, the end included.
#[cfg(target_os = "linux")]
pub(crate) fn is_acknowledged(socket: BorrowedFd<'_>) -> bool {
    let mut waiting: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ, writes an int, which is ours.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut waiting) };
    checked_int(asked).is_err() || waiting == 0
}

/// Nobody says: it is left to the system.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn is_acknowledged(_: BorrowedFd<'_>) -> bool {
    true
}

/// The list of a write's parts, kept from one call to the next.
///
/// Between calls the pointers in it are stale; each write begins with none.
pub(crate) struct WriteScratch(Vec<libc::iovec>);

/// Parts that are to be written, out of memory that lives for `'d`.
pub(crate) struct WriteParts<'s, 'd> {
    iovecs: &'s mut Vec<libc::iovec>,
    data: PhantomData<&'d [u8]>,
}

impl WriteScratch {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn begin<'d>(&mut self) -> WriteParts<'_, 'd> {
        self.0.clear();
        WriteParts {
            iovecs: &mut self.0,
            data: PhantomData,
        }
    }
}

impl<'d> WriteParts<'_, 'd> {
    pub(crate) fn push(&mut self, part: &'d [u8]) {
        self.iovecs.push(to_be_read(part));
    }

    /// Hands the parts to the kernel, end to end, and says how many bytes it took. Never waits.
    pub(crate) fn write(self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        if let [part] = self.iovecs[..] {
            let (start, len) = (part.iov_base, part.iov_len);
            // SAFETY: `start` points at `len` bytes borrowed for `'d`, so they live during the
            // call, and the kernel only reads them. It keeps no pointer.
            let written = unsafe { libc::send(socket.as_raw_fd(), start, len, WRITE_FLAGS) };
            return checked(written);
        }
        let mut header = empty_header().msg_hdr;
        header.msg_iov = self.iovecs.as_mut_ptr();
        header.msg_iovlen = self.iovecs.len() as _;
        // SAFETY: `header` points at as many iovecs as it says, which we hold exclusively; each
        // points at bytes borrowed for `'d`, so they live during the call, and the kernel only
        // reads them. It has neither name nor control messages. The kernel keeps no pointer.
        let written = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, WRITE_FLAGS) };
        checked(written)
    }
}

/// The lists of the parts of several writes, kept from one time to the next.
///
/// In between the pointers in them are stale; each time begins with none.
pub(crate) struct GatherScratch {
    iovecs: Vec<libc::iovec>,
    /// How many of the iovecs each has, after those of the writes before.
    counts: Vec<usize>,
    headers: Vec<libc::msghdr>,
}

/// Writes that are being put together, out of memory that lives for `'d`.
pub(crate) struct Gather<'s, 'd> {
    scratch: &'s mut GatherScratch,
    data: PhantomData<&'d [u8]>,
}

impl GatherScratch {
    pub(crate) const fn new() -> Self {
        Self {
            iovecs: Vec::new(),
            counts: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn begin<'d>(&mut self) -> Gather<'_, 'd> {
        self.iovecs.clear();
        self.counts.clear();
        Gather {
            scratch: self,
            data: PhantomData,
        }
    }
}

impl<'d> Gather<'_, 'd> {
    /// Adds a write of `parts`, end to end.
    pub(crate) fn push(&mut self, parts: impl Iterator<Item = &'d [u8]>) {
        let before = self.scratch.iovecs.len();
        self.scratch.iovecs.extend(parts.map(to_be_read));
        self.scratch.counts.push(self.scratch.iovecs.len() - before);
    }

    /// The writes, for whoever hands them to the kernel. The pointers are good until the scratch is
    /// used again or what was pushed is gone.
    pub(crate) fn finish(self) -> impl Iterator<Item = *const libc::msghdr> {
        let GatherScratch {
            iovecs,
            counts,
            headers,
        } = self.scratch;
        let mut rest = &mut iovecs[..];
        headers.clear();
        headers.extend(counts.iter().map(|&count| {
            let (own, others) = core::mem::take(&mut rest).split_at_mut(count);
            rest = others;
            let mut header = empty_header().msg_hdr;
            header.msg_iov = own.as_mut_ptr();
            header.msg_iovlen = own.len() as _;
            header
        }));
        headers.iter().map(core::ptr::from_ref)
    }
}

fn stream_socket(domain: Domain) -> Result<OwnedFd, Errno> {
    let socket = new_socket(domain, libc::SOCK_STREAM)?;
    match domain {
        Domain::V4 => {}
        Domain::V6 => set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?,
        Domain::Dual => set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?,
    }
    #[cfg(target_vendor = "apple")]
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1)?;
    Ok(socket)
}

fn set_options(fd: BorrowedFd<'_>, options: &TcpOptions) -> Result<(), Errno> {
    if options.nagle == Nagle::Off {
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    }
    if let Some(keepalive) = &options.keepalive {
        set_keepalive(fd, keepalive)?;
    }
    let sizes = [
        (libc::SO_SNDBUF, options.send_buffer),
        (libc::SO_RCVBUF, options.receive_buffer),
    ];
    for (option, size) in sizes {
        if let Some(size) = size {
            let size = libc::c_int::try_from(size).unwrap_or(libc::c_int::MAX);
            set_option(fd, libc::SOL_SOCKET, option, size)?;
        }
    }
    Ok(())
}

fn set_keepalive(fd: BorrowedFd<'_>, keepalive: &Keepalive) -> Result<(), Errno> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    let tcp = |option, value| set_option(fd, libc::IPPROTO_TCP, option, value);
    tcp(IDLE, seconds(keepalive.idle))?;
    tcp(libc::TCP_KEEPINTVL, seconds(keepalive.interval))?;
    let count = libc::c_int::try_from(keepalive.count).unwrap_or(libc::c_int::MAX);
    tcp(libc::TCP_KEEPCNT, count.clamp(1, KEEPALIVE_COUNT_MAX))
}

/// Whole seconds, as the kernel takes them.
fn seconds(duration: Duration) -> libc::c_int {
    let seconds = duration.as_millis().div_ceil(1_000);
    libc::c_int::try_from(seconds)
        .unwrap_or(KEEPALIVE_SECONDS_MAX)
        .clamp(1, KEEPALIVE_SECONDS_MAX)
}

#[cfg(not(target_vendor = "apple"))]
const IDLE: libc::c_int = libc::TCP_KEEPIDLE;
#[cfg(target_vendor = "apple")]
const IDLE: libc::c_int = libc::TCP_KEEPALIVE;

/// What Linux takes at most for either time (`MAX_TCP_KEEPIDLE`).
const KEEPALIVE_SECONDS_MAX: libc::c_int = 32_767;

/// What Linux takes at most (`MAX_TCP_KEEPCNT`).
const KEEPALIVE_COUNT_MAX: libc::c_int = 127;

#[cfg(not(target_vendor = "apple"))]
const WRITE_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const WRITE_FLAGS: libc::c_int = libc::MSG_DONTWAIT;
