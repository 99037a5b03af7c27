//! System calls that no safe crate offers whole: `recvmmsg` and `sendmmsg` with the control messages
//! of GRO and GSO, and the CPU time of another process.
//!
//! All unsafe code of the race. Arrays are kept from one call to the next; the pointers in them are
//! stale between calls, and each call writes all those that it uses.
//!
//! Sources: `recvmmsg(2)`, `sendmmsg(2)`, `cmsg(3)`, `udp(7)`, `ip(7)`, `clock_getcpuclockid(3)`.
#![allow(unsafe_code, reason = "what this file is for")]

use core::marker::PhantomData;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub mod uring;

/// Messages that were received.
pub trait Messages {
    /// The length of a message, in bytes, even if it was longer than is kept.
    fn len(&self, index: usize) -> usize;

    fn peer(&self, index: usize) -> Peer;

    /// The bytes of a message that are kept.
    fn bytes(&self, index: usize) -> &[u8];

    /// The size of the datagrams that a message is made of; its length if it is a single one or the
    /// socket does not join them.
    fn segment_size(&self, index: usize) -> usize;

    /// Datagrams that a message is made of.
    fn datagrams(&self, index: usize) -> usize {
        let size = self.segment_size(index).max(1);
        self.len(index).div_ceil(size).max(1)
    }
}

/// Where a message comes from or goes to, as the kernel has it.
#[derive(Clone, Copy)]
pub struct Peer(libc::sockaddr_in);

impl Peer {
    pub fn new(ip: Ipv4Addr, port: u16) -> Self {
        Self(libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(ip.octets()),
            },
            sin_zero: [0; 8],
        })
    }

    pub const fn is(&self, other: &Self) -> bool {
        self.0.sin_port == other.0.sin_port && self.0.sin_addr.s_addr == other.0.sin_addr.s_addr
    }
}

/// Room for control messages, as the kernel wants it aligned.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Messages received with one call.
pub struct Receive {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    peers: Vec<Peer>,
    controls: Vec<Control>,
    memory: Vec<u8>,
    /// Bytes of `memory` for each message.
    each: usize,
    /// Messages that the next call asks for: each costs something, whether it is there or not.
    asked: usize,
    /// Whether there may be more.
    is_full: bool,
}

impl Receive {
    /// For at most `count` messages a call, of which the first `each` bytes are kept.
    pub fn new(count: usize, each: usize) -> Self {
        let nowhere = libc::iovec {
            iov_base: core::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            headers: vec![empty_header(); count],
            iovecs: vec![nowhere; count],
            peers: vec![Peer::new(Ipv4Addr::UNSPECIFIED, 0); count],
            controls: vec![Control([0; CONTROL_BYTES]); count],
            memory: vec![0; count * each],
            each,
            asked: count.min(ASKED_MIN),
            is_full: false,
        }
    }

    /// Whether the last call brought all that it asked for, so that there may be more.
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Receives what is there, and says how many messages that were. Never waits.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let pieces = self.memory.chunks_exact_mut(self.each);
        let arrays = (self.iovecs.iter_mut().zip(&mut self.peers)).zip(&mut self.controls);
        for ((header, piece), ((iovec, peer), control)) in
            (self.headers.iter_mut().take(self.asked))
                .zip(pieces)
                .zip(arrays)
        {
            iovec.iov_base = piece.as_mut_ptr().cast();
            iovec.iov_len = piece.len();
            let message = &mut header.msg_hdr;
            message.msg_name = core::ptr::from_mut(peer).cast();
            message.msg_namelen = NAME_BYTES;
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: each of the headers that are asked for, which are no more than there are, was
        // just pointed at a name, an iovec and control memory of its own with their true lengths,
        // and through the iovec at a piece of `memory` of its own; all of it is held by `&mut self`
        // and does not move before this returns. The kernel keeps no pointer. The timeout may be
        // null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.asked as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                core::ptr::null_mut(),
            )
        };
        let Ok(got) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        self.is_full = got == self.asked;
        if self.is_full {
            self.asked = (self.asked * 4).min(self.headers.len());
        } else if got * 4 < self.asked {
            self.asked = (self.asked / 2).max(ASKED_MIN.min(self.headers.len()));
        }
        Ok(got)
    }
}

impl Messages for Receive {
    fn len(&self, index: usize) -> usize {
        self.headers[index].msg_len as usize
    }

    fn peer(&self, index: usize) -> Peer {
        self.peers[index]
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let start = index * self.each;
        &self.memory[start..start + self.len(index).min(self.each)]
    }

    fn segment_size(&self, index: usize) -> usize {
        let told = self.headers[index].msg_hdr.msg_controllen;
        let control = &self.controls[index].0[..told.min(CONTROL_BYTES)];
        read_segment_size(control, self.len(index))
    }
}

/// The arrays of a send.
pub struct Send {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    peers: Vec<Peer>,
    controls: Vec<Control>,
    lengths: Vec<Lengths>,
}

#[derive(Clone, Copy)]
struct Lengths {
    iovecs: usize,
    control: usize,
    named: bool,
}

