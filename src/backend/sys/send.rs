//! Sends a batch of messages out of borrowed memory.
#![expect(unsafe_code, reason = "sendmsg and sendmmsg")]

use core::marker::PhantomData;
use core::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::{Domain, Name};
use super::control::SendControl;
use super::message::{Batching, Header, empty_header};
use super::{Errno, checked};
use crate::net::Ecn;

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
    data: PhantomData<&'d [u8]>,
}

/// Where a message goes and what the kernel is to be told with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) peer: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) ecn: Ecn,
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

    /// An empty batch for a socket of `domain`.
    pub(crate) fn begin<'d>(&mut self, domain: Domain) -> SendBatch<'_, 'd> {
        self.messages.clear();
        self.iovecs.clear();
        SendBatch {
            scratch: self,
            domain,
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
        self.scratch.iovecs.extend(parts.map(|part| libc::iovec {
            // The kernel only reads through it; the type is shared with receiving.
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        }));
        let (name, name_len) = Name::encode(&envelope.peer, self.domain);
        let mut message = Message {
            name,
            name_len,
            control: SendControl::zeroed(),
            control_len: 0,
            iovecs: self.scratch.iovecs.len() - iovecs_before,
        };
        // A mapped peer goes out as IPv4, and so are its control messages.
        let peer = envelope.peer.ip().to_canonical();
        message.control_len =
            message
                .control
                .write(envelope.segment_size, envelope.source, envelope.ecn, peer);
        self.scratch.messages.push(message);
    }

    /// Hands the messages to the kernel, in order, and says how many it took: at least one.
    ///
    /// The error is that of the first message: one that strikes later ends the batch.
    pub(crate) fn send(self, socket: BorrowedFd<'_>, batching: Batching) -> Result<usize, Errno> {
        let SendScratch {
            messages,
            headers,
            iovecs,
        } = self.scratch;
        headers.clear();
        let mut rest = &mut iovecs[..];
        for message in messages.iter_mut() {
            let (own, others) = rest.split_at_mut(message.iovecs);
            rest = others;
            let mut header = empty_header();
            header.msg_hdr.msg_name = core::ptr::from_mut(&mut message.name).cast();
            header.msg_hdr.msg_namelen = message.name_len;
            header.msg_hdr.msg_iov = own.as_mut_ptr();
            header.msg_hdr.msg_iovlen = own.len() as _;
            if message.control_len > 0 {
                header.msg_hdr.msg_control = message.control.bytes.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = message.control_len as _;
            }
            headers.push(header);
        }
        let sent = match batching {
            #[cfg(target_os = "linux")]
            Batching::Many if headers.len() > 1 => send_many(socket, headers)?,
            _ => send_singly(socket, headers)?,
        };
        assert!(sent > 0, "a send that succeeds takes a message");
        Ok(sent)
    }
}

/// Sends with one call. Private: `send` has pointed every header at memory that it borrows.
#[cfg(target_os = "linux")]
fn send_many(socket: BorrowedFd<'_>, headers: &mut [Header]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY:
    // - `headers` are `count` initialised headers that we hold exclusively.
    // - Each points at a name, at iovecs and perhaps at control messages with their true lengths,
    //   in vectors that `send`, our only caller, holds by `&mut` and does not move.
    // - Each iovec points at bytes that were borrowed for `'d`, which outlives the `SendBatch`
    //   that `send` consumes; the kernel only reads them, and keeps no pointer after the call.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            SEND_FLAGS as _,
        )
    };
    checked(sent as isize)
}

/// Sends with a call for each message. Private as `send_many` is.
fn send_singly(socket: BorrowedFd<'_>, headers: &[Header]) -> Result<usize, Errno> {
    for (index, header) in headers.iter().enumerate() {
        // SAFETY: as in `send_many`, for one header.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header.msg_hdr, SEND_FLAGS) };
        match checked(sent) {
            Ok(_) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
        }
    }
    Ok(headers.len())
}

const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
