//! Laws 6 and 7, and how tasks are made.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use stillpoint::{
    End, Entropy, Input, Output, SpawnError, Task, Timestamp, TransmitBuffer, Worker, WorkerConfig,
    WorkerInput,
};

use super::bench::{Bench, Say, pushed};
use super::check::given;
use super::probe::{Act, Birth, Entry, Kind, Lab, Place, Pushed};

#[test]
fn law_6_a_panic_anywhere_in_a_task_ends_that_task_alone() {
    for place in Place::ALL {
        let mut bench = Bench::new();
        bench.task(vec![Act::Open]);
        bench.task(vec![Act::Open, Act::After(10)]);
        let acts = vec![Act::Panic(place), Act::Finish];
        let acts = if place == Place::PollTimeout {
            acts[..1].to_vec()
        } else {
            acts
        };
        let message = place.message().to_owned();
        let expected = [
            Pushed::Close(0),
            Pushed::Ended(0, End::Panicked { message }),
        ];
        assert_eq!(bench.pushed(1, &Say::Command(0, acts)), expected);

        assert_eq!((bench.worker.tasks(), bench.worker.resources()), (1, 1));
        assert_eq!(bench.wants(), Some(10));
        assert_eq!(given(&bench.say(10, &Say::Timeout)).len(), 1);
    }
}

#[test]
fn law_6_a_task_that_panics_twice_is_reported_with_the_first_panic() {
    let mut bench = Bench::new();
    bench.task(vec![]);
    let acts = vec![Act::Panic(Place::Drop), Act::Panic(Place::PollOutput)];
    let message = Place::PollOutput.message().to_owned();
    let expected = [Pushed::Ended(0, End::Panicked { message })];
    assert_eq!(bench.pushed(1, &Say::Command(0, acts)), expected);
}

/// Panics with this, whatever it is told.
struct Bomb(fn());

impl Task for Bomb {
    type App = Lab;
    fn handle_input(&mut self, _: Timestamp, _: Input<Lab>) {
        (self.0)();
    }
    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        None
    }
}

/// A payload whose own drop panics, with a payload whose own drop panics.
struct Hydra(u32);

impl Drop for Hydra {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::resume_unwind(Box::new(Self(self.0 - 1)));
        }
    }
}

#[test]
fn law_6_the_message_of_a_panic_is_reported_whatever_its_payload() {
    let cases: [(fn(), &str); 4] = [
        (|| panic!("plain words"), "plain words"),
        (|| panic!("{} words", 2 + 3), "5 words"),
        (|| std::panic::panic_any(7), "(a payload that is no text)"),
        (
            || std::panic::resume_unwind(Box::new(Hydra(3))),
            "(a payload that is no text)",
        ),
    ];
    for (bomb, message) in cases {
        let mut bench = Bench::new();
        let config = WorkerConfig::new(0, Entropy::from_seed(0));
        let mut worker = Worker::new(config, move |_, spawner| spawner.insert(Bomb(bomb)));
        let input = WorkerInput::Spawn(Birth::default());
        let given = catch_unwind(AssertUnwindSafe(|| {
            worker.handle_input(Timestamp::EPOCH, input, &mut bench.driver);
        }));
        // The payload of a panic that got through is leaked: its drop might panic for ever.
        let escaped = given.map_err(Box::leak).is_err();
        assert!(!escaped, "a panic got through: {message}");
        let end = End::Panicked {
            message: message.to_owned(),
        };
        let written = core::mem::take(&mut bench.book.borrow_mut().entries);
        let started = Pushed::Started {
            task: 0,
            parent: None,
        };
        assert_eq!(pushed(written), [started, Pushed::Ended(0, end)]);
        assert_eq!(worker.tasks(), 0);
    }
}

#[test]
fn law_6_memory_lent_for_one_output_cannot_be_sent_with_another() {
    /// Keeps what it wrote for the call after.
    struct Late(Option<stillpoint::Payload>);
    impl Task for Late {
        type App = Lab;
        fn handle_input(&mut self, _: Timestamp, _: Input<Lab>) {}
        fn poll_output(
            &mut self,
            _: Timestamp,
            lent: &mut TransmitBuffer<'_>,
        ) -> Option<Output<Lab>> {
            let Some(payload) = self.0.take() else {
                self.0 = lent.write(b"late").ok();
                return Some(Output::Report(1));
            };
            let mut other = Bench::new();
            let socket = other.socket_owner(vec![]);
            let socket = other.socket_id(socket);
            let sent = stillpoint::Transmit::new(socket, super::probe::peer(), payload);
            Some(Output::Transmit(sent))
        }
    }
    let mut bench = Bench::new();
    let config = WorkerConfig::new(0, Entropy::from_seed(0));
    let mut worker = Worker::new(config, |_, spawner| spawner.insert(Late(None)));
    let input = WorkerInput::Spawn(Birth::default());
    worker.handle_input(Timestamp::EPOCH, input, &mut bench.driver);
    let last = bench.book.borrow_mut().entries.pop();
    let Some(Entry::Pushed(Pushed::Ended(0, End::Panicked { message }))) = last else {
        panic!("{last:?}");
    };
    assert!(message.starts_with("sent a payload that is not what it has just written"));
}

