//! The load generator: the same for all contestants, and with nothing of any of them in it.
//!
//! It never sleeps while it measures, and knows how much of its time it found nothing to do: what
//! is left of that says whether a figure is the server's or the generator's.

use core::time::Duration;
use std::io;
use std::time::Instant;

use crate::case::Load;
use crate::job::Job;
use crate::server::Server;

mod latency;
mod standing;
mod tcp;
mod udp;

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// What is not measured before.
    pub warm_up: Duration,
    pub round: Duration,
    /// The same where single round trips are counted, of which there have to be many.
    pub latency: Duration,
}

/// What one round came to.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// What the case is about, in its own unit.
    pub figure: f64,
    /// CPU time of the server for each datagram or message, in nanoseconds.
    pub cpu: Option<f64>,
    /// The part of its time in which the generator had something to do, and so could not do more.
    pub busy: Option<f64>,
    /// Datagrams that were sent and never came.
    pub lost: Option<f64>,
    /// What else was measured.
    pub more: Vec<(&'static str, f64)>,
}

/// What a generator prepares before the server is started, since the server is told of it.
pub enum Prepared {
    Udp(udp::Peers),
    Nothing,
}

/// Prepares for a load, and says what the server's job is.
pub fn prepare(load: &Load) -> io::Result<(Job, Prepared)> {
    Ok(match *load {
        Load::UdpEcho { peers, .. } | Load::UdpIdle { peers } => {
            (Job::UdpEcho, Prepared::Udp(udp::Peers::new(peers)?))
        }
        Load::UdpSink { peers, .. } => (Job::UdpSink, Prepared::Udp(udp::Peers::new(peers)?)),
        Load::FanOut { .. } => {
            // Its own address is not one of the viewers', but all are its socket's.
            let peers = udp::Peers::new(2)?;
            let port = peers.port()?;
            (Job::UdpFanOut { port }, Prepared::Udp(peers))
        }
        Load::UdpLatency { .. } => (Job::UdpEcho, Prepared::Nothing),
        Load::TcpEcho { .. }
        | Load::TcpLatency { .. }
        | Load::TcpMemory { .. }
        | Load::TcpIdle { .. } => (Job::TcpEcho, Prepared::Nothing),
    })
}

/// Loads a server, and measures.
pub fn run(load: &Load, prepared: Prepared, server: &Server, times: Times) -> io::Result<Measured> {
    match (*load, prepared) {
        (Load::UdpEcho { bytes, run, .. }, Prepared::Udp(mut peers)) => {
            let shape = udp::Shape {
                bytes,
                run,
                answers: 1,
                window: WINDOW.max(run),
            };
            udp::echo(&mut peers, shape, server, times)
        }
        (Load::FanOut { bytes, frame }, Prepared::Udp(mut peers)) => {
            let answers = crate::job::viewers(0).len();
            let shape = udp::Shape {
                bytes,
                run: frame,
                answers,
                window: (FAN_OUT_WINDOW / answers).max(2 * frame),
            };
            udp::echo(&mut peers, shape, server, times)
        }
        (Load::UdpSink { bytes, run, .. }, Prepared::Udp(mut peers)) => {
            udp::flood(&mut peers, bytes, run, server, times)
        }
        (
            Load::TcpEcho {
                connections,
                bytes,
                depth,
            },
            _,
        ) => tcp::echo(server, connections, bytes, depth, times),
        (Load::UdpLatency { bytes, rate }, _) => latency::udp(server, bytes, rate, times),
        (Load::TcpLatency { bytes, rate }, _) => latency::tcp(server, bytes, rate, times),
        (Load::TcpMemory { connections }, _) => standing::memory(server, connections),
        (Load::TcpIdle { connections }, _) => standing::idle(server, connections),
        (Load::UdpIdle { peers: count }, Prepared::Udp(mut peers)) => {
            udp::greet(&mut peers, count, server)?;
            standing::idle_now(server)
        }
        (
            Load::UdpEcho { .. }
            | Load::FanOut { .. }
            | Load::UdpSink { .. }
            | Load::UdpIdle { .. },
            Prepared::Nothing,
        ) => unreachable!("prepared for something else"),
    }
}

/// CPU time for each of so many, in nanoseconds; nothing if they were too few to tell.
fn cpu_of_each(cpu: Duration, count: u64) -> Option<f64> {
    (count >= COUNT_MIN).then(|| cpu.as_nanos() as f64 / count as f64)
}

/// How much of its time somebody had something to do.
struct Occupation {
    since: Instant,
    last: Instant,
    idle: Duration,
}

impl Occupation {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            last: now,
            idle: Duration::ZERO,
        }
    }

    /// Notes that what was done since the last call was for nothing.
    fn was_idle(&mut self, now: Instant) {
        self.idle += now - self.last;
        self.last = now;
    }

    fn was_busy(&mut self, now: Instant) {
        self.last = now;
    }

    /// The part of the time in which there was something to do.
    fn busy(&self) -> f64 {
        let all = (self.last - self.since).as_secs_f64();
        1.0 - self.idle.as_secs_f64() / all
    }
}

/// With fewer, what was begun before and ended behind the round counts too much.
const COUNT_MIN: u64 = 100;
/// Datagrams that are under way at a time.
const WINDOW: usize = 512;
/// The same of copies that a fan-out makes.
const FAN_OUT_WINDOW: usize = 1_600;
