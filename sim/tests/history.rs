//! Histories, and whether each could be that of a system that does one thing at a time.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a task looks for some variants"
)]

use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::{
    App, BusEvent, Deadline, Entity, Entropy, Input, NoRoom, Outbox, Output, Source, Spawned,
    Spawner, Task, TaskId, Timestamp, Token, TransmitBuffer,
};
use stillpoint_sim::{
    Failure, Happened, History, Linearizable, Model, NotLinearizable, Stuck, World, check,
    find_failure,
};

/// What is asked of registers, each with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read(char),
    Write(char, u64),
}

use Call::{Read, Write};

/// Registers that begin as 0. A write returns what it has written.
struct Registers;

impl Model for Registers {
    type Call = Call;
    type Return = u64;
    type State = u64;

    fn init(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, call: &Call, returned: Option<&u64>) -> Option<u64> {
        match call {
            Read(_) => returned.is_none_or(|read| read == state).then_some(*state),
            Write(_, written) => Some(*written),
        }
    }

    fn key(&self, call: &Call) -> String {
        let (Read(name) | Write(name, _)) = call;
        name.to_string()
    }
}

/// A queue: `Some` puts in, `None` takes out.
struct Queue;

impl Model for Queue {
    type Call = Option<u64>;
    type Return = Option<u64>;
    type State = VecDeque<u64>;

    fn init(&self) -> VecDeque<u64> {
        VecDeque::new()
    }

    fn step(
        &self,
        state: &VecDeque<u64>,
        call: &Option<u64>,
        returned: Option<&Option<u64>>,
    ) -> Option<VecDeque<u64>> {
        let mut state = state.clone();
        if let Some(number) = call {
            state.push_back(*number);
            return Some(state);
        }
        let taken = state.pop_front();
        returned
            .is_none_or(|returned| *returned == taken)
            .then_some(state)
    }
}

/// Calls and returns, one after the other: each a process and what happened there.
fn history<C, R>(happened: impl IntoIterator<Item = (u64, Happened<C, R>)>) -> History<C, R> {
    let mut history = History::new();
    for (at, (process, happened)) in (1..).zip(happened) {
        history.record(Timestamp::from_nanos(at), process, happened);
    }
    history
}

fn called<C, R>(process: u64, call: C) -> (u64, Happened<C, R>) {
    (process, Happened::Called(call))
}

fn returned<C, R>(process: u64, value: R) -> (u64, Happened<C, R>) {
    (process, Happened::Returned(value))
}

fn judge(history: &History<Call, u64>) -> Result<(), NotLinearizable> {
    history.check(Linearizable::new(Registers))
}

