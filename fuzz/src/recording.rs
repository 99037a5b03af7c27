//! Bytes as a recording of a worker of probes: they are read, shown and replayed, and nothing
//! panics. With a first byte that says so, the rest are records whose checksums are put right, so
//! that a fuzzer comes behind them.

use stillpoint::{
    App, Buffer, DatagramRun, Entropy, Input, NetworkCommand, NetworkEvent, Outbox, Output,
    RecordRing, Recorder, Recording, SocketId, Spawned, Spawner, Task, Timestamp, Token,
    TransmitBuffer, UdpBuffers, UdpOpen, Worker, WorkerConfig, WorkerInput, WorkerOutput,
    WorkerOutputs,
};
use xxhash_rust::xxh3::xxh3_64;

/// Reads the bytes.
pub fn run_bytes(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else {
        return;
    };
    let bytes = if first == 0 {
        rest.to_vec()
    } else {
        mend(rest)
    };
    let Ok(recording) = Recording::from_bytes(bytes.clone()) else {
        return;
    };
    let lines = recording.lines().count();
    assert!(recording.inputs() as usize <= bytes.len() && lines <= bytes.len() + 2);
    if let Ok(replayed) = recording.replay(make) {
        assert_eq!(replayed.inputs, recording.inputs());
    }
}

/// A whole recording whose records are of these bodies: each is what follows its length in 16 bits.
fn mend(mut bytes: &[u8]) -> Vec<u8> {
    let mut mended = head();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        let (body, rest) = rest.split_at(len);
        mended.extend((len as u32).to_le_bytes());
        mended.extend((xxh3_64(body) as u32).to_le_bytes());
        mended.extend(body);
        bytes = rest;
    }
    mended
}

fn head() -> Vec<u8> {
    let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
    let ring = RecordRing::new(usize::MAX);
    let recorder = Recorder::<Bold>::new(&mut config, Box::new(ring.clone()));
    drop(recorder);
    ring.to_bytes()
}

#[derive(Debug)]
struct Bold;

impl App for Bold {
    type Channel = u8;
    type Message = Vec<u8>;
    type Command = String;
    type Report = String;
    type Spawn = Option<UdpOpen>;
}

/// Opens a socket, or becomes the agent of its worker; says what it hears.
struct Listener {
    open: Option<UdpOpen>,
    outbox: Outbox<Bold>,
}

fn spawn(open: Option<UdpOpen>, spawner: Spawner<'_, Bold>) -> Spawned {
    let outbox = Outbox::new();
    spawner.insert(Listener { open, outbox })
}

fn make(config: WorkerConfig) -> Worker<Bold> {
    Worker::new(config, spawn)
}

impl Task for Listener {
    type App = Bold;

    fn handle_input(&mut self, _: Timestamp, input: Input<Bold>) {
        match input {
            Input::Started(_) => match self.open {
                Some(open) => self.outbox.open_udp(open),
                None => {
                    self.outbox.become_agent();
                    self.outbox.subscribe(1);
                }
            },
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.reply(socket, run);
            }
            Input::Shutdown => self.outbox.finish(),
            other => self.outbox.report(format!("{other:?}")),
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Bold>> {
        self.outbox.pop()
    }
}

/// Takes what comes, and notes the socket that is to be opened.
#[derive(Default)]
struct Driver {
    opened: Option<SocketId>,
}

impl WorkerOutputs<Bold> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<Bold>) {
        if let WorkerOutput::Network(NetworkCommand::OpenUdp { socket, .. }) = output {
            self.opened = Some(socket);
        }
    }
}

/// A recording to begin with, as bytes for [`run_bytes`]: whole, or as bodies to be mended.
#[must_use]
pub fn seed(mended: bool) -> Vec<u8> {
    let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
    let ring = RecordRing::new(usize::MAX);
    let mut recorder = Recorder::<Bold>::new(&mut config, Box::new(ring.clone()));
    let mut worker = make(config);
    let address = core::net::SocketAddr::from(([192, 0, 2, 1], 7));
    let open = UdpOpen::new(Token(1), address);
    let mut now = 0;
    let mut driver = Driver::default();
    let mut give = |input: WorkerInput<Bold>| {
        now += 1_000;
        let at = Timestamp::from_nanos(now);
        recorder.handle_input(&mut worker, at, input, &mut driver);
        let task = worker.tasks_of::<Listener>().map(|(task, _)| task).last();
        (task, driver.opened)
    };
    give(WorkerInput::Spawn(None));
    give(WorkerInput::PeerJoined(1));
    let (task, socket) = give(WorkerInput::Spawn(Some(open)));
    let (task, socket) = (task.expect("it lives"), socket.expect("it opens"));
    let opened = NetworkEvent::UdpOpened {
        socket,
        token: Token(1),
        local: address,
        buffers: UdpBuffers::new(1, 2),
    };
    give(WorkerInput::Network(opened));
    let payload = Buffer::copy_from(b"abcabc");
    let run = DatagramRun::new(address, payload, 3);
    give(WorkerInput::Network(NetworkEvent::Datagrams {
        socket,
        run,
    }));
    let command = "speak".to_owned();
    give(WorkerInput::Command { task, command });
    give(WorkerInput::Timeout);
    give(WorkerInput::Shutdown);
    give(WorkerInput::Timeout);
    recorder.end();
    let whole = ring.to_bytes();
    if !mended {
        return [&[0], &whole[..]].concat();
    }
    let mut bodies = vec![1];
    let mut rest = &whole[head().len()..];
    while let Some((record, behind)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, ..] = *record;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        bodies.extend((len as u16).to_le_bytes());
        bodies.extend(&behind[..len]);
        rest = &behind[len..];
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_of_the_corpus_are_read_to_their_end() {
        let recordings = [seed(false)[1..].to_vec(), mend(&seed(true)[1..])];
        for bytes in recordings {
            let recording = Recording::from_bytes(bytes).unwrap();
            assert_eq!(recording.inputs(), 9);
            assert_eq!(recording.replay(make).unwrap().inputs, 9);
        }
    }

    /// A fuzzer does more of the same. `ROUNDS=1000000 cargo test` does, too.
    #[test]
    fn seeds_with_a_few_other_bytes_are_read_without_a_panic() {
        let rounds = std::env::var("ROUNDS").map_or(5_000, |rounds| rounds.parse().unwrap());
        let site = Entropy::from_seed(1).site("mutations");
        let mut draws = site.source(stillpoint::Entity::new(0));
        let seeds = [seed(false), seed(true)];
        for round in 0..rounds {
            let mut bytes = seeds[usize::from(round % 8 != 0)].clone();
            for _ in 0..=draws.below(4) {
                let at = draws.below(bytes.len() as u64) as usize;
                match draws.below(4) {
                    0 => bytes[at] = draws.u64() as u8,
                    1 => bytes[at] = draws.below(12) as u8,
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let from = draws.below(bytes.len() as u64) as usize;
                        let end = bytes.len().min(from + draws.below(40) as usize);
                        let copied = bytes[from..end].to_vec();
                        bytes.splice(at..at, copied);
                    }
                }
            }
            run_bytes(&bytes);
        }
    }

    /// `UPDATE=1 cargo test` writes the corpus anew.
    #[test]
    fn the_corpus_is_what_seeds_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/recording/");
        for (name, mended) in [("seed-whole", false), ("seed-bodies", true)] {
            let path = format!("{folder}{name}");
            if std::env::var("UPDATE").is_ok() {
                std::fs::write(&path, seed(mended)).unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == seed(mended), "{name}");
        }
    }
}
