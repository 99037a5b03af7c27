//! Everything around the workers: what they give out goes here.

use stillpoint::{
    App, BufferPool, BusItem, DATAGRAM_BYTES_MAX, End, Entity, Entropy, Membership, NetworkCommand,
    NetworkEvent, ResourceId, SocketId, SpawnError, TaskId, Timestamp, Transmit, TransmitBuffer,
    UdpOpen, WorkerInput, WorkerOutput, WorkerOutputs,
};

use crate::agenda::Agenda;
use crate::bus::{BusPath, Buses};
use crate::device::PacketFlight;
use crate::failure::Failure;
use crate::names::Names;
use crate::network::{Flight, MembershipChange, Network};
use crate::node::NodeId;
use crate::tcp::{Name, Segment, Tcp};
use crate::trace::{Place, Trace, TraceKind};

use super::desk::Desk;
use super::errors::Failing;
use super::forward::Notice;
use super::gate::Held;
use super::line::Lines;
use super::waits::Talks;

pub(super) struct Outside<A: App> {
    pub(super) now: Timestamp,
    pub(super) agenda: Agenda<Event<A>>,
    pub(super) network: Network,
    pub(super) names: Names,
    pub(super) held: Held,
    pub(super) lines: Lines,
    pub(super) tcp: Tcp,
    pub(super) buses: Buses<A>,
    /// By node.
    pub(super) desks: Vec<Desk<A>>,
    pub(super) trace: Trace,
    pub(super) reports: Vec<Reported<A>>,
    pub(super) reports_made: u64,
    pub(super) ended: Vec<Ended>,
    pub(super) spawn_failures: Vec<SpawnFailure>,
    pub(super) tolerant: bool,
    /// What systems refuse. `None` as long as no fault has asked for any of it.
    pub(super) failing: Option<Box<Failing>>,
    /// Whether a new worker is being told of the others, which is no event.
    pub(super) introducing: bool,
    pub(super) failed: Option<Failure>,
    /// When a fault last ceased to act.
    pub(super) disturbed_at: Timestamp,
    pub(super) talks: Talks,
    pub(super) buffers: BufferPool,
    /// Boxes to be used again, so that a flight allocates nothing.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    pub(super) spare: Vec<Box<Flight>>,
    /// What is lent to tasks to write a datagram into.
    /// It grows with what they write.
    pub(super) lent: Vec<u8>,
}

/// What waits in the agenda. Small, as it is moved for each: what is rare is in a box.
pub(super) enum Event<A: App> {
    Input {
        worker: u32,
        input: Box<WorkerInput<A>>,
    },
    /// From the controller, for a worker that takes it when it can.
    Control {
        worker: u32,
        input: Box<WorkerInput<A>>,
    },
    /// What has come from the controller may be given.
    ControlTurn {
        worker: u32,
    },
    /// Taken from, and given back to, [`Outside::spare`].
    Flight(Box<Flight>),
    Packet(Box<PacketFlight>),
    Segment(Box<Segment>),
    /// An error on its way back through gateways.
    Notice(Box<Notice>),
    /// The task of a listener is told that it is open.
    Listening {
        slot: u32,
    },
    /// An end of a connection tells what it has kept back.
    Retell {
        slot: u32,
        name: Box<Name>,
    },
    /// The next in a queue between workers has arrived.
    Bus(BusPath),
    /// What has arrived there may be handed in.
    BusTurn(BusPath),
    /// There is room in the queue.
    BusRoom(BusPath),
    /// A link has sent what it was sending, and more waits.
    LinkFree {
        from: u32,
        to: u32,
    },
    /// An end of a connection is told that its segments are too long for the way.
    SegmentTooBig(Box<(Name, usize)>),
    /// What waits in front of a clogged link may go on.
    Release {
        from: u32,
        to: u32,
    },
}

/// What a task has reported.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reported<A: App> {
    /// When.
    pub at: Timestamp,
    /// From which node.
    pub node: NodeId,
    /// From which task.
    pub task: TaskId,
    /// What.
    pub report: A::Report,
    /// Counts the reports of the world.
    pub(super) number: u64,
}

/// A task that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Since when.
    pub at: Timestamp,
    /// Where it was.
    pub node: NodeId,
    /// Which.
    pub task: TaskId,
    /// Why.
    pub end: End,
}

/// A task that could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpawnFailure {
    /// When it was to be made.
    pub at: Timestamp,
    /// Where.
    pub node: NodeId,
    /// On which worker.
    pub worker: u16,
    /// The task that asked for it, if a task did.
    pub parent: Option<TaskId>,
    /// Why not.
    pub error: SpawnError,
}