fn stuck(history: &History<Call, u64>) -> Stuck {
    match judge(history) {
        Err(NotLinearizable::Stuck(stuck)) => *stuck,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_after_the_other_each_must_see_what_was_before() {
    let good = [
        called(0, Write('x', 1)),
        returned(0, 1),
        called(1, Read('x')),
        returned(1, 1),
    ];
    judge(&history(good)).unwrap();
    let stale = [
        called(0, Write('x', 1)),
        returned(0, 1),
        called(1, Read('x')),
        returned(1, 0),
    ];
    let stuck = stuck(&history(stale));
    assert!(
        stuck
            .operation
            .starts_with("1: Read('x') at 0.000000003s -> 0")
    );
    assert_eq!((stuck.ordered_count, stuck.state.as_str()), (1, "1"));
    assert_eq!(stuck.window, core::slice::from_ref(&stuck.operation));
}

#[test]
fn what_overlaps_may_be_seen_or_not_but_not_seen_and_then_forgotten() {
    let reads = |first, second| {
        history([
            called(0, Write('x', 1)),
            called(1, Read('x')),
            returned(1, first),
            called(1, Read('x')),
            returned(1, second),
            returned(0, 1),
        ])
    };
    for (first, second) in [(0, 0), (0, 1), (1, 1)] {
        judge(&reads(first, second)).unwrap();
    }
    let stuck = stuck(&reads(1, 0));
    assert!(stuck.operation.contains("at 0.000000004s -> 0"), "{stuck}");
    let told = stuck.to_string();
    assert!(
        told.contains("not linearizable for key `x`: no order explains"),
        "{told}"
    );
    assert!(
        told.contains("and then the state is 1, in which none of"),
        "{told}"
    );
}

#[test]
fn a_call_whose_outcome_nobody_knows_may_have_taken_place_or_may_later_or_never() {
    let with_reads = |reads: &[u64]| {
        let mut happened = vec![called(0, Write('x', 1)), (0, Happened::Unknown)];
        for &read in reads {
            happened.push(called(1, Read('x')));
            happened.push(returned(1, read));
        }
        history(happened)
    };
    for good in [&[][..], &[0], &[1], &[0, 0], &[0, 1], &[0, 0, 1, 1]] {
        judge(&with_reads(good)).unwrap();
    }
    for bad in [&[2][..], &[1, 0], &[0, 1, 0]] {
        judge(&with_reads(bad)).unwrap_err();
    }
    // Who was refused has not written.
    let refused = [
        called(0, Write('x', 1)),
        (0, Happened::Failed),
        called(1, Read('x')),
        returned(1, 1),
    ];
    assert_eq!(stuck(&history(refused)).ordered_count, 0);
}

#[test]
fn a_process_may_go_on_after_an_outcome_that_nobody_knows() {
    let happened = [
        called(0, Write('x', 1)),
        (0, Happened::Unknown),
        called(0, Read('x')),
        returned(0, 0),
        called(0, Read('x')),
        returned(0, 1),
    ];
    judge(&history(happened)).unwrap();
}

#[test]
fn keys_are_judged_apart_and_the_bad_one_is_named() {
    let mut happened = Vec::new();
    // 40 registers, each with eight writes at once: 320 that overlap.
    for name in ('a'..='z').chain('A'..='N') {
        for process in 0..8 {
            let process = u64::from(u32::from(name)) * 8 + process;
            happened.push(called(process, Write(name, process)));
        }
    }
    for name in ('a'..='z').chain('A'..='N') {
        for process in 0..8 {
            let process = u64::from(u32::from(name)) * 8 + process;
            happened.push(returned(process, process));
        }
    }
    judge(&history(happened.clone())).unwrap();
    happened.push(called(0, Read('q')));
    happened.push(returned(0, 5));
    assert_eq!(stuck(&history(happened)).key, "q");
}

#[test]
fn a_queue_gives_out_in_the_order_of_what_went_in() {
    let taken = |first, second| {
        history([
            called(0, Some(1)),
            called(1, Some(2)),
            returned(0, None),
            returned(1, None),
            called(2, None),
            called(3, None),
            returned(2, first),
            returned(3, second),
        ])
    };
    let judge =
        |history: History<Option<u64>, Option<u64>>| history.check(Linearizable::new(Queue));
    judge(taken(Some(1), Some(2))).unwrap();
    judge(taken(Some(2), Some(1))).unwrap();
    judge(taken(Some(1), Some(1))).unwrap_err();
    judge(taken(Some(1), None)).unwrap_err();
}

#[test]
fn a_history_that_is_too_hard_says_so() {
    // Thirty writes at once, and a read of none of them: each order must be tried.
    let writes = (0..30).map(|process| called(process, Write('x', process + 1)));
    let mut happened: Vec<_> = writes.collect();
    happened.extend((0..30).map(|process| returned(process, process + 1)));
    happened.push(called(0, Read('x')));
    happened.push(returned(0, 99));
    let history = history(happened);
    let end = history.check(Linearizable::new(Registers).steps_max(10_000));
    let Err(NotLinearizable::TooHard {
        operations: 31,
        steps_max: 10_000,
        ..
    }) = end
    else {
        panic!("{end:?}")
    };
}

#[test]
fn long_histories_take_no_longer_than_they_are_wide() {
    let mut happened = Vec::new();
    for round in 1..=5_000 {
        for process in 0..3 {
            happened.push(called(process, Write('x', round * 3 + process)));
        }
        for process in 0..3 {
            happened.push(returned(process, round * 3 + process));
        }
        happened.push(called(9, Read('x')));
        happened.push(returned(9, round * 3 + 1));
    }
    judge(&history(happened)).unwrap();
}

#[test]
#[should_panic(expected = "process 7 calls at 0.000000002s while it has an operation open")]
fn a_process_does_one_thing_after_the_other() {
    history::<Call, u64>([called(7, Read('x')), called(7, Read('x'))]);
}

/// All orders of the operations are tried, without any skill.
fn by_brute_force(history: &History<Call, u64>) -> bool {
    let operations: Vec<_> = history.operations().collect();
    let ended = |index: usize| operations[index].outcome.as_ref().map(|&(at, _)| at);
    fn search(
        left: &[usize],
        state: u64,
        allowed: &dyn Fn(usize, &[usize]) -> bool,
        step: &dyn Fn(usize, u64) -> Option<u64>,
        optional: &dyn Fn(usize) -> bool,
    ) -> bool {
        if left.iter().all(|&index| optional(index)) {
            return true;
        }
        left.iter().any(|&index| {
            let rest: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&other| other != index)
                .collect();
            let next = allowed(index, &rest).then(|| step(index, state)).flatten();
            next.is_some_and(|state| search(&rest, state, allowed, step, optional))
        })
    }
    let allowed = |index: usize, rest: &[usize]| {
        let called_at = operations[index].called_at;
        rest.iter()
            .all(|&other| ended(other).is_none_or(|at| at > called_at))
    };
    let step = |index: usize, state: u64| {
        let operation = operations[index];
        Registers.step(&state, &operation.call, operation.returned())
    };
    let optional = |index: usize| ended(index).is_none();
    let all: Vec<usize> = (0..operations.len()).collect();
    search(&all, 0, &allowed, &step, &optional)
}

#[test]
fn the_search_agrees_with_brute_force_on_small_histories() {
    let site = Entropy::from_seed(1).site("small histories");
    let mut good = 0;
    for number in 0..4_000 {
        let mut chance = site.source(Entity::new(number));
        let history = small_history(&mut chance);
        let expected = by_brute_force(&history);
        assert_eq!(judge(&history).is_ok(), expected, "{history:?}");
        good += usize::from(expected);
    }
    assert!((500..3_500).contains(&good), "{good} good ones of 4,000");
}

/// Up to seven operations of three processes on one register, with answers at random.
fn small_history(chance: &mut Source) -> History<Call, u64> {
    let mut history = History::new();
    let mut open: [Option<Call>; 3] = [None; 3];
    let mut calls = 0;
    for at in 1..20 {
        let process = chance.below(3);
        let slot = &mut open[usize::try_from(process).unwrap()];
        let at = Timestamp::from_nanos(at);
        match *slot {
            None if calls < 7 => {
                calls += 1;
                let number = 1 + chance.below(2);
                let reads = chance.chance(0.5);
                let call = if reads { Read('x') } else { Write('x', number) };
                *slot = Some(call);
                history.record(at, process, Happened::Called(call));
            }
            Some(Write(_, number)) => {
                *slot = None;
                let unknown = chance.chance(0.2);
                let outcome = Happened::Returned(number);
                let outcome = if unknown { Happened::Unknown } else { outcome };
                history.record(at, process, outcome);
            }
            Some(Read(_)) => {
                *slot = None;
                history.record(at, process, Happened::Returned(chance.below(3)));
            }
            None => {}
        }
    }
    history
}

// A register in simulation, and a replica of it that is told of writes a little later.

#[derive(Debug)]
struct Store;

impl App for Store {
    type Channel = ();
    type Message = u64;
    type Command = ();
    type Report = Happened<Call, u64>;
    type Spawn = Role;
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Register {
        replica: Option<TaskId>,
    },
    Client {
        writes_to: TaskId,
        reads_from: TaskId,
    },
}

/// Answers 0, which asks, with its value; another number becomes its value.
struct Register {
    value: u64,
    replica: Option<TaskId>,
    outbox: Outbox<Store>,
}

impl Task for Register {
    type App = Store;

    fn handle_input(&mut self, _: Timestamp, input: Input<Store>) {
        match input {
            Input::Bus(BusEvent::Message { message, .. }) => self.value = message,
            Input::Bus(BusEvent::Request {
                request, message, ..
            }) => {
                if message > 0 {
                    self.value = message;
                    if let Some(replica) = self.replica {
                        self.outbox.send_to(replica, message, NoRoom::Wait);
                    }
                }
                self.outbox.answer(request, self.value);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Store>> {
        self.outbox.pop()
    }
}

/// Reads and writes by turns, as chance has it, and reports it.
struct Client {
    writes_to: TaskId,
    reads_from: TaskId,
    chance: Option<Source>,
    left: u64,
    next_at: Option<Timestamp>,
    outbox: Outbox<Store>,
}

impl Client {
    fn call(&mut self, now: Timestamp) {
        let chance = self.chance.as_mut().expect("started");
        self.next_at = None;
        self.left -= 1;
        let number = if chance.chance(0.5) {
            0
        } else {
            1 + chance.below(1_000)
        };
        let call = if number == 0 {
            Read('x')
        } else {
            Write('x', number)
        };
        let to = if number == 0 {
            self.reads_from
        } else {
            self.writes_to
        };
        self.outbox.report(Happened::Called(call));
        let until = now.after(Duration::from_millis(10));
        self.outbox.request(to, Token(0), number, until);
    }
}

impl Task for Client {
    type App = Store;

    fn handle_input(&mut self, now: Timestamp, input: Input<Store>) {
        match input {
            Input::Started(context) => {
                self.chance = Some(context.random);
                self.next_at = Some(now.after(Duration::from_micros(1)));
            }
            Input::Timeout => self.call(now),
            Input::Bus(BusEvent::Reply { message, .. }) => {
                self.outbox.report(Happened::Returned(message));
                let pause = self.chance.as_mut().expect("started").below(20_000) + 1;
                self.next_at = (self.left > 0).then(|| now.after(Duration::from_nanos(pause)));
            }
            Input::Bus(BusEvent::RequestFailed { .. }) => {
                self.outbox.report(Happened::Unknown);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Store>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at?, "next call"))
    }
}

fn spawn(role: Role, spawner: Spawner<'_, Store>) -> Spawned {
    match role {
        Role::Register { replica } => spawner.insert(Register {
            value: 0,
            replica,
            outbox: Outbox::new(),
        }),
        Role::Client {
            writes_to,
            reads_from,
        } => spawner.insert(Client {
            writes_to,
            reads_from,
            chance: None,
            left: 20,
            next_at: None,
            outbox: Outbox::new(),
        }),
    }
}

/// Three clients; who reads from the replica may be told of the past.
fn store(world: &mut World<Store>, reads_replica: bool) -> Result<(), Failure> {
    let node = world.node("store", [10, 0, 0, 1]).workers(4).spawner(spawn);
    let mut last = None;
    for worker in [1, 0] {
        world.spawn(node, worker, Role::Register { replica: last });
        world.run_for(Duration::from_micros(1))?;
        let registers = world.tasks::<Register>(node);
        let here = registers
            .map(|(task, _)| task)
            .find(|task| task.worker() == worker);
        last = here;
    }
    let registers: Vec<TaskId> = world
        .tasks::<Register>(node)
        .map(|(task, _)| task)
        .collect();
    let [primary, replica] = registers[..] else {
        return Err(Failure::new("two registers"));
    };
    let reads_from = if reads_replica { replica } else { primary };
    for worker in [1, 2, 3] {
        let writes_to = primary;
        world.spawn(
            node,
            worker,
            Role::Client {
                writes_to,
                reads_from,
            },
        );
    }
    world.run_until_idle(Duration::from_secs(1))?;
    let mut history = History::new();
    for reported in world.take_reports() {
        history.record(reported.at, reported.task.to_words()[0], reported.report);
    }
    assert_eq!(history.operations().count(), 60);
    let judged = history.check(Linearizable::new(Registers));
    judged.map_err(|problem| Failure::new(problem.to_string()))
}

#[test]
fn a_register_is_linearizable_and_a_stale_replica_is_found_out() {
    check("primary", 0..30, |world| store(world, false));
    let found = find_failure("replica", 0..30, |world| store(world, true)).unwrap();
    let told = found.failure.to_string();
    assert!(told.contains("no order explains"), "{told}");
}
