//! Recordings that are cut off, damaged, or none at all; tasks that have changed.

use proptest::prelude::*;
use stillpoint::{
    Ending, RecordBlock, RecordRing, RecordSink, Recording, RecordingError, ReplayError, Replayer,
    Spawner, Taken, Worker,
};

use super::echo::{Driver, Echo, Server, make, record, recorded, recording};

#[test]
fn a_worker_replays_to_its_end() {
    let recording = recording(200);
    assert_eq!((recording.inputs(), recording.missing()), (204, 0));
    assert_eq!(recording.ending(), Ending::Stopped);
    let replayed = recording.replay(make).unwrap();
    // Started, a draw, the socket; its address; the echoes; the socket's end and its own.
    assert_eq!((replayed.inputs, replayed.outputs), (204, 3 + 1 + 200 + 2));
    assert!(replayed.worker.is_stopped());
}

#[test]
fn a_changed_task_is_reported_at_its_first_differing_output() {
    let changed = |config| {
        Worker::new(config, |bind, spawner| {
            Server::spawn_biased(1, bind, spawner)
        })
    };
    assert!(
        recording(100).replay(changed).is_ok(),
        "it is the same until then"
    );
    let error = recording(200).replay(changed).map(drop).unwrap_err();
    let ReplayError::Differs(difference) = &error else {
        panic!("{error:?}");
    };
    // The first two inputs were no datagrams.
    assert_eq!((difference.input, difference.outputs), (2 + 101, 0));
    let [recorded, came] =
        [&difference.recorded, &difference.came].map(|text| text.clone().unwrap());
    assert_ne!(recorded, came);
    for text in [recorded, came] {
        assert!(text.starts_with("transmit 16 B, hash "), "{text}");
        assert!(text.contains("to [2001:db8::1]:9"), "{text}");
    }
    assert!(
        error
            .to_string()
            .contains("input 103 at 0.000000103s, output 1,"),
        "{error}"
    );
}

#[test]
fn another_chance_is_another_output() {
    let other = |config: stillpoint::WorkerConfig| {
        let mut other = config.clone();
        other.entropy = stillpoint::Entropy::from_seed(config.entropy.seed() + 1);
        make(other)
    };
    let error = recording(1)
        .replay(other)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("recorded: Report") && error.contains("the first draw"),
        "{error}"
    );
}

#[test]
fn a_task_that_says_less_or_more_is_told_from_one_that_says_the_same() {
    let silent = |config| {
        let refuse = |_, spawner: Spawner<'_, Echo>| spawner.refuse("not today");
        Worker::new(config, refuse)
    };
    let error = recording(1).replay(silent).map(drop).unwrap_err();
    let ReplayError::Differs(difference) = error else {
        panic!("{error}");
    };
    assert_eq!(difference.input, 1);
    assert!(difference.came.unwrap().contains("not today"));
}

#[test]
fn what_is_cut_off_tells_all_that_is_before() {
    let whole = recorded(20, usize::MAX);
    let mut inputs = 0;
    for len in 0..whole.len() {
        match Recording::from_bytes(&whole[..len]) {
            Err(RecordingError::Foreign) => assert_eq!(len, 0),
            Err(error) => assert_eq!(error, RecordingError::CutHead, "at {len}"),
            Ok(recording) => {
                let cut = match recording.ending() {
                    Ending::Open => len,
                    Ending::Cut { at } => at,
                    other => panic!("{other:?} at {len}"),
                };
                assert!(cut <= len && recording.inputs() >= inputs);
                inputs = recording.inputs();
                let replayed = recording.replay(make).unwrap();
                assert_eq!(replayed.inputs, inputs);
            }
        }
    }
    assert_eq!(inputs, 24);
}

#[test]
fn a_flipped_bit_is_found_and_what_is_before_it_is_there() {
    let whole = recorded(3, usize::MAX);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(recording) = Recording::from_bytes(damaged) else {
            continue; // The head.
        };
        let (Ending::Cut { at } | Ending::Damaged { at }) = recording.ending() else {
            panic!("bit {bit} was not found: {recording:?}");
        };
        assert!(at <= bit / 8);
        assert_eq!(recording.replay(make).unwrap().inputs, recording.inputs());
        assert!(
            recording
                .lines()
                .last()
                .unwrap()
                .ends_with(&format!("at byte {at}"))
        );
    }
}

#[test]
fn what_is_foreign_or_newer_is_told_so() {
    let read = |bytes: &[u8]| Recording::from_bytes(bytes).map(drop).unwrap_err();
    assert_eq!(read(b""), RecordingError::Foreign);
    assert_eq!(read(b"\x7fELF and so on"), RecordingError::Foreign);
    let mut newer = recorded(1, usize::MAX);
    newer[8] += 1;
    let (version, known) = (2, 1);
    assert_eq!(
        read(&newer),
        RecordingError::OtherVersion { version, known }
    );
    let mut text = recorded(1, usize::MAX);
    text.remove(6); // Carriage returns, taken out on the way.
    assert_eq!(read(&text), RecordingError::Foreign);
}

