//! The control plane: where tasks are placed, and that whatever was asked is answered once.

use core::time::Duration;
use std::collections::BTreeMap;

use stillpoint::{
    CommandError, CommandTarget, ControlError, ControlOutput, ControlPlane, ControllerEvent, End,
    Load, Placement, Reaction, SpawnError, SpawnId, SpawnState, TaskId, Timestamp, WhenWorkerFails,
    WorkerFailure, WorkerOutput, WorkerSummary,
};

use super::cluster::Cluster;
use super::puppet::{Birth, Town};

type Plane = ControlPlane<Town>;

fn plane(workers: u16) -> Plane {
    let mut plane = Plane::new(WhenWorkerFails::GoOn);
    for _ in 0..workers {
        let index = plane.next_worker().expect("indexes are left");
        plane.worker_started(index);
    }
    plane
}

fn stopped(worker: u16) -> WorkerSummary {
    WorkerSummary::new(worker)
}

fn failed(worker: u16) -> WorkerSummary {
    let mut summary = WorkerSummary::new(worker);
    summary.failure = Some(WorkerFailure::Killed);
    summary
}

fn places(plane: &mut Plane, placement: Placement, count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| plane.place(placement).expect("a worker is there"))
        .collect()
}

fn load(utilization: f64, tasks: usize) -> Load {
    Load { utilization, tasks }
}

/// Ids of tasks that live on a worker.
fn tasks(worker: u16, count: usize) -> Vec<TaskId> {
    let mut cluster = Cluster::new(worker + 1, 1);
    (0..count).map(|_| cluster.spawn(worker, vec![])).collect()
}

fn started(plane: &mut Plane, worker: u16, task: TaskId) -> SpawnId {
    let (id, _) = plane.spawn(worker, Birth::default());
    let made = Ok(task);
    plane.handle_output(
        worker,
        WorkerOutput::Control(ControlOutput::Spawned { id, made }),
    );
    let parent = None;
    plane.handle_output(worker, WorkerOutput::Started { task, parent });
    id
}

fn phase_ended(plane: &mut Plane, worker: u16, phase: u8, next: u8) {
    let ended = ControlOutput::PhaseEnded { phase, next };
    plane.handle_output(worker, WorkerOutput::Control(ended));
}

fn events(plane: &mut Plane) -> Vec<ControllerEvent<Town>> {
    core::iter::from_fn(|| plane.poll_event()).collect()
}

#[test]
fn tasks_are_placed_on_one_worker_after_the_other_whoever_comes_and_goes() {
    let mut plane = plane(4);
    assert_eq!(
        places(&mut plane, Placement::RoundRobin, 5),
        [0, 1, 2, 3, 0]
    );
    plane.worker_stopped(Timestamp::EPOCH, stopped(1));
    plane.remove_worker(2).unwrap();
    assert_eq!(places(&mut plane, Placement::RoundRobin, 3), [3, 0, 3]);
    assert_eq!(plane.next_worker(), Ok(4), "no index is given twice");
    plane.worker_started(4);
    assert_eq!(places(&mut plane, Placement::RoundRobin, 3), [4, 0, 3]);
    // Other placements in between do not disturb the turn.
    assert_eq!(plane.place(Placement::Pinned(0)), Ok(0));
    assert_eq!(places(&mut plane, Placement::RoundRobin, 2), [4, 0]);
}

