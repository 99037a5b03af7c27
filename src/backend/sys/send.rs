//! Sends a batch of messages out of borrowed memory.
#![expect(unsafe_code, reason = "sendmsg and sendmmsg")]

use core::marker::PhantomData;
use core::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::{Domain, Name};
use super::control::SendControl;
use super::message::{Batching, Header, empty_header, to_be_read};
use super::{Errno, checked};

/// The arrays that a send of several messages needs, kept from one call to the next.
///
/// Between calls the pointers in them are stale; each call writes all those that it uses.
pub(crate) struct SendScratch {
    messages: Vec<Message>,
    headers: Vec<Header>,
    iovecs: Vec<libc::iovec>,
}

/// A message, but for where its bytes are.
struct Message {
    name: Name,
    name_len: libc::socklen_t,
    control: SendControl,
    control_len: usize,
    /// How many of the iovecs are its own, after those of the messages before.
    iovecs: usize,
}

/// Messages that are being put together, out of memory that lives for `'d`.
pub(crate) struct SendBatch<'s, 'd> {
    scratch: &'s mut SendScratch,
    domain: Domain,
    connected: bool,
    data: PhantomData<&'d [u8]>,
}

/// Where a message goes and what the kernel is to be told with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) peer: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    /// DSCP and ECN, if not as the socket says.
    pub(crate) traffic_class: Option<u8>,
    /// The length at which the kernel is to cut the bytes into datagrams.
    pub(crate) segment_size: Option<u16>,
}

impl SendScratch {
    pub(crate) const fn new() -> Self {
        Self {
            messages: Vec::new(),
            headers: Vec::new(),
            iovecs: Vec::new(),
        }
    }

    /// An empty batch for a socket of `domain`. A connected one names no peer.
    pub(crate) fn begin<'d>(&mut self, domain: Domain, connected: bool) -> SendBatch<'_, 'd> {
        self.messages.clear();
        self.iovecs.clear();
        SendBatch {
            scratch: self,
            domain,
            connected,
            data: PhantomData,
        }
    }
}

impl<'d> SendBatch<'_, 'd> {
    /// Messages so far.
    pub(crate) const fn len(&self) -> usize {
        self.scratch.messages.len()
    }

    /// Adds a message made of `parts`, end to end.
    pub(crate) fn push(&mut self, envelope: &Envelope, parts: impl Iterator<Item = &'d [u8]>) {
        let iovecs_before = self.scratch.iovecs.len();
        self.scratch.iovecs.extend(parts.map(to_be_read));
        let (name, name_len) = if self.connected {
            (Name::zeroed(), 0)
        } else {
            Name::encode(&envelope.peer, self.domain)
        };
        let mut message = Message {
            name,
            name_len,
            control: SendControl::zeroed(),
            control_len: 0,
            iovecs: self.scratch.iovecs.len() - iovecs_before,
        };
        // A mapped peer goes out as IPv4, and so are its control messages.
        let peer = envelope.peer.ip().to_canonical();
        message.control_len = message.control.write(
            envelope.segment_size,
            envelope.source,
            envelope.traffic_class,
            peer,
        );
        self.scratch.messages.push(message);
    }

    /// Hands the messages to the kernel, in order, and says how many it took: at least one.
    ///
    /// The error is that of the first message: one that strikes later ends the batch.
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one call or the other, under one argument"
    )]
    pub(crate) fn send(self, socket: BorrowedFd<'_>, batching: Batching) -> Result<usize, Errno> {
        let headers = self.scratch.point();
        // SAFETY: each of `headers` was just pointed at
        // - iovecs and perhaps a name and control messages of its own with their true lengths, in
        //   vectors that we hold by `&mut` and that do not move before this returns;
        // - and, through the iovecs, at bytes with their true lengths, all of them pushed since
        //   `begin` emptied the vectors, and so borrowed for `'d`, which outlives `self`.
        let sent = unsafe {
            match batching {
                #[cfg(target_os = "linux")]
                Batching::Many if headers.len() > 1 => send_many(socket, headers)?,
                _ => send_singly(socket, headers)?,
            }
        };
        assert!(sent > 0, "a send that succeeds takes a message");
        Ok(sent)
    }

    /// From now on messages are for a socket of `domain`.
    pub(crate) const fn turn_to(&mut self, domain: Domain, connected: bool) {
        (self.domain, self.connected) = (domain, connected);
    }

    /// The messages, for whoever hands them to the kernel. The pointers are good, and the messages
    /// what was pushed, until the scratch is used again or what was pushed is changed.
    pub(crate) fn finish(self) -> impl Iterator<Item = *const libc::msghdr> {
        let headers = self.scratch.point().iter();
        headers.map(|header| &raw const header.msg_hdr)
    }
}

impl SendScratch {
    /// Points a header at each message.
    fn point(&mut self) -> &mut [Header] {
        let Self {
            messages,
            headers,
            iovecs,
        } = self;
        headers.clear();
        let mut rest = &mut iovecs[..];
        for message in messages.iter_mut() {
            let (own, others) = rest.split_at_mut(message.iovecs);
            rest = others;
            let mut header = empty_header();
            if message.name_len > 0 {
                header.msg_hdr.msg_name = core::ptr::from_mut(&mut message.name).cast();
                header.msg_hdr.msg_namelen = message.name_len;
            }
            header.msg_hdr.msg_iov = own.as_mut_ptr();
            header.msg_hdr.msg_iovlen = own.len() as _;
            if message.control_len > 0 {
                header.msg_hdr.msg_control = message.control.bytes.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = message.control_len as _;
            }
            headers.push(header);
        }
        headers
    }
}

/// Sends with one call.
///
/// # Safety
///
/// Each header points at memory that is initialised, that nobody changes before this returns, and
/// that has the lengths given beside the pointers: name, control messages, iovecs and theirs.
#[cfg(target_os = "linux")]
unsafe fn send_many(socket: BorrowedFd<'_>, headers: &mut [Header]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
    let flags = SEND_FLAGS as _;
    // SAFETY: `headers` are at least `count` headers that we hold exclusively (their lengths are
    // written), and what they point at is the caller's promise; the kernel only reads that, and
    // keeps no pointer after the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    checked(sent as isize)
}

/// Sends with a call for each message.
///
/// # Safety
///
/// As for [`send_many`].
unsafe fn send_singly(socket: BorrowedFd<'_>, headers: &[Header]) -> Result<usize, Errno> {
    for (index, header) in headers.iter().enumerate() {
        // SAFETY: what the header points at is the caller's promise; the kernel only reads it, and
        // keeps no pointer after the call.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header.msg_hdr, SEND_FLAGS) };
        match checked(sent) {
            Ok(_) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
        }
    }
    Ok(headers.len())
}

pub(crate) const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