impl<A: App> Outside<A> {
    pub(super) fn new(entropy: &Entropy, steady: bool, buffers: BufferPool) -> Self {
        Self {
            now: Timestamp::EPOCH,
            agenda: Agenda::new(entropy),
            network: Network::new(entropy, steady),
            names: Names::default(),
            held: Held::default(),
            lines: Lines::default(),
            tcp: Tcp::new(entropy),
            buses: Buses::new(entropy),
            desks: Vec::new(),
            trace: Trace::new(),
            reports: Vec::new(),
            reports_made: 0,
            ended: Vec::new(),
            spawn_failures: Vec::new(),
            tolerant: false,
            failing: None,
            introducing: false,
            failed: None,
            disturbed_at: Timestamp::EPOCH,
            talks: Talks::default(),
            buffers,
            spare: Vec::new(),
            lent: Vec::new(),
        }
    }

    /// The number of a worker among all workers, if there ever was such a worker.
    pub(super) fn seat(&self, node: u32, worker: u16) -> Option<u32> {
        let seats = &self.desks[node as usize].seats;
        seats.get(usize::from(worker)).copied()
    }

    /// A fault has just acted: properties are to hold again.
    pub(super) const fn disturbed(&mut self) {
        self.disturbed_until(self.now);
    }

    /// The same, of one that acts until then.
    pub(super) const fn disturbed_until(&mut self, until: Timestamp) {
        if until.as_nanos() > self.disturbed_at.as_nanos() {
            self.disturbed_at = until;
        }
    }

    /// Notes a failure. The first one counts.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.trace.note_failure();
        self.failed.get_or_insert(failure);
    }
}

/// Takes what one worker gives out for one input.
pub(super) struct Sink<'a, A: App> {
    pub(super) outside: &'a mut Outside<A>,
    pub(super) place: Place,
    /// Number of the worker among all workers.
    pub(super) worker: u32,
}

impl<A: App> WorkerOutputs<A> for Sink<'_, A> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::growing(&mut self.outside.lent, DATAGRAM_BYTES_MAX)
    }

    #[inline(always)]
    fn transmit(&mut self, transmit: &mut Transmit) {
        self.send(transmit);
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        let place = self.place;
        match output {
            WorkerOutput::Network(command) => self.network(command),
            WorkerOutput::Report { task, report } => self.report(task, report),
            WorkerOutput::Started { task, parent } => {
                let word = parent.map_or(0, |parent| parent.to_words()[1]);
                self.outside
                    .trace
                    .task(place, TraceKind::Started, task, word);
                self.tell_controller(|| WorkerOutput::Started { task, parent });
            }
            WorkerOutput::SpawnFailed { parent, error } => {
                self.tell_controller(|| WorkerOutput::SpawnFailed {
                    parent,
                    error: error.clone(),
                });
                self.spawn_failed(parent, error);
            }
            WorkerOutput::Ended { task, end } => {
                self.tell_controller(|| WorkerOutput::Ended {
                    task,
                    end: end.clone(),
                });
                self.ended(task, end);
            }
            WorkerOutput::Stale(stale) => {
                self.outside
                    .trace
                    .task(place, TraceKind::Stale, stale.task, 0);
                self.tell_controller(|| WorkerOutput::Stale(stale));
            }
            WorkerOutput::Untold { task, event } => {
                let text = self.outside.trace.text(&event);
                self.outside
                    .trace
                    .task(place, TraceKind::Untold, task, text);
                self.tell_controller(|| WorkerOutput::Untold { task, event });
            }
            WorkerOutput::Control(output) => self.answer_controller(output),
            unknown => {
                panic!("the simulator is older than the worker: it does not know {unknown:?}")
            }
        }
    }

    fn bus_room(&mut self, worker: u16) -> usize {
        self.outside.buses.room(self.path(worker))
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<A::Channel, A::Message>) {
        self.carry_item(worker, item);
    }

    fn want_bus_room(&mut self, worker: u16) {
        self.want_room(worker);
    }
}

