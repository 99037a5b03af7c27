//! Scripts for a cluster, and the laws that it keeps whatever they say.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint::{ControlInput, NoRoom, TaskId, WorkerInput};

use super::cluster::Cluster;
use super::puppet::{Act, Birth, Form, Heard, Note, Whom};

/// One thing that happens. Tasks, workers and moves are meant by number, modulo how many there are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Say {
    Spawn(usize, Birth),
    Tell(usize, Vec<Act>),
    /// The driver does one of the things that it can do.
    Go(usize),
    /// Time passes, in nanoseconds.
    Wait(u64),
    Join,
    Leave(usize),
    /// The controller publishes.
    Publish(usize, u8),
    /// The controller sends to the worker.
    Broadcast(usize),
}

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) workers: u16,
    pub(crate) capacity: usize,
    pub(crate) batch_max: u32,
    pub(crate) messages_max: usize,
    pub(crate) messages_per_task_max: u32,
    pub(crate) pending_max: usize,
    pub(crate) requests_max: usize,
    pub(crate) subscriptions_max: usize,
}

/// Does what the script says, and then all that is left to do.
pub(crate) fn run(limits: &Limits, script: &[Say]) {
    let config = limits.clone();
    let mut cluster = Cluster::with(limits.workers, limits.capacity, move |worker| {
        worker.outputs_max = 40;
        worker.tasks_max = TASKS_MAX;
        worker.batch_max = config.batch_max;
        worker.messages_max = config.messages_max;
        worker.messages_per_task_max = config.messages_per_task_max;
        worker.pending_max = config.pending_max;
        worker.requests_max = config.requests_max;
        worker.subscriptions_max = config.subscriptions_max;
    });
    let mut joined = limits.workers;
    let foreign = |say: &Say| matches!(say, Say::Publish(..) | Say::Broadcast(_));
    let has_foreign = script.iter().any(foreign);
    for say in script {
        act(&mut cluster, &mut joined, say);
    }
    // From here on progress is owed, not only correctness.
    cluster.run();
    for _ in 0..4 {
        let now = cluster.now + TIME_MAX;
        cluster.run_until(now);
    }
    check_quiet(&cluster);
    check_messages(&cluster);
    check_requests(&cluster);
    check_counters(&cluster, has_foreign);
    call_the_roll(&mut cluster);
    for worker in workers(&cluster) {
        cluster.give(worker, WorkerInput::Shutdown);
    }
    cluster.run();
    let now = cluster.now + TIME_MAX;
    cluster.run_until(now);
    for worker in cluster.workers.values() {
        assert!(worker.is_stopped(), "{worker:?}");
    }
    check_counters(&cluster, has_foreign);
}

fn workers(cluster: &Cluster) -> Vec<u16> {
    cluster.workers.keys().copied().collect()
}

fn act(cluster: &mut Cluster, joined: &mut u16, say: &Say) {
    let workers = workers(cluster);
    let worker = |number: &usize| workers[number % workers.len()];
    match say {
        Say::Spawn(at, birth) => cluster.give(worker(at), WorkerInput::Spawn(birth.clone())),
        Say::Tell(task, acts) => {
            let tasks = cluster.log.borrow().tasks.clone();
            if let Some(number) = task.checked_rem(tasks.len())
                && workers.contains(&tasks[number].worker())
            {
                cluster.tell(tasks[number], acts.clone());
            }
        }
        Say::Go(choice) => {
            let moves = cluster.moves();
            if let Some(number) = choice.checked_rem(moves.len()) {
                cluster.step(moves[number]);
            }
        }
        Say::Wait(nanos) => cluster.now += nanos,
        Say::Join => {
            if workers.len() < WORKERS_MAX {
                cluster.join(*joined);
                *joined += 1;
            }
        }
        Say::Leave(at) => {
            if workers.len() > 1 {
                cluster.leave(worker(at));
            }
        }
        Say::Publish(at, channel) => {
            let (channel, message) = (*channel, Note::foreign(FOREIGN));
            control(
                cluster,
                worker(at),
                ControlInput::Publish { channel, message },
            );
        }
        Say::Broadcast(at) => {
            let message = Note::foreign(FOREIGN);
            control(cluster, worker(at), ControlInput::Broadcast(message));
        }
    }
}

fn control(cluster: &mut Cluster, worker: u16, input: ControlInput<super::puppet::Town>) {
    if cluster.workers[&worker].takes_control() {
        cluster.control(worker, input);
    }
}

/// Nothing waits, and nobody has anything to do.
fn check_quiet(cluster: &Cluster) {
    for (key, queue) in &cluster.wires.queues {
        assert!(queue.is_empty(), "{key:?}: {queue:?}");
    }
    for worker in workers(cluster) {
        let queues = cluster.status(worker).queues;
        assert_eq!((queues.bus, queues.pending), (0, 0));
    }
    assert_eq!(
        cluster.log.borrow().returned,
        0,
        "somebody waits for room for ever"
    );
}

/// Each message is delivered at most once, and in the order in which it was sent; and those that
/// would rather wait, in the order in which they were written.
fn check_messages(cluster: &Cluster) {
    let log = cluster.log.borrow();
    let mut delivered = BTreeSet::new();
    let mut last_sent = BTreeMap::new();
    let mut last_patient = BTreeMap::new();
    for (_, task, heard) in &log.entries {
        let Some(number) = number_of(heard) else {
            continue;
        };
        assert!(delivered.insert((*task, number)), "{number} came twice");
        let written = &log.written[number as usize];
        let pair = (written.from, *task);
        let before = last_sent.insert(pair, written.last_sent);
        assert!(before < Some(written.last_sent), "{number} was overtaken");
        if written.form == Form::Message && written.no_room == NoRoom::Wait && written.to.is_some()
        {
            let before = last_patient.insert(pair, number);
            assert!(
                before < Some(number),
                "{number} was overtaken when it came back"
            );
        }
        assert!(
            written.to.is_none_or(|to| to == *task),
            "{number} went astray"
        );
    }
}

