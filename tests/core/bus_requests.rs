//! Requests: one answer or one failure for each, and what becomes of answers that nobody awaits.

use stillpoint::{
    CommandError, CommandTarget, ControlInput, ControlOutput, NoRoom, RequestError, TaskId,
};

use super::cluster::{Cluster, Move};
use super::puppet::{Act, Heard, Whom};

const WAIT: NoRoom = NoRoom::Wait;

fn ask(whom: TaskId, wait: u64, then: Vec<Act>) -> Act {
    Act::Request(Whom::Task(whom), WAIT, wait, then)
}

fn replies() -> Vec<Act> {
    vec![Act::Reply(WAIT)]
}

/// What the requests of a task came to, by their numbers.
pub(crate) fn ends(cluster: &Cluster, asker: TaskId) -> Vec<(u64, Result<u64, RequestError>)> {
    let end = |heard| match heard {
        Heard::Reply { token, number, .. } => Some((token, Ok(number))),
        Heard::Failed { token, error, .. } => Some((token, Err(error))),
        _ => None,
    };
    cluster.heard(asker).into_iter().filter_map(end).collect()
}

#[test]
fn a_request_is_answered_near_and_far() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 4);
        let replier = cluster.spawn(workers - 1, vec![]);
        let asker = cluster.spawn(0, vec![ask(replier, 10, replies())]);
        cluster.run();
        let (from, token, number) = (replier, 0, 1);
        let reply = Heard::Reply {
            from,
            token,
            number,
        };
        assert_eq!(cluster.heard(asker), [Heard::Started, reply]);
        cluster.run_until(100);
        assert_eq!(ends(&cluster, asker).len(), 1, "it does not time out, too");
        let sum = cluster.all_counters();
        assert_eq!((sum.requests, sum.replies, sum.requests_failed), (1, 1, 0));
        assert_eq!((sum.sent, sum.received, sum.delivered), (2, 2, 2));
        assert_eq!(cluster.workers[&0].poll_timeout(), None);
    }
}

#[test]
fn law_2_a_request_times_out_exactly_when_its_time_is_up() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 4);
        let replier = cluster.spawn(workers - 1, vec![]);
        let asker = cluster.spawn(0, vec![ask(replier, 10, vec![]), ask(replier, 7, vec![])]);
        cluster.run();
        for (now, count) in [(6, 0), (7, 1), (9, 1), (10, 2)] {
            let due = cluster.workers[&0].poll_timeout().unwrap().at.as_nanos();
            assert_eq!(due, if now <= 7 { 7 } else { 10 });
            cluster.now = now;
            cluster.tick(0);
            assert_eq!(ends(&cluster, asker).len(), count, "at {now}");
        }
        let late = Err(RequestError::TimedOut);
        assert_eq!(ends(&cluster, asker), [(1, late), (0, late)]);
        // An answer that comes after all is refused where it is given.
        cluster.now = 11;
        cluster.tell(replier, replies());
        cluster.run();
        let stale = cluster.heard(replier).pop().unwrap();
        assert!(matches!(stale, Heard::Stale(_)));
        assert_eq!(ends(&cluster, asker).len(), 2);
    }
}

#[test]
fn an_answer_that_is_under_way_when_time_is_up_reaches_nobody() {
    let mut cluster = Cluster::new(2, 4);
    let replier = cluster.spawn(1, vec![]);
    let asker = cluster.spawn(0, vec![ask(replier, 10, replies())]);
    cluster.step(Move::Carry(0, 1));
    cluster.now = 10;
    cluster.tick(0);
    // Somebody else's request takes the place of the first.
    cluster.tell(asker, vec![ask(replier, 10, vec![])]);
    cluster.run();
    assert_eq!(ends(&cluster, asker), [(0, Err(RequestError::TimedOut))]);
    assert_eq!(cluster.counters(0).stale, 1);
    cluster.run_until(20);
    assert_eq!(ends(&cluster, asker).len(), 2);
}

