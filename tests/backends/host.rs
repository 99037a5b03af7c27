//! A worker with one task over a backend, driven by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use crate::rings::set_up;
use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendKind, Port};
use stillpoint::runtime::SystemClock;
use stillpoint::{
    App, Buffer, BufferPool, Clock, DatagramRun, Entropy, Input, NetworkEvent, Outbox, Output,
    SocketId, Task, TaskId, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen, Worker,
    WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

/// One worker with one task, over a backend of its own.
pub(crate) struct Host {
    pub(crate) worker: Worker<Probe>,
    pub(crate) backend: SocketBackend,
    pub(crate) clock: SystemClock,
    task: TaskId,
    seen: std::collections::VecDeque<NetworkEvent>,
}

/// What one wait gave.
pub(crate) struct Waited {
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<NetworkEvent>,
}

impl Host {
    pub(crate) fn new(kind: BackendKind) -> Self {
        Self::with(kind, |_| {})
    }

    pub(crate) fn with(kind: BackendKind, change: impl FnOnce(&mut BackendConfig)) -> Self {
        Self::over(kind, BufferPool::new(), change)
    }

    pub(crate) fn over(
        kind: BackendKind,
        pool: BufferPool,
        change: impl FnOnce(&mut BackendConfig),
    ) -> Self {
        let mut config = BackendConfig::new(pool);
        set_up(&mut config);
        change(&mut config);
        let mut worker = Worker::new(
            WorkerConfig::new(0, Entropy::from_seed(1)),
            |(), spawner: stillpoint::Spawner<'_, Probe>| spawner.insert(ProbeTask::default()),
        );
        let mut backend = SocketBackend::new(kind, &config).unwrap();
        let clock = SystemClock::new();
        let mut outputs = Outputs::to(backend.port());
        worker.handle_input(clock.now(), WorkerInput::Spawn(()), &mut outputs);
        let task = outputs.started.expect("a task was spawned");
        Self {
            worker,
            backend,
            clock,
            task,
            seen: [].into(),
        }
    }

    /// Has the task do something, and flushes.
    pub(crate) fn act(&mut self, act: Act) {
        let input = WorkerInput::Command {
            task: self.task,
            command: act,
        };
        let mut outputs = Outputs::to(self.backend.port());
        self.worker
            .handle_input(self.clock.now(), input, &mut outputs);
        self.backend.flush().unwrap();
    }

    pub(crate) fn send(&mut self, transmit: Transmit) {
        self.act(Act::Transmit(transmit));
    }

    pub(crate) fn open(&mut self, bind: SocketAddr) -> (SocketId, SocketAddr) {
        self.act(Act::Open(UdpOpen::new(Token(0), bind)));
        self.opened()
    }

    pub(crate) fn opened(&mut self) -> (SocketId, SocketAddr) {
        self.next(|event| match event {
            NetworkEvent::UdpOpened { socket, local, .. } => Some((*socket, *local)),
            _ => None,
        })
    }

    pub(crate) fn wait(&mut self, until: Option<Timestamp>) -> Waited {
        let (worker, mut events) = (&mut self.worker, Vec::new());
        let now = self
            .backend
            .wait(until, &self.clock, &mut |now, event, port| {
                let mut outputs = Outputs::to(port);
                worker.handle_input(now, WorkerInput::Network(event), &mut outputs);
                events.append(&mut outputs.reports);
            });
        let now = now.unwrap();
        self.backend.flush().unwrap();
        Waited { now, events }
    }

    /// Waits until something happens, and tells what.
    pub(crate) fn turn(&mut self) -> Vec<NetworkEvent> {
        let until = self.clock.now().after(PATIENCE);
        let events = self.wait(Some(until)).events;
        assert!(!events.is_empty(), "nothing within {PATIENCE:?}");
        events
    }

    /// Tells what has happened already.
    pub(crate) fn turn_if_any(&mut self) -> Vec<NetworkEvent> {
        self.wait(Some(Timestamp::EPOCH)).events
    }

    /// Long enough to see that nothing happens, or that something spins.
    pub(crate) fn wait_a_little(&mut self) -> Waited {
        let until = self.clock.now().after(Duration::from_millis(5));
        let waited = self.wait(Some(until));
        assert!(waited.now >= until, "the wait ended before {until:?}");
        waited
    }

    /// The oldest event that `pick` wants. Others are kept for later.
    pub(crate) fn next<R>(&mut self, mut pick: impl FnMut(&NetworkEvent) -> Option<R>) -> R {
        let until = self.clock.now().after(PATIENCE);
        loop {
            let found = self.seen.iter().enumerate();
            if let Some((at, picked)) = found
                .filter_map(|(at, event)| Some((at, pick(event)?)))
                .next()
            {
                self.seen.remove(at);
                return picked;
            }
            let waited = self.wait(Some(until));
            assert!(
                waited.now < until,
                "not within {PATIENCE:?}: {:?}",
                self.seen
            );
            self.seen.extend(waited.events);
        }
    }

    pub(crate) fn next_run(&mut self) -> DatagramRun {
        self.next(|event| match event {
            NetworkEvent::Datagrams { run, .. } => Some(run.clone()),
            _ => None,
        })
    }
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

#[derive(Debug)]
pub(crate) enum Act {
    Become(Mode),
    Give(Output<Probe>),
    Open(UdpOpen),
    Transmit(Transmit),
    /// Every second one written in place.
    Send(SocketId, SocketAddr, Vec<Vec<u8>>),
    SendAndClose(SocketId, SocketAddr, Vec<u8>),
}

#[derive(Debug, Default)]
pub(crate) enum Mode {
    #[default]
    Listen,
    Echo,
    CloseAfter(usize),
}

/// Does what it is told, and reports what it hears.
#[derive(Default)]
pub(crate) struct ProbeTask {
    mode: Mode,
    outbox: Outbox<Probe>,
    to_write: Option<(SocketId, SocketAddr, std::vec::IntoIter<Vec<u8>>)>,
}

impl Task for ProbeTask {
    type App = Probe;

    fn handle_input(&mut self, _: Timestamp, input: Input<Probe>) {
        match input {
            Input::Command(Act::Become(mode)) => self.mode = mode,
            Input::Command(Act::Give(output)) => self.outbox.push(output),
            Input::Command(Act::Open(open)) => self.outbox.open_udp(open),
            Input::Command(Act::Transmit(transmit)) => self.outbox.transmit(transmit),
            Input::Command(Act::Send(socket, peer, payloads)) => {
                self.to_write = Some((socket, peer, payloads.into_iter()));
            }
            Input::Command(Act::SendAndClose(socket, peer, payload)) => {
                self.outbox.send(socket, peer, Buffer::copy_from(&payload));
                self.outbox.close(socket);
            }
            Input::Network(event) => {
                self.outbox.report(event.clone());
                let NetworkEvent::Datagrams { socket, run } = event else {
                    return;
                };
                match &mut self.mode {
                    Mode::Listen => {}
                    Mode::Echo => self.outbox.reply(socket, run),
                    Mode::CloseAfter(left) => {
                        *left -= 1;
                        if *left == 0 {
                            self.outbox.close(socket);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        memory: &mut TransmitBuffer<'_>,
    ) -> Option<Output<Probe>> {
        if let Some((socket, peer, payloads)) = &mut self.to_write
            && let Some(payload) = payloads.next()
        {
            let transmit = if payloads.len() % 2 == 0 {
                Transmit::new(*socket, *peer, Buffer::copy_from(&payload))
            } else {
                Transmit::new(*socket, *peer, memory.write(&payload).unwrap())
            };
            return Some(Output::Transmit(transmit));
        }
        self.outbox.pop()
    }
}

/// Sends what concerns the network to the backend and keeps the rest.
pub(crate) struct Outputs<'a> {
    port: &'a mut SocketPort,
    started: Option<TaskId>,
    reports: Vec<NetworkEvent>,
}

impl<'a> Outputs<'a> {
    fn to(port: &'a mut SocketPort) -> Self {
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

/// A plain blocking socket of the standard library that talks to `peer` alone.
pub(crate) fn client_of(peer: SocketAddr) -> UdpSocket {
    let any = if peer.is_ipv4() {
        crate::behaviours::LOOPBACK
    } else {
        "[::1]:0"
    };
    let client = UdpSocket::bind(any).unwrap();
    client.connect(peer).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

pub(crate) fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let len = socket.recv(&mut bytes).expect("a datagram in time");
    bytes.truncate(len);
    bytes
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Whether the kernel joins and splits runs; says what is skipped if not.
pub(crate) fn has_runs(host: &Host, what: &str) -> bool {
    let has = host.backend.capabilities();
    if !(has.runs_in && has.runs_out) {
        eprintln!("skipped {what}: this kernel has no UDP_SEGMENT or no UDP_GRO");
    }
    has.runs_in && has.runs_out
}

/// What nothing takes on a working machine, however loaded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
