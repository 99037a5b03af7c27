//! stillpoint over each of its backends, one worker: tasks as its users write them.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Buffer, DatagramRun, Input, NetworkError, NetworkEvent, Outbox, Output, Reading, SocketId,
    Spawned, Spawner, StreamId, StreamWriter, Task, TcpListen, Timestamp, Token, Transmit,
    TransmitBuffer, UdpOpen,
};

use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;

/// Does it, looking on for so long before the worker sleeps.
pub fn serve(backend: BackendKind, job: Job, spin_max: Duration) -> io::Result<()> {
    let mut config = RuntimeConfig::new(backend);
    config.spin_max = spin_max;
    let started = Controller::start(config, spawn);
    let mut controller = started.map_err(io::Error::other)?;
    controller.spawn(0, job).map_err(io::Error::other)?;
    loop {
        match controller.wait(None) {
            Some(ControllerEvent::Report { report, .. }) => {
                listening(report.map_err(io::Error::other)?)?;
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

#[derive(Debug)]
struct Race;

impl App for Race {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Result<SocketAddr, NetworkError>;
    type Spawn = Job;
}

fn spawn(job: Job, spawner: Spawner<'_, Race>) -> Spawned {
    match job {
        Job::TcpEcho => spawner.insert(Tcp::default()),
        Job::UdpEcho | Job::UdpSink | Job::UdpFanOut { .. } => spawner.insert(Udp::new(job)),
    }
}

/// All that is done with datagrams.
struct Udp {
    job: Job,
    viewers: Vec<SocketAddr>,
    counted: u64,
    outbox: Outbox<Race>,
}

impl Udp {
    fn new(job: Job) -> Self {
        let viewers = match job {
            Job::UdpFanOut { port } => viewers(port).into_iter().map(SocketAddr::V4).collect(),
            _ => Vec::new(),
        };
        Self {
            job,
            viewers,
            counted: 0,
            outbox: Outbox::new(),
        }
    }

    fn received(&mut self, socket: SocketId, run: DatagramRun) {
        match self.job {
            Job::UdpEcho => self.outbox.reply(socket, run),
            Job::UdpSink if run.payload.len() == QUESTION_BYTES => {
                let answer = Buffer::copy_from(&answer(&run.payload, self.counted));
                self.outbox
                    .transmit(Transmit::new(socket, run.peer, answer));
            }
            Job::UdpSink => self.counted += run.count() as u64,
            Job::UdpFanOut { .. } => {
                for &viewer in &self.viewers {
                    let transmit = Transmit::new(socket, viewer, run.payload.clone());
                    let transmit = transmit.with_segment_size(run.segment_size);
                    self.outbox.transmit(transmit);
                }
            }
            Job::TcpEcho => unreachable!("another task does that"),
        }
    }
}

impl Task for Udp {
    type App = Race;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Race>) {
        match input {
            Input::Network(NetworkEvent::Datagrams { socket, run }) => self.received(socket, run),
            Input::Started(_) => {
                let open = UdpOpen::new(Token(0), ANY);
                self.outbox
                    .open_udp(open.with_buffers(BUFFER_BYTES, BUFFER_BYTES));
            }
            Input::Network(NetworkEvent::UdpOpened { local, .. }) => {
                self.outbox.report(Ok(local));
            }
            Input::Network(NetworkEvent::UdpOpenFailed { error, .. }) => {
                self.outbox.report(Err(error));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Race>> {
        self.outbox.pop()
    }
}

/// Sends everything back on the connection it came by. Reads no faster than that goes.
#[derive(Default)]
struct Tcp {
    connections: BTreeMap<StreamId, StreamWriter>,
    outbox: Outbox<Race>,
}

impl Tcp {
    fn handle_event(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::Received { stream, data } => {
                if let Some(writer) = self.connections.get_mut(&stream) {
                    writer.write(data, &mut self.outbox);
                    if writer.waiting() > 0 {
                        self.outbox.set_reading(stream, Reading::Paused);
                    }
                }
            }
            NetworkEvent::Writable { stream, room } => {
                if let Some(writer) = self.connections.get_mut(&stream) {
                    let waited = writer.waiting() > 0;
                    writer.handle_writable(room, &mut self.outbox);
                    if waited && writer.waiting() == 0 {
                        self.outbox.set_reading(stream, Reading::Flowing);
                    }
                }
            }
            NetworkEvent::Accepted { stream, room, .. } => {
                let writer = StreamWriter::new(stream, room);
                self.connections.insert(stream, writer);
            }
            NetworkEvent::ReadEnded { stream } => {
                if let Some(writer) = self.connections.get_mut(&stream) {
                    writer.end(&mut self.outbox);
                }
            }
            NetworkEvent::StreamClosed { stream, .. } => {
                self.connections.remove(&stream);
            }
            NetworkEvent::Listening { local, .. } => self.outbox.report(Ok(local)),
            NetworkEvent::ListenFailed { error, .. } => self.outbox.report(Err(error)),
            _ => {}
        }
    }
}

impl Task for Tcp {
    type App = Race;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Race>) {
        match input {
            Input::Network(event) => self.handle_event(event),
            Input::Started(_) => {
                self.outbox
                    .listen(TcpListen::new(Token(0), ANY).with_backlog(4_096));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Race>> {
        self.outbox.pop()
    }
}

/// Bytes of a socket's buffers, as all contestants have them.
const BUFFER_BYTES: u32 = socket::BUFFER_BYTES as u32;
const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
