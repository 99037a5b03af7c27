//! System calls by the instruction itself, so that nothing of the C library lies in between.
//!
//! Source: `syscall(2)`, "Architecture calling conventions"; the return value is the result, or an
//! error number negated, from -4,095 to -1.

use core::arch::asm;

/// Makes a system call with three arguments.
///
/// # Safety
///
/// The arguments must be what the call demands: pointers among them must be valid for what it does
/// with them. The call must return here, once, and must not change memory that Rust code relies on
/// (so: neither `clone` with a stack of its own nor `munmap` of memory in use).
pub(crate) unsafe fn syscall3(number: usize, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY:
    // - The instruction follows the kernel's convention: the number in rax, arguments in rdi, rsi and
    //   rdx; it changes rax, rcx and r11, which are named as changed, and no other register. It
    //   does not touch the stack.
    // - What the call itself does is what our caller answers for.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above; here the number is in x8, arguments are in x0 to x2, and only x0 changes.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] as isize => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            options(nostack),
        );
    }
    result
}