#[test]
fn a_request_fails_when_who_was_asked_ends_or_never_was() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 4);
        let (first, second) = (
            cluster.spawn(workers - 1, vec![]),
            cluster.spawn(workers - 1, vec![]),
        );
        let asker = cluster.spawn(0, vec![ask(first, 10, vec![]), ask(second, 10, vec![])]);
        cluster.run();
        cluster.tell(first, vec![Act::Finish]);
        cluster.tell(second, vec![Act::Panic]);
        cluster.run();
        let ended = Err(RequestError::Ended);
        let mut both = ends(&cluster, asker);
        both.sort_by_key(|&(token, _)| token);
        assert_eq!(both, [(0, ended), (1, ended)], "{workers} workers");
        cluster.tell(asker, vec![ask(first, 10, vec![])]);
        cluster.run();
        assert_eq!(ends(&cluster, asker)[2..], [(2, ended)]);
        // It was put to nobody, which is told as a failure, and not as a message.
        let undelivered = |heard: &Heard| matches!(heard, Heard::Undelivered(..));
        assert!(!cluster.heard(asker).iter().any(undelivered));
        assert_eq!(cluster.status(workers - 1).requests, 0);
    }
}

#[test]
fn a_request_fails_when_its_worker_leaves_or_never_was() {
    let mut cluster = Cluster::new(3, 4);
    let replier = cluster.spawn(1, vec![]);
    let bystander = cluster.spawn(2, vec![]);
    let asker = cluster.spawn(
        0,
        vec![ask(replier, 10, vec![]), ask(bystander, 10, vec![])],
    );
    cluster.run();
    // Aborted, it still says what became of what it was asked; and if it cannot, its end says it.
    cluster.leave(1);
    cluster.tell(asker, vec![ask(replier, 10, vec![])]);
    cluster.step(Move::Carry(1, 0));
    cluster.run();
    let failed = ends(&cluster, asker);
    assert_eq!(failed.len(), 2);
    assert!(failed.contains(&(2, Err(RequestError::WorkerGone))));
    let told = Err(RequestError::Ended);
    assert!(failed.contains(&(0, told)), "{failed:?}");
    cluster.tell(asker, vec![ask(replier, 10, vec![])]);
    cluster.run();
    assert_eq!(
        ends(&cluster, asker)[2..],
        [(3, Err(RequestError::WorkerGone))]
    );
    assert_eq!(cluster.status(0).requests, 1);
}

#[test]
fn what_a_worker_has_answered_before_it_left_is_still_an_answer() {
    let mut cluster = Cluster::new(2, 4);
    let replier = cluster.spawn(1, vec![]);
    let asker = cluster.spawn(
        0,
        vec![ask(replier, 10, replies()), ask(replier, 10, vec![])],
    );
    cluster.step(Move::Carry(0, 1));
    cluster.leave(1);
    cluster.run();
    assert_eq!(
        ends(&cluster, asker),
        [(0, Ok(2)), (1, Err(RequestError::WorkerGone))]
    );
}

#[test]
fn a_request_without_room_that_would_not_wait_fails_at_once() {
    for workers in [1, 2] {
        let mut cluster = Cluster::with(workers, 1, |config| config.messages_max = 1);
        let replier = cluster.spawn(workers - 1, vec![]);
        let hasty = || Act::Request(Whom::Task(replier), NoRoom::Drop, 1_000, replies());
        let asker = cluster.spawn(0, vec![hasty(), hasty()]);
        cluster.tick(0);
        assert!(ends(&cluster, asker).contains(&(1, Err(RequestError::NoRoom))));
        cluster.run();
        assert_eq!(ends(&cluster, asker).len(), 2);
        let counters = cluster.counters(0);
        assert_eq!((counters.requests, counters.requests_failed), (2, 1));
        assert_eq!((counters.replies, counters.dropped), (1, 1));
    }
}

