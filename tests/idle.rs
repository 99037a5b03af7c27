//! What a hundred thousand tasks cost that have nothing to do. A program of its own, since it
//! counts all memory of the process.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![cfg(feature = "poll")]

#[path = "support/allocator.rs"]
mod allocator;

use core::sync::atomic::Ordering;
use core::time::Duration;

use allocator::LIVE_BYTES;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Context, Input, Output, Spawned, Spawner, Task, Timestamp, TransmitBuffer, WorkerStatus,
};

const TASKS: u32 = 100_000;

#[test]
fn a_hundred_thousand_idle_tasks_use_no_cpu_and_little_memory() {
    let config = RuntimeConfig::new(BackendKind::default());
    let mut controller = Controller::start(config, spawn).unwrap();
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    controller.spawn(0, Spawn::Parent).unwrap();
    let all_live =
        |event: &ControllerEvent<Idle>| matches!(event, ControllerEvent::Report { report: (), .. });
    while !all_live(&controller.wait(Some(PATIENCE)).expect("they start in time")) {}

    let asleep = status_once_asleep(&mut controller);
    assert_eq!(asleep.tasks(), TASKS as usize + 1);
    let held = LIVE_BYTES.load(Ordering::Relaxed) - before;
    let own = TASKS as usize * size_of::<IdleTask>();
    let each = (held - own) / TASKS as usize;
    println!("{each} bytes of overhead for each of {TASKS} idle tasks");
    assert!(each < 300, "{each} bytes of overhead for each idle task");

    assert!(controller.wait(Some(Duration::from_millis(300))).is_none());
    let later = controller.status().remove(0);
    assert_eq!(later.runner.wake_ups, asleep.runner.wake_ups);
    assert_eq!(later.runner.loops, asleep.runner.loops);
    assert_eq!(later.runner.busy, asleep.runner.busy);
    assert_eq!(later.runner.utilization, 0.0);
}

/// The status of the worker as soon as it has nothing to do any more.
fn status_once_asleep(controller: &mut Controller<Idle>) -> WorkerStatus {
    let mut before = controller.status().remove(0);
    loop {
        // Whoever works posts a status more often than this.
        while controller.wait(Some(Duration::from_millis(100))).is_some() {}
        let status = controller.status().remove(0);
        if status.runner.loops == before.runner.loops {
            return status;
        }
        before = status;
    }
}

#[derive(Debug)]
struct Idle;

impl App for Idle {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Spawn;
}

#[derive(Debug)]
enum Spawn {
    Parent,
    Idle,
}

/// Keeps what most tasks keep, and does nothing.
struct IdleTask {
    _context: Option<Context>,
}

impl Task for IdleTask {
    type App = Idle;

    fn handle_input(&mut self, _: Timestamp, input: Input<Idle>) {
        if let Input::Started(context) = input {
            self._context = Some(context);
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Idle>> {
        None
    }
}

/// Spawns the others, some for each timeout, then says so.
struct Parent {
    left: u32,
    batch: u32,
    next: Option<Timestamp>,
}

impl Task for Parent {
    type App = Idle;

    fn handle_input(&mut self, now: Timestamp, input: Input<Idle>) {
        if matches!(input, Input::Started(_) | Input::Timeout) {
            // As many as the worker makes in one go, so that few wait.
            self.batch = 200;
            self.next = Some(now.after(Duration::from_nanos(1)));
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Idle>> {
        if self.left == 0 {
            return self.next.take().map(|_| Output::Report(()));
        }
        self.batch = self.batch.checked_sub(1)?;
        self.left -= 1;
        Some(Output::Spawn(Spawn::Idle))
    }

    fn poll_timeout(&self) -> Option<stillpoint::Deadline> {
        let next = self.next?;
        Some(stillpoint::Deadline::new(next, "more to spawn"))
    }
}

fn spawn(spawn: Spawn, spawner: Spawner<'_, Idle>) -> Spawned {
    match spawn {
        Spawn::Parent => spawner.insert(Parent {
            left: TASKS,
            batch: 0,
            next: None,
        }),
        Spawn::Idle => spawner.insert(IdleTask { _context: None }),
    }
}

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(60);
