//! A worker with one task over a backend, driven by hand.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use crate::rings::set_up;
use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendKind, Port};
use stillpoint::runtime::SystemClock;
use stillpoint::{
    App, BufferPool, Clock, DeviceCounters, DeviceError, DeviceId, DeviceOpen, Entropy, Input,
    NetworkError, NetworkEvent, Outbox, Output, Packet, Spawner, Task, TaskId, Timestamp,
    TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

pub(crate) struct Host {
    worker: Worker<Probe>,
    pub(crate) backend: SocketBackend,
    clock: SystemClock,
    pub(crate) buffers: BufferPool,
    task: TaskId,
    seen: VecDeque<NetworkEvent>,
}

impl Host {
    pub(crate) fn new(kind: BackendKind) -> Self {
        Self::with(kind, |_| {})
    }

    pub(crate) fn with(kind: BackendKind, change: impl FnOnce(&mut BackendConfig)) -> Self {
        let buffers = BufferPool::new();
        let mut config = BackendConfig::new(buffers.clone());
        set_up(&mut config);
        change(&mut config);
        let limits = WorkerConfig::new(0, Entropy::from_seed(1));
        let mut worker = Worker::new(limits, |(), spawner: Spawner<'_, Probe>| {
            spawner.insert(Puppet::default())
        });
        let mut backend = SocketBackend::new(kind, &config).unwrap();
        let clock = SystemClock::new();
        let mut outputs = Outputs::to(backend.port());
        worker.handle_input(clock.now(), WorkerInput::Spawn(()), &mut outputs);
        let task = outputs.started.expect("a task was spawned");
        Self {
            worker,
            backend,
            clock,
            buffers,
            task,
            seen: VecDeque::new(),
        }
    }

    /// Has the task do something, and flushes.
    pub(crate) fn act(&mut self, act: impl FnOnce(&mut Outbox<Probe>) + 'static + Send) {
        self.command(Act::Now(Box::new(act)));
    }

    /// From now on the task does this with each event.
    pub(crate) fn react(
        &mut self,
        react: impl FnMut(&NetworkEvent, &mut Outbox<Probe>) + 'static + Send,
    ) {
        self.command(Act::Always(Box::new(react)));
    }

    fn command(&mut self, command: Act) {
        let input = WorkerInput::Command {
            task: self.task,
            command,
        };
        let mut outputs = Outputs::to(self.backend.port());
        self.worker
            .handle_input(self.clock.now(), input, &mut outputs);
        self.backend.flush().unwrap();
    }

    /// Waits at most until `until`, and tells what has happened.
    fn wait(&mut self, until: Timestamp) -> Vec<NetworkEvent> {
        let (worker, mut events) = (&mut self.worker, Vec::new());
        let waited = self
            .backend
            .wait(Some(until), &self.clock, &mut |now, event, port| {
                let mut outputs = Outputs::to(port);
                worker.handle_input(now, WorkerInput::Network(event), &mut outputs);
                events.append(&mut outputs.reports);
            });
        let now = waited.unwrap();
        let mut outputs = Outputs::to(self.backend.port());
        worker.handle_input(now, WorkerInput::Timeout, &mut outputs);
        events.append(&mut outputs.reports);
        self.backend.flush().unwrap();
        events
    }

    /// Waits until something happens, once.
    pub(crate) fn turn(&mut self) -> Vec<NetworkEvent> {
        let limit = self.clock.now().after(PATIENCE);
        loop {
            let events = self.wait(limit);
            if !events.is_empty() {
                return events;
            }
            assert!(self.clock.now() < limit, "nothing within {PATIENCE:?}");
        }
    }

    /// Does what there is to be done by now.
    pub(crate) fn turn_if_any(&mut self) -> Vec<NetworkEvent> {
        self.wait(Timestamp::EPOCH)
    }

    /// Turns until `done`.
    pub(crate) fn turn_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.clock.now().after(PATIENCE);
        while !done(self) {
            let now = self.clock.now();
            assert!(now < limit, "not within {PATIENCE:?}");
            self.wait(now.after(Duration::from_millis(1)));
        }
    }

    /// Long enough to see that nothing happens, and that nothing spins.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let until = self.clock.now().after(Duration::from_millis(20));
        let mut waits = 0;
        while self.clock.now() < until {
            if !self.wait(until).is_empty() {
                return false;
            }
            waits += 1;
        }
        waits <= 2
    }

    /// The oldest event that `pick` wants. Others are kept for later.
    pub(crate) fn next<R>(&mut self, mut pick: impl FnMut(&NetworkEvent) -> Option<R>) -> R {
        loop {
            let mut found = self.seen.iter().enumerate();
            if let Some((at, picked)) = found.find_map(|(at, event)| Some((at, pick(event)?))) {
                self.seen.remove(at);
                return picked;
            }
            let events = self.turn();
            self.seen.extend(events);
        }
    }

    pub(crate) fn opened(&mut self, open: DeviceOpen) -> Result<Opened, DeviceError> {
        self.act(|outbox| outbox.open_device(open));
        self.next(|event| match event {
            NetworkEvent::DeviceOpened {
                device, name, mtu, ..
            } => Some(Ok(Opened {
                id: *device,
                name: name.to_string(),
                mtu: *mtu,
            })),
            NetworkEvent::DeviceOpenFailed { error, .. } => Some(Err(*error)),
            _ => None,
        })
    }

    pub(crate) fn open(&mut self, open: DeviceOpen) -> Opened {
        self.opened(open).expect("the device opens")
    }

    pub(crate) fn next_packet(
        &mut self,
        mut wanted: impl FnMut(DeviceId, &Packet) -> bool,
    ) -> Packet {
        self.next(|event| match event {
            NetworkEvent::Packet { device, packet } if wanted(*device, packet) => {
                Some(packet.clone())
            }
            _ => None,
        })
    }

    /// Packets that were not taken in, and why.
    pub(crate) fn next_failure(&mut self) -> (NetworkError, u32) {
        self.next(|event| match event {
            NetworkEvent::PacketsFailed { error, packets, .. } => Some((*error, *packets)),
            _ => None,
        })
    }

    pub(crate) fn counters(&self) -> DeviceCounters {
        self.backend.counters().devices
    }
}