#[test]
fn law_5_too_many_requests_fail_on_either_side() {
    for workers in [1, 2] {
        let mut cluster = Cluster::with(workers, 16, |config| config.requests_max = 2);
        let replier = cluster.spawn(workers - 1, vec![]);
        let asker = cluster.spawn(0, vec![ask(replier, 10, vec![]); 3]);
        cluster.run();
        let too_many = Err(RequestError::TooMany { requests_max: 2 });
        assert_eq!(ends(&cluster, asker), [(2, too_many)]);
        // The same at the worker of who is asked, for the requests of others.
        if workers == 2 {
            let other = cluster.spawn(1, vec![ask(replier, 10, vec![])]);
            cluster.run();
            assert_eq!(ends(&cluster, other), [(3, too_many)]);
            assert_eq!(cluster.status(1).requests, 2);
        }
        // What has timed out leaves its place to others.
        cluster.run_until(11);
        assert_eq!(ends(&cluster, asker).len(), 3);
        cluster.tell(asker, vec![ask(replier, 10, vec![])]);
        cluster.run();
        cluster.tell(replier, vec![Act::Reply(WAIT); 3]);
        cluster.run();
        assert_eq!(ends(&cluster, asker).len(), 4);
        assert!(ends(&cluster, asker)[3].1.is_ok());
    }
}

#[test]
fn law_4_an_answer_that_is_late_or_doubled_or_somebody_elses_is_stale() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 8);
        let far = workers - 1;
        let (replier, thief) = (cluster.spawn(far, vec![]), cluster.spawn(far, vec![]));
        let asker = cluster.spawn(0, vec![ask(replier, 10, vec![])]);
        cluster.run();
        let request = cluster.log.borrow().requests[0];
        cluster.tell(thief, vec![Act::ReplyTo(0)]);
        cluster.tell(asker, vec![Act::ReplyTo(0)]);
        cluster.run();
        assert_eq!(ends(&cluster, asker), []);
        cluster.tell(replier, vec![Act::ReplyTo(0), Act::ReplyTo(0)]);
        cluster.run();
        for cheat in [thief, asker, replier] {
            assert_eq!(cluster.times_heard(cheat, &Heard::Stale(request)), 1);
        }
        assert_eq!(ends(&cluster, asker).len(), 1);
        assert_eq!(cluster.all_counters().sent, 2);
    }
}

#[test]
fn an_answer_to_who_has_ended_or_whose_worker_has_left_is_counted_as_stale() {
    for workers in [1, 2] {
        let mut cluster = Cluster::new(workers, 8);
        let replier = cluster.spawn(workers - 1, vec![]);
        let asker = cluster.spawn(0, vec![ask(replier, 10, vec![])]);
        cluster.run();
        cluster.tell(asker, vec![Act::Finish]);
        cluster.tell(replier, replies());
        cluster.run();
        let sum = cluster.all_counters();
        assert_eq!((sum.sent, sum.received), (2, 2));
        assert_eq!((sum.delivered, sum.stale), (1, 1));
        cluster.run_until(20);
        assert_eq!(cluster.all_counters().requests_failed, 0);
    }
    let mut cluster = Cluster::new(2, 8);
    let replier = cluster.spawn(1, vec![]);
    cluster.spawn(0, vec![ask(replier, 10, vec![])]);
    cluster.run();
    cluster.leave(0);
    cluster.run();
    cluster.tell(replier, replies());
    assert_eq!(
        (cluster.counters(1).sent, cluster.counters(1).stale),
        (0, 1)
    );
    assert_eq!(cluster.status(1).requests, 0);
}

#[test]
fn an_answer_that_is_dropped_lets_the_request_time_out() {
    let mut cluster = Cluster::new(2, 1);
    let replier = cluster.spawn(1, vec![]);
    let then = vec![
        Act::Send(Whom::Back, WAIT, vec![]),
        Act::Reply(NoRoom::Drop),
    ];
    let asker = cluster.spawn(0, vec![ask(replier, 10, then)]);
    cluster.run();
    assert_eq!(
        (cluster.counters(1).dropped, ends(&cluster, asker).len()),
        (1, 0)
    );
    cluster.run_until(10);
    assert_eq!(ends(&cluster, asker), [(0, Err(RequestError::TimedOut))]);
}

