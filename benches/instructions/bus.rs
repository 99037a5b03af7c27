//! One message over the bus, from task to task.

use core::hint::black_box;

use stillpoint::{
    BusEvent, BusItem, Entropy, Input, NoRoom, Outbox, Output, Task, TaskId, Timestamp,
    TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

use super::{OPERATIONS, counted_operation};

/// 64 bytes.
type Message = [u64; 8];

/// What of the way of a message is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// From a command to the queue of another worker.
    Out,
    /// From there to the task it is for.
    In,
    /// From a command to another task of the same worker.
    Within,
    /// From a command to a report, without a message.
    Command,
}

/// Sends messages among so many tasks.
pub(crate) fn messages(tasks: u32, counted: Counted) {
    let (mut here, mut driver) = (worker(0), Driver::default());
    let (mut there, mut other) = (worker(1), Driver::default());
    let now = Timestamp::EPOCH;
    for _ in 0..tasks {
        here.handle_input(now, WorkerInput::Spawn(()), &mut driver);
        there.handle_input(now, WorkerInput::Spawn(()), &mut other);
    }
    here.handle_input(now, WorkerInput::PeerJoined(1), &mut driver);
    there.handle_input(now, WorkerInput::PeerJoined(0), &mut other);
    let receivers = match counted {
        Counted::Out | Counted::In => &other.started,
        Counted::Within | Counted::Command => &driver.started.clone(),
    };
    // The first message of each task makes its outbox allocate.
    for step in 0..2 * OPERATIONS {
        let place = u64::from(step % OPERATIONS) * 7_919 % u64::from(tasks);
        let place = usize::try_from(place).expect("it fits");
        let (task, to) = (driver.started[place], receivers[tasks as usize - 1 - place]);
        let to = (counted != Counted::Command).then_some(to);
        let count = |is: bool| is && step >= OPERATIONS;
        let command = WorkerInput::Command { task, command: to };
        maybe(count(counted != Counted::In), || {
            here.handle_input(now, command, &mut driver);
            if counted == Counted::Within {
                here.handle_input(now, WorkerInput::Timeout, &mut driver);
            }
        });
        if let Some(item) = driver.item.take() {
            let item = WorkerInput::Bus { from: 0, item };
            maybe(count(counted == Counted::In), || {
                there.handle_input(now, item, &mut Deaf);
            });
        }
    }
    assert_eq!(driver.reports > 0, counted == Counted::Command);
}

fn maybe(count: bool, operation: impl FnOnce()) {
    if count {
        counted_operation(operation);
    } else {
        operation();
    }
}

fn worker(index: u16) -> Worker<App> {
    let config = WorkerConfig::new(index, Entropy::from_seed(0));
    Worker::new(config, |(), spawner| {
        spawner.insert(Talker {
            outbox: Outbox::new(),
        })
    })
}

#[derive(Debug)]
struct App;

impl stillpoint::App for App {
    type Channel = ();
    type Message = Message;
    type Command = Option<TaskId>;
    type Report = ();
    type Spawn = ();
}

/// Sends a message to whom it is told, or says that there is nobody.
struct Talker {
    outbox: Outbox<App>,
}

impl Task for Talker {
    type App = App;

    fn handle_input(&mut self, _: Timestamp, input: Input<App>) {
        match input {
            Input::Command(Some(to)) => self.outbox.send_to(to, [7; 8], NoRoom::Drop),
            Input::Command(None) => self.outbox.report(()),
            Input::Bus(BusEvent::Message { message, .. }) => {
                black_box(message);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<App>> {
        self.outbox.pop()
    }
}

/// Keeps the ids of tasks and the last item.
#[derive(Default)]
struct Driver {
    started: Vec<TaskId>,
    item: Option<BusItem<(), Message>>,
    reports: u64,
}

impl WorkerOutputs<App> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<App>) {
        match output {
            WorkerOutput::Started { task, .. } => self.started.push(task),
            WorkerOutput::Report { .. } => self.reports += 1,
            _ => {}
        }
    }

    fn bus_room(&mut self, _: u16) -> usize {
        1
    }

    fn push_bus(&mut self, _: u16, item: BusItem<(), Message>) {
        self.item = Some(item);
    }
}

/// Takes no notice.
struct Deaf;

impl WorkerOutputs<App> for Deaf {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, _: WorkerOutput<App>) {}
}
