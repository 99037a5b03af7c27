//! Who waits for whom: what is said of a run that does not come to its end.

use core::fmt;
use core::net::SocketAddr;
use std::collections::BTreeMap;

use stillpoint::{TaskId, Timestamp};

use crate::node::NodeId;

/// Somebody who waits: a task, or a worker that stands still. What it waits for is what its worker
/// and the network know of it; what it thinks is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// Who.
    pub who: Party,
    /// The name of the task's type, without its path. Empty if it is a worker.
    pub kind: String,
    /// Since when it is there.
    pub since: Timestamp,
    /// What it may wait for. If there is nothing, it waits for a message, or for its controller.
    pub reasons: Vec<WaitFor>,
}

/// A task, or a worker or node of which no task is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Party {
    /// Which node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Index of the worker.
    pub worker: u16,
    /// Which task.
    pub task: Option<TaskId>,
}

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitFor {
    /// A deadline of its own.
    Deadline {
        /// When it is.
        at: Timestamp,
        /// The reason that the task gives.
        reason: &'static str,
    },
    /// A connection that is being made.
    Connection {
        /// To where.
        peer: SocketAddr,
        /// Who is there.
        on: Option<Party>,
        /// Since when.
        since: Timestamp,
    },
    /// What was written to a stream to arrive.
    Acknowledgement {
        /// From where.
        peer: SocketAddr,
        /// Who is there.
        on: Option<Party>,
        /// Bytes that were written and not acknowledged.
        bytes: u64,
        /// When anything was last heard from there.
        heard_at: Timestamp,
    },
    /// Bytes of a stream on which it has nothing to send.
    Bytes {
        /// From where.
        peer: SocketAddr,
        /// Who is there.
        on: Option<Party>,
        /// When anything was last heard from there.
        heard_at: Timestamp,
    },
    /// It does not read from a stream; or is not given what has come, since its worker stands still.
    Reading {
        /// From where the bytes are.
        peer: SocketAddr,
        /// How many there are.
        bytes: u64,
    },
    /// The answer to a request over the bus.
    Answer {
        /// From whom.
        on: Party,
        /// When the request fails.
        until: Timestamp,
    },
    /// Datagrams, after it has sent some. Known only of watched sockets: see
    /// [`World::watch_sockets`](crate::World::watch_sockets).
    Datagrams {
        /// To whom it sent last, and when.
        sent: Option<(SocketAddr, Timestamp)>,
        /// From whom it heard last, and when.
        heard: Option<(SocketAddr, Timestamp)>,
        /// Who is where it sent to, if it has not heard from there since.
        on: Option<Party>,
    },
    /// Its worker, which stands still.
    Worker {
        /// Until when, unless somebody is to have it go on.
        until: Option<Timestamp>,
    },
}

impl WaitFor {
    /// On whom it depends.
    #[must_use]
    pub const fn on(&self) -> Option<&Party> {
        match self {
            Self::Connection { on, .. }
            | Self::Acknowledgement { on, .. }
            | Self::Bytes { on, .. }
            | Self::Datagrams { on, .. } => on.as_ref(),
            Self::Answer { on, .. } => Some(on),
            Self::Deadline { .. } | Self::Reading { .. } | Self::Worker { .. } => None,
        }
    }
}

impl Wait {
    /// Those who wait for each other in a circle, each circle once; the one that waits for itself
    /// included.
    #[must_use]
    pub fn cycles(waits: &[Self]) -> Vec<Vec<Party>> {
        let numbers = waits.iter().enumerate();
        let numbers: BTreeMap<&Party, usize> =
            numbers.map(|(number, wait)| (&wait.who, number)).collect();
        let next: Vec<Vec<usize>> = waits
            .iter()
            .map(|wait| {
                let on = wait.reasons.iter().filter_map(WaitFor::on);
                on.filter_map(|party| numbers.get(party).copied()).collect()
            })
            .collect();
        let mut cycles: Vec<Vec<usize>> = Vec::new();
        for start in 0..waits.len() {
            // The shortest way from a party back to itself, by breadth; named by its least member.
            let cycle = shortest_cycle(&next, start);
            if let Some(cycle) = cycle
                && cycle.iter().min() == Some(&start)
                && cycles.len() < CYCLES_MAX
            {
                cycles.push(cycle);
            }
        }
        let parties = |cycle: Vec<usize>| cycle.into_iter().map(|at| waits[at].who.clone());
        cycles
            .into_iter()
            .map(|cycle| parties(cycle).collect())
            .collect()
    }
}

