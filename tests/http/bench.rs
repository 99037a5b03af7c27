//! A worker with a server of HTTP, driven by hand: the clients, the wire and the clock are ours.

use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use stillpoint::http::{HttpConfig, HttpCounters, HttpServer, StatusCode, text};
use stillpoint::{
    Buffer, BufferPool, Entropy, IncomingId, ListenerId, NetworkCommand, NetworkError,
    NetworkEvent, Outbox, Reading, ResourceId, Spawner, StreamId, TaskId, Timestamp,
    TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

use super::site::{Desk, Site, Web};

pub(crate) struct Bench {
    worker: Worker<Web>,
    wire: Wire,
    pub(crate) desk: Rc<RefCell<Desk>>,
    pub(crate) buffers: BufferPool,
    pub(crate) now: Timestamp,
    incoming: u64,
}

/// What the worker gives out, and what has become of it.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) clients: BTreeMap<StreamId, Client>,
    accepted: Option<StreamId>,
    listener: Option<ListenerId>,
    pub(crate) is_listening: bool,
    site: Option<TaskId>,
    pub(crate) reports: Vec<String>,
    pub(crate) ends: Vec<String>,
    /// Streams that are to be told closed.
    closed: VecDeque<StreamId>,
    lent: [u8; 0],
}

/// One client, as the wire sees it.
#[derive(Debug)]
pub(crate) struct Client {
    /// What may still be written to it.
    pub(crate) room: usize,
    pub(crate) heard: Vec<u8>,
    pub(crate) writes: Vec<Buffer>,
    pub(crate) reading: Reading,
    pub(crate) ends: usize,
    has_ended: bool,
    pub(crate) fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Both directions have ended.
    Ended,
    Closed,
    Reset,
}

impl WorkerOutputs<Web> for Wire {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut self.lent)
    }

    fn push(&mut self, output: WorkerOutput<Web>) {
        match output {
            WorkerOutput::Network(command) => self.command(command),
            WorkerOutput::Report { report, .. } => self.reports.push(report),
            WorkerOutput::Started { task, .. } => self.site = Some(task),
            WorkerOutput::Ended { end, .. } => self.ends.push(end.to_string()),
            other => panic!("nobody expected {other:?}"),
        }
    }
}

impl Wire {
    fn client(&mut self, stream: StreamId) -> &mut Client {
        let client = self.clients.get_mut(&stream).expect("a stream of its own");
        assert_eq!(client.fate, Fate::Open, "{stream}");
        client
    }

