//! Clients that say what they were told, and report what they heard.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::metrics::MetricsServer;
use stillpoint::{
    App, Buffer, Deadline, Input, NetworkError, NetworkEvent, Outbox, Output, Reading, Spawned,
    Spawner, StreamId, StreamWriter, Task, TcpConnect, Timestamp, Token, TransmitBuffer,
    WorkerStatus,
};

/// The application: a server of metrics, and clients that it deserves.
#[derive(Debug)]
pub(crate) struct Watched;

impl App for Watched {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

#[derive(Debug, Clone)]
pub(crate) enum Spawn {
    /// A server of the metrics of so many workers.
    Server { bind: SocketAddr, workers: u16 },
    /// A client that does this, one after the other.
    Client { server: SocketAddr, plan: Vec<Step> },
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Say(Vec<u8>),
    Wait(Duration),
    /// Reads no more, or again.
    Read(Reading),
    /// Ends its direction.
    End,
    /// Breaks the connection off.
    Reset,
}

#[derive(Debug)]
pub(crate) enum Report {
    Listening(Result<SocketAddr, NetworkError>),
    /// What a client heard until its connection was no more.
    Heard(Vec<u8>, Option<NetworkError>),
}

pub(crate) fn spawn(spawn: Spawn, spawner: Spawner<'_, Watched>) -> Spawned {
    match spawn {
        Spawn::Server { bind, workers } => {
            let statuses = move || statuses(workers);
            let report = |listening| Some(Report::Listening(listening));
            spawner.insert(MetricsServer::<Watched>::new(bind, statuses, report))
        }
        Spawn::Client { server, plan } => spawner.insert(Client {
            server,
            plan: plan.into(),
            writer: None,
            resume_at: None,
            heard: Vec::new(),
            outbox: Outbox::new(),
        }),
    }
}

/// What the server serves.
pub(crate) fn statuses(workers: u16) -> Vec<WorkerStatus> {
    let workers = 0..workers;
    workers
        .map(|worker| {
            let mut status = WorkerStatus::default();
            status.worker = worker;
            status
        })
        .collect()
}

pub(crate) struct Client {
    server: SocketAddr,
    plan: VecDeque<Step>,
    writer: Option<StreamWriter>,
    resume_at: Option<Timestamp>,
    heard: Vec<u8>,
    outbox: Outbox<Watched>,
}

impl Client {
    fn go_on(&mut self, now: Timestamp) {
        while self.resume_at.is_none()
            && let Some(writer) = &mut self.writer
            && let Some(step) = self.plan.pop_front()
        {
            let stream = writer.stream();
            match step {
                Step::Say(bytes) => writer.write(Buffer::copy_from(&bytes), &mut self.outbox),
                Step::Wait(duration) => self.resume_at = Some(now.after(duration)),
                Step::Read(reading) => self.outbox.set_reading(stream, reading),
                Step::End => writer.end(&mut self.outbox),
                Step::Reset => {
                    self.outbox.reset(stream);
                    self.finish(Some(NetworkError::ConnectionReset));
                }
            }
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::Connected { stream, room, .. } => {
                self.writer = Some(StreamWriter::new(stream, room));
                self.go_on(now);
            }
            NetworkEvent::ConnectFailed { error, .. } => self.finish(Some(error)),
            NetworkEvent::Received { data, .. } => self.heard.extend_from_slice(&data),
            NetworkEvent::Writable { room, .. } => {
                if let Some(writer) = &mut self.writer {
                    writer.handle_writable(room, &mut self.outbox);
                }
            }
            NetworkEvent::ReadEnded { .. } => {
                self.plan.clear();
                if let Some(writer) = &mut self.writer {
                    writer.end(&mut self.outbox);
                }
            }
            NetworkEvent::StreamClosed { error, .. } => self.finish(error),
            _ => {}
        }
    }

    fn finish(&mut self, error: Option<NetworkError>) {
        self.writer = None;
        self.resume_at = None;
        let heard = core::mem::take(&mut self.heard);
        self.outbox.report(Report::Heard(heard, error));
        self.outbox.finish();
    }

    pub(crate) fn stream(&self) -> Option<StreamId> {
        self.writer.as_ref().map(StreamWriter::stream)
    }
}

impl Task for Client {
    type App = Watched;

    fn handle_input(&mut self, now: Timestamp, input: Input<Watched>) {
        match input {
            Input::Network(event) => self.handle_event(now, event),
            Input::Started(_) => self.outbox.connect(TcpConnect::new(Token(0), self.server)),
            Input::Timeout => {
                self.resume_at = None;
                self.go_on(now);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Watched>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.resume_at
            .map(|at| Deadline::new(at, "next step of a client"))
    }
}
