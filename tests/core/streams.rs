//! Laws 4 and 5 for listeners, streams and devices: whose they are, and what becomes of them.

use core::fmt;
use core::net::SocketAddr;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use stillpoint::{
    App, Buffer, Deadline, DeviceError, DeviceId, DeviceOpen, End, Entropy, IncomingId, Input,
    ListenerId, NetworkCommand, NetworkError, NetworkEvent, Outbox, Output, Packet, PacketTransmit,
    Reading, ResourceId, Spawner, StreamId, StreamWrite, Task, TaskId, TcpConnect, TcpListen,
    Timestamp, Token, TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput,
    WorkerOutputs,
};

#[derive(Debug)]
struct Hand;

impl App for Hand {
    type Channel = ();
    type Message = ();
    type Command = Do;
    type Report = NetworkEvent;
    type Spawn = ();
}

/// What a task is to do.
struct Do(Act);

type Act = Box<dyn FnOnce(&mut Outbox<Hand>) + Send>;

impl fmt::Debug for Do {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Do")
    }
}

/// Does what it is told, and reports each event.
struct Obedient(Outbox<Hand>);

impl Task for Obedient {
    type App = Hand;

    fn handle_input(&mut self, _: Timestamp, input: Input<Hand>) {
        match input {
            Input::Command(Do(act)) => act(&mut self.0),
            Input::Network(event) => {
                if let NetworkEvent::Accepted { stream, .. } = event {
                    self.0.write(stream, Buffer::copy_from(b"welcome"));
                }
                self.0.report(event);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Hand>> {
        self.0.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A worker, and what it gave out.
struct Shop {
    worker: Worker<Hand>,
    out: Out,
}

#[derive(Default)]
struct Out {
    tasks: Vec<TaskId>,
    commands: Vec<NetworkCommand>,
    heard: Vec<(TaskId, NetworkEvent)>,
    ends: Vec<End>,
    lent: [u8; 0],
}

impl WorkerOutputs<Hand> for Out {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut self.lent)
    }

    fn push(&mut self, output: WorkerOutput<Hand>) {
        match output {
            WorkerOutput::Network(command) => self.commands.push(command),
            WorkerOutput::Report { task, report } => self.heard.push((task, report)),
            WorkerOutput::Started { task, .. } => self.tasks.push(task),
            WorkerOutput::Ended { end, .. } => self.ends.push(end),
            other => panic!("nobody expected {other:?}"),
        }
    }
}

impl Shop {
    fn new(resources_max: usize) -> Self {
        let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
        config.resources_max = resources_max;
        let spawn = |(), spawner: Spawner<'_, Hand>| spawner.insert(Obedient(Outbox::new()));
        Self {
            worker: Worker::new(config, spawn),
            out: Out::default(),
        }
    }

    fn input(&mut self, input: WorkerInput<Hand>) {
        self.worker
            .handle_input(Timestamp::EPOCH, input, &mut self.out);
    }

    fn task(&mut self) -> TaskId {
        self.input(WorkerInput::Spawn(()));
        self.out.tasks[self.out.tasks.len() - 1]
    }

    /// The commands that come of what a task does.
    fn act(
        &mut self,
        task: TaskId,
        act: impl FnOnce(&mut Outbox<Hand>) + Send + 'static,
    ) -> Vec<NetworkCommand> {
        let command = Do(Box::new(act));
        self.input(WorkerInput::Command { task, command });
        core::mem::take(&mut self.out.commands)
    }

    /// The commands that come of an event.
    fn tell(&mut self, event: NetworkEvent) -> Vec<NetworkCommand> {
        self.input(WorkerInput::Network(event));
        core::mem::take(&mut self.out.commands)
    }

    /// What tasks have heard, also of their mistakes.
    fn heard(&mut self) -> Vec<(TaskId, NetworkEvent)> {
        self.input(WorkerInput::Timeout);
        core::mem::take(&mut self.out.heard)
    }

    fn listener(&mut self, task: TaskId) -> ListenerId {
        let commands = self.act(task, |outbox| {
            outbox.listen(TcpListen::new(Token(1), here()));
        });
        let [NetworkCommand::Listen { listener, .. }] = commands[..] else {
            panic!("no listener, but {commands:?}");
        };
        listener
    }

    fn stream(&mut self, task: TaskId) -> StreamId {
        let commands = self.act(task, |outbox| {
            outbox.connect(TcpConnect::new(Token(2), here()));
        });
        let [NetworkCommand::Connect { stream, .. }] = commands[..] else {
            panic!("no stream, but {commands:?}");
        };
        stream
    }

    fn device(&mut self, task: TaskId) -> DeviceId {
        let commands = self.act(task, |outbox| {
            outbox.open_device(DeviceOpen::tun(Token(3)));
        });
        let [NetworkCommand::OpenDevice { device, .. }] = commands[..] else {
            panic!("no device, but {commands:?}");
        };
        device
    }
}

fn here() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 80))
}

