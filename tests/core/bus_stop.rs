//! How workers stop: phase by phase, with messages until the end; or at once.

use stillpoint::{ControlInput, ControlOutput, NoRoom, WorkerInput};

use super::bus::{send, sends};
use super::cluster::Cluster;
use super::puppet::{Act, Birth, Heard, Whom};

/// A task of a phase that finishes so many nanoseconds after it was told to.
fn slow(phase: u8, wait: u64) -> Birth {
    Birth {
        phase,
        shutdown: vec![Act::After(wait)],
        timeout: vec![Act::Finish],
        ..Birth::default()
    }
}

fn ended(phase: u8, next: u8) -> (u16, ControlOutput) {
    (0, ControlOutput::PhaseEnded { phase, next })
}

fn shutdown(cluster: &mut Cluster, phase: u8) {
    cluster.control(0, ControlInput::Shutdown { phase });
}

#[test]
fn tasks_are_told_to_finish_phase_by_phase() {
    let mut cluster = Cluster::new(1, 4);
    let tasks = [0, 1, 9].map(|phase| cluster.bear(0, slow(phase, 10)));
    let told = |cluster: &Cluster| tasks.map(|task| cluster.times_heard(task, &Heard::Shutdown));
    cluster.wires.given.clear();
    shutdown(&mut cluster, 0);
    cluster.run();
    assert_eq!(told(&cluster), [1, 0, 0]);
    assert_eq!(cluster.answers(), []);
    cluster.run_until(10);
    assert_eq!(cluster.answers(), [ended(0, 1)]);
    assert_eq!(
        cluster.workers[&0].poll_timeout(),
        None,
        "it waits to be told more"
    );
    shutdown(&mut cluster, 1);
    cluster.run();
    assert_eq!(told(&cluster), [1, 1, 0]);
    cluster.run_until(20);
    assert_eq!(cluster.answers(), [ended(1, 9)]);
    assert!(!cluster.workers[&0].is_stopped());
    shutdown(&mut cluster, 9);
    cluster.run_until(30);
    cluster.run_until(40);
    assert_eq!(told(&cluster), [1, 1, 1]);
    assert!(cluster.workers[&0].is_stopped());
    assert_eq!(cluster.answers(), [], "that it is stopped says it all");
}

#[test]
fn a_phase_without_tasks_is_over_at_once_and_says_which_is_next() {
    let mut cluster = Cluster::new(1, 4);
    cluster.bear(0, slow(9, 10));
    cluster.wires.given.clear();
    shutdown(&mut cluster, 0);
    cluster.run();
    assert_eq!(cluster.answers(), [ended(0, 9)]);
    shutdown(&mut cluster, 4);
    cluster.run();
    assert_eq!(cluster.answers(), [ended(4, 9)]);
    // What it was told already, it need not be told again.
    shutdown(&mut cluster, 4);
    shutdown(&mut cluster, 0);
    cluster.run();
    assert_eq!(cluster.answers(), []);
}

#[test]
fn a_worker_without_tasks_is_stopped_as_soon_as_it_is_told_of_any_phase() {
    let mut cluster = Cluster::new(1, 4);
    assert!(!cluster.workers[&0].is_stopped());
    shutdown(&mut cluster, 0);
    cluster.run();
    assert!(cluster.workers[&0].is_stopped());
    assert_eq!(cluster.answers(), []);
}

#[test]
fn a_task_that_ends_by_itself_ends_its_phase_too() {
    let mut cluster = Cluster::new(1, 4);
    let stubborn = cluster.bear(
        0,
        Birth {
            shutdown: vec![],
            ..Birth::default()
        },
    );
    cluster.bear(0, slow(1, 0));
    shutdown(&mut cluster, 0);
    cluster.run();
    cluster.wires.given.clear();
    cluster.tell(stubborn, vec![Act::Panic]);
    assert_eq!(cluster.answers(), [ended(0, 1)]);
}

#[test]
fn each_task_is_told_to_finish_once_however_often_the_worker_is_told_of_phases() {
    for batch_max in [1, 2, 256] {
        let mut cluster = Cluster::with(1, 4, move |config| config.batch_max = batch_max);
        let births = [0, 0, 0, 1, 1, 9].map(|phase| slow(phase, 10));
        let tasks = births.map(|birth| cluster.bear(0, birth));
        shutdown(&mut cluster, 0);
        cluster.tick(0);
        shutdown(&mut cluster, 1);
        cluster.tick(0);
        cluster.give(0, WorkerInput::Shutdown);
        cluster.give(0, WorkerInput::Shutdown);
        cluster.run();
        for task in tasks {
            assert_eq!(
                cluster.times_heard(task, &Heard::Shutdown),
                1,
                "{batch_max}"
            );
        }
        cluster.run_until(10);
        assert!(cluster.workers[&0].is_stopped());
    }
}