#[test]
fn the_least_busy_worker_is_chosen_and_among_idle_ones_the_one_with_the_fewest_tasks() {
    let mut plane = plane(3);
    let least = Placement::LeastLoaded;
    assert_eq!(plane.place(least), Ok(0), "among equals the first");
    for (worker, at) in [(0, load(0.95, 1)), (1, load(0.0, 9)), (2, load(0.0, 5))] {
        plane.set_load(worker, at);
    }
    assert_eq!(plane.place(least), Ok(2), "the idle one with the fewest");
    // Those on their way count, and those that have started since the load was seen.
    let (first, _) = plane.spawn(2, Birth::default());
    for _ in 0..4 {
        plane.spawn(2, Birth::default());
    }
    assert_eq!(plane.place(least), Ok(1));
    plane.forget_spawn(first);
    assert_eq!(plane.place(least), Ok(1), "9 on both");
    plane.spawn(1, Birth::default());
    assert_eq!(plane.place(least), Ok(2));
    let ids = tasks(1, 12);
    plane.set_load(2, load(0.0, 6));
    plane.set_load(1, load(0.0, 0));
    assert_eq!(plane.place(least), Ok(1));
    for &task in &ids {
        started(&mut plane, 1, task);
    }
    assert_eq!(
        plane.place(least),
        Ok(2),
        "12 have started, whatever the load says"
    );
    let end = End::Finished;
    for task in ids {
        plane.handle_output(
            1,
            WorkerOutput::Ended {
                task,
                end: end.clone(),
            },
        );
    }
    assert_eq!(plane.place(least), Ok(1));
}

#[test]
fn a_task_placed_is_expected_to_keep_its_worker_as_busy_as_those_there_do() {
    let mut plane = plane(2);
    let least = Placement::LeastLoaded;
    // Ten heavy tasks against a hundred light ones, equally busy by now.
    plane.set_load(0, load(0.5, 10));
    plane.set_load(1, load(0.5, 100));
    let placed: Vec<u16> = (0..11)
        .map(|_| {
            let worker = plane.place(least).unwrap();
            plane.spawn(worker, Birth::default());
            worker
        })
        .collect();
    let light = placed.iter().filter(|&&worker| worker == 1).count();
    assert!((8..=10).contains(&light), "{placed:?}");
    // A moment's difference sends not all to one.
    plane.set_load(0, load(0.12, 10));
    plane.set_load(1, load(0.09, 10));
    let mut counts = [0; 2];
    for _ in 0..20 {
        let worker = plane.place(least).unwrap();
        plane.spawn(worker, Birth::default());
        counts[usize::from(worker)] += 1;
    }
    assert!(counts.iter().all(|&count| count >= 5), "{counts:?}");
}

#[test]
fn a_key_stays_where_it_is_as_long_as_its_worker_is_there() {
    let mut plane = plane(10);
    let keys = 0..2_000u64;
    let place = |plane: &mut Plane| -> Vec<u16> {
        let place = |key| plane.place(Placement::Key(key)).unwrap();
        keys.clone().map(place).collect()
    };
    let before = place(&mut plane);
    let mut counts = BTreeMap::<u16, usize>::new();
    for &worker in &before {
        *counts.entry(worker).or_default() += 1;
    }
    assert!(counts.len() == 10 && counts.values().all(|count| (120..280).contains(count)));
    plane.remove_worker(4).unwrap();
    let without = place(&mut plane);
    for (before, now) in before.iter().zip(&without) {
        assert!(if *before == 4 {
            *now != 4
        } else {
            now == before
        });
    }
    plane.worker_stopped(Timestamp::EPOCH, stopped(4));
    assert_eq!(place(&mut plane), without);
    let new = plane.next_worker().unwrap();
    plane.worker_started(new);
    let moved = place(&mut plane);
    assert!(
        without
            .iter()
            .zip(&moved)
            .all(|(before, now)| now == before || *now == new)
    );
}

#[test]
fn what_cannot_be_placed_is_said() {
    let mut plane = plane(2);
    let pinned = |plane: &mut Plane, worker| plane.place(Placement::Pinned(worker));
    assert_eq!(pinned(&mut plane, 1), Ok(1));
    let no_such = ControlError::NoSuchWorker {
        worker: 7,
        workers: 2,
    };
    assert_eq!(pinned(&mut plane, 7), Err(no_such));
    plane.remove_worker(1).unwrap();
    let stopped_one = Err(ControlError::Stopped { worker: 1 });
    assert_eq!(pinned(&mut plane, 1), stopped_one);
    assert!(plane.remove_worker(1).is_err(), "once is enough");
    plane.worker_stopped(Timestamp::EPOCH, stopped(1));
    assert_eq!(pinned(&mut plane, 1), stopped_one);
    plane.worker_stopped(Timestamp::EPOCH, stopped(0));
    for placement in [
        Placement::RoundRobin,
        Placement::LeastLoaded,
        Placement::Key(3),
    ] {
        assert_eq!(plane.place(placement), Err(ControlError::NoWorkers));
    }
    assert_eq!(plane.shutdown(), Some(0));
    assert_eq!(
        plane.place(Placement::RoundRobin),
        Err(ControlError::Stopping)
    );
    assert_eq!(plane.next_worker(), Err(ControlError::Stopping));
}