/// An open device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) id: DeviceId,
    pub(crate) name: String,
    pub(crate) mtu: u16,
}

#[derive(Debug)]
pub(crate) struct Probe;

impl App for Probe {
    type Channel = ();
    type Message = ();
    type Command = Act;
    type Report = NetworkEvent;
    type Spawn = ();
}

type Now = Box<dyn FnOnce(&mut Outbox<Probe>) + Send>;
type React = Box<dyn FnMut(&NetworkEvent, &mut Outbox<Probe>) + Send>;

pub(crate) enum Act {
    Now(Now),
    Always(React),
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

/// Does what it is told, and reports what it hears.
#[derive(Default)]
struct Puppet {
    react: Option<React>,
    outbox: Outbox<Probe>,
}

impl Task for Puppet {
    type App = Probe;

    fn handle_input(&mut self, _: Timestamp, input: Input<Probe>) {
        match input {
            Input::Command(Act::Now(act)) => act(&mut self.outbox),
            Input::Command(Act::Always(react)) => self.react = Some(react),
            Input::Network(event) => {
                if let Some(react) = &mut self.react {
                    react(&event, &mut self.outbox);
                }
                self.outbox.report(event);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Probe>> {
        self.outbox.pop()
    }
}

/// Sends what concerns the network to the backend and keeps the rest.
struct Outputs<'a> {
    port: &'a mut SocketPort,
    started: Option<TaskId>,
    reports: Vec<NetworkEvent>,
}

impl<'a> Outputs<'a> {
    const fn to(port: &'a mut SocketPort) -> Self {
        Self {
            port,
            started: None,
            reports: Vec::new(),
        }
    }
}

impl WorkerOutputs<Probe> for Outputs<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<Probe>) {
        match output {
            WorkerOutput::Network(command) => self.port.submit(command),
            WorkerOutput::Started { task, .. } => self.started = Some(task),
            WorkerOutput::Report { report, .. } => self.reports.push(report),
            other => panic!("nobody expected {other:?}"),
        }
    }
}

/// What nothing takes on a working machine, however loaded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is so.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let limit = clock.now().after(PATIENCE);
    while !is_so() {
        assert!(clock.now() < limit, "not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
