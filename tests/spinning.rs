//! Workers that look on for a while before they sleep, over every backend: what they save, and that
//! they stop.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![cfg(feature = "poll")]

mod support;

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{RunnerStatus, TaskId, Token, UdpOpen};
use support::{Command, Kind, PATIENCE, Probe, Report, next, report, spawn};

const ROUNDS: u32 = 300;

/// So long that no wait of these tests is longer, however busy the machine: each sleep makes the
/// limit twice as long at least, up to this.
const FOR_LONG: Duration = Duration::from_secs(60);

/// Sleeps until a limit that doubles with each of them is as long as that, and one to begin with.
const SLEEPS_MAX: u64 = 27;

fn start(backend: BackendKind, spin_max: Duration) -> Controller<Probe> {
    let mut config = RuntimeConfig::new(backend);
    config.spin_max = spin_max;
    Controller::start(config, spawn).unwrap()
}

fn task(controller: &mut Controller<Probe>, kind: Kind) -> TaskId {
    controller.spawn(0, kind).unwrap();
    next(controller, |event| match event {
        ControllerEvent::Started { task, .. } => Some(*task),
        _ => None,
    })
}

/// Has a task answer so many commands, one after the other.
fn converse(controller: &mut Controller<Probe>, with: TaskId) {
    for _ in 0..ROUNDS {
        controller.command(with, Command::Ping).unwrap();
        next(controller, |event| match event {
            ControllerEvent::Report { report, .. } => (*report == Report::Pong).then_some(()),
            _ => None,
        });
    }
}

/// The worker's status, once it says this.
fn runner(controller: &mut Controller<Probe>, says: fn(&RunnerStatus) -> bool) -> RunnerStatus {
    for _ in 0..PATIENCE.as_millis() / 10 {
        let status = controller.status().remove(0).runner;
        if says(&status) {
            return status;
        }
        controller.wait(Some(Duration::from_millis(10)));
    }
    panic!("its status never says that: {:?}", controller.status());
}

#[test]
fn a_worker_that_may_spin_takes_commands_without_sleep_in_between() {
    for &backend in BackendKind::ALL {
        let mut controller = start(backend, FOR_LONG);
        let plain = task(&mut controller, Kind::Plain);
        converse(&mut controller, plain);
        let status = runner(&mut controller, |status| status.loops > u64::from(ROUNDS));
        assert!(status.wake_ups <= SLEEPS_MAX, "{backend}: {status:?}");
        assert!(status.spins_failed <= status.wake_ups, "{backend}");
        assert!(status.spun > Duration::ZERO, "{backend}: {status:?}");
        assert!(status.spun <= status.busy, "{backend}");
    }
}

#[test]
fn a_worker_that_may_spin_takes_datagrams_without_sleep_in_between() {
    for &backend in BackendKind::ALL {
        let mut controller = start(backend, FOR_LONG);
        let open = UdpOpen::new(Token(0), SocketAddr::from(([127, 0, 0, 1], 0)));
        controller.spawn(0, Kind::Socket(open)).unwrap();
        let Report::Bound(local) = report(&mut controller) else {
            panic!("{backend} opens no socket");
        };
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..ROUNDS {
            client.send_to(&number.to_le_bytes(), local).unwrap();
            let heard = report(&mut controller);
            let Report::Received { datagrams, .. } = heard else {
                panic!("{backend} hears {heard:?}");
            };
            assert_eq!(datagrams, [number.to_le_bytes()]);
        }
        let status = runner(&mut controller, |status| status.loops > u64::from(ROUNDS));
        assert!(status.wake_ups <= SLEEPS_MAX, "{backend}: {status:?}");
    }
}

#[test]
fn deadlines_are_met_while_a_worker_spins() {
    for &backend in BackendKind::ALL {
        let mut controller = start(backend, FOR_LONG);
        let tick = Duration::from_micros(500);
        controller
            .spawn(0, Kind::Ticks(tick, ROUNDS))
            .expect("there is room");
        for _ in 0..ROUNDS {
            let Report::TimedOut { wanted, now } = report(&mut controller) else {
                panic!("only timeouts are reported");
            };
            assert!(now >= wanted, "{backend}: never early");
        }
        let status = runner(&mut controller, |status| status.loops > u64::from(ROUNDS));
        assert!(status.wake_ups <= SLEEPS_MAX, "{backend}: {status:?}");
    }
}

#[test]
fn a_worker_that_has_nothing_to_do_stops_spinning() {
    for &backend in BackendKind::ALL {
        let mut controller = start(backend, Duration::from_millis(2));
        let plain = task(&mut controller, Kind::Plain);
        converse(&mut controller, plain);
        // Each command wakes it out of a long sleep, and makes it look for half as long.
        let mut spun = || {
            controller.command(plain, Command::Ping).unwrap();
            while controller.wait(Some(Duration::from_millis(50))).is_some() {}
            controller.status().remove(0).runner.spun
        };
        let mut before = spun();
        let stops = (0..100).any(|_| core::mem::replace(&mut before, spun()) == before);
        assert!(stops, "{backend} spins on, for {before:?} by now");
        let status = runner(&mut controller, |status| status.utilization < 0.1);
        assert!(status.spins_failed > 0, "{backend}");
    }
}

#[test]
fn who_does_not_ask_for_it_never_spins() {
    for &backend in BackendKind::ALL {
        let mut controller = start(backend, Duration::ZERO);
        let plain = task(&mut controller, Kind::Plain);
        converse(&mut controller, plain);
        let status = runner(&mut controller, |status| status.loops > u64::from(ROUNDS));
        assert_eq!(status.spun, Duration::ZERO, "{backend}");
        assert_eq!((status.spins_paid, status.spins_failed), (0, 0));
    }
}
