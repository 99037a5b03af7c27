//! The header that goes with a message to the kernel and back.
#![expect(
    unsafe_code,
    reason = "a C structure with private padding on some systems"
)]

/// Whether one system call carries several messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// Several: `recvmmsg` and `sendmmsg`.
    #[cfg(target_os = "linux")]
    Many,
    /// One: `recvmsg` and `sendmsg`, which every Unix has.
    #[cfg_attr(target_os = "linux", allow(dead_code, reason = "chosen by tests"))]
    Single,
}

impl Batching {
    /// What this system is best at.
    #[cfg(target_os = "linux")]
    pub(crate) const BEST: Self = Self::Many;

    /// What this system is best at.
    #[cfg(not(target_os = "linux"))]
    pub(crate) const BEST: Self = Self::Single;

    pub(crate) const fn is_many(self) -> bool {
        !matches!(self, Self::Single)
    }
}

#[cfg(target_os = "linux")]
pub(super) type Header = libc::mmsghdr;

#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) msg_hdr: libc::msghdr,
    pub(super) msg_len: libc::c_uint,
}

/// Bytes that the kernel is to read.
pub(super) const fn to_be_read(part: &[u8]) -> libc::iovec {
    libc::iovec {
        // It only reads through it; the type is shared with receiving.
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    }
}

/// A header that points nowhere.
pub(super) const fn empty_header() -> Header {
    // SAFETY: a header is made of integers and raw pointers, for which all bits zero are a value.
    unsafe { core::mem::zeroed() }
}
