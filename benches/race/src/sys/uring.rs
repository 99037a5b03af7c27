//! io_uring: a receive that goes on by itself, into buffers that are shared with the kernel.
//!
//! Sources: `io_uring_prep_recvmsg_multishot(3)`, `io_uring_setup_buf_ring(3)`.

use core::net::Ipv4Addr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode};

use super::{CONTROL_BYTES, Messages, NAME_BYTES, Peer, read_segment_size};

/// Receives from one socket, as long as the process lives.
pub struct Uring<'s> {
    ring: IoUring,
    socket: BorrowedFd<'s>,
    /// What is asked for with each message.
    template: &'static libc::msghdr,
    entries: NonNull<BufRingEntry>,
    /// Buffers given to the kernel so far, modulo 2^16.
    tail: u16,
    /// All buffers, each of [`EACH`] bytes. Only those that came are read.
    memory: NonNull<u8>,
    /// Buffers that came and were not given back, and how much is in them.
    came: Vec<(u16, usize)>,
    under_way: bool,
}

impl<'s> Uring<'s> {
    /// Begins to receive.
    pub fn new(socket: BorrowedFd<'s>) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(4_096)
            .build(256)?;
        let entries: NonNull<BufRingEntry> = zeroed(usize::from(BUFFERS) * 16)?.cast();
        // SAFETY: there are so many entries there, aligned to a page, and they are never freed.
        unsafe {
            let submitter = ring.submitter();
            submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, BUFFERS, GROUP, 0)?;
        }
        // SAFETY: a header is made of integers and raw pointers, for which all bits zero are a value.
        let mut template: libc::msghdr = unsafe { core::mem::zeroed() };
        template.msg_namelen = NAME_BYTES;
        template.msg_controllen = CONTROL_BYTES;
        let mut uring = Self {
            ring,
            socket,
            template: Box::leak(Box::new(template)),
            entries,
            tail: 0,
            memory: zeroed(usize::from(BUFFERS) * EACH)?,
            came: Vec::with_capacity(usize::from(BUFFERS)),
            under_way: false,
        };
        (0..BUFFERS).for_each(|number| uring.give(number));
        Ok(uring)
    }

    /// Waits until something came, and says how many messages that were. Those that came before go
    /// back to the kernel.
    pub fn wait(&mut self) -> io::Result<usize> {
        let mut came = core::mem::take(&mut self.came);
        for (number, _) in came.drain(..) {
            self.give(number);
        }
        self.came = came;
        while self.came.is_empty() {
            if !self.under_way {
                self.begin()?;
            }
            self.ring.submit_and_wait(1)?;
            for entry in self.ring.completion() {
                self.under_way &= cqueue::more(entry.flags());
                match (entry.result(), cqueue::buffer_select(entry.flags())) {
                    (len @ 0.., Some(number)) => self.came.push((number, len as usize)),
                    (error, _) if error == -libc::ENOBUFS => {}
                    (error, _) => return Err(io::Error::from_raw_os_error(-error)),
                }
            }
        }
        Ok(self.came.len())
    }

    fn begin(&mut self) -> io::Result<()> {
        let fd = Fd(self.socket.as_raw_fd());
        let entry = opcode::RecvMsgMulti::new(fd, self.template, GROUP).build();
        // SAFETY: the socket outlives `self`, and the template and the buffers are never freed.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        self.under_way = pushed.is_ok();
        pushed.map_err(io::Error::other)
    }

    /// Gives a buffer to the kernel.
    fn give(&mut self, number: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `place` is below the number of entries, which were allocated zeroed; the kernel
        // only reads them, and only those that the tail says are there.
        let entry = unsafe { self.entries.add(place).as_mut() };
        // SAFETY: it is one of the buffers.
        let address = unsafe { self.memory.add(usize::from(number) * EACH) };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(EACH as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: there is a first entry; its tail is aligned, and only we write it.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// What is in a buffer that came: a header, a name, control messages, and the payload.
    fn whole(&self, index: usize) -> &[u8] {
        let (number, len) = self.came[index];
        // SAFETY: it is one of the buffers, which were allocated zeroed and are never freed, and the
        // kernel has given it back until we give it again, which takes `&mut self`.
        unsafe {
            let start = self.memory.add(usize::from(number) * EACH);
            core::slice::from_raw_parts(start.as_ptr(), len)
        }
    }
}

impl Messages for Uring<'_> {
    fn len(&self, index: usize) -> usize {
        self.whole(index).len() - PAYLOAD
    }

    fn peer(&self, index: usize) -> Peer {
        let name = &self.whole(index)[HEADER..];
        Peer::new(
            Ipv4Addr::new(name[4], name[5], name[6], name[7]),
            u16::from_be_bytes([name[2], name[3]]),
        )
    }

    fn bytes(&self, index: usize) -> &[u8] {
        &self.whole(index)[PAYLOAD..]
    }

    fn segment_size(&self, index: usize) -> usize {
        let whole = self.whole(index);
        let told = u32::from_ne_bytes([whole[4], whole[5], whole[6], whole[7]]) as usize;
        let control = &whole[HEADER + NAME_BYTES as usize..];
        read_segment_size(&control[..told.min(CONTROL_BYTES)], self.len(index))
    }
}

/// Memory for the kernel that is never freed.
fn zeroed(bytes: usize) -> io::Result<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes, 4_096).map_err(io::Error::other)?;
    // SAFETY: it is more than no bytes.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Buffers, a power of two: as many as ours has.
const BUFFERS: u16 = 64;
const GROUP: u16 = 0;
/// What the kernel says of a message (`struct io_uring_recvmsg_out`).
const HEADER: usize = 16;
const PAYLOAD: usize = HEADER + NAME_BYTES as usize + CONTROL_BYTES;
/// Bytes of a buffer: the longest message behind what is said of it.
const EACH: usize = PAYLOAD + 65_535;