fn incoming(listener: ListenerId, number: u64) -> NetworkEvent {
    NetworkEvent::Incoming {
        listener,
        incoming: IncomingId(number),
        peer: here(),
        local: here(),
        room: 100,
    }
}

fn stream_closed(stream: StreamId) -> NetworkEvent {
    NetworkEvent::StreamClosed {
        stream,
        peer: here(),
        error: None,
    }
}

fn received(stream: StreamId) -> NetworkEvent {
    NetworkEvent::Received {
        stream,
        data: Buffer::copy_from(b"bytes"),
    }
}

/// All that can be done with a stream, a listener and a device.
fn uses(stream: StreamId, listener: ListenerId, device: DeviceId) -> Vec<Output<Hand>> {
    let bytes = || Buffer::copy_from(b"bytes");
    vec![
        Output::Write(StreamWrite::new(stream, bytes())),
        Output::EndWrite(stream),
        Output::SetReading {
            stream,
            reading: Reading::Paused,
        },
        Output::Reset(stream),
        Output::Close(stream.into()),
        Output::Close(listener.into()),
        Output::Packet(PacketTransmit::new(device, bytes())),
        Output::Close(device.into()),
    ]
}

/// Which ids a task has heard to be stale, and how often.
fn stale(heard: &[(TaskId, NetworkEvent)], task: TaskId) -> Vec<(ResourceId, u32)> {
    let stale = heard.iter().filter_map(|(by, event)| match event {
        NetworkEvent::Stale { id, outputs } if *by == task => Some((*id, *outputs)),
        _ => None,
    });
    stale.collect()
}

#[test]
fn law_4_streams_listeners_and_devices_of_another_task_cannot_be_used() {
    let mut shop = Shop::new(100);
    let (owner, thief) = (shop.task(), shop.task());
    let (stream, listener, device) = (shop.stream(owner), shop.listener(owner), shop.device(owner));
    for output in uses(stream, listener, device) {
        let text = format!("{output:?}");
        let commands = shop.act(thief, move |outbox| outbox.push(output));
        assert_eq!(commands, [], "{text} of another's went out");
        let heard = shop.heard();
        assert_eq!(stale(&heard, thief).len(), 1, "{text}: {heard:?}");
    }
    assert_eq!(shop.worker.resources(), 3);
    for output in uses(stream, listener, device) {
        let text = format!("{output:?}");
        // The last use of the stream but one has made it stale.
        let expected = usize::from(text != format!("{:?}", Output::<Hand>::Close(stream.into())));
        let commands = shop.act(owner, move |outbox| outbox.push(output));
        assert_eq!(commands.len(), expected, "{text}: {commands:?}");
    }
    assert_eq!(shop.worker.resources(), 0);
}

