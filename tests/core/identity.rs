//! Laws 4 and 5: stale ids reach nobody, and whoever loses something is told.

use stillpoint::{NetworkError, SpawnError};

use super::bench::{Bench, Say};
use super::check::given;
use super::probe::{Act, Birth, Heard, Kind, Pushed};

#[test]
fn law_4_a_command_to_a_task_that_ended_reaches_nobody_in_its_slot() {
    let mut bench = Bench::new();
    bench.task(vec![Act::Finish]);
    bench.task(vec![]);
    let (old, new) = (bench.task_id(0), bench.task_id(1));
    assert_eq!((old.group(), old.key().slot), (new.group(), new.key().slot));
    assert_eq!(
        bench.pushed(1, &Say::Command(0, vec![Act::Report(1)])),
        [Pushed::Stale(0)]
    );
    assert_eq!(
        bench.pushed(2, &Say::Command(1, vec![Act::Report(2)])),
        [Pushed::Report(1, 2)]
    );
    assert!(bench.worker.task::<super::probe::Probe<0>>(old).is_none());
    assert!(bench.worker.task::<super::probe::Probe<0>>(new).is_some());
    assert!(bench.worker.task::<super::probe::Probe<1>>(new).is_none());
}

#[test]
fn law_4_a_command_to_a_task_of_another_worker_reaches_nobody() {
    let mut bench = Bench::new().with_foreigners();
    bench.task(vec![]);
    assert_eq!(bench.task_id(0).key(), bench.task_id(1).key());
    assert_eq!(
        bench.pushed(1, &Say::Command(0, vec![Act::Report(1)])),
        [Pushed::Stale(0)]
    );
}

/// What `offender` hears after it has used the socket twice, and what the driver heard meanwhile.
fn offence(bench: &mut Bench, offender: usize, act: impl Fn(usize) -> Act, socket: usize) {
    let acts = vec![act(socket), act(socket)];
    assert_eq!(
        bench.pushed(5, &Say::Command(offender, acts)),
        [],
        "nothing goes out"
    );
    assert_eq!(bench.wants(), Some(5), "there is something to be told");
    let told = given(&bench.say(5, &Say::Timeout));
    assert_eq!(told, [(offender, Heard::Stale(socket, 2))]);
}

#[test]
fn law_4_a_closed_socket_is_stale_even_if_its_slot_is_used_again() {
    for act in [Act::Send, Act::Close, |socket| Act::Write(socket, 9)] {
        let mut bench = Bench::new();
        bench.task(vec![Act::Open, Act::Close(0), Act::Open]);
        assert_eq!(bench.socket_id(0).key().slot, bench.socket_id(1).key().slot);
        offence(&mut bench, 0, act, 0);
        assert_eq!(bench.pushed(6, &Say::Datagram(0)), []);
        assert_eq!(bench.worker.owner(bench.socket_id(0)), None);
        assert_eq!(
            bench.worker.owner(bench.socket_id(1)),
            Some(bench.task_id(0))
        );
        assert_eq!(bench.worker.resources(), 1);
    }
}

#[test]
fn law_4_a_socket_of_another_task_or_worker_cannot_be_used() {
    for act in [Act::Send, Act::Close, |socket| Act::Write(socket, 9)] {
        let mut bench = Bench::new().with_foreigners();
        let socket = bench.socket_owner(vec![Act::Report(1)]);
        let offender = bench.task(vec![]);
        offence(&mut bench, offender, act, socket);
        offence(&mut bench, offender, act, 0);
        assert_eq!(
            bench.pushed(6, &Say::Datagram(socket)),
            [Pushed::Report(1, 1)]
        );
        assert_eq!(bench.pushed(7, &Say::Datagram(0)), []);
    }
}

