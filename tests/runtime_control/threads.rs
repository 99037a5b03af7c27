//! Threads: their names, cores and stacks, and why they do not start.

use core::hint::black_box;
use std::fs;

use stillpoint::NetworkError;
use stillpoint::backend::sockets::SocketBackend;
use stillpoint::backend::{BackendConfig, BackendError, BackendKind};
use stillpoint::runtime::{Controller, StartError};

use super::puppet::{News, Play, Role, spawn};
use super::{config, puppet_on, said, start, tell};

/// Of the threads with this name, one line of what the system says.
fn of_threads(name: &str, line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path();
        // One that has ended meanwhile is none of ours.
        let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if comm.trim() == name {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let line = status.lines().find_map(|said| said.strip_prefix(line));
            found.push(line.unwrap_or_default().trim().to_owned());
        }
    }
    found
}

#[test]
fn threads_have_the_names_that_were_asked_for() {
    let mut config = config(2);
    config.threads.name = "players-".to_owned();
    let mut controller = start(config);
    controller.add_worker().unwrap();
    for worker in 0..3 {
        let name = format!("players-{worker}");
        assert_eq!(of_threads(&name, "State:").len(), 1, "{name}");
    }
    controller.remove_worker(1).unwrap();
    super::next(&mut controller, |event| {
        matches!(event, stillpoint::ControllerEvent::WorkerStopped(_)).then_some(())
    });
    assert!(of_threads("players-1", "State:").is_empty(), "it is joined");
}

#[test]
fn threads_are_kept_on_their_cores() {
    let mut config = config(2);
    config.threads.name = "pinned-".to_owned();
    config.threads.cores = vec![0];
    let controller = start(config);
    for worker in 0..2 {
        let cores = of_threads(&format!("pinned-{worker}"), "Cpus_allowed_list:");
        assert_eq!(cores, ["0"]);
    }
    drop(controller);
}

#[test]
fn a_core_that_is_not_there_is_named() {
    let mut config = config(2);
    config.threads.name = "nowhere-".to_owned();
    config.threads.cores = vec![0, 1_000];
    let error = Controller::<Play>::start(config, spawn).unwrap_err();
    let StartError::Core { worker, core, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*worker, *core), (1, 1_000));
    assert!(
        error.to_string().starts_with("worker 1: core 1000: "),
        "{error}"
    );
    assert!(of_threads("nowhere-0", "State:").is_empty());
}

/// Uses this many kilobytes of stack.
fn dig(kilobytes: usize) -> usize {
    let block = black_box([kilobytes; 128]);
    if kilobytes == 0 {
        block[0]
    } else {
        dig(kilobytes - 1) + black_box(block)[1]
    }
}

/// Threads have 2 MiB otherwise, which ends the process.
#[test]
fn threads_have_the_stack_that_was_asked_for() {
    let mut config = config(1);
    config.threads.stack_bytes = Some(32 << 20);
    let mut controller = start(config);
    let puppet = puppet_on(&mut controller, 0, Role::First);
    tell(&mut controller, puppet, |hands| {
        hands.tell(News::Said(dig(6 << 10) as u64));
    });
    assert!(said(&mut controller) > 0);
}

fn fails_for_the_second(
    worker: u16,
    config: &BackendConfig,
) -> Result<SocketBackend, BackendError> {
    if worker == 1 {
        return Err(BackendError {
            operation: "epoll_create1",
            error: NetworkError::TooManySockets,
        });
    }
    SocketBackend::new(BackendKind::Poll, config)
}

#[test]
fn a_backend_that_cannot_be_had_is_named_and_the_others_are_stopped() {
    let mut config = config(3);
    config.threads.name = "unlucky-".to_owned();
    let error = Controller::<Play>::start_over(config, spawn, fails_for_the_second).unwrap_err();
    let StartError::Backend { worker, error } = error else {
        panic!("{error:?}");
    };
    assert_eq!((worker, error.operation), (1, "epoll_create1"));
    assert!(of_threads("unlucky-0", "State:").is_empty());
}

#[test]
fn a_worker_that_cannot_be_added_leaves_all_as_it_was() {
    let mut controller =
        Controller::<Play>::start_over(config(1), spawn, fails_for_the_second).unwrap();
    let error = controller.add_worker().unwrap_err();
    assert!(matches!(error, StartError::Backend { worker: 1, .. }));
    assert_eq!(controller.workers(), 1);
    // Its index is used up.
    assert_eq!(controller.add_worker().unwrap(), 2);
    let puppet = puppet_on(&mut controller, 2, Role::First);
    tell(&mut controller, puppet, |hands| hands.tell(News::Said(1)));
    assert_eq!(said(&mut controller), 1);
}

#[test]
fn whoever_panics_while_it_sets_up_a_backend_is_named() {
    let make = |worker: u16, config: &BackendConfig| {
        assert_ne!(worker, 1, "an accident in the making");
        SocketBackend::new(BackendKind::Poll, config)
    };
    let error = Controller::<Play>::start_over(config(2), spawn, make).unwrap_err();
    assert!(
        matches!(error, StartError::Thread { worker: 1, .. }),
        "{error}"
    );
}
