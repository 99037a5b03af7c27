//! Law 1, and what is owed after a panic in the driver.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use stillpoint::{
    DatagramRun, End, NetworkEvent, SocketId, SpawnError, Timestamp, WorkerInput, WorkerOutputs,
    WorkerState,
};

use super::bench::{Bench, Say, pushed};
use super::check::{check_drain, given};
use super::probe::{Act, Birth, Entry, Heard, Kind, Place, Pushed};

fn reports(task: usize, tags: core::ops::Range<u64>) -> Vec<Pushed> {
    tags.map(|tag| Pushed::Report(task, tag)).collect()
}

fn acts(tags: core::ops::Range<u64>) -> Vec<Act> {
    tags.map(Act::Report).collect()
}

#[test]
fn law_1_output_of_a_spawn_is_taken_before_the_next_input() {
    let mut bench = Bench::new();
    let birth = Birth {
        start: acts(0..3),
        ..Birth::default()
    };
    let mut expected = vec![Pushed::Started {
        task: 0,
        parent: None,
    }];
    expected.extend(reports(0, 0..3));
    assert_eq!(bench.pushed(0, &Say::Spawn(birth)), expected);
}

#[test]
fn law_1_output_of_a_command_is_taken_before_the_next_input() {
    let mut bench = Bench::new();
    bench.task(vec![]);
    assert_eq!(
        bench.pushed(1, &Say::Command(0, acts(3..6))),
        reports(0, 3..6)
    );
}

#[test]
fn law_1_output_of_a_datagram_is_taken_before_the_next_input() {
    let mut bench = Bench::new();
    let socket = bench.socket_owner(acts(6..9));
    assert_eq!(bench.pushed(1, &Say::Datagram(socket)), reports(0, 6..9));
}

#[test]
fn law_1_output_of_a_shutdown_is_taken_before_the_next_task_is_told() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.spawn(Birth {
            shutdown: acts(0..2),
            ..Birth::default()
        });
    }
    assert_eq!(bench.pushed(1, &Say::Shutdown), []);
    let expected = [reports(0, 0..2), reports(1, 0..2)].concat();
    assert_eq!(bench.pushed(1, &Say::Timeout), expected);
}

#[test]
fn law_1_each_due_task_is_ticked_and_drained_before_the_next_is_touched() {
    let mut bench = Bench::new();
    for kind in [Kind::First, Kind::First, Kind::Second] {
        let (start, timeouts) = (vec![Act::After(10)], vec![acts(0..2)]);
        bench.spawn(Birth {
            kind,
            start,
            timeouts,
            ..Birth::default()
        });
    }
    let expected = [reports(0, 0..2), reports(1, 0..2), reports(2, 0..2)].concat();
    assert_eq!(bench.pushed(10, &Say::Timeout), expected);
}

#[test]
fn law_1_a_runaway_task_is_stopped_at_the_first_output_beyond_the_limit() {
    let mut bench = Bench::with(|config| config.outputs_max = 5);
    bench.task(vec![Act::Open]);
    assert_eq!(
        bench.pushed(1, &Say::Command(0, acts(0..5))),
        reports(0, 0..5)
    );
    assert_eq!(bench.worker.tasks(), 1);

    let mut expected = reports(0, 0..5);
    expected.push(Pushed::Close(0));
    expected.push(Pushed::Ended(0, End::Runaway { outputs_max: 5 }));
    assert_eq!(bench.pushed(2, &Say::Command(0, acts(0..6))), expected);
    assert_eq!((bench.worker.tasks(), bench.worker.resources()), (0, 0));
}

#[test]
fn law_1_to_finish_at_the_limit_is_not_to_run_away() {
    let mut bench = Bench::with(|config| config.outputs_max = 5);
    bench.task(vec![]);
    let mut finishing = acts(0..5);
    finishing.push(Act::Finish);
    let last = bench.pushed(1, &Say::Command(0, finishing)).pop();
    assert_eq!(last, Some(Pushed::Ended(0, End::Finished)));
}

#[test]
fn law_1_what_is_written_in_place_reaches_the_driver_as_it_was_written() {
    let mut bench = Bench::new();
    bench.task(vec![Act::Open]);
    let acts = vec![Act::Write(0, 3), Act::Send(0), Act::Write(0, 200)];
    let expected = [
        Pushed::Transmit(0, vec![3; 3]),
        Pushed::Transmit(0, b"buffer".to_vec()),
        Pushed::Transmit(0, vec![200; 200]),
    ];
    assert_eq!(bench.pushed(1, &Say::Command(0, acts)), expected);
}

