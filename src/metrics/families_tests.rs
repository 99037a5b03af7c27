//! What of a status is served, and under which names.

use core::time::Duration;

use super::render;
use crate::status::{Durations, GroupCounters, GroupStatus, WorkerStatus};
use crate::time::Timestamp;

fn rendered(statuses: &[WorkerStatus]) -> String {
    let mut text = String::new();
    render(statuses, &mut text);
    text
}

/// A worker on which something has happened: every number of its status is another one.
fn busy_worker(worker: u16) -> WorkerStatus {
    let mut next = u64::from(worker) * 1_000;
    let mut count = || {
        next += 1;
        next
    };
    let mut status = WorkerStatus {
        worker,
        at: Timestamp::from_nanos(12_500_000_000),
        ..WorkerStatus::default()
    };
    let counters = GroupCounters {
        started: count(),
        finished: count(),
        panicked: count(),
        runaway: count(),
        removed: count(),
        inputs: count(),
        timeouts: count(),
    };
    status.groups = vec![GroupStatus::new("app::Echo", 3, counters)];
    for field in [
        &mut status.bus.sent,
        &mut status.bus.received,
        &mut status.bus.delivered,
        &mut status.bus.dropped,
        &mut status.bus.refused,
        &mut status.bus.untold,
        &mut status.bus.stale,
        &mut status.bus.unheard,
        &mut status.bus.lost,
        &mut status.bus.requests,
        &mut status.bus.replies,
        &mut status.bus.requests_failed,
        &mut status.network.datagrams_in,
        &mut status.network.bytes_in,
        &mut status.network.datagrams_out,
        &mut status.network.bytes_out,
        &mut status.network.send_failed,
        &mut status.network.queue_dropped,
        &mut status.network.receive_dropped,
        &mut status.network.undelivered,
        &mut status.network.socket_errors,
        &mut status.network.streams.connected,
        &mut status.network.streams.connect_failed,
        &mut status.network.streams.accepted,
        &mut status.network.streams.refused,
        &mut status.network.streams.accepts_paused,
        &mut status.network.streams.failed,
        &mut status.network.streams.bytes_in,
        &mut status.network.streams.bytes_out,
        &mut status.network.streams.bytes_unsent,
        &mut status.network.streams.bytes_refused,
        &mut status.network.devices.packets_in,
        &mut status.network.devices.bytes_in,
        &mut status.network.devices.packets_out,
        &mut status.network.devices.bytes_out,
        &mut status.network.devices.send_failed,
        &mut status.network.devices.undelivered,
        &mut status.runner.wake_ups,
        &mut status.runner.loops,
        &mut status.runner.events_dropped,
    ] {
        *field = count();
    }
    for field in [
        &mut status.resources,
        &mut status.subscriptions,
        &mut status.requests,
        &mut status.queues.bus,
        &mut status.queues.bus_most,
        &mut status.queues.bus_in,
        &mut status.queues.bus_in_most,
        &mut status.queues.control,
        &mut status.queues.control_most,
        &mut status.queues.pending,
        &mut status.queues.pending_most,
        &mut status.queues.events,
        &mut status.buffers_live,
        &mut status.buffers_free,
    ] {
        *field = usize::try_from(count()).unwrap();
    }
    status.runner.wall = Duration::from_millis(12_500);
    status.runner.busy = Duration::from_millis(250);
    status.runner.utilization = 0.25;
    status.runner.loop_latency.record(Duration::from_micros(30));
    status.lateness.record(Duration::from_millis(3));
    status
}

#[test]
fn a_status_reads_as_it_always_has() {
    // Buckets apart, which another test looks at.
    let text = rendered(&[busy_worker(0)]).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let lines = text.lines().filter(|line| !line.contains("_bucket{"));
    let lines = lines.filter(|line| !line.starts_with("# HELP"));
    let found: Vec<&str> = lines.collect();
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    for (found, golden) in found.iter().zip(&golden) {
        assert_eq!(found, golden);
    }
    assert_eq!(found.len(), golden.len());
}

#[test]
fn every_number_of_a_status_is_served_once() {
    let text = rendered(&[busy_worker(0)]);
    // The counts above, which are 1 to 61, and what `busy_worker` says beside them.
    for number in 1..=61 {
        let end = format!(" {number}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter(|line| !line.contains("_bucket{") && !line.contains("_count{"));
        let served: Vec<&str> = lines.filter(|line| line.ends_with(&end)).collect();
        // One is the version's sample too, and three the number of tasks.
        let expected = if matches!(number, 1 | 3) { 2 } else { 1 };
        assert_eq!(served.len(), expected, "{number}: {served:?}");
    }
}

#[test]
fn each_family_has_its_help_and_its_type_once_before_its_samples() {
    let text = rendered(&[busy_worker(0), busy_worker(1), busy_worker(2)]);
    let mut seen: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!seen.contains(&name) && help.ends_with('.'), "{line}");
            seen.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(seen.last(), Some(&name));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(kind == "histogram", name.contains("lat"), "{line}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = seen.last().unwrap();
            let part = name.strip_prefix(family).unwrap();
            assert!(["", "_bucket", "_sum", "_count"].contains(&part), "{line}");
        }
    }
}

#[test]
fn groups_that_share_a_short_name_are_told_apart_by_their_full_names() {
    let group = |name| GroupStatus::new(name, 1, GroupCounters::default());
    let mut status = WorkerStatus::default();
    status.groups = vec![
        group("app::Room<app::Chat>"),
        group("app::Room<app::Game>"),
        group("app::Lobby"),
    ];
    let text = rendered(&[status]);
    for name in ["app::Room<app::Chat>", "app::Room<app::Game>", "Lobby"] {
        let line = format!("stillpoint_tasks{{worker=\"0\",group=\"{name}\"}} 1\n");
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}

#[test]
fn a_histogram_that_is_written_meanwhile_never_has_more_in_a_bucket_than_in_all() {
    let status = WorkerStatus::default();
    let durations: Durations = status.lateness.clone();
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                durations.record(Duration::from_micros(1));
            }
        });
        for _ in 0..200 {
            let text = rendered(core::slice::from_ref(&status));
            let counts = text.lines().filter_map(|line| {
                let count = line.strip_prefix("stillpoint_timeout_lateness_seconds_bucket{")?;
                count.split(' ').next_back()?.parse().ok()
            });
            let counts: Vec<u64> = counts.collect();
            assert!(counts.len() == 23 && counts.is_sorted(), "{counts:?}");
        }
        drop(stop);
    });
}