#[test]
fn law_7_one_timeout_ticks_at_most_a_batch_and_starves_no_group_and_no_index() {
    let mut bench = Bench::with(|config| config.batch_max = 3);
    for index in 0..12 {
        let kind = [Kind::First, Kind::Second, Kind::Third][index / 4];
        // Always due again by the time of the next timeout.
        let (start, timeouts) = (vec![Act::After(1)], vec![vec![Act::After(1)]; 40]);
        bench.spawn(Birth {
            kind,
            start,
            timeouts,
            ..Birth::default()
        });
    }
    let mut ticks = [0u32; 12];
    for round in 1..=36 {
        let ticked = given(&bench.say(round * 10, &Say::Timeout));
        assert_eq!(ticked.len(), 3);
        for (task, _) in ticked {
            ticks[task] += 1;
        }
    }
    for group in ticks.chunks(4) {
        assert_eq!(group.iter().sum::<u32>(), 36);
        // Whoever was left out is the most overdue the next time.
        assert!(group.iter().all(|&ticks| ticks >= 6), "{group:?}");
    }
}

#[test]
fn law_7_spawns_that_spawn_do_not_hang_one_input() {
    fn chain(length: usize) -> Birth {
        let next = (length > 1).then(|| Act::Spawn(Box::new(chain(length - 1))));
        Birth {
            start: next.into_iter().collect(),
            ..Birth::default()
        }
    }
    let mut bench = Bench::with(|config| config.batch_max = 4);
    bench.spawn(chain(10));
    for living in 2..=10 {
        assert_eq!(bench.wants(), Some(0));
        bench.say(0, &Say::Timeout);
        assert_eq!(bench.worker.tasks(), living);
    }
    assert_eq!(bench.wants(), None);
}

#[test]
fn law_7_shutdown_and_spawns_come_in_batches() {
    let mut bench = Bench::with(|config| config.batch_max = 2);
    for _ in 0..5 {
        bench.spawn(Birth {
            shutdown: vec![Act::Finish],
            ..Birth::default()
        });
    }
    bench.say(0, &Say::Command(0, vec![Act::Spawn(Box::default()); 5]));
    bench.say(0, &Say::Timeout);
    assert_eq!(bench.worker.tasks(), 7);
    bench.say(0, &Say::Shutdown);
    bench.say(0, &Say::Timeout);
    assert_eq!(bench.worker.tasks(), 5);
    assert!(!bench.worker.is_stopped());
}

#[test]
fn a_worker_told_to_stop_is_stopped_once_its_tasks_have_finished() {
    let mut bench = Bench::new();
    bench.spawn(Birth {
        shutdown: vec![Act::Finish],
        ..Birth::default()
    });
    bench.spawn(Birth {
        shutdown: vec![Act::After(5)],
        timeouts: vec![vec![Act::Finish]],
        ..Birth::default()
    });
    bench.say(0, &Say::Shutdown);
    let error = SpawnError::Stopping;
    let refused = [Pushed::SpawnFailed {
        parent: None,
        error,
    }];
    assert_eq!(bench.pushed(0, &Say::Spawn(Birth::default())), refused);
    bench.say(0, &Say::Timeout);
    assert_eq!((bench.worker.is_stopped(), bench.wants()), (false, Some(5)));
    bench.say(5, &Say::Timeout);
    assert!(bench.worker.is_stopped());
}

#[test]
fn a_spawn_makes_exactly_one_task_or_says_why_not() {
    let mut bench = Bench::with(|config| config.tasks_max = 1);
    let mut make = |kind| {
        bench.pushed(
            0,
            &Say::Spawn(Birth {
                kind,
                ..Birth::default()
            }),
        )
    };
    let failed = |error| {
        [Pushed::SpawnFailed {
            parent: None,
            error,
        }]
    };
    assert_eq!(
        make(Kind::First),
        [Pushed::Started {
            task: 0,
            parent: None
        }]
    );
    assert_eq!(
        make(Kind::First),
        failed(SpawnError::GroupFull { tasks_max: 1 })
    );
    assert_eq!(
        make(Kind::Second),
        [Pushed::Started {
            task: 1,
            parent: None
        }]
    );
    let reason = "not this one".to_owned();
    assert_eq!(make(Kind::Refused), failed(SpawnError::Refused { reason }));
    let message = "in spawn".to_owned();
    assert_eq!(
        make(Kind::Panicking),
        failed(SpawnError::Panicked { message })
    );
    assert_eq!(bench.worker.tasks(), 2);
}

#[test]
fn a_task_put_in_by_a_spawn_function_that_then_panics_is_taken_out_again() {
    let mut bench = Bench::new();
    let birth = Birth {
        kind: Kind::PanickingLate,
        ..Birth::default()
    };
    let error = SpawnError::Panicked {
        message: "after insert".to_owned(),
    };
    let failed = [Pushed::SpawnFailed {
        parent: None,
        error,
    }];
    assert_eq!(bench.pushed(0, &Say::Spawn(birth)), failed);
    assert_eq!(bench.worker.tasks(), 0);
    bench.say(1, &Say::Shutdown);
    bench.say(1, &Say::Timeout);
    assert!(bench.worker.is_stopped());
}
