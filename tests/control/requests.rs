//! Requests and their answers, as stories.

use core::time::Duration;

use stillpoint::{BusEvent, End, RequestError, TaskId, Token};

use super::lab::{Kind, Lab};
use super::puppet::Role;

/// Answers every request with its double.
fn doubles(lab: &mut Lab, replier: TaskId) {
    lab.react(replier, |event, hands| {
        if let BusEvent::Request {
            request, message, ..
        } = event
        {
            hands.outbox.answer(*request, message * 2);
        }
    });
}

fn reply(lab: &mut Lab, asker: TaskId) -> (TaskId, Token, u64) {
    lab.bus(asker, |event| match event {
        BusEvent::Reply {
            from,
            token,
            message,
        } => Some((*from, *token, *message)),
        _ => None,
    })
}

fn failure(lab: &mut Lab, asker: TaskId) -> (TaskId, Token, RequestError) {
    lab.bus(asker, |event| match event {
        BusEvent::RequestFailed { to, token, error } => Some((*to, *token, *error)),
        _ => None,
    })
}

fn asked(lab: &mut Lab, replier: TaskId) {
    lab.bus(replier, |event| {
        matches!(event, BusEvent::Request { .. }).then_some(())
    });
}

pub(crate) fn a_request_is_answered(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let asker = lab.puppet(0);
    for worker in 0..2 {
        let replier = lab.puppet(worker);
        doubles(&mut lab, replier);
        lab.act(asker, move |hands| hands.ask(replier, 21));
        assert_eq!(reply(&mut lab, asker), (replier, Token(21), 42));
    }
    lab.status(0, |status| {
        (status.bus.requests, status.bus.replies, status.requests) == (2, 2, 0)
    });
}

pub(crate) fn many_requests_get_each_its_own_answer(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let asker = lab.puppet(0);
    let repliers: Vec<TaskId> = (0..6).map(|number| lab.puppet(number % 3)).collect();
    for &replier in &repliers {
        doubles(&mut lab, replier);
    }
    let to = repliers.clone();
    lab.act(asker, move |hands| {
        for number in 0..300 {
            hands.ask(to[number % 6], number as u64);
        }
    });
    let mut answered = vec![false; 300];
    for _ in 0..300 {
        let (from, token, message) = reply(&mut lab, asker);
        assert_eq!(message, token.0 * 2);
        let number = usize::try_from(token.0).unwrap();
        assert_eq!(from, repliers[number % 6]);
        assert!(!core::mem::replace(&mut answered[number], true));
    }
}

pub(crate) fn a_request_that_nobody_answers_fails_when_its_time_is_up(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (asker, replier) = (lab.puppet(0), lab.puppet(1));
    let until = lab.now().after(Duration::from_millis(30));
    lab.act(asker, move |hands| {
        hands.outbox.request(replier, Token(1), 1, until);
    });
    let failed = lab.next_at(asker, |at, news| match news {
        super::puppet::News::Bus(BusEvent::RequestFailed { token, error, .. }) => {
            Some((at, *token, *error))
        }
        _ => None,
    });
    assert_eq!((failed.1, failed.2), (Token(1), RequestError::TimedOut));
    assert!(failed.0 >= until, "{} is before {until}", failed.0);
}

pub(crate) fn an_answer_that_comes_too_late_is_stale(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let asker = lab.puppet(0);
    for worker in 0..2 {
        let replier = lab.puppet(worker);
        let until = lab.now().after(Duration::from_millis(500));
        lab.act(asker, move |hands| {
            hands.outbox.request(replier, Token(1), 1, until);
        });
        asked(&mut lab, replier);
        assert_eq!(failure(&mut lab, asker).2, RequestError::TimedOut);
        lab.until("the time", |lab| lab.now() > until);
        lab.act(replier, |hands| {
            let request = hands.asked.take().unwrap();
            hands.outbox.answer(request, 2);
        });
        lab.bus(replier, |event| {
            matches!(event, BusEvent::StaleRequest(_)).then_some(())
        });
    }
}

