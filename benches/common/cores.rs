//! A core for the server and another for the client, so that neither waits for the other's and a
//! round trip is one between cores, as it is between machines.

use std::process::{Command, Stdio};

/// Where a thread, and those that it starts, may run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Core {
    Client,
    Server,
}

/// Keeps this thread, and those that it starts from now on, on a core of their own, if there are two
/// and `taskset` to say so.
pub(crate) fn keep_to(core: Core) {
    let Ok(thread) = std::fs::read_link("/proc/thread-self") else {
        return;
    };
    let Some(id) = thread.file_name() else {
        return;
    };
    let core = match core {
        Core::Client => "0",
        Core::Server => "1",
    };
    let asked = Command::new("taskset")
        .args(["-p", "-c", core])
        .arg(id)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    drop(asked);
}
