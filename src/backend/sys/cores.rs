//! Which processor cores a thread runs on.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "sched_setaffinity"))]

use super::Errno;

/// Keeps the calling thread on one core.
#[cfg(target_os = "linux")]
pub(crate) fn pin_to_core(core: usize) -> Result<(), Errno> {
    // SAFETY: a set is plain bits, for which zero is a value: no core.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    if core >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: `core` is one of the bits of the set, as was just asked.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is a set of that size, borrowed during the call; 0 names the calling thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    super::checked_int(result).map(drop)
}

/// Keeps the calling thread on one core: not here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_to_core(_: usize) -> Result<(), Errno> {
    Err(Errno(libc::ENOSYS))
}