#[test]
fn law_1_datagrams_that_are_lent_cause_what_those_handed_over_cause() {
    type HandIn = fn(&mut Bench, SocketId, DatagramRun);
    let written = |hand_in: HandIn| {
        let mut bench = Bench::new();
        let owners = [
            acts(0..3),
            vec![],
            [acts(3..5), vec![Act::Panic(Place::PollOutput)]].concat(),
            [acts(5..6), vec![Act::Finish]].concat(),
            vec![Act::Panic(Place::HandleInput)],
        ];
        let count = owners.len();
        for datagram in owners {
            bench.socket_owner(datagram);
        }
        // The second time, nobody has the sockets of those that have ended.
        for number in (0..count).chain(0..count) {
            let input = bench.input(&Say::Datagram(number));
            let Some(WorkerInput::Network(NetworkEvent::Datagrams { socket, run })) = input else {
                panic!("a datagram is one");
            };
            hand_in(&mut bench, socket, run);
            assert_eq!(bench.worker.state(), WorkerState::Waiting);
        }
        assert_eq!(bench.worker.tasks(), 2);
        core::mem::take(&mut bench.book.borrow_mut().entries)
    };
    let handed = written(|bench, socket, run| {
        let input = WorkerInput::Network(NetworkEvent::Datagrams { socket, run });
        (bench.worker).handle_input(Timestamp::EPOCH, input, &mut bench.driver);
    });
    let lent = written(|bench, socket, mut run| {
        let (before, owner) = (run.clone(), bench.worker.owner(socket));
        (bench.worker).handle_datagrams(Timestamp::EPOCH, socket, &mut run, &mut bench.driver);
        let left = owner.is_none().then_some(before.payload);
        assert_eq!(run.payload, left.unwrap_or_default());
    });
    assert!(handed.len() > 20, "much is written down: {handed:?}");
    assert_eq!(lent, handed);
}

/// A script in which a driver is given outputs of every kind.
fn eventful() -> Vec<(u64, Say)> {
    let opener = Birth {
        start: [vec![Act::Open, Act::Open, Act::After(5)], acts(0..2)].concat(),
        timeouts: vec![
            [vec![Act::After(5)], acts(2..4)].concat(),
            vec![Act::Finish],
        ],
        ..Birth::default()
    };
    let child = || {
        Act::Spawn(Box::new(Birth {
            start: acts(4..6),
            ..Birth::default()
        }))
    };
    vec![
        (0, Say::Spawn(opener.clone())),
        (0, Say::Spawn(opener)),
        (
            1,
            Say::Command(1, vec![child(), child(), child(), Act::Send(1)]),
        ),
        (
            2,
            Say::Spawn(Birth {
                kind: Kind::PanickingLate,
                ..Birth::default()
            }),
        ),
        (5, Say::Timeout),
        (6, Say::Timeout),
        (
            7,
            Say::Command(3, vec![Act::Open, Act::Open, Act::Panic(Place::PollOutput)]),
        ),
        (8, Say::Command(3, vec![])),
        (9, Say::Command(4, vec![Act::Open, Act::RunAway])),
        (10, Say::Timeout),
        (
            11,
            Say::Spawn(Birth {
                start: vec![Act::Open],
                ..Birth::default()
            }),
        ),
        (
            11,
            Say::Spawn(Birth {
                start: vec![Act::Open, Act::Open],
                ..Birth::default()
            }),
        ),
        (11, Say::Command(5, vec![child(), child()])),
        (12, Say::Abort),
    ]
}

