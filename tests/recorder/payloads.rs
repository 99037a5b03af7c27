//! Payloads in a recording: those that are sent on as they came, in parts, changed where they are,
//! copied, or written anew; short ones and long ones.

use core::net::SocketAddr;

use stillpoint::{
    Buffer, BufferPool, DatagramRun, Entropy, Input, NetworkEvent, Outbox, Output, RecordRing,
    Recorder, Recording, ReplayError, Spawned, Spawner, Task, Timestamp, Token, Transmit,
    TransmitBuffer, UdpBuffers, UdpOpen, Worker, WorkerConfig, WorkerInput,
};

use crate::echo::{Driver, Echo};

type Answer = fn(&mut Outbox<Echo>, Transmit);

/// Answers each run in its own way.
struct Answerer {
    answer: Answer,
    bind: SocketAddr,
    outbox: Outbox<Echo>,
}

impl Task for Answerer {
    type App = Echo;

    fn handle_input(&mut self, _: Timestamp, input: Input<Echo>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(UdpOpen::new(Token(0), self.bind)),
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                (self.answer)(&mut self.outbox, Transmit::reply(socket, run));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Echo>> {
        self.outbox.pop()
    }
}

fn made(answer: Answer) -> impl Fn(WorkerConfig) -> Worker<Echo> {
    move |config| {
        let spawn = move |bind, spawner: Spawner<'_, Echo>| -> Spawned {
            let outbox = Outbox::new();
            spawner.insert(Answerer {
                answer,
                bind,
                outbox,
            })
        };
        Worker::new(config, spawn)
    }
}

fn payload(transmit: &Transmit) -> Buffer {
    transmit.payload.clone().into_buffer().unwrap()
}

fn as_it_came(outbox: &mut Outbox<Echo>, transmit: Transmit) {
    outbox.transmit(transmit);
}

fn in_halves(outbox: &mut Outbox<Echo>, transmit: Transmit) {
    let all = payload(&transmit);
    let middle = all.len() / 2;
    for half in [all.slice(middle..), all.slice(..middle)] {
        let mut transmit = transmit.clone();
        transmit.payload = half.unwrap().into();
        outbox.transmit(transmit);
    }
}

fn changed_where_it_is(outbox: &mut Outbox<Echo>, mut transmit: Transmit) {
    let mut payload = core::mem::take(&mut transmit.payload)
        .into_buffer()
        .unwrap();
    if let Some(last) = payload.make_mut().last_mut() {
        *last ^= 1;
    }
    transmit.payload = payload.into();
    outbox.transmit(transmit);
}

fn copied(outbox: &mut Outbox<Echo>, mut transmit: Transmit) {
    transmit.payload = Buffer::copy_from(&payload(&transmit)).into();
    outbox.transmit(transmit);
}

fn written_anew(outbox: &mut Outbox<Echo>, mut transmit: Transmit) {
    let text = format!("{} B, thank you", transmit.payload.len());
    transmit.payload = Buffer::copy_from(text.as_bytes()).into();
    outbox.transmit(transmit);
}

const ANSWERS: [Answer; 5] = [
    as_it_came,
    in_halves,
    changed_where_it_is,
    copied,
    written_anew,
];

/// Lengths of payloads that are copied into a recording, and of one that is kept for it.
const LENGTHS: [usize; 5] = [0, 1, 1_200, 20_000, 60_000];

/// A recording of a task that answers like this, and the payloads that it was given.
fn recorded(answer: Answer) -> (Vec<u8>, Vec<Vec<u8>>) {
    let ring = RecordRing::new(usize::MAX);
    let mut config = WorkerConfig::new(0, Entropy::from_seed(7));
    let mut recorder = Recorder::new(&mut config, Box::new(ring.clone()));
    let mut worker = made(answer)(config);
    let driver = &mut Driver::default();
    let (local, now) = ("192.0.2.1:7".parse().unwrap(), Timestamp::EPOCH);
    recorder.handle_input(&mut worker, now, WorkerInput::Spawn(local), driver);
    let socket = driver.socket().unwrap();
    let opened = NetworkEvent::UdpOpened {
        socket,
        token: Token(0),
        local,
        buffers: UdpBuffers::new(1, 2),
    };
    recorder.handle_input(&mut worker, now, WorkerInput::Network(opened), driver);
    let pool = BufferPool::new();
    let mut given = Vec::new();
    for len in LENGTHS {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let peer = "192.0.2.9:9".parse().unwrap();
        for each in [false, true] {
            let mut run = DatagramRun::new(peer, pool.copy_from(&bytes), 0);
            if each {
                recorder.handle_datagrams(&mut worker, now, socket, &mut run, driver);
            } else {
                let event = NetworkEvent::Datagrams { socket, run };
                recorder.handle_input(&mut worker, now, WorkerInput::Network(event), driver);
            }
            given.push(bytes.clone());
        }
    }
    recorder.end();
    // What is in the ring stays what it was, whatever becomes of the memory.
    drop(worker);
    for _ in 0..20 {
        let mut other = pool.take(60_000);
        other.unfilled().fill(0xff);
    }
    (ring.to_bytes(), given)
}

#[test]
fn whatever_a_task_does_with_payloads_it_does_again() {
    for answer in ANSWERS {
        let (bytes, given) = recorded(answer);
        let recording = Recording::from_bytes(bytes.clone()).unwrap();
        let replayed = recording.replay(made(answer)).unwrap();
        assert_eq!(replayed.inputs as usize, given.len() + 2);
        for payload in given {
            let mut places = bytes.windows(payload.len().max(1));
            assert!(payload.is_empty() || places.any(|place| place == payload));
        }
    }
}

#[test]
fn a_task_that_changes_a_byte_is_told_from_one_that_does_not() {
    let (bytes, _) = recorded(as_it_came);
    let recording = Recording::from_bytes(bytes).unwrap();
    let error = recording.replay(made(changed_where_it_is)).map(drop);
    let ReplayError::Differs(difference) = error.unwrap_err() else {
        panic!("it differs");
    };
    // The first payload that has a byte to change.
    assert_eq!(difference.input, 5);
    let (bytes, _) = recorded(changed_where_it_is);
    let recording = Recording::from_bytes(bytes).unwrap();
    let error = recording.replay(made(as_it_came)).map(drop);
    assert!(matches!(error, Err(ReplayError::Differs(found)) if found.input == 5));
}

#[test]
fn a_copy_of_what_came_is_as_good_as_what_came() {
    let (bytes, _) = recorded(as_it_came);
    let recording = Recording::from_bytes(bytes).unwrap();
    recording.replay(made(copied)).unwrap();
}

#[test]
fn what_is_sent_on_takes_no_room_of_its_own_in_a_recording_and_is_shown_like_any_other() {
    let (bytes, given) = recorded(as_it_came);
    let payloads: usize = given.iter().map(Vec::len).sum();
    assert!(bytes.len() < payloads + 200 * given.len());
    let recording = Recording::from_bytes(bytes).unwrap();
    let lines: Vec<String> = recording.lines().collect();
    let changed = Recording::from_bytes(recorded(copied).0).unwrap();
    let copied: Vec<String> = changed.lines().collect();
    assert_eq!(lines, copied);
    assert!(lines.iter().any(|line| line.contains("transmit 60000 B")));
}