    fn command(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::OpenUdp { .. } => {}
            NetworkCommand::Listen { listener, .. } => {
                (self.listener, self.is_listening) = (Some(listener), true);
            }
            NetworkCommand::Accept { stream, .. } => self.accepted = Some(stream),
            NetworkCommand::Write(write) => {
                let client = self.client(write.stream);
                let data = write.payload.into_buffer().expect("a buffer");
                let is_wanted = !data.is_empty() && data.len() <= client.room;
                assert!(is_wanted && client.ends == 0, "not asked to write");
                client.room -= data.len();
                client.heard.extend_from_slice(&data);
                client.writes.push(data);
            }
            NetworkCommand::EndWrite(stream) => {
                let client = self.client(stream);
                client.ends += 1;
                if client.has_ended {
                    client.fate = Fate::Ended;
                    self.closed.push_back(stream);
                }
            }
            NetworkCommand::SetReading { stream, reading } => {
                let client = self.client(stream);
                assert_ne!(client.reading, reading, "said twice");
                client.reading = reading;
            }
            NetworkCommand::Reset(stream) => self.client(stream).fate = Fate::Reset,
            NetworkCommand::Close(ResourceId::Stream(stream)) => {
                self.client(stream).fate = Fate::Closed;
                self.closed.push_back(stream);
            }
            NetworkCommand::Close(ResourceId::Listener(_)) => self.is_listening = false,
            NetworkCommand::Close(ResourceId::Socket(_)) => {}
            other => panic!("nobody expected {other:?}"),
        }
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(HttpConfig::new())
    }

    /// A server like this, which listens.
    pub(crate) fn with(config: HttpConfig) -> Self {
        let desk = Rc::new(RefCell::new(Desk {
            http: HttpServer::new(config),
            held: VecDeque::new(),
            answered: Vec::new(),
            long: Buffer::copy_from(&[b'l'; 5_000]),
        }));
        let shared = Rc::clone(&desk);
        let spawn = move |bind, spawner: Spawner<'_, Web>| {
            spawner.insert(Site {
                bind,
                desk: Rc::clone(&shared),
                outbox: Outbox::new(),
            })
        };
        let limits = WorkerConfig::new(0, Entropy::from_seed(1));
        let mut bench = Self {
            buffers: limits.buffers.clone(),
            worker: Worker::new(limits, spawn),
            wire: Wire::default(),
            desk,
            now: Timestamp::EPOCH,
            incoming: 0,
        };
        bench.input(WorkerInput::Spawn(address(1)));
        let token = config.token;
        bench.tell(NetworkEvent::Listening {
            listener: bench.wire.listener.expect("it listens"),
            token,
            local: address(1),
        });
        bench
    }

    fn input(&mut self, input: WorkerInput<Web>) {
        self.worker.handle_input(self.now, input, &mut self.wire);
        while let Some(stream) = self.wire.closed.pop_front() {
            self.tell_closed(stream, None);
        }
        let due = self.worker.poll_timeout();
        let is_later = due.is_none_or(|due| due.at > self.now || due.reason == "shutdown");
        assert!(is_later, "spins: {due:?}");
    }

    pub(crate) fn tell(&mut self, event: NetworkEvent) {
        self.input(WorkerInput::Network(event));
    }

    fn tell_closed(&mut self, stream: StreamId, error: Option<NetworkError>) {
        let peer = address(2);
        self.tell(NetworkEvent::StreamClosed {
            stream,
            peer,
            error,
        });
    }

    pub(crate) fn connect(&mut self) -> StreamId {
        self.connect_with_room(1 << 20)
    }

    /// A client to which so much can be written.
    pub(crate) fn connect_with_room(&mut self, room: usize) -> StreamId {
        self.incoming += 1;
        let client = Client {
            room,
            heard: Vec::new(),
            writes: Vec::new(),
            reading: Reading::Flowing,
            ends: 0,
            has_ended: false,
            fate: Fate::Open,
        };
        // The id is told before anything is written.
        let event = NetworkEvent::Incoming {
            listener: self.wire.listener.expect("it listens"),
            incoming: IncomingId(self.incoming),
            peer: address(2),
            local: address(1),
            room,
        };
        self.wire.accepted = None;
        let mut arriving = Arriving {
            wire: &mut self.wire,
            client: Some(client),
        };
        let input = WorkerInput::Network(event);
        self.worker.handle_input(self.now, input, &mut arriving);
        self.input(WorkerInput::Timeout);
        self.wire.accepted.expect("taken in")
    }

    /// The client says this.
    pub(crate) fn say(&mut self, stream: StreamId, bytes: impl AsRef<[u8]>) {
        let client = self.client(stream);
        assert_eq!(
            (client.reading, client.fate),
            (Reading::Flowing, Fate::Open)
        );
        let data = self.buffers.copy_from(bytes.as_ref());
        self.tell(NetworkEvent::Received { stream, data });
    }

    /// The client says no more.
    pub(crate) fn end(&mut self, stream: StreamId) {
        let client = self.wire.client(stream);
        client.has_ended = true;
        if client.ends > 0 {
            client.fate = Fate::Ended;
            self.tell(NetworkEvent::ReadEnded { stream });
            return self.tell_closed(stream, None);
        }
        self.tell(NetworkEvent::ReadEnded { stream });
    }

    /// The client breaks off.
    pub(crate) fn vanish(&mut self, stream: StreamId) {
        self.wire.client(stream).fate = Fate::Reset;
        self.tell_closed(stream, Some(NetworkError::ConnectionReset));
    }

    pub(crate) fn make_room(&mut self, stream: StreamId, room: usize) {
        self.wire.client(stream).room = room;
        self.tell(NetworkEvent::Writable { stream, room });
    }

    /// The task gives the answer that it has owed for longest.
    pub(crate) fn answer(&mut self, said: &str) {
        self.answer_with(StatusCode::OK, said);
    }

    pub(crate) fn answer_with(&mut self, status: StatusCode, said: &str) {
        let task = self.wire.site.expect("it lives");
        let command = text(status, said);
        self.input(WorkerInput::Command { task, command });
    }

    pub(crate) fn shut_down(&mut self) {
        self.input(WorkerInput::Shutdown);
        self.input(WorkerInput::Timeout);
    }

    /// Time goes by, and whatever is due meanwhile is done when it is.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while let Some(due) = self.worker.poll_timeout()
            && due.at <= until
        {
            self.now = due.at;
            self.input(WorkerInput::Timeout);
        }
        self.now = until;
    }

    /// Lets go of the memory that answers came in.
    pub(crate) fn forget_writes(&mut self) {
        for client in self.wire.clients.values_mut() {
            client.writes.clear();
        }
    }

    pub(crate) fn client(&self, stream: StreamId) -> &Client {
        &self.wire.clients[&stream]
    }

    pub(crate) const fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(crate) fn counters(&self) -> HttpCounters {
        self.desk.borrow().http.counters()
    }

    pub(crate) fn connections(&self) -> usize {
        self.desk.borrow().http.connections()
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.desk.borrow().http.exchanges()
    }

    /// What the client was answered: status and body of each.
    pub(crate) fn answers(&self, stream: StreamId) -> Vec<(u16, String)> {
        answers(&self.client(stream).heard)
    }

    /// The same, without the bodies.
    pub(crate) fn statuses(&self, stream: StreamId) -> Vec<u16> {
        let answers = self.answers(stream).into_iter();
        answers.map(|(status, _)| status).collect()
    }
}

/// The wire while a connection is taken in: the first that is heard of it is its id.
struct Arriving<'a> {
    wire: &'a mut Wire,
    client: Option<Client>,
}

impl WorkerOutputs<Web> for Arriving<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.wire.lend()
    }

    fn push(&mut self, output: WorkerOutput<Web>) {
        if let WorkerOutput::Network(NetworkCommand::Accept { stream, .. }) = output {
            let client = self.client.take().expect("taken in once");
            self.wire.clients.insert(stream, client);
        }
        self.wire.push(output);
    }
}

/// Answers, which have to be whole and well-formed, to requests that are not for heads.
pub(crate) fn answers(heard: &[u8]) -> Vec<(u16, String)> {
    let mut rest = core::str::from_utf8(heard).expect("it is text");
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_once("\r\n\r\n").expect("a whole head");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a version");
        let status = status[..3].parse().expect("a status");
        let mut lines = head.lines().skip(1);
        let len = lines.find_map(|line| line.strip_prefix("Content-Length: "));
        let len = len.map_or(0, |len| len.parse().expect("a length"));
        let (body, next) = behind.split_at(len);
        answers.push((status, body.to_owned()));
        rest = next;
    }
    answers
}