/// Everything that a worker gives out, as one list: two runs can be compared whatever broke off
/// the drains of one.
fn everything(panics_at: Option<usize>) -> (Vec<Entry>, usize) {
    let mut bench = Bench::with(|config| {
        config.outputs_max = 5;
        config.pending_max = 2;
    })
    .with_foreigners();
    let foreign = 0;
    bench.driver.panics_at = panics_at;
    let mut panics = 0;
    for (now, say) in eventful() {
        let input = bench.input(&say).expect("all are there");
        let now = Timestamp::from_nanos(now);
        let given = catch_unwind(AssertUnwindSafe(|| {
            bench.worker.handle_input(now, input, &mut bench.driver);
        }));
        if given.is_err() {
            panics += 1;
            assert!(!bench.worker.is_stopped());
            if bench.worker.state() != WorkerState::Waiting {
                // The worker says itself that it has something left to do.
                assert_eq!(bench.wants(), Some(now.as_nanos()));
            }
            // An input for nobody brings out the rest of the drain, and nothing else.
            let nobody = bench.input(&Say::Datagram(foreign)).expect("it is there");
            bench.worker.handle_input(now, nobody, &mut bench.driver);
            if say == Say::Timeout {
                bench
                    .worker
                    .handle_input(now, WorkerInput::Timeout, &mut bench.driver);
            }
        }
        assert_eq!(bench.worker.state(), WorkerState::Waiting);
    }
    assert!(bench.worker.is_stopped());
    assert_eq!((bench.worker.tasks(), bench.worker.resources()), (0, 0));
    let written = core::mem::take(&mut bench.book.borrow_mut().entries);
    check_drain(&written);
    (written, panics)
}

#[test]
fn law_1_whichever_push_of_the_driver_panics_the_rest_comes_out_in_order() {
    let (undisturbed, panics) = everything(None);
    assert_eq!(panics, 0);
    let pushes = pushed(undisturbed.clone()).len();
    assert!(pushes > 40, "the script says something");
    for panics_at in 0..pushes {
        let (written, panics) = everything(Some(panics_at));
        assert_eq!(panics, 1);
        assert_eq!(written, undisturbed, "after a panic at push {panics_at}");
    }
}

#[test]
fn law_1_after_a_panic_in_the_driver_the_rest_comes_before_the_next_input() {
    let mut bench = Bench::new();
    bench.task(vec![]);
    bench.task(vec![]);
    bench.driver.panics_at = Some(1);
    let input = bench.input(&Say::Command(0, acts(0..4))).unwrap();
    catch_unwind(AssertUnwindSafe(|| {
        bench
            .worker
            .handle_input(Timestamp::EPOCH, input, &mut bench.driver);
    }))
    .expect_err("the driver's panic is not caught");
    assert_eq!(bench.worker.state(), WorkerState::PopCurrentInputTaskOutput);
    assert_eq!(bench.wants(), Some(0));

    let written = bench
        .book
        .borrow_mut()
        .entries
        .drain(..)
        .collect::<Vec<_>>();
    let rest = {
        let input = bench.input(&Say::Command(1, vec![])).unwrap();
        bench
            .worker
            .handle_input(Timestamp::EPOCH, input, &mut bench.driver);
        bench
            .book
            .borrow_mut()
            .entries
            .drain(..)
            .collect::<Vec<_>>()
    };
    assert_eq!(given(&rest), [(1, Heard::Command)]);
    assert_eq!(
        pushed([written.clone(), rest.clone()].concat()),
        reports(0, 0..4)
    );
    check_drain(&[written, rest].concat());
}

#[test]
fn law_1_a_spawn_that_waits_at_an_abort_is_refused_and_not_forgotten() {
    let mut bench = Bench::new();
    bench.task(vec![Act::Spawn(Box::default())]);
    let expected = [
        Pushed::Ended(0, End::Removed),
        Pushed::SpawnFailed {
            parent: Some(0),
            error: SpawnError::Stopping,
        },
    ];
    assert_eq!(bench.pushed(1, &Say::Abort), expected);
    assert!(bench.worker.is_stopped());
}

#[test]
fn law_1_a_driver_that_lends_no_memory_is_no_reason_to_panic() {
    struct Miser;
    impl WorkerOutputs<super::probe::Lab> for Miser {
        fn lend(&mut self) -> stillpoint::TransmitBuffer<'_> {
            stillpoint::TransmitBuffer::new(&mut [])
        }
        fn push(&mut self, _: stillpoint::WorkerOutput<super::probe::Lab>) {}
    }
    let mut bench = Bench::new();
    bench.task(vec![]);
    let input = bench.input(&Say::Command(0, acts(0..3))).unwrap();
    bench
        .worker
        .handle_input(Timestamp::EPOCH, input, &mut Miser);
    assert_eq!(bench.worker.tasks(), 1);
}
