//! Workers that fail on their threads.

use core::time::Duration;
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::thread;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{
    ControlError, ControllerEvent, End, Placement, Token, UdpOpen, WorkerFailure, WorkerSummary,
};

use super::killable::{Killable, Killer};
use super::puppet::{Act, News, Play, Role, Told, spawn};
use super::{PATIENCE, config, next, puppet_on, start, tell, wait_until_gone};

/// A runtime whose workers can be killed.
fn mortal(config: RuntimeConfig) -> (Controller<Play>, Killer) {
    let killer = Killer::default();
    let kills = killer.clone();
    let controller = Controller::start_over(config, spawn, move |worker, config| {
        Killable::new(BackendKind::default(), worker, config, &kills)
    });
    (controller.unwrap(), killer)
}

fn stopped(controller: &mut Controller<Play>) -> WorkerSummary {
    next(controller, |event| match event {
        ControllerEvent::WorkerStopped(summary) => Some((**summary).clone()),
        _ => None,
    })
}

#[test]
fn a_backend_that_fails_is_named() {
    let (mut controller, killer) = mortal(config(2));
    puppet_on(&mut controller, 1, Role::First);
    killer.kill(1);
    let summary = stopped(&mut controller);
    let Some(WorkerFailure::Backend { operation, .. }) = summary.failure else {
        panic!("{summary:?}");
    };
    assert_eq!((operation, summary.tasks_lost), ("wait", 1));
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb was dropped");
    }
}

/// Several: the second panic must not come while the first one unwinds.
#[test]
fn a_worker_that_fails_with_tasks_that_panic_when_dropped_is_reported() {
    let (mut controller, killer) = mortal(config(1));
    for _ in 0..3 {
        let puppet = puppet_on(&mut controller, 0, Role::First);
        tell(&mut controller, puppet, |hands| {
            let bomb = Bomb;
            hands.react = Some(Box::new(move |_, _| {
                let _ = &bomb;
            }));
        });
    }
    killer.kill(0);
    let summary = stopped(&mut controller);
    assert!(summary.failure.is_some());
    assert_eq!(summary.tasks_lost, 3);
}

/// Whoever has not heard that a worker is gone may go on to command its tasks: each command
/// arrives, is refused or is counted.
#[test]
fn commands_to_a_worker_that_has_died_are_refused_or_counted() {
    let (mut controller, killer) = mortal(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    let (arrived, arrivals) = channel();
    killer.kill(0);
    let mut accepted = 0;
    loop {
        let arrived = arrived.clone();
        let act = Act::new(move |_| arrived.send(()).unwrap());
        match controller.command(puppet, act) {
            Ok(()) => accepted += 1,
            Err(ControlError::Stopped { worker: 0 }) => break,
            Err(ControlError::Full { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    let summary = stopped(&mut controller);
    drop(arrived);
    assert_eq!(
        accepted,
        arrivals.iter().count() as u64 + summary.inputs_lost
    );
}

#[test]
fn publishing_goes_on_while_nobody_has_heard_of_a_death() {
    let (mut controller, killer) = mortal(config(2));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    tell(&mut controller, puppet, |hands| hands.outbox.subscribe(1));
    killer.kill(1);
    wait_until_gone(&controller, 1);
    controller.publish(1, 5).unwrap();
    next(&mut controller, |event| match event {
        ControllerEvent::Report {
            report: Told(_, News::Bus(stillpoint::BusEvent::Message { message: 5, .. })),
            ..
        } => Some(()),
        _ => None,
    });
}

#[test]
fn tasks_are_placed_elsewhere_while_nobody_has_heard_of_a_death() {
    let (mut controller, killer) = mortal(config(2));
    killer.kill(1);
    wait_until_gone(&controller, 1);
    for placement in [
        Placement::RoundRobin,
        Placement::LeastLoaded,
        Placement::Key(1),
    ] {
        for _ in 0..3 {
            controller.spawn(placement, Role::First).unwrap();
        }
    }
    let told = controller.spawn(1, Role::First).unwrap_err();
    assert_eq!(told, ControlError::Stopped { worker: 1 });
    assert_eq!(stopped(&mut controller).worker, 1);
}

/// Datagrams come while a worker waits, so what a task does with them is not to be taken for sleep.
#[test]
fn a_worker_that_a_datagram_keeps_busy_is_seen_to_be_busy() {
    let mut controller = start(config(2));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    let (open_gate, gate) = channel::<()>();
    let (stands, is_still) = channel();
    tell(&mut controller, puppet, move |hands| {
        hands.on_datagram = Some(Box::new(move || {
            stands.send(()).unwrap();
            assert!(gate.recv().is_err(), "it is opened by its end");
        }));
        let bind = "127.0.0.1:0".parse().unwrap();
        hands.outbox.open_udp(UdpOpen::new(Token(0), bind));
    });
    let local = next(&mut controller, |event| match event {
        ControllerEvent::Report {
            report: Told(_, News::Bound(local)),
            ..
        } => Some(*local),
        _ => None,
    });
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"stop", local).unwrap();
    is_still.recv_timeout(PATIENCE).unwrap();
    assert!(controller.wait(Some(Duration::from_millis(500))).is_none());
    let status = controller.status();
    let busy = status[0].runner.utilization;
    assert!(busy > 0.9, "{busy}");
    // So tasks are made where somebody has time for them.
    let spawn = controller
        .spawn(Placement::LeastLoaded, Role::First)
        .unwrap();
    let worker = next(&mut controller, |event| match event {
        ControllerEvent::Started {
            task, spawn: of, ..
        } => (*of == Some(spawn)).then_some(task.worker()),
        _ => None,
    });
    assert_eq!(worker, 1);
    drop(open_gate);
}

#[test]
fn a_shutdown_after_a_death_that_nobody_heard_of_reports_it() {
    let (mut controller, killer) = mortal(config(2));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    killer.kill(1);
    wait_until_gone(&controller, 1);
    let summary = controller.shutdown(PATIENCE);
    let failed: Vec<bool> = summary
        .workers
        .iter()
        .map(|worker| worker.failure.is_some())
        .collect();
    assert_eq!(failed, [false, true]);
    let ended = summary.events.iter().any(|event| match event {
        ControllerEvent::Ended { task, end, .. } => *task == puppet && *end == End::Finished,
        _ => false,
    });
    assert!(ended);
}
