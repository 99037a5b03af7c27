//! Real sockets and threads, recorded, and replayed without them.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RecorderConfig, RuntimeConfig, StartError};
use stillpoint::{Ending, Recording, ReplayError, TaskId, Worker, WorkerSummary};

use super::echo::{Echo, Server, make};

const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that is gone when the test has passed.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn recording(&self, name: &str) -> Recording {
        let bytes = fs::read(self.0.join(name)).unwrap();
        Recording::from_bytes(bytes).unwrap()
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

fn start(backend: BackendKind, recorder: RecorderConfig) -> Controller<Echo> {
    let mut config = RuntimeConfig::new(backend);
    config.seed = 5;
    Controller::start_recorded(config, recorder, Server::spawn).unwrap()
}

/// Spawns a server. The task, and where it listens.
fn serve(controller: &mut Controller<Echo>) -> (TaskId, SocketAddr) {
    controller
        .spawn(0, SocketAddr::from(([127, 0, 0, 1], 0)))
        .unwrap();
    loop {
        let event = controller.wait(Some(PATIENCE)).expect("an address");
        if let ControllerEvent::Report { task, report } = event
            && let Ok(address) = report.parse()
        {
            return (task, address);
        }
    }
}

/// Sends so many datagrams, and takes the answers.
fn talk(server: SocketAddr, datagrams: u32) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 200];
    for number in 0..datagrams {
        let mut request = [7; 100];
        request[..4].copy_from_slice(&number.to_le_bytes());
        client.send(&request).unwrap();
        let len = client.recv(&mut answer).unwrap();
        assert_eq!(answer[..len - 8], request);
    }
}

fn end(controller: Controller<Echo>) -> WorkerSummary {
    let summary = controller.shutdown(PATIENCE);
    assert_eq!((summary.workers.len(), summary.stuck.len()), (1, 0));
    summary.workers.into_iter().next().unwrap()
}

#[test]
fn what_ten_thousand_datagrams_did_in_production_they_do_offline() {
    for &backend in BackendKind::ALL {
        let folder = Folder::new(&format!("recorder-{backend}"));
        let mut controller = start(backend, RecorderConfig::files(&folder.0));
        let (_, address) = serve(&mut controller);
        talk(address, 10_000);
        let summary = end(controller);
        let stats = summary.recorder.unwrap();
        assert_eq!((stats.dropped, stats.failures), (0, 0));
        assert_eq!(summary.recorder_failure, None);

        let recording = folder.recording("worker-0-0.recording");
        assert_eq!(recording.ending(), Ending::Stopped);
        assert_eq!((recording.inputs(), recording.missing()), (stats.inputs, 0));
        let replayed = recording.replay(make).unwrap();
        assert!(replayed.outputs >= 10_000 && replayed.worker.is_stopped());

        // The same with a server that was changed meanwhile.
        let changed = recording.replay(|config| {
            Worker::new(config, |bind, spawner| {
                Server::spawn_biased(1, bind, spawner)
            })
        });
        let ReplayError::Differs(difference) = changed.map(drop).unwrap_err() else {
            panic!("it differs");
        };
        assert!(difference.given.contains("Datagrams"), "{difference}");
        assert!(
            difference.input > 100 && difference.input < 120,
            "{difference}"
        );
    }
}

#[test]
fn a_task_that_panics_leaves_a_recording_in_which_it_panics_again() {
    let folder = Folder::new("recorder-panic");
    let recorder = RecorderConfig::ring(1 << 20).dumping_to(&folder.0);
    let mut controller = start(BackendKind::default(), recorder);
    let (victim, address) = serve(&mut controller);
    talk(address, 20);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"poison", address).unwrap();
    loop {
        let event = controller.wait(Some(PATIENCE)).expect("an end");
        if let ControllerEvent::Ended { task, end, .. } = event {
            assert!(task == victim && end.is_failure());
            break;
        }
    }
    assert_eq!(end(controller).recorder.unwrap().failures, 1);
    assert_eq!(folder.files(), 1);
    let recording = folder.recording("worker-0-0.recording");
    assert_eq!(recording.ending(), Ending::Open);
    let replayed = recording.replay(make).unwrap();
    assert_eq!(replayed.worker.tasks(), 0);
    let lines: Vec<String> = recording.lines().collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("that is what it does not like")),
        "{lines:#?}"
    );
}

#[test]
fn a_controller_may_ask_for_a_ring_at_any_time() {
    let mut controller = start(BackendKind::default(), RecorderConfig::ring(1 << 20));
    assert_eq!(controller.recorded(1), None);
    let (task, address) = serve(&mut controller);
    talk(address, 50);
    let first = Recording::from_bytes(controller.recorded(0).unwrap()).unwrap();
    assert!(first.replay(make).unwrap().outputs >= 50);
    controller.command(task, "still here".to_owned()).unwrap();
    talk(address, 50);
    let second = Recording::from_bytes(controller.recorded(0).unwrap()).unwrap();
    assert!(second.inputs() > first.inputs() + 50);
    assert!(second.replay(make).is_ok());
    assert!(second.lines().any(|line| line.contains("still here")));
}

#[test]
fn a_small_ring_keeps_the_last_and_a_busy_server_goes_on() {
    let mut controller = start(BackendKind::default(), RecorderConfig::ring(8 << 10));
    let (_, address) = serve(&mut controller);
    talk(address, 1_000);
    let recording = Recording::from_bytes(controller.recorded(0).unwrap()).unwrap();
    assert!(recording.missing() > 800 && recording.inputs() > 10);
    assert!(recording.replay(make).is_err());
    assert_eq!(
        recording
            .lines()
            .filter(|line| line.contains("transmit"))
            .count() as u64,
        recording.inputs()
    );
}

#[test]
fn what_waits_is_in_the_file_after_a_while_though_the_server_goes_on() {
    let folder = Folder::new("recorder-waits");
    let mut recorder = RecorderConfig::files(&folder.0);
    recorder.delay_max = Duration::from_millis(1);
    let mut controller = start(BackendKind::default(), recorder);
    for round in 1..4 {
        let (_, address) = serve(&mut controller);
        talk(address, 20);
        let began = controller.now();
        // Far less than a block, so nothing but time brings it there.
        while folder
            .recording("worker-0-0.recording")
            .replay(make)
            .unwrap()
            .outputs
            < round * 20
        {
            drop(controller.wait(Some(Duration::from_millis(1))));
            assert!(controller.now().since(began) < PATIENCE, "it never comes");
        }
    }
}

#[test]
fn files_are_never_written_over_and_without_a_folder_nothing_starts() {
    let folder = Folder::new("recorder-names");
    for run in 0..3 {
        let mut controller = start(BackendKind::default(), RecorderConfig::files(&folder.0));
        serve(&mut controller);
        end(controller);
        assert_eq!(folder.files(), run + 1);
    }
    let recorder = RecorderConfig::files(folder.0.join("not there"));
    let config = RuntimeConfig::new(BackendKind::default());
    let error = Controller::start_recorded(config, recorder, Server::spawn)
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, StartError::Recorder { worker: 0, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("not there"), "{error}");
}
