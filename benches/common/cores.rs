//! A core for the server and another for the client, so that neither waits for the other's and a
//! round trip is one between cores, as it is between machines.

use std::process::{Command, Stdio};

/// That of the client.
pub(crate) const CLIENT: usize = 0;
/// That of the server.
pub(crate) const SERVER: usize = 1;

/// Keeps this thread, and those that it starts from now on, on this core, if there is one and
/// `taskset` to say so.
pub(crate) fn keep_to(core: usize) {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else {
        return;
    };
    let Some(id) = thread.file_name() else {
        return;
    };
    let asked = Command::new("taskset")
        .args(["-p", "-c", &core.to_string()])
        .arg(id)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    drop(asked);
}