#[test]
fn indexes_end() {
    let mut plane = plane(u16::MAX);
    assert_eq!(plane.next_worker(), Ok(u16::MAX));
    assert_eq!(plane.next_worker(), Err(ControlError::NoIndex));
}

#[test]
fn a_spawn_is_underway_then_started_then_over() {
    let mut plane = plane(1);
    let task = tasks(0, 1)[0];
    let (refused, _) = plane.spawn(0, Birth::default());
    assert_eq!(plane.spawn_state(refused), SpawnState::Underway);
    let made = Err(SpawnError::Stopping);
    let answer = ControlOutput::Spawned { id: refused, made };
    plane.handle_output(0, WorkerOutput::Control(answer));
    assert_eq!(plane.spawn_state(refused), SpawnState::Over);
    let id = started(&mut plane, 0, task);
    assert_eq!(plane.spawn_state(id), SpawnState::Started(task));
    let end = End::Finished;
    plane.handle_output(0, WorkerOutput::Ended { task, end });
    assert_eq!(plane.spawn_state(id), SpawnState::Over);
    let told = events(&mut plane);
    let [
        ControllerEvent::SpawnFailed { spawn: first, .. },
        ControllerEvent::Started { spawn: second, .. },
        ControllerEvent::Ended { spawn: third, .. },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        [*first, *second, *third],
        [Some(refused), Some(id), Some(id)]
    );
    let (forgotten, _) = plane.spawn(0, Birth::default());
    plane.forget_spawn(forgotten);
    assert_eq!(plane.spawn_state(forgotten), SpawnState::Over);
    assert!(!plane.has_events());
}