#[test]
fn law_4_a_connection_is_taken_in_for_the_task_of_its_listener_before_the_task_writes_to_it() {
    let mut shop = Shop::new(100);
    let owner = shop.task();
    let listener = shop.listener(owner);
    let commands = shop.tell(incoming(listener, 7));
    let heard = shop.heard();
    let [(by, NetworkEvent::Accepted { stream, room, .. })] = &heard[..] else {
        panic!("not accepted: {heard:?}");
    };
    assert_eq!((*by, *room), (owner, 100));
    assert_eq!(
        commands,
        [
            NetworkCommand::Accept {
                incoming: IncomingId(7),
                stream: *stream
            },
            NetworkCommand::Write(StreamWrite::new(*stream, Buffer::copy_from(b"welcome"))),
        ]
    );
    assert_eq!(shop.worker.owner(*stream), Some(owner));
}

#[test]
fn law_5_a_connection_for_which_there_is_no_room_is_refused_and_its_task_is_told() {
    let mut shop = Shop::new(2);
    let owner = shop.task();
    let listener = shop.listener(owner);
    shop.tell(incoming(listener, 7));
    assert_eq!(
        shop.tell(incoming(listener, 8)),
        [NetworkCommand::Refuse(IncomingId(8))]
    );
    let heard = shop.heard();
    let failed = NetworkEvent::AcceptFailed {
        listener,
        error: NetworkError::TooManySockets,
    };
    assert_eq!(heard.last(), Some(&(owner, failed)));
}

#[test]
fn law_4_a_connection_that_crosses_with_the_close_of_its_listener_is_refused() {
    let mut shop = Shop::new(100);
    let owner = shop.task();
    let listener = shop.listener(owner);
    shop.act(owner, move |outbox| outbox.close(listener));
    assert_eq!(
        shop.tell(incoming(listener, 7)),
        [NetworkCommand::Refuse(IncomingId(7))]
    );
    assert_eq!(shop.heard(), []);
    assert_eq!(shop.worker.resources(), 0);
}

#[test]
fn law_4_the_last_word_about_an_id_makes_it_stale() {
    let mut shop = Shop::new(100);
    let owner = shop.task();
    let (stream, listener, device) = (shop.stream(owner), shop.listener(owner), shop.device(owner));
    let refused = shop.stream(owner);
    for last in [
        stream_closed(stream),
        NetworkEvent::ConnectFailed {
            stream: refused,
            token: Token(2),
            peer: here(),
            error: NetworkError::ConnectionRefused,
        },
        NetworkEvent::ListenFailed {
            listener,
            token: Token(1),
            bind: here(),
            error: NetworkError::AddressInUse,
        },
        NetworkEvent::DeviceClosed {
            device,
            error: DeviceError::Gone,
        },
    ] {
        shop.tell(last.clone());
        assert_eq!(shop.heard(), [(owner, last)]);
    }
    assert_eq!(shop.worker.resources(), 0);
    for id in [
        ResourceId::from(stream),
        refused.into(),
        listener.into(),
        device.into(),
    ] {
        assert_eq!(shop.act(owner, move |outbox| outbox.close(id)), []);
        let heard = shop.heard();
        assert_eq!(stale(&heard, owner), [(id, 1)]);
    }
    for late in [
        received(stream),
        NetworkEvent::Packet {
            device,
            packet: Packet::new(Buffer::copy_from(b"late")),
        },
    ] {
        shop.tell(late);
        assert_eq!(shop.heard(), [], "nobody is there to hear it");
    }
}

#[test]
fn law_4_a_closed_stream_keeps_its_place_until_the_driver_has_let_go_of_it() {
    let mut shop = Shop::new(1);
    let owner = shop.task();
    let stream = shop.stream(owner);
    let commands = shop.act(owner, move |outbox| outbox.close(stream));
    assert_eq!(commands, [NetworkCommand::Close(stream.into())]);
    assert_eq!(shop.worker.resources(), 1);
    shop.tell(received(stream));
    assert_eq!(shop.heard(), [], "its task does not want it any more");
    let commands = shop.act(owner, |outbox| {
        outbox.connect(TcpConnect::new(Token(2), here()));
    });
    assert_eq!(commands, [], "there is no place yet");
    shop.tell(stream_closed(stream));
    assert_eq!(shop.worker.resources(), 0);
    let next = shop.stream(owner);
    assert_ne!(next, stream);
}

