//! What only threads have: handles for other threads, descriptors, names, cores and stacks, and
//! what becomes of events that nobody listens to.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]
#![cfg(all(feature = "poll", target_os = "linux"))]

#[path = "control/killable.rs"]
mod killable;
#[path = "control/puppet.rs"]
mod puppet;

#[path = "runtime_control/events.rs"]
mod events;
#[path = "runtime_control/failures.rs"]
mod failures;
#[path = "runtime_control/remotes.rs"]
mod remotes;
#[path = "runtime_control/threads.rs"]
mod threads;

use core::time::Duration;

use puppet::{Act, Hands, News, Play, Role, Told};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{CommandTarget, ControlError, ControllerEvent, SpawnState, TaskId};

fn config(workers: u16) -> RuntimeConfig {
    RuntimeConfig::new(BackendKind::default()).workers(workers)
}

fn start(config: RuntimeConfig) -> Controller<Play> {
    Controller::start(config, puppet::spawn).unwrap()
}

/// A puppet on this worker, that lives.
fn puppet_on(controller: &mut Controller<Play>, worker: u16, role: Role) -> TaskId {
    let spawn = controller.spawn(worker, role).unwrap();
    match controller.wait_spawned(spawn, PATIENCE) {
        SpawnState::Started(task) => task,
        other => panic!("not started: {other:?}"),
    }
}

fn tell(
    controller: &mut Controller<Play>,
    task: TaskId,
    act: impl FnOnce(&mut Hands) + Send + 'static,
) {
    controller.command(task, Act::new(act)).unwrap();
}

/// The next event of interest: `pick` says which. Fails after a while.
fn next<R>(
    controller: &mut Controller<Play>,
    mut pick: impl FnMut(&ControllerEvent<Play>) -> Option<R>,
) -> R {
    let until = controller.now().after(PATIENCE);
    while controller.now() < until {
        if let Some(picked) = controller
            .wait(Some(PATIENCE))
            .and_then(|event| pick(&event))
        {
            return picked;
        }
    }
    panic!("nothing of interest within {PATIENCE:?}");
}

/// The next number that any puppet says.
fn said(controller: &mut Controller<Play>) -> u64 {
    next(controller, |event| match event {
        ControllerEvent::Report {
            report: Told(_, News::Said(number)),
            ..
        } => Some(*number),
        _ => None,
    })
}

/// Waits until something is so, and takes no event.
fn until(controller: &Controller<Play>, mut is_so: impl FnMut() -> bool) {
    let limit = controller.now().after(PATIENCE);
    while !is_so() {
        assert!(controller.now() < limit, "not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Waits until a worker is gone, and takes no event.
fn wait_until_gone(controller: &Controller<Play>, worker: u16) {
    let remote = controller.remote();
    let (to, gone) = (
        CommandTarget::Worker(worker),
        ControlError::Stopped { worker },
    );
    until(controller, || {
        remote.command(to, Act::new(|_| {})) == Err(gone)
    });
}

/// A puppet that says more, and more often, than anybody can listen to.
fn never_silent(controller: &mut Controller<Play>, worker: u16) {
    let puppet = puppet_on(controller, worker, Role::Stubborn);
    tell(controller, puppet, |hands| {
        let me = hands.me.unwrap();
        hands.is_silent = true;
        hands.react = Some(Box::new(move |_, hands| {
            hands.outbox.send_to(me, 0, stillpoint::NoRoom::Drop);
            (0..5_000).for_each(|number| hands.tell(News::Said(number)));
        }));
        hands.outbox.send_to(me, 0, stillpoint::NoRoom::Drop);
    });
}

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(30);
