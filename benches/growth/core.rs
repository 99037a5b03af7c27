//! A worker driven by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use stillpoint::{
    App, Buffer, BusItem, DatagramRun, Deadline, Entropy, Input, NetworkCommand, NetworkEvent,
    NoRoom, Outbox, Output, SocketId, Task, TaskId, Timestamp, Token, Transmit, TransmitBuffer,
    UdpOpen, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

use super::{Curve, Figure, Run, sizes};

/// Beyond that, a worker needs a larger limit of sockets, and a system more than it has ports.
const MOST: u32 = 100_000;

pub(crate) fn figures() -> Vec<Figure> {
    let curve = |name: &str, prepare: fn(u32) -> Run| Curve {
        name: name.to_owned(),
        sizes: sizes(MOST),
        prepare: Box::new(prepare),
    };
    vec![
        Figure {
            name: "tasks",
            title: "A datagram to a task, and its answer",
            axis: "tasks of the worker, each with a socket",
            curves: vec![
                curve("each in turn", |tasks| datagrams(tasks, Whom::Each, None)),
                curve("one of them", |tasks| datagrams(tasks, Whom::One, None)),
            ],
        },
        Figure {
            name: "timers",
            title: "A timer that is set anew",
            axis: "timers of the worker, each of a task of its own",
            curves: vec![
                curve("the next one is due", ticks),
                curve("put off by a datagram, each in turn", |tasks| {
                    datagrams(tasks, Whom::Each, Some(SECOND))
                }),
                curve("put off by a datagram, one of them", |tasks| {
                    datagrams(tasks, Whom::One, Some(SECOND))
                }),
            ],
        },
        Figure {
            name: "subscribers",
            title: "A message that is published, for each who hears it",
            axis: "subscribers of the worker",
            curves: vec![
                curve("all hear it", |tasks| published(tasks, Heard::ByAll)),
                curve("one hears it, of other channels", |tasks| {
                    published(tasks, Heard::ByOne)
                }),
            ],
        },
        Figure {
            name: "peers",
            title: "A message to another worker",
            axis: "other workers",
            curves: vec![
                Curve {
                    sizes: sizes(1_000),
                    ..curve("to a task on one of them", |peers| {
                        to_peers(peers, Heard::ByOne)
                    })
                },
                Curve {
                    sizes: sizes(1_000),
                    ..curve("published to all, for each", |peers| {
                        to_peers(peers, Heard::ByAll)
                    })
                },
            ],
        },
    ]
}

#[derive(Debug, Clone, Copy)]
enum Whom {
    Each,
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    ByAll,
    ByOne,
}

/// Datagrams to tasks that send them back, and may put off their timers.
fn datagrams(tasks: u32, whom: Whom, wait: Option<Duration>) -> Run {
    let (mut worker, mut driver) = worker(tasks, |task| Role::Echo {
        wait,
        stagger: Duration::from_micros(task.into()),
    });
    let peer = SocketAddr::from(([192, 0, 2, 1], 9));
    let payload = Buffer::copy_from(&[7; 200]);
    let mut step = 0u64;
    Box::new(move |events| {
        let start = Instant::now();
        for _ in 0..events {
            step += 1;
            let place = match whom {
                Whom::Each => step * STRIDE % u64::from(tasks),
                Whom::One => u64::from(tasks / 2),
            };
            let socket = driver.sockets[usize::try_from(place).expect("it fits")];
            let run = DatagramRun::new(peer, payload.clone(), 0);
            let input = WorkerInput::Network(NetworkEvent::Datagrams { socket, run });
            worker.handle_input(Timestamp::from_nanos(step), input, &mut driver);
        }
        assert!(driver.sent.take().is_some(), "it was answered");
        (events, start.elapsed())
    })
}

/// The next one that is due is ticked, and wants to be again a second later.
fn ticks(tasks: u32) -> Run {
    let (mut worker, mut driver) = worker(tasks, |task| Role::Echo {
        wait: Some(SECOND),
        stagger: SECOND * task / tasks,
    });
    Box::new(move |events| {
        let start = Instant::now();
        for _ in 0..events {
            let due = worker.poll_timeout().expect("all wait").at;
            worker.handle_input(due, WorkerInput::Timeout, &mut driver);
        }
        (events, start.elapsed())
    })
}

/// Messages that all hear, or one.
fn published(tasks: u32, heard: Heard) -> Run {
    let channel = move |task| match heard {
        Heard::ByAll => 0,
        Heard::ByOne => task,
    };
    let (mut worker, mut driver) = worker(tasks, |task| Role::Hears(channel(task)));
    let now = Timestamp::EPOCH;
    worker.handle_input(now, WorkerInput::Spawn(Role::Says), &mut driver);
    let speaker = *driver.started.last().expect("it has started");
    let each = match heard {
        Heard::ByAll => tasks,
        Heard::ByOne => 1,
    };
    Box::new(move |events| {
        let messages = events.div_ceil(each);
        let start = Instant::now();
        for message in 0..messages {
            let command = Command::Publish(channel(message % tasks));
            let task = speaker;
            worker.handle_input(now, WorkerInput::Command { task, command }, &mut driver);
            // Those who hear it are told in bounded batches.
            while worker.poll_timeout().is_some_and(|due| due.at <= now) {
                worker.handle_input(now, WorkerInput::Timeout, &mut driver);
            }
        }
        (messages * each, start.elapsed())
    })
}