#[test]
fn law_4_an_ending_task_closes_its_sockets_and_no_others() {
    let mut bench = Bench::new();
    for kind in [Kind::First, Kind::First, Kind::Second] {
        bench.spawn(Birth {
            kind,
            start: vec![Act::Open, Act::Open],
            ..Birth::default()
        });
    }
    bench.say(1, &Say::Command(1, vec![Act::Close(2), Act::Open]));
    let expected = [
        Pushed::Close(6), // In the slot of number 2, so before number 3.
        Pushed::Close(3),
        Pushed::Ended(1, stillpoint::End::Finished),
    ];
    assert_eq!(
        bench.pushed(2, &Say::Command(1, vec![Act::Finish])),
        expected
    );
    assert_eq!(bench.worker.resources(), 4);
    for (socket, owner) in [(0, 0), (1, 0), (4, 2), (5, 2)] {
        assert_eq!(
            bench.worker.owner(bench.socket_id(socket)),
            Some(bench.task_id(owner))
        );
    }
}

#[test]
fn law_4_a_socket_that_failed_to_open_is_stale() {
    let mut bench = Bench::new();
    let socket = bench.socket_owner(vec![Act::Report(1)]);
    let heard = given(&bench.say(1, &Say::OpenFailed(socket)));
    assert_eq!(heard, [(0, Heard::OpenFailed(Some(socket)))]);
    assert_eq!(bench.worker.resources(), 0);
    assert_eq!(bench.pushed(2, &Say::Datagram(socket)), []);
}

#[test]
fn law_4_whoever_has_ended_is_not_told_of_its_mistakes() {
    let mut bench = Bench::new();
    bench.task(vec![Act::Open, Act::Close(0), Act::Send(0), Act::Finish]);
    bench.task(vec![]);
    assert_eq!(bench.say(1, &Say::Timeout), [], "not even its successor");
    assert_eq!(bench.wants(), None);
}

#[test]
fn law_5_a_spawn_that_finds_the_queue_full_fails_at_once() {
    let mut bench = Bench::with(|config| config.pending_max = 2);
    bench.task(vec![]);
    let acts = vec![Act::Spawn(Box::default()); 3];
    let error = SpawnError::QueueFull { pending_max: 2 };
    let expected = [Pushed::SpawnFailed {
        parent: Some(0),
        error,
    }];
    assert_eq!(bench.pushed(1, &Say::Command(0, acts)), expected);
    let started = bench.pushed(1, &Say::Timeout);
    let child = |task| Pushed::Started {
        task,
        parent: Some(0),
    };
    assert_eq!(started, [child(1), child(2)]);
}

#[test]
fn law_5_a_mistake_that_finds_the_queue_full_is_given_to_the_driver() {
    let mut bench = Bench::with(|config| config.pending_max = 1);
    bench.task(vec![Act::Open, Act::Open, Act::Close(0), Act::Close(1)]);
    let acts = vec![Act::Send(0), Act::Send(1), Act::Send(1)];
    let expected = [Pushed::Untold(0), Pushed::Untold(0)];
    assert_eq!(bench.pushed(1, &Say::Command(0, acts)), expected);
    assert_eq!(
        given(&bench.say(1, &Say::Timeout)),
        [(0, Heard::Stale(0, 1))]
    );
}

#[test]
fn law_5_a_datagram_too_long_for_udp_is_refused_whole_and_told() {
    let mut bench = Bench::new();
    bench.task(vec![Act::Open]);
    let acts = vec![Act::SendTooLong(0), Act::SendTooLong(0)];
    assert_eq!(bench.pushed(1, &Say::Command(0, acts)), []);
    assert_eq!(
        given(&bench.say(1, &Say::Timeout)),
        [(0, Heard::TooLong(0, 2))]
    );
    let max = stillpoint::DATAGRAM_BYTES_MAX;
    let error = NetworkError::TooLong { len: max + 1, max };
    assert!(error.to_string().contains(&max.to_string()));
}

#[test]
fn law_5_a_socket_beyond_the_limit_is_told_to_have_failed() {
    let mut bench = Bench::with(|config| config.resources_max = 1);
    bench.task(vec![Act::Open, Act::Open]);
    assert_eq!(
        given(&bench.say(1, &Say::Timeout)),
        [(0, Heard::OpenFailed(None))]
    );
    assert_eq!(bench.worker.resources(), 1);
}
