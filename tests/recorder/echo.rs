//! Echo servers that can be recorded, and a driver that has no network.

use core::cell::Cell;
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use stillpoint::{
    App, Buffer, DatagramRun, Entropy, Input, NetworkCommand, NetworkEvent, Outbox, Output,
    RecordRing, RecordSink, Recorder, RecorderStats, Recording, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, Transmit, TransmitBuffer, UdpBuffers, UdpOpen, Worker, WorkerConfig,
    WorkerInput, WorkerOutput, WorkerOutputs,
};

#[derive(Debug)]
pub(crate) struct Echo;

impl App for Echo {
    type Channel = ();
    type Message = ();
    type Command = String;
    type Report = String;
    type Spawn = SocketAddr;
}

/// Sends everything back, after a number of its own; and panics at what it does not like.
pub(crate) struct Server {
    bind: SocketAddr,
    /// What it adds to each number.
    bias: u64,
    answered: u64,
    outbox: Outbox<Echo>,
}

impl Server {
    pub(crate) fn spawn(bind: SocketAddr, spawner: Spawner<'_, Echo>) -> Spawned {
        Self::spawn_biased(0, bind, spawner)
    }

    /// A server whose code has changed.
    pub(crate) fn spawn_biased(bias: u64, bind: SocketAddr, spawner: Spawner<'_, Echo>) -> Spawned {
        let (answered, outbox) = (0, Outbox::new());
        spawner.insert(Self {
            bind,
            bias,
            answered,
            outbox,
        })
    }
}

impl Task for Server {
    type App = Echo;

    fn handle_input(&mut self, _: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(mut context) => {
                let number = context.random.u64();
                self.outbox.report(format!("the first draw: {number}"));
                self.outbox.open_udp(UdpOpen::new(Token(0), self.bind));
            }
            Input::Network(NetworkEvent::UdpOpened { local, .. }) => {
                self.outbox.report(local.to_string());
            }
            Input::Network(NetworkEvent::Datagrams { socket, mut run }) => {
                for datagram in run.iter() {
                    assert_ne!(datagram, b"poison", "that is what it does not like");
                    self.answered += 1;
                }
                let bias = if self.answered > 100 { self.bias } else { 0 };
                run.payload.push_back(&(self.answered + bias).to_le_bytes());
                self.outbox.transmit(Transmit::reply(socket, run));
            }
            Input::Command(text) => self.outbox.report(text),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Echo>> {
        self.outbox.pop()
    }
}

pub(crate) fn make(config: WorkerConfig) -> Worker<Echo> {
    Worker::new(config, Server::spawn)
}

/// Notes the socket that was opened.
#[derive(Default)]
pub(crate) struct Driver {
    socket: Cell<Option<SocketId>>,
    memory: Vec<u8>,
    panics_after: Option<usize>,
    pushed: usize,
}

impl Driver {
    pub(crate) fn socket(&self) -> Option<SocketId> {
        self.socket.get()
    }

    /// One that panics at the first output after so many.
    pub(crate) fn panicking(after: usize) -> Self {
        Self {
            panics_after: Some(after),
            ..Self::default()
        }
    }
}

impl WorkerOutputs<Echo> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::growing(&mut self.memory, 1_500)
    }

    fn push(&mut self, output: WorkerOutput<Echo>) {
        self.pushed += 1;
        if self.panics_after.is_some_and(|after| self.pushed > after) {
            self.panics_after = None;
            std::panic::resume_unwind(Box::new("the driver"));
        }
        if let WorkerOutput::Network(NetworkCommand::OpenUdp { socket, .. }) = output {
            self.socket.set(Some(socket));
        }
    }
}

/// A recording of a server that got so many datagrams, on a ring of this size.
pub(crate) fn recorded(datagrams: u64, bytes_max: usize) -> Vec<u8> {
    let ring = RecordRing::new(bytes_max);
    record(datagrams, Box::new(ring.clone()), &mut Driver::default());
    ring.to_bytes()
}

/// Has a server get so many datagrams, and records it.
pub(crate) fn record(
    datagrams: u64,
    sink: Box<dyn RecordSink>,
    driver: &mut Driver,
) -> RecorderStats {
    let mut config = WorkerConfig::new(3, Entropy::from_seed(7));
    let mut recorder = Recorder::new(&mut config, sink);
    let mut worker = make(config);
    let address: SocketAddr = "192.0.2.1:7".parse().unwrap();
    let mut give = |now, input, driver: &mut Driver| {
        let now = Timestamp::from_nanos(now);
        let given = || recorder.handle_input(&mut worker, now, input, driver);
        drop(catch_unwind(AssertUnwindSafe(given)));
    };
    give(1, WorkerInput::Spawn(address), driver);
    let socket = driver.socket.get().unwrap();
    let event = NetworkEvent::UdpOpened {
        socket,
        token: Token(0),
        local: address,
        buffers: UdpBuffers::new(1, 2),
    };
    give(2, WorkerInput::Network(event), driver);
    for number in 0..datagrams {
        let peer = "[2001:db8::1]:9".parse().unwrap();
        let payload = Buffer::copy_from(&number.to_le_bytes());
        let run = DatagramRun::new(peer, payload, 0);
        let event = NetworkEvent::Datagrams { socket, run };
        give(3 + number, WorkerInput::Network(event), driver);
    }
    give(3 + datagrams, WorkerInput::Shutdown, driver);
    give(3 + datagrams, WorkerInput::Timeout, driver);
    recorder.end();
    assert_eq!(recorder.stats().inputs, datagrams + 4);
    recorder.stats()
}

/// The same, read.
pub(crate) fn recording(datagrams: u64) -> Recording {
    Recording::from_bytes(recorded(datagrams, usize::MAX)).unwrap()
}
