//! Waiting for events, and what becomes of those that nobody takes.

use core::time::Duration;
use std::thread;

use stillpoint::runtime::Controller;
use stillpoint::{ControllerEvent, End, SpawnId, SpawnState};

use super::puppet::{Act, News, Play, Role};
use super::{
    PATIENCE, config, never_silent, next, puppet_on, said, start, tell, until, wait_until_gone,
};

#[test]
#[cfg(feature = "mio")]
fn the_descriptor_is_readable_when_an_event_has_come() {
    use std::os::fd::{AsFd, AsRawFd};

    let mut controller = start(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(4);
    let fd = controller.as_fd().as_raw_fd();
    let (token, interest) = (mio::Token(0), mio::Interest::READABLE);
    poll.registry()
        .register(&mut mio::unix::SourceFd(&fd), token, interest)
        .unwrap();
    for number in 0..100 {
        while controller.poll().is_some() {}
        tell(&mut controller, puppet, move |hands| {
            hands.tell(News::Said(number));
        });
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "nothing to read");
        assert_eq!(said(&mut controller), number);
    }
    while controller.poll().is_some() {}
    // Whoever looks without cause sees nothing.
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(controller.poll().is_none());
    poll.poll(&mut events, Some(Duration::from_millis(50)))
        .unwrap();
    assert!(events.is_empty());
}

#[test]
fn an_interrupt_from_another_thread_ends_a_wait_without_end() {
    let mut controller = start(config(1));
    let interrupter = controller.interrupter();
    thread::scope(|scope| {
        scope.spawn(move || interrupter.interrupt());
        next(&mut controller, |event| {
            matches!(event, ControllerEvent::Interrupted).then_some(())
        });
    });
}

#[test]
fn an_interrupt_comes_through_a_flood_of_reports() {
    let mut controller = start(config(3));
    for worker in 0..3 {
        never_silent(&mut controller, worker);
    }
    said(&mut controller);
    controller.interrupter().interrupt();
    for _ in 0..200_000 {
        if let Some(ControllerEvent::Interrupted) = controller.wait(Some(PATIENCE)) {
            return;
        }
    }
    panic!("still none after 200,000 events");
}

#[test]
fn waiting_for_a_spawn_ends_in_time_in_a_flood_of_reports() {
    let mut controller = start(config(2));
    never_silent(&mut controller, 1);
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let puppet = puppet_on(&mut controller, 0, Role::First);
    tell(&mut controller, puppet, move |_| {
        assert!(gate.recv().is_err(), "it is opened by its end");
    });
    let spawn = controller.spawn(0, Role::First).unwrap();
    let timeout = Duration::from_millis(50);
    assert_eq!(
        controller.wait_spawned(spawn, timeout),
        SpawnState::Underway
    );
    drop(open_gate);
    let state = controller.wait_spawned(spawn, PATIENCE);
    assert!(matches!(state, SpawnState::Started(_)), "{state:?}");
}

