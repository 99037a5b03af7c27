//! Datagrams: a window of them under way, or as many as go.
//!
//! All peers are addresses of one socket (each of 127.0.0.0/8 is this machine's), which costs the
//! generator less than a socket for each, and the server the same. Runs are sent joined (GSO) and
//! received so (GRO), and what comes back is counted, not copied.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Instant;

use super::{Measured, Occupation, Times, cpu_of_each};
use crate::job::QUESTION_BYTES;
use crate::server::Server;
use crate::socket;
use crate::sys::{Messages, Peer, Receive, Send};

/// Peers, as the server sees them.
pub struct Peers {
    socket: UdpSocket,
    /// Their addresses; none if there is only the socket's own.
    sources: Vec<Ipv4Addr>,
    next: usize,
    /// Questions that were asked.
    questions: u64,
}

/// What is kept under way.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) bytes: usize,
    /// Datagrams of one peer that are sent together.
    pub(super) run: usize,
    /// Datagrams that come back for each.
    pub(super) answers: usize,
    /// Datagrams that are under way at a time.
    pub(super) window: usize,
}

impl Peers {
    pub(super) fn new(count: usize) -> io::Result<Self> {
        let bind = match count {
            1 => Ipv4Addr::LOCALHOST,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let socket = socket::udp_generator(bind)?;
        socket::join_received(&socket)?;
        let source = |number: usize| {
            let [.., high, low] = (number as u32 + 256).to_be_bytes();
            Ipv4Addr::new(127, 1, high, low)
        };
        Ok(Self {
            socket,
            sources: if count == 1 {
                Vec::new()
            } else {
                (0..count).map(source).collect()
            },
            next: 0,
            questions: 0,
        })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// A single peer needs no address at each send.
    fn aim(&self, server: SocketAddr) -> io::Result<Option<Peer>> {
        if self.sources.is_empty() {
            self.socket.connect(server)?;
            return Ok(None);
        }
        match server {
            SocketAddr::V4(to) => Ok(Some(Peer::new(*to.ip(), to.port()))),
            SocketAddr::V6(_) => Err(io::Error::other("servers listen on IPv4")),
        }
    }

    fn next_source(&mut self) -> Option<Ipv4Addr> {
        let source = *self.sources.get(self.next)?;
        self.next = (self.next + 1) % self.sources.len();
        Some(source)
    }
}

/// Sends runs, each of another peer.
struct Runs<'a> {
    peers: &'a mut Peers,
    arrays: Send,
    to: Option<Peer>,
    payload: Vec<u8>,
    bytes: usize,
}

impl<'a> Runs<'a> {
    fn new(peers: &'a mut Peers, server: SocketAddr, bytes: usize, run: usize) -> io::Result<Self> {
        let to = peers.aim(server)?;
        Ok(Self {
            peers,
            arrays: Send::new(MESSAGES_MAX),
            to,
            payload: vec![7; bytes * run],
            bytes,
        })
    }

    /// Sends so many of them, or fewer if there is no room.
    fn send(&mut self, mut count: usize) -> io::Result<usize> {
        let mut sent = 0;
        while count > 0 {
            let now = count.min(MESSAGES_MAX);
            let cut = (self.payload.len() > self.bytes).then_some(self.bytes);
            let mut sending = self.arrays.begin();
            for _ in 0..now {
                let source = self.peers.next_source();
                sending.push(self.to.as_ref(), source, cut, &self.payload);
            }
            match sending.send(self.peers.socket.as_fd()) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent),
                // What was told of an earlier one.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            count -= now;
        }
        Ok(sent)
    }
}

/// Keeps a window under way, and counts what comes back.
pub(super) fn echo(
    peers: &mut Peers,
    shape: Shape,
    server: &Server,
    times: Times,
) -> io::Result<Measured> {
    let mut runs = Runs::new(peers, server.address(), shape.bytes, shape.run)?;
    let mut batch = Receive::new(MESSAGES_MAX, KEPT_BYTES);
    let window = shape.window / shape.run;
    let answers = shape.run * shape.answers;
    runs.send(window)?;
    // What came since the runs that it was enough for were sent.
    let mut owed = 0;
    let (mut came, mut sent) = (0u64, 0u64);
    let mut round = Round::begin(server, times)?;
    let mut heard = Instant::now();
    loop {
        let now = Instant::now();
        let got = match batch.receive(runs.peers.socket.as_fd()) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => 0,
            Err(error) => return Err(error),
        };
        for index in 0..got {
            owed += batch.datagrams(index);
        }
        if owed >= answers {
            let count = owed / answers;
            owed %= answers;
            came += (count * answers) as u64;
            sent += (runs.send(count)? * answers) as u64;
        }
        if got > 0 {
            heard = now;
        } else if now - heard > SILENCE_MAX {
            // All that was under way is lost.
            (owed, heard) = (0, now);
            sent += (runs.send(window)? * answers) as u64;
        }
        match round.step(server, got > 0)? {
            Step::On => {}
            Step::Begin => (came, sent) = (0, 0),
            Step::End => return Ok(round.measured(came, sent.saturating_sub(came))),
        }
    }
}

