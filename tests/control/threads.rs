//! Worker threads, for the laboratory.

use core::time::Duration;
use std::sync::mpsc::{Sender, channel};

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig, StartError};
use stillpoint::{
    BusCounters, CommandId, CommandTarget, ControlError, ControllerEvent, Placement, SpawnId,
    SpawnState, TaskId, Timestamp, WorkerStatus,
};

use super::killable::{Killable, Killer};
use super::lab::{Limits, Over, PATIENCE, Stage};
use super::puppet::{Act, Play, Role, spawn};

pub(crate) struct Threads {
    /// Workers that stand still until these are dropped: before the controller, which waits for
    /// them.
    gates: Vec<(u16, Sender<()>)>,
    controller: Controller<Play>,
    killer: Killer,
    /// The task that stops a worker when that is to stand still.
    stallers: Vec<TaskId>,
}

impl Threads {
    pub(crate) fn new(
        backend: BackendKind,
        workers: u16,
        limits: Limits,
        spin_max: Duration,
    ) -> Self {
        let mut config = RuntimeConfig::new(backend).workers(workers);
        config.spin_max = spin_max;
        config.seed = 5;
        config.bus_queue_max = limits.bus_queue_max;
        config.inputs_max = limits.inputs_max;
        config.events_max = limits.events_max;
        config.unanswered_max = limits.unanswered_max;
        config.when_worker_fails = limits.when_worker_fails;
        let killer = Killer::default();
        let kills = killer.clone();
        let controller = Controller::start_over(config, spawn, move |worker, config| {
            Killable::new(backend, worker, config, &kills)
        });
        Self {
            gates: Vec::new(),
            controller: controller.unwrap(),
            killer,
            stallers: Vec::new(),
        }
    }

    fn staller(&mut self, worker: u16) -> TaskId {
        let mut known = self.stallers.iter();
        if let Some(&staller) = known.find(|task| task.worker() == worker) {
            return staller;
        }
        let spawn = self.controller.spawn(worker, Role::First).unwrap();
        let SpawnState::Started(staller) = self.controller.wait_spawned(spawn, PATIENCE) else {
            panic!("worker {worker} starts no task");
        };
        self.stallers.push(staller);
        staller
    }
}

impl Stage for Threads {
    fn now(&self) -> Timestamp {
        self.controller.now()
    }

    fn spawn(&mut self, placement: Placement, role: Role) -> Result<SpawnId, ControlError> {
        self.controller.spawn(placement, role)
    }

    fn spawn_state(&mut self, spawn: SpawnId) -> SpawnState {
        self.controller.spawn_state(spawn)
    }

    fn command(&mut self, to: CommandTarget, act: Act) -> Result<(), ControlError> {
        self.controller.command(to, act)
    }

    fn command_tracked(&mut self, to: CommandTarget, act: Act) -> Result<CommandId, ControlError> {
        self.controller.command_tracked(to, act)
    }

    fn publish(&mut self, channel: u8, message: u64) -> Result<(), ControlError> {
        self.controller.publish(channel, message)
    }

    fn broadcast(&mut self, message: u64) -> Result<(), ControlError> {
        self.controller.broadcast(message)
    }

    fn add_worker(&mut self) -> Result<u16, ControlError> {
        self.controller.add_worker().map_err(|error| match error {
            StartError::Control(error) => error,
            error => panic!("{error}"),
        })
    }

    fn remove_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        self.controller.remove_worker(worker)
    }

    fn status(&mut self) -> Vec<WorkerStatus> {
        self.controller.status()
    }

    fn bus(&self) -> Option<BusCounters> {
        None
    }

    fn poll(&mut self) -> Option<ControllerEvent<Play>> {
        self.controller.wait(Some(Duration::from_millis(5)))
    }

    fn pass(&mut self, duration: Duration) {
        let (_keep, never) = channel::<()>();
        // The way to let time pass that needs no sleep.
        let _: Result<(), _> = never.recv_timeout(duration);
    }

    fn stall(&mut self, worker: u16) {
        let staller = self.staller(worker);
        let (gate, opened) = channel::<()>();
        let (stands, is_still) = channel();
        let act = Act::new(move |_| {
            let _: Result<(), _> = stands.send(());
            let _: Result<(), _> = opened.recv();
        });
        self.controller.command(staller, act).unwrap();
        is_still.recv_timeout(PATIENCE).unwrap();
        self.gates.push((worker, gate));
    }

    fn release(&mut self, worker: u16) {
        self.gates.retain(|(at, _)| *at != worker);
    }

    fn kill(&mut self, worker: u16) {
        self.killer.kill(worker);
    }

    fn shutdown(self: Box<Self>, timeout: Duration) -> Over {
        let Self {
            controller, gates, ..
        } = *self;
        let summary = controller.shutdown(timeout);
        drop(gates);
        Over {
            workers: summary.workers,
            stuck: summary.stuck,
            events: summary.events,
            bus: None,
        }
    }
}
