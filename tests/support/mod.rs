//! Tasks for the tests of the thread runtime: each does one thing.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a module of several test programs"
)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};

#[derive(Debug)]
pub struct Probe;

impl App for Probe {
    type Channel = ();
    type Message = ();
    type Command = Command;
    type Report = Report;
    type Spawn = Kind;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Panic,
    Ping,
    Spin,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    Started {
        thread: String,
    },
    Bound(SocketAddr),
    BindFailed(SocketAddr, NetworkError),
    Received {
        now: Timestamp,
        datagrams: Vec<Vec<u8>>,
    },
    Socket(SocketAddr, NetworkError),
    SendFailed(SocketAddr, NetworkError),
    TimedOut {
        wanted: Timestamp,
        now: Timestamp,
    },
    Pong,
}

/// What a probe does.
#[derive(Debug)]
pub enum Kind {
    /// Reports its thread, and what it is told.
    Plain,
    /// Does not finish when told to.
    Stubborn,
    /// Blocks its thread until this has something, or is closed.
    Blocks(Receiver<()>),
    /// Counts itself while it lives.
    Counted(Arc<AtomicUsize>),
    /// Opens a socket and reports what comes.
    Socket(UdpOpen),
    /// Opens a socket and sends this once.
    Sends(SocketAddr, Vec<u8>),
    /// Wants a timeout so long after its start, so often.
    Ticks(Duration, u32),
    /// Cannot be made.
    Impossible,
}

pub struct ProbeTask {
    kind: Kind,
    next_tick: Option<Timestamp>,
    outbox: Outbox<Probe>,
}

pub fn spawn(kind: Kind, spawner: Spawner<'_, Probe>) -> Spawned {
    if matches!(kind, Kind::Impossible) {
        return spawner.refuse("it is impossible");
    }
    if let Kind::Counted(alive) = &kind {
        alive.fetch_add(1, Ordering::SeqCst);
    }
    spawner.insert(ProbeTask {
        kind,
        next_tick: None,
        outbox: Outbox::new(),
    })
}

impl ProbeTask {
    fn started(&mut self, now: Timestamp) {
        match &mut self.kind {
            Kind::Plain => {
                let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
                let thread = thread.display().to_string();
                self.outbox.report(Report::Started { thread });
            }
            Kind::Blocks(gate) => drop(gate.recv()),
            Kind::Socket(open) => self.outbox.open_udp(*open),
            Kind::Sends(peer, _) => {
                let any = if peer.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                self.outbox
                    .open_udp(UdpOpen::new(Token(0), any.parse().unwrap()));
            }
            Kind::Ticks(after, _) => self.next_tick = Some(now.after(*after)),
            Kind::Stubborn | Kind::Counted(_) | Kind::Impossible => {}
        }
    }

    fn network(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::UdpOpened { socket, local, .. } => {
                if let Kind::Sends(peer, payload) = &self.kind {
                    self.outbox
                        .send(socket, *peer, stillpoint::Buffer::copy_from(payload));
                }
                self.outbox.report(Report::Bound(local));
            }
            NetworkEvent::UdpOpenFailed { bind, error, .. } => {
                self.outbox.report(Report::BindFailed(bind, error));
            }
            NetworkEvent::Datagrams { run, .. } => {
                let datagrams = run.iter().map(<[u8]>::to_vec).collect();
                self.outbox.report(Report::Received { now, datagrams });
            }
            NetworkEvent::SocketError {
                peer: Some(peer),
                error,
                ..
            } => {
                self.outbox.report(Report::Socket(peer, error));
            }
            NetworkEvent::SendFailed { peer, error, .. } => {
                self.outbox.report(Report::SendFailed(peer, error));
            }
            event => panic!("nobody expected {event:?}"),
        }
    }
}

impl Task for ProbeTask {
    type App = Probe;

    fn handle_input(&mut self, now: Timestamp, input: Input<Probe>) {
        match input {
            Input::Started(_) => self.started(now),
            Input::Network(event) => self.network(now, event),
            Input::Timeout => {
                let Kind::Ticks(after, left) = &mut self.kind else {
                    return;
                };
                let wanted = self.next_tick.take().expect("a timeout was wanted");
                self.outbox.report(Report::TimedOut { wanted, now });
                *left -= 1;
                self.next_tick = (*left > 0).then(|| now.after(*after));
            }
            Input::Command(Command::Panic) => panic!("told to"),
            Input::Command(Command::Ping) => self.outbox.report(Report::Pong),
            Input::Command(Command::Spin) => {
                (0..=10_000).for_each(|_| self.outbox.report(Report::Pong))
            }
            Input::Shutdown if !matches!(self.kind, Kind::Stubborn) => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Probe>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next_tick.map(|at| Deadline::new(at, "tick"))
    }
}

impl Drop for ProbeTask {
    fn drop(&mut self) {
        if let Kind::Counted(alive) = &self.kind {
            alive.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A runtime of probes over the default backend.
pub fn start(workers: u16) -> Controller<Probe> {
    start_over(BackendKind::default(), workers)
}

/// A runtime of probes over this backend.
pub fn start_over(backend: BackendKind, workers: u16) -> Controller<Probe> {
    Controller::start(RuntimeConfig::new(backend).workers(workers), spawn).unwrap()
}

/// The next event of interest: `pick` says which. Fails after a while.
pub fn next<R>(
    controller: &mut Controller<Probe>,
    mut pick: impl FnMut(&ControllerEvent<Probe>) -> Option<R>,
) -> R {
    let mut seen = Vec::new();
    while let Some(event) = controller.wait(Some(PATIENCE)) {
        if let Some(picked) = pick(&event) {
            return picked;
        }
        seen.push(event);
    }
    panic!("nothing of interest within {PATIENCE:?}; saw {seen:?}");
}

/// The next report.
pub fn report(controller: &mut Controller<Probe>) -> Report {
    let mut found = None;
    while found.is_none() {
        let event = controller.wait(Some(PATIENCE)).expect("a report in time");
        if let ControllerEvent::Report { report, .. } = event {
            found = Some(report);
        }
    }
    found.unwrap()
}

/// What nothing takes on a working machine, however loaded.
pub const PATIENCE: Duration = Duration::from_secs(20);
