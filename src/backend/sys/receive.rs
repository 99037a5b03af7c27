//! Receives a batch of messages into buffers.
#![expect(unsafe_code, reason = "recvmsg and recvmmsg")]

use core::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::Name;
use super::control::{PacketInfo, ReceiveControl, read_info};
use super::message::{Batching, Header, empty_header};
use super::{Errno, checked};
use crate::buffer::Buffer;

/// The arrays that a receive of several messages needs, kept from one call to the next.
///
/// Between calls the pointers in them are stale; each call writes all those that it uses.
pub(crate) struct ReceiveBatch {
    headers: Vec<Header>,
    iovecs: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<ReceiveControl>,
}

/// What came with one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// Bytes of it in the buffer.
    pub(crate) len: usize,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) info: PacketInfo,
    pub(crate) whole: Whole,
}

/// Whether all bytes of a message fitted the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    CutShort,
}

impl ReceiveBatch {
    /// For at most `messages_max` messages a call.
    pub(crate) fn new(messages_max: usize) -> Self {
        let nowhere = libc::iovec {
            iov_base: core::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            headers: vec![empty_header(); messages_max],
            iovecs: vec![nowhere; messages_max],
            names: vec![Name::zeroed(); messages_max],
            controls: vec![ReceiveControl::zeroed(); messages_max],
        }
    }

    /// Receives what is there, at most one message into the unfilled part of each buffer, and says
    /// how many there were. Never waits.
    ///
    /// The error counts only for the first message: one that strikes later ends the batch.
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one call or the other, under one argument"
    )]
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: &mut [Buffer],
        batching: Batching,
    ) -> Result<usize, Errno> {
        assert!(buffers.len() <= self.headers.len());
        let count = buffers.len();
        let arrays = (self.iovecs.iter_mut().zip(&mut self.names)).zip(&mut self.controls);
        for ((header, buffer), ((iovec, name), control)) in
            self.headers.iter_mut().zip(buffers).zip(arrays)
        {
            let memory = buffer.unfilled();
            iovec.iov_base = memory.as_mut_ptr().cast();
            iovec.iov_len = memory.len();
            let message = &mut header.msg_hdr;
            message.msg_name = core::ptr::from_mut(name).cast();
            message.msg_namelen = Name::LEN;
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            message.msg_control = control.bytes.as_mut_ptr().cast();
            message.msg_controllen = control.bytes.len() as _;
            message.msg_flags = 0;
        }
        let headers = &mut self.headers[..count];
        // SAFETY: each of `headers` was just pointed at
        // - a name, an iovec and a control area of its own with their true lengths, in vectors that
        //   we hold by `&mut self` and that do not move before this returns;
        // - and, through the iovec, at the unfilled part of a buffer of its own with its true
        //   length. We hold the buffers by `&mut`, and `unfilled` gives memory nobody shares.
        unsafe {
            match batching {
                #[cfg(target_os = "linux")]
                Batching::Many => receive_many(socket, headers),
                Batching::Single => receive_singly(socket, headers),
            }
        }
    }

    /// What came with message `index` of the last batch.
    pub(crate) fn received(&self, index: usize) -> Received {
        let Header { msg_hdr, msg_len } = &self.headers[index];
        let control = &self.controls[index].bytes;
        let control = &control[..written(msg_hdr).min(control.len())];
        Received {
            len: *msg_len as usize,
            peer: self.names[index].decode(msg_hdr.msg_namelen),
            info: read_info(control),
            whole: if msg_hdr.msg_flags & libc::MSG_TRUNC == 0 {
                Whole::Yes
            } else {
                Whole::CutShort
            },
        }
    }
}

/// Bytes of control messages that the kernel wrote.
#[allow(clippy::unnecessary_cast, reason = "a `usize` on some systems only")]
pub(super) const fn written(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}

/// Receives with one call.
///
/// # Safety
///
/// Each header points at memory that is initialised, that the caller holds exclusively, and that
/// has the lengths given beside the pointers: a name, control messages, iovecs and theirs.
#[cfg(target_os = "linux")]
unsafe fn receive_many(socket: BorrowedFd<'_>, headers: &mut [Header]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: `headers` are at least `count` headers that we hold exclusively, what they point at
    // is the caller's promise, and the timeout may be null. The kernel keeps no pointer after the
    // call.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT as _,
            core::ptr::null_mut(),
        )
    };
    checked(received as isize)
}

/// Receives with a call for each message.
///
/// # Safety
///
/// As for [`receive_many`].
unsafe fn receive_singly(socket: BorrowedFd<'_>, headers: &mut [Header]) -> Result<usize, Errno> {
    for (index, header) in headers.iter_mut().enumerate() {
        // SAFETY: we hold the header exclusively, and what it points at is the caller's promise.
        // The kernel keeps no pointer after the call.
        let received =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header.msg_hdr, libc::MSG_DONTWAIT) };
        match checked(received) {
            Ok(len) => header.msg_len = libc::c_uint::try_from(len).unwrap_or(libc::c_uint::MAX),
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
        }
    }
    Ok(headers.len())
}
