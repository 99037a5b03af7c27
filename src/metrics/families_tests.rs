//! What of a status is served, and under which names.

use core::time::Duration;

use super::render;
use crate::bus::BusCounters;
use crate::counters::{DeviceCounters, StreamCounters};
use crate::status::{Durations, GroupCounters, GroupStatus, WorkerStatus};
use crate::time::Timestamp;

fn rendered(statuses: &[WorkerStatus]) -> String {
    let mut text = String::new();
    render(statuses, &mut text);
    text
}

/// A worker on which something has happened: its counts are 1 to 63, each once.
fn busy_worker() -> WorkerStatus {
    let mut status = WorkerStatus {
        at: Timestamp::from_nanos(12_500_000_000),
        ..WorkerStatus::default()
    };
    let mut counts = 1..;
    let group = &mut GroupCounters::default();
    let (bus, network, runner) = (&mut status.bus, &mut status.network, &mut status.runner);
    let (streams, devices) = (&mut network.streams, &mut network.devices);
    for field in group_fields(group)
        .into_iter()
        .chain(bus_fields(bus))
        .chain([
            &mut network.datagrams_in,
            &mut network.bytes_in,
            &mut network.datagrams_out,
            &mut network.bytes_out,
            &mut network.send_failed,
            &mut network.queue_dropped,
            &mut network.receive_dropped,
            &mut network.undelivered,
            &mut network.socket_errors,
        ])
        .chain(stream_fields(streams))
        .chain(device_fields(devices))
        .chain([
            &mut runner.wake_ups,
            &mut runner.loops,
            &mut runner.spins_paid,
            &mut runner.spins_failed,
            &mut runner.events_dropped,
        ])
    {
        *field = counts.next().unwrap();
    }
    runner.wall = Duration::from_millis(12_500);
    runner.busy = Duration::from_millis(250);
    runner.spun = Duration::from_millis(125);
    runner.utilization = 0.25;
    runner.loop_latency.record(Duration::from_micros(30));
    status.groups = vec![GroupStatus::new("app::Echo", 3, *group)];
    for field in depths(&mut status) {
        *field = usize::try_from(counts.next().unwrap()).unwrap();
    }
    status.lateness.record(Duration::from_millis(3));
    status
}

fn group_fields(counters: &mut GroupCounters) -> [&mut u64; 7] {
    [
        &mut counters.started,
        &mut counters.finished,
        &mut counters.panicked,
        &mut counters.runaway,
        &mut counters.removed,
        &mut counters.inputs,
        &mut counters.timeouts,
    ]
}

fn bus_fields(counters: &mut BusCounters) -> [&mut u64; 12] {
    [
        &mut counters.sent,
        &mut counters.received,
        &mut counters.delivered,
        &mut counters.dropped,
        &mut counters.refused,
        &mut counters.untold,
        &mut counters.stale,
        &mut counters.unheard,
        &mut counters.lost,
        &mut counters.requests,
        &mut counters.replies,
        &mut counters.requests_failed,
    ]
}

fn stream_fields(counters: &mut StreamCounters) -> [&mut u64; 10] {
    [
        &mut counters.connected,
        &mut counters.connect_failed,
        &mut counters.accepted,
        &mut counters.refused,
        &mut counters.accepts_paused,
        &mut counters.failed,
        &mut counters.bytes_in,
        &mut counters.bytes_out,
        &mut counters.bytes_unsent,
        &mut counters.bytes_refused,
    ]
}

fn device_fields(counters: &mut DeviceCounters) -> [&mut u64; 6] {
    [
        &mut counters.packets_in,
        &mut counters.bytes_in,
        &mut counters.packets_out,
        &mut counters.bytes_out,
        &mut counters.send_failed,
        &mut counters.undelivered,
    ]
}

fn depths(status: &mut WorkerStatus) -> [&mut usize; 14] {
    [
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
    ]
}

#[test]
fn a_status_reads_as_it_always_has() {
    // Buckets apart, which another test looks at.
    let text = rendered(&[busy_worker()]).replace(env!("CARGO_PKG_VERSION"), "VERSION");
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
    let text = rendered(&[busy_worker()]);
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
    let text = rendered(&[
        busy_worker(),
        WorkerStatus {
            worker: 1,
            ..busy_worker()
        },
    ]);
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
    let status = WorkerStatus {
        groups: vec![
            group("app::Room<app::Chat>"),
            group("app::Room<app::Game>"),
            group("app::Lobby"),
        ],
        ..WorkerStatus::default()
    };
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
