//! Sockets of the system, over each socket backend: a worker on this thread, driven by hand.

use core::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendKind, Port};
use stillpoint::runtime::SystemClock;
use stillpoint::{
    App, Buffer, BufferPool, Clock, Deadline, Entropy, Input, NetworkEvent, Outbox, Output,
    SocketId, Task, TaskId, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen, Worker,
    WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

use super::{Curve, Figure, Run, sizes};

/// A process may commonly have some more.
const MOST: u32 = 10_000;

pub(crate) fn figures() -> Vec<Figure> {
    let curves = BackendKind::ALL.iter().map(|&backend| Curve {
        name: backend.to_string(),
        sizes: sizes(MOST),
        prepare: Box::new(move |sockets| datagrams(backend, sockets)),
    });
    vec![Figure {
        name: "sockets",
        title: "A datagram out of one socket and into it again",
        axis: "open sockets, each in turn",
        curves: curves.collect(),
    }]
}

fn datagrams(backend: BackendKind, sockets: u32) -> Run {
    let mut machine = Machine::new(backend);
    machine.input(WorkerInput::Spawn(sockets));
    while machine.outputs.bound < sockets {
        machine.wait();
    }
    let task = machine.outputs.started.expect("it has started");
    Box::new(move |events| {
        // What takes a whole list of sockets to find out takes long with many of them.
        let events = events.min(500_000 / sockets).clamp(20, 500);
        let start = Instant::now();
        for _ in 0..events {
            let heard = machine.outputs.heard;
            machine.input(WorkerInput::Command { task, command: () });
            while machine.outputs.heard == heard {
                machine.wait();
            }
        }
        (events, start.elapsed())
    })
}

struct Machine {
    worker: Worker<Loops>,
    backend: SocketBackend,
    clock: SystemClock,
    outputs: Noted,
}

/// What the task has said.
#[derive(Default)]
struct Noted {
    started: Option<TaskId>,
    bound: u32,
    heard: u64,
}

impl Machine {
    fn new(backend: BackendKind) -> Self {
        let config = WorkerConfig::new(0, Entropy::from_seed(0));
        let worker = Worker::new(config, |sockets, spawner| {
            spawner.insert(Rounds {
                wanted: sockets,
                sockets: Vec::new(),
                next: 0,
                outbox: Outbox::new(),
            })
        });
        let backend = SocketBackend::new(backend, &BackendConfig::new(BufferPool::new()));
        Self {
            worker,
            backend: backend.expect("the system has descriptors"),
            clock: SystemClock::new(),
            outputs: Noted::default(),
        }
    }

    fn input(&mut self, input: WorkerInput<Loops>) {
        let (port, noted) = (self.backend.port(), &mut self.outputs);
        let outputs = &mut Outputs { port, noted };
        self.worker.handle_input(self.clock.now(), input, outputs);
        self.backend.flush().expect("it goes on");
    }

    fn wait(&mut self) {
        let (worker, noted) = (&mut self.worker, &mut self.outputs);
        let waited = self
            .backend
            .wait(None, &self.clock, &mut |now, event, port| {
                let outputs = &mut Outputs { port, noted };
                worker.handle_input(now, WorkerInput::Network(event), outputs);
            });
        waited.expect("it goes on");
    }
}

struct Outputs<'a> {
    port: &'a mut SocketPort,
    noted: &'a mut Noted,
}

impl WorkerOutputs<Loops> for Outputs<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<Loops>) {
        match output {
            WorkerOutput::Network(command) => self.port.submit(command),
            WorkerOutput::Started { task, .. } => self.noted.started = Some(task),
            WorkerOutput::Report { report, .. } => match report {
                Said::Bound => self.noted.bound += 1,
                Said::Heard => self.noted.heard += 1,
            },
            other => panic!("nobody expected {other:?}"),
        }
    }
}

#[derive(Debug)]
struct Loops;

#[derive(Debug)]
enum Said {
    Bound,
    Heard,
}

impl App for Loops {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Said;
    /// So many sockets.
    type Spawn = u32;
}

/// Has many sockets, and sends from one after the other to itself when it is told to.
struct Rounds {
    wanted: u32,
    sockets: Vec<(SocketId, SocketAddr)>,
    next: usize,
    outbox: Outbox<Loops>,
}

impl Rounds {
    fn open(&mut self) {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let open = UdpOpen::new(Token(0), bind).with_buffers(4_096, 4_096);
        self.outbox.open_udp(open);
    }
}

impl Task for Rounds {
    type App = Loops;

    fn handle_input(&mut self, _: Timestamp, input: Input<Loops>) {
        match input {
            Input::Started(_) => self.open(),
            Input::Network(NetworkEvent::UdpOpened { socket, local, .. }) => {
                self.sockets.push((socket, local));
                self.outbox.report(Said::Bound);
                if self.sockets.len() < self.wanted as usize {
                    self.open();
                }
            }
            Input::Network(NetworkEvent::Datagrams { .. }) => self.outbox.report(Said::Heard),
            Input::Command(()) => {
                self.next = (self.next + STRIDE) % self.sockets.len();
                let (socket, local) = self.sockets[self.next];
                let payload = Buffer::copy_from(&[7; 200]);
                self.outbox.transmit(Transmit::new(socket, local, payload));
            }
            Input::Network(event) => panic!("nobody expected {event:?}"),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Loops>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

const STRIDE: usize = 7_919;
