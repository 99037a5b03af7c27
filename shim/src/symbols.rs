//! The symbols. A linker takes the first definition it meets, so those of a binary go before the C
//! library's, for everything that is linked into the binary.
//!
//! Each keeps the contract of the manual page it is named after: `getrandom(2)`, `getentropy(3)`,
//! `clock_gettime(2)`, `gettimeofday(2)`, `time(2)`, `syscall(2)`. None of them unwinds, allocates
//! or locks while the shim is off.

use core::arch::naked_asm;
use core::ffi::{c_int, c_long, c_uint, c_void};
use core::hint::black_box;
use core::time::Duration;

use crate::raw::syscall3;
use crate::state::{WhichClock, fill, is_on, now};

/// Makes sure that the symbols are linked: called by whoever switches the shim on.
pub(crate) fn keep() {
    black_box(getrandom as *const c_void);
    black_box(getentropy as *const c_void);
    black_box(clock_gettime as *const c_void);
    black_box(gettimeofday as *const c_void);
    black_box(time as *const c_void);
    black_box(syscall as *const c_void);
}

/// Fills memory with chance.
///
/// # Safety
///
/// As `getrandom(2)`: `buffer` is valid for writes of `len` bytes, or whatever the kernel refuses.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { give_random(buffer, len, flags) }
}

/// The same, also for who asks by `syscall`.
///
/// # Safety
///
/// As [`getrandom`].
unsafe extern "C" fn give_random(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    // A null pointer is for the kernel to refuse; as it refuses flags that it does not know.
    let known = flags & !(libc::GRND_NONBLOCK | libc::GRND_RANDOM | libc::GRND_INSECURE) == 0;
    if is_on() && !buffer.is_null() && known {
        // As many as the kernel gives in one go.
        let len = len.min(RANDOM_BYTES_MAX);
        // SAFETY: the pointer is not null, bytes need no alignment, and the caller promises that
        // `len` of them are valid for writes, and nobody else's for the duration of the call.
        // They may be uninitialised, so they are zeroed before a reference to them is made.
        unsafe { buffer.cast::<u8>().write_bytes(0, len) };
        // SAFETY: as above, and they are initialised by now.
        let bytes = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) };
        if fill(bytes).is_some() {
            return len.cast_signed();
        }
    }
    let arguments = [buffer.addr(), len, flags as usize];
    // SAFETY: `getrandom` writes at most `len` bytes to `buffer`, which is what the caller promises.
    fail_or(unsafe { syscall3(SYS_GETRANDOM, arguments) })
}

/// Fills at most 256 bytes with chance, all or none.
///
/// # Safety
///
/// As `getentropy(3)`: `buffer` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, len: usize) -> c_int {
    if len > 256 {
        set_errno(libc::EIO);
        return -1;
    }
    let mut filled = 0;
    while filled < len {
        let rest = buffer.wrapping_byte_add(filled);
        // SAFETY: the part of the caller's buffer that is not filled yet.
        let given = unsafe { give_random(rest, len - filled, 0) };
        if let Ok(given) = usize::try_from(given) {
            filled += given;
        } else if errno() != libc::EINTR {
            return -1;
        }
    }
    0
}

/// Says what a clock says.
///
/// # Safety
///
/// As `clock_gettime(2)`: `time` is valid for the write of a `timespec`, or whatever the kernel
/// refuses.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's promise is the one that is asked for.
    let answer = unsafe { give_time(clock, time) };
    if answer == 0 { 0 } else { -1 }
}

/// The same, also for who asks by `syscall`.
///
/// # Safety
///
/// As [`clock_gettime`].
unsafe extern "C" fn give_time(clock: libc::clockid_t, time: *mut libc::timespec) -> isize {
    if !time.is_null()
        && let Some(which) = which_clock(clock)
        && let Some(now) = now(which)
    {
        // SAFETY: the pointer is not null, and the caller promises that it is valid for this write.
        unsafe { time.write(timespec(now)) };
        return 0;
    }
    let arguments = [clock.cast_unsigned() as usize, time.addr(), 0];
    // SAFETY: `clock_gettime` writes a `timespec` to `time`, which is what the caller promises.
    fail_or(unsafe { syscall3(SYS_CLOCK_GETTIME, arguments) })
}

/// Says what the wall clock says, in microseconds.
///
/// # Safety
///
/// As `gettimeofday(2)`: `time` is null or valid for the write of a `timeval`, `zone` null or valid
/// for the write of a `timezone` (two numbers of 32 bits).
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut [c_int; 2]) -> c_int {
    let now = wall_time();
    if !time.is_null() {
        let told = libc::timeval {
            tv_sec: now.tv_sec,
            tv_usec: now.tv_nsec / 1_000,
        };
        // SAFETY: not null, and the caller promises that it is valid for this write.
        unsafe { time.write(told) };
    }
    if !zone.is_null() {
        // As the C library, which leaves the zone to others.
        // SAFETY: not null, and the caller promises that it is valid for this write.
        unsafe { zone.write([0; 2]) };
    }
    0
}

