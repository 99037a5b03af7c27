//! The log of a run: what has led to what, whom it concerns, and what else it holds.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tasks of tests look for some variants"
)]

#[path = "trace/causes.rs"]
mod causes;
mod common;
#[path = "trace/compare.rs"]
mod compare;
#[path = "trace/contents.rs"]
mod contents;
#[path = "trace/file.rs"]
mod file;
#[path = "common/hand.rs"]
mod hand;
#[path = "trace/pictures.rs"]
mod pictures;

use stillpoint_sim::{TraceKind, TraceLog};

/// The kinds of the events that have led to an event, the first one first, and its own.
fn chain(log: &TraceLog, index: usize) -> Vec<TraceKind> {
    let chain = log.causes(index).into_iter();
    chain
        .map(|index| log.event(index).unwrap().event.kind)
        .collect()
}

/// The last event of a kind.
fn last(log: &TraceLog, kind: TraceKind) -> usize {
    let mut events = log.events().rev();
    events.find(|event| event.event.kind == kind).unwrap().index
}