#[test]
fn law_4_what_a_task_leaves_behind_is_closed_or_broken_off_as_it_ended() {
    for (end, finished) in [(End::Finished, true), (panicked(), false)] {
        let mut shop = Shop::new(100);
        let owner = shop.task();
        let (listener, device) = (shop.listener(owner), shop.device(owner));
        let stream = shop.stream(owner);
        let commands = shop.act(owner, move |outbox| {
            outbox.finish();
            if !finished {
                std::panic::resume_unwind(Box::new("as it was told"));
            }
        });
        let of_stream = if finished {
            NetworkCommand::Close(stream.into())
        } else {
            NetworkCommand::Reset(stream)
        };
        assert_eq!(
            commands,
            [
                NetworkCommand::Close(listener.into()),
                NetworkCommand::Close(device.into()),
                of_stream
            ]
        );
        assert_eq!(shop.out.ends, [end]);
        assert_eq!(shop.worker.resources(), usize::from(finished));
    }
}

#[test]
fn law_4_a_worker_has_stopped_only_when_its_last_stream_is_gone() {
    let mut shop = Shop::new(100);
    let owner = shop.task();
    let stream = shop.stream(owner);
    shop.act(owner, Outbox::finish);
    shop.input(WorkerInput::Shutdown);
    shop.input(WorkerInput::Timeout);
    assert!(!shop.worker.is_stopped(), "its last words are on their way");
    shop.tell(stream_closed(stream));
    assert!(shop.worker.is_stopped());
}

#[test]
fn law_5_a_stream_or_device_beyond_the_limit_is_told_to_have_failed() {
    let mut shop = Shop::new(0);
    let owner = shop.task();
    let commands = shop.act(owner, |outbox| {
        outbox.connect(TcpConnect::new(Token(2), here()));
        outbox.listen(TcpListen::new(Token(1), here()));
        outbox.open_device(DeviceOpen::tun(Token(3)));
    });
    assert_eq!(commands, []);
    let heard = shop.heard();
    let tokens: Vec<Option<Token>> = heard.iter().map(|(_, event)| event.token()).collect();
    assert_eq!(tokens, [Some(Token(2)), Some(Token(1)), Some(Token(3))]);
    assert!(heard.iter().all(|(_, event)| event.is_last()));
}

fn panicked() -> End {
    End::Panicked {
        message: "as it was told".to_owned(),
    }
}

/// A step of a random script. Things are meant by their number, modulo how many there were.
#[derive(Debug, Clone, Copy)]
enum Step {
    Connect(usize),
    Listen(usize),
    Incoming(usize),
    Write(usize, usize),
    Close(usize, usize),
    Reset(usize, usize),
    Gone(usize),
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (task, thing) = (0..3_usize, any::<usize>());
    prop_oneof![
        (task.clone()).prop_map(Step::Connect),
        (task.clone()).prop_map(Step::Listen),
        thing.prop_map(Step::Incoming),
        (task.clone(), thing).prop_map(|(task, thing)| Step::Write(task, thing)),
        (task.clone(), thing).prop_map(|(task, thing)| Step::Close(task, thing)),
        (task.clone(), thing).prop_map(|(task, thing)| Step::Reset(task, thing)),
        thing.prop_map(Step::Gone),
        prop_oneof![9 => Just(None), 1 => task.prop_map(Some)]
            .prop_map(|task| task.map_or(Step::Connect(0), Step::Finish)),
    ]
}

/// What is known of a stream or listener without looking into the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Owned(usize),
    /// Its task has closed it, and the driver has not let go of it.
    Lingering,
    Gone,
}

