//! The thread runtime, over the default backend and real sockets.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![cfg(feature = "poll")]

mod support;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::channel;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{ControlError, Controller, ControllerEvent, RuntimeConfig, StartError};
use stillpoint::{End, NetworkError, SpawnError, Timestamp, Token, UdpOpen};
use support::{Command, Kind, PATIENCE, Report, next, report, spawn, start};

const LOOPBACK: &str = "127.0.0.1:0";

fn open(address: &str) -> Kind {
    Kind::Socket(UdpOpen::new(Token(0), address.parse().unwrap()))
}

/// Spawns a socket and waits for its address.
fn bound(controller: &mut Controller<support::Probe>, address: &str) -> SocketAddr {
    controller.spawn(0, open(address)).unwrap();
    match report(controller) {
        Report::Bound(local) => local,
        other => panic!("{address} was not bound: {other:?}"),
    }
}

#[test]
fn a_command_reaches_its_task_and_the_answer_comes_back() {
    let mut controller = start(2);
    controller.spawn(1, Kind::Plain).unwrap();
    let task = next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    });
    assert_eq!(task.worker(), 1);
    controller.command(task, Command::Ping).unwrap();
    let from = next(&mut controller, |event| match event {
        ControllerEvent::Report {
            task: from,
            report: Report::Pong,
        } => Some(*from),
        _ => None,
    });
    assert_eq!(from, task);
}

#[test]
fn who_serves_gets_reports_until_somebody_interrupts() {
    let mut controller = start(1);
    controller.spawn(0, open(LOOPBACK)).unwrap();
    let report = controller.wait_report();
    assert!(matches!(report, Ok(Some(Report::Bound(_)))), "{report:?}");
    controller.interrupter().interrupt();
    assert!(matches!(controller.wait_report(), Ok(None)));
    controller.interrupter().interrupt();
    assert!(matches!(controller.wait_report(), Ok(None)));
}

#[test]
fn who_serves_hears_what_ended_that_was_to_go_on() {
    let mut controller = start(2);
    controller.spawn(1, Kind::Plain).unwrap();
    let task = next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    });
    controller.command(task, Command::Panic).unwrap();
    let fallen = |controller: &mut Controller<support::Probe>| loop {
        if let Err(fallen) = controller.wait_report() {
            break fallen.to_string();
        }
    };
    let ended = format!("{task}: panicked: told to");
    assert_eq!(fallen(&mut controller), ended);
    controller.remove_worker(1).unwrap();
    assert_eq!(fallen(&mut controller), "worker 1 has stopped");
}

#[test]
fn the_epoch_for_guests_is_that_of_the_workers() {
    let controller = start(1);
    let epoch = controller.epoch();
    let now = controller.now();
    assert_eq!(epoch.timestamp(epoch.instant(now)), now);
}

#[test]
fn law_6_a_task_that_panics_ends_alone_and_its_message_is_told() {
    let mut controller = start(1);
    let local = bound(&mut controller, LOOPBACK);
    controller.spawn(0, Kind::Plain).unwrap();
    let victim = next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    });
    controller.command(victim, Command::Panic).unwrap();
    let end = next(&mut controller, |event| match event {
        ControllerEvent::Ended { task, end, .. } if *task == victim => Some(end.clone()),
        _ => None,
    });
    assert_eq!(
        end,
        End::Panicked {
            message: "told to".to_owned()
        }
    );

    // Its neighbour still hears the network, and its own id is stale.
    UdpSocket::bind(LOOPBACK)
        .unwrap()
        .send_to(b"still there?", local)
        .unwrap();
    let heard = next(&mut controller, |event| match event {
        ControllerEvent::Report {
            report: Report::Received { datagrams, .. },
            ..
        } => Some(datagrams.concat()),
        _ => None,
    });
    assert_eq!(heard, b"still there?");
    controller.command(victim, Command::Ping).unwrap();
    let stale = next(&mut controller, |event| match event {
        ControllerEvent::Stale(stale) => Some(stale.task),
        _ => None,
    });
    assert_eq!(stale, victim);
}

#[test]
fn a_runaway_task_is_stopped_and_named() {
    let mut controller = start(1);
    controller.spawn(0, Kind::Plain).unwrap();
    let task = next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    });
    controller.command(task, Command::Spin).unwrap();
    let (ended, end) = next(&mut controller, |event| match event {
        ControllerEvent::Ended { task, end, .. } => Some((*task, end.clone())),
        _ => None,
    });
    assert_eq!(
        (ended, end),
        (
            task,
            End::Runaway {
                outputs_max: 10_000
            }
        )
    );
}