/// Has each peer send one datagram and get it back, as far as they are not lost.
pub(super) fn greet(peers: &mut Peers, count: usize, server: &Server) -> io::Result<()> {
    let mut runs = Runs::new(peers, server.address(), GREETING_BYTES, 1)?;
    let mut memory = [0; GREETING_BYTES];
    for _ in 0..count {
        runs.send(1)?;
        let until = Instant::now() + SILENCE_MAX;
        while Instant::now() < until && runs.peers.socket.recv(&mut memory).is_err() {
            core::hint::spin_loop();
        }
    }
    Ok(())
}

/// Sends as much as goes, and asks the server how much came.
pub(super) fn flood(
    peers: &mut Peers,
    bytes: usize,
    run: usize,
    server: &Server,
    times: Times,
) -> io::Result<Measured> {
    let mut runs = Runs::new(peers, server.address(), bytes, run)?;
    let at_once = (FLOOD_DATAGRAMS / run).max(1);
    let flood_for = |runs: &mut Runs<'_>, time: Duration| -> io::Result<u64> {
        let (begin, mut sent) = (Instant::now(), 0);
        while begin.elapsed() < time {
            sent += (runs.send(at_once)? * run) as u64;
        }
        Ok(sent)
    };
    flood_for(&mut runs, times.warm_up)?;
    let before = ask(runs.peers, server)?;
    let (cpu, begin) = (server.cpu()?, Instant::now());
    let sent = flood_for(&mut runs, times.round)?;
    let busy_for = begin.elapsed();
    let after = ask(runs.peers, server)?;
    let (cpu, elapsed) = (server.cpu()? - cpu, begin.elapsed());
    let came = after - before;
    Ok(Measured {
        figure: came as f64 / elapsed.as_secs_f64(),
        cpu: cpu_of_each(cpu, came),
        // If nearly all of it came, the server could have taken more.
        busy: Some(came as f64 / sent.max(1) as f64),
        lost: Some(sent.saturating_sub(came) as f64 / sent.max(1) as f64),
        more: vec![("sent a second", sent as f64 / busy_for.as_secs_f64())],
    })
}

/// Asks a sink for its count, until it answers.
fn ask(peers: &mut Peers, server: &Server) -> io::Result<u64> {
    let begin = Instant::now();
    peers.questions += 1;
    let question = peers.questions.to_le_bytes();
    while begin.elapsed() < ANSWER_WAIT_MAX {
        let asked = if peers.sources.is_empty() {
            peers.socket.send(&question)
        } else {
            peers.socket.send_to(&question, server.address())
        };
        asked?;
        let until = Instant::now() + QUESTION_WAIT;
        while Instant::now() < until {
            let mut answer = [0; 2 * QUESTION_BYTES];
            let Ok(len) = peers.socket.recv(&mut answer) else {
                continue;
            };
            let (asked, count) = answer.split_at(QUESTION_BYTES);
            // The same may be answered more than once, and later.
            if len == answer.len() && asked == question {
                let count = count.first_chunk().expect("as long as a number");
                return Ok(u64::from_le_bytes(*count));
            }
        }
    }
    Err(io::Error::other("the server does not say how much it got"))
}

/// What is measured after a warm-up, and until when.
struct Round {
    times: Times,
    occupation: Occupation,
    cpu: Duration,
    elapsed: Duration,
    measuring: bool,
}

enum Step {
    On,
    Begin,
    End,
}

impl Round {
    fn begin(server: &Server, times: Times) -> io::Result<Self> {
        Ok(Self {
            times,
            occupation: Occupation::begin(),
            cpu: server.cpu()?,
            elapsed: Duration::ZERO,
            measuring: false,
        })
    }

    fn step(&mut self, server: &Server, had_something: bool) -> io::Result<Step> {
        let now = Instant::now();
        if had_something {
            self.occupation.was_busy(now);
        } else {
            self.occupation.was_idle(now);
        }
        self.elapsed = now - self.occupation.since;
        if !self.measuring && self.elapsed >= self.times.warm_up {
            self.cpu = server.cpu()?;
            self.occupation = Occupation::begin();
            self.measuring = true;
            return Ok(Step::Begin);
        }
        if self.measuring && self.elapsed >= self.times.round {
            self.cpu = server.cpu()? - self.cpu;
            return Ok(Step::End);
        }
        Ok(Step::On)
    }

    fn measured(&self, came: u64, lost: u64) -> Measured {
        Measured {
            figure: came as f64 / self.elapsed.as_secs_f64(),
            cpu: cpu_of_each(self.cpu, came),
            busy: Some(self.occupation.busy()),
            lost: Some(lost as f64 / (came + lost).max(1) as f64),
            more: Vec::new(),
        }
    }
}

/// Messages of one call.
const MESSAGES_MAX: usize = 64;
/// Bytes of what comes back that are looked at: it is counted.
const KEPT_BYTES: usize = 16;
/// Datagrams that are sent between two looks at the clock.
const FLOOD_DATAGRAMS: usize = 64;
const GREETING_BYTES: usize = 64;
/// After so long without anything, what was under way counts as lost.
const SILENCE_MAX: Duration = Duration::from_millis(20);
/// How long an answer of a sink is waited for until it is asked again.
const QUESTION_WAIT: Duration = Duration::from_micros(500);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);
