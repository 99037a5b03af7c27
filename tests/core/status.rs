//! What can be seen of a worker, after scripts whose outcome is known.

use core::time::Duration;

use stillpoint::{NoRoom, WorkerStatus};

use super::bus::{send, sends};
use super::cluster::Cluster;
use super::puppet::{Act, Birth, Whom};

fn of_phase(phase: u8, start: Vec<Act>) -> Birth {
    Birth {
        phase,
        start,
        ..Birth::default()
    }
}

#[test]
fn tasks_are_counted_by_their_type_and_by_how_they_ended() {
    let mut cluster = Cluster::with(1, 1, |config| config.outputs_max = 5);
    let births = [0, 1, 1, 1, 0, 9].map(|phase| of_phase(phase, vec![]));
    let tasks = births.map(|birth| cluster.bear(0, birth));
    let acts = [Act::Finish, Act::Panic, Act::RunAway, Act::Report(1)];
    for (task, act) in tasks.into_iter().zip(acts) {
        cluster.tell(task, vec![act]);
    }
    let status = cluster.status(0);
    assert_eq!(
        (status.worker, status.tasks(), status.groups.len()),
        (0, 3, 3)
    );
    let names = [0, 1, 2].map(|group| status.groups[group].short_name());
    assert_eq!(names, ["Puppet"; 3]);
    let full = [0, 1, 2].map(|group| status.groups[group].name);
    for (name, phase) in full.iter().zip(["<0>", "<1>", "<9>"]) {
        assert!(name.contains(phase), "{name}");
    }
    let [first, second, third] = [0, 1, 2].map(|group| status.groups[group].counters);
    assert_eq!((first.started, first.finished, first.inputs), (2, 1, 3));
    assert_eq!((second.started, second.panicked, second.runaway), (3, 1, 1));
    assert_eq!((second.inputs, second.timeouts), (6, 0));
    assert_eq!((third.started, third.inputs, third.removed), (1, 1, 0));
    cluster.give(0, stillpoint::WorkerInput::Abort);
    let sum = cluster.status(0).counters();
    assert_eq!((sum.started, sum.removed), (6, 3));
    assert_eq!(cluster.status(0).tasks(), 0);
}

#[test]
fn how_late_timeouts_come_is_recorded() {
    let mut cluster = Cluster::new(1, 1);
    let birth = |wait| Birth {
        start: vec![Act::After(wait)],
        ..Birth::default()
    };
    for wait in [1_000, 2_000, 3_000] {
        cluster.bear(0, birth(wait));
    }
    cluster.run_until(1_000);
    let lateness = cluster.status(0).lateness;
    assert_eq!(
        (lateness.count(), lateness.quantile(1.0)),
        (1, Some(Duration::ZERO))
    );
    cluster.run_until(103_000);
    let status = cluster.status(0);
    assert_eq!(status.at.as_nanos(), 103_000);
    assert_eq!(
        (status.lateness.count(), status.counters().timeouts),
        (3, 3)
    );
    let [none, some, all] = status
        .lateness
        .at_most([1, 50, 200].map(Duration::from_micros));
    assert_eq!((none, some, all), (1, 1, 3));
    let most = status.lateness.quantile(1.0).unwrap().as_nanos();
    assert!((101_000..=101_000 * 9 / 8).contains(&most), "{most}");
}

#[test]
fn what_waits_is_seen_and_the_most_that_ever_did() {
    let mut cluster = Cluster::with(2, 2, |config| config.batch_max = 1);
    let reader = cluster.spawn(0, vec![]);
    let writer = cluster.spawn(0, sends(Whom::Task(reader), 5, NoRoom::Wait));
    let spawns = vec![Act::Spawn(Birth::default()); 3];
    cluster.tell(writer, spawns);
    let queues = cluster.status(0).queues;
    assert_eq!((queues.bus, queues.bus_most), (5, 5));
    assert_eq!((queues.pending, queues.pending_most), (3, 3));
    cluster.tick(0);
    let queues = cluster.status(0).queues;
    assert_eq!((queues.bus, queues.pending), (4, 2));
    cluster.run();
    let queues = cluster.status(0).queues;
    assert_eq!((queues.bus, queues.bus_most), (0, 5));
    assert_eq!((queues.pending, queues.pending_most), (0, 3));
    // What comes from elsewhere and is not dealt with yet is seen here, too.
    for _ in 0..2 {
        cluster.spawn(0, vec![Act::Subscribe(1)]);
    }
    cluster.run();
    cluster.spawn(1, vec![send(Whom::Channel(1))]);
    cluster.carry_all(1, 0);
    assert_eq!(cluster.status(0).queues.bus, 1);
    cluster.run();
    assert_eq!(cluster.status(0).queues.bus, 0);
}