#[test]
fn a_port_in_use_and_a_foreign_address_are_named_with_the_reason() {
    let mut controller = start(1);
    let taken = UdpSocket::bind(LOOPBACK).unwrap();
    let address = taken.local_addr().unwrap();
    controller
        .spawn(0, Kind::Socket(UdpOpen::new(Token(0), address)))
        .unwrap();
    assert_eq!(
        report(&mut controller),
        Report::BindFailed(address, NetworkError::AddressInUse)
    );

    let foreign = "192.0.2.1:0"; // TEST-NET-1, RFC 5737
    controller.spawn(0, open(foreign)).unwrap();
    let expected = Report::BindFailed(foreign.parse().unwrap(), NetworkError::AddressNotAvailable);
    assert_eq!(report(&mut controller), expected);
}

#[test]
fn a_peer_where_nobody_listens_is_an_event_that_names_it() {
    let mut controller = start(1);
    let closed = UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
    controller
        .spawn(0, Kind::Sends(closed, b"anyone?".to_vec()))
        .unwrap();
    let told = next(&mut controller, |event| match event {
        ControllerEvent::Report {
            report: Report::Socket(peer, error),
            ..
        } => Some((*peer, *error)),
        _ => None,
    });
    assert_eq!(told, (closed, NetworkError::ConnectionRefused));
}

#[test]
fn a_datagram_too_long_is_refused_whole_and_the_sender_told() {
    let mut controller = start(1);
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    controller
        .spawn(0, Kind::Sends(peer, vec![0; 65_508]))
        .unwrap();
    let told = next(&mut controller, |event| match event {
        ControllerEvent::Report {
            report: Report::SendFailed(peer, error),
            ..
        } => Some((*peer, *error)),
        _ => None,
    });
    assert_eq!(
        told,
        (
            peer,
            NetworkError::TooLong {
                len: 65_508,
                max: 65_507
            }
        )
    );
}