#[test]
fn messages_flow_while_tasks_finish() {
    let mut cluster = Cluster::new(2, 4);
    let store = cluster.bear(0, slow(1, 10));
    let save = Act::Request(
        Whom::Task(store),
        NoRoom::Wait,
        100,
        vec![Act::Reply(NoRoom::Wait)],
    );
    let front = cluster.bear(
        0,
        Birth {
            shutdown: vec![save, Act::After(10)],
            timeout: vec![Act::Finish],
            ..Birth::default()
        },
    );
    let far = cluster.spawn(1, vec![]);
    shutdown(&mut cluster, 0);
    cluster.tell(far, vec![send(Whom::Task(store))]);
    cluster.run();
    let (from, token) = (store, 1);
    let number = 2;
    let heard = cluster.heard(front);
    let reply = Heard::Reply {
        from,
        token,
        number,
    };
    let other = Heard::Reply {
        from,
        token: 0,
        number,
    };
    assert!(
        heard.contains(&reply) || heard.contains(&other),
        "{heard:?}"
    );
    assert_eq!(cluster.notes(store).len(), 1);
    cluster.run_until(10);
    shutdown(&mut cluster, 1);
    cluster.run();
    cluster.run_until(20);
    assert!(cluster.workers[&0].is_stopped());
}

#[test]
fn a_worker_is_not_stopped_while_messages_wait() {
    let mut cluster = Cluster::with(1, 4, |config| config.batch_max = 1);
    let reader = cluster.spawn(0, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 5, NoRoom::Wait));
    cluster.tell(writer, vec![Act::Finish]);
    cluster.give(0, WorkerInput::Shutdown);
    cluster.tell(reader, vec![Act::Finish]);
    assert_eq!(cluster.workers[&0].tasks(), 0);
    assert!(!cluster.workers[&0].is_stopped());
    cluster.run();
    assert!(cluster.workers[&0].is_stopped());
    assert_eq!(cluster.counters(0).stale, 5);
}

#[test]
fn law_5_an_abort_counts_what_waits_as_lost_and_stops_the_worker() {
    let mut cluster = Cluster::with(2, 8, |config| config.batch_max = 1);
    let readers = [(); 3].map(|()| cluster.spawn(0, vec![Act::Subscribe(1)]));
    cluster.run();
    let far = cluster.spawn(
        1,
        vec![send(Whom::Channel(1)), send(Whom::Task(readers[0]))],
    );
    cluster.carry_all(1, 0);
    let ask = Act::Request(Whom::Task(readers[1]), NoRoom::Wait, 9, vec![]);
    let acts = [sends(Whom::Task(readers[0]), 3, NoRoom::Wait), vec![ask]];
    cluster.spawn(0, acts.concat());
    assert!(cluster.status(0).queues.bus > 0);
    cluster.give(0, WorkerInput::Abort);
    assert!(cluster.workers[&0].is_stopped());
    assert_eq!(cluster.workers[&0].poll_timeout(), None);
    let (counters, queues) = (cluster.counters(0), cluster.status(0).queues);
    assert_eq!((queues.bus, queues.pending), (0, 0));
    // What goes round was received; the other four had not left their queue.
    assert_eq!((counters.sent, counters.received, counters.lost), (4, 1, 4));
    // What comes after finds nobody, and its sender is told.
    cluster.run();
    assert!(cluster.has_heard(far, &Heard::Undelivered(readers[0], 1)));
    let sum = cluster.all_counters();
    assert_eq!(sum.sent, sum.received + sum.lost);
    assert!(cluster.workers[&0].is_stopped());
}

#[test]
fn an_abort_leaves_nothing_of_those_who_waited() {
    let mut cluster = Cluster::with(2, 1, |config| config.messages_max = 1);
    let reader = cluster.spawn(1, vec![]);
    let acts = [
        sends(Whom::Task(reader), 3, NoRoom::Wait),
        sends(Whom::Me, 3, NoRoom::Wait),
        vec![Act::Subscribe(1), Act::BecomeAgent],
        vec![Act::Request(Whom::Task(reader), NoRoom::Wait, 9, vec![])],
    ];
    cluster.spawn(0, acts.concat());
    cluster.give(0, WorkerInput::Abort);
    assert!(cluster.workers[&0].is_stopped());
    cluster.run();
    assert!(cluster.workers[&0].is_stopped());
    let status = cluster.status(0);
    assert_eq!((status.subscriptions, status.requests), (0, 0));
}
