//! At a steady load the bus allocates nothing. A program of its own, since it has an allocator of
//! its own.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

#[path = "support/allocator.rs"]
mod allocator;

use std::collections::VecDeque;

use allocator::ALLOCATIONS;
use stillpoint::{
    App, BusEvent, BusItem, Destination, Entropy, Input, NoRoom, Outbox, Output, Task, TaskId,
    Timestamp, TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

#[test]
fn messages_within_a_worker_allocate_nothing_at_a_steady_load() {
    let mut pair = Pair::new();
    let (from, to) = (pair.spawn(0), pair.spawn(0));
    pair.allocates_nothing(from, Destination::Task(to), 1);
}

#[test]
fn messages_to_another_worker_allocate_nothing_at_a_steady_load() {
    let mut pair = Pair::new();
    let (from, to) = (pair.spawn(0), pair.spawn(1));
    pair.allocates_nothing(from, Destination::Task(to), 1);
}

#[test]
fn what_is_published_on_both_workers_allocates_nothing_at_a_steady_load() {
    let mut pair = Pair::new();
    let from = pair.spawn(0);
    for worker in [0, 0, 1, 1, 1] {
        let subscriber = pair.spawn(worker);
        pair.command(subscriber, Command::Subscribe);
    }
    pair.settle();
    pair.allocates_nothing(from, Destination::Channel(7), 5);
}

/// Two workers without a network, and the queues between them.
struct Pair {
    workers: [Worker<Talk>; 2],
    queues: Queues,
}

/// What goes from each of the two to the other, and what came of it all.
#[derive(Default)]
struct Queues {
    from: u16,
    items: [VecDeque<BusItem<u8, u64>>; 2],
    started: Option<TaskId>,
    heard: u64,
}

impl Pair {
    fn new() -> Self {
        let worker = |index| {
            let config = WorkerConfig::new(index, Entropy::from_seed(1));
            Worker::new(config, |(), spawner| {
                spawner.insert(Talker {
                    outbox: Outbox::new(),
                })
            })
        };
        let mut pair = Self {
            workers: [worker(0), worker(1)],
            queues: Queues::default(),
        };
        pair.give(0, WorkerInput::PeerJoined(1));
        pair.give(1, WorkerInput::PeerJoined(0));
        pair
    }

    fn give(&mut self, worker: u16, input: WorkerInput<Talk>) {
        self.queues.from = worker;
        let to = &mut self.workers[usize::from(worker)];
        to.handle_input(Timestamp::EPOCH, input, &mut self.queues);
    }

    fn spawn(&mut self, worker: u16) -> TaskId {
        self.give(worker, WorkerInput::Spawn(()));
        self.queues.started.take().unwrap()
    }

    fn command(&mut self, task: TaskId, command: Command) {
        self.give(task.worker(), WorkerInput::Command { task, command });
    }

    /// Goes on until nothing waits.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for worker in 0..2u16 {
                if let Some(item) = self.queues.items[usize::from(worker)].pop_front() {
                    let from = 1 - worker;
                    self.give(worker, WorkerInput::Bus { from, item });
                    moved = true;
                }
                if self.workers[usize::from(worker)].poll_timeout().is_some() {
                    self.give(worker, WorkerInput::Timeout);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Sends many messages, each to so many receivers; the first of them may allocate.
    fn allocates_nothing(&mut self, from: TaskId, to: Destination<u8>, receivers: u64) {
        self.send(from, to, 1_000);
        let (before, heard) = (ALLOCATIONS.get(), self.queues.heard);
        self.send(from, to, 100_000);
        assert_eq!(ALLOCATIONS.get() - before, 0, "in 100,000 messages");
        assert_eq!(self.queues.heard - heard, 100_000 * receivers);
    }

    fn send(&mut self, from: TaskId, to: Destination<u8>, count: u64) {
        for _ in 0..count / BURST {
            self.command(from, Command::Send(to));
            self.settle();
        }
    }
}

impl WorkerOutputs<Talk> for Queues {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<Talk>) {
        match output {
            WorkerOutput::Started { task, .. } => self.started = Some(task),
            WorkerOutput::Report { .. } => self.heard += 1,
            _ => {}
        }
    }

    fn bus_room(&mut self, _: u16) -> usize {
        usize::MAX
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<u8, u64>) {
        assert_ne!(worker, self.from);
        self.items[usize::from(worker)].push_back(item);
    }
}

#[derive(Debug)]
struct Talk;

impl App for Talk {
    type Channel = u8;
    type Message = u64;
    type Command = Command;
    type Report = u64;
    type Spawn = ();
}

#[derive(Debug)]
enum Command {
    Subscribe,
    Send(Destination<u8>),
}

/// Sends when it is told to, and reports what it hears.
struct Talker {
    outbox: Outbox<Talk>,
}

impl Task for Talker {
    type App = Talk;

    fn handle_input(&mut self, _: Timestamp, input: Input<Talk>) {
        match input {
            Input::Command(Command::Subscribe) => self.outbox.subscribe(7),
            Input::Command(Command::Send(to)) => {
                for number in 0..BURST {
                    self.outbox.message(to, number, NoRoom::Wait);
                }
            }
            Input::Bus(BusEvent::Message { message, .. }) => self.outbox.report(message),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Talk>> {
        self.outbox.pop()
    }
}

/// Messages for one command.
const BURST: u64 = 50;