fn shortest_cycle(next: &[Vec<usize>], start: usize) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut reached = vec![start];
    let mut at = 0;
    while let Some(&here) = reached.get(at) {
        at += 1;
        for &there in &next[here] {
            if there == start {
                let mut cycle = vec![here];
                let mut back = here;
                while back != start {
                    back = came_from[&back];
                    cycle.push(back);
                }
                cycle.reverse();
                return Some(cycle);
            }
            came_from.entry(there).or_insert_with(|| {
                reached.push(there);
                here
            });
        }
    }
    None
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{task} on `{}`", self.name),
            None => write!(f, "`{}` worker {}", self.name, self.worker),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.who)?;
        if !self.kind.is_empty() {
            write!(f, " ({}, since {})", self.kind, self.since)?;
        }
        f.write_str(" waits for ")?;
        if self.reasons.is_empty() {
            f.write_str("a message or a command: it has no deadline and nothing open")?;
        }
        for (number, reason) in self.reasons.iter().take(REASONS_MAX).enumerate() {
            let comma = if number == 0 { "" } else { "; " };
            write!(f, "{comma}{reason}")?;
        }
        match self.reasons.len().saturating_sub(REASONS_MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { at, reason } => write!(f, "its deadline at {at} ({reason})"),
            Self::Connection { peer, on, since } => write!(
                f,
                "a connection to {peer}{}, being made since {since}",
                Which(on)
            ),
            Self::Acknowledgement {
                peer,
                on,
                bytes,
                heard_at,
            } => write!(
                f,
                "{peer}{} to acknowledge {bytes} bytes, nothing heard since {heard_at}",
                Which(on)
            ),
            Self::Bytes { peer, on, heard_at } => write!(
                f,
                "bytes from {peer}{}, nothing heard since {heard_at}",
                Which(on)
            ),
            Self::Reading { peer, bytes } => {
                write!(f, "itself to read {bytes} bytes from {peer}")
            }
            Self::Answer { on, until } => write!(f, "an answer from {on} until {until}"),
            Self::Datagrams { sent, heard, on } => {
                f.write_str("datagrams")?;
                match sent {
                    Some((to, at)) => {
                        write!(f, ", after one to {to}{} at {at}", Which(on))?;
                    }
                    None => f.write_str(", having sent none")?,
                }
                match heard {
                    Some((from, at)) => write!(f, "; last heard from {from} at {at}"),
                    None => f.write_str("; none was heard"),
                }
            }
            Self::Worker { until: Some(until) } => {
                write!(f, "its worker, which stands still until {until}")
            }
            Self::Worker { until: None } => {
                f.write_str("its worker, which stands still until it is resumed")
            }
        }
    }
}

/// Who is at an address.
struct Which<'a>(&'a Option<Party>);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(party) => write!(f, " ({party})"),
            None => f.write_str(" (nobody is there)"),
        }
    }
}

/// All who wait, as a list, and the circles among them.
pub(crate) struct Listed<'a>(pub(crate) &'a [Wait]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\n  nobody waits: there are no tasks");
        }
        for wait in self.0.iter().take(WAITS_SHOWN_MAX) {
            write!(f, "\n  {wait}")?;
        }
        match self.0.len().saturating_sub(WAITS_SHOWN_MAX) {
            0 => {}
            more => write!(f, "\n  and {more} more")?,
        }
        for cycle in Wait::cycles(self.0) {
            f.write_str("\n  in a circle: ")?;
            for party in &cycle {
                write!(f, "{party} waits for ")?;
            }
            write!(f, "{}", cycle[0])?;
        }
        Ok(())
    }
}

/// Reasons shown of one who waits.
const REASONS_MAX: usize = 6;

/// Those who wait that are shown.
const WAITS_SHOWN_MAX: usize = 12;

/// Circles that are looked for.
const CYCLES_MAX: usize = 4;