#[test]
fn subscriptions_requests_and_counters_are_written_over_what_was_there() {
    let mut cluster = Cluster::new(1, 1);
    let ask = Act::Request(Whom::Me, NoRoom::Wait, 10, vec![]);
    let task = cluster.spawn(0, vec![Act::Subscribe(1), Act::Subscribe(2), ask]);
    let mut status = WorkerStatus::default();
    cluster.workers[&0].write_status(&mut status);
    assert_eq!((status.subscriptions, status.requests), (2, 1));
    cluster.run();
    cluster.workers[&0].write_status(&mut status);
    assert_eq!(status.requests, 2, "once as put, once as asked");
    assert_eq!((status.groups.len(), status.resources), (1, 0));
    cluster.tell(task, vec![Act::Reply(NoRoom::Wait)]);
    cluster.run();
    cluster.workers[&0].write_status(&mut status);
    assert_eq!((status.subscriptions, status.requests), (2, 0));
    let bus = status.bus;
    assert_eq!((bus.sent, bus.received, bus.delivered), (2, 2, 2));
    assert_eq!((bus.requests, bus.replies, bus.requests_failed), (1, 1, 0));
    assert_eq!(
        (bus.dropped, bus.refused, bus.untold, bus.stale),
        (0, 0, 0, 0)
    );
}

#[test]
fn requests_whose_time_is_up_are_not_counted_for_ever() {
    let mut cluster = Cluster::new(1, 1);
    let deaf = cluster.spawn(0, vec![]);
    let asker = cluster.spawn(0, vec![]);
    for now in 0..20 {
        cluster.run_until(now * 10);
        cluster.tell(
            asker,
            vec![Act::Request(Whom::Task(deaf), NoRoom::Wait, 5, vec![])],
        );
        cluster.run();
    }
    assert!(
        cluster.status(0).requests <= 3,
        "{}",
        cluster.status(0).requests
    );
}

#[test]
fn each_task_is_seen_with_its_deadline_and_each_request_with_both_its_ends() {
    let mut cluster = Cluster::new(1, 1);
    cluster.run_until(5);
    let deaf = cluster.spawn(0, vec![]);
    cluster.run_until(7);
    let ask = Act::Request(Whom::Task(deaf), NoRoom::Wait, 50, vec![]);
    let birth = Birth {
        start: vec![Act::After(30), Act::Subscribe(2), ask],
        ..of_phase(1, vec![])
    };
    let asker = cluster.bear(0, birth);
    let worker = &cluster.workers[&0];
    let views: Vec<_> = worker.task_views().collect();
    let seen: Vec<_> = views
        .iter()
        .map(|view| {
            (
                view.task,
                view.since.as_nanos(),
                view.deadline.map(|at| at.at.as_nanos()),
            )
        })
        .collect();
    assert_eq!(seen, [(deaf, 5, None), (asker, 7, Some(37))]);
    assert!(views[1].type_name.contains("Puppet<1>"), "{views:?}");
    assert_eq!(worker.task_view(asker), Some(views[1]));
    let requests: Vec<_> = worker.request_views().collect();
    assert_eq!((requests[0].from, requests[0].to), (asker, deaf));
    assert_eq!((requests[0].until.as_nanos(), requests.len()), (57, 1));
    assert_eq!(worker.subscriptions().collect::<Vec<_>>(), [(asker, 2)]);
    assert_eq!(worker.resource_views().count(), 0);

    cluster.tell(asker, vec![Act::Finish]);
    let worker = &cluster.workers[&0];
    assert_eq!(worker.task_view(asker), None, "its id is stale");
    assert_eq!(worker.task_views().count(), 1);
    assert_eq!(worker.request_views().count(), 0);
    assert_eq!(worker.subscriptions().count(), 0);
}