/// Messages to tasks on other workers.
fn to_peers(peers: u32, heard: Heard) -> Run {
    let (mut worker, mut driver) = worker(0, |_| Role::Says);
    let now = Timestamp::EPOCH;
    let mut there = Vec::new();
    for peer in 1..=peers {
        let peer = u16::try_from(peer).expect("fewer than that");
        let role = Role::Hears(0);
        let (mut other, mut heard_of) = worker_of(peer, 1, |_| role.clone());
        worker.handle_input(now, WorkerInput::PeerJoined(peer), &mut driver);
        other.handle_input(now, WorkerInput::PeerJoined(0), &mut heard_of);
        let hello = core::mem::take(&mut driver.items);
        for (_, item) in hello {
            other.handle_input(now, WorkerInput::Bus { from: 0, item }, &mut heard_of);
        }
        for (_, item) in heard_of.items {
            worker.handle_input(now, WorkerInput::Bus { from: peer, item }, &mut driver);
        }
        there.push(heard_of.started[0]);
    }
    worker.handle_input(now, WorkerInput::Spawn(Role::Says), &mut driver);
    let speaker = driver.started[0];
    let each = match heard {
        Heard::ByAll => peers,
        Heard::ByOne => 1,
    };
    Box::new(move |events| {
        let messages = events.div_ceil(each);
        driver.items.clear();
        let mut sent = 0;
        let start = Instant::now();
        for message in 0..messages {
            let command = match heard {
                Heard::ByAll => Command::Publish(0),
                Heard::ByOne => Command::Send(there[message as usize % there.len()]),
            };
            let task = speaker;
            worker.handle_input(now, WorkerInput::Command { task, command }, &mut driver);
            sent += driver.items.len();
            driver.items.clear();
        }
        let took = start.elapsed();
        assert!(
            sent >= (messages * each) as usize,
            "all workers are told: {sent}"
        );
        (messages * each, took)
    })
}

#[derive(Debug)]
struct Growing;

impl App for Growing {
    type Channel = u32;
    type Message = u64;
    type Command = Command;
    type Report = ();
    type Spawn = Role;
}

#[derive(Debug)]
enum Command {
    Publish(u32),
    Send(TaskId),
}

/// What a task does.
#[derive(Debug, Clone)]
enum Role {
    /// Sends back what it gets, and puts off its timer if it has one.
    Echo {
        wait: Option<Duration>,
        /// Its first deadline is this much later than those of the others.
        stagger: Duration,
    },
    Hears(u32),
    Says,
}

struct Subject {
    role: Role,
    due: Option<Timestamp>,
    outbox: Outbox<Growing>,
}

impl Task for Subject {
    type App = Growing;

    fn handle_input(&mut self, now: Timestamp, input: Input<Growing>) {
        if let Role::Echo { wait, .. } = self.role {
            self.due = wait.map(|wait| now.after(wait));
        }
        match input {
            Input::Started(_) => match self.role {
                Role::Echo { stagger, .. } => {
                    self.due = self.due.map(|due| due.after(stagger));
                    let bind = SocketAddr::from(([0, 0, 0, 0], 0));
                    self.outbox.open_udp(UdpOpen::new(Token(0), bind));
                }
                Role::Hears(channel) => self.outbox.subscribe(channel),
                Role::Says => {}
            },
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.transmit(Transmit::reply(socket, run));
            }
            Input::Command(Command::Publish(channel)) => {
                self.outbox.publish(channel, 7, NoRoom::Drop);
            }
            Input::Command(Command::Send(to)) => self.outbox.send_to(to, 7, NoRoom::Drop),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Growing>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.due.map(|due| Deadline::new(due, "growth"))
    }
}

/// Keeps what is asked for later.
#[derive(Default)]
struct Driver {
    sockets: Vec<SocketId>,
    started: Vec<TaskId>,
    sent: Option<Transmit>,
    items: Vec<(u16, BusItem<u32, u64>)>,
}

impl WorkerOutputs<Growing> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<Growing>) {
        match output {
            WorkerOutput::Network(NetworkCommand::Transmit(sent)) => self.sent = Some(sent),
            WorkerOutput::Network(NetworkCommand::OpenUdp { socket, .. }) => {
                self.sockets.push(socket);
            }
            WorkerOutput::Started { task, .. } => self.started.push(task),
            _ => {}
        }
    }

    fn bus_room(&mut self, _: u16) -> usize {
        1 << 10
    }

    fn push_bus(&mut self, to: u16, item: BusItem<u32, u64>) {
        self.items.push((to, item));
    }
}

fn worker(tasks: u32, role: impl Fn(u32) -> Role) -> (Worker<Growing>, Driver) {
    worker_of(0, tasks, role)
}

/// A worker of this index, with so many tasks.
fn worker_of(index: u16, tasks: u32, role: impl Fn(u32) -> Role) -> (Worker<Growing>, Driver) {
    let config = WorkerConfig::new(index, Entropy::from_seed(0));
    let mut worker = Worker::new(config, |role, spawner| {
        spawner.insert(Subject {
            role,
            due: None,
            outbox: Outbox::new(),
        })
    });
    let mut driver = Driver::default();
    for task in 0..tasks {
        worker.handle_input(
            Timestamp::EPOCH,
            WorkerInput::Spawn(role(task)),
            &mut driver,
        );
    }
    (worker, driver)
}

const SECOND: Duration = Duration::from_secs(1);

/// Goes over all of so many, far from one to the next.
const STRIDE: u64 = 7_919;