#[test]
fn the_first_to_ask_is_the_agent_until_it_ends() {
    let mut cluster = Cluster::new(1, 4);
    let [first, second] = [(); 2].map(|()| cluster.spawn(0, vec![Act::BecomeAgent]));
    cluster.run();
    assert_eq!(cluster.heard(first), [Heard::Started, Heard::Agent(first)]);
    assert_eq!(cluster.heard(second), [Heard::Started, Heard::Agent(first)]);
    cluster.tell(first, vec![Act::Panic]);
    cluster.tell(second, vec![Act::BecomeAgent]);
    cluster.run();
    assert_eq!(cluster.heard(second).pop(), Some(Heard::Agent(second)));
}

#[test]
fn a_command_of_the_controller_is_answered_with_who_got_it() {
    use stillpoint::{ControlPlane, WhenWorkerFails};
    let mut cluster = Cluster::new(1, 4);
    let mut plane = ControlPlane::<super::puppet::Town>::new(WhenWorkerFails::GoOn);
    let mut command = |cluster: &mut Cluster, to| {
        let (asked, input) = plane.command(to, vec![Act::Report(5)]);
        cluster.wires.given.clear();
        cluster.control(0, input);
        let reported = cluster.wires.given.len() == 2;
        let answers = cluster.answers();
        let [(0, ControlOutput::Commanded { id, given })] = answers[..] else {
            panic!("one answer, not {answers:?}");
        };
        assert_eq!((id, reported), (asked, given.is_ok()));
        given
    };
    let (worker, agent) = (0, CommandTarget::Worker(0));
    assert_eq!(
        command(&mut cluster, agent),
        Err(CommandError::NoAgent { worker })
    );
    let task = cluster.spawn(0, vec![Act::BecomeAgent]);
    assert_eq!(command(&mut cluster, agent), Ok(task));
    assert_eq!(command(&mut cluster, CommandTarget::Task(task)), Ok(task));
    cluster.tell(task, vec![Act::Finish]);
    let stale = command(&mut cluster, CommandTarget::Task(task));
    assert_eq!(stale, Err(CommandError::Stale { task }));
    assert_eq!(
        command(&mut cluster, agent),
        Err(CommandError::NoAgent { worker })
    );
}

#[test]
fn a_spawn_of_the_controller_is_answered_before_the_task_starts() {
    use super::puppet::{Birth, Town};
    use stillpoint::{ControlPlane, SpawnError, WhenWorkerFails, WorkerOutput};
    let mut cluster = Cluster::with(1, 4, |config| config.tasks_max = 1);
    let mut plane = ControlPlane::<Town>::new(WhenWorkerFails::GoOn);
    let (asked, input) = plane.spawn(0, Birth::default());
    cluster.control(0, input);
    let task = cluster.log.borrow().tasks[0];
    let [(_, answer), (_, started)] = &cluster.wires.given[..] else {
        panic!("two outputs, not {:?}", cluster.wires.given);
    };
    let is_made = |id, made: &Result<_, _>| id == asked && *made == Ok(task);
    assert!(
        matches!(answer, WorkerOutput::Control(ControlOutput::Spawned { id, made }) if is_made(*id, made))
    );
    assert!(matches!(started, WorkerOutput::Started { task: at, parent: None } if *at == task));
    cluster.wires.given.clear();
    let (asked, input) = plane.spawn(0, Birth::default());
    cluster.give(0, stillpoint::WorkerInput::Control(input));
    let (id, made) = (asked, Err(SpawnError::GroupFull { tasks_max: 1 }));
    assert_eq!(
        cluster.answers(),
        [(0, ControlOutput::Spawned { id, made })]
    );
    let shutdown = ControlInput::Shutdown { phase: 0 };
    cluster.control(0, shutdown);
    let (id, input) = plane.spawn(0, Birth::default());
    cluster.control(0, input);
    let made = Err(SpawnError::Stopping);
    assert_eq!(
        cluster.answers(),
        [(0, ControlOutput::Spawned { id, made })]
    );
}