impl<A: App> Sink<'_, A> {
    fn network(&mut self, command: NetworkCommand) {
        match command {
            NetworkCommand::Transmit(mut transmit) => self.send(&mut transmit),
            NetworkCommand::OpenUdp { socket, open } => self.open(socket, &open),
            NetworkCommand::JoinGroup(membership) => {
                self.change_group(membership, MembershipChange::Join);
            }
            NetworkCommand::LeaveGroup(membership) => {
                self.change_group(membership, MembershipChange::Leave);
            }
            NetworkCommand::Close(id) => {
                self.outside
                    .trace
                    .resource(self.place, TraceKind::Close, id, [0; 3]);
                match id {
                    ResourceId::Socket(socket) => {
                        let network = &mut self.outside.network;
                        network.close(self.place.node, self.worker, socket);
                    }
                    ResourceId::Device(device) => {
                        self.outside.network.devices.close(self.worker, device);
                    }
                    ResourceId::Listener(listener) => self.close_listener(listener),
                    ResourceId::Stream(stream) => self.close_stream(stream),
                    unknown => {
                        panic!("the simulator is older than the worker: what is {unknown:?}?")
                    }
                }
            }
            NetworkCommand::OpenDevice { device, open } => self.open_device(device, &open),
            NetworkCommand::Packet(packet) => self.give_packet(packet),
            NetworkCommand::Listen { listener, listen } => self.listen(listener, &listen),
            NetworkCommand::Connect { stream, connect } => self.connect(stream, &connect),
            NetworkCommand::Write(write) => self.write(write),
            NetworkCommand::Accept { incoming, stream } => self.accept(incoming, stream),
            NetworkCommand::Refuse(incoming) => self.refuse_incoming(incoming),
            NetworkCommand::EndWrite(stream) => self.end_write(stream),
            NetworkCommand::SetReading { stream, reading } => self.set_reading(stream, reading),
            NetworkCommand::Reset(stream) => self.reset_stream(stream),
            unknown => {
                panic!("the simulator is older than the worker: it does not know {unknown:?}")
            }
        }
    }

    /// Opens a socket. The answer is an event of its own, at the same instant.
    fn open(&mut self, socket: SocketId, open: &UdpOpen) {
        let text = self.outside.trace.open_text(open);
        self.outside
            .trace
            .resource(self.place, TraceKind::Open, socket, [text, 0, 0]);
        let (token, bind) = (open.token, open.bind);
        let opened = self.refused().and_then(|()| {
            let network = &mut self.outside.network;
            network.open(self.place.node, self.worker, socket, open)
        });
        self.answer(match opened {
            Ok((local, buffers)) => NetworkEvent::UdpOpened {
                socket,
                token,
                local,
                buffers,
            },
            Err(error) => NetworkEvent::UdpOpenFailed {
                socket,
                token,
                bind,
                error,
            },
        });
    }

    /// Makes a socket a member of a group, or ends that. The answer is an event of its own, at the
    /// same instant.
    fn change_group(&mut self, membership: Membership, change: MembershipChange) {
        let text = self.outside.trace.text(&(change, membership));
        let (place, socket) = (self.place, membership.socket);
        let trace = &mut self.outside.trace;
        trace.resource(place, TraceKind::Group, socket, [text, 0, 0]);
        let network = &mut self.outside.network;
        let changed = network.change_group(place.node, self.worker, &membership, change);
        let Some(changed) = changed else {
            return; // Its opening failed, and its task is about to be told.
        };
        self.answer(match (changed, change) {
            (Ok(()), MembershipChange::Join) => NetworkEvent::GroupJoined(membership),
            (Ok(()), MembershipChange::Leave) => NetworkEvent::GroupLeft(membership),
            (Err(error), _) => NetworkEvent::GroupFailed { membership, error },
        });
    }

    /// Tells the worker something, at the same instant.
    pub(super) fn answer(&mut self, event: NetworkEvent) {
        let node = self.outside.network.entities[self.place.node as usize];
        let channel = controls(node, self.place.worker);
        let event = Event::Input {
            worker: self.worker,
            input: Box::new(WorkerInput::Network(event)),
        };
        let agenda = &mut self.outside.agenda;
        agenda.push_in_time(self.place.at, channel, event);
    }

    /// A payload as a buffer.
    #[inline(always)]
    pub(super) fn owned(&self, payload: stillpoint::Payload) -> stillpoint::Buffer {
        match payload.into_buffer() {
            Ok(buffer) => buffer,
            Err(len) => self.written(len),
        }
    }

    /// What a task has written into lent memory.
    #[inline(never)]
    pub(super) fn written(&self, len: usize) -> stillpoint::Buffer {
        let written = self.outside.lent.get(..len).unwrap_or_default();
        self.outside.buffers.copy_from(written)
    }

    pub(super) fn spawn_failed(&mut self, parent: Option<TaskId>, error: SpawnError) {
        let text = self.outside.trace.text(&error);
        self.outside
            .trace
            .push(self.place, TraceKind::SpawnFailed, 0, [text, 0, 0]);
        self.task_failed(None, || format!("could not be made: {error}"));
        self.outside.spawn_failures.push(SpawnFailure {
            at: self.place.at,
            node: NodeId::new(self.place.node),
            worker: self.place.worker,
            parent,
            error,
        });
    }

    fn ended(&mut self, task: TaskId, end: End) {
        let text = self.outside.trace.text(&end);
        self.outside
            .trace
            .task(self.place, TraceKind::Ended, task, text);
        if end.is_failure() {
            self.task_failed(Some(task), || end.to_string());
        }
        self.outside.ended.push(Ended {
            at: self.place.at,
            node: NodeId::new(self.place.node),
            task,
            end,
        });
    }

    fn task_failed(&mut self, task: Option<TaskId>, reason: impl FnOnce() -> String) {
        if !self.outside.tolerant {
            let host = &self.outside.network.hosts[self.place.node as usize];
            self.outside.fail(Failure::TaskFailed {
                at: self.place.at,
                node: host.name.to_string(),
                worker: self.place.worker,
                task,
                reason: reason(),
            });
        }
    }
}

/// The channel through which a worker is told what does not come over a link.
pub(super) fn controls(node: Entity, worker: u16) -> Entity {
    const CONTROLS: u64 = 1;
    node.part(u64::from(worker)).part(CONTROLS)
}
