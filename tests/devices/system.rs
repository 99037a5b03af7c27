//! Networks of a test's own, and what only system calls can do to them.
#![allow(unsafe_code, reason = "unshare and capset have no other door")]

use std::fs::File;
use std::io;
use std::process::Command;
use std::thread;

/// Tells a story in a network of its own, which is gone when it ends; or says that it is skipped.
pub(crate) fn in_own_network(name: &str, story: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let told = scope.spawn(|| {
            if let Err(error) = leave_network() {
                eprintln!("skipped: {name}: needs CAP_NET_ADMIN and CAP_SYS_ADMIN ({error})");
                return;
            }
            if let Err(error) = File::open("/dev/net/tun") {
                eprintln!("skipped: {name}: needs /dev/net/tun ({error})");
                return;
            }
            story();
        });
        if let Err(panic) = told.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Moves this thread, and what it starts from now on, to a new network with nothing but `lo`. What
/// was opened before stays where it was.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: no pointers are passed; it is a matter of this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes the right to configure networks from this thread.
pub(crate) fn give_up_network_administration() {
    const VERSION_3: u32 = 0x2008_0522;
    const NET_ADMIN: u32 = 1 << 12;
    let header = [VERSION_3, 0];
    let mut sets = [0_u32; 6]; // Effective, permitted, inheritable; twice 32 bits.
    // SAFETY: both point at as many words as version 3 has, which live during the call.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    assert_eq!(got, 0, "capget");
    sets[..3].iter_mut().for_each(|set| *set &= !NET_ADMIN);
    // SAFETY: as above; a thread may always give up a capability.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    assert_eq!(set, 0, "capset");
}

/// Runs `ip` in this network.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.expect("iproute2 is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a device of this name exists in this network.
pub(crate) fn exists(device: &str) -> bool {
    let all = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    all.lines()
        .any(|line| line.trim().starts_with(&format!("{device}:")))
}

/// How many netlink sockets are open in this network.
pub(crate) fn netlink_sockets() -> usize {
    let all = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    all.lines().count()
}