#[test]
fn events_that_come_while_a_spawn_is_waited_for_are_kept() {
    let mut controller = start(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    while controller.poll().is_some() {}
    tell(&mut controller, puppet, |hands| {
        (0..10).for_each(|number| hands.tell(News::Said(number)));
    });
    let new = puppet_on(&mut controller, 0, Role::First);
    for number in 0..10 {
        assert_eq!(said(&mut controller), number);
    }
    next(&mut controller, |event| match event {
        ControllerEvent::Started { task, .. } => (*task == new).then_some(()),
        _ => None,
    });
}

/// The worker never comes to the end of the batch in which the task was made.
#[test]
fn the_start_of_a_task_that_does_not_return_is_heard_at_once() {
    let mut controller = start(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    while controller.poll().is_some() {}
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let (stands, is_still) = std::sync::mpsc::channel();
    tell(&mut controller, puppet, move |_| {
        stands.send(()).unwrap();
        assert!(gate.recv().is_err(), "it is opened by its end");
    });
    is_still.recv_timeout(PATIENCE).unwrap();
    // Both are in its queue once it goes on, and so are of one batch.
    let spawn = controller.spawn(0, Role::First).unwrap();
    let (open_second, second) = std::sync::mpsc::channel::<()>();
    tell(&mut controller, puppet, move |_| {
        assert!(second.recv().is_err(), "it is opened by its end");
    });
    let before = controller.now();
    drop(open_gate);
    let state = controller.wait_spawned(spawn, PATIENCE);
    assert!(matches!(state, SpawnState::Started(_)), "{state:?}");
    let waited = controller.now().since(before);
    assert!(waited < PATIENCE / 2, "{waited:?}");
    drop(open_second);
}

/// Asks for tasks that finish at once, amid more reports than there is room for.
fn flood(controller: &mut Controller<Play>) -> Vec<SpawnId> {
    let puppet = puppet_on(controller, 0, Role::First);
    let mut spawns = Vec::new();
    for _ in 0..50 {
        tell(controller, puppet, |hands| {
            (0..10).for_each(|number| hands.tell(News::Said(number)));
        });
        spawns.push(controller.spawn(0, Role::First).unwrap());
    }
    spawns
}

/// Each is told to have started and how it has ended.
fn assert_followed(controller: &mut Controller<Play>, spawns: &[SpawnId], expected: &End) {
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    while ended.len() < spawns.len() {
        let event = controller.wait(Some(PATIENCE)).expect("all in time");
        match event {
            ControllerEvent::Started {
                spawn: Some(spawn), ..
            } if spawns.contains(&spawn) => started.push(spawn),
            ControllerEvent::Ended {
                spawn: Some(spawn),
                end,
                ..
            } if spawns.contains(&spawn) => {
                assert_eq!(end, *expected);
                ended.push(spawn);
            }
            _ => {}
        }
    }
    started.sort_unstable();
    ended.sort_unstable();
    assert_eq!(started, spawns);
    assert_eq!(ended, spawns);
}

#[test]
fn reports_that_nobody_takes_are_dropped_and_counted_and_lives_of_tasks_are_not() {
    let mut config = config(1);
    config.events_max = 8;
    let mut controller = start(config);
    let spawns = flood(&mut controller);
    let status = controller.status_reader();
    until(&controller, || status.read()[0].tasks() == 51);
    controller.remove_worker(0).unwrap();
    assert_followed(&mut controller, &spawns, &End::Finished);
    let dropped = next(&mut controller, |event| match event {
        ControllerEvent::WorkerStopped(summary) => Some(summary.events_dropped),
        _ => None,
    });
    assert!(dropped > 0);
}

/// The same, but nobody listens before the worker is gone.
#[test]
fn a_workers_last_words_are_heard_after_its_end() {
    let mut config = config(2);
    config.events_max = 8;
    let mut controller = start(config);
    let spawns = flood(&mut controller);
    controller.remove_worker(0).unwrap();
    wait_until_gone(&controller, 0);
    assert_followed(&mut controller, &spawns, &End::Finished);
}

/// A worker that waits for room for its answers sleeps as soon as they are gone.
#[test]
fn a_worker_that_got_rid_of_its_answers_sleeps() {
    let mut config = config(1);
    config.events_max = 8;
    let mut controller = start(config);
    let puppet = puppet_on(&mut controller, 0, Role::First);
    while controller.poll().is_some() {}
    // The queue is full, and one answer waits behind it.
    tell(&mut controller, puppet, |hands| {
        (0..8).for_each(|number| hands.tell(News::Said(number)));
    });
    controller
        .command_tracked(puppet, Act::new(|_| {}))
        .unwrap();
    let status = controller.status_reader();
    until(&controller, || status.read()[0].queues.events > 0);
    // There is room for it now, but less than half is free when it goes.
    assert_eq!(said(&mut controller), 0);
    tell(&mut controller, puppet, |_| {});
    until(&controller, || status.read()[0].queues.events == 0);
    while controller.poll().is_some() {}
    let loops = |controller: &Controller<Play>| controller.status()[0].runner.loops;
    let settled = controller.wait(Some(Duration::from_millis(100)));
    assert!(settled.is_none(), "{settled:?}");
    let before = loops(&controller);
    assert!(controller.wait(Some(Duration::from_millis(300))).is_none());
    let after = loops(&controller);
    assert!(
        after - before < 10,
        "{} loops without cause",
        after - before
    );
}
