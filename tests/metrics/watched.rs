//! What the example `top` makes of the server's pages.

use stillpoint::Timestamp;
use stillpoint::metrics::render;

use super::client::statuses;
use super::top::page::{body, samples};
use super::top::sample::Snapshot;
use super::top::table::View;
use super::top::units;
use core::time::Duration;

/// A page at so many seconds, with so many of everything that is counted.
fn page(seconds: u64, count: u64) -> String {
    let mut statuses = statuses(2);
    for status in &mut statuses {
        status.at = Timestamp::EPOCH.after(Duration::from_secs(seconds));
        status.runner.wall = Duration::from_secs(seconds);
        status.runner.busy = Duration::from_secs(seconds) / 4;
        status.runner.wake_ups = count;
        for field in [
            &mut status.network.datagrams_in,
            &mut status.network.datagrams_out,
            &mut status.network.bytes_in,
            &mut status.network.streams.bytes_out,
            &mut status.network.queue_dropped,
            &mut status.bus.delivered,
        ] {
            *field = count;
        }
        status.queues.bus = 3;
        status.queues.control_most = 7;
        for _ in 0..count {
            status.lateness.record(Duration::from_millis(3));
            status.runner.loop_latency.record(Duration::from_micros(15));
        }
    }
    let mut text = String::new();
    render(&statuses, &mut text);
    // What no test can make: groups come from workers.
    for (name, value) in [("tasks", 5), ("inputs_total", count), ("timeouts_total", 0)] {
        text += &format!("stillpoint_{name}{{worker=\"1\",group=\"Echo\"}} {value}\n");
    }
    text += "stillpoint_tasks_ended_total{worker=\"1\",group=\"Echo\",end=\"panicked\"} 2\n";
    text
}

#[test]
fn everything_that_top_shows_is_on_the_page() {
    let before = Snapshot::read(&page(10, 100)).unwrap();
    let now = Snapshot::read(&page(12, 900)).unwrap();
    let view = View::new("here:1", &now, Some(&before));
    let json = view.json();
    let worker = &json["workers"][1];
    for (name, value) in [
        ("worker", 1.0),
        ("at_seconds", 12.0),
        ("utilization", 0.25),
        ("tasks", 5.0),
        ("loop_p50_seconds", 20e-6),
        ("loop_p99_seconds", 20e-6),
        ("lateness_p99_seconds", 5e-3),
        ("wake_ups_per_second", 400.0),
        ("datagrams_in_per_second", 400.0),
        ("datagrams_out_per_second", 400.0),
        ("bytes_in_per_second", 400.0),
        ("bytes_out_per_second", 400.0),
        ("messages_per_second", 400.0),
        ("queued", 3.0),
        ("queued_max", 7.0),
        ("drops_per_second", 400.0),
        ("panics", 2.0),
    ] {
        assert_eq!(worker[name].as_f64(), Some(value), "{name}");
    }
    assert_eq!(json["total"]["datagrams_in_per_second"], 800.0);
    assert_eq!(json["groups"][0]["inputs_per_second"], 400.0);

    let lines = view.lines();
    assert_eq!(lines.len(), 1 + 1 + 2 + 3 + 1 + 2);
    assert!(lines[0].contains("here:1   stillpoint 0."), "{}", lines[0]);
    let ends = lines[3..7].iter().map(|line| line.chars().count());
    let ends: Vec<usize> = ends.collect();
    assert!(ends.iter().all(|&end| end == ends[0]), "{lines:#?}");
}

#[test]
fn a_program_that_was_started_again_has_no_rates_yet() {
    let before = Snapshot::read(&page(100, 100)).unwrap();
    let now = Snapshot::read(&page(1, 1)).unwrap();
    let json = View::new("here:1", &now, Some(&before)).json();
    assert!(json["total"]["wake_ups_per_second"].is_null());
}

#[test]
fn what_is_no_page_of_metrics_is_called_so() {
    assert!(Snapshot::read("up 1\n").is_err());
    assert!(body(b"SSH-2.0-server\r\n").is_err());
    assert!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour").is_err());
    let missing = body(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
    assert_eq!(missing, "it says 404 Not Found");
    assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\nyes").unwrap(), "yes");
}

#[test]
fn lines_are_read_with_whatever_is_in_their_labels() {
    let text = "a{b=\"x\\\"}, y\\\\\\n\",c=\"\"} 1.5 1700000000\n# HELP d e\nf +Inf\nbroken{\n";
    let found: Vec<_> = samples(text).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].label("b"), Some("x\"}, y\\\n"));
    assert_eq!((found[0].label("c"), found[0].value), (Some(""), 1.5));
    assert_eq!((found[1].name, found[1].value), ("f", f64::INFINITY));
}

#[test]
fn numbers_keep_three_digits_and_a_unit() {
    let counts = [0.4, 999.0, 999.6, 1_234.0, 12_345.0, 999_499.0, 999_600.0];
    let shown = counts.map(units::count);
    assert_eq!(
        shown,
        ["0", "999", "1.00k", "1.23k", "12.3k", "999k", "1.00M"]
    );
    assert_eq!(units::bytes(1_536.0), "1.50 KiB");
    assert_eq!(units::duration(0.002), "2 ms");
    assert_eq!(units::age(3_725.0), "1 h 02 min");
    assert_eq!(units::bar(0.55, 4), "██▎·");
}