pub(crate) fn a_second_answer_is_stale(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (asker, replier) = (lab.puppet(0), lab.puppet(1));
    lab.act(asker, move |hands| hands.ask(replier, 1));
    asked(&mut lab, replier);
    lab.act(replier, |hands| {
        let request = hands.asked.take().unwrap();
        hands.outbox.answer(request, 5);
        hands.outbox.answer(request, 6);
    });
    assert_eq!(reply(&mut lab, asker).2, 5);
    lab.bus(replier, |event| {
        matches!(event, BusEvent::StaleRequest(_)).then_some(())
    });
}

pub(crate) fn a_request_fails_if_who_was_asked_ends_without_an_answer(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let asker = lab.puppet(0);
    for worker in 0..2 {
        let replier = lab.puppet(worker);
        lab.act(asker, move |hands| hands.ask(replier, 1));
        asked(&mut lab, replier);
        lab.tell(replier, |hands| hands.outbox.finish());
        let failed = failure(&mut lab, asker);
        assert_eq!(failed, (replier, Token(1), RequestError::Ended));
    }
}

pub(crate) fn a_request_to_a_task_that_is_no_more_fails(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let asker = lab.puppet(0);
    for worker in 0..2 {
        let replier = lab.puppet(worker);
        lab.tell(replier, |hands| panic!("at {}", hands.now));
        assert!(matches!(lab.end(replier), End::Panicked { .. }));
        lab.act(asker, move |hands| hands.ask(replier, 3));
        let failed = failure(&mut lab, asker);
        assert_eq!(failed, (replier, Token(3), RequestError::Ended));
    }
}

pub(crate) fn a_request_fails_if_the_worker_of_who_was_asked_dies(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (asker, replier) = (lab.puppet(0), lab.puppet(1));
    lab.act(asker, move |hands| hands.ask(replier, 1));
    asked(&mut lab, replier);
    lab.stage.kill(1);
    lab.stopped(1);
    let failed = failure(&mut lab, asker);
    assert_eq!(failed, (replier, Token(1), RequestError::WorkerGone));
}

pub(crate) fn a_request_fails_if_the_worker_of_who_was_asked_is_removed(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let (asker, replier) = (lab.puppet(0), lab.puppet_as(1, Role::First));
    lab.act(asker, move |hands| hands.ask(replier, 1));
    asked(&mut lab, replier);
    lab.stage.remove_worker(1).unwrap();
    let (to, token, error) = failure(&mut lab, asker);
    assert_eq!((to, token), (replier, Token(1)));
    let either = [RequestError::Ended, RequestError::WorkerGone];
    assert!(either.contains(&error), "{error}");
}

pub(crate) fn a_request_without_room_fails_at_once(kind: Kind) {
    let mut lab = Lab::with(kind, 2, |limits| limits.bus_queue_max = 2);
    let (asker, replier) = (lab.puppet(0), lab.puppet(1));
    doubles(&mut lab, replier);
    lab.stage.stall(1);
    lab.act(asker, move |hands| {
        for number in 0..10 {
            hands.ask(replier, number);
        }
    });
    let (to, _, error) = failure(&mut lab, asker);
    assert_eq!((to, error), (replier, RequestError::NoRoom));
    lab.stage.release(1);
    let mut answered = 1;
    while answered < 10 {
        answered += lab.bus(asker, |event| match event {
            BusEvent::Reply { .. } => Some(1),
            BusEvent::RequestFailed { error, .. } => {
                assert_eq!(*error, RequestError::NoRoom);
                Some(1)
            }
            _ => None,
        });
    }
    let is_over =
        |status: &stillpoint::WorkerStatus| status.bus.replies + status.bus.requests_failed == 10;
    let over = lab.status(0, is_over).bus;
    assert_eq!((over.requests, over.requests_failed), (10, over.dropped));
}
