//! Which events led to the last one.

use crate::drive::Run;
use crate::trace::{TraceEvent, TraceKind};

/// For each event, whether it led to the last one.
pub(super) fn chain(run: &Run) -> Vec<bool> {
    let mut led = vec![false; run.events.len()];
    let mut next = run.events.len().checked_sub(1);
    while let Some(index) = next {
        led[index] = true;
        next = cause(run, index).filter(|cause| *cause < index);
    }
    led
}

/// The event that led to another, as far as that can be seen from outside: what was sent to what
/// arrives; the input before to what a worker does.
fn cause(run: &Run, index: usize) -> Option<usize> {
    let event = &run.events[index].0;
    let before = || run.events[..index].iter().map(|(event, _)| event);
    let found = match event.kind {
        TraceKind::Datagrams => before().rposition(|sent| {
            let travels = matches!(sent.kind, TraceKind::Carried | TraceKind::Duplicated);
            travels && sent.words[1] == event.words[1] && arrives(sent, event)
        }),
        TraceKind::Bus => before().rposition(|sent| {
            sent.kind == TraceKind::BusCarried
                && (sent.node, sent.words[0]) == (event.node, event.words[0])
                && arrives(sent, event)
        }),
        // These come out of an input.
        TraceKind::Carried
        | TraceKind::Duplicated
        | TraceKind::Dropped
        | TraceKind::BusCarried
        | TraceKind::BusLost
        | TraceKind::Report
        | TraceKind::Open
        | TraceKind::Close
        | TraceKind::Write
        | TraceKind::Stream
        | TraceKind::Started
        | TraceKind::SpawnFailed
        | TraceKind::Ended
        | TraceKind::Stale
        | TraceKind::Untold => {
            before().rposition(|other| is_same_worker(other, event) && is_input(other))
        }
        TraceKind::Spawn
        | TraceKind::Command
        | TraceKind::Control
        | TraceKind::Fault
        | TraceKind::WorkerStarted
        | TraceKind::Moved => return None,
        // A deadline that was set, a socket that was opened, whatever was asked for.
        TraceKind::Timeout
        | TraceKind::Network
        | TraceKind::Shutdown
        | TraceKind::Abort
        | TraceKind::OpenDevice
        | TraceKind::Packet
        | TraceKind::PacketCarried
        | TraceKind::PacketCopied
        | TraceKind::PacketDropped
        | TraceKind::PacketTaken
        | TraceKind::Group
        | TraceKind::Received
        | TraceKind::Segment
        | TraceKind::SegmentLost
        | TraceKind::BusRoom
        | TraceKind::PeerJoined
        | TraceKind::PeerLeft
        | TraceKind::Answer
        | TraceKind::WorkerStopped
        | TraceKind::Stalled
        | TraceKind::Held
        | TraceKind::Corrupted
        | TraceKind::Truncated
        | TraceKind::Marked
        | TraceKind::Queued
        | TraceKind::Forwarded
        | TraceKind::SegmentForwarded => None,
    };
    found.or_else(|| before().rposition(|other| is_same_worker(other, event)))
}

/// Whether what was sent can be what arrives: at that time, or later if somebody stood still.
fn arrives(sent: &TraceEvent, event: &TraceEvent) -> bool {
    sent.words[2] <= event.at.as_nanos()
}

fn is_same_worker(one: &TraceEvent, other: &TraceEvent) -> bool {
    (one.node, one.worker) == (other.node, other.worker)
}

const fn is_input(event: &TraceEvent) -> bool {
    matches!(
        event.kind,
        TraceKind::Timeout
            | TraceKind::Datagrams
            | TraceKind::Network
            | TraceKind::Spawn
            | TraceKind::Command
            | TraceKind::Shutdown
            | TraceKind::Abort
            | TraceKind::Packet
            | TraceKind::Received
            | TraceKind::Bus
            | TraceKind::BusRoom
            | TraceKind::Control
    )
}
