//! Tasks that a controller asks for, as stories.

use core::time::Duration;

use stillpoint::{
    ControlError, ControllerEvent, End, Placement, SpawnError, SpawnId, SpawnState, WhenWorkerFails,
};

use super::lab::{Kind, Lab};
use super::puppet::{News, Role};

fn failed(lab: &mut Lab, of: SpawnId) -> SpawnError {
    lab.event(|event| match event {
        ControllerEvent::SpawnFailed { spawn, error, .. } => {
            (*spawn == Some(of)).then(|| error.clone())
        }
        _ => None,
    })
}

pub(crate) fn a_spawn_is_followed_from_its_start_to_its_end(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    lab.stage.stall(1);
    let spawn = lab.stage.spawn(1.into(), Role::First).unwrap();
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Underway);
    lab.stage.release(1);
    let task = lab.started(spawn);
    assert_eq!(task.worker(), 1);
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Started(task));
    lab.tell(task, |hands| hands.outbox.finish());
    let (end, of) = lab.event(|event| match event {
        ControllerEvent::Ended {
            task: ended,
            end,
            spawn,
        } => (*ended == task).then(|| (end.clone(), *spawn)),
        _ => None,
    });
    assert_eq!((end, of), (End::Finished, Some(spawn)));
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Over);
}

pub(crate) fn a_task_that_cannot_be_made_is_told_with_the_reason(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let spawn = lab.stage.spawn(0.into(), Role::Impossible).unwrap();
    let expected = SpawnError::Refused {
        reason: "it is impossible".to_owned(),
    };
    assert_eq!(failed(&mut lab, spawn), expected);
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Over);
    let spawn = lab.stage.spawn(0.into(), Role::Accident).unwrap();
    let expected = SpawnError::Panicked {
        message: "an accident in the making".to_owned(),
    };
    assert_eq!(failed(&mut lab, spawn), expected);
    assert_eq!(lab.puppet(0).worker(), 0, "the worker goes on");
}

pub(crate) fn a_task_that_panics_at_its_start_has_started_and_ended(kind: Kind) {
    let mut lab = Lab::new(kind, 1);
    let spawn = lab.stage.spawn(0.into(), Role::Weak).unwrap();
    let task = lab.started(spawn);
    let expected = End::Panicked {
        message: "weak".to_owned(),
    };
    assert_eq!(lab.end(task), expected);
    assert_eq!(lab.stage.spawn_state(spawn), SpawnState::Over);
    lab.status(0, |status| status.counters().panicked == 1);
}

pub(crate) fn a_task_that_a_task_asks_for_names_its_parent(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let parent = lab.puppet(1);
    lab.act(parent, |hands| {
        hands.outbox.spawn(Role::First);
        hands.outbox.spawn(Role::Impossible);
    });
    let (child, spawn) = lab.event(|event| match event {
        ControllerEvent::Started {
            task,
            parent: by,
            spawn,
        } => (*by == Some(parent)).then_some((*task, *spawn)),
        _ => None,
    });
    assert_eq!((child.worker(), spawn), (1, None));
    let spawn = lab.event(|event| match event {
        ControllerEvent::SpawnFailed {
            parent: by, spawn, ..
        } => (*by == Some(parent)).then_some(*spawn),
        _ => None,
    });
    assert_eq!(spawn, None);
}

pub(crate) fn in_turn_each_worker_gets_one(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let place = |lab: &mut Lab| lab.puppet(Placement::RoundRobin).worker();
    let placed: Vec<u16> = (0..6).map(|_| place(&mut lab)).collect();
    assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
    lab.stage.remove_worker(1).unwrap();
    lab.stopped(1);
    lab.stage.add_worker().unwrap();
    let placed: Vec<u16> = (0..6).map(|_| place(&mut lab)).collect();
    assert_eq!(placed, [3, 0, 2, 3, 0, 2]);
}

pub(crate) fn where_load_is_least_tasks_spread_evenly(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    lab.stage.pass(Duration::from_millis(1_500));
    let spawns: Vec<SpawnId> = (0..90)
        .map(|_| {
            let placement = Placement::LeastLoaded;
            lab.stage.spawn(placement, Role::First).unwrap()
        })
        .collect();
    let mut counts = [0; 3];
    for spawn in spawns {
        counts[usize::from(lab.started(spawn).worker())] += 1;
    }
    // Threads that others keep from running seem busy for a while.
    assert!(counts.iter().all(|&count| count <= 60), "{counts:?}");
    if lab.kind.is_simulated() {
        assert_eq!(counts, [30; 3]);
    }
}

pub(crate) fn where_load_is_least_a_worker_with_many_tasks_is_passed_over(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let parent = lab.puppet(0);
    lab.act(parent, |hands| {
        (0..100).for_each(|_| hands.outbox.spawn(Role::First));
    });
    lab.status(0, |status| status.tasks() == 101);
    // Both are idle by now, as far as it goes by what they did lately.
    lab.stage.pass(Duration::from_millis(1_500));
    let mut elsewhere = 0;
    for _ in 0..20 {
        elsewhere += lab.puppet(Placement::LeastLoaded).worker();
    }
    // What else the machine does may make either seem busier for a moment.
    assert!(elsewhere >= 12, "{elsewhere} of 20");
}

pub(crate) fn where_load_is_least_a_worker_that_does_not_come_back_is_passed_over(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    // More tasks are on the idle one, so the number of tasks does not explain it.
    for _ in 0..5 {
        lab.puppet(1);
    }
    lab.stage.stall(0);
    lab.stage.pass(Duration::from_millis(1_500));
    let placed = lab.stage.spawn(Placement::LeastLoaded, Role::First);
    let task = lab.started(placed.unwrap());
    assert_eq!(task.worker(), 1);
}

pub(crate) fn a_key_keeps_its_worker_unless_that_goes(kind: Kind) {
    let mut lab = Lab::new(kind, 4);
    let place = |lab: &mut Lab, key| lab.puppet(Placement::Key(key)).worker();
    let before: Vec<u16> = (0..40).map(|key| place(&mut lab, key)).collect();
    let again: Vec<u16> = (0..40).map(|key| place(&mut lab, key)).collect();
    assert_eq!(before, again);
    assert!((0..4).all(|worker| before.contains(&worker)), "{before:?}");
    lab.stage.remove_worker(2).unwrap();
    for (key, &was) in before.iter().enumerate() {
        let is = place(&mut lab, key as u64);
        assert!(is != 2 && (was == 2 || is == was), "{key}: {was} to {is}");
    }
    let new = lab.stage.add_worker().unwrap();
    for (key, &was) in before.iter().enumerate() {
        let is = place(&mut lab, key as u64);
        assert!(was == 2 || is == was || is == new, "{key}: {was} to {is}");
    }
}

pub(crate) fn a_runtime_that_stops_makes_no_more_tasks(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| {
        limits.when_worker_fails = WhenWorkerFails::Stop;
    });
    let stubborn = lab.puppet_as(0, Role::Stubborn);
    lab.stage.kill(1);
    lab.stopped(1);
    for placement in [Placement::Pinned(0), Placement::RoundRobin] {
        let told = lab.stage.spawn(placement, Role::First);
        assert_eq!(told.unwrap_err(), ControlError::Stopping);
    }
    assert_eq!(lab.stage.add_worker(), Err(ControlError::Stopping));
    // Those who are there can be reached still.
    lab.next(stubborn, |news| (*news == News::Shutdown).then_some(()));
    lab.tell(stubborn, |hands| hands.outbox.finish());
    lab.stopped(0);
}
