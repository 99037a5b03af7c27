//! What logs of the scenarios say: the same as without a log, and of each event what has led to it.

use core::net::SocketAddr;

use stillpoint_sim::{LogEvent, Role, TraceKind, TraceLog};

use crate::scenarios::SCENARIOS;

#[test]
fn a_world_that_records_does_the_same() {
    for scenario in SCENARIOS {
        let (summary, _) = (scenario.run)(scenario.seed);
        let log = (scenario.record)(scenario.seed);
        assert_eq!(log.hash(), summary.trace_hash, "{}", scenario.name);
        assert_eq!(log.seed(), scenario.seed);
    }
}

#[test]
fn what_happens_has_a_cause_that_has_happened() {
    let mut seen = [0_usize; 3];
    for scenario in SCENARIOS {
        let log = (scenario.record)(scenario.seed);
        for event in log.events() {
            let cause = event.cause.map(|cause| log.event(cause).unwrap());
            let what = format!("{}: {}", scenario.name, log.line(event.index));
            match cause {
                None => {
                    assert!(may_come_from_nothing(&event), "{what}");
                    seen[0] += 1;
                }
                Some(cause) => {
                    seen[1] += 1;
                    let why = log.line(cause.index);
                    assert!(cause.index < event.index, "{what} comes of {why}");
                    assert!(cause.event.at <= event.event.at, "{what} comes of {why}");
                    seen[2] += usize::from(check(&log, &event, &cause).unwrap_or_else(|| {
                        panic!("{what} comes of {why}");
                    }));
                }
            }
        }
    }
    assert!(seen.iter().all(|&seen| seen > 300), "{seen:?}");
}

/// What the scenario itself does, and what follows from how it has built its world.
fn may_come_from_nothing(event: &LogEvent<'_>) -> bool {
    let removed = |text: &str| text.starts_with("DeviceClosed");
    match event.event.kind.role() {
        Role::Input if event.text.is_some_and(removed) => true,
        Role::Input => matches!(
            event.event.kind,
            TraceKind::Spawn
                | TraceKind::Command
                | TraceKind::Control
                | TraceKind::Shutdown
                | TraceKind::Abort
                | TraceKind::PeerJoined
                | TraceKind::PeerLeft
                | TraceKind::Packet
        ),
        Role::Fault => true,
        // Packets that the scenario gives to a host.
        Role::Travel | Role::Verdict | Role::Loss => matches!(
            event.event.kind,
            TraceKind::PacketCarried | TraceKind::PacketTaken | TraceKind::PacketDropped
        ),
        _ => false,
    }
}

/// Whether an event is one of which more is known than that something has led to it. `None` if that
/// is not so.
fn check(log: &TraceLog, event: &LogEvent<'_>, cause: &LogEvent<'_>) -> Option<bool> {
    let (kind, from) = (event.event.kind, cause.event.kind);
    let same_worker =
        (event.event.node, event.event.worker) == (cause.event.node, cause.event.worker);
    match kind {
        TraceKind::Datagrams => {
            // Those for several sockets may come behind another's, for which there was no room.
            let sent = matches!(
                from,
                TraceKind::Carried | TraceKind::Duplicated | TraceKind::Dropped
            );
            let arrived = cause.event.arrival().is_none_or(|at| at <= event.event.at);
            (sent && arrived && event.payload == cause.payload && event.task.is_some())
                .then_some(true)
        }
        TraceKind::Bus => {
            let sent = from == TraceKind::BusCarried && event.text == cause.text;
            (sent && event.event.node == cause.event.node).then_some(true)
        }
        TraceKind::Packet => {
            (from == TraceKind::PacketCarried || from == TraceKind::PacketCopied).then_some(true)
        }
        TraceKind::Received => log
            .causes(event.index)
            .iter()
            .any(|&index| log.event(index).unwrap().event.kind == TraceKind::Segment)
            .then_some(true),
        TraceKind::Forwarded => matches!(
            from,
            TraceKind::Carried | TraceKind::Duplicated | TraceKind::PacketCarried
        )
        .then_some(true),
        _ if kind.role() == Role::Output => {
            (from.role() == Role::Input && same_worker).then_some(true)
        }
        _ => Some(false),
    }
}

#[test]
fn what_travels_says_where_from_and_where_to() {
    for scenario in SCENARIOS {
        let log = (scenario.record)(scenario.seed);
        for event in log.events() {
            if matches!(event.event.kind, TraceKind::Carried | TraceKind::Segment) {
                let way: Option<(SocketAddr, SocketAddr)> = event.way;
                assert!(way.is_some(), "{}", log.line(event.index));
                assert!(event.payload.is_some(), "{}", log.line(event.index));
            }
        }
    }
}

#[test]
fn logs_come_back_from_their_bytes() {
    for scenario in SCENARIOS {
        let log = (scenario.record)(scenario.seed);
        assert_eq!(
            TraceLog::from_bytes(&log.to_bytes()),
            Ok(log),
            "{}",
            scenario.name
        );
    }
}
