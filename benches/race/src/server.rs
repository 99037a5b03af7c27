//! A contestant's server: a process of its own, on a core of its own.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::job::Job;
use crate::servers::Contestant;
use crate::sys;

/// A server that runs until it is dropped.
pub struct Server {
    process: Child,
    address: SocketAddr,
}

/// Where server and generator are.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub server: usize,
    pub generator: usize,
}

/// What has this program serve instead of measure: the contestant and the job follow.
pub const SERVE: &str = "serve";

impl Server {
    /// Starts a contestant on a core, and waits until it listens. Goes on on another core.
    pub fn start(
        program: &Path,
        contestant: &Contestant,
        job: Job,
        cores: Cores,
    ) -> io::Result<Self> {
        // A process is born where its parent is.
        stay_on(cores.server)?;
        let started = Command::new(program)
            .args([SERVE, &contestant.name, &job.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        stay_on(cores.generator)?;
        let mut process = started?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self { process, address }),
            Err(_) => {
                drop(process.kill());
                let status = process.wait()?;
                Err(io::Error::other(format!("it does not start: {status}")))
            }
        }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        sys::cpu_time(self.process.id())
    }

    /// Memory that is its own and nobody else's, in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = std::fs::read_to_string(path)?;
        let own = text.lines().filter(|line| line.starts_with("Private_"));
        let kilobytes = own.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kilobytes.sum::<u64>() * 1_024)
    }

    /// How often its threads went to sleep so far.
    pub fn switches(&self) -> io::Result<u64> {
        let mut all = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = std::fs::read_to_string(thread?.path().join("status"))?;
            let line = text.lines().find(|line| line.starts_with("voluntary_ctxt"));
            let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            all += count.unwrap_or(0);
        }
        Ok(all)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The other end of [`Server::start`]: serves until the process is ended.
pub fn serve(arguments: &[String]) -> io::Result<()> {
    let [name, job] = arguments else {
        return Err(io::Error::other("a contestant and a job are wanted"));
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let contestant = Contestant::all().into_iter().find(|one| one.name == *name);
    let contestant = contestant.ok_or_else(|| io::Error::other("no such contestant"))?;
    contestant.serve(job.parse().map_err(io::Error::other)?)
}

/// Keeps this thread, and those that it starts, on one core.
fn stay_on(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
        .map_err(|error| io::Error::other(format!("core {core}: {error} (see --cores)")))
}
