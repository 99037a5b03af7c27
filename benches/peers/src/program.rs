//! The programs that all contestants run, and how one of them is measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Two hosts send back what they get; so many datagrams are under way.
    PingPong { window: u32 },
    /// Each of so many hosts sends on what it gets, to one drawn at random; one datagram for each
    /// host is under way.
    Mesh { hosts: u32 },
    /// A simulation of two hosts is made, carries 100 datagrams, and is dropped.
    Whole,
    /// One host sends another a datagram a second.
    Idle,
    /// So many hosts wait, each with an open socket.
    Memory { hosts: u32 },
}

/// Payload of a datagram in bytes.
pub const PAYLOAD_BYTES: usize = 200;

/// The port that all hosts are bound to.
pub const PORT: u16 = 7_777;

/// Datagrams in a whole simulation.
pub const WHOLE_DATAGRAMS: u64 = 100;

impl Program {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::PingPong { window: 1 },
        Self::PingPong { window: 32 },
        Self::Mesh { hosts: 100 },
        Self::Mesh { hosts: 1_000 },
        Self::Mesh { hosts: 10_000 },
        Self::Whole,
        Self::Idle,
        Self::Memory { hosts: 100 },
        Self::Memory { hosts: 10_000 },
    ];

    /// What it is called, on the command line and in the table.
    pub fn name(self) -> String {
        match self {
            Self::PingPong { window } => format!("ping-pong-{window}"),
            Self::Mesh { hosts } => format!("mesh-{hosts}"),
            Self::Whole => "whole".to_owned(),
            Self::Idle => "idle".to_owned(),
            Self::Memory { hosts } => format!("memory-{hosts}"),
        }
    }

    /// What is measured.
    pub fn unit(self) -> &'static str {
        match self {
            Self::PingPong { .. } | Self::Mesh { .. } => "datagrams/s",
            Self::Whole => "simulations/s",
            Self::Idle => "times real time",
            Self::Memory { .. } => "bytes/host",
        }
    }

    /// How many hosts there are.
    pub fn hosts(self) -> u32 {
        match self {
            Self::PingPong { .. } | Self::Whole | Self::Idle => 2,
            Self::Mesh { hosts } | Self::Memory { hosts } => hosts,
        }
    }

    /// How many datagrams a host sends at first.
    pub fn window(self, host: u32) -> u32 {
        match self {
            Self::PingPong { window } if host == 0 => window,
            Self::Whole if host == 0 => 1,
            Self::Mesh { .. } => 1,
            _ => 0,
        }
    }

    /// Whether what arrives is sent on to anybody, instead of back.
    pub fn is_mesh(self) -> bool {
        matches!(self, Self::Mesh { .. })
    }
}

/// What all hosts of a simulation share.
#[derive(Debug)]
pub struct Score {
    pub program: Program,
    /// Datagrams that are to be delivered, or seconds that are to pass.
    pub size: u64,
    delivered: AtomicU64,
    bound: AtomicU64,
    resident: AtomicU64,
}

impl Score {
    pub fn new(program: Program, size: u64) -> Self {
        Self {
            program,
            size,
            delivered: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            resident: AtomicU64::new(0),
        }
    }

    /// One datagram has been delivered. Whether it was the last.
    pub fn deliver(&self) -> bool {
        self.delivered.fetch_add(1, Ordering::Relaxed) + 1 == self.size
    }

    /// Whether all that were to be have been delivered.
    pub fn is_done(&self) -> bool {
        self.delivered.load(Ordering::Relaxed) >= self.size
    }

    /// A host is ready. Whether it was the last one, and there is nothing else to do.
    pub fn bind(&self) -> bool {
        let last =
            self.bound.fetch_add(1, Ordering::Relaxed) + 1 == u64::from(self.program.hosts());
        let over = last && matches!(self.program, Program::Memory { .. });
        if over {
            self.resident.store(resident(), Ordering::Relaxed);
            self.delivered.store(self.size, Ordering::Relaxed);
        }
        over
    }

    /// Memory in use when the last host was ready.
    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }
}

/// Draws of a host: the same for all contestants, and next to nothing (xorshift, Marsaglia 2003).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(host: u32) -> Self {
        Self(u64::from(host) * 0x9e37_79b9 + 1)
    }

    pub fn below(&mut self, count: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(count)) >> 64) as u32
    }
}

/// Runs one simulation of this size to its end. Memory in use once all hosts were ready.
pub type Run = fn(Program, u64) -> u64;

/// Measures a program: by ever larger simulations, until one takes as long as `least`. The making of
/// a simulation counts too, as it does for those who use it.
pub fn measure(run: Run, program: Program, least: Duration) -> f64 {
    if let Program::Memory { hosts } = program {
        let before = resident();
        return (run(program, 1) as f64 - before as f64) / f64::from(hosts);
    }
    let mut size = match program {
        Program::Whole => 10,
        Program::Idle => 100,
        _ => 1_000.max(u64::from(program.hosts())),
    };
    loop {
        let start = Instant::now();
        if program == Program::Whole {
            for _ in 0..size {
                run(program, WHOLE_DATAGRAMS);
            }
        } else {
            run(program, size);
        }
        let took = start.elapsed();
        if took >= least {
            return size as f64 / took.as_secs_f64();
        }
        // As much as should be enough, but not a wild guess.
        let missing = least.as_secs_f64() * 1.2 / took.as_secs_f64().max(1e-9);
        size = (size as f64 * missing.clamp(1.5, 20.0)) as u64;
    }
}

/// Bytes of memory that the process has in use, as Linux counts them.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4_096
}

/// A contestant in a process of its own: `NAME PROGRAM MILLISECONDS`, which prints one number.
pub fn contestant(contestants: &[(&str, Run)], arguments: &[String]) {
    let [name, program, millis] = arguments else {
        panic!("a contestant is run with its name, a program and milliseconds");
    };
    let run = contestants.iter().find(|(known, _)| known == name);
    let (_, run) = run.unwrap_or_else(|| panic!("no contestant {name}"));
    let mut programs = Program::ALL.into_iter();
    let program = programs.find(|known| known.name() == *program);
    let program = program.unwrap_or_else(|| panic!("no such program"));
    let least = Duration::from_millis(millis.parse().expect("a number of milliseconds"));
    println!("{}", measure(*run, program, least));
}