#[test]
fn a_recording_of_another_application_is_told_so() {
    #[derive(Debug)]
    struct Other;
    impl stillpoint::App for Other {
        type Channel = ();
        type Message = ();
        type Command = ();
        type Report = ();
        type Spawn = u8;
    }
    let refuse = |_, spawner: Spawner<'_, Other>| spawner.refuse("");
    let other = recording(1).replay(|config| Worker::new(config, refuse));
    assert_eq!(
        other.map(drop).unwrap_err(),
        ReplayError::Unreadable { input: 1 }
    );
}

#[test]
fn a_ring_forgets_the_oldest_and_counts_them() {
    let ring = recorded(2_000, 16 << 10);
    assert!(ring.len() < 20 << 10, "{} B", ring.len());
    let recording = Recording::from_bytes(ring).unwrap();
    assert_eq!(recording.inputs() + recording.missing(), 2_004);
    assert!(recording.inputs() > 40 && recording.ending() == Ending::Stopped);
    let (inputs, missing) = (0, recording.missing());
    let error = recording.replay(make).map(drop).unwrap_err();
    assert_eq!(error, ReplayError::Missing { inputs, missing });
}

#[test]
fn lines_say_what_was_given_and_what_followed() {
    let lines: Vec<String> = recording(1).lines().collect();
    assert_eq!(lines.len(), 5 + 2 + 2 + 1 + 3 + 1, "{lines:#?}");
    assert_eq!(lines[0], "1 at 0.000000001s: spawn, 7 B");
    assert!(lines[3].contains("the first draw: "), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("Datagrams")),
        "{lines:#?}"
    );
    assert!(lines.contains(&"the worker has stopped".to_owned()));
}

/// Has room for every third block.
struct Narrow {
    ring: RecordRing,
    blocks: u32,
}

impl RecordSink for Narrow {
    fn block_bytes(&self) -> usize {
        512
    }

    fn begin(&mut self, head: Vec<u8>) {
        self.ring.begin(head);
    }

    fn take(&mut self, block: &mut RecordBlock) -> Taken {
        self.blocks += 1;
        if self.blocks % 3 == 1 {
            return self.ring.take(block);
        }
        Taken::Dropped
    }
}

#[test]
fn what_found_no_room_is_counted_and_a_replay_comes_as_far_as_that() {
    let (ring, blocks) = (RecordRing::new(usize::MAX), 0);
    let narrow = Narrow {
        ring: ring.clone(),
        blocks,
    };
    let stats = record(100, Box::new(narrow), &mut Driver::default());
    let recording = Recording::from_bytes(ring.to_bytes()).unwrap();
    assert!(stats.dropped > 50 && recording.inputs() > 25);
    assert_eq!(recording.inputs(), stats.inputs - stats.dropped);
    // What was dropped last has nothing behind it that could say so.
    assert!(recording.missing() > 40 && recording.missing() <= stats.dropped);
    let error = recording.replay(make).map(drop).unwrap_err();
    let ReplayError::Missing { inputs, missing } = error else {
        panic!("{error}");
    };
    assert!(inputs > 0 && missing > 0 && missing < recording.missing());
}

#[test]
fn an_input_that_a_panic_of_the_driver_broke_off_is_the_last_that_can_be_given_again() {
    let ring = RecordRing::new(usize::MAX);
    record(20, Box::new(ring.clone()), &mut Driver::panicking(14));
    let recording = Recording::from_bytes(ring.to_bytes()).unwrap();
    let broken: Vec<String> = recording
        .lines()
        .filter(|line| line.contains("broken off"))
        .collect();
    // Four outputs came before the datagrams, each of which has one.
    assert!(
        broken.len() == 1 && broken[0].starts_with("13 at "),
        "{broken:?}"
    );
    let mut replayer = Replayer::new(&recording, make);
    for number in 1..=13 {
        assert_eq!(replayer.step(), Ok(Some(number)));
    }
    // A worker goes on after that with what its driver has not taken; a replay's driver has.
    assert_eq!(replayer.worker().tasks(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither a panic, nor memory for what is only claimed.
    #[test]
    fn any_bytes_are_a_recording_or_an_error(bytes: Vec<u8>, at: prop::sample::Index, len in 0..40usize) {
        drop(Recording::from_bytes(bytes.clone()));
        // The same in the place of something that was right.
        let mut whole = recorded(5, usize::MAX);
        let at = at.index(whole.len());
        let end = whole.len().min(at + len);
        whole.splice(at..end, bytes);
        if let Ok(recording) = Recording::from_bytes(whole) {
            prop_assert!(recording.inputs() <= 9);
            prop_assert!(recording.lines().count() < 100);
            drop(recording.replay(make));
        }
    }
}