fn number_of(heard: &Heard) -> Option<u64> {
    match *heard {
        Heard::Message { number, .. }
        | Heard::Request { number, .. }
        | Heard::Reply { number, .. } => Some(number).filter(|&number| number != FOREIGN),
        _ => None,
    }
}

/// Each request has one end, unless its asker has ended first.
fn check_requests(cluster: &Cluster) {
    let log = cluster.log.borrow();
    let mut ends = BTreeMap::<u64, usize>::new();
    for (_, _, heard) in &log.entries {
        if let Heard::Reply { token, .. } | Heard::Failed { token, .. } = heard {
            *ends.entry(*token).or_default() += 1;
        }
    }
    let untold = cluster.all_counters().untold > 0;
    for (number, written) in (0..).zip(&log.written) {
        if written.form == Form::Request {
            let count = ends.remove(&number).unwrap_or(0);
            let owed = lives(cluster, written.from) && written.until <= cluster.now && !untold;
            assert!(
                count == 1 || (count == 0 && !owed),
                "{number}: {count} ends"
            );
        }
    }
    assert!(ends.is_empty(), "{ends:?} were never asked");
    let counters = cluster.all_counters();
    assert!(counters.replies + counters.requests_failed <= counters.requests);
    for worker in workers(cluster) {
        let asked = cluster.status(worker).requests;
        assert!(asked <= 2 * cluster.workers[&worker].config().requests_max);
    }
}

fn lives(cluster: &Cluster, task: TaskId) -> bool {
    let worker = cluster.workers.get(&task.worker());
    worker.is_some_and(|worker| {
        let phases = [
            worker.task::<super::puppet::Puppet<0>>(task).is_some(),
            worker.task::<super::puppet::Puppet<1>>(task).is_some(),
            worker.task::<super::puppet::Puppet<9>>(task).is_some(),
        ];
        phases.contains(&true)
    })
}

fn check_counters(cluster: &Cluster, has_foreign: bool) {
    let counters = cluster.all_counters();
    let lost = counters.lost + cluster.wires.lost;
    assert_eq!(counters.sent, counters.received + lost, "{counters:?}");
    let log = cluster.log.borrow();
    let given = log.entries.iter().filter(|(_, _, heard)| {
        matches!(
            heard,
            Heard::Message { .. } | Heard::Request { .. } | Heard::Reply { .. }
        )
    });
    assert_eq!(counters.delivered, given.count() as u64);
    let back = log
        .entries
        .iter()
        .filter(|(_, _, heard)| matches!(heard, Heard::NoRoom(..)));
    assert!(back.count() as u64 <= counters.refused);
    // Messages to one task each, and nothing else: what became of each is counted once.
    let direct =
        |written: &super::puppet::Written| written.form == Form::Message && written.to.is_some();
    if log.written.iter().all(direct) && !has_foreign {
        let ends = counters.delivered + counters.stale + lost;
        assert_eq!(
            log.sent,
            ends + counters.dropped + counters.refused,
            "{counters:?}"
        );
    }
}

/// Whoever has subscribed was told so, and hears once what is published, on any worker.
fn call_the_roll(cluster: &mut Cluster) {
    let refused = |heard: &Heard| matches!(heard, Heard::TooManySubscriptions(_));
    let any_refused = cluster
        .log
        .borrow()
        .entries
        .iter()
        .any(|(_, _, heard)| refused(heard));
    if any_refused || cluster.all_counters().untold > 0 {
        return;
    }
    let subscribed = cluster.log.borrow().subscribed.clone();
    for &(task, channel) in &subscribed {
        assert!(
            cluster.has_heard(task, &Heard::Subscribed(channel)),
            "{task} {channel}"
        );
    }
    let first = cluster.log.borrow().entries.len();
    let mut published = 0;
    for worker in workers(cluster) {
        if cluster.status(worker).tasks() >= TASKS_MAX as usize {
            continue; // Its groups may be full.
        }
        let acts =
            (0..CHANNELS).map(|channel| Act::Send(Whom::Channel(channel), NoRoom::Wait, vec![]));
        cluster.give(
            worker,
            WorkerInput::Spawn(Birth {
                start: acts.collect(),
                ..Birth::default()
            }),
        );
        cluster.run();
        published += 1;
    }
    if cluster.all_counters().untold > 0 {
        return; // What was published may not have come back to who would send it again.
    }
    let log = cluster.log.borrow();
    for (task, channel) in subscribed {
        let mine = |(_, by, heard): &&(u64, TaskId, Heard)| {
            let to = stillpoint::Destination::Channel(channel);
            *by == task && matches!(heard, Heard::Message { to: at, .. } if *at == to)
        };
        assert_eq!(
            log.entries[first..].iter().filter(mine).count(),
            published,
            "{task}"
        );
    }
}

/// The number of all messages of the controller.
const FOREIGN: u64 = u64::MAX;

/// Channels of scripts are below this.
pub(crate) const CHANNELS: u8 = 3;

/// Whatever a task waits for in a script, it has waited for after this long.
const TIME_MAX: u64 = 1_000;

const WORKERS_MAX: usize = 4;

const TASKS_MAX: u32 = 12;