#[test]
fn a_task_that_cannot_be_made_is_told_with_the_reason() {
    let mut controller = start(1);
    controller.spawn(0, Kind::Impossible).unwrap();
    let error = next(&mut controller, |event| match event {
        ControllerEvent::SpawnFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(
        error,
        SpawnError::Refused {
            reason: "it is impossible".to_owned()
        }
    );
}

#[test]
fn a_worker_that_does_not_exist_is_named() {
    let mut controller = start(2);
    let error = controller.spawn(2, Kind::Plain).unwrap_err();
    assert_eq!(
        error,
        ControlError::NoSuchWorker {
            worker: 2,
            workers: 2
        }
    );
    assert_eq!(error.to_string(), "no worker 2; this runtime has 2");
}

#[test]
fn a_runtime_without_workers_does_not_start() {
    let config = RuntimeConfig::new(BackendKind::default()).workers(0);
    assert_eq!(
        Controller::start(config, spawn).unwrap_err(),
        StartError::NoWorkers
    );
}

#[test]
fn an_unknown_backend_is_named_beside_those_there_are() {
    let error = "epoll".parse::<BackendKind>().unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("unknown backend `epoll`; this build has: "));
    for known in BackendKind::ALL {
        assert_eq!(known.name().parse(), Ok(*known));
        assert!(error.contains(known.name()), "{error}");
    }
}

#[test]
fn a_full_queue_is_told_to_the_sender() {
    let mut config = RuntimeConfig::new(BackendKind::default());
    config.inputs_max = 2;
    let mut controller = Controller::start(config, spawn).unwrap();
    let (open_gate, gate) = channel();
    controller.spawn(0, Kind::Blocks(gate)).unwrap();
    // The worker takes inputs until it stands at the gate; then the queue fills up.
    let full = (0..4).find_map(|_| controller.spawn(0, Kind::Plain).err());
    assert_eq!(
        full,
        Some(ControlError::Full {
            worker: 0,
            inputs_max: 2
        })
    );
    drop(open_gate);
}

#[test]
fn an_interrupt_ends_a_wait() {
    let mut controller = start(1);
    controller.interrupter().interrupt();
    assert!(matches!(
        controller.wait(None),
        Some(ControllerEvent::Interrupted)
    ));
    assert!(controller.wait(Some(Duration::from_millis(1))).is_none());
}

#[test]
fn law_2_a_timeout_is_never_early_and_comes_as_often_as_wanted() {
    let mut controller = start(1);
    controller
        .spawn(0, Kind::Ticks(Duration::from_micros(300), 50))
        .unwrap();
    for _ in 0..50 {
        match report(&mut controller) {
            Report::TimedOut { wanted, now } => assert!(now >= wanted, "{now} before {wanted}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Were `now` sampled before the wait, it would be older than the datagram.
#[test]
fn law_2_the_now_of_a_datagram_is_sampled_after_the_wait() {
    let mut controller = start(1);
    let local = bound(&mut controller, LOOPBACK);
    let sender = UdpSocket::bind(LOOPBACK).unwrap();
    for _ in 0..20 {
        // Time for the worker to fall asleep again.
        assert!(controller.wait(Some(Duration::from_millis(5))).is_none());
        let sent_at = controller.now();
        sender
            .send_to(&sent_at.as_nanos().to_le_bytes(), local)
            .unwrap();
        let Report::Received { now, datagrams } = report(&mut controller) else {
            panic!("no datagram");
        };
        let sent_at =
            Timestamp::from_nanos(u64::from_le_bytes(datagrams[0][..].try_into().unwrap()));
        assert!(now >= sent_at, "received at {now}, sent at {sent_at}");
    }
}

#[test]
fn law_2_an_idle_worker_is_never_switched_to() {
    let mut controller = start(1);
    controller.spawn(0, Kind::Plain).unwrap();
    let Report::Started { thread } = report(&mut controller) else {
        panic!("not started")
    };
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.expect("Linux tells the switches").to_owned()
    };
    assert!(controller.wait(Some(Duration::from_millis(50))).is_none()); // It falls asleep.
    let before = switches();
    assert!(controller.wait(Some(Duration::from_millis(500))).is_none());
    assert_eq!(switches(), before);
}

#[test]
fn a_shutdown_removes_who_does_not_finish_in_time() {
    let mut controller = start(2);
    let alive = Arc::new(AtomicUsize::new(0));
    controller.spawn(0, Kind::Stubborn).unwrap();
    controller
        .spawn(1, Kind::Counted(Arc::clone(&alive)))
        .unwrap();
    for _ in 0..2 {
        next(&mut controller, |event| match event {
            ControllerEvent::Started { .. } => Some(()),
            _ => None,
        });
    }
    let summary = controller.shutdown(Duration::from_millis(50));
    let ends: Vec<(u16, &End)> = summary
        .events
        .iter()
        .filter_map(|event| match event {
            ControllerEvent::Ended { task, end, .. } => Some((task.worker(), end)),
            _ => None,
        })
        .collect();
    assert!(ends.contains(&(0, &End::Removed)), "{ends:?}");
    assert!(ends.contains(&(1, &End::Finished)), "{ends:?}");
    assert_eq!(summary.workers.len(), 2);
    assert!(summary.stuck.is_empty());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_shutdown_does_not_wait_for_ever_for_a_task_that_does_not_return() {
    let mut controller = start(2);
    let (open_gate, gate) = channel();
    controller.spawn(1, Kind::Blocks(gate)).unwrap();
    next(&mut controller, |event| match event {
        ControllerEvent::Started { .. } => Some(()),
        _ => None,
    });
    let summary = controller.shutdown(Duration::from_millis(10));
    assert_eq!(summary.stuck, [1]);
    assert_eq!(summary.workers.len(), 1);
    drop(open_gate); // Now its thread ends too.
}

#[test]
fn all_commands_before_a_shutdown_are_taken_before_it_however_many_wait() {
    let mut config = RuntimeConfig::new(BackendKind::default());
    config.inputs_max = 2_000;
    let mut controller = Controller::start(config, spawn).unwrap();
    controller.spawn(0, Kind::Plain).unwrap();
    let task = next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    });
    let (open_gate, gate) = channel();
    controller.spawn(0, Kind::Blocks(gate)).unwrap();
    for _ in 0..1_500 {
        controller.command(task, Command::Ping).unwrap();
    }
    drop(open_gate);
    let summary = controller.shutdown(PATIENCE);
    let pongs = summary.events.iter().filter(|event| match event {
        ControllerEvent::Report { report, .. } => *report == Report::Pong,
        _ => false,
    });
    assert_eq!(pongs.count(), 1_500);
    assert_eq!(summary.workers[0].inputs_lost, 0);
}

#[test]
fn a_task_gets_what_was_sent_while_its_worker_was_busy() {
    let mut controller = start(1);
    let local = bound(&mut controller, LOOPBACK);
    let (open_gate, gate) = channel();
    controller.spawn(0, Kind::Blocks(gate)).unwrap();
    let sender = UdpSocket::bind(LOOPBACK).unwrap();
    for number in 0..100u8 {
        sender.send_to(&[number], local).unwrap();
    }
    drop(open_gate);
    let mut received = Vec::new();
    while received.len() < 100 {
        if let Report::Received { datagrams, .. } = report(&mut controller) {
            received.extend(datagrams.concat());
        }
    }
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    let summary = controller.shutdown(PATIENCE);
    assert_eq!(summary.workers[0].counters.datagrams_in, 100);
}
