//! Handles on workers for other threads.

use std::thread;

use stillpoint::runtime::Remote;
use stillpoint::{CommandTarget, ControlError, ControllerEvent};

use super::puppet::{Act, News, Play, Role, Told};
use super::{PATIENCE, config, next, puppet_on, said, start, tell, until};

/// Gives a command; again, as long as there is no room.
fn insist(remote: &Remote<Play>, to: CommandTarget, number: u64) {
    while let Err(error) = remote.command(to, Act::say(number)) {
        assert!(matches!(error, ControlError::Full { .. }), "{error}");
        thread::yield_now();
    }
}

#[test]
fn commands_of_many_threads_all_arrive_each_threads_in_order() {
    const THREADS: usize = 4;
    const EACH: u64 = 1_000;
    let mut config = config(2);
    config.remote_inputs_max = 8;
    config.events_max = 1 << 14;
    let mut controller = start(config);
    let puppets = [0, 1].map(|worker| puppet_on(&mut controller, worker, Role::First));
    thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let remote = controller.remote();
            scope.spawn(move || {
                for number in 0..EACH {
                    for puppet in puppets {
                        insist(&remote, puppet.into(), thread * EACH + number);
                    }
                }
            });
        }
        let mut heard = [[0; THREADS]; 2];
        for _ in 0..EACH * THREADS as u64 * 2 {
            let (task, number) = next(&mut controller, |event| match event {
                ControllerEvent::Report {
                    task,
                    report: Told(_, News::Said(number)),
                } => Some((*task, *number)),
                _ => None,
            });
            let thread = usize::try_from(number / EACH).unwrap();
            let heard = &mut heard[usize::from(task.worker())][thread];
            assert_eq!(number % EACH, *heard, "to {task}");
            *heard += 1;
        }
    });
}

/// Each command finds its worker asleep: were a wake-up lost, the answer would not come.
#[test]
fn a_remote_wakes_a_worker_that_sleeps_each_time() {
    let mut controller = start(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    let remote = controller.remote();
    for number in 0..2_000 {
        remote.command(puppet, Act::say(number)).unwrap();
        assert_eq!(said(&mut controller), number);
    }
}

#[test]
fn a_remote_publishes_and_broadcasts_to_all_workers() {
    let mut controller = start(config(3));
    let puppets = [0, 1, 2].map(|worker| puppet_on(&mut controller, worker, Role::First));
    for puppet in puppets {
        tell(&mut controller, puppet, |hands| {
            hands.outbox.subscribe(1);
            hands.outbox.become_agent();
            hands.react = Some(Box::new(|event, hands| {
                if let stillpoint::BusEvent::Message { message, .. } = event {
                    hands.tell(News::Said(*message));
                }
            }));
            hands.tell(News::Said(0));
        });
        assert_eq!(said(&mut controller), 0);
    }
    let remote = controller.remote();
    remote.publish(1, 7).unwrap();
    for _ in puppets {
        assert_eq!(said(&mut controller), 7);
    }
    remote.broadcast(8).unwrap();
    for _ in puppets {
        assert_eq!(said(&mut controller), 8);
    }
}

#[test]
fn a_remote_reaches_an_agent_and_the_workers_that_came_later() {
    let mut controller = start(config(1));
    let remote = controller.remote();
    let worker = controller.add_worker().unwrap();
    let agent = puppet_on(&mut controller, worker, Role::First);
    tell(&mut controller, agent, |hands| {
        hands.outbox.become_agent();
        hands.tell(News::Said(0));
    });
    assert_eq!(said(&mut controller), 0);
    remote
        .command(CommandTarget::Worker(worker), Act::say(1))
        .unwrap();
    assert_eq!(said(&mut controller), 1);
}

#[test]
fn a_remote_tells_a_worker_that_has_stopped_from_one_that_never_was() {
    let mut controller = start(config(2));
    let remote = controller.remote();
    let command = |worker| remote.command(CommandTarget::Worker(worker), Act::say(0));
    let workers = 2;
    let never = ControlError::NoSuchWorker { worker: 7, workers };
    assert_eq!(command(7), Err(never));
    controller.remove_worker(1).unwrap();
    next(&mut controller, |event| {
        matches!(event, ControllerEvent::WorkerStopped(_)).then_some(())
    });
    assert_eq!(command(1), Err(ControlError::Stopped { worker: 1 }));
    let summary = controller.shutdown(PATIENCE);
    assert!(summary.stuck.is_empty());
    assert_eq!(command(0), Err(ControlError::Stopped { worker: 0 }));
    assert_eq!(remote.publish(1, 1), Err(ControlError::NoWorkers));
}

#[test]
fn a_remote_of_a_dropped_controller_says_so() {
    let controller = start(config(1));
    let remote = controller.remote();
    drop(controller);
    let to = CommandTarget::Worker(0);
    let stopped = ControlError::Stopped { worker: 0 };
    assert_eq!(remote.command(to, Act::say(0)), Err(stopped));
    assert!(remote.publish(1, 1).is_err());
}

/// Commands of a remote are answered, too, which is nobody's business: events that come behind
/// are there all the same.
#[test]
fn what_a_remote_asks_hides_no_event() {
    let mut controller = start(config(1));
    let puppet = puppet_on(&mut controller, 0, Role::First);
    while controller.poll().is_some() {}
    let remote = controller.remote();
    for _ in 0..10 {
        remote.command(puppet, Act::new(|_| {})).unwrap();
    }
    remote.command(puppet, Act::say(1)).unwrap();
    let status = controller.status_reader();
    until(&controller, || status.read()[0].counters().inputs == 12);
    let event = controller.wait(Some(core::time::Duration::ZERO));
    assert!(
        matches!(event, Some(ControllerEvent::Report { .. })),
        "{event:?}"
    );
}