/// Messages to be sent with one call, out of memory that lives for `'d`.
pub struct Sending<'s, 'd> {
    arrays: &'s mut Send,
    data: PhantomData<&'d [u8]>,
}

impl Send {
    pub fn new(messages_max: usize) -> Self {
        Self {
            headers: vec![empty_header(); messages_max],
            iovecs: Vec::with_capacity(messages_max),
            peers: Vec::with_capacity(messages_max),
            controls: vec![Control([0; CONTROL_BYTES]); messages_max],
            lengths: Vec::with_capacity(messages_max),
        }
    }

    pub fn begin<'d>(&mut self) -> Sending<'_, 'd> {
        self.iovecs.clear();
        self.peers.clear();
        self.lengths.clear();
        Sending {
            arrays: self,
            data: PhantomData,
        }
    }
}

impl<'d> Sending<'_, 'd> {
    pub fn len(&self) -> usize {
        self.arrays.lengths.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() == self.arrays.headers.len()
    }

    /// Adds a message: to `peer` unless the socket is connected, from `source` if that is not the
    /// socket's own address, cut into datagrams of `segment_size` if it is more than one.
    pub fn push(
        &mut self,
        peer: Option<&Peer>,
        source: Option<Ipv4Addr>,
        segment_size: Option<usize>,
        bytes: &'d [u8],
    ) {
        let control = &mut self.arrays.controls[self.arrays.lengths.len()].0;
        let mut used = 0;
        if let Some(size) = segment_size {
            let size = u16::try_from(size).expect("a datagram");
            put(control, &mut used, UDP, UDP_SEGMENT, &size.to_ne_bytes());
        }
        if let Some(source) = source {
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&source.octets());
            put(
                control,
                &mut used,
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                &info,
            );
        }
        self.arrays.iovecs.push(iovec(bytes));
        self.arrays.lengths.push(Lengths {
            iovecs: 1,
            control: used,
            named: peer.is_some(),
        });
        let nobody = || Peer::new(Ipv4Addr::UNSPECIFIED, 0);
        self.arrays.peers.push(peer.copied().unwrap_or_else(nobody));
    }

    /// Adds to the message that was pushed last, and has it cut into datagrams of `segment_size`.
    pub fn join(&mut self, segment_size: usize, bytes: &'d [u8]) {
        let last = self
            .arrays
            .lengths
            .last_mut()
            .expect("a message was pushed");
        last.iovecs += 1;
        self.arrays.iovecs.push(iovec(bytes));
        if last.control == 0 {
            let control = &mut self.arrays.controls[self.arrays.lengths.len() - 1].0;
            let size = u16::try_from(segment_size).expect("a datagram");
            let mut used = 0;
            put(control, &mut used, UDP, UDP_SEGMENT, &size.to_ne_bytes());
            if let Some(last) = self.arrays.lengths.last_mut() {
                last.control = used;
            }
        }
    }

    /// Hands the messages to the kernel, in order, and says how many it took.
    pub fn send(self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let Send {
            headers,
            iovecs,
            peers,
            controls,
            lengths,
        } = self.arrays;
        let count = lengths.len();
        let mut rest = &mut iovecs[..];
        let arrays = (peers.iter_mut().zip(controls)).zip(lengths.iter());
        for (header, ((peer, control), lengths)) in headers.iter_mut().zip(arrays) {
            let (own, others) = rest.split_at_mut(lengths.iovecs);
            rest = others;
            let message = &mut header.msg_hdr;
            message.msg_name = core::ptr::from_mut(peer).cast();
            message.msg_namelen = if lengths.named { NAME_BYTES } else { 0 };
            message.msg_iov = own.as_mut_ptr();
            message.msg_iovlen = own.len();
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = lengths.control;
        }
        // SAFETY: the first `count` headers were just pointed at a name, iovecs and control memory
        // of their own with their true lengths, in vectors that we hold by `&mut` and that do not
        // move before this returns, and through the iovecs at bytes that are borrowed for `'d`,
        // which outlives `self`. The kernel only reads those, and keeps no pointer.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// What a socket is to tell or do.
#[derive(Debug, Clone, Copy)]
pub enum Wish {
    /// Hands over what comes from one peer in one go as one message (`UDP_GRO`).
    JoinReceived,
    /// Tells the local address of each message (`IP_PKTINFO`).
    LocalAddress,
    /// Tells the type of service of each message (`IP_RECVTOS`).
    TypeOfService,
}

/// Has a socket tell or do that.
pub fn turn_on(socket: BorrowedFd<'_>, wish: Wish) -> io::Result<()> {
    let (level, name) = match wish {
        Wish::JoinReceived => (UDP, libc::UDP_GRO),
        Wish::LocalAddress => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        Wish::TypeOfService => (libc::IPPROTO_IP, libc::IP_RECVTOS),
    };
    let on: libc::c_int = 1;
    // SAFETY: `on` is ours, and as long as is said.
    let code = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            core::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// CPU time that all threads of a process have used.
pub fn cpu_time(process: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is ours, and written.
    let code = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours, and written.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// A header that points nowhere.
const fn empty_header() -> libc::mmsghdr {
    // SAFETY: a header is made of integers and raw pointers, for which all bits zero are a value.
    unsafe { core::mem::zeroed() }
}

const fn iovec(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        // The kernel only reads through it; the type is shared with receiving.
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// The size of the datagrams of a message of `len` bytes, by its control messages.
fn read_segment_size(mut control: &[u8], len: usize) -> usize {
    while let (Some(own), Some(level), Some(kind)) = (
        number(control, 0).and_then(|own| usize::try_from(own).ok()),
        number(control, 8),
        number(control, 12),
    ) {
        if (level, kind) == (UDP, libc::UDP_GRO) {
            let size = number(control, CMSG_HEADER).and_then(|size| usize::try_from(size).ok());
            return size.unwrap_or(len).clamp(1, len.max(1));
        }
        let next = own.max(CMSG_HEADER).next_multiple_of(8);
        control = control.get(next..).unwrap_or_default();
    }
    len
}

/// Four bytes of a control message. Its length has eight, of which the first four say it all.
fn number(message: &[u8], at: usize) -> Option<i32> {
    let bytes = message.get(at..)?.first_chunk()?;
    Some(i32::from_ne_bytes(*bytes))
}

/// Writes a control message behind those that are there.
fn put(control: &mut [u8], used: &mut usize, level: i32, kind: i32, data: &[u8]) {
    let message = &mut control[*used..];
    message[..8].copy_from_slice(&(CMSG_HEADER + data.len()).to_ne_bytes());
    message[8..12].copy_from_slice(&level.to_ne_bytes());
    message[12..16].copy_from_slice(&kind.to_ne_bytes());
    message[CMSG_HEADER..CMSG_HEADER + data.len()].copy_from_slice(data);
    *used += CMSG_HEADER + data.len().next_multiple_of(8);
}

/// Messages that a call asks for at least.
const ASKED_MIN: usize = 4;

const NAME_BYTES: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

/// A header of a control message, with its padding (`struct cmsghdr`, 64 bits).
const CMSG_HEADER: usize = 16;
const CONTROL_BYTES: usize = 96;
const UDP: i32 = libc::IPPROTO_UDP;
const UDP_SEGMENT: i32 = libc::UDP_SEGMENT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;
    use std::os::fd::AsFd;

    #[test]
    fn a_run_goes_out_cut_and_comes_in_joined() {
        let (from, to) = (
            socket::udp(Ipv4Addr::LOCALHOST).unwrap(),
            socket::udp(Ipv4Addr::LOCALHOST).unwrap(),
        );
        socket::join_received(&to).unwrap();
        turn_on(to.as_fd(), Wish::LocalAddress).unwrap();
        turn_on(to.as_fd(), Wish::TypeOfService).unwrap();
        let there = Peer::new(Ipv4Addr::LOCALHOST, to.local_addr().unwrap().port());
        let here = Peer::new(Ipv4Addr::LOCALHOST, from.local_addr().unwrap().port());

        let mut arrays = Send::new(2);
        let mut sending = arrays.begin();
        sending.push(Some(&there), None, None, &[1; 100]);
        sending.join(100, &[2; 150]);
        sending.push(Some(&there), None, None, &[3; 60]);
        assert_eq!(sending.send(from.as_fd()).unwrap(), 2);

        let mut batch = Receive::new(4, 65_535);
        assert_eq!(batch.receive(to.as_fd()).unwrap(), 2);
        assert!(!batch.is_full());
        assert_eq!(
            (batch.len(0), batch.segment_size(0), batch.datagrams(0)),
            (250, 100, 3)
        );
        assert_eq!(
            (batch.len(1), batch.segment_size(1), batch.datagrams(1)),
            (60, 60, 1)
        );
        assert_eq!(batch.bytes(0)[99..101], [1, 2]);
        assert!(batch.peer(0).is(&here) && batch.peer(1).is(&here));
    }

    #[test]
    fn a_ring_brings_what_a_receive_brings() {
        let (from, to) = (
            socket::udp(Ipv4Addr::LOCALHOST).unwrap(),
            socket::udp(Ipv4Addr::LOCALHOST).unwrap(),
        );
        socket::join_received(&to).unwrap();
        turn_on(to.as_fd(), Wish::LocalAddress).unwrap();
        let there = Peer::new(Ipv4Addr::LOCALHOST, to.local_addr().unwrap().port());
        let here = Peer::new(Ipv4Addr::LOCALHOST, from.local_addr().unwrap().port());
        let mut uring = uring::Uring::new(to.as_fd()).unwrap();
        let mut arrays = Send::new(1);
        // More than there are buffers, so that each is used again.
        for number in 0..200u8 {
            let payload = [number; 250];
            let mut sending = arrays.begin();
            sending.push(Some(&there), None, Some(100), &payload);
            assert_eq!(sending.send(from.as_fd()).unwrap(), 1);

            assert_eq!(uring.wait().unwrap(), 1);
            assert_eq!((uring.segment_size(0), uring.datagrams(0)), (100, 3));
            assert_eq!(uring.bytes(0), payload);
            assert!(uring.peer(0).is(&here));
        }
    }
}