#[test]
fn a_worker_that_stops_answers_all_that_is_open_once() {
    let mut plane = plane(2);
    let ids = tasks(0, 2);
    let (lives, ended) = (
        started(&mut plane, 0, ids[0]),
        started(&mut plane, 0, ids[1]),
    );
    let (task, end) = (ids[1], End::Finished);
    plane.handle_output(0, WorkerOutput::Ended { task, end });
    let (underway, _) = plane.spawn(0, Birth::default());
    let (elsewhere, _) = plane.spawn(1, Birth::default());
    let (open, _) = plane.command(CommandTarget::Worker(0), vec![]);
    let (answered, _) = plane.command(CommandTarget::Task(ids[0]), vec![]);
    let (other, _) = plane.command(CommandTarget::Worker(1), vec![]);
    let (unsent, _) = plane.command(CommandTarget::Worker(0), vec![]);
    plane.forget_command(unsent);
    let given = Ok(ids[0]);
    let answer = ControlOutput::Commanded {
        id: answered,
        given,
    };
    plane.handle_output(0, WorkerOutput::Control(answer));
    events(&mut plane);

    assert_eq!(
        plane.worker_stopped(Timestamp::EPOCH, failed(0)),
        Reaction::GoOn
    );
    let told = events(&mut plane);
    let gone = Err(CommandError::WorkerGone { worker: 0 });
    let mut seen = (0, 0, 0, 0);
    for event in &told {
        match event {
            ControllerEvent::WorkerStopped(summary) if summary.worker == 0 => seen.0 += 1,
            ControllerEvent::SpawnFailed { spawn, .. } if *spawn == Some(underway) => seen.1 += 1,
            ControllerEvent::Commanded { id, given } if (*id, *given) == (open, gone) => {
                seen.2 += 1
            }
            ControllerEvent::Ended { spawn, end, .. } => {
                assert_eq!((*spawn, end), (Some(lives), &End::Removed));
                seen.3 += 1;
            }
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(seen, (1, 1, 1, 1));
    for id in [lives, ended, underway] {
        assert_eq!(plane.spawn_state(id), SpawnState::Over);
    }
    assert_eq!(plane.spawn_state(elsewhere), SpawnState::Underway);
    plane.worker_stopped(Timestamp::EPOCH, stopped(1));
    let told = events(&mut plane);
    assert_eq!(told.len(), 3);
    let about = |event: &ControllerEvent<Town>| matches!(event, ControllerEvent::Commanded { id, .. } if *id == other);
    assert!(told.iter().any(about));
}

#[test]
fn a_worker_that_fails_is_replaced_so_many_times_within_a_while() {
    let window = WhenWorkerFails::WINDOW;
    let at = |nanos| Timestamp::EPOCH.after(nanos);
    let mut plane = Plane::new(WhenWorkerFails::Restart { restarts_max: 2 });
    for worker in 0..9 {
        assert_eq!(plane.next_worker(), Ok(worker));
        plane.worker_started(worker);
    }
    let second = Duration::from_secs(1);
    assert_eq!(
        plane.worker_stopped(at(second), failed(0)),
        Reaction::Restart
    );
    assert_eq!(
        plane.worker_stopped(at(second * 2), stopped(1)),
        Reaction::GoOn
    );
    assert_eq!(
        plane.worker_stopped(at(second * 3), failed(2)),
        Reaction::Restart
    );
    assert_eq!(
        plane.worker_stopped(at(second * 4), failed(3)),
        Reaction::GoOn
    );
    let almost = window + second - Duration::from_nanos(1);
    assert_eq!(plane.worker_stopped(at(almost), failed(4)), Reaction::GoOn);
    assert_eq!(
        plane.worker_stopped(at(window + second), failed(5)),
        Reaction::Restart
    );
    // One that was to be gone needs nobody in its place.
    plane.remove_worker(6).unwrap();
    assert_eq!(
        plane.worker_stopped(at(window * 9), failed(6)),
        Reaction::GoOn
    );
    plane.shutdown();
    assert_eq!(
        plane.worker_stopped(at(window * 99), failed(7)),
        Reaction::GoOn
    );
}

#[test]
fn a_worker_that_fails_may_end_all() {
    let mut plane = Plane::new(WhenWorkerFails::Stop);
    for _ in 0..2 {
        let index = plane.next_worker().unwrap();
        plane.worker_started(index);
    }
    assert_eq!(
        plane.worker_stopped(Timestamp::EPOCH, stopped(0)),
        Reaction::GoOn
    );
    assert_eq!(
        plane.worker_stopped(Timestamp::EPOCH, failed(1)),
        Reaction::Stop
    );
}

#[test]
fn a_phase_begins_once_every_worker_has_ended_the_one_before() {
    let mut plane = plane(3);
    assert_eq!(plane.poll_phase(), None, "nobody has asked for it");
    assert_eq!(plane.shutdown(), Some(0));
    assert_eq!(plane.shutdown(), None);
    assert!(plane.is_stopping());
    phase_ended(&mut plane, 0, 0, 5);
    phase_ended(&mut plane, 1, 0, 3);
    assert_eq!(plane.poll_phase(), None);
    // The third has no tasks of a later phase, and is stopped.
    plane.worker_stopped(Timestamp::EPOCH, stopped(2));
    assert_eq!(
        plane.poll_phase(),
        Some(3),
        "phases without tasks are skipped"
    );
    assert_eq!(plane.poll_phase(), None);
    phase_ended(&mut plane, 0, 3, 5);
    assert_eq!(plane.poll_phase(), None);
    phase_ended(&mut plane, 1, 3, 9);
    assert_eq!(plane.poll_phase(), Some(5));
    plane.worker_stopped(Timestamp::EPOCH, stopped(0));
    assert_eq!(plane.poll_phase(), Some(9));
    plane.worker_stopped(Timestamp::EPOCH, stopped(1));
    assert_eq!(plane.poll_phase(), None);
}
