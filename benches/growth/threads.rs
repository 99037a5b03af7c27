//! Worker threads: what one loop of a worker takes, among others that sleep.

use core::time::Duration;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Deadline, Input, Outbox, Output, RunnerStatus, Task, TaskId, Timestamp, TransmitBuffer,
};

use super::cores::{CLIENT, SERVER, keep_to};
use super::{Curve, Figure, Run};

pub(crate) fn figures() -> Vec<Figure> {
    let curve = Curve {
        name: "a command, and a report".to_owned(),
        sizes: vec![1, 2, 3, 5, 10, 30, 100, 300],
        prepare: Box::new(commands),
    };
    vec![Figure {
        name: "workers",
        title: "A wake-up of a worker that is told something",
        axis: "workers, each on its thread",
        curves: vec![curve],
    }]
}

/// Commands to a task of the first worker, one after the other: how long it was awake for each.
fn commands(workers: u32) -> Run {
    let workers = u16::try_from(workers).expect("fewer than that");
    let mut config = RuntimeConfig::new(BackendKind::default()).workers(workers);
    // So that whoever is told something does not take the place of who says so.
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        config.threads.cores = vec![SERVER];
    }
    keep_to(CLIENT);
    let mut controller = Controller::start(config, |(), spawner| {
        spawner.insert(Answers {
            outbox: Outbox::new(),
        })
    })
    .expect("the runtime starts");
    let task = started(&mut controller);
    Box::new(move |events| {
        let events = events.min(200);
        let before = status(&mut controller);
        for _ in 0..events {
            controller.command(task, ()).expect("there is room");
            while !matches!(
                controller.wait(None).expect("an answer"),
                ControllerEvent::Report { .. }
            ) {}
        }
        let after = status(&mut controller);
        let loops = u32::try_from(after.loops - before.loops).expect("few");
        (loops.max(1), after.busy - before.busy)
    })
}

fn started(controller: &mut Controller<Asked>) -> TaskId {
    controller.spawn(0, ()).expect("there is room");
    loop {
        if let ControllerEvent::Started { task, .. } = controller.wait(None).expect("it starts") {
            return task;
        }
    }
}

/// That of the first worker, once it sleeps.
fn status(controller: &mut Controller<Asked>) -> RunnerStatus {
    let mut before = controller.status().remove(0).runner;
    loop {
        controller.wait(Some(Duration::from_millis(3)));
        let status = controller.status().remove(0).runner;
        if status.loops == before.loops {
            return status;
        }
        before = status;
    }
}

#[derive(Debug)]
struct Asked;

impl App for Asked {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

struct Answers {
    outbox: Outbox<Asked>,
}

impl Task for Answers {
    type App = Asked;

    fn handle_input(&mut self, _: Timestamp, input: Input<Asked>) {
        match input {
            Input::Command(()) => self.outbox.report(()),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Asked>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}