/// Says what the wall clock says, in seconds.
///
/// # Safety
///
/// As `time(2)`: `place` is null or valid for the write of a `time_t`.
#[unsafe(no_mangle)]
unsafe extern "C" fn time(place: *mut libc::time_t) -> libc::time_t {
    let now = wall_time().tv_sec;
    if !place.is_null() {
        // SAFETY: not null, and the caller promises that it is valid for this write.
        unsafe { place.write(now) };
    }
    now
}

/// Any system call. All but those that ask for chance or time go to the kernel as they are.
///
/// It has no frame of its own, as the C library's has none: a call from which the child of a
/// `clone` returns too, on another stack, works as it does there.
///
/// # Safety
///
/// Whatever the call demands.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    // Reached like any function of the System V ABI: number and five arguments in rdi, rsi, rdx, rcx,
    // r8 and r9, the sixth behind the return address on the stack. Whole numbers are passed in these
    // whether or not a function takes a variable number of them. The kernel wants the number in rax
    // and arguments in rdi, rsi, rdx, r10, r8 and r9, and changes rax, rcx and r11, which are the
    // caller's to save. The stack is as we were given it when another function is jumped to, which
    // then returns to our caller. Calls with fewer arguments have us read one that is not there: it
    // is memory of the caller's frame, and the kernel does not look at it.
    naked_asm!(
        "cmp rdi, {random}",
        "je 2f",
        "cmp rdi, {time}",
        "je 3f",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        "cmp rax, -4095",
        "jae 4f",
        "ret",
        "2:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "jmp {give_random}",
        "3:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "jmp {give_time}",
        "4:",
        "mov rdi, rax",
        "jmp {fail}",
        random = const SYS_GETRANDOM,
        time = const SYS_CLOCK_GETTIME,
        give_random = sym give_random,
        give_time = sym give_time,
        fail = sym fail_or,
    )
}

/// Any system call. All but those that ask for chance or time go to the kernel as they are.
///
/// # Safety
///
/// Whatever the call demands.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    // As on x86-64. The procedure call standard passes number and arguments in x0 to x6, also to
    // functions that take a variable number of them (on Linux); the kernel wants the number in x8 and
    // arguments in x0 to x5, and changes x0 alone. The link register is the caller's throughout.
    naked_asm!(
        "cmp x0, {random}",
        "b.eq 2f",
        "cmp x0, {time}",
        "b.eq 3f",
        "mov x8, x0",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "mov x3, x4",
        "mov x4, x5",
        "mov x5, x6",
        "svc #0",
        "cmn x0, #4095",
        "b.cs 4f",
        "ret",
        "2:",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "b {give_random}",
        "3:",
        "mov x0, x1",
        "mov x1, x2",
        "b {give_time}",
        "4:",
        "b {fail}",
        random = const SYS_GETRANDOM,
        time = const SYS_CLOCK_GETTIME,
        give_random = sym give_random,
        give_time = sym give_time,
        fail = sym fail_or,
    )
}

/// Which clock a number of `clock_gettime(2)` means. `None` for those of processes and descriptors.
const fn which_clock(clock: libc::clockid_t) -> Option<WhichClock> {
    match clock {
        libc::CLOCK_REALTIME
        | libc::CLOCK_REALTIME_COARSE
        | libc::CLOCK_REALTIME_ALARM
        | libc::CLOCK_TAI => Some(WhichClock::Wall),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME
        | libc::CLOCK_BOOTTIME_ALARM
        | libc::CLOCK_PROCESS_CPUTIME_ID
        | libc::CLOCK_THREAD_CPUTIME_ID => Some(WhichClock::Steady),
        _ => None,
    }
}

/// The wall clock, the simulation's or the real one.
fn wall_time() -> libc::timespec {
    let mut told = timespec(Duration::ZERO);
    // SAFETY: `told` is ours, and valid for the write.
    let answer = unsafe { give_time(libc::CLOCK_REALTIME, &raw mut told) };
    assert!(answer == 0, "the wall clock says nothing");
    told
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// What the C library makes of the kernel's answer: an error is -1, and its number in `errno`.
extern "C" fn fail_or(answer: isize) -> isize {
    if !(-4_095..0).contains(&answer) {
        return answer;
    }
    set_errno(i32::try_from(-answer).unwrap_or(libc::EIO));
    -1
}

fn set_errno(number: c_int) {
    // SAFETY: it has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own, for as long as the thread lives.
    unsafe { place.write(number) };
}

fn errno() -> c_int {
    // SAFETY: it has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own, for as long as the thread lives.
    unsafe { place.read() }
}

/// What `getrandom(2)` gives at most.
const RANDOM_BYTES_MAX: usize = 33_554_431;

#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const SYS_GETRANDOM: usize = libc::SYS_getrandom as usize;

#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const SYS_CLOCK_GETTIME: usize = libc::SYS_clock_gettime as usize;
