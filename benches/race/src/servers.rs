//! The contestants: who serves, and what each of them can do.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Write};

use stillpoint::backend::BackendKind;

use crate::job::Job;

mod floor;
mod floor_tcp;
mod mio_loops;
mod monoio_tasks;
mod ours;
mod tokio_tasks;

/// One of those that are measured.
#[derive(Debug, Clone)]
pub struct Contestant {
    pub name: String,
    /// The floor that makes the same system calls, with nothing around them.
    pub floor: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Floor(floor::Waiting, floor::Told),
    Ours(BackendKind),
    /// Ours, looking on for a while before it sleeps.
    Spinning(BackendKind),
    Tokio,
    Mio,
    QuinnUdp,
    Monoio,
    /// In a program of its own.
    Predecessor,
}

/// What all others are compared with.
pub const REFERENCE: &str = "tokio";
/// How those of ours end that spin.
pub const SPINNING: &str = "-spinning";
/// How long those look on: longer than what lies between two round trips.
const SPIN_MAX: Duration = Duration::from_millis(1);
/// Waits with epoll.
pub const FLOOR: &str = "floor";
/// Waits with `poll(2)`.
const FLOOR_POLL: &str = "floor-poll";
/// Waits with epoll and does all that the crate `polling` does around that.
const FLOOR_POLLING: &str = "floor-polling";
/// Receives with io_uring, by itself into buffers that the kernel chooses. Has no streams: those over
/// io_uring are read and written by calls, as after any other wait.
const FLOOR_URING: &str = "floor-io-uring";
/// Waits with epoll and asks for no control messages.
const FLOOR_BARE: &str = "floor-bare";

impl Contestant {
    /// All of them, in the order of the tables.
    pub fn all() -> Vec<Self> {
        use floor::{Told, Waiting};
        let floors = [
            (FLOOR, Waiting::Epoll, Told::AsOurs),
            (FLOOR_POLL, Waiting::Poll, Told::AsOurs),
            (FLOOR_POLLING, Waiting::Polling, Told::AsOurs),
            (FLOOR_URING, Waiting::Uring, Told::AsOurs),
            (FLOOR_BARE, Waiting::Epoll, Told::Nothing),
        ];
        let floors =
            floors.map(|(name, waiting, told)| Self::new(name, FLOOR, Kind::Floor(waiting, told)));
        let mut all: Vec<Self> = floors.into();
        for &backend in BackendKind::ALL {
            let name = format!("ours-{}", backend.name());
            let floor = match backend.name() {
                "poll" => FLOOR_POLL,
                "polling" => FLOOR_POLLING,
                "io-uring" => FLOOR_URING,
                _ => FLOOR,
            };
            all.push(Self::new(&name, floor, Kind::Ours(backend)));
        }
        for &backend in BackendKind::ALL {
            let name = format!("ours-{}{SPINNING}", backend.name());
            all.push(Self::new(&name, FLOOR, Kind::Spinning(backend)));
        }
        let others = [
            (REFERENCE, Kind::Tokio),
            ("mio", Kind::Mio),
            ("quinn-udp", Kind::QuinnUdp),
            ("monoio", Kind::Monoio),
            ("predecessor-poll", Kind::Predecessor),
            ("predecessor-polling", Kind::Predecessor),
        ];
        all.extend(others.map(|(name, kind)| Self::new(name, FLOOR, kind)));
        all
    }

    fn new(name: &str, floor: &'static str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            floor,
            kind,
        }
    }

    /// Whether it pays for latency with CPU.
    pub const fn is_spinning(&self) -> bool {
        matches!(self.kind, Kind::Spinning(_))
    }

    /// Whether it can do that at all.
    pub const fn does(&self, job: Job) -> bool {
        use floor::{Told, Waiting};
        let has_streams = !matches!(
            self.kind,
            Kind::QuinnUdp
                | Kind::Predecessor
                | Kind::Floor(Waiting::Uring, _)
                | Kind::Floor(_, Told::Nothing)
        );
        has_streams || !matches!(job, Job::TcpEcho)
    }

    /// Whether it is in a program of its own.
    pub const fn is_apart(&self) -> bool {
        matches!(self.kind, Kind::Predecessor)
    }

    /// Does it until the process ends.
    pub fn serve(&self, job: Job) -> io::Result<()> {
        match (self.kind, job) {
            (Kind::Floor(waiting, _), Job::TcpEcho) => floor_tcp::serve(waiting),
            (Kind::Floor(waiting, told), _) => floor::serve(waiting, told, job),
            (Kind::Ours(backend), _) => ours::serve(backend, job, Duration::ZERO),
            (Kind::Spinning(backend), _) => ours::serve(backend, job, SPIN_MAX),
            (Kind::Tokio, _) => tokio_tasks::serve(job),
            (Kind::Mio, _) => mio_loops::plain(job),
            (Kind::QuinnUdp, _) => mio_loops::quinn(job),
            (Kind::Monoio, _) => monoio_tasks::serve(job),
            (Kind::Predecessor, _) => Err(io::Error::other("it is in a program of its own")),
        }
    }
}

/// Tells the process that measures where the server is.
fn listening(address: SocketAddr) -> io::Result<()> {
    let mut to = io::stdout().lock();
    writeln!(to, "{address}")?;
    to.flush()
}