proptest! {
    #[test]
    fn law_4_a_command_goes_out_if_and_only_if_its_stream_is_the_tasks_own(
        script in proptest::collection::vec(step(), 0..200)
    ) {
        let mut shop = Shop::new(8);
        let mut tasks: Vec<TaskId> = (0..3).map(|_| shop.task()).collect();
        let mut streams: Vec<(StreamId, Is)> = Vec::new();
        let mut listeners: Vec<(ListenerId, Is)> = Vec::new();
        for step in script {
            let taken = |streams: &[(StreamId, Is)], listeners: &[(ListenerId, Is)]| {
                let streams = streams.iter().filter(|(_, is)| *is != Is::Gone).count();
                streams + listeners.iter().filter(|(_, is)| *is != Is::Gone).count()
            };
            let full = taken(&streams, &listeners) == 8;
            match step {
                Step::Connect(task) => {
                    let commands = shop.act(tasks[task], |outbox| {
                        outbox.connect(TcpConnect::new(Token(2), here()));
                    });
                    match commands[..] {
                        [NetworkCommand::Connect { stream, .. }] if !full => {
                            assert!(streams.iter().all(|(known, _)| *known != stream), "used again");
                            streams.push((stream, Is::Owned(task)));
                        }
                        _ => assert!(full && commands.is_empty(), "{commands:?}"),
                    }
                }
                Step::Listen(task) => {
                    let commands = shop.act(tasks[task], |outbox| {
                        outbox.listen(TcpListen::new(Token(1), here()));
                    });
                    match commands[..] {
                        [NetworkCommand::Listen { listener, .. }] if !full => {
                            listeners.push((listener, Is::Owned(task)));
                        }
                        _ => assert!(full && commands.is_empty(), "{commands:?}"),
                    }
                }
                Step::Incoming(number) if !listeners.is_empty() => {
                    let (listener, is) = listeners[number % listeners.len()];
                    let commands = shop.tell(incoming(listener, 5));
                    match (&commands[..], is) {
                        ([NetworkCommand::Accept { stream, .. }, NetworkCommand::Write(_)], Is::Owned(task)) if !full => {
                            streams.push((*stream, Is::Owned(task)));
                        }
                        ([NetworkCommand::Refuse(_)], _) => assert!(full || is == Is::Gone),
                        _ => panic!("{commands:?} for a listener that is {is:?}"),
                    }
                }
                Step::Write(task, number) | Step::Close(task, number) | Step::Reset(task, number)
                    if !streams.is_empty() =>
                {
                    let number = number % streams.len();
                    let (stream, is) = &mut streams[number];
                    let (id, owns) = (*stream, *is == Is::Owned(task));
                    let (output, next) = match step {
                        Step::Close(..) => (Output::Close(id.into()), Is::Lingering),
                        Step::Reset(..) => (Output::Reset(id), Is::Gone),
                        _ => (Output::Write(StreamWrite::new(id, Buffer::copy_from(b"x"))), *is),
                    };
                    if owns {
                        *is = next;
                    }
                    let commands = shop.act(tasks[task], move |outbox| outbox.push(output));
                    assert_eq!(commands.len(), usize::from(owns), "{step:?}: {commands:?}");
                }
                Step::Gone(number) if !streams.is_empty() => {
                    let number = number % streams.len();
                    let (stream, is) = &mut streams[number];
                    let told = matches!(is, Is::Owned(_));
                    *is = Is::Gone;
                    shop.heard();
                    let id = *stream;
                    shop.tell(stream_closed(id));
                    assert_eq!(shop.heard().len(), usize::from(told));
                }
                Step::Finish(task) => {
                    let commands = shop.act(tasks[task], Outbox::finish);
                    let mut closed = 0;
                    for (_, is) in streams.iter_mut().filter(|(_, is)| *is == Is::Owned(task)) {
                        *is = Is::Lingering;
                        closed += 1;
                    }
                    for (_, is) in listeners.iter_mut().filter(|(_, is)| *is == Is::Owned(task)) {
                        *is = Is::Gone;
                        closed += 1;
                    }
                    assert_eq!(commands.len(), closed, "{commands:?}");
                    tasks[task] = shop.task();
                }
                _ => {}
            }
            assert_eq!(shop.worker.resources(), taken(&streams, &listeners));
            for (stream, is) in &streams {
                let owner = match is {
                    Is::Owned(task) => Some(tasks[*task]),
                    Is::Lingering | Is::Gone => None,
                };
                assert_eq!(shop.worker.owner(*stream), owner);
            }
        }
    }
}
